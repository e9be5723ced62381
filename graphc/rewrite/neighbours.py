"""One elementwise op on neighbouring slices of a value is that op on all of them at once.

    sigmoid(z[:, :n]), sigmoid(z[:, n:2 * n]), sigmoid(z[:, 2 * n:3 * n])
                                        ->  gates = sigmoid(z[:, :3 * n]);  gates[:, :n], ...

The gates of a recurrent cell, and their local derivatives. Every element is computed from the same
numbers as before: nothing is rounded in another way.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from codegen.program import Slice
from codegen.record import struct
from graphc import nodes
from graphc.ir import Graph, Node
from graphc.ops.kinds import Elementwise
from graphc.rewrite.stacks import estimate
from graphc.rewrite.walk import planned

FEWEST = 2
# What is larger takes longer than the calls that are saved, and would not be computed in place.
_LARGE = 1 << 15
# Joined ops are the operands of others, which may then join: so many ops one after another.
_ROUNDS = 3


@struct
class _Run:
    """Members whose slices are neighbours along an axis; all of them together, once made."""

    members: list[tuple[int, Node]]
    axis: int
    whole: Node | None = None


def join_neighbours(graph: Graph) -> Graph:
    """The graph with such ops joined, and those that then read neighbouring slices of one value."""
    for _ in range(_ROUNDS):
        joined = _once(graph)
        if joined is graph:
            break
        graph = joined
    return graph


def _once(graph: Graph) -> Graph:
    runs = _runs(graph)
    if not runs:
        return graph

    def step(original: Node, current: Node, done: Mapping[Node, Node]) -> Node:
        if original not in runs:
            return current
        run, start = runs[original]
        if run.whole is None:
            run.whole = _whole(run, current)
        starts = [0] * current.type.ndim
        starts[run.axis] = start - run.members[0][0]
        steps = (1,) * current.type.ndim
        return nodes.slice_(run.whole, tuple(starts), current.type.shape, steps)

    return planned(graph, step)


def _whole(run: _Run, current: Node) -> Node:
    """The op on the slices of all members."""
    axis = run.axis
    first, (last, end) = run.members[0][0], run.members[-1]
    size = end.type.shape[axis]
    assert isinstance(size, int)
    inputs = []
    for x in current.inputs:
        region = x.params
        if not _varies(x, current, axis):
            inputs.append(x)
            continue
        assert isinstance(region, Slice)
        starts = (*region.starts[:axis], first, *region.starts[axis + 1 :])
        sizes = (*region.sizes[:axis], last + size - first, *region.sizes[axis + 1 :])
        inputs.append(nodes.slice_(x.inputs[0], starts, sizes, region.steps))
    assert isinstance(current.op, Elementwise)
    return nodes.elementwise(current.op, *inputs)


def _varies(x: Node, node: Node, axis: int) -> bool:
    """Whether the operand has an axis of its own for the node's axis, and does not repeat along
    it."""
    own = axis - (node.type.ndim - x.type.ndim)
    return own >= 0 and x.type.shape[own] != 1


def _runs(graph: Graph) -> dict[Node, tuple[_Run, int]]:
    """For each member of a run: the run, and where the member's slices begin."""
    groups: dict[Hashable, list[tuple[int, Node]]] = {}
    for node in graph.nodes:
        sliced = any(isinstance(x.params, Slice) for x in node.inputs)
        if sliced and isinstance(node.op, Elementwise) and estimate(node.type.shape) <= _LARGE:
            for axis in range(node.type.ndim):
                key = _place(node, axis)
                if key is not None:
                    start = key[1]
                    groups.setdefault((axis, key[0]), []).append((start, node))
    found: dict[Node, tuple[_Run, int]] = {}
    for (axis, _), members in groups.items():  # type: ignore[misc]
        run: list[tuple[int, Node]] = []
        end = -1
        for start, node in sorted(members, key=lambda member: member[0]):
            if start != end:
                _take(found, run, axis)
                run = []
            run.append((start, node))
            size = node.type.shape[axis]
            assert isinstance(size, int)
            end = start + size
        _take(found, run, axis)
    return found


def _take(found: dict[Node, tuple[_Run, int]], run: list[tuple[int, Node]], axis: int) -> None:
    if len(run) >= FEWEST and not any(node in found for _, node in run):
        whole = _Run(run, axis)
        found.update((node, (whole, start)) for start, node in run)


def _place(node: Node, axis: int) -> tuple[Hashable, int] | None:
    """(what neighbours share, where the node's slices begin), where all operands that vary along
    the axis are slices of it, at one place."""
    size = node.type.shape[axis]
    starts = set()
    shared: list[Hashable] = []
    for x in node.inputs:
        shape = x.type.shape
        own = axis - (node.type.ndim - len(shape))
        if own < 0 or shape[own] == 1:
            shared.append(x)
            continue
        region = x.params
        if (
            not isinstance(region, Slice)
            or len(shape) != node.type.ndim
            or shape != node.type.shape
        ):
            return None
        source = x.inputs[0]
        if any(step != 1 for step in region.steps) or source.type.shape[axis] == size:
            return None
        starts.add(region.starts[axis])
        aside = region.starts[:axis] + region.starts[axis + 1 :]
        shared.append((source, aside, shape[:axis], shape[axis + 1 :]))
    if len(starts) != 1:
        return None
    (start,) = starts
    if not isinstance(start, int) or not isinstance(size, int):
        return None
    return (node.op, tuple(shared)), start
