"""What NumPy lacks: the same on values and on arrays, stable, and what its formula says."""

import math

import numpy as np
import pytest

import graphc
from graphc import verify

RNG = np.random.default_rng(3)
X = RNG.normal(size=(4, 5))
LABELS = np.array([0, 4, 2, 2])


def exact_logsumexp(x, axis=None, keepdims=False):
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


FUNCTIONS = [
    (graphc.sigmoid, lambda x: 1 / (1 + np.exp(-x))),
    (graphc.relu, lambda x: np.maximum(x, 0)),
    (graphc.softplus, lambda x: np.log(1 + np.exp(x))),
    (graphc.log_sigmoid, lambda x: -np.log(1 + np.exp(-x))),
    (graphc.silu, lambda x: x / (1 + np.exp(-x))),
    (graphc.elu, lambda x: np.where(x > 0, x, np.exp(x) - 1)),
    (graphc.gelu, lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2),
    (graphc.erf, np.vectorize(math.erf)),
    (graphc.erfc, np.vectorize(math.erfc)),
    (graphc.stop_gradient, lambda x: x),
    (graphc.logsumexp, exact_logsumexp),
    (lambda x: graphc.logsumexp(x, axis=0), lambda x: exact_logsumexp(x, 0)),
    (lambda x: graphc.logsumexp(x, 1, keepdims=True), lambda x: exact_logsumexp(x, 1, True)),
    (graphc.softmax, lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)),
    (lambda x: graphc.softmax(x, axis=0), lambda x: np.exp(x) / np.exp(x).sum(axis=0)),
    (graphc.log_softmax, lambda x: x - exact_logsumexp(x, 1, True)),
    (lambda x: graphc.xlogy(x * x, x * x), lambda x: x * x * np.log(x * x)),
    (
        lambda x: graphc.cross_entropy(x, LABELS),
        lambda x: exact_logsumexp(x, 1) - x[range(4), LABELS],
    ),
    (
        lambda x: graphc.cross_entropy(x, graphc.one_hot(LABELS, 5)),
        lambda x: exact_logsumexp(x, 1) - x[range(4), LABELS],
    ),
    (
        lambda x: graphc.cross_entropy(x.T, LABELS, axis=0),
        lambda x: exact_logsumexp(x, 1) - x[range(4), LABELS],
    ),
]


@pytest.mark.parametrize(("function", "expected"), FUNCTIONS, ids=range(len(FUNCTIONS)))
def test_on_values_and_on_arrays(function, expected):
    graph = graphc.trace(function, X)
    verify.verify(graph)
    np.testing.assert_allclose(graph(X), expected(X), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(function(X), expected(X), rtol=1e-12, atol=1e-12)
    half = X.astype(np.float32)
    assert function(half).dtype == np.float32 or "one_hot" in function.__code__.co_names
    assert graphc.trace(function, half).outputs[0][1].type.dtype in ("f32", "f64")


def test_named_sizes_and_many_axes():
    def loss(scores, labels):
        return graphc.cross_entropy(scores, labels).mean()

    graph = graphc.trace(loss, "f64[batch, time, classes]", "i64[batch, time]")
    verify.verify(graph)
    scores, labels = RNG.normal(size=(2, 3, 4)), RNG.integers(0, 4, size=(2, 3))
    chosen = np.take_along_axis(scores, labels[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(
        graph(scores, labels), (exact_logsumexp(scores, -1) - chosen).mean(), rtol=1e-12
    )


def test_the_lectures_softmax():
    """Scores 3.2, 5.1, -1.7 of the true class 0."""
    scores = [[3.2, 5.1, -1.7]]
    np.testing.assert_allclose(graphc.softmax(scores), [[0.13, 0.87, 0.00]], atol=0.005)
    np.testing.assert_allclose(graphc.cross_entropy(scores, [0]), [2.04], atol=0.005)


def test_large_scores_neither_overflow_nor_cancel():
    x = np.array([[1000.0, 0.0, -1000.0]])
    np.testing.assert_array_equal(graphc.softmax(x), [[1, 0, 0]])
    np.testing.assert_array_equal(graphc.log_softmax(x), [[0, -1000, -2000]])
    np.testing.assert_array_equal(graphc.cross_entropy(x, [2]), [2000])
    assert graphc.logsumexp(x + 1e6) == 1001000
    # Close scores far from zero: the small difference survives.
    np.testing.assert_allclose(graphc.cross_entropy([[1e15, 1e15]], [0]), [np.log(2)], rtol=1e-15)


def test_logsumexp_of_infinities():
    inf = np.inf
    assert graphc.logsumexp([-inf, -inf]) == -inf
    assert graphc.logsumexp([inf, 0.0]) == inf
    assert graphc.logsumexp([-inf, 2.0]) == 2.0
    assert np.isnan(graphc.logsumexp([np.nan, 0.0]))


def test_one_hot():
    np.testing.assert_array_equal(graphc.one_hot([1, 0], 3), [[0, 1, 0], [1, 0, 0]])
    assert graphc.one_hot([1], 3, dtype="i32").dtype == np.int32
    graph = graphc.trace(lambda y: graphc.one_hot(y, 3), "i64[n]")
    assert str(graph.outputs[0][1].type) == "f64[n, 3]"


def test_sizes_as_numbers():
    def scaled(x):
        return x / np.sqrt(graphc.size(x.shape[1], "f32")) + graphc.arange(x.shape[1])

    graph = graphc.trace(scaled, "f32[n, d]")
    verify.verify(graph)
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(graph(x), x / 2 + np.arange(4))


def test_scalars_and_integers():
    assert graphc.sigmoid(0.0) == 0.5
    assert graphc.relu(-3) == 0
    assert isinstance(graphc.relu(-3), np.int64)
    assert graphc.softmax(np.array([1, 1])).dtype == np.float64


def test_constants_are_indexed_by_values():
    table = np.array([1.0, 3.0, 9.0])
    graph = graphc.trace(
        lambda i: graphc.constant(table)[i] + np.take(graphc.constant(table), i), "i64[n]"
    )
    table[:] = 0
    np.testing.assert_array_equal(graph([2, 0]), [18.0, 2.0])
