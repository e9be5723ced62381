"""The interface the lectures ask for: forward, backward, saving gates, modules, Jacobians, cost."""

import numpy as np
import pytest

import graphc

# -- forward() over sorted gates, backward() over the reverse order --------------------------------


def test_gates_may_be_stated_in_any_order():
    text = """
graphc = 1
name = "any_order"
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
    graph = graphc.loads(text)
    assert [node.name for node in graph.nodes] == ["x", "y", "z", "q", "f"]
    f = graphc.compile(graph)
    value, saved = f.forward(-2.0, 5.0, -4.0)
    assert value == -12.0
    assert f.backward(saved)._asdict() == {"x": -4.0, "y": -4.0, "z": 3.0}
    assert f.backward(saved, 0.5)._asdict() == {"x": -2.0, "y": -2.0, "z": 1.5}


def test_the_multiply_gate_keeps_its_operands_and_the_add_gate_nothing():
    product = graphc.compile(graphc.trace(lambda x, y: x * y, "f64[3]", "f64[3]"))
    x, y = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    _, saved = product.forward(x, y)
    assert {part.tobytes() for part in saved} == {x.tobytes(), y.tobytes()}
    total = graphc.compile(graphc.trace(lambda x, y: x + y, "f64[3]", "f64[3]"))
    _, saved = total.forward(x, y)
    assert not [part for part in saved if isinstance(part, np.ndarray)]


# -- staged computation ----------------------------------------------------------------------------


@graphc.trace(x="f64[4]", W="f64[5, 4]", b="f64[5]")
def hidden(x, W, b):
    return np.tanh(W @ x + b)


@graphc.trace(h="f64[5]", W="f64[3, 5]")
def scores(h, W):
    return W @ h


@graphc.trace(s="f64[3]", y="i64")
def data_loss(s, y):
    return graphc.logsumexp(s) - (s * graphc.one_hot(y, 3)).sum()


@graphc.trace(x="f64[4]", y="i64", W1="f64[5, 4]", b1="f64[5]", W2="f64[3, 5]")
def model(x, y, W1, b1, W2):
    h = hidden(x, W1, b1)
    s = scores(h, W2)
    return data_loss(s, y)


def test_modules_are_differentiated_each_by_itself_and_chained():
    rng = np.random.default_rng(0)
    W1, b1, W2 = rng.normal(size=(5, 4)), rng.normal(size=5), rng.normal(size=(3, 5))
    x, y = rng.normal(size=4), 2
    stages = [graphc.compile(stage) for stage in (hidden, scores)]
    last = graphc.compile(data_loss, wrt="s")
    h, kept_h = stages[0].forward(x, W1, b1)
    s, kept_s = stages[1].forward(h, W2)
    value, d_s = last.value_and_grad(s, y)
    of_scores = stages[1].backward(kept_s, d_s)
    of_hidden = stages[0].backward(kept_h, of_scores.h)
    whole, grads = graphc.compile(model).value_and_grad(x, y, W1, b1, W2)
    assert whole == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose(grads.W2, of_scores.W, rtol=1e-12)
    np.testing.assert_allclose(grads.W1, of_hidden.W, rtol=1e-12)
    np.testing.assert_allclose(grads.b1, of_hidden.b, rtol=1e-12)
    np.testing.assert_allclose(grads.x, of_hidden.x, rtol=1e-12)


def test_a_model_s_values_bear_their_module_s_name():
    @graphc.trace(x="f64[4]", W="f64[4, 4]")
    def twice(x, W):
        for k in (1, 2):
            with graphc.name_scope(f"layer{k}"):
                h = np.tanh(W @ x)
            x = h
        return x.sum()

    found = twice.evaluate(np.ones(4), np.eye(4))
    np.testing.assert_allclose(found.values["layer1.h"], np.tanh(np.ones(4)))
    np.testing.assert_allclose(found.values["layer2.h"], np.tanh(np.tanh(np.ones(4))))


# -- shapes and Jacobians --------------------------------------------------------------------------


def test_a_gradient_has_its_parameter_s_shape_and_the_jacobian_can_be_asked_for():
    relu = graphc.trace(lambda x: np.maximum(0, x), "f64[5]")
    x = np.array([-1.0, 2.0, 0.0, 3.0, -4.0])
    found = graphc.compile(graphc.jacobian(relu), ())(x)
    np.testing.assert_array_equal(found, np.diag([0.0, 1.0, 0.0, 1.0, 0.0]))
    minibatch = graphc.trace(lambda x: np.maximum(0, x), "f64[100, 4096]")
    structure = graphc.jacobian_structure(minibatch)
    assert (structure.kind, structure.rows, structure.columns) == ("diagonal", 409600, 409600)


# -- cost ------------------------------------------------------------------------------------------


def statements(source, function):
    """The lines of a function of a module that compute something."""
    body = source.partition(f"\ndef {function}(")[2].partition("\ndef ")[0]
    lines = [line.strip() for line in body.splitlines()[1:]]
    return [line for line in lines if " = " in line or "out=" in line]


def test_backward_costs_what_forward_costs_however_many_paths_there_are():
    """2^depth paths lead from the output to x; the work grows with the gates."""

    def graph(depth):
        def f(x):
            for _ in range(depth):
                x = np.sin(x) * x
            return x.sum()

        return graphc.compile(graphc.trace(f, "f64[n]"))

    counts = {}
    for depth in (10, 20, 40):
        f = graph(depth)
        counts[depth] = [len(statements(f.source, name)) for name in ("forward", "backward")]
        x = np.full(3, 1.1)
        (numerical,) = {(f(x + 1e-6) - f(x - 1e-6)) / 2e-6}
        assert f.value_and_grad(x)[1].x.sum() == pytest.approx(numerical, rel=1e-5)
    for forward, backward in counts.values():
        assert backward <= 4 * forward
    assert counts[40][1] - counts[20][1] == 2 * (counts[20][1] - counts[10][1])


def test_no_local_derivative_is_computed_twice():
    """The derivative of the sine, asked for by two uses of one value, is one cosine."""

    @graphc.trace(x="f64[n]", y="f64[n]")
    def circuit(x, y):
        s = np.sin(x)
        return (s * y + np.exp(s)).sum()

    source = graphc.compile(circuit).source
    fused = source.partition("\ndef value_and_grad(")[2].partition("\ndef ")[0]
    assert fused.count("np.cos(") == 1
    assert fused.count("np.exp(") == 1, "and exp is its own derivative"
    assert fused.count("np.sin(") == 1
