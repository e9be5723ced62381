"""A graph file as data: TOML read, its tables checked for shape, scopes made into dotted names.

What the entries mean (types, formulas, values) is the business of `build`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from graphc import nodes
from graphc.errors import GraphSyntaxError, GraphValueError, located, location
from graphc.ir import Origin
from graphc.textual.limits import MAX_BYTES, MAX_NESTING
from graphc.textual.lines import entry_lines

VERSION = 1
TEXTS = ("inputs", "params", "cotangents", "functions", "nodes", "outputs", "names")
VALUES = ("constants", "example")
TABLES = (*TEXTS, *VALUES, "ops", "arguments")
KEYS = ("graphc", "name", "result", *TABLES)


@dataclass(frozen=True)
class Document:
    """A graph file after TOML: every table flat, `layer1.W` for W in the scope layer1.

    label: what errors call the file. directory: where its data files lie, None if there is none.
    """

    text: str
    label: str
    path: str
    directory: str | None
    name: str
    tables: Mapping[str, Mapping[str, Any]]
    result: Any = None

    @cached_property
    def lines(self) -> Mapping[str, int]:
        """The line of each entry, by `table.key`."""
        return entry_lines(self.text)

    def line(self, table: str, key: str = "") -> int:
        """The line of an entry, else of its table, else 1."""
        return self.lines.get(f"{table}.{key}", 0) or self.lines.get(table, 1)

    @contextmanager
    def at(self, table: str, key: str = "") -> Iterator[None]:
        """Errors and nodes made inside belong to this entry."""
        line = self.line(table, key)
        place = location.set(f"{self.label}:{line}")
        origin = nodes.origin.set(Origin(self.path, line))
        try:
            yield
        finally:
            nodes.origin.reset(origin)
            location.reset(place)


def parse(text: str, label: str, path: str = "", directory: str | None = None) -> Document:
    """The document that `text` spells.

    Raises GraphSyntaxError where it is no TOML or no graph file, GraphValueError beyond a limit.
    """
    if len(text) > MAX_BYTES:
        raise GraphValueError(f"{label}: longer than {MAX_BYTES} bytes")
    data = _toml(text, label)
    with _whole(label):
        _check_version(data)
        for key in data:
            if key not in KEYS:
                raise GraphSyntaxError(
                    f"{label}:{_line(text, key)}: unknown table {key!r}{_similar(key, KEYS)}"
                )
        name = data.get("name", "graph")
        if not isinstance(name, str):
            raise GraphSyntaxError(f"{label}:{_line(text, 'name')}: name is text, not {name!r}")
        tables = {table: _table(data, table, text, label) for table in TABLES}
    return Document(text, label, path, directory, name, tables, data.get("result"))


def _toml(text: str, label: str) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, line = str(error), ""
        if message.endswith(")") and " (at line " in message:
            message, _, place = message.rpartition(" (at line ")
            line = f":{place.partition(',')[0]}"
        raise GraphSyntaxError(f"{label}{line}: not TOML: {message}") from None
    except RecursionError:
        raise GraphSyntaxError(f"{label}: values nested too deeply") from None
    except ValueError as error:  # an integer of thousands of digits
        raise GraphSyntaxError(f"{label}: not TOML: {str(error).partition(';')[0]}") from None


@contextmanager
def _whole(label: str) -> Iterator[None]:
    token = location.set(label)
    try:
        yield
    finally:
        location.reset(token)


def _check_version(data: Mapping[str, Any]) -> None:
    version = data.get("graphc")
    if version is None:
        raise GraphSyntaxError(
            located(f"no graph file: it begins with `graphc = {VERSION}`, the format's version")
        )
    if isinstance(version, bool) or not isinstance(version, int):
        raise GraphSyntaxError(located(f"graphc = {version!r}: the version is an integer"))
    if version != VERSION:
        raise GraphValueError(located(f"format version {version}; this graphc reads {VERSION}"))


def _table(data: Mapping[str, Any], table: str, text: str, label: str) -> Mapping[str, Any]:
    entries = data.get(table, {})
    if not isinstance(entries, dict):
        raise GraphSyntaxError(f"{label}:{_line(text, table)}: {table} is a table: [{table}]")
    if table in ("ops", "arguments"):
        return entries  # their entries may be tables; there are no scopes
    flat: dict[str, Any] = {}
    for key, value in _flatten(entries, table):
        if table in TEXTS and not isinstance(value, str):
            raise GraphSyntaxError(
                f"{label}:{_line(text, f'{table}.{key}')}: {table}: {key} is text, "
                f'not {_shown(value)}: {key} = "..."'
            )
        if table in VALUES and isinstance(value, str):
            raise GraphSyntaxError(
                f"{label}:{_line(text, f'{table}.{key}')}: {table}: {key} is a number, a list or "
                '{ file = "...", sha256 = "..." }, not text'
            )
        if key in flat:
            raise GraphSyntaxError(
                f"{label}:{_line(text, f'{table}.{key}')}: {table}: {key!r} stands there twice"
            )
        flat[key] = value
    return flat


def _flatten(entries: Mapping[str, Any], table: str) -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of a table and the scopes in it, in the file's order."""
    stack = [iter(_prefixed("", entries))]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
            continue
        key, value = entry
        if not isinstance(value, dict) or (table in VALUES and is_entry(value)):
            yield key, value
        elif len(stack) > MAX_NESTING:
            raise GraphSyntaxError(located(f"{table}: scopes nested deeper than {MAX_NESTING}"))
        else:
            stack.append(iter(_prefixed(f"{key}.", value)))


def is_entry(value: Mapping[str, Any]) -> bool:
    """Whether an inline table is a value rather than a scope: only a value holds text."""
    return isinstance(value.get("file"), str) or isinstance(value.get("dtype"), str)


def _prefixed(prefix: str, entries: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(f"{prefix}{key}", value) for key, value in entries.items()]


def _line(text: str, path: str) -> int:
    lines = entry_lines(text)
    return lines.get(path, 0) or lines.get(path.partition(".")[0], 1)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    return "a table" if isinstance(value, dict) else repr(value)


def _similar(key: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(key, known, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(TABLES)}"
