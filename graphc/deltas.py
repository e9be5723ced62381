"""Arrays that are zero wherever two of their indices differ: y[i, i, j] = v[i, j].

The identity matrix is the commonest, d x[i] / d x[j]. Such an array is never multiplied: the index
that it equates takes the other one's place, so that a Jacobian comes out as a person would write it
(Laue, Mitterreiter, Giesen, "A Simple and Efficient Tensor Calculus", AAAI 2020).

    sum_j delta[i, j] A[j, k]    -> A[i, k]
    delta(v)[i, j] * B[j]        -> delta(v * B)[i, j]
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from codegen.program import Affine, Broadcast, Reshape, Transpose
from graphc import nodes
from graphc.ir import Node
from graphc.ops.kinds import Contraction, Einstein, Elementwise
from graphc.rewrite.walk import table_name, uniform
from graphc.types import ArrayType, Shape, Size

DELTA = Contraction("delta")

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
    names = [f"i{k}" for k in range(type.ndim)]
    ones = nodes.full(type, 1.0)
    return _delta(ones, names, [*names, *names]) if names else ones


def simplified(node: Node) -> Node:
    """The node without the deltas among its operands, where index notation does without them."""
    op = node.op
    found: Node | None = None
    if isinstance(op, Contraction):
        found = _substituted(node)
    elif isinstance(op, Elementwise):
        found = _elementwise(node)
    elif node.inputs and _names(node.inputs[0]) is not None:
        found = _layout(node)
    return node if found is None else found


# -- what a delta is -------------------------------------------------------------------------------


def _delta(values: Node, own: Sequence[str], out: Sequence[str]) -> Node:
    """y[out] = values[own]: every index of `own` is in `out`, some twice."""
    sizes = dict(zip(own, values.type.shape, strict=True))
    shape = tuple(sizes[name] for name in out)
    at = tuple(nodes.index(name) for name in own)
    params = Einstein(tuple(nodes.index(name) for name in out), (at,), tuple(sizes.items()), shape)
    return nodes.contraction(DELTA, params, values)


def _names(node: Node) -> tuple[list[str], list[str]] | None:
    """The indices of the values and of the result, where the node is a delta."""
    params = node.params
    if not isinstance(params, Einstein) or len(node.inputs) != 1 or params.body is not None:
        return None
    own, out = _bare(params.operands[0]), _bare(params.out)
    if own is None or out is None or len(out) == len(own):
        return None
    if len({*own}) < len(own) or {*own} != {*out} or len(params.extents) != len(own):
        return None
    return own, out


def _bare(places: Sequence[Affine]) -> list[str] | None:
    found = [affine.index for affine in places]
    return None if None in found else found  # type: ignore[return-value]


# -- contractions ----------------------------------------------------------------------------------


def _substituted(node: Node) -> Node | None:
    """A product and sum over a delta: its equal indices become one."""
    params = node.params
    assert isinstance(params, Einstein)
    if params.body is not None:
        return None
    for k, x in enumerate(node.inputs):
        inner = _names(x)
        places = _bare(params.operands[k])
        if inner is None or places is None:
            continue
        found = _without(node, params, k, inner, places)
        if found is not None:
            return simplified(found)
    return None


def _without(
    node: Node, params: Einstein, k: int, inner: tuple[list[str], list[str]], places: list[str]
) -> Node | None:
    own, out = inner
    renamed: dict[str, str] = {}

    def current(name: str) -> str:
        while name in renamed:
            name = renamed[name]
        return name

    stands: dict[str, str] = {}
    for index, place in zip(out, places, strict=True):
        kept, place = current(stands.setdefault(index, place)), current(place)
        if kept != place:
            renamed[place] = kept

    def moved(affines: Sequence[Affine]) -> tuple[Affine, ...]:
        return tuple(
            Affine(tuple((current(name), c) for name, c in affine.terms), affine.offset)
            for affine in affines
        )

    operands = [moved(affines) for affines in params.operands]
    operands[k] = tuple(nodes.index(current(stands[name])) for name in own)
    inputs = [*node.inputs]
    inputs[k] = node.inputs[k].inputs[0]
    if uniform(inputs[k]) == 1 and len(inputs) > 1:
        del inputs[k], operands[k]
    if any(_doubled(affine) for affines in operands for affine in affines):
        return None  # two indices of one window have become one
    extents = tuple((name, size) for name, size in params.extents if name not in renamed)
    result = moved(params.out)
    names = _bare(result)
    if names is None:
        made = Einstein(result, tuple(operands), extents, params.shape)
        return nodes.contraction(node.op, made, *inputs)  # type: ignore[arg-type]
    # What the result has twice is a delta again, of a result that has it once.
    once = list(dict.fromkeys(names))
    sizes: dict[str, Size] = dict(zip(names, params.shape, strict=True))
    shape = tuple(sizes[name] for name in once)
    made = Einstein(tuple(map(nodes.index, once)), tuple(operands), extents, shape)
    values = _transposition(made, inputs) or nodes.contraction(node.op, made, *inputs)  # type: ignore[arg-type]
    return values if len(once) == len(names) else _delta(values, once, names)


def _doubled(affine: Affine) -> bool:
    names = [name for name, _ in affine.terms]
    return len({*names}) < len(names)


def _transposition(params: Einstein, inputs: Sequence[Node]) -> Node | None:
    """The operand with its axes in another order, where that is all."""
    if len(inputs) != 1:
        return None
    own, out = _bare(params.operands[0]), _bare(params.out)
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
        return _sum(node)
    for k in _places(node, name):
        x = node.inputs[k]
        inner = _names(x)
        if inner is None or x.type.shape != node.type.shape:
            continue
        own, out = inner
        operands = [
            x.inputs[0] if j == k else _on_diagonal(other, own, out)
            for j, other in enumerate(node.inputs)
        ]
        return _delta(nodes.elementwise(node.op, *operands), own, out)
    return None


def _places(node: Node, name: str) -> tuple[int, ...]:
    if name == "where":
        return tuple(k for k, other in ((1, 2), (2, 1)) if uniform(node.inputs[other]) == 0)
    return _KEEPS_ZEROS.get(name, ())


def _sum(node: Node) -> Node | None:
    """Of two deltas of the same indices."""
    a, b = node.inputs
    first, second = _names(a), _names(b)
    if first is None or second is None or first[1] != second[1] or a.type != b.type:
        return None
    own, out = first
    order = tuple(second[0].index(name) for name in own)
    other = nodes.transpose(b.inputs[0], order)
    assert isinstance(node.op, Elementwise)
    return _delta(nodes.elementwise(node.op, a.inputs[0], other), own, out)


def _on_diagonal(x: Node, own: Sequence[str], out: Sequence[str]) -> Node:
    """What stands beside the values: x where equal indices are equal, axes as `own` has them."""
    names = out[len(out) - x.type.ndim :]
    kept = [(name, size) for name, size in zip(names, x.type.shape, strict=True) if size != 1]
    sizes: dict[str, Size] = dict(kept)
    shape: Shape = tuple(sizes.get(name, 1) for name in own)
    if not kept:
        return nodes.reshape(x, shape)
    narrow = nodes.reshape(x, tuple(size for _, size in kept))
    order = [name for name in own if name in sizes]
    if len(sizes) == len(kept):
        positions = [name for name, _ in kept]
        moved = nodes.transpose(narrow, tuple(positions.index(name) for name in order))
        return nodes.reshape(moved, shape)
    params = Einstein(
        tuple(map(nodes.index, order)),
        (tuple(nodes.index(name) for name, _ in kept),),
        tuple((name, sizes[name]) for name in order),
        tuple(sizes[name] for name in order),
    )
    return nodes.reshape(nodes.contraction(DELTA, params, narrow), shape)


# -- layout ----------------------------------------------------------------------------------------


def _layout(node: Node) -> Node | None:
    """Axes in another order, axes of size 1 put in or left out, axes repeated."""
    (x, *_) = node.inputs
    inner = _names(x)
    assert inner is not None
    own, out = inner
    match node.params:
        case Transpose(axes):
            return _delta(x.inputs[0], own, [out[axis] for axis in axes])
        case Reshape(shape):
            return _with_ones(x, own, out, shape)
        case Broadcast(shape) if len(shape) == len(out):
            return _repeated(x, own, out, shape)
    return None


def _with_ones(x: Node, own: list[str], out: list[str], shape: Shape) -> Node | None:
    sizes = dict(zip(out, x.type.shape, strict=True))
    left = [name for name in out if sizes[name] != 1]
    if [sizes[name] for name in left] != [size for size in shape if size != 1]:
        return None
    fresh = (name for name in map("k{}".format, count()) if name not in sizes)
    remaining, ones, names = iter(left), [], []
    for size in shape:
        if size == 1:
            ones.append(next(fresh))
        names.append(ones[-1] if size == 1 else next(remaining))
    kept = [name for name in own if sizes[name] != 1]
    values = nodes.reshape(x.inputs[0], (*(sizes[name] for name in kept), *(1 for _ in ones)))
    return _delta(values, [*kept, *ones], names) if len(names) > len(kept) + len(ones) else None


def _repeated(x: Node, own: list[str], out: list[str], shape: Shape) -> Node | None:
    sizes = dict(zip(out, shape, strict=True))
    if any(sizes[name] != size for name, size in zip(out, shape, strict=True)):
        return None
    return _delta(nodes.broadcast_to(x.inputs[0], tuple(sizes[name] for name in own)), own, out)
