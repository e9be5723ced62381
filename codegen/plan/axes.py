"""Axes moved and added, and the sizes of indices."""

from __future__ import annotations

from collections.abc import Iterable

from codegen.plan.shapes import full
from codegen.plan.steps import At, Index, Sheet, Span, Value
from codegen.plan.windows import Extents
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
