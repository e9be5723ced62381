"""Identities of what is merely repeated: it is computed once, and repeated after.

Adjoints are full of such values: the cotangent of a mean is one number at every place, and the
adjoint of a product takes it as an operand. Each rule is one function from a node to what may stand
in its place (None: it does not apply); every product is of the same numbers as before.
"""

from __future__ import annotations

from codegen.program import Affine, Broadcast
from graphc import nodes
from graphc.ir import Node
from graphc.ops.kinds import Contraction, Einstein
from graphc.types import Size, same_size


def layout_of_number(node: Node) -> Node | None:
    """One number at every place, reshaped, transposed or sliced: that number at every place."""
    x = node.inputs[0]
    if not isinstance(x.params, Broadcast) or any(size != 1 for size in x.inputs[0].type.shape):
        return None
    return nodes.broadcast_to(nodes.reshape(x.inputs[0], ()), node.type.shape)


def contraction_of_repeated(node: Node) -> Node | None:
    """y[i,j] = a[i] * b[i], where a is repeated along i: a number times b[i], repeated along j.

    An operand is read without the axes along which it is repeated, and the result is computed
    without the axes that no operand has then.
    """
    params, op = node.params, node.op
    assert isinstance(params, Einstein)
    assert isinstance(op, Contraction)
    if params.body is not None:
        return None
    extents = dict(params.extents)
    thin = [
        _without_repeats(x, indices, extents)
        for x, indices in zip(node.inputs, params.operands, strict=True)
    ]
    read = {name for _, indices in thin for at in indices for name, _ in at.terms}
    lost = [name for name in extents if name not in read]
    if not lost and all(x is old for (x, _), old in zip(thin, node.inputs, strict=True)):
        return None
    written = [name for at in params.out for name, _ in at.terms]
    places = {at.index: axis for axis, at in enumerate(params.out)}
    if any(written.count(name) != 1 or name not in places for name in lost):
        return None  # it is summed over, or stands in a sum of indices
    axes = {places[name] for name in lost}
    kept = [axis for axis in range(len(params.out)) if axis not in axes]
    smaller = Einstein(
        tuple(params.out[axis] for axis in kept),
        tuple(indices for _, indices in thin),
        tuple((name, size) for name, size in params.extents if name in read),
        tuple(params.shape[axis] for axis in kept),
    )
    found = nodes.contraction(op, smaller, *(x for x, _ in thin))
    column = tuple(1 if axis in axes else size for axis, size in enumerate(params.shape))
    return nodes.broadcast_to(nodes.reshape(found, column), params.shape)


def _without_repeats(
    x: Node, indices: tuple[Affine, ...], extents: dict[str, Size]
) -> tuple[Node, tuple[Affine, ...]]:
    """The operand and its indices, without the axes along which it is repeated."""
    if not isinstance(x.params, Broadcast):
        return x, indices
    source, shape = x.inputs[0], x.type.shape
    lead = len(shape) - source.type.ndim
    kept = []
    for axis, (size, at) in enumerate(zip(shape, indices, strict=True)):
        repeated = axis < lead or (source.type.shape[axis - lead] == 1 and size != 1)
        if not repeated or at.index is None or not same_size(extents[at.index], size):
            kept.append(axis)
    if len(kept) == len(shape):
        return x, indices
    thin = tuple(1 if axis < lead else source.type.shape[axis - lead] for axis in kept)
    wide = tuple(shape[axis] for axis in kept)
    rest = nodes.broadcast_to(nodes.reshape(source, thin), wide)
    return rest, tuple(indices[axis] for axis in kept)


def product_with_number(node: Node) -> Node | None:
    """y[i] = a * x[i] -> a * x: a product that sums nothing, with a number as a factor."""
    params, op = node.params, node.op
    assert isinstance(params, Einstein)
    assert isinstance(op, Contraction)
    if params.body is not None or len(node.inputs) < 2:
        return None
    written = {name for at in params.out for name, _ in at.terms}
    if any(name not in written for name, _ in params.extents):
        return None
    number = next((k for k, x in enumerate(node.inputs) if x.type.shape == ()), None)
    if number is None:
        return None
    rest = tuple(k for k in range(len(node.inputs)) if k != number)
    operands = tuple(params.operands[k] for k in rest)
    smaller = Einstein(params.out, operands, params.extents, params.shape)
    others = nodes.contraction(op, smaller, *(node.inputs[k] for k in rest))
    return nodes.multiply(nodes.cast(node.inputs[number], node.type.dtype), others)
