"""A weighted sum of the dot products of short rows as one dot product, where its factor is there.

s.dot(np.vecdot(a, b)); p = s[:, None] * a    ->    p = s[:, None] * a; np.vdot(p, b)

The dot products of many rows of a few elements take longer than that of all of them. What the
gradient by b needs is that product, or a multiple of it.
"""

from __future__ import annotations

from codegen.plan.shapes import full
from codegen.plan.steps import Apply, Index, Invoke, Look, Operand, Sheet, Step, Value
from codegen.plan.sums import LONGEST_SINGLE, SHORTEST_ROW
from codegen.plan.uses import Uses
from codegen.types import product


def join_dots(sheet: Sheet, uses: Uses) -> bool:
    """Rewrite such sums in place; whether anything changed, so that uses must be counted again."""
    steps: list[Step] = []
    placed: set[Step] = set()
    changed = False
    for step in sheet.steps:
        needed: tuple[Step, ...] = ()
        if isinstance(step, Invoke) and step.function == "np.dot":
            needed = _join(step, uses)
        for each in (*needed, step):
            if each not in placed:
                placed.add(each)
                steps.append(each)
        changed = changed or bool(needed)
    sheet.steps[:] = steps
    return changed


def _join(step: Invoke, uses: Uses) -> tuple[Step, ...]:
    """The steps that must come before a dot product, which has been rewritten; none if it is not
    of that form."""
    for weights, dots in (step.operands, step.operands[::-1]):
        made = dots.step if isinstance(dots, Value) and uses.count(dots) == 1 else None
        if not isinstance(made, Invoke) or made.function != "np.vecdot":
            continue
        for a, b in (made.operands, made.operands[::-1]):
            if not isinstance(a, Value) or not _has_short_rows(a):
                continue
            for reader in uses.readers[a.index]:
                column = _weight(reader, a)
                if column is not None and column.operands == (weights,):
                    step.function, step.operands = "np.vdot", (reader.out, b)
                    return column, reader
    return ()


def _has_short_rows(a: Value) -> bool:
    """Whether it is a matrix of short rows, and BLAS may add up all of it in sequence."""
    count, width = product(a.shape), a.shape[-1]
    precise = a.dtype == "f64" or (isinstance(count, int) and count <= LONGEST_SINGLE)
    return precise and len(a.shape) == 2 and isinstance(width, int) and width < SHORTEST_ROW


def _weight(step: Step, a: Value) -> Look | None:
    """The step that makes s[:, None], where this one is s[:, None] * a."""
    if not isinstance(step, Apply) or step.function.name != "multiply":
        return None
    column = Index((full(a.shape[0]), None))
    for operand in step.operands:
        made: Operand | Step | None = operand.step if isinstance(operand, Value) else None
        if isinstance(made, Look) and made.kind == column:
            return made
    return None
