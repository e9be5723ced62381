"""Sums of many terms, as trees of additions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphc.ir import Graph, Node
from graphc.ops.kinds import Elementwise
from graphc.rewrite.walk import table_name


def sum_trees(
    graph: Graph, uses: Mapping[Node, Sequence[Node]], fewest: int
) -> dict[Node, list[Node]]:
    """For each sum of at least `fewest` terms that no larger sum takes up: its terms, in order.

    Terms have the sum's own type, so that nothing is repeated on the way. A partial sum belongs to
    the tree where that alone uses it.
    """
    returned = {node for _, node in graph.outputs}
    found: dict[Node, list[Node]] = {}
    inner: set[Node] = set()
    for root in reversed(graph.nodes):
        if root in inner or not _is_sum(root):
            continue
        leaves: list[Node] = []
        stack = [root]
        while stack:
            node = stack.pop()
            lone = len(uses[node]) == 1 and node not in returned
            if node is root or (_is_sum(node) and lone):
                inner.add(node)
                stack.extend(reversed(node.inputs))
            else:
                leaves.append(node)
        if len(leaves) >= fewest:
            found[root] = leaves
    return dict(sorted(found.items(), key=lambda item: item[0].serial))


def _is_sum(node: Node) -> bool:
    return (
        isinstance(node.op, Elementwise)
        and table_name(node.op) == "add"
        and all(x.type == node.type for x in node.inputs)
    )
