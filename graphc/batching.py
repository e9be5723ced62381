"""Nodes computed for many values of an operand at once: new leading axes, kind by kind.

    batched([root], lead, {x: many})      many has the shape lead + x's; so has the result: lead +
                                          root's

A node that does not depend on what is many stays as it is, and serves all of them. Between
operands of different ranks NumPy aligns the last axes: behind the new ones an operand gets the axes
of size 1 that it left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from codegen.program import Affine, Broadcast, Diagonal, Reshape, Slice, Transpose
from graphc import matrices, nodes
from graphc.deltas import simplified
from graphc.errors import GraphTypeError, located
from graphc.ir import Node
from graphc.ops.kinds import (
    Axes,
    Concatenate,
    Contraction,
    Einstein,
    Elementwise,
    Gather,
    Indexing,
    Layout,
    LinAlg,
    LinAlgParams,
    Pad,
    Place,
    Scatter,
)
from graphc.order import reachable
from graphc.types import Shape, array_type


class Unbatched(GraphTypeError):
    """What is computed for one value of its operands at a time."""


def batched(roots: Sequence[Node], lead: Shape, by: Mapping[Node, Node]) -> list[Node]:
    """The roots with the axes `lead` in front, from the nodes in `by` with those axes.

    Raises Unbatched for what knows no leading axes: a user's primitive, a search, an index
    array that is many.
    """
    found = dict(by)
    for node in reachable(roots):
        if node not in found and any(x in found for x in node.inputs):
            found[node] = simplified(_many(node, lead, found))
    return [found.get(root) or _repeated(root, lead) for root in roots]


def _many(node: Node, lead: Shape, found: Mapping[Node, Node]) -> Node:
    """The node from operands of which some are many."""
    op = node.op
    if isinstance(op, Elementwise):
        operands = [
            _aligned(found[x], lead, x.type.shape, node.type.ndim) if x in found else x
            for x in node.inputs
        ]
        type = array_type(node.type.dtype, (*lead, *node.type.shape))
        return nodes.node(op, tuple(operands), None, type)
    if isinstance(op, Contraction):
        return _contraction(node, lead, found)
    if isinstance(op, LinAlg):
        return _matrix_function(node, lead, found)
    if isinstance(op, Gather):
        return _gather(node, lead, found)
    if isinstance(op, Scatter):
        return _scatter(node, lead, found)
    if isinstance(node.params, Concatenate):
        every = [found.get(x) or _repeated(x, lead) for x in node.inputs]
        return nodes.concatenate(every, node.params.axis + len(lead))
    if isinstance(node.params, Axes):
        axes = tuple(axis + len(lead) for axis in node.params.axes)
        return nodes.reduction(op.name, found[node.inputs[0]], axes, node.params.keepdims)
    if isinstance(op, Layout):
        return _layout(node, found[node.inputs[0]], lead)
    raise Unbatched(located(f"{op.name} is not computed for many operands at once"))


def _layout(node: Node, many: Node, lead: Shape) -> Node:
    ones = (1,) * len(lead)
    zeros = (0,) * len(lead)
    match node.params:
        case Reshape(shape):
            return nodes.reshape(many, (*lead, *shape))
        case Transpose(axes):
            moved = tuple(axis + len(lead) for axis in axes)
            return nodes.transpose(many, (*range(len(lead)), *moved))
        case Broadcast(shape):
            aligned = _aligned(many, lead, node.inputs[0].type.shape, len(shape))
            return nodes.broadcast_to(aligned, (*lead, *shape))
        case Slice(starts, sizes, steps):
            return nodes.slice_(many, (*zeros, *starts), (*lead, *sizes), (*ones, *steps))
        case Diagonal(offset, axis1, axis2):
            return nodes.diagonal(many, offset, axis1 + len(lead), axis2 + len(lead))
        case Pad(widths, value):
            return nodes.pad(many, (*((0, 0) for _ in lead), *widths), value)
        case Place(region, shape):
            inside = Slice((*zeros, *region.starts), (*lead, *region.sizes), (*ones, *region.steps))
            return nodes.place(many, inside, (*lead, *shape))
    raise Unbatched(located(f"{node.op.name} is not computed for many operands at once"))


def _contraction(node: Node, lead: Shape, found: Mapping[Node, Node]) -> Node:
    """The index formula with an index more for each new axis, on the operands that are many."""
    params = node.params
    assert isinstance(params, Einstein)
    taken = {name for name, _ in params.extents}
    names = [f"r{k}" for k in range(len(lead))]
    while taken & {*names}:
        names = [f"{name}_" for name in names]
    first: tuple[Affine, ...] = tuple(nodes.index(name) for name in names)
    operands = tuple(
        (*first, *places) if x in found else places
        for x, places in zip(node.inputs, params.operands, strict=True)
    )
    extents = (*zip(names, lead, strict=True), *params.extents)
    shape = (*lead, *params.shape)
    many = Einstein((*first, *params.out), operands, extents, shape, params.body)
    return nodes.contraction(node.op, many, *(found.get(x, x) for x in node.inputs))  # type: ignore[arg-type]


def _gather(node: Node, lead: Shape, found: Mapping[Node, Node]) -> Node:
    x, *indices = node.inputs
    params = node.params
    assert isinstance(params, Indexing)
    _check_indices(node, indices, found)
    axes = (*(False for _ in lead), *params.axes)
    many = nodes.gather(found[x], indices, axes, params.unique)
    return _lead_first(many, node, lead, indices, axes)


def _scatter(node: Node, lead: Shape, found: Mapping[Node, Node]) -> Node:
    base, value, *indices = node.inputs
    params = node.params
    assert isinstance(params, Indexing)
    _check_indices(node, indices, found)
    axes = (*(False for _ in lead), *params.axes)
    selected = nodes.indexed_shape(base.type.shape, params.axes, indices)
    value = found.get(value) or _repeated(value, lead)
    value = _aligned(value, lead, value.type.shape[len(lead) :], len(selected))
    if not _in_place(axes):
        # NumPy puts the axes of separate index arrays in front, before the new ones.
        value = nodes.broadcast_to(value, (*lead, *selected))
        front = _rank(indices)
        order = (*range(len(lead), len(lead) + front), *range(len(lead)))
        value = nodes.transpose(value, (*order, *range(len(order), value.type.ndim)))
    base = found.get(base) or _repeated(base, lead)
    return nodes.scatter(base, value, indices, axes, params.mode, params.unique)


def _check_indices(node: Node, indices: Iterable[Node], found: Mapping[Node, Node]) -> None:
    if any(i in found for i in indices):
        raise Unbatched(located(f"{node.op.name}: an index array that is many at once"))


def _in_place(axes: Sequence[bool]) -> bool:
    """Whether index arrays select neighbouring axes: then the selection stands in their place."""
    taken = [k for k, is_index in enumerate(axes) if is_index]
    return taken == list(range(taken[0], taken[-1] + 1))


def _rank(indices: Sequence[Node]) -> int:
    return max(i.type.ndim for i in indices)


def _lead_first(
    many: Node, node: Node, lead: Shape, indices: Sequence[Node], axes: Sequence[bool]
) -> Node:
    if _in_place(axes):
        return many
    front = _rank(indices)
    order = (*range(front, front + len(lead)), *range(front))
    return nodes.transpose(many, (*order, *range(len(order), len(lead) + node.type.ndim)))


def _matrix_function(node: Node, lead: Shape, found: Mapping[Node, Node]) -> Node:
    """Leading axes are batches for all that NumPy computes for stacks; a vector becomes a matrix of
    one column, since beside a matrix NumPy takes an operand of two axes for a matrix."""
    op, params = node.op, node.params
    assert isinstance(op, LinAlg)
    assert isinstance(params, LinAlgParams)
    if not op.batched:
        raise Unbatched(located(f"{op.name} takes one matrix, not many at once"))
    rule = matrices.signature(op.signature)
    column = any(
        core[-1].endswith("?") and x.type.ndim == 1
        for x, core in zip(node.inputs, rule.operands, strict=True)
    )
    batch = max(
        x.type.ndim - len(core) + (column and core[-1].endswith("?"))
        for x, core in zip(node.inputs, rule.operands, strict=True)
    )
    operands = []
    for x, core in zip(node.inputs, rule.operands, strict=True):
        many, own = found.get(x, x), x.type.shape
        if column and core[-1].endswith("?"):
            many, own = matrices.column(many), (*own, 1)
        operands.append(_aligned(many, lead, own, batch + len(core)) if x in found else many)
    types = matrices.result_types(op, operands)
    made = nodes.node(op, tuple(operands), params, types[params.result])
    if column and rule.results[params.result][-1].endswith("?"):
        return nodes.reshape(made, made.type.shape[:-1])
    return made


def _aligned(many: Node, lead: Shape, own: Shape, ndim: int) -> Node:
    """What has the axes lead + own, with as many axes behind the lead as `ndim`."""
    return nodes.reshape(many, (*lead, *(1 for _ in range(ndim - len(own))), *own))


def _repeated(x: Node, lead: Shape) -> Node:
    return nodes.broadcast_to(x, (*lead, *x.type.shape))
