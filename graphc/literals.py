"""Folding of literals inside one scalar expression: `b * a ** (b - 1)` with b = 2 is `2 * a`.

A partial's form is written for any operand; where an operand is a literal, the number takes the
operand's place, and what is left is what a person would have written. Only exact rewrites: Python's
arithmetic on the literals themselves is what the emitted source would do at every call.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache

from codegen.expr import Apply, Expr, Number, replace_symbols
from graphc.formula import parse
from graphc.ops.kinds import Elementwise

Literal = bool | int | float

_EXACT: Mapping[str, Callable[[Literal, Literal], Literal]] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "equal": operator.eq,
    "not_equal": operator.ne,
    "logical_and": lambda a, b: bool(a and b),
    "logical_or": lambda a, b: bool(a or b),
}
_ARITHMETIC = frozenset({"add", "subtract", "multiply", "divide", "negative"})
_FLOATS: Mapping[str, Callable[[float], float]] = {
    "log": math.log,
    "sqrt": math.sqrt,
    "exp": math.exp,
}


@lru_cache(maxsize=4096)
def at_literals(op: Elementwise, values: tuple[Number | None, ...]) -> Expr:
    """The op's formula where its operands are these literals; None is an operand that is not."""
    known = {arg: value for arg, value in zip(op.args, values, strict=True) if value is not None}
    return fold(replace_symbols(parse(op.formula, op.args), known))


def fold(expr: Expr) -> Expr:
    """The expression with literals folded, choices on literals taken, and x ** 1 and 1 * x as x.

    The value is the same to the last bit; a fold that Python refuses (1 / 0) is left to NumPy.
    """
    if not isinstance(expr, Apply):
        return expr
    args = tuple(fold(arg) for arg in expr.args)
    if expr.function == "where" and isinstance(args[0], Number):
        return args[1] if args[0].value else args[2]
    if all(isinstance(arg, Number) for arg in args):
        number = _number(expr.function, [arg.value for arg in args if isinstance(arg, Number)])
        if number is not None:
            return Number(number)
    return _identity(expr.function, args) or Apply(expr.function, args)


def _number(function: str, values: list[Literal]) -> Literal | None:
    if function in _ARITHMETIC and all(isinstance(value, bool) for value in values):
        return None  # True + True is 2 in Python and True in NumPy
    try:
        if function == "negative":
            return -values[0]
        if function in _FLOATS:
            return _FLOATS[function](values[0])
        if function in _EXACT:
            return _EXACT[function](values[0], values[1])
    except (ArithmeticError, ValueError):
        pass
    return None


def _identity(function: str, args: tuple[Expr, ...]) -> Expr | None:
    """x ** 1, x * 1 and 1 * x are x: for the integer 1, since 1.0 promotes an integer x. x ** 0.0
    is 1.0, for NaN too."""
    if function == "power" and _is_float_zero(args[1]):
        return Number(1.0)
    if function in ("power", "multiply") and _is_one(args[1]):
        return args[0]
    if function == "multiply" and _is_one(args[0]):
        return args[1]
    return None


def _is_one(expr: Expr) -> bool:
    return isinstance(expr, Number) and type(expr.value) is int and expr.value == 1


def _is_float_zero(expr: Expr) -> bool:
    return isinstance(expr, Number) and type(expr.value) is float and expr.value == 0
