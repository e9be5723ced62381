"""Identities of moving and repeating: layouts that cancel, sums over what is merely repeated.

Each rule is one function from a node to what may stand in its place (None: it does not apply); no
value changes, and no sum is taken in a less accurate way.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

from codegen.program import Affine, Broadcast, Reshape, Slice, Transpose
from graphc import nodes
from graphc.ir import Node
from graphc.ops.kinds import (
    Axes,
    Concatenate,
    Contraction,
    Einstein,
    Gather,
    Layout,
    Pad,
    Place,
    Reduction,
    Scatter,
)
from graphc.rewrite.repeats import (
    contraction_of_repeated,
    layout_of_number,
    product_with_number,
)
from graphc.rewrite.scatters import (
    gather_of_all,
    scatter_of_all,
    scatter_of_broadcast,
    sum_of_scatter,
    unique_positions,
)
from graphc.rewrite.walk import Rule, fitted, uniform
from graphc.types import Shape, Size, product


def rules_of(node: Node) -> tuple[Rule, ...]:
    """The rules that may apply to a node which is not elementwise."""
    op = node.op
    if isinstance(op, Layout):
        return LAYOUTS.get(type(node.params), ())
    if isinstance(op, Contraction):
        return CONTRACTIONS
    if isinstance(op, Reduction):
        return REDUCTIONS
    if isinstance(op, Scatter):
        return SCATTERS
    if isinstance(op, Gather):
        return GATHERS
    return ()


# -- layouts ---------------------------------------------------------------------------------------


def same_shape(node: Node) -> Node | None:
    """A reshape or repetition to the shape that the value has already."""
    x = node.inputs[0]
    return x if x.type.shape == node.type.shape else None


def reshape_of_reshape(node: Node) -> Node | None:
    """reshape(reshape(x, s), t) -> reshape(x, t)."""
    x = node.inputs[0]
    return nodes.reshape(x.inputs[0], node.type.shape) if isinstance(x.params, Reshape) else None


def broadcast_of_broadcast(node: Node) -> Node | None:
    """repeat(repeat(x, s), t) -> repeat(x, t)."""
    x = node.inputs[0]
    return fitted(x.inputs[0], node) if isinstance(x.params, Broadcast) else None


def broadcast_of_new_axes(node: Node) -> Node | None:
    """repeat(reshape(x, [1, n]), t) -> repeat(x, t): NumPy puts leading axes in by itself."""
    x = node.inputs[0]
    if not isinstance(x.params, Reshape):
        return None
    source = x.inputs[0]
    lead = x.type.ndim - source.type.ndim
    if lead <= 0 or x.type.shape != (1,) * lead + source.type.shape:
        return None
    return fitted(source, node)


def transpose_of_transpose(node: Node) -> Node | None:
    """Two permutations of axes are one, or none."""
    x = node.inputs[0]
    if not isinstance(x.params, Transpose) or not isinstance(node.params, Transpose):
        return None
    first = x.params.axes
    return nodes.transpose(x.inputs[0], tuple(first[axis] for axis in node.params.axes))


def slice_of_whole(node: Node) -> Node | None:
    """x[:] -> x."""
    x, params = node.inputs[0], node.params
    assert isinstance(params, Slice)
    return nodes.slice_(x, *_parts(params)) if _is_whole(params, x.type.shape) else None


def slice_of_slice(node: Node) -> Node | None:
    """x[a::s][b::t] -> x[a + b s::s t]."""
    x, outer = node.inputs[0], node.params
    assert isinstance(outer, Slice)
    inner = x.params
    if not isinstance(inner, Slice):
        return None
    starts = tuple(
        start + at * step
        for start, at, step in zip(inner.starts, outer.starts, inner.steps, strict=True)
    )
    steps = tuple(a * b for a, b in zip(inner.steps, outer.steps, strict=True))
    found = zip(starts, outer.sizes, steps, x.inputs[0].type.shape, strict=True)
    if not all(step > 0 or _begins(start, size, length) for start, size, step, length in found):
        return None
    return nodes.slice_(x.inputs[0], starts, outer.sizes, steps)


def _begins(start: Size, size: Size, length: Size) -> bool:
    """Whether a slice backwards has an element to start at, or begins so far from the axis's end
    that it is empty where it has none."""
    known = isinstance(size, int) or (isinstance(start, int) and start >= 0)
    return known or isinstance(start - length, int)


def slice_of_place(node: Node) -> Node | None:
    """What was written at a region and is read there again."""
    x = node.inputs[0]
    if isinstance(x.params, Place) and x.params.region == node.params:
        return x.inputs[0]
    return None


def place_of_place(node: Node) -> Node | None:
    """A value written into zeros that are written into more zeros: written there at once."""
    x, outer = node.inputs[0], node.params
    assert isinstance(outer, Place)
    if not isinstance(x.params, Place):
        return None
    inner, region = x.params.region, outer.region
    starts = tuple(
        start + at * step
        for start, at, step in zip(region.starts, inner.starts, region.steps, strict=True)
    )
    steps = tuple(a * b for a, b in zip(region.steps, inner.steps, strict=True))
    if any(
        isinstance(step, int) and step < 0 and not isinstance(size, int)
        for step, size in zip(steps, inner.sizes, strict=True)
    ):
        return None  # backwards over a size that may be 0 there is no element to start at
    return nodes.place(x.inputs[0], Slice(starts, inner.sizes, steps), outer.shape)


def place_in_whole(node: Node) -> Node | None:
    """A value written over all of the zeros."""
    x, params = node.inputs[0], node.params
    assert isinstance(params, Place)
    return x if _is_whole(params.region, params.shape) else None


def pad_nothing(node: Node) -> Node | None:
    """A pad by nothing."""
    x, params = node.inputs[0], node.params
    assert isinstance(params, Pad)
    return x if all(before == 0 and after == 0 for before, after in params.widths) else None


def concatenate_slices(node: Node) -> Node | None:
    """Neighbouring slices of one value, joined again, are one slice of it."""
    params = node.params
    assert isinstance(params, Concatenate)
    axis = params.axis
    first = node.inputs[0]
    if not isinstance(first.params, Slice):
        return None
    total: Size = 0
    for part in node.inputs:
        region = part.params
        if not isinstance(region, Slice) or part.inputs[0] is not first.inputs[0]:
            return None
        if any(step != 1 for step in region.steps):
            return None
        if _without(region.starts, axis) != _without(first.params.starts, axis):
            return None
        if region.starts[axis] != first.params.starts[axis] + total:
            return None
        total = total + region.sizes[axis]
    return nodes.slice_(first.inputs[0], first.params.starts, node.type.shape, first.params.steps)


def concatenate_one(node: Node) -> Node | None:
    """The concatenation of one."""
    return node.inputs[0] if len(node.inputs) == 1 else None


def _parts(region: Slice) -> tuple[tuple[Size, ...], Shape, tuple[Size, ...]]:
    return region.starts, region.sizes, region.steps


def _is_whole(region: Slice, shape: Shape) -> bool:
    return (
        region.sizes == shape
        and all(start == 0 for start in region.starts)
        and all(step == 1 for step in region.steps)
    )


def _without(sizes: tuple[Size, ...], axis: int) -> tuple[Size, ...]:
    return sizes[:axis] + sizes[axis + 1 :]


# -- sums and folds --------------------------------------------------------------------------------


def sum_of_nothing(node: Node) -> Node | None:
    """A contraction of one operand that sums nothing: its axes, reordered."""
    own = _indices(node)
    params = node.params
    assert isinstance(params, Einstein)
    if own is None or len(own) != len(params.out) or len(params.extents) != len(own):
        return None
    out = [affine.index for affine in params.out]
    if None in out or set(out) != set(own):
        return None
    return nodes.transpose(node.inputs[0], tuple(own.index(name or "") for name in out))


def sum_of_broadcast(node: Node) -> Node | None:
    """The sum over axes along which x is repeated: n * x, more accurate than adding n times.

    Where n is known only at the call, x must be a finite constant: were n zero, 0 * inf would be
    NaN and the empty sum is 0.
    """
    own = _indices(node)
    x, params = node.inputs[0], node.params
    if own is None or not isinstance(x.params, Broadcast) or not isinstance(params, Einstein):
        return None
    source = x.inputs[0]
    lead = x.type.ndim - source.type.ndim
    repeated = {
        name
        for k, name in enumerate(own)
        if k < lead or (source.type.shape[k - lead] == 1 and x.type.shape[k] != 1)
    }
    if {name for name, _ in params.extents} != set(own):
        return None
    out = [affine.index for affine in params.out]
    kept = {name for name in out if name is not None}
    summed = [k for k, name in enumerate(own) if name in repeated and name not in kept]
    if not summed or len(kept) != len(out):
        return None
    count = product(tuple(x.type.shape[k] for k in summed))
    value = uniform(source)
    if not isinstance(count, int) and (value is None or not isfinite(value)):
        return None
    if count == 0:
        return None
    # Take the summed axes off the source, then repeat it along those that stay, then sum the rest.
    thin = tuple(size for k, size in enumerate(source.type.shape, start=lead) if k not in summed)
    wide = tuple(size for k, size in enumerate(x.type.shape) if k not in summed)
    rest = nodes.broadcast_to(nodes.reshape(source, thin), wide)
    names = [name for k, name in enumerate(own) if k not in summed]
    total = nodes.multiply(rest, nodes.size(count, x.type.dtype))
    left = tuple((name, size) for name, size in params.extents if name in names)
    smaller = Einstein(params.out, (tuple(map(nodes.index, names)),), left, params.shape)
    op = node.op
    assert isinstance(op, Contraction)
    return nodes.contraction(op, smaller, total)


def contraction_of_transpose(node: Node) -> Node | None:
    """An operand's axes may be permuted in the index formula instead."""
    params = node.params
    assert isinstance(params, Einstein)
    if not any(isinstance(x.params, Transpose) for x in node.inputs):
        return None
    inputs: list[Node] = []
    operands: list[tuple[Affine, ...]] = []
    for x, indices in zip(node.inputs, params.operands, strict=True):
        if isinstance(x.params, Transpose):
            place = {axis: k for k, axis in enumerate(x.params.axes)}
            operands.append(tuple(indices[place[axis]] for axis in range(len(indices))))
            inputs.append(x.inputs[0])
        else:
            operands.append(indices)
            inputs.append(x)
    op = node.op
    assert isinstance(op, Contraction)
    moved = Einstein(params.out, tuple(operands), params.extents, params.shape, params.body)
    return nodes.contraction(op, moved, *inputs)


def _indices(node: Node) -> list[str] | None:
    """The bare, distinct indices of a plain sum's one operand; None for every other contraction."""
    params = node.params
    assert isinstance(params, Einstein)
    if params.body is not None or len(node.inputs) != 1:
        return None
    names: list[str] = []
    for affine in params.operands[0]:
        if affine.index is None or affine.index in names:
            return None
        names.append(affine.index)
    return names


def fold_of_nothing(node: Node) -> Node | None:
    """max, min and prod over axes of size 1, and running ones along such an axis: the element."""
    op, params, x = node.op, node.params, node.inputs[0]
    assert isinstance(op, Reduction)
    assert isinstance(params, Axes)
    if op.result != "same" or any(x.type.shape[axis] != 1 for axis in params.axes):
        return None
    return nodes.reshape(x, node.type.shape)


LAYOUTS: Mapping[type, tuple[Rule, ...]] = {
    Reshape: (same_shape, reshape_of_reshape, layout_of_number),
    Broadcast: (same_shape, broadcast_of_broadcast, broadcast_of_new_axes),
    Transpose: (transpose_of_transpose, layout_of_number),
    Slice: (slice_of_whole, slice_of_slice, slice_of_place, layout_of_number),
    Place: (place_in_whole, place_of_place),
    Pad: (pad_nothing,),
    Concatenate: (concatenate_one, concatenate_slices),
}
CONTRACTIONS: tuple[Rule, ...] = (
    sum_of_nothing,
    sum_of_broadcast,
    contraction_of_transpose,
    contraction_of_repeated,
    product_with_number,
    sum_of_scatter,
)
REDUCTIONS: tuple[Rule, ...] = (fold_of_nothing,)
SCATTERS: tuple[Rule, ...] = (scatter_of_all, unique_positions, scatter_of_broadcast)
GATHERS: tuple[Rule, ...] = (gather_of_all,)
