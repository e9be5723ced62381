"""What traced functions are made of can be differentiated, and is right at their special points."""

import numpy as np
import pytest

import graphc

RNG = np.random.default_rng(11)
X = RNG.normal(size=(3, 4))
P = np.abs(X) + 0.5

FUNCTIONS = [
    (lambda x: np.std(x, axis=1) + np.var(x, axis=1, ddof=1), X),
    (lambda x: np.linalg.norm(x, axis=0) + np.linalg.norm(x, 1, axis=0), X),
    (lambda x: np.sinc(x), X),
    (lambda x: np.clip(x, -0.5, 0.5) * np.where(x > 0, x, -x), X),
    (lambda x: np.select([x > 1, x > 0], [x * x, 2 * x], -x), X),
    (lambda x: np.prod(x, axis=1) + np.max(x, axis=1) - np.min(x, axis=1) + np.ptp(x, axis=1), X),
    (lambda x: np.cumsum(x, axis=1), X),
    (lambda x: np.einsum("ij,kj,ik->k", x, x, x @ x.T), X),
    (lambda x: np.tensordot(x, x, axes=([0], [0])) + np.outer(x[0], x[1]), X),
    (lambda x: np.trace(x @ x.T) + np.diagonal(x) + np.diag(x[:, 0]).sum(axis=0), X),
    (lambda x: np.pad(np.roll(np.flip(x), 1, axis=0), 1), X),
    (lambda x: np.concatenate([x[1:], x[:1] * 2]) + np.stack([x[0], x[1], x[0]]), X),
    (lambda x: np.repeat(x, 2, axis=1) + np.tile(x, 2), X),
    (lambda x: x[::-1, ::2] + x[[0, 0, 1]][:, 1:3] + np.take(x, [0, 1], axis=1), X),
    (lambda x: np.tril(x) + np.triu(x, 1) * 2, X),
    (lambda x: graphc.at(graphc.at(x)[0, 1:].set(x[1, 1:] * 3))[[0, 0]].add(x[2]), X),
    (lambda x: graphc.logsumexp(x, axis=0) + graphc.softmax(x) + graphc.log_softmax(x, 0), X),
    (lambda x: graphc.cross_entropy(x, np.array([0, 3, 1])), X),
    (lambda x: graphc.cross_entropy(x, graphc.softmax(x * 2)), X),
    (lambda x: graphc.silu(x) + graphc.gelu(x) + graphc.elu(x) + graphc.log_sigmoid(x), X),
    (lambda x: np.average(x, axis=0, weights=P) + np.diff(x, axis=0).sum(), X),
    (lambda x: x**x + 2**x + x**3 + np.float_power(x, 1.5), P),
    (lambda x: x / x.shape[0] + np.mean(x, axis=0), X),
]


@pytest.mark.parametrize(("function", "x"), FUNCTIONS, ids=range(len(FUNCTIONS)))
def test_gradients(function, x):
    shape = np.shape(function(x))
    weights = RNG.normal(size=shape)
    graphc.check_grads(graphc.trace(lambda x: (function(x) * weights).sum(), x), x)


@pytest.mark.parametrize(
    ("function", "x", "expected"),
    [
        (lambda x: x.std(), [2.0, 2.0], [0, 0]),
        (lambda x: np.linalg.norm(x), [0.0, 0.0], [0, 0]),
        (lambda x: np.sinc(x).sum(), [0.0, 2.0], [0, 0.5]),
        (lambda x: graphc.logsumexp(x), [-np.inf, 0.0], [0, 1]),
        (lambda x: graphc.logsumexp(x), [1e300, 0.0], [1, 0]),
        (lambda x: graphc.softmax(x)[0], [800.0, -800.0], [0, 0]),
        (lambda x: graphc.cross_entropy(x, np.array(1)), [0.0, 1000.0], [0, 0]),
        (lambda x: graphc.stop_gradient(x[0]) * x[1], [3.0, 5.0], [0, 3]),
        (lambda x: np.nan_to_num(x).sum(), [np.nan, 1.0], [0, 1]),
        (lambda x: np.where(x > 0, np.log(x), 0.0).sum(), [-1.0, 2.0], [0, 0.5]),
    ],
    ids=range(10),
)
def test_special_points(function, x, expected):
    gradient = graphc.grad(graphc.trace(function, "f64[2]"))
    np.testing.assert_allclose(gradient(x), expected, atol=1e-15)


def test_gradients_inside_a_trace():
    """A gradient is a graph, and a graph can be called with values."""
    cube = graphc.trace(lambda x: x**3, "f64")
    first = graphc.grad(cube)
    second = graphc.grad(graphc.trace(lambda x: first(x) * 1, "f64"))
    assert first(2.0) == 12.0
    assert second(2.0) == 12.0


def test_users_ops_are_differentiated():
    swish = graphc.elementwise("swish", "x / (1 + exp(-x))")
    bilinear = graphc.contraction("bilinear", "y[b,o] = a[b,i] * W[o,i,j] * c[b,j]")
    distance = graphc.contraction("distance", "d[i,j] = (x[i,k] - c[j,k])**2")
    conv = graphc.contraction("conv", "y[n,h] = x[n,2*h+p] * w[p]")

    def function(a, W, c, w):
        y = swish(bilinear(a, W, c))
        return y.sum() + distance(y, y * 2).mean() + (conv(a, w) ** 2).sum()

    shapes = [(2, 5), (3, 5, 4), (2, 4), (3,)]
    arrays = [RNG.normal(size=shape) for shape in shapes]
    graphc.check_grads(graphc.trace(function, *arrays), *arrays)


def test_a_users_primitive():
    @graphc.primitive(result=lambda t, i: graphc.ArrayType(t.dtype, i.shape + t.shape[1:]))
    def lookup(table, i):
        return table[i], (table.shape, i)

    @lookup.vjp
    def _(saved, d_y):
        d_table = np.zeros(saved[0])
        np.add.at(d_table, saved[1], d_y)
        return d_table, None

    graph = graphc.trace(lambda t, i: (lookup(t, i) ** 2).sum(), "f64[n, 3]", "i64[m]")
    graphc.check_grads(graph, RNG.normal(size=(4, 3)), np.array([0, 0, 2]))
