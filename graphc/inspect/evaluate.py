"""`g.evaluate(x=-2, y=5, z=-4)`: every node's value, and the gradient of the output by every node.

The numbers that the lectures write on the wires of a circuit. The reference interpreter computes
them, in the stable forms that are emitted; nothing is compiled.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphc import ir
from graphc.inspect.draw import Numbers, draw, drawable
from graphc.inspect.local import Wire, by_name, local_gradients
from graphc.inspect.shown import Shown
from graphc.inspect.table import table, value_text
from graphc.ir import Node


@dataclass(frozen=True, slots=True)
class Row:
    """One node of the table."""

    name: str
    formula: str
    type: str
    value: Any
    gradient: Any
    hidden: bool


@dataclass(frozen=True)
class Evaluation:
    """What a graph computes at one point.

    values: every node's value by name; a node without a name is called by its op, `exp_1`.
    grads: the gradient of the output `of` by every node, of the node's shape and dtype; None for a
        node that is not floating. Empty where no output is a floating scalar.
    local: the local gradients of the gates between scalars: `local["f"]["q"]` is df/dq, whatever
        comes after f; of an operand that a gate uses twice, the sum.
    `print` shows a table of them: name, formula, value, gradient; `draw("circuit.svg")` a picture.
    """

    graph: ir.Graph
    of: str | None
    rows: Sequence[Row] = field(repr=False)
    values: Mapping[str, Any] = field(repr=False)
    grads: Mapping[str, Any] = field(repr=False)

    @property
    def local(self) -> Mapping[str, Mapping[str, float]]:
        names = {node: row.name for node, row in zip(self.graph.nodes, self.rows, strict=True)}
        return by_name(self._local(), names)

    def _local(self) -> Mapping[Wire, float]:
        return local_gradients(
            self.graph, {node.name: self.values[node.name] for node in self.graph.inputs}
        )

    def draw(self, path: str | os.PathLike[str] | None = None) -> str:
        """The circuit with these values and gradients on its wires, as SVG; written to `path`.

        Raises GraphValueError for a graph of more gates than can be seen.
        """
        nodes = self.graph.nodes
        values = {node: row.value for node, row in zip(nodes, self.rows, strict=True)}
        grads = {node: row.gradient for node, row in zip(nodes, self.rows, strict=True)}
        local = self._local() if self.of is not None else {}
        return draw(self.graph, path, Numbers(self.of, values, grads, local))

    def _repr_svg_(self) -> str | None:
        """What a notebook shows: the drawing, where there is not too much to see."""
        return self.draw() if drawable(self.graph) else None

    def __str__(self) -> str:
        return self.table()

    def table(self, local: bool = False) -> str:
        """Name, formula, value and gradient of every node; its local gradients, where asked for."""
        header = ["name", "formula", "value"]
        if self.of is not None:
            header.append(f"gradient of {self.of}")
        gains = self.local if local else {}
        if local:
            header.append("local gradients")
        rows = []
        for row in self.rows:
            if row.hidden:
                continue
            cells = [row.name, row.formula, value_text(row.value)]
            if self.of is not None:
                cells.append("-" if row.gradient is None else value_text(row.gradient))
            if local:
                parts = gains.get(row.name, {}).items()
                cells.append(", ".join(f"{name}: {value_text(gain)}" for name, gain in parts))
            rows.append(cells)
        right = [False, False, True, *[True] * (self.of is not None), *[False] * local]
        return table(header, rows, right)


def evaluate(graph: ir.Graph, /, *args: Any, of: str | None = None, **kwargs: Any) -> Evaluation:
    """Every node's value and gradient at the arguments of a call.

    of: the scalar output to differentiate, where there are several.

    Raises GraphTypeError and GraphValueError as a call does; GraphNameError for an unknown `of`.
    """
    from graphc.inlining import bind
    from graphc.interpret import emitted
    from graphc.interpret import evaluate as interpret

    if of is not None and any(name == "of" for name, _ in graph.arguments):
        kwargs["of"], of = of, None  # an input of that name
    given = bind(graph, args, kwargs)
    name, output = _output(graph, of)
    cotangents = {} if output is None else _cotangents(graph, output)
    whole = _with(graph, cotangents)
    found = interpret(whole, given, expression=emitted)
    shown = Shown(graph)
    rows = [
        Row(
            shown.labels[node],
            shown.formula(node),
            str(node.type),
            _own(found[node]),
            _gradient(node, found, cotangents) if output is not None else None,
            shown.hidden(node),
        )
        for node in graph.nodes
    ]
    values = {row.name: row.value for row in rows}
    grads = {row.name: row.gradient for row in rows} if output is not None else {}
    return Evaluation(graph, name, rows, values, grads)


def _output(graph: ir.Graph, of: str | None) -> tuple[str | None, Node | None]:
    """The output that is differentiated: `of`, else the only floating scalar; else none."""
    if of is not None:
        from graphc.autodiff import scalar_output

        return scalar_output(graph, of, "evaluate")
    scalars = [
        (name, node) for name, node in graph.outputs if node.type.shape == () and node.type.floating
    ]
    return scalars[0] if len(scalars) == 1 else (None, None)


def _cotangents(graph: ir.Graph, output: Node) -> dict[Node, Node]:
    from graphc import nodes
    from graphc.autodiff import backpropagate

    floating = [node for node in graph.nodes if node.type.floating]
    return backpropagate(graph.nodes, {output: nodes.full(output.type, 1.0)}, floating)


def _with(graph: ir.Graph, cotangents: Mapping[Node, Node]) -> ir.Graph:
    """The graph, and after its nodes those that the cotangents need."""
    from graphc.order import reachable

    own = set(graph.nodes)
    rest = [node for node in reachable(cotangents.values()) if node not in own]
    return ir.Graph(graph.name, graph.inputs, graph.outputs, [*graph.nodes, *rest])


def _gradient(node: Node, found: Mapping[Node, Any], cotangents: Mapping[Node, Node]) -> Any:
    if not node.type.floating:
        return None
    if node not in cotangents:  # the output does not depend on it
        return _own(np.zeros_like(found[node]))
    return _own(found[cotangents[node]])


def _own(value: Any) -> Any:
    """A copy that shares memory with nothing; a rank-0 array as its number."""
    return np.array(value)[()] if isinstance(value, np.ndarray | np.generic) else value
