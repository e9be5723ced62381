"""What is joined, computed on, and taken apart again is never joined.

    (concatenate(x, h) * w + b)[:n]     ->      x * w[:n] + b[:n]

In a loop that is worth it: of the parts of a cell's gates, those of x then depend on x alone.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from codegen.program import Slice
from graphc import nodes
from graphc.ir import Graph, Node
from graphc.ops.kinds import Concatenate, Elementwise
from graphc.order import users
from graphc.rewrite.walk import planned


def take_apart(graph: Graph, joined: Collection[Node]) -> Graph:
    """The graph with slices of elementwise functions of these concatenations computed of the parts,
    where nothing else needs the functions' values and each slice lies in one part."""
    axis_of, bounds = _functions(graph, joined)
    if not axis_of:
        return graph

    def step(original: Node, current: Node, done: Mapping[Node, Node]) -> Node:
        source = original.inputs[0] if isinstance(original.params, Slice) else None
        if source is None or source not in axis_of:
            return current
        axis = axis_of[source]
        if not _lies_in_one(original, axis, bounds[source]):
            return current  # a slice of what is joined, whose other slices may be of one part
        made: dict[Node, Node] = {}

        def part(x: Node, axis: int, start: int, size: int) -> Node:
            """The positions of an axis that the slice takes, of an operand of the function."""
            if x in made:
                return made[x]
            shape = x.type.shape
            if axis < 0 or shape[axis] == 1:
                return done[x]
            if x in axis_of and isinstance(x.params, Concatenate):
                for piece in x.inputs:
                    rows = piece.type.shape[axis]
                    assert isinstance(rows, int)
                    if start < rows:
                        made[x] = _rows(done[piece], axis, start, size)
                        break
                    start -= rows
            elif x in axis_of:
                assert isinstance(x.op, Elementwise)
                rank = x.type.ndim
                operands = [part(y, axis - rank + y.type.ndim, start, size) for y in x.inputs]
                made[x] = nodes.elementwise(x.op, *operands)
            else:
                made[x] = _rows(done[x], axis, start, size)
            return made[x]

        start, size = _span(original, axis)
        return part(source, axis, start, size)

    return planned(graph, step)


def _rows(x: Node, axis: int, start: int, size: int) -> Node:
    shape = x.type.shape
    starts = tuple(start if k == axis else 0 for k in range(len(shape)))
    return nodes.slice_(x, starts, (*shape[:axis], size, *shape[axis + 1 :]), (1,) * len(shape))


def _span(node: Node, axis: int) -> tuple[int, int]:
    region = node.params
    assert isinstance(region, Slice)
    start, size = region.starts[axis], region.sizes[axis]
    assert isinstance(start, int)
    assert isinstance(size, int)
    return start, size


def _functions(
    graph: Graph, joined: Collection[Node]
) -> tuple[dict[Node, int], dict[Node, frozenset[int]]]:
    """The concatenations, and the elementwise functions of them of which slices alone are read,
    each in one part; for each the axis along which the parts are joined, and where they meet."""
    axis_of: dict[Node, int] = {}
    bounds: dict[Node, frozenset[int]] = {}
    for node in graph.nodes:
        params = node.params
        if node in joined and isinstance(params, Concatenate):
            ends = [0]
            for piece in node.inputs:
                rows = piece.type.shape[params.axis]
                if not isinstance(rows, int):
                    break
                ends.append(ends[-1] + rows)
            else:
                if ends[-1] > 1:  # else its axis looks like one along which operands repeat
                    axis_of[node], bounds[node] = params.axis, frozenset(ends)
        elif isinstance(node.op, Elementwise):
            for x in node.inputs:
                if x in axis_of and x.type.shape == node.type.shape:
                    axis_of[node] = axis_of[x]
                    bounds[node] = bounds.get(node, frozenset()) | bounds[x]
    if not axis_of:
        return axis_of, bounds
    read = users(graph.nodes)
    returned = {node for _, node in graph.outputs}
    for node in reversed(graph.nodes):
        if node in axis_of and not isinstance(node.params, Concatenate):
            good = node not in returned and all(
                (reader in axis_of and axis_of[reader] == axis_of[node])
                or _lies_in_one(reader, axis_of[node], bounds[node])
                for reader in read[node]
            )
            if not good:
                del axis_of[node]
    return axis_of, bounds


def _lies_in_one(node: Node, axis: int, bounds: frozenset[int]) -> bool:
    """Whether the node is a slice along the axis alone, between two neighbouring bounds."""
    region = node.params
    if not isinstance(region, Slice) or any(step != 1 for step in region.steps):
        return False
    full = node.inputs[0].type.shape
    if any(k != axis and size != full[k] for k, size in enumerate(region.sizes)):
        return False
    start, size = region.starts[axis], region.sizes[axis]
    if not isinstance(start, int) or not isinstance(size, int):
        return False
    return not any(start < bound < start + size for bound in bounds)
