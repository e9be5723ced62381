"""NumPy functions that fold axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphc import nodes
from graphc.dispatch.indexing import index
from graphc.dispatch.options import axes_of, count_of, dtype_of, flag, one_axis, refuse
from graphc.dispatch.registry import implements
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.lifting import Symbolic, lift


@implements(np.sum)
def sum_(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = None,
    where: Any = None,
) -> Node:
    refuse("np.sum", out=out, initial=initial, where=where)
    x = _typed(lift(a), dtype)
    return nodes.sum_(x, axes_of(axis, x, "np.sum"), flag(keepdims))


@implements(np.mean)
def mean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    *,
    where: Any = None,
) -> Node:
    refuse("np.mean", out=out, where=where)
    x = _typed(lift(a), dtype)
    return mean_of(x, axes_of(axis, x, "np.mean"), flag(keepdims))


def mean_of(x: Node, axes: tuple[int, ...], keepdims: bool) -> Node:
    """The sum over the count; integers are averaged in f64."""
    x = _floating(x)
    total = nodes.sum_(x, axes, keepdims)
    return nodes.elementwise("divide", total, nodes.size(count_of(x, axes), x.type.dtype))


@implements(np.average)
def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False
) -> Node:
    refuse("np.average", returned=returned or None)
    x = lift(a)
    if weights is None:
        return mean_of(x, axes_of(axis, x, "np.average"), flag(keepdims))
    w = lift(weights)
    if w.type.shape != x.type.shape:
        raise GraphValueError(
            located(
                f"np.average: {nodes.describe(x)} with weights {nodes.describe(w)}: "
                "broadcast the weights to the operand's shape"
            )
        )
    axes = axes_of(axis, x, "np.average")
    total = nodes.sum_(nodes.multiply(x, w), axes, flag(keepdims))
    return nodes.elementwise("divide", total, nodes.sum_(w, axes, flag(keepdims)))


@implements(np.var)
def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    **options: Any,
) -> Node:
    refuse("np.var", out=out, **options)
    x = _typed(lift(a), dtype)
    return _var(x, axes_of(axis, x, "np.var"), ddof, flag(keepdims))


def _var(x: Node, axes: tuple[int, ...], ddof: Any, keepdims: bool) -> Node:
    x = _floating(x)
    centred = nodes.elementwise("subtract", x, mean_of(x, axes, True))
    total = nodes.sum_(nodes.elementwise("square", centred), axes, keepdims)
    count = nodes.size(count_of(x, axes) - int(ddof), x.type.dtype)
    return nodes.elementwise("divide", total, count)


@implements(np.std)
def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    **options: Any,
) -> Node:
    refuse("np.std", out=out, **options)
    x = _typed(lift(a), dtype)
    return root(_var(x, axes_of(axis, x, "np.std"), ddof, flag(keepdims)))


def root(square: Node) -> Node:
    """The square root of a sum of squares: its gradient at 0 is 0, the element of least norm."""
    dtype = square.type.dtype
    zero = nodes.elementwise("equal", square, nodes.constant(0, dtype))
    safe = nodes.elementwise("where", zero, nodes.constant(1, dtype), square)
    value = nodes.elementwise("sqrt", safe)
    return nodes.elementwise("where", zero, nodes.constant(0, dtype), value)


@implements(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: Any = False) -> Node:
    node = _floating(lift(x))
    axes = axes_of(axis, node, "np.linalg.norm")
    if len(axes) == 1 and ord in (1, np.inf):
        size = nodes.elementwise("absolute", node)
        if ord == 1:
            return nodes.sum_(size, axes, flag(keepdims))
        return nodes.reduction("max", size, axes, flag(keepdims))
    euclidean = ord is None or (ord == 2 and len(axes) == 1) or (ord == "fro" and len(axes) == 2)
    if not euclidean:
        raise GraphValueError(
            located(f"np.linalg.norm: ord={ord!r} is not traced; 2, and for vectors 1 and inf, are")
        )
    return root(nodes.sum_(nodes.elementwise("square", node), axes, flag(keepdims)))


def _fold(name: str, *functions: Callable[..., Any]) -> None:
    @implements(*functions)
    def fold(
        a: Any,
        axis: Any = None,
        out: Any = None,
        keepdims: Any = False,
        initial: Any = None,
        where: Any = None,
    ) -> Node:
        refuse(f"np.{name}", out=out, initial=initial, where=where)
        x = lift(a)
        return nodes.reduction(name, x, axes_of(axis, x, f"np.{name}"), flag(keepdims))


_fold("max", np.max, np.amax)
_fold("min", np.min, np.amin)


@implements(np.prod)
def prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = None,
    where: Any = None,
) -> Node:
    refuse("np.prod", out=out, initial=initial, where=where)
    x = _typed(lift(a), dtype)
    return nodes.reduction("prod", x, axes_of(axis, x, "np.prod"), flag(keepdims))


def _test(name: str, function: Callable[..., Any]) -> None:
    @implements(function)
    def test(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = None
    ) -> Node:
        refuse(f"np.{name}", out=out, where=where)
        x = nodes.cast(lift(a), "bool")
        axes = axes_of(axis, x, f"np.{name}")
        return nodes.reduction(name, x, axes, flag(keepdims)) if axes else x


_test("any", np.any)
_test("all", np.all)


def _position(name: str, function: Callable[..., Any]) -> None:
    @implements(function)
    def position(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Node:
        refuse(f"np.{name}", out=out)
        x = lift(a)
        if axis is not None:
            place = one_axis(axis, x.type.ndim, f"np.{name}: {nodes.describe(x)}")
            return nodes.reduction(name, x, (place,), flag(keepdims))
        flat = nodes.reduction(name, nodes.reshape(x, (x.type.size,)), (0,))
        return nodes.reshape(flat, (1,) * x.type.ndim) if flag(keepdims) else flat


_position("argmax", np.argmax)
_position("argmin", np.argmin)


@implements(np.count_nonzero)
def count_nonzero(a: Any, axis: Any = None, *, keepdims: Any = False) -> Node:
    x = lift(a)
    return nodes.reduction("count_nonzero", x, axes_of(axis, x, "np.count_nonzero"), flag(keepdims))


def _scan(name: str, function: Callable[..., Any]) -> None:
    @implements(function)
    def scan(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Node:
        refuse(f"np.{name}", out=out)
        x = _typed(lift(a), dtype)
        if axis is None:
            x, axis = nodes.reshape(x, (x.type.size,)), 0
        return nodes.reduction(name, x, (one_axis(axis, x.type.ndim, f"np.{name}"),))


_scan("cumsum", np.cumsum)
_scan("cumprod", np.cumprod)


@implements(np.nansum)
def nansum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = None,
    where: Any = None,
) -> Node:
    refuse("np.nansum", out=out, initial=initial, where=where)
    x = _typed(lift(a), dtype)
    missing = nodes.elementwise("isnan", _floating(x))
    shown = nodes.elementwise("where", missing, nodes.constant(0, x.type.dtype), x)
    return nodes.sum_(shown, axes_of(axis, x, "np.nansum"), flag(keepdims))


@implements(np.nanmean)
def nanmean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    **options: Any,
) -> Node:
    refuse("np.nanmean", **options)
    x = _floating(_typed(lift(a), dtype))
    total = nansum(Symbolic(x), axis, None, out, keepdims)
    there = nodes.elementwise("logical_not", nodes.elementwise("isnan", x))
    count = nodes.sum_(there, axes_of(axis, x, "np.nanmean"), flag(keepdims))
    return nodes.elementwise("divide", total, nodes.cast(count, x.type.dtype))


@implements(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Node:
    refuse("np.diff", prepend=prepend, append=append)
    x = lift(a)
    place = one_axis(axis, x.type.ndim, f"np.diff: {nodes.describe(x)}")
    lead = (slice(None),) * place
    for _ in range(n):
        later, earlier = index(x, (*lead, slice(1, None))), index(x, (*lead, slice(None, -1)))
        op = "not_equal" if x.type.dtype == "bool" else "subtract"
        x = nodes.elementwise(op, later, earlier)
    return x


@implements(np.ptp)
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Node:
    refuse("np.ptp", out=out)
    x = lift(a)
    axes = axes_of(axis, x, "np.ptp")
    high = nodes.reduction("max", x, axes, flag(keepdims))
    return nodes.elementwise("subtract", high, nodes.reduction("min", x, axes, flag(keepdims)))


def _typed(x: Node, dtype: Any) -> Node:
    return x if dtype is None or dtype is np._NoValue else nodes.cast(x, dtype_of(dtype))


def _floating(x: Node) -> Node:
    return x if x.type.floating else nodes.cast(x, "f64")


@implements(np.median, np.percentile, np.quantile)
def quantile(a: Any, *args: Any, **options: Any) -> Node:
    raise GraphTypeError(
        located("np.median, np.percentile and np.quantile are not traced by graphc: they sort")
    )
