"""Cheaper spellings of neighbouring steps, where they lose neither accuracy nor a special value.

d * (1 / b)      -> d / b          one rounding fewer
d * (-p)         -> -(d * p)
a + (-q)         -> a - q          exact, also for zeros, infinities and NaN
a - (-q)         -> a + q
f(broadcast(x))  -> f(x)           where f broadcasts by itself
"""

from __future__ import annotations

from codegen.expr import FUNCTIONS, Number
from codegen.infer import floating, weak
from codegen.plan.shapes import broadcast
from codegen.plan.steps import Apply, Look, Operand, Sheet, Step, Value
from codegen.plan.uses import Uses
from codegen.program import Broadcast

_ARITHMETIC = frozenset({"multiply", "add", "subtract"})


def strengthen(sheet: Sheet, uses: Uses) -> bool:
    """Rewrite steps in place; whether anything changed, so that uses must be counted again."""
    changed = False
    steps: list[Step] = []
    for step in sheet.steps:
        if isinstance(step, Apply):
            for operand in step.operands:
                if _broadcasts(operand):
                    changed |= _drop_broadcasts(step)
                    break
            if step.function.name in _ARITHMETIC and floating(step.out.dtype):
                changed |= _negate_later(sheet, step, uses, steps) or _arithmetic(step, uses)
        steps.append(step)
    sheet.steps = steps
    return changed


def _broadcasts(operand: Operand) -> bool:
    return (
        isinstance(operand, Value)
        and isinstance(operand.step, Look)
        and isinstance(operand.step.kind, Broadcast)
        and isinstance(operand.step.operands[0], Value)
    )


def _drop_broadcasts(step: Apply) -> bool:
    """Read what a broadcast repeats, as long as the other operands give the result its shape."""
    changed = False
    for position, operand in enumerate(step.operands):
        if not _broadcasts(operand):
            continue
        assert isinstance(operand, Value)
        assert operand.step is not None
        source = operand.step.operands[0]
        operands = (*step.operands[:position], source, *step.operands[position + 1 :])
        shapes = [o.shape for o in operands if isinstance(o, Value)]
        if broadcast(shapes) == step.out.shape:
            step.operands = operands
            changed = True
    return changed


def _lone(operand: Operand, uses: Uses, function: str, like: Value) -> Apply | None:
    """The step of an unnamed operand of the result's type that is read once only."""
    if not isinstance(operand, Value) or operand.keep:
        return None
    if operand.dtype != like.dtype and not weak(operand.dtype):
        return None
    step = operand.step
    if not isinstance(step, Apply) or step.function.name != function or uses.count(operand) != 1:
        return None
    return step


def _negate_later(sheet: Sheet, step: Apply, uses: Uses, before: list[Step]) -> bool:
    """d * (-p) as -(d * p), so that a sum that it goes into becomes a difference."""
    if step.function.name != "multiply" or uses.returned[step.out.index]:
        return False
    readers = uses.readers[step.out.index]
    if len(readers) != 1 or not isinstance(readers[0], Apply):
        return False
    if readers[0].function.name not in ("add", "subtract"):
        return False
    a, b = step.operands
    for this, other in ((a, b), (b, a)):
        negated = _lone(other, uses, "negative", step.out)
        if negated is not None:
            inner = sheet.value(step.out.dtype, step.out.shape)
            inner.py = step.out.py
            operands = (this, negated.operands[0])
            factor = Apply(inner, operands, step.note, step.tag, step.function)
            inner.step = factor
            before.append(factor)
            _replace(step, "negative", (inner,))
            return True
    return False


def _arithmetic(step: Apply, uses: Uses) -> bool:
    a, b = step.operands
    name = step.function.name
    if name == "multiply":
        for this, other in ((a, b), (b, a)):
            inverse = _lone(other, uses, "divide", step.out)
            if inverse is not None and _is_one(inverse.operands[0]):
                _replace(step, "divide", (this, inverse.operands[1]))
                return True
        return False
    negated = _lone(b, uses, "negative", step.out)
    if negated is not None:
        _replace(step, "subtract" if name == "add" else "add", (a, negated.operands[0]))
        return True
    negated = _lone(a, uses, "negative", step.out)
    if negated is not None and name == "add":
        _replace(step, "subtract", (b, negated.operands[0]))
        return True
    return False


def _is_one(operand: Operand) -> bool:
    return isinstance(operand, Number) and operand.value == 1


def _replace(step: Apply, function: str, operands: tuple[Operand, ...]) -> None:
    step.function = FUNCTIONS[function]
    step.operands = operands
    if step.out.py and function == "divide":
        step.out.py = False
