"""A truncated Taylor series around zero, for what no other form keeps the digits of there.

The coefficients come from exact values near zero (not at it: `sin(x) / x` has none), by solving for
the polynomial through them at so many digits that what is left of the higher terms does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator

import mpmath  # type: ignore[import-untyped]
from mpmath import mp

from codegen.expr import Apply, Expr, Number, Symbol
from graphc.derive import precise

# (order, radius inside which it is used): a high order costs, a low one reaches less far.
TRIED = ((4, 0.0005), (8, 0.02), (12, 0.2), (18, 0.6))
_STEP_BITS = 40
_WORKING_BITS = 3000
# Relative to the largest coefficient, what stands for zero.
_NOTHING = mpmath.mpf(2) ** -66


def series(best: Expr, exact: Expr, arg: str) -> Iterator[Expr]:
    """`best` away from zero and a truncated series of `exact` near it, of some orders and radii."""
    try:
        coefficients = _coefficients(exact, arg, TRIED[-1][0])
    except (precise.Undefined, ZeroDivisionError):
        return
    for order, radius in TRIED:
        inside = _horner(coefficients[:order], Symbol(arg))
        near = Apply("less", (Apply("absolute", (Symbol(arg),)), Number(radius)))
        yield Apply("where", (near, inside, best))


def _coefficients(exact: Expr, arg: str, order: int) -> list[float]:
    """The Taylor coefficients at zero; raises Undefined where there is no smooth continuation."""
    with mp.workprec(_WORKING_BITS):
        step = mpmath.mpf(2) ** -_STEP_BITS
        half = order // 2 + 1
        nodes = [mpmath.mpf(k) for k in range(-half, half + 1) if k]
        values = [precise.quick(exact, {arg: node * step}, _WORKING_BITS) for node in nodes]
        # In units of the step the matrix is one of small integers.
        matrix = mpmath.matrix([[node**power for power in range(len(nodes))] for node in nodes])
        solved = mpmath.lu_solve(matrix, mpmath.matrix(values))
        scaled = [solved[power] / step**power for power in range(order)]
    largest = max(abs(value) for value in scaled)
    if not largest or any(abs(value) > 1e12 for value in scaled):
        raise precise.Undefined  # a pole, a root or a kink at zero: no power series
    return [float(value) if abs(value) > _NOTHING * largest else 0.0 for value in scaled]


def _horner(coefficients: list[float], x: Expr) -> Expr:
    """c0 + x (c1 + x (c2 + ...)), in x * x where every other coefficient is zero."""
    even = all(c == 0 for c in coefficients[1::2])
    odd = all(c == 0 for c in coefficients[0::2])
    if even or odd:
        square = Apply("multiply", (x, x))
        inner = _nested(coefficients[1 if odd else 0 :: 2], square)
        return Apply("multiply", (x, inner)) if odd else inner
    return _nested(coefficients, x)


def _nested(coefficients: list[float], x: Expr) -> Expr:
    total: Expr = Number(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        product = Apply("multiply", (x, total))
        total = Apply("add", (Number(c), product)) if c else product
    return total
