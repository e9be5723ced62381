"""A Graph -> the text of its file. Reading that text gives a graph of the same digest.

Formulas are inlined where evaluating the outer one makes the same nodes in the same order, and
where they stay short; every other value without a name gets a generated key, `_1`.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphc.canonical import op_text
from graphc.errors import GraphTypeError
from graphc.formula import ALIASES, CONSTANTS
from graphc.ir import Container, Graph, Node, returned
from graphc.ops.elementwise import TABLE
from graphc.ops.kinds import ConstantParams, Elementwise, InputParams, Leaf, RangeParams, SizeParams
from graphc.textual import toml
from graphc.textual.build import GENERATED
from graphc.textual.containers import write_container
from graphc.textual.document import VERSION
from graphc.textual.functions import FUNCTIONS
from graphc.textual.literals import literals
from graphc.textual.spell import Speller, Spelt
from graphc.textual.toml import quote
from graphc.textual.user_ops import write_op
from graphc.types import Size, size_names, size_text

_INLINE = 40  # characters of a formula that may stand inside another one
_TABLES = {"input": "inputs", "param": "params", "cotangent": "cotangents"}
Store = Callable[[str, np.ndarray[Any, Any]], str | None]


@dataclass
class _Writer:
    """The tables as they grow, and the key of everything that has one."""

    graph: Graph
    store: Store
    sizes: frozenset[str] = frozenset()
    keys: dict[str, str] = field(default_factory=dict)
    spelt: dict[Node, Spelt] = field(default_factory=dict)
    tables: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    op_keys: dict[str, str] = field(default_factory=dict)
    generated: int = 0

    def add(self, table: str, key: str, value: str) -> None:
        self.tables.setdefault(table, []).append((key, value))

    def key(self, name: str) -> str:
        """The key of a value of this name ("" for none): the name, where formulas can say it."""
        if name in self.keys:
            return self.keys[name]
        self.generated += 1
        key = f"_{self.generated}"
        if name:
            self.keys[name] = key
            self.add("names", key, quote(name))
        return key


def write(graph: Graph, store: Store = lambda name, value: None) -> str:
    """The text of a graph's file.

    store: what becomes of a constant: the text of its entry (a file), or None to write it out.

    Raises GraphTypeError for a graph with a primitive, whose Python code no text can hold.
    """
    writer = _Writer(graph, store, _sizes(graph))
    uses = _uses(graph)
    # A constant that nothing uses is not written, and its name hides nothing.
    live = (node for node in graph.nodes if uses[node] or not isinstance(node.op, Leaf))
    names = [node.name for node in (*graph.inputs, *live) if node.name]
    taken = set(names)
    writer.keys = {name: name for name in names if _speakable(name, taken)}
    for node in graph.inputs:
        assert isinstance(node.params, InputParams)
        key = writer.key(node.name)
        writer.add(_TABLES[node.params.role], key, quote(str(node.type)))
        writer.spelt[node] = Spelt(_as_formula(key))
    speller = Speller(True, lambda op: _op_key(writer, op), lambda size: _size(writer, size))
    _nodes(writer, speller, uses)
    for name, node in graph.outputs:
        if node not in writer.spelt:
            writer.spelt[node] = _leaf(writer, speller, node)
        writer.add("outputs", name, quote(writer.spelt[node].text))
    return "\n".join(_lines(writer)) + "\n"


def _lines(writer: _Writer) -> list[str]:
    graph = writer.graph
    lines = [f"graphc = {VERSION}", f"name = {quote(graph.name)}"]
    lines.extend(_result(graph))
    lines.extend(toml.table("arguments", _arguments(graph), scopes=False))
    for name in ("inputs", "params", "cotangents", "constants", "ops", "nodes", "outputs", "names"):
        lines.extend(toml.table(name, writer.tables.get(name, [])))
    return lines


# -- names -----------------------------------------------------------------------------------------


def _speakable(name: str, taken: set[str]) -> bool:
    """Whether a formula can say the name: a dotted path of identifiers and numbers."""
    parts = name.split(".")
    if GENERATED.fullmatch(name) or name in CONSTANTS or not _is_identifier(parts[0]):
        return False
    for k, part in enumerate(parts[1:], 1):
        # `x.T` and `x[0]` mean something else where x is a value.
        if ".".join(parts[:k]) in taken:
            return False
        if not _is_identifier(part) and not (part.isdecimal() and str(int(part)) == part):
            return False
    return True


def _is_identifier(text: str) -> bool:
    if not text.isidentifier() or keyword.iskeyword(text):
        return False
    if text.isascii():
        return True
    import unicodedata

    return unicodedata.normalize("NFKC", text) == text


def _as_formula(key: str) -> str:
    """`params.layers.0.W` as a formula says it: `params.layers[0].W`."""
    if "." not in key:
        return key
    first, *rest = key.split(".")
    return first + "".join(f"[{part}]" if part.isdecimal() else f".{part}" for part in rest)


def _sizes(graph: Graph) -> frozenset[str]:
    types = {node.type for node in graph.inputs}
    return frozenset(name for type_ in types for size in type_.shape for name in size_names(size))


def _size(writer: _Writer, size: Size) -> str:
    text = size_text(size)
    if isinstance(size, int):
        return text
    # A value of the same name hides a size in formulas; in quotes, sizes are alone.
    return f"'{text}'" if any(name in writer.keys for name in size_names(size)) else text


def _op_key(writer: _Writer, op: Elementwise) -> str:
    if TABLE.get(op.name) is op:
        return op.name
    identity = op_text(op)
    key = writer.op_keys.get(identity)
    if key is not None:
        return key
    key = op.name
    known = set(writer.op_keys.values())
    if (
        not _is_identifier(key)
        or key in known
        or key in FUNCTIONS
        or key in TABLE
        or key in ALIASES
    ):
        number = 1
        while f"op_{number}" in known:
            number += 1
        key = f"op_{number}"
    writer.op_keys[identity] = key
    writer.add("ops", key, write_op(key, op, quote))
    return key


# -- nodes -----------------------------------------------------------------------------------------


def _nodes(writer: _Writer, speller: Speller, uses: dict[Node, int]) -> None:
    """Every node that is no leaf, inlined into its user or with an entry of its own.

    `pending` are formulas that wait for their user: the nodes from the first to the last of them
    are contiguous in the graph's order, so a user that takes the last ones in order keeps it.
    """
    kept = {node for _, node in writer.graph.outputs}
    pending: list[Node] = []

    def settle() -> None:
        for node in pending:
            _entry(writer, node)
        pending.clear()

    for node in writer.graph.nodes:
        if isinstance(node.op, Leaf):
            continue
        waiting = set(pending)
        wanted = [operand for operand in node.inputs if operand in waiting]
        if wanted and pending[-len(wanted) :] != wanted:
            settle()
        elif wanted:
            del pending[-len(wanted) :]
        inline = literals(node, uses, writer.keys)
        operands = [
            inline.get(k) or _operand(writer, speller, operand)
            for k, operand in enumerate(node.inputs)
        ]
        writer.spelt[node] = spelt = speller.formula(node, operands)
        if node.name or uses[node] != 1 or node in kept or len(spelt.text) > _INLINE:
            settle()
            _entry(writer, node)
        else:
            pending.append(node)
            if len(pending) > 16:
                settle()  # nothing takes so many operands soon; the scan above stays short
    settle()


def _uses(graph: Graph) -> dict[Node, int]:
    uses = dict.fromkeys(graph.nodes, 0)
    for node in graph.nodes:
        for operand in node.inputs:
            uses[operand] += 1
    for _, node in graph.outputs:
        uses[node] += 1
    return uses


def _entry(writer: _Writer, node: Node) -> None:
    key = writer.key(node.name)
    writer.add("nodes", key, quote(writer.spelt[node].text))
    writer.spelt[node] = Spelt(_as_formula(key))


def _operand(writer: _Writer, speller: Speller, node: Node) -> Spelt:
    spelt = writer.spelt.get(node)
    if spelt is None:
        spelt = writer.spelt[node] = _leaf(writer, speller, node)
    return spelt


def _leaf(writer: _Writer, speller: Speller, node: Node) -> Spelt:
    """A constant's entry; a size or a range is an entry too, so that its users share it."""
    key = writer.key(node.name)
    if isinstance(node.params, ConstantParams):
        writer.add("constants", key, _constant(writer, key, node))
    elif isinstance(node.params, SizeParams | RangeParams):
        writer.add("nodes", key, quote(speller.formula(node, ()).text))
    else:
        raise GraphTypeError(f"dump: {node!r} is no input of the graph")
    return Spelt(_as_formula(key))


def _constant(writer: _Writer, key: str, node: Node) -> str:
    assert isinstance(node.params, ConstantParams)
    value, dtype = node.params.value, node.type.dtype
    stored = writer.store(key, value)
    if stored is not None:
        return stored
    if not toml.reads_back(value):
        little = value.astype(value.dtype.newbyteorder("<")).tobytes().hex()
        return f'{{ dtype = "{dtype}", shape = {list(value.shape)}, bytes = "{little}" }}'
    if value.size == 0:
        return f'{{ dtype = "{dtype}", shape = {list(value.shape)}, value = [] }}'
    text = toml.array(value)
    if dtype in ("f32", "i32"):
        return f'{{ dtype = "{dtype}", value = {text} }}'
    return text


# -- structure -------------------------------------------------------------------------------------


def _arguments(graph: Graph) -> list[tuple[str, str]]:
    """The arguments, unless they are the inputs, then the parameters, then the cotangents."""
    order = list(_TABLES)
    plain = [
        (node.name, Container("leaf", leaf=node.name))
        for node in sorted(graph.inputs, key=lambda node: order.index(_role(node)))
    ]
    if list(graph.arguments) == plain and [node.name for node in graph.inputs] == [
        n for n, _ in plain
    ]:
        return []
    return [(name, write_container(container, quote)) for name, container in graph.arguments]


def _role(node: Node) -> str:
    assert isinstance(node.params, InputParams)
    return node.params.role


def _result(graph: Graph) -> list[str]:
    if graph.result == returned(graph.outputs):
        return []
    return [f"result = {write_container(graph.result, quote)}"]
