"""How the nodes of a graph are called and spelt wherever a person reads them.

A node without a name is called by its op and a number, `exp_1`; a scalar constant without a name is
spelt as its number inside its user's formula.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphc.ir import Graph, Node
from graphc.ops.kinds import ConstantParams, InputParams, SizeParams
from graphc.textual.literals import number_text
from graphc.textual.spell import ATOM, Speller, Spelt, plain_size

_SPELLER = Speller(False, lambda op: op.name, plain_size)


class Shown:
    """The labels and formulas of one graph; linear in its nodes."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.labels: Mapping[Node, str] = labels(graph)

    def hidden(self, node: Node) -> bool:
        """Whether the node shows only inside others: a number, or a size, without a name."""
        return not node.name and number(node) is not None

    def operand(self, node: Node) -> Spelt:
        """A node as its users' formulas name it."""
        if not node.name:
            spelt = number(node)
            if spelt is not None:
                return spelt
        return Spelt(self.labels[node])

    def formula(self, node: Node) -> str:
        """The formula of a node; for an input or a constant, what it is."""
        if isinstance(node.params, InputParams):
            return node.params.role
        if isinstance(node.params, ConstantParams):
            return constant_text(node.params.value)
        return self.spelt(node, [self.operand(operand) for operand in node.inputs])

    def spelt(self, node: Node, operands: Sequence[Spelt]) -> str:
        """The formula of a gate, its operands as they are given."""
        return _SPELLER.formula(node, operands).text


def labels(graph: Graph) -> dict[Node, str]:
    """A name for every node: its own, else its op's with a number."""
    taken = {node.name for node in graph.nodes if node.name}
    count: dict[str, int] = {}
    found: dict[Node, str] = {}
    for node in graph.nodes:
        if node.name:
            found[node] = node.name
            continue
        stem = re.sub(r"\W+", "_", node.op.name).strip("_") or "value"
        while True:
            count[stem] = count.get(stem, 0) + 1
            label = f"{stem}_{count[stem]}"
            if label not in taken:
                break
        found[node] = label
    return found


def number(node: Node) -> Spelt | None:
    """A number or a size as it is written; None for anything else."""
    if isinstance(node.params, SizeParams):
        size = plain_size(node.params.size)
        return Spelt(size, ATOM if size.isalnum() else 0)  # brackets around n * m in x / (n * m)
    if isinstance(node.params, ConstantParams) and node.params.value.ndim == 0:
        return number_text(node) or Spelt(str(node.params.value))
    return None


def constant_text(value: np.ndarray[Any, Any], width: int = 60) -> str:
    """The elements of an array, or where they are many its range."""
    if value.size <= 16:
        text = np.array2string(value, separator=", ", max_line_width=10_000, threshold=100)
        text = re.sub(r"\s+", " ", text)
        if len(text) <= width:
            return text
    if value.dtype.kind == "b":
        return f"{np.count_nonzero(value)} of {value.size} true"
    return f"{value.size} elements in [{value.min():.4g}, {value.max():.4g}]"
