"""NumPy's nan-functions: NaN stands for what is missing, and takes no part.

Each is its plain function with a mask: what is missing has the gradient 0. A slice in which all is
missing gives NaN, as in NumPy, without NumPy's warning.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphc import nodes
from graphc.dispatch.options import along, averaged, axes_of, flag, given, refuse, typed
from graphc.dispatch.reductions import (
    combined,
    mask_of,
    masked,
    mean_of,
    position_of,
    root,
    started,
    variance,
)
from graphc.dispatch.registry import implements
from graphc.errors import GraphTypeError, located
from graphc.ir import Node
from graphc.lifting import lift


def present(x: Node) -> Node | None:
    """Which elements are not NaN; None for integers, which are all there."""
    if not x.type.floating:
        return None
    return nodes.elementwise("logical_not", nodes.elementwise("isnan", x))


def _both(a: Node | None, b: Node | None) -> Node | None:
    if a is None or b is None:
        return b if a is None else a
    return nodes.elementwise("logical_and", a, b)


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
    refuse("np.nansum", out=out)
    x = typed(lift(a), dtype)
    mask = _both(present(x), mask_of(x, where, "np.nansum"))
    total = nodes.sum_(masked(x, mask, 0), axes_of(axis, x, "np.nansum"), flag(keepdims))
    return combined("add", initial, typed(total, dtype))


@implements(np.nanprod)
def nanprod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    initial: Any = None,
    where: Any = None,
) -> Node:
    refuse("np.nanprod", out=out)
    x = typed(lift(a), dtype)
    mask = _both(present(x), mask_of(x, where, "np.nanprod"))
    axes = axes_of(axis, x, "np.nanprod")
    result = nodes.reduction("prod", masked(x, mask, 1), axes, flag(keepdims))
    return combined("multiply", initial, typed(result, dtype))


@implements(np.nanmean)
def nanmean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    *,
    where: Any = None,
) -> Node:
    refuse("np.nanmean", out=out)
    x = averaged(lift(a), dtype, "np.nanmean")
    mask = _both(present(x), mask_of(x, where, "np.nanmean"))
    return mean_of(x, axes_of(axis, x, "np.nanmean"), flag(keepdims), mask)


def _spread(name: str, finish: Callable[[Node], Node], function: Callable[..., Any]) -> None:
    @implements(function)
    def spread(
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
        refuse(f"np.{name}", out=out)
        x = averaged(lift(a), dtype, f"np.{name}")
        mask = _both(present(x), mask_of(x, where, f"np.{name}"))
        axes = axes_of(axis, x, f"np.{name}")
        ddof = correction if given(correction) else ddof
        return finish(_enough(x, mask, axes, ddof, flag(keepdims), mean))


def _enough(
    x: Node, mask: Node | None, axes: tuple[int, ...], ddof: Any, keepdims: bool, mean: Any
) -> Node:
    """The variance, NaN where no more than ddof elements are there."""
    result = variance(x, axes, ddof, keepdims, mask, mean)
    if mask is None or not ddof:
        return result
    count = nodes.sum_(mask, axes, keepdims)
    few = nodes.elementwise("less_equal", nodes.cast(count, "f64"), nodes.constant(float(ddof)))
    return nodes.elementwise("where", few, nodes.constant(np.nan, x.type.dtype), result)


_spread("nanvar", lambda square: square, np.nanvar)
_spread("nanstd", root, np.nanstd)


def _extreme(name: str, lowest: float, function: Callable[..., Any]) -> None:
    plain = name.removeprefix("nan")

    @implements(function)
    def extreme(
        a: Any,
        axis: Any = None,
        out: Any = None,
        keepdims: Any = False,
        initial: Any = None,
        where: Any = None,
    ) -> Node:
        refuse(f"np.{name}", out=out)
        x = lift(a)
        axes = axes_of(axis, x, f"np.{name}")
        mask = mask_of(x, where, f"np.{name}")
        there = present(x)
        if mask is not None and not given(initial):
            raise GraphTypeError(
                located(f"np.{name}: {plain} has no identity, so that where= needs initial=")
            )
        start = initial if given(initial) else lowest
        shown = masked(x, _both(there, mask), start)
        result = started(plain, shown, axes, flag(keepdims), initial)
        if there is None or given(initial):
            return result
        some = nodes.reduction("any", there, axes, flag(keepdims)) if axes else there
        # Added, not chosen: the fold of no elements at all is an error, as NumPy's is.
        spoilt = nodes.elementwise(
            "where", some, *(nodes.constant(v, x.type.dtype) for v in (0.0, np.nan))
        )
        return nodes.add(result, spoilt)


_extreme("nanmax", -np.inf, np.nanmax)
_extreme("nanmin", np.inf, np.nanmin)


def _position(name: str, lowest: float, function: Callable[..., Any]) -> None:
    @implements(function)
    def position(a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False) -> Node:
        refuse(f"np.{name}", out=out)
        x = lift(a)
        shown = masked(x, present(x), lowest)
        return position_of(name.removeprefix("nan"), shown, axis, flag(keepdims), f"np.{name}")


_position("nanargmax", -np.inf, np.nanargmax)
_position("nanargmin", np.inf, np.nanargmin)


def _scan(name: str, identity: int, function: Callable[..., Any]) -> None:
    @implements(function)
    def scan(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Node:
        refuse(f"np.{name}", out=out)
        x = typed(lift(a), dtype)
        line, place = along(masked(x, present(x), identity), axis, f"np.{name}")
        return nodes.reduction(name.removeprefix("nan"), line, (place,))


_scan("nancumsum", 0, np.nancumsum)
_scan("nancumprod", 1, np.nancumprod)
