"""Linear recurrences along an axis: s[j] = d[j] + factor[j] * s[j + 1], from the end.

Solved by products and sums alone, without a division or a difference, so that zero factors cut
exactly. The axis is cut into blocks: within all of them at once by doubling, then from block to
block, which is the same recurrence on a shorter axis.
"""

from __future__ import annotations

from graphc import nodes
from graphc.adjoints.rule import shifted
from graphc.ir import Node

_BLOCK = 32


def recurrence(factor: Node, d: Node, axis: int, known: bool = True) -> Node:
    """s[j] = d[j] + factor[j] * s[j + 1] along `axis`; nothing follows the last element.

    known: False where the axis counts blocks of an axis of a named size, which are few enough to
        be paired with one another.
    """
    shape = d.type.shape
    length = shape[axis]
    if isinstance(length, int) and length <= 2 * _BLOCK:
        return _doubled(factor, d, axis, length)[0]
    if not known:
        return _squared(factor, d, axis)
    ndim = len(shape)
    last = (*(k for k in range(ndim) if k != axis), axis)
    back = tuple(last.index(k) for k in range(ndim))
    lead = tuple(shape[k] for k in last[:-1])
    count = (length + (_BLOCK - 1)) // _BLOCK
    widths = [(0, 0)] * (ndim - 1)
    blocks = [
        nodes.reshape(
            nodes.pad(nodes.transpose(x, last), [*widths, (0, count * _BLOCK - length)]),
            (*lead, count, _BLOCK),
        )
        for x in (factor, d)
    ]
    total, product = _doubled(blocks[0], blocks[1], ndim, _BLOCK)
    starts = [_first(x, ndim) for x in (product, total)]
    solved = recurrence(starts[0], starts[1], ndim - 1, isinstance(length, int))
    behind = nodes.expand_dims(shifted(solved, ndim - 1, 1, 0.0), ndim)
    whole = nodes.reshape(
        nodes.add(total, nodes.multiply(product, behind)), (*lead, count * _BLOCK)
    )
    found = nodes.slice_(whole, (0,) * ndim, (*lead, length), (1,) * ndim)
    return nodes.transpose(found, back)


def _first(x: Node, axis: int) -> Node:
    """x[..., 0] along its last axis."""
    shape = x.type.shape[:axis]
    part = nodes.slice_(x, (0,) * (axis + 1), (*shape, 1), (1,) * (axis + 1))
    return nodes.reshape(part, shape)


def _doubled(factor: Node, d: Node, axis: int, length: int) -> tuple[Node, Node]:
    """The recurrence in log2(length) steps, and the product of all factors from each place on.

    After a step of reach r, total[j] sums the terms of the next r elements, and product[j] is what
    carries those that come after them.
    """
    total, product, reach = d, factor, 1
    while reach < length:
        total = nodes.add(total, nodes.multiply(product, shifted(total, axis, reach, 0.0)))
        product = nodes.multiply(product, shifted(product, axis, reach, 1.0))
        reach *= 2
    return total, product


def _squared(factor: Node, d: Node, axis: int) -> Node:
    """The same over a square of positions, where the length has a name and no logarithm."""
    shape = d.type.shape
    length, ndim = shape[axis], len(shape)
    last = (*(k for k in range(ndim) if k != axis), axis)
    back = tuple(last.index(k) for k in range(ndim))
    lead = tuple(shape[k] for k in last[:-1])
    rows = nodes.reshape(nodes.arange(length), (length, 1))
    later = nodes.elementwise("less", rows, nodes.arange(length))  # j < k
    earlier = nodes.elementwise("less", nodes.arange(length), rows)  # k < j
    before = shifted(factor, axis, -1, 1.0)
    elements = nodes.reshape(nodes.transpose(before, last), (*lead, 1, length))
    terms = nodes.reshape(nodes.transpose(d, last), (*lead, 1, length))
    dtype = d.type.dtype
    kept = nodes.elementwise("where", later, elements, nodes.constant(1, dtype))
    between = nodes.reduction("cumprod", kept, (ndim,))
    weights = nodes.elementwise("where", earlier, nodes.constant(0, dtype), between)
    return nodes.transpose(nodes.sum_(nodes.multiply(terms, weights), (ndim,)), back)
