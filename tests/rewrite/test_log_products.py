"""Logarithms of products: which become sums, and which have a product but no logarithms."""

import numpy as np
import pytest

import graphc
from graphc.interpret import emitted, evaluate
from graphc.rewrite import stabilise, stabilise_log


def rules_of(graph):
    return [applied.rule for applied in stabilise_log(graph)]


def value_at(graph, **values):
    """The graph's one output, in the forms that are emitted."""
    ((_, node),) = graph.outputs
    return evaluate(graph, values, expression=emitted)[node]


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: np.log(x * y),  # two negative ones have a product, and no logarithms
        lambda x, y: np.log(np.prod(x)) + y,
        lambda x, y: np.log(np.prod(np.exp(x) - 2)) + y,
        lambda x, y: np.log(np.exp(x) * y * np.sin(y)),
        lambda x, y: np.log(np.square(x) * y),  # 0 * -1 is 0
        lambda x, y: np.log(np.prod(np.stack([np.exp(x), y]), axis=0)),
        lambda x, y: np.log(np.abs(x) * np.abs(y)),  # nothing is won by logarithms near 1
    ],
)
def test_a_product_of_what_may_be_negative_is_left_alone(function):
    assert rules_of(graphc.trace(function, "f64[3]", "f64[3]")) == []


def test_a_product_with_one_factor_of_any_sign():
    stable = stabilise(graphc.trace(lambda x, y: np.log(np.exp(x) * y), "f64[3]", "f64[3]"))
    found = value_at(stable, x=np.array([800.0, 1.0, -800.0]), y=np.array([2.0, -1.0, 3.0]))
    np.testing.assert_allclose(found, [800 + np.log(2), np.nan, np.log(3) - 800], rtol=1e-15)


def test_a_likelihood_of_a_loop_is_a_sum():
    def loss(x):
        likelihood = 1.0
        for k in range(40):
            likelihood = likelihood * graphc.softmax(x[k])[k % 3]
        return -np.log(likelihood)

    x = 400.0 * np.random.default_rng(3).normal(size=(40, 3))
    f = graphc.compile(graphc.trace(loss, x), cache=False)
    value, gradient = f.value_and_grad(x)
    g = graphc.compile(
        graphc.trace(
            lambda x: -graphc.log_softmax(x, axis=1)[np.arange(40), np.arange(40) % 3].sum(), x
        ),
        cache=False,
    )
    expected, slope = g.value_and_grad(x)
    assert value == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(gradient, slope, atol=1e-13)


def test_repeated_squares_are_neither_recursion_nor_explosion():
    def powers(x):
        for _ in range(600):
            x = x * x * graphc.sigmoid(x)
        return np.log(x)

    def fibonacci(x, y):
        for _ in range(200):
            x, y = y, x * y
        return np.log(np.exp(x) * y)

    assert rules_of(graphc.trace(powers, "f64")) == ["log_of_product"]  # the outermost
    assert "log_of_product" not in rules_of(graphc.trace(fibonacci, "f64", "f64"))
