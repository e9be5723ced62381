"""Errors at a call, told in the user's terms; imported only when a call has failed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphc.errors import GraphError, GraphTypeError, GraphValueError, located
from graphc.ir import Graph
from graphc.naming import counted, unknown_name


def explained(
    error: Exception,
    function: Callable[..., Any],
    graph: Graph,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Exception:
    """The error to raise: about the arguments where they are at fault, else the error itself."""
    if isinstance(error, GraphError):
        return error
    mismatch = _mismatch(function, graph, args, kwargs)
    if mismatch is not None:
        return mismatch
    if function.__name__ == "backward" and "unpack" in str(error):
        return GraphTypeError(
            located(
                f"{graph.name}.backward takes what forward saved: outputs, saved = "
                "f.forward(...); f.backward(saved)"
            )
        )
    if not _raised_by_checks(error, function):
        return error
    kind = GraphTypeError if isinstance(error, TypeError) else GraphValueError
    return kind(located(str(error)))


def _mismatch(
    function: Callable[..., Any], graph: Graph, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Exception | None:
    """A missing, unknown, doubled or superfluous argument."""
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        pass
    else:
        return None
    names = list(signature.parameters)
    for name in kwargs:
        if name not in names:
            return _unknown(graph, name, names)
    shown = ", ".join(names)
    if len(args) > len(names):
        return GraphTypeError(
            located(
                f"{graph.name}() takes {counted(len(names), 'input')}, got {len(args)}; "
                f"inputs: {shown}"
            )
        )
    doubled = [name for name in names[: len(args)] if name in kwargs]
    if doubled:
        return GraphTypeError(located(f"{graph.name}() got {doubled[0]!r} twice; inputs: {shown}"))
    given = {*names[: len(args)], *kwargs}
    missing = [
        name
        for name, parameter in signature.parameters.items()
        if name not in given and parameter.default is inspect.Parameter.empty
    ]
    return GraphTypeError(
        located(f"{graph.name}() misses {', '.join(map(repr, missing))}; inputs: {shown}")
    )


def _unknown(graph: Graph, name: str, names: Sequence[str]) -> Exception:
    found = unknown_name(f"{graph.name}() has no input", name, names, "inputs")
    return GraphTypeError(str(found))


def _raised_by_checks(error: Exception, function: Callable[..., Any]) -> bool:
    """Whether the emitted checks raised it themselves, not something they called on the way."""
    place = error.__traceback__
    last = None
    while place is not None:
        last = place
        place = place.tb_next
    if last is None:
        return False
    code = last.tb_frame.f_code
    if code.co_filename != function.__code__.co_filename:
        return False
    # Containers are taken apart, and their structure checked, in the function itself.
    return code.co_name.startswith("_") or "(): " in str(error)
