"""The intermediate representation: frozen data, compared by identity.

    Graph  = name, inputs, outputs, nodes
    Node   = op(inputs; params) : type          with a name, if the user gave one, and an origin
    Origin = file, line, function               where the user declared it

    op     = an entry of the op table (graphc.ops)
    params = what varies from node to node of one op, a record of graphc.ops.kinds, or None
    inputs = nodes, in order and with multiplicity

Invariants, all of them in `graphc.verify`:
  * `nodes` holds every node once, operands before users; every input and output is in it;
  * an Elementwise node's operands (beyond its conditions) have one dtype, casts being nodes of
    their own, and their shapes broadcast to the node's shape by NumPy's rules, sizes compared as
    canonical polynomials (a named size never broadcasts);
  * a node's type is what its op's type rule says;
  * names are unique in a graph.

Nothing here recurses over the graph: a chain of 100,000 nodes prints, pickles and is freed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from codegen.record import record
from codegen.types import ArrayType
from graphc.ops.kinds import Op, Params


class Origin(NamedTuple):
    """Where the user declared a value."""

    file: str
    line: int
    function: str = ""

    def __str__(self) -> str:
        return f"{self.file.rpartition('/')[2]}:{self.line}"


NOWHERE = Origin("", 0)
_serials = itertools.count()


class Node:
    """One operation of a graph. Treat it as frozen: passes build new nodes.

    `name` alone is given later, once, while a graph is being declared (`b.node("q", value)`, or the
    local variable that a traced value is assigned to); after `Graph` is made it never changes.
    """

    __slots__ = ("inputs", "name", "op", "origin", "params", "serial", "type")

    def __init__(
        self,
        op: Op,
        inputs: tuple[Node, ...],
        params: Params,
        type: ArrayType,
        name: str = "",
        origin: Origin = NOWHERE,
    ) -> None:
        self.op = op
        self.inputs = inputs
        self.params = params
        self.type = type
        self.name = name
        self.origin = origin
        # The creation index: operands come before their users, and ties in every order break by it.
        self.serial = next(_serials)

    def __repr__(self) -> str:
        operands = ", ".join(node.name or node.op.name for node in self.inputs)
        return f"<{self.name or '_'} = {self.op.name}({operands}) : {self.type}>"

    def __reduce__(self) -> Any:
        raise TypeError("pickle the Graph, not a Node: a Node would drag its whole history along")


@record
class Container:
    """How the user holds a group of arrays: the tree around leaves, as data.

    kind "leaf": `leaf` is the name of an input or output; else `items` are the parts, with `keys`
    for a dict or a named tuple. `cls` is a user's own named tuple class; kind "record" is a named
    tuple of ours, `Outputs`.
    """

    kind: str
    keys: tuple[str, ...] = ()
    items: tuple[Container, ...] = ()
    leaf: str = ""
    cls: Any = None


def leaves(container: Container) -> list[str]:
    """The names at the leaves, in order; without recursion, for containers of unchecked depth."""
    found: list[str] = []
    stack = [container]
    while stack:
        part = stack.pop()
        if part.kind == "leaf":
            found.append(part.leaf)
        stack.extend(reversed(part.items))
    return found


def renamed(container: Container, names: Mapping[str, str]) -> Container:
    """The container with other names at its leaves."""
    if container.kind == "leaf":
        return Container("leaf", leaf=names[container.leaf])
    items = tuple(renamed(item, names) for item in container.items)
    return Container(container.kind, container.keys, items, cls=container.cls)


class Graph:
    """A static graph: inputs, named outputs, and every node between, operands first.

    arguments: the call's arguments in order, (name, container): a plain array is a leaf.
    outputs: (name, node) in order.
    result: how outputs are returned; without it as `returned` says.
    """

    __slots__ = ("_digest", "arguments", "inputs", "name", "nodes", "outputs", "result")

    def __init__(
        self,
        name: str,
        inputs: Iterable[Node],
        outputs: Iterable[tuple[str, Node]],
        nodes: Iterable[Node],
        arguments: Iterable[tuple[str, Container]] | None = None,
        result: Container | None = None,
    ) -> None:
        self.name = name
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.nodes = tuple(nodes)
        if arguments is None:
            arguments = [(node.name, Container("leaf", leaf=node.name)) for node in self.inputs]
        self.arguments = tuple(arguments)
        self.result = result or returned(self.outputs)
        self._digest: str | None = None

    @property
    def named(self) -> Mapping[str, Node]:
        """Every named node, inputs included."""
        return {node.name: node for node in self.nodes if node.name}


def returned(outputs: tuple[tuple[str, Node], ...]) -> Container:
    """How outputs are returned unless told otherwise: one is bare, several are a named tuple."""
    leaves = tuple(Container("leaf", leaf=name) for name, _ in outputs)
    if len(leaves) == 1:
        return leaves[0]
    return Container("record", tuple(name for name, _ in outputs), leaves)
