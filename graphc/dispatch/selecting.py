"""NumPy functions that select elements, or make the positions to select by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import nodes
from graphc.dispatch.indexing import index
from graphc.dispatch.options import along, flat, refuse, sizes_of
from graphc.dispatch.registry import implements
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.lifting import Symbolic, lift, lift_all
from graphc.types import Size, broadcast


def taken(x: Node, axis: int, positions: Node) -> Node:
    """x at positions along one axis."""
    return nodes.gather(x, (positions,), tuple(k == axis for k in range(axis + 1)))


def bounded(positions: Node, size: Size, mode: Any, function: str) -> Node:
    """Positions beyond the ends, as the mode has it: wrapped around, clipped, or an error."""
    if mode in ("raise", None):
        return positions
    count = nodes.cast(nodes.size(size), positions.type.dtype)
    if mode == "wrap":
        return nodes.elementwise("remainder", positions, count)
    if mode != "clip":
        raise GraphValueError(located(f"{function}: mode={mode!r} is not raise, wrap or clip"))
    zero, one = (nodes.constant(k, positions.type.dtype) for k in (0, 1))
    last = nodes.elementwise("subtract", count, one)
    return nodes.elementwise("minimum", nodes.elementwise("maximum", positions, zero), last)


@implements(np.take)
def take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: Any = "raise") -> Node:
    refuse("np.take", out=out)
    x, place = along(lift(a), axis, "np.take")
    if mode == "raise":
        return index(x, (*([slice(None)] * place), indices))
    return taken(x, place, bounded(lift(indices), x.type.shape[place], mode, "np.take"))


@implements(np.choose)
def choose(a: Any, choices: Any, out: Any = None, mode: Any = "raise") -> Node:
    refuse("np.choose", out=out)
    which = lift(a)
    which = nodes.cast(which, "i64") if which.type.dtype == "bool" else which
    rows = list(choices) if isinstance(choices, list | tuple) else _rows(lift(choices))
    operands = lift_all(rows)
    shape = broadcast((which.type.shape, *(x.type.shape for x in operands)))
    if shape is None or not operands:
        shown = ", ".join(map(nodes.describe, (which, *operands)))
        raise GraphValueError(located(f"np.choose: {shown} do not broadcast"))
    wide = [nodes.expand_dims(nodes.broadcast_to(x, shape), 0) for x in operands]
    stacked = nodes.concatenate(wide, 0)
    which = nodes.broadcast_to(bounded(which, len(operands), mode, "np.choose"), shape)
    arrays = [which]
    for k, size in enumerate(shape):
        alone = tuple(size if j == k else 1 for j in range(len(shape)))
        arrays.append(nodes.reshape(nodes.arange(size), alone))
    return nodes.gather(stacked, arrays, (True,) * (len(shape) + 1))


def _rows(x: Node) -> list[Any]:
    count = x.type.shape[0] if x.type.shape else None
    if not isinstance(count, int):
        raise GraphValueError(
            located(f"np.choose: {nodes.describe(x)}: the number of choices is a known size")
        )
    return [Symbolic(index(x, k)) for k in range(count)]


def _known(condition: Any, function: str) -> np.ndarray[Any, Any]:
    if isinstance(condition, Symbolic):
        raise GraphTypeError(
            located(
                f"{function}: the condition {nodes.describe(condition.node)} is no constant: a "
                "shape cannot depend on values; use np.where(condition, a, b)"
            )
        )
    return np.asarray(condition, dtype=bool)


@implements(np.compress)
def compress(condition: Any, a: Any, axis: Any = None, out: Any = None) -> Node:
    """By a constant condition: the size of the result is known then."""
    refuse("np.compress", out=out)
    x, place = along(lift(a), axis, "np.compress")
    (positions,) = np.nonzero(_known(condition, "np.compress"))
    return index(x, (*([slice(None)] * place), positions))


@implements(np.extract)
def extract(condition: Any, arr: Any) -> Node:
    """By a constant condition: the size of the result is known then."""
    (positions,) = np.nonzero(np.ravel(_known(condition, "np.extract")))
    return index(flat(lift(arr)), positions)


@implements(np.delete)
def delete(arr: Any, obj: Any, axis: Any = None) -> Node:
    x, place = along(lift(arr), axis, "np.delete")
    left = np.delete(np.arange(_length(x, place, "np.delete")), _constant(obj, "np.delete"))
    return index(x, (*([slice(None)] * place), left))


@implements(np.insert)
def insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Node:
    """The values behind the array, and then all elements in their order."""
    x, place = along(lift(arr), axis, "np.insert")
    length = _length(x, place, "np.insert")
    where = _constant(obj, "np.insert")
    if isinstance(where, slice):
        where = np.arange(length)[where]
    where = np.asarray(where)
    if where.dtype == np.bool_:
        (where,) = np.nonzero(where)
    new = nodes.cast(lift_all((Symbolic(x), values))[1], x.type.dtype)
    new = nodes.reshape(new, (*(1,) * (x.type.ndim - new.type.ndim), *new.type.shape))
    if where.ndim == 0:
        # At one position, the values' first axis is the one along which they are put in.
        new = nodes.transpose(new, (*range(1, place + 1), 0, *range(place + 1, x.type.ndim)))
    count = new.type.shape[place] if where.size == 1 else where.size
    if not isinstance(count, int):
        raise GraphValueError(
            located(f"np.insert: the values {nodes.describe(new)} need a known size")
        )
    shape = tuple(count if k == place else size for k, size in enumerate(x.type.shape))
    both = nodes.concatenate([x, nodes.broadcast_to(new, shape)], place)
    at = where.item() if where.size == 1 else where
    order = np.insert(np.arange(length), at, length + np.arange(count))
    return taken(both, place, nodes.constant(order, "i64"))


def _length(x: Node, axis: int, function: str) -> int:
    size = x.type.shape[axis]
    if not isinstance(size, int):
        raise GraphValueError(
            located(f"{function}: {nodes.describe(x)}: axis {axis} needs a known size; slice it")
        )
    return size


def _constant(obj: Any, function: str) -> Any:
    if isinstance(obj, Symbolic):
        raise GraphTypeError(
            located(
                f"{function}: the positions {nodes.describe(obj.node)} are no constant: a shape "
                "cannot depend on values"
            )
        )
    return obj


# -- positions -------------------------------------------------------------------------------------


@implements(np.unravel_index)
def unravel_index(indices: Any, shape: Any, order: str = "C") -> tuple[Node, ...]:
    sizes = sizes_of(shape, "np.unravel_index")
    rest = lift(indices)
    found: list[Node] = []
    for size in sizes[::-1] if order == "C" else sizes:
        count = nodes.cast(nodes.size(size), rest.type.dtype)
        found.append(nodes.elementwise("remainder", rest, count))
        rest = nodes.elementwise("floor_divide", rest, count)
    return tuple(found[::-1] if order == "C" else found)


@implements(np.ravel_multi_index)
def ravel_multi_index(multi_index: Any, dims: Any, mode: Any = "raise", order: str = "C") -> Node:
    sizes = sizes_of(dims, "np.ravel_multi_index")
    modes = mode if isinstance(mode, tuple) else (mode,) * len(sizes)
    parts = [
        bounded(lift(part), size, how, "np.ravel_multi_index")
        for part, size, how in zip(multi_index, sizes, modes, strict=True)
    ]
    pairs: Sequence[tuple[Node, Size]] = list(zip(parts, sizes, strict=True))
    total: Node | None = None
    for part, size in pairs if order == "C" else pairs[::-1]:
        scaled = None if total is None else nodes.multiply(total, nodes.size(size))
        total = part if scaled is None else nodes.add(scaled, part)
    if total is None:
        raise GraphValueError(located("np.ravel_multi_index: no sizes"))
    return nodes.cast(total, "i64")


@implements(np.ix_)
def ix_(*args: Any) -> tuple[Node, ...]:
    found = []
    for k, arg in enumerate(args):
        x = lift(arg)
        if x.type.ndim != 1:
            raise GraphValueError(located(f"np.ix_: {nodes.describe(x)} is no vector"))
        found.append(
            nodes.reshape(x, tuple(x.type.size if j == k else 1 for j in range(len(args))))
        )
    return tuple(found)


@implements(np.meshgrid)
def meshgrid(
    *xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy"
) -> tuple[Node, ...]:
    if indexing not in ("xy", "ij"):
        raise GraphValueError(located(f"np.meshgrid: indexing={indexing!r} is neither xy nor ij"))
    vectors = [flat(lift(x)) for x in xi]
    places = list(range(len(vectors)))
    if indexing == "xy" and len(vectors) > 1:
        places[:2] = [1, 0]
    shape: list[Size] = [1] * len(vectors)
    for place, x in zip(places, vectors, strict=True):
        shape[place] = x.type.size
    grids = [
        nodes.reshape(x, tuple(x.type.size if k == place else 1 for k in range(len(shape))))
        for place, x in zip(places, vectors, strict=True)
    ]
    return tuple(grids if sparse else (nodes.broadcast_to(grid, tuple(shape)) for grid in grids))


def _plane(x: Node, function: str) -> tuple[int, int]:
    if x.type.ndim < 2:
        raise GraphValueError(located(f"{function}: {nodes.describe(x)} has fewer than two axes"))
    return _length(x, x.type.ndim - 2, function), _length(x, x.type.ndim - 1, function)


@implements(np.tril_indices_from)
def tril_indices_from(arr: Any, k: int = 0) -> tuple[Any, ...]:
    rows, columns = _plane(lift(arr), "np.tril_indices_from")
    return np.tril_indices(rows, k, columns)


@implements(np.triu_indices_from)
def triu_indices_from(arr: Any, k: int = 0) -> tuple[Any, ...]:
    rows, columns = _plane(lift(arr), "np.triu_indices_from")
    return np.triu_indices(rows, k, columns)


@implements(np.diag_indices_from)
def diag_indices_from(arr: Any) -> tuple[Any, ...]:
    x = lift(arr)
    sizes = {_length(x, axis, "np.diag_indices_from") for axis in range(x.type.ndim)}
    if x.type.ndim < 2 or len(sizes) != 1:
        raise GraphValueError(
            located(f"np.diag_indices_from: {nodes.describe(x)} is no square of two axes or more")
        )
    return np.diag_indices(sizes.pop(), x.type.ndim)
