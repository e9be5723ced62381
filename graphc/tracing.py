"""`graphc.trace`: a function of NumPy code, called once with Values, becomes a Graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any, overload

import numpy as np

from graphc import nodes
from graphc.builder import initialiser, read_type
from graphc.containers import Path, describe, is_container, leaf_name, unflatten
from graphc.errors import GraphTypeError, located
from graphc.freeze import freeze
from graphc.graph import Graph
from graphc.ir import NOWHERE, Container, Node, Origin
from graphc.lifting import Symbolic, is_weak, lift
from graphc.naming import unknown_name
from graphc.ops.kinds import InputParams
from graphc.scopes import prefix
from graphc.values import Value


class Param:
    """A type (or example, or container of them) marked as a parameter: see `param`."""

    __slots__ = ("init", "type")

    def __init__(self, type: Any, init: Any = None) -> None:
        self.type = type
        self.init = init

    def __repr__(self) -> str:
        return f"param({self.type!r})"


def param(type: Any, init: Any = None) -> Param:
    """Marks an argument's type as a parameter, which is differentiated by default.

    type: a string (`graphc.param("f64[64, 10]")`), an example array, or a container of them.
    init: how `graphc.init_params` makes its starting value: one of `graphc.initialisers`, as
        `he_normal()`, or a number; it holds for every leaf of a container.

    Raises GraphTypeError for an init that is neither.
    """
    return Param(type, initialiser(init))


@overload
def trace(function: Callable[..., Any], /, *types: Any, **named: Any) -> Graph: ...


@overload
def trace(**named: Any) -> Callable[[Callable[..., Any]], Graph]: ...


def trace(function: Any = None, /, *types: Any, **named: Any) -> Any:
    """A Graph of a function, traced once; also a decorator that takes the types by name.

    types: for each argument, in order or by name: a type string, an example array or number, a
        dict, list, tuple or named tuple of them, or any of these in `param`. An argument without
        a type must have a default, which it keeps.

    >>> @trace(x="f64[n]")
    ... def energy(x):
    ...     return (x * x).sum()

    Raises GraphTypeError for an argument without type or default, or a result that is no array.
    """
    if function is None:
        if types:
            raise GraphTypeError(located("trace: name the types: @graphc.trace(x='f64[n]')"))
        return lambda function: trace(function, **named)
    if not callable(function):
        raise GraphTypeError(
            located(f"trace: the first argument is the function, got {type(function).__name__}")
        )
    graph = _trace(function, types, named)
    graph._retrace = lambda: _trace(function, types, named)
    return graph


def _trace(function: Callable[..., Any], types: tuple[Any, ...], named: Mapping[str, Any]) -> Graph:
    name = _function_name(function)
    positional, keywords = _match(function, name, types, named)
    declared = nodes.origin.set(_origin(function))
    inputs: list[Node] = []
    arguments: list[tuple[str, Container]] = []

    def declare(argument: str, given: Any) -> Any:
        container, values = _declare(argument, given, inputs)
        arguments.append((argument, container))
        return unflatten(container, values)

    token = prefix.set("")
    try:
        args = [declare(argument, given) for argument, given in positional]
        kwargs = {argument: declare(argument, given) for argument, given in keywords}
        returned = function(*args, **kwargs)
        outputs, result = _results(name, returned)
    finally:
        prefix.reset(token)
        nodes.origin.reset(declared)
    return freeze(name, inputs, outputs, arguments, result, _explicit(returned, outputs, inputs))


def _declare(argument: str, given: Any, inputs: list[Node]) -> tuple[Container, dict[str, Value]]:
    values: dict[str, Value] = {}

    def leaf(part: Any, path: Path) -> str:
        role, init = roles[-1], inits[-1]
        if isinstance(part, Param):
            role, init, part = "param", part.init or init, part.type
        if is_container(part):
            raise GraphTypeError(
                located(f"{leaf_name(path)}: wrap the types in param(), or the whole argument")
            )
        place = path if len(path) > 1 else ()
        params = (
            InputParams("param", place, init) if role == "param" else InputParams("input", place)
        )
        made = nodes.input_(leaf_name(path), read_type(part), params)
        inputs.append(made)
        values[made.name] = Value(made)
        return made.name

    roles, inits = ["input"], [None]
    if isinstance(given, Param):
        roles.append("param")
        inits.append(given.init)
        given = given.type
    return describe(given, (argument,), leaf), values


def _results(name: str, returned: Any) -> tuple[list[tuple[str, Node]], Container]:
    """The outputs with their names, and how they are returned."""
    if not is_container(returned):
        node = _result(returned, name)
        return [(name, node)], Container("leaf", leaf=name)
    outputs: list[tuple[str, Node]] = []
    taken: set[str] = set()
    plain = isinstance(returned, list | tuple) and not hasattr(returned, "_fields")

    def leaf(part: Any, path: Path) -> str:
        node = _result(part, name)
        if plain and len(path) == 1:
            # The place in a tuple says nothing; the variable's name does.
            own = node.name if not isinstance(node.params, InputParams) else ""
            output = own if own and own not in taken else f"{name}_{path[0]}"
        else:
            output = leaf_name(path)
        taken.add(output)
        outputs.append((output, node))
        return output

    container = describe(returned, (), leaf)
    if not outputs:
        raise GraphTypeError(located(f"{name}() returned an empty {type(returned).__name__}"))
    return outputs, _outermost(container)


def _outermost(container: Container) -> Container:
    """A dict or a tuple around the outputs only names them: they come as a named tuple, or bare."""
    names = container.keys
    if container.kind == "tuple" and all(item.kind == "leaf" for item in container.items):
        names = tuple(item.leaf for item in container.items)
    if not names or container.kind == "namedtuple":
        return container
    if len(names) == 1 and container.items[0].kind == "leaf":
        return container.items[0]
    return Container("record", names, container.items)


def _explicit(
    returned: Any, outputs: list[tuple[str, Node]], inputs: list[Node]
) -> dict[Node, str]:
    """The values whose names the user gave as a dict's keys or a named tuple's fields."""
    taken = {node.name for node in inputs}
    named: dict[Node, str] = {}
    if isinstance(returned, dict) or hasattr(returned, "_fields"):
        for name, node in outputs:
            if name not in taken and node not in named and not isinstance(node.params, InputParams):
                named[node] = name
    return named


def _result(value: Any, name: str) -> Node:
    if isinstance(value, Symbolic):
        return value.node
    if is_weak(value) or isinstance(value, np.ndarray | np.generic):
        return lift(value)  # it depends on no input: a constant
    hint = "; did you forget to return?" if value is None else ""
    raise GraphTypeError(
        located(f"{name}() returned {type(value).__name__}, not an array or number{hint}")
    )


# -- the function's arguments ----------------------------------------------------------------------

_Matched = tuple[list[tuple[str, Any]], list[tuple[str, Any]]]


def _match(
    function: Callable[..., Any], name: str, types: tuple[Any, ...], named: Mapping[str, Any]
) -> _Matched:
    """The types beside the function's own parameters: (positional, by keyword)."""
    parameters = _parameters(function)
    if parameters is None:
        # A builtin without a signature: positions are all there is.
        return [(f"x{k}", given) for k, given in enumerate(types)], list(named.items())
    names, keyword_only, rest, any_keyword, with_default = parameters
    positional: list[tuple[str, Any]] = []
    if len(types) > len(names) and not rest:
        raise GraphTypeError(
            located(f"{name}() takes {len(names)} arguments, {len(types)} types are given")
        )
    left = dict(named)
    stopped = ""
    keywords: list[tuple[str, Any]] = []
    for k, argument in enumerate(names):
        if k < len(types):
            if argument in left:
                raise GraphTypeError(located(f"{name}(): two types for the argument {argument!r}"))
            positional.append((argument, types[k]))
        elif argument in left:
            target = keywords if stopped else positional
            target.append((argument, left.pop(argument)))
        elif argument in with_default:
            stopped = argument
        else:
            raise GraphTypeError(
                located(
                    f"{name}(): the argument {argument!r} has no type; give {argument}='f64[...]'"
                )
            )
    positional += [(f"{rest}_{k}", given) for k, given in enumerate(types[len(names) :])]
    for argument in keyword_only:
        if argument in left:
            keywords.append((argument, left.pop(argument)))
        elif argument not in with_default:
            raise GraphTypeError(
                located(
                    f"{name}(): the argument {argument!r} has no type; give {argument}='f64[...]'"
                )
            )
    if left and not any_keyword:
        raise unknown_name(f"{name}() has no argument", next(iter(left)), [*names, *keyword_only])
    return positional, [*keywords, *left.items()]


def _parameters(
    function: Any,
) -> tuple[tuple[str, ...], tuple[str, ...], str, bool, frozenset[str]] | None:
    """Positional names, keyword-only names, the name of `*args`, whether `**kwargs`, defaults."""
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType) or hasattr(function, "__wrapped__"):
        return _inspected(function)
    bound = 0
    if getattr(function, "__self__", None) is not None:
        bound = 1
    count = code.co_argcount
    names = code.co_varnames[bound:count]
    keyword_only = code.co_varnames[count : count + code.co_kwonlyargcount]
    after = count + code.co_kwonlyargcount
    rest = code.co_varnames[after] if code.co_flags & 4 else ""
    defaults = function.__defaults__ or ()
    with_default = {*names[len(names) - len(defaults) :]} if defaults else set()
    with_default.update(function.__kwdefaults__ or ())
    return names, keyword_only, rest, bool(code.co_flags & 8), frozenset(with_default)


def _inspected(
    function: Any,
) -> tuple[tuple[str, ...], tuple[str, ...], str, bool, frozenset[str]] | None:
    """The same of any other callable, by `inspect`."""
    import inspect

    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    kinds = inspect.Parameter
    names = tuple(
        p.name for p in found if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
    )
    keyword_only = tuple(p.name for p in found if p.kind is kinds.KEYWORD_ONLY)
    rest = next((p.name for p in found if p.kind is kinds.VAR_POSITIONAL), "")
    any_keyword = any(p.kind is kinds.VAR_KEYWORD for p in found)
    with_default = frozenset(p.name for p in found if p.default is not kinds.empty)
    return names, keyword_only, rest, any_keyword, with_default


def _function_name(function: Any) -> str:
    name = getattr(function, "__name__", None)
    if name is None:
        name = (
            _function_name(function.func) if hasattr(function, "func") else type(function).__name__
        )
    return "output" if name == "<lambda>" else str(name)


def _origin(function: Any) -> Origin:
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType):
        return NOWHERE
    return Origin(code.co_filename, code.co_firstlineno, code.co_qualname)
