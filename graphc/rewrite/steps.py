"""What every step of an unrolled loop computes, computed for all steps at once.

    x[0] * w, x[1] * w, ...             ->      xw = x * w;  xw[0], xw[1], ...
    f(c_1) + f(c_2) + ...               ->      f([c_1; c_2; ...]).sum(0)

Only what a step carries to the next must be computed in order. Everything else, before the loop
(gates that see the input alone), after it (losses), and in the backward pass (local derivatives,
gradients of weights), is one op on the values of all steps, stacked along a new first axis. For
small arrays that is what takes the time: a call costs as much as a hundred elements.

Every element is computed from the same numbers as before; sums over steps are taken in another
order, so they are kept to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush

from codegen.program import Broadcast, Reshape, Slice, Transpose
from codegen.record import struct
from graphc import nodes
from graphc.ir import Graph, Node
from graphc.ops.kinds import (
    Axes,
    Concatenate,
    Contraction,
    Einstein,
    Elementwise,
    Layout,
    Reduction,
)
from graphc.order import users
from graphc.rewrite.cse import merging
from graphc.rewrite.dce import dead_code
from graphc.rewrite.families import DEPTH, FEWEST, alike, families, row_of
from graphc.rewrite.loops import Rolled, body, result, rolled
from graphc.rewrite.parts import take_apart
from graphc.rewrite.stacks import neighbours
from graphc.rewrite.sums import sum_trees, total
from graphc.rewrite.walk import planned, rebuild
from graphc.types import product

# A step's value of more elements takes longer than the calls that are saved.
_LARGE = 1 << 10
_STEP = "step"


@struct
class _Family:
    """Nodes that do the same.

    parallel: whether they are computed at once. carried: whether they depend on one another.
    whole: their values stacked, once made.
    """

    members: list[Node]
    parallel: bool = True
    carried: bool = False
    whole: Node | None = None


@struct
class _Group:
    """What is computed together: a family, or the families of a loop."""

    members: list[Node]
    families: list[_Family]
    loop: Rolled | None = None
    together: bool = True


@struct
class _Rows:
    """The stacks of one graph.

    row: where a node is found: its family, and its place in it. columns: made before.
    """

    row: dict[Node, tuple[_Family, int]]
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


def stack_steps(graph: Graph) -> Graph:
    """What depends on no other step's value, computed for all steps at once."""
    found, trees = _found(graph)
    joined = [
        family.members
        for family in found
        if family.carried and isinstance(family.members[0].params, Concatenate)
    ]
    apart = take_apart(graph, {node for members in joined for node in members})
    if apart is not graph:
        graph = dead_code(rebuild(apart, merging()))
        found, trees = _found(graph)
    if not found:
        return graph
    groups = [_Group(family.members, [family]) for family in found if family.parallel]
    groups += _loops(graph, [family for family in found if family.carried])
    if not _mostly_loops(found, groups):
        return graph
    order = _order(graph, groups)
    group_of = {node: group for group in groups if group.together for node in group.members}
    if not group_of:
        return graph
    rows = _Rows({}, {})
    in_loops = {node for group in groups if group.loop for node in group.members}
    alone = [family for family in found if in_loops.isdisjoint(family.members)]
    for family in [*alone, *(family for group in groups for family in group.families)]:
        for at, node in enumerate(family.members):
            rows.row[node] = family, at

    def step(original: Node, current: Node, done: Mapping[Node, Node]) -> Node:
        if original in trees:
            return _added(trees[original], current, rows, done)
        group = group_of.get(original)
        if group is None:
            return current
        family, at = rows.row[original]
        if family.whole is None and group.loop is not None:
            _roll(group, graph.name, rows, done)
        elif family.whole is None:
            family.whole = _whole(family.members, rows, done)
        assert family.whole is not None
        return _nth(family.whole, at)

    ordered = type(graph)(
        graph.name, graph.inputs, graph.outputs, order, graph.arguments, graph.result
    )
    return planned(ordered, step)


def _mostly_loops(found: list[_Family], groups: list[_Group]) -> bool:
    """Whether what steps carry on is computed by loops. Where it is not, the values beside it are
    made one by one, and a stack of them is copied together: dearer than what it saves."""
    carried = sum(len(family.members) for family in found if family.carried)
    return 2 * sum(len(group.members) for group in groups if group.loop) >= carried


def _found(graph: Graph) -> tuple[list[_Family], dict[Node, list[Node]]]:
    """The families of a graph, and its sums over many terms."""
    trees = sum_trees(graph, users(graph.nodes), FEWEST)
    found = [_Family(members) for members in families(graph, _inner(graph, trees))]
    _dismiss(graph, found)
    return found, trees


# -- which -----------------------------------------------------------------------------------------


def _inner(graph: Graph, trees: Mapping[Node, list[Node]]) -> set[Node]:
    """The additions inside of sums, the last one included."""
    found: set[Node] = set()
    for root, leaves in trees.items():
        ends = set(leaves)
        stack = [root]
        while stack:
            node = stack.pop()
            found.add(node)
            stack.extend(x for x in node.inputs if x not in ends)
    return found


def _dismiss(graph: Graph, found: list[_Family]) -> None:
    """Tells what cannot or should not be stacked: what depends on its own kind (a set of bits says
    of every node which families it depends on), what is large, what no stack is made of."""
    bit = {node: 1 << k for k, family in enumerate(found) for node in family.members}
    of = {node: family for family in found for node in family.members}
    before: dict[Node, int] = {}
    for node in graph.nodes:
        mask = 0
        for x in node.inputs:
            mask |= before[x]
        own = bit.get(node, 0)
        if mask & own:
            of[node].parallel, of[node].carried = False, True
        before[node] = mask | own
    for family in found:
        # (The first step's operands may be special.)
        typical = family.members[len(family.members) // 2]
        family.parallel = (
            family.parallel and _is_small(typical) and _stackable(typical) and alike(family.members)
        )
        if not typical.type.shape and not any(x in of and of[x].parallel for x in typical.inputs):
            # Single numbers are Python's, which cost less than any array.
            family.parallel = False


def _stackable(node: Node) -> bool:
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


def _loops(graph: Graph, carried: list[_Family]) -> list[_Group]:
    """The loops that these families are: those of one loop depend on one another."""
    position = {node: k for k, node in enumerate(graph.nodes)}
    bit = {node: 1 << k for k, family in enumerate(carried) for node in family.members}
    needs = [0] * len(carried)  # the families that a family depends on
    before: dict[Node, int] = {}
    for node in graph.nodes:
        mask = bit.get(node, 0)
        for x in node.inputs:
            mask |= before[x]
        before[node] = mask
        if node in bit:
            needs[bit[node].bit_length() - 1] |= mask
    found: list[_Group] = []
    left = list(range(len(carried)))
    while left:
        first = left[0]
        mutual = [k for k in left if needs[first] >> k & 1 and needs[k] >> first & 1]
        left = [k for k in left if k not in mutual]
        small = all(_is_small(carried[k].members[0]) for k in mutual)
        # (But for the first steps, families of one loop have as many members as there are steps.)
        counts = [len(carried[k].members) for k in mutual]
        small = small and max(counts, default=0) - min(counts, default=0) <= DEPTH
        loop = rolled([carried[k].members for k in mutual], position) if small else None
        if loop is not None:
            families = [_Family(row, False, True) for row in loop.members]
            found.append(_Group(loop.nodes, families, loop))
    return found


def _is_small(node: Node) -> bool:
    """Whether a call takes longer than its work; not known of named sizes."""
    size = product(node.type.shape)
    return isinstance(size, int) and size <= _LARGE


def _order(graph: Graph, groups: list[_Group]) -> list[Node]:
    """The nodes in an order in which all members of a group can be computed at once; a group for
    which there is none is one no longer."""
    position = {node: k for k, node in enumerate(graph.nodes)}
    group_of = {node: group for group in groups for node in group.members}
    readers = users(graph.nodes)
    missing: dict[Node, int] = {}
    for node in graph.nodes:
        own = group_of.get(node)
        inside = own is not None and own.loop is not None
        missing[node] = sum(not inside or group_of.get(x) is not own for x in node.inputs)
    waiting = {id(group): len(group.members) for group in groups}
    ready = [position[node] for node in graph.nodes if not missing[node]]
    heapify(ready)
    blocked: list[tuple[int, int]] = []
    arrived: dict[int, list[Node]] = {}
    order: list[Node] = []
    while len(order) < len(graph.nodes):
        if not ready:
            # The first group that waits for itself, by way of another.
            group = group_of[graph.nodes[heappop(blocked)[0]]]
            if not group.together or not waiting[id(group)]:
                continue
            group.together = False
            for family in group.families:
                family.parallel = False
            if group.loop is not None:
                for node in group.members:
                    missing[node] += sum(group_of.get(x) is group for x in node.inputs)
            for node in arrived[id(group)]:
                if not missing[node]:
                    heappush(ready, position[node])
            continue
        node = graph.nodes[heappop(ready)]
        at_once = [node]
        own = group_of.get(node)
        if own is not None and own.together:
            key = id(own)
            waiting[key] -= 1
            if key not in arrived:
                heappush(blocked, (position[node], key))
            arrived.setdefault(key, []).append(node)
            if waiting[key]:
                continue
            at_once = sorted(arrived[key], key=position.__getitem__)
        order += at_once
        for each in at_once:
            for reader in readers[each]:
                if len(at_once) > 1 and group_of.get(reader) is own:
                    continue
                missing[reader] -= 1
                if not missing[reader]:
                    heappush(ready, position[reader])
    return order


# -- made ------------------------------------------------------------------------------------------


def _nth(whole: Node, at: int) -> Node:
    shape = whole.type.shape
    starts = (at, *(0 for _ in shape[1:]))
    row = nodes.slice_(whole, starts, (1, *shape[1:]), (1,) * len(shape))
    return nodes.reshape(row, shape[1:])


def _roll(group: _Group, name: str, rows: _Rows, done: Mapping[Node, Node]) -> None:
    """The loop of a group: one node for each of its results."""
    assert group.loop is not None
    steps, columns, first, whole = body(group.loop, name)
    inputs = [rows.column(parts, done) for parts in columns]
    inputs += [done.get(x, x) for x in (*first, *whole)]
    for number, family in enumerate(group.families):
        family.whole = result(steps, inputs, number)


def _whole(members: Sequence[Node], rows: _Rows, done: Mapping[Node, Node]) -> Node:
    """The op of all members, on columns of their operands."""
    first, count = members[0], len(members)
    inputs: list[Node] = []
    varies: list[bool] = []
    for column in zip(*(member.inputs for member in members), strict=True):
        varies.append(len(set(column)) > 1)
        inputs.append(rows.column(column, done) if varies[-1] else done.get(column[0], column[0]))
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


def _added(leaves: Sequence[Node], current: Node, rows: _Rows, done: Mapping[Node, Node]) -> Node:
    """A sum, of whose terms those of one family are added up along the stack."""
    groups: dict[int, list[Node]] = {}
    rest: list[Node] = []
    for leaf in leaves:
        family, _ = rows.row.get(leaf, (None, 0))
        if family is None or not family.parallel:
            rest.append(leaf)
        else:
            groups.setdefault(id(family), []).append(leaf)
    sums = []
    for members in groups.values():
        if len(members) < FEWEST:
            rest += members
            continue
        members.sort(key=lambda leaf: rows.row[leaf][1])
        column = rows.column(tuple(members), done)
        sums.append(nodes.sum_(column, (0,)))
    if not sums:
        return current
    kept = [leaf for leaf in leaves if leaf in set(rest)]
    return total([*sums, *(done[leaf] for leaf in kept)])
