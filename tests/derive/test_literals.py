"""Literals folded inside one expression: the same value, and what a person would have written."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen.expr import Apply, Number, Symbol, replace_symbols
from graphc.derive.lookup import derivation
from graphc.formula import parse, text
from graphc.literals import fold
from graphc.ops.elementwise import TABLE
from graphc.scalars import evaluate_expr


@pytest.mark.parametrize(
    ("formula", "folded"),
    [
        ("2 * x ** (2 - 1)", "2 * x"),
        ("3 * x ** (3 - 1)", "3 * x ** 2"),
        ("-1 * x ** (-1 - 1)", "-1 * x ** -2"),
        ("0.5 * x ** (0.5 - 1)", "0.5 * x ** -0.5"),
        ("2 * x ** 0.0", "2.0"),
        ("where(2 == 0, 0, x)", "x"),
        ("where(0 == 0, 0, x)", "0"),
        ("x * 1.0", "x * 1.0"),
        ("1 * x", "x"),
        ("x / (1 - 1)", "x / 0"),
        ("x + 1 / 0", "x + 1 / 0"),
        ("x * log(2 + 0)", "x * 0.6931471805599453"),
        ("where(x > 0 and 1 > 0, x, 2 - 3)", "where(logical_and(x > 0, True), x, -1)"),
        ("(x + 1e16) - 1e16", "x + 1e+16 - 1e+16"),
    ],
)
def test_folding(formula, folded):
    assert text(fold(parse(formula, ("x",)))) == folded


@pytest.mark.parametrize("exponent", [2, 3, 4, -1, 0.5, 2.0])
def test_the_partial_of_a_literal_power(exponent):
    partial = derivation(TABLE["power"], (False, True)).partials[0]
    expr = replace_symbols(parse(partial.formula, partial.args), {"b": Number(exponent)})
    x = np.array([0.5, 2.0, 3.25])
    got = evaluate_expr(fold(expr), {"a": x}, {})
    assert got == pytest.approx(exponent * x ** (exponent - 1), rel=1e-15)


LEAVES = st.one_of(st.just(Symbol("x")), st.sampled_from([0, 1, 2, -1, 0.5, 1.0, 3]).map(Number))
FUNCTIONS = ["add", "subtract", "multiply", "divide", "less", "equal"]


@given(
    st.recursive(
        LEAVES,
        lambda inner: st.builds(
            lambda name, a, b: Apply(name, (a, b)), st.sampled_from(FUNCTIONS), inner, inner
        ),
        max_leaves=8,
    ),
    st.floats(-4, 4),
)
def test_folding_changes_no_bit(expr, x):
    operands = {"x": np.float64(x)}
    try:
        with np.errstate(all="ignore"):
            before = evaluate_expr(expr, operands, {})
            after = evaluate_expr(fold(expr), operands, {})
    except (TypeError, ZeroDivisionError):
        return  # NumPy subtracts no bools; nothing is evaluated then
    assert np.float64(before).tobytes() == np.float64(after).tobytes() or (
        np.isnan(before) and np.isnan(after)
    )
