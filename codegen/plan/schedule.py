"""The order of steps: what only looks at a value comes before the step that could overwrite it.

p = exp(z); m = z[row, y]      ->      m = z[row, y]; p = exp(z), in the place of z
"""

from __future__ import annotations

from codegen.plan.rounds import Repeat
from codegen.plan.steps import (
    LARGE,
    Apply,
    Fold,
    Look,
    Sheet,
    Step,
    Take,
    Value,
    outs_of,
    values_of,
)
from codegen.plan.uses import Uses
from codegen.types import product

# A value with more readers than this is not worth the search.
_READERS = 4
# In longer functions steps stay where they are.
_FEW = 1000


def schedule(sheet: Sheet, uses: Uses, scale: list[int]) -> None:
    """Reorders the steps in place. Operands still come before their readers."""
    if any(isinstance(step, Repeat) for step in sheet.steps) and len(sheet.steps) <= _FEW:
        _late(sheet, uses)
    _sink(sheet, uses)
    _hoist(sheet, uses, scale)


def _late(sheet: Sheet, uses: Uses) -> None:
    """Moves each step down to what reads it first, where what it makes is larger than what would be
    kept for it: beside loops, values of all steps are many, and are needed one loop after another.
    """
    order: list[Step] = []  # from the last one on
    for step in reversed(sheet.steps):
        readers = {reader for out in outs_of(step) for reader in uses.readers[out.index]}
        returned = any(uses.returned[out.index] for out in outs_of(step))
        at = len(order)
        if readers and not returned and not isinstance(step, Repeat):
            first = max(order.index(reader) for reader in readers) + 1
            later = set(order[:first])
            kept = [x for x in set(values_of(step)) if later.isdisjoint(uses.readers[x.index])]
            if isinstance(step, Look) or sum(map(_size, kept)) < _size(step.out):
                at = first
        order.insert(at, step)
    order.reverse()
    sheet.steps = order


def _size(value: Value) -> int:
    """The elements of what takes storage of its own; sizes with names are not compared."""
    step = value.step
    while isinstance(step, Look):
        (source, *_) = step.operands
        step = source.step if isinstance(source, Value) else None
    size = product(value.shape)
    return size if step is not None and isinstance(size, int) else 0


def _sink(sheet: Sheet, uses: Uses) -> None:
    """Moves a step down to its only reader, past steps of another note, if both have one note: the
    comment is then written once."""
    moved: dict[Step, list[Step]] = {}
    following = ""
    gone: set[Step] = set()
    for step in reversed(sheet.steps):
        readers = uses.readers[step.out.index]
        lone = len(readers) == 1 and not uses.returned[step.out.index]
        far = lone and step.note != following
        if far and isinstance(step, Apply | Look) and readers[0].note == step.note:
            moved.setdefault(readers[0], []).append(step)
            gone.add(step)
            continue
        following = step.note
    if not moved:
        return
    steps: list[Step] = []
    for step in sheet.steps:
        if step in gone:
            continue
        # What sank to this step comes first, and before it what sank to that.
        stack = [step]
        block: list[Step] = []
        while stack:
            top = stack.pop()
            block.append(top)
            stack.extend(reversed(moved.get(top, ())))
        block.reverse()
        steps.extend(block)
    sheet.steps = steps


def _hoist(sheet: Sheet, uses: Uses, scale: list[int]) -> None:
    """Moves sums and selections of a large value up before the one step that could work in its
    place. Steps move within their group of one note only, so that comments stay where they are."""
    position = {step: at for at, step in enumerate(sheet.steps)}
    before: dict[Step, list[Step]] = {}
    moved: set[Step] = set()
    for step in sheet.steps:
        if not isinstance(step, Apply):
            continue
        for operand in step.operands:
            if isinstance(operand, Value) and scale[operand.index] == LARGE:
                later = _movable(step, operand, uses, position)
                if later and moved.isdisjoint(later):
                    before[step] = later
                    moved.update(later)
                    break
    if not before:
        return
    steps: list[Step] = []
    for step in sheet.steps:
        if step not in moved:
            steps.extend(before.get(step, ()))
            steps.append(step)
    sheet.steps = steps


def _movable(step: Apply, operand: Value, uses: Uses, position: dict[Step, int]) -> list[Step]:
    """The later readers of the operand, if all of them may come before the step; else none."""
    readers = uses.readers[operand.index]
    if not 1 < len(readers) <= _READERS or uses.returned[operand.index]:
        return []
    same = (operand.dtype, operand.shape) == (step.out.dtype, step.out.shape)
    made = operand.step is not None and not isinstance(operand.step, Look)
    if not (same and made and step.function.ufunc):
        return []
    here = position[step]
    later = [reader for reader in readers if position[reader] > here]
    if any(position[r] <= here and r is not step and isinstance(r, Look) for r in readers):
        # A view made before may be read after.
        return []
    for reader in later:
        if not isinstance(reader, Fold | Take) or reader.note != step.note:
            return []
        if len(reader.out.shape) >= len(operand.shape):
            return []
        made_by = [other.step for other in reader.operands if isinstance(other, Value)]
        if any(maker is not None and position[maker] >= here for maker in made_by):
            return []
    return sorted(set(later), key=position.__getitem__)
