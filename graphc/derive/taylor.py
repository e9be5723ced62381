"""A truncated Taylor series in x, or in |x|, for what no other form keeps the digits of near zero.

The coefficients come from exact values near zero (not at it: `sin(x) / x` has none), by solving for
the polynomial through them at so many digits that what is left of the higher terms does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mpmath  # type: ignore[import-untyped]
from mpmath import mp

from codegen.expr import Apply, Expr, Number, Symbol
from graphc.derive import precise
from graphc.derive.tails import Side, apart_at_zero, horner, signed

# (order, radius inside which it is used): a high order costs, a low one reaches less far.
TRIED = ((4, 0.0005), (8, 0.02), (12, 0.2), (18, 0.3), (18, 0.6), (26, 0.6))
_STEP_BITS = 40
_WORKING_BITS = 3000
# Relative to the largest coefficient, what stands for zero.
_NOTHING = mpmath.mpf(2) ** -66


def series(best: Expr, exact: Expr, arg: str, both: Side | None) -> Iterator[Expr]:
    """`best` away from zero and a truncated series of `exact` near it, of some orders and radii.

    both: that the function is even or odd; what has a kink at zero is then a series in |x|.
    """
    x = Symbol(arg)
    at: Expr
    size: Expr = Apply("absolute", (x,))
    try:
        coefficients, at = _coefficients(exact, arg, TRIED[-1][0], -1), x
        kinked = None
    except (precise.Undefined, ZeroDivisionError):
        if both is None:
            return
        try:
            coefficients, at = _coefficients(exact, arg, TRIED[-1][0], 1), size
            kinked = both
        except (precise.Undefined, ZeroDivisionError):
            return
    for order, radius in TRIED:
        inside = _in_powers(coefficients[:order], at)
        if kinked is not None:
            inside = signed(inside, exact, x, kinked)
        near: Expr = Apply("less", (size, Number(radius)))
        if apart_at_zero(exact, arg):
            near = Apply("logical_and", (Apply("not_equal", (x, Number(0))), near))
        yield Apply("where", (near, inside, best))


def _coefficients(exact: Expr, arg: str, order: int, low: int) -> list[float]:
    """The Taylor coefficients at zero, from both sides (low = -1) or from the right (low = 1);
    raises Undefined where there is no smooth continuation."""
    with mp.workprec(_WORKING_BITS):
        step = mpmath.mpf(2) ** -_STEP_BITS
        half = order // 2 + 1
        nodes = [mpmath.mpf(k) for k in range(-half, half + 1) if k]
        if low > 0:
            nodes = [node + half + (node < 0) for node in nodes]
        values = [precise.quick(exact, {arg: node * step}, _WORKING_BITS) for node in nodes]
        # In units of the step, where the nodes are small integers.
        solved = _interpolated(nodes, values)
        scaled = [solved[power] / step**power for power in range(order)]
    largest = max(abs(value) for value in scaled)
    if not largest or any(abs(value) > 1e12 for value in scaled):
        raise precise.Undefined  # a pole, a root or a kink at zero: no power series
    return [float(value) if abs(value) > _NOTHING * largest else 0.0 for value in scaled]


def _interpolated(nodes: list[Any], values: list[Any]) -> list[Any]:
    """The coefficients of the polynomial through the values: Newton's divided differences."""
    differences = list(values)
    for level in range(1, len(nodes)):
        for k in range(len(nodes) - 1, level - 1, -1):
            rise = differences[k] - differences[k - 1]
            differences[k] = rise / (nodes[k] - nodes[k - level])
    found: list[Any] = []
    for node, difference in zip(reversed(nodes), reversed(differences), strict=True):
        # found * (x - node) + difference
        times_x = [mpmath.mpf(0), *found]
        found = [a - node * b for a, b in zip(times_x, [*found, 0], strict=True)]
        found[0] += difference
    return found


def _in_powers(coefficients: list[float], x: Expr) -> Expr:
    """c0 + x (c1 + x (c2 + ...)), in x * x where every other coefficient is zero."""
    even = all(c == 0 for c in coefficients[1::2])
    odd = all(c == 0 for c in coefficients[0::2])
    if even or odd:
        square = Apply("multiply", (x, x))
        inner = horner(coefficients[1 if odd else 0 :: 2], square)
        return Apply("multiply", (x, inner)) if odd else inner
    return horner(coefficients, x)
