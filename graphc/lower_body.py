"""Parts of statements: an op's expression, a contraction's body, the regions of what is joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

from codegen.expr import FUNCTIONS, Apply, Expr, Extent, Number, Symbol, replace_symbols, symbols
from codegen.infer import result_dtype, weak_dtype
from codegen.program import (
    Affine,
    Broadcast,
    Contract,
    Map,
    Reshape,
    Slice,
    Statement,
    Transpose,
    Var,
    View,
)
from graphc import formula
from graphc.derive.lookup import stable_formula
from graphc.ir import Node
from graphc.nodes import index
from graphc.ops.elementwise import TABLE
from graphc.ops.kinds import Einstein, Elementwise
from graphc.sizing import may_read_outside
from graphc.types import FLOATING, Shape, Size, array_type, broadcast
from graphc.wording import PARTIAL, composition


@lru_cache(maxsize=4096)
def emitted(op: Elementwise) -> Expr:
    """The expression that is emitted for an op, a user's own too: its stable form."""
    return formula.parse(stable_formula(op), op.args)


@lru_cache(maxsize=256)
def argument(position: int) -> Symbol:
    """The symbol of a Map's argument; one object each, since large graphs have few kinds of Map."""
    return Symbol(str(position))


def instantiated(
    op: Elementwise, leaves: tuple[Expr, ...], dtypes: tuple[str, ...], out: str
) -> Expr:
    """The op's expression at these leaves, in dtype `out`; dtypes are those of the arguments."""
    identity = (op.name, op.args, op.formula, op.definition, op.differentiable)
    return _instantiated(identity, leaves, dtypes, out)


@lru_cache(maxsize=4096)
def _instantiated(
    identity: tuple[str, tuple[str, ...], str, str, bool],
    leaves: tuple[Expr, ...],
    dtypes: tuple[str, ...],
    out: str,
) -> Expr:
    name, names, formula_text, definition, differentiable = identity
    op = Elementwise(name, names, formula_text, definition, differentiable=differentiable)
    table_op = TABLE.get(name)
    if table_op is not None and table_op.formula == formula_text:
        op = table_op
    made = replace_symbols(emitted(op), dict(zip(names, leaves, strict=True)))
    own = {str(k): dtype for k, dtype in enumerate(dtypes)}
    if out == "f32" and "f64" not in dtypes:
        made = _narrow(made, own)
    found = expression_dtype(made, own)
    if found != out and not (found == "float?" and out == "f64"):
        made = Apply(out, (made,))
    return made


def _narrow(expr: Expr, dtypes: Mapping[str, str]) -> Expr:
    """The expression with one branch of a choice in f32 where NumPy would make doubles of both.

    np.where(mask, 0.5, 0.0) and np.where(mask, 0.5, other_mask) are f64: a literal is weak beside
    an f32 alone.
    """
    if not isinstance(expr, Apply):
        return expr
    args = tuple(_narrow(arg, dtypes) for arg in expr.args)
    if expr.function == "where":
        condition, *branches = args
        found = [expression_dtype(branch, dtypes) for branch in branches]
        if "bool" in found and found != ["bool", "bool"]:
            at = found.index("bool")
            branches[at] = Apply("f32", (branches[at],))
        elif "f32" not in found and isinstance(branches[0], Number) and "bool" not in found:
            branches[0] = Apply("f32", (branches[0],))
        args = (condition, *branches)
    return Apply(expr.function, args)


def expression_dtype(expr: Expr, dtypes: Mapping[str, str]) -> str:
    """The dtype NumPy gives the expression; weak ones end in `?`."""
    match expr:
        case Symbol(name):
            return dtypes[name]
        case Number(value):
            return weak_dtype(value)
        case Extent():
            return "int?"
        case Apply(function, args):
            return result_dtype(function, tuple(expression_dtype(arg, dtypes) for arg in args))


def mapped_body(
    params: Einstein, operands: Sequence[Var], dtype: str
) -> tuple[list[Statement], Var]:
    """A body that is no product, computed over all indices: the statements, and their result.

    Where an operand may be read outside, its term is absent: a zero that is read there would not
    make it so, as it does a product.
    """
    assert params.body is not None
    names = [name for name, _ in params.extents]
    extents = dict(params.extents)
    used = sorted({int(name) for name in symbols(params.body)})
    made: list[Statement] = []
    args = [_aligned(made, operands[k], params.operands[k], names, extents) for k in used]
    renamed: dict[str, Expr] = {str(k): Symbol(str(at)) for at, k in enumerate(used)}
    expr = replace_symbols(params.body, renamed)
    if expression_dtype(expr, {str(at): var.type.dtype for at, var in enumerate(args)}) != dtype:
        expr = Apply(dtype, (expr,))
    nothing = Number(0.0 if dtype in FLOATING else 0)
    for var, at in zip(operands, params.operands, strict=True):
        if may_read_outside(at, var.type.shape, extents):
            inside = _aligned(made, _ones(made, var.type.shape), at, names, extents)
            there = Apply("greater", (Symbol(str(len(args))), Number(0.0)))
            expr = Apply("where", (there, expr, nothing))
            args.append(inside)
    covered = broadcast(tuple(var.type.shape for var in args)) or ()
    out = Var("", array_type(dtype, covered))
    made.append(Map(out, expr, tuple(args)))
    shape = tuple(extents[name] for name in names)
    if covered == shape:
        return made, out
    full = Var("", array_type(dtype, shape))
    made.append(View(full, Broadcast(shape), out))
    return made, full


def _ones(made: list[Statement], shape: Shape) -> Var:
    """An array that is 1 wherever an operand of the shape can be read."""
    one, ones = Var("", array_type("f64", ())), Var("", array_type("f64", shape))
    made.append(Map(one, Number(1.0), ()))
    made.append(View(ones, Broadcast(shape), one))
    return ones


def _aligned(
    made: list[Statement],
    var: Var,
    at: tuple[Affine, ...],
    names: Sequence[str],
    extents: Mapping[str, Size],
) -> Var:
    """An operand with one axis an index, in the order of `names`, of size 1 where it has none."""
    own = [affine.index for affine in at]
    dtype = var.type.dtype
    if None in own or len(set(own)) != len(own):
        present = [name for name in names if any(name == n for a in at for n, _ in a.terms)]
        windows = Var("", array_type(dtype, tuple(extents[name] for name in present)))
        target = tuple(index(name) for name in present)
        inner = tuple((name, extents[name]) for name in present)
        made.append(Contract(windows, target, (var,), (at,), inner))
        var, own = windows, list(present)
    order = tuple(own.index(name) for name in names if name in own)
    if order != tuple(range(len(order))):
        turned = Var("", array_type(dtype, tuple(var.type.shape[k] for k in order)))
        made.append(View(turned, Transpose(order), var))
        var = turned
    shape = tuple(extents[name] if name in own else 1 for name in names)
    if shape != var.type.shape:
        spread = Var("", array_type(dtype, shape))
        made.append(View(spread, Reshape(shape), var))
        var = spread
    return var


def word(node: Node) -> str:
    """What an unnamed value is, where several functions make it: `sigmoid`, `tanh_slope`."""
    op = node.op
    if node.name or not isinstance(op, Elementwise):
        return ""
    return composition(node) if op.name in FUNCTIONS else _word(op)


@lru_cache(maxsize=4096)
def _word(op: Elementwise) -> str:
    expr = emitted(op)
    if not isinstance(expr, Apply) or not any(isinstance(arg, Apply) for arg in expr.args):
        return ""
    found = PARTIAL.fullmatch(op.doc)
    if found is None:
        return op.name
    function = FUNCTIONS.get(found[1])
    return "" if function is not None and function.infix is not None else f"{found[1]}_slope"


def joined(operands: Sequence[Var], axis: int) -> tuple[Slice, ...]:
    """The regions of operands that follow one another along an axis."""
    regions: list[Slice] = []
    start: Size = 0
    for operand in operands:
        shape = operand.type.shape
        starts = tuple(start if k == axis else 0 for k in range(len(shape)))
        regions.append(Slice(starts, shape, (1,) * len(shape)))
        start = start + shape[axis]
    return tuple(regions)


def apart(regions: Sequence[Slice]) -> bool:
    """Whether it shows along one axis that no two regions have an element in common."""
    if len(regions) == 1:
        return True
    for axis in range(len(regions[0].starts)):
        spans = []
        for region in regions:
            start, size, step = region.starts[axis], region.sizes[axis], region.steps[axis]
            known = isinstance(start, int) and isinstance(size, int) and isinstance(step, int)
            if not known or step < 0:
                break
            spans.append((start, start + size * step))
        spans.sort()
        follows = all(before[1] <= after[0] for before, after in pairwise(spans))
        if len(spans) == len(regions) and follows:
            return True
    return False
