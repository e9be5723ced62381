"""What is never negative by its own definition: exponentials, squares, roots, and what is made of
them without a difference. Nothing is known of inputs.

A sign is that of the real function, which no rounding changes: exp(x) is positive also where it
underflows to 0. NaN has any sign.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from codegen.program import Broadcast, Diagonal, Reshape, Slice, Transpose
from graphc.ir import Node
from graphc.ops.kinds import (
    Axes,
    ConstantParams,
    Einstein,
    Elementwise,
    Gather,
    Reduction,
    SizeParams,
)
from graphc.rewrite.patterns import sum_of
from graphc.rewrite.walk import table_name, uniform


class Sign(IntEnum):
    """What is known; the weaker of two is their minimum."""

    UNKNOWN = 0
    NONNEGATIVE = 1
    POSITIVE = 2


# How far below a value its definition is read.
_DEPTH = 8

_POSITIVE = {"exp", "exp2", "sigmoid", "softplus", "cosh", "erfc", "erfcx", "ndtr"}
_NONNEGATIVE = {"absolute", "square", "sqrt", "relu", "hypot", "hard_sigmoid"}
# As their operand.
_SAME = {"positive", "stop_gradient", "reciprocal", "f32", "f64", "cbrt"}
# Folds of which every result is an element, or a product of elements. (An empty product is 1.)
_FOLDS = {"max", "min", "prod", "cumprod", "cummax", "cummin"}


def sign_of(node: Node, depth: int = _DEPTH) -> Sign:
    """What is known of the sign of every element."""
    params = node.params
    if isinstance(params, ConstantParams):
        least = params.value.min(initial=1)
        return Sign((least >= 0) + (least > 0))
    if isinstance(params, SizeParams):
        return Sign.NONNEGATIVE  # a named size may be 0
    if not depth or not node.inputs:
        return Sign.UNKNOWN

    def below(k: int) -> Sign:
        return sign_of(node.inputs[k], depth - 1)

    if isinstance(node.op, Elementwise):
        return _elementwise(node, below)
    if isinstance(params, Reshape | Transpose | Broadcast | Slice | Diagonal):
        return below(0)
    if isinstance(node.op, Gather):
        return below(0)
    if isinstance(params, Einstein) and params.body is None:
        weakest = min(below(k) for k in range(len(node.inputs)))
        same = len(node.inputs) == 2 and node.inputs[0] is node.inputs[1]
        if same and params.operands[0] == params.operands[1]:
            weakest = max(weakest, Sign.NONNEGATIVE)
        # Without terms it is 0: over an empty axis, or beside a diagonal that is written.
        some = all(isinstance(size, int) and size for _, size in params.extents)
        return weakest if some and sum_of(node) else min(weakest, Sign.NONNEGATIVE)
    if isinstance(params, Axes) and isinstance(node.op, Reduction) and node.op.name in _FOLDS:
        return below(0)
    return Sign.UNKNOWN


def _elementwise(node: Node, below: Callable[[int], Sign]) -> Sign:
    name = table_name(node.op) if isinstance(node.op, Elementwise) else ""
    if name in _POSITIVE:
        return Sign.POSITIVE
    if name in _NONNEGATIVE:
        return Sign.NONNEGATIVE
    if name in _SAME:
        return below(0)
    if name in ("where", "multiply", "divide", "minimum", "add", "maximum"):
        first = 1 if name == "where" else 0
        a, b = below(first), below(first + 1)
        if name == "maximum":
            return max(a, b)
        if name == "add":
            return max(a, b) if a and b else Sign.UNKNOWN
        if name == "multiply" and node.inputs[0] is node.inputs[1]:
            return max(a, Sign.NONNEGATIVE)
        return min(a, b)
    if name == "power":
        exponent = uniform(node.inputs[1])
        even = exponent is not None and exponent % 2 == 0
        return max(below(0), Sign.NONNEGATIVE) if even else below(0)
    return Sign.UNKNOWN
