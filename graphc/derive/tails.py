"""Truncated Chebyshev series over a half-line, for what no other form keeps the digits of there.

i1e(x) - i0e(x) loses one digit more with every digit of x, and an asymptotic series starts where
most of them are lost already. So f(x) is written as a power of s = x + k times a polynomial in
u = 1 - 2 (c + k) / s, which maps [c, inf) onto [-1, 1): the polynomial is the Chebyshev
interpolant, cut off where its terms fall below rounding (Boyd, "Orthogonal rational functions on a
semi-infinite interval", 1987). Its coefficients come from exact values at many digits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeGuard

import mpmath  # type: ignore[import-untyped]
from mpmath import mp

from codegen.expr import Apply, Expr, Number, Symbol
from graphc.derive import precise

CUTS = (0.0, 1.0, 2.0, 4.0)
_SHIFTS = (2, 4, 6, 8, 12)
_NODES = 80
_BITS = 320
_LONGEST = 56
# Formulas are not nested without bounds.
_DEEPEST = 28
# Relative to the smallest size, what may be cut off.
_ROUNDING = mpmath.mpf(2) ** -55
# How much larger than their sum the terms may be.
_CONDITION = 60
# Where the power of x that f tends to is looked at.
_FAR = 60


@dataclass(frozen=True, slots=True)
class Side:
    """Where a tail stands: x > cut, x < -cut, or |x| > cut of an even or an odd function.

    sign: 1 or -1 for one side alone, 0 for both. odd: whether f(-x) = -f(x).
    """

    sign: int
    odd: bool = False

    def holds(self, column: Any, cut: float) -> Any:
        """Which of an array of operands lie beyond the cut."""
        return abs(column) > cut if self.sign == 0 else self.sign * column > cut

    def condition(self, x: Symbol, cut: float) -> Expr:
        """The same, as a formula."""
        if self.sign == 0:
            return Apply("greater", (Apply("absolute", (x,)), Number(cut)))
        return Apply("greater" if self.sign > 0 else "less", (x, Number(self.sign * cut)))

    def size(self, x: Symbol, cut: float) -> Expr:
        """How far out x is; the cut itself on its hither side, where nothing shall warn."""
        if self.sign == 0:
            return Apply("absolute", (x,))
        out: Expr = x if self.sign > 0 else Apply("negative", (x,))
        return Apply("maximum", (out, Number(cut)))


def symmetry(exact: Expr, arg: str) -> Side | None:
    """Both sides at once, where the function is even or odd as far as a few points tell."""
    pairs = []
    for x in (0.37, 1.9, 7.3):
        try:
            pairs.append([precise.evaluate(exact, {arg: sign * x}) for sign in (1, -1)])
        except precise.Undefined:
            return None
    for odd in (False, True):
        if all(abs(a + b if odd else a - b) <= abs(a) * mpmath.mpf(2) ** -80 for a, b in pairs):
            return Side(0, odd)
    return None


def tail(exact: Expr, arg: str, side: Side, cut: float) -> Expr | None:
    """The series of `exact` beyond the cut, by the shift that serves it best; None where the
    function tends to no power of x, or too slowly."""
    best: tuple[float, list[Any], int] | None = None
    try:
        power = _power(exact, arg, side.sign or 1)
        if power is None:
            return None
        for k in _SHIFTS:
            with mp.workprec(_BITS):
                places = [2 * (mpmath.mpf(cut) + k) / (1 - c) - k for c in _nodes()]
                scales = [(x + k) ** (mpmath.mpf(power) / 2) for x in places]
            found = _polynomial(exact, arg, side, places, scales)
            if found is not None and (best is None or found[0] < best[0]):
                best = (*found, k)
    except (precise.Undefined, ZeroDivisionError):
        return None
    if best is None:
        return None
    _, coefficients, k = best
    x = Symbol(arg)
    s = Apply("add", (side.size(x, cut), Number(k)))
    u = Apply("subtract", (Number(1), Apply("divide", (Number(2 * (cut + k)), s))))
    total = horner(coefficients, u)
    scale: Expr | None = Apply("sqrt", (s,)) if power % 2 else None
    for _ in range(-power // 2):
        scale = s if scale is None else Apply("multiply", (s, scale))
    if scale is not None:
        total = Apply("divide", (total, scale))
    return signed(total, exact, x, side)


def near(exact: Expr, arg: str, side: Side, cut: float) -> Expr | None:
    """The series of an even or odd `exact` for |x| below the cut; None where it has none."""
    try:
        with mp.workprec(_BITS):
            places = [mpmath.mpf(cut) * (1 + c) / 2 for c in _nodes()]
        found = _polynomial(exact, arg, side, places, [mpmath.mpf(1)] * _NODES)
    except (precise.Undefined, ZeroDivisionError):
        return None
    if found is None:
        return None
    x = Symbol(arg)
    u = Apply("subtract", (Apply("multiply", (Number(2 / cut), side.size(x, 0.0))), Number(1)))
    return signed(horner(found[1], u), exact, x, side)


def signed(size: Expr, exact: Expr, x: Symbol, side: Side) -> Expr:
    """A form in |x| with the sign of an odd function, which may jump at zero."""
    if not side.odd:
        return size
    try:
        jumps = precise.evaluate(exact, {x.name: 0.0}) != 0
    except precise.Undefined:
        jumps = False
    if not jumps:
        return Apply("multiply", (Apply("sign", (x,)), size))
    below = Apply("less", (x, Number(0)))
    return Apply("multiply", (Apply("where", (below, Number(-1), Number(1))), size))


def _power(exact: Expr, arg: str, toward: int) -> int | None:
    """p / 2 is the power of x that the function tends to; None where it tends to none."""
    with mp.workprec(_BITS):
        near, far = (
            precise.quick(exact, {arg: toward * mpmath.mpf(2) ** e}, 8 * _BITS)
            for e in (_FAR, _FAR + 2)
        )
        if not near or not far or not mpmath.isfinite(far / near) or far / near < 0:
            return None
        power = mpmath.log(far / near, 2)
        nearest = int(mpmath.nint(power))
        return nearest if abs(power - nearest) < 1e-6 and -8 <= nearest <= 0 else None


def _polynomial(
    exact: Expr, arg: str, side: Side, places: Sequence[Any], scales: Sequence[Any]
) -> tuple[float, list[float]] | None:
    """The polynomial through exact / scale at the places of the nodes, lowest power first, and how
    little it is liked: its length, and its loss by cancellation. None where either is too much."""
    with mp.workprec(_BITS):
        toward = side.sign or 1
        cosines = _cosines()
        values = [
            precise.quick(exact, {arg: toward * x}, _BITS) / scale
            for x, scale in zip(places, scales, strict=True)
        ]
        sizes = _sizes(places, values)
        allowed = _ROUNDING * min(sizes)
        series = []
        for m in range(_NODES):
            basis = [cosines[m * (2 * j + 1) % (4 * _NODES)] for j in range(_NODES)]
            series.append(mpmath.fdot(values, basis) * (2 if m else 1) / _NODES)
        dropped = mpmath.mpf(0)
        while series and dropped + abs(series[-1]) < allowed:
            dropped += abs(series.pop())
        if not series or len(series) > _LONGEST:
            return None
        coefficients = _monomials(series)
        magnitudes = [abs(c) for c in reversed(coefficients)]
        loss = max(
            mpmath.polyval(magnitudes, abs(c)) / size
            for c, size in zip(_nodes(), sizes, strict=True)
        )
        if loss > _CONDITION:
            return None
        return len(series) + 2 * float(mpmath.log(loss, 2)), [float(c) for c in coefficients]


def _sizes(places: Sequence[Any], values: Sequence[Any]) -> list[Any]:
    """|g| + |x g'| at each place: at a zero of g the rounding of x is an excuse."""
    found = []
    for j, value in enumerate(values):
        low, high = max(j - 1, 0), min(j + 1, len(values) - 1)
        slope = (values[high] - values[low]) / (places[high] - places[low])
        found.append(abs(value) + abs(places[j] * slope))
    return found


@lru_cache(maxsize=1)
def _cosines() -> list[Any]:
    """cos(pi j / (2 n)) for j < 4 n: T_m at the Chebyshev nodes is among them, for every m."""
    with mp.workprec(_BITS):
        return [mpmath.cos(mp.pi * j / (2 * _NODES)) for j in range(4 * _NODES)]


def _nodes() -> list[Any]:
    """The Chebyshev nodes, from 1 to -1."""
    return _cosines()[1 : 2 * _NODES : 2]


def _monomials(series: Sequence[Any]) -> list[Any]:
    """A Chebyshev series as a polynomial: T_{n+1} = 2 u T_n - T_{n-1}."""
    total = [mpmath.mpf(0)] * len(series)
    before, now = [mpmath.mpf(0)], [mpmath.mpf(1)]
    for m, c in enumerate(series):
        for at, coefficient in enumerate(now):
            total[at] += c * coefficient
        scale = 2 if m else 1
        after = [mpmath.mpf(0), *(scale * coefficient for coefficient in now)]
        if m:
            for at, coefficient in enumerate(before):
                after[at] -= coefficient
        before, now = now, after
    return total


def horner(coefficients: Sequence[float], u: Expr) -> Expr:
    """c0 + u (c1 + u (c2 + ...)); a long one as two of half the depth, in u u."""
    if len(coefficients) > _DEEPEST:
        square = Apply("multiply", (u, u))
        even, odd = (horner(coefficients[k::2], square) for k in (0, 1))
        return Apply("add", (even, Apply("multiply", (u, odd))))
    total: Expr = Number(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        product = Apply("multiply", (u, total))
        total = Apply("add", (Number(c), product)) if c else product
    return total


def joined(
    inner: Expr, outer: Expr, exact: Expr, arg: str, side: Side, cut: float
) -> Iterator[Expr]:
    """A series on one side of the cut, and the best of other forms, or a series too, on the other.

    inner, outer: the best other forms before the cut and beyond it.
    """
    condition = side.condition(Symbol(arg), cut)
    beyond = tail(exact, arg, side, cut)
    if beyond is not None:
        yield Apply("where", (condition, beyond, inner))
    hither = near(exact, arg, side, cut) if side.sign == 0 and cut else None
    if hither is None:
        return
    if apart_at_zero(exact, arg):
        hither = Apply("where", (exact.args[0], exact.args[1], hither))
    yield Apply("where", (condition, outer if beyond is None else beyond, hither))


def apart_at_zero(exact: Expr, arg: str) -> TypeGuard[Apply]:
    """Whether a value of its own stands at zero."""
    at_zero = Apply("equal", (Symbol(arg), Number(0)))
    return isinstance(exact, Apply) and exact.function == "where" and exact.args[0] == at_zero
