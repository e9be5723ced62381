"""np.pad: what stands around an array, axis after axis, as NumPy does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphc import nodes
from graphc.dispatch.options import flipped, part, refuse, sizes_of
from graphc.dispatch.quantiles import median
from graphc.dispatch.reductions import mean_of
from graphc.dispatch.registry import implements
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.lifting import Symbolic, lift, lift_beside
from graphc.types import Size, size_max, size_min

# How many elements a mode reads at an end, beyond as many as it pads: `reflect` skips the edge.
_MIRRORS = {"reflect": 1, "symmetric": 0, "wrap": 0}


@implements(np.pad)
def pad(array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Node:
    """Mode "constant" takes values, too; "empty" and functions are refused."""
    x = lift(array)
    widths = _widths(x, pad_width)
    if mode == "constant":
        return _constant(x, widths, options)
    for axis, (before, after) in enumerate(widths):
        if before != 0 or after != 0:
            x = _padded(x, axis, before, after, mode, options)
    return x


def _widths(x: Node, given: Any) -> list[tuple[Size, Size]]:
    """(before, after) an axis, of an int, a pair, one pair an axis, or a dict of axes."""
    ndim = x.type.ndim
    if isinstance(given, dict):
        table = {int(axis) % max(ndim, 1): width for axis, width in given.items()}
        given = [table.get(axis, (0, 0)) for axis in range(ndim)]
        given = [width if isinstance(width, list | tuple) else (width, width) for width in given]
    if isinstance(given, np.ndarray):
        given = given.tolist()
    if not isinstance(given, list | tuple):
        given = [(given, given)] * ndim
    elif len(given) == 2 and not isinstance(given[0], list | tuple):
        given = [tuple(given)] * ndim
    elif len(given) == 1:
        alone = given[0]
        given = [alone if isinstance(alone, list | tuple) else (alone, alone)] * ndim
    if len(given) != ndim:
        raise GraphValueError(
            located(f"np.pad: {nodes.describe(x)} has {ndim} axes, got {len(given)} widths")
        )
    return [_width(width) for width in given]


def _width(width: Any) -> tuple[Size, Size]:
    pair = tuple(width) * 2 if len(width) == 1 else tuple(width)
    before, after = sizes_of(pair, "np.pad")
    for side in (before, after):
        if isinstance(side, int) and side < 0:
            raise GraphValueError(located(f"np.pad: the width {side} is negative"))
    return before, after


def _sides(x: Node, option: Any, axis: int) -> tuple[Any, Any]:
    """An option's values before and after an axis: one for all, a pair, or a pair an axis."""
    if isinstance(option, Symbolic) or np.ndim(option) == 0:
        return option, option
    rows = list(option)
    if len(rows) == 1:
        rows = [rows[0]] * max(x.type.ndim, 1)
    elif np.ndim(rows[0]) == 0:
        return rows[0], rows[1]
    pair = rows[axis]
    if np.ndim(pair) == 0:
        return pair, pair
    return pair[0], pair[-1]


def _constant(x: Node, widths: list[tuple[Size, Size]], options: dict[str, Any]) -> Node:
    values = options.pop("constant_values", 0)
    refuse("np.pad", **options)
    if isinstance(values, bool | int | float):
        return nodes.pad(x, widths, values)
    for axis, (before, after) in enumerate(widths):
        if before == 0 and after == 0:
            continue
        first, last = (
            nodes.cast(lift_beside(value, x.type.dtype), x.type.dtype)
            for value in _sides(x, values, axis)
        )
        x = _around(x, axis, _filled(x, axis, before, first), _filled(x, axis, after, last))
    return x


def _filled(x: Node, axis: int, width: Size, value: Node) -> Node:
    """`width` positions along the axis that hold `value`, a scalar or of size 1 there."""
    shape = x.type.shape
    return nodes.broadcast_to(value, (*shape[:axis], width, *shape[axis + 1 :]))


def _around(x: Node, axis: int, before: Node, after: Node) -> Node:
    parts = [p for p in (before, x, after) if p is x or p.type.shape[axis] != 0]
    return nodes.concatenate(parts, axis)


def _padded(
    x: Node, axis: int, before: Size, after: Size, mode: Any, options: dict[str, Any]
) -> Node:
    """One axis padded."""
    size = x.type.shape[axis]
    if size == 0:
        raise GraphValueError(
            located(f"np.pad: {nodes.describe(x)} has no elements along axis {axis} to pad with")
        )
    if mode == "edge":
        refuse("np.pad", **options)
        first, last = part(x, axis, 0, 1), part(x, axis, size - 1, 1)
        return _around(x, axis, _filled(x, axis, before, first), _filled(x, axis, after, last))
    if mode in _MIRRORS:
        refuse("np.pad", reflect_type=_unless(options, "reflect_type", "even"))
        return _mirrored(x, axis, before, after, mode)
    if mode == "linear_ramp":
        ends = _sides(x, options.get("end_values", 0), axis)
        return _around(
            x, axis, _ramp(x, axis, before, ends[0], 0), _ramp(x, axis, after, ends[1], size - 1)
        )
    fold = _FOLDS.get(mode) if isinstance(mode, str) else None
    if fold is None:
        raise GraphTypeError(
            located(
                f"np.pad: mode={mode!r} is not traced by graphc; use constant, edge, reflect, "
                f"symmetric, wrap, linear_ramp, {', '.join(_FOLDS)}"
            )
        )
    given = options.get("stat_length")
    lengths = _sides(x, given, axis) if given else (size, size)
    near, far = (min(n, size) if isinstance(size, int) else n for n in lengths)
    first = fold(part(x, axis, 0, near), axis)
    last = fold(part(x, axis, size - far, far), axis)
    return _around(x, axis, _filled(x, axis, before, first), _filled(x, axis, after, last))


def _unless(options: dict[str, Any], name: str, default: Any) -> Any:
    value = options.get(name, default)
    return None if value == default else value


def _mirrored(x: Node, axis: int, before: Size, after: Size, mode: str) -> Node:
    """The elements at the ends again, mirrored or wrapped.

    Where the widths are known to reach no further than the array these are slices; a named size is
    taken to reach as far, and a call with fewer elements is an error.
    """
    size = x.type.shape[axis]
    skip = _MIRRORS[mode]
    widths = (before, after)
    if isinstance(size, int) and any(not isinstance(w, int) or w + skip > size for w in widths):
        if not all(isinstance(w, int) for w in widths):
            raise GraphValueError(located(f"np.pad: mode={mode!r} takes widths that are ints"))
        positions: Any = np.pad(np.arange(size), widths, mode=mode)  # type: ignore[call-overload]
        return _taken(x, axis, positions)
    if mode == "wrap":
        first, last = _end(x, axis, 0, before), _beginning(x, axis, 0, after)
        return _around(x, axis, first, last)
    first, last = _beginning(x, axis, skip, before), _end(x, axis, skip, after)
    return _around(x, axis, flipped(first, axis), flipped(last, axis))


def _beginning(x: Node, axis: int, skip: int, width: Size) -> Node:
    """`width` elements from `skip` on; where the size has a name, a call with fewer is an error."""
    size = x.type.shape[axis]
    if isinstance(size, int):
        return part(x, axis, skip, width)
    there = size_min(width, size_max(0, size - skip))
    return _exactly(part(x, axis, size_min(skip, size), there), axis, width)


def _end(x: Node, axis: int, skip: int, width: Size) -> Node:
    """The `width` elements before the last `skip` ones."""
    size = x.type.shape[axis]
    if isinstance(size, int):
        return part(x, axis, size - skip - width, width)
    there = size_min(width, size_max(0, size - skip))
    return _exactly(part(x, axis, size_max(0, size - skip - width), there), axis, width)


def _exactly(x: Node, axis: int, width: Size) -> Node:
    """x, whose size along an axis is `width`, as the entry of a call checks."""
    shape = x.type.shape
    return nodes.reshape(x, (*shape[:axis], width, *shape[axis + 1 :]))


def _taken(x: Node, axis: int, positions: Any) -> Node:
    axes = tuple(k == axis for k in range(axis + 1))
    return nodes.gather(x, (nodes.constant(positions, "i64"),), axes)


def _ramp(x: Node, axis: int, width: Size, end: Any, edge: Size) -> Node:
    """From `end` towards the element at the edge, which the ramp does not reach itself."""
    if width == 0:
        return part(x, axis, 0, 0)
    if not isinstance(width, int):
        raise GraphValueError(located("np.pad: mode='linear_ramp' takes widths that are ints"))
    weights = np.linspace(0, 1, width, endpoint=False)
    weights = weights if edge == 0 else weights[::-1]
    shape = tuple(width if k == axis else 1 for k in range(x.type.ndim))
    dtype = x.type.dtype if x.type.floating else "f64"
    towards = nodes.reshape(nodes.constant(weights, dtype), shape)
    target = nodes.cast(part(x, axis, edge, 1), dtype)
    start = nodes.cast(lift_beside(end, dtype), dtype)
    rise = nodes.multiply(nodes.elementwise("subtract", target, start), towards)
    return nodes.cast(nodes.add(start, rise), x.type.dtype)


def _mean(x: Node, axis: int) -> Node:
    average = mean_of(x, (axis,), True)
    if not x.type.floating:
        average = nodes.elementwise("rint", average)
    return nodes.cast(average, x.type.dtype)


def _median(x: Node, axis: int) -> Node:
    middle = median(Symbolic(x), axis, keepdims=True)
    if not x.type.floating:
        middle = nodes.elementwise("rint", middle)
    return nodes.cast(middle, x.type.dtype)


_FOLDS: dict[str, Callable[[Node, int], Node]] = {
    "maximum": lambda x, axis: nodes.reduction("max", x, (axis,), True),
    "minimum": lambda x, axis: nodes.reduction("min", x, (axis,), True),
    "mean": _mean,
    "median": _median,
}
