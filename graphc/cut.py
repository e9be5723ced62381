"""The cut between `forward` and `backward`: what each computes, and what goes between them.

`backward` gets the saved values, but none that it has more cheaply: a view of a saved value is
looked at again, a number is written again, a large sum or product of others is computed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from codegen.program import Broadcast, Diagonal, Reshape, Slice, Transpose
from codegen.types import product
from graphc import nodes
from graphc.ir import Node
from graphc.matrices import siblings
from graphc.ops.kinds import Einstein, Elementwise, LinAlgParams, LoopParams, PrimitiveCall
from graphc.order import ancestors, in_order
from graphc.sizing import bare_names, bound_names, names_in

_VIEWS = Reshape | Transpose | Broadcast | Slice | Diagonal
# The elements from which on the memory of a value is worth a pass.
_LARGE = 1 << 14


def forward_side(
    values: Iterable[Node], inputs: Sequence[Node], gradients: Iterable[Node]
) -> set[Node]:
    """What `forward` computes anyway, what a primitive saves while it does, and the other results
    of a decomposition or of a loop."""
    side = ancestors(values) | set(inputs)
    decomposed = {siblings(node) for node in side if isinstance(node.params, LinAlgParams)}
    looped = {
        (node.params.steps, node.inputs) for node in side if isinstance(node.params, LoopParams)
    }
    several = LinAlgParams | LoopParams | PrimitiveCall
    for node in in_order(node for node in ancestors(gradients) if isinstance(node.params, several)):
        saved = isinstance(node.params, PrimitiveCall) and node.params.part == "saved"
        if saved and node.inputs[0] in side:
            side.add(node)
        if isinstance(node.params, LinAlgParams) and siblings(node) in decomposed:
            side.add(node)
        if isinstance(node.params, LoopParams) and (node.params.steps, node.inputs) in looped:
            side.add(node)
    return side


def backward_side(
    gradients: Iterable[Node], forward: set[Node], seeds: Sequence[Node]
) -> tuple[list[Node], list[Node]]:
    """What must be saved, and what `backward` computes, both in order."""
    given = set(seeds)
    saved: set[Node] = set()
    computed: set[Node] = set()
    stack = list(gradients)
    while stack:
        node = stack.pop()
        if node in given or node in saved or node in computed:
            continue
        if node in forward and not _cheap(node):
            saved.add(node)
            continue
        computed.add(node)
        stack.extend(node.inputs)
    return in_order(saved), in_order(computed)


def computed_again(
    saved: list[Node], order: list[Node], held: set[Node]
) -> tuple[list[Node], list[Node]]:
    """Both without the large values that one sum, difference or product of inputs and of other
    saved values gives: that costs a pass, as it costs to keep them in memory of their own.

    held: outputs, whose memory is there in any case.
    """
    kept, more = dict.fromkeys(saved), list[Node]()
    for node in saved:
        sources = [source for source in node.inputs if source.inputs or source.op is nodes.INPUT]
        if node in held or not _is_one_pass(node):
            continue
        if all(source in kept or source.op is nodes.INPUT for source in sources):
            del kept[node]
            kept.update(dict.fromkeys(sources))
            more += [node, *(source for source in node.inputs if source not in sources)]
    return in_order(kept), in_order(dict.fromkeys([*more, *order]))


def _is_one_pass(node: Node) -> bool:
    """Whether a value is large, and computed by a sign, a sum, a difference or a product alone."""
    count = product(node.type.shape)
    if not isinstance(node.op, Elementwise) or not isinstance(count, int) or count < _LARGE:
        return False
    formula = node.op.formula
    return not set("(/<>=").intersection(formula) and "**" not in formula


def _cheap(node: Node) -> bool:
    """Whether backward gets the value from a saved one without computing: numbers, sizes, views."""
    if node.op is nodes.INPUT:
        return False
    return (
        not node.inputs
        or isinstance(node.params, _VIEWS)
        or (isinstance(node.params, Einstein) and _only_shows(node.params))
    )


def _only_shows(formula: Einstein) -> bool:
    """Whether an index formula computes nothing: the windows of one array."""
    own = {index.index for index in formula.out}
    whole = formula.body is None and len(formula.operands) == 1 and None not in own
    return whole and own == {name for name, _ in formula.extents} and len(own) == len(formula.out)


def with_sizes(
    saved: list[Node], order: Sequence[Node], seeds: Sequence[Node], inputs: Sequence[Node]
) -> list[Node]:
    """The saved values, and the inputs that alone tell a size which backward needs, if only to
    check a cotangent."""
    names = names_in(order, seeds)
    known = {name for node in (*saved, *seeds) for name in bare_names(node.type)}
    result = list(saved)
    for node in inputs:
        if node in result or not (names - known) & bound_names(node.type):
            continue
        result.append(node)
        known |= bound_names(node.type)
    return result
