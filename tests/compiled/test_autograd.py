"""The compiled gradients of well-known models against an independent library."""

import autograd
import autograd.numpy as anp
import autograd.scipy.special as aspecial
import numpy as np
import pytest

import graphc

RANDOM = np.random.default_rng(11)


def normal(*shape):
    return RANDOM.normal(size=shape)


def ls(np, x, axis):
    top = np.max(x, axis=axis, keepdims=True)
    return np.log(np.sum(np.exp(x - top), axis=axis)) + np.sum(top, axis=axis)


# Each model is written once, for either numpy: (function of np and arrays, arrays).
MODELS = {
    "rosenbrock": (
        lambda np, x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2),
        (normal(9),),
    ),
    "logistic regression": (
        lambda np, X, y, w: np.sum(np.log(1 + np.exp(-y * np.dot(X, w)))) + 0.1 * np.sum(w * w),
        (normal(12, 4), np.sign(normal(12)), normal(4)),
    ),
    "k-means": (
        lambda np, X, C: np.sum(
            np.min(np.sum((X[:, None, :] - C[None, :, :]) ** 2, axis=2), axis=1)
        ),
        (normal(15, 3), normal(4, 3)),
    ),
    "mixture of Gaussians": (
        lambda np, X, mu, s, a: np.sum(
            ls(
                np,
                a
                - np.sum(s, axis=1)
                - 0.5 * np.sum(((X[:, None, :] - mu) * np.exp(-s)) ** 2, axis=2),
                1,
            )
        ),
        (normal(8, 3), normal(4, 3), normal(4, 3) / 3, normal(4)),
    ),
    "two-layer net": (
        lambda np, x, W, b, V: np.sum(np.tanh(np.dot(np.tanh(np.dot(x, W) + b), V)) ** 2),
        (normal(5, 4), normal(4, 6), normal(6), normal(6, 2)),
    ),
    "attention": (
        lambda np, q, k, v: np.sum(
            np.matmul(
                np.exp(np.matmul(q, np.swapaxes(k, 1, 2)) / 2)
                / np.sum(np.exp(np.matmul(q, np.swapaxes(k, 1, 2)) / 2), axis=2, keepdims=True),
                v,
            )
            ** 2
        ),
        (normal(2, 3, 4), normal(2, 5, 4), normal(2, 5, 4)),
    ),
    "layer normalisation": (
        lambda np, x, g, b: np.sum(
            np.sin(
                (x - np.mean(x, axis=1, keepdims=True))
                / np.sqrt(np.var(x, axis=1, keepdims=True) + 1e-5)
                * g
                + b
            )
        ),
        (normal(4, 6), normal(6), normal(6)),
    ),
    "recurrent cell": (
        lambda np, x, h, W, U: np.sum(
            np.tanh(np.dot(x[2], W) + np.dot(np.tanh(np.dot(x[1], W) + np.dot(h, U)), U))
        ),
        (normal(3, 2, 4), normal(2, 5), normal(4, 5), normal(5, 5)),
    ),
    "cosine similarity": (
        lambda np, a, B: np.sum(
            np.exp(np.dot(B, a) / (np.sqrt(np.sum(a * a)) * np.sqrt(np.sum(B * B, axis=1))))
        ),
        (normal(4), normal(6, 4)),
    ),
    "hinge loss": (
        lambda np, W, x: (
            np.sum(np.maximum(0, np.dot(x, W)[:, 1:] - np.dot(x, W)[:, :1] + 1))
            + 0.01 * np.sum(W * W)
        ),
        (normal(4, 3), normal(7, 4)),
    ),
    "einsum": (
        lambda np, a, B, c: np.sum(np.einsum("bi,oij,bj->bo", a, B, c) ** 3),
        (normal(4, 2), normal(3, 2, 5), normal(4, 5)),
    ),
    "slices and joins": (
        lambda np, x, y: np.sum(
            np.concatenate([x[:, ::2], y[::-1]], axis=1)[1:, 1:] ** 2
            * np.concatenate([y, x[:, 1:4]], axis=1)[:-1, 1:]
        ),
        (normal(4, 5), normal(4, 2)),
    ),
    "products and running sums": (
        lambda np, x: np.sum(np.cumsum(x, axis=1) * np.prod(x, axis=1, keepdims=True)),
        (normal(3, 4),),
    ),
    "where and powers": (
        lambda np, x, p: np.sum(np.where(x > 0, np.abs(x) ** p, np.exp(x) * p)),
        (normal(3, 4), np.abs(normal(4)) + 1),
    ),
    "trigonometry": (
        lambda np, x, y: np.sum(np.arctan2(np.sin(x), np.cos(y) + 2) * np.sqrt(1 + x * x)),
        (normal(5), normal(3, 5)),
    ),
    "orbit energy": (
        lambda np, r, v: 0.5 * np.sum(v**2) - 1 / np.sqrt(np.sum((r[0] - r[1]) ** 2)),
        (normal(2, 3), normal(2, 3)),
    ),
    "outer and trace": (
        lambda np, a, b, M: np.trace(np.dot(M, np.outer(a, b))) + np.sum(np.diag(M)) ** 2,
        (normal(3), normal(3), normal(3, 3)),
    ),
    "reshape and transpose": (
        lambda np, x, w: np.sum(np.reshape(np.transpose(x, (2, 0, 1)), (4, 6)) ** 2 * w),
        (normal(2, 3, 4), normal(6)),
    ),
    "extremes": (
        lambda np, x: np.max(x) * np.min(x) + np.sum(np.max(x, axis=0) ** 2),
        (normal(4, 5),),
    ),
    "Black-Scholes": (
        lambda np, S, K, t: np.sum(
            S * (0.5 + 0.5 * np.tanh((np.log(S / K) + t) / np.sqrt(t)))
            - K * np.exp(-0.05 * t) * (0.5 + 0.5 * np.tanh((np.log(S / K) - t) / np.sqrt(t)))
        ),
        (np.exp(normal(5)), np.exp(normal(5)), np.exp(normal(5))),
    ),
    "logsumexp over two axes": (
        lambda np, x: ls(np, np.reshape(x, (2, 12)), 1)[0] + np.sum(ls(np, x[1], 0) ** 2),
        (normal(2, 3, 4),),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_same_gradients(name):
    model, arrays = MODELS[name]
    theirs = autograd.grad(lambda args: model(anp, *args))(arrays)
    graph = graphc.trace(lambda *args: model(np, *args), *arrays)
    f = graphc.compile(graph, wrt=graph.input_names)
    value, grads = f.value_and_grad(*arrays)
    np.testing.assert_allclose(value, model(np, *arrays), rtol=1e-11)
    _, saved = f.forward(*arrays)
    for found in (grads, f.backward(saved)):
        for mine, other, array in zip(found, theirs, arrays, strict=True):
            assert mine.shape == array.shape
            assert mine.dtype == np.float64
            np.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-10)


def test_named_ops_against_their_counterparts():
    x = normal(3, 5)
    pairs = [
        (graphc.logsumexp, lambda a: aspecial.logsumexp(a, axis=1), {"axis": 1}),
        (graphc.sigmoid, aspecial.expit, {}),
    ]
    for mine, other, options in pairs:
        graph = graphc.trace(lambda a, mine=mine, o=options: (mine(a, **o) ** 2).sum(), x)
        _, d = graphc.compile(graph, wrt="a").value_and_grad(x)
        expected = autograd.grad(lambda a, other=other: anp.sum(other(a) ** 2))(x)
        np.testing.assert_allclose(d, expected, rtol=1e-11)
