"""The adjoints of extremes, over axes and so far: equal elements share evenly."""

from __future__ import annotations

from graphc import nodes
from graphc.adjoints.recurrences import recurrence
from graphc.adjoints.rule import kept, shifted
from graphc.ir import Node
from graphc.ops.elementwise import TABLE
from graphc.ops.kinds import Axes


def extremum(node: Node, d: Node, params: Axes) -> Node:
    """The minimum-norm element: the cotangent splits evenly among the elements that are extreme."""
    x = node.inputs[0]
    extreme = nodes.elementwise(TABLE["equal"], x, kept(node, node, params))
    extreme = nodes.cast(extreme, x.type.dtype)
    count = nodes.sum_(extreme, params.axes, keepdims=True)
    share = nodes.elementwise(TABLE["divide"], kept(node, d, params), count)
    return nodes.multiply(share, extreme)


def extremum_so_far(node: Node, d: Node, axis: int) -> Node:
    """Each result's cotangent, split evenly among the elements up to it that are as extreme.

    Results stay equal from one such element to the next larger (or smaller) one: a run. Within its
    run an extreme element gains the shares of all results from itself on. They are added, never
    subtracted, so that what belongs to other runs leaves no rounding error.
    """
    x = node.inputs[0]
    if x.type.shape[axis] == 0:
        return d
    extreme = nodes.elementwise(TABLE["equal"], x, node)
    share = nodes.elementwise(TABLE["divide"], d, _sharers(node, extreme, axis, d.type.dtype))
    # 1 where the run goes on, 0 where it ends.
    linked = nodes.elementwise(TABLE["equal"], node, shifted(node, axis, 1, float("nan")))
    total = recurrence(nodes.cast(linked, d.type.dtype), share, axis)
    return nodes.elementwise(TABLE["where"], extreme, total, nodes.constant(0, d.type.dtype))


def _sharers(node: Node, extreme: Node, axis: int, dtype: str) -> Node:
    """How many elements of its run share a result: the extreme ones up to it."""
    hits = nodes.cast(extreme, "i64")
    found = nodes.reduction("cumsum", hits, (axis,))
    starts = nodes.elementwise(TABLE["not_equal"], node, shifted(node, axis, -1, float("nan")))
    before = nodes.elementwise(TABLE["subtract"], found, hits)
    zero = nodes.constant(0, "i64")
    before = nodes.elementwise(TABLE["where"], starts, before, zero)
    earlier = nodes.reduction("cummax", before, (axis,))
    count = nodes.elementwise(TABLE["subtract"], found, earlier)
    # A result that is NaN has no run, and no element equals it.
    count = nodes.elementwise(TABLE["maximum"], count, nodes.constant(1, "i64"))
    return nodes.cast(count, dtype)
