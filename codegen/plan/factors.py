"""Factors that are smaller than what they multiply: first with each other, or with a sum.

(a * u) * (h / v)     -> a * (u * h / v)           u, v [1, m]: one pass over the matrix less
(a * u).sum(axis=1)   -> a.sum(axis=1) * u      u[n, 1]: one pass over the matrix less
(a * (-h / u)).sum(1) -> -((a * h).sum(1) / u)
y[index] += -2 * a    -> y[index] += a, then y *= -2
"""

from __future__ import annotations

from copy import copy

from codegen.expr import FUNCTIONS, Number
from codegen.plan.shapes import broadcast, full
from codegen.plan.steps import (
    Apply,
    At,
    Fold,
    Index,
    Look,
    Operand,
    Put,
    Sheet,
    Span,
    Step,
    Value,
    is_large,
)
from codegen.plan.uses import Uses

# What stands outside: a function of the sum, its other operands, and whether these come first.
_Outside = list[tuple[str, tuple[Operand, ...], bool]]


def gather(sheet: Sheet, uses: Uses) -> bool:
    """Multiplies smaller factors of a large array with each other; whether anything changed."""
    steps: list[Step] = []
    changed = False
    for step in sheet.steps:
        if isinstance(step, Apply) and step.function.name in ("multiply", "divide"):
            for position in (0, 1) if step.function.name == "multiply" else (0,):
                if _gathered(sheet, step, position, uses, steps):
                    changed = True
                    break
        steps.append(step)
    sheet.steps[:] = steps
    return changed


def _gathered(sheet: Sheet, step: Apply, position: int, uses: Uses, before: list[Step]) -> bool:
    """Whether the operand at the position has a smaller factor, which now is the other's."""
    out, scaled, factor = step.out, step.operands[position], step.operands[1 - position]
    if not out.shape or not isinstance(scaled, Value) or not _is_part(scaled, out, uses):
        return False
    made = scaled.step
    if not isinstance(made, Apply) or made.function.name not in ("multiply", "divide"):
        return False
    if not isinstance(factor, Value) or factor.dtype != out.dtype or not is_large(out, {}):
        return False
    for at in (1, 0) if made.function.name == "multiply" else (1,):
        smaller, large = made.operands[at], made.operands[1 - at]
        if not isinstance(smaller, Value) or smaller.dtype != out.dtype:
            continue
        shape = broadcast((smaller.shape, factor.shape))
        if not _is_whole(large, out) or shape == out.shape:
            continue
        # (a / u) / v is a / (u v), the others are a (u v), a (u / v), a (v / u).
        inverse, divides = made.function.name == "divide", step.function.name == "divide"
        pair = (factor, smaller) if inverse and not divides else (smaller, factor)
        combined = sheet.value(out.dtype, shape)
        name = "divide" if inverse is not divides else "multiply"
        combined.step = Apply(combined, pair, step.note, step.tag, FUNCTIONS[name])
        before.append(combined.step)
        step.function = FUNCTIONS["divide" if inverse and divides else "multiply"]
        step.operands = (large, combined)
        return True
    return False


def pull_out(sheet: Sheet, step: Fold | Put, uses: Uses, before: list[Step]) -> Step | None:
    """The sum without such factors, appended to `before`, and the last of the steps that apply
    them; None where there are none. The other steps of the chain are rewritten in place.

    step: a sum along axes, or at positions, which takes factors of all that is added.
    """
    out, summed = step.out, step.operands[0]
    if not isinstance(summed, Value) or summed.dtype != out.dtype:
        return None
    axes = step.axes if isinstance(step, Fold) else tuple(range(len(summed.shape)))
    if not axes or out.dtype not in ("f64", "f32"):
        return None
    outside: _Outside = []
    left = _strip(step, 0, axes, summed, uses, outside)
    if not outside:
        return None
    total = sheet.value(out.dtype, out.shape)
    added = copy(step)
    added.out, added.operands = total, (left, *step.operands[1:])
    total.step = added
    before.append(added)
    if isinstance(step, Fold) and step.keepdims:
        axes = ()
    for position, (name, rest, first) in enumerate(outside):
        made = tuple(reduced(sheet, operand, axes, summed, step, before) for operand in rest)
        last = position == len(outside) - 1
        value = out if last else sheet.value(out.dtype, out.shape)
        operands = (*made, total) if first else (total, *made)
        applied = Apply(value, operands, step.note, step.tag, FUNCTIONS[name])
        value.step = applied
        if last:
            return applied
        before.append(applied)
        total = value
    raise AssertionError("the last factor returns")


def _strip(
    holder: Step,
    position: int,
    axes: tuple[int, ...],
    like: Value,
    uses: Uses,
    outside: _Outside,
) -> Operand:
    """The operand without what may stand outside; factors deeper in a product are taken off there.

    What is taken off is read by this chain alone, so that none of it is computed twice.
    """
    operand = holder.operands[position]
    while isinstance(operand, Value) and _is_part(operand, like, uses):
        made = operand.step
        assert isinstance(made, Apply)
        name = made.function.name
        if name == "negative":
            outside.append(("negative", (), False))
            operand = made.operands[0]
            continue
        if name not in ("multiply", "divide"):
            break
        a, b = made.operands
        if is_constant(b, axes, like) and _is_whole(a, like):
            outside.append((name, (b,), False))
            operand = a
        elif name == "multiply" and is_constant(a, axes, like) and _is_whole(b, like):
            outside.append((name, (a,), True))
            operand = b
        else:
            found = len(outside)
            first = _strip(made, 0, axes, like, uses, outside)
            second = b if name == "divide" else _strip(made, 1, axes, like, uses, outside)
            if len(outside) > found:
                made.operands = (first, second)
            break
    return operand


def _is_part(operand: Value, like: Value, uses: Uses) -> bool:
    """Whether an operand is computed for its one reader, elementwise, and without a name."""
    if operand.index >= len(uses.readers):
        return False  # made a moment ago: its readers are not known yet
    if operand.keep or uses.count(operand) != 1 or not isinstance(operand.step, Apply):
        return False
    return _is_whole(operand, like)


def _is_whole(operand: Operand, like: Value) -> bool:
    return (
        isinstance(operand, Value) and operand.shape == like.shape and operand.dtype == like.dtype
    )


def is_constant(operand: Operand, axes: tuple[int, ...], like: Value) -> bool:
    """Whether an operand of `like` has one value along all of the axes."""
    if isinstance(operand, Number):
        return True
    if not isinstance(operand, Value) or operand.dtype != like.dtype:
        return False
    lead = len(like.shape) - len(operand.shape)
    return all(axis < lead or operand.shape[axis - lead] == 1 for axis in axes)


def reduced(
    sheet: Sheet, operand: Operand, axes: tuple[int, ...], like: Value, at: Step, before: list[Step]
) -> Operand:
    """An operand of `like`, which is constant along some axes, without them."""
    if not isinstance(operand, Value) or not operand.shape:
        return operand
    lead = len(like.shape) - len(operand.shape)
    entries: list[At | Span | None] = []
    shape = []
    for axis, size in enumerate(operand.shape, start=lead):
        if axis in axes:
            entries.append(At(0))
        else:
            entries.append(full(size))
            shape.append(size)
    if len(shape) == len(operand.shape):
        return operand
    made = operand.step
    if isinstance(made, Look) and isinstance(made.kind, Index):
        # The axes were put there for the product's sake.
        added = tuple(None if isinstance(entry, At) else entry for entry in entries)
        if made.kind.entries == added:
            return made.operands[0]
    value = sheet.value(operand.dtype, tuple(shape))
    look = Look(value, (operand,), at.note, at.tag, Index(tuple(entries)))
    value.step = look
    before.append(look)
    return value
