"""Questions about shapes that several passes ask."""

from __future__ import annotations

from collections.abc import Iterable

from codegen.plan.steps import At, Index, Span
from codegen.types import Shape, Size


def broadcast(shapes: Iterable[Shape]) -> Shape:
    """The broadcast of shapes that are known to be compatible."""
    result: Shape = ()
    for shape in shapes:
        if not shape or shape == result:
            continue
        result = _broadcast(result, shape) if result else shape
    return result


def _broadcast(a: Shape, b: Shape) -> Shape:
    if len(a) < len(b):
        a, b = b, a
    lead = len(a) - len(b)
    return a[:lead] + tuple(n if m == 1 else m for m, n in zip(a[lead:], b, strict=True))


def full(size: Size) -> Span:
    """A whole axis."""
    return Span(0, size, 1, size)


def reindex(old: Shape, new: Shape) -> Index | None:
    """The reshape as indexing, where it only adds or drops axes of size 1."""
    entries: list[At | Span | None] = []
    i = j = 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and old[i] == new[j]:
            entries.append(full(old[i]))
            i, j = i + 1, j + 1
        elif j < len(new) and new[j] == 1:
            entries.append(None)
            j += 1
        elif i < len(old) and old[i] == 1:
            entries.append(At(0))
            i += 1
        else:
            return None
    return Index(tuple(entries))
