"""Operands as users write them -> nodes: values, arrays, numbers, sizes.

Arrays and NumPy scalars are strong and become constants (copied, frozen). Python numbers and sizes
are weak, as NEP 50 has it: they take the dtype of the operands beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import nodes
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.types import Dim, promote, weak_dtype


class Symbolic:
    """What a user holds of a node: the base of `graphc.Value`, for layers below it."""

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        self.node = node


_WEAK = (bool, int, float, Dim)


def is_weak(value: object) -> bool:
    """Whether this is a Python number or a size (np.float64 is a float, and yet strong)."""
    return isinstance(value, _WEAK) and not isinstance(value, np.generic)


def lift(value: Any) -> Node:
    """The node of one operand on its own; a Python number takes NumPy's default dtype.

    Raises GraphTypeError for what is no array, number or value.
    """
    if isinstance(value, Symbolic):
        return value.node
    if isinstance(value, Dim):
        return nodes.size(value)
    if isinstance(value, list | tuple):
        return nodes.constant(array_of(value))
    if isinstance(value, np.ndarray | np.generic | bool | int | float):
        return _constant(value, None)
    raise GraphTypeError(
        located(f"an operand of type {type(value).__name__} is no array, number or graphc.Value")
    )


def lift_beside(value: Any, dtype: str) -> Node:
    """The node of an operand that stands beside one of `dtype`."""
    if isinstance(value, Symbolic):
        return value.node
    if isinstance(value, Dim):
        return nodes.size(value, weak_dtype(1, dtype))
    if is_weak(value):
        return _constant(value, weak_dtype(value, dtype))
    return lift(value)


def lift_all(values: Sequence[Any]) -> tuple[Node, ...]:
    """Nodes of operands that are promoted together: weak ones beside the strong ones."""
    known = tuple([value.node for value in values if isinstance(value, Symbolic)])
    if len(known) == len(values):
        return known
    strong = {index: lift(value) for index, value in enumerate(values) if not is_weak(value)}
    if not strong:
        return tuple(lift(value) for value in values)
    dtype = promote(*(node.type.dtype for node in strong.values()))
    return tuple(
        strong[index] if index in strong else lift_beside(value, dtype)
        for index, value in enumerate(values)
    )


def _constant(value: Any, dtype: str | None) -> Node:
    try:
        return nodes.constant(value, dtype)
    except OverflowError:
        fits = dtype or "i64"
        raise GraphValueError(located(f"the number {value} does not fit {fits}")) from None


def array_of(value: Sequence[Any]) -> np.ndarray[Any, Any]:
    """A list or tuple of numbers as NumPy reads it."""
    stack = list(value)
    while stack:
        item = stack.pop()
        if isinstance(item, Symbolic):
            raise GraphTypeError(
                located(
                    f"a list with the symbolic value {nodes.describe(item.node)} in it is no "
                    "array; use np.stack([...])"
                )
            )
        if isinstance(item, list | tuple):
            stack.extend(item)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise GraphValueError(located(f"a list is no array: {error}")) from None
    if array.dtype == object:
        raise GraphTypeError(located("a list of other things than numbers is no array"))
    return array
