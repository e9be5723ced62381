"""NumPy's ranges between two values: evenly, or evenly in the logarithm."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc import nodes
from graphc.dispatch.options import dtype_of, floating, given, one_axis, part, refuse
from graphc.dispatch.registry import implements
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.lifting import lift, lift_all, lift_beside
from graphc.types import FLOATING, Shape, array_type, broadcast, promote


@implements(np.linspace)
def linspace(
    start: Any,
    stop: Any,
    num: Any = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
    *,
    device: Any = None,
) -> Any:
    refuse("np.linspace", device=device)
    first, last = _ends(start, stop)
    points, step = _evenly(first, last, num, endpoint, "np.linspace")
    points = _typed(points, dtype)
    points = _placed(points, axis, "np.linspace")
    return (points, step) if retstep else points


@implements(np.logspace)
def logspace(
    start: Any,
    stop: Any,
    num: Any = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Node:
    """base ** linspace(start, stop): by the ends and by the base."""
    first, last = _ends(start, stop)
    root = lift(base)
    if root.type.ndim:
        # Beside an array of bases NumPy makes arrays of the ends, numbers among them.
        first, last = floating(lift(start)), floating(lift(stop))
        shape = broadcast((first.type.shape, last.type.shape, root.type.shape))
        if shape is None:
            raise GraphValueError(
                located(
                    f"np.logspace: {nodes.describe(first)} to {nodes.describe(last)} to the "
                    f"base {nodes.describe(root)}: the shapes do not broadcast"
                )
            )
        first, last = nodes.broadcast_to(first, shape), nodes.broadcast_to(last, shape)
    powers, _ = _evenly(first, last, num, endpoint, "np.logspace")
    root = lift_beside(base, powers.type.dtype)
    points = nodes.elementwise("power", root, powers)
    return _typed(_placed(points, axis, "np.logspace"), dtype)


@implements(np.geomspace)
def geomspace(
    start: Any,
    stop: Any,
    num: Any = 50,
    endpoint: bool = True,
    dtype: Any = None,
    axis: int = 0,
) -> Node:
    """Each a constant multiple of the one before; the ends are the operands themselves."""
    # NumPy computes this one in f64.
    first, last = (nodes.cast(lift(end), "f64") for end in (start, stop))
    sign = nodes.elementwise("sign", first)
    first, last = nodes.multiply(first, sign), nodes.multiply(last, sign)
    low, high = (nodes.elementwise("log10", end) for end in (first, last))
    powers, _ = _evenly(low, high, num, endpoint, "np.geomspace")
    points = nodes.elementwise("power", nodes.constant(10.0), powers)
    count, shape = powers.type.shape[0], powers.type.shape[1:]
    assert isinstance(count, int)
    # The powers of the logarithms round; the ends are known.
    pieces = [nodes.broadcast_to(first, (1, *shape))] if count else []
    ends = int(endpoint and count > 1)
    pieces.append(part(points, 0, min(count, 1), max(count - 1 - ends, 0)))
    if ends:
        pieces.append(nodes.broadcast_to(last, (1, *shape)))
    points = nodes.multiply(nodes.concatenate(pieces, 0), sign)
    return _typed(_placed(points, axis, "np.geomspace"), dtype)


def _ends(start: Any, stop: Any) -> tuple[Node, Node]:
    """Both ends in the dtype of the points: a bool beside f32 is f32, an integer is f64."""
    first, last = lift_all((start, stop))
    kind = promote(first.type.dtype, last.type.dtype)
    kind = kind if kind in FLOATING else "f64"
    return nodes.cast(first, kind), nodes.cast(last, kind)


def _evenly(first: Node, last: Node, num: Any, endpoint: bool, function: str) -> tuple[Node, Node]:
    """`num` points along a new first axis, and their distance."""
    if isinstance(num, bool) or not isinstance(num, int | np.integer):
        raise GraphTypeError(located(f"{function}: the number of points is an int, got {num!r}"))
    count = int(num)
    shape = broadcast((first.type.shape, last.type.shape))
    if shape is None or count < 0:
        raise GraphValueError(
            located(
                f"{function}: {nodes.describe(first)} to {nodes.describe(last)} in {num} points"
            )
        )
    distance = nodes.broadcast_to(nodes.elementwise("subtract", last, first), shape)
    kind = distance.type.dtype
    steps = count - 1 if endpoint else count
    step = nodes.elementwise("divide", distance, nodes.constant(max(steps, 1), kind))
    if count == 0:
        return nodes.full(array_type(kind, (0, *shape)), 0), step
    places = nodes.constant(np.arange(count).reshape(-1, *(1,) * len(shape)), kind)
    points = nodes.add(nodes.multiply(places, step), first)
    if endpoint and count > 1:
        whole = nodes.cast(nodes.broadcast_to(last, (1, *shape)), kind)
        points = nodes.concatenate([part(points, 0, 0, count - 1), whole], 0)
    return points, step


def _placed(points: Node, axis: int, function: str) -> Node:
    """The first axis at its place."""
    rest: Shape = points.type.shape[1:]
    place = one_axis(axis, len(rest) + 1, function)
    order = (*range(1, place + 1), 0, *range(place + 1, len(rest) + 1))
    return nodes.transpose(points, order)


def _typed(points: Node, dtype: Any) -> Node:
    """Integers are the floor of the points, as NumPy has it."""
    if not given(dtype):
        return points
    name = dtype_of(dtype)
    if name in ("i32", "i64"):
        points = nodes.elementwise("floor", points)
    return nodes.cast(points, name)
