"""The examples run, and find the numbers they should."""

import runpy
from pathlib import Path

import numpy as np
import pytest

import graphc
from graphc.cli import main

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def wires(file, **inputs):
    return graphc.load(str(EXAMPLES / file)).evaluate(**inputs)


def close(found, expected, tolerance):
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=tolerance, rel=0), name


def test_circuit():
    found = wires("circuit.toml", x=-2.0, y=5.0, z=-4.0)
    close(found.values, {"q": 3, "f": -12}, 0)
    close(found.grads, {"f": 1, "q": -4, "z": 3, "x": -4, "y": -4}, 0)


def test_neuron_on_every_wire():
    found = wires("neuron.toml", w0=2.0, x0=-1.0, w1=-3.0, x1=-2.0, w2=-3.0)
    values = {"dot": 1, "negated": -1, "power": 0.3679, "denominator": 1.3679, "f": 0.7311}
    close(found.values, values, 5e-5)
    # -1 / (1 + 1/e)^2 is -0.53445, which a lecture prints as -0.5345.
    grads = {"f": 1, "denominator": -0.5344466, "power": -0.5344466, "negated": -0.1966119}
    close(found.grads, grads | {"dot": 0.1966119}, 5e-8)
    close(found.values, {"f": 0.7310586}, 5e-8)
    inputs = {"w0": -0.1966119, "x0": 0.3932239, "w1": -0.3932239, "x1": -0.5898358}
    close(found.grads, inputs | {"w2": 0.1966119}, 5e-8)


def test_gates():
    found = wires("gates.toml", x=3.0, y=-4.0, z=2.0, w=-1.0)
    close(found.values, {"f": -20}, 0)
    close(found.grads, {"x": -8, "y": 6, "z": 2, "w": 0}, 0)


def test_gates_share_a_tie_evenly():
    found = wires("gates.toml", x=3.0, y=-4.0, z=2.0, w=2.0)
    close(found.grads, {"z": 1, "w": 1}, 0)


def test_sigmoid_neuron():
    found = wires("sigmoid_neuron.toml", w0=2.0, x0=-1.0, w1=-3.0, x1=-2.0, w2=-3.0)
    close(found.values, {"dot": 1, "f": 0.7310586}, 5e-8)
    grads = {"w0": -0.1966119, "x0": 0.3932239, "w1": -0.3932239, "x1": -0.5898358}
    close(found.grads, grads | {"w2": 0.1966119, "dot": 0.1966119}, 5e-8)


def test_branches_add():
    found = wires("branches.toml", x=3.0, y=-4.0)
    close(found.values, {"f": -3}, 0)
    close(found.grads, {"x": 2, "y": 3}, 0)
    assert found.local["square"]["x"] + found.local["product"]["x"] == found.grads["x"]


def test_linear_scores():
    W, x, b = np.arange(12.0).reshape(3, 4), np.array([1.0, -1.0, 2.0, 0.5]), np.ones(3)
    found = wires("scores.toml", x=x, W=W, b=b)
    np.testing.assert_array_equal(found.values["s"], W @ x + b)
    best = np.argmax(W @ x + b)
    np.testing.assert_array_equal(found.grads["x"], W[best])
    np.testing.assert_array_equal(found.grads["W"], np.outer(np.eye(3)[best], x))


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.toml")), ids=lambda file: file.stem)
def test_a_circuit_runs_with_its_own_values_and_its_gradients_are_right(file, capsys):
    assert main(["run", str(file)]) == 0
    assert "gradient of" in capsys.readouterr().out
    assert main(["check", str(file)]) == 0


def test_gates_of_ones_own(capsys):
    value, grads = runpy.run_path(str(EXAMPLES / "own_gates.py"))["main"](["--quick"])
    assert (value, grads) == (-12.0, (-4.0, -4.0, 3.0))
    shown = capsys.readouterr().out
    assert shown.count("  ok") == 3
    sigmoid = 1 / (1 + np.exp(-1.0))
    assert f"swish'(1) = {sigmoid + sigmoid * (1 - sigmoid):.6f}" in shown


def test_softmax_classifier(capsys):
    example = runpy.run_path(str(EXAMPLES / "softmax_classifier.py"))
    probabilities, value, gradient = example["one_example"]()
    exponentials = np.exp([3.2, 5.1, -1.7])
    np.testing.assert_allclose(probabilities, exponentials / exponentials.sum(), rtol=1e-14)
    np.testing.assert_allclose(probabilities, [0.13, 0.87, 0.0], atol=5e-3)
    assert value == pytest.approx(2.04, abs=5e-3)
    np.testing.assert_allclose(gradient, probabilities - [1, 0, 0], rtol=1e-13)

    example["main"](["--quick"])
    assert "loss            2.04" in capsys.readouterr().out
    before, after, accuracy = example["train"](example["classifier"], example["RATE"], 100)
    assert before == pytest.approx(np.log(10), abs=0.05)
    assert after < 0.2
    assert accuracy > 0.95


def test_softmax_data_loss_and_regularisation_meet_in_the_weights():
    example = runpy.run_path(str(EXAMPLES / "softmax_classifier.py"))
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(6, 64)), rng.integers(0, 10, 6)
    W, b = rng.normal(size=(64, 10)), rng.normal(size=10)
    value, grads = graphc.compile(example["classifier"]).value_and_grad(x, labels, W, b)
    data = graphc.compile(example["loss"], wrt="scores").value_and_grad(x @ W + b, labels)
    strength = example["STRENGTH"]
    assert value == pytest.approx(data[0] + strength * (W**2).sum(), rel=1e-13)
    np.testing.assert_allclose(grads.W, x.T @ data[1] + 2 * strength * W, rtol=1e-11, atol=1e-15)


def test_digits_reach_96_percent():
    digits = runpy.run_path(str(EXAMPLES / "digits.py"))
    results = [digits["train"](seed) for seed in range(5)]
    assert np.median([accuracy for accuracy, _, _ in results]) >= 0.96


def test_digits_quick(capsys):
    digits = runpy.run_path(str(EXAMPLES / "digits.py"))
    median = digits["main"](["--quick"])
    captured = capsys.readouterr()
    assert f"median test accuracy {median:.1%}" in captured.out
    assert captured.err == "", "no progress bar where nobody watches"


def test_digits_splits_are_stratified_disjoint_and_seeded():
    digits = runpy.run_path(str(EXAMPLES / "digits.py"))
    x, y = digits["load"]()
    assert x.shape == (1797, 64)
    assert (x.min(), x.max()) == (0.0, 1.0)
    train, test = digits["split"](y, np.random.default_rng(0))
    again, _ = digits["split"](y, np.random.default_rng(0))
    assert np.array_equal(train, again)
    assert sorted([*train, *test]) == list(range(1797))
    share = np.bincount(y[train]) / np.bincount(y)
    assert np.all(abs(share - 0.8) < 0.003)
