"""What is declared wrongly, and the rules where derivatives are delicate."""

import numpy as np
import pytest

import graphc
from graphc import nodes
from graphc.ir import Graph, Node
from graphc.matrices import results, signature
from graphc.ops.kinds import LinAlgParams
from graphc.ops.linalg import LINALG
from graphc.types import array_type, parse_type
from graphc.verify import verify

RNG = np.random.default_rng(3)


# -- errors ----------------------------------------------------------------------------------------

ERRORS = [
    (
        lambda a: np.linalg.inv(a),
        ["f64[3, 4]"],
        "inv: a f64[3, 4]: the matrix is not square: 3 and 4",
    ),
    (lambda a: np.linalg.det(a), ["f64[n, m]"], "the matrix is not square: n and m differ"),
    (lambda a: np.linalg.cholesky(a), ["f64[3]"], "cholesky: a f64[3] has fewer than 2 axes"),
    (lambda a: np.linalg.cholesky(a, upper=True), ["f64"], "has fewer than 2 axes"),
    (lambda a: np.linalg.eigh(a), ["f64[2, 3]"], "eigh: a f64[2, 3]: the matrix is not square"),
    (lambda a: np.linalg.eigh(a, UPLO="X"), ["f64[2, 2]"], "UPLO='X'"),
    (
        lambda a, b: np.linalg.solve(a, b),
        ["f64[3, 3]", "f64[4]"],
        "solve: a f64[3, 3], b f64[4]: sizes that must agree: 3 and 4 differ",
    ),
    (
        lambda a, b: np.linalg.solve(a, b),
        ["f64[2, 3, 3]", "f64[5, 3, 1]"],
        "the leading axes do not broadcast",
    ),
    (
        lambda a, b: np.linalg.lstsq(a, b),
        ["f64[2, 4, 3]", "f64[4, 1]"],
        "lstsq: a f64[2, 4, 3], b f64[4, 1]: NumPy's lstsq takes one matrix",
    ),
    (lambda a, b: np.linalg.lstsq(a, b), ["f64[2, 3]", "f64[2]"], "more columns than rows"),
    (lambda a: np.linalg.qr(a), ["f64[2, 3]"], "qr: a f64[2, 3]: more columns than rows"),
    (lambda a: np.linalg.qr(a, "complete"), ["f64[3, 3]"], "mode='complete' is not traced"),
    (lambda a: np.linalg.svd(a), ["f64[3, 2]"], "pass full_matrices=False"),
    (lambda a: np.linalg.svd(a, hermitian=True), ["f64[3, 3]"], "`hermitian=` is not supported"),
    (lambda a: np.linalg.pinv(a, rcond=0.1), ["f64[3, 2]"], "`rcond=` is not supported"),
    (lambda a: np.linalg.matrix_rank(a), ["f64[3, 2]"], "np.linalg.matrix_rank is not traced"),
    (lambda a: np.linalg.eig(a), ["f64[3, 3]"], "np.linalg.eig is not traced by graphc"),
    (lambda a: np.linalg.matrix_power(a, 0.5), ["f64[3, 3]"], "the exponent is an int, got 0.5"),
    (lambda a: np.linalg.matrix_power(a, 2), ["f64[3, 2]"], "is no square matrix"),
    (lambda a: np.linalg.multi_dot([a]), ["f64[3, 2]"], "fewer than two arrays"),
    (lambda a: np.linalg.multi_dot([a, a[0], a]), ["f64[3, 3]"], "is no matrix"),
    (lambda a: np.linalg.norm(a, "nuc"), ["f64[3]"], "ord='nuc' is no order of a vector"),
    (lambda a: np.linalg.norm(a, 3), ["f64[3, 3]"], "ord=3 is no order of a matrix"),
    (lambda a: np.linalg.norm(a, 2), ["f64[3, 3, 3]"], "needs one axis, or two different ones"),
    (lambda a: np.linalg.norm(a, 2, axis=(1, 1)), ["f64[3, 3]"], "or two different ones"),
    (lambda a: np.linalg.matrix_norm(a), ["f64[3]"], "is no matrix"),
    (lambda a: np.linalg.trace(a), ["f64[3]"], "is no matrix"),
    (lambda a: graphc.expm(a), ["f64[3, 2]"], "expm: a f64[3, 2]: the matrix is not square"),
    (lambda a, b: graphc.solve_triangular(a, b), ["f64[3, 2]", "f64[3]"], "3 and 2 differ"),
]


@pytest.mark.parametrize(("function", "types", "message"), ERRORS, ids=range(len(ERRORS)))
def test_errors(function, types, message):
    with pytest.raises(graphc.GraphError) as raised:
        graphc.trace(function, *types)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("test_linalg_edges.py:")


def test_integers_become_double():
    graph = graphc.trace(lambda a: np.linalg.inv(a), "i64[2, 2]")
    found = graph(np.array([[2, 0], [0, 4]]))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [[0.5, 0], [0, 0.25]])


def test_signatures_are_read():
    rule = signature("(m>n,n),(n,k?)->(m,min(m,n)),()")
    assert rule.operands == (("m>n", "n"), ("n", "k?"))
    assert rule.results == (("m", "min(m,n)"), ())


# -- the verifier ----------------------------------------------------------------------------------


def broken(op, inputs, params, type):
    node = Node(op, tuple(inputs), params, type)
    return Graph("g", inputs, [("f", node)], [*inputs, node])


A33, B3 = parse_type("f64[3, 3]"), parse_type("f64[3]")


@pytest.mark.parametrize(
    ("op", "types", "params", "result", "message"),
    [
        ("inv", [A33], LinAlgParams(1), A33, "inv has no result 1"),
        ("inv", [A33], LinAlgParams(), B3, "its op's type rule gives f64[3, 3]"),
        ("inv", [A33], None, A33, "a matrix function with None"),
        ("inv", [parse_type("f64[3, 2]")], LinAlgParams(), A33, "not square"),
        ("inv", [parse_type("i64[3, 3]")], LinAlgParams(), A33, "one floating dtype"),
        ("solve", [A33], LinAlgParams(), A33, "solve takes 2 operands"),
        ("solve", [A33, parse_type("f32[3]")], LinAlgParams(), B3, "one floating dtype"),
        ("eigh", [A33], LinAlgParams(1), B3, "its op's type rule gives f64[3, 3]"),
    ],
)
def test_the_verifier_knows_the_types(op, types, params, result, message):
    inputs = [nodes.input_(f"x{k}", type) for k, type in enumerate(types)]
    with pytest.raises(graphc.GraphTypeError, match=message.replace("[", r"\[")):
        verify(broken(LINALG[op], inputs, params, result))


@pytest.mark.parametrize("op", LINALG.values(), ids=lambda op: op.name)
def test_what_is_declared_is_verified(op):
    shapes = {"lstsq": [(5, 3), (5, 2)], "qr": [(5, 3)], "svd": [(5, 3)], "pinv": [(5, 3)]}
    given = shapes.get(op.name, [(3, 3), (3, 2)][: len(op.args)])
    inputs = [nodes.input_(f"x{k}", array_type("f32", s)) for k, s in enumerate(given)]
    made = results(op, *inputs)
    outputs = [(f"y{k}", node) for k, node in enumerate(made)]
    verify(Graph("g", inputs, outputs, [*inputs, *made]))
    assert all(node.type.dtype == "f32" for node in made)


# -- one call a decomposition ----------------------------------------------------------------------


def test_results_of_one_decomposition_are_one_call():
    def function(a):
        w, v = np.linalg.eigh(a)
        return (w**2).sum() + (v**4).sum()

    compiled = graphc.compile(graphc.trace(function, "f64[4, 4]"))
    # value, forward, value_and_grad; backward has what forward saved.
    assert compiled.source.count("np.linalg.eigh(") == 3


def test_eigenvalues_alone_are_cheaper_and_the_vectors_are_saved_for_backward():
    compiled = graphc.compile(
        graphc.trace(lambda a: (np.linalg.eigvalsh(a) ** 3).sum(), "f64[4, 4]")
    )
    assert compiled.source.count("np.linalg.eigvalsh(") == 1
    assert compiled.source.count("np.linalg.eigh(") == 2
    a = RNG.normal(size=(4, 4))
    a = a + a.T
    _, saved = compiled.forward(a)
    assert any(np.shape(part) == (4, 4) and part is not a for part in saved)
    np.testing.assert_allclose(compiled.backward(saved)[0], 3 * a @ a, atol=1e-10)


def test_singular_values_alone():
    compiled = graphc.compile(graphc.trace(lambda a: np.linalg.norm(a, "nuc"), "f64[4, 3]"))
    assert compiled.source.count("compute_uv=False") == 1
    assert compiled.source.count("full_matrices=False") == 2


def test_the_inverse_is_saved_not_recomputed():
    compiled = graphc.compile(graphc.trace(lambda a: np.linalg.inv(a).sum(), "f64[4, 4]"))
    assert "np.linalg" not in compiled.source.partition("def backward")[2].partition("def ")[0]


@pytest.fixture
def without_scipy(monkeypatch):
    for module in ("graphc.compiled", "graphc.functions"):
        monkeypatch.setattr(f"{module}.scipy_installed", lambda: False)


def by_cholesky(a, b):
    low = np.linalg.cholesky(a)
    return (np.linalg.solve(low.T, np.linalg.solve(low, b)) ** 2).sum()


def by_triangles(a, b):
    upper = graphc.solve_triangular(a, b)
    return (graphc.solve_triangular(a, upper, lower=True) ** 2).sum()


def test_a_factor_known_to_be_triangular_is_solved_as_one(without_scipy):
    graph = graphc.trace(by_cholesky, "f64[4, 4]", "f64[4]")
    names = [node.op.name for node in graph.nodes]
    assert "solve" not in names
    assert {"solve_lower", "solve_upper"} <= set(names)
    source = graphc.compile(graph).source
    assert "np.tril(" not in source
    assert "np.triu(" not in source
    factor = graphc.trace(
        lambda a, b: np.linalg.solve(np.linalg.qr(a).R, np.linalg.solve(np.linalg.qr(a).Q, b)),
        "f64[4, 4]",
        "f64[4]",
    )
    assert sorted(node.op.name for node in factor.nodes if "solve" in node.op.name) == [
        "solve",
        "solve_upper",
    ]


@pytest.mark.parametrize("function", [by_cholesky, by_triangles])
@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_triangular_systems_with_and_without_scipy(function, dtype, monkeypatch):
    a = RNG.normal(size=(5, 5))
    a, b = a @ a.T + 3 * np.eye(5), RNG.normal(size=(5, 2))
    a, b = (x.astype({"f64": np.float64, "f32": np.float32}[dtype]) for x in (a, b))
    graph = graphc.trace(function, a, b)
    fast = graphc.compile(graph)
    assert "scipy.linalg.solve_triangular(" in fast.source
    value, grads = fast.value_and_grad(a, b)
    for module in ("graphc.compiled", "graphc.functions"):
        monkeypatch.setattr(f"{module}.scipy_installed", lambda: False)
    plain = graphc.compile(graph)
    assert "scipy" not in plain.source
    other, others = plain.value_and_grad(a, b)
    tolerance = 1e-10 if dtype == "f64" else 1e-3
    np.testing.assert_allclose(value, other, rtol=tolerance)
    for one, two in zip(grads, others, strict=True):
        assert one.dtype == two.dtype == a.dtype
        np.testing.assert_allclose(one, two, rtol=tolerance, atol=tolerance)


def test_an_exported_file_needs_numpy_alone(tmp_path):
    path = tmp_path / "grad.py"
    graphc.compile(graphc.trace(by_triangles, "f64[3, 3]", "f64[3]")).export(path)
    assert "scipy" not in path.read_text()


def test_expm_without_scipy(monkeypatch):
    monkeypatch.setattr("graphc.linear.scipy_installed", lambda: False)
    with pytest.raises(graphc.GraphTypeError, match="pip install graphc"):
        graphc.trace(lambda a: graphc.expm(a), "f64[2, 2]")


# -- rules at the edges ----------------------------------------------------------------------------


def test_equal_eigenvalues_a_function_of_the_space_has_its_gradient():
    """tr f(A) = sum of f(w), and any function of the projection on the space of equal ones."""
    graph = graphc.trace(lambda a: (np.linalg.eigvalsh(a) ** 3).sum(), "f64[3, 3]")
    np.testing.assert_allclose(graphc.grad(graph)(2 * np.eye(3)), 12 * np.eye(3), atol=1e-14)

    def projected(a):
        v = np.linalg.eigh(a).eigenvectors
        return (v[:, 1:] @ v[:, 1:].T * np.arange(9.0).reshape(3, 3)).sum()

    graph = graphc.trace(projected, "f64[3, 3]")
    a = np.diag([1.0, 3.0, 3.0])
    # P' = P dA (1 - P) / (3 - 1) + its transpose, P the projection.
    expected = np.zeros((3, 3))
    weights = np.arange(9.0).reshape(3, 3)
    expected[0, 1:] = expected[1:, 0] = (weights + weights.T)[0, 1:] / 2 / 2
    np.testing.assert_allclose(graphc.grad(graph)(a), expected, atol=1e-13)
    value, grads = graphc.compile(graph).value_and_grad(a)
    np.testing.assert_allclose(value, 4.0 + 5 + 7 + 8 - 0 - 5 - 7, atol=1e-13)
    np.testing.assert_allclose(grads[0], expected, atol=1e-13)


def test_equal_eigenvalues_leave_no_nan():
    graph = graphc.trace(lambda a: (np.linalg.eigh(a).eigenvectors ** 4).sum(), "f64[3, 3]")
    found = graphc.compile(graph).value_and_grad(np.eye(3))[1][0]
    np.testing.assert_array_equal(found, np.zeros((3, 3)))


def test_equal_singular_values():
    """The nearest orthogonal matrix, U @ H, is a function of the whole; so is the nuclear norm."""

    def polar(a):
        u, _, h = np.linalg.svd(a)
        return (u @ h * np.arange(4.0).reshape(2, 2)).sum()

    graph = graphc.trace(polar, "f64[2, 2]")
    found = graphc.grad(graph)(2 * np.eye(2))
    # At c times the identity the polar factor moves by the skew part, over c.
    np.testing.assert_allclose(found, np.array([[0, -0.25], [0.25, 0]]), atol=1e-13)
    nuclear = graphc.trace(lambda a: np.linalg.norm(a, "nuc"), "f64[2, 2]")
    np.testing.assert_allclose(graphc.grad(nuclear)(2 * np.eye(2)), np.eye(2), atol=1e-14)


def test_a_singular_value_of_zero_leaves_no_nan():
    a = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    for function in (
        lambda a: np.linalg.norm(a, 2),
        lambda a: (np.linalg.svd(a, full_matrices=False).U ** 3).sum(),
    ):
        found = graphc.grad(graphc.trace(function, "f64[3, 2]"))(a)
        assert np.isfinite(found).all()


def test_the_other_triangle_is_not_read_and_gets_no_gradient():
    a, b = RNG.normal(size=(3, 3)) + 3 * np.eye(3), RNG.normal(size=3)
    graph = graphc.trace(
        lambda a, b: (graphc.solve_triangular(a, b) ** 2).sum(), "f64[3, 3]", "f64[3]"
    )
    compiled = graphc.compile(graph)
    value, grads = compiled.value_and_grad(a, b)
    other, _ = compiled.value_and_grad(np.where(np.tri(3, k=-1, dtype=bool), np.nan, a), b)
    assert value == other
    assert (grads[0][np.tri(3, k=-1, dtype=bool)] == 0).all()
    np.testing.assert_allclose(
        graphc.solve_triangular(a, b), np.linalg.solve(np.triu(a), b), rtol=1e-12
    )


def test_gradients_of_symmetric_arguments_are_symmetric():
    a = RNG.normal(size=(4, 4))
    a = a @ a.T + np.eye(4)
    weights = RNG.normal(size=(4, 4))
    for function in (
        lambda a: (np.linalg.cholesky(a) * weights).sum(),
        lambda a: (np.linalg.eigh(a).eigenvectors ** 2 * weights).sum(),
        lambda a: (np.linalg.eigvalsh(a) * weights[0]).sum(),
    ):
        found = graphc.compile(graphc.trace(function, "f64[4, 4]")).value_and_grad(a)[1][0]
        np.testing.assert_allclose(found, found.T, atol=1e-12)


def test_singular_matrices_raise_numpys_error():
    compiled = graphc.compile(graphc.trace(lambda a: np.linalg.inv(a).sum(), "f64[2, 2]"))
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        compiled(np.zeros((2, 2)))


def test_determinants_of_singular_matrices_have_a_value_and_no_gradient():
    compiled = graphc.compile(graphc.trace(lambda a: np.linalg.det(a), "f64[2, 2]"))
    assert compiled(np.ones((2, 2))) == 0
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        compiled.value_and_grad(np.ones((2, 2)))
    compiled = graphc.compile(graphc.trace(lambda a: np.linalg.slogdet(a).logabsdet, "f64[2, 2]"))
    assert compiled(np.zeros((2, 2))) == -np.inf


def test_products_of_many_are_taken_in_the_cheapest_order():
    arrays = [RNG.normal(size=s) for s in ((2, 30), (30, 40), (40, 1))]
    graph = graphc.trace(lambda a, b, c: np.linalg.multi_dot([a, b, c]), *arrays)
    first = next(node for node in graph.nodes if node.op.name == "matmul")
    assert first.type.shape == (30, 1)
    named = graphc.trace(
        lambda a, b, c: np.linalg.multi_dot([a, b, c]), "f64[2, n]", "f64[n, 40]", "f64[40, 1]"
    )
    np.testing.assert_allclose(named(*arrays), graph(*arrays), rtol=1e-12)


def test_matrices_of_one_element():
    for function in (
        lambda a: np.linalg.inv(a).sum(),
        lambda a: np.linalg.det(a),
        lambda a: np.linalg.cholesky(a).sum(),
        lambda a: np.linalg.eigvalsh(a).sum() ** 2,
        lambda a: np.linalg.svdvals(a).sum() ** 2,
        lambda a: np.linalg.qr(a).R.sum() ** 2,
    ):
        graphc.check_grads(graphc.trace(function, "f64[1, 1]"), np.array([[2.0]]))


def test_inputs_are_not_written():
    a = RNG.normal(size=(3, 3))
    a = a @ a.T + np.eye(3)
    b = RNG.normal(size=(3, 2))
    before = a.copy(), b.copy()
    compiled = graphc.compile(
        graphc.trace(
            lambda a, b: (
                (np.linalg.solve(a, b) ** 2).sum()
                + np.linalg.cholesky(a).sum()
                + np.linalg.eigh(a).eigenvectors[0, 0]
            ),
            a,
            b,
        )
    )
    compiled.value_and_grad(a, b)
    np.testing.assert_array_equal(a, before[0])
    np.testing.assert_array_equal(b, before[1])


def test_results_have_numpys_names():
    def function(a):
        sign, size = np.linalg.slogdet(a)
        assert np.linalg.slogdet(a).logabsdet.shape == ()
        q, r = np.linalg.qr(a)
        assert np.linalg.qr(a).R.shape == r.shape
        u, s, vh = np.linalg.svd(a)
        assert np.linalg.svd(a).Vh.shape == vh.shape
        return sign * size + q.sum() + u[0, 0] * s[0]

    a = RNG.normal(size=(3, 3))
    np.testing.assert_allclose(graphc.trace(function, a)(a), function(a), rtol=1e-12)


def test_plain_arrays_are_computed_at_once():
    a = RNG.normal(size=(3, 3)) / 3
    np.testing.assert_allclose(graphc.expm(a) @ graphc.expm(-a), np.eye(3), atol=1e-12)
    assert isinstance(graphc.solve_triangular(np.eye(2), np.ones(2)), np.ndarray)


def test_the_emitted_backward_pass_is_what_one_would_write():
    graph = graphc.trace(lambda A, B: (np.linalg.solve(A, B) ** 2).sum(), "f64[n, n]", "f64[n, 2]")
    source = graphc.compile(graph).source
    assert "solve_A = np.linalg.solve(A, B)\n" in source
    assert "d_B = np.linalg.solve(A.T, 2.0 * solve_A)" in source
    assert "d_A = -d_B @ solve_A.T" in source
