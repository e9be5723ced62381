"""The adjoint of a quotient by its own sum, as of softmax: p (d - sum(d p)).

Differentiated step by step, p = e / s with s = sum(e) gives e the cotangent d / s - sum(d p / s),
which takes four passes over the array more than there need be. The rule keeps values to rounding.
"""

from __future__ import annotations

from codegen.expr import Apply, Expr, Number, Symbol
from graphc import nodes
from graphc.formula import parse
from graphc.ir import Node
from graphc.ops.kinds import Elementwise
from graphc.rewrite.patterns import apply, kept_shape, operands_of, sum_of
from graphc.rewrite.walk import table_name


def adjoint_of_normalised(node: Node) -> Node | None:
    """e * (d / s - sum(d * p / s)) -> p * (d - sum(d * p)), where p = e / s and s = sum(e).

    All sums are over the same axes, which s and the second sum keep with size 1.
    """
    for e, bracket in (node.inputs, node.inputs[::-1]):
        parts = operands_of(bracket, "add")
        if parts is None or not e.inputs:
            continue
        for direct, through in (parts, parts[::-1]):
            found = _parts(direct, through)
            if found is None:
                continue
            d, p, axes = found
            if p.inputs[0] is not e or d.type != p.type or p.type != node.type:
                continue
            along = nodes.sum_(nodes.multiply(d, p), axes, keepdims=True)
            return nodes.multiply(p, apply("subtract", d, along))
    return None


def _parts(direct: Node, through: Node) -> tuple[Node, Node, tuple[int, ...]] | None:
    """(d, p, axes) of d / s and -sum(d * p / s, axes), with p = e / s and s = sum(e, axes)."""
    summed = sum_of(through.inputs[0]) if through.inputs else None
    scaled = operands_of(direct, "multiply")
    products = None if summed is None else operands_of(summed[0], "multiply")
    if summed is None or scaled is None or products is None:
        return None
    axes = summed[1]
    for d, inverse in (scaled, scaled[::-1]):
        s = _matched(inverse, Apply("divide", (Number(1), Symbol("0"))))
        for same, weight in (products, products[::-1]):
            if s is None or same is not d:
                continue
            quotient = _matched(weight, Apply("divide", (Apply("negative", (_P,)), _S)))
            if quotient is None or len(s) != 1 or quotient[1] is not s[0]:
                continue
            p = quotient[0]
            if _is_share(p, s[0], axes) and through.type.shape == kept_shape(p, axes):
                return d, p, axes
    return None


_P, _S = Symbol("0"), Symbol("1")


def _matched(node: Node, wanted: Expr) -> tuple[Node, ...] | None:
    """The operands of a partial by their numbers in `wanted`, where its formula is that."""
    op = node.op
    if not isinstance(op, Elementwise) or table_name(op):
        return None
    found: dict[str, Node] = {}
    operands = dict(zip(op.args, node.inputs, strict=True))
    stack = [(parse(op.formula, op.args), wanted)]
    while stack:
        expr, pattern = stack.pop()
        if isinstance(pattern, Symbol):
            if not isinstance(expr, Symbol) or pattern.name in found:
                return None
            found[pattern.name] = operands[expr.name]
        elif isinstance(pattern, Apply):
            if not isinstance(expr, Apply) or expr.function != pattern.function:
                return None
            stack += zip(expr.args, pattern.args, strict=True)
        elif expr != pattern:
            return None
    return tuple(found[name] for name in sorted(found))


def _is_share(p: Node, s: Node, axes: tuple[int, ...]) -> bool:
    """Whether p is e / s, with s the sum of e over the axes."""
    parts = operands_of(p, "divide")
    if parts is None or parts[1] is not s or not s.inputs or s.type.shape != kept_shape(p, axes):
        return False
    return sum_of(s.inputs[0]) == (parts[0], axes)
