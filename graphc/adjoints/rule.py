"""What a rule of differentiation is, and what the rules share."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from graphc import nodes
from graphc.ir import Node
from graphc.types import Shape

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
