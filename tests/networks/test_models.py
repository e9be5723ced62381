"""The examples' networks: their counts, their gradients, and that they learn."""

import runpy
from pathlib import Path

import numpy as np
import pytest

import graphc
from graphc.ops.kinds import Contraction, Einstein

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def example(name):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def along(f, args, params, rng, step):
    """(numerical, analytic) derivative of value_and_grad's value along a random direction."""
    direction = {name: rng.normal(size=p.shape) for name, p in params.items()}

    def loss(t):
        moved = {name: p + t * direction[name] for name, p in params.items()}
        value = f(*args, moved)
        return value["loss"] if isinstance(value, dict) else value

    _, grads = f.value_and_grad(*args, params)
    analytic = sum(np.vdot(grads.params[name], direction[name]) for name in params)
    return (loss(step) - loss(-step)) / (2 * step), analytic


def f64(params):
    return {name: p.astype(np.float64) for name, p in params.items()}


# -- hinge loss ------------------------------------------------------------------------------------


def test_hinge_loss_is_its_formula_and_learns():
    hinge = example("hinge_classifier")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 64)), np.array([3, 0, 9, 9, 1])
    W, b = rng.normal(size=(64, 10)), rng.normal(size=10)
    s = x @ W + b
    rows = [sum(max(0, s[i, j] - s[i, y[i]] + 1) for j in range(10) if j != y[i]) for i in range(5)]
    expected = np.mean(rows) + hinge["STRENGTH"] * (W * W).sum()
    assert graphc.compile(hinge["loss"])(x, y, W, b) == pytest.approx(expected, rel=1e-12)
    graphc.check_grads(hinge["loss"], x=x, y=y, W=W, b=b)
    before, after, accuracy = hinge["train"](30)
    assert 8 < before < 10
    assert after < 0.6
    assert accuracy > 0.93


def test_hinge_quick(capsys):
    accuracy = example("hinge_classifier")["main"](["--quick"])
    assert f"test accuracy {accuracy:.1%}" in capsys.readouterr().out


# -- perceptron ------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_perceptron(activation):
    perceptron = example("perceptron")
    rng = np.random.default_rng(2)
    params = perceptron["start"](rng)
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
    step = graphc.compile(perceptron["perceptron"](activation), of="loss")
    value, grads = step.value_and_grad(x, target, params)
    np.testing.assert_allclose(value["out"], out, rtol=1e-12)
    assert {name: g.shape for name, g in grads.params.items()} == perceptron["SHAPES"]
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
    types = {
        name: graphc.param(f"f64[{', '.join(map(str, shape))}]")
        for name, shape in lenet["SHAPES"].items()
    }
    step = graphc.compile(
        graphc.trace(lenet["network"], "f64[n, 1, 8, 8]", "i64[n]", "f64[n, 192]", types)
    )
    x, keep = rng.random((4, 1, 8, 8)), rng.random((4, 192))
    args = (x, np.array([1, 5, 0, 9]), keep)
    numerical, analytic = along(step, args, f64(lenet["start"](rng)), rng, 1e-6)
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


# -- AlexNet ---------------------------------------------------------------------------------------


def multiplications(graph):
    """Multiply-adds of every matrix product and convolution of one image, from the graph itself."""
    total = 0
    for node in graph.nodes:
        if isinstance(node.op, Contraction) and len(node.inputs) == 2:
            assert isinstance(node.params, Einstein)
            total += int(np.prod([size for _, size in node.params.extents]))
    return total


@pytest.mark.parametrize(
    ("name", "parameters", "low", "high"),
    [("grouped", 60_965_224, 0.72e9, 0.73e9), ("single", 61_100_840, 0.71e9, 0.72e9)],
)
def test_alexnet_counts(name, parameters, low, high):
    alexnet = example("alexnet")
    graph = alexnet["training_graph"](alexnet["NETS"][name], batch=1)
    counted = sum(node.type.size for node in graph.inputs if node.params.role == "param")
    assert counted == parameters
    assert low < multiplications(graph) < high


def test_reduced_alexnet_gradient_and_training():
    alexnet = example("alexnet")
    rng = np.random.default_rng(0)
    net = alexnet["NETS"]["reduced"]
    images, labels, _, params = alexnet["types"](net, 3)
    wide = {name: graphc.param("f64" + str(p.type)[3:]) for name, p in params.items()}
    graph = graphc.trace(
        lambda x, y, params: graphc.cross_entropy(alexnet["scores"](net, x, params), y).mean(),
        "f64" + images[3:],
        labels,
        wide,
    )
    args = (rng.random((3, 1, 32, 32)), np.array([1, 7, 2]))
    step = graphc.compile(graph)
    numerical, analytic = along(step, args, f64(alexnet["start"](net, rng)), rng, 1e-7)
    assert numerical == pytest.approx(analytic, rel=1e-5)
    accuracy, before, after = alexnet["train"](8)
    assert after < 0.7 * before
    assert accuracy > 0.7


@pytest.mark.long
@pytest.mark.parametrize("name", ["grouped", "single"])
def test_alexnet_trains_one_step(name):
    alexnet = example("alexnet")
    count, value, grads, _ = alexnet["full_step"](name)
    shapes, _ = alexnet["shapes"](alexnet["NETS"][name])
    assert count == sum(g.size for g in grads.params.values())
    assert {n: g.shape for n, g in grads.params.items()} == shapes
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() and np.any(g) for g in grads.params.values())


# -- the Neural Turing Machine ---------------------------------------------------------------------


def small_machine(ntm, length=3):
    sizes = ntm["shapes"](bits=4, rows=8, width=6, hidden=10)
    rng = np.random.default_rng(3)
    tape, answer = ntm["sequences"](rng, length, 5, 4)
    return sizes, ntm["start"](rng, sizes), tape, answer


def test_ntm_gradient_in_random_directions():
    ntm = example("neural_turing_machine")
    sizes, params, tape, answer = small_machine(ntm)
    types = {n: graphc.param(f"f64[{', '.join(map(str, s))}]") for n, s in sizes.items()}
    graph = graphc.trace(
        lambda tape, answer, params: ntm["machine"](tape, answer, params, 3),
        "f64[8, batch, 6]",
        "f64[3, batch, 4]",
        types,
    )
    step = graphc.compile(graph, of="loss")
    rng = np.random.default_rng(4)
    args = (tape.astype(np.float64), answer.astype(np.float64))
    for _ in range(3):
        numerical, analytic = along(step, args, f64(params), rng, 1e-5)
        assert numerical == pytest.approx(analytic, rel=1e-6)


def test_ntm_weightings_are_distributions():
    ntm = example("neural_turing_machine")
    sizes, params, tape, answer = small_machine(ntm)
    weights = ntm["compiled"](3, sizes)(tape, answer, params)["weights"]
    assert weights.shape == (8, 2, 5, 8)
    assert weights.dtype == np.float32
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)


def test_ntm_shift_turns_the_rows():
    """A head told to take over its last weighting, and to shift it by one row, does."""
    ntm = example("neural_turing_machine")
    width, rows = 6, 8
    before = np.eye(rows, dtype=np.float32)[[2, 7]]
    for place, by in enumerate((-1, 0, 1)):
        told = np.zeros((2, width + 6), np.float32)
        told[:, width + 1] = -50  # the gate: nothing of the content
        told[:, width + 2 + place] = 50
        told[:, width + 5] = 10
        memory = np.ones((2, rows, width), np.float32)
        found = ntm["address"](memory, told, before, width)
        np.testing.assert_allclose(found, np.roll(before, by, axis=1), atol=1e-5)


def test_ntm_learns():
    ntm = example("neural_turing_machine")
    _, curve = ntm["train"](400, 1, ntm["shapes"](bits=4, rows=8, width=6, hidden=24), rate=1e-2)
    first, last = np.mean(curve[:20], axis=0), np.mean(curve[-20:], axis=0)
    assert first[0] == pytest.approx(np.log(2), rel=0.1)
    assert last[0] < 0.3 * first[0]
    assert last[1] < 0.1
