"""Cheaper spellings of sums.

(a * b).sum()                -> np.dot(a, b), np.vdot(a, b)     one pass, no temporary
(a * b).sum(axis=-1)         -> np.vecdot(a, b)
(a * b).sum()                -> np.vecdot(a, b).sum()      long, and in single precision
(a * b).sum(axis=1)          -> np.einsum(...)                  where the array is large
(-x).sum()                   -> -(x.sum())
mask.astype(f32).sum()       -> mask.sum(dtype=f32)
x.sum(axis=1)[:, None]       -> x.sum(axis=1, keepdims=True)
"""

from __future__ import annotations

from codegen.plan.steps import (
    Apply,
    At,
    Einsum,
    Fold,
    Index,
    Invoke,
    Look,
    Operand,
    Sheet,
    Span,
    Step,
    Value,
)
from codegen.plan.uses import Uses
from codegen.types import Shape, product

# BLAS adds in sequence what NumPy adds pairwise: in single precision a long sum would show it.
_LONGEST_SINGLE = 4096
# Of shorter rows each costs more than its sum; larger arrays are worked on in tiles.
_SHORTEST_ROW = 32
_LARGEST = 1 << 20
# Below this einsum's own overhead is what counts.
_LONG_ENOUGH = 4096


def simplify_sums(sheet: Sheet, uses: Uses) -> bool:
    """Rewrite sums in place; whether anything changed, so that uses must be counted again."""
    changed = False
    steps: list[Step] = []
    for step in sheet.steps:
        made: Step | None = None
        if isinstance(step, Fold) and step.fn == "sum":
            made = _dot(sheet, step, uses, steps) or _sum_of_cast(step, uses)
            made = made or _negative_sum(sheet, step, uses, steps)
        elif isinstance(step, Look) and isinstance(step.kind, Index):
            made = _kept_axes(step, step.kind, uses)
        if made is not None:
            made.out.step = made
            changed = True
        steps.append(made or step)
    sheet.steps[:] = steps
    return changed


def _negative_sum(sheet: Sheet, step: Fold, uses: Uses, before: list[Step]) -> Step | None:
    """The sum first, which is the smaller one to negate."""
    summed = _lone(step.operands[0], uses)
    if summed is None or not isinstance(summed.step, Apply) or summed.dtype != step.out.dtype:
        return None
    if summed.step.function.name != "negative" or step.out.dtype not in ("f64", "f32"):
        return None
    total = sheet.value(step.out.dtype, step.out.shape)
    fold = Fold(total, summed.step.operands, step.note, step.tag, "sum", step.axes, step.keepdims)
    total.step = fold
    before.append(fold)
    return Apply(step.out, (total,), step.note, step.tag, summed.step.function)


def _lone(operand: object, uses: Uses) -> Value | None:
    """The operand, if it is an unnamed value that is read once only."""
    if isinstance(operand, Value) and not operand.keep and uses.count(operand) == 1:
        return operand
    return None


def _dot(sheet: Sheet, step: Fold, uses: Uses, before: list[Step]) -> Step | None:
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
            return _dots_of_rows(sheet, step, factors, shape, before)
        function = "np.dot" if rank == 1 else "np.vdot"
    elif step.axes == (rank - 1,):
        function = "np.vecdot"
    else:
        return _einsum(step, factors, shape)
    return Invoke(step.out, factors, step.note, step.tag, function, (), (step.out,))


def _dots_of_rows(
    sheet: Sheet, step: Fold, factors: tuple[Operand, ...], shape: Shape, before: list[Step]
) -> Step | None:
    """A long sum in single precision: BLAS adds up each row, and NumPy the rows, pairwise.

    Only where all is in the cache: larger arrays are worked on in tiles.
    """
    count, row = product(shape), shape[-1]
    if not (isinstance(count, int) and isinstance(row, int) and len(shape) > 1):
        return None
    if count > _LARGEST or not _SHORTEST_ROW <= row <= _LONGEST_SINGLE:
        return None
    rows = sheet.value(step.out.dtype, shape[:-1])
    dots = Invoke(rows, factors, step.note, step.tag, "np.vecdot", (), (rows,))
    rows.step = dots
    before.append(dots)
    axes = tuple(range(len(shape) - 1))
    return Fold(step.out, (rows,), step.note, step.tag, "sum", axes, False)


def _einsum(step: Fold, factors: tuple[Operand, ...], shape: Shape) -> Step | None:
    """A sum over other axes than the last: einsum adds up in the same order, and stores no
    product."""
    count, rank = product(shape), len(shape)
    if rank - 1 in step.axes or not (isinstance(count, int) and count >= _LONG_ENOUGH):
        return None
    letters = "ijklmnopqrstuvwxyz"[:rank]
    kept = "".join(letter for axis, letter in enumerate(letters) if axis not in step.axes)
    if rank > len(letters) or len(factors) != 2:
        return None
    formula = f"{letters},{letters}->{kept}"
    return Einsum(step.out, factors, step.note, step.tag, formula)


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
