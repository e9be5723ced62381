"""`print(g)`: the graph as text, typed, one node a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from graphc.inspect.shown import Shown
from graphc.ir import Graph, Node
from graphc.ops.kinds import ConstantParams, InputParams

_TABLES = (("inputs", "input"), ("params", "param"), ("cotangents", "cotangent"))


def text(graph: Graph) -> str:
    """The tables of a graph file, with the type of every value.

    Linear in the number of nodes, and without recursion.
    """
    return "\n".join(_lines(graph))


def _lines(graph: Graph) -> Iterator[str]:
    shown = Shown(graph)
    yield f"graph {graph.name}"
    for title, role in _TABLES:
        yield from _table(title, (f"{x.name}: {x.type}" for x in graph.inputs if _role(x) == role))
    constants: list[str] = []
    rest: list[str] = []
    for node in graph.nodes:
        if isinstance(node.params, InputParams) or shown.hidden(node):
            continue
        line = f"{shown.labels[node]}: {node.type} = {shown.formula(node)}"
        (constants if isinstance(node.params, ConstantParams) else rest).append(line)
    yield from _table("constants", constants)
    yield from _table("nodes", rest)
    yield from _table("outputs", (_output(shown, name, node) for name, node in graph.outputs))


def _table(title: str, lines: Iterable[str]) -> Iterator[str]:
    first = True
    for line in lines:
        if first:
            yield f"  {title}"
            first = False
        yield f"    {line}"


def _role(node: Node) -> str:
    assert isinstance(node.params, InputParams)
    return node.params.role


def _output(shown: Shown, name: str, node: Node) -> str:
    said = shown.operand(node).text
    return name if said == name else f"{name} = {said}"
