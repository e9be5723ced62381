"""The language of matrix formulas: reading, the product rule, solving for the unknown's move."""

import numpy as np
import pytest

from graphc.matrix_formula import differential, line, names, parse, sides, solved, text


@pytest.mark.parametrize(
    "formula", ["A @ (B + C)", "-A.T @ B", "sym(A) - tril(B @ C).T", "(A * w) @ B", "-(A - B)"]
)
def test_text_reads_back(formula):
    term = parse(formula)
    assert parse(text(term)) == term


@pytest.mark.parametrize("formula", ["A ** B", "A[0]", "A.I", "1 + A", "f(x=A)", "lambda: A"])
def test_what_is_no_formula(formula):
    with pytest.raises(ValueError, match="no matrix formula"):
        parse(formula)


def test_names():
    assert names(parse("A @ solve(B, dA.T)")) == {"A", "B", "dA"}
    assert line("M = Q.T @ X") == ("M", parse("Q.T @ X"))
    assert sides("A @ X = B") == (parse("A @ X"), parse("B"))


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("A @ X", "dA @ X + A @ dX"),
        ("C @ X", "C @ dX"),
        ("L @ L.T", "dL @ L.T + L @ dL.T"),
        ("V * w", "dV * w + V * dw"),
        ("tril(A) - C", "tril(dA)"),
        ("C - A", "-dA"),
        ("-A", "-dA"),
        ("solve(C, A)", "solve(C, dA)"),
    ],
)
def test_product_rule(formula, expected):
    assert differential(parse(formula), "AXLVw") == parse(expected)


def test_what_does_not_move():
    assert differential(parse("A @ B"), ("C",)) is None
    assert differential(parse("eye(A)"), ("A",)) is None


@pytest.mark.parametrize("formula", ["solve(A, B)", "gaps(A)"])
def test_what_is_not_linear(formula):
    with pytest.raises(ValueError, match=r"moves|not linear"):
        differential(parse(formula), ("A",))


def test_solving_for_the_unknown():
    found = solved("A @ X = B", "X", ("A", "B"), "solve(A, rest)")
    assert found == parse("solve(A, dB - dA @ X)")
    found = solved("A @ Y = eye(A)", "Y", ("A",), "Y @ rest")
    assert found == parse("Y @ (-(dA @ Y))")


@pytest.mark.parametrize("equation", ["X @ A = B", "A + X = B", "C @ X = D"])
def test_equations_it_does_not_solve(equation):
    with pytest.raises(ValueError, match=r"not of the form|nothing moves"):
        solved(equation, "X", ("A", "B"), "solve(A, rest)")


def test_a_solution_satisfies_the_equation_it_is_of():
    """Moving A and B a little moves X as its differential says."""
    rng = np.random.default_rng(0)
    a, b, da, db = (rng.normal(size=(3, 3)) for _ in range(4))
    x = np.linalg.solve(a, b)
    step = 1e-7
    moved = (np.linalg.solve(a + step * da, b + step * db) - x) / step
    np.testing.assert_allclose(np.linalg.solve(a, db - da @ x), moved, rtol=1e-4, atol=1e-4)
