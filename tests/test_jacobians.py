"""Jacobians and Hessians in one pass, at named sizes, against rows that the backward pass gives."""

import numpy as np
import pytest

import graphc
from graphc import transforms
from graphc.rewrite import settle
from tests.programs.test_numeric_programs import CASES as CASES_OF_PROGRAMS

RNG = np.random.default_rng(5)
A, B = RNG.normal(size=(4, 4)), RNG.normal(size=(3, 4))
SPD = A @ A.T + 4 * np.eye(4)
INDEX = np.array([2, 0, 2])

# Each of one argument; what they reach is one kind of node or another, and its adjoint.
VECTOR = {
    "elementwise": lambda x: np.sin(x) * x.sum() + np.where(x > x.mean(), x * x, 0.0),
    "matmul": lambda x: np.tanh(B @ x),
    "outer": lambda x: np.outer(np.exp(x), x),
    "einsum": lambda x: np.einsum("i,ij,j->i", x, A, x),
    "slice": lambda x: x[1:] * x[:-1] ** 2,
    "reverse": lambda x: x[::-1] * x,
    "pad": lambda x: np.pad(x * x, 2) * 3.0,
    "concatenate": lambda x: np.concatenate([x * x, [1.0], np.sin(x)]),
    "stack": lambda x: np.stack([x * x, np.sin(x)], axis=1),
    "gather": lambda x: x[INDEX] * x[INDEX[::-1]],
    "scatter": lambda x: graphc.at(x * x)[INDEX].add(x[:3]),
    "set": lambda x: graphc.at(np.sin(x))[[1, 3]].set(x[:2] * x[2]),
    "max": lambda x: (np.outer(x, x) * A).max(axis=1),
    "prod": lambda x: (np.outer(x, x) + A).prod(axis=0),
    "cumsum": lambda x: np.cumsum(x * x),
    "cumprod": lambda x: np.cumprod(x),
    "sort": lambda x: np.sort(x * x),
    "diag": lambda x: np.diag(x) @ A + np.diag(np.outer(x, x)),
    "trace": lambda x: np.trace(np.outer(x, x) * A)[None] * x,
    "reshape": lambda x: (x.reshape(2, 2) @ x.reshape(2, 2)).T.ravel(),
    "solve": lambda x: np.linalg.solve(SPD + np.outer(x, x), np.sin(x)),
    "solve_columns": lambda x: np.linalg.solve(SPD + np.diag(x), A * x),
    "inv": lambda x: np.linalg.inv(SPD + np.diag(x * x)),
    "cholesky": lambda x: np.linalg.cholesky(SPD + np.outer(x, x)),
    "eigvalsh": lambda x: np.linalg.eigvalsh(SPD + np.diag(x)),
    "slogdet": lambda x: np.linalg.slogdet(SPD + np.outer(x, x))[1][None] * x,
    "softmax": lambda x: graphc.softmax(x),
    "norm": lambda x: x * x / np.linalg.norm(x),
    "convolve": lambda x: np.convolve(x, x[:2]),
    "constant": lambda x: np.ones(3),
}
MATRIX = {
    "matmul": lambda x: np.tanh(A @ x),
    "gram": lambda x: x.T @ x,
    "sum": lambda x: (x * x).sum(axis=0, keepdims=True) * x,
    "transpose": lambda x: (x * x).T,
    "swapped_gather": lambda x: x[INDEX][:, [1, 0]] * 2.0 * x[INDEX],
    "separate_indices": lambda x: np.stack([x, x * x], axis=1)[INDEX, :, [0, 1, 1]],
    "separate_sets": lambda x: graphc.at(np.stack([x, np.sin(x)], axis=1))[[0, 1], :, [1, 0]].set(
        x[:2] * x[1:3]
    ),
    "log_softmax": lambda x: graphc.log_softmax(x, axis=1),
    "stack_of_solves": lambda x: np.linalg.solve(np.stack([SPD, 2 * SPD]), x),
    "window": lambda x: np.einsum("ij,ik->jk", x, np.sin(x)),
}
CASES = [*((f, "4", n) for n, f in VECTOR.items()), *((f, "4, 2", n) for n, f in MATRIX.items())]


def rows(graph, x):
    """The Jacobian by the backward pass, one element of the output at a time."""
    f = graphc.compile(graph)
    value, saved = f.forward(x)
    found = np.empty((*np.shape(value), *x.shape))
    for at in np.ndindex(*np.shape(value)):
        cotangent = np.zeros(np.shape(value))
        cotangent[at] = 1.0
        found[at] = f.backward(saved, cotangent).x
    return found


@pytest.mark.parametrize(
    ("function", "shape", "name"), CASES, ids=[f"{c[2]}-{c[1]}" for c in CASES]
)
def test_jacobian_in_one_pass(function, shape, name, monkeypatch):
    monkeypatch.setattr(transforms, "_by_rows", None)  # one pass does it
    graph = graphc.trace(function, x=f"f64[{shape}]")
    x = RNG.normal(size=graph.inputs[0].type.shape)
    made = graphc.jacobian(graph)
    expected = rows(graph, x) if name != "constant" else np.zeros((3, 4))
    np.testing.assert_allclose(graphc.compile(made, ())(x), expected, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(made(x), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(
    ("function", "shape"), [(f, s) for f, s, name in CASES if name not in ("constant", "eigvalsh")]
)
def test_hessian_in_one_pass(function, shape, monkeypatch):
    monkeypatch.setattr(transforms, "_by_rows", None)
    graph = graphc.trace(lambda x: (function(x) ** 2).sum(), x=f"f64[{shape}]")
    x = RNG.normal(size=graph.inputs[0].type.shape)
    expected = rows(graphc.grad(graph), x)
    found = graphc.compile(graphc.hessian(graph), ())(x)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11 * scale)


NAMED = {
    "rosenbrock": (lambda x: (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum(), "n"),
    "logsumexp": (lambda x: graphc.logsumexp(x * x), "n"),
    "gram": (lambda x: (np.tanh(x.T @ x)).sum(), "n, k"),
    "softmax": (lambda x: (graphc.softmax(x, axis=1) ** 2).sum(), "n, k"),
    "norm": (lambda x: np.linalg.norm(x), "n"),
}


@pytest.mark.parametrize(("function", "shape"), NAMED.values(), ids=NAMED)
def test_hessian_of_named_sizes(function, shape):
    graph = graphc.trace(function, x=f"f64[{shape}]")
    x = RNG.normal(size=(5, 3)[: graph.inputs[0].type.ndim])
    found = graphc.compile(graphc.hessian(graph), ())(x)
    np.testing.assert_allclose(found, rows(graphc.grad(graph), x), rtol=1e-10, atol=1e-12)


def test_closed_forms():
    """No delta is left where index notation does without it: Laue, Mitterreiter, Giesen 2020."""

    def nodes_of(graph):
        return str(graph).split("nodes\n")[1]

    quadratic = graphc.trace(lambda x, A: 0.5 * x @ A @ x, "f64[n]", "f64[n, n]")
    assert "delta" not in nodes_of(graphc.hessian(quadratic, "x"))
    logistic = graphc.trace(
        lambda X, y, w: graphc.softplus(-y * (X @ w)).sum(), "f64[m, n]", "f64[m]", "f64[n]"
    )
    assert "delta" not in nodes_of(graphc.hessian(logistic, "w"))
    squares = graphc.trace(
        lambda X, y, w: ((X @ w - y) ** 2).sum(), "f64[m, n]", "f64[m]", "f64[n]"
    )
    X = RNG.normal(size=(7, 3))
    found = graphc.compile(graphc.hessian(squares, "w"), ())(X, np.ones(7), np.ones(3))
    np.testing.assert_allclose(found, 2 * X.T @ X, rtol=1e-13)


# Functions of neighbours: their Hessians are sums of a few diagonals.
BANDED = {
    "rosenbrock": (NAMED["rosenbrock"][0], "n", 1),
    "differences": (lambda x: ((x[1:] - x[:-1]) ** 4).sum(), "n", 1),
    "second differences": (lambda x: ((x[2:] - 2 * x[1:-1] + x[:-2]) ** 4).sum(), "n", 2),
    "diff": (lambda x: np.sqrt(1 + np.diff(x) ** 2).sum(), "n", 1),
    "products": (lambda x: (x[:-2] * np.sin(x[1:-1]) * x[2:]).sum(), "n", 2),
    "slices of slices": (lambda x: (np.exp(x[1:])[1:] * x[:-1][:-1]).sum(), "n", 2),
    "padded": (lambda x: (np.pad(x, 1)[2:] * x**2).sum(), "n", 1),
    "joined": (lambda x: (np.concatenate([x[1:], x[:1]]) * x**2).sum(), "n", 1),
    "tail": (lambda x: (x[-3:] * x[:3] ** 2).sum(), "n", 3),
    "where": (lambda x: np.where(x[1:] > 0, x[1:] * x[:-1] ** 2, 0.0).sum(), "n", 1),
    "rows": (lambda x: ((x[1:] - x[:-1]) ** 4).sum(), "n, k", 1),
    "columns": (lambda x: ((x[:, 1:] - x[:, :-1]) ** 4).sum(), "n, k", 1),
    "five points": (lambda x: ((x[1:-1, 1:] - x[:-2, :-1]) ** 4).sum(), "n, k", 2),
    "elementwise": (lambda x: (x**3).sum(), "n, k", 0),
    "with a ridge": (lambda x: np.exp(x.sum()) + (x**3).sum(), "n", 0),
    "weighted": (lambda x: (np.outer(np.diff(x), np.arange(3.0)) ** 3).sum(), "n", 1),
    "mixed": (lambda x: np.sin(np.stack([np.diff(x), x[1:]]).sum(axis=1)).sum(), "n", 1),
}


@pytest.mark.parametrize("size", ["fewest", "2", "7", "fixed"])
@pytest.mark.parametrize(("function", "shape", "least"), BANDED.values(), ids=BANDED)
def test_hessians_of_functions_of_neighbours(function, shape, least, size):
    n = {"fewest": least, "fixed": 5}.get(size, size)
    n = max(int(n), least)
    k = 4 if "k" in shape else None
    x = RNG.normal(size=(n, k) if k else n)
    graph = graphc.trace(function, x=f"f64[{shape}]" if size != "fixed" else x)
    hessian = graphc.hessian(graph)
    expected = np.reshape(rows(graphc.grad(graph), x), x.shape * 2)
    for found in (graphc.compile(hessian, ())(x), hessian(x)):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "name", ["rosenbrock", "second differences", "products", "padded", "where", "rows", "tail"]
)
def test_bands_cost_what_their_diagonals_do(name):
    """What has as many elements as the matrix is zeros, and what is written into them."""
    function, shape, _ = BANDED[name]
    graph = settle(graphc.hessian(graphc.trace(function, x=f"f64[{shape}]")))
    size = graph.outputs[0][1].type.size
    large = {node.op.name for node in graph.nodes if node.type.size == size}
    assert large <= {"place", "add", "reshape"}


@pytest.mark.parametrize(
    "options", [{"workspace": True}, {"threads": 2}, {"sizes": {"n": 3000}}], ids=str
)
def test_bands_whatever_the_options(options):
    graph = graphc.trace(NAMED["rosenbrock"][0], x="f64[n]")
    hessian, x = graphc.hessian(graph), RNG.normal(size=300)
    found = graphc.compile(hessian, (), **options)(x)
    assert type(found) is np.ndarray
    assert found.flags.c_contiguous
    product = graphc.compile(graphc.hvp(graph), ())
    vector = RNG.normal(size=300)
    np.testing.assert_allclose(found @ vector, product(x, vector), rtol=1e-10, atol=1e-9)
    again = graphc.compile(graphc.loads(graphc.dumps(hessian)), ())(x)
    np.testing.assert_array_equal(found, again)


@pytest.mark.parametrize("shape", ["n", "9"])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.convolve(x * x, [1.0, 2.0, 4.0]),
        lambda x: np.convolve(x, [1.0, 2.0, 4.0, 5.0])[2:-1],
        lambda x: np.convolve(np.sin(x), [1.0, -1.0])[1:-1],
        lambda x: np.correlate(x, np.ones(3), "full"),
        lambda x: np.sin(np.convolve(x, [1.0, -2.0, 1.0])),
    ],
    ids=["full", "as long", "valid", "correlate", "inside"],
)
def test_jacobians_of_convolutions(function, shape):
    graph, x = graphc.trace(function, x=f"f64[{shape}]"), RNG.normal(size=9)
    made = graphc.jacobian(graph)
    for found in (graphc.compile(made, ())(x), made(x)):
        np.testing.assert_allclose(found, rows(graph, x), rtol=1e-12)


def test_the_jacobian_of_a_convolution_takes_no_loop_over_its_rows():
    graph = graphc.trace(lambda x, k: np.convolve(x, k), "f64[n]", "f64[3]")
    f = graphc.compile(graphc.jacobian(graph, "x"), ())
    assert "for " not in f.source.partition("def value")[2].partition("\ndef ")[0]
    expected = np.transpose([[1, 2, 3, 0], [0, 1, 2, 3]])
    np.testing.assert_array_equal(f(np.zeros(2), [1, 2, 3]), expected)


def test_the_gradient_of_a_hessian_of_named_sizes():
    graph = graphc.trace(lambda x: ((x[1:] - x[:-1]) ** 4).sum(), x="f64[n]")
    weighted = graphc.trace(lambda x: (graphc.hessian(graph)(x) ** 2).sum(), x="f64[n]")
    x = RNG.normal(size=5)
    found = graphc.compile(weighted).value_and_grad(x)[1].x
    expected = graphc.compile(graphc.jvp(weighted), ())
    columns = [expected(x, unit) for unit in np.eye(5)]
    np.testing.assert_allclose(found, columns, rtol=1e-11)
    graphc.check_grads(weighted, x=x)


def test_the_hessian_of_a_hessian():
    """What is differentiated again are bands, not the elements they are written at."""
    graph = graphc.trace(lambda x: ((x[1:] - x[:-1]) ** 4).sum(), x="f64[n]")
    x = RNG.normal(size=4)
    weighted = graphc.trace(
        lambda x: (graphc.hessian(graph)(x) * np.arange(16.0).reshape(4, 4)).sum(), x="f64[4]"
    )
    found = graphc.compile(graphc.hessian(weighted), ())(x)
    np.testing.assert_allclose(found, rows(graphc.grad(weighted), x), rtol=1e-10, atol=1e-12)


def test_a_tall_jacobian_goes_forward():
    tall = graphc.trace(
        lambda x: np.sin(np.linspace(0, 1, 500)[:, None] * x).sum(axis=1), x="f64[2]"
    )
    made = graphc.jacobian(tall)
    assert max(node.type.size for node in made.nodes) == 1000
    x = np.array([0.3, 0.7])
    np.testing.assert_allclose(graphc.compile(made, ())(x), rows(tall, x), rtol=1e-13)


def test_through_a_primitive_each_element_takes_a_pass():
    @graphc.primitive(result="f64[3]")
    def cube(x):
        return x**3, x

    @cube.vjp
    def _(x, d_y):
        return 3 * x * x * d_y

    graph = graphc.trace(lambda x: cube(x) * x.sum(), x="f64[3]")
    x = RNG.normal(size=3)
    np.testing.assert_allclose(graphc.compile(graphc.jacobian(graph), ())(x), rows(graph, x))


def test_float32_stays():
    graph = graphc.trace(lambda x: np.tanh(x) @ x * x, x="f32[n]")
    found = graphc.compile(graphc.jacobian(graph), ())(np.ones(3, np.float32))
    assert found.dtype == np.float32


INPUTS = [
    (name, k)
    for name, (_, operands, _) in CASES_OF_PROGRAMS.items()
    for k, operand in enumerate(operands)
    if np.asarray(operand).dtype.kind == "f" and np.size(operand) <= 40
]


@pytest.mark.parametrize(("name", "k"), INPUTS, ids=[f"{name}-{k}" for name, k in INPUTS])
def test_hessians_of_programs(name, k):
    """The Hessian by each input, column by column, is the product of Hessian and unit vector."""
    function, operands, options = CASES_OF_PROGRAMS[name]
    given = [np.asarray(operand) for operand in operands]
    graph = graphc.trace(lambda *xs: function(*xs, *options), *given)
    x = graph.inputs[k]
    size, shape = given[k].size, given[k].shape
    with np.errstate(all="ignore"):
        found = np.reshape(graphc.compile(graphc.hessian(graph, x.name), ())(*given), (size, size))
        product = graphc.compile(graphc.hvp(graph, x.name), ())
        columns = [np.ravel(product(*given, np.reshape(unit, shape))) for unit in np.eye(size)]
    scale = np.abs(columns).max()
    np.testing.assert_allclose(found, np.transpose(columns), rtol=1e-9, atol=1e-11 * scale)


def test_a_hessian_is_printed_in_closed_form():
    @graphc.trace(A="f64[n, n]", x="f64[n]", b="f64[n]")
    def quadratic(A, x, b):
        return 0.5 * x @ A @ x - b @ x

    nodes = str(graphc.hessian(quadratic, "x")).partition("  nodes\n")[2].partition("  outputs")[0]
    assert nodes.splitlines() == [
        "    multiply_1: f64[n, n] = 0.5 * A",
        "    transpose_1: f64[n, n] = A.T",
        "    multiply_2: f64[n, n] = transpose_1 * 0.5",
        "    H: f64[n, n] = multiply_1 + multiply_2",
    ]
