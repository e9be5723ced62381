"""Values of many steps as one array: slices of one that exists, or copied into one.

A stack joins its parts along one of their axes, or (axis -1) along a new first one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codegen.program import Reshape, Slice
from codegen.types import substitute
from graphc import nodes
from graphc.ir import Node
from graphc.types import Shape, Size

# The size that a cost assumes for a named size.
_ASSUMED = 64


def estimate(sizes: Shape) -> int:
    """The product of sizes, of which the named ones are guessed."""
    total = 1
    for size in sizes:
        known = size
        if not isinstance(size, int):
            known = substitute(size, dict.fromkeys(size.names, _ASSUMED))
        total *= known if isinstance(known, int) else _ASSUMED
    return total


def slice_along(part: Node, axis: int) -> tuple[Node, Slice, int] | None:
    """(source, region, the source's axis) of a part which, along its axis, is a slice of a source:
    x[a:b]; or x[t], whose axis was right before."""
    bare = part.inputs[0] if isinstance(part.params, Reshape) else part
    region = bare.params
    if not isinstance(region, Slice) or any(step != 1 for step in region.steps):
        return None
    if bare is part:
        return bare.inputs[0], region, axis
    shape = bare.type.shape
    at = max(axis, 0)
    if shape[at : at + 1] == (1,) and shape[:at] + shape[at + 1 :] == part.type.shape:
        return bare.inputs[0], region, at
    return None


class Stacks:
    """The stacks of one graph, each made when it is first needed."""

    def __init__(self) -> None:
        self._parts: list[tuple[Node, ...]] = []
        self._made: dict[int, Node] = {}
        # Where a part was put last; and where each planned column begins, and in which stack.
        self._at: dict[tuple[Node, int], tuple[int, int]] = {}
        self._columns: dict[tuple[tuple[Node, ...], int], tuple[int, int]] = {}

    # -- planning, on the nodes of the graph as it is ---------------------------------------------

    def known(
        self, column: Sequence[Node], axis: int, position: Mapping[Node, int], before: int
    ) -> list[int] | None:
        """The order in which the parts cost no copy: that of a stack that there is, or of the
        slices that they are."""
        places = [self._at.get((part, axis)) for part in column]
        keys: list[int | None] = [place and place[1] for place in places]
        if None in places or len({place and place[0] for place in places}) > 1:
            keys = [_start(part, axis) for part in column]
        if None in keys:
            return None
        order = sorted(range(len(column)), key=lambda k: keys[k] or 0)
        wanted = [column[k] for k in order]
        return order if self.free(wanted, axis, position, before) else None

    def free(
        self, column: Sequence[Node], axis: int, position: Mapping[Node, int], before: int
    ) -> bool:
        """Whether the parts in this order need no copy. A stack must be complete by `before`."""
        return bool(_run(column, axis) or self._find(column, axis, position, before))

    def _find(
        self, column: Sequence[Node], axis: int, position: Mapping[Node, int], before: int
    ) -> tuple[int, int] | None:
        """(stack, where the column begins in it)."""
        place = self._at.get((column[0], axis))
        if place is None:
            return None
        stack, start = place
        parts = self._parts[stack]
        if parts[start : start + len(column)] != tuple(column):
            return None
        return place if max(position[part] for part in parts) < before else None

    def add(
        self, column: Sequence[Node], axis: int, position: Mapping[Node, int], before: int
    ) -> None:
        """These parts will be wanted together."""
        if _run(column, axis):
            return
        place = self._find(column, axis, position, before)
        if place is None:
            self._parts.append(tuple(column))
            place = len(self._parts) - 1, 0
            for k, part in enumerate(column):
                self._at[part, axis] = (place[0], k)
        self._columns[tuple(column), axis] = place

    # -- making, on the nodes that stand in their places ------------------------------------------

    def operand(self, column: Sequence[Node], axis: int, done: Mapping[Node, Node]) -> Node:
        """The parts of a planned column, as one array."""
        if _run(column, axis) is not None:
            return self.joined([done[part] for part in column], axis)
        stack, start = self._columns[tuple(column), axis]
        parts = self._parts[stack]
        if stack not in self._made:
            self._made[stack] = self.joined([done[part] for part in parts], axis)
        whole = self._made[stack]
        if len(column) == len(parts):
            return whole
        at = max(axis, 0)
        each: Size = 1 if axis < 0 else column[0].type.shape[axis]
        sizes = list(whole.type.shape)
        sizes[at] = each * len(column)
        starts: list[Size] = [0] * len(sizes)
        starts[at] = each * start
        return nodes.slice_(whole, tuple(starts), tuple(sizes), (1,) * len(sizes))

    def joined(self, parts: Sequence[Node], axis: int) -> Node:
        """The parts one after another: a view, where they are neighbouring slices."""
        run = _run(parts, axis)
        if run is None:
            if axis >= 0:
                return nodes.concatenate(parts, axis)
            return nodes.concatenate([nodes.expand_dims(part, 0) for part in parts], 0)
        source, region = run
        whole = nodes.slice_(source, region.starts, region.sizes, region.steps)
        shape = parts[0].type.shape
        if axis < 0:
            return nodes.reshape(whole, (len(parts), *shape))
        rows: Size = 0
        for part in parts:
            rows = rows + part.type.shape[axis]
        return nodes.reshape(whole, (*shape[:axis], rows, *shape[axis + 1 :]))


def neighbours(parts: Sequence[Node]) -> Node | None:
    """Slices of one value, each of which begins where the one before ends, stacked along a new
    first axis: a view of the value. None where they are none."""
    run = _run(parts, 0) if all(isinstance(part.params, Slice) for part in parts) else None
    if run is None:
        return None
    source, region = run
    whole = nodes.slice_(source, region.starts, region.sizes, region.steps)
    return nodes.reshape(whole, (len(parts), *parts[0].type.shape))


def _start(part: Node, axis: int) -> int | None:
    found = slice_along(part, axis)
    start = found and found[1].starts[found[2]]
    return start if isinstance(start, int) else None


def _run(parts: Sequence[Node], axis: int) -> tuple[Node, Slice] | None:
    """The slice that the parts are together, each beginning where the one before ends."""
    first = slice_along(parts[0], axis)
    if first is None:
        return None
    source, region, at = first
    whole = source.type.ndim == parts[0].type.ndim
    total: Size = 0
    for part in parts:
        found = slice_along(part, axis)
        if found is None or found[0] is not source or found[2] != at:
            return None
        own = found[1]
        if own.starts[at] != region.starts[at] + total:
            return None
        for k in range(len(own.starts)):
            if k != at and (own.starts[k], own.sizes[k]) != (region.starts[k], region.sizes[k]):
                return None
        if (source.type.ndim == part.type.ndim) is not whole or (axis < 0 and whole):
            return None
        total = total + own.sizes[at]
    return source, Slice(
        region.starts, (*region.sizes[:at], total, *region.sizes[at + 1 :]), region.steps
    )
