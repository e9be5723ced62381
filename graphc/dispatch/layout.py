"""NumPy functions that put the same elements elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc import nodes
from graphc.dispatch.options import along, one_axis, sizes_of
from graphc.dispatch.registry import implements
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.lifting import Symbolic, lift
from graphc.types import Shape, Size, broadcast, product, shape_text, size_text


@implements(np.reshape)
def reshape(
    a: Any, /, shape: Any = None, order: Any = "C", *, newshape: Any = None, copy: Any = None
) -> Node:
    x = lift(a)
    target = sizes_of(shape if shape is not None else newshape, "np.reshape")
    target = without_minus_one(x, target)
    if _first_axis_first("np.reshape", order):
        return _reversed(nodes.reshape(_reversed(x), target[::-1]))
    return nodes.reshape(x, target)


def _reversed(x: Node) -> Node:
    """x with its axes in reverse order: C order is the other's Fortran order."""
    return nodes.transpose(x, tuple(reversed(range(x.type.ndim))))


def without_minus_one(x: Node, shape: Shape) -> Shape:
    """The shape with -1 replaced by the size that is left.

    Raises GraphValueError where there are two, or what is left is no whole number.
    """
    unknown = [k for k, size in enumerate(shape) if size == -1]
    if not unknown:
        return shape
    known = product(tuple(size for size in shape if size != -1))
    what = f"reshape: {nodes.describe(x)} to {shape_text(shape)}"
    if len(unknown) > 1:
        raise GraphValueError(located(f"{what}: only one size may be -1"))
    total = x.type.size
    if known == 0:
        raise GraphValueError(located(f"{what}: -1 is any size beside a size 0; write it out"))
    if isinstance(total, int) and isinstance(known, int) and total % known:
        raise GraphValueError(located(f"{what}: {total} elements do not divide by {known}"))
    left: Size = total // known
    return tuple(left if size == -1 else size for size in shape)


def _first_axis_first(function: str, order: Any) -> bool:
    """Whether the order is Fortran's; a value has no memory layout, so "A" and "K" mean C."""
    if order not in ("C", "F", "A", "K", None):
        raise GraphValueError(located(f"{function}: order={order!r} is not C, F, A or K"))
    return bool(order == "F")


@implements(np.ravel)
def ravel(a: Any, order: Any = "C") -> Node:
    x = lift(a)
    if _first_axis_first("np.ravel", order):
        x = _reversed(x)
    return nodes.reshape(x, (x.type.size,))


@implements(np.transpose, np.permute_dims)
def transpose(a: Any, axes: Any = None) -> Node:
    x = lift(a)
    ndim = x.type.ndim
    if axes is None:
        return nodes.transpose(x, tuple(reversed(range(ndim))))
    what = f"np.transpose: {nodes.describe(x)}"
    order = tuple(one_axis(axis, ndim, what) for axis in axes)
    if sorted(order) != list(range(ndim)):
        raise GraphValueError(
            located(f"{what}: axes {tuple(axes)} are no order of its {ndim} axes")
        )
    return nodes.transpose(x, order)


@implements(np.matrix_transpose, np.linalg.matrix_transpose)
def matrix_transpose(x: Any, /) -> Node:
    return swapaxes(x, -1, -2)


@implements(np.swapaxes)
def swapaxes(a: Any, axis1: int, axis2: int) -> Node:
    x = lift(a)
    what = f"np.swapaxes: {nodes.describe(x)}"
    first, second = one_axis(axis1, x.type.ndim, what), one_axis(axis2, x.type.ndim, what)
    order = list(range(x.type.ndim))
    order[first], order[second] = order[second], order[first]
    return nodes.transpose(x, tuple(order))


@implements(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Node:
    x = lift(a)
    what = f"np.moveaxis: {nodes.describe(x)}"
    ndim = x.type.ndim
    sources = [one_axis(axis, ndim, what) for axis in _listed(source)]
    targets = [one_axis(axis, ndim, what) for axis in _listed(destination)]
    if len(sources) != len(targets) or len(set(sources)) != len(sources):
        raise GraphValueError(
            located(f"{what}: source {source} and destination {destination} differ")
        )
    order = [axis for axis in range(ndim) if axis not in sources]
    for target, axis in sorted(zip(targets, sources, strict=True)):
        order.insert(target, axis)
    return nodes.transpose(x, tuple(order))


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else (value,)


@implements(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Node:
    x = lift(a)
    given = _listed(axis)
    ndim = x.type.ndim + len(given)
    places = {one_axis(item, ndim, f"np.expand_dims: {nodes.describe(x)}") for item in given}
    if len(places) != len(given):
        raise GraphValueError(located(f"np.expand_dims: an axis is given twice in {axis}"))
    sizes = iter(x.type.shape)
    return nodes.reshape(x, tuple(1 if k in places else next(sizes) for k in range(ndim)))


@implements(np.squeeze)
def squeeze(a: Any, axis: Any = None) -> Node:
    x = lift(a)
    shape = x.type.shape
    if axis is None:
        places = {k for k, size in enumerate(shape) if size == 1}
    else:
        what = f"np.squeeze: {nodes.describe(x)}"
        places = {one_axis(item, x.type.ndim, what) for item in _listed(axis)}
        for k in sorted(places):
            if shape[k] != 1:
                raise GraphValueError(
                    located(f"{what}: axis {k} has size {size_text(shape[k])}, not 1")
                )
    return nodes.reshape(x, tuple(size for k, size in enumerate(shape) if k not in places))


@implements(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Node:
    return nodes.broadcast_to(lift(array), sizes_of(shape, "np.broadcast_to"))


@implements(np.broadcast_arrays)
def broadcast_arrays(*args: Any, subok: bool = False) -> list[Node]:
    operands = [lift(arg) for arg in args]
    shape = broadcast(tuple(x.type.shape for x in operands))
    if shape is None:
        shown = " and ".join(map(nodes.describe, operands))
        raise GraphValueError(located(f"np.broadcast_arrays: {shown} do not broadcast"))
    return [nodes.broadcast_to(x, shape) for x in operands]


@implements(np.atleast_1d)
def atleast_1d(*arys: Any) -> Any:
    return _at_least(arys, lambda shape: shape or (1,))


@implements(np.atleast_2d)
def atleast_2d(*arys: Any) -> Any:
    return _at_least(arys, lambda shape: (1,) * (2 - len(shape)) + shape)


@implements(np.atleast_3d)
def atleast_3d(*arys: Any) -> Any:
    return _at_least(
        arys,
        lambda shape: (
            (1, *(shape or (1,)), 1) if len(shape) < 2 else shape + (1,) * (3 - len(shape))
        ),
    )


def _at_least(arrays: Sequence[Any], grow: Any) -> Any:
    made = tuple(nodes.reshape(x, grow(x.type.shape)) for x in map(lift, arrays))
    return made[0] if len(made) == 1 else made


# -- reordering ------------------------------------------------------------------------------------


@implements(np.flip)
def flip(m: Any, axis: Any = None) -> Node:
    x = lift(m)
    given = range(x.type.ndim) if axis is None else _listed(axis)
    places = {one_axis(item, x.type.ndim, f"np.flip: {nodes.describe(x)}") for item in given}
    shape = x.type.shape
    return nodes.slice_(
        x,
        tuple(size - 1 if k in places else 0 for k, size in enumerate(shape)),
        shape,
        tuple(-1 if k in places else 1 for k in range(x.type.ndim)),
    )


@implements(np.flipud)
def flipud(m: Any) -> Node:
    return flip(m, 0)


@implements(np.fliplr)
def fliplr(m: Any) -> Node:
    return flip(m, 1)


@implements(np.rot90)
def rot90(m: Any, k: int = 1, axes: Any = (0, 1)) -> Node:
    x = lift(m)
    what = f"np.rot90: {nodes.describe(x)}"
    if len(axes) != 2:
        raise GraphValueError(located(f"{what}: it turns two axes, got {axes}"))
    first, second = (one_axis(axis, x.type.ndim, what) for axis in axes)
    if first == second:
        raise GraphValueError(located(f"{what}: the axes {axes} are the same"))
    turns = int(k) % 4
    if turns in (1, 2):
        x = flip(Symbolic(x), second)
    if turns == 2:
        return flip(Symbolic(x), first)
    if turns:
        x = swapaxes(Symbolic(x), first, second)
    return flip(Symbolic(x), second) if turns == 3 else x


@implements(np.rollaxis)
def rollaxis(a: Any, axis: int, start: int = 0) -> Node:
    x = lift(a)
    what = f"np.rollaxis: {nodes.describe(x)}"
    place = one_axis(axis, x.type.ndim, what)
    target = start + x.type.ndim if start < 0 else start
    if not 0 <= target <= x.type.ndim:
        raise GraphValueError(located(f"{what}: start={start} is out of range"))
    return moveaxis(Symbolic(x), place, target - 1 if place < target else target)


@implements(np.resize)
def resize(a: Any, new_shape: Any) -> Node:
    """The elements again and again in C order, until the new shape is full."""
    x = lift(a)
    flat = nodes.reshape(x, (x.type.size,))
    shape = sizes_of(new_shape, "np.resize")
    count, size = product(shape), x.type.size
    if not isinstance(count, int) or not isinstance(size, int) or not size:
        raise GraphValueError(
            located(
                f"np.resize: {nodes.describe(x)} to {shape_text(shape)}: known sizes are needed"
            )
        )
    again = nodes.constant(np.arange(count) % size, "i64")
    return nodes.reshape(nodes.gather(flat, (again,), (True,)), shape)


@implements(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Node:
    x = lift(a)
    shifts = [_whole(item, "np.roll: the shift") for item in _listed(shift)]
    if axis is None:
        flat = nodes.reshape(x, (x.type.size,))
        return nodes.reshape(_rolled(flat, sum(shifts), 0), x.type.shape)
    axes = [one_axis(item, x.type.ndim, f"np.roll: {nodes.describe(x)}") for item in _listed(axis)]
    count = max(len(shifts), len(axes))
    if len(shifts) not in (1, count) or len(axes) not in (1, count):
        raise GraphValueError(located(f"np.roll: {len(shifts)} shifts for {len(axes)} axes"))
    for k in range(count):
        x = _rolled(x, shifts[k % len(shifts)], axes[k % len(axes)])
    return x


def _whole(value: Any, what: str) -> int:
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise GraphTypeError(located(f"{what} is an int, got {value!r}"))
    return int(value)


def _rolled(x: Node, shift: int, axis: int) -> Node:
    size = x.type.shape[axis]
    if isinstance(size, int):
        shift = shift % size if size else 0
    if shift == 0:
        return x
    cut = size - shift if shift > 0 else -shift
    return nodes.concatenate([_part(x, axis, cut, size - cut), _part(x, axis, 0, cut)], axis)


def _part(x: Node, axis: int, start: Size, length: Size) -> Node:
    starts = tuple(start if k == axis else 0 for k in range(x.type.ndim))
    sizes = tuple(length if k == axis else size for k, size in enumerate(x.type.shape))
    return nodes.slice_(x, starts, sizes, (1,) * x.type.ndim)


@implements(np.repeat)
def repeat(a: Any, repeats: Any, axis: Any = None) -> Node:
    x = lift(a)
    if isinstance(repeats, Symbolic):
        raise GraphTypeError(
            located("np.repeat: repeats is a constant; a shape cannot depend on values")
        )
    x, place = along(x, axis, "np.repeat")
    shape = x.type.shape
    if np.size(repeats) != 1:
        size = shape[place]
        if np.shape(repeats) != (size,):
            raise GraphValueError(
                located(f"np.repeat: {np.size(repeats)} repeats for {size_text(size)} elements")
            )
        again = np.repeat(np.arange(np.size(repeats)), repeats)
        chosen = tuple(k == place for k in range(place + 1))
        return nodes.gather(x, (nodes.constant(again, "i64"),), chosen)
    count = _whole(np.ravel(repeats)[0], "np.repeat: repeats")
    wide = nodes.broadcast_to(
        nodes.expand_dims(x, place + 1), (*shape[: place + 1], count, *shape[place + 1 :])
    )
    return nodes.reshape(wide, (*shape[:place], shape[place] * count, *shape[place + 1 :]))


@implements(np.tile)
def tile(A: Any, reps: Any) -> Node:
    x = lift(A)
    counts = sizes_of(reps, "np.tile")
    counts = (1,) * (x.type.ndim - len(counts)) + counts
    shape = (1,) * (len(counts) - x.type.ndim) + x.type.shape
    apart: list[Size] = []
    wide: list[Size] = []
    for count, size in zip(counts, shape, strict=True):
        apart += [1, size]
        wide += [count, size]
    repeated = nodes.broadcast_to(nodes.reshape(x, tuple(apart)), tuple(wide))
    return nodes.reshape(
        repeated, tuple(count * size for count, size in zip(counts, shape, strict=True))
    )


@implements(np.diagonal, np.linalg.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Node:
    x = lift(a)
    what = f"np.diagonal: {nodes.describe(x)}"
    if x.type.ndim < 2:
        raise GraphValueError(located(f"{what}: a diagonal needs two axes"))
    first, second = one_axis(axis1, x.type.ndim, what), one_axis(axis2, x.type.ndim, what)
    if first == second:
        raise GraphValueError(located(f"{what}: axis1 and axis2 are the same"))
    return nodes.diagonal(x, int(offset), first, second)


@implements(np.diag)
def diag(v: Any, k: int = 0) -> Node:
    x = lift(v)
    if x.type.ndim == 2:
        return nodes.diagonal(x, int(k), 0, 1)
    if x.type.ndim != 1:
        raise GraphValueError(
            located(f"np.diag: {nodes.describe(x)} is neither a vector nor a matrix")
        )
    before, after = max(-int(k), 0), max(int(k), 0)
    return nodes.pad(_diagonal_matrix(x), [(before, after), (after, before)])


@implements(np.diagflat)
def diagflat(v: Any, k: int = 0) -> Node:
    x = lift(v)
    return diag(Symbolic(nodes.reshape(x, (x.type.size,))), k)


def _diagonal_matrix(x: Node) -> Node:
    """The matrix with x on its diagonal: y[i, i] = x[i], zero where no index reaches."""
    from graphc.ops.kinds import Contraction, Einstein

    size = x.type.shape[0]
    at = nodes.index("i")
    params = Einstein((at, at), ((at,),), (("i", size),), (size, size))
    return nodes.contraction(Contraction("diag"), params, x)


@implements(np.tril)
def tril(m: Any, k: int = 0) -> Node:
    return _triangle("np.tril", lift(m), np.tri, int(k), lower=True)


@implements(np.triu)
def triu(m: Any, k: int = 0) -> Node:
    return _triangle("np.triu", lift(m), np.tri, int(k) - 1, lower=False)


def _triangle(function: str, x: Node, mask_of: Any, k: int, lower: bool) -> Node:
    if not x.type.ndim:
        raise GraphValueError(located(f"{function}: {nodes.describe(x)} is a scalar"))
    rows, columns = (x.type.shape * 2)[-2:]  # a vector fills the rows of a square, as in NumPy
    if isinstance(rows, int) and isinstance(columns, int):
        mask = mask_of(rows, columns, k, dtype=bool)
        chosen = nodes.constant(mask if lower else ~mask)
    else:
        row = nodes.add(nodes.reshape(nodes.arange(rows), (rows, 1)), nodes.constant(k, "i64"))
        op = "greater_equal" if lower else "less"
        chosen = nodes.elementwise(op, row, nodes.arange(columns))
    return nodes.elementwise("where", chosen, x, nodes.constant(0, x.type.dtype))
