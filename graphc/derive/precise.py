"""Expressions at arbitrary precision: what a form is measured against."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import mpmath  # type: ignore[import-untyped]
from mpmath import mp

from codegen.expr import Apply, Expr, Number, Symbol
from graphc.derive.named import named, number
from graphc.derive.precise_special import FUNCTIONS as FUNCTIONS_OF_SPECIAL
from graphc.derive.precise_special import Undefined as Undefined
from graphc.derive.precise_special import exp

# Digits agree when two precisions give the same value to this relative difference.
_AGREE = mpmath.mpf(2) ** -90
_FIRST_BITS = 170
_MOST_BITS = 6000
_ZERO_BITS = 1360
_NOTHING = mpmath.mpf(2) ** -1100
# Beyond, an argument is out of the floating range by far; range reduction would take for ever.
_HUGE = 4000

Value = Any  # an mpf; nan where the function is undefined (or complex), inf at a pole


def evaluate(expr: Expr, point: Mapping[str, float]) -> Value:
    """The value at a point of doubles, right to 80 bits at least; raises Undefined.

    Cancellation is met by more digits: the working precision doubles until two values agree.
    """
    bits = _FIRST_BITS
    with mp.workprec(bits):
        value = _at(expr, point)
    # Beside a large operand a small one is nothing at both precisions: in 2 x (2 x y - c) + 2 y the
    # bracket is as small as x**-2. The same the other way round: cos(x) / x - sin(x) / x**2.
    sizes = [math.frexp(x)[1] for x in point.values()]
    if not _is_slow(expr):
        sizes = [abs(size) for size in sizes]
    least = min(_MOST_BITS, 4 * max(sizes, default=0))
    while bits < _MOST_BITS:
        bits = max(bits * 2, least) if value else max(bits * 2, _ZERO_BITS, least)
        with mp.workprec(bits):
            better = _at(expr, point)
            # Two zeros agree too easily: 1 + exp(-700) is 1 at both precisions.
            agree = abs(value - better) <= _AGREE * abs(better) if better else bits >= _ZERO_BITS
            if value == better == mpmath.inf or agree:
                return better
            # What is left of a cancellation, both times: nothing that a double could hold.
            if bits >= _ZERO_BITS and max(abs(value), abs(better)) < _NOTHING:
                return better
        value = better
    raise Undefined


# Of a small argument these take seconds at thousands of digits.
_SLOW = frozenset({"gamma", "gammaln", "digamma", "zeta", "betaln"})


@lru_cache(maxsize=256)
def _is_slow(expr: Expr) -> bool:
    if not isinstance(expr, Apply):
        return False
    return expr.function in _SLOW or any(_is_slow(arg) for arg in expr.args)


def quick(expr: Expr, point: Mapping[str, float], bits: int) -> Value:
    """The value at one working precision, which the caller answers for; raises Undefined."""
    with mp.workprec(bits):
        return _at(expr, point)


def _at(expr: Expr, point: Mapping[str, float]) -> Value:
    try:
        value = _value(expr, point)
    except (ZeroDivisionError, OverflowError, ValueError, mpmath.libmp.NoConvergence):
        raise Undefined from None
    if isinstance(value, bool):
        return mpmath.mpf(value)
    if not isinstance(value, mpmath.mpf) or mpmath.isnan(value):
        raise Undefined
    return value


def _value(expr: Expr, point: Mapping[str, float]) -> Value:
    if isinstance(expr, Symbol):
        given = point[expr.name]
        return given if isinstance(given, mpmath.mpf) else mpmath.mpf(given)
    if isinstance(expr, Number):
        return _number(expr.value)
    assert isinstance(expr, Apply)
    if expr.function == "where":
        chosen = 1 if _value(expr.args[0], point) else 2
        return _value(expr.args[chosen], point)
    if expr.function == "log":
        small = _beside_one(expr.args[0])
        if small is not None:
            # Where 1 + u is 1 at two precisions, its logarithm would be 0 at both.
            return _FUNCTIONS["log1p"](_value(small, point))
    return _FUNCTIONS[expr.function](*(_value(arg, point) for arg in expr.args))


def _number(value: bool | int | float) -> Value:
    if isinstance(value, bool):
        return value
    name = named(value) if isinstance(value, float) else None
    return mpmath.mpf(value) if name is None else number(name)


def _beside_one(expr: Expr) -> Expr | None:
    """The u of 1 + u."""
    if isinstance(expr, Apply) and expr.function == "add":
        for one, other in (expr.args, expr.args[::-1]):
            if one == Number(1):
                return other
    return None


def _real(function: Callable[..., Any], huge: bool = False) -> Callable[..., Value]:
    """The function where it is real; `huge` says that it takes arguments of any size in stride."""

    def apply(*args: Value) -> Value:
        if not huge and any(
            mpmath.isfinite(arg) and mpmath.mag(arg) > _HUGE for arg in args if arg
        ):
            raise Undefined
        value = function(*args)
        if isinstance(value, mpmath.mpc):
            raise Undefined
        return value

    return apply


def _power(a: Value, b: Value) -> Value:
    if b == 0:
        return mpmath.mpf(1)
    if a == 0:
        if b > 0:
            return mpmath.mpf(0)
        raise Undefined
    if a < 0 and b != mpmath.floor(b):
        raise Undefined
    if abs(b) <= 64 and b == int(b):
        return a ** int(b)
    size = b * mpmath.log(abs(a))
    if mpmath.mag(size) > 40:
        value = mpmath.inf if size > 0 else mpmath.mpf(0)
    else:
        value = abs(a) ** b
    return -value if a < 0 and int(b) % 2 else value


def _log_sum(base: int) -> Callable[[Value, Value], Value]:
    def apply(a: Value, b: Value) -> Value:
        scale = 1 if base == 0 else mpmath.log(base)
        top = max(a, b)
        return top + mpmath.log(exp((a - top) * scale) + exp((b - top) * scale)) / scale

    return apply


def _copysign(a: Value, b: Value) -> Value:
    return -abs(a) if b < 0 else abs(a)


def _fmod(a: Value, b: Value) -> Value:
    quotient = a / b
    return a - (mpmath.floor(quotient) if quotient >= 0 else mpmath.ceil(quotient)) * b


def _divide(a: Value, b: Value) -> Value:
    if b == 0:
        raise Undefined
    return a / b


_FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": _divide,
    "power": _power,
    "negative": lambda a: -a,
    "absolute": abs,
    "square": lambda a: a * a,
    "reciprocal": lambda a: _divide(mpmath.mpf(1), a),
    "sqrt": _real(mpmath.sqrt, huge=True),
    "cbrt": lambda a: mpmath.sign(a) * mpmath.cbrt(abs(a)),
    "exp": exp,
    "exp2": lambda a: exp(a * mpmath.log(2)),
    "expm1": lambda a: exp(a) - 1 if a and mpmath.mag(a) > _HUGE else mpmath.expm1(a),
    "log": _real(mpmath.log, huge=True),
    "log2": _real(lambda a: mpmath.log(a) / mpmath.log(2), huge=True),
    "log10": _real(lambda a: mpmath.log(a) / mpmath.log(10), huge=True),
    "log1p": _real(mpmath.log1p, huge=True),
    "logaddexp": _log_sum(0),
    "logaddexp2": _log_sum(2),
    "sin": _real(mpmath.sin),
    "cos": _real(mpmath.cos),
    "tan": _real(mpmath.tan),
    "arcsin": _real(mpmath.asin),
    "arccos": _real(mpmath.acos),
    "arctan": _real(mpmath.atan),
    "arctan2": _real(mpmath.atan2),
    "sinh": lambda a: (exp(a) - exp(-a)) / 2 if abs(a) > 1 else mpmath.sinh(a),
    "cosh": lambda a: (exp(a) + exp(-a)) / 2,
    "tanh": _real(mpmath.tanh),
    "arcsinh": _real(mpmath.asinh),
    "arccosh": _real(mpmath.acosh),
    "arctanh": _real(mpmath.atanh),
    "hypot": _real(mpmath.hypot, huge=True),
    "erf": _real(mpmath.erf),
    "erfc": _real(mpmath.erfc),
    **FUNCTIONS_OF_SPECIAL,
    "maximum": max,
    "minimum": min,
    "fmax": max,
    "fmin": min,
    "copysign": _copysign,
    "fmod": _fmod,
    "remainder": lambda a, b: a - mpmath.floor(_divide(a, b)) * b,
    "floor_divide": lambda a, b: mpmath.floor(_divide(a, b)),
    "sign": mpmath.sign,
    "floor": mpmath.floor,
    "ceil": mpmath.ceil,
    "rint": mpmath.nint,
    "trunc": lambda a: mpmath.floor(a) if a >= 0 else mpmath.ceil(a),
    "heaviside": lambda a, h: mpmath.mpf(a > 0) if a else h,
    "less": lambda a, b: a < b,
    "less_equal": lambda a, b: a <= b,
    "greater": lambda a, b: a > b,
    "greater_equal": lambda a, b: a >= b,
    "equal": lambda a, b: a == b,
    "not_equal": lambda a, b: a != b,
    "logical_and": lambda a, b: bool(a) and bool(b),
    "logical_or": lambda a, b: bool(a) or bool(b),
    "logical_xor": lambda a, b: bool(a) != bool(b),
    "logical_not": lambda a: not a,
    "isnan": lambda a: bool(mpmath.isnan(a)),
    "isinf": lambda a: bool(mpmath.isinf(a)),
    "isfinite": lambda a: bool(mpmath.isfinite(a)),
    "signbit": lambda a: a < 0,
    "f64": lambda a: a,
    "f32": lambda a: a,
}


def slope(expr: Expr, point: Mapping[str, float], arg: str) -> Value:
    """d expr / d arg by a central difference, right to 60 bits or so; raises Undefined.

    Across a jump the difference does not shrink with its width: there the slope is that of the
    pieces, which is zero for a mask, and is taken as zero.
    """
    # The difference of two values that cancel inside needs more digits yet; two must agree.
    rise, width = _rise(expr, point, arg, -100, 400)
    for bits in (1300, 3000):
        better, width = _rise(expr, point, arg, -100, bits)
        agree = abs(better - rise) <= abs(better) / 8
        rise = better
        if agree and better:
            break
    if rise and _branches(expr):
        narrow, _ = _rise(expr, point, arg, -160, 1300)
        if abs(narrow) > abs(rise) / 2:
            return mpmath.mpf(0)
    return rise / (2 * width)


def _rise(expr: Expr, point: Mapping[str, float], arg: str, scale: int, bits: int) -> Any:
    """expr(x + w) - expr(x - w), and w = 2^scale min(|x|, 1)."""
    with mp.workprec(bits):
        x = mpmath.mpf(point[arg])
        # At most a small part of a period: sin(x) turns at any x.
        width = (min(abs(x), 1) if x else mpmath.mpf(2) ** -1080) * mpmath.mpf(2) ** scale
        above = quick(expr, {**point, arg: x + width}, bits)
        return above - quick(expr, {**point, arg: x - width}, bits), width


def _branches(expr: Expr) -> bool:
    if not isinstance(expr, Apply):
        return False
    return expr.function in _BRANCHING or any(_branches(arg) for arg in expr.args)


_BRANCHING = frozenset(
    {"where", "sign", "floor", "ceil", "rint", "trunc", "heaviside", "floor_divide", "remainder"}
    | {"fmod", "copysign", "less", "less_equal", "greater", "greater_equal", "equal", "not_equal"}
)
