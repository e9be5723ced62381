"""NumPy functions that work element by element and are no ufuncs."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc import nodes
from graphc.dispatch.options import refuse
from graphc.dispatch.registry import implements
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.lifting import lift, lift_all
from graphc.types import DTYPES


@implements(np.where)
def where(condition: Any, *branches: Any) -> Node:
    if len(branches) != 2:
        raise GraphTypeError(
            located(
                "np.where(condition) alone: a shape cannot depend on values; "
                "use np.where(condition, a, b)"
            )
        )
    chosen = nodes.cast(lift(condition), "bool")
    return nodes.elementwise("where", chosen, *lift_all(branches))


@implements(np.clip)
def clip(
    a: Any,
    a_min: Any = None,
    a_max: Any = None,
    out: Any = None,
    *,
    min: Any = None,
    max: Any = None,
    **options: Any,
) -> Node:
    refuse("np.clip", out=out, **options)
    low = a_min if _given(a_min) else min
    high = a_max if _given(a_max) else max
    if not _given(low) and not _given(high):
        raise GraphValueError(located("np.clip: neither a lower nor an upper bound is given"))
    if not _given(low):
        return nodes.elementwise("minimum", *lift_all((a, high)))
    if not _given(high):
        return nodes.elementwise("maximum", *lift_all((a, low)))
    return nodes.elementwise("clip", *lift_all((a, low, high)))


def _given(bound: Any) -> bool:
    return bound is not None and bound is not np._NoValue


@implements(np.round, np.around)
def round_(a: Any, decimals: int = 0, out: Any = None) -> Node:
    refuse("np.round", out=out)
    x = lift(a)
    if decimals and x.type.floating:
        # NumPy scales, rounds and scales back, by a power of ten that is exact.
        scale = nodes.constant(10.0 ** abs(decimals), x.type.dtype)
        to, back = ("multiply", "divide") if decimals > 0 else ("divide", "multiply")
        whole = nodes.elementwise("rint", nodes.elementwise(to, x, scale))
        return nodes.elementwise(back, whole, scale)
    if decimals < 0:
        raise GraphTypeError(
            located(f"np.round: {nodes.describe(x)} to decimals={decimals}; use .astype('f64')")
        )
    return x if not x.type.floating else nodes.elementwise("rint", x)


@implements(np.fix)
def fix(x: Any, out: Any = None) -> Node:
    refuse("np.fix", out=out)
    return nodes.elementwise("trunc", lift(x))


@implements(np.real)
def real(val: Any) -> Node:
    return lift(val)


@implements(np.i0)
def i0(x: Any) -> Node:
    return nodes.elementwise("i0", lift(x))


@implements(np.sinc)
def sinc(x: Any) -> Node:
    return nodes.elementwise("sinc", lift(x))


@implements(np.select)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Node:
    if len(condlist) != len(choicelist) or not condlist:
        raise GraphValueError(
            located(f"np.select: {len(condlist)} conditions for {len(choicelist)} choices")
        )
    *choices, result = lift_all((*choicelist, default))
    for condition, choice in zip(reversed(condlist), reversed(choices), strict=True):
        result = nodes.elementwise("where", nodes.cast(lift(condition), "bool"), choice, result)
    return result


@implements(np.nan_to_num)
def nan_to_num(
    x: Any, copy: Any = None, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Node:
    node = lift(x)
    if not node.type.floating:
        return node
    dtype = node.type.dtype
    largest = float(np.finfo(DTYPES[dtype]).max)
    for test, instead in (
        (nodes.elementwise("isnan", node), nan),
        (_equals(node, np.inf), largest if posinf is None else posinf),
        (_equals(node, -np.inf), -largest if neginf is None else neginf),
    ):
        node = nodes.elementwise("where", test, nodes.constant(instead, dtype), node)
    return node


def _equals(x: Node, value: float) -> Node:
    return nodes.elementwise("equal", x, nodes.constant(value, x.type.dtype))
