"""Numbers instead of arrays of one element.

m = x.max(keepdims=True); s = where(isfinite(m), m, 0)   ->   m = x.max(), and s a number

NumPy takes ten times as long for an array of one element as Python for a number. A reduction over
all axes that keeps them is one; so is what is computed of it and of other numbers alone. Where it
meets an array it broadcasts, and a number does so by itself.
"""

from __future__ import annotations

from codegen.plan.flatten import stays_python
from codegen.plan.shapes import broadcast
from codegen.plan.steps import Apply, At, Fold, Index, Look, Same, Sheet, Value, values_of
from codegen.plan.uses import Uses


def numbers(sheet: Sheet, uses: Uses) -> bool:
    """Change shapes and steps in place; whether anything changed."""
    changed = False
    for step in sheet.steps:
        if isinstance(step, Fold) and step.keepdims and _is_whole(step):
            ones = _followers(step.out, uses)
            if ones is not None:
                _reduce(ones, uses)
                changed = True
    return changed


def _is_whole(step: Fold) -> bool:
    operand = step.operands[0]
    assert isinstance(operand, Value)
    return step.axes == tuple(range(len(operand.shape))) and not step.fn.startswith("cum")


def _followers(first: Value, uses: Uses) -> set[Value] | None:
    """The values that become numbers along with the first; None where a reader needs an array."""
    ones = {first}
    pending = [first]
    while pending:
        value = pending.pop()
        if value.keep or uses.returned[value.index]:
            return None
        for reader in uses.readers[value.index]:
            if isinstance(reader, Look):
                if not _picks(reader):
                    return None
                continue
            if not isinstance(reader, Apply):
                return None
            out = reader.out
            if out not in ones and all(v in ones or not v.shape for v in values_of(reader)):
                ones.add(out)
                pending.append(out)
    readers = {reader for value in ones for reader in uses.readers[value.index]}
    for reader in readers:
        rest = [v.shape for v in values_of(reader) if v not in ones]
        outside = isinstance(reader, Apply) and reader.out not in ones
        if outside and broadcast(rest) != reader.out.shape:
            return None
    return ones


def _picks(step: Look) -> bool:
    """Whether the view is the one element."""
    return isinstance(step.kind, Index) and all(isinstance(e, At) for e in step.kind.entries)


def _reduce(ones: set[Value], uses: Uses) -> None:
    """Make numbers of the values, and of their one element the value itself."""
    for value in ones:
        value.shape = ()
        for reader in uses.readers[value.index]:
            if isinstance(reader, Look):
                reader.kind = Same()
    for value in sorted(ones, key=lambda value: value.index):
        step = value.step
        if isinstance(step, Fold):
            step.keepdims = False
        elif isinstance(step, Apply):
            value.py = stays_python(step.function.name, step.operands, value.dtype)
