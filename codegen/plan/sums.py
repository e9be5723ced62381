"""Cheaper spellings of sums.

(a * b).sum()                -> np.dot(a, b), np.vdot(a, b)     one pass, no temporary
(a * b).sum(axis=-1)         -> np.vecdot(a, b)
mask.astype(f32).sum()       -> mask.sum(dtype=f32)
x.sum(axis=1)[:, None]       -> x.sum(axis=1, keepdims=True)
"""

from __future__ import annotations

from codegen.plan.steps import Apply, At, Fold, Index, Invoke, Look, Sheet, Span, Step, Value
from codegen.plan.uses import Uses
from codegen.types import product

# BLAS adds in sequence what NumPy adds pairwise: in single precision a long sum would show it.
_LONGEST_SINGLE = 4096


def simplify_sums(sheet: Sheet, uses: Uses) -> bool:
    """Rewrite sums in place; whether anything changed, so that uses must be counted again."""
    changed = False
    for at, step in enumerate(sheet.steps):
        made: Step | None = None
        if isinstance(step, Fold) and step.fn == "sum":
            made = _dot(step, uses) or _sum_of_cast(step, uses)
        elif isinstance(step, Look) and isinstance(step.kind, Index):
            made = _kept_axes(step, step.kind, uses)
        if made is not None:
            made.out.step = made
            sheet.steps[at] = made
            changed = True
    return changed


def _lone(operand: object, uses: Uses) -> Value | None:
    """The operand, if it is an unnamed value that is read once only."""
    if isinstance(operand, Value) and not operand.keep and uses.count(operand) == 1:
        return operand
    return None


def _dot(step: Fold, uses: Uses) -> Step | None:
    """A sum of products, over all axes or the last."""
    summed = _lone(step.operands[0], uses)
    if summed is None or step.keepdims or not isinstance(summed.step, Apply):
        return None
    name, factors = summed.step.function.name, summed.step.operands
    if name == "square":
        factors = (*factors, *factors)
    elif name != "multiply":
        return None
    dtype, shape = step.out.dtype, summed.shape
    for factor in factors:
        if not isinstance(factor, Value) or (factor.dtype, factor.shape) != (dtype, shape):
            return None
    rank = len(shape)
    if dtype not in ("f64", "f32") or summed.dtype != dtype:
        return None
    if step.axes == tuple(range(rank)):
        count = product(shape)
        if dtype == "f32" and not (isinstance(count, int) and count <= _LONGEST_SINGLE):
            return None
        function = "np.dot" if rank == 1 else "np.vdot"
    elif step.axes == (rank - 1,):
        function = "np.vecdot"
    else:
        return None
    return Invoke(step.out, factors, step.note, step.tag, function, (), (step.out,))


def _sum_of_cast(step: Fold, uses: Uses) -> Step | None:
    """The sum itself converts, as it goes."""
    cast = _lone(step.operands[0], uses)
    if cast is None or not isinstance(cast.step, Apply):
        return None
    if cast.step.function.name != step.out.dtype or cast.dtype != step.out.dtype:
        return None
    source = cast.step.operands[0]
    if not isinstance(source, Value) or source.dtype not in ("bool", "i32", "i64"):
        return None
    return Fold(step.out, (source,), step.note, step.tag, "sum", step.axes, step.keepdims)


def _kept_axes(step: Look, kind: Index, uses: Uses) -> Step | None:
    """A reduction whose axes are put back with size 1."""
    folded = _lone(step.operands[0], uses)
    if folded is None or not isinstance(folded.step, Fold):
        return None
    fold = folded.step
    if fold.keepdims or fold.fn.startswith("cum") or not fold.axes:
        return None
    put_back = tuple(axis for axis, entry in enumerate(kind.entries) if entry is None)
    rest = [entry for entry in kind.entries if entry is not None]
    whole = all(isinstance(e, Span) and e.size == e.length and e.step == 1 for e in rest)
    if put_back != fold.axes or not whole or any(isinstance(e, At) for e in rest):
        return None
    return Fold(step.out, fold.operands, fold.note, fold.tag, fold.fn, fold.axes, True)
