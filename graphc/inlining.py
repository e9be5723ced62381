"""A Graph called like a function: with Values it becomes part of the graph being declared, with
arrays it is evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from codegen.program import Affine
from graphc import nodes
from graphc.containers import flatten, unflatten
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Graph, Node
from graphc.lifting import Symbolic, is_weak, lift
from graphc.naming import counted, unknown_name
from graphc.ops.kinds import ConstantParams, InputParams, Params
from graphc.scopes import scoped
from graphc.sites import here
from graphc.types import (
    DTYPES,
    ArrayType,
    Dim,
    Size,
    array_type,
    same_size,
    size_text,
    substitute,
)
from graphc.values import Value, wrap


def call(graph: Graph, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """`graph(*args, **kwargs)`: see `Graph.__call__`."""
    name = here()
    given = bind(graph, args, kwargs)
    if any(isinstance(value, Symbolic) for value in given.values()):
        outputs: dict[str, Any] = {
            output: Value(node) for output, node in inline(graph, given).items()
        }
        if len(outputs) == 1:
            (only,) = outputs
            outputs = {only: wrap(outputs[only].node, name)}
    else:
        outputs = evaluated(graph, given)
    return unflatten(graph.result, outputs)


def evaluated(graph: Graph, given: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs at arrays, by the interpreter, in the stable forms that are emitted."""
    from graphc.interpret import emitted, evaluate
    from graphc.running import contract

    found = evaluate(graph, given, expression=emitted, contract=contract)
    # Copies: a result shares memory with nothing, and a scalar is a NumPy scalar.
    return {name: np.array(found[node])[()] for name, node in graph.outputs}


def bind(graph: Graph, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """A call's arguments as leaves by input name.

    Raises GraphTypeError for a missing, unknown or repeated argument.
    """
    names = [name for name, _ in graph.arguments]
    if len(args) > len(names):
        wanted = f"{graph.name}() takes {counted(len(names), 'argument')}"
        raise GraphTypeError(located(f"{wanted}, got {len(args)}: {_list(names)}"))
    given: dict[str, Any] = dict(zip(names, args, strict=False))
    for name, value in kwargs.items():
        if name not in names:
            raise unknown_name(f"{graph.name}() has no input", name, names, "inputs")
        if name in given:
            raise GraphTypeError(located(f"{graph.name}(): two values for {name!r}"))
        given[name] = value
    missing = [name for name in names if name not in given]
    if missing:
        raise GraphTypeError(
            located(f"{graph.name}(): the input {missing[0]!r} is missing; inputs: {_list(names)}")
        )
    found: dict[str, Any] = {}
    for name, container in graph.arguments:
        found.update(flatten(container, given[name], name))
    return found


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)


# -- into the graph being declared -----------------------------------------------------------------


def inline(graph: Graph, given: Mapping[str, Any]) -> dict[str, Node]:
    """Copies of the graph's nodes on the given operands: the outputs by name.

    The graph's named sizes become the operands' own sizes; its names stand below its own name as a
    scope. Raises GraphTypeError or GraphValueError where an operand is not of its input's type.
    """
    operands = {node: _operand(graph, node, given[node.name]) for node in graph.inputs}
    sizes = _unify(graph, operands)
    copies: dict[Node, Node] = dict(operands)
    # A bare result bears the function's name; here it is whatever the caller calls it.
    bare = {node for name, node in graph.outputs if name == node.name == graph.name}
    for node in graph.nodes:
        if node in copies:
            continue
        inputs = tuple([copies[x] for x in node.inputs])
        name = scoped(f"{graph.name}.{node.name}") if node.name and node not in bare else ""
        params, type = node.params, node.type
        if sizes:
            params, type = substitute_params(params, sizes), _substitute_type(type, sizes)
        copies[node] = Node(node.op, inputs, params, type, name, node.origin)
    return {name: copies[node] for name, node in graph.outputs}


def _operand(graph: Graph, node: Node, value: Any) -> Node:
    declared = node.type
    if is_weak(value):
        given = nodes.size(value) if isinstance(value, Dim) else nodes.constant(value)
        given = nodes.cast(given, declared.dtype)
    else:
        given = lift(value)
    if not np.can_cast(DTYPES[given.type.dtype], DTYPES[declared.dtype], "safe"):
        raise GraphTypeError(
            located(
                f"{graph.name}(): {node.name} should be {declared}, got {nodes.describe(given)}; "
                f"convert it with .astype('{declared.dtype}')"
            )
        )
    if given.type.ndim != declared.ndim:
        raise GraphValueError(
            located(
                f"{graph.name}(): {node.name} should be {declared}, got {nodes.describe(given)}"
            )
        )
    return nodes.cast(given, declared.dtype)


def _unify(graph: Graph, operands: Mapping[Node, Node]) -> dict[str, Size]:
    """What the graph's named sizes are for these operands."""
    sizes: dict[str, Size] = {}
    axes = [
        (node, axis, declared, operand.type.shape[axis])
        for node, operand in operands.items()
        for axis, declared in enumerate(node.type.shape)
    ]
    for _, _, declared, actual in axes:
        if isinstance(declared, Dim) and declared.is_name:
            sizes.setdefault(size_text(declared), actual)
    for _, _, declared, actual in axes:
        _solve(declared, actual, sizes)
    for node, axis, declared, actual in axes:
        expected = substitute(declared, sizes)
        if same_size(expected, actual) is not True:
            raise GraphValueError(
                located(
                    f"{graph.name}(): {node.name} should be {node.type}, got "
                    f"{nodes.describe(operands[node])}: axis {axis} is {size_text(actual)}, "
                    f"not {size_text(expected)}"
                )
            )
    return sizes


def _solve(declared: Size, actual: Size, sizes: dict[str, Size]) -> None:
    """Binds the one unbound name of scale * name + offset, where that is what `declared` is."""
    unbound = [name for name in sorted(_names(declared)) if name not in sizes]
    if len(unbound) != 1 or isinstance(declared, int):
        return
    offset = substitute(declared, {**sizes, unbound[0]: 0})
    scale = substitute(declared, {**sizes, unbound[0]: 1}) - offset
    if not isinstance(scale, int) or scale == 0:
        return
    candidate = (actual - offset) // scale
    if substitute(declared, {**sizes, unbound[0]: candidate}) == actual:
        sizes[unbound[0]] = candidate


def _names(size: Size) -> frozenset[str]:
    return size.names if isinstance(size, Dim) else frozenset()


def _substitute_type(type: ArrayType, sizes: Mapping[str, Size]) -> ArrayType:
    return array_type(type.dtype, tuple(substitute(size, sizes) for size in type.shape))


def substitute_params(params: Params, sizes: Mapping[str, Size]) -> Params:
    """The params with named sizes replaced, wherever a field holds one."""
    if params is None or isinstance(params, InputParams | ConstantParams):
        return params
    result: Params = _substitute(params, sizes)
    return result


def _substitute(value: Any, sizes: Mapping[str, Size]) -> Any:
    if isinstance(value, Dim):
        return substitute(value, sizes)
    if isinstance(value, tuple):
        return tuple(_substitute(item, sizes) for item in value)
    # A record (params, a slice, an expression): its fields are its match arguments.
    fields = getattr(type(value), "__match_args__", ())
    if not fields or isinstance(value, Affine):
        return value
    return type(value)(*(_substitute(getattr(value, name), sizes) for name in fields))
