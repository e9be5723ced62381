"""What is known of the size of an array's elements, by how they are computed.

NaN aside, which every rewriting passes on.
"""

from __future__ import annotations

from codegen.expr import Number
from codegen.plan.steps import Apply, Operand, Value

# Deeper formulas are not looked through.
_DEPTH = 8
_WITHIN_ONE = frozenset({"tanh", "sin", "cos", "sign", "erf"})
_NOT_NEGATIVE = frozenset({"exp", "square", "absolute", "cosh"})


def at_most_one(operand: Operand, depth: int = _DEPTH) -> bool:
    """Whether no element is outside of [-1, 1], but for rounding."""
    if isinstance(operand, Number):
        return abs(operand.value) <= 1
    made = _made(operand, depth)
    if made is None:
        return False
    name, operands = made.function.name, made.operands
    if name in _WITHIN_ONE:
        return True
    if name == "exp":
        return never_positive(operands[0], depth - 1)
    if name == "divide":
        return at_most_one(operands[0], depth - 1) and at_least_one(operands[1], depth - 1)
    return name in ("multiply", "negative", "absolute", "square") and all(
        at_most_one(part, depth - 1) for part in operands
    )


def at_least_one(operand: Operand, depth: int = _DEPTH) -> bool:
    """Whether no element is below 1, but for rounding: 1 + exp(x), cosh(x), (e + 1 / e) / 2."""
    if isinstance(operand, Number):
        return operand.value >= 1
    made = _made(operand, depth)
    if made is None:
        return False
    name, operands = made.function.name, made.operands
    if name == "cosh":
        return True
    if name == "square":
        return at_least_one(operands[0], depth - 1)
    if name == "multiply" and operands[1] == Number(0.5):
        return _with_its_inverse(operands[0], depth - 1)
    if name != "add":
        return False
    return _with_its_inverse(operand, depth) or any(
        isinstance(one, Number) and one.value >= 1 and never_negative(rest, depth - 1)
        for one, rest in (operands, operands[::-1])
    )


def _with_its_inverse(operand: Operand, depth: int) -> bool:
    """Whether this is e + 1 / e of a positive e, which is never below 2."""
    made = _made(operand, depth)
    if made is None or made.function.name != "add":
        return False
    for value, inverse in (made.operands, made.operands[::-1]):
        divided = _made(inverse, depth)
        if divided is not None and divided.function.name == "divide":
            one, below = divided.operands
            if one == Number(1.0) and below is value:
                return never_negative(value, depth - 1)
    return False


def never_negative(operand: Operand, depth: int = _DEPTH) -> bool:
    """Whether no element is below zero."""
    if isinstance(operand, Number):
        return operand.value >= 0
    made = _made(operand, depth)
    if made is None:
        return False
    name, operands = made.function.name, made.operands
    if name == "multiply" and operands[0] is operands[1]:
        return True
    if name in ("multiply", "divide", "add"):
        return all(never_negative(part, depth - 1) for part in operands)
    return name in _NOT_NEGATIVE


def never_positive(operand: Operand, depth: int = _DEPTH) -> bool:
    """Whether no element is above zero: -x^2, also as (-x) x."""
    if isinstance(operand, Number):
        return operand.value <= 0
    made = _made(operand, depth)
    if made is None:
        return False
    if made.function.name == "negative":
        return never_negative(made.operands[0], depth - 1)
    if made.function.name != "multiply":
        return False
    operands = made.operands
    for part, rest in (operands, operands[::-1]):
        made = _made(part, depth)
        if made is not None and made.function.name == "negative" and made.operands[0] is rest:
            return True
        if never_positive(part, depth - 1) and never_negative(rest, depth - 1):
            return True
    return False


def _made(operand: Operand, depth: int) -> Apply | None:
    """The elementwise step that computes an operand."""
    made = operand.step if isinstance(operand, Value) and depth else None
    return made if isinstance(made, Apply) else None
