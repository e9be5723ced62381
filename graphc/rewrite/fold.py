"""Constant folding: what depends on constants alone is computed now, and never grows.

A folded array is at most as large as the constants it is made of; a repeated scalar stays a scalar,
repeated. Sizes fold as polynomials. The emitted form of an op is evaluated, so that folding changes
no bit of the result. What would warn at the call (a division by zero) is left to the call.
"""

from __future__ import annotations

from math import copysign

import numpy as np

from codegen.program import Broadcast
from graphc import nodes
from graphc.interpret import emitted, evaluate_node
from graphc.ir import Graph, Node
from graphc.ops.kinds import (
    Concatenate,
    ConstantParams,
    Contraction,
    Einstein,
    Elementwise,
    Gather,
    Layout,
    Leaf,
    Pad,
    Place,
    Reduction,
    Scatter,
    SizeParams,
)
from graphc.rewrite.walk import fitted, rebuild, table_name, uniform
from graphc.types import Shape, Size, floordiv, product

# More terms than this are summed at the call, not now.
MAX_TERMS = 1 << 16


def fold_constants(graph: Graph) -> Graph:
    """The graph with constants folded."""
    return rebuild(graph, fold)


def fold(node: Node) -> Node:
    """The constant that the node is, or the node."""
    inputs = node.inputs
    if not inputs:
        return _known_size(node)
    for x in inputs:
        # A leaf is a constant, a size or an input; a repeated scalar has a leaf below it.
        op = x.op
        if op.__class__ is not Leaf and (not x.inputs or x.inputs[0].op.__class__ is not Leaf):
            return node
    op = node.op
    if isinstance(op, Elementwise):
        return _elementwise(node, op)
    if isinstance(op, Layout):
        return _layout(node)
    if isinstance(op, Reduction | Contraction | Gather | Scatter):
        return _array(node)
    return node


def _known_size(node: Node) -> Node:
    """A size that is an int is a constant."""
    params = node.params
    if isinstance(params, SizeParams) and isinstance(params.size, int):
        return nodes.constant(params.size, node.type.dtype)
    return node


def _elementwise(node: Node, op: Elementwise) -> Node:
    scalars = []
    for x in node.inputs:
        value = uniform(x)
        if value is None:
            break
        scalars.append(nodes.constant(value, x.type.dtype))
    else:
        result = _evaluated(nodes.elementwise(op, *scalars))
        return node if result is None else fitted(result, node)
    if all(isinstance(x.params, SizeParams) or uniform(x) is not None for x in node.inputs):
        return _size_arithmetic(node, op)
    return _array(node)


def _size_arithmetic(node: Node, op: Elementwise) -> Node:
    """Sums, differences, products and quotients of sizes are sizes; so is a converted one."""
    if node.type.shape != ():
        return node
    name = table_name(op)
    if name in ("f64", "f32", "i64") and isinstance(node.inputs[0].params, SizeParams):
        return nodes.size(node.inputs[0].params.size, name)
    if node.type.dtype != "i64" or len(node.inputs) != 2:
        return node
    a, b = (_size_of(x) for x in node.inputs)
    if a is None or b is None:
        return node
    match name:
        case "add":
            return nodes.size(a + b)
        case "subtract":
            return nodes.size(a - b)
        case "multiply":
            return nodes.size(a * b)
        case "floor_divide" if isinstance(b, int) and b > 0:
            return nodes.size(floordiv(a, b))
    return node


def _size_of(node: Node) -> Size | None:
    if isinstance(node.params, SizeParams):
        return node.params.size
    value = uniform(node)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _layout(node: Node) -> Node:
    """Equal elements are equal elsewhere; of other constants, what does not grow is computed."""
    values = [uniform(x) for x in node.inputs]
    params = node.params
    value = values[0]
    if value is not None and all(_same_bits(value, other) for other in values[1:]):
        if isinstance(params, Pad) and not _same_bits(value, params.value):
            return node
        if isinstance(params, Place) and not _same_bits(value, 0):
            return node
        x = node.inputs[0]
        if isinstance(params, Broadcast) and x.type.shape == () and not x.inputs:
            return node  # the form in which a repeated scalar stands
        constant = nodes.constant(value, node.type.dtype)
        return nodes.broadcast_to(constant, node.type.shape)
    return node if isinstance(params, Pad | Place | Concatenate) else _array(node)


def _same_bits(a: float, b: float | None) -> bool:
    """Whether two numbers are equal, zeros by their sign too; NaN is never equal."""
    return a == b and copysign(1.0, a) == copysign(1.0, b)


def _array(node: Node) -> Node:
    """The value of a node on constant arrays, where that is no larger than these."""
    given = 0
    for x in node.inputs:
        if not isinstance(x.params, ConstantParams):
            return node
        given += x.params.value.size
    size = product(node.type.shape)
    if not isinstance(size, int) or size > given or size > MAX_TERMS:
        return node
    if isinstance(node.params, Einstein) and not _is_small(node.params.extents):
        return node
    result = _evaluated(node)
    return node if result is None else result


def _is_small(extents: tuple[tuple[str, Size], ...]) -> bool:
    shape: Shape = tuple(size for _, size in extents)
    terms = product(shape)
    return isinstance(terms, int) and terms <= MAX_TERMS


def _evaluated(node: Node) -> Node | None:
    """The node's value as a constant; None where computing it would warn or fail at the call."""
    if isinstance(node.params, ConstantParams):
        return node
    args = [x.params.value for x in node.inputs if isinstance(x.params, ConstantParams)]
    try:
        with np.errstate(all="ignore"):
            result = evaluate_node(node, args, {}, None, emitted)
    except (IndexError, ValueError, OverflowError, ZeroDivisionError):
        return None  # let it be raised where it happens
    finite = all(np.isfinite(arg).all() for arg in args)
    if finite and not np.isfinite(result).all():
        return None
    return nodes.constant(result)
