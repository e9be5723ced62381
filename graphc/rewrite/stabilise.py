"""Naive compositions become stable ops, before differentiation: this defines the model.

`log(sum(exp(x)))` overflows at x = 710 and its derivative is NaN there; logsumexp is what was
meant. The rules stand in `graphc.rewrite.compositions`, each a named function. A value inside a
composition that is used elsewhere too, or is an output, stays beside it.

    RULES              the rules by name
    NOTED              what is noted and left as it is, by name
    stabilise          the rewritten graph
    stabilise_log      what was rewritten, where
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from graphc.errors import GraphNameError, located
from graphc.ir import Graph, Node, Origin
from graphc.ops.kinds import Contraction, Elementwise, Reduction
from graphc.rewrite.compositions import ROOTS
from graphc.rewrite.cse import merging
from graphc.rewrite.distances import nearest_centre
from graphc.rewrite.products import Lone, product_order
from graphc.rewrite.variances import covariance_of_products, variance_of_squares
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


# A rule that needs to know whether nothing else uses a value.
RuleOfLone = Callable[[Node, Lone], Node | None]
OF_LONE: Mapping[type, tuple[RuleOfLone, ...]] = {
    Reduction: (nearest_centre,),
    Contraction: (product_order,),
}

# -- the rules, and their application --------------------------------------------------------------

RULES: Mapping[str, Rule | RuleOfLone] = {
    **{rule.__name__: rule for rules in ROOTS.values() for rule in rules},
    **{rule.__name__: rule for rules in OF_LONE.values() for rule in rules},
}

# What another form would serve better, whose results differ too much to be put in its place.
NOTED: Mapping[str, tuple[Callable[[Node], bool], str]] = {
    "variance_of_squares": (
        variance_of_squares,
        "mean(x**2) - mean(x)**2 keeps no digit of a variance that is small beside the mean's "
        "square; use np.var(x)",
    ),
    "covariance_of_products": (
        covariance_of_products,
        "mean(x * y) - mean(x) * mean(y) keeps no digit of a covariance that is small beside the "
        "means' product; use np.mean((x - mean(x)) * y)",
    ),
}
# Which places were warned of, as the "default" filter wants to know.
_warned: dict[str | tuple[str, type[Warning], int], int] = {}


class StabilityWarning(UserWarning):
    """A formula that loses its digits, computed as it is written; it says what to use instead.

    Issued where a graph is compiled anew, not where its source comes from the cache: what has been
    compiled is not read again.
    """


# Marks a value that somebody asks for by name: no pattern looks through it.
_BARRIER = Elementwise("barrier", ("x",), "x")


def stabilise(
    graph: Graph, rules: Collection[str] | None = None, keep: Collection[str] = ()
) -> Graph:
    """The graph with naive compositions replaced by stable ops.

    rules: the names of the rules that may be used; None means all.
    keep: names of values that are asked for in their own right (what is differentiated by): they
        stay, and no rule looks through them.

    What is in NOTED is left as it is, with a StabilityWarning at the line that declared it.

    Raises GraphNameError for a rule that does not exist.
    """
    stable, log = _stabilised(graph, rules, keep)
    for rule, value, origin in log:
        if rule in NOTED:
            message = f"{value}: {NOTED[rule][1]}"
            warnings.warn_explicit(
                message, StabilityWarning, origin.file, origin.line, registry=_warned
            )
    return stable


def stabilise_log(
    graph: Graph, rules: Collection[str] | None = None, keep: Collection[str] = ()
) -> list[Applied]:
    """What `stabilise` does to the graph, in the order of declaration; then what it only notes."""
    return _stabilised(graph, rules, keep)[1]


def _stabilised(
    graph: Graph, rules: Collection[str] | None, keep: Collection[str]
) -> tuple[Graph, list[Applied]]:
    for name in rules or ():
        if name not in RULES and name not in NOTED:
            known = ", ".join(sorted([*RULES, *NOTED]))
            raise GraphNameError(located(f"stabilise: no rule {name!r}; rules: {known}"))

    def mark(node: Node) -> Node:
        if node.name not in keep or not node.inputs:
            return node
        return Node(_BARRIER, (node,), None, node.type, "", node.origin)

    merge = merging()
    # A composition is recognised by what its parts share: exp(x) / sum(exp(x)) written out twice.
    shared = rebuild(graph, lambda node: node if node.name in keep else merge(node), keep)
    marked = any(node.name in keep and node.inputs for node in shared.nodes)
    start = rebuild(shared, mark, keep) if marked else shared
    walk = _Walk(start, rules)
    stable = rebuild(start, walk.step, keep)
    if marked:
        stable = rebuild(stable, _unmarked, keep)
    noted = [
        Applied(name, node.name or node.op.name, node.origin)
        for node in start.nodes
        for name, (matches, _) in NOTED.items()
        if (rules is None or name in rules) and node.type.dtype in FLOATING and matches(node)
    ]
    return (stable if walk.found else graph), walk.found + noted


class _Walk:
    """One walk over a graph: what was rewritten, and how often each value is used by now."""

    def __init__(self, graph: Graph, rules: Collection[str] | None) -> None:
        self.found: list[Applied] = []
        self._rules = rules
        self._uses: Counter[Node] = Counter()
        self._walked = iter(graph.nodes)
        self._before = Counter(x for node in graph.nodes for x in node.inputs)
        self._before.update(node for _, node in graph.outputs)

    def step(self, node: Node) -> Node:
        """What the first rule that applies makes of the node."""
        count = self._before[next(self._walked)]
        result = self._rewritten(node) if node.type.dtype in FLOATING else node
        if result is not node:
            _count(result, self._uses)
        self._uses[result] += count
        return result

    def _rewritten(self, node: Node) -> Node:
        root = table_name(node.op) if isinstance(node.op, Elementwise) else ""
        for rule in ROOTS.get(root, ()):
            found = rule(node) if self._may_use(rule) else None
            if found is not None:
                return self._noted(rule, node, found)
        for rule_of_lone in OF_LONE.get(type(node.op), ()):
            found = rule_of_lone(node, self._lone) if self._may_use(rule_of_lone) else None
            if found is not None:
                return self._noted(rule_of_lone, node, found)
        return node

    def _may_use(self, rule: Rule | RuleOfLone) -> bool:
        return self._rules is None or rule.__name__ in self._rules

    def _lone(self, node: Node) -> bool:
        return self._uses[node] == 1

    def _noted(self, rule: Rule | RuleOfLone, node: Node, result: Node) -> Node:
        self.found.append(Applied(rule.__name__, node.name or node.op.name, node.origin))
        return result


def _count(result: Node, uses: Counter[Node]) -> None:
    """Count what a rule's new nodes use."""
    stack, seen = [result], {result}
    while stack:
        node = stack.pop()
        if node in uses:
            continue
        for x in node.inputs:
            if x not in seen and x not in uses:
                seen.add(x)
                stack.append(x)
        for x in node.inputs:
            uses[x] += 1


def _unmarked(node: Node) -> Node:
    return node.inputs[0] if node.op is _BARRIER else node
