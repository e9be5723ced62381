"""On which line of a graph file each entry stands; `tomllib` reads values and forgets places.

The text has been read by `tomllib` already, so it is valid TOML: this scanner needs to find keys
alone. Values are skipped by counting brackets and quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_BARE = r"[A-Za-z0-9_-]+"
_BASIC = r'"(?:[^"\\\n]|\\.)*"'
_LITERAL = r"'[^'\n]*'"
_PART = rf"(?:{_BARE}|{_BASIC}|{_LITERAL})"
_PATH = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_KEY = re.compile(rf"[ \t]*({_PATH})[ \t]*=")
_TABLE = re.compile(rf"[ \t]*\[[ \t]*({_PATH})[ \t]*\]")
_PARTS = re.compile(_PART)
# What may stand in a value and decides where it ends: strings, comments, brackets, line ends.
_TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}'
    r"|'''.*?'{3,5}"
    rf"|{_BASIC}|{_LITERAL}|#[^\n]*|[\[\]{{}}\n]",
    re.DOTALL,
)


def entry_lines(text: str) -> dict[str, int]:
    """The line of every entry, by its dotted path: `nodes.layer1.h` -> 12. Lines count from 1.

    Tables have their line too (`nodes`). Keys inside an inline table have none of their own.
    """
    return dict(_entries(text))


def _entries(text: str) -> Iterator[tuple[str, int]]:
    table = ""
    line = 1
    at = 0
    while at < len(text):
        header = _TABLE.match(text, at)
        key = None if header else _KEY.match(text, at)
        if header:
            table = _path(header.group(1))
            yield table, line
        elif key:
            path = _path(key.group(1))
            yield (f"{table}.{path}" if table else path), line
        end = _end_of_value(text, key.end() if key else at)
        line += text.count("\n", at, end)
        at = end


def _end_of_value(text: str, at: int) -> int:
    """Just after the line end that closes what begins at `at`."""
    depth = 0
    while True:
        token = _TOKEN.search(text, at)
        if token is None:
            return len(text)
        at = token.end()
        match token.group()[0]:
            case "[" | "{":
                depth += 1
            case "]" | "}":
                depth -= 1
            case "\n" if depth <= 0:
                return at


def _path(key: str) -> str:
    return ".".join(_unquoted(part) for part in _PARTS.findall(key))


def _unquoted(part: str) -> str:
    if part[0] == "'":
        return part[1:-1]
    if part[0] == '"':
        return re.sub(
            r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))",
            lambda m: chr(int(m[1] or m[2], 16)) if m[1] or m[2] else _ESCAPES.get(m[3], m[3]),
            part[1:-1],
        )
    return part


_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r"}
