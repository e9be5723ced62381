"""What the stabilising rules look for, and the shifted sums that they build.

A matcher takes a node and returns its parts, or None. None of them looks at types: `stabilise`
meets floating nodes only, and `rebuild` checks that a rule kept the type.
"""

from __future__ import annotations

from codegen.program import Broadcast, Diagonal, Reshape, Slice, Transpose
from graphc import nodes
from graphc.ir import Node
from graphc.ops.elementwise import TABLE
from graphc.ops.kinds import (
    Contraction,
    Einstein,
    Elementwise,
    Gather,
    Indexing,
    Reduction,
    SizeParams,
)
from graphc.ops.reductions import REDUCTIONS
from graphc.rewrite.walk import table_name, uniform
from graphc.types import array_type


def apply(name: str, *operands: Node) -> Node:
    """A table op on operands."""
    return nodes.elementwise(TABLE[name], *operands)


def operand_of(node: Node, name: str) -> Node | None:
    """The operand of a unary table op."""
    if isinstance(node.op, Elementwise) and table_name(node.op) == name:
        return node.inputs[0]
    return None


def operands_of(node: Node, name: str) -> tuple[Node, Node] | None:
    """The operands of a binary table op."""
    if isinstance(node.op, Elementwise) and table_name(node.op) == name:
        return node.inputs[0], node.inputs[1]
    return None


def one_plus(node: Node) -> Node | None:
    """x of 1 + x or x + 1."""
    parts = operands_of(node, "add")
    if parts is None:
        return None
    a, b = parts
    if uniform(a) == 1:
        return b
    return a if uniform(b) == 1 else None


def one_minus(node: Node) -> Node | None:
    """x of 1 - x."""
    parts = operands_of(node, "subtract")
    return parts[1] if parts is not None and uniform(parts[0]) == 1 else None


def minus_one(node: Node) -> Node | None:
    """x of x - 1 or x + (-1)."""
    parts = operands_of(node, "subtract")
    if parts is not None and uniform(parts[1]) == 1:
        return parts[0]
    parts = operands_of(node, "add")
    if parts is None:
        return None
    a, b = parts
    if uniform(b) == -1:
        return a
    return b if uniform(a) == -1 else None


def square_of(node: Node) -> Node | None:
    """x of x * x, x ** 2 or square(x)."""
    x = operand_of(node, "square")
    if x is not None:
        return x
    parts = operands_of(node, "multiply")
    if parts is not None and parts[0] is parts[1]:
        return parts[0]
    parts = operands_of(node, "power")
    return parts[0] if parts is not None and uniform(parts[1]) == 2 else None


def negated(node: Node) -> Node:
    """-x, without a sign more than needed: -(-x) is x, -(a - b) is b - a, -(x * -1) is x."""
    x = operand_of(node, "negative")
    if x is not None:
        return x
    parts = operands_of(node, "subtract")
    if parts is not None:
        return apply("subtract", parts[1], parts[0])
    parts = operands_of(node, "multiply")
    if parts is not None:
        for x, factor in (parts, parts[::-1]):
            if uniform(factor) == -1 and x.type == node.type:
                return x
    return apply("negative", node)


def sum_of(node: Node) -> tuple[Node, tuple[int, ...]] | None:
    """(x, axes) of a plain sum of x over axes, the other axes in their order."""
    params = node.params
    if not isinstance(node.op, Contraction) or not isinstance(params, Einstein):
        return None
    if params.body is not None or len(node.inputs) != 1:
        return None
    own = [affine.index for affine in params.operands[0]]
    out = [affine.index for affine in params.out]
    if None in own or len(set(own)) != len(own) or len(params.extents) != len(own):
        return None
    if [name for name in own if name in out] != out:
        return None
    return node.inputs[0], tuple(k for k, name in enumerate(own) if name not in out)


def kept_shape(x: Node, axes: tuple[int, ...]) -> tuple[object, ...]:
    """The shape of x reduced over axes, these kept as axes of size 1."""
    return tuple(1 if k in axes else size for k, size in enumerate(x.type.shape))


def exp_sum(node: Node) -> tuple[Node, tuple[int, ...]] | None:
    """(x, axes) of the sum of exp(x) over axes, reshaped or not (keepdims)."""
    if isinstance(node.params, Reshape):
        node = node.inputs[0]
    parts = sum_of(node)
    if parts is None:
        return None
    x = operand_of(parts[0], "exp")
    return None if x is None else (x, parts[1])


def normaliser(node: Node, x: Node) -> tuple[int, ...] | None:
    """The axes, where `node` is the sum of exp(x) over axes and stands so that exp(x) / node
    divides every element by the sum it belongs to."""
    parts = exp_sum(node)
    if parts is None or parts[0] is not x:
        return None
    axes = parts[1]
    aligned = axes == tuple(range(len(axes)))  # leading axes: what is left lines up by itself
    if node.type.shape == kept_shape(x, axes) or (aligned and node.params.__class__ is not Reshape):
        return axes
    return None


def sum_of_squares(node: Node) -> bool:
    """Whether this is a sum of x * x over axes, or x @ x, or a positive multiple of one."""
    if isinstance(node.params, Reshape):
        node = node.inputs[0]
    for name in ("divide", "multiply"):
        parts = operands_of(node, name)
        if parts is None:
            continue
        total, scale = parts if positive_scale(parts[1]) else parts[::-1]
        divided = name == "divide" and total is not parts[0]
        return positive_scale(scale) and not divided and sum_of_squares(total)
    params = node.params
    if isinstance(params, Einstein) and len(node.inputs) == 2:
        same = node.inputs[0] is node.inputs[1] and params.operands[0] == params.operands[1]
        return same and params.body is None
    summed = sum_of(node)
    return summed is not None and bool(summed[1]) and square_of(summed[0]) is not None


def positive_scale(node: Node) -> bool:
    """Whether this is a number above zero: a constant, or a size."""
    value = uniform(node)
    if value is not None:
        return value > 0
    while isinstance(node.op, Elementwise) and table_name(node.op) in ("f32", "f64"):
        node = node.inputs[0]
    return isinstance(node.params, SizeParams)


# -- selections ------------------------------------------------------------------------------------

# How many selections may stand between a logarithm and what it undoes.
_SELECTIONS = 8
Selections = tuple[Node, ...]


def below_selections(node: Node) -> tuple[Node, Selections]:
    """What the node's elements are taken from (reshaped, sliced, indexed), and the nodes that take
    them, the last one first. An elementwise function may as well be applied before."""
    taken: list[Node] = []
    while len(taken) < _SELECTIONS:
        moves = isinstance(node.params, Reshape | Transpose | Broadcast | Slice | Diagonal)
        if not moves and not isinstance(node.op, Gather):
            break
        taken.append(node)
        node = node.inputs[0]
    return node, tuple(taken)


def select(x: Node, selections: Selections) -> Node:
    """The same elements of x, which has the shape of what they were taken from."""
    for taker in reversed(selections):
        type = array_type(x.type.dtype, taker.type.shape)
        x = nodes.node(taker.op, (x, *taker.inputs[1:]), taker.params, type)
    return x


def select_repeated(x: Node, like: Node, selections: Selections) -> Node:
    """The same elements of x as it is repeated to the shape of `like`, which they are taken from.

    Where every axis is indexed, the axes along which x is repeated need no index.
    """
    shape = (1,) * (like.type.ndim - x.type.ndim) + x.type.shape
    taker = selections[-1]
    params = taker.params
    if isinstance(params, Indexing) and params.axes == (True,) * len(shape):
        own = [k for k, size in enumerate(shape) if size != 1]
        thin = nodes.reshape(x, tuple(shape[k] for k in own))
        indices = [taker.inputs[1 + k] for k in own]
        if own:
            thin = nodes.gather(thin, indices, (True,) * len(own))
        first = nodes.broadcast_to(thin, taker.type.shape)
        return select(first, selections[:-1])
    return select(nodes.broadcast_to(x, like.type.shape), selections)


def exponent_of(node: Node) -> Node | None:
    """x, where the node's elements are taken from exp(x): the same elements of x."""
    source, selections = below_selections(node)
    x = operand_of(source, "exp")
    return None if x is None else select(x, selections)


# -- shifts ----------------------------------------------------------------------------------------

# How far below a subtraction a maximum may lie: reshape, repeat, stop_gradient, a guard by `where`.
_DEPTH = 8


def is_shifted(node: Node) -> bool:
    """Whether the node is x - max(x), by whatever route the maximum is guarded and reshaped."""
    parts = operands_of(node, "subtract")
    if parts is None:
        return False
    x, stack = parts[0], [(parts[1], 0)]
    while stack:
        candidate, depth = stack.pop()
        if isinstance(candidate.op, Reduction):
            if candidate.op == REDUCTIONS["max"] and _source(candidate.inputs[0]) is _source(x):
                return True
            continue
        moves = isinstance(candidate.params, Reshape | Broadcast)
        if depth < _DEPTH and (moves or _guards(candidate)):
            stack.extend((below, depth + 1) for below in candidate.inputs)
    return False


def _guards(node: Node) -> bool:
    return isinstance(node.op, Elementwise) and table_name(node.op) in ("stop_gradient", "where")


def _source(node: Node) -> Node:
    while isinstance(node.op, Elementwise) and table_name(node.op) == "stop_gradient":
        node = node.inputs[0]
    return node


def shiftable(x: Node, axes: tuple[int, ...]) -> bool:
    """Whether the maximum over axes exists, and x is not shifted by it already."""
    return bool(axes) and all(x.type.shape[k] != 0 for k in axes) and not is_shifted(x)


def shift(x: Node, axes: tuple[int, ...]) -> Node:
    """The maximum over axes, kept as axes of size 1, held constant; 0 where it is not finite.

    A sum of exp(x - shift) neither overflows nor vanishes. Where the maximum is infinite, exp(x)
    itself gives the right infinity or zero.
    """
    top = nodes.reduction("max", x, axes, keepdims=True)
    zero = nodes.constant(0, x.type.dtype)
    return apply("stop_gradient", apply("where", apply("isfinite", top), top, zero))


def held_shift(x: Node, axes: tuple[int, ...]) -> tuple[Node, Node] | None:
    """(u, t) of x = u - t, where t is the same along axes and its gradient is not stopped yet.

    The sum of exp(u - t) over those axes is only scaled by t, so that a softmax does not depend on
    it, whatever t is.
    """
    parts = operands_of(x, "subtract")
    if parts is None:
        return None
    u, t = parts
    lead = u.type.ndim - t.type.ndim
    constant = lead >= 0 and all(k < lead or t.type.shape[k - lead] == 1 for k in axes)
    if not constant or u.type != x.type or not t.inputs or operand_of(t, "stop_gradient"):
        return None
    return u, t


def hold(u: Node, t: Node) -> Node:
    """u - t, with t held constant by differentiation."""
    return apply("subtract", u, apply("stop_gradient", t))


def logsumexp(x: Node, axes: tuple[int, ...]) -> Node:
    """log(sum(exp(x), axes)), shifted by the maximum."""
    top = shift(x, axes)
    total = nodes.sum_(apply("exp", apply("subtract", x, top)), axes)
    return nodes.add(apply("log", total), nodes.reshape(top, total.type.shape))


def softmax(x: Node, axes: tuple[int, ...]) -> Node:
    """exp(x) / sum(exp(x), axes), shifted by the maximum."""
    exps = apply("exp", apply("subtract", x, shift(x, axes)))
    return apply("divide", exps, nodes.sum_(exps, axes, keepdims=True))
