"""The language models: gradients in random directions, causality, and that they learn."""

import runpy
from pathlib import Path

import numpy as np
import pytest

import graphc

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def example(name):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def directional(loss, params, grads, rng, step=1e-5):
    """(numerical, analytic) derivative along a random direction."""
    direction = {name: rng.normal(size=p.shape) for name, p in params.items()}
    ends = [loss({n: p + t * direction[n] for n, p in params.items()}) for t in (step, -step)]
    return (ends[0] - ends[1]) / (2 * step), sum(np.vdot(grads[n], direction[n]) for n in params)


def test_lstm_gradient():
    lstm = example("character_lstm")
    rng = np.random.default_rng(0)
    graph = lstm["training_graph"](7, 8, hidden=5, dtype="f64")
    step, params = graphc.compile(graph), graphc.init_params(graph, seed=0)
    text = rng.integers(0, 7, size=(3, 9))
    _, grads = step.value_and_grad(text, params)
    numerical, analytic = directional(lambda p: step(text, p), params, grads.params, rng)
    assert numerical == pytest.approx(analytic, rel=1e-7)


def test_lstm_learns_and_goes_on():
    lstm = example("character_lstm")
    text, letters = lstm["load"]()
    assert len(text) > 1500
    found = lstm["train"](1, 60)
    losses = found.history.losses
    assert losses[0] == pytest.approx(np.log(len(letters)), rel=0.1)
    assert np.mean(losses[-10:]) < 0.8 * losses[0]
    said = lstm["go_on"](found.params, "The keeper", 20)
    assert len(said) == 30
    assert said.startswith("The keeper")
    assert set(said) <= set(letters)


def test_lstm_quick(capsys):
    history = example("character_lstm")["main"](["--quick"])
    assert len(history) == 20
    assert "\nThe keeper" in capsys.readouterr().out


@pytest.mark.long
def test_lstm_knows_the_text():
    lstm = example("character_lstm")
    found = lstm["train"](15)
    assert found.history.epochs[-1] / np.log(2) < 0.3
    said = lstm["go_on"](found.params, "The keeper", 60)
    # It goes on as the text does after one of its keepers, be it "The" or "the".
    assert said.removeprefix("The") in lstm["TEXT"].read_text(encoding="utf-8")


# -- the transformer -------------------------------------------------------------------------------


def test_transformer_gradient():
    transformer = example("transformer")
    rng = np.random.default_rng(1)
    graph = transformer["training_graph"](7, 6, width=8, dtype="f64")
    text = rng.integers(0, 7, size=(3, 7))
    objective = graphc.scipy_objective(graph, graphc.init_params(graph, seed=1), (text,))
    for _ in range(3):
        direction = rng.normal(size=objective.x0.shape)
        ends = [objective.fun(objective.x0 + t * direction) for t in (1e-6, -1e-6)]
        analytic = objective.jac(objective.x0) @ direction
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(analytic, rel=1e-6)


def test_transformer_sees_only_the_past():
    """Another sixth character changes the scores after the sixth, and none before."""
    transformer = example("transformer")
    rng = np.random.default_rng(2)
    types = transformer["parameters"](7, width=8, length=6, dtype="f64")
    graph = graphc.trace(transformer["scores"], "i64[1, 6]", types)
    apply, params = graphc.compile(graph), graphc.init_params(graph, seed=2)
    text = rng.integers(0, 7, size=(1, 6))
    before = apply(text, params)
    text[0, 5] = (text[0, 5] + 1) % 7
    after = apply(text, params)
    np.testing.assert_array_equal(after[0, :5], before[0, :5])
    assert np.abs(after[0, 5] - before[0, 5]).max() > 0.1


def test_transformer_learns(capsys):
    transformer = example("transformer")
    losses = transformer["train"](1, 50).history.losses
    assert np.mean(losses[-10:]) < 0.8 * losses[0]


def test_transformer_quick(capsys):
    assert len(example("transformer")["main"](["--quick"])) == 20
    assert "\nThe harbour" in capsys.readouterr().out


@pytest.mark.long
def test_transformer_knows_the_text():
    transformer = example("transformer")
    assert transformer["train"](10).history.epochs[-1] / np.log(2) < 0.35
