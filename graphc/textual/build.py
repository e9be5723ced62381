"""A graph file's document -> the Graph it declares, and its example values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc import nodes
from graphc.errors import (
    GraphError,
    GraphNameError,
    GraphSyntaxError,
    GraphTypeError,
    GraphValueError,
    located,
)
from graphc.formula import ALIASES
from graphc.graph import Graph
from graphc.ir import Container, Node, leaves
from graphc.lifting import is_weak, lift
from graphc.naming import unknown_name
from graphc.ops.elementwise import TABLE, define
from graphc.ops.kinds import Elementwise, InputParams
from graphc.order import reachable, topological
from graphc.textual.containers import read_container
from graphc.textual.data import read_value
from graphc.textual.document import Document
from graphc.textual.formulas import Formula, Function, names_in, parse, parse_function
from graphc.textual.functions import FUNCTIONS
from graphc.textual.language import Language
from graphc.textual.limits import MAX_ENTRIES, MAX_NDIM, MAX_TYPE
from graphc.textual.user_ops import read_op
from graphc.types import DTYPES, parse_type, size_names
from graphc.values import Value

# Keys that `dump` makes for values without a name; they name nothing.
GENERATED = re.compile(r"_[0-9]+")

_ROLES: Mapping[str, Any] = {"inputs": "input", "params": "param", "cotangents": "cotangent"}
Contractions = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a graph file holds: the graph, and values to try it at."""

    graph: Graph
    example: Mapping[str, np.ndarray[Any, Any]]


def build(document: Document) -> Loaded:
    """The graph of a document; every error bears the file and line of the entry at fault.

    Raises GraphNameError for unknown names, GraphValueError for a cycle and whatever exceeds a
    limit, and what declaring the same graph in Python would raise.
    """
    _check_keys(document)
    values = _inputs(document)
    inputs = tuple(value.node for value in values.values())
    values.update(_constants(document))
    language = _language(document, inputs)
    formulas = _formulas(document)
    order = _order(document, formulas)
    for key in order:
        with document.at("nodes", key):
            name = _name(document, key, generated=True)
            values[key] = _declared(language.evaluate(formulas[key], values), name)
    outputs = _outputs(document, language, values)
    # All that the file declares is kept, used or not: `run` shows every wire.
    declared = [values[key].node for key in (*document.tables["constants"], *formulas)]
    roots = [*declared, *(node for _, node in outputs)]
    own = set(inputs)
    rest = [node for node in reachable(roots) if node not in own]
    graph = Graph(
        document.name,
        inputs,
        outputs,
        [*inputs, *rest],
        _arguments(document, {node.name: node for node in inputs}),
        _result(document, outputs),
    )
    if language.unchecked:
        _verify(document, graph)
    return Loaded(graph, _example(document, graph))


def _verify(document: Document, graph: Graph) -> None:
    from graphc.verify import verify

    try:
        verify(graph)
    except GraphError as error:
        raise type(error)(f"{document.label}: {error}") from None


# -- names -----------------------------------------------------------------------------------------


def _check_keys(document: Document) -> None:
    """No key twice among the tables that declare values, and no name for what is not there."""
    where: dict[str, str] = {}
    for table in (*_ROLES, "constants", "nodes"):
        entries = document.tables[table]
        if len(entries) > MAX_ENTRIES:
            raise GraphValueError(f"{document.label}: more than {MAX_ENTRIES} {table}")
        for key in entries:
            if key in where:
                with document.at(table, key):
                    raise GraphNameError(located(f"{key!r} is declared in [{where[key]}] already"))
            where[key] = table
    stated = document.tables["names"]
    taken = {key for key in where if key not in stated and not GENERATED.fullmatch(key)}
    for key, name in stated.items():
        with document.at("names", key):
            if key not in where:
                raise unknown_name("[names]: no value", key, where)
            if name in taken:
                raise GraphNameError(located(f"[names]: {name!r} is the name of another value"))
            taken.add(name)


def _name(document: Document, key: str, generated: bool) -> str:
    """The name of a key's value: what [names] says, else the key; a generated key names none."""
    stated = document.tables["names"].get(key)
    if stated is not None:
        return str(stated)
    if GENERATED.fullmatch(key):
        if not generated:
            raise GraphNameError(located(f"{key!r} is a key of `dump`; an input needs a name"))
        return ""
    return key


# -- leaves ----------------------------------------------------------------------------------------


def _inputs(document: Document) -> dict[str, Value]:
    paths = _paths(document)
    values: dict[str, Value] = {}
    for table, role in _ROLES.items():
        for key, text in document.tables[table].items():
            with document.at(table, key):
                name = _name(document, key, generated=False)
                if not name:
                    raise GraphNameError(located(f"[{table}]: an empty name"))
                type_ = _type(name, text)
                node = nodes.input_(name, type_, InputParams(role, paths.get(name, ())))
                values[key] = Value(node)
    by_name = {value.name: key for key, value in values.items()}
    listed = [by_name[leaf] for leaf in paths if leaf in by_name]
    if listed:
        known = set(listed)
        rest = [key for key in values if key not in known]
        values = {key: values[key] for key in (*listed, *rest)}
    return values


def _type(name: str, text: str) -> Any:
    if len(text) > MAX_TYPE:
        raise GraphSyntaxError(located(f"{name}: a type of {len(text)} characters"))
    found = parse_type(text)
    if found.ndim > MAX_NDIM:
        raise GraphSyntaxError(located(f"{name}: more than {MAX_NDIM} axes"))
    return found


def _constants(document: Document) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for key, value in document.tables["constants"].items():
        with document.at("constants", key):
            name = _name(document, key, generated=True)
            node = nodes.constant(read_value(name or key, value, document.directory))
            node.name = name
            values[key] = Value(node)
    return values


# -- formulas --------------------------------------------------------------------------------------


def _language(document: Document, inputs: tuple[Node, ...]) -> Language:
    functions: dict[str, Function] = {}
    for name, text in document.tables["functions"].items():
        with document.at("functions", name):
            _check_callable("function", name)
            functions[name] = parse_function(name, text)
    ops: dict[str, Elementwise] = {}
    contractions: dict[str, Callable[..., Any]] = {}
    for key, entry in document.tables["ops"].items():
        with document.at("ops", key):
            _check_callable("op", key)
            if key in functions:
                raise GraphNameError(located(f"op {key!r} is a function too"))
            if isinstance(entry, str) and "[" in entry:
                contractions[key] = _contraction(key, entry)
            else:
                ops[key] = read_op(key, entry) if isinstance(entry, dict) else _op(key, entry)
    sizes = {name for node in inputs for size in node.type.shape for name in size_names(size)}
    return Language(functions, ops, contractions, sizes)


def _check_callable(what: str, name: str) -> None:
    if not name.isidentifier():
        raise GraphNameError(located(f"{what} {name!r}: a name that formulas can call"))
    if name in FUNCTIONS or name in TABLE or name in ALIASES:
        raise GraphNameError(
            located(f"{what} {name!r}: graphc has one of that name; choose another")
        )


def _op(name: str, formula: Any) -> Elementwise:
    if not isinstance(formula, str):
        raise GraphSyntaxError(located(f'op {name!r} is a formula: {name} = "x / (1 + exp(-x))"'))
    return define(name, formula)


def _contraction(name: str, formula: str) -> Callable[..., Any]:
    from graphc.custom import contraction

    found: Callable[..., Any] = contraction(name, formula)
    return found


def _formulas(document: Document) -> dict[str, Formula]:
    formulas: dict[str, Formula] = {}
    for key, text in document.tables["nodes"].items():
        with document.at("nodes", key):
            formulas[key] = parse(text)
    return formulas


def _order(document: Document, formulas: Mapping[str, Formula]) -> list[str]:
    uses = {key: list(names_in(formula, formulas)) for key, formula in formulas.items()}
    try:
        return topological(uses, document.label)
    except GraphValueError as error:
        # The line of the first node in the cycle: the message ends `cycle: a -> b -> a`.
        _, _, cycle = str(error).partition("cycle: ")
        line = document.line("nodes", cycle.partition(" -> ")[0])
        raise GraphValueError(f"{document.label}:{line}: cycle: {cycle}") from None


def _declared(result: Any, name: str) -> Value:
    """The value of an entry, under its name."""
    if not isinstance(result, Value) and not is_weak(result) and not isinstance(result, list):
        shown = type(result).__name__
        raise GraphTypeError(located(f"{name or 'a node'} is one array or number, not a {shown}"))
    node = lift(result)
    if not name:
        return Value(node)
    if node.name:
        # A second name for one value: every name of the file is shown, so it is a node of its own.
        node = nodes.elementwise("positive", node)
    node.name = name
    return Value(node)


def _outputs(
    document: Document, language: Language, values: Mapping[str, Value]
) -> list[tuple[str, Node]]:
    outputs: list[tuple[str, Node]] = []
    if not document.tables["outputs"]:
        raise GraphValueError(f'{document.label}: no output; say one: [outputs] f = "f"')
    for name, text in document.tables["outputs"].items():
        with document.at("outputs", name):
            result = language.evaluate(parse(text), values)
            if not isinstance(result, Value) and not is_weak(result):
                raise GraphTypeError(located(f"output {name!r} is one array or number"))
            outputs.append((name, lift(result)))
    return outputs


# -- structure -------------------------------------------------------------------------------------


def _paths(document: Document) -> dict[str, tuple[str | int, ...]]:
    """Where each leaf of [arguments] stands in its container, in the order of the arguments."""
    paths: dict[str, tuple[str | int, ...]] = {}
    for argument, entry in document.tables["arguments"].items():
        with document.at("arguments", argument):
            stack: list[tuple[Container, tuple[str | int, ...]]] = [(read_container(entry), ())]
            if stack[0][0].kind != "leaf":
                stack = [(stack[0][0], (argument,))]
            while stack:
                container, path = stack.pop()
                if container.kind == "leaf":
                    paths[container.leaf] = path
                    continue
                keys: tuple[str | int, ...] = container.keys or tuple(range(len(container.items)))
                parts = list(zip(keys, container.items, strict=True))
                stack.extend((item, (*path, key)) for key, item in reversed(parts))
    return paths


def _arguments(
    document: Document, inputs: Mapping[str, Node]
) -> list[tuple[str, Container]] | None:
    table = document.tables["arguments"]
    if not table:
        return None
    found = [(argument, read_container(entry)) for argument, entry in table.items()]
    declared = [leaf for _, container in found for leaf in leaves(container)]
    with document.at("arguments"):
        for leaf in declared:
            if leaf not in inputs:
                raise unknown_name("[arguments]: no input", leaf, inputs)
        left = [name for name in inputs if name not in set(declared)]
        if left or len(set(declared)) != len(declared):
            raise GraphValueError(
                located(
                    f"[arguments] holds every input once; {left[0] if left else 'one'} is not so"
                )
            )
    return found


def _result(document: Document, outputs: list[tuple[str, Node]]) -> Container | None:
    if document.result is None:
        return None
    with document.at("result"):
        container = read_container(document.result)
        known = dict(outputs)
        for leaf in leaves(container):
            if leaf not in known:
                raise unknown_name("result: no output", leaf, known)
    return container


def fitted(value: np.ndarray[Any, Any], node: Node) -> np.ndarray[Any, Any]:
    """A value written as text in the dtype of its input: 0.5 may well be an f32."""
    target = DTYPES[node.type.dtype]
    return value.astype(target) if np.can_cast(value.dtype, target, "same_kind") else value


def _example(document: Document, graph: Graph) -> dict[str, np.ndarray[Any, Any]]:
    example: dict[str, np.ndarray[Any, Any]] = {}
    known = {node.name: node for node in graph.inputs}
    for key, value in document.tables["example"].items():
        with document.at("example", key):
            name = document.tables["names"].get(key, key)
            if name not in known:
                raise unknown_name("[example]: no input", name, known)
            example[name] = fitted(read_value(name, value, document.directory), known[name])
    return example
