"""The order of steps: what only looks at a value comes before the step that could overwrite it.

p = exp(z); m = z[row, y]      ->      m = z[row, y]; p = exp(z), in the place of z
"""

from __future__ import annotations

from codegen.plan.steps import LARGE, Apply, Fold, Look, Sheet, Step, Take, Value
from codegen.plan.uses import Uses

# A value with more readers than this is not worth the search.
_READERS = 4


def schedule(sheet: Sheet, uses: Uses, scale: list[int]) -> None:
    """Reorders the steps in place. Operands still come before their readers."""
    _sink(sheet, uses)
    _hoist(sheet, uses, scale)


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
