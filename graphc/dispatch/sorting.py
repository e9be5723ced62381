"""NumPy functions that sort, and that search in what is sorted.

A sort is a gather at the positions that sort: its cotangents go back where the elements came from,
ties in their order. The positions themselves have no derivative.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc import nodes
from graphc.dispatch.options import along, refuse
from graphc.dispatch.registry import implements
from graphc.errors import GraphValueError, located
from graphc.ir import Node
from graphc.lifting import Symbolic, lift, lift_beside
from graphc.types import array_type, product, promote

# From this many sorted elements on, a search halves the range instead of comparing with each.
_HALVING = 16


def at_positions(x: Node, positions: Node, axis: int, unique: bool = False) -> Node:
    """x at `positions` along an axis, each of the other axes position by position."""
    arrays = []
    for k, size in enumerate(x.type.shape):
        alone = tuple(size if j == k else 1 for j in range(x.type.ndim))
        arrays.append(positions if k == axis else nodes.reshape(nodes.arange(size), alone))
    return nodes.gather(x, arrays, (True,) * x.type.ndim, unique)


def sorted_along(x: Node, axis: int) -> Node:
    """x sorted along one axis, NaN last."""
    return at_positions(x, nodes.reduction("argsort", x, (axis,)), axis, unique=True)


@implements(np.sort)
def sort(
    a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> Node:
    refuse("np.sort", order=order)
    return sorted_along(*along(lift(a), axis, "np.sort"))


@implements(np.argsort)
def argsort(
    a: Any, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: Any = None
) -> Node:
    """Ties keep their order, whatever `kind` says."""
    refuse("np.argsort", order=order)
    x, place = along(lift(a), axis, "np.argsort")
    return nodes.reduction("argsort", x, (place,))


@implements(np.partition)
def partition(a: Any, kth: Any, axis: Any = -1, kind: Any = None, order: Any = None) -> Node:
    """Sorted as a whole, which is a partition about every `kth`."""
    return sort(a, axis, order=order)


@implements(np.argpartition)
def argpartition(a: Any, kth: Any, axis: Any = -1, kind: Any = None, order: Any = None) -> Node:
    """The positions that sort, which partition about every `kth`."""
    return argsort(a, axis, order=order)


@implements(np.lexsort)
def lexsort(keys: Any, axis: Any = -1) -> Node:
    """By the last key, ties by the one before: stable sorts, the last key's last."""
    rows = [lift(key) for key in keys]
    order: Node | None = None
    for row in rows:
        line, place = along(row, axis, "np.lexsort")
        if order is None:
            order = nodes.reduction("argsort", line, (place,))
            continue
        again = nodes.reduction("argsort", at_positions(line, order, place), (place,))
        order = at_positions(order, again, place)
    if order is None:
        raise GraphValueError(located("np.lexsort: no keys"))
    return order


# -- searching -------------------------------------------------------------------------------------


@implements(np.searchsorted)
def searchsorted(a: Any, v: Any, side: str = "left", sorter: Any = None) -> Node:
    x = lift(a)
    if x.type.ndim != 1:
        raise GraphValueError(located(f"np.searchsorted: {nodes.describe(x)} is no vector"))
    if sorter is not None:
        x = nodes.gather(x, (lift(sorter),), (True,))
    if side not in ("left", "right"):
        raise GraphValueError(located(f"np.searchsorted: side={side!r} is neither left nor right"))
    return places_in(x, lift_beside(v, x.type.dtype), right=side == "right")


def _whole(value: int) -> Node:
    return nodes.constant(value, "i64")


def places_in(x: Node, values: Node, right: bool) -> Node:
    """How many elements of the sorted vector x come before each value; NaN comes after all."""
    size = x.type.shape[0]
    beyond = "greater" if right else "greater_equal"
    if isinstance(size, int) and size >= _HALVING:
        return _halved(x, values, size, beyond)
    if not isinstance(size, int):
        return _merged(x, values, right)
    column = nodes.reshape(x, (size, *(1 for _ in values.type.shape)))
    before = nodes.elementwise("logical_not", nodes.elementwise(beyond, column, values))
    return nodes.sum_(before, (0,))


def _merged(x: Node, values: Node, right: bool) -> Node:
    """The same count where the size has a name: both are sorted together, then x is counted.

    The sort is stable, so that those which equal a value come first where they come first here.
    """
    dtype = promote(x.type.dtype, values.type.dtype)
    wanted = nodes.cast(nodes.reshape(values, (values.type.size,)), dtype)
    parts = [nodes.cast(x, dtype), wanted] if right else [wanted, nodes.cast(x, dtype)]
    order = nodes.reduction("argsort", nodes.concatenate(parts, 0), (0,))
    first = parts[0].type.shape[0]  # positions below it are in the first part
    op = "less" if right else "greater_equal"
    of_x = nodes.elementwise(op, order, nodes.size(first))
    counts = nodes.reduction("cumsum", nodes.cast(of_x, "i64"), (0,))
    ranks = nodes.reduction("argsort", order, (0,))  # the inverse of a permutation
    start = first if right else 0
    own = nodes.slice_(ranks, (start,), (values.type.size,), (1,))
    return nodes.reshape(nodes.gather(counts, (own,), (True,)), values.type.shape)


def _halved(x: Node, values: Node, size: int, beyond: str) -> Node:
    """The same count, from its highest bit: it grows while the element there comes before."""
    count = nodes.full(array_type("i64", values.type.shape), 0)
    step = 1 << (size.bit_length() - 1)
    while step:
        tried = nodes.add(count, _whole(step))
        inside = nodes.elementwise("less_equal", tried, _whole(size))
        place = nodes.elementwise(
            "subtract", nodes.elementwise("minimum", tried, _whole(size)), _whole(1)
        )
        element = nodes.gather(x, (place,), (True,))
        before = nodes.elementwise("logical_not", nodes.elementwise(beyond, element, values))
        grows = nodes.elementwise("logical_and", inside, before)
        count = nodes.elementwise("where", grows, tried, count)
        step //= 2
    return count


@implements(np.digitize)
def digitize(x: Any, bins: Any, right: bool = False) -> Node:
    """Bins rise, or fall where they are a constant; a value's bins are taken to rise."""
    edges = lift(bins)
    value = lift(x)
    constant = None if isinstance(bins, Symbolic) else np.asarray(bins)
    if constant is not None and not (
        np.all(np.diff(constant) >= 0) or np.all(np.diff(constant) <= 0)
    ):
        raise GraphValueError(located("np.digitize: the bins neither rise nor fall"))
    if constant is None or np.all(np.diff(constant) >= 0):
        return places_in(edges, value, right=not right)
    falling = places_in(lift(constant[::-1]), value, right=not right)
    return nodes.elementwise("subtract", nodes.size(edges.type.shape[0]), falling)


@implements(np.isin)
def isin(
    element: Any,
    test_elements: Any,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    kind: Any = None,
) -> Node:
    x, tests = lift(element), lift(test_elements)
    flat = nodes.reshape(tests, (product(tests.type.shape),))
    same = nodes.elementwise("equal", nodes.expand_dims(x, x.type.ndim), flat)
    found = nodes.reduction("any", same, (x.type.ndim,))
    return nodes.elementwise("logical_not", found) if invert else found
