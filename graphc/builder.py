"""`graphc.Builder`: a graph declared piece by piece."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc import nodes
from graphc.errors import GraphNameError, GraphTypeError, GraphValueError, located
from graphc.freeze import freeze
from graphc.graph import Graph
from graphc.ir import Container, Node
from graphc.lifting import Symbolic, lift
from graphc.ops.kinds import InputParams
from graphc.scopes import scoped
from graphc.sites import here
from graphc.types import ArrayType, parse_type, type_of_array
from graphc.values import Value


class Builder:
    """Declares a graph.

    >>> b = Builder("circuit")
    >>> x, y, z = b.inputs("x", "y", "z")
    >>> b.output("f", b.node("q", x + y) * z)
    >>> g = b.build()

    Names given inside a `name_scope` take its prefix. Compiling takes a builder as it is.
    """

    def __init__(self, name: str = "graph") -> None:
        if not isinstance(name, str) or not name:
            raise GraphNameError(located(f"Builder({name!r}): the name is a non-empty string"))
        self.name = name
        self._inputs: list[Node] = []
        self._outputs: list[tuple[str, Node]] = []
        self._explicit: dict[Node, str] = {}
        self._owners: dict[str, Node] = {}

    def inputs(self, *names: str, type: str | ArrayType = "f64") -> tuple[Value, ...]:
        """Several inputs of one type."""
        return tuple(self.input(name, type) for name in names)

    def input(self, name: str, type: str | ArrayType = "f64") -> Value:
        """An input: `b.input("x", "f32[batch, 64]")`."""
        return self._input(name, type, InputParams("input"))

    def param(self, name: str, type: str | ArrayType = "f64", init: Any = None) -> Value:
        """A parameter: an input that is differentiated by default.

        init: how `graphc.init_params` makes its starting value, as in `graphc.param`.
        """
        return self._input(name, type, InputParams("param", (), initialiser(init)))

    def _input(self, name: str, type: str | ArrayType, params: InputParams) -> Value:
        here()
        name = self._free(name, "input")
        made = nodes.input_(name, read_type(type), params)
        self._owners[name] = made
        self._inputs.append(made)
        return Value(made)

    def const(self, name: str, value: Any) -> Value:
        """A named constant: the array is copied and frozen."""
        return self.node(name, value)

    def node(self, name: str, value: Any) -> Value:
        """Names a value; the name survives into the emitted code.

        Raises GraphNameError where the name is taken, or the value has been named before.
        """
        here()
        made = lift(value)
        if made in self._explicit or made in self._inputs:
            raise GraphNameError(
                located(f"node({name!r}): this value is named {made.name!r} already")
            )
        made.name = self._free(name, "node")
        self._own(made)
        return Value(made)

    def output(self, name: str, value: Any) -> None:
        """Declares an output.

        Raises GraphNameError where another output, or another value, has the name.
        """
        here()
        name = scoped(name)
        made = lift(value)
        if any(name == other for other, _ in self._outputs):
            raise GraphNameError(located(f"output {name!r}: another output has this name"))
        if self._owners.get(name, made) is not made:
            raise GraphNameError(located(f"output {name!r}: another value has this name"))
        self._outputs.append((name, made))
        if made not in self._explicit and made not in self._inputs:
            made.name = name
            self._own(made)

    def build(self) -> Graph:
        """The immutable Graph of what has been declared so far; the builder can go on."""
        if not self._outputs:
            raise GraphValueError(
                located(f"builder {self.name!r} has no output; declare one: b.output(name, value)")
            )
        single = len(self._outputs) == 1
        result = Container("leaf", leaf=self._outputs[0][0]) if single else None
        return freeze(self.name, self._inputs, self._outputs, None, result, self._explicit)

    def _own(self, node: Node) -> None:
        self._explicit[node] = node.name
        self._owners[node.name] = node

    def _free(self, name: str, what: str) -> str:
        if not isinstance(name, str) or not name:
            raise GraphNameError(located(f"{what} {name!r}: the name is a non-empty string"))
        name = scoped(name)
        if name in self._owners or any(name == output for output, _ in self._outputs):
            raise GraphNameError(located(f"{what} {name!r}: another value has this name"))
        return name


def initialiser(init: Any) -> Any:
    """A parameter's initialiser as users give it; GraphTypeError for anything else."""
    if init is None:
        return None
    from graphc.training.initialisers import as_initialiser

    return as_initialiser(init)


def read_type(type: Any) -> ArrayType:
    """A type as users give it: a string, an ArrayType, or an example array."""
    if isinstance(type, ArrayType):
        return type
    if isinstance(type, str):
        return parse_type(type)
    if isinstance(type, Symbolic):
        return type.node.type
    try:
        return type_of_array(type)
    except (TypeError, ValueError):
        raise GraphTypeError(
            located(
                f"{_shown(type)} is no type; write one such as 'f64[batch, 64]', or give an array"
            )
        ) from None


def _shown(given: Any) -> str:
    """`np.float64` for NumPy's own, which people take for types."""
    name = getattr(given, "__name__", "")
    return f"np.{name}" if name and getattr(np, name, None) is given else repr(given)
