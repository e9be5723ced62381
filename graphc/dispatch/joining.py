"""NumPy functions that join arrays, split them, and pad them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from graphc import nodes
from graphc.dispatch.options import dtype_of, one_axis, refuse, sizes_of
from graphc.dispatch.registry import implements
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.lifting import lift, lift_all
from graphc.types import Shape, Size, size_text


@implements(np.concatenate, np.concat)
def concatenate(
    arrays: Any, /, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: Any = None
) -> Node:
    refuse("np.concatenate", out=out)
    operands = _operands("np.concatenate", arrays, dtype)
    if axis is None:
        operands = tuple(nodes.reshape(x, (x.type.size,)) for x in operands)
        axis = 0
    for x in operands:
        if not x.type.shape:
            raise GraphValueError(
                located("np.concatenate: a scalar operand; use np.stack to join scalars")
            )
    place = one_axis(axis, operands[0].type.ndim, f"np.concatenate: {nodes.describe(operands[0])}")
    return nodes.concatenate(operands, place)


@implements(np.stack)
def stack(
    arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: Any = None
) -> Node:
    refuse("np.stack", out=out)
    operands = _operands("np.stack", arrays, dtype)
    first = operands[0].type.shape
    for x in operands[1:]:
        if x.type.shape != first:
            raise GraphValueError(
                located(
                    f"np.stack: {nodes.describe(operands[0])} and {nodes.describe(x)}: "
                    "shapes differ; use np.concatenate to join along an axis"
                )
            )
    place = one_axis(axis, len(first) + 1, f"np.stack: {nodes.describe(operands[0])}")
    return nodes.concatenate([nodes.expand_dims(x, place) for x in operands], place)


def _operands(function: str, arrays: Any, dtype: Any) -> tuple[Node, ...]:
    given = list(arrays) if isinstance(arrays, list | tuple) else [arrays]
    if not given:
        raise GraphValueError(located(f"{function}: no operands"))
    if not isinstance(arrays, list | tuple):
        raise GraphTypeError(located(f"{function}: the operands are a list, got one value"))
    operands = lift_all(given)
    if dtype is not None:
        operands = tuple(nodes.cast(x, dtype_of(dtype)) for x in operands)
    return operands


@implements(np.vstack)
def vstack(tup: Any, *, dtype: Any = None, casting: Any = None) -> Node:
    operands = _operands("np.vstack", tup, dtype)
    rows = [
        x if x.type.ndim >= 2 else nodes.reshape(x, (1, *(x.type.shape or (1,)))) for x in operands
    ]
    return nodes.concatenate(rows, 0)


@implements(np.hstack)
def hstack(tup: Any, *, dtype: Any = None, casting: Any = None) -> Node:
    operands = _operands("np.hstack", tup, dtype)
    parts = [x if x.type.shape else nodes.reshape(x, (1,)) for x in operands]
    return nodes.concatenate(parts, 0 if parts[0].type.ndim == 1 else 1)


@implements(np.column_stack)
def column_stack(tup: Any) -> Node:
    operands = _operands("np.column_stack", tup, None)
    columns = [x if x.type.ndim >= 2 else nodes.reshape(x, (x.type.size, 1)) for x in operands]
    return nodes.concatenate(columns, 1)


@implements(np.dstack)
def dstack(tup: Any) -> Node:
    operands = _operands("np.dstack", tup, None)
    deep = [x if x.type.ndim >= 3 else nodes.reshape(x, _deep(x.type.shape)) for x in operands]
    return nodes.concatenate(deep, 2)


def _deep(shape: Shape) -> Shape:
    return (*shape, 1) if len(shape) == 2 else (1, *(shape or (1,)), 1)


@implements(np.append)
def append(arr: Any, values: Any, axis: Any = None) -> Node:
    return concatenate([arr, values], axis)


@implements(np.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Node]:
    x = lift(ary)
    place = one_axis(axis, x.type.ndim, f"np.split: {nodes.describe(x)}")
    size = x.type.shape[place]
    if isinstance(indices_or_sections, int | np.integer):
        sections = int(indices_or_sections)
        if sections < 1 or (isinstance(size, int) and size % sections):
            raise GraphValueError(
                located(
                    f"np.split: {nodes.describe(x)} axis {place} does not split into {sections}"
                )
            )
        length: Size = size // sections
        bounds: list[Size] = [length * k for k in range(sections)] + [size]
        if not isinstance(size, int) and length * sections != size:
            raise GraphValueError(
                located(
                    f"np.split: whether {size_text(size)} divides by {sections} is not known yet"
                )
            )
    else:
        bounds = [0, *sizes_of(indices_or_sections, "np.split"), size]
    parts = []
    for start, stop in pairwise(bounds):
        starts = tuple(start if k == place else 0 for k in range(x.type.ndim))
        sizes = tuple(stop - start if k == place else s for k, s in enumerate(x.type.shape))
        if isinstance(stop - start, int) and stop - start < 0:
            raise GraphValueError(
                located(f"np.split: the bounds {indices_or_sections} do not increase")
            )
        parts.append(nodes.slice_(x, starts, sizes, (1,) * x.type.ndim))
    return parts


@implements(np.pad)
def pad(array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Node:
    value = options.pop("constant_values", 0)
    refuse("np.pad", **options)
    if mode != "constant" or not isinstance(value, int | float):
        raise GraphValueError(
            located("np.pad: only mode='constant' with one constant value is traced")
        )
    x = lift(array)
    widths = pad_width
    if isinstance(widths, int | np.integer):
        widths = [(widths, widths)] * x.type.ndim
    elif len(widths) == 2 and not isinstance(widths[0], list | tuple):
        widths = [tuple(widths)] * x.type.ndim
    elif len(widths) == 1:
        widths = list(widths) * x.type.ndim
    if len(widths) != x.type.ndim:
        raise GraphValueError(
            located(f"np.pad: {nodes.describe(x)} has {x.type.ndim} axes, got {len(widths)} widths")
        )
    return nodes.pad(x, [_width(width) for width in widths], value)


def _width(width: Any) -> tuple[Size, Size]:
    before, after = sizes_of(tuple(width), "np.pad")
    for side in (before, after):
        if isinstance(side, int) and side < 0:
            raise GraphValueError(located(f"np.pad: the width {side} is negative"))
    return before, after
