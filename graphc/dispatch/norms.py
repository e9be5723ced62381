"""np.linalg.norm of every order, composed of sums, extremes, powers and singular values."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc import matrices, nodes
from graphc.dispatch.options import axes_of, flag, floating, one_axis
from graphc.dispatch.reductions import root
from graphc.dispatch.registry import implements
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.lifting import lift
from graphc.types import Shape


@implements(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: Any = False) -> Node:
    """NumPy's rules: of all elements, of vectors (one axis) or of matrices (two)."""
    node = floating(x if isinstance(x, Node) else lift(x))
    keep = flag(keepdims)
    if ord is None:
        axes = axes_of(axis, node, "np.linalg.norm")
        return _euclidean(node, axes, keep)
    ndim, what = node.type.ndim, f"np.linalg.norm: {nodes.describe(node)}"
    given = range(ndim) if axis is None else axis if isinstance(axis, tuple | list) else (axis,)
    axes = tuple(one_axis(k, ndim, what) for k in given)
    if len(axes) == 1:
        return _vector(node, ord, axes, keep)
    if len(axes) == 2 and axes[0] != axes[1]:
        return _matrix(node, ord, axes, keep)
    raise GraphValueError(located(f"{what}: ord={ord!r} needs one axis, or two different ones"))


@implements(np.linalg.vector_norm)
def vector_norm(x: Any, /, *, axis: Any = None, keepdims: Any = False, ord: Any = 2) -> Node:
    node = floating(lift(x))
    axes = axes_of(axis, node, "np.linalg.vector_norm")
    return _vector(node, ord, axes, flag(keepdims))


@implements(np.linalg.matrix_norm)
def matrix_norm(x: Any, /, *, keepdims: Any = False, ord: Any = "fro") -> Node:
    node = floating(lift(x))
    if node.type.ndim < 2:
        raise GraphValueError(
            located(f"np.linalg.matrix_norm: {nodes.describe(node)} is no matrix")
        )
    return _matrix(node, ord, (node.type.ndim - 2, node.type.ndim - 1), flag(keepdims))


def _euclidean(x: Node, axes: tuple[int, ...], keep: bool) -> Node:
    return root(nodes.sum_(nodes.elementwise("square", x), tuple(sorted(axes)), keep))


def _vector(x: Node, ord: Any, axes: tuple[int, ...], keep: bool) -> Node:
    if isinstance(ord, bool) or not isinstance(ord, int | float):
        raise GraphTypeError(located(f"np.linalg.norm: ord={ord!r} is no order of a vector"))
    if ord == 2:
        return _euclidean(x, axes, keep)
    if ord == 0:
        nonzero = nodes.elementwise("not_equal", x, nodes.constant(0, x.type.dtype))
        return nodes.sum_(nodes.cast(nonzero, x.type.dtype), axes, keep)
    size = nodes.elementwise("absolute", x)
    if ord == 1:
        return nodes.sum_(size, axes, keep)
    if np.isinf(ord):
        return nodes.reduction("max" if ord > 0 else "min", size, axes, keep)
    power = nodes.constant(ord, x.type.dtype)
    total = nodes.sum_(nodes.elementwise("power", size, power), axes, keep)
    return _to_power(total, 1.0 / ord)


def _to_power(total: Node, power: float) -> Node:
    """total ** power; where it is 0 the gradient is 0, the element of least norm."""
    dtype = total.type.dtype
    if power < 0:
        return nodes.elementwise("power", total, nodes.constant(power, dtype))
    zero = nodes.elementwise("equal", total, nodes.constant(0, dtype))
    safe = nodes.elementwise("where", zero, nodes.constant(1, dtype), total)
    value = nodes.elementwise("power", safe, nodes.constant(power, dtype))
    return nodes.elementwise("where", zero, nodes.constant(0, dtype), value)


def _matrix(x: Node, ord: Any, axes: tuple[int, ...], keep: bool) -> Node:
    if ord in ("fro", "f"):
        return _euclidean(x, axes, keep)
    if ord in (1, -1, np.inf, -np.inf):
        summed = axes[0] if abs(ord) == 1 else axes[1]
        folded = axes[1] if abs(ord) == 1 else axes[0]
        sums = nodes.sum_(nodes.elementwise("absolute", x), (summed,), True)
        found = nodes.reduction("max" if ord > 0 else "min", sums, (folded,), True)
        return _kept(x, found, axes, keep)
    if ord in (2, -2, "nuc"):
        rest = tuple(k for k in range(x.type.ndim) if k not in axes)
        values = matrices.results("svd", nodes.transpose(x, (*rest, *axes)))[1]
        last = (values.type.ndim - 1,)
        if ord == "nuc":
            found = nodes.sum_(values, last)
        else:
            found = nodes.reduction("max" if ord == 2 else "min", values, last)
        return _kept(x, found, axes, keep)
    raise GraphValueError(
        located(
            f"np.linalg.norm: ord={ord!r} is no order of a matrix; "
            "'fro', 'nuc', 1, -1, 2, -2, inf and -inf are"
        )
    )


def _kept(x: Node, found: Node, axes: tuple[int, ...], keep: bool) -> Node:
    """The norm with the matrix's axes of size 1, or without them."""
    shape: Shape = x.type.shape
    if keep:
        return nodes.reshape(found, tuple(1 if k in axes else s for k, s in enumerate(shape)))
    return nodes.reshape(found, tuple(s for k, s in enumerate(shape) if k not in axes))
