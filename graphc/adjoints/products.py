"""The adjoints of products and running products, without a division: exact where elements are zero.

Each is made of running products, sums and layouts, whose own adjoints are known, so the second
derivative is as exact as the first.
"""

from __future__ import annotations

from graphc import nodes
from graphc.adjoints.recurrences import recurrence
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
    """d_x[j] = (product before j) * s[j], with s[j] = sum over k >= j of d[k] x[j+1] ... x[k]."""
    x = node.inputs[0]
    if x.type.shape[axis] == 0:
        return d
    following = shifted(x, axis, 1, 0.0)  # x[j+1]; nothing follows the last element
    return nodes.multiply(_exclusive(x, axis), recurrence(following, d, axis))


def _exclusive(x: Node, axis: int) -> Node:
    """Running products of the elements before each one; 1 for the first."""
    return nodes.reduction("cumprod", shifted(x, axis, -1, 1.0), (axis,))
