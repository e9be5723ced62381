"""NumPy functions that compare arrays, or ask of what kind their elements are; and statistics."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc import nodes
from graphc.dispatch.options import dtype_of, floating, given, refuse, typed
from graphc.dispatch.reductions import mean_of
from graphc.dispatch.registry import implements
from graphc.errors import GraphValueError, located
from graphc.ir import Node
from graphc.lifting import lift, lift_all, lift_beside
from graphc.types import array_type, broadcast

# -- closeness -------------------------------------------------------------------------------------


@implements(np.isclose)
def isclose(
    a: Any, b: Any, rtol: Any = 1.0e-5, atol: Any = 1.0e-8, equal_nan: bool = False
) -> Node:
    """|a - b| <= atol + rtol |b| where b is finite, else a == b."""
    x, y = lift_all((a, b))
    y = floating(y)
    dtype = y.type.dtype
    finite = nodes.elementwise("isfinite", y)
    # No number is compared with inf - inf, and NumPy does not warn of it.
    number = nodes.elementwise("where", finite, y, nodes.constant(0, dtype))
    distance = nodes.elementwise("absolute", nodes.elementwise("subtract", x, number))
    allowed = nodes.add(
        lift_beside(atol, dtype),
        nodes.multiply(lift_beside(rtol, dtype), nodes.elementwise("absolute", number)),
    )
    near = nodes.elementwise("less_equal", distance, allowed)
    near = nodes.elementwise("logical_and", near, finite)
    near = nodes.elementwise("logical_or", near, nodes.elementwise("equal", x, y))
    if equal_nan and x.type.floating:
        both = [nodes.elementwise("isnan", node) for node in (x, y)]
        near = nodes.elementwise("logical_or", near, nodes.elementwise("logical_and", *both))
    return near


def _all(x: Node) -> Node:
    return nodes.reduction("all", x, tuple(range(x.type.ndim))) if x.type.ndim else x


@implements(np.allclose)
def allclose(
    a: Any, b: Any, rtol: Any = 1.0e-5, atol: Any = 1.0e-8, equal_nan: bool = False
) -> Node:
    """A bool value, not Python's True or False: the numbers come at the call."""
    return _all(isclose(a, b, rtol, atol, equal_nan))


@implements(np.array_equal)
def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Node:
    """A bool value; False where the shapes differ."""
    x, y = lift_all((a1, a2))
    if x.type.shape != y.type.shape:
        return nodes.constant(False)
    return _all(_same(x, y, equal_nan))


@implements(np.array_equiv)
def array_equiv(a1: Any, a2: Any) -> Node:
    """A bool value; False where the shapes do not broadcast."""
    x, y = lift_all((a1, a2))
    if broadcast((x.type.shape, y.type.shape)) is None:
        return nodes.constant(False)
    return _all(_same(x, y, False))


def _same(x: Node, y: Node, equal_nan: bool) -> Node:
    same = nodes.elementwise("equal", x, y)
    if equal_nan and x.type.floating and y.type.floating:
        both = [nodes.elementwise("isnan", node) for node in (x, y)]
        same = nodes.elementwise("logical_or", same, nodes.elementwise("logical_and", *both))
    return same


# -- kinds of numbers: all are real ----------------------------------------------------------------


@implements(np.isposinf)
def isposinf(x: Any, out: Any = None) -> Node:
    refuse("np.isposinf", out=out)
    node = lift(x)
    return nodes.elementwise(
        "equal", floating(node), nodes.constant(np.inf, floating(node).type.dtype)
    )


@implements(np.isneginf)
def isneginf(x: Any, out: Any = None) -> Node:
    refuse("np.isneginf", out=out)
    node = floating(lift(x))
    return nodes.elementwise("equal", node, nodes.constant(-np.inf, node.type.dtype))


@implements(np.iscomplex)
def iscomplex(x: Any) -> Node:
    return nodes.full(array_type("bool", lift(x).type.shape), False)


@implements(np.isreal)
def isreal(x: Any) -> Node:
    return nodes.full(array_type("bool", lift(x).type.shape), True)


@implements(np.imag)
def imag(val: Any) -> Node:
    return nodes.full(lift(val).type, 0)


@implements(np.real_if_close)
def real_if_close(a: Any, tol: Any = 100) -> Node:
    return lift(a)


@implements(np.angle)
def angle(z: Any, deg: bool = False) -> Node:
    """0 or pi, by the sign: a step, whose gradient is 0."""
    x = floating(lift(z))
    turned = nodes.elementwise("arctan2", nodes.full(x.type, 0), x)
    turned = nodes.elementwise("stop_gradient", turned)
    return nodes.elementwise("rad2deg", turned) if deg else turned


@implements(np.astype)
def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Node:
    refuse("np.astype", device=device)
    return nodes.cast(lift(x), dtype_of(dtype))


# -- statistics ------------------------------------------------------------------------------------


@implements(np.cov)
def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Node:
    refuse("np.cov", fweights=fweights, aweights=aweights)
    x = _variables(lift(m), rowvar)
    if y is not None:
        x = nodes.concatenate([x, _variables(lift(y), rowvar)], 0)
    x = typed(x, dtype) if given(dtype) else nodes.cast(x, "f64")
    freedom = ddof if given(ddof) else 0 if bias else 1
    centred = nodes.elementwise("subtract", x, mean_of(x, (1,), True))
    total = nodes.matmul(centred, nodes.transpose(centred, (1, 0)))
    count = nodes.size(x.type.shape[1], x.type.dtype)
    less = nodes.elementwise("subtract", count, nodes.constant(freedom, x.type.dtype))
    result = nodes.elementwise("divide", total, less)
    return nodes.reshape(result, tuple(size for size in result.type.shape if size != 1))


def _variables(x: Node, rowvar: bool) -> Node:
    """Variables along the first axis, observations along the second."""
    if x.type.ndim > 2:
        raise GraphValueError(located(f"np.cov: {nodes.describe(x)} has more than two axes"))
    if x.type.ndim < 2:
        return nodes.reshape(x, (1, x.type.size))
    return x if rowvar or x.type.shape[0] == 1 else nodes.transpose(x, (1, 0))


@implements(np.corrcoef)
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None) -> Node:
    c = cov(x, y, rowvar, dtype=dtype)
    if not c.type.ndim:
        return nodes.elementwise("divide", c, c)
    spread = nodes.elementwise("sqrt", nodes.diagonal(c, 0, 0, 1))
    for axis in (1, 0):
        c = nodes.elementwise("divide", c, nodes.expand_dims(spread, axis))
    one = nodes.constant(1, c.type.dtype)
    return nodes.elementwise("clip", c, nodes.elementwise("negative", one), one)
