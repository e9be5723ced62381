"""What the benchmark of training steps compares computes the same."""

import sys
from pathlib import Path

import pytest


@pytest.fixture
def training(monkeypatch):
    """The benchmark's module, as it is run, without the libraries that need not be there."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import bench_training

    monkeypatch.setattr(bench_training.importlib.util, "find_spec", lambda name: None)
    yield bench_training
    for name in ("bench_training", "report", "timing", "peers", "cases"):
        sys.modules.pop(name, None)


def test_steps_agree_with_the_hand(training):
    candidates = training.steps_of(training.mlp(6, 5, 4, 4, 3))
    assert list(candidates) == ["graphc", "hand"]
    first = float(candidates["hand"]())
    assert float(candidates["graphc"]()) == pytest.approx(first, rel=1e-5)
    training.agree("small", candidates)
    assert float(candidates["hand"]()) < first  # it is training


def test_another_rule_is_noticed(training):
    candidates = training.steps_of(training.mlp(6, 5, 4, 4, 3))
    with pytest.raises(AssertionError, match="other has the loss"):
        training.agree("small", {**candidates, "other": lambda: 100.0})


def test_updates_agree_with_the_hand(training, monkeypatch):
    monkeypatch.setattr(training, "ELEMENTS", 3000)
    assert list(training.updates()) == ["graphc", "hand"]
