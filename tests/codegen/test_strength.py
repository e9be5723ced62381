"""Cheaper spellings, each recognised once, and not where it would change a result."""

from __future__ import annotations

import numpy as np
import pytest

import codegen
from codegen.expr import Number
from codegen.types import ArrayType
from tests.codegen.compare import check
from tests.codegen.programs import (
    ONE,
    TWO,
    ZERO,
    Body,
    dim,
    expr,
    function,
    inputs,
    program,
    tuple_of,
)


def body_of(made, **sizes):
    """The emitted statements, after they were checked against the evaluator."""
    lines = check(made, rtol=1e-6 if "f32" in repr(made) else 1e-12, **sizes).unchecked
    inside = lines[lines.index("def f(") :].splitlines()[1:]
    return [line.strip().partition("  #")[0] for line in inside if ".shape[" not in line]


def elementwise(tree, type="f64[n]"):
    v = inputs(x=type, y=type, z=type)
    b = Body()
    out = b.map(type, tree, *v.values(), name="out")
    return body_of(program("p", function("f", v, b, out)), n=5)


NEGATIVE = expr("negative", ONE)
TREES = [
    (expr("multiply", ZERO, expr("divide", 1.0, ONE)), ["out = x / y"]),
    (expr("add", ZERO, NEGATIVE), ["out = x - y"]),
    (expr("add", NEGATIVE, ZERO), ["out = x - y"]),
    (expr("subtract", ZERO, NEGATIVE), ["out = x + y"]),
    (expr("negative", expr("multiply", 3.0, ZERO)), ["out = x * -3.0"]),
    (expr("multiply", 2.0, expr("multiply", ZERO, 100.0)), ["out = x * 200.0"]),
    (expr("multiply", 3.0, expr("multiply", ZERO, 0.1)), ["out = x * 0.1", "out *= 3.0"]),
    (expr("negative", expr("negative", ZERO)), ["out = x"]),
    (expr("power", ZERO, 2), ["out = x * x"]),
    (expr("power", ZERO, 4), ["out = x * x", "np.square(out, out=out)"]),
    (expr("power", expr("absolute", ZERO), 0.5), ["out = np.abs(x)", "np.sqrt(out, out=out)"]),
    (expr("power", ZERO, 0.5), ["out = x ** 0.5"]),
    (
        expr("add", ZERO, expr("multiply", ONE, expr("negative", TWO))),
        ["out = y * z", "np.subtract(x, out, out=out)"],
    ),
    # A power of two that both terms have is the sum's: a pass less.
    (
        expr("subtract", expr("multiply", 2.0, ZERO), expr("multiply", 2.0, ONE)),
        ["out = x - y", "out *= 2.0"],
    ),
    (
        expr(
            "add", expr("multiply", ZERO, expr("multiply", TWO, -4.0)), expr("multiply", 4.0, ONE)
        ),
        ["out = x * z", "out -= y", "out *= -4.0"],
    ),
    # Of another factor each product is rounded.
    (
        expr("add", expr("multiply", 3.0, ZERO), expr("multiply", 3.0, ONE)),
        ["out = 3.0 * x", "out += 3.0 * y"],
    ),
]


@pytest.mark.parametrize(("tree", "lines"), TREES)
def test_elementwise(tree, lines):
    with np.errstate(all="ignore"):
        *found, result = elementwise(tree)
    assert found == lines
    assert result in ("return out", "return out.copy()")


def test_association_is_kept():
    found = elementwise(expr("subtract", expr("add", ZERO, 1e16), 1e16))
    assert found[:2] == ["out = x + 1e+16", "out -= 1e+16"]
    assert elementwise(expr("multiply", 0.0, ZERO))[0] == "out = 0.0 * x"


@pytest.mark.parametrize(
    ("type", "axes", "line"),
    [
        ("f64[n]", None, "total = x.dot(y)"),
        ("f64[n, m]", None, "total = np.vdot(x, y)"),
        ("f64[n, m]", (1,), "total = np.vecdot(x, y)"),
        ("f32[n, m]", (1,), "total = np.vecdot(x, y)"),
        ("f64[n, m]", (0,), "total = (x * y).sum(axis=0)"),
        # A long sum in single precision stays pairwise.
        ("f32[n]", None, "total = (x * y).sum()"),
        ("f32[40]", None, "total = x.dot(y)"),
        ("f32[100, 64]", None, "total = np.vecdot(x, y).sum()"),
        ("f32[1000, 8]", None, "total = (x * y).sum()"),
    ],
)
def test_sums_of_products(type, axes, line):
    v = inputs(x=type, y=type)
    b = Body()
    both = b.apply(type, "multiply", *v.values())
    kept = range(both.type.ndim) if axes is None else axes
    shape = tuple(size for k, size in enumerate(both.type.shape) if k not in kept)
    total = b.reduce(ArrayType(both.type.dtype, shape), "sum", both, axes, name="total")
    assert line in body_of(program("p", function("f", v, b, total)), n=4, m=3)


SQUARES = expr("add", expr("multiply", 3.0, expr("square", ZERO)), expr("square", ONE))
SUMS = [
    (SQUARES, ["total = 3.0 * x.dot(x) + y.dot(y)"]),
    (expr("multiply", 3.0, expr("multiply", ZERO, ONE)), ["total = 3.0 * x.dot(y)"]),
    # x * y and a square may cancel: then the sums of each would lose what their difference keeps.
    (
        expr("subtract", expr("square", ZERO), expr("square", ONE)),
        ["total_terms = x * x", "total_terms -= y * y", "total = total_terms.sum()"],
    ),
    (
        expr("add", expr("multiply", ZERO, ONE), expr("square", ONE)),
        ["total_terms = x * y", "total_terms += y * y", "total = total_terms.sum()"],
    ),
]


@pytest.mark.parametrize(("tree", "lines"), SUMS)
def test_sums_of_squares_are_sums_of_dots(tree, lines):
    v = inputs(x="f64[n]", y="f64[n]")
    b = Body()
    terms = b.map("f64[n]", tree, *v.values())
    total = b.reduce(ArrayType("f64", ()), "sum", terms, (0,), name="total")
    found = body_of(program("p", function("f", v, b, total)), n=5)
    assert found[: len(lines)] == lines


def test_axes_that_are_put_back_are_kept():
    v = inputs(x="f64[n, m, 2]")
    b = Body()
    total = b.reduce("f64[n, 2]", "max", v["x"], (1,))
    column = b.reshape(total, dim("n"), 1, 2, name="column")
    found = body_of(program("p", function("f", v, b, column)), n=4, m=3)
    assert "column = x.max(axis=1, keepdims=True)" in found


def test_a_sum_converts_as_it_goes():
    v = inputs(x="f32[n, 2]")
    b = Body()
    mask = b.apply("bool[n, 2]", "greater", v["x"], 0.0)
    count = b.reduce("f32[n]", "sum", b.apply("f32[n, 2]", "f32", mask), (1,), name="count")
    found = body_of(program("p", function("f", v, b, count)), n=4)
    assert "count = (x > 0.0).sum(axis=1, dtype=np.float32)" in found


def test_repeated_operands_are_not_made():
    v = inputs(x="f64[n, m]", s="f64")
    b = Body()
    everywhere = b.broadcast(v["s"], dim("n"), dim("m"))
    scaled = b.apply("f64[n, m]", "multiply", v["x"], everywhere, name="scaled")
    found = body_of(program("p", function("f", v, b, scaled)), n=4, m=3)
    assert "scaled = x * s" in found


def test_literals_are_spelled_shortest():
    v = inputs(x="f32[n]")
    b = Body()
    root = float(np.sqrt(np.float32(8)))
    out = b.apply("f32[n]", "divide", v["x"], root, name="out")
    assert "out = x / 2.828427" in body_of(program("p", function("f", v, b, out)), n=3)


def test_named_values_stay():
    """What the user named is there to be seen, even where a shorter way would leave it out."""
    v = inputs(x="f64[n]", y="f64[n]")
    b = Body()
    inverse = b.apply("f64[n]", "divide", 1.0, v["y"], name="inverse")
    both = b.apply("f64[n]", "multiply", v["x"], inverse, name="both")
    squares = b.apply("f64[n]", "multiply", both, both, name="squares")
    total = b.reduce("f64", "sum", squares, name="total")
    source = codegen.generate(program("p", function("f", v, b, tuple_of(total)))).source
    for name in ("inverse", "both", "squares", "total"):
        assert f"    {name} = " in source


def test_arrays_of_one_element_are_numbers():
    v = inputs(x="f64[n, m]")
    b = Body()
    peak = b.reduce(ArrayType("f64", (1, 1)), "max", *v.values(), (0, 1), keepdims=True)
    shift = b.map("f64[1, 1]", expr("where", expr("isfinite", ZERO), ZERO, 0.0), peak)
    out = b.map("f64[n, m]", expr("subtract", ZERO, ONE), *v.values(), shift, name="out")
    lines = body_of(program("p", function("f", v, b, out)), n=4, m=3)
    assert "keepdims" not in " ".join(lines)
    assert lines[-2] == "out = x - (max_x if math.isfinite(max_x) else 0.0)"


def test_a_smaller_array_is_inverted_once():
    v = inputs(x="f64[n]", y="f64[n]", s="f64")
    b = Body()
    one = b.apply("f64[n]", "divide", 1.0, v["y"])
    whole = b.apply("f64[n]", "multiply", v["x"], one, name="whole")
    inverse = b.apply("f64", "divide", 1.0, v["s"])
    scaled = b.apply("f64[n]", "multiply", v["x"], inverse, name="scaled")
    lines = body_of(program("p", function("f", v, b, tuple_of(whole, scaled))), n=5000)
    assert "whole = x / y" in lines
    assert "scaled = x * np.divide(1.0, s)" in lines


@pytest.mark.parametrize(("zero", "kept"), [(0.0, False), (0, False), (-0.0, True)])
def test_zero_is_not_subtracted(zero, kept):
    tree = expr("exp", expr("subtract", ZERO, Number(zero)))
    assert any("subtract" in line or " - " in line for line in elementwise(tree)) is kept
