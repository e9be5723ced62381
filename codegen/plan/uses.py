"""Who reads what: counts and readers of every value, and the steps that nothing needs."""

from __future__ import annotations

from collections.abc import Iterable

from codegen.plan.steps import Invoke, Sheet, Step, Value
from codegen.record import struct


@struct
class Uses:
    """readers: the steps that read a value, once a use; returned: whether it is a result."""

    readers: list[list[Step]]
    returned: list[bool]

    def count(self, value: Value) -> int:
        """How often the value is read, by steps and by the result."""
        return len(self.readers[value.index]) + self.returned[value.index]


def uses(sheet: Sheet, results: Iterable[Value]) -> Uses:
    """The readers of every value, after the steps that nothing needs are dropped from the sheet."""
    found = Uses([[] for _ in sheet.values], [False] * len(sheet.values))
    for value in results:
        found.returned[value.index] = True
    readers, returned = found.readers, found.returned
    live: list[Step] = []
    for step in reversed(sheet.steps):
        index = step.out.index
        if not readers[index] and not returned[index] and not _others(step, found):
            continue
        live.append(step)
        for operand in step.operands:
            if isinstance(operand, Value):
                readers[operand.index].append(step)
    live.reverse()
    sheet.steps[:] = live
    return found


def _others(step: Step, uses: Uses) -> bool:
    """Whether one of several results is needed."""
    return isinstance(step, Invoke) and any(map(uses.count, step.outs))
