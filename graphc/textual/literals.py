"""Which constants a formula writes as plain numbers: those that come back as the same constant.

A number in a formula is weak: it takes the dtype of the operands beside it. So it may stand for a
constant only where such an operand is there.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import numpy as np

from graphc.ir import Node
from graphc.ops.kinds import ConstantParams, Elementwise, SizeParams
from graphc.textual.spell import ATOM, UNARY, Spelt, plain_size
from graphc.types import DTYPES, Dim


def literals(node: Node, uses: Mapping[Node, int], values: Container[str]) -> dict[int, Spelt]:
    """The operands of `node` that may be written as numbers, by position.

    uses: how often each node is used; a constant that is shared keeps an entry of its own. values:
    the names of values, which hide sizes of the same name.
    """
    op = node.op
    if not isinstance(op, Elementwise) or op.name in DTYPES:
        return {}
    found: dict[int, Spelt] = {}
    for k, operand in enumerate(node.inputs):
        if k < op.condition or operand.name or uses[operand] != 1:
            continue
        text = number_text(operand)
        if text is None or text.text in values:
            continue
        if not (op.name == "power" and operand.type.dtype in ("i32", "i64")):
            found[k] = text
    return found if len(found) < len(node.inputs) - op.condition else {}


def number_text(node: Node) -> Spelt | None:
    """A scalar constant or a size as a number; None for anything else."""
    match node.params:
        case SizeParams(size=Dim() as size) if size.is_name:
            return Spelt(plain_size(size))
        case ConstantParams(value=value) if value.ndim == 0 and np.isfinite(value):
            text = scalar_text(value)
            return Spelt(text, UNARY if text.startswith("-") else ATOM)
    return None


def scalar_text(value: np.ndarray[Any, Any]) -> str:
    """The shortest Python literal that becomes this rank-0 array in its dtype."""
    if value.dtype.kind in "bi":
        return repr(value.item())
    short = repr(float(str(value)))
    return short if value.dtype.type(float(short)) == value else repr(float(value))
