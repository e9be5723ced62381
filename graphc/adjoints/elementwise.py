"""Elementwise ops: the cotangent times each partial, which the op's derivation states."""

from __future__ import annotations

from codegen.expr import Expr, Number, symbols
from graphc import formula, nodes
from graphc.adjoints.rule import Contributions, unbroadcast
from graphc.derive.lookup import derivation
from graphc.ir import Node
from graphc.literals import at_literals
from graphc.ops.elementwise import TABLE
from graphc.ops.kinds import ConstantParams, Elementwise
from graphc.types import DTYPES


def elementwise(node: Node, d: Node, active: set[Node], absorb: bool) -> Contributions:
    op = node.op
    assert isinstance(op, Elementwise)
    if op.condition:
        yield from _where(node, d, active)
        return
    if not op.differentiable:
        return
    if op.name in DTYPES:
        if node.inputs[0].type.floating and node.type.floating:
            yield node.inputs[0], nodes.cast(d, node.inputs[0].type.dtype)
        return
    literal = tuple(operand.op is nodes.CONSTANT for operand in node.inputs)
    if any(literal) and _is_number(op, node):
        return
    partials = derivation(op, literal).partials
    for operand, partial in zip(node.inputs, partials, strict=False):
        if operand not in active or partial is None:
            continue
        yield operand, unbroadcast(_scaled(d, partial, node, absorb), operand.type.shape)


def _is_number(op: Elementwise, node: Node) -> bool:
    """Whether its literals leave a number of the op: x ** 2 has no third derivative. A product with
    the partial, 0, would be NaN where the cotangent is infinite."""
    values = [
        Number(float(operand.params.value.item()))
        if isinstance(operand.params, ConstantParams) and operand.params.value.size == 1
        else None
        for operand in node.inputs
    ]
    return isinstance(at_literals(op, tuple(values)), Number)


def _scaled(d: Node, partial: Elementwise, node: Node, absorb: bool) -> Node:
    """d times the partial at the node's operands (and at its output, where it is written so)."""
    if partial.formula == "1":
        return d
    if partial.formula == "-1":
        return nodes.elementwise(TABLE["negative"], d)
    local = apply_partial(partial, node)
    # A number and a mask are finite: there is nothing to absorb.
    if local.op is nodes.CONSTANT or partial.result == "bool" or not absorb:
        return nodes.multiply(d, local)
    return nodes.elementwise(TABLE["absorb"], d, local)


def apply_partial(partial: Elementwise, node: Node) -> Node:
    """The partial's value at the node, in the node's dtype."""
    expr = formula.parse(partial.formula, partial.args)
    if not any(True for _ in symbols(expr)):
        return nodes.constant(_literal(expr), node.type.dtype)
    inputs = (*node.inputs, node) if partial.output else node.inputs
    return nodes.cast(nodes.elementwise(partial, *inputs), node.type.dtype)


def _literal(expr: Expr) -> float:
    from graphc.interpret import scalar

    return scalar(expr)


def _where(node: Node, d: Node, active: set[Node]) -> Contributions:
    condition, chosen, other = node.inputs
    zero = nodes.constant(0, d.type.dtype)
    if chosen in active:
        yield (
            chosen,
            unbroadcast(nodes.elementwise(TABLE["where"], condition, d, zero), chosen.type.shape),
        )
    if other in active:
        yield (
            other,
            unbroadcast(nodes.elementwise(TABLE["where"], condition, zero, d), other.type.shape),
        )
