"""Dead code: what no output needs is dropped. Inputs stay, used or not: they are the signature."""

from __future__ import annotations

from graphc.ir import Graph
from graphc.order import needed
from graphc.rewrite.walk import with_nodes


def dead_code(graph: Graph) -> Graph:
    """The graph without nodes that no output needs."""
    outputs = [node for _, node in graph.outputs]
    live = needed(graph.nodes, outputs, graph.inputs)
    return graph if len(live) == len(graph.nodes) else with_nodes(graph, graph.outputs, live)
