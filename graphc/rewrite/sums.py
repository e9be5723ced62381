"""Sums of many terms, as trees of additions; and what is written at one region of zeros by many.

    place(a, region) + place(b, region) + ...      ->      place(a + b + ..., region)

The gradient of W[k], read in every step of a loop, is such a sum: of arrays of W's shape, all but
one row of each being zeros.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from codegen.program import Reshape
from graphc import nodes
from graphc.ir import Graph, Node
from graphc.ops.kinds import Elementwise, Place
from graphc.order import users
from graphc.rewrite.walk import planned, table_name


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


def add_before_placing(graph: Graph) -> Graph:
    """Terms of a sum that are written at one region of zeros are added up, then written once.

    Values are kept but for the sign of a zero: the terms are added in the order they had.
    """
    if not any(isinstance(node.params, Place) for node in graph.nodes):
        return graph
    uses = users(graph.nodes)
    returned = {node for _, node in graph.outputs}
    chosen: dict[Node, dict[Node, list[Node]]] = {}
    trees = sum_trees(graph, uses, 2)
    for root, leaves in trees.items():
        regions: dict[Hashable, list[Node]] = {}
        for leaf in leaves:
            if isinstance(leaf.params, Place) and len(uses[leaf]) == 1 and leaf not in returned:
                regions.setdefault(leaf.params, []).append(leaf)
        for members in regions.values():
            if len(members) > 1:
                chosen.setdefault(root, {}).update(dict.fromkeys(members, members))
    if not chosen:
        return graph

    def step(original: Node, current: Node, done: Mapping[Node, Node]) -> Node:
        groups = chosen.get(original)
        if groups is None:
            return current
        terms: list[Node] = []
        for leaf in trees[original]:
            members = groups.get(leaf)
            if members is None:
                terms.append(done[leaf])
            elif leaf is members[0]:
                params = leaf.params
                assert isinstance(params, Place)
                value = _reshaped_total([done[member].inputs[0] for member in members])
                terms.append(nodes.place(value, params.region, params.shape))
        return total(terms)

    return planned(graph, step)


def total(terms: Sequence[Node]) -> Node:
    """The terms added up, from the first on."""
    found = terms[0]
    for term in terms[1:]:
        found = nodes.add(found, term)
    return found


def _reshaped_total(terms: Sequence[Node]) -> Node:
    """The terms added up; where all are reshaped alike, before that."""
    bare = [term.inputs[0] for term in terms if isinstance(term.params, Reshape)]
    if len(bare) == len(terms) and len({x.type for x in bare}) == 1:
        return nodes.reshape(total(bare), terms[0].type.shape)
    return total(terms)


def _is_sum(node: Node) -> bool:
    return (
        isinstance(node.op, Elementwise)
        and table_name(node.op) == "add"
        and all(x.type == node.type for x in node.inputs)
    )
