"""The worked circuits, with their numbers: declared in three ways, on every wire, compiled."""

import math

import numpy as np
import pytest

import graphc

CIRCUIT = {"x": -2.0, "y": 5.0, "z": -4.0}
NEURON = {"w0": 2.0, "x0": -1.0, "w1": -3.0, "x1": -2.0, "w2": -3.0}
GATES = {"x": 3.0, "y": -4.0, "z": 2.0, "w": -1.0}

# -- each circuit, declared in three ways ----------------------------------------------------------


def built_circuit():
    b = graphc.Builder("circuit")
    x, y, z = b.inputs("x", "y", "z")
    q = b.node("q", x + y)
    b.output("f", q * z)
    return b.build()


@graphc.trace(x="f64", y="f64", z="f64")
def traced_circuit(x, y, z):
    q = x + y
    return {"f": q * z}


TEXT_CIRCUIT = """
graphc = 1
name = "circuit"
[inputs]
x = "f64"
y = "f64"
z = "f64"
[nodes]
f = "q * z"
q = "x + y"
[outputs]
f = "f"
"""


def built_neuron():
    b = graphc.Builder("neuron")
    w0, x0, w1, x1, w2 = b.inputs("w0", "x0", "w1", "x1", "w2")
    b.output("f", graphc.sigmoid(w0 * x0 + w1 * x1 + w2))
    return b.build()


@graphc.trace(w0="f64", x0="f64", w1="f64", x1="f64", w2="f64")
def traced_neuron(w0, x0, w1, x1, w2):
    return {"f": 1 / (1 + np.exp(-(w0 * x0 + w1 * x1 + w2)))}


TEXT_NEURON = """
graphc = 1
name = "neuron"
[inputs]
w0 = "f64"
x0 = "f64"
w1 = "f64"
x1 = "f64"
w2 = "f64"
[nodes]
dot = "w0 * x0 + w1 * x1 + w2"
f = "sigmoid(dot)"
[outputs]
f = "f"
"""


def built_gates():
    b = graphc.Builder("gates")
    x, y, z, w = b.inputs("x", "y", "z", "w")
    b.output("f", 2 * (x * y + np.maximum(z, w)))
    return b.build()


@graphc.trace(x="f64", y="f64", z="f64", w="f64")
def traced_gates(x, y, z, w):
    return {"f": 2 * (x * y + np.maximum(z, w))}


TEXT_GATES = """
graphc = 1
name = "gates"
[inputs]
x = "f64"
y = "f64"
z = "f64"
w = "f64"
[nodes]
product = "x * y"
larger = "maximum(z, w)"
f = "2 * (product + larger)"
[outputs]
f = "f"
"""

CIRCUITS = [built_circuit(), traced_circuit, graphc.loads(TEXT_CIRCUIT)]
NEURONS = [built_neuron(), traced_neuron, graphc.loads(TEXT_NEURON)]
ALL_GATES = [built_gates(), traced_gates, graphc.loads(TEXT_GATES)]
WAYS = ["builder", "trace", "text"]


def value_of(result):
    """The one output: bare from a builder, in a dict from the trace of one."""
    return result["f"] if isinstance(result, dict) else result


def gradients(graph, values):
    """The value and the gradients, which all ways of asking for them agree on."""
    f = graphc.compile(graph)
    value, grads = f.value_and_grad(**values)
    outputs, saved = f.forward(**values)
    assert value_of(f(**values)) == value_of(value) == value_of(outputs)
    assert f.backward(saved) == grads
    wires = graph.evaluate(**values)
    found = grads._asdict()
    for name, gradient in found.items():
        assert wires.grads[name] == pytest.approx(gradient, rel=1e-15)
    return value_of(value), found


# -- row 1 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("graph", CIRCUITS, ids=WAYS)
def test_the_staged_product(graph):
    value, grads = gradients(graph, CIRCUIT)
    assert value == -12.0
    assert grads == {"x": -4.0, "y": -4.0, "z": 3.0}
    wires = graph.evaluate(**CIRCUIT)
    assert wires.values["q"] == 3.0
    assert wires.grads["q"] == -4.0
    assert wires.grads["f"] == 1.0
    value, d_q = graphc.compile(graph, wrt="q", of="f").value_and_grad(**CIRCUIT)
    assert (value_of(value), d_q) == (-12.0, -4.0)


# -- row 2 -----------------------------------------------------------------------------------------

EXACT = {
    "w0": -0.1966119332414819,
    "x0": 0.3932238664829637,
    "w1": -0.3932238664829637,
    "x1": -0.5898357997244456,
    "w2": 0.1966119332414819,
}
BY_STAGES = {"w0": -0.2, "x0": 0.4, "w1": -0.4, "x1": -0.6, "w2": 0.2}


@pytest.mark.parametrize("graph", NEURONS, ids=WAYS)
def test_the_sigmoid_neuron(graph):
    value, grads = gradients(graph, NEURON)
    assert value == pytest.approx(0.7310585786300049, rel=1e-15)
    assert grads == pytest.approx(EXACT, rel=2e-15)
    assert {name: round(grad, 1) for name, grad in grads.items()} == BY_STAGES
    assert f"{value:.7f}" == "0.7310586"
    assert [f"{grads[name]:.7f}" for name in NEURON] == [
        "-0.1966119",
        "0.3932239",
        "-0.3932239",
        "-0.5898358",
        "0.1966119",
    ]


# -- row 3 -----------------------------------------------------------------------------------------

TEXT_WIRES = """
graphc = 1
name = "wires"
[inputs]
w0 = "f64"
x0 = "f64"
w1 = "f64"
x1 = "f64"
w2 = "f64"
[nodes]
dot = "w0 * x0 + w1 * x1 + w2"
negated = "dot * -1"
power = "exp(negated)"
denominator = "power + 1"
f = "1 / denominator"
[outputs]
f = "f"
"""


def built_wires():
    b = graphc.Builder("wires")
    w0, x0, w1, x1, w2 = b.inputs("w0", "x0", "w1", "x1", "w2")
    dot = b.node("dot", w0 * x0 + w1 * x1 + w2)
    negated = b.node("negated", dot * -1)
    power = b.node("power", np.exp(negated))
    denominator = b.node("denominator", power + 1)
    b.output("f", 1 / denominator)
    return b.build()


@graphc.trace(w0="f64", x0="f64", w1="f64", x1="f64", w2="f64")
def traced_wires(w0, x0, w1, x1, w2):
    dot = w0 * x0 + w1 * x1 + w2
    negated = dot * -1
    power = np.exp(negated)
    denominator = power + 1
    return 1 / denominator


WIRES = ["dot", "negated", "power", "denominator", "f"]
VALUES = [1.0, -1.0, math.exp(-1), 1 + math.exp(-1), 1 / (1 + math.exp(-1))]
LOCAL = 1 / (1 + math.exp(-1)) ** 2
GRADS = [math.exp(-1) * LOCAL, -math.exp(-1) * LOCAL, -LOCAL, -LOCAL, 1.0]


@pytest.mark.parametrize("graph", [built_wires(), traced_wires, graphc.loads(TEXT_WIRES)], ids=WAYS)
def test_every_wire_of_the_neuron(graph):
    wires = graph.evaluate(**NEURON)
    outputs = [name if name in wires.values else "traced_wires" for name in WIRES]
    np.testing.assert_allclose([wires.values[name] for name in outputs], VALUES, rtol=1e-15)
    np.testing.assert_allclose([wires.grads[name] for name in outputs], GRADS, rtol=1e-15)
    shown = [f"{wires.values[name]:.4f}" for name in outputs]
    assert shown == ["1.0000", "-1.0000", "0.3679", "1.3679", "0.7311"]
    shown = [f"{wires.grads[name]:.4f}" for name in reversed(outputs)]
    assert shown == ["1.0000", "-0.5344", "-0.5344", "-0.1966", "0.1966"]
    # The compiled function gives the same gradient on each wire, one at a time.
    for name, gradient in zip(outputs[:-1], GRADS, strict=False):
        f = graphc.compile(graph, wrt=name)
        np.testing.assert_allclose(f.value_and_grad(**NEURON)[1], gradient, rtol=1e-14)


# -- row 4 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("graph", ALL_GATES, ids=WAYS)
def test_add_distributes_max_routes_multiply_switches(graph):
    value, grads = gradients(graph, GATES)
    assert value == -20.0
    assert grads == {"x": -8.0, "y": 6.0, "z": 2.0, "w": 0.0}


@pytest.mark.parametrize("graph", ALL_GATES, ids=WAYS)
def test_a_tie_of_max_splits_evenly(graph):
    _, grads = gradients(graph, {**GATES, "w": 2.0})
    assert grads == {"x": -8.0, "y": 6.0, "z": 1.0, "w": 1.0}


# -- row 5 -----------------------------------------------------------------------------------------


def test_gradients_add_where_a_value_branches():
    @graphc.trace(x="f64", y="f64")
    def branched(x, y):
        return x * x + x * y

    assert graphc.compile(branched).value_and_grad(3.0, -4.0) == (-3.0, (2.0, 3.0))


def test_gradients_add_over_many_uses():
    @graphc.trace(x="f64")
    def many(x):
        q = x * 2
        return q + q * q + np.sin(q) + q * x

    x = 0.7
    expected = 2 * (1 + 2 * 2 * x + math.cos(2 * x) + x) + 2 * x
    assert graphc.compile(many).value_and_grad(x)[1].x == pytest.approx(expected, rel=1e-14)


# -- gates of one's own ----------------------------------------------------------------------------


@graphc.primitive(result=lambda x, y: x)
def product(x, y):
    return x * y, (x, y)


@product.vjp
def _(saved, d):
    x, y = saved
    return d * y, d * x


power3 = graphc.elementwise("power3", "x * x * x")


def test_a_gate_that_saves_what_its_backward_needs():
    @graphc.trace(x="f64", y="f64", z="f64")
    def circuit(x, y, z):
        return product(x + y, z)

    f = graphc.compile(circuit)
    value, grads = f.value_and_grad(**CIRCUIT)
    assert value == -12.0
    assert grads == (-4.0, -4.0, 3.0)
    outputs, saved = f.forward(**CIRCUIT)
    assert outputs == -12.0
    assert f.backward(saved) == (-4.0, -4.0, 3.0)
    assert f.backward(saved, 2.0) == (-8.0, -8.0, 6.0)


def test_a_gate_by_its_formula():
    @graphc.trace(x="f64")
    def cubed(x):
        return power3(x)

    assert graphc.compile(cubed).value_and_grad(2.0) == (8.0, (12.0,))


# -- row 13: the numerical gradient ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("graph", "values"),
    [
        *((graph, CIRCUIT) for graph in CIRCUITS),
        *((graph, NEURON) for graph in NEURONS),
        *((graph, GATES) for graph in ALL_GATES),
    ],
)
def test_the_wiggle(graph, values):
    f = graphc.compile(graph)
    grads = f.value_and_grad(**values)[1]._asdict()
    for name, gradient in grads.items():
        h = 1e-5
        above = value_of(f(**{**values, name: values[name] + h}))
        below = value_of(f(**{**values, name: values[name] - h}))
        assert (above - below) / (2 * h) == pytest.approx(gradient, rel=1e-8, abs=1e-9)
    report = graphc.check_grads(graph, **values)
    assert [(row.name, row.ok) for row in report.rows] == [(name, True) for name in values]
