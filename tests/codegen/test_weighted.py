"""Sums of products with smaller arrays: the same numbers, from fewer large arrays."""

from __future__ import annotations

import numpy as np
import pytest

import graphc
from graphc.autodiff import grad
from graphc.interpret import evaluate_outputs

N, M = 150, 70


def lines_of(function, *arrays, rtol=1e-11, constant=()):
    """The lines of the gradient's function, after value and gradients are compared with the
    interpreter's. constant: inputs without a gradient."""
    graph = graphc.trace(function, *arrays)
    names = [node.name for node in graph.inputs]
    given = dict(zip(names, arrays, strict=True))
    wrt = [name for name in names if name not in constant]
    compiled = graphc.compile(graph, wrt=wrt, cache=False)
    value, grads = compiled.value_and_grad(*arrays)
    (expected,) = evaluate_outputs(graph, given).values()
    np.testing.assert_allclose(value, expected, rtol=rtol, atol=rtol)
    slopes = evaluate_outputs(grad(graph, wrt=wrt), given)
    for name, found in zip(wrt, grads, strict=True):
        scale = np.abs(slopes[f"d_{name}"]).max()
        np.testing.assert_allclose(found, slopes[f"d_{name}"], rtol=rtol, atol=rtol * scale)
    body = compiled.source.partition("def value_and_grad")[2].partition("\ndef ")[0]
    return [line.strip() for line in body.splitlines()]


def arrays_of(*shapes, dtype=np.float64):
    rng = np.random.default_rng(7)
    return [rng.normal(size=shape).astype(dtype) + 0.25 for shape in shapes]


def normalisation(axis):
    def loss(x, g, b, c):
        centred = x - x.mean(axis, keepdims=True)
        variance = (centred * centred).mean(axis, keepdims=True)
        return ((centred / np.sqrt(variance + 1e-5) * g + b) * c).sum()

    return loss


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_normalisation_stores_no_normalised_input(axis, dtype):
    arrays = arrays_of((N, M), (M,), (M,), (N, M), dtype=dtype)
    rtol = 1e-11 if dtype is np.float64 else 2e-4
    lines = lines_of(normalisation(axis), *arrays, rtol=rtol, constant="c")
    assert any("d_b.dot(b)" in line for line in lines)
    # The normalised input is not stored: only sums would read it.
    assert not any("+= b" in line or "= centred / " in line for line in lines)


def test_leading_axes_are_one():
    arrays = arrays_of((6, 25, M), (M,), (M,), (6, 25, M))
    lines = lines_of(normalisation(2), *arrays, constant="c")
    assert any("d_g = (1.0 / " in line and ".reshape(-1).dot(" in line for line in lines)
    assert not any("+= b" in line or "= centred / " in line for line in lines)


def test_channels_may_come_second():
    arrays = arrays_of((6, 8, 14, 14), (8, 1, 1), (8, 1, 1), (6, 8, 14, 14))
    lines = lines_of(normalisation((0, 2, 3)), *arrays, constant="c", rtol=1e-10)
    assert not any("+= b" in line or "= centred / " in line for line in lines)
    assert not any("sum(axis=(0, 2, 3))" in line for line in lines if "#" not in line)


def test_sizes_may_have_names():
    graph = graphc.trace(
        normalisation(2), x="f64[b, t, 5]", g="f64[5]", b="f64[5]", c="f64[b, t, 5]"
    )
    compiled = graphc.compile(graph, wrt=("x", "g"), cache=False)
    x, g, b, c = arrays_of((3, 4, 5), (5,), (5,), (3, 4, 5))
    given = {"x": x, "g": g, "b": b, "c": c}
    value, grads = compiled.value_and_grad(**given)
    slopes = evaluate_outputs(grad(graph, wrt=["x", "g"]), given)
    np.testing.assert_allclose(grads.x, slopes["d_x"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(grads.g, slopes["d_g"], rtol=1e-11)
    assert value == pytest.approx(next(iter(evaluate_outputs(graph, given).values())), rel=1e-12)


def test_factors_that_vary_along_a_sum_are_weights():
    def loss(x, c, s, g):
        return np.exp((c * (x / s)).sum(axis=0) * 0.01) @ g

    lines = lines_of(loss, *arrays_of((N, M), (N, M), (N, 1), (M,)))
    assert any(".dot(" in line and "1.0 / s[:, 0]" in line for line in lines)


def test_a_product_serves_all_its_sums():
    def loss(x, c, s, g):
        u = x / s
        return np.sin((c * u).sum(axis=0)) @ g + np.cos((c * g * u).sum(axis=1)).sum()

    lines = lines_of(loss, *arrays_of((N, M), (N, M), (N, 1), (M,)), constant="xcs")
    assert lines.count("u *= c") == 1
    assert not any("np.einsum" in line or "np.vecdot" in line for line in lines)


def test_what_something_else_reads_stays():
    """The large array is there: to read it is the shortest."""

    def loss(x, s):
        u = x / s
        return np.exp(-u * u).sum() + np.sin(u.sum(axis=0)).sum()

    lines = lines_of(loss, *arrays_of((N, M), (N, 1)))
    assert not any("1.0 / s[:, 0] @" in line or "(1.0 / s[:, 0]) @" in line for line in lines)


def test_terms_that_may_cancel_are_added_up_together():
    """x - y may be exact: their sums apart are not."""

    def loss(x, y, c):
        return ((x - y) * c).sum() + np.sin((x * c).sum(axis=0)).sum() + (y * c).sum(axis=0)[0]

    x, y, c = arrays_of((N, M), (N, M), (N, M))
    lines_of(loss, x + 1e8, x + 1e8 + 1e-3 * y, c, rtol=1e-7)
    graph = graphc.trace(loss, x, y, c)
    near = x + 1e8, x + 1e8 + 1e-3 * y, c
    expected = evaluate_outputs(graph, dict(zip("xyc", near, strict=True)))
    found = graphc.compile(graph, cache=False).value_and_grad(*near)[0]
    np.testing.assert_allclose(found, next(iter(expected.values())), rtol=1e-13)


def test_named_values_are_kept():
    b = graphc.Builder("named")
    x, s, c = (
        b.input("x", f"f64[{N}, {M}]"),
        b.input("s", f"f64[{N}, 1]"),
        b.input("c", f"f64[{N}, {M}]"),
    )
    u = b.node("u", x / s)
    b.output("f", (c * u).sum(axis=0).sum())
    assert "u = x / s" in graphc.compile(b, cache=False).source


def test_a_number_and_an_array_may_stand_outside_of_one_sum():
    def loss(x, s, g, h):
        return np.sin((x / s * h * g).sum(axis=0)).sum() + (x / s).sum(axis=0)[0]

    x, s, g, _ = arrays_of((N, M), (N, 1), (M,), (1,))
    lines = lines_of(loss, x, s, g, np.float64(0.5))
    assert any("1.0 / s[:, 0]" in line for line in lines)


def test_long_sums_of_single_precision_are_not_added_in_sequence():
    x, g = arrays_of((4, 5000), (5000,), dtype=np.float32)

    def loss(x, g):
        return np.sin((x * g).sum(axis=1)).sum()

    assert not any(
        "x.dot(g)" in line or "x @ g" in line for line in lines_of(loss, x, g, rtol=1e-3)
    )


def test_the_number_of_sums_does_not_matter():
    x, g, b, c = arrays_of((N, M), (M,), (M,), (N, M))
    one = normalisation(1)

    def loss(x, g, b, c):
        return sum(one(x + float(k), g, b, c) for k in range(15))

    graph = graphc.trace(loss, x, g, b, c)
    compiled = graphc.compile(graph, wrt=("x", "g", "b"), cache=False)
    body = compiled.source.partition("def value_and_grad")[2].partition("\ndef ")[0]
    assert body.count("(1.0 / ") >= 15
    slopes = evaluate_outputs(grad(graph, wrt=["x", "g"]), {"x": x, "g": g, "b": b, "c": c})
    found = compiled.value_and_grad(x, g, b, c)[1]
    np.testing.assert_allclose(found.x, slopes["d_x"], rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(found.g, slopes["d_g"], rtol=1e-9)
