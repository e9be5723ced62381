"""How good a form is: its error against many digits over the whole floating range, and its cost.

The error unit at a point is ulp(f) + sum over operands of ulp(x) |df/dx|: what the rounding of the
result and of the operands excuses, so that an ill-conditioned point is not blamed on the form. A
result below the smallest normal number may flush to zero. NumPy computes the form in the dtype; an
operand which is the value of another op is what that op's own form yields.
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import mpmath  # type: ignore[import-untyped]
import numpy as np

from codegen.expr import Apply, Expr, Number, symbols
from graphc.derive import precise
from graphc.derive.samples import FLOATS, LITERALS, samples
from graphc.scalars import evaluate_expr

# Larger operands are not met in earnest.
COMMON = {"float64": 1e100, "float32": 1e15}
# Beyond this an error is not told apart: the form is wrong there.
WRONG = 1e6

# Relative costs of a NumPy pass, an addition being 1, as measured on a CPU with AVX-512.
_COST: Mapping[str, float] = {
    "divide": 1.5, "reciprocal": 1.5, "remainder": 32.0, "fmod": 18.0, "floor_divide": 35.0,
    "power": 8.0, "sqrt": 3.0, "cbrt": 4.0, "exp": 3.2, "exp2": 3.0, "expm1": 4.4, "log": 3.0,
    "log2": 3.0, "log10": 3.2, "log1p": 4.0, "sin": 8.0, "cos": 8.0, "tan": 5.0, "arcsin": 5.0,
    "arccos": 5.0, "arctan": 4.6, "arctan2": 8.0, "sinh": 4.5, "cosh": 4.0, "tanh": 5.0,
    "arcsinh": 8.0, "arccosh": 8.0, "arctanh": 6.0, "hypot": 20.0, "logaddexp": 50.0,
    "logaddexp2": 50.0, "erf": 15.0, "erfc": 15.0, "where": 3.5, "copysign": 2.2, "sign": 2.2,
    "i0": 15.0, "i1": 15.0, "iv": 15.0, "i0e": 10.0, "i1e": 10.0,
    "negative": 0.7, "absolute": 0.7, "square": 0.8,
}  # fmt: skip
_OVERFLOWS = 1.0  # a warning that the straight value does not deserve
_LOST_AT_INFINITY = 1.0  # nan at an infinity where the limit is a number
GIVEN_UP = 40  # points beyond the limit after which a form is not looked at further
_PER_CHARACTER = 0.01
_PER_OPERAND = 0.3  # what must be kept for the backward pass
_PER_OUTPUT = 0.2
_REPEATED = 0.3


@dataclass(frozen=True, slots=True)
class Score:
    """How a form did.

    errors: the largest error in units, by dtype. beyond: at how many points it is beyond the limit,
    and nans: at how many of them it is no number. overflows: whether NumPy warns in vain. lost:
    whether it is nan where there is a limit.
    """

    errors: Mapping[str, float]
    beyond: int
    nans: int
    overflows: bool
    lost: bool
    cost: float

    @property
    def worst(self) -> float:
        return max(self.errors.values())


@dataclass(frozen=True, slots=True)
class Points:
    """Where forms are measured, in one dtype.

    operands: arrays by name, in the dtype; given operands are computed by their own forms.
    exact: the value at each point, as an mpf; points where it does not exist are left out.
    """

    dtype: str
    expr: Expr
    free: tuple[str, ...]
    operands: Mapping[str, Any]
    exact: tuple[Any, ...]
    rounded: Any
    infinities: Mapping[str, Any]
    limits: tuple[float, ...]

    def with_operand(self, name: str, values: Any) -> Points:
        """The same points with one more operand: an array, or a form to compute it by."""
        if isinstance(values, np.ndarray):
            column, far = values, np.full(len(self.limits), np.nan, values.dtype)
        else:
            column, far = run(values, self.operands), run(values, self.infinities)
        return replace(
            self,
            operands={**self.operands, name: column},
            infinities={**self.infinities, name: far},
        )


def run(expr: Expr, operands: Mapping[str, Any]) -> Any:
    """The form by NumPy in the operands' dtype, warnings aside."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        like = next(iter(operands.values()))
        return np.broadcast_to(
            np.asarray(evaluate_expr(expr, operands, {}), like.dtype), like.shape
        )


def points(
    expr: Expr,
    args: Sequence[str],
    dtype: str,
    count: int,
    boundaries: Iterable[float] = (),
    ties: bool = False,
    literals: Sequence[str] = (),
) -> Points:
    """Points for measuring forms of `expr`, and its exact values at them.

    count: how many, roughly.
    boundaries: where it may be delicate: zeros, poles, kinks.
    ties: whether equal operands are to be met often.
    literals: operands that are what people write as literals: 2, 0.5, -1.
    """
    rng = random.Random(f"{len(args)} {dtype}")
    chosen = samples(rng, args, dtype, count, tuple(boundaries), ties)
    if literals:
        fixed = [k for k, name in enumerate(args) if name in literals]
        chosen = [
            tuple(rng.choice(LITERALS) if k in fixed else x for k, x in enumerate(sample))
            for sample in chosen
        ]
    kept: list[tuple[float, ...]] = []
    values: list[Any] = []
    for sample in chosen:
        point = dict(zip(args, sample, strict=True))
        try:
            value = precise.evaluate(expr, point)
        except precise.Undefined:
            continue
        kept.append(sample)
        values.append(value)
    kind = FLOATS[dtype]
    columns = {
        name: np.array([sample[k] for sample in kept], dtype=kind) for k, name in enumerate(args)
    }
    at_infinity, limits = _limits(expr, args, dtype)
    return Points(
        dtype,
        expr,
        tuple(args),
        columns,
        tuple(values),
        _rounded(values, dtype),
        at_infinity,
        limits,
    )


def measure(
    form: Expr,
    at: Sequence[Points],
    limit: float,
    output: str = "",
    patience: float = GIVEN_UP,
) -> Score:
    """The form's largest error in each dtype, its overflows, and its cost.

    patience: after so many points beyond the limit it is not looked at further in that dtype.
    """
    results = {where.dtype: _errors(form, where, limit, patience) for where in at}
    errors = {dtype: worst for dtype, (worst, _) in results.items()}
    beyond = sum(count for _, count in results.values())
    nans = sum(int(np.isnan(run(form, where.operands)).sum()) for where in at if where.exact)
    overflows = any(_overflows(form, where) for where in at)
    lost = any(_lost(form, where) for where in at)
    total = cost(form, output) + _OVERFLOWS * overflows + _LOST_AT_INFINITY * lost
    return Score(errors, beyond, nans, overflows, lost, round(total, 2))


def restricted(at: Points, mask: Any) -> Points:
    """The points at which the mask holds."""
    kept = np.flatnonzero(mask)
    return replace(
        at,
        operands={name: column[kept] for name, column in at.operands.items()},
        exact=tuple(at.exact[index] for index in kept),
        rounded=at.rounded[kept],
    )


def bad_where(form: Expr, at: Sequence[Points], limit: float, place: Callable[[Any], Any]) -> bool:
    """Whether the form is beyond the limit at an operand for which `place` holds."""
    for where in at:
        got = run(form, where.operands)
        column = where.operands[where.free[0]]
        for index in np.flatnonzero(place(column) & (got != where.rounded)):
            if _error(float(got[index]), int(index), where, 0.0) > limit:
                return True
    return False


def cost(form: Expr, output: str = "") -> float:
    """The relative cost of one evaluation. A repeated part costs some again: it may be shared.

    output: the operand that is the op's own value, which is at hand more often than the others.
    """
    from graphc import formula

    seen: set[Expr] = set()

    def of(expr: Expr) -> float:
        if not isinstance(expr, Apply):
            return 0.0
        own = _COST.get(expr.function, 1.0)
        if expr.function == "divide" and expr.args[1] == Number(2):
            own = 1.0
        total = own + sum(of(arg) for arg in expr.args)
        if expr in seen:
            total *= _REPEATED
        seen.add(expr)
        return total

    kept = sum(_PER_OUTPUT if name == output else _PER_OPERAND for name in set(symbols(form)))
    return of(form) + _PER_CHARACTER * len(formula.text(form)) + kept


# -- errors ----------------------------------------------------------------------------------------


def _errors(form: Expr, at: Points, limit: float, patience: float) -> tuple[float, int]:
    """The largest error over the points, in units (inf where the form is no number), and how many
    points are beyond the limit, or more than `patience`."""
    if not at.exact:
        return 0.0, 0
    got = run(form, at.operands)
    info = np.finfo(FLOATS[at.dtype])
    with np.errstate(all="ignore"):
        ulps = np.abs(np.spacing(np.where(np.isfinite(at.rounded), at.rounded, info.max)))
        rough = np.abs(got - at.rounded) / ulps
    # Only what is off by more than two roundings is worth the exact arithmetic.
    suspects = np.flatnonzero(~(rough <= 2.0) & (got != at.rounded))
    worst = float(np.max(rough[rough <= 2.0], initial=0.0))
    beyond = 0
    for index in suspects:
        error = _error(float(got[index]), int(index), at, min(worst, limit))
        worst = max(worst, error if error < WRONG else math.inf)
        beyond += error > limit
        if beyond > patience:
            return math.inf, beyond
    return worst, beyond


def worst(got: Any, at: Points) -> tuple[float, float, tuple[float, ...]]:
    """The largest error of values at the points: in units, in ulps of the result, and where.

    The two maxima may lie at different points; the point is that of the error in units.
    """
    found: tuple[float, tuple[float, ...]] = (0.0, ())
    ulps = 0.0
    values = np.asarray(got)
    for index in np.flatnonzero(values != at.rounded):
        error = _error(float(values[index]), int(index), at, 0.0)
        error = error if error < WRONG else math.inf
        if error > found[0]:
            point = tuple(float(at.operands[name][index]) for name in at.free)
            found = (error, point)
        if error:
            rounded = float(at.rounded[index])
            ulp = _ulp(rounded, at.dtype) if math.isfinite(rounded) else math.inf
            ulps = max(ulps, float(abs(mpmath.mpf(float(values[index])) - at.exact[index]) / ulp))
    return found[0], ulps, found[1]


def _error(got: float, index: int, at: Points, enough: float) -> float:
    """One point's error in units; below `enough` it is not told apart from zero."""
    exact = at.exact[index]
    info = np.finfo(FLOATS[at.dtype])
    tiny, largest = float(info.smallest_normal), float(info.max)
    if math.isnan(got):
        return math.inf
    if abs(exact) < tiny and abs(got) <= tiny * 1.0001:
        return 0.0
    if abs(exact) > largest * (1 - 4 * float(info.eps)) and got * mpmath.sign(exact) >= largest * (
        1 - 8 * float(info.eps)
    ):
        return 0.0
    if math.isinf(got):
        # A pole that the rounding of the operands alone may lead to is no fault of the form.
        return 0.0 if _excuse(at, index) > abs(exact) else math.inf
    rounded = float(at.rounded[index])
    ulp = _ulp(rounded, at.dtype) if math.isfinite(rounded) else largest * float(info.eps)
    error = abs(mpmath.mpf(got) - exact)
    if error <= enough * ulp:
        return 0.0
    return float(min(error / (ulp + _excuse(at, index)), mpmath.mpf(2) * WRONG))


def _ulp(value: float, dtype: str) -> float:
    """The distance to the next number away from zero."""
    size = FLOATS[dtype](min(abs(value), float(np.finfo(FLOATS[dtype]).max) / 2))
    return float(np.spacing(size))


@lru_cache(maxsize=1 << 16)
def _slope(expr: Expr, names: tuple[str, ...], values: tuple[float, ...], arg: str) -> Any:
    try:
        return abs(precise.slope(expr, dict(zip(names, values, strict=True)), arg))
    except precise.Undefined:
        return mpmath.inf


def _excuse(at: Points, index: int) -> Any:
    """The sum of ulp(x) |df/dx| over the free operands."""
    point = tuple(float(at.operands[name][index]) for name in at.free)
    total = mpmath.mpf(0)
    for name, value in zip(at.free, point, strict=True):
        total += _ulp(value, at.dtype) * _slope(at.expr, at.free, point, name)
    return total


def _overflows(form: Expr, at: Points) -> bool:
    """Whether NumPy warns of overflow or of an invalid operation where the value is a number."""
    fine = np.isfinite(at.rounded)
    for column in at.operands.values():
        # Operands near the ends of the range overflow in x * x too; nobody wonders at that.
        fine &= np.abs(column) <= COMMON[column.dtype.name]
    fine = np.flatnonzero(fine)
    operands = {name: column[fine] for name, column in at.operands.items()}
    met: list[str] = []
    with np.errstate(over="call", invalid="call", divide="call", under="ignore"):
        before = np.seterrcall(lambda kind, _: met.append(kind))
        try:
            evaluate_expr(form, operands, {})
        finally:
            np.seterrcall(before)
    return bool(met)


def _lost(form: Expr, at: Points) -> bool:
    """Whether the form is nan at an infinity where the function has a limit."""
    if not at.limits:
        return False
    used = set(symbols(form))
    if any(np.any(np.isnan(column)) for name, column in at.infinities.items() if name in used):
        return False
    return bool(np.any(np.isnan(run(form, at.infinities))))


def _rounded(values: Sequence[Any], dtype: str) -> Any:
    with np.errstate(all="ignore"):
        return np.array([float(value) for value in values]).astype(FLOATS[dtype])


def _limits(
    expr: Expr, args: Sequence[str], dtype: str
) -> tuple[dict[str, Any], tuple[float, ...]]:
    """The infinities of a function of one argument at which it tends to a number."""
    kind = FLOATS[dtype]
    found: list[tuple[float, float]] = []
    if len(args) == 1:
        for sign in (1.0, -1.0):
            try:
                far = precise.quick(expr, {args[0]: sign * 1e300}, 400)
                near = precise.quick(expr, {args[0]: sign * 1e280}, 400)
            except precise.Undefined:
                continue
            if abs(far - near) <= 1e-12 * (1 + abs(near)):
                found.append((sign * math.inf, float(far)))
    columns = {name: np.array([x for x, _ in found], dtype=kind) for name in args[:1]}
    if len(args) > 1:
        columns = {name: np.array([], dtype=kind) for name in args}
    return columns, tuple(limit for _, limit in found)
