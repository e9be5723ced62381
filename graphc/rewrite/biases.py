"""What is added to all columns of a product of matrices is one more term of it.

    A @ x.T + b[:, None]           ->  c = [A, b] @ [x, 1].T
    d @ x, and d.sum(axis=1)       ->  e = d @ [x, 1];  e[:, :-1], and e[:, -1]

The product is written once, not read and written again; nor is what its gradient sums read twice.
This is done where the product is far larger than its factors, so that one term more, and copies of
the factors, cost less than a pass over it: the densities of a mixture, many points on a few axes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from codegen.program import Broadcast
from codegen.record import struct
from graphc import nodes
from graphc.ir import Graph, Node
from graphc.ops.kinds import Contraction, Einstein
from graphc.order import users
from graphc.rewrite.patterns import operand_of, operands_of, sum_of
from graphc.rewrite.stacking import resized
from graphc.rewrite.walk import planned
from graphc.types import FLOATING, Shape, Size, array_type
from graphc.types import product as size_of

# Smaller products take less than what is done for them.
_FEWEST = 1 << 16
# So many times as large as its factors is a product that gets another term.
_WORTH = 8

Uses = Mapping[Node, Sequence[Node]]


@struct
class _Bias:
    """A product and what is added to it, which becomes a column of `factor` (0 or 1).

    own: the bias's shape beside the product's; summed: the axis of each factor that is summed.
    """

    product: Node
    bias: Node
    negated: bool
    factor: int
    own: Shape
    summed: tuple[int, int]


@struct
class _Pair:
    """A product whose `factor` gets a column of ones along `axis`, axis `at` of the result.

    negated: the sum is that of -d.
    """

    product: Node
    factor: int
    axis: int
    at: int
    negated: bool


def biases_as_terms(graph: Graph) -> Graph:
    """The graph with such sums as products of one more term. Results are kept to rounding."""
    uses = users(graph.nodes)
    returned = {node for _, node in graph.outputs}
    found: dict[Node, _Bias] = {}
    for node in graph.nodes:
        bias = _bias(node)
        if bias is not None and len(uses[bias.product]) == 1 and bias.product not in returned:
            found[node] = bias
    if not found:
        return graph
    pairs = _pairs(found.values(), uses, {node: n for n, node in enumerate(graph.nodes)})
    extended: dict[tuple[Node, int], Node] = {}
    joined: dict[Node, Node] = {}

    def with_ones(x: Node, axis: int) -> Node:
        if (x, axis) not in extended:
            ones = nodes.full(array_type(x.type.dtype, _resized(x, axis, 1)), 1.0)
            extended[x, axis] = nodes.concatenate((x, ones), axis)
        return extended[x, axis]

    def step(original: Node, current: Node, done: Mapping[Node, Node]) -> Node:
        bias, pair = found.get(original), pairs.get(original)
        if bias is not None:
            product, added = done[bias.product], done[bias.bias]
            inputs = list(product.inputs)
            other = 1 - bias.factor
            inputs[bias.factor] = _with_column(product, added, bias)
            inputs[other] = with_ones(inputs[other], bias.summed[other])
            return _multiplied(product, inputs, bias.factor, bias.summed[bias.factor])
        if pair is None:
            return current
        if pair.product not in joined:
            inputs = [done[x] for x in pair.product.inputs]
            inputs[pair.factor] = with_ones(inputs[pair.factor], pair.axis)
            joined[pair.product] = _multiplied(pair.product, inputs, pair.factor, pair.axis)
        return _part(joined[pair.product], pair, original)

    return planned(graph, step)


def _names(node: Node) -> list[list[str]]:
    """In a product of two factors, the names of the result's axes, and of each factor's; empty for
    all else, and where an axis has no index of its own."""
    params = node.params
    if not isinstance(node.op, Contraction) or not isinstance(params, Einstein):
        return []
    if params.body is not None or len(node.inputs) != 2 or node.type.dtype not in FLOATING:
        return []
    rows = []
    for indices in (params.out, *params.operands):
        names = [affine.index for affine in indices if affine.index is not None]
        if len(set(names)) != len(indices):
            return []
        rows.append(names)
    return rows


def _resized(x: Node, axis: int, size: Size) -> Shape:
    return (*x.type.shape[:axis], size, *x.type.shape[axis + 1 :])


def _multiplied(product: Node, inputs: Sequence[Node], factor: int, axis: int) -> Node:
    """The product of other factors, one of which has become longer along an axis."""
    params = product.params
    assert isinstance(product.op, Contraction)
    assert isinstance(params, Einstein)
    name = params.operands[factor][axis].index
    assert name is not None
    longer = resized(params, name, inputs[factor].type.shape[axis])
    return nodes.contraction(product.op, longer, *inputs)


# -- a product and what is added to it -------------------------------------------------------------


def _bias(node: Node) -> _Bias | None:
    """The parts of product + bias, bias + product, product - bias."""
    added, taken = operands_of(node, "add"), operands_of(node, "subtract")
    sides = (added, added[::-1]) if added else (taken,) if taken else ()
    for product, bias in sides:
        rows = _names(product)
        if not rows or product.name or product.type != node.type or not _is_large(product):
            continue
        while isinstance(bias.params, Broadcast):
            bias = bias.inputs[0]
        own = (1,) * (node.type.ndim - bias.type.ndim) + bias.type.shape
        out, *factors = rows
        varies = {name for name, size in zip(out, own, strict=True) if size != 1}
        summed = {*factors[0], *factors[1]} - set(out)
        if bias.type.dtype != node.type.dtype or len(summed) != 1 or not varies:
            continue
        (name,) = summed
        for factor, names in enumerate(factors):
            alone = set(names) - set(factors[1 - factor])
            if varies <= set(names) and name not in alone and varies != set(out):
                at = (factors[0].index(name), factors[1].index(name))
                return _Bias(product, bias, added is None, factor, own, at)
    return None


def _is_large(product: Node) -> bool:
    """Whether a pass over the product takes more than one term more."""
    sizes = [size_of(x.type.shape) for x in (product, *product.inputs)]
    if not all(isinstance(size, int) for size in sizes):
        return False
    most, *factors = (size for size in sizes if isinstance(size, int))
    return most >= max(_FEWEST, _WORTH * sum(factors))


def _with_column(product: Node, added: Node, bias: _Bias) -> Node:
    """The factor, and what is added as one more column of it."""
    out, *factors = _names(product)
    names, axis = factors[bias.factor], bias.summed[bias.factor]
    kept = [k for k, name in enumerate(out) if name in names]
    column = nodes.reshape(added, tuple(bias.own[k] for k in kept))
    order = [name for k, name in enumerate(names) if k != axis]
    column = nodes.transpose(column, tuple([out[k] for k in kept].index(name) for name in order))
    column = nodes.expand_dims(column, axis)
    factor = product.inputs[bias.factor]
    column = nodes.broadcast_to(column, _resized(factor, axis, 1))
    if bias.negated:
        column = nodes.elementwise("negative", column)
    return nodes.concatenate((factor, column), axis)


# -- a product, and a sum that reads one factor of it ----------------------------------------------


def _pairs(biases: Iterable[_Bias], uses: Uses, order: Mapping[Node, int]) -> dict[Node, _Pair]:
    """Products with a factor that has got ones, and the sums that these give."""
    found: dict[Node, _Pair] = {}
    for bias in biases:
        other = 1 - bias.factor
        x, axis = bias.product.inputs[other], bias.summed[other]
        for product in uses[x]:
            rows = _names(product)
            if not rows or product.inputs[0] is product.inputs[1]:
                continue
            out, *factors = rows
            factor = product.inputs.index(x)
            d, names, name = product.inputs[1 - factor], factors[1 - factor], factors[factor][axis]
            axes = tuple(k for k, each in enumerate(names) if each not in out)
            rest = [each for each in names if each in out]
            if name in names or [each for each in out if each != name] != rest:
                continue
            if {*factors[factor], *names} - set(out) != {names[k] for k in axes}:
                continue
            for total, negated in _sums(d, axes, uses):
                if order[x] < order[total]:
                    found[total] = _Pair(product, factor, axis, out.index(name), negated)
                    found[product] = found[total]
    return found


def _sums(d: Node, axes: tuple[int, ...], uses: Uses) -> Iterable[tuple[Node, bool]]:
    """The sums of d over these axes, and those of -d."""
    for user in uses[d]:
        if sum_of(user) == (d, axes):
            yield user, False
        elif operand_of(user, "negative") is d:
            yield from ((total, True) for total in uses[user] if sum_of(total) == (user, axes))


def _part(whole: Node, pair: _Pair, original: Node) -> Node:
    """What the product, or the sum, is in the product with the column of ones."""
    size = whole.type.shape[pair.at]
    is_sum = original is not pair.product
    starts = [0] * whole.type.ndim
    assert isinstance(size, int)
    if is_sum:
        starts[pair.at] = size - 1
    sizes = _resized(whole, pair.at, 1 if is_sum else size - 1)
    part = nodes.slice_(whole, tuple(starts), sizes, (1,) * whole.type.ndim)
    if not is_sum:
        return part
    part = nodes.reshape(part, original.type.shape)
    return nodes.elementwise("negative", part) if pair.negated else part
