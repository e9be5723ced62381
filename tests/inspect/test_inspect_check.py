"""`graphc.check_grads` finds what is wrong, and only that."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import graphc
from graphc.inspect.check import gradient_report
from graphc.inspect.numerical import central, complex_step, one_sided
from tests.strategies import cases


def wrong_cube():
    """x**3 with a VJP that is off by three per cent."""

    @graphc.primitive(result=lambda x: x)
    def cube(x):
        return x**3, x

    @cube.vjp
    def _(saved, d_y):
        return 3.09 * saved**2 * d_y

    return cube


def test_the_report():
    graph = graphc.load("examples/neuron.toml")
    report = graphc.check_grads(graph, w0=2.0, x0=-1.0, w1=-3.0, x1=-2.0, w2=-3.0)
    assert report.ok
    assert report.method == "complex step"
    assert [row.name for row in report.rows] == ["w0", "x0", "w1", "x1", "w2"]
    first = report.rows[0]
    assert first.analytic == pytest.approx(-0.1966119, abs=5e-8)
    assert first.numerical == pytest.approx(first.analytic, rel=1e-14)
    assert first.relative < 1e-14
    lines = str(report).splitlines()
    assert lines[0].split("  ")[0] == "input"
    assert "complex step" in lines[0]
    assert lines[0].endswith("d f")
    assert len(lines) == 2 + 5
    assert all(line.endswith("ok") for line in lines[2:])


def test_a_wrong_gradient_raises_with_the_table():
    cube = wrong_cube()

    @graphc.trace(x="f64[3]", y="f64")
    def loss(x, y):
        return cube(x).sum() + y * y

    with pytest.raises(graphc.GraphValueError) as caught:
        graphc.check_grads(loss, np.array([1.0, 2.0, -3.0]), 4.0)
    first, *table = str(caught.value).splitlines()
    assert "loss: the gradient by x differs" in first
    assert "central difference" in table[0]
    row = table[2].split()
    assert row[0] == "x"
    assert "[2]" in row
    assert row[-1] == "DIFFERS"
    assert row[-3:-1] == ["27.81", "27"]
    assert table[3].endswith("ok")
    # A tolerance that lets three per cent pass.
    assert graphc.check_grads(loss, np.array([1.0, 2.0, -3.0]), 4.0, rtol=0.05).ok
    # What is not asked for is not checked.
    assert graphc.check_grads(loss, np.array([1.0, 2.0, -3.0]), 4.0, wrt="y").ok


def test_a_right_primitive_passes():
    @graphc.primitive(result=lambda x: x)
    def sine(x):
        return np.sin(x), x

    @sine.vjp
    def _(saved, d_y):
        return np.cos(saved) * d_y

    for dtype in (np.float64, np.float32):
        at = np.linspace(-2, 2, 4, dtype=dtype)
        graph = graphc.trace(lambda x: (sine(x) * 3).sum(), at)
        assert graphc.check_grads(graph, at).ok


def test_every_kind_of_definition():
    @graphc.trace(x="f64[4, 3]", W=graphc.param("f64[3, 3]"), i="i64[4]", s="f64")
    def loss(x, W, i, s):
        h = np.tanh(x @ W) + np.exp(-np.abs(x)) * s**3
        h = np.where(h > 0, np.sqrt(h * h + 1), np.log1p(h * h))
        h = np.concatenate([h, np.cumsum(h, axis=0)[::-1]])
        return graphc.cross_entropy(h[:4], i).mean() + h.max() + np.prod(h[0]) + h[:, i].sum()

    random = np.random.default_rng(0)
    x, W = random.normal(size=(4, 3)), random.normal(size=(3, 3))
    report = graphc.check_grads(loss, x, W, np.array([0, 2, 1, 2]), 0.7)
    assert [row.checked for row in report.rows] == [12, 9, 1]
    assert max(row.relative for row in report.rows) < 1e-11


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(scalar=True, smooth=True, kinks=False))
def test_random_graphs(case):
    report = gradient_report(case.graph, case.values, samples=10)
    assert report.ok, f"{case.graph}\n{report}"


def test_single_precision_has_its_own_tolerance():
    @graphc.trace(x="f32[50]")
    def f(x):
        return np.exp(np.sin(x)).sum()

    x = np.linspace(-3, 3, 50, dtype=np.float32)
    assert graphc.check_grads(f, x).ok
    with pytest.raises(graphc.GraphValueError):
        graphc.check_grads(f, x, rtol=1e-12, atol=1e-14)


def test_kinks_take_any_value_between_the_slopes():
    @graphc.trace(x="f64", y="f64")
    def f(x, y):
        return np.abs(x) + np.maximum(x, y) + graphc.relu(y)

    report = graphc.check_grads(f, 0.0, 0.0)
    assert report.ok
    assert [row.kinks for row in report.rows] == [1, 1]
    assert "1 at a kink" in str(report)


def test_a_kink_excuses_nothing_outside():
    @graphc.primitive(result=lambda x: x)
    def magnitude(x):
        return np.abs(x), x

    @magnitude.vjp
    def _(saved, d_y):
        return 1.5 * d_y

    graph = graphc.trace(lambda x: magnitude(x), "f64")
    with pytest.raises(graphc.GraphValueError, match="differs"):
        graphc.check_grads(graph, 0.0)


def test_stop_gradient_stops_the_numerical_gradient_too():
    graph = graphc.trace(lambda x: x * graphc.stop_gradient(x), "f64")
    report = graphc.check_grads(graph, 3.0)
    assert report.rows[0].analytic == report.rows[0].numerical == 3.0


def test_large_inputs_are_sampled_the_same_way_each_time():
    graph = graphc.trace(lambda x: (x * x).sum(), "f64[1000]")
    x = np.random.default_rng(1).normal(size=1000)
    one, two = (graphc.check_grads(graph, x, samples=20) for _ in range(2))
    assert one.rows == two.rows
    assert (one.rows[0].checked, one.rows[0].size) == (20, 1000)
    assert "20 of 1000" in str(one)


def test_several_outputs_need_of():
    @graphc.trace(x="f64")
    def f(x):
        return {"a": x * 2, "b": np.sin(x)}

    with pytest.raises(graphc.GraphValueError, match="of="):
        graphc.check_grads(f, 1.0)
    assert graphc.check_grads(f, 1.0, of="b").of == "b"


def test_an_input_that_is_not_used():
    graph = graphc.trace(lambda x, y: x * 2, x="f64", y="f64[3]")
    report = graphc.check_grads(graph, 1.0, np.ones(3))
    assert report.rows[1].analytic == 0.0


def test_infinite_gradients_agree():
    graph = graphc.trace(lambda x: np.sqrt(x) * 2, "f64")
    assert graphc.check_grads(graph, 4.0).ok


def test_builders_are_taken_as_they_are():
    b = graphc.Builder("square")
    x = b.input("x")
    b.output("f", x * x)
    assert graphc.check_grads(b, x=3.0).rows[0].analytic == 6.0


def test_what_is_no_graph():
    with pytest.raises(graphc.GraphTypeError, match="takes a Graph or a Builder, got function"):
        graphc.check_grads(lambda x: x, 1.0)


def test_what_cannot_be_differentiated():
    graph = graphc.trace(lambda i: i * 2.0, "i64")
    with pytest.raises(graphc.GraphTypeError, match="no floating input"):
        graphc.check_grads(graph, 1)
    graph = graphc.trace(lambda x: np.exp(x), "f64[2]")
    with pytest.raises(graphc.GraphValueError, match="scalar output"):
        graphc.check_grads(graph, np.ones(2))


def test_an_impure_function_is_found():
    calls = [0]

    @graphc.trace(x="f64[3]")
    def drifting(x):
        calls[0] += 1
        return (x * calls[0]).sum()

    with pytest.raises(graphc.GraphValueError, match=r"drifting is not pure: .*first at constant"):
        graphc.check_grads(drifting, np.ones(3))


def test_impurity_in_the_shape_of_the_graph():
    calls = [0]

    @graphc.trace(x="f64")
    def growing(x):
        calls[0] += 1
        return sum((x for _ in range(calls[0])), x)

    with pytest.raises(graphc.GraphValueError, match="not pure"):
        graphc.check_grads(growing, 1.0)


# -- the numerical derivatives themselves ---------------------------------------------------------


@pytest.mark.parametrize("x", [-3.0, 0.3, 1e-3, 40.0, 1e6])
def test_derivatives_of_known_functions(x):
    at = np.array([x, 5.0])

    def function(z):
        return np.sin(z[0]) * z[1]

    exact = 5 * np.cos(x)
    assert complex_step(function, at, (0,)) == pytest.approx(exact, rel=1e-14)
    assert central(function, at, (0,), 2.0**-52) == pytest.approx(exact, rel=2e-7)


def test_one_sided_slopes():
    left, right = one_sided(lambda z: abs(z[0]), np.array([0.0]), (0,), 2.0**-52)
    assert (left, right) == (-1.0, 1.0)
