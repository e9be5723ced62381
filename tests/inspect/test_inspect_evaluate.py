"""`g.evaluate`: the value and the gradient on every wire."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

import graphc
from graphc.inspect.table import number_text, value_text


def neuron():
    """f = 1 / (1 + exp(-(w0 x0 + w1 x1 + w2))), with no name on any wire but the last."""
    b = graphc.Builder("neuron")
    w0, x0, w1, x1, w2 = b.inputs("w0", "x0", "w1", "x1", "w2")
    b.output("f", 1 / (np.exp((w0 * x0 + w1 * x1 + w2) * -1) + 1))
    return b.build()


POINT = {"w0": 2.0, "x0": -1.0, "w1": -3.0, "x1": -2.0, "w2": -3.0}


def test_the_neuron_on_every_wire():
    found = neuron().evaluate(**POINT)
    s = 1 / (1 + math.exp(-1))
    slope = s * (1 - s)
    expected = {  # value, gradient
        "w0": (2, -slope),
        "x0": (-1, 2 * slope),
        "w1": (-3, -2 * slope),
        "x1": (-2, -3 * slope),
        "w2": (-3, slope),
        "multiply_1": (-2, slope),
        "multiply_2": (6, slope),
        "add_1": (4, slope),
        "add_2": (1, slope),
        "multiply_3": (-1, -slope),
        "exp_1": (math.exp(-1), -(s**2)),
        "add_3": (1 + math.exp(-1), -(s**2)),
        "f": (s, 1),
    }
    for name, (value, gradient) in expected.items():
        assert found.values[name] == pytest.approx(value, rel=1e-15), name
        assert found.grads[name] == pytest.approx(gradient, rel=1e-14), name
    # The figures of the lecture, which rounds to four digits.
    rounded = [round(float(found.values[n]), 4) for n in ("exp_1", "add_3", "f")]
    assert rounded == [0.3679, 1.3679, 0.7311]
    assert [round(float(found.grads[n]), 4) for n in ("add_3", "exp_1", "multiply_3", "add_2")] == [
        -0.5344,
        -0.5344,
        -0.1966,
        0.1966,
    ]


def test_the_table():
    lines = str(graphc.load("examples/circuit.toml").evaluate(x=-2, y=5, z=-4)).splitlines()
    assert lines == [
        "name  formula  value  gradient of f",
        "----  -------  -----  -------------",
        "x     input       -2             -4",
        "y     input        5             -4",
        "z     input       -4              3",
        "q     x + y        3             -4",
        "f     q * z      -12              1",
    ]


def test_numbers_without_names_show_in_their_formulas_alone():
    text = str(neuron().evaluate(**POINT))
    assert "multiply_3  add_2 * -1.0" in text
    assert "constant" not in text


def test_arrays_integers_and_several_outputs():
    @graphc.trace(x="f32[3, 2]", i="i64[3]")
    def f(x, i):
        picked = x[np.arange(3), i]
        return {"loss": (picked * picked).sum(), "picked": picked, "unused": i + 1}

    x = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    found = f.evaluate(x, np.array([0, 1, 1]), of="loss")
    assert found.of == "loss"
    assert found.grads["x"].dtype == np.float32
    np.testing.assert_array_equal(found.grads["x"], [[2, 0], [0, 8], [0, 12]])
    assert found.grads["i"] is None
    assert f.evaluate(x, np.array([0, 1, 1])).of == "loss"  # the only floating scalar
    assert found.values["picked"].tolist() == [1, 4, 6]


def test_what_the_output_does_not_need_has_gradient_zero():
    graph = graphc.loads(
        'graphc = 1\n[inputs]\nx = "f64"\ny = "f64"\n[nodes]\nside = "exp(y)"\nf = "x * 2"\n'
        '[outputs]\nf = "f"\n'
    )
    found = graph.evaluate(x=3.0, y=1.0)
    assert (found.grads["side"], found.grads["y"], found.grads["x"]) == (0, 0, 2)
    assert found.values["side"] == math.e


def test_without_a_scalar_output_there_are_values_alone():
    @graphc.trace(x="f64[3]")
    def f(x):
        return x * 2

    found = f.evaluate(np.arange(3.0))
    assert found.grads == {}
    assert found.values["f"].tolist() == [0, 2, 4]
    assert "gradient" not in str(found)


def test_the_forms_are_those_that_are_emitted():
    @graphc.trace(x="f64")
    def f(x):
        return graphc.softplus(x)

    found = f.evaluate(800.0)
    assert (found.values["f"], found.grads["x"]) == (800.0, 1.0)


def test_an_input_may_be_called_of():
    graph = graphc.trace(lambda of: of * 3, of="f64")
    assert graph.evaluate(of=2.0).grads["of"] == 3.0


def test_containers():
    @graphc.trace(p={"W": ["f64", "f64"]})
    def f(p):
        return p["W"][0] * p["W"][1]

    found = f.evaluate({"W": [2.0, 5.0]})
    assert (found.grads["p.W.0"], found.grads["p.W.1"]) == (5.0, 2.0)


def test_values_share_no_memory_with_what_was_given():
    @graphc.trace(x="f64[3]")
    def f(x):
        return x.reshape((3, 1)).sum()

    x = np.arange(3.0)
    found = f.evaluate(x)
    assert not np.shares_memory(found.values["x"], x)
    assert not np.shares_memory(found.values["reshape_1"], x)
    found.values["x"][0] = 7


def test_errors_of_a_call():
    graph = graphc.load("examples/circuit.toml")
    with pytest.raises(graphc.GraphError, match="missing"):
        graph.evaluate(x=1.0)
    with pytest.raises(graphc.GraphNameError, match="no input 'w'"):
        graph.evaluate(x=1.0, y=1.0, z=1.0, w=2.0)
    with pytest.raises(graphc.GraphNameError, match="no output 'gg'"):
        graph.evaluate(x=1.0, y=1.0, z=1.0, of="gg")


def test_nothing_is_compiled_and_sympy_stays_away():
    code = (
        "import sys, graphc\n"
        "print(graphc.load('examples/neuron.toml').evaluate(w0=1., x0=1., w1=1., x1=1., w2=1.))\n"
        "print(sorted({'sympy', 'networkx', 'graphc.compiled'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.endswith("[]\n")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (-0.1966119332, "-0.1966119"),
        (1e-30, "1e-30"),
        (np.float32(0.1), "0.1"),
        (np.bool_(True), "True"),
        (7, "7"),
        (float("nan"), "nan"),
        (np.array([1.0, 2.5]), "[1, 2.5]"),
        (np.arange(6.0).reshape(2, 3), "2x3 in [0, 5]"),
        (np.zeros((0, 3)), "0x3, empty"),
        (np.array([[True, False]] * 3), "3x2, 3 true"),
    ],
)
def test_numbers_for_people(value, text):
    assert value_text(value) == text
    if np.ndim(value) == 0:
        assert number_text(value) == text
