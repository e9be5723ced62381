"""Containers of arrays as TOML values, and back.

container = "leaf name" | { list = [container, ...] } | { tuple = [container, ...] }
          | { dict = [["key", container], ...] }
          | { record = [["output", container], ...] }     the named tuple that calls return
          | { namedtuple = "Layer", fields = [["W", container], ...] }
"""

from __future__ import annotations

from collections import namedtuple
from functools import lru_cache
from keyword import iskeyword
from typing import Any

from graphc.errors import GraphSyntaxError, located
from graphc.ir import Container
from graphc.textual.limits import MAX_NESTING


def write_container(container: Container, quote: Any) -> str:
    """The TOML text of a container; `quote` spells a string. Containers are shallow."""
    if container.kind == "leaf":
        return str(quote(container.leaf))
    items = [write_container(item, quote) for item in container.items]
    if container.kind in ("list", "tuple"):
        return f"{{ {container.kind} = [{', '.join(items)}] }}"
    pairs = ", ".join(
        f"[{quote(k)}, {item}]" for k, item in zip(container.keys, items, strict=True)
    )
    if container.kind in ("dict", "record"):
        return f"{{ {container.kind} = [{pairs}] }}"
    name = getattr(container.cls, "__name__", "Record")
    return f"{{ namedtuple = {quote(name)}, fields = [{pairs}] }}"


def read_container(value: Any, depth: int = 0) -> Container:
    """The container that a TOML value spells.

    A named tuple is a new class of the stated name and fields: a file names no Python class. Raises
    GraphSyntaxError for anything else.
    """
    if isinstance(value, str):
        return Container("leaf", leaf=value)
    if isinstance(value, dict) and depth < MAX_NESTING:
        kinds = [
            kind for kind in ("list", "tuple", "dict", "record", "namedtuple") if kind in value
        ]
        if len(kinds) == 1:
            kind = kinds[0]
            fields = value.get("fields") if kind == "namedtuple" else value[kind]
            if isinstance(fields, list) and len(value) == 1 + (kind == "namedtuple"):
                return _read(kind, fields, value[kind], depth)
    raise GraphSyntaxError(
        located(
            "a container is a name, { list = [...] }, { tuple = [...] }, { dict = [[key, ...]] }, "
            "{ record = [[output, ...]] } or { namedtuple = name, fields = [[field, ...]] }"
        )
    )


def _read(kind: str, parts: list[Any], name: Any, depth: int) -> Container:
    if kind in ("list", "tuple"):
        return Container(kind, (), tuple(read_container(part, depth + 1) for part in parts))
    for part in parts:
        if not isinstance(part, list) or len(part) != 2 or not isinstance(part[0], str):
            raise GraphSyntaxError(located(f"the parts of a {kind} are [key, container]"))
    keys = tuple(part[0] for part in parts)
    if len(set(keys)) != len(keys):
        raise GraphSyntaxError(located(f"a {kind} with one key twice"))
    items = tuple(read_container(part[1], depth + 1) for part in parts)
    return Container(kind, keys, items, cls=_record(name, keys) if kind == "namedtuple" else None)


def _record(name: Any, fields: tuple[str, ...]) -> Any:
    for text in (name, *fields):
        if not isinstance(text, str) or not text.isidentifier() or iskeyword(text):
            raise GraphSyntaxError(located(f"a named tuple with the name {text!r}"))
        if text.startswith("_"):
            raise GraphSyntaxError(located(f"a named tuple's names begin with a letter: {text!r}"))
    return _record_class(name, fields)


@lru_cache(maxsize=256)
def _record_class(name: str, fields: tuple[str, ...]) -> Any:
    return namedtuple(name, fields)
