"""A value as the user may have written it, for error messages: `x > 0`."""

from __future__ import annotations

from graphc.ir import Node
from graphc.ops.kinds import ConstantParams, Contraction, Elementwise, InputParams, SizeParams
from graphc.types import size_text

_INFIX = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "floor_divide": "//",
    "remainder": "%",
    "power": "**",
    "less": "<",
    "less_equal": "<=",
    "greater": ">",
    "greater_equal": ">=",
    "equal": "==",
    "not_equal": "!=",
    "logical_and": "&",
    "logical_or": "|",
}
_MAX_DEPTH = 3


def spell(node: Node, depth: int = _MAX_DEPTH) -> str:
    """The value by its name, else its expression, cut to `...` below a few levels."""
    if node.name:
        return node.name
    if isinstance(node.params, ConstantParams):
        return _number(node.params.value.item()) if node.params.value.ndim == 0 else "<array>"
    if isinstance(node.params, SizeParams):
        return size_text(node.params.size)
    if isinstance(node.params, InputParams) or depth == 0:
        return "..."
    name = node.op.name
    if isinstance(node.op, Contraction) and name == "matmul":
        return " @ ".join(_inner(x, depth) for x in node.inputs)
    if not isinstance(node.op, Elementwise):
        return f"{name}({', '.join(spell(x, depth - 1) for x in node.inputs)})"
    if name in _INFIX:
        return f" {_INFIX[name]} ".join(_inner(x, depth) for x in node.inputs)
    if name == "negative":
        return f"-{_inner(node.inputs[0], depth)}"
    return f"{name}({', '.join(spell(x, depth - 1) for x in node.inputs)})"


def _number(value: bool | int | float) -> str:
    """As the user most likely wrote it: a Python 0 beside floats has become 0.0."""
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    return str(int(value)) if whole else str(value)


def _inner(node: Node, depth: int) -> str:
    text = spell(node, depth - 1)
    return f"({text})" if not node.name and " " in text else text
