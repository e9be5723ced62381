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


def wide(params):
    return {name: p.astype(np.float64) for name, p in params.items()}


def test_lstm_gradient():
    lstm = example("character_lstm")
    rng = np.random.default_rng(0)
    types = {
        name: graphc.param(f"f64[{', '.join(map(str, shape))}]")
        for name, shape in lstm["shapes"](7, 5).items()
    }
    graph = graphc.trace(lstm["network"], "i64[n, 9]", "f64[n, 5]", "f64[n, 5]", types)
    step = graphc.compile(graph, of="loss", wrt="p")
    text, (h, c) = rng.integers(0, 7, size=(3, 9)), rng.normal(size=(2, 3, 5))
    params = wide(lstm["start"](rng, 7, 5))
    _, grads = step.value_and_grad(text, h, c, params)
    numerical, analytic = directional(lambda p: step(text, h, c, p)["loss"], params, grads, rng)
    assert numerical == pytest.approx(analytic, rel=1e-7)


def test_lstm_learns_and_goes_on(capsys):
    lstm = example("character_lstm")
    text, letters = lstm["load"]()
    assert len(text) > 1500
    params, losses = lstm["train"](60)
    assert losses[0] == pytest.approx(np.log(len(letters)), rel=0.1)
    assert np.mean(losses[-10:]) < 0.8 * losses[0]
    said = lstm["go_on"](params, "The keeper", 20)
    assert len(said) == 30
    assert said.startswith("The keeper")
    assert set(said) <= set(letters)


def test_lstm_quick(capsys):
    example("character_lstm")["main"](["--quick"])
    assert "at first" in capsys.readouterr().out


def test_transformer_gradient():
    transformer = example("transformer")
    rng = np.random.default_rng(1)
    step = graphc.compile(transformer["training_graph"](7, 8, 6, "f64"))
    params = wide(transformer["start"](rng, 7, 8, 6))
    text = rng.integers(0, 7, size=(3, 7))
    _, grads = step.value_and_grad(text, params)
    numerical, analytic = directional(lambda p: step(text, p), params, grads.p, rng, 1e-6)
    assert numerical == pytest.approx(analytic, rel=1e-6)


def test_transformer_sees_only_the_past():
    """What predicts five characters is the same whether a sixth follows or not: so the sixth's own
    losses, which are left when the five are taken off, are those of probabilities."""
    transformer = example("transformer")
    rng = np.random.default_rng(2)
    params = wide(transformer["start"](rng, 7, 8, 6))
    six = graphc.compile(transformer["training_graph"](7, 8, 6, "f64"))
    five = graphc.compile(transformer["training_graph"](7, 8, 5, "f64"))
    text = rng.integers(0, 7, size=(1, 7))
    before = 5 * five(text[:, :6], {**params, "place": params["place"][:5]})
    total = 0.0
    for letter in range(7):
        text[0, 6] = letter
        total += np.exp(before - 6 * six(text, params))
    assert total == pytest.approx(1, rel=1e-10)


def test_transformer_learns(capsys):
    transformer = example("transformer")
    _, losses = transformer["train"](50)
    assert np.mean(losses[-10:]) < 0.8 * losses[0]
    transformer["main"](["--quick"])
    assert "at first" in capsys.readouterr().out
