"""NumPy functions that are sums of products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from codegen.program import Affine
from graphc import nodes
from graphc.dispatch.einsum import einsum_nodes
from graphc.dispatch.options import axes_of, one_axis, part, refuse, typed
from graphc.dispatch.registry import implements
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.lifting import lift, lift_all
from graphc.ops.kinds import Contraction, Einstein
from graphc.types import Shape, same_size, size_text

OUTER = Contraction("outer")
TENSORDOT = Contraction("tensordot")
TRACE = Contraction("trace")


@implements(np.einsum)
def einsum(
    subscripts: Any, *operands: Any, out: Any = None, optimize: Any = None, **options: Any
) -> Node:
    """`optimize` is accepted and not needed: the path is chosen when the graph is compiled."""
    refuse("np.einsum", out=out, **options)
    if not isinstance(subscripts, str):
        raise GraphTypeError(located("np.einsum: write the subscripts as a string: 'ij,jk->ik'"))
    return einsum_nodes(subscripts, lift_all(operands))


@implements(np.dot)
def dot(a: Any, b: Any, out: Any = None) -> Node:
    refuse("np.dot", out=out)
    x, y = lift_all((a, b))
    if not x.type.shape or not y.type.shape:
        return nodes.multiply(x, y)
    if y.type.ndim <= 2:
        return nodes.matmul(x, y)
    return contract(x, y, (x.type.ndim - 1,), (y.type.ndim - 2,), "np.dot")


@implements(np.vdot)
def vdot(a: Any, b: Any) -> Node:
    x, y = (nodes.reshape(node, (node.type.size,)) for node in lift_all((a, b)))
    return nodes.matmul(x, y)


@implements(np.inner)
def inner(a: Any, b: Any) -> Node:
    x, y = lift_all((a, b))
    if not x.type.shape or not y.type.shape:
        return nodes.multiply(x, y)
    return contract(x, y, (x.type.ndim - 1,), (y.type.ndim - 1,), "np.inner")


@implements(np.outer)
def outer(a: Any, b: Any, out: Any = None) -> Node:
    refuse("np.outer", out=out)
    x, y = (nodes.reshape(node, (node.type.size,)) for node in lift_all((a, b)))
    return contract(x, y, (), (), "np.outer", OUTER)


@implements(np.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Node:
    x, y = lift_all((a, b))
    if isinstance(axes, int | np.integer):
        count = int(axes)
        left: Sequence[Any] = range(x.type.ndim - count, x.type.ndim)
        right: Sequence[Any] = range(count)
    else:
        first, second = axes
        left = first if isinstance(first, list | tuple) else (first,)
        right = second if isinstance(second, list | tuple) else (second,)
    axes_x = tuple(
        one_axis(axis, x.type.ndim, f"np.tensordot: {nodes.describe(x)}") for axis in left
    )
    axes_y = tuple(
        one_axis(axis, y.type.ndim, f"np.tensordot: {nodes.describe(y)}") for axis in right
    )
    if len(axes_x) != len(axes_y):
        raise GraphValueError(located(f"np.tensordot: {len(axes_x)} axes against {len(axes_y)}"))
    return contract(x, y, axes_x, axes_y, "np.tensordot")


def contract(
    x: Node,
    y: Node,
    axes_x: tuple[int, ...],
    axes_y: tuple[int, ...],
    function: str,
    op: Contraction = TENSORDOT,
) -> Node:
    """The sum over paired axes; the free axes of x, then those of y."""
    for i, j in zip(axes_x, axes_y, strict=True):
        size_x, size_y = x.type.shape[i], y.type.shape[j]
        if same_size(size_x, size_y) is False:
            raise GraphValueError(
                located(
                    f"{function}: {nodes.describe(x)} with {nodes.describe(y)}: "
                    f"sizes {size_text(size_x)} and {size_text(size_y)} differ"
                )
            )
    free_x = [k for k in range(x.type.ndim) if k not in axes_x]
    free_y = [k for k in range(y.type.ndim) if k not in axes_y]
    if not axes_y and not free_y and not free_x:
        return nodes.multiply(x, y)
    names_x = {k: f"i{k}" for k in free_x} | {k: f"k{n}" for n, k in enumerate(axes_x)}
    names_y = {k: f"j{k}" for k in free_y} | {k: f"k{n}" for n, k in enumerate(axes_y)}
    shape_x, shape_y = x.type.shape, y.type.shape
    extents = [(names_x[k], shape_x[k]) for k in free_x] + [
        (names_y[k], shape_y[k]) for k in free_y
    ]
    shape: Shape = tuple(size for _, size in extents)
    out = tuple(nodes.index(name) for name, _ in extents)
    extents += [(names_x[k], shape_x[k]) for k in axes_x]
    at_x = tuple(nodes.index(names_x[k]) for k in range(x.type.ndim))
    at_y = tuple(nodes.index(names_y[k]) for k in range(y.type.ndim))
    return nodes.contraction(op, Einstein(out, (at_x, at_y), tuple(extents), shape), x, y)


@implements(np.trace)
def trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None
) -> Node:
    refuse("np.trace", out=out)
    x = typed(lift(a), dtype)
    if x.type.dtype in ("bool", "i32"):
        x = nodes.cast(x, "i64")
    what = f"np.trace: {nodes.describe(x)}"
    first, second = one_axis(axis1, x.type.ndim, what), one_axis(axis2, x.type.ndim, what)
    if first == second:
        raise GraphValueError(located(f"{what}: axis1 and axis2 are the same"))
    shape = x.type.shape
    if offset or same_size(shape[first], shape[second]) is not True:
        diagonal = nodes.diagonal(x, offset, first, second)
        return typed(nodes.sum_(diagonal, (diagonal.type.ndim - 1,)), dtype)
    at: list[Affine] = [nodes.index(f"i{k}") for k in range(x.type.ndim)]
    at[first] = at[second] = nodes.index("k")
    free = [k for k in range(x.type.ndim) if k not in (first, second)]
    out_index = tuple(nodes.index(f"i{k}") for k in free)
    extents = (*((f"i{k}", shape[k]) for k in free), ("k", shape[first]))
    params = Einstein(out_index, (tuple(at),), extents, tuple(shape[k] for k in free))
    return typed(nodes.contraction(TRACE, params, x), dtype)


@implements(np.linalg.tensordot)
def linalg_tensordot(a: Any, b: Any, /, *, axes: Any = 2) -> Node:
    return tensordot(a, b, axes)


@implements(np.linalg.cross)
def linalg_cross(a: Any, b: Any, /, *, axis: int = -1) -> Node:
    return cross(a, b, axis=axis)


@implements(np.cross)
def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None
) -> Node:
    """The product of vectors of three components."""
    if axis is not None:
        axisa = axisb = axisc = axis
    parts = []
    for x, place in zip(lift_all((a, b)), (axisa, axisb), strict=True):
        k = one_axis(place, x.type.ndim, f"np.cross: {nodes.describe(x)}")
        if x.type.shape[k] != 3:
            raise GraphValueError(
                located(f"np.cross: {nodes.describe(x)}: axis {k} has not three components")
            )
        rest = tuple(size for j, size in enumerate(x.type.shape) if j != k)
        parts.append([nodes.reshape(part(x, k, j, 1), rest) for j in range(3)])
    p, q = parts
    components = []
    for i, j in ((1, 2), (2, 0), (0, 1)):
        left, right = nodes.multiply(p[i], q[j]), nodes.multiply(p[j], q[i])
        components.append(nodes.elementwise("subtract", left, right))
    ndim = components[0].type.ndim + 1
    place = one_axis(axisc, ndim, "np.cross")
    return nodes.concatenate([nodes.expand_dims(x, place) for x in components], place)


@implements(np.kron)
def kron(a: Any, b: Any) -> Node:
    """Every element of a times the whole of b."""
    x, y = lift_all((a, b))
    ndim = max(x.type.ndim, y.type.ndim)
    left: Shape = (*(1,) * (ndim - x.type.ndim), *x.type.shape)
    right: Shape = (*(1,) * (ndim - y.type.ndim), *y.type.shape)
    apart_x = tuple(size for outer in left for size in (outer, 1))
    apart_y = tuple(size for inner in right for size in (1, inner))
    blocks = nodes.multiply(nodes.reshape(x, apart_x), nodes.reshape(y, apart_y))
    return nodes.reshape(blocks, tuple(m * n for m, n in zip(left, right, strict=True)))


@implements(np.linalg.matmul)
def linalg_matmul(x1: Any, x2: Any) -> Node:
    return nodes.matmul(lift(x1), lift(x2))


# -- ufuncs of NumPy 2 -----------------------------------------------------------------------------


def vecdot(a: Any, b: Any) -> Node:
    """np.vecdot: the sum of products along the last axis."""
    x, y = lift_all((a, b))
    if not x.type.shape or not y.type.shape:
        raise GraphValueError(located("np.vecdot: a scalar operand; use *"))
    total = nodes.multiply(x, y)
    return nodes.sum_(total, axes_of(-1, total, "np.vecdot"))


def matvec(a: Any, b: Any) -> Node:
    """np.matvec: matrices times vectors."""
    x, y = lift_all((a, b))
    column = nodes.expand_dims(y, y.type.ndim)
    result = nodes.matmul(x, column)
    return nodes.reshape(result, result.type.shape[:-1])


def vecmat(a: Any, b: Any) -> Node:
    """np.vecmat: vectors times matrices."""
    x, y = lift_all((a, b))
    row = nodes.expand_dims(x, x.type.ndim - 1)
    result = nodes.matmul(row, y)
    shape = result.type.shape
    return nodes.reshape(result, (*shape[:-2], shape[-1]))
