"""Where values live: which step works in the storage of a value that is dead by then.

A step may write into an operand's storage where that is this function's own, of the same type, and
read by nothing later. A matrix product may also write into other dead storage of its type; not so
elementwise steps, whose lines would then depend on unrelated ones. Small arrays are not worth the
care.
"""

from __future__ import annotations

from collections.abc import Iterable

from codegen.plan.steps import (
    LARGE,
    Apply,
    Invoke,
    Look,
    Product,
    Put,
    Sheet,
    Step,
    Take,
    Value,
    outs_of,
)
from codegen.plan.uses import Uses
from codegen.program import Broadcast, Reshape
from codegen.record import struct

FOREVER = 1 << 60
# Functions whose results may be one number that is repeated: they are not written to.
_REPEATING = frozenset({"_nearest"})


@struct
class Buffers:
    """root: the value whose storage a value shows (itself, unless it is a view).

    owned: for a root, whether its storage was made in this function, for it alone.
    inplace: for a value, the operand in whose storage it is computed, if any.
    reused: for a value, the dead value in whose storage it is put, if any.
    """

    root: list[Value]
    owned: list[bool]
    inplace: list[Value | None]
    reused: list[Value | None]


def buffers(
    sheet: Sheet,
    uses: Uses,
    inline: list[bool],
    scale: list[int],
    callables: frozenset[str],
    donated: frozenset[int] = frozenset(),
) -> Buffers:
    """The storage of every value.

    donated: arguments, by value index, whose storage the caller gives away.
    """
    count = len(sheet.values)
    plan = Buffers(list(sheet.values), [False] * count, [None] * count, [None] * count)
    for index in donated:
        plan.owned[index] = True
    for step in sheet.steps:
        _claim(step, plan, callables)
    last_read, dying = last_reads(sheet, uses, inline, plan, scale)
    free: dict[tuple[str, object], list[Value]] = {}
    for position, step in enumerate(sheet.steps):
        out = step.out
        if inline[out.index]:
            continue
        if isinstance(step, Put) or (
            scale[out.index] == LARGE and isinstance(step, Apply | Product)
        ):
            returned = uses.returned[out.index]
            place = _place(step, plan, last_read, position, inline, returned)
            if place is not None:
                plan.inplace[out.index] = place
            elif isinstance(step, Product):
                spare = free.get((out.dtype, out.shape))
                if spare:
                    plan.reused[out.index] = spare.pop()
        for dead in dying.get(position, ()):
            if not _taken(dead, step, plan):
                free.setdefault((dead.dtype, dead.shape), []).append(dead)
    return plan


def _claim(step: Step, plan: Buffers, callables: frozenset[str]) -> None:
    """Who owns what a step makes."""
    out = step.out
    source = step.operands[0] if step.operands else None
    if isinstance(step, Look):
        if not isinstance(source, Value) or (isinstance(step.kind, Broadcast) and not source.shape):
            plan.owned[out.index] = True
        else:
            plan.root[out.index] = plan.root[source.index]
    elif isinstance(step, Take) and not any(
        isinstance(index, Value) and index.shape for index in step.operands[1:]
    ):
        # Indexed by numbers only, NumPy gives a view.
        assert isinstance(source, Value)
        plan.root[out.index] = plan.root[source.index]
    elif isinstance(step, Invoke):
        own = step.function not in callables and step.function not in _REPEATING
        for made in step.outs:
            plan.owned[made.index] = own
    else:
        plan.owned[out.index] = True


def origin(value: Value, steps: Iterable[Step], places: Buffers) -> Value | None:
    """The value from outside these steps in whose storage one of theirs ends, if there is one."""
    made = {out for step in steps for out in outs_of(step)}
    place = places.inplace[value.index]
    while place is not None and place in made:
        place = places.inplace[place.index]
    return place


def last_reads(
    sheet: Sheet, uses: Uses, inline: list[bool], plan: Buffers, scale: list[int]
) -> tuple[list[int], dict[int, list[Value]]]:
    """For each root, the position of the last statement that reads its storage; and which large
    roots die where."""
    last = [-1] * len(sheet.values)
    when = [-1] * len(sheet.values)
    for value in sheet.values:
        if uses.returned[value.index]:
            last[plan.root[value.index].index] = FOREVER
    for position in range(len(sheet.steps) - 1, -1, -1):
        step = sheet.steps[position]
        out = step.out
        # An inlined step reads its operands where its reader stands.
        at = when[out.index] if inline[out.index] else position
        for operand in step.operands:
            if isinstance(operand, Value):
                index = operand.index
                if when[index] < at:
                    when[index] = at
                root = plan.root[index].index
                if last[root] < at:
                    last[root] = at
    dying: dict[int, list[Value]] = {}
    for value in sheet.values:
        index = value.index
        stored = plan.root[index] is value and plan.owned[index] and not inline[index]
        if stored and scale[index] == LARGE and 0 <= last[index] < FOREVER:
            dying.setdefault(last[index], []).append(value)
    return last, dying


def _place(
    step: Step,
    plan: Buffers,
    last_read: list[int],
    position: int,
    inline: list[bool],
    returned: bool,
) -> Value | None:
    """The operand in whose storage the step may be computed; an unnamed one rather than a named.

    What is returned goes into a donated argument first: the storage that is left is given back.
    """
    if isinstance(step, Product):
        return None
    if isinstance(step, Apply) and not step.function.ufunc:
        return None
    out = step.out
    candidates = step.operands[-1:] if isinstance(step, Put) and step.based else step.operands
    if isinstance(step, Put) and not step.based:
        return None
    best: Value | None = None
    for operand in candidates:
        if not isinstance(operand, Value) or operand.shape != out.shape:
            continue
        index = operand.index
        root = plan.root[index]
        if operand.dtype != out.dtype or not plan.owned[root.index] or inline[index]:
            continue
        if root is not operand and not _is_reshaped(operand, root):
            continue
        if last_read[root.index] > position:
            continue
        if isinstance(step, Put) and _overlaps(step, operand, plan):
            continue
        if best is None or _better(operand, best, returned, plan):
            best = operand
    return best


def _is_reshaped(operand: Value, root: Value) -> bool:
    """Whether a view shows all of its root, in another shape. (Where NumPy has to copy instead,
    the copy is nobody else's.)"""
    step = operand.step
    return isinstance(step, Look) and isinstance(step.kind, Reshape) and step.operands[0] is root


def _better(operand: Value, best: Value, returned: bool, plan: Buffers) -> bool:
    """Whether a step rather works in `operand` than in `best`."""
    donated, before = _is_given(operand, plan), _is_given(best, plan)
    if donated is not before:
        return donated is returned
    return best.keep and not operand.keep


def _is_given(value: Value, plan: Buffers) -> bool:
    """Whether the value lies in the storage of an argument."""
    place: Value | None = value
    while place is not None:
        value, place = place, plan.inplace[place.index]
    return value.step is None


def _overlaps(step: Put, base: Value, plan: Buffers) -> bool:
    """Whether what is added shows the storage that it is added to."""
    return any(
        isinstance(operand, Value) and plan.root[operand.index] is base
        for operand in step.operands[:-1]
    )


def _taken(dead: Value, step: Step, plan: Buffers) -> bool:
    """Whether the step that reads a value last also takes its storage over."""
    place = plan.inplace[step.out.index]
    return place is not None and plan.root[place.index] is dead
