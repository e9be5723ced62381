"""The examples of training run, reduced, and find what they should."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import graphc

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def example(name):
    return runpy.run_path(str(EXAMPLES / name))


def test_the_minibatch_loop_by_hand_and_by_fit(capsys):
    by_hand, by_fit = example("minibatch.py")["main"](["--quick"])
    np.testing.assert_array_equal(by_hand, by_fit)
    assert len(by_hand) == 5 * 8, "1797 images, 256 at a time"
    assert by_hand[-8:].mean() < 0.5 * by_hand[:8].mean()
    shown = capsys.readouterr().out
    assert "loss over 40 minibatches of 256" in shown
    assert "*" in shown


def test_all_update_rules_learn(capsys):
    histories = example("update_rules.py")["main"](["--quick"])
    assert len(histories) == 7
    for name, history in histories.items():
        assert history.epochs[-1] < history.epochs[0], name
        assert history.losses[0] == histories["Adam"].losses[0], "one start, one first batch"
    table = capsys.readouterr().out.splitlines()
    assert [line[:18].strip() for line in table[1:]] == list(histories)
    slowest = max(histories, key=lambda name: histories[name].epochs[-1])
    assert slowest == "gradient descent"


def test_update_rules_in_one_picture(monkeypatch, tmp_path):
    drawn = []

    class Figure:
        def __init__(self, **_):
            self.saved = None

        def subplots(self):
            return Axes(self)

        def savefig(self, path):
            drawn.append(path)

    class Axes:
        def __init__(self, figure):
            self.figure = figure

        def plot(self, x, y, **style):
            drawn.append((style["label"], len(x), len(y)))

        def set_yscale(self, scale):
            drawn.append(scale)

        def set_xlabel(self, text):
            pass

        set_ylabel = set_xlabel

        def get_legend_handles_labels(self):
            return [], []

    module = type(sys)("matplotlib.figure")
    module.Figure = Figure
    monkeypatch.setitem(sys.modules, "matplotlib", type(sys)("matplotlib"))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", module)
    draw = example("update_rules.py")["draw"]
    histories = {name: graphc.fit(*small()).history for name in ("Adam", "momentum")}
    draw(histories, str(tmp_path / "rules.png"))
    expected = [("Adam", 1, 1), ("momentum", 1, 1), "log", str(tmp_path / "rules.png")]
    assert drawn == expected


def small():
    loss = graphc.trace(lambda x, w: ((x - w) ** 2).mean(), "f64[n]", graphc.param("f64", init=0))
    step = graphc.train_step(loss, graphc.optimizers.Adam(0.1))
    return step, step.init_params(), np.ones(4)


def test_newton_needs_few_iterations(capsys):
    results = example("newton.py")["main"](["--quick"])
    (newton, gradient, accuracy), (bfgs, _, _) = results["Newton-CG"], results["BFGS"]
    assert newton == pytest.approx(bfgs, rel=1e-9)
    assert gradient < 1e-5
    assert accuracy > 0.9
    shown = capsys.readouterr().out.splitlines()
    iterations = [int(line.split()[1]) for line in shown]
    assert iterations[0] < iterations[1] / 4
