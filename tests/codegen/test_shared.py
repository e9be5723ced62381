"""What several formulas compute alike is computed once, and as accurately as before."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest

import graphc
from tests.codegen.compare import check
from tests.codegen.programs import ONE, ZERO, Body, expr, function, inputs, program, tuple_of

NEGATIVE = expr("negative", ZERO)
EXP = expr("exp", ZERO)
BELOW = expr("add", 1.0, EXP)


def body_of(*trees, type="f64[n]"):
    """The statements of one map a tree, after they were checked against the evaluator."""
    v = inputs(x=type, y=type)
    b = Body()
    outs = [b.map(type, tree, *v.values(), name=f"out{k}") for k, tree in enumerate(trees)]
    made = program("p", function("f", v, b, tuple_of(*outs)))
    lines = check(made, rtol=1e-12, n=7).unchecked
    inside = lines[lines.index("def f(") :].splitlines()[1:]
    return [line.strip() for line in inside if ".shape[" not in line]


def test_equal_parts_of_two_formulas_are_computed_once():
    lines = body_of(
        expr("sin", expr("multiply", ZERO, ONE)), expr("cos", expr("multiply", ONE, ZERO))
    )
    assert sum(" * " in line for line in lines) == 1


def test_two_results_never_share_storage():
    lines = body_of(expr("multiply", ZERO, ONE), expr("multiply", ZERO, ONE))
    assert sum(" * " in line for line in lines) == 2


def test_one_exponential_serves_both_signs():
    lines = body_of(expr("divide", ONE, expr("add", 2.0, EXP)), expr("sqrt", expr("exp", NEGATIVE)))
    text = "\n".join(lines)
    assert text.count("np.exp(") == 1
    assert "np.divide(1.0, exp_x, " in text


def test_signs_are_seen_through_products():
    lines = body_of(
        expr("sin", expr("exp", expr("multiply", -3.0, ZERO))),
        expr("sin", expr("exp", expr("multiply", ZERO, 3.0))),
    )
    assert "\n".join(lines).count("np.exp(") == 1


def test_an_exponential_that_is_a_result_stays_one():
    lines = body_of(expr("exp", NEGATIVE), EXP)
    assert "\n".join(lines).count("np.exp(") == 2


def test_the_square_of_a_cosine_is_made_of_exponentials_that_are_there():
    squared = expr("square", expr("cosh", ZERO))
    assert "cosh" not in "\n".join(body_of(BELOW, expr("divide", ONE, squared)))
    assert "cosh" in "\n".join(body_of(expr("divide", ONE, squared)))
    # Not squared, it is a number where the exponential is infinite already.
    assert "cosh" in "\n".join(body_of(BELOW, expr("divide", ONE, expr("cosh", ZERO))))


def test_what_is_taken_off_twice_is_taken_off_doubled():
    part = expr("multiply", ZERO, ONE)
    lines = body_of(expr("subtract", expr("multiply", NEGATIVE, ONE), part))
    assert sum("*" in line for line in lines) == 2
    assert not any("-=" in line or " - " in line for line in lines)


def test_a_product_that_is_there_is_divided():
    product = expr("multiply", expr("tanh", ONE), EXP)
    part = expr("multiply", expr("tanh", ONE), expr("divide", EXP, BELOW))
    assert any("np.divide(out0, " in line for line in body_of(product, part))
    # A divisor below 1 may lift what the product has lost.
    part = expr("multiply", expr("tanh", ONE), expr("divide", EXP, ONE))
    assert not any("np.divide(out0, " in line for line in body_of(product, part))


def _pair(x):
    return (np.tanh(x) * graphc.sigmoid(x)).sum()


def _gated(x):
    return (graphc.silu(x) * graphc.sigmoid(x)).sum()


def _terms(function, x):
    """The two terms of the gradient, to many digits."""
    t = mpmath.mpf(float(x))
    s, r = 1 / (1 + mpmath.exp(-t)), 1 / (1 + mpmath.exp(t))
    if function is _pair:
        return mpmath.tanh(t) * s * r, s / mpmath.cosh(t) ** 2
    return s * s, 2 * t * s * s * r


@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize("function", [_pair, _gated])
def test_gradients_keep_their_digits_over_the_whole_range(function, dtype):
    kind = {"f64": np.float64, "f32": np.float32}[dtype]
    sizes = np.concatenate([np.logspace(-12, 2.9, 300), [0.0, 15.0, 37.0, 88.0, 709.0, 1e4, 1e30]])
    x = np.concatenate([sizes, -sizes]).astype(kind)
    step = graphc.compile(graphc.trace(function, x)).value_and_grad
    with np.errstate(all="ignore"):
        _, (found,) = step(x)
    assert found.dtype == kind
    info = np.finfo(kind)
    for at, got in zip(x, found, strict=True):
        with mpmath.workdps(60):
            terms = _terms(function, at)
            exact, size = sum(terms), sum(map(abs, terms))
        if size <= info.smallest_normal:
            assert abs(got) <= 1.01 * info.smallest_normal
            continue
        # Rounding x alone moves the result by some |x| ulps where it falls like an exponential.
        unit = float(info.eps) * (1 + 4 * min(abs(float(at)), 800.0))
        assert math.isfinite(got)
        assert abs(mpmath.mpf(float(got)) - exact) <= 4 * unit * size
