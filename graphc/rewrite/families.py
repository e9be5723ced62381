"""Families: nodes of an unrolled loop that do the same in every step, found without its source.

Two nodes are of one family where they are the same op on operands of the same families, so many
operands deep. Where a loop reads x[0], x[1], ... those count as the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from codegen.program import Reshape, Slice
from graphc import nodes
from graphc.ir import Graph, Node
from graphc.ops.kinds import Contraction, Leaf
from graphc.rewrite.walk import planned
from graphc.types import Shape

# Fewer steps are left as they are.
FEWEST = 8
# So many operands deep nodes are compared: the depth of a step, or near it. Of the first step, that
# many are in no family, for they lead to other values than those of later steps.
DEPTH = 10


def families(graph: Graph, without: Collection[Node] = ()) -> list[list[Node]]:
    """Groups of at least `FEWEST` nodes that do the same, each in the graph's order.

    Members may depend on one another: a family of a loop's carried values does. Linear time.
    """
    numbers: dict[Hashable, int] = {}
    kinds = [numbers.setdefault(kind, len(numbers)) for kind in _kinds(graph, without)]
    if not any(count >= FEWEST for count in Counter(kinds).values()):
        return []
    groups: dict[int, list[Node]] = {}
    for node, color in zip(graph.nodes, _refined(graph, np.array(kinds)), strict=True):
        if node.inputs and node not in without:
            groups.setdefault(color, []).append(node)
    return [members for members in groups.values() if len(members) >= FEWEST]


def beside(
    graph: Graph, without: Collection[Node], loops: Mapping[Node, int], typical: Collection[Node]
) -> tuple[list[list[Node]], dict[int, list[Node]]]:
    """The families beside loops, and for the families of loops what else does the same as their
    typical members. What reads a loop does the same in its first steps as in later ones: where a
    loop's values come from is not looked at.

    loops: what is known to be in a family of a loop, by the family's number.
    """
    numbers: dict[Hashable, int] = {}
    known = len(graph.nodes)
    colors: dict[Node, int] = {}
    groups: dict[int, list[Node]] = {}
    more: dict[int, list[Node]] = {}
    for node, kind in zip(graph.nodes, _kinds(graph, without), strict=True):
        key = (kind, *(colors[x] for x in node.inputs))
        own = loops.get(node)
        if own is not None:
            colors[node] = known + own
            if node in typical:
                numbers.setdefault(key, known + own)
            continue
        color = colors[node] = numbers.setdefault(key, len(numbers))
        if color >= known:
            more.setdefault(color - known, []).append(node)
        elif node.inputs and node not in without:
            groups.setdefault(color, []).append(node)
    return [members for members in groups.values() if len(members) >= FEWEST], more


def _kinds(graph: Graph, without: Collection[Node]) -> list[Hashable]:
    """What nodes of one family share, but for their operands."""
    stepping = _stepping(graph)
    return [
        (
            node if isinstance(node.op, Leaf) or node in without else None,
            # (An index formula, among the params, says all there is to say of a contraction.)
            Contraction if isinstance(node.op, Contraction) else id(node.op),
            stepping.get(node, node.params),
            node.type,
        )
        for node in graph.nodes
    ]


def _refined(graph: Graph, kinds: np.ndarray[Any, Any]) -> list[int]:
    """A number each node: equal where the kinds are, and those of all operands, `DEPTH` deep.

    What is deeper is told apart by hashes, of which two may be equal by chance; the kinds are not.
    """
    place = {node: k for k, node in enumerate(graph.nodes)}
    columns: list[tuple[list[int], list[int]]] = []  # nodes with a k-th operand, and which it is
    for k, node in enumerate(graph.nodes):
        for at, x in enumerate(node.inputs):
            if at == len(columns):
                columns.append(([], []))
            columns[at][0].append(k)
            columns[at][1].append(place[x])
    operands = [(np.array(rows), np.array(which)) for rows, which in columns]
    own = _mixed(kinds.astype(np.uint64))
    colors = own
    for _ in range(DEPTH):
        finer = own.copy()
        for rows, which in operands:
            finer[rows] = _mixed(finer[rows] ^ colors[which])
        colors = finer
    number = np.unique(colors, return_inverse=True)[1] * len(kinds) + kinds
    found: list[int] = number.tolist()
    return found


def _mixed(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A hash of 64 bits for each number, by multiplications and shifts (Steele, Lea, Flood, "Fast
    Splittable Pseudorandom Number Generators", 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray[Any, Any] = x ^ (x >> np.uint64(31))
    return mixed


def alike(members: Sequence[Node]) -> bool:
    """Whether what is said of one member's op holds of all: not of slices at different places."""
    first = members[0].params
    return not isinstance(first, Slice) or all(node.params == first for node in members)


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


def rows_first(graph: Graph) -> Graph:
    """x[t, :n] as x[:, :n][t], where there are many: rows of one value, as others are."""
    sources: dict[Hashable, list[Node]] = {}
    for node in graph.nodes:
        region = node.params
        if isinstance(region, Slice) and len(_narrow(node)) > 1:
            for axis in _narrow(node):
                key = (node.inputs[0], axis, *_apart(region, axis))
                sources.setdefault(key, []).append(node)
    stepping: dict[Node, int] = {}
    for (_, axis, *_rest), members in sources.items():  # type: ignore[misc]
        if len({node.params for node in members}) >= FEWEST:
            stepping.update(dict.fromkeys(members, axis))
    if not stepping:
        return graph
    wide: dict[Hashable, Node] = {}

    def step(original: Node, current: Node, done: Mapping[Node, Node]) -> Node:
        axis = stepping.get(original)
        if axis is None:
            return current
        region, source = original.params, current.inputs[0]
        assert isinstance(region, Slice)
        full, rank = source.type.shape[axis], len(region.sizes)
        starts, sizes, steps = _apart(region, axis)
        key = (source, axis, starts, sizes, steps)
        if key not in wide:
            sizes = (*sizes[:axis], full, *sizes[axis + 1 :])
            wide[key] = nodes.slice_(source, starts, sizes, steps)
        at = tuple(region.starts[axis] if k == axis else 0 for k in range(rank))
        by = tuple(region.steps[axis] if k == axis else 1 for k in range(rank))
        return nodes.slice_(wide[key], at, region.sizes, by)

    return planned(graph, step)


def _narrow(node: Node) -> list[int]:
    """The axes of which a slice takes a part."""
    region = node.params
    assert isinstance(region, Slice)
    pairs = zip(region.sizes, node.inputs[0].type.shape, strict=True)
    return [axis for axis, (size, full) in enumerate(pairs) if size != full]


def _apart(region: Slice, axis: int) -> tuple[Shape, Shape, Shape]:
    """The region, but for where it starts along an axis and how it goes on there."""
    starts = (*region.starts[:axis], 0, *region.starts[axis + 1 :])
    steps = (*region.steps[:axis], 1, *region.steps[axis + 1 :])
    return starts, region.sizes, steps


def _stepping(graph: Graph) -> Mapping[Node, Hashable]:
    """Slices of one source that differ in one start alone, where there are many: what they share.

    A few slices of one value, the gates of a cell, are different things; so many are steps.
    """
    groups: dict[Hashable, list[Node]] = {}
    for node in graph.nodes:
        region = node.params
        narrow = _narrow(node) if isinstance(region, Slice) else []
        if isinstance(region, Slice) and len(narrow) == 1:
            (axis,) = narrow
            starts, sizes, _ = _apart(region, axis)
            key = (node.inputs[0], axis, starts, sizes, region.steps)
            groups.setdefault(key, []).append(node)
    return {
        node: key[1:]  # type: ignore[index]
        for key, members in groups.items()
        if len(members) >= FEWEST
        for node in members
    }
