"""A value as the user may have written it, for error messages: `x > 0`."""

from __future__ import annotations

import sys

import numpy as np

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


_GRADIENTS = "gradients come from graphc.compile(graph).value_and_grad(...)"
_ELSEWHERE = {
    "backward": _GRADIENTS,
    "grad": _GRADIENTS,
    "requires_grad": _GRADIENTS,
    "detach": "use graphc.stop_gradient({})",
    "numpy": "it has no number yet: use it as it is",
}


def elsewhere(name: str, text: str) -> str:
    """What to use for an attribute that arrays elsewhere have: `use np.exp(x)`."""
    if name in _ELSEWHERE:
        return _ELSEWHERE[name].format(text)
    for module, known in (("np", np), ("graphc", sys.modules.get("graphc"))):
        found = getattr(known, name, None) if known is not None else None
        if callable(found) and not isinstance(found, type):
            return f"use {module}.{name}({text})"
    return ""


def lined_up(a: Node, b: Node) -> str:
    """Why two operands do not broadcast, and what would make them."""
    low, high = sorted((a, b), key=lambda x: x.type.ndim)
    small, large = low.type.shape, high.type.shape
    if small and len(small) < len(large) and large[: len(small)] == small:
        key = ", ".join([":"] * len(small) + ["None"] * (len(large) - len(small)))
        return f"the last axes are compared first; write {spell(low)}[{key}]"
    for x, y in zip(reversed(a.type.shape), reversed(b.type.shape), strict=False):
        if x != y and x != 1 and y != 1:
            named = not (isinstance(x, int) and isinstance(y, int))
            fix = "; sizes that are always equal have one name" if named else ""
            return f"sizes {size_text(x)} and {size_text(y)} differ{fix}"
    return "their sizes differ"


def _number(value: bool | int | float) -> str:
    """As the user most likely wrote it: a Python 0 beside floats has become 0.0."""
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e15
    return str(int(value)) if whole else str(value)


def _inner(node: Node, depth: int) -> str:
    text = spell(node, depth - 1)
    return f"({text})" if not node.name and " " in text else text
