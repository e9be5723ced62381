"""Common subexpressions: what is computed twice from the same operands is computed once.

Two nodes are the same if op, params and operands are; operands are compared by identity, which
suffices bottom-up. Operands of a commutative op may stand in either order: IEEE addition and
multiplication give the same bits both ways. The first node stays, with its name; a later one's
name passes to it where it has none.
"""

from __future__ import annotations

from collections.abc import Hashable

from graphc.ir import Graph, Node
from graphc.ops.kinds import Contraction, Elementwise, InputParams, Op, Primitive
from graphc.rewrite.walk import Step, rebuild, table_name

COMMUTATIVE = frozenset(
    {"add", "multiply", "equal", "not_equal", "logical_and", "logical_or", "logical_xor"}
)


def common_subexpressions(graph: Graph) -> Graph:
    """The graph with equal computations merged."""
    return rebuild(graph, merging())


def merging() -> Step:
    """A step that returns the first node equal to the one it is given."""
    seen: dict[Hashable, Node] = {}
    # Ops are few and nodes are many: an op is hashed field by field once, then known by its id (and
    # kept here, so that no other op comes by that id).
    by_id: dict[int, tuple[int, bool, Op]] = {}
    by_value: dict[Hashable, tuple[int, bool]] = {}

    def number(op: Op) -> tuple[int, bool, Op]:
        # An index formula says all there is to say about a contraction; its name says nothing.
        value: Hashable = Contraction if isinstance(op, Contraction) else op
        found = by_value.get(value)
        if found is None:
            commutes = isinstance(op, Elementwise) and table_name(op) in COMMUTATIVE
            found = by_value[value] = (len(by_value), commutes)
        by_id[id(op)] = known = (*found, op)
        return known

    def step(node: Node) -> Node:
        op = node.op
        params = node.params
        if isinstance(params, InputParams) or isinstance(op, Primitive):
            return node  # inputs differ by name; what a user's function does is not ours to skip
        inputs = node.inputs
        known, commutes, _ = by_id.get(id(op)) or number(op)
        if commutes and inputs[0].serial > inputs[1].serial:
            inputs = (inputs[1], inputs[0])
        key = (known, params, inputs) if inputs else (known, params, node.type)
        return seen.setdefault(key, node)

    return step
