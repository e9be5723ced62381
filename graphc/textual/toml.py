"""TOML text: strings, keys, arrays. `tomllib` reads, and writes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from graphc.errors import GraphValueError

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_WIDTH = 88


def quote(text: str) -> str:
    """A basic string. Raises GraphValueError for a lone surrogate, which no UTF-8 file can hold."""
    out = []
    for char in text:
        code = ord(char)
        if char in _ESCAPES:
            out.append(_ESCAPES[char])
        elif code < 0x20 or code == 0x7F:
            out.append(f"\\u{code:04X}")
        elif 0xD800 <= code <= 0xDFFF:
            raise GraphValueError(f"dump: the name {text!r} is not Unicode text")
        else:
            out.append(char)
    return f'"{"".join(out)}"'


def table(header: str, entries: Sequence[tuple[str, str]], scopes: bool = True) -> list[str]:
    """The lines of a table of (dotted key, value text), in this order when read back.

    scopes: whether a dot in a key makes a table in the table.
    """
    if not entries:
        return []
    dotted = scopes and _keeps_order([key for key, _ in entries])
    lines = ["", f"[{header}]"]
    lines.extend(f"{_key(key, dotted)} = {value}" for key, value in entries)
    return lines


def _key(key: str, dotted: bool) -> str:
    parts = key.split(".") if dotted and "" not in key.split(".") else [key]
    return ".".join(part if _BARE.fullmatch(part) else quote(part) for part in parts)


def _keeps_order(keys: Iterable[str]) -> bool:
    """Whether dotted keys, which TOML reads as tables in tables, come back in the same order.

    Not so where a scope is left and entered again, or where a value has the name of a scope.
    """
    scopes: set[str] = set()
    values: set[str] = set()
    inside: list[str] = []
    for key in keys:
        parts = key.split(".")
        prefixes = [".".join(parts[: k + 1]) for k in range(len(parts) - 1)]
        for depth, prefix in enumerate(prefixes):
            again = prefix in scopes and inside[depth : depth + 1] != [prefix]
            if again or prefix in values:
                return False
        if key in scopes:
            return False
        scopes.update(prefixes)
        values.add(key)
        inside = prefixes
    return True


def array(value: np.ndarray[Any, Any]) -> str:
    """A number or nested list that reads back as the same elements."""
    if value.ndim == 0:
        return number(value[()])
    flat = _nested(value)
    return flat if len(flat) <= _WIDTH else _wrapped(flat)


def _nested(value: np.ndarray[Any, Any]) -> str:
    if value.ndim == 1:
        return f"[{', '.join(map(number, value))}]"
    return f"[{', '.join(_nested(part) for part in value)}]"


def _wrapped(text: str) -> str:
    """A long list over several lines, broken after commas."""
    lines, line = [], ""
    for part in text.replace(", ", ",\0").split("\0"):
        if line and len(line) + 1 + len(part) > _WIDTH:
            lines.append(line)
            line = part
        else:
            line = f"{line} {part}" if line else part
    return "\n    ".join([*lines, line])


def number(value: Any) -> str:
    """A NumPy scalar as TOML: the shortest text that reads back as it."""
    if value.dtype.kind == "b":
        return "true" if value else "false"
    if value.dtype.kind == "i":
        return str(int(value))
    short = repr(float(str(value)))
    exact = repr(float(value))
    text = short if value.dtype.type(float(short)) == value else exact
    return text.replace("-nan", "nan")


def reads_back(value: np.ndarray[Any, Any]) -> bool:
    """Whether `array` keeps every bit: not those of a NaN with a sign or a payload."""
    if value.dtype.kind != "f":
        return True
    missing = value[np.isnan(value)]
    same: bool = missing.tobytes() == np.full_like(missing, np.nan).tobytes()
    return same
