"""The public `graphc.Graph`: a graph that can be called, evaluated, printed and pickled."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from graphc import ir
from graphc.ir import Container, Node, Origin
from graphc.ops.kinds import Op, Params
from graphc.types import ArrayType


class Graph(ir.Graph):
    """A static graph. Immutable; compared by identity; printed and pickled without recursion.

    Called with Values it is inlined into the graph being declared, under a name scope; called with
    arrays it is evaluated by the reference interpreter.
    """

    __slots__ = ("__weakref__", "_retrace")

    def __init__(
        self,
        name: str,
        inputs: Iterable[Node],
        outputs: Iterable[tuple[str, Node]],
        nodes: Iterable[Node],
        arguments: Iterable[tuple[str, Container]] | None = None,
        result: Container | None = None,
    ) -> None:
        super().__init__(name, inputs, outputs, nodes, arguments, result)
        # How to declare the same graph once more, where a function was traced.
        self._retrace: Callable[[], Graph] | None = None

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of the inputs (the leaves of containers), in order."""
        return tuple(node.name for node in self.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of the outputs, in order."""
        return tuple(name for name, _ in self.outputs)

    @property
    def __name__(self) -> str:
        return self.name

    def retrace(self) -> Graph | None:
        """The same function traced once more; None where no function was traced.

        Two traces of a pure function have the same digest.
        """
        return None if self._retrace is None else self._retrace()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Inlined where an argument is a Value, else evaluated.

        Raises GraphTypeError for a missing, unknown or ill-typed argument, GraphValueError for a
        shape or sizes that do not fit.
        """
        from graphc.inlining import call

        return call(self, args, kwargs)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Every node's value, and its gradient: `.values["q"]`, `.grads["q"]`."""
        return _above("graphc.inspect.evaluate", "evaluate")(self, *args, **kwargs)

    def draw(self, path: Any = None) -> str:
        """A picture of the gates and their wires as SVG text, written to `path` where it is given.

        `graph.evaluate(...).draw()` has the values and gradients on the wires. Raises
        GraphValueError for a graph of more gates than can be seen.
        """
        return str(_above("graphc.inspect.draw", "draw")(self, path))

    def _repr_svg_(self) -> str | None:
        """What a notebook shows: the drawing, where there is not too much to see."""
        return self.draw() if _above("graphc.inspect.draw", "drawable")(self) else None

    def __str__(self) -> str:
        return str(_above("graphc.inspect.text", "text")(self))

    def __repr__(self) -> str:
        arguments = ", ".join(name for name, _ in self.arguments)
        return f"<Graph {self.name}({arguments}): {len(self.nodes)} nodes>"

    def __reduce__(self) -> Any:
        return _restore, (self.name, _flatten(self))


def _above(module: str, name: str) -> Callable[..., Any]:
    """A function of a layer above this one, found when it is called.

    Users know `g.evaluate()` and `print(g)` as methods; what they do needs derivatives, whose code
    makes Graphs. Methods alone reach up, and only so.
    """
    from importlib import import_module

    function: Callable[..., Any] = getattr(import_module(module), name)
    return function


# -- pickling: a table of rows, one a node ---------------------------------------------------------

_Row = tuple[int, tuple[int, ...], Params, ArrayType, str, Origin]
_OpKey = tuple[str, str] | Op
_Table = tuple[
    tuple[_OpKey, ...],
    tuple[_Row, ...],
    tuple[int, ...],
    tuple[tuple[str, int], ...],
    tuple[tuple[str, Container], ...],
    Container,
]


def _flatten(graph: Graph) -> _Table:
    place = {node: index for index, node in enumerate(graph.nodes)}
    ops: dict[int, int] = {}
    keys: list[_OpKey] = []
    rows: list[_Row] = []
    for node in graph.nodes:
        op = ops.get(id(node.op))
        if op is None:
            op = ops[id(node.op)] = len(keys)
            keys.append(_key(node.op))
        operands = tuple(place[x] for x in node.inputs)
        rows.append((op, operands, node.params, node.type, node.name, node.origin))
    return (
        tuple(keys),
        tuple(rows),
        tuple(place[node] for node in graph.inputs),
        tuple((name, place[node]) for name, node in graph.outputs),
        graph.arguments,
        graph.result,
    )


def _restore(name: str, table: _Table) -> Graph:
    keys, rows, inputs, outputs, arguments, result = table
    ops = [_op(key) for key in keys]
    nodes: list[Node] = []
    for op, operands, params, type, node_name, origin in rows:
        inputs_of_node = tuple(nodes[index] for index in operands)
        nodes.append(Node(ops[op], inputs_of_node, params, type, node_name, origin))
    return Graph(
        name,
        [nodes[index] for index in inputs],
        [(output, nodes[index]) for output, index in outputs],
        nodes,
        arguments,
        result,
    )


def _key(op: Op) -> _OpKey:
    """Our own ops by table and name, so that a restored node bears the very same op."""
    for table, members in _tables().items():
        if members.get(op.name) is op:
            return table, op.name
    return op


def _op(key: _OpKey) -> Op:
    if isinstance(key, tuple):
        table, name = key
        return _tables()[table][name]
    return key


def _tables() -> dict[str, dict[str, Op]]:
    from graphc import nodes
    from graphc.ops.elementwise import TABLE
    from graphc.ops.kinds import Contraction, Gather, Layout, Leaf, Scatter
    from graphc.ops.reductions import REDUCTIONS

    fixed = Leaf | Layout | Contraction | Gather | Scatter
    shared: dict[str, Op] = {op.name: op for op in vars(nodes).values() if isinstance(op, fixed)}
    return {"elementwise": dict(TABLE), "reductions": dict(REDUCTIONS), "nodes": shared}
