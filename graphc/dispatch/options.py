"""What NumPy's functions share: axes, dtypes, and options that a graph cannot honour."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc import nodes
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.types import DTYPES, Size, dtype_name


def refuse(function: str, **options: Any) -> None:
    """GraphTypeError where an option was given: `refuse("np.sum", out=out)`.

    None and NumPy's own default stand for "not given".
    """
    for name, value in options.items():
        if not given(value):
            continue
        fix = {
            "out": "values do not change in place; use the result",
            "where": "use np.where on the operand or the result",
        }.get(name, "leave it out")
        raise GraphTypeError(located(f"{function}: `{name}=` is not supported; {fix}"))


def dtype_of(dtype: Any) -> str:
    """Our name of a dtype as users write it: "f32", np.float32, "float64", float, int, bool."""
    if isinstance(dtype, str) and dtype in DTYPES:
        return dtype
    try:
        return dtype_name(dtype)
    except GraphTypeError:
        raise
    except TypeError:
        raise GraphTypeError(
            located(f"{dtype!r} is no dtype; use one of {', '.join(DTYPES)}")
        ) from None


def one_axis(axis: Any, ndim: int, what: str) -> int:
    """The axis, non-negative.

    Raises GraphTypeError where it is no int, GraphValueError where it is out of range.
    """
    if isinstance(axis, bool) or not isinstance(axis, int | np.integer):
        raise GraphTypeError(located(f"{what}: the axis is an int, got {axis!r}"))
    if not -ndim <= axis < ndim:
        raise GraphValueError(located(f"{what}: axis {axis} is out of range for {ndim} axes"))
    return int(axis) % ndim


def axes_of(axis: Any, x: Node, function: str) -> tuple[int, ...]:
    """The axes of a reduction, non-negative and sorted; all of them for None."""
    ndim = len(x.type.shape)
    if axis is None:
        return tuple(range(ndim))
    given = axis if isinstance(axis, tuple | list) else (axis,)
    what = f"{function}: {nodes.describe(x)}"
    axes = sorted(one_axis(item, ndim, what) for item in given)
    if len(set(axes)) != len(axes):
        raise GraphValueError(located(f"{what}: an axis is given twice in {axis}"))
    return tuple(axes)


def flag(value: Any) -> bool:
    """keepdims and the like, NumPy's own default counting as False."""
    return False if value is np._NoValue else bool(value)


def given(value: Any) -> bool:
    """Whether an option was given: None and NumPy's own default stand for "not given"."""
    return value is not None and value is not np._NoValue


def typed(x: Node, dtype: Any) -> Node:
    """x as `dtype`, if one is given."""
    return nodes.cast(x, dtype_of(dtype)) if given(dtype) else x


def averaged(x: Node, dtype: Any, function: str) -> Node:
    """x in the dtype in which it is averaged: that which is given, else its own or f64.

    Raises GraphTypeError for an integer dtype, in which NumPy rounds every step.
    """
    if given(dtype) and dtype_of(dtype) in ("i32", "i64", "bool"):
        raise GraphTypeError(
            located(f"{function}: dtype={dtype_of(dtype)} holds no average; use f64, and cast")
        )
    return floating(typed(x, dtype))


def floating(x: Node) -> Node:
    """x as it is where it is floating, else as f64, in which NumPy computes with integers."""
    return x if x.type.floating else nodes.cast(x, "f64")


def flat(x: Node) -> Node:
    """The elements in C order, along one axis."""
    return nodes.reshape(x, (x.type.size,))


def along(x: Node, axis: Any, function: str) -> tuple[Node, int]:
    """(x, the axis): the elements in C order along axis 0 where `axis` is None."""
    if axis is None:
        return flat(x), 0
    return x, one_axis(axis, x.type.ndim, f"{function}: {nodes.describe(x)}")


def part(x: Node, axis: int, start: Size, length: Size, step: int = 1) -> Node:
    """`length` elements along one axis, from `start` on; all of the other axes."""
    ndim = x.type.ndim
    starts = tuple(start if k == axis else 0 for k in range(ndim))
    sizes = tuple(length if k == axis else size for k, size in enumerate(x.type.shape))
    return nodes.slice_(x, starts, sizes, tuple(step if k == axis else 1 for k in range(ndim)))


def flipped(x: Node, axis: int) -> Node:
    """x with one axis reversed."""
    length = x.type.shape[axis]
    return x if length == 0 else part(x, axis, length - 1, length, -1)


def count_of(x: Node, axes: tuple[int, ...]) -> Size:
    """How many elements a reduction over `axes` folds into one."""
    total: Size = 1
    for axis in axes:
        total = total * x.type.shape[axis]
    return total


def sizes_of(shape: Any, what: str) -> tuple[Size, ...]:
    """A shape as users write it: an int, a Dim, or a sequence of them."""
    from graphc.types import Dim

    items = shape if isinstance(shape, tuple | list) else (shape,)
    sizes: list[Size] = []
    for item in items:
        if isinstance(item, Dim):
            sizes.append(item)
            continue
        if isinstance(item, bool) or not isinstance(item, int | np.integer):
            raise GraphTypeError(
                located(f"{what}: a size is an int or a size of a value's shape, got {item!r}")
            )
        sizes.append(int(item))
    return tuple(sizes)
