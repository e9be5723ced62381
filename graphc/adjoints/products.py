"""The adjoints of products and running products, without a division: exact where elements are zero.

Each is made of running products, sums and layouts, whose own adjoints are known, so the second
derivative is as exact as the first.
"""

from __future__ import annotations

from graphc import nodes
from graphc.adjoints.rule import flip, shifted
from graphc.ir import Node
from graphc.ops.kinds import Axes
from graphc.types import array_type


def product(node: Node, d: Node, params: Axes) -> Node:
    """d times the product of all other elements, as (product before) * (product after).

    d has the reduced axes as axes of size 1. Where one element is zero the others' gradients are
    zero and its own is not.
    """
    x = node.inputs[0]
    shape = x.type.shape
    rest = tuple(k for k in range(len(shape)) if k not in params.axes)
    to_last = rest + params.axes
    flat = nodes.transpose(x, to_last)
    length = array_type("f64", tuple(shape[k] for k in params.axes)).size
    flat = nodes.reshape(flat, (*(shape[k] for k in rest), length))
    axis = len(rest)
    before = _exclusive(flat, axis)
    after = flip(_exclusive(flip(flat, axis), axis), axis)
    others = nodes.multiply(before, after)
    others = nodes.reshape(others, tuple(shape[k] for k in to_last))
    others = nodes.transpose(others, tuple(to_last.index(k) for k in range(len(shape))))
    return nodes.multiply(d, others)


def running_product(node: Node, d: Node, axis: int) -> Node:
    """d_x[j] = (product before j) * s[j], with s[j] = sum over k >= j of d[k] x[j+1] ... x[k].

    s obeys s[j] = d[j] + x[j+1] s[j+1]: a linear recurrence from the end.
    """
    x = node.inputs[0]
    length = x.type.shape[axis]
    if length == 0:
        return d
    before = _exclusive(x, axis)
    factor = shifted(x, axis, 1, 0.0)  # x[j+1]; nothing follows the last element
    tail = _doubling(factor, d, axis, length) if isinstance(length, int) else _squared(x, d, axis)
    return nodes.multiply(before, tail)


def _doubling(factor: Node, d: Node, axis: int, length: int) -> Node:
    """The recurrence in log2(length) steps, each of which doubles how far an element has seen.

    After a step of reach r, total[j] sums the terms of the next r elements, and factor[j] is the
    product that carries what comes after them.
    """
    total, reach = d, 1
    while reach < length:
        total = nodes.add(total, nodes.multiply(factor, shifted(total, axis, reach, 0.0)))
        if 2 * reach < length:
            factor = nodes.multiply(factor, shifted(factor, axis, reach, 0.0))
        reach *= 2
    return total


def _squared(x: Node, d: Node, axis: int) -> Node:
    """The same sum over a square of positions, where the length has a name and no logarithm."""
    shape = x.type.shape
    length = shape[axis]
    ndim = len(shape)
    last = (*(k for k in range(ndim) if k != axis), axis)
    back = tuple(last.index(k) for k in range(ndim))
    rows = nodes.reshape(nodes.arange(length), (length, 1))
    later = nodes.elementwise("less", rows, nodes.arange(length))  # j < k
    earlier = nodes.elementwise("less", nodes.arange(length), rows)  # k < j
    lead = tuple(shape[k] for k in last[:-1])
    elements = nodes.reshape(nodes.transpose(x, last), (*lead, 1, length))
    weights = nodes.reshape(nodes.transpose(d, last), (*lead, 1, length))
    dtype = x.type.dtype
    kept = nodes.elementwise("where", later, elements, nodes.constant(1, dtype))
    between = nodes.reduction("cumprod", kept, (ndim,))
    weighted = nodes.multiply(
        weights, nodes.elementwise("where", earlier, nodes.constant(0, dtype), between)
    )
    return nodes.transpose(nodes.sum_(weighted, (ndim,)), back)


def _exclusive(x: Node, axis: int) -> Node:
    """Running products of the elements before each one; 1 for the first."""
    return nodes.reduction("cumprod", shifted(x, axis, -1, 1.0), (axis,))
