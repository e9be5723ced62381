"""The examples of training run, reduced, and find what they should."""

import runpy
from pathlib import Path

import numpy as np
import pytest

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


def test_newton_needs_few_iterations(capsys):
    results = example("newton.py")["main"](["--quick"])
    (newton, gradient, accuracy), (bfgs, _, _) = results["Newton-CG"], results["BFGS"]
    assert newton == pytest.approx(bfgs, rel=1e-9)
    assert gradient < 1e-5
    assert accuracy > 0.9
    shown = capsys.readouterr().out.splitlines()
    iterations = [int(line.split()[1]) for line in shown]
    assert iterations[0] < iterations[1] / 4
