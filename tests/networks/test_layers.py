"""Normalisation, dropout, cells, attention: against NumPy's formulas; gradients."""

import numpy as np
import pytest

import graphc

RNG = np.random.default_rng(5)
X = RNG.normal(size=(3, 4, 5))
SCALE, SHIFT = RNG.normal(size=(2, 4))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def normal(x, axes, eps=1e-5):
    return (x - x.mean(axis=axes, keepdims=True)) / np.sqrt(x.var(axis=axes, keepdims=True) + eps)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def lstm(x, h, c, W, U, b):
    i, f, g, o = np.split(x @ W + h @ U + b, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return np.concatenate([sigmoid(o) * np.tanh(c), c])


def gru(x, h, W, U, b, a):
    (r, z, n), (s, y, m) = np.split(x @ W + b, 3, axis=-1), np.split(h @ U + a, 3, axis=-1)
    z = sigmoid(z + y)
    return (1 - z) * np.tanh(n + sigmoid(r + s) * m) + z * h


def cosine(a, b):
    return (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))


TALL, WIDE = SCALE[:, None], SHIFT[:, None]
MASK = np.tril(np.ones((4, 4), bool))
CELL = [RNG.normal(size=shape) for shape in [(3, 2), (3, 4), (3, 4), (2, 16), (4, 16), (16,)]]
GRU = [RNG.normal(size=shape) for shape in [(3, 2), (3, 4), (2, 12), (4, 12), (12,), (12,)]]
LAYERS = {
    "layer_norm": (graphc.layer_norm, [X], normal(X, (2,))),
    "layer_norm of two axes": (
        lambda x, s: graphc.layer_norm(x, s, 2.0, axis=(1, 2)),
        [X, X[0]],
        normal(X, (1, 2)) * X[0] + 2,
    ),
    "batch_norm": (graphc.batch_norm, [X, SCALE, SHIFT], normal(X, (0, 2)) * TALL + WIDE),
    "batch_norm, channels last": (
        lambda x, s, t: graphc.batch_norm(x, s, t, axis=-1),
        [X[:, :, :4], SCALE, SHIFT],
        normal(X[:, :, :4], (0, 1)) * SCALE + SHIFT,
    ),
    "batch_norm, applied": (
        lambda x, s, t, m, v: graphc.batch_norm(x, s, t, mean=m, variance=v * v),
        [X, SCALE, SHIFT, SHIFT, SCALE],
        (X - WIDE) / np.sqrt(TALL**2 + 1e-5) * TALL + WIDE,
    ),
    "group_norm": (
        lambda x, s, t: graphc.group_norm(x, 2, s, t),
        [X, SCALE, SHIFT],
        normal(X.reshape(3, 2, 10), (2,)).reshape(X.shape) * TALL + WIDE,
    ),
    "lstm_cell": (lambda *a: np.concatenate(graphc.lstm_cell(*a)), CELL, lstm(*CELL)),
    "gru_cell": (graphc.gru_cell, GRU, gru(*GRU)),
    "attention": (
        graphc.attention,
        [X, X[::-1].copy(), X[:, :, :2]],
        softmax(X @ X[::-1].transpose(0, 2, 1) / np.sqrt(5)) @ X[:, :, :2],
    ),
    "attention, masked": (
        lambda q, k, v: graphc.attention(q, k, v, MASK, scale=0.5),
        [X, X * 2, X],
        softmax(np.where(MASK, X @ X.transpose(0, 2, 1), -np.inf)) @ X,
    ),
    "cosine_similarity": (graphc.cosine_similarity, [X, X[1] + 1], cosine(X, X[1] + 1)),
    "cosine_similarity, other axis": (
        lambda a, b: graphc.cosine_similarity(a, b, axis=1),
        [X, X[1] + 1],
        cosine(X.swapaxes(1, 2), (X[1] + 1).T),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_formula_and_gradient(name):
    layer, operands, expected = LAYERS[name]
    np.testing.assert_allclose(layer(*operands), expected, rtol=1e-9, atol=1e-9)
    types = [f"f64[{', '.join(map(str, a.shape))}]" for a in operands]
    names = [f"x{k}" for k in range(len(operands))]
    weights = RNG.normal(size=expected.shape)
    b = graphc.Builder("layer")
    values = [b.input(n, t) for n, t in zip(names, types, strict=True)]
    b.output("loss", (layer(*values) * weights).sum())
    g = b.build()
    given = dict(zip(names, operands, strict=True))
    assert graphc.compile(g)(**given) == pytest.approx((expected * weights).sum(), rel=1e-9)
    graphc.check_grads(g, **given)


@pytest.mark.parametrize("name", LAYERS)
def test_f32_stays_f32(name):
    layer, operands, expected = LAYERS[name]
    types = [f"f32[{', '.join(map(str, a.shape))}]" for a in operands]
    g = graphc.trace(lambda *a: layer(*a).sum(), *types)
    assert all(node.type.dtype != "f64" for node in g.nodes if node.type.shape)
    value, grads = graphc.compile(g).value_and_grad(*(a.astype(np.float32) for a in operands))
    assert value == pytest.approx(expected.sum(), rel=1e-3, abs=1e-3)
    assert {g.dtype for g in grads} == {np.dtype(np.float32)}


def test_dropout():
    x, random = RNG.normal(size=(50, 40)), RNG.random((50, 40))
    expected = np.where(random >= 0.3, x / 0.7, 0)
    np.testing.assert_allclose(graphc.dropout(x, random, 0.3), expected)
    np.testing.assert_allclose(graphc.dropout(x, random >= 0.3, 0.3), expected)
    g = graphc.trace(lambda x, r: graphc.dropout(x, r, 0.3).sum(), "f32[n, 40]", "f32[n, 40]")
    _, grads = graphc.compile(g).value_and_grad(x.astype("f"), random.astype("f"))
    np.testing.assert_allclose(grads.x, (random >= 0.3) / 0.7, rtol=1e-6)
    assert not np.any(grads.r)
    with pytest.raises(graphc.GraphError, match=r"number in \[0, 1\)"):
        graphc.dropout(x, random, 1.0)


def test_embedding():
    table, indices = RNG.normal(size=(6, 3)), np.array([[0, 5], [5, 2]])
    np.testing.assert_array_equal(graphc.embedding(table, indices), table[indices])
    g = graphc.trace(lambda t, i: (graphc.embedding(t, i) ** 2).sum(), "f64[words, 3]", "i64[n, m]")
    _, grads = graphc.compile(g).value_and_grad(table, indices)
    counts = np.array([1, 0, 1, 0, 0, 2])
    np.testing.assert_allclose(grads.t, 2 * table * counts[:, None])


def test_attention_gives_no_weight_to_what_is_hidden():
    v = np.full((4, 2), np.inf)
    v[0] = 1.0
    hidden = graphc.attention(X[0], X[0], np.where(np.isinf(v), 1e30, v), MASK)
    np.testing.assert_array_equal(hidden[0], [1, 1])


def test_cosine_of_nothing_is_zero_and_has_a_gradient():
    g = graphc.trace(graphc.cosine_similarity, "f64[3]", "f64[3]")
    value, grads = graphc.compile(g).value_and_grad(np.zeros(3), np.ones(3))
    assert value == 0
    assert all(np.all(np.isfinite(g)) for g in grads)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: graphc.batch_norm(x, np.ones(3), 0.0), r"should be \[4\]"),
        (lambda x: graphc.batch_norm(x, 1.0, 0.0, mean=0.0), "both, or neither"),
        (lambda x: graphc.group_norm(x, 3, 1.0, 0.0), "4 channels do not divide into 3"),
        (lambda x: graphc.attention(x, x[0, 0], x), r"operands are \[..., places"),
        (lambda x: graphc.cosine_similarity(x, x[:, :3]), "do not broadcast"),
        (lambda x: graphc.gru_cell(x[0], x[1], x[0].T, x[0].T, 0.0, 0.0), "3 gates of 5"),
    ],
)
def test_mistakes(function, message):
    with pytest.raises(graphc.GraphError, match=message):
        graphc.trace(function, "f64[3, 4, 5]")
