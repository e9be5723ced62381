"""Order and reachability: plain traversals for the passes, a networkx view for analysis.

A graph's operands are always made before their users, so the order of creation is topological and
ties never arise by chance: the emitted source is the same on every run. networkx is imported only
where it earns its keep: a text file declares its nodes in any order and may hold a cycle, which has
to be named; drawing and analysis want its algorithms. Nothing here recurses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from graphc.errors import GraphValueError, located
from graphc.ir import Graph, Node

if TYPE_CHECKING:
    import networkx


# -- plain traversals ------------------------------------------------------------------------------


def reachable(outputs: Iterable[Node], keep: Iterable[Node] = ()) -> list[Node]:
    """`keep` and every ancestor of `outputs`, these included, operands before users."""
    return in_order(ancestors(outputs) | set(keep))


def in_order(nodes: Iterable[Node]) -> list[Node]:
    """The nodes as they were made: operands before users."""
    return sorted(nodes, key=_serial)


def ancestors(targets: Iterable[Node]) -> set[Node]:
    """The targets and everything they are computed from."""
    stack = list(targets)
    seen = set(stack)
    while stack:
        for operand in stack.pop().inputs:
            if operand not in seen:
                seen.add(operand)
                stack.append(operand)
    return seen


def needed(
    order: Sequence[Node], outputs: Iterable[Node], inputs: Iterable[Node] = ()
) -> list[Node]:
    """What the outputs are computed from, and the inputs, in the given order (operands first)."""
    live = set(outputs)
    live.update(inputs)
    for node in reversed(order):
        if node in live:
            live.update(node.inputs)
    return [node for node in order if node in live]


def users(nodes: Iterable[Node]) -> dict[Node, list[Node]]:
    """For each node, the nodes that use it, once a use, in the order of `nodes`."""
    found: dict[Node, list[Node]] = {}
    for node in nodes:
        found.setdefault(node, [])
        for operand in node.inputs:
            found.setdefault(operand, []).append(node)
    return found


_serial = attrgetter("serial")


# -- names, as a text file declares them -----------------------------------------------------------


def topological(uses: Mapping[str, Iterable[str]], what: str = "graph") -> list[str]:
    """The names of `uses`, what each one uses before it; ties in the mapping's own order.

    uses: name -> the names it uses. Names used but not declared are no business of an order and are
        left out. Raises GraphValueError that spells the cycle out where there is one.
    """
    position = {name: k for k, name in enumerate(uses)}
    in_order = True
    for name, used in uses.items():
        if any(position.get(other, -1) >= position[name] for other in used):
            in_order = False
            break
    if in_order:
        return list(uses)  # already sorted, as most files are: no networkx, no cost
    import networkx

    view = _name_view(uses)
    try:
        return list(networkx.lexicographical_topological_sort(view, key=position.__getitem__))
    except networkx.NetworkXUnfeasible:
        raise GraphValueError(located(f"{what}: cycle: {' -> '.join(find_cycle(uses))}")) from None


def find_cycle(uses: Mapping[str, Iterable[str]]) -> list[str]:
    """One cycle among the names, in the direction of use, its first name again at the end.

    The same cycle on every run; [] where there is none.
    """
    import networkx

    try:
        edges = networkx.find_cycle(_name_view(uses))
    except networkx.NetworkXNoCycle:
        return []
    # The view's edges lead from what is used to its user; people read `a = b + 1` as a -> b.
    names = [str(edge[0]) for edge in reversed(edges)]
    first = min(range(len(names)), key=lambda k: list(uses).index(names[k]))
    names = names[first:] + names[:first]
    return [*names, names[0]]


def _name_view(uses: Mapping[str, Iterable[str]]) -> networkx.DiGraph[str]:
    import networkx

    view: networkx.DiGraph[str] = networkx.DiGraph()
    view.add_nodes_from(uses)
    view.add_edges_from(
        (other, name) for name, used in uses.items() for other in used if other in uses
    )
    return view


# -- the networkx view of a graph ------------------------------------------------------------------


def view(graph: Graph) -> networkx.MultiDiGraph[Node]:
    """The graph for networkx's algorithms: nodes are ir Nodes, an edge leads from operand to user.

    A node used twice by another has two edges, each with its `position` among the operands. It is a
    throw-away copy: order and multiplicity live in `Node.inputs`.
    """
    import networkx

    found: networkx.MultiDiGraph[Node] = networkx.MultiDiGraph(name=graph.name)
    found.add_nodes_from(graph.nodes)
    found.add_edges_from(
        (operand, node, {"position": position})
        for node in graph.nodes
        for position, operand in enumerate(node.inputs)
    )
    return found


def sorted_nodes(graph: Graph) -> list[Node]:
    """The graph's nodes in networkx's topological order, ties by creation.

    The same order as `graph.nodes`; tests hold the plain traversals against it.
    """
    import networkx

    plain: networkx.DiGraph[Node] = networkx.DiGraph()
    plain.add_nodes_from(graph.nodes)
    plain.add_edges_from((operand, node) for node in graph.nodes for operand in node.inputs)
    order: Any = networkx.lexicographical_topological_sort(plain, key=_serial)
    return list(order)
