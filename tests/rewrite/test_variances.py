"""A variance or covariance as a difference of means is computed as written, and warned of."""

import numpy as np
import pytest

import graphc
from graphc.rewrite import stabilise, stabilise_log
from graphc.rewrite.stabilise import RULES


def rules_of(graph):
    return [applied.rule for applied in stabilise_log(graph)]


VARIANCES = [
    lambda x: np.mean(x * x) - np.mean(x) ** 2,
    lambda x: (x**2).mean(axis=1) - np.square(x.mean(axis=1)),
    lambda x: np.mean(np.square(x), axis=0, keepdims=True) - x.mean(axis=0, keepdims=True) ** 2,
    lambda x: (x * x).sum() / 12 - (x.sum() / 12) ** 2,
    lambda x: x[0] @ x[0] / 4 - x[0].mean() ** 2,
]
COVARIANCES = [
    lambda x, y: np.mean(x * y) - np.mean(x) * np.mean(y),
    lambda x, y: np.mean(y * x, axis=0) - np.mean(x, axis=0) * np.mean(y, axis=0),
    lambda x, y: (x * y).sum() / 12 - (y.sum() / 12) * (x.sum() / 12),
    lambda x, y: x[0] @ y[0] / 4 - x[0].mean() * y[0].mean(),
]
OTHERS = [
    lambda x: np.mean(x * x, axis=1) - np.mean(x[0]) ** 2,
    lambda x: np.mean(x * x) - np.mean(x + 1) ** 2,
    lambda x: np.mean(x[:3, :3] ** 2, axis=1) - np.mean(x[:3, :3], axis=0) ** 2,
    lambda x: np.mean(x * x) - np.sum(x) ** 2,
    lambda x: np.var(x, axis=1),
    lambda x: np.mean((x - np.mean(x)) ** 2),
]


@pytest.mark.parametrize("variance", VARIANCES)
def test_a_variance_of_squares_stays_and_is_warned_of(variance):
    graph = graphc.trace(variance, "f64[3, 4]")
    assert rules_of(graph) == ["variance_of_squares"]
    with pytest.warns(graphc.StabilityWarning, match=r"output: .*; use np\.var\(x\)") as seen:
        assert stabilise(graph) is graph
    assert [(w.filename, w.lineno) for w in seen] == [(__file__, variance.__code__.co_firstlineno)]
    assert stabilise(graph, rules=set(RULES)) is graph  # without a warning: those are errors here


def test_compiling_warns_of_a_variance_once():
    graph = graphc.trace(VARIANCES[0], "f64[3, 4]")
    with pytest.warns(graphc.StabilityWarning) as seen:
        graphc.compile(graph, cache=False).value_and_grad(np.ones((3, 4)))
    assert len(seen) == 1


@pytest.mark.parametrize("other", OTHERS)
def test_what_is_no_variance_of_squares_is_not_noted(other):
    assert "variance_of_squares" not in rules_of(graphc.trace(other, "f64[3, 4]"))


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_a_covariance_of_products_stays_and_is_warned_of(covariance):
    graph = graphc.trace(covariance, "f64[3, 4]", "f64[3, 4]")
    assert rules_of(graph) == ["covariance_of_products"]
    with pytest.warns(graphc.StabilityWarning, match=r"use np\.mean\(\(x - mean\(x\)\) \* y\)"):
        assert stabilise(graph) is graph
    assert stabilise(graph, rules=set(RULES)) is graph


@pytest.mark.parametrize(
    "other",
    [
        lambda x, y: np.mean(x * y) - np.mean(x) * np.mean(x),
        lambda x, y: np.mean(x * x) - np.mean(x) * np.mean(y),
        lambda x, y: np.mean(x * y) - np.sum(x) * np.mean(y),
        lambda x, y: np.mean((x - np.mean(x)) * y),
    ],
)
def test_what_is_no_covariance_is_not_noted(other):
    assert not rules_of(graphc.trace(other, "f64[3, 4]", "f64[3, 4]"))
