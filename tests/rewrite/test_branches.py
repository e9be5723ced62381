"""Gradients of branches: nothing leaks from what was not chosen, and one selection is enough."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import graphc

X = np.array([-np.inf, -3.0, -1.0, -0.25, -0.0, 0.0, 1e-300, 0.25, 1.0, 3.0, 1e200, np.inf, np.nan])


def huber(x):
    return np.where(np.abs(x) < 1, 0.5 * x * x, np.abs(x) - 0.5)


def root(x):
    return np.where(x > 0, np.sqrt(x) * 3.0, 0.0)


def root_of_log(x):
    return np.where(x > 1, np.sqrt(np.log(x)), 0.0)


def nested(x):
    return np.where(x > 0, np.where(x < 2, x * x * x, 1 / x), -x)


def negated(x):
    return -np.where(x < 1, x, np.exp(-x)) * 2.0


def over_itself(x):
    return np.where(np.isnan(x), 0.0, x * x) + np.where(np.isnan(x), 1.0, x)


# function: its derivative where x is a number, and neither infinite nor at a jump
BRANCHES = {
    huber: lambda x: np.where(np.abs(x) < 1, x, np.sign(x)),
    root: lambda x: np.where(x > 0, 1.5 / np.sqrt(np.where(x > 0, x, 1)), 0),
    root_of_log: lambda x: np.where(
        x > 1, 0.5 / (np.where(x > 1, x, 2) * np.sqrt(np.log(np.where(x > 1, x, 2)))), 0
    ),
    nested: lambda x: np.where(x <= 0, -1, np.where(x < 2, 3 * x * x, -1 / np.maximum(x, 1) ** 2)),
    negated: lambda x: np.where(x < 1, -2, 2 * np.exp(-np.maximum(x, 0))),
    over_itself: lambda x: 2 * x + 1,
}


@pytest.mark.parametrize("function", BRANCHES, ids=lambda f: f.__name__)
def test_nothing_leaks(function):
    def loss(x, w):
        return (function(x) * w).sum()

    w = np.where(np.arange(len(X)) % 4 == 1, 0.0, np.linspace(-1, 2, len(X)))
    f = graphc.compile(graphc.trace(loss, X, w), wrt="x", cache=False)
    with np.errstate(all="ignore"):
        _, d_x = f.value_and_grad(X, w)
        usual = np.isfinite(X)
        expected = BRANCHES[function](X[usual]) * w[usual]
    np.testing.assert_allclose(d_x[usual], expected, rtol=1e-13)


def test_what_was_not_chosen_may_be_anything():
    """Masked data: NaN and infinities in places that the mask leaves out."""

    def loss(x, known, w, b):
        return (np.where(known, (x * w + b) ** 2, 0.0) / known.sum()).sum()

    x = np.array([1.0, np.nan, np.inf, -2.0])
    known = np.array([True, False, False, True])
    f = graphc.compile(graphc.trace(loss, x, known, 1.5, 0.5), wrt=("w", "b"), cache=False)
    value, grads = f.value_and_grad(x, known, 1.5, 0.5)
    error = x[known] * 1.5 + 0.5
    np.testing.assert_allclose(value, (error**2).mean())
    np.testing.assert_allclose(grads.w, (2 * error * x[known]).mean())
    np.testing.assert_allclose(grads.b, (2 * error).mean())


def test_one_selection_is_enough():
    def loss(x):
        return huber(x).sum()

    source = inspect.getsource(
        inspect.unwrap(graphc.compile(graphc.trace(loss, "f64[n]"), cache=False).value_and_grad)
    )
    assert source.count("np.where(") == 2  # of the value, and of the gradient
    assert "== 0.0" not in source


@pytest.mark.parametrize("size", ["2", "n"])
@pytest.mark.parametrize(
    "inner",
    [
        lambda x: np.exp(x),
        lambda x: np.exp(x) * x,
        lambda x: np.sinh(x) * np.cosh(x),
        lambda x: np.square(np.exp(x) + x),
    ],
)
def test_nothing_leaks_from_a_choice_within_what_was_not_chosen(inner, size):
    """The inner choice's cotangent is zero where the outer one is not chosen, and its partial
    infinite."""
    graph = graphc.trace(
        lambda x: np.where(x < 300, np.where(x > 0, inner(x), 1.0), 0.0).sum(), f"f64[{size}]"
    )
    compiled = graphc.compile(graph, cache=False)
    with np.errstate(all="ignore"):
        _, grads = compiled.value_and_grad(np.array([1000.0, 1.0]))
        _, saved = compiled.forward(np.array([1000.0, 1.0]))
        again = compiled.backward(saved)
    slope = (inner(1.0 + 1e-6) - inner(1.0 - 1e-6)) / 2e-6
    for found in (grads.x, again.x):
        assert found[0] == 0.0
        np.testing.assert_allclose(found[1], slope, rtol=1e-8)
