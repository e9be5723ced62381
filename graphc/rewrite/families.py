"""Families: nodes of an unrolled loop that do the same in every step, found without its source.

Two nodes are of one family where they are the same op on operands of the same families, so many
operands deep. Where a loop reads x[0], x[1], ... those count as the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Mapping

from codegen.program import Reshape, Slice
from graphc.ir import Graph, Node
from graphc.ops.kinds import Leaf
from graphc.types import Size

# Fewer steps are left as they are.
FEWEST = 8
# So many operands deep nodes are compared: the depth of a step, or near it. Of the first step, that
# many are in no family, for they lead to other values than those of later steps.
_DEPTH = 10


def families(graph: Graph, without: Collection[Node] = ()) -> list[list[Node]]:
    """Groups of at least `FEWEST` nodes that do the same, each in the graph's order.

    Members may depend on one another: a family of a loop's carried values does. Linear time.
    """
    stepping = _stepping(graph)
    ids: dict[Hashable, int] = {}
    color: dict[Node, int] = {}
    local: dict[Node, Hashable] = {}
    for node in graph.nodes:
        own: Hashable = node if isinstance(node.op, Leaf) or node in without else None
        params: Hashable = node.params
        if node in stepping:
            params = stepping[node]
        local[node] = key = (own, id(node.op), params, node.type)
        color[node] = ids.setdefault(key, len(ids))
    if not any(count >= FEWEST for count in Counter(color.values()).values()):
        return []
    compact = dict(color)
    for _ in range(_DEPTH):
        # What is alone in its color stays alone: it need not be looked at again.
        ids = {}
        color = {
            node: ids.setdefault((compact[node], *(color[x] for x in node.inputs)), len(ids))
            for node in graph.nodes
        }
    groups: dict[int, list[Node]] = {}
    for node in graph.nodes:
        if node.inputs and node not in without:
            groups.setdefault(color[node], []).append(node)
    return [members for members in groups.values() if len(members) >= FEWEST]


def row_of(part: Node) -> tuple[Node, int, int] | None:
    """(source, axis, position) of a part that is one position of a source's axis: x[t], x[:, t]."""
    if not isinstance(part.params, Reshape):
        return None
    bare = part.inputs[0]
    region = bare.params
    if not isinstance(region, Slice):
        return None
    source = bare.inputs[0]
    shape = source.type.shape
    for axis, size in enumerate(region.sizes):
        if size == 1 and shape[axis] != 1:
            start = region.starts[axis]
            rest = (*shape[:axis], *shape[axis + 1 :])
            whole = (*region.sizes[:axis], *region.sizes[axis + 1 :]) == rest
            if whole and rest == part.type.shape and isinstance(start, int):
                return source, axis, start
            return None
    return None


def _stepping(graph: Graph) -> Mapping[Node, Hashable]:
    """Slices of one source that differ in one start alone, where there are many: what they share.

    A few slices of one value, the gates of a cell, are different things; so many are steps.
    """
    groups: dict[Hashable, list[Node]] = {}
    for node in graph.nodes:
        region = node.params
        if not isinstance(region, Slice):
            continue
        source = node.inputs[0]
        narrow = [
            axis
            for axis, (size, full) in enumerate(zip(region.sizes, source.type.shape, strict=True))
            if size != full
        ]
        if len(narrow) == 1:
            (axis,) = narrow
            starts: tuple[Size, ...] = (*region.starts[:axis], 0, *region.starts[axis + 1 :])
            key = (source, axis, starts, region.sizes, region.steps)
            groups.setdefault(key, []).append(node)
    return {
        node: key[1:]  # type: ignore[index]
        for key, members in groups.items()
        if len(members) >= FEWEST
        for node in members
    }
