"""Groups of arrays as users hold them (dicts, lists, named tuples) <-> flat lists of leaves.

params = {"layers": [{"W": ..., "b": ...}]}      leaves  params.layers.0.W   params.layers.0.b
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from codegen.names import field_names
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Container

Path = tuple[str | int, ...]
MAX_NESTING = 64


def is_container(value: object) -> bool:
    """Whether this is a dict, list, tuple or named tuple."""
    return isinstance(value, dict | list | tuple)


def leaf_name(path: Path) -> str:
    """`params.layers.0.W`."""
    return ".".join(map(str, path))


def describe(value: Any, path: Path, leaf: Callable[[Any, Path], str]) -> Container:
    """The tree of `value`; `leaf(part, path)` is called for each array, in order, and names it.

    A dict's parts go by insertion order. Raises GraphTypeError for a key that is no string.
    """
    if len(path) > MAX_NESTING:
        raise GraphValueError(
            located(f"{leaf_name(path[:3])}...: nested more than {MAX_NESTING} deep")
        )
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise GraphTypeError(
                    located(f"{leaf_name(path)}: the key {key!r} of a dict of arrays is no string")
                )
        keys = tuple(value)
        items = tuple(describe(value[key], (*path, key), leaf) for key in keys)
        return Container("dict", keys, items)
    fields = getattr(value, "_fields", None)
    if isinstance(value, tuple) and fields is not None:
        items = tuple(
            describe(item, (*path, key), leaf) for key, item in zip(fields, value, strict=True)
        )
        return Container("namedtuple", tuple(fields), items, cls=type(value))
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        items = tuple(describe(item, (*path, k), leaf) for k, item in enumerate(value))
        return Container(kind, (), items)
    return Container("leaf", leaf=leaf(value, path))


def flatten(container: Container, value: Any, where: str = "") -> dict[str, Any]:
    """The arrays in `value`, by leaf name.

    Raises GraphTypeError where the structure differs, naming the place and the difference.
    """
    if container.kind == "leaf":
        return {container.leaf: value}
    parts: Sequence[Any]
    if container.kind == "dict":
        if not isinstance(value, Mapping):
            raise _mismatch(where, f"a dict of {', '.join(container.keys)}", value)
        missing = [key for key in container.keys if key not in value]
        extra = [key for key in value if key not in container.keys]
        if missing or extra:
            what = f"has no key {missing[0]!r}" if missing else f"has an unknown key {extra[0]!r}"
            raise GraphTypeError(located(f"{where} {what}; its keys: {', '.join(container.keys)}"))
        parts = [value[key] for key in container.keys]
    elif container.kind in ("namedtuple", "record"):
        fields = container.keys if container.kind == "namedtuple" else field_names(container.keys)
        if getattr(value, "_fields", None) != fields:
            raise _mismatch(where, f"a named tuple of {', '.join(fields)}", value)
        parts = value
    else:
        if not isinstance(value, list | tuple):
            raise _mismatch(where, f"a {container.kind}", value)
        if len(value) != len(container.items):
            raise GraphTypeError(
                located(f"{where} should have {len(container.items)} items, got {len(value)}")
            )
        parts = value
    found: dict[str, Any] = {}
    keys = container.keys or tuple(str(k) for k in range(len(parts)))
    for key, item, part in zip(keys, container.items, parts, strict=True):
        found.update(flatten(item, part, f"{where}.{key}" if where else key))
    return found


def unflatten(container: Container, values: Mapping[str, Any]) -> Any:
    """The arrays by leaf name, in the user's own structure."""
    if container.kind == "leaf":
        return values[container.leaf]
    items = [unflatten(item, values) for item in container.items]
    if container.kind == "dict":
        return dict(zip(container.keys, items, strict=True))
    if container.kind == "namedtuple":
        return container.cls(*items)
    if container.kind == "record":
        return _record(container.keys)(*items)
    return items if container.kind == "list" else tuple(items)


@lru_cache(maxsize=256)
def _record(keys: tuple[str, ...]) -> Any:
    """A class with the name and fields of the one that a compiled function returns."""
    return namedtuple("Outputs", field_names(keys))


def _mismatch(where: str, expected: str, value: object) -> GraphTypeError:
    return GraphTypeError(located(f"{where} should be {expected}, got {type(value).__name__}"))
