"""What was declared -> an immutable Graph.

The nodes that the outputs need are copied, so that what is declared later (more names, more nodes)
cannot change the graph; names are made unique on the way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from graphc.errors import GraphNameError, GraphValueError, located
from graphc.graph import Graph
from graphc.ir import Container, Node
from graphc.ops.kinds import InputParams
from graphc.order import reachable


def freeze(
    name: str,
    inputs: Sequence[Node],
    outputs: Sequence[tuple[str, Node]],
    arguments: Iterable[tuple[str, Container]] | None = None,
    result: Container | None = None,
    explicit: Mapping[Node, str] | None = None,
) -> Graph:
    """The Graph of these inputs and outputs.

    inputs: all of them, used or not, in order; their names stand.
    arguments, result: as in `ir.Graph`.
    explicit: nodes that the user named (they stand too, and are kept even where no output needs
        them); other names come from local variables and are numbered where they repeat.

    Raises GraphNameError where two inputs or outputs share a name, GraphValueError where there is
    no output or an operand belongs to another graph.
    """
    explicit = explicit or {}
    if not outputs:
        raise GraphValueError(located(f"graph {name!r} has no output"))
    _check_unique("input", [node.name for node in inputs])
    _check_unique("output", [output for output, _ in outputs])
    reached = reachable([*(node for _, node in outputs), *explicit])
    own = set(inputs)
    for node in reached:
        if isinstance(node.params, InputParams) and node not in own:
            raise GraphValueError(
                located(f"graph {name!r} uses the input {node.name!r} of another graph")
            )
    order = [*inputs, *(node for node in reached if node not in own)]
    names = _names(order, inputs, outputs, explicit)
    copies: dict[Node, Node] = {}
    for node in order:
        operands = tuple([copies[x] for x in node.inputs])
        copies[node] = Node(node.op, operands, node.params, node.type, names[node], node.origin)
    return Graph(
        name,
        [copies[node] for node in inputs],
        [(output, copies[node]) for output, node in outputs],
        copies.values(),
        arguments,
        result,
    )


def _names(
    order: Sequence[Node],
    inputs: Sequence[Node],
    outputs: Sequence[tuple[str, Node]],
    explicit: Mapping[Node, str],
) -> dict[Node, str]:
    """Unique names: those of inputs and explicit ones first, then of outputs, then of locals."""
    names: dict[Node, str] = {node: node.name for node in inputs}
    taken = set(names.values())
    for node, name in explicit.items():
        names[node] = name
        taken.add(name)
    for name, node in outputs:
        if node.name in ("", name) and node not in names and name not in taken:
            names[node] = name
            taken.add(name)
    count: dict[str, int] = {}
    for node in order:
        if node.name and node not in names:
            count[node.name] = count.get(node.name, 0) + 1
    number: dict[str, int] = {}
    # A number never makes a name that the user gave to something else.
    forbidden = taken | count.keys()
    for node in order:
        if node in names:
            continue
        name = node.name
        if name and (count[name] > 1 or name in taken):
            name = _numbered(name, number, forbidden)
        names[node] = name
        forbidden.add(name)
    return names


def _numbered(name: str, number: dict[str, int], taken: Collection[str]) -> str:
    while True:
        number[name] = number.get(name, 0) + 1
        candidate = f"{name}_{number[name]}"
        if candidate not in taken:
            return candidate


def _check_unique(what: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise GraphNameError(located(f"two {what}s are named {name!r}"))
        seen.add(name)
