"""np.linalg traced: values as NumPy's, gradients against differences, to second order, batched, in
single precision; the emitted code against the interpreter."""

import numpy as np
import pytest
from autograd import grad as autograd_grad
from autograd import numpy as anp

import graphc
from tests.linalg.plain import transposed

RNG = np.random.default_rng(7)
A = RNG.normal(size=(4, 4)) + 2 * np.eye(4)
B = RNG.normal(size=(4, 3))
V = RNG.normal(size=4)
TALL = RNG.normal(size=(6, 4))
WEIGHTS = RNG.normal(size=(4, 4))
S = A @ A.T + np.diag([1.0, 2.0, 4.0, 7.0])


def sym(x):
    return (x + np.swapaxes(x, -1, -2)) / 2


def eigen(x):
    w, v = np.linalg.eigh(sym(x))
    return (v**2 * WEIGHTS).sum() + (w**3).sum()


def singular(x):
    u, s, h = np.linalg.svd(x, full_matrices=False)
    return (u**2 * s).sum() + (np.swapaxes(h, -1, -2) ** 2 * s**2).sum()


def orthogonal(x):
    q, r = np.linalg.qr(x)
    return (q**3).sum() + (r**2 * np.arange(4)).sum()


def least_squares(a, b):
    x, residuals, _, s = np.linalg.lstsq(a, b)
    return (x**2).sum() + (residuals**2).sum() + s[0]


FUNCTIONS = {
    "inv": (lambda a: (np.linalg.inv(a) * WEIGHTS).sum(), A),
    "solve": (lambda a, b: (np.linalg.solve(a, b) ** 2).sum(), A, B),
    "solve a vector": (lambda a, b: (np.linalg.solve(a, b) ** 2).sum(), A, V),
    "solve_triangular": (lambda a, b: (graphc.solve_triangular(a, b) ** 2).sum(), A, B),
    "solve_triangular lower": (
        lambda a, b: (graphc.solve_triangular(a, b, lower=True) ** 2).sum(),
        A,
        V,
    ),
    "lstsq": (least_squares, TALL, RNG.normal(size=(6, 2))),
    "lstsq of a vector": (least_squares, TALL, RNG.normal(size=6)),
    "pinv tall": (lambda a: (np.linalg.pinv(a) ** 3).sum(), TALL),
    "pinv wide": (lambda a: (np.linalg.pinv(a) ** 3).sum(), TALL.T.copy()),
    "det": (lambda a: np.linalg.det(a) ** 2, A),
    "slogdet": (lambda a: np.linalg.slogdet(a).logabsdet * np.linalg.slogdet(a)[0], A),
    "cholesky": (lambda a: (np.linalg.cholesky(sym(a)) * WEIGHTS).sum(), S),
    "cholesky upper": (lambda a: (np.linalg.cholesky(sym(a), upper=True) * WEIGHTS).sum(), S),
    "qr": (orthogonal, TALL),
    "qr square": (orthogonal, A),
    "r of qr": (lambda a: (np.linalg.qr(a, mode="r") ** 2 * np.arange(4)).sum(), TALL),
    "eigh": (eigen, S),
    "eigh upper": (lambda a: np.linalg.eigh(sym(a), UPLO="U").eigenvalues[1], S),
    "eigvalsh": (lambda a: (np.linalg.eigvalsh(sym(a)) ** 2 * np.arange(4)).sum(), S),
    "svd tall": (singular, TALL),
    "svd wide": (singular, TALL.T.copy()),
    "svd square": (singular, A),
    "svd values": (lambda a: (np.linalg.svd(a, compute_uv=False) ** 3).sum(), TALL),
    "svdvals": (lambda a: (np.linalg.svdvals(a) ** 3).sum(), TALL),
    "expm": (lambda a: (graphc.expm(a) * WEIGHTS).sum(), A / 3),
    "matrix_power 5": (lambda a: (np.linalg.matrix_power(a, 5) * WEIGHTS).sum(), A / 2),
    "matrix_power -3": (lambda a: (np.linalg.matrix_power(a, -3) * WEIGHTS).sum(), S),
    "matrix_power 0": (lambda a: (np.linalg.matrix_power(a, 0) * a).sum(), A),
    "multi_dot": (lambda a, b: np.linalg.multi_dot([a[0], a, b, b.T, a[1]]), A, B),
    "trace": (lambda a: np.linalg.trace(a @ a) + np.linalg.trace(a, offset=1), A),
    "cond": (lambda a: np.linalg.cond(a), A),
    "cond -2": (lambda a: np.linalg.cond(a, -2), A),
    "cond fro": (lambda a: np.linalg.cond(a, "fro"), A),
    "cond 1": (lambda a: np.linalg.cond(a, 1), A),
    "outer, vecdot": (lambda a: (np.linalg.outer(a[0], a[1]) @ np.linalg.vecdot(a, a)).sum(), A),
    "tensorinv": (
        lambda a: (np.linalg.tensorinv(np.reshape(a, (4, 2, 2)), ind=1) ** 2).sum(),
        A,
    ),
    "tensorsolve": (
        lambda a, b: (np.linalg.tensorsolve(np.reshape(a, (4, 2, 2)), b) ** 2).sum(),
        A,
        V,
    ),
}
ORDERS_OF_MATRICES = (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)
ORDERS_OF_VECTORS = (None, 0, 1, -1, 2, -2, 3, 0.5, 2.5, np.inf, -np.inf)


def norm_of(order, **options):
    return lambda x: np.linalg.norm(x, order, **options).sum()


for order in ORDERS_OF_MATRICES:
    FUNCTIONS[f"norm {order} of a matrix"] = norm_of(order), TALL
for order in ORDERS_OF_VECTORS:
    FUNCTIONS[f"norm {order} of a vector"] = norm_of(order), V


@pytest.fixture(params=FUNCTIONS, scope="module")
def case(request):
    function, *arrays = FUNCTIONS[request.param]
    return function, arrays, graphc.trace(function, *arrays)


def test_value(case):
    function, arrays, graph = case
    expected = function(*arrays)
    np.testing.assert_allclose(graph(*arrays), expected, rtol=1e-12)
    np.testing.assert_allclose(graphc.compile(graph)(*arrays), expected, rtol=1e-12)


def test_gradient(case):
    _, arrays, graph = case
    graphc.check_grads(graph, *arrays)


def test_second_derivative(case):
    """The gradient is a graph of the same functions: a direction of it is differentiated again."""
    _, arrays, graph = case
    first = graphc.grad(graph)
    rng = np.random.default_rng(5)
    directions = [rng.normal(size=x.shape) for x in arrays]

    def along(*xs):
        found = first(*xs)
        parts = (found,) if len(xs) == 1 else found
        return sum((part * u).sum() for part, u in zip(parts, directions, strict=True))

    graphc.check_grads(graphc.trace(along, *arrays), *arrays, rtol=1e-5, atol=1e-6, samples=8)


def test_emitted_code_agrees_with_the_interpreter(case):
    _, arrays, graph = case
    compiled = graphc.compile(graph)
    expected = graphc.grad(graph)(*arrays)
    expected = (expected,) if len(arrays) == 1 else expected
    value, together = compiled.value_and_grad(*arrays)
    output, saved = compiled.forward(*arrays)
    apart = compiled.backward(saved)
    np.testing.assert_allclose(value, output, rtol=1e-13)
    for want, one, other in zip(expected, together, apart, strict=True):
        np.testing.assert_allclose(one, want, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(other, want, rtol=1e-9, atol=1e-11)


def test_single_precision_stays_single(case):
    function, arrays, _ = case
    narrow = [x.astype(np.float32) for x in arrays]
    shapes = [graphc.ArrayType("f32", x.shape) for x in narrow]

    def weighted(*xs):
        return function(*xs).astype("f32")

    graph = graphc.trace(weighted, *map(str, shapes))
    compiled = graphc.compile(graph)
    value, grads = compiled.value_and_grad(*narrow)
    wide = graphc.compile(graphc.trace(function, *arrays)).value_and_grad(*arrays)
    assert value.dtype == np.float32
    np.testing.assert_allclose(value, wide[0], rtol=1e-3)
    for got, expected in zip(grads, wide[1], strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, rtol=2e-2, atol=2e-2 * np.abs(expected).max())


# -- stacks ----------------------------------------------------------------------------------------

STACK = RNG.normal(size=(2, 3, 4, 4)) + 2 * np.eye(4)
SPD = STACK @ transposed(STACK) + np.diag([1.0, 2.0, 4.0, 7.0])
BATCHED = {
    "inv": (lambda a: np.linalg.inv(a) ** 2, STACK),
    "solve": (lambda a, b: np.linalg.solve(a, b) ** 2, STACK, RNG.normal(size=(2, 3, 4, 2))),
    "solve, one b": (lambda a, b: np.linalg.solve(a, b) ** 2, STACK, B),
    "solve, one a": (lambda a, b: np.linalg.solve(a, b) ** 2, A, RNG.normal(size=(2, 4, 3))),
    "solve, one vector": (lambda a, b: np.linalg.solve(a, b) ** 2, STACK, V),
    "triangular": (lambda a, b: graphc.solve_triangular(a, b) ** 2, STACK, B),
    "pinv": (lambda a: np.linalg.pinv(a[..., :2]) ** 2, STACK),
    "det": (lambda a: np.linalg.det(a) ** 2, STACK),
    "slogdet": (lambda a: np.linalg.slogdet(a)[1], STACK),
    "cholesky": (lambda a: np.linalg.cholesky(sym(a)) ** 2, SPD),
    "qr": (lambda a: np.linalg.qr(a[..., :3]).Q ** 3, STACK),
    "eigh": (lambda a: np.linalg.eigh(sym(a)).eigenvectors ** 2 * WEIGHTS, SPD),
    "eigvalsh": (lambda a: np.linalg.eigvalsh(sym(a)) ** 2, SPD),
    "svd": (lambda a: np.linalg.svd(a[..., :3], full_matrices=False).U ** 3, STACK),
    "expm": (lambda a: graphc.expm(a / 4) ** 2, STACK[0]),
    "matrix_power": (lambda a: np.linalg.matrix_power(a / 4, 3), STACK),
    "norm nuc": (lambda a: np.linalg.norm(a, "nuc", axis=(-2, -1)), STACK),
    "norm of columns first": (lambda a: np.linalg.norm(a, 1, axis=(3, 0)), STACK),
    "norm keeps": (lambda a: np.linalg.norm(a, -np.inf, axis=(0, 2), keepdims=True), STACK),
    "norm 2 keeps": (lambda a: np.linalg.norm(a, 2, axis=(1, 2), keepdims=True), STACK),
    "vector norm": (lambda a: np.linalg.norm(a, 3, axis=1, keepdims=True), STACK),
    "vector_norm": (lambda a: np.linalg.vector_norm(a, ord=3, axis=(0, 2)), STACK),
    "matrix_norm": (lambda a: np.linalg.matrix_norm(a, ord=-1, keepdims=True), STACK),
    "trace": (lambda a: np.linalg.trace(a) ** 2, STACK),
}


@pytest.mark.parametrize("name", BATCHED)
def test_stacks_of_matrices(name):
    function, *arrays = BATCHED[name]
    expected = function(*arrays)
    weights = RNG.normal(size=expected.shape)
    graph = graphc.trace(lambda *xs: (function(*xs) * weights).sum(), *arrays)
    whole = graphc.trace(function, *arrays)
    assert whole.outputs[0][1].type.shape == expected.shape
    np.testing.assert_allclose(graphc.compile(whole)(*arrays), expected, rtol=1e-10)
    graphc.check_grads(graph, *arrays, samples=20)
    grads = graphc.compile(graph).value_and_grad(*arrays)[1]
    for got, x in zip(grads, arrays, strict=True):
        assert got.shape == x.shape


def test_sizes_by_name():
    graph = graphc.trace(
        lambda a, b: (np.linalg.solve(a @ a.T, b) ** 2).sum() + np.linalg.slogdet(a @ a.T)[1],
        "f64[n, m]",
        "f64[n]",
    )
    a = RNG.normal(size=(3, 5))
    graphc.check_grads(graph, a, np.ones(3))
    compiled = graphc.compile(graph)
    for n in (2, 3):
        value, grads = compiled.value_and_grad(a[:n], np.ones(n))
        assert np.isfinite(value)
        assert grads[0].shape == (n, 5)


def test_factorisations_with_sizes_by_name():
    def function(a):
        q, r = np.linalg.qr(a)
        u, s, h = np.linalg.svd(a, full_matrices=False)
        w, v = np.linalg.eigh(a.T @ a)
        low = np.linalg.cholesky(a.T @ a + np.linalg.matrix_power(a.T @ a, 0))
        return (
            (q**3).sum() + (r**2).sum() + ((u * s) @ h * a).sum() + (w**2 * v**2).sum() + low.sum()
        )

    graphc.check_grads(graphc.trace(function, "f64[m, n]"), TALL[:, :3], rtol=1e-5)


# -- against another library -----------------------------------------------------------------------

AGAINST = {
    "inv": (lambda np, a: (np.linalg.inv(a) ** 3).sum(), A),
    "det": (lambda np, a: np.linalg.det(a), A),
    "slogdet": (lambda np, a: np.linalg.slogdet(a)[1], A),
    "solve": (lambda np, a: (np.linalg.solve(a, B) ** 3).sum(), A),
    "cholesky": (lambda np, a: (np.linalg.cholesky(a) ** 3).sum(), S),
    "eigh": (lambda np, a: (np.linalg.eigh(a)[1] ** 4).sum() + np.linalg.eigh(a)[0][0], S),
    "svd": (lambda np, a: (np.linalg.svd(a, full_matrices=False)[0] ** 4).sum(), TALL),
    "pinv": (lambda np, a: (np.linalg.pinv(a) ** 3).sum(), TALL),
    "norm nuc": (lambda np, a: np.linalg.norm(a, "nuc"), TALL),
}


@pytest.mark.parametrize("name", AGAINST)
def test_gradients_agree_with_autograd(name):
    """Not symmetrised first: the convention for symmetric arguments is compared, too."""
    function, x = AGAINST[name]
    ours = graphc.compile(graphc.trace(lambda a: function(np, a), x)).value_and_grad(x)[1][0]
    theirs = autograd_grad(lambda a: function(anp, a))(x)
    if name == "eigh":
        # Theirs is a gradient of the triangle that is read; ours is that of a symmetric matrix.
        theirs = (theirs + theirs.T) / 2
    np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)
