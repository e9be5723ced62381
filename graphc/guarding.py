"""What stands between a user's call and an emitted function: errors told in the user's terms.

A wrapper of `*args, **kwargs` costs twice a call of the same arguments by position, which for a
few scalars is a fifth of the whole. So the wrapper has as many positional arguments as the
function; keywords, and whatever is missing or too much, go the general way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import CodeType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphc.ir import Graph

_ERRORS = (TypeError, ValueError)
_MISSING = object()
_TEMPLATE = """
def call({parameters}*rest, **named):
    if rest or named{missing}:
        return general(({arguments}), rest, named)
    try:
        return function({arguments})
    except errors as error:
        raise explained(error, ({arguments}), {{}}) from None
"""


def guarded(function: Callable[..., Any], name: str, graph: Graph) -> Callable[..., Any]:
    """The function, its errors about arguments told as GraphErrors at the user's line.

    name: what it is called as an attribute of the compiled graph.
    """

    def explained(error: Exception, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Exception:
        from graphc.calling import explained as told

        return told(error, function, graph, args, kwargs)

    def general(args: tuple[Any, ...], rest: tuple[Any, ...], named: dict[str, Any]) -> Any:
        count = len(args)
        while count and args[count - 1] is _MISSING:
            count -= 1
        given = args[:count] + rest
        try:
            return function(*given, **named)
        except _ERRORS as error:
            raise explained(error, given, named) from None

    scope: dict[str, Any] = {
        "__name__": __name__,
        "function": function,
        "general": general,
        "explained": explained,
        "errors": _ERRORS,
        "missing": _MISSING,
    }
    exec(_code(function.__code__.co_argcount), scope)
    call: Callable[..., Any] = scope["call"]
    call.__name__ = name
    call.__qualname__ = f"Compiled.{name}"
    call.__doc__ = function.__doc__
    call.__wrapped__ = function  # type: ignore[attr-defined]
    return call


@cache
def _code(count: int) -> CodeType:
    """The wrapper of a function of so many arguments.

    Its own are positional only: a keyword must not find them, whatever they are called. Those that
    are missing are the last ones, so that one test finds them.
    """
    names = [f"a{k}" for k in range(count)]
    text = _TEMPLATE.format(
        parameters="".join(f"{name}=missing, " for name in names) + ("/, " if names else ""),
        arguments="".join(f"{name}, " for name in names),
        missing=f" or {names[-1]} is missing" if names else "",
    )
    return compile(text, "<graphc call>", "exec")
