"""From a user's name to a readable, unique, legal identifier.

`identifier` is the one public mapping: `lambda` -> `lambda_`, `layer1.W` -> `layer1_W`. It is a
pure function of the name, so that a caller can know what an input is called in the emitted code.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

# What a module may contain beside the user's names. A user's value of such a name gets a `_`.
MODULE_NAMES = frozenset(
    [
        "np",
        "math",
        "os",
        "ThreadPoolExecutor",
        "copy_context",
        "scipy",
        "hashlib",
        "Path",
        "NamedTuple",
        "ndarray",
        "as_strided",
        "F64",
        "F32",
        "I64",
        "I32",
        "BOOL",
        "_new",
        "_on_threads",
        "_pools",
        "_work",
        "_check_inputs",
        "_as_array",
        "_as_number",
        "_expect",
        "_distinct",
        "_describe",
        "_stored",
        "_sum_rows",
        "_few_rows",
        "_sum_short_rows",
        "_nearest",
    ]
)
_RESERVED = (
    frozenset(keyword.kwlist) | frozenset(dir(builtins)) | MODULE_NAMES | frozenset({"__debug__"})
)
_ILLEGAL_ASCII = re.compile(r"[^A-Za-z0-9_]+")


def _replace_illegal(name: str) -> str:
    """Each run of characters that no identifier may contain becomes one `_`."""
    if name.isascii():
        return _ILLEGAL_ASCII.sub("_", name)
    import unicodedata

    # Python compares identifiers in NFKC: what is distinct here must stay distinct there.
    normal = unicodedata.normalize("NFKC", name)
    marked = "".join(c if f"a{c}".isidentifier() else " " for c in normal)
    return re.sub(" +", "_", marked)


@lru_cache(maxsize=65536)
def identifier(name: str) -> str:
    """The identifier of a user's name: legal, readable, and never a keyword, a builtin or a name
    that the emitted module itself uses."""
    text = _replace_illegal(name)
    if text.endswith("_") and not name.endswith("_"):
        text = text.rstrip("_")
    if not text.strip("_"):
        return "value"
    if not text.isidentifier():
        text = f"_{text}"
    return f"{text}_" if text in _RESERVED else text


def field_names(names: Iterable[str]) -> tuple[str, ...]:
    """The fields of a named tuple for these names: their identifiers, which Python wants to begin
    with a letter here, each once."""
    found: list[str] = []
    for name in names:
        text = identifier(name).lstrip("_")
        field = candidate = text if text.isidentifier() else f"value_{text}"
        number = 1
        while candidate in found:
            number += 1
            candidate = f"{field}_{number}"
        found.append(candidate)
    return tuple(found)


def quoted(text: object) -> str:
    """A string literal in double quotes."""
    # Beside a double quote, repr always chooses single quotes and leaves double ones alone.
    inside = repr('"' + str(text))[2:-1].replace("\\'", "'").replace('"', '\\"')
    return f'"{inside}"'


class ModuleNames:
    """What the module-level names are: constants by their key, callables and records by name.

    Arguments come first, for callers name them: whatever else would bear an argument's name is
    numbered.
    """

    __slots__ = ("callables", "constants", "records", "taken")

    def __init__(
        self,
        arguments: Iterable[str],
        callables: Iterable[str],
        records: Iterable[str],
        constants: Iterable[tuple[Any, str]],
    ) -> None:
        names = Names(map(identifier, arguments))
        self.callables = {name: names.fresh(name) for name in callables}
        self.records = {name: names.fresh(name) for name in records}
        self.constants = {key: names.fresh(name) for key, name in constants}
        self.taken = frozenset(
            {*self.callables.values(), *self.records.values(), *self.constants.values()}
        )


class Names:
    """Hands out unique identifiers in one scope.

    Numbers are local to a hint (`h`, `h_1`, `h_2`): another declaration elsewhere renames nothing.
    """

    __slots__ = ("_next", "_taken")

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._next: dict[str, int] = {}

    def __contains__(self, text: str) -> bool:
        return text in self._taken

    def take(self, text: str) -> None:
        """Mark an identifier as used."""
        self._taken.add(text)

    def fresh(self, hint: str) -> str:
        """An identifier for a user's name, numbered if it is taken."""
        base = identifier(hint)
        taken = self._taken
        if base not in taken:
            taken.add(base)
            return base
        number = self._next.get(base, 1)
        while f"{base}_{number}" in taken:
            number += 1
        self._next[base] = number + 1
        text = f"{base}_{number}"
        taken.add(text)
        return text
