"""Writing into a slice of a value, as whole-array operations."""

from __future__ import annotations

from codegen.program import Slice
from graphc import nodes
from graphc.ir import Node
from graphc.types import Shape, Size, array_type


def add_region(
    x: Node, part: Node, starts: tuple[Size, ...], sizes: Shape, steps: tuple[int, ...]
) -> Node:
    """x with `part` added at the slice."""
    region = Slice(starts, sizes, steps)
    return nodes.add(x, nodes.place(part, region, x.type.shape))


def set_region(
    x: Node, part: Node, starts: tuple[Size, ...], sizes: Shape, steps: tuple[int, ...]
) -> Node:
    """x with `part` in place of the slice; a mask chooses, so what is replaced leaks nothing."""
    region = Slice(starts, sizes, steps)
    mask = nodes.place(nodes.full(array_type("bool", sizes), True), region, x.type.shape)
    placed = nodes.place(part, region, x.type.shape)
    return nodes.elementwise("where", mask, placed, x)
