"""The examples' perceptron and convolutional net: their gradients, and that they learn."""

import runpy
from pathlib import Path

import numpy as np
import pytest

import graphc

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def example(name):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def along(f, args, params, rng, step):
    """(numerical, analytic) derivative of value_and_grad's value along a random direction."""
    direction = {name: rng.normal(size=p.shape) for name, p in params.items()}

    def loss(t):
        moved = {name: p + t * direction[name] for name, p in params.items()}
        value = f(*args, moved)
        return getattr(value, "loss", value)

    _, grads = f.value_and_grad(*args, params)
    analytic = sum(np.vdot(grads.params[name], direction[name]) for name in params)
    return (loss(step) - loss(-step)) / (2 * step), analytic


# -- perceptron ------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_perceptron(activation):
    perceptron = example("perceptron")
    rng = np.random.default_rng(2)
    graph = perceptron["perceptron"](activation)
    params = graphc.init_params(graph, seed=2)
    shapes = {name: p.shape for name, p in params.items()}
    assert shapes == {
        "W1": (4, 3),
        "b1": (4, 1),
        "W2": (4, 4),
        "b2": (4, 1),
        "W3": (1, 4),
        "b3": (1, 1),
    }
    x, target = rng.normal(size=(3, 1)), np.array([[0.5]])
    f = {
        "sigmoid": lambda u: 1 / (1 + np.exp(-u)),
        "tanh": np.tanh,
        "relu": lambda u: np.maximum(u, 0),
    }[activation]
    out = x
    for k in (1, 2):
        out = f(params[f"W{k}"] @ out + params[f"b{k}"])
    out = params["W3"] @ out + params["b3"]
    step = graphc.compile(graph, of="loss")
    value, grads = step.value_and_grad(x, target, params)
    np.testing.assert_allclose(value.out, out, rtol=1e-12)
    assert {name: g.shape for name, g in grads.params.items()} == shapes
    numerical, analytic = along(step, (x, target), params, rng, 1e-6)
    assert numerical == pytest.approx(analytic, rel=1e-6)
    before, after = perceptron["train"](activation, 300)
    assert after < 0.8 * before


def test_perceptron_quick(capsys):
    example("perceptron")["main"](["--quick"])
    assert "d loss / d W2: 4x4" in capsys.readouterr().out


# -- the convolutional net on the digits -----------------------------------------------------------


def test_lenet_gradient_and_few_epochs(capsys):
    lenet = example("lenet")
    rng = np.random.default_rng(1)
    graph = graphc.trace(
        lenet["network"], "f64[n, 1, 8, 8]", "i64[n]", "f64[n, 192]", lenet["parameters"]("f64")
    )
    step, params = graphc.compile(graph), graphc.init_params(graph, seed=1)
    x, keep = rng.random((4, 1, 8, 8)), rng.random((4, 192))
    args = (x, np.array([1, 5, 0, 9]), keep)
    numerical, analytic = along(step, args, params, rng, 1e-6)
    assert numerical == pytest.approx(analytic, rel=1e-5)
    accuracy = lenet["main"](["--quick"])
    assert accuracy > 0.8
    assert f"test accuracy {accuracy:.2%}" in capsys.readouterr().out


def test_lenet_moves_images_by_whole_pixels():
    lenet = example("lenet")
    x = np.arange(1.0, 129).reshape(2, 1, 8, 8)
    moved = lenet["moved"](np.repeat(x, 50, axis=0), np.random.default_rng(0))
    assert moved.shape == (100, 1, 8, 8)
    padded = np.pad(x[0, 0], 1)
    places = [padded[i : i + 8, j : j + 8] for i in range(3) for j in range(3)]
    found = {next(k for k, p in enumerate(places) if np.array_equal(p, m[0])) for m in moved[:50]}
    assert found == set(range(9))


@pytest.mark.long
def test_lenet_reaches_985():
    accuracy, _, _ = example("lenet")["train"](0)
    assert accuracy >= 0.985
