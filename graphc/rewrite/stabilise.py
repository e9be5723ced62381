"""Naive compositions become stable ops, before differentiation: this defines the model.

`log(sum(exp(x)))` overflows at x = 710 and its derivative is NaN there; logsumexp is what was
meant. The rules stand in `graphc.rewrite.compositions`, each a named function. A value inside a
composition that is used elsewhere too, or is an output, stays beside it.

    RULES              the rules by name
    stabilise          the rewritten graph
    stabilise_log      what was rewritten, where
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

from graphc.errors import GraphNameError, located
from graphc.ir import Graph, Node, Origin
from graphc.ops.kinds import Elementwise
from graphc.ops.reductions import REDUCTIONS
from graphc.rewrite.compositions import ROOTS
from graphc.rewrite.cse import merging
from graphc.rewrite.distances import nearest_centre
from graphc.rewrite.walk import Rule, rebuild, table_name
from graphc.types import FLOATING


class Applied(NamedTuple):
    """One rewriting: the rule, the value it made stable (its name, else its op), and where that was
    declared."""

    rule: str
    value: str
    origin: Origin

    def __str__(self) -> str:
        return f"{self.origin}: {self.value}: {self.rule}"


# -- the rules, and their application --------------------------------------------------------------

RULES: Mapping[str, Rule] = {
    **{rule.__name__: rule for rules in ROOTS.values() for rule in rules},
    nearest_centre.__name__: nearest_centre,
}

# Marks a value that somebody asks for by name: no pattern looks through it.
_BARRIER = Elementwise("barrier", ("x",), "x")


def stabilise(
    graph: Graph, rules: Collection[str] | None = None, keep: Collection[str] = ()
) -> Graph:
    """The graph with naive compositions replaced by stable ops.

    rules: the names of the rules that may be used; None means all.
    keep: names of values that are asked for in their own right (what is differentiated by): they
        stay, and no rule looks through them.

    Raises GraphNameError for a rule that does not exist.
    """
    return _stabilised(graph, rules, keep)[0]


def stabilise_log(
    graph: Graph, rules: Collection[str] | None = None, keep: Collection[str] = ()
) -> list[Applied]:
    """What `stabilise` does to the graph, in the order of declaration."""
    return _stabilised(graph, rules, keep)[1]


def _stabilised(
    graph: Graph, rules: Collection[str] | None, keep: Collection[str]
) -> tuple[Graph, list[Applied]]:
    roots = _chosen(rules)
    distances = rules is None or nearest_centre.__name__ in rules
    found: list[Applied] = []

    def step(node: Node) -> Node:
        before = next(walked)
        if node.type.dtype not in FLOATING:
            return node
        some: tuple[Rule, ...] = ()
        if isinstance(node.op, Elementwise):
            some = roots.get(table_name(node.op), ())
        elif node.op == REDUCTIONS["min"] and distances and uses[before.inputs[0]] == 1:
            # What else knows the distances may compare them with their minimum.
            some = (nearest_centre,)
        for rule in some:
            result = rule(node)
            if result is not None:
                label = node.name or node.op.name
                found.append(Applied(rule.__name__, label, node.origin))
                return result
        return node

    def mark(node: Node) -> Node:
        if node.name not in keep or not node.inputs:
            return node
        return Node(_BARRIER, (node,), None, node.type, "", node.origin)

    merge = merging()
    # A composition is recognised by what its parts share: exp(x) / sum(exp(x)) written out twice.
    shared = rebuild(graph, lambda node: node if node.name in keep else merge(node), keep)
    start = rebuild(shared, mark, keep) if keep else shared
    walked = iter(start.nodes)
    uses = Counter(x for node in start.nodes for x in node.inputs)
    uses.update(node for _, node in start.outputs)
    stable = rebuild(start, step, keep)
    if keep:
        stable = rebuild(stable, _unmarked, keep)
    return (stable if found else graph), found


def _unmarked(node: Node) -> Node:
    return node.inputs[0] if node.op is _BARRIER else node


def _chosen(rules: Collection[str] | None) -> Mapping[str, tuple[Rule, ...]]:
    if rules is None:
        return ROOTS
    for name in rules:
        if name not in RULES:
            raise GraphNameError(
                located(f"stabilise: no rule {name!r}; rules: {', '.join(sorted(RULES))}")
            )
    return {
        root: tuple(rule for rule in some if rule.__name__ in rules) for root, some in ROOTS.items()
    }
