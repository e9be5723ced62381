"""NumPy functions that make arrays after the pattern of a value, or tell its shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc import nodes
from graphc.dispatch.options import dtype_of, one_axis, sizes_of
from graphc.dispatch.registry import implements
from graphc.ir import Node
from graphc.lifting import lift, lift_beside
from graphc.types import ArrayType, Shape, Size, array_type


def _pattern(x: Node, dtype: Any, shape: Any) -> ArrayType:
    name = x.type.dtype if dtype is None else dtype_of(dtype)
    return array_type(name, x.type.shape if shape is None else sizes_of(shape, "shape"))


@implements(np.zeros_like, np.empty_like)
def zeros_like(
    a: Any, dtype: Any = None, order: Any = None, subok: Any = None, shape: Any = None, **_: Any
) -> Node:
    return nodes.full(_pattern(lift(a), dtype, shape), 0)


@implements(np.ones_like)
def ones_like(
    a: Any, dtype: Any = None, order: Any = None, subok: Any = None, shape: Any = None, **_: Any
) -> Node:
    return nodes.full(_pattern(lift(a), dtype, shape), 1)


@implements(np.full_like)
def full_like(
    a: Any,
    fill_value: Any,
    dtype: Any = None,
    order: Any = None,
    subok: Any = None,
    shape: Any = None,
    **_: Any,
) -> Node:
    type = _pattern(lift(a), dtype, shape)
    value = nodes.cast(lift_beside(fill_value, type.dtype), type.dtype)
    return nodes.broadcast_to(value, type.shape)


@implements(np.copy)
def copy(a: Any, order: Any = None, subok: Any = None) -> Node:
    return lift(a)


@implements(np.shape)
def shape(a: Any) -> Shape:
    return lift(a).type.shape


@implements(np.ndim)
def ndim(a: Any) -> int:
    return lift(a).type.ndim


@implements(np.size)
def size(a: Any, axis: Any = None) -> Size:
    x = lift(a)
    return x.type.size if axis is None else x.type.shape[one_axis(axis, x.type.ndim, "np.size")]


@implements(np.result_type)
def result_type(*arrays_and_dtypes: Any) -> np.dtype[Any]:
    from graphc.lifting import Symbolic
    from graphc.types import DTYPES

    return np.result_type(
        *(DTYPES[x.node.type.dtype] if isinstance(x, Symbolic) else x for x in arrays_and_dtypes)
    )


@implements(np.iscomplexobj)
def iscomplexobj(x: Any) -> bool:
    return False


@implements(np.isrealobj)
def isrealobj(x: Any) -> bool:
    return True
