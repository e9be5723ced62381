"""Identities of adding at positions: what is added where, without the zeros around it.

The adjoints of gathers and slices are mostly zeros. Added to something else, those zeros need not
exist; and where no position repeats, adding at positions is one assignment. Each rule is one
function from a node to what may stand in its place (None: it does not apply). Values are kept but
for the sign of a zero: -0.0 plus one of the zeros would be 0.0.
"""

from __future__ import annotations

import numpy as np

from codegen.program import Broadcast, Reshape, Slice
from graphc import nodes
from graphc.ir import Node
from graphc.ops.kinds import (
    Concatenate,
    ConstantParams,
    Gather,
    Indexing,
    Place,
    RangeParams,
    Scatter,
)
from graphc.rewrite.patterns import sum_of
from graphc.rewrite.walk import uniform
from graphc.searches import found
from graphc.types import broadcast


def unique_positions(node: Node) -> Node | None:
    """Positions of which an index array counts along each of their axes never repeat."""
    params = node.params
    assert isinstance(params, Indexing)
    indices = node.inputs[2:]
    if params.unique or params.mode != "add":
        return None
    common = broadcast(tuple(x.type.shape for x in indices))
    if common is None:
        return None
    counted = {_counted_axis(x) for x in indices}
    if any(size != 1 and axis - len(common) not in counted for axis, size in enumerate(common)):
        return None
    exact = Indexing(params.axes, params.mode, unique=True)
    return Node(node.op, node.inputs, exact, node.type, node.name, node.origin)


def _counted_axis(x: Node) -> int | None:
    """The one axis (from the end, so negative) along which x holds distinct numbers, none negative;
    None where there is no such axis."""
    shape = x.type.shape
    long = [axis - len(shape) for axis, size in enumerate(shape) if size != 1]
    if len(long) != 1:
        return None
    while isinstance(x.params, Reshape):
        x = x.inputs[0]
    if isinstance(x.params, RangeParams):
        return long[0]
    if isinstance(x.params, ConstantParams):
        values = x.params.value
        if values.min() >= 0 and np.unique(values).size == values.size:
            return long[0]
    return None


def scatter_of_broadcast(node: Node) -> Node | None:
    """A repeated value is repeated by the scatter itself."""
    base, value, *indices = node.inputs
    params = node.params
    assert isinstance(params, Indexing)
    if not isinstance(value.params, Broadcast):
        return None
    return nodes.scatter(base, value.inputs[0], indices, params.axes, params.mode, params.unique)


def gather_of_all(node: Node) -> Node | None:
    """x[0, 1, ...] up to the last -> x."""
    x, *indices = node.inputs
    return x if _takes_all(node.params, x, indices) else None


def scatter_of_all(node: Node) -> Node | None:
    """Zeros with v added at 0, 1, ... up to the last -> v."""
    base, value, *indices = node.inputs
    if uniform(base) != 0 or not _takes_all(node.params, base, indices):
        return None
    return nodes.broadcast_to(value, node.type.shape)


def _takes_all(params: object, x: Node, indices: list[Node]) -> bool:
    """Whether one axis of x is indexed, by all its positions in their order."""
    assert isinstance(params, Indexing)
    if len(indices) != 1 or indices[0].type.ndim != 1:
        return False
    size, counted = x.type.shape[params.axes.index(True)], indices[0].params
    if isinstance(counted, ConstantParams) and isinstance(size, int):
        return np.array_equal(counted.value, np.arange(size))
    return isinstance(counted, RangeParams) and counted.size == size


def multiply_gathered(node: Node) -> Node | None:
    """x times elements of what is one number everywhere, at positions that a search found: x times
    that number.

    (Other positions may be beyond the end, which is an error.)
    """
    for x, gathered in (node.inputs, node.inputs[::-1]):
        if not isinstance(gathered.op, Gather) or x.type != node.type:
            continue
        source, *indices = gathered.inputs
        value = uniform(source)
        if value is not None and all(map(found, indices)):
            return nodes.multiply(x, nodes.constant(value, x.type.dtype))
    return None


def sum_of_scatter(node: Node) -> Node | None:
    """The sum of zeros with v added at positions that a search found -> the sum of v."""
    summed = sum_of(node)
    if summed is None or not isinstance(summed[0].op, Scatter):
        return None
    base, value, *indices = summed[0].inputs
    params = summed[0].params
    assert isinstance(params, Indexing)
    if uniform(base) != 0 or params.mode != "add" or not all(map(found, indices)):
        return None
    if params.axes != (True,) or summed[1] != (0,) or value.type.shape != indices[0].type.shape:
        return None
    return nodes.sum_(value, (0,))


def add_of_scatter(node: Node) -> Node | None:
    """x + (zeros with v added at i) -> x with v added at i, where no position repeats.

    (Where positions repeat, the sum of small values would be taken on top of a large one.)
    """
    for scattered, x in (node.inputs, node.inputs[::-1]):
        params = scattered.params
        if not isinstance(scattered.op, Scatter) or not isinstance(params, Indexing):
            continue
        base, value, *indices = scattered.inputs
        whole = x.type == node.type and scattered.type == node.type
        if whole and params.unique and params.mode == "add" and uniform(base) == 0:
            return nodes.scatter(x, value, indices, params.axes, "add", unique=True)
    return None


def add_of_places(node: Node) -> Node | None:
    """Two neighbouring regions of zeros, added: one region, written with both values joined.

    The gradients of x[:k] and x[k:], or of the steps x[0], x[1], ... of a loop.
    """
    a, b = node.inputs
    if not isinstance(a.params, Place) or not isinstance(b.params, Place) or a.type != b.type:
        return None
    for first, second in ((a, b), (b, a)):
        assert isinstance(first.params, Place)
        assert isinstance(second.params, Place)
        one, two = first.params.region, second.params.region
        axis = _meets(one, two)
        if axis is None:
            continue
        joined = nodes.concatenate((*_parts(first, axis), *_parts(second, axis)), axis)
        sizes = tuple(
            size + two.sizes[k] if k == axis else size for k, size in enumerate(one.sizes)
        )
        return nodes.place(joined, Slice(one.starts, sizes, one.steps), first.params.shape)
    return None


def _meets(one: Slice, two: Slice) -> int | None:
    """The axis along which `two` begins where `one` ends, both being equal along the others."""
    if any(step != 1 for step in one.steps + two.steps):
        return None
    differ = [
        k
        for k in range(len(one.steps))
        if one.starts[k] != two.starts[k] or one.sizes[k] != two.sizes[k]
    ]
    if len(differ) != 1:
        return None
    (axis,) = differ
    return axis if one.starts[axis] + one.sizes[axis] == two.starts[axis] else None


def _parts(placed: Node, axis: int) -> tuple[Node, ...]:
    """What a region is written with: the parts, where it is a concatenation along this axis."""
    x = placed.inputs[0]
    joined = isinstance(x.params, Concatenate) and x.params.axis == axis
    return x.inputs if joined else (x,)
