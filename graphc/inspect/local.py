"""The local gradients of gates: what backpropagation multiplies the gradient from above by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc import ir, nodes
from graphc.adjoints import RULES
from graphc.interpret import emitted
from graphc.interpret import evaluate as interpret
from graphc.ir import Node
from graphc.order import reachable

Wire = tuple[Node, int]


def local_gradients(graph: ir.Graph, values: Mapping[str, Any]) -> dict[Wire, float]:
    """d gate / d operand, for every wire (gate, place among its operands) between scalars.

    values: of the inputs, by name. A wire from what is not floating, and a wire into or out of an
    array, whose local gradient is a Jacobian, have no entry.
    """
    parts: dict[Wire, Node] = {}
    for node in graph.nodes:
        rule = RULES.get(type(node.op))
        wired = {operand for operand in node.inputs if _scalar(operand)}
        if rule is None or not wired or not _scalar(node):
            continue
        found = list(rule(node, nodes.full(node.type, 1.0), wired, False))
        # A rule yields what its operands gain in their order, an operand used twice twice.
        for place, operand in enumerate(node.inputs):
            at = next((k for k, (other, _) in enumerate(found) if other is operand), None)
            if at is not None:
                parts[node, place] = found.pop(at)[1]
    own = set(graph.nodes)
    rest = [node for node in reachable(parts.values()) if node not in own]
    whole = ir.Graph(graph.name, graph.inputs, graph.outputs, [*graph.nodes, *rest])
    all_values = interpret(whole, values, expression=emitted)
    return {wire: float(all_values[part]) for wire, part in parts.items()}


def _scalar(node: Node) -> bool:
    return node.type.floating and node.type.shape == ()


def by_name(found: Mapping[Wire, float], labels: Mapping[Node, str]) -> dict[str, dict[str, float]]:
    """gate -> operand -> local gradient; of an operand that a gate uses twice, the sum."""
    named: dict[str, dict[str, float]] = {}
    for (node, place), value in found.items():
        gains = named.setdefault(labels[node], {})
        operand = labels[node.inputs[place]]
        gains[operand] = gains.get(operand, 0.0) + value
    return named
