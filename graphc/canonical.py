"""The canonical form of a graph, and its digest: two graphs with one digest compile to one source.

The canonical form is text, one line a node: op, operands by number, params, type, name. Where the
user declared a node is no part of it, nor is the place of a leaf among the nodes: inputs are
numbered first, a constant or a size where it is first used. Everything else counts in the graph's
own order, because the order of evaluation and the names decide how the emitted source reads.

Nothing here depends on the process: no `id`, no `hash`, no order of a set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

from codegen.digest import sha256
from graphc.ir import Container, Graph, Node
from graphc.ops.kinds import (
    ConstantParams,
    Einstein,
    Elementwise,
    InputParams,
    Leaf,
    LinAlgParams,
    Op,
    Pad,
    Params,
    Primitive,
)
from graphc.types import ArrayType

FORMAT = "graphc 1"


def digest(graph: Graph) -> str:
    """The SHA-256, in hex, of the canonical form; the graph remembers it."""
    if graph._digest is None:
        graph._digest = sha256("\n".join(canonical_lines(graph)))
    return graph._digest


def canonical_lines(graph: Graph) -> Iterator[str]:
    """The lines of the canonical form."""
    writer = _Writer()
    yield f"{FORMAT} {graph.name!r}"
    for node in graph.inputs:
        yield writer.line(node)
    for node in graph.nodes:
        if node in writer.numbers or isinstance(node.op, Leaf):
            continue
        for operand in node.inputs:
            if operand not in writer.numbers:
                yield writer.line(operand)
        yield writer.line(node)
    for name, node in graph.outputs:
        if node not in writer.numbers:
            yield writer.line(node)
        yield f"output {name!r} {writer.numbers[node]}"
    for name, container in graph.arguments:
        yield f"argument {name!r} {container_text(container)}"
    yield f"result {container_text(graph.result)}"


class _Writer:
    """Numbers nodes as they are written, and writes what many nodes share once."""

    def __init__(self) -> None:
        self.numbers: dict[Node, int] = {}
        self.ops: dict[int, str] = {}
        self.types: dict[ArrayType, str] = {}
        self.params: dict[Params, str] = {None: ""}

    def line(self, node: Node) -> str:
        numbers = self.numbers
        operands = [numbers[operand] for operand in node.inputs]
        numbers[node] = len(numbers)
        params = node.params
        shown = "" if params is None else self._params(params)
        # Ops are few and live as long as the graph: their identity finds them, in this call alone.
        op = self.ops.get(id(node.op)) or self._op(node.op)
        type_ = self.types.get(node.type) or self._type(node.type)
        return f"{op}{operands}{shown}:{type_} {node.name!r}"

    def _op(self, op: Op) -> str:
        text = op_text(op)
        self.ops[id(op)] = text
        return text

    def _type(self, type_: ArrayType) -> str:
        text = str(type_)
        self.types[type_] = text
        return text

    def _params(self, params: Params) -> str:
        # Numbers that are equal need not be the same (0.0 and -0.0, 1 and True): never looked up.
        if isinstance(params, ConstantParams | Pad | LinAlgParams) or (
            isinstance(params, Einstein) and params.body is not None
        ):
            return params_text(params)
        text = self.params.get(params)
        if text is None:
            text = self.params[params] = params_text(params)
        return text


def op_text(op: Op) -> str:
    """All of an op's definition that decides what it computes; its documentation does not."""
    match op:
        case Elementwise():
            fields: tuple[object, ...] = (
                op.name,
                op.args,
                op.formula,
                op.definition,
                op.result,
                op.differentiable,
                op.condition,
                op.output,
                op.points,
            )
            return f"Elementwise{fields!r}"
        case Primitive():
            forward, backward = callable_text(op.forward), callable_text(op.backward)
            return f"Primitive({op.name!r}, {forward}, {backward})"
        case _:
            return f"{type(op).__name__}({op.name!r})"


def params_text(params: Params) -> str:
    """A node's params, exactly: floats by their shortest spelling, arrays by their bytes."""
    if isinstance(params, ConstantParams):
        value = params.value
        data = value.tobytes()
        shown = data.hex() if len(data) <= 64 else sha256(data)
        # Little-endian types everywhere we run; the dtype string tells if that ever changes.
        return f"{value.dtype.str}{value.shape}{shown}"
    if isinstance(params, InputParams):
        return params.role  # the path repeats what the arguments' containers say
    return repr(params)


def container_text(container: Container) -> str:
    """A container of arrays: its kind, keys, and what stands at its leaves."""
    if container.kind == "leaf":
        return repr(container.leaf)
    items = ", ".join(container_text(item) for item in container.items)
    cls = getattr(container.cls, "__name__", "")
    return f"{container.kind}{cls}{container.keys!r}({items})"


# -- a user's own functions ------------------------------------------------------------------------


def callable_text(function: Callable[..., Any] | None) -> str:
    """What a function does, as far as its bytecode, constants, names, defaults and closure tell.

    A builtin or an object with `__call__` is known by its qualified name alone.
    """
    if function is None:
        return "None"
    code = getattr(function, "__code__", None)
    name = _qualified(function)
    if not isinstance(code, CodeType):
        return name
    defaults = getattr(function, "__defaults__", None) or ()
    keyword = sorted((getattr(function, "__kwdefaults__", None) or {}).items())
    cells = [_cell_text(cell) for cell in getattr(function, "__closure__", None) or ()]
    return f"{name}<{_code_text(code)}; {_values_text(defaults)}; {_values_text(keyword)}; {cells}>"


def _code_text(code: CodeType) -> str:
    constants = [
        _code_text(value) if isinstance(value, CodeType) else _value_text(value)
        for value in code.co_consts
    ]
    parts = (code.co_code.hex(), constants, code.co_names, code.co_varnames, code.co_freevars)
    return repr(parts)


def _cell_text(cell: Any) -> str:
    try:
        return _value_text(cell.cell_contents)
    except ValueError:  # an empty cell: a name that is bound later
        return "unbound"


def _values_text(values: Any) -> str:
    return ", ".join(_value_text(value) for value in values)


def _value_text(value: Any) -> str:
    """A value without its address: what `repr` says only where that is the value itself."""
    import numpy as np

    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"{type(value).__name__}({_values_text(value)})"
    if isinstance(value, frozenset):
        return f"frozenset({sorted(map(_value_text, value))})"
    if isinstance(value, np.ndarray) and value.dtype != object:
        return f"{value.dtype.str}{value.shape}{sha256(value.tobytes())}"
    return _qualified(value)


def _qualified(value: Any) -> str:
    name = getattr(value, "__qualname__", None) or type(value).__qualname__
    return f"{getattr(value, '__module__', '')}.{name}"
