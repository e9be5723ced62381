"""Passes: each takes a graph and returns an equal one; each keeps name, arguments, outputs, class.

stabilise    before differentiation: naive compositions become stable ops, products are put in the
             cheapest order, the least of distances becomes a search; it defines the model
simplify     after it: the passes below, to a fixed point; results are kept to rounding
settle       before lowering: simplified for good, and the steps of loops computed at once

fold_constants, common_subexpressions, simplify_identities, dead_code      one at a time
stack_products, stack_steps, stack_sums, join_neighbours                   of unrolled loops
biases_as_terms                                       of products that are far larger than factors

Every rule of the first two has a name: `stabilise(graph, rules=[...])` uses these alone, and
`simplify(graph, without=[...])` all others; `stabilise_log` and `simplify_log` tell what was done.
"""

from __future__ import annotations

from collections.abc import Collection

from graphc.ir import Graph, Node
from graphc.naming import unknown_name
from graphc.ops.elementwise import TABLE
from graphc.rewrite.bands import along_diagonals
from graphc.rewrite.biases import biases_as_terms
from graphc.rewrite.cse import common_subexpressions, merging
from graphc.rewrite.dce import dead_code
from graphc.rewrite.fold import fold, fold_constants
from graphc.rewrite.identities import EVERY, identity, itself, simplify_identities
from graphc.rewrite.neighbours import join_neighbours
from graphc.rewrite.stabilise import Applied, stabilise, stabilise_log
from graphc.rewrite.stacking import stack_products, stack_sums
from graphc.rewrite.steps import stack_steps
from graphc.rewrite.sums import add_before_placing
from graphc.rewrite.walk import Step, rebuild

__all__ = [
    "Applied",
    "add_before_placing",
    "biases_as_terms",
    "common_subexpressions",
    "dead_code",
    "fold_constants",
    "join_neighbours",
    "settle",
    "simplify",
    "simplify_identities",
    "simplify_log",
    "stabilise",
    "stabilise_log",
    "stack_products",
    "stack_steps",
    "stack_sums",
]

ROUNDS = 4
# Of so many nodes one walk is enough: operands come first, so that nearly all is found in it, and
# what a second one finds is not worth seconds.
LARGE = 50_000
# Rules that may follow one another at one node within one round.
CHAIN = 8


def simplify(graph: Graph, final: bool = False, without: Collection[str] = ()) -> Graph:
    """The graph with constants folded, identities applied, common subexpressions merged and dead
    code dropped, until nothing changes (a few rounds at most).

    All three are local to a node, so one round is one walk. Results are preserved to rounding.

    final: no differentiation follows, so that `stop_gradient(x)` is x.
    without: the names of identities that may not be used (`graphc.rewrite.identities.EVERY`).

    Raises GraphNameError for an identity that does not exist.
    """
    return _simplified(dead_code(graph), final, without, None, set())


def simplify_log(graph: Graph, final: bool = False, without: Collection[str] = ()) -> list[Applied]:
    """The identities that `simplify` applies to the graph, in the order in which it does."""
    log: list[tuple[str, Node]] = []
    _simplified(dead_code(graph), final, without, log, set())
    return [Applied(rule, node.name or node.op.name, node.origin) for rule, node in log]


def _simplified(
    graph: Graph,
    final: bool,
    without: Collection[str],
    log: list[tuple[str, Node]] | None,
    done: set[Node],
) -> Graph:
    for name in without:
        if name not in EVERY:
            raise unknown_name("simplify: no identity", name, EVERY, "identities")
    for _ in range(ROUNDS if len(graph.nodes) < LARGE else 1):
        before = graph
        graph = rebuild(graph, _one_round(final, without, log, done))
        if graph is before or done.issuperset(graph.nodes):
            break
    return graph


def settle(graph: Graph, done: set[Node] | None = None) -> Graph:
    """The graph as it is lowered: no differentiation follows, and what a loop computes step by step
    but need not is computed for all steps at once.

    done: nodes that no rule applies to, from graphs settled before; takes those found now.
    """
    done = set() if done is None else done
    graph = _simplified(graph, True, (), None, done)
    stacked = stack_products(add_before_placing(along_diagonals(graph)))
    steps = stack_steps(stacked)
    if steps is not stacked:
        stacked = _simplified(steps, True, (), None, done)
    stacked = biases_as_terms(join_neighbours(stack_sums(stacked)))
    return graph if stacked is graph else _simplified(stacked, True, (), None, done)


def _one_round(
    final: bool,
    without: Collection[str],
    log: list[tuple[str, Node]] | None,
    done: set[Node],
) -> Step:
    merge = merging()
    stop = TABLE["stop_gradient"]

    def step(node: Node) -> Node:
        # A rule looks at a node and at what it is computed of, which never change: where none
        # applied, none will. (What equals the node may have come since.)
        if node in done:
            return merge(node)
        for _ in range(CHAIN):
            if final and node.op is stop:
                node = itself(node) or node
            found = identity(fold(node), without, log)
            if found is node:
                done.add(node)
                break
            node = found
        return merge(node)

    return step
