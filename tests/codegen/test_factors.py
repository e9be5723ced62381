"""Sums along axes: as products with ones, and without the factors that are constant in them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.codegen.compare import check
from tests.codegen.programs import ONE, TWO, ZERO, Body, expr, function, inputs, program, tuple_of


def lines_of(tree, axes, out, keepdims=False, **types):
    """The statements of a sum of one map, after they were checked against the evaluator."""
    v = inputs(**types)
    b = Body()
    mapped = b.map(types["x"], tree, *v.values())
    total = b.reduce(out, "sum", mapped, axes, keepdims, name="total")
    made = program("p", function("f", v, b, total))
    single = "f32" in out
    text = check(made, rtol=2e-5 if single else 1e-12, n=60, m=9).unchecked
    inside = text[text.index("def f(") :].splitlines()[1:]
    return [line.strip() for line in inside if ".shape[" not in line]


@pytest.mark.parametrize(
    ("type", "axes", "out", "line"),
    [
        ("f64[512, 32]", (0,), "f64[32]", "total = _ones_512.dot(x)"),
        ("f64[512, 32]", (1,), "f64[512]", "total = x.dot(_ones_32)"),
        ("f32[512, 32]", (0,), "f32[32]", "total = _ones_512_f32.dot(x)"),
        ("f32[512, 32]", (1,), "f32[512]", "total = x.dot(_ones_32_f32)"),
        ("f64[16, 32, 32]", (0, 1), "f64[32]", "total = _ones_512.dot(x.reshape(512, 32))"),
        ("f64[16, 32, 32]", (2,), "f64[16, 32]", "total = x @ _ones_32"),
        ("f64[16, 32, 32]", (0, 2), "f64[32]", "total = _ones_16.dot(x @ _ones_32)"),
        ("f64[16, 8, 8, 8]", (0, 2, 3), "f64[8]", "_ones_16.dot(x.reshape(16, 8, 64) @ _ones_64)"),
        ("f64[16, 8, 8, 8]", (1, 2, 3), "f64[16]", "total = x.reshape(16, 512).dot(_ones_512)"),
        # What is long is not kept by the module.
        ("f64[5000, 3]", (0,), "f64[3]", "total = ones.dot(x)"),
        # Tiny, of unknown size, or with long rows that are added pairwise.
        ("f64[2, 20]", (0,), "f64[20]", "total = x.sum(axis=0)"),
        ("f64[n, m]", (0,), "f64[m]", "total = x.sum(axis=0)"),
        ("f32[2, 5000]", (1,), "f32[2]", "total = x.sum(axis=1)"),
        ("f64[512, 2, 32]", (2,), "f64[512, 2]", "total = x.sum(axis=2)"),
        ("f64[512, 2, 32]", (0, 2), "f64[2]", "total = x.sum(axis=(0, 2))"),
        ("f32[2, 64, 70, 70]", (0, 2, 3), "f32[64]", "total = x.sum(axis=(0, 2, 3))"),
    ],
)
def test_sums_of_matrices_are_products_with_ones(type, axes, out, line):
    v = inputs(x=type)
    b = Body()
    total = b.reduce(out, "sum", v["x"], axes, name="total")
    made = program("p", function("f", v, b, total))
    source = check(made, rtol=2e-5 if "f32" in out else 1e-12, n=60, m=9).unchecked
    assert line in source


def test_one_vector_of_ones_serves_all_sums_of_a_length():
    v = inputs(x="f64[256, 64]", y="f64[256, 64]", z="f64[512, 64]")
    b = Body()
    sums = [b.reduce("f64[64]", "sum", v[name], (0,)) for name in "xyz"]
    kept = b.reduce("f64[1, 64]", "sum", v["x"], (0,), True)
    source = check(program("p", function("f", v, b, tuple_of(*sums, kept)))).unchecked
    assert source.count("np.ones(") == 2
    assert "[None]" in source


def test_ones_whose_name_is_taken_are_made_in_the_function():
    v = inputs(x="f64[30, 20]", _ones_30="f64")
    b = Body()
    shifted = b.apply("f64[30, 20]", "multiply", v["x"], v["_ones_30"])
    total = b.reduce("f64[20]", "sum", shifted, (0,), name="total")
    source = check(program("p", function("f", v, b, total))).unchecked
    assert "    ones = np.ones(30)" in source


MATRIX = "f64[n, m]"
PRODUCT = expr("multiply", ZERO, ONE)


@pytest.mark.parametrize(
    ("tree", "axes", "factor", "expected"),
    [
        (PRODUCT, (1,), "f64[n, 1]", "total *= y[:, 0]"),
        (expr("multiply", ONE, ZERO), (0,), "f64[m]", "total *= y"),
        (expr("divide", ZERO, ONE), (0,), "f64[1, m]", "total /= y[0]"),
        (expr("divide", ZERO, ONE), None, "f64", "total = x.sum() / y"),
        (expr("divide", ZERO, 3.0), (0,), MATRIX, "total /= 3.0"),
        (expr("negative", ZERO), (0,), MATRIX, "np.negative(total, out=total)"),
        # Not constant along the axis that is summed: weights.
        (PRODUCT, (0,), "f64[n, 1]", "total = y[:, 0] @ x"),
        (PRODUCT, (1,), "f64[m]", "total = x @ y"),
        (PRODUCT, None, "f64[m]", "total = x.sum(axis=0).dot(y)"),
        (expr("divide", ONE, ZERO), (1,), "f64[n, 1]", "total = (y / x).sum(axis=1)"),
    ],
)
def test_a_constant_factor_is_multiplied_with_the_sum(tree, axes, factor, expected):
    out = {None: "f64", (0,): "f64[m]", (1,): "f64[n]"}[axes]
    lines = lines_of(tree, axes, out, x=MATRIX, y=factor)
    assert expected in lines


def test_factors_deep_in_a_product_are_found():
    tree = expr("multiply", ZERO, expr("divide", expr("negative", expr("sin", ZERO)), ONE))
    lines = lines_of(tree, (1,), "f64[n]", x=MATRIX, y="f64[n, 1]")
    assert "np.vecdot(x, np.sin(x))" in lines[0]
    assert lines[1:3] == ["total /= y[:, 0]", "np.negative(total, out=total)"]
    lines = lines_of(tree, (1,), "f64[n, 1]", True, x=MATRIX, y="f64[n, 1]")
    assert lines[-3:-1] == ["total /= y", "np.negative(total, out=total)"]


def test_what_others_read_is_left_alone():
    v = inputs(x=MATRIX, y="f64[n, 1]")
    b = Body()
    scaled = b.map(MATRIX, PRODUCT, *v.values())
    total = b.reduce("f64[n]", "sum", scaled, (1,), name="total")
    made = program("p", function("f", v, b, tuple_of(scaled, total)))
    assert ".sum(axis=1)" in check(made, n=60, m=9).unchecked
    assert "* y[:, 0]" not in check(made, n=60, m=9).unchecked


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1), (2, 3), (0, 2, 3), (1, 2, 3), (3,)])
@pytest.mark.parametrize("type", ["f64[1, 16, 20, 40]", "f64[9, 1, 40, 40]", "f32[4, 32, 8, 10]"])
def test_sums_that_keep_their_axes(type, axes):
    shape = [int(size) for size in type[4:-1].split(", ")]
    kept = ", ".join("1" if axis in axes else str(size) for axis, size in enumerate(shape))
    v = inputs(x=type, y=type)
    b = Body()
    plain = b.reduce(f"{type[:3]}[{kept}]", "sum", v["x"], axes, True)
    product = b.map(type, PRODUCT, *v.values())
    total = b.reduce(f"{type[:3]}[{kept}]", "sum", product, axes, True)
    made = program("p", function("f", v, b, tuple_of(plain, total)))
    check(made, rtol=2e-4 if "f32" in type else 1e-11)


def test_sums_with_ones_keep_infinities_and_nans():
    v = inputs(x="f64[128, 64]")
    b = Body()
    outs = [b.reduce("f64[64]", "sum", v["x"], (0,)), b.reduce("f64[128]", "sum", v["x"], (1,))]
    made = program("p", function("f", v, b, tuple_of(*outs)))
    x = np.ones((128, 64))
    x[3, 5], x[7, 9], x[11, 9] = np.nan, np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        source = check(made, arguments={"x": x}).unchecked
    assert "ones" in source


@pytest.mark.parametrize(
    ("tree", "line"),
    [
        (expr("multiply", expr("multiply", ZERO, ONE), TWO), "out = x * (y * z)"),
        (expr("divide", expr("multiply", ONE, ZERO), TWO), "out = x * (y / z)"),
        (expr("multiply", TWO, expr("divide", ZERO, ONE)), "out = x * (z / y)"),
        (expr("divide", expr("divide", ZERO, ONE), TWO), "out = x / (y * z)"),
    ],
)
def test_smaller_factors_are_multiplied_with_each_other(tree, line):
    v = inputs(x="f64[40, 50]", y="f64[50]", z="f64[1, 50]")
    b = Body()
    out = b.map("f64[40, 50]", tree, *v.values(), name="out")
    made = program("p", function("f", v, b, out))
    assert line in check(made, rtol=1e-12).unchecked


def test_factors_that_are_as_large_together_stay_apart():
    v = inputs(x="f64[40, 50]", y="f64[50]", z="f64[40, 1]")
    b = Body()
    tree = expr("multiply", expr("multiply", ZERO, ONE), TWO)
    out = b.map("f64[40, 50]", tree, *v.values(), name="out")
    assert "out *= z" in check(program("p", function("f", v, b, out)), rtol=1e-12).unchecked


def test_an_array_that_is_read_last_is_worked_on_in_place():
    v = inputs(x="f64[100, 100]", y="f64[100, 100]")
    b = Body()
    kept = b.map("f64[100, 100]", expr("sin", ZERO), v["x"], name="kept")
    read = b.reduce("f64", "max", kept, None)
    tree = expr("add", expr("multiply", expr("exp", ZERO), ZERO), expr("multiply", ONE, TWO))
    out = b.map("f64[100, 100]", tree, v["y"], kept, read, name="out")
    source = check(program("p", function("f", v, b, out)), rtol=1e-12).unchecked
    assert "out=kept)" in source
    assert "out += kept_" in source
