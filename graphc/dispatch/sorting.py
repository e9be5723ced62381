"""NumPy functions that sort, and those that read what is sorted.

A sort is a gather at the positions that sort: its cotangents go back where the elements came from,
ties in their order. The positions themselves have no derivative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphc import nodes
from graphc.dispatch.options import along, axes_of, count_of, flag, floating, refuse
from graphc.dispatch.registry import implements
from graphc.errors import GraphValueError, located
from graphc.ir import Node
from graphc.lifting import Symbolic, lift, lift_beside
from graphc.ops.kinds import ConstantParams
from graphc.types import Size, array_type, product, promote

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


# -- quantiles -------------------------------------------------------------------------------------


def _lines(x: Node, axes: tuple[int, ...]) -> Node:
    """x with the folded axes as one, in front."""
    rest = tuple(k for k in range(x.type.ndim) if k not in axes)
    moved = nodes.transpose(x, axes + rest)
    return nodes.reshape(moved, (count_of(x, axes), *moved.type.shape[len(axes) :]))


def _restored(x: Node, result: Node, axes: tuple[int, ...], keepdims: bool) -> Node:
    """The result with the folded axes back as axes of size 1, behind the axes it has in front."""
    if not keepdims:
        return result
    front = result.type.shape[: result.type.ndim - (x.type.ndim - len(axes))]
    sizes = tuple(1 if k in axes else size for k, size in enumerate(x.type.shape))
    return nodes.reshape(result, (*front, *sizes))


def _counts(lines: Node, missing: bool) -> Node:
    """How many elements of each line take part, i64; a number where that is the same for all."""
    if not missing:
        return nodes.size(lines.type.shape[0])
    there = nodes.elementwise("logical_not", nodes.elementwise("isnan", lines))
    return nodes.sum_(there, (0,))


def _read(ordered: Node, positions: Node) -> Node:
    """The sorted elements at positions (along axis 0) which may have axes of their own in front."""
    rest = ordered.type.shape[1:]
    front = positions.type.ndim - len(rest)
    arrays = [positions]
    for k, size in enumerate(rest):
        alone = tuple(size if j == front + k else 1 for j in range(positions.type.ndim))
        arrays.append(nodes.reshape(nodes.arange(size), alone))
    return nodes.gather(ordered, arrays, (True,) * ordered.type.ndim)


def _spoilt(ordered: Node, result: Node, missing: bool) -> Node:
    """NaN where a line holds one: sorted, it is the last."""
    if missing:
        return result
    size = ordered.type.shape[0]
    dtype = result.type.dtype
    spoilt = nodes.elementwise("isnan", _row(ordered, size - 1))
    return nodes.elementwise("where", spoilt, nodes.constant(np.nan, dtype), result)


def _ordered(x: Node, axes: tuple[int, ...], function: str) -> Node:
    lines = _lines(x, axes)
    if lines.type.shape[0] == 0:
        raise GraphValueError(located(f"{function}: {nodes.describe(x)} has no elements to fold"))
    return sorted_along(lines, 0)


def _whole(value: int) -> Node:
    return nodes.constant(value, "i64")


def _median(function: str, missing: bool) -> Callable[..., Node]:
    def median(
        a: Any,
        axis: Any = None,
        out: Any = None,
        overwrite_input: bool = False,
        keepdims: Any = False,
    ) -> Node:
        """The middle element, or the mean of the two in the middle."""
        refuse(function, out=out)
        x = floating(lift(a))
        axes = axes_of(axis, x, function)
        ordered = _ordered(x, axes, function)
        if missing:
            count = _counts(ordered, missing)
            # A line without any elements reads position 0, which holds NaN then.
            last = nodes.elementwise("subtract", count, _whole(1))
            ends = (nodes.elementwise("maximum", last, _whole(0)), count)
            middle = [nodes.elementwise("floor_divide", end, _whole(2)) for end in ends]
            pair = [_read(ordered, position) for position in middle]
        else:
            size = ordered.type.shape[0]
            pair = [_row(ordered, (size - 1) // 2), _row(ordered, size // 2)]
        half = nodes.constant(0.5, x.type.dtype)
        result = nodes.multiply(nodes.add(*pair), half)
        return _restored(x, _spoilt(ordered, result, missing), axes, flag(keepdims))

    return median


def _row(x: Node, position: Size) -> Node:
    rest = x.type.shape[1:]
    row = nodes.slice_(x, (position, *(0 for _ in rest)), (1, *rest), (1,) * x.type.ndim)
    return nodes.reshape(row, rest)


median = implements(np.median)(_median("np.median", False))
implements(np.nanmedian)(_median("np.nanmedian", True))


def _quantile(function: str, missing: bool, scale: float) -> Callable[..., Node]:
    def quantile(
        a: Any,
        q: Any,
        axis: Any = None,
        out: Any = None,
        overwrite_input: bool = False,
        method: str = "linear",
        keepdims: Any = False,
        *,
        weights: Any = None,
    ) -> Node:
        """Between the two nearest elements, linearly; it can be differentiated by q, too."""
        refuse(function, out=out, weights=weights)
        if method != "linear":
            raise GraphValueError(
                located(f"{function}: method={method!r} is not traced; 'linear' is")
            )
        x = floating(lift(a))
        axes = axes_of(axis, x, function)
        ordered = _ordered(x, axes, function)
        level = floating(lift_beside(q, x.type.dtype))
        dtype = promote(x.type.dtype, level.type.dtype)  # an array q is f64, a number is weak
        level, ordered = nodes.cast(level, dtype), nodes.cast(ordered, dtype)
        _check_level(function, level, scale)
        if scale != 1:
            level = nodes.elementwise("divide", level, nodes.constant(scale, dtype))
        rest = ordered.type.shape[1:]
        level = nodes.reshape(level, (*level.type.shape, *(1 for _ in rest)))
        count = _counts(ordered, missing)
        last = nodes.elementwise(
            "maximum", nodes.elementwise("subtract", count, _whole(1)), _whole(0)
        )
        place = nodes.multiply(level, nodes.cast(last, dtype))
        low = nodes.cast(nodes.elementwise("floor", place), "i64")
        high = nodes.elementwise("minimum", nodes.add(low, _whole(1)), last)
        between = nodes.elementwise("subtract", place, nodes.cast(low, dtype))
        first, second = _read(ordered, low), _read(ordered, high)
        result = _between(first, second, between)
        return _restored(x, _spoilt(ordered, result, missing), axes, flag(keepdims))

    return quantile


def _check_level(function: str, level: Node, scale: float) -> None:
    if not isinstance(level.params, ConstantParams):
        return
    value = level.params.value
    if not np.all((value >= 0) & (value <= scale)):
        raise GraphValueError(located(f"{function}: q lies between 0 and {scale:g}"))


def _between(a: Node, b: Node, t: Node) -> Node:
    """a + t (b - a), from the nearer end: exact at both."""
    dtype = a.type.dtype
    distance = nodes.elementwise("subtract", b, a)
    from_a = nodes.add(a, nodes.multiply(distance, t))
    rest = nodes.elementwise("subtract", nodes.constant(1, dtype), t)
    from_b = nodes.elementwise("subtract", b, nodes.multiply(distance, rest))
    near = nodes.elementwise("less", t, nodes.constant(0.5, dtype))
    return nodes.elementwise("where", near, from_a, from_b)


implements(np.quantile)(_quantile("np.quantile", False, 1))
implements(np.percentile)(_quantile("np.percentile", False, 100))
implements(np.nanquantile)(_quantile("np.nanquantile", True, 1))
implements(np.nanpercentile)(_quantile("np.nanpercentile", True, 100))


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


def places_in(x: Node, values: Node, right: bool) -> Node:
    """How many elements of the sorted vector x come before each value; NaN comes after all."""
    size = x.type.shape[0]
    beyond = "greater" if right else "greater_equal"
    if isinstance(size, int) and size >= _HALVING:
        return _halved(x, values, size, beyond)
    column = nodes.reshape(x, (size, *(1 for _ in values.type.shape)))
    before = nodes.elementwise("logical_not", nodes.elementwise(beyond, column, values))
    return nodes.sum_(before, (0,))


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
