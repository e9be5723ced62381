"""Functions of tiny arrays work on Python's floats, element by element."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import codegen
import graphc
from codegen.program import Broadcast, Diagonal, Reshape, Slice, Transpose
from codegen.unrolled import ELEMENTS
from tests.codegen.compare import check
from tests.codegen.programs import (
    ONE,
    ZERO,
    Body,
    constant,
    expr,
    function,
    inputs,
    program,
    tuple_of,
)

INF, NAN = math.inf, math.nan
SPECIAL = (0.0, -0.0, 1.0, -2.5, 1e200, -1e308, 5e-324, 709.9, 800.0, -800.0, INF, -INF, NAN)


def main_of(source: str, name: str = "f") -> str:
    """The function itself, without what it falls back to."""
    return source.partition(f"def {name}(")[2].partition("\n\n\n")[0]


def sum_of_squares(**types: str):
    """f(x) = (sum (x[1:] - x[:-1]^2)^2, and the terms padded in front), x f64[3]."""
    v = inputs(x="f64[3]", **types)
    body = Body()
    late = body.view("f64[2]", Slice((1,), (2,), (1,)), v["x"])
    early = body.view("f64[2]", Slice((0,), (2,), (1,)), v["x"])
    square = expr("square", expr("subtract", ZERO, expr("multiply", ONE, ONE)))
    terms = body.map("f64[2]", square, late, early, name="terms")
    total = body.contract("f64", "", (terms, "i"), name="total")
    padded = body.write("f64[3]", 0.0, [(Slice((1,), (2,), (1,)), terms)], add=True, name="padded")
    return v, body, total, padded


def test_elements_are_numbers():
    v, body, total, padded = sum_of_squares()
    generated = check(program("p", function("f", v, body, tuple_of(total, padded))))
    text = main_of(generated.source)
    assert "x_0, x_1, x_2 = x.tolist()" in text
    assert "total = terms_0 + terms_1" in text
    assert "padded = np.array([0.0, terms_0, terms_1])" in text
    assert text.count("np.") == 1  # the result


def test_a_name_that_is_taken_is_numbered():
    v, body, total, padded = sum_of_squares(x_0="f64", terms_1="f64[1]")
    shifted = body.apply("f64[3]", "add", padded, v["x_0"], name="shifted")
    last = body.apply("f64[3]", "multiply", shifted, v["terms_1"], name="last")
    generated = check(program("p", function("f", v, body, tuple_of(total, last))))
    assert "x_0_1, x_1, x_2 = x.tolist()" in generated.source
    assert "(terms_1_0,) = terms_1.tolist()" in generated.source


def test_views_leave_no_statement():
    v = inputs(a="f64[2, 3]", b="f64[3]")
    body = Body()
    turned = body.view("f64[3, 2]", Transpose((1, 0)), v["a"])
    back = body.view("f64[3, 2]", Slice((2, 0), (3, 2), (-1, 1)), turned)
    square = body.view("f64[2, 2]", Slice((0, 0), (2, 2), (2, 1)), back)
    corner = body.view("f64[2]", Diagonal(0, 0, 1), square)
    column = body.view("f64[3, 1]", Reshape((3, 1)), v["b"])
    wide = body.view("f64[3, 2]", Broadcast((3, 2)), column)
    y = body.apply("f64[3, 2]", "multiply", back, wide, name="y")
    z = body.apply("f64[3, 2]", "add", y, corner, name="z")
    for _ in range(4):
        z = body.apply("f64[3, 2]", "add", z, wide)
    generated = check(program("p", function("f", v, body, tuple_of(y, z, corner))))
    text = main_of(generated.source)
    assert "(a_0_0, a_0_1, a_0_2), (a_1_0, a_1_1, a_1_2) = a.tolist()" in text
    assert "y = np.array([[y_0_0, y_0_1], [y_1_0, y_1_1], [y_2_0, y_2_1]])" in text
    assert "y_0_0 = a_0_2 * b_0" in text


def test_contractions_are_sums_of_products():
    v = inputs(A="f64[2, 3]", B="f64[3, 2]", x="f64[3]", k="f64[2]")
    body = Body()
    product = body.contract("f64[2, 2]", "i, j", (v["A"], "i, k"), (v["B"], "k, j"), name="C")
    image = body.contract("f64[2]", "i", (product, "i, j"), (v["k"], "j"), name="image")
    # Windows that reach beyond the array lack a term; the other one adds into its result.
    smooth = body.contract(
        "f64[3]", "i", (v["x"], "i + j"), (v["k"], "j"), extents={"i": 3}, name="smooth"
    )
    spread = body.contract("f64[4]", "i + j", (v["x"], "i"), (image, "j"), name="spread")
    generated = check(program("p", function("f", v, body, tuple_of(smooth, spread))))
    text = main_of(generated.source)
    assert "C_0_0 = A_0_0 * B_0_0 + A_0_1 * B_1_0 + A_0_2 * B_2_0" in text
    assert "x_2 * k_0])" in text


@pytest.mark.parametrize("fn", ["sum", "prod", "max", "min"])
def test_reductions(fn):
    v = inputs(a="f64[2, 3]")
    body = Body()
    rows = body.reduce("f64[2, 1]", fn, v["a"], (1,), True, name="rows")
    columns = body.reduce("f64[3]", fn, v["a"], (0,), name="columns")
    whole = body.reduce("f64", fn, v["a"], (0, 1), name="whole")
    y = body.apply("f64[2, 3]", "multiply", rows, columns, name="y")
    made = program("p", function("f", v, body, tuple_of(y, whole)))
    text = main_of(check(made).source)
    assert ".tolist()" in text
    module = codegen.load(codegen.generate(made))
    for row in itertools.permutations((NAN, 1.0, -2.0)):
        assert math.isnan(module.f(np.array([row, (0.5, 2.0, 1.5)]))[1])


def test_conditions():
    v = inputs(x="f64[3]", y="f64[3]")
    body = Body()
    larger = body.apply("bool[3]", "greater", v["x"], v["y"], name="larger")
    some = body.reduce("bool", "any", larger, (0,), name="some")
    every = body.reduce("bool", "all", larger, (0,), name="every")
    chosen = body.apply("f64[3]", "where", larger, v["x"], v["y"], name="chosen")
    turned = body.apply("f64[3]", "where", every, chosen, v["y"], name="turned")
    result = tuple_of(larger, some, every, chosen, turned)
    generated = check(program("p", function("f", v, body, result)))
    assert "x_0, x_1, x_2 = x.tolist()" in generated.source


def test_constants_are_numbers():
    v = inputs(x="f64[2]")
    body = Body()
    given = constant("weights", [0.25, 4.0])
    weights = given.var
    y = body.apply("f64[2]", "multiply", v["x"], weights, name="y")
    scaled = body.apply("f64[2]", "exp", y, name="scaled")
    total = body.contract("f64", "", (scaled, "i"), (weights, "i"), name="total")
    made = program("p", function("f", v, body, tuple_of(y, total)), constants=(given,))
    text = main_of(check(made).source)
    assert "y_0 = x_0 * 0.25" in text


def test_what_is_not_tiny_stays_an_array():
    for type_ in (f"f64[{ELEMENTS + 1}]", "f64[n]", "f32[2]", "f64[0]"):
        v = inputs(x=type_)
        body = Body()
        y = body.apply(type_, "exp", v["x"])
        z = body.apply(type_, "multiply", y, v["x"])
        generated = check(program("p", function("f", v, body, tuple_of(y, z))), n=2)
        assert "tolist" not in generated.source


def test_one_call_stays_one():
    v = inputs(x="f64[8]")
    body = Body()
    y = body.apply("f64[8]", "exp", v["x"])
    assert "tolist" not in check(program("p", function("f", v, body, y))).source


FORMULAS = {
    "logsumexp": lambda x: graphc.logsumexp(x),
    "softmax": lambda x: graphc.softmax(x)[0],
    "norm": lambda x: np.linalg.norm(x),
    "powers": lambda x: ((x + 1.0) ** 2.5).sum() + (1.0 / x).sum(),
    "maximum": lambda x: x.max() * np.maximum(x, 1.0).min(),
    "product": lambda x: np.prod(x) + np.log(np.abs(x)).mean(),
    "branches": lambda x: np.where(x > 0.0, np.sqrt(x), x * x).sum(),
    "rosenbrock": lambda x: (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum(),
    "outer": lambda x: (x[:, None] * np.tanh(x)).sum(),
    "softplus": lambda x: graphc.softplus(x).sum() + np.floor(x).sum(),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_special_values_are_those_of_arrays(name):
    """Against the same formula of a vector whose length is not known, which stays an array."""
    numbers, arrays = (
        graphc.compile(graphc.trace(FORMULAS[name], size), cache=False)
        for size in ("f64[2]", "f64[n]")
    )
    assert ".tolist()" in main_of(numbers.source, "value_and_grad")
    assert ".tolist()" not in arrays.source
    for point in itertools.product(SPECIAL, repeat=2):
        x = np.array(point)
        with np.errstate(all="ignore"):
            value, grads = numbers.value_and_grad(x)
            wanted, wanted_grads = arrays.value_and_grad(x)
        for a, b in ((value, wanted), (grads[0], wanted_grads[0])):
            np.testing.assert_allclose(a, b, rtol=1e-13, err_msg=f"{name} {point}")


def test_containers_and_results():
    @graphc.trace(p={"W": "f64[2, 2]", "b": "f64[2]", "W_0": "f64"}, x="f64[2]")
    def loss(p, x):
        hidden = np.tanh(p["W"] @ x + p["b"]) * p["W_0"]
        return {"hidden": hidden, "loss": (hidden * hidden).sum()}

    f = graphc.compile(loss, of="loss", wrt="p", cache=False)
    assert ".tolist()" in main_of(f.source, "value_and_grad")
    p = {"W": np.array([[0.5, -1.0], [2.0, 0.3]]), "b": np.array([0.1, -0.2]), "W_0": 1.5}
    x = np.array([0.7, -0.4])
    value, grads = f.value_and_grad(p, x)
    hidden = np.tanh(p["W"] @ x + p["b"]) * 1.5
    np.testing.assert_allclose(value.hidden, hidden, rtol=1e-15)
    assert value.loss == pytest.approx((hidden * hidden).sum(), rel=1e-15)
    inner = 2.0 * hidden * 1.5 * (1 - (hidden / 1.5) ** 2)
    np.testing.assert_allclose(grads["W"], np.outer(inner, x), rtol=1e-13)
    np.testing.assert_allclose(grads["b"], inner, rtol=1e-13)
    assert grads["W_0"] == pytest.approx((2.0 * hidden * hidden / 1.5).sum(), rel=1e-13)
    assert grads["W"].shape == (2, 2)
    with pytest.raises(graphc.GraphError, match=r"x should be f64\[2\]"):
        f.value_and_grad(p, np.zeros(3))
