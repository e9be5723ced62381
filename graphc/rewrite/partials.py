"""Identities of partials, the local derivatives: what a formula does not mention is not needed."""

from __future__ import annotations

from functools import lru_cache

from codegen.expr import Number, Symbol, symbols
from graphc import nodes
from graphc.formula import parse
from graphc.interpret import scalar
from graphc.ir import Node
from graphc.literals import at_literals
from graphc.ops.kinds import Elementwise
from graphc.rewrite.walk import fitted, uniform
from graphc.types import FLOATING


def unused_operands(node: Node) -> Node | None:
    """An op that is written without some of its arguments does without these operands.

    The derivative of a * b by a is b, whatever a is: what is not used need not be kept until the
    backward pass. Where the formula is one argument or one number, nothing is left of the op.
    """
    op = node.op
    assert isinstance(op, Elementwise)
    found = _reduced(op)
    if found is None:
        return None
    left, used = found
    if left is None:
        (k,) = used
        return fitted(nodes.cast(node.inputs[k], node.type.dtype), node)
    if not used:
        value = scalar(parse(op.formula, op.args))
        return nodes.full(node.type, value)
    kept = nodes.elementwise(left, *(node.inputs[k] for k in used))
    return fitted(nodes.cast(kept, node.type.dtype), node)


def literal_operands(node: Node) -> Node | None:
    """An op of which its literal operands leave one number, or one operand: this.

    The second derivative b * (b - 1) * a ** (b - 2) of a power b = 2 is 2, whatever a is.
    """
    op = node.op
    assert isinstance(op, Elementwise)
    if op.condition or not op.differentiable:
        return None
    if any(x.type.dtype not in FLOATING for x in (node, *node.inputs)):
        return None
    values = [uniform(x) for x in node.inputs]
    left = at_literals(op, tuple([None if v is None else Number(float(v)) for v in values]))
    if isinstance(left, Number):
        return nodes.full(node.type, left.value)
    if isinstance(left, Symbol):
        kept = node.inputs[op.args.index(left.name)]
        return fitted(nodes.cast(kept, node.type.dtype), node)
    return None


@lru_cache(maxsize=4096)
def _reduced(op: Elementwise) -> tuple[Elementwise | None, tuple[int, ...]] | None:
    """The op on those of its arguments that its formula uses, and which they are; no op where the
    formula is that argument itself. None where it uses all, and for an op with a condition.

    What determines an argument is of no account any more: it is an operand like the others, and
    the formula is all there is to say.
    """
    expr = parse(op.formula, op.args)
    mentioned = set(symbols(expr))
    used = tuple(k for k, arg in enumerate(op.args) if arg in mentioned)
    if isinstance(expr, Symbol):
        # (An op that is its argument and stops the gradient says something by that.)
        return (None, used) if op.differentiable else None
    if op.condition or len(used) == len(op.args):
        return None
    args = tuple(op.args[k] for k in used)
    # Its formula is a chosen form; that it is its own definition says that no other is looked for.
    left = Elementwise(
        op.name, args, op.formula, op.formula, op.result, op.differentiable, doc=op.doc
    )
    return left, used
