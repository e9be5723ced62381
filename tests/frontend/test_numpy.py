"""Traced NumPy code means what NumPy means: value, shape and dtype, function by function."""

import numpy as np
import pytest

import graphc
from graphc import interpret, verify

RNG = np.random.default_rng(7)
X = RNG.normal(size=(3, 4))
Y = RNG.normal(size=(3, 4))
P = np.abs(X) + 0.5
V = RNG.normal(size=4)
W = RNG.normal(size=(4, 2))
B = RNG.normal(size=(5, 3, 4))
S = RNG.normal(size=(4, 4))
N = RNG.integers(0, 3, size=(3, 4))
K = np.array([2, 0, -1])
M = X > 0
F = X.astype(np.float32)
J = N.astype(np.int32)
HOLES = np.where(X > 1, np.nan, X)

# Each is called with the arrays as they are, and traced; both must agree.
CASES = [
    # -- operators and promotion
    (lambda x, y: x + y * 2 - 1 / (y * y + 1), X, Y),
    (lambda x: 2 - x, X),
    (lambda x: -x + abs(x), X),
    (lambda x: x**2 + 2**x + x**-1.5, P),
    (lambda i: i**2 + 3, N),
    (lambda i: i / 2, N),
    (lambda i: i // 2 + i % 2, N),
    (lambda i: 7 // (i + 1) + 7 % (i + 1), N),
    (lambda f: f * 2 + 0.5, F),
    (lambda f: f + np.float64(1), F),
    (lambda f: f * np.ones(4), F),
    (lambda f, i: f + i, F, N),
    (lambda j: j + 1, J),
    (lambda j: j * 1.5, J),
    (lambda j, i: j + i, J, N),
    (lambda m: m + 1, M),
    (lambda m: m * 1.5, M),
    (lambda m: ~m & (m | True) ^ m, M),
    (lambda x, y: (x < y) | (x >= 0) & (y != 0), X, Y),
    (lambda x: np.less(0, x), X),
    (lambda i: i == 1, N),
    (lambda x: np.arange(4) * x, X),
    (lambda x: np.float32(2) * x, F),
    (lambda x: (1, 2, 3, 4) * x, X),
    (lambda x, w: x @ w, X, W),
    (lambda x, v: x @ v, X, V),
    (lambda v: v @ v, V),
    (lambda b, w: b @ w, B, W),
    (lambda x: S @ x.T, X),
    (lambda x: +x, X),
    (lambda x: x.astype("float32") * 2, X),
    (lambda x: x.astype(np.int64), X),
    (lambda x: (x.ndim, x.shape, x.size)[0] * x, X),
    # -- ufuncs
    *[(f, X) for f in (np.exp, np.expm1, np.sin, np.cos, np.tan, np.tanh, np.arctan, np.arcsinh)],
    *[(f, X) for f in (np.sinh, np.cosh, np.sign, np.floor, np.ceil, np.rint, np.trunc)],
    *[
        (f, X)
        for f in (np.square, np.absolute, np.fabs, np.negative, np.cbrt, np.exp2, np.positive)
    ],
    *[
        (f, P)
        for f in (
            np.log,
            np.log1p,
            np.log2,
            np.log10,
            np.sqrt,
            np.reciprocal,
        )
    ],
    (np.arccosh, P + 1),
    *[(f, X) for f in (np.deg2rad, np.radians, np.rad2deg, np.degrees, np.isnan, np.isfinite)],
    *[(f, X / 10) for f in (np.arcsin, np.arccos, np.arctanh)],
    *[(f, X, Y) for f in (np.maximum, np.minimum, np.hypot, np.arctan2, np.logaddexp, np.fmax)],
    *[(f, X, Y) for f in (np.fmod, np.remainder, np.floor_divide, np.copysign, np.true_divide)],
    *[(f, M, ~M) for f in (np.logical_and, np.logical_or, np.logical_xor)],
    *[(f, N) for f in (np.exp, np.sqrt, np.sign, np.square, np.abs)],
    (np.float_power, P, Y),
    (np.logical_not, X),
    (np.logical_and, X, M),
    (lambda x: np.add(x, 1), F),
    (lambda x: np.add.reduce(x) + np.maximum.reduce(x, axis=1, keepdims=True), X),
    (lambda x: np.add.accumulate(x, axis=1), X),
    (lambda v: np.multiply.outer(v, v), V),
    (lambda x: np.divmod(x, 0.7)[0] + np.divmod(x, 0.7)[1], P),
    (np.matvec, X, V),
    (np.vecdot, X, Y),
    (np.vecmat, V, W),
    (lambda m, n: np.bitwise_and(m, n), M, M[::-1]),
    # -- elementwise functions
    (lambda m, x: np.where(m, x, 0), M, X),
    (lambda m, f: np.where(m, 1.0, f), M, F),
    (lambda m: np.where(m, 1, 2.5), M),
    (lambda i, x: np.where(i, x, -x), N, X),
    (lambda x: np.clip(x, -0.5, 0.5), X),
    (lambda x: x.clip(0), X),
    (lambda x: np.clip(x, None, 0.5), X),
    (lambda x: np.clip(x, min=-0.1, max=0.1), X),
    (lambda x: np.round(x) + np.around(x) + x.round(), X),
    (lambda x: np.select([x > 1, x > 0], [x, 2 * x], -1), X),
    (lambda x: np.select([x > 1], [x]), F),
    (np.nan_to_num, np.array([np.nan, np.inf, -np.inf, 1.0])),
    (lambda x: np.nan_to_num(x, nan=3.0, posinf=1.0, neginf=-1.0), np.array([np.nan, np.inf, 1.0])),
    (np.sinc, np.array([0.0, 0.5, 1.0, -2.3])),
    # -- reductions
    *[(lambda x, f=f: f(x), X) for f in (np.sum, np.mean, np.max, np.min, np.prod, np.std, np.var)],
    *[(lambda x, f=f: f(x, axis=0), X) for f in (np.sum, np.mean, np.amax, np.amin, np.prod)],
    *[(lambda x, f=f: f(x, -1, keepdims=True), X) for f in (np.sum, np.mean, np.std, np.var)],
    *[(lambda b, f=f: f(b, axis=(0, -1)), B) for f in (np.sum, np.mean, np.max, np.ptp)],
    *[(lambda x, f=f: f(x), N) for f in (np.sum, np.mean, np.max, np.prod, np.std, np.any)],
    *[(lambda x, f=f: f(x), J) for f in (np.sum, np.prod, np.max, np.mean, np.cumsum)],
    *[(lambda x, f=f: f(x), M) for f in (np.sum, np.mean, np.any, np.all, np.count_nonzero)],
    *[(lambda x, f=f: f(x), F) for f in (np.sum, np.mean, np.std, np.var)],
    (lambda x: x.sum(axis=1, keepdims=True) + x.mean(0), X),
    (lambda x: x.max(1) - x.min(axis=1) + x.prod(axis=-1) + x.std(1) + x.var(1, ddof=1), X),
    (lambda x: np.argmax(x) + x.argmin(), X),
    (lambda x: x.argmax(axis=1), X),
    (lambda x: np.argmax(x, axis=0, keepdims=True), X),
    (lambda x: np.argmin(x, keepdims=True), X),
    (lambda x: x.any(axis=0) | x.all(axis=0), N),
    (lambda x: np.cumsum(x, axis=1) + x.cumprod(axis=0), X),
    (lambda x: np.cumsum(x), X),
    (lambda x: np.sum(x, dtype=np.float32), X),
    (lambda x: np.average(x, axis=0, weights=P), X),
    (lambda x: np.average(x), X),
    (lambda x: np.linalg.norm(x) + np.linalg.norm(x, axis=1), X),
    (lambda x: np.sum(x, axis=()), X),
    (lambda x: np.diff(x) + np.diff(x, 1, axis=1) + np.diff(x[:, 1:], axis=1).sum(), X),
    (lambda x: np.diff(x, 2, axis=0), X),
    (lambda m: np.diff(m), M),
    (lambda x: np.nansum(x, axis=1) + np.nanmean(x, axis=1) + np.nanmean(x), HOLES),
    (lambda x: np.linalg.norm(x, 1, axis=0) + np.linalg.norm(x, np.inf, axis=0), X),
    # -- contractions
    (np.dot, X, W),
    (np.dot, X, V),
    (lambda x: np.dot(x, 2.0), X),
    (np.dot, X, RNG.normal(size=(2, 4, 3))),
    (np.inner, X, Y),
    (np.inner, V, V),
    (np.outer, V, X),
    (np.vdot, X, Y),
    (lambda x, w: np.tensordot(x, w, 1), X, W),
    (lambda b, x: np.tensordot(b, x, axes=([1, 2], [0, 1])), B, X),
    (lambda b, x: np.tensordot(b, x), B, X),
    (lambda v, x: np.tensordot(v, x, 0), V, X),
    (np.trace, S),
    (lambda x: np.trace(x, 1), X),
    (lambda b: b.trace(axis1=1, axis2=2), B),
    (np.matmul, B, B.swapaxes(1, 2)),
    (lambda x, w: np.einsum("ij,jk->ik", x, w), X, W),
    (lambda x, w: np.einsum("ij,jk", x, w), X, W),
    (lambda x: np.einsum("ji", x), X),
    (lambda s: np.einsum("ii", s), S),
    (lambda s: np.einsum("ii->i", s), S),
    (lambda b, w: np.einsum("...i,ij->...j", b, w), B, W),
    (lambda v: np.einsum("i->", v), V),
    (lambda x, y: np.einsum("...,...", x, y), X, Y),
    (lambda x: np.einsum("ij,kj->ik", x, x[:1]), X),
    (lambda a, b: np.einsum("ij,ij->ij", a, b), X, X[:, :1]),
    (lambda i: np.einsum("ij->j", i), N),
    # -- layout
    (lambda x: x.T + np.transpose(x), X),
    (lambda b: b.transpose(1, 0, 2) + np.permute_dims(b, (1, 0, 2)), B),
    (lambda b: b.transpose((2, 0, 1)) + b.transpose(-1, 0, 1), B),
    (lambda b: np.swapaxes(b, 0, -1) + b.swapaxes(2, 0), B),
    (lambda b: np.moveaxis(b, 0, -1) + np.moveaxis(b, [0, 1], [2, 0])[:1, :1, :1], B),
    (lambda b: b.mT, B),
    (lambda x: x.reshape(2, 6) + np.reshape(x, (2, -1)) + x.reshape((-1, 6)), X),
    (lambda x: x.ravel() + x.flatten() + np.ravel(x) + x.reshape(-1), X),
    (lambda x: np.expand_dims(x, (0, -1)) + x[None, :, :, None], X),
    (lambda x: np.squeeze(x[:, None]) + x[None].squeeze(0), X),
    (lambda v: np.broadcast_to(v, (3, 4)), V),
    (lambda x, v: np.broadcast_arrays(x, v)[1] * 1.0, X, V),
    (lambda x: np.atleast_2d(x[0]) + np.atleast_1d(x[0, 0]), X),
    (lambda x, y: np.concatenate([x, y]), X, Y),
    (lambda x, y: np.concatenate((x, y[:, :2]), axis=1), X, Y),
    (lambda x, i: np.concatenate([x, i], axis=None), X, N),
    (lambda x, y: np.stack([x, y], axis=1), X, Y),
    (lambda v: np.stack([v[0], 2.0, v[1]]), V),
    (lambda x, v: np.vstack([x, v]), X, V),
    (lambda x, v: np.hstack([v, v]), X, V),
    (lambda x: np.hstack([x, x[:, :1]]), X),
    (lambda v: np.column_stack([v, v, np.ones((4, 2))]), V),
    (lambda x: np.split(x, 2, axis=1)[1] + np.split(x, [1, 3], axis=1)[1], X),
    (lambda x: np.pad(x, 1) + np.pad(x, ((1, 1), (0, 2)), constant_values=2.0), X),
    (lambda x: np.pad(x, (1, 2)), X),
    (lambda x: np.flip(x) + x[::-1, ::-1] + np.flip(x, 0), X),
    (lambda x: np.roll(x, 1) + np.roll(x, -2, axis=1) + np.roll(x, 5, axis=0), X),
    (lambda x: np.repeat(x, 2) + np.repeat(x, 2, axis=0).ravel(), X),
    (lambda x: np.tile(x, 2) + np.tile(x, (1, 2)), X),
    (lambda v: np.tile(v, (2, 3)), V),
    (lambda x: np.diagonal(x) + x.diagonal(1) * 2 + np.diag(x, 1), X),
    (lambda x: np.diagonal(x, -1), X),
    (lambda v: np.diag(v), V),
    (lambda x: np.tril(x) + np.triu(x, 1) + np.tril(x, -1), X),
    (lambda x: np.dstack([x, x]) + np.dstack([x[0], x[0]]), X),
    (lambda x: np.append(x, x[0]), X),
    (lambda x: np.append(x, x, axis=1), X),
    (lambda x: np.flipud(x) + np.fliplr(x), X),
    # -- creation
    (lambda x: np.zeros_like(x) + np.ones_like(x) + np.full_like(x, 3), X),
    (lambda i: np.full_like(i, 2.7) + np.zeros_like(i, dtype=float), N),
    (lambda x: np.ones_like(x, shape=(2,)), X),
    (lambda x: x * np.shape(x)[0] * np.ndim(x) * np.size(x), X),
    # -- indexing
    (lambda x: x[1] + x[-1] + x[0], X),
    (lambda x: x[1, 2] * x[:, 1], X),
    (lambda x: x[1:] - x[:-1], X),
    (lambda x: x[::2, 1:3], X),
    (lambda x: x[:, ::-1] + x[::-1], X),
    (lambda x: x[2:0:-1, 3::-2], X),
    (lambda x: x[5:], X),
    (lambda x: x[..., 1] + x[..., -1], X),
    (lambda b: b[1, ..., 2], B),
    (lambda b: b[:, None, 1, :, None], B),
    (lambda x: x[np.array([2, 0, 0])], X),
    (lambda x: x[[2, -1]], X),
    (lambda x: x[K], X),
    (lambda x, k: x[k] + x[:, k].sum(), X, K),
    (lambda x, k: x[k, 1], X, K),
    (lambda x, k: x[np.arange(3), k], X, K),
    (lambda b, k: b[k, :, k], B, K),
    (lambda b, k: b[1, :, k], B, K),
    (lambda b, k: b[:, k, k], B, K),
    (lambda b, k: b[::2, k[:, None], k], B, K),
    (lambda b, k: b[None, k, :, 1:3], B, K),
    (lambda x: x[M[:, 0]], X),
    (lambda x: x[M], X),
    (lambda x, k: np.take(x, k, axis=1) + x.take(k, axis=1), X, K),
    (lambda x, k: np.take(x, k), X, K),
    (lambda x, i: np.take_along_axis(x, i, axis=1), X, N),
    (lambda x: sum(row for row in x), X),
    (lambda x: len(x) * x, X),
]


def traced(function, *arrays):
    graph = graphc.trace(function, *arrays)
    verify.verify(graph)
    names = [node.name for node in graph.inputs]
    values = interpret.evaluate(graph, dict(zip(names, arrays, strict=True)))
    ((_, node),) = graph.outputs
    return node, values[node]


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_means_what_numpy_means(case):
    function, *arrays = case
    expected = np.asarray(function(*arrays))
    node, found = traced(function, *arrays)
    assert found.dtype == expected.dtype, node
    assert found.shape == expected.shape
    tolerance = 1e-5 if expected.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


# The same code on named sizes, evaluated at sizes that the trace did not know.
NAMED = [
    lambda x: x[1:] - x[:-1],
    lambda x: x[:2],
    lambda x: x[:100],
    lambda x: x[-2:],
    lambda x: x[-100:],
    lambda x: x[2:4],
    lambda x: x[::2],
    lambda x: x[1::2],
    lambda x: x[::-1],
    lambda x: x[::-2],
    lambda x: x[-1] + x[0],
    lambda x: x[: x.shape[0] // 2],
    lambda x: x[x.shape[0] // 2 :],
    lambda x: x.reshape(-1),
    lambda x: x.reshape(x.shape[0], 1, -1),
    lambda x: x.reshape(-1, x.shape[0] * 2),
    lambda x: x.mean(axis=0) + x.sum() / x.shape[0],
    lambda x: x.std(axis=0),
    lambda x: np.concatenate([x, x * 2]),
    lambda x: np.roll(x, 1, axis=0),
    lambda x: np.flip(x),
    lambda x: x.T @ x,
    lambda x: np.repeat(x, 2, axis=0),
    lambda x: np.einsum("ij,kj->ik", x, x),
    lambda x: np.pad(x, 1),
    lambda x: (x * 2)[graphc.arange(x.shape[0]) if hasattr(x, "node") else np.arange(len(x))],
    lambda x: np.trace(x @ x.T) + np.diagonal(x @ x.T),
    lambda x: x.argmax(axis=0),
    lambda x: np.broadcast_to(x[0], x.shape) * np.ones_like(x),
]


@pytest.mark.parametrize("function", NAMED, ids=range(len(NAMED)))
@pytest.mark.parametrize("n", [4, 5, 9])
def test_named_sizes(function, n):
    graph = graphc.trace(function, "f64[n, 4]")
    verify.verify(graph)
    x = RNG.normal(size=(n, 4))
    ((_, node),) = graph.outputs
    (name,) = (leaf.name for leaf in graph.inputs)
    found = interpret.evaluate(graph, {name: x})[node]
    np.testing.assert_allclose(found, function(x), rtol=1e-12)


def test_weak_sizes_keep_the_dtype():
    graph = graphc.trace(lambda x: x.sum() / x.shape[0] * x.size, "f32[n, 4]")
    assert str(graph.outputs[0][1].type) == "f32"


def test_arrays_are_copied_and_frozen():
    constant = np.array([1.0, 2.0])
    graph = graphc.trace(lambda x: x + constant, "f64[2]")
    constant[:] = 0
    np.testing.assert_array_equal(graph(np.zeros(2)), [1.0, 2.0])


@pytest.mark.parametrize("key", [0, slice(1, 3), (slice(None), 1), (Ellipsis, slice(0, 2))])
@pytest.mark.parametrize("mode", ["set", "add"])
def test_writing_a_part(key, mode):
    graph = graphc.trace(lambda x, v: getattr(graphc.at(x)[key], mode)(v), X, 2.5)
    expected = X.copy()
    if mode == "set":
        expected[key] = 2.5
    else:
        expected[key] += 2.5
    np.testing.assert_array_equal(graph(X, 2.5), expected)


@pytest.mark.parametrize("key", [np.array([0, 2, 0]), (slice(None), np.array([1, 1]))])
def test_adding_at_repeated_positions(key):
    graph = graphc.trace(lambda x: graphc.at(x)[key].add(1.0), X)
    expected = X.copy()
    np.add.at(expected, key, 1.0)
    np.testing.assert_array_equal(graph(X), expected)
    np.testing.assert_array_equal(graphc.at(X)[key].add(1.0), expected)


@pytest.mark.parametrize("view", ["[:, None]", "[1]", "[:, 0]", "[None, :, :]", "[..., None]"])
@pytest.mark.parametrize("before", ["x[:, :, 1]", "x[:, None, 2]", "(x @ w)", "x[0:2, 1]"])
def test_a_view_of_a_view_that_has_other_axes(before, view):
    code = compile(before + view, "<view>", "eval")
    x, w = np.arange(24.0).reshape(2, 3, 4), np.arange(4.0)
    graph = graphc.trace(lambda x, w: eval(code, {"x": x, "w": w}), "f64[2, 3, 4]", "f64[4]")
    expected = eval(code, {"x": x, "w": w})
    np.testing.assert_array_equal(graphc.compile(graph)(x, w), expected)


def test_a_view_of_products_of_matrices_with_vectors():
    """Each vector has an axis for the product, which the view knows nothing of."""
    product = graphc.contraction("product", "y[i,j] = a[i,j,k] * b[i,k]")
    graph = graphc.trace(lambda a, b: product(a, b)[:, None], "f64[2, 3, 4]", "f64[2, 4]")
    a, b = np.arange(24.0).reshape(2, 3, 4), np.arange(8.0).reshape(2, 4)
    expected = np.einsum("ijk,ik->ij", a, b)[:, None]
    np.testing.assert_array_equal(graphc.compile(graph)(a, b), expected)
