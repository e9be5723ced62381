"""The models of the lectures, with their numbers, and the training loop."""

import math

import numpy as np
import pytest

import graphc

# -- row 6: the linear score function --------------------------------------------------------------


@graphc.trace(W="f64[3, 4]", x="f64[4]", b="f64[3]")
def scores(W, x, b):
    return W @ x + b


LINEAR_TEXT = """
graphc = 1
name = "scores"
[inputs]
W = "f64[3, 4]"
x = "f64[4]"
b = "f64[3]"
[nodes]
s = "W @ x + b"
[outputs]
s = "s"
"""


def built_scores():
    b = graphc.Builder("scores")
    W = b.input("W", "f64[3, 4]")
    x = b.input("x", "f64[4]")
    bias = b.input("b", "f64[3]")
    b.output("s", W @ x + bias)
    return b.build()


@pytest.mark.parametrize("graph", [scores, built_scores(), graphc.loads(LINEAR_TEXT)])
def test_the_linear_score_function(graph):
    random = np.random.default_rng(0)
    W, x, b, d = (random.normal(size=shape) for shape in ((3, 4), 4, 3, 3))
    f = graphc.compile(graph)
    s, saved = f.forward(W, x, b)
    np.testing.assert_allclose(s, W @ x + b, rtol=1e-14)
    grads = f.backward(saved, d)
    np.testing.assert_allclose(grads.W, np.outer(d, x), rtol=1e-14)
    np.testing.assert_allclose(grads.x, W.T @ d, rtol=1e-14)
    np.testing.assert_array_equal(grads.b, d)


# -- row 7: the softmax classifier -----------------------------------------------------------------

SCORES = np.array([[3.2, 5.1, -1.7]])
LABEL = np.array([0])


@graphc.trace(s="f64[n, classes]", y="i64[n]")
def loss_of_scores(s, y):
    return graphc.cross_entropy(s, y).mean()


@graphc.trace(s="f64[n, classes]", y="i64[n]")
def spelled_out(s, y):
    e = np.exp(s)
    p = e / e.sum(axis=1, keepdims=True)
    correct = p[graphc.arange(s.shape[0]), y]
    loss = -np.log(correct).mean()
    return {"loss": loss, "e": e, "p": p}


def test_the_softmax_loss_of_the_lecture():
    f = graphc.compile(spelled_out, wrt="s", of="loss")
    out, d_s = f.value_and_grad(SCORES, LABEL)
    assert [f"{v:.{k}f}" for v, k in zip(out.e[0], (1, 1, 2), strict=True)] == [
        "24.5",
        "164.0",
        "0.18",
    ]
    assert [f"{v:.2f}" for v in out.p[0]] == ["0.13", "0.87", "0.00"]
    assert f"{out.loss:.2f}" == "2.04"
    assert f"{out.loss / math.log(10):.2f}" == "0.89"  # which one lecture prints
    value, d = graphc.compile(loss_of_scores, wrt="s").value_and_grad(SCORES, LABEL)
    exact = np.exp(SCORES) / np.exp(SCORES).sum() - [[1, 0, 0]]
    assert value == pytest.approx(-math.log(math.exp(3.2) / np.exp(SCORES).sum()), rel=1e-14)
    assert value == pytest.approx(out.loss, rel=1e-14)
    np.testing.assert_allclose(d, exact, rtol=1e-13)
    np.testing.assert_allclose(d_s, exact, rtol=1e-13)


def test_the_softmax_loss_does_not_overflow():
    value, d = graphc.compile(loss_of_scores, wrt="s").value_and_grad(SCORES * 1000.0, LABEL)
    assert value == pytest.approx(1900.0, rel=1e-15)
    np.testing.assert_allclose(d, [[-1.0, 1.0, 0.0]], atol=1e-15)


# -- row 9: two- and three-layer nets --------------------------------------------------------------


@graphc.trace(x="f64[5]", W1="f64[6, 5]", W2="f64[3, 6]")
def two_layers(x, W1, W2):
    return W2 @ np.maximum(0, W1 @ x)


@graphc.trace(x="f64[5]", W1="f64[6, 5]", W2="f64[4, 6]", W3="f64[3, 4]")
def three_layers(x, W1, W2, W3):
    return W3 @ np.maximum(0, W2 @ np.maximum(0, W1 @ x))


@pytest.mark.parametrize("graph", [two_layers, three_layers])
def test_nets_against_the_chain_rule_by_hand(graph):
    random = np.random.default_rng(1)
    x, *weights = (random.normal(size=node.type.shape) for node in graph.inputs)
    d = random.normal(size=3)
    f = graphc.compile(graph)
    out, saved = f.forward(x, *weights)
    grads = f.backward(saved, d)
    layers = [x]
    for W in weights[:-1]:
        layers.append(np.maximum(0, W @ layers[-1]))
    np.testing.assert_allclose(out, weights[-1] @ layers[-1], rtol=1e-13)
    for k in reversed(range(len(weights))):
        np.testing.assert_allclose(grads[k + 1], np.outer(d, layers[k]), rtol=1e-13)
        d = weights[k].T @ d
        if k:
            d = d * (layers[k] > 0)
    np.testing.assert_allclose(grads.x, d, rtol=1e-13)


def test_relu_never_forms_its_jacobian():
    @graphc.trace(x="f64[4096]")
    def gate(x):
        return np.maximum(0, x)

    f = graphc.compile(gate)
    x = np.linspace(-1, 1, 4096)
    out, saved = f.forward(x)
    np.testing.assert_array_equal(f.backward(saved, np.ones(4096)).x, (x > 0) * 1.0)
    assert out.nbytes + sum(np.asarray(part).nbytes for part in saved) <= 3 * x.nbytes
    assert "4096, 4096" not in f.source


# -- row 10: the sigmoid perceptron ----------------------------------------------------------------

SHAPES = {
    "x": (3, 1),
    "W1": (4, 3),
    "b1": (4, 1),
    "W2": (4, 4),
    "b2": (4, 1),
    "W3": (1, 4),
    "b3": (1, 1),
}


def perceptron(activation):
    def net(x, W1, b1, W2, b2, W3, b3):
        h1 = activation(W1 @ x + b1)
        h2 = activation(W2 @ h1 + b2)
        return W3 @ h2 + b3

    types = {name: f"f64[{', '.join(map(str, shape))}]" for name, shape in SHAPES.items()}
    return graphc.trace(**types)(net)


@pytest.mark.parametrize(
    ("activation", "plain", "slope"),
    [
        (graphc.sigmoid, lambda u: 1 / (1 + np.exp(-u)), lambda h: h * (1 - h)),
        (np.tanh, np.tanh, lambda h: 1 - h * h),
        (graphc.relu, lambda u: np.maximum(u, 0), lambda h: (h > 0) * 1.0),
    ],
    ids=["sigmoid", "tanh", "relu"],
)
def test_the_three_layer_perceptron(activation, plain, slope):
    random = np.random.default_rng(2)
    values = {name: random.normal(size=shape) for name, shape in SHAPES.items()}
    f = graphc.compile(perceptron(activation))
    out, saved = f.forward(**values)
    h1 = plain(values["W1"] @ values["x"] + values["b1"])
    h2 = plain(values["W2"] @ h1 + values["b2"])
    np.testing.assert_allclose(out, values["W3"] @ h2 + values["b3"], rtol=1e-13)
    grads = f.backward(saved, np.ones((1, 1)))
    d2 = values["W3"].T * slope(h2)
    d1 = values["W2"].T @ d2 * slope(h1)
    expected = {
        "W3": h2.T,
        "b3": np.ones((1, 1)),
        "W2": d2 @ h1.T,
        "b2": d2,
        "W1": d1 @ values["x"].T,
        "b1": d1,
        "x": values["W1"].T @ d1,
    }
    for name, gradient in expected.items():
        mine = getattr(grads, name)
        assert mine.shape == SHAPES[name]
        np.testing.assert_allclose(mine, gradient, rtol=1e-12, atol=1e-15)


# -- rows 13 and 14: numerical gradients, and the loop: sample, forward, backward, update ----------


@graphc.trace(
    x="f64[batch, 8]",
    y="i64[batch]",
    W1=graphc.param("f64[8, 16]"),
    b1=graphc.param("f64[16]"),
    W2=graphc.param("f64[16, 3]"),
    b2=graphc.param("f64[3]"),
)
def classifier(x, y, W1, b1, W2, b2):
    h = graphc.relu(x @ W1 + b1)
    return graphc.cross_entropy(h @ W2 + b2, y).mean()


def data(count, random):
    """Three classes by the largest of three fixed projections."""
    x = random.normal(size=(count, 8))
    return x, np.argmax(x[:, :3], axis=1)


def start(random):
    sizes = ((8, 16), (16,), (16, 3), (3,))
    return [random.normal(size=size) * (0.3 if len(size) > 1 else 0.0) for size in sizes]


def test_every_gradient_is_the_central_difference():
    random = np.random.default_rng(3)
    x, y = data(20, random)
    parameters = start(random)
    f = graphc.compile(classifier)
    _, grads = f.value_and_grad(x, y, *parameters)
    for parameter, gradient in zip(parameters, grads, strict=True):
        numerical = np.empty_like(parameter)
        for at in np.ndindex(parameter.shape):
            kept = parameter[at]
            parameter[at] = kept + 1e-6
            above = f(x, y, *parameters)
            parameter[at] = kept - 1e-6
            below = f(x, y, *parameters)
            parameter[at] = kept
            numerical[at] = (above - below) / 2e-6
        np.testing.assert_allclose(gradient, numerical, rtol=1e-6, atol=1e-8)


def descend(batch, steps):
    """Gradient descent by forward and backward; the losses, and the final accuracy."""
    random = np.random.default_rng(4)
    x, y = data(1024, random)
    parameters = start(random)
    f = graphc.compile(classifier)
    losses = []
    for _ in range(steps):
        rows = random.choice(len(x), batch, replace=False)  # 1. sample a batch
        loss, saved = f.forward(x[rows], y[rows], *parameters)  # 2. forward
        grads = f.backward(saved)  # 3. backward
        for parameter, gradient in zip(parameters, grads, strict=True):
            parameter -= 0.5 * gradient  # 4. update
        losses.append(loss)
    W1, b1, W2, b2 = parameters
    found = np.argmax(np.maximum(x @ W1 + b1, 0) @ W2 + b2, axis=1)
    return losses, np.mean(found == y)


@pytest.mark.parametrize("batch", [256, 1024], ids=["minibatch", "whole"])
def test_gradient_descent_learns(batch):
    losses, accuracy = descend(batch, 300)
    assert np.mean(losses[-10:]) < 0.2 * losses[0]
    assert accuracy > 0.95
    assert descend(batch, 5)[0] == losses[:5]
