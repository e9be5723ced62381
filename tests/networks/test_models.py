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
    np.testing.assert_allclose(value["out"], out, rtol=1e-12)
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
    graph = alexnet["training_graph"](net, 3, "f64")
    random = [numbers.astype(np.float64) for numbers in alexnet["drops"](net, 3, rng)]
    args = (rng.random((3, 1, 32, 32)), np.array([1, 7, 2]), random)
    step, params = graphc.compile(graph), graphc.init_params(graph, seed=0)
    numerical, analytic = along(step, args, params, rng, 1e-7)
    assert numerical == pytest.approx(analytic, rel=1e-5)
    accuracy, history = alexnet["train"](8)
    assert history.epochs[-1] < 0.7 * history.losses[0]
    assert accuracy > 0.7


@pytest.mark.long
@pytest.mark.parametrize("name", ["grouped", "single"])
def test_alexnet_trains_one_step(name):
    alexnet = example("alexnet")
    params, state, value, _ = alexnet["full_step"](name)
    shapes, _ = alexnet["shapes"](alexnet["NETS"][name])
    assert {n: p.shape for n, p in params.items()} == shapes
    assert np.isfinite(value)
    assert state["count"] == 1
    velocity = state["velocity"]
    assert all(np.isfinite(p).all() for p in params.values())
    assert all(np.isfinite(v).all() and np.any(v) for v in velocity.values())


# -- the Neural Turing Machine ---------------------------------------------------------------------


SMALL = {"bits": 4, "rows": 8, "width": 6, "hidden": 10}


def small_machine(ntm, dtype):
    graph = ntm["graph"](3, dtype=dtype, **SMALL)
    params = graphc.init_params(graph, seed=3)
    tape, answer = ntm["sequences"](np.random.default_rng(3), 3, 5, 4)
    return graphc.compile(graph, of="loss"), params, tape, answer


def test_ntm_gradient_in_random_directions():
    step, params, tape, answer = small_machine(example("neural_turing_machine"), "f64")
    rng = np.random.default_rng(4)
    for _ in range(3):
        numerical, analytic = along(step, (tape, answer), params, rng, 1e-5)
        assert numerical == pytest.approx(analytic, rel=1e-6)


def test_ntm_weightings_are_distributions():
    step, params, tape, answer = small_machine(example("neural_turing_machine"), "f32")
    weights = step(tape, answer, params)["weights"]
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


def test_ntm_learns_and_shows_its_heads(capsys):
    ntm = example("neural_turing_machine")
    params, curve = ntm["train"](400, 1, rate=1e-2, **{**SMALL, "hidden": 24})
    first, last = np.mean(curve[:20], axis=0), np.mean(curve[-20:], axis=0)
    assert first[0] == pytest.approx(np.log(2), rel=0.1)
    assert last[0] < 0.3 * first[0]
    assert last[1] < 0.1
    bits, found, weights = ntm["copy"](params, 1)
    np.testing.assert_array_equal(found > 0.5, bits > 0.5)
    assert weights.shape == (4, 2, 8)


def test_ntm_heads_in_characters():
    """A head that writes to row 2 and then to row 3, and one that reads them afterwards."""
    ntm = example("neural_turing_machine")
    weights = np.zeros((4, 2, 5))
    weights[0, 0, 2] = weights[1, 0, 3] = weights[2, 1, 2] = 1
    weights[3, 1, 3] = 0.5
    lines = ntm["text_of_heads"](weights).splitlines()
    assert lines == [
        " row  writes at  reads at",
        "   2  @            @",
        "   3   @            =",
    ]


def test_ntm_quick(capsys):
    wrong = example("neural_turing_machine")["main"](["--quick"])
    shown = capsys.readouterr().out
    assert f"after 200 steps: {wrong:.2%} of the bits wrong" in shown
    assert " row  writes at  reads at" in shown


@pytest.mark.long
def test_ntm_copies_up_to_ten():
    params, curve = example("neural_turing_machine")["train"](10000, 10)
    assert curve[-100:, 1].mean() < 0.01
    bits, found, _ = example("neural_turing_machine")["copy"](params, 10)
    np.testing.assert_array_equal(found > 0.5, bits > 0.5)
