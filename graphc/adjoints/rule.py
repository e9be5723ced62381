"""What a rule of differentiation is, and what the rules share."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from graphc import nodes
from graphc.ir import Node
from graphc.ops.kinds import Axes
from graphc.types import Shape, Size

# A rule is given a node, its cotangent, the nodes that need one, and whether a zero cotangent
# absorbs an infinite partial; it yields what each operand's cotangent gains.
Contributions = Iterable[tuple[Node, Node]]
Rule = Callable[[Node, Node, set[Node], bool], Contributions]


def unbroadcast(d: Node, shape: Shape) -> Node:
    """d summed over the axes along which an operand of `shape` was repeated."""
    have = d.type.shape
    if have == shape:
        return d
    lead = len(have) - len(shape)
    axes = tuple(range(lead)) + tuple(
        lead + k for k, size in enumerate(shape) if size == 1 and have[lead + k] != 1
    )
    return nodes.reshape(nodes.sum_(d, axes), shape)


def kept(node: Node, value: Node, params: Axes) -> Node:
    """A value of the reduction's shape, with the reduced axes back as axes of size 1."""
    shape = node.inputs[0].type.shape
    return nodes.reshape(
        value, tuple(1 if k in params.axes else size for k, size in enumerate(shape))
    )


def flip(x: Node, axis: int) -> Node:
    """x with one axis reversed."""
    shape = x.type.shape
    starts = tuple(size - 1 if k == axis else 0 for k, size in enumerate(shape))
    steps = tuple(-1 if k == axis else 1 for k in range(len(shape)))
    return nodes.slice_(x, starts, shape, steps)


def shifted(x: Node, axis: int, by: int, fill: float) -> Node:
    """The element `by` places further on at each position, `fill` beyond the ends."""
    shape = x.type.shape
    length = shape[axis]
    if isinstance(length, int) and abs(by) >= length:
        return nodes.full(x.type, fill)
    rest: Size = length - abs(by)
    starts = tuple(max(by, 0) if k == axis else 0 for k in range(len(shape)))
    sizes = (*shape[:axis], rest, *shape[axis + 1 :])
    widths: list[tuple[Size, Size]] = [(0, 0)] * len(shape)
    widths[axis] = (max(-by, 0), max(by, 0))
    return nodes.pad(nodes.slice_(x, starts, sizes, (1,) * len(shape)), widths, fill)
