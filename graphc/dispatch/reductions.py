"""NumPy functions that fold axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphc import nodes
from graphc.dispatch.options import (
    along,
    averaged,
    axes_of,
    count_of,
    flag,
    floating,
    given,
    one_axis,
    refuse,
    typed,
)
from graphc.dispatch.registry import implements
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.lifting import Symbolic, lift, lift_beside
from graphc.types import broadcast


def mask_of(x: Node, where: Any, function: str) -> Node | None:
    """Which elements take part: the option `where=`, of x's shape; None for all of them."""
    if not given(where) or where is True:
        return None
    mask = lift(where)
    if mask.type.dtype != "bool":
        raise GraphTypeError(located(f"{function}: where={nodes.describe(mask)} is not bool"))
    if broadcast((mask.type.shape, x.type.shape)) != x.type.shape:
        raise GraphValueError(
            located(
                f"{function}: where={nodes.describe(mask)} does not broadcast to "
                f"{nodes.describe(x)}"
            )
        )
    return nodes.broadcast_to(mask, x.type.shape)


def masked(x: Node, mask: Node | None, otherwise: Any) -> Node:
    """x, with another value where it takes no part: its gradient there is 0."""
    if mask is None:
        return x
    other = nodes.cast(lift_beside(otherwise, x.type.dtype), x.type.dtype)
    return nodes.elementwise("where", mask, x, other)


def combined(op: str, initial: Any, result: Node) -> Node:
    """The fold's result, started from `initial=`."""
    if not given(initial):
        return result
    start = nodes.cast(lift_beside(initial, result.type.dtype), result.type.dtype)
    return nodes.elementwise(op, start, result)


# -- sums and products -----------------------------------------------------------------------------


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
    refuse("np.sum", out=out)
    x = typed(lift(a), dtype)
    x = masked(x, mask_of(x, where, "np.sum"), 0)
    total = nodes.sum_(x, axes_of(axis, x, "np.sum"), flag(keepdims))
    return combined("add", initial, typed(total, dtype))


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
    refuse("np.prod", out=out)
    x = typed(lift(a), dtype)
    x = masked(x, mask_of(x, where, "np.prod"), 1)
    result = nodes.reduction("prod", x, axes_of(axis, x, "np.prod"), flag(keepdims))
    return combined("multiply", initial, typed(result, dtype))


def _scan(name: str, function: Callable[..., Any]) -> None:
    @implements(function)
    def scan(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Node:
        refuse(f"np.{name}", out=out)
        x, place = along(typed(lift(a), dtype), axis, f"np.{name}")
        return typed(nodes.reduction(name, x, (place,)), dtype)


_scan("cumsum", np.cumsum)
_scan("cumprod", np.cumprod)


def _cumulative(name: str, identity: int, function: Callable[..., Any]) -> None:
    scanned = name.replace("cumulative_", "cum")

    @implements(function)
    def cumulative(
        x: Any,
        /,
        *,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        include_initial: bool = False,
    ) -> Node:
        refuse(f"np.{name}", out=out)
        node = typed(lift(x), dtype)
        if axis is None and node.type.ndim != 1:
            raise GraphValueError(located(f"np.{name}: {nodes.describe(node)}: pass axis="))
        place = one_axis(axis or 0, node.type.ndim, f"np.{name}: {nodes.describe(node)}")
        result = typed(nodes.reduction(scanned, node, (place,)), dtype)
        if not include_initial:
            return result
        widths = [(int(k == place), 0) for k in range(node.type.ndim)]
        return nodes.pad(result, widths, identity)


_cumulative("cumulative_sum", 0, np.cumulative_sum)
_cumulative("cumulative_prod", 1, np.cumulative_prod)


# -- moments ---------------------------------------------------------------------------------------


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
    refuse("np.mean", out=out)
    x = averaged(lift(a), dtype, "np.mean")
    axes = axes_of(axis, x, "np.mean")
    return mean_of(x, axes, flag(keepdims), mask_of(x, where, "np.mean"))


def mean_of(x: Node, axes: tuple[int, ...], keepdims: bool, mask: Node | None = None) -> Node:
    """The sum over the count; integers are averaged in f64."""
    x = floating(x)
    total = nodes.sum_(masked(x, mask, 0), axes, keepdims)
    return nodes.elementwise("divide", total, counted(x, axes, keepdims, mask))


def counted(x: Node, axes: tuple[int, ...], keepdims: bool, mask: Node | None) -> Node:
    """How many elements a fold takes, as a number of x's dtype."""
    if mask is None:
        return nodes.size(count_of(x, axes), x.type.dtype)
    return nodes.cast(nodes.sum_(mask, axes, keepdims), x.type.dtype)


@implements(np.average)
def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *, keepdims: Any = False
) -> Any:
    x = lift(a)
    axes = axes_of(axis, x, "np.average")
    if weights is None:
        result = mean_of(x, axes, flag(keepdims))
        total = counted(floating(x), axes, flag(keepdims), None)
    else:
        w = _weights(x, lift(weights), axes)
        product = nodes.multiply(floating(x), w)
        total = nodes.sum_(nodes.cast(w, product.type.dtype), axes, flag(keepdims))
        result = nodes.elementwise("divide", nodes.sum_(product, axes, flag(keepdims)), total)
    if not returned:
        return result
    return result, nodes.broadcast_to(total, result.type.shape)


def _weights(x: Node, w: Node, axes: tuple[int, ...]) -> Node:
    """The weights in x's shape: of that shape, or of that of the axes averaged over."""
    shape = x.type.shape
    if w.type.shape == shape:
        return w
    if w.type.shape != tuple(shape[axis] for axis in axes) or len(axes) == len(shape):
        raise GraphValueError(
            located(
                f"np.average: {nodes.describe(x)} with weights {nodes.describe(w)}: "
                "broadcast the weights to the operand's shape"
            )
        )
    alone = tuple(size if axis in axes else 1 for axis, size in enumerate(shape))
    return nodes.broadcast_to(nodes.reshape(w, alone), shape)


@implements(np.var)
def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: Any = None,
) -> Node:
    refuse("np.var", out=out)
    x = averaged(lift(a), dtype, "np.var")
    mask = mask_of(x, where, "np.var")
    ddof = correction if given(correction) else ddof
    return variance(x, axes_of(axis, x, "np.var"), ddof, flag(keepdims), mask, mean)


@implements(np.std)
def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: Any = 0,
    keepdims: Any = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: Any = None,
) -> Node:
    refuse("np.std", out=out)
    x = averaged(lift(a), dtype, "np.std")
    mask = mask_of(x, where, "np.std")
    ddof = correction if given(correction) else ddof
    return root(variance(x, axes_of(axis, x, "np.std"), ddof, flag(keepdims), mask, mean))


def variance(
    x: Node,
    axes: tuple[int, ...],
    ddof: Any,
    keepdims: bool,
    mask: Node | None,
    mean: Any = None,
) -> Node:
    """The sum of squared distances from the mean, over the count less `ddof`.

    mean: the mean where it is known, with the folded axes as axes of size 1.
    """
    centre = lift_beside(mean, x.type.dtype) if given(mean) else mean_of(x, axes, True, mask)
    squares = nodes.elementwise("square", nodes.elementwise("subtract", x, centre))
    total = nodes.sum_(masked(squares, mask, 0), axes, keepdims)
    count = counted(x, axes, keepdims, mask)
    less = (
        nodes.elementwise("subtract", count, nodes.constant(ddof, x.type.dtype)) if ddof else count
    )
    return nodes.elementwise("divide", total, less)


def root(square: Node) -> Node:
    """The square root of a sum of squares: its gradient at 0 is 0, the element of least norm.

    At 0 the root is taken one further on, where it has a slope, which the squares' own, 0, takes
    to 0. A `where` would do it, too, but then every value before it would be guarded by one.
    """
    dtype = square.type.dtype
    aside = nodes.cast(nodes.elementwise("equal", square, nodes.constant(0, dtype)), dtype)
    value = nodes.elementwise("sqrt", nodes.add(square, aside))
    return nodes.elementwise("subtract", value, aside)


# -- extremes --------------------------------------------------------------------------------------

_EXTREMES = {"max": "maximum", "min": "minimum"}


def _extreme(name: str, *functions: Callable[..., Any]) -> None:
    @implements(*functions)
    def fold(
        a: Any,
        axis: Any = None,
        out: Any = None,
        keepdims: Any = False,
        initial: Any = None,
        where: Any = None,
    ) -> Node:
        refuse(f"np.{name}", out=out)
        x = lift(a)
        mask = mask_of(x, where, f"np.{name}")
        if mask is not None and not given(initial):
            raise GraphValueError(
                located(f"np.{name}: {name} has no identity, so that where= needs initial=")
            )
        axes = axes_of(axis, x, f"np.{name}")
        if given(initial) and any(x.type.shape[k] == 0 for k in axes):
            empty = nodes.sum_(x, axes, flag(keepdims)).type.shape
            start = nodes.cast(lift_beside(initial, x.type.dtype), x.type.dtype)
            return nodes.broadcast_to(start, empty)
        return started(name, masked(x, mask, initial), axes, flag(keepdims), initial)


def started(name: str, x: Node, axes: tuple[int, ...], keepdims: bool, initial: Any) -> Node:
    """The fold `name` ("max" or "min") of x and `initial=`, which stands alone for no elements."""
    long = _never_empty(x, axes, initial)
    result = nodes.reduction(name, long, axes, keepdims)
    if long is not x and isinstance(initial, Symbolic):
        return result  # it takes part in the fold, where a tie is shared evenly
    return combined(_EXTREMES[name], initial, result)


def _never_empty(x: Node, axes: tuple[int, ...], initial: Any) -> Node:
    """x and `initial=` behind it, along an axis whose named size may be 0 at a call."""
    named = [k for k in axes if not isinstance(x.type.shape[k], int)]
    if not given(initial) or not named:
        return x
    start = nodes.cast(lift_beside(initial, x.type.dtype), x.type.dtype)
    # NumPy's fold of no elements is `initial`; so is that of these, along one of the axes that may
    # have none. Another that has none would leave nothing still: all of them are lengthened.
    for axis in named:
        alone = tuple(1 if k == axis else size for k, size in enumerate(x.type.shape))
        x = nodes.concatenate([x, nodes.broadcast_to(start, alone)], axis)
    return x


_extreme("max", np.max, np.amax)
_extreme("min", np.min, np.amin)


@implements(np.ptp)
def ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = False) -> Node:
    refuse("np.ptp", out=out)
    x = lift(a)
    axes = axes_of(axis, x, "np.ptp")
    high = nodes.reduction("max", x, axes, flag(keepdims))
    return nodes.elementwise("subtract", high, nodes.reduction("min", x, axes, flag(keepdims)))


# -- tests and positions ---------------------------------------------------------------------------


def _test(name: str, identity: bool, function: Callable[..., Any]) -> None:
    @implements(function)
    def test(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = False, *, where: Any = None
    ) -> Node:
        refuse(f"np.{name}", out=out)
        x = nodes.cast(lift(a), "bool")
        x = masked(x, mask_of(x, where, f"np.{name}"), identity)
        axes = axes_of(axis, x, f"np.{name}")
        return nodes.reduction(name, x, axes, flag(keepdims)) if axes else x


_test("any", False, np.any)
_test("all", True, np.all)


def _position(name: str, function: Callable[..., Any]) -> None:
    @implements(function)
    def position(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Node:
        refuse(f"np.{name}", out=out)
        return position_of(name, lift(a), axis, flag(keepdims), f"np.{name}")


def position_of(name: str, x: Node, axis: Any, keepdims: bool, function: str) -> Node:
    """argmax or argmin along one axis, or among all elements in C order."""
    line, place = along(x, axis, function)
    found = nodes.reduction(name, line, (place,), keepdims and axis is not None)
    return nodes.reshape(found, (1,) * x.type.ndim) if keepdims and axis is None else found


_position("argmax", np.argmax)
_position("argmin", np.argmin)


@implements(np.count_nonzero)
def count_nonzero(a: Any, axis: Any = None, *, keepdims: Any = False) -> Node:
    x = lift(a)
    axes = axes_of(axis, x, "np.count_nonzero")
    if not axes:
        return nodes.cast(nodes.cast(x, "bool"), "i64")
    return nodes.reduction("count_nonzero", x, axes, flag(keepdims))


def logsumexp_node(x: Node, axes: tuple[int, ...], keepdims: bool = False) -> Node:
    """The node of `logsumexp`, over axes that are non-negative and sorted."""
    x = floating(x)
    largest = nodes.reduction("max", x, axes, keepdims=True)
    # An infinite shift would make NaN of inf - inf; without one, exp and log give the infinity.
    finite = nodes.elementwise("isfinite", largest)
    zero = nodes.constant(0, x.type.dtype)
    shift = nodes.elementwise("where", finite, largest, zero)
    shift = nodes.elementwise("stop_gradient", shift)
    exps = nodes.elementwise("exp", nodes.elementwise("subtract", x, shift))
    total = nodes.elementwise("log", nodes.sum_(exps, axes))
    result = nodes.add(total, nodes.reshape(shift, total.type.shape))
    if not keepdims:
        return result
    kept = tuple(1 if k in axes else size for k, size in enumerate(x.type.shape))
    return nodes.reshape(result, kept)
