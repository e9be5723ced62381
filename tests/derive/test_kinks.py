"""Kinks: the element of least norm, over the operands that are not literals, for every op."""

import math
from itertools import product

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from graphc.derive.hull import least_norm
from graphc.derive.lookup import derivation
from graphc.derive.scalar import gradient
from graphc.errors import GraphValueError
from graphc.formula import parse, text
from graphc.ops.elementwise import TABLE
from graphc.scalars import evaluate_expr


def partials(op, literal, *point):
    """The value of every partial at a point; None for an operand without one."""
    known = derivation(op, literal)
    operands = {name: np.float64(x) for name, x in zip(op.args, point, strict=True)}
    own = evaluate_expr(parse(known.form, op.args), operands, {})
    found = []
    for partial in known.partials:
        if partial is None:
            found.append(None)
            continue
        held = {**operands, partial.args[-1]: own} if partial.output else operands
        with np.errstate(all="ignore"):
            found.append(float(evaluate_expr(parse(partial.formula, partial.args), held, {})))
    return found


NO, YES = False, True
THIRD = pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("name", "literal", "point", "wanted"),
    [
        ("absolute", (NO,), (0.0,), [0]),
        ("absolute", (NO,), (-2.0,), [-1]),
        ("relu", (NO,), (0.0,), [0]),
        ("relu", (NO,), (2.0,), [1]),
        ("elu", (NO,), (0.0,), [1]),
        ("maximum", (NO, NO), (2.0, 2.0), [0.5, 0.5]),
        ("maximum", (NO, NO), (math.inf, math.inf), [0.5, 0.5]),
        ("maximum", (NO, NO), (2.0, -1.0), [1, 0]),
        ("maximum", (NO, YES), (0.0, 0.0), [0, None]),
        ("maximum", (YES, NO), (0.0, 0.0), [None, 0]),
        ("maximum", (NO, YES), (3.0, 0.0), [1, None]),
        ("minimum", (NO, NO), (2.0, 2.0), [0.5, 0.5]),
        ("minimum", (NO, YES), (0.0, 0.0), [0, None]),
        ("fmax", (NO, NO), (2.0, 2.0), [0.5, 0.5]),
        ("fmin", (NO, YES), (2.0, 2.0), [0, None]),
        ("clip", (NO, YES, YES), (0.0, 0.0, 1.0), [0, None, None]),
        ("clip", (NO, YES, YES), (1.0, 0.0, 1.0), [0, None, None]),
        ("clip", (NO, YES, YES), (0.5, 0.0, 1.0), [1, None, None]),
        ("clip", (NO, NO, NO), (0.0, 0.0, 1.0), [0.5, 0.5, 0]),
        ("clip", (NO, NO, NO), (1.0, 0.0, 1.0), [0.5, 0, 0.5]),
        ("clip", (NO, NO, NO), (1.0, 1.0, 1.0), [THIRD, THIRD, THIRD]),
        ("clip", (NO, NO, NO), (5.0, 0.0, 1.0), [0, 0, 1]),
        ("hypot", (NO, NO), (0.0, 0.0), [0, 0]),
        ("hypot", (NO, NO), (0.0, -2.0), [0, -1]),
        ("arctan2", (NO, NO), (0.0, 0.0), [0, 0]),
        ("copysign", (NO, NO), (0.0, 1.0), [0, None]),
        ("copysign", (NO, NO), (-3.0, 1.0), [-1, None]),
        ("xlogy", (NO, NO), (0.0, 2.0), [pytest.approx(math.log(2)), 0]),
    ],
)
def test_the_published_table(name, literal, point, wanted):
    assert partials(TABLE[name], literal, *point) == wanted


@pytest.mark.parametrize("op", [op for op in TABLE.values() if not op.differentiable])
def test_steps_have_no_gradient(op):
    assert derivation(op).partials == (None,) * len(op.args)


@pytest.mark.parametrize("op", [op for op in TABLE.values() if op.points], ids=lambda op: op.name)
def test_declared_points_are_certified(op):
    """What is declared at an isolated point is the least in magnitude of what stands around it."""
    for condition, declared in op.points:
        at = parse(condition, op.args)
        grid = [0.0, 1.0, 0.5, 2.0, 3.0]
        on = [
            point
            for point in product(grid, repeat=len(op.args))
            if evaluate_expr(at, dict(zip(op.args, map(np.float64, point), strict=True)), {})
        ]
        assert on
        for point in on:
            around = [g for g in gradients_around(op, point) if np.all(np.isfinite(g))]
            assert around
            for k, stated in enumerate(declared):
                if not stated:
                    continue
                operands = dict(zip(op.args, map(np.float64, point), strict=True))
                with np.errstate(all="ignore"):
                    value = float(evaluate_expr(parse(stated, op.args), operands, {}))
                seen = np.array([g[k] for g in around])
                reach = 1e-3 * (1 + abs(value))
                if math.isfinite(value):
                    assert seen.min() - reach <= value <= seen.max() + reach, (point, k)
                    nearest = 0.0 if seen.min() <= 0 <= seen.max() else np.abs(seen).min()
                    assert abs(value) <= nearest + reach, (point, k)


def gradients_around(op, point):
    """Central differences of the definition near the point, on its smooth side where it has one."""
    # a**b log(a) tends to every number below zero, but to those near zero only as slowly as
    # b = log(log(1/a)) / log(1/a) does: 0.05 at the smallest a there is.
    radius = 0.05 if op.name == "power" else 1e-9
    from graphc.derive import precise

    definition = parse(op.formula, op.args)
    rng = np.random.default_rng(0)
    for _ in range(400):
        # Operands approach at different paces: b a**(b - 1) near (0, 0) depends on their ratio.
        offsets = rng.uniform(-1, 1, len(point)) * 10 ** rng.uniform(-9, 0, len(point))
        offsets[0] *= 10.0 ** rng.uniform(-280, 0)
        near = [x + radius * d for x, d in zip(point, offsets, strict=True)]
        if op.name in ("power", "xlogy"):
            near = [abs(x) for x in near]
        at = dict(zip(op.args, near, strict=True))
        try:
            yield [float(precise.slope(definition, at, name)) for name in op.args]
        except precise.Undefined:
            continue


# -- a user's own definitions ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "args", "literal", "wanted"),
    [
        ("maximum(x, 0.1 * x)", ("x",), (), ["where(x > 0.1 * x, 1, 0.1)"]),
        ("abs(a - b)", ("a", "b"), (), ["sign(a - b)", "-sign(a - b)"]),
        ("abs(x) * x", ("x",), (), ["where(x >= 0, 2 * x, -(2 * x))"]),
        ("square(maximum(x, 0))", ("x",), (), ["where(x >= 0, 2 * x, 0)"]),
        ("abs(x) + maximum(x, 0)", ("x",), (), ["where(x == 0, 0, where(x > 0, 2, -1))"]),
        ("maximum(x, 0) - minimum(-x, 0)", ("x",), (), ["where(x > 0, 2, 0)"]),
        ("where(x > 0, x, exp(x) - 1)", ("x",), (), ["where(x > 0, 1, exp(x))"]),
        ("where(x > 0, x, 0)", ("x",), (), ["x > 0"]),
        ("x * floor(x)", ("x",), (), ["floor(x)"]),
        ("x * (x > 0)", ("x",), (), ["x > 0"]),
        ("x % y", ("x", "y"), (), ["1", "-(x // y)"]),
        ("maximum(a, b)", ("a", "b"), (False, True), ["a > b", None]),
        ("maximum(x, 0) + expm1(minimum(x, 0))", ("x",), (), ["where(x >= 0, 1, exp(x))"]),
        ("minimum(exp(x) - 1, 0) + maximum(x, 0)", ("x",), (), ["where(x >= 0, 1, exp(x))"]),
        ("f32(x) * 2", ("x",), (), ["2"]),
        ("floor(x) + y", ("x", "y"), (), [None, "1"]),
    ],
)
def test_partials_of_definitions_with_choices(formula, args, literal, wanted):
    found = gradient(parse(formula, args), args, literal).partials
    assert [part and text(part) for part in found] == wanted


def test_only_jumps_of_the_gradient_are_kinks():
    def kinks(formula):
        found = gradient(parse(formula, ("x",)), ("x",)).kinks
        return [(kink.where, kink.partials) for kink in found]

    assert kinks("abs(x)") == [("x == 0", ("0",))]
    assert kinks("abs(x) * x") == []
    assert kinks("maximum(x, 0.1 * x)") == [("x == 0.1 * x", ("0.1",))]
    assert kinks("log1p(exp(-abs(x))) + maximum(x, 0)") == []
    assert kinks("where(x > 0, 2 * x, x)") == []


def test_a_kink_between_gradients_known_only_at_the_call():
    """d max(a x, b) lies between (x, a, 0) and (0, 0, 1): against a search along the segment."""
    args = ("a", "x", "b")
    found = gradient(parse("maximum(a * x, b)", args), args).partials
    for a, x in [(2.0, 3.0), (-1.0, 0.5), (0.0, 0.0)]:
        operands = {"a": np.float64(a), "x": np.float64(x), "b": np.float64(a * x)}
        got = np.array([float(evaluate_expr(part, operands, {})) for part in found])
        p, q = np.array([x, a, 0.0]), np.array([0.0, 0.0, 1.0])
        segment = [p + t * (q - p) for t in np.linspace(0, 1, 20001)]
        best = min(segment, key=lambda v: v @ v)
        assert got == pytest.approx(best, abs=1e-4)


def test_too_many_choices_are_an_error():
    names = tuple(f"x{k}" for k in range(8))
    formula = " + ".join(f"abs({name})" for name in names)
    with pytest.raises(GraphValueError, match="more than 6 choices: split it"):
        gradient(parse(formula, names), names)


@given(
    st.lists(
        st.lists(st.integers(-4, 4), min_size=2, max_size=2),
        min_size=1,
        max_size=5,
        unique_by=tuple,
    )
)
def test_least_norm_of_a_hull(vectors):
    found = least_norm([[sp.Integer(x) for x in vector] for vector in vectors])
    point = np.array([float(x) for x in found])
    # Optimal if and only if every vertex is on the far side of the plane through the point.
    for vertex in np.array(vectors, dtype=float):
        assert point @ (vertex - point) >= -1e-12
