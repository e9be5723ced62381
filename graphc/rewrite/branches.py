"""Cotangents of branches: `where(c, d, 0)`, and what is multiplied by it and added to it.

A zero cotangent absorbs every partial of a branch that was not chosen, infinite or undefined as it
may be. Put under the `where` that made the zero, the product needs no comparison of its own, and
the cotangents of both branches become one selection. Values are kept but for the sign of a zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

import numpy as np

from codegen.expr import Apply, Expr, Number, Symbol
from graphc import nodes
from graphc.formula import parse
from graphc.ir import Node
from graphc.ops.kinds import ConstantParams, Einstein, Elementwise, Gather, Layout
from graphc.rewrite.patterns import apply
from graphc.rewrite.walk import table_name, uniform

# Finite at every operand, and no larger than some number.
_BOUNDED = frozenset({"sin", "cos", "tanh", "arctan", "sigmoid", "sign", "erf", "erfc"})
_COMPARED = frozenset({"less", "less_equal", "greater", "greater_equal", "equal", "not_equal"})


def absorb_in_branch(node: Node) -> Node | None:
    """absorb(where(c, d, 0), p) -> where(c, absorb(d, p), 0), and so in the other branch.

    Under the `where` a product d * p will do, where p is finite at all finite operands, or d is
    nowhere zero: it is only read where the branch was chosen.
    """
    d, p = node.inputs
    parts = _branch(d)
    if parts is None or p.type != node.type:
        return None
    condition, value, first = parts
    safe = uniform(value) is not None or _is_finite(p)
    chosen = nodes.multiply(value, p) if safe else apply("absorb", value, p)
    return _selected(node, condition, chosen, first)


def absorb_nothing(node: Node) -> Node | None:
    """absorb(d, p) -> d * p where d is one number, and not zero."""
    d, p = node.inputs
    value = uniform(d)
    return None if value is None or value == 0 else nodes.multiply(d, p)


def scale_of_branch(node: Node) -> Node | None:
    """k * where(c, d, 0) -> where(c, k * d, 0) for a finite number k."""
    for branch, factor in (node.inputs, node.inputs[::-1]):
        parts, value = _branch(branch), uniform(factor)
        if parts is None or value is None or not isfinite(value):
            continue
        condition, d, first = parts
        return _selected(node, condition, nodes.multiply(d, factor), first)
    return None


def negative_of_branch(node: Node) -> Node | None:
    """-where(c, d, 0) -> where(c, -d, 0)."""
    parts = _branch(node.inputs[0])
    if parts is None:
        return None
    condition, d, first = parts
    return _selected(node, condition, apply("negative", d), first)


def add_of_branches(node: Node) -> Node | None:
    """where(c, a, b) + where(c, d, 0) -> where(c, a + d, b), and so in the other branch."""
    for x, y in (node.inputs, node.inputs[::-1]):
        parts = _branch(y)
        if parts is None or not _is_where(x) or x.inputs[0] is not parts[0]:
            continue
        condition, d, first = parts
        both = [_added(value, d) if k != first else value for k, value in enumerate(x.inputs[1:])]
        return _whole(node, apply("where", condition, *both))
    return None


def _added(a: Node, b: Node) -> Node:
    return b if uniform(a) == 0 else nodes.add(a, b)


def _is_where(node: Node) -> bool:
    return isinstance(node.op, Elementwise) and table_name(node.op) == "where"


def _branch(node: Node) -> tuple[Node, Node, bool] | None:
    """(c, d, True) of where(c, d, 0), and (c, d, False) of where(c, 0, d)."""
    if not _is_where(node):
        return None
    condition, a, b = node.inputs
    if uniform(b) == 0 and uniform(a) != 0:
        return condition, a, True
    return (condition, b, False) if uniform(a) == 0 and uniform(b) != 0 else None


def _selected(node: Node, condition: Node, value: Node, first: bool) -> Node | None:
    zero = nodes.constant(0, node.type.dtype)
    both = (value, zero) if first else (zero, value)
    return _whole(node, apply("where", condition, *both))


def _whole(node: Node, result: Node) -> Node | None:
    return result if result.type == node.type else None


# -- what is finite --------------------------------------------------------------------------------

# How fast something grows with the inputs: not at all, as they do, or perhaps beyond all bounds.
_BOUNDS, _LINEAR, _BEYOND = 0, 1, 2
# How far below a partial its operands are read.
_DEPTH = 8


def _is_finite(p: Node) -> bool:
    """Whether a partial is finite at all finite inputs, by its formula and those of its operands:
    no quotient, no root, no exponential, and no square, which may overflow."""
    return _growth(p, _DEPTH, {}) <= _LINEAR


def _growth(x: Node, depth: int, known: dict[Node, int]) -> int:
    found = known.get(x)
    if found is None:
        found = known[x] = _found_growth(x, depth, known)
    return found


def _found_growth(x: Node, depth: int, known: dict[Node, int]) -> int:
    op, params = x.op, x.params
    if isinstance(params, ConstantParams):
        return _BOUNDS if np.all(np.isfinite(params.value)) else _BEYOND
    if op is nodes.INPUT or not x.type.floating:
        return _LINEAR
    if depth == 0:
        return _BEYOND
    growths = [_growth(operand, depth - 1, known) for operand in x.inputs]
    if isinstance(op, Elementwise):
        name = table_name(op)
        expr = Apply(name, tuple(map(Symbol, op.args))) if name else parse(op.formula, op.args)
        return _degree(expr, dict(zip(op.args, growths, strict=True)))
    if isinstance(params, Einstein) and params.body is None:
        return min(sum(growths), _BEYOND)
    return max(growths, default=_BOUNDS) if isinstance(op, Layout | Gather) else _BEYOND


def _degree(expr: Expr, growth: Mapping[str, int]) -> int:
    """How fast an expression grows, of operands that grow so."""
    if isinstance(expr, Number):
        return _BOUNDS if isfinite(float(expr.value)) else _BEYOND
    if isinstance(expr, Symbol):
        return growth[expr.name]
    if not isinstance(expr, Apply):
        return _LINEAR
    if expr.function in _COMPARED:
        return _BOUNDS
    degrees = [_degree(arg, growth) for arg in expr.args]
    match expr.function:
        case "add" | "subtract" | "negative" | "absolute" | "maximum" | "minimum" | "relu":
            return max(degrees)
        case "where":
            return max(degrees[1:])
        case "multiply":
            return min(sum(degrees), _BEYOND)
    return _BOUNDS if expr.function in _BOUNDED and max(degrees) <= _LINEAR else _BEYOND
