"""Contractions: the adjoint exchanges the roles of the output and one operand."""

from __future__ import annotations

from codegen.expr import Apply, Expr, Symbol, replace_symbols, symbols
from graphc import formula, nodes
from graphc.adjoints.rule import Contributions
from graphc.derive.lookup import derivation
from graphc.ir import Node
from graphc.ops.kinds import Contraction, Einstein, Elementwise
from graphc.sizing import may_read_outside
from graphc.types import Shape


def contraction(node: Node, d: Node, active: set[Node], absorb: bool) -> Contributions:
    """Exchange of roles: d_a[e_a] += d_y[e_out] * d body / d a, summed over what e_a lacks."""
    params = node.params
    assert isinstance(params, Einstein)
    for k, operand in enumerate(node.inputs):
        if operand not in active:
            continue
        if len(node.inputs) == 1 and _is_plain_sum(params):
            yield operand, _repeated(d, params, operand.type.shape)
            continue
        yield operand, _exchanged(node, params, d, k)


def _is_plain_sum(params: Einstein) -> bool:
    """Whether one operand's axes are summed or permuted, and nothing else: no index is affine, none
    repeats, and none is new in the result or counted without being read."""
    own = [affine.index for affine in params.operands[0]]
    out = [affine.index for affine in params.out]
    distinct = len(set(own)) == len(own) and len(set(out)) == len(out)
    return (
        params.body is None
        and None not in own
        and distinct
        and (set(out) <= set(own) and len(params.extents) == len(own))
    )


def _repeated(d: Node, params: Einstein, shape: Shape) -> Node:
    """The adjoint of a sum (or a permutation): d repeated along the axes that were summed."""
    at_out = {affine.index: k for k, affine in enumerate(params.out)}
    own = [affine.index for affine in params.operands[0]]
    kept = [name for name in own if name in at_out]
    d = nodes.transpose(d, tuple(at_out[name] for name in kept))
    d = nodes.reshape(
        d, tuple(size if name in at_out else 1 for name, size in zip(own, shape, strict=True))
    )
    return nodes.broadcast_to(d, shape)


def _exchanged(node: Node, params: Einstein, d: Node, k: int) -> Node:
    shape = node.inputs[k].type.shape
    others = [j for j in range(len(node.inputs)) if j != k]
    if params.body is None:
        operands = (params.out, *(params.operands[j] for j in others))
        inputs = [d, *(node.inputs[j] for j in others)]
        body = None
    else:
        partial = _body_partial(params.body, len(node.inputs), k)
        if partial is None:
            return nodes.zeros(node.inputs[k].type)
        # Where another operand would be read outside, there is no term, and no partial of it.
        extents = dict(params.extents)
        outside = {
            j
            for j in others
            if may_read_outside(params.operands[j], node.inputs[j].type.shape, extents)
        }
        used = sorted({int(name) for name in symbols(partial)} | outside)
        renamed: dict[str, Expr] = {str(j): Symbol(str(at + 1)) for at, j in enumerate(used)}
        body = Apply("multiply", (Symbol("0"), replace_symbols(partial, renamed)))
        operands = (params.out, *(params.operands[j] for j in used))
        inputs = [d, *(node.inputs[j] for j in used)]
    adjoint = Einstein(params.operands[k], operands, params.extents, shape, body)
    return nodes.contraction(Contraction(f"{node.op.name}_adjoint"), adjoint, *inputs)


def _body_partial(body: Expr, arity: int, k: int) -> Expr | None:
    """d body / d operand k, as an expression over the same numbered symbols."""
    args = tuple(f"a{j}" for j in range(arity))
    named: dict[str, Expr] = {str(j): Symbol(name) for j, name in enumerate(args)}
    op = Elementwise("body", args, formula.text(replace_symbols(body, named)))
    partial = derivation(op).partials[k]
    if partial is None:
        return None
    expr = formula.parse(partial.formula, partial.args)
    numbered: dict[str, Expr] = {name: Symbol(str(j)) for j, name in enumerate(args)}
    if partial.output:
        numbered[partial.args[-1]] = body
    return replace_symbols(expr, numbered)
