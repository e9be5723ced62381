"""Values of all steps of an unrolled loop in one array, along a new first axis; and ops on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codegen.program import Broadcast, Reshape, Slice, Transpose
from codegen.record import struct
from graphc import nodes
from graphc.ir import Node
from graphc.ops.kinds import (
    Axes,
    Concatenate,
    Contraction,
    Einstein,
    Elementwise,
    Layout,
    Reduction,
)
from graphc.rewrite.families import row_of
from graphc.rewrite.stacks import neighbours

_STEP = "step"


@struct
class Family:
    """Nodes that do the same.

    parallel: whether they are computed at once. carried: whether they depend on one another.
    whole: their values stacked, once made.
    """

    members: list[Node]
    parallel: bool = True
    carried: bool = False
    whole: Node | None = None


@struct
class Rows:
    """The stacks of one graph.

    row: where a node is found: its family, and its place in it. columns: made before.
    """

    row: dict[Node, tuple[Family, int]]
    columns: dict[tuple[Node, ...], Node]

    def column(self, parts: tuple[Node, ...], done: Mapping[Node, Node]) -> Node:
        """The parts, one after another along a new first axis: of what is stacked, a view."""
        found = self.columns.get(parts)
        if found is None:
            found = neighbours([done[part] for part in parts])
            if found is None:
                pieces = [self._piece(run, done) for run in self._runs(parts, done)]
                found = nodes.concatenate(pieces, 0)
            self.columns[parts] = found
        return found

    def _runs(self, parts: Sequence[Node], done: Mapping[Node, Node]) -> list[list[_Row]]:
        """The parts, cut where the next is not found at the same distance from the one before."""
        runs: list[list[_Row]] = []
        for part in parts:
            row = self._row(part, done)
            if runs and row.source is not None:
                last = runs[-1]
                step = row.at - last[-1].at
                if (last[-1].source, last[-1].axis) == (row.source, row.axis) and (
                    step == last[1].at - last[0].at if len(last) > 1 else abs(step) == 1
                ):
                    last.append(row)
                    continue
            runs.append([row])
        return runs

    def _row(self, part: Node, done: Mapping[Node, Node]) -> _Row:
        known = self.row.get(part)
        if known is not None:
            family, at = known
            if family.whole is None and all(member in done for member in family.members):
                family.whole = nodes.concatenate(
                    [nodes.expand_dims(done[member], 0) for member in family.members], 0
                )
            if family.whole is not None:
                return _Row(part, family.whole, 0, at)
        found = row_of(part)
        if found is None:
            return _Row(part, None, 0, 0)
        source, axis, at = found
        return _Row(part, done.get(source, source), axis, at)

    def _piece(self, run: list[_Row], done: Mapping[Node, Node]) -> Node:
        first, count = run[0], len(run)
        source = first.source
        if source is None or (count == 1 and first.axis):
            return nodes.expand_dims(done[first.part], 0)
        shape, axis = source.type.shape, first.axis
        step = run[1].at - first.at if count > 1 else 1
        starts = [0] * len(shape)
        starts[axis] = first.at
        steps = [1] * len(shape)
        steps[axis] = step
        sizes = (*shape[:axis], count, *shape[axis + 1 :])
        found = nodes.slice_(source, tuple(starts), sizes, tuple(steps))
        order = (axis, *(k for k in range(len(shape)) if k != axis))
        return nodes.transpose(found, order)


@struct
class _Row:
    """A part, and where it is found: at a position of an axis of a source, if anywhere."""

    part: Node
    source: Node | None
    axis: int
    at: int


def stackable(node: Node) -> bool:
    """Whether the op has a form for all steps at once."""
    params = node.params
    match node.op:
        case Elementwise():
            return True
        case Contraction():
            return isinstance(params, Einstein) and params.body is None
        case Reduction():
            return True
        case Layout():
            if row_of(node) is not None or (isinstance(params, Slice) and _is_row(node)):
                return False
            return isinstance(params, Reshape | Slice | Transpose | Concatenate | Broadcast)
        case _:
            return False


def _is_row(node: Node) -> bool:
    return any(
        size == 1 and full != 1
        for size, full in zip(node.type.shape, node.inputs[0].type.shape, strict=True)
    )


def all_steps(members: Sequence[Node], rows: Rows, done: Mapping[Node, Node]) -> Node:
    """The op of all members, on columns of their operands."""
    first, count = members[0], len(members)
    inputs: list[Node] = []
    varies: list[bool] = []
    for column in zip(*(member.inputs for member in members), strict=True):
        varies.append(len(set(column)) > 1)
        inputs.append(rows.column(column, done) if varies[-1] else done.get(column[0], column[0]))
    return of_all_steps(first, inputs, varies, count)


def of_all_steps(first: Node, inputs: Sequence[Node], varies: Sequence[bool], count: int) -> Node:
    """The op of one step's node for all steps: on stacks, where an operand varies."""
    shape = (count, *first.type.shape)
    params = first.params
    match first.op:
        case Elementwise():
            rank = first.type.ndim
            inputs = [
                _widened(x, count, rank) if moves else x
                for x, moves in zip(inputs, varies, strict=True)
            ]
            return nodes.elementwise(first.op, *inputs)
        case Contraction():
            assert isinstance(params, Einstein)
            name = nodes.index(_STEP)
            operands = tuple(
                (name, *formula) if moves else formula
                for formula, moves in zip(params.operands, varies, strict=True)
            )
            extents = ((_STEP, count), *params.extents)
            whole = Einstein((name, *params.out), operands, extents, shape)
            return nodes.contraction(first.op, whole, *inputs)
        case Reduction():
            assert isinstance(params, Axes)
            axes = tuple(axis + 1 for axis in params.axes)
            return nodes.reduction(first.op.name, inputs[0], axes, params.keepdims)
    match params:
        case Reshape():
            return nodes.reshape(inputs[0], shape)
        case Transpose(axes):
            return nodes.transpose(inputs[0], (0, *(axis + 1 for axis in axes)))
        case Broadcast():
            rank = first.type.ndim
            return nodes.broadcast_to(_widened(inputs[0], count, rank), shape)
        case Slice(starts, _, steps):
            return nodes.slice_(inputs[0], (0, *starts), shape, (1, *steps))
        case Concatenate(axis):
            full = [
                x if moves else nodes.broadcast_to(x, (count, *x.type.shape))
                for x, moves in zip(inputs, varies, strict=True)
            ]
            return nodes.concatenate(full, axis + 1)
        case _:
            raise AssertionError(f"no stack of {first}")


def _widened(x: Node, count: int, rank: int) -> Node:
    """A column of values of lower rank, their axes at the end."""
    own = x.type.shape[1:]
    return nodes.reshape(x, (count, *(1,) * (rank - len(own)), *own))


def rows_of(whole: Node, start: int, count: int) -> Node:
    """whole[start : start + count]."""
    shape = whole.type.shape
    starts = (start, *(0 for _ in shape[1:]))
    return nodes.slice_(whole, starts, (count, *shape[1:]), (1,) * len(shape))


def nth(whole: Node, at: int) -> Node:
    """whole[at]."""
    return nodes.reshape(rows_of(whole, at, 1), whole.type.shape[1:])
