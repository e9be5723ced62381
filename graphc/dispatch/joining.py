"""NumPy functions that join arrays, split them, and pad them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from graphc import nodes
from graphc.dispatch.options import dtype_of, one_axis, part, refuse, sizes_of
from graphc.dispatch.registry import implements
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.lifting import Symbolic, lift
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
    operands = tuple(map(lift, given))  # each becomes an array: a number is no weak operand
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


def _axis_split(function: Any, axis: int, least: int) -> None:
    name = f"np.{function.__name__}"

    @implements(function)
    def split_along(ary: Any, indices_or_sections: Any) -> list[Node]:
        x = lift(ary)
        if x.type.ndim < least:
            raise GraphValueError(
                located(f"{name}: {nodes.describe(x)} has fewer than {least} axes")
            )
        return split(Symbolic(x), indices_or_sections, 0 if x.type.ndim == 1 else axis)


_axis_split(np.vsplit, 0, 2)
_axis_split(np.hsplit, 1, 1)
_axis_split(np.dsplit, 2, 3)


@implements(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Node]:
    """As np.split, but the first sections may be longer by one."""
    x = lift(ary)
    place = one_axis(axis, x.type.ndim, f"np.array_split: {nodes.describe(x)}")
    size = x.type.shape[place]
    if not isinstance(indices_or_sections, int | np.integer) or not isinstance(size, int):
        return split(Symbolic(x), indices_or_sections, place)
    sections = int(indices_or_sections)
    if sections < 1:
        raise GraphValueError(located(f"np.array_split: {sections} sections"))
    each, longer = divmod(size, sections)
    lengths = [each + (k < longer) for k in range(sections)]
    starts = [sum(lengths[:k]) for k in range(sections)]
    return [part(x, place, start, n) for start, n in zip(starts, lengths, strict=True)]


@implements(np.unstack)
def unstack(x: Any, /, *, axis: int = 0) -> tuple[Node, ...]:
    node = lift(x)
    place = one_axis(axis, node.type.ndim, f"np.unstack: {nodes.describe(node)}")
    shape = node.type.shape
    size = shape[place]
    if not isinstance(size, int):
        raise GraphValueError(
            located(f"np.unstack: {nodes.describe(node)}: axis {place} needs a known size")
        )
    rest = (*shape[:place], *shape[place + 1 :])
    return tuple(nodes.reshape(part(node, place, k, 1), rest) for k in range(size))


@implements(np.block)
def block(arrays: Any) -> Node:
    """Nested lists of blocks: the innermost lists join along the last axis."""
    depth, leaves, level = 0, [arrays], [arrays]
    while any(isinstance(item, list) for item in level):
        if not all(isinstance(item, list) and item for item in level):
            raise GraphValueError(located("np.block: lists nested to different depths, or empty"))
        level = [inner for item in level for inner in item]
        depth, leaves = depth + 1, level
    operands = tuple(map(lift, leaves))
    ndim = max(depth, *(x.type.ndim for x in operands)) if operands else depth
    grown = [nodes.reshape(x, (*(1,) * (ndim - x.type.ndim), *x.type.shape)) for x in operands]
    return _blocks(arrays, iter(grown), ndim - depth)


def _blocks(arrays: Any, leaves: Iterator[Node], axis: int) -> Node:
    if not isinstance(arrays, list):
        return next(leaves)
    return nodes.concatenate([_blocks(item, leaves, axis + 1) for item in arrays], axis)
