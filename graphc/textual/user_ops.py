"""A user's elementwise ops in the table [ops]: a formula, or a table with every field.

swish = "x / (1 + exp(-x))"
d_swish = { args = ["x"], formula = "...", definition = "...", differentiable = false, ... }
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from graphc.canonical import op_text
from graphc.errors import GraphError, GraphSyntaxError, located
from graphc.formula import parse
from graphc.ops.elementwise import define
from graphc.ops.kinds import Elementwise, ResultRule

_KINDS: Mapping[str, type] = {
    "name": str,
    "args": list,
    "formula": str,
    "definition": str,
    "result": str,
    "differentiable": bool,
    "condition": int,
    "output": bool,
    "doc": str,
    "points": list,
}
_RESULTS = get_args(ResultRule)


def write_op(key: str, op: Elementwise, quote: Callable[[str], str]) -> str:
    """The TOML value of an op: its formula alone where that says all, else every field."""
    short = f"({', '.join(op.args)}) -> {op.formula}"
    for text in (op.formula, short):
        if not op.doc and op.name == key and _says_all(key, text, op):
            return quote(text)
    fields: list[tuple[str, str]] = []
    if op.name != key:
        fields.append(("name", quote(op.name)))
    fields.append(("args", _list(op.args, quote)))
    fields.append(("formula", quote(op.formula)))
    if op.definition:
        fields.append(("definition", quote(op.definition)))
    fields.append(("result", quote(op.result)))
    if not op.differentiable:
        fields.append(("differentiable", "false"))
    if op.condition:
        fields.append(("condition", str(op.condition)))
    if op.output:
        fields.append(("output", "true"))
    if op.points:
        points = [f"[{quote(where)}, {_list(partials, quote)}]" for where, partials in op.points]
        fields.append(("points", f"[{', '.join(points)}]"))
    if op.doc:
        fields.append(("doc", quote(op.doc)))
    return "{ " + ", ".join(f"{field} = {text}" for field, text in fields) + " }"


def _list(texts: tuple[str, ...], quote: Callable[[str], str]) -> str:
    return f"[{', '.join(map(quote, texts))}]"


def _says_all(key: str, text: str, op: Elementwise) -> bool:
    if "[" in text:
        return False
    try:
        return op_text(define(key, text)) == op_text(op)
    except GraphError:
        return False


def read_op(key: str, entry: Mapping[str, Any]) -> Elementwise:
    """The op that a table spells, every formula of it read once.

    Raises GraphSyntaxError for an unknown field, a field of the wrong kind or a formula that cannot
    be read.
    """
    for field, value in entry.items():
        if field not in _KINDS:
            raise GraphSyntaxError(
                located(f"op {key!r}: unknown field {field!r}; there are: {', '.join(_KINDS)}")
            )
        if not isinstance(value, _KINDS[field]):
            raise GraphSyntaxError(located(f"op {key!r}: {field} is a {_KINDS[field].__name__}"))
    if "formula" not in entry or "args" not in entry:
        raise GraphSyntaxError(located(f"op {key!r}: formula = and args = are needed"))
    args = _texts(key, "args", entry["args"])
    if not args or len(set(args)) != len(args):
        raise GraphSyntaxError(located(f"op {key!r}: args are different names"))
    result = entry.get("result", "same")
    if result not in _RESULTS:
        raise GraphSyntaxError(
            located(f"op {key!r}: result {result!r}; one of {', '.join(_RESULTS)}")
        )
    condition = entry.get("condition", 0)
    if not 0 <= condition < len(args):
        raise GraphSyntaxError(located(f"op {key!r}: condition counts leading args"))
    parse(entry["formula"], args)
    if entry.get("definition"):
        parse(entry["definition"], args)
    return Elementwise(
        entry.get("name", key),
        args,
        entry["formula"],
        entry.get("definition", ""),
        result,
        entry.get("differentiable", True),
        condition,
        entry.get("output", False),
        entry.get("doc", ""),
        _points(key, entry.get("points", []), args),
    )


def _texts(key: str, field: str, values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise GraphSyntaxError(located(f"op {key!r}: {field} holds text"))
    return tuple(values)


def _points(
    key: str, values: list[Any], args: tuple[str, ...]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found = []
    for value in values:
        if not isinstance(value, list) or len(value) != 2 or not isinstance(value[0], str):
            raise GraphSyntaxError(located(f"op {key!r}: points are [condition, [partials]]"))
        partials = _texts(key, "points", value[1])
        parse(value[0], args)
        for partial in partials:
            if partial:
                parse(partial, args)
        found.append((value[0], partials))
    return tuple(found)
