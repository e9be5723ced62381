"""Rebuilding a graph bottom-up: what every pass does, done once.

A pass is a `Step`: a function from a node, whose operands are already rewritten, to the node that
stands in its place. `rebuild` keeps what does not change (the very same nodes), hands names and
origins on, keeps the order of declaration, and drops what nothing needs any more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from codegen.program import Broadcast
from graphc import nodes
from graphc.errors import GraphTypeError
from graphc.ir import Graph, Node
from graphc.ops.elementwise import TABLE
from graphc.ops.kinds import ConstantParams, InputParams, Op
from graphc.order import needed
from graphc.verify import debugging, describe, verify

# From a node with rewritten operands to the node in its place: itself, where nothing is done.
Step = Callable[[Node], Node]
# A step that may not apply.
Rule = Callable[[Node], Node | None]

_TABLE_NAMES = {id(op): name for name, op in TABLE.items()}  # table ops are never freed


def table_name(op: Op) -> str:
    """The op's name if it is an entry of the elementwise table, else ""."""
    name = _TABLE_NAMES.get(id(op))
    if name is not None:
        return name
    own = TABLE.get(op.name)
    return op.name if own is not None and own == op else ""


def uniform(node: Node) -> bool | int | float | None:
    """The one number all elements of a constant, or of a repeated constant, are; else None."""
    params = node.params
    if isinstance(params, Broadcast):
        params = node.inputs[0].params
    if isinstance(params, ConstantParams) and params.value.size == 1:
        value: bool | int | float = params.value.item()
        return value
    return None


def fitted(x: Node, like: Node) -> Node:
    """x repeated to the shape of `like`; x itself where it has it."""
    return nodes.broadcast_to(x, like.type.shape)


def rebuild(graph: Graph, step: Step, keep: Collection[str] = ()) -> Graph:
    """The graph with every node replaced by what `step` makes of it, operands first.

    The step meets each node once, with its operands replaced, while `nodes.origin` is the node's
    own. It returns the node, another that exists already, or a new one (built of others that may be
    new as well). A value must keep its type. Returns `graph` itself where nothing changed.

    keep: names of nodes that stay even where no output needs them.

    Names: a new node takes the name of the node it replaces; so does an unnamed node that existed
    already, unless it is a constant, which many share. Linear time, no recursion over the graph.
    """
    replaced: dict[Node, Node] = {}
    placed: set[Node] = set()
    order: list[Node] = []
    pending: dict[Node, str] = {}
    token = nodes.origin.set(nodes.origin.get())
    try:
        for node in graph.nodes:
            current = node
            for operand in node.inputs:
                if operand in replaced:
                    current = with_inputs(node, tuple(replaced.get(x, x) for x in node.inputs))
                    break
            nodes.origin.set(node.origin)
            result = step(current)
            if result not in placed:
                if result is current:  # its operands are placed
                    placed.add(result)
                    order.append(result)
                else:
                    _place(result, placed, order)
                    if node.name and not result.name and current not in placed:
                        result.name = node.name
            elif node.name and not result.name and not _shared(result):
                pending.setdefault(result, node.name)
            if result is not node:
                if result.type is not node.type and result.type != node.type:
                    raise GraphTypeError(
                        f"graph {graph.name!r}: {describe(node)} became {describe(result)}"
                    )
                replaced[node] = result
    finally:
        nodes.origin.reset(token)
    if not replaced:
        return graph
    outputs = [(name, replaced.get(node, node)) for name, node in graph.outputs]
    found = with_nodes(graph, outputs, order, keep)
    return _named(found, pending, keep) if pending else found


def planned(graph: Graph, step: Callable[[Node, Node, Mapping[Node, Node]], Node]) -> Graph:
    """`rebuild` for a step that was planned on the graph's own nodes: it is given the original, the
    node with its operands replaced, and what stands in the place of each node before."""
    originals = iter(graph.nodes)
    done: dict[Node, Node] = {}

    def each(current: Node) -> Node:
        original = next(originals)
        result = done[original] = step(original, current, done)
        return result

    return rebuild(graph, each)


def with_inputs(node: Node, inputs: tuple[Node, ...]) -> Node:
    """The node on other operands, its name and origin kept."""
    return Node(node.op, inputs, node.params, node.type, node.name, node.origin)


def with_nodes(
    graph: Graph,
    outputs: Iterable[tuple[str, Node]],
    order: list[Node],
    keep: Collection[str] = (),
) -> Graph:
    """A graph of the same class, name, arguments and result, with those outputs and, of those
    nodes, what they (and the nodes named in `keep`) need."""
    outputs = tuple(outputs)
    roots = [node for _, node in outputs]
    if keep:
        roots += [node for node in order if node.name in keep]
    found = type(graph)(
        graph.name,
        graph.inputs,
        outputs,
        needed(order, roots, graph.inputs),
        graph.arguments,
        graph.result,
    )
    return verify(found) if debugging() else found


def _place(result: Node, placed: set[Node], order: list[Node]) -> None:
    """Append `result` to the order, and before it what a step has built underneath."""
    stack = [result]
    while stack:
        node = stack[-1]
        if node in placed:
            stack.pop()
            continue
        missing = [x for x in node.inputs if x not in placed]
        if missing:
            stack.extend(reversed(missing))
            continue
        placed.add(node)
        order.append(node)
        stack.pop()


def _shared(node: Node) -> bool:
    """Whether many values may stand for this node, so that it takes the name of none of them."""
    return isinstance(node.params, ConstantParams | InputParams) or uniform(node) is not None


def _named(graph: Graph, names: Mapping[Node, str], keep: Collection[str]) -> Graph:
    """The graph with names given to nodes that had none; they are copied, for nodes are frozen."""
    taken = {node.name for node in graph.nodes if node.name}
    replaced: dict[Node, Node] = {}
    order: list[Node] = []
    for node in graph.nodes:
        copy = node
        if any(x in replaced for x in node.inputs):
            copy = with_inputs(node, tuple(replaced.get(x, x) for x in node.inputs))
        name = names.get(node)
        if name is not None and name not in taken:
            if copy is node:
                copy = with_inputs(node, node.inputs)
            copy.name = name
        if copy is not node:
            replaced[node] = copy
        order.append(copy)
    outputs = [(name, replaced.get(node, node)) for name, node in graph.outputs]
    return with_nodes(graph, outputs, order, keep)
