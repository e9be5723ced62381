"""The adjoints of extremes, over axes and so far: equal elements share evenly."""

from __future__ import annotations

from graphc import nodes
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
    run an extreme element gains the shares of all results from itself on. They are added by
    doubling and never subtracted, so that what belongs to other runs leaves no rounding error.
    """
    x = node.inputs[0]
    length = x.type.shape[axis]
    if length == 0:
        return d
    extreme = nodes.elementwise(TABLE["equal"], x, node)
    share = nodes.elementwise(TABLE["divide"], d, _sharers(node, extreme, axis, d.type.dtype))
    total = (
        _run_sums(node, share, axis, length)
        if isinstance(length, int)
        else _run_sums_squared(node, share, axis)
    )
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


def _run_sums(node: Node, share: Node, axis: int, length: int) -> Node:
    """The sums of shares from each place to the end of its run, in log2(length) steps.

    After a step of reach r, total[j] sums the shares of the next r places of its run, and linked[j]
    says whether the run goes on for r places at least.
    """
    linked = nodes.elementwise(TABLE["equal"], node, shifted(node, axis, 1, float("nan")))
    zero = nodes.constant(0, share.type.dtype)
    total, reach = share, 1
    while reach < length:
        later = shifted(total, axis, reach, 0.0)
        total = nodes.add(total, nodes.elementwise(TABLE["where"], linked, later, zero))
        reach *= 2
        if reach < length:
            further = shifted(linked, axis, reach // 2, 0.0)
            linked = nodes.elementwise(TABLE["logical_and"], linked, further)
    return total


def _run_sums_squared(node: Node, share: Node, axis: int) -> Node:
    """The same sums over a square of places, where the length has a name and no logarithm."""
    shape = node.type.shape
    last = (*(k for k in range(len(shape)) if k != axis), axis)
    back = tuple(last.index(k) for k in range(len(shape)))
    results, shares = nodes.transpose(node, last), nodes.transpose(share, last)
    ndim, length = len(shape), shape[axis]
    places = nodes.arange(length)
    not_before = nodes.elementwise(TABLE["less_equal"], nodes.reshape(places, (length, 1)), places)
    same = nodes.elementwise(
        TABLE["equal"], nodes.expand_dims(results, ndim), nodes.expand_dims(results, ndim - 1)
    )
    taken = nodes.elementwise(TABLE["logical_and"], same, not_before)
    zero = nodes.constant(0, share.type.dtype)
    terms = nodes.elementwise(TABLE["where"], taken, nodes.expand_dims(shares, ndim - 1), zero)
    return nodes.transpose(nodes.sum_(terms, (ndim,)), back)
