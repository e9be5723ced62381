"""NumPy's medians and quantiles: elements of a sorted line, or what lies between two of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from graphc import nodes
from graphc.dispatch.options import axes_of, count_of, flag, floating, refuse
from graphc.dispatch.registry import implements
from graphc.dispatch.sorting import sorted_along
from graphc.errors import GraphValueError, located
from graphc.ir import Node
from graphc.lifting import lift, lift_beside
from graphc.ops.kinds import ConstantParams
from graphc.types import Size, promote


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
    if missing or not ordered.type.floating:
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


# -- quantiles -------------------------------------------------------------------------------------

# Where a quantile q of n elements is, counted from 0: q n + alpha + q (1 - alpha - beta) - 1, and
# between the two elements there linearly. R. J. Hyndman, Y. Fan, "Sample Quantiles in Statistical
# Packages", The American Statistician 50 (1996), definitions 4 to 9; "linear", the seventh, is
# q (n - 1), written so.
_BETWEEN = {
    "interpolated_inverted_cdf": (0.0, 1.0),
    "hazen": (0.5, 0.5),
    "weibull": (0.0, 0.0),
    "median_unbiased": (1 / 3, 1 / 3),
    "normal_unbiased": (3 / 8, 3 / 8),
}
# Those that take one element as it is: integers stay integers.
_ONE_ELEMENT = {
    "lower": "floor",
    "higher": "ceil",
    "nearest": "rint",
    "inverted_cdf": "",
    "closest_observation": "",
}
_METHODS = ("linear", *_BETWEEN, "midpoint", "averaged_inverted_cdf", *_ONE_ELEMENT)


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
        """By every method of NumPy; the interpolating ones can be differentiated by q, too."""
        refuse(function, out=out, weights=weights)
        if method not in _METHODS:
            raise GraphValueError(
                located(f"{function}: method={method!r} is none of {', '.join(_METHODS)}")
            )
        x = lift(a)
        # The ends of integers, asked for by an integer, are integers; so is what one element gives.
        exact = scale == 1 and method == "linear" and not lift_beside(q, x.type.dtype).type.floating
        whole = (method in _ONE_ELEMENT or exact) and not missing
        x = x if whole else floating(x)
        axes = axes_of(axis, x, function)
        ordered = _ordered(x, axes, function)
        level = floating(lift_beside(q, x.type.dtype))
        _check_level(function, level, scale)
        # An array q is f64, a number is weak.
        dtype = level.type.dtype
        if x.type.floating:
            dtype = x.type.dtype if exact else promote(x.type.dtype, dtype)
        level = nodes.cast(level, dtype)
        if scale != 1:
            level = nodes.elementwise("divide", level, nodes.constant(scale, dtype))
        level = nodes.reshape(level, (*level.type.shape, *(1 for _ in ordered.type.shape[1:])))
        count = _counts(ordered, missing)
        last = nodes.elementwise(
            "maximum", nodes.elementwise("subtract", count, _whole(1)), _whole(0)
        )
        place = _place(method, level, count, last)
        if method in _ONE_ELEMENT or exact:
            result = _read(ordered, _inside(nodes.cast(place, "i64"), last))
        else:
            result = _interpolated(method, nodes.cast(ordered, dtype), place, last)
        return _restored(x, _spoilt(ordered, result, missing), axes, flag(keepdims))

    return quantile


def _place(method: str, level: Node, count: Node, last: Node) -> Node:
    """The position of the quantile among the sorted elements, a number of level's dtype."""
    dtype = level.type.dtype
    number = partial(nodes.constant, dtype=dtype)
    from_last = nodes.multiply(level, nodes.cast(last, dtype))
    if method == "linear":
        return from_last
    if method == "midpoint":
        ends = (nodes.elementwise(end, from_last) for end in ("floor", "ceil"))
        return nodes.multiply(number(0.5), nodes.add(*ends))
    if _ONE_ELEMENT.get(method):
        return nodes.elementwise(_ONE_ELEMENT[method], from_last)
    from_count = nodes.multiply(nodes.cast(count, dtype), level)
    if method in _BETWEEN:
        alpha, beta = _BETWEEN[method]
        shift = nodes.add(number(alpha), nodes.multiply(level, number(1 - alpha - beta)))
        return nodes.elementwise("subtract", nodes.add(from_count, shift), number(1))
    place = nodes.elementwise("subtract", from_count, number(1))
    if method == "averaged_inverted_cdf":
        return place
    if method == "inverted_cdf":
        return nodes.elementwise("ceil", place)
    # The closest, an odd one where two are as close: counted from 1 it is even.
    place = nodes.elementwise("subtract", place, number(0.5))
    low = nodes.elementwise("floor", place)
    odd = nodes.elementwise("equal", nodes.elementwise("remainder", low, number(2)), number(1))
    stays = nodes.elementwise("logical_and", nodes.elementwise("equal", place, low), odd)
    return nodes.elementwise("where", stays, low, nodes.add(low, number(1)))


def _inside(position: Node, last: Node) -> Node:
    return nodes.elementwise("minimum", nodes.elementwise("maximum", position, _whole(0)), last)


def _interpolated(method: str, ordered: Node, place: Node, last: Node) -> Node:
    """Between the elements on both sides of a place, or the nearest end where it lies outside."""
    dtype = place.type.dtype
    floor = nodes.elementwise("floor", place)
    low = nodes.cast(floor, "i64")
    ends = low if method == "linear" else _inside(low, last)
    after = nodes.elementwise("minimum", nodes.add(low, _whole(1)), last)
    if method != "linear":
        after = nodes.elementwise("maximum", after, _whole(0))
    first, second = _read(ordered, ends), _read(ordered, after)
    part = nodes.elementwise("subtract", place, floor)
    if method == "averaged_inverted_cdf":
        whole = nodes.elementwise("equal", part, nodes.constant(0, dtype))
        half, one = nodes.constant(0.5, dtype), nodes.constant(1, dtype)
        part = nodes.elementwise("where", whole, half, one)
    return _between(first, second, part)


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
