"""Axes moved and added, and the sizes of indices."""

from __future__ import annotations

from collections.abc import Iterable

from codegen.plan.shapes import full
from codegen.plan.steps import At, Index, Sheet, Span, Value
from codegen.plan.windows import Extents, Factor
from codegen.program import Transpose
from codegen.types import Size


def transpose(sheet: Sheet, value: Value, axes: tuple[int, ...]) -> Value:
    """The value with its axes in this order."""
    if axes == tuple(range(len(axes))):
        return value
    shape = tuple(value.shape[axis] for axis in axes)
    return sheet.look(value, Transpose(axes), shape)


def new_axis(sheet: Sheet, value: Value, axis: int) -> Value:
    """The value with an axis of size 1 put in at a position."""
    entries: list[At | Span | None] = [full(size) for size in value.shape]
    entries.insert(axis, None)
    shape = (*value.shape[:axis], 1, *value.shape[axis:])
    return sheet.look(value, Index(tuple(entries)), shape)


def sizes(names: Iterable[str], extents: Extents) -> tuple[Size, ...]:
    """The extents of these indices."""
    return tuple(extents[name] for name in names)


def aligned(sheet: Sheet, factor: Factor, names: tuple[str, ...]) -> Value:
    """The factor with an axis for each of `names`, of size 1 where it lacks one."""
    value, own = factor
    kept = [name for name in names if name in own]
    if not kept:
        return value
    value = transpose(sheet, value, tuple(own.index(name) for name in kept))
    first = next(k for k, name in enumerate(names) if name in own)
    if len(kept) == len(names) - first:
        return value
    sizes = iter(value.shape)
    entries = tuple(full(next(sizes)) if name in own else None for name in names[first:])
    shape = tuple(1 if entry is None else entry.size for entry in entries)
    return sheet.look(value, Index(entries), shape)
