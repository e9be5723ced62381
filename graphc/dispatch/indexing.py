"""Indexing: x[i, 1:3, None, ..., rows].

Ints, slices, None and `...` select and reshape; integer arrays gather, by NumPy's rules. A boolean
mask that is not a constant has a result whose size depends on values, and is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from codegen.record import record
from graphc import nodes
from graphc.dispatch.options import one_axis
from graphc.dispatch.registry import implements
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.lifting import Symbolic, array_of, lift, lift_all
from graphc.ops.kinds import ConstantParams
from graphc.types import Dim, Shape, Size, broadcast, size_max, size_min, size_text


@record
class Parts:
    """An index in the order of its effects: slice every axis, reshape, then gather.

    kept: the shape after the slice once ints are dropped and new axes put in.
    arrays, axes: index arrays, and which axes of `kept` they select (True).
    """

    starts: tuple[Size, ...]
    sizes: Shape
    steps: tuple[int, ...]
    kept: Shape
    arrays: tuple[Node, ...]
    axes: tuple[bool, ...]


def index(x: Node, key: Any) -> Node:
    """x[key].

    Raises GraphTypeError for what is no index, GraphValueError where it is out of range.
    """
    parts = read(x, key)
    part = nodes.slice_(x, parts.starts, parts.sizes, parts.steps)
    part = nodes.reshape(part, parts.kept)
    return nodes.gather(part, parts.arrays, parts.axes) if parts.arrays else part


def read(x: Node, key: Any) -> Parts:
    """What the key means for x."""
    keys = _expanded(x, key)
    gathers = any(isinstance(item, Node) for item in keys)
    starts: list[Size] = []
    sizes: list[Size] = []
    steps: list[int] = []
    kept: list[Size] = []
    arrays: list[Node] = []
    axes: list[bool] = []
    shape = x.type.shape
    for item in keys:
        if item is None:
            kept.append(1)
            axes.append(False)
            continue
        axis = len(starts)
        size = shape[axis]
        if isinstance(item, slice):
            start, length, step = _slice(x, axis, item)
            kept.append(length)
            axes.append(False)
        elif isinstance(item, Node) or gathers:
            # Beside an index array, an int is one too: NumPy broadcasts them together.
            start, length, step = 0, size, 1
            arrays.append(
                _checked(x, axis, item if isinstance(item, Node) else nodes.constant(item))
            )
            kept.append(size)
            axes.append(True)
        else:
            start, length, step = _position(x, axis, item), 1, 1
        starts.append(start)
        sizes.append(length)
        steps.append(step)
    return Parts(tuple(starts), tuple(sizes), tuple(steps), tuple(kept), tuple(arrays), tuple(axes))


def _expanded(x: Node, key: Any) -> list[Any]:
    """The key with `...` and missing axes written out: ints, Dims, slices, None, Nodes (arrays)."""
    keys: list[Any] = []
    for item in key if isinstance(key, tuple) else (key,):
        keys.extend(_item(x, item))
    used = sum(1 for item in keys if item is not None and item is not Ellipsis)
    ndim = x.type.ndim
    if used > ndim:
        raise GraphValueError(
            located(f"indexing: {nodes.describe(x)} has {ndim} axes, {used} indices are given")
        )
    dots = [k for k, item in enumerate(keys) if item is Ellipsis]
    if len(dots) > 1:
        raise GraphValueError(located("indexing: `...` may stand once in an index"))
    place = dots[0] if dots else len(keys)
    full = [slice(None)] * (ndim - used)
    return keys[:place] + full + keys[place + len(dots) :]


def _item(x: Node, item: Any) -> list[Any]:
    if item is None or item is Ellipsis or isinstance(item, slice | Dim):
        return [item]
    if isinstance(item, bool | np.bool_):
        raise GraphTypeError(located(f"indexing: {nodes.describe(x)} by a bool; use np.where"))
    if isinstance(item, int | np.integer):
        return [int(item)]
    if not isinstance(item, Symbolic | np.ndarray | list | tuple):
        raise GraphTypeError(
            located(f"indexing: {nodes.describe(x)} by {type(item).__name__}, which is no index")
        )
    if isinstance(item, list | tuple) and len(item) == 0:
        item = np.zeros(0, dtype=np.int64)
    if isinstance(item, np.ndarray | list | tuple) and not isinstance(item, Symbolic):
        array = item if isinstance(item, np.ndarray) else array_of(item)
        if array.dtype == np.bool_:
            # A constant mask is known now: it is the positions where it holds.
            return [nodes.constant(where) for where in np.nonzero(array)]
        return [nodes.constant(array)]
    node = lift(item)
    if node.type.dtype == "bool":
        raise GraphTypeError(
            located(
                f"indexing: {nodes.describe(x)} by the boolean mask {nodes.describe(node)}: the "
                "size of the result would depend on values; use np.where(mask, a, b)"
            )
        )
    return [node]


def _checked(x: Node, axis: int, positions: Node) -> Node:
    """The index array, a constant one checked against a known size now."""
    if positions.type.dtype not in ("i32", "i64"):
        raise GraphTypeError(
            located(
                f"indexing: {nodes.describe(x)} by {nodes.describe(positions)}: an index array is "
                "integer; convert it with .astype('i64')"
            )
        )
    size = x.type.shape[axis]
    if isinstance(positions.params, ConstantParams) and isinstance(size, int):
        value = positions.params.value
        if value.size and (value.min() < -size or value.max() >= size):
            raise GraphValueError(
                located(
                    f"indexing: {nodes.describe(x)}: a position of {value.min()}..{value.max()} "
                    f"is out of range for axis {axis} of size {size}"
                )
            )
    return positions


def _position(x: Node, axis: int, item: Any) -> Size:
    size = x.type.shape[axis]
    if isinstance(item, Dim):
        return item
    if isinstance(size, int) and not -size <= item < size:
        raise GraphValueError(
            located(
                f"indexing: {nodes.describe(x)}: position {item} is out of range "
                f"for axis {axis} of size {size}"
            )
        )
    position: Size = size + item if item < 0 else item
    return position


# -- slices ----------------------------------------------------------------------------------------


def _bound(x: Node, value: Any) -> Size | None:
    if value is None or isinstance(value, Dim):
        return value
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        what = "a value" if isinstance(value, Symbolic) else repr(value)
        raise GraphTypeError(
            located(
                f"indexing: {nodes.describe(x)}: a slice's bound is an int or a size, got {what}; "
                "to select at computed positions use an index array: x[start + np.arange(k)]"
            )
        )
    return int(value)


def _slice(x: Node, axis: int, item: slice) -> tuple[Size, Size, int]:
    """(start, size, step) of one axis, by Python's rules.

    On a named size, a start from the front is taken to be inside (the size n - start is checked at
    the call with all others); whatever else may lie outside is cut off with min and max.
    """
    size = x.type.shape[axis]
    step = _bound(x, item.step)
    if step is None:
        step = 1
    if not isinstance(step, int) or step == 0:
        raise GraphValueError(located(f"indexing: {nodes.describe(x)}: the step {step} is no step"))
    start, stop = _bound(x, item.start), _bound(x, item.stop)
    if isinstance(size, int) and not isinstance(start, Dim) and not isinstance(stop, Dim):
        positions = range(*slice(start, stop, step).indices(size))
        count = len(positions)
        if count == 0:
            return 0, 0, 1
        return positions[0], count, step
    if step < 0:
        if start is not None or stop is not None:
            raise GraphValueError(
                located(
                    f"indexing: {nodes.describe(x)}: a negative step over the named size "
                    f"{size_text(size)} takes no bounds; slice first, then reverse with [::-1]"
                )
            )
        return size - 1, (size - step - 1) // -step, step
    first: Size = 0 if start is None else start
    from_back = isinstance(start, int) and start < 0
    if isinstance(start, int) and start < 0:
        first = size_max(size + start, 0)
    if stop is None and from_back and isinstance(start, int):
        length: Size = size_min(-start, size)
    else:
        length = _stop(stop, size) - first
    if isinstance(length, int) and length <= 0:
        return 0, 0, 1
    return first, (length + step - 1) // step, step


def _stop(stop: Size | None, size: Size) -> Size:
    if stop is None:
        return size
    if isinstance(stop, int) and stop < 0:
        return size + stop
    return stop if _at_most(stop, size) else size_min(stop, size)


def _at_most(a: Size, b: Size) -> bool:
    """Whether a <= b whatever the names stand for (sizes are not negative)."""
    difference = b - a
    if isinstance(difference, int):
        return difference >= 0
    if all(coefficient >= 0 for _, coefficient in difference.terms):
        return True
    if isinstance(a, Dim) and len(a.terms) == 1:
        (monomial, coefficient), *_ = a.terms
        if coefficient == 1 and len(monomial) == 1 and monomial[0][1] == 1:
            atom = monomial[0][0]
            if isinstance(atom, tuple) and atom[0] == "//" and isinstance(atom[2], int):
                return atom[2] >= 1 and _at_most(atom[1], b)
            if isinstance(atom, tuple) and atom[0] == "min":
                return _at_most(atom[1], b) or _at_most(atom[2], b)
    return False


# -- writing: graphc.at(x)[key] --------------------------------------------------------------------


def write(x: Node, key: Any, value: Any, mode: str) -> Node:
    """x with `value` set, or added, at [key]; repeated positions add up."""
    parts = read(x, key)
    lifted = nodes.cast(lift_all((Symbolic(x), value))[1], x.type.dtype)
    if parts.arrays:
        return _scatter(x, parts, lifted, mode)
    from graphc.dispatch.regions import add_region, set_region

    target = broadcast((lifted.type.shape, parts.kept))
    if target != parts.kept:
        raise GraphValueError(
            located(
                f"at(x)[...].{mode}: {nodes.describe(lifted)} does not broadcast to the selected "
                f"[{', '.join(map(size_text, parts.kept))}]"
            )
        )
    wide = nodes.broadcast_to(lifted, parts.kept)
    region = nodes.reshape(wide, parts.sizes)
    change = add_region if mode == "add" else set_region
    return change(x, region, parts.starts, parts.sizes, parts.steps)


def _scatter(x: Node, parts: Parts, value: Node, mode: str) -> Node:
    whole = parts.sizes == x.type.shape and all(step == 1 for step in parts.steps)
    if not whole or parts.kept != x.type.shape:
        return _scatter_flat(x, parts, value, mode)
    return nodes.scatter(x, value, parts.arrays, parts.axes, mode, _distinct(x, parts))


def _distinct(x: Node, parts: Parts) -> bool:
    """Whether the index arrays are constants, none of whose positions repeats."""
    params = [i.params for i in parts.arrays]
    sizes = [size for size, taken in zip(x.type.shape, parts.axes, strict=False) if taken]
    values = [p.value for p in params if isinstance(p, ConstantParams)]
    known = [size for size in sizes if isinstance(size, int)]
    if len(values) < len(params) or len(known) < len(sizes):
        return False
    positive = [value % size for value, size in zip(values, known, strict=True)]
    rows = np.stack([np.ravel(row) for row in np.broadcast_arrays(*positive)])
    return bool(np.unique(rows, axis=1).shape[1] == rows.shape[1])


def _scatter_flat(x: Node, parts: Parts, value: Node, mode: str) -> Node:
    """Slices and new axes beside index arrays: the same index, read off the elements' numbers."""
    shape = x.type.shape
    numbers = nodes.reshape(nodes.arange(x.type.size), shape)
    part = nodes.reshape(nodes.slice_(numbers, parts.starts, parts.sizes, parts.steps), parts.kept)
    places = nodes.gather(part, parts.arrays, parts.axes)
    flat = nodes.reshape(x, (x.type.size,))
    return nodes.reshape(nodes.scatter(flat, value, (places,), (True,), mode), shape)


# -- NumPy's functions -----------------------------------------------------------------------------


@implements(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Node:
    x, positions = lift(arr), lift(indices)
    place = one_axis(axis, x.type.ndim, f"np.take_along_axis: {nodes.describe(x)}")
    shape = positions.type.shape
    if len(shape) != x.type.ndim:
        raise GraphValueError(
            located(
                f"np.take_along_axis: {nodes.describe(x)} by {nodes.describe(positions)}: "
                "the numbers of axes differ"
            )
        )
    arrays = []
    for k, size in enumerate(x.type.shape):
        if k == place:
            arrays.append(positions)
            continue
        alone = tuple(size if j == k else 1 for j in range(len(shape)))
        arrays.append(nodes.reshape(nodes.arange(size), alone))
    return nodes.gather(x, arrays, (True,) * x.type.ndim)
