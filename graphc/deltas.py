"""Arrays that are zero off some diagonals, in the graph of a Jacobian.

The identity matrix is the commonest, d x[i] / d x[j]. Such an array is never multiplied: the index
that it equates takes the other one's place, so that a Jacobian comes out as a person would write it
(Laue, Mitterreiter, Giesen, "A Simple and Efficient Tensor Calculus", AAAI 2020).

    sum_j delta[i, j] A[j, k]    -> A[i, k]
    delta(v)[i, j] * B[j]        -> delta(v * B)[i, j]

Slices and places of it are diagonals beside the main one, and sums of those stay sums, of which
each term takes its own part: a matrix of three diagonals costs three vectors' work.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce

from codegen.program import Affine, Broadcast, Reshape, Slice, Transpose
from graphc import nodes
from graphc.ir import Node
from graphc.ops.kinds import Concatenate, Contraction, Einstein, Elementwise, Pad, Place
from graphc.rewrite.bands import DELTA, Band, bands_of, bare, node_of, total
from graphc.rewrite.walk import table_name, uniform
from graphc.types import ArrayType, Shape, Size, size_max, size_min

# The operand in which a zero makes the result zero, whatever the others are.
_KEEPS_ZEROS = {
    "multiply": (0, 1),
    "divide": (0,),
    "negative": (0,),
    "absorb": (0,),
    "f32": (0,),
    "f64": (0,),
}


def delta(type: ArrayType) -> Node:
    """1 where the first half of the indices equals the second: shape of `type`, twice."""
    return on_diagonal(nodes.full(type, 1.0))


def on_diagonal(values: Node) -> Node:
    """The values where the first half of the indices equals the second: their shape, twice."""
    axes = (*range(values.type.ndim),) * 2
    return node_of(Band(values, axes, (0,) * len(axes), values.type.shape * 2))


def simplified(node: Node) -> Node:
    """The node without the deltas among its operands, where index notation does without them."""
    op = node.op
    found: Node | None = None
    if isinstance(op, Contraction):
        found = _substituted(node)
    elif isinstance(op, Elementwise):
        found = _elementwise(node)
    elif isinstance(node.params, Concatenate):
        found = _concatenated(node, node.params.axis)
    elif node.inputs:
        bands = bands_of(node.inputs[0])
        found = None if bands is None else _layout(node, bands)
    return node if found is None else found


# -- contractions ----------------------------------------------------------------------------------


def _substituted(node: Node) -> Node | None:
    """A product and sum over bands: the indices that each of them equates become one."""
    params = node.params
    assert isinstance(params, Einstein)
    if params.body is not None:
        return None
    for k, x in enumerate(node.inputs):
        bands = bands_of(x)
        if bands is None:
            continue
        parts = [_without(node, params, k, band) for band in bands]
        found = [simplified(part) for part in parts if part is not None]
        if len(found) == len(bands):
            return _added(found)
    return None


def _added(terms: Iterable[Node]) -> Node:
    return reduce(lambda a, b: simplified(nodes.add(a, b)), terms)


def _without(node: Node, params: Einstein, k: int, band: Band) -> Node | None:
    """The contraction with a band's values in its place; elsewhere the band gives zeros."""
    places = bare(params.operands[k])
    if places is None:
        return None
    if not band.whole:
        return _within(node, params, k, band, places)
    renamed: dict[str, str] = {}

    def current(name: str) -> str:
        while name in renamed:
            name = renamed[name]
        return name

    stands: dict[int, str] = {}
    for axis, place in zip(band.axes, places, strict=True):
        kept, place = current(stands.setdefault(axis, place)), current(place)
        if kept != place:
            renamed[place] = kept

    def moved(affines: Sequence[Affine]) -> tuple[Affine, ...]:
        return tuple(
            Affine(tuple((current(name), c) for name, c in affine.terms), affine.offset)
            for affine in affines
        )

    operands = [moved(affines) for affines in params.operands]
    operands[k] = tuple(nodes.index(current(stands[axis])) for axis in sorted(stands))
    inputs = [*node.inputs]
    inputs[k] = band.values
    if uniform(inputs[k]) == 1 and len(inputs) > 1:
        del inputs[k], operands[k]
    if any(_doubled(affine) for affines in operands for affine in affines):
        return None  # two indices of one window have become one
    extents = tuple((name, size) for name, size in params.extents if name not in renamed)
    result = moved(params.out)
    names = bare(result)
    if names is None:
        made = Einstein(result, tuple(operands), extents, params.shape)
        return nodes.contraction(node.op, made, *inputs)  # type: ignore[arg-type]
    # What the result has twice is a delta again, of a result that has it once.
    once = list(dict.fromkeys(names))
    sizes: dict[str, Size] = dict(zip(names, params.shape, strict=True))
    shape = tuple(sizes[name] for name in once)
    made = Einstein(tuple(map(nodes.index, once)), tuple(operands), extents, shape)
    values = _transposition(made, inputs) or nodes.contraction(node.op, made, *inputs)  # type: ignore[arg-type]
    axes = tuple(once.index(name) for name in names)
    return node_of(Band(values, axes, (0,) * len(axes), params.shape))


def _within(node: Node, params: Einstein, k: int, band: Band, places: Sequence[str]) -> Node | None:
    """The same with a band that fills its region, from what the other operands have there."""
    extents = dict(params.extents)
    cuts: dict[str, tuple[Size, Size]] = {}
    for name, start, size in zip(places, band.starts, band.sizes, strict=True):
        if cuts.setdefault(name, (start, size)) != (start, size):
            return None
    cuts = {name: cut for name, cut in cuts.items() if cut != (0, extents[name])}

    def region(affines: Sequence[Affine], shape: Shape) -> Slice | None:
        starts, sizes = [], []
        for affine, whole in zip(affines, shape, strict=True):
            found = cuts.keys() & {name for name, _ in affine.terms}
            if found and (affine.index is None or whole != extents[affine.index]):
                return None
            start, size = cuts[str(affine.index)] if found else (0, whole)
            starts.append(start)
            sizes.append(size)
        return Slice(tuple(starts), tuple(sizes), (1,) * len(sizes))

    inputs: list[Node] = []
    for affines, x in zip(params.operands, node.inputs, strict=True):
        cut = region(affines, x.type.shape)
        if cut is None:
            return None
        inputs.append(nodes.slice_(x, cut.starts, cut.sizes, cut.steps))
    inputs[k] = node_of(Band(band.values, band.axes, (0,) * len(band.axes), band.sizes))
    out = region(params.out, params.shape)
    if out is None:
        return None
    inner = tuple((name, cuts[name][1] if name in cuts else n) for name, n in params.extents)
    made = Einstein(params.out, params.operands, inner, out.sizes)
    part = simplified(nodes.contraction(node.op, made, *inputs))  # type: ignore[arg-type]
    return simplified(nodes.place(part, out, params.shape)) if cuts else part


def _doubled(affine: Affine) -> bool:
    names = [name for name, _ in affine.terms]
    return len({*names}) < len(names)


def _transposition(params: Einstein, inputs: Sequence[Node]) -> Node | None:
    """The operand with its axes in another order, where that is all."""
    if len(inputs) != 1:
        return None
    own, out = bare(params.operands[0]), bare(params.out)
    if own is None or out is None or sorted(own) != sorted(out) or len({*own}) < len(own):
        return None
    if len(params.extents) != len(own):
        return None
    return nodes.transpose(inputs[0], tuple(own.index(name) for name in out))


# -- elementwise -----------------------------------------------------------------------------------


def _elementwise(node: Node) -> Node | None:
    """An op that keeps zeros works on the values alone."""
    assert isinstance(node.op, Elementwise)
    name = table_name(node.op)
    if name in ("add", "subtract"):
        bands = bands_of(node)
        return None if bands is None else total(bands)
    for k in _places(node, name):
        x = node.inputs[k]
        bands = bands_of(x) if x.type.shape == node.type.shape else None
        if bands is not None:
            return total([_worked(node, k, band) for band in bands])
    return None


def _places(node: Node, name: str) -> tuple[int, ...]:
    if name == "where":
        return tuple(k for k, other in ((1, 2), (2, 1)) if uniform(node.inputs[other]) == 0)
    return _KEEPS_ZEROS.get(name, ())


def _worked(node: Node, k: int, band: Band) -> Band:
    operands = [
        band.values if j == k else _beside(other, band) for j, other in enumerate(node.inputs)
    ]
    values = nodes.elementwise(node.op, *operands)  # type: ignore[arg-type]
    return Band(values, band.axes, band.starts, band.shape)


def _beside(x: Node, band: Band) -> Node:
    """What stands beside the values: x on the band, its axes as theirs."""
    ndim = band.values.type.ndim
    first = len(band.shape) - x.type.ndim
    kept = [axis for axis, size in enumerate(x.type.shape) if size != 1]
    along = [band.axes[first + axis] for axis in kept]
    shape = tuple(band.values.type.shape[axis] if axis in along else 1 for axis in range(ndim))
    starts = [0 if size == 1 else band.starts[first + k] for k, size in enumerate(x.type.shape)]
    sizes = [1 if size == 1 else band.sizes[first + k] for k, size in enumerate(x.type.shape)]
    part = nodes.slice_(x, tuple(starts), tuple(sizes), (1,) * x.type.ndim)
    narrow = nodes.reshape(part, tuple(sizes[axis] for axis in kept))
    order = sorted({*along})
    if len(order) == len(along):
        moved = nodes.transpose(narrow, tuple(along.index(axis) for axis in order))
        return nodes.reshape(moved, shape)
    names = {axis: nodes.index(f"i{axis}") for axis in order}
    params = Einstein(
        tuple(names[axis] for axis in order),
        (tuple(names[axis] for axis in along),),
        tuple((f"i{axis}", shape[axis]) for axis in order),
        tuple(shape[axis] for axis in order),
    )
    return nodes.reshape(simplified(nodes.contraction(DELTA, params, narrow)), shape)


# -- layout ----------------------------------------------------------------------------------------


def _layout(node: Node, bands: Sequence[Band]) -> Node | None:
    """Axes in another order, parts of axes, axes of size 1 put in or left out, axes repeated."""
    found: list[Band | None]
    match node.params:
        case Slice(starts, sizes, steps) if all(step == 1 for step in steps):
            parts = [_sliced(band, starts, sizes) for band in bands]
            found = [band for band in parts if 0 not in band.sizes]
        case Place(region, shape) if all(step == 1 for step in region.steps):
            found = [_placed(band, region.starts, shape) for band in bands]
        case Pad(widths, value) if str(value) in ("0", "0.0"):
            starts = tuple(before for before, _ in widths)
            found = [_placed(band, starts, node.type.shape) for band in bands]
        case Transpose(axes):
            found = [_transposed(band, axes) for band in bands]
        case Reshape(shape):
            found = [_with_ones(band, shape) for band in bands]
        case Broadcast(shape) if len(shape) == len(bands[0].axes):
            found = [_repeated(band, shape) for band in bands]
        case _:
            return None
    if None in found:
        return None
    return total(found) if found else nodes.zeros(node.type)  # type: ignore[arg-type]


def _concatenated(node: Node, axis: int) -> Node | None:
    """Bands, and zeros, one after another."""
    found: list[Band] = []
    starts: list[Size] = [0] * node.type.ndim
    for x in node.inputs:
        bands = bands_of(x)
        if bands is None and uniform(x) != 0:
            return None
        found += [_placed(band, starts, node.type.shape) for band in bands or ()]
        starts[axis] = starts[axis] + x.type.shape[axis]
    return total(found) if found else None


def _arranged(values: Node, along: Sequence[int], starts: Sequence[Size], shape: Shape) -> Band:
    """The band of which axis `along[k]` of the values runs along axis k."""
    order = list(dict.fromkeys(along))
    axes = tuple(order.index(axis) for axis in along)
    return Band(nodes.transpose(values, tuple(order)), axes, tuple(starts), shape)


def _placed(band: Band, starts: Sequence[Size], shape: Shape) -> Band:
    moved = tuple(own + start for own, start in zip(band.starts, starts, strict=True))
    return Band(band.values, band.axes, moved, shape)


def _transposed(band: Band, axes: Sequence[int]) -> Band:
    along = [band.axes[axis] for axis in axes]
    starts = [band.starts[axis] for axis in axes]
    return _arranged(band.values, along, starts, tuple(band.shape[axis] for axis in axes))


def _sliced(band: Band, starts: Sequence[Size], sizes: Shape) -> Band:
    own = band.values.type.shape
    low: list[Size] = [0] * len(own)
    high = [*own]
    for axis, first, start, size in zip(band.axes, band.starts, starts, sizes, strict=True):
        low[axis] = size_max(low[axis], start - first)
        high[axis] = size_min(high[axis], start - first + size)
    lengths = tuple(b - a for a, b in zip(low, high, strict=True))
    known = {0, *own, *sizes}  # of which none is negative
    left = tuple(size if size in known else size_max(0, size) for size in lengths)
    values = nodes.slice_(band.values, tuple(low), left, (1,) * len(own))
    moved = tuple(
        first + low[axis] - start
        for axis, first, start in zip(band.axes, band.starts, starts, strict=True)
    )
    return Band(values, band.axes, moved, sizes)


def _with_ones(band: Band, shape: Shape) -> Band | None:
    left = [k for k, size in enumerate(band.shape) if size != 1]
    gone = [k for k, size in enumerate(band.shape) if size == 1]
    if [band.shape[k] for k in left] != [size for size in shape if size != 1]:
        return None
    if any(band.sizes[k] != 1 for k in gone):
        return None
    kept = sorted({band.axes[k] for k in left})
    own = [band.values.type.shape[axis] for axis in kept]
    along: list[int] = []
    starts: list[Size] = []
    rest = iter(left)
    for size in shape:
        if size == 1:
            along.append(len(own))
            starts.append(0)
            own.append(1)
        else:
            k = next(rest)
            along.append(kept.index(band.axes[k]))
            starts.append(band.starts[k])
    return _arranged(nodes.reshape(band.values, tuple(own)), along, starts, shape)


def _repeated(band: Band, shape: Shape) -> Band | None:
    own = [*band.values.type.shape]
    for k, (axis, size) in enumerate(zip(band.axes, shape, strict=True)):
        if size != band.shape[k]:
            if band.axes.count(axis) > 1 or band.sizes[k] != 1:
                return None
            own[axis] = size
    return Band(nodes.broadcast_to(band.values, tuple(own)), band.axes, band.starts, shape)
