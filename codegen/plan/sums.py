"""Cheaper spellings of sums.

(a * b).sum()                -> np.dot(a, b), np.vdot(a, b)     one pass, no temporary
(a * b).sum(axis=-1)         -> np.vecdot(a, b)
(a * b).sum()                -> np.vecdot(a, b).sum()      long, and in single precision
(a * b).sum(axis=1)          -> np.einsum(...)                  where the array is large
(c * (a * b)).sum()          -> c * np.dot(a, b)                likewise
(a * a + b * b).sum()        -> np.dot(a, a) + np.dot(b, b)     squares, so that nothing cancels
(-x).sum(), (x * u).sum()    -> -(x.sum()), x.sum() * u         see `codegen.plan.factors`
mask.astype(f32).sum()       -> mask.sum(dtype=f32)
x.sum(axis=1)[:, None]       -> x.sum(axis=1, keepdims=True)
x.sum(axis=0), axis=1        -> ones @ x, x @ ones              where a matrix is large
x.sum(axis=(0, 2, 3))        -> x.reshape(n, c, h * w).sum(axis=2).sum(axis=0)     likewise
"""

from __future__ import annotations

from codegen.expr import FUNCTIONS, Number
from codegen.names import Names
from codegen.plan.factors import pull_out
from codegen.plan.shapes import full
from codegen.plan.steps import (
    Apply,
    Assemble,
    At,
    Einsum,
    Fold,
    Index,
    Invoke,
    Look,
    Operand,
    Product,
    Put,
    Sheet,
    Span,
    Step,
    Value,
    Window,
    values_of,
)
from codegen.plan.uses import Uses
from codegen.program import Reshape
from codegen.types import Shape, product

# BLAS adds in sequence what NumPy adds pairwise: in single precision a long sum would show it.
LONGEST_SINGLE = 4096
# Of shorter rows each costs more than its sum; larger arrays are worked on in tiles.
SHORTEST_ROW = 32
_LARGEST = 1 << 20
# A product of a stack of matrices of fewer rows with a vector costs more than their sum.
_FEWEST_ROWS = 8
# So many steps back windows are looked for.
_NEAR = 16
# Below this einsum's own overhead is what counts.
_LONG_ENOUGH = 4096
# Below this a pass costs no more than the call for it.
MANY = 8192
# Below this NumPy's sum along an axis costs no more than a product with ones.
_ONES = 64
# Longer vectors of ones are made in every call, and not kept.
_KEPT = 4096

Ones = dict[tuple[str, int], Value]


def simplify_sums(sheet: Sheet, uses: Uses) -> bool:
    """Rewrite sums in place; whether anything changed, so that uses must be counted again."""
    changed = False
    steps: list[Step] = []
    ones: Ones = {}
    for step in sheet.steps:
        made: Step | None = None
        if isinstance(step, Assemble) and step.out.hint == "ones" and len(step.out.shape) == 1:
            size = step.out.shape[0]
            if not step.operands and step.fill == 1.0 and isinstance(size, int):
                ones[step.out.dtype, size] = step.out
        if isinstance(step, Fold) and step.fn == "sum":
            made = pull_out(sheet, step, uses, steps)
            made = made or _dot(sheet, step, uses, steps) or _dots(sheet, step, uses, steps)
            made = made or _sum_of_cast(step, uses) or _by_ones(sheet, step, steps, ones)
            made = made or _in_two(sheet, step, uses, steps)
        elif isinstance(step, Put) and _adds_to_few(step):
            made = pull_out(sheet, step, uses, steps)
        elif isinstance(step, Look) and isinstance(step.kind, Index):
            made = _kept_axes(step, step.kind, uses)
        if made is not None:
            made.out.step = made
            changed = True
        steps.append(made or step)
    sheet.steps[:] = steps
    return changed


def _adds_to_few(step: Put) -> bool:
    """Whether it adds to zeros, which are fewer than what is added."""
    added, places = step.operands[0], product(step.out.shape)
    if step.mode != "add" or step.based or not isinstance(added, Value):
        return False
    count = product(added.shape)
    return isinstance(places, int) and places < (count if isinstance(count, int) else MANY)


def _by_ones(sheet: Sheet, step: Fold, before: list[Step], ones: Ones) -> Step | None:
    """A sum along one axis of a large matrix, along the rows of a stack of them, or along all axes
    but the last, as a product with ones.

    NumPy's own takes three to ten times as long, and more where rows are short. Along rows it adds
    pairwise, which in single precision shows where they are long; along columns it does not either.
    """
    matrix, out = step.operands[0], step.out
    if not isinstance(matrix, Value) or matrix.dtype not in ("f64", "f32"):
        return None
    rank, count = len(matrix.shape), product(matrix.shape)
    kept: Shape
    if (
        rank < 2
        or matrix.dtype != out.dtype
        or shows_windows(matrix)
        or not isinstance(count, int)
        or count < _ONES
    ):
        return None
    width = matrix.shape[-1]
    assert isinstance(width, int)
    if step.axes == tuple(range(rank - 1)):
        if rank > 2:
            shape = (count // width, width)
            matrix = _looked(sheet, step, matrix, Reshape(shape), shape, before)
        length, kept = count // width, (width,)
    elif step.axes == (rank - 1,) and adds_rows(matrix.dtype, matrix.shape):
        length, kept = width, matrix.shape[:-1]
    else:
        return None
    vector = ones.get((matrix.dtype, length))
    if vector is None:
        vector = ones[matrix.dtype, length] = sheet.value(matrix.dtype, (length,), "ones")
        vector.step = Assemble(vector, (), step.note, step.tag, 1.0, (), False, True)
        before.append(vector.step)
    operands = (vector, matrix) if step.axes[0] == 0 else (matrix, vector)
    if not step.keepdims:
        return Product(out, operands, step.note, step.tag)
    total = sheet.value(out.dtype, kept)
    total.step = Product(total, operands, step.note, step.tag)
    before.append(total.step)
    return _put_back(step, total)


def _put_back(step: Fold, total: Value) -> Look:
    """The axes of a sum that are kept with size 1."""
    axes = [None if n in step.axes else full(size) for n, size in enumerate(step.out.shape)]
    return Look(step.out, (total,), step.note, step.tag, Index(tuple(axes)))


def adds_rows(dtype: str, shape: Shape) -> bool:
    """Whether a product with a vector may add up along the last axis: a stack's matrices have some
    rows, and single precision's are no longer than what is added up in sequence."""
    rows, width = shape[-2:]
    if len(shape) > 2 and isinstance(rows, int) and rows < _FEWEST_ROWS:
        return False
    return dtype == "f64" or (isinstance(width, int) and width <= LONGEST_SINGLE)


def shows_windows(value: Value) -> bool:
    """Whether the array is computed, element by element, of windows; BLAS would need all of them,
    and `codegen.plan.offsets` adds them up as they are."""
    pending, left = [value], _NEAR
    while pending and left:
        made, left = pending.pop().step, left - 1
        if isinstance(made, Look) and isinstance(made.kind, Window):
            return True
        if isinstance(made, Look | Apply):
            pending.extend(values_of(made))
    return False


def _in_two(sheet: Sheet, step: Fold, uses: Uses, before: list[Step]) -> Step | None:
    """A sum along several axes, the last among them: first along those at the end, as one axis,
    then along the others."""
    summed, out = step.operands[0], step.out
    if not isinstance(summed, Value) or summed.dtype not in ("f64", "f32"):
        return None
    rank, count = len(summed.shape), product(summed.shape)
    first = rank
    while first - 1 in step.axes:
        first -= 1
    rest = tuple(axis for axis in step.axes if axis < first)
    if not 0 < first < rank - (not rest) or summed.dtype != out.dtype:
        return None
    if not isinstance(count, int) or count < MANY:
        return None
    factors = _factors(summed) if _lone(summed, uses) else None
    if any(map(shows_windows, factors or (summed,))):
        return None
    shape = (*summed.shape[:first], product(summed.shape[first:]))
    if not adds_rows(summed.dtype, shape if factors is None else shape[-2:]):
        return None
    parts = list(factors or (summed,))
    if len(shape) < rank:
        parts = [_looked(sheet, step, part, Reshape(shape), shape, before) for part in parts]

    def put(operands: list[Value], axes: tuple[int, ...], last: bool) -> Step:
        """A sum, into the result where it is the last."""
        kept = tuple(size for n, size in enumerate(operands[0].shape) if n not in axes)
        total = out if last and not step.keepdims else sheet.value(out.dtype, kept)
        made: Step = Fold(total, tuple(operands), step.note, step.tag, "sum", axes, False)
        if len(operands) > 1:
            made = Invoke(total, tuple(operands), step.note, step.tag, "np.vecdot", (), (total,))
        total.step = made
        if total is not out:
            before.append(made)
        return made

    made = put(parts, (first,), last=not rest)
    if rest:
        made = put([made.out], rest, last=True)
    return _put_back(step, made.out) if step.keepdims else made


def kept_ones(sheet: Sheet, uses: Uses, scope: Names) -> dict[Value, str]:
    """Takes vectors of ones off the sheet which products alone read: the module keeps them, under
    these names. One whose name is an argument's is made in the function."""
    found: dict[Value, str] = {}
    steps: list[Step] = []
    for step in sheet.steps:
        text = _name_of_ones(step, uses)
        if text and text not in scope:
            step.out.step = None
            found[step.out] = text
        else:
            steps.append(step)
    sheet.steps[:] = steps
    for text in found.values():
        scope.take(text)
    return found


def _name_of_ones(step: Step, uses: Uses) -> str:
    """What the module calls a vector of ones; empty where it is not the module's."""
    out = step.out
    if not isinstance(step, Assemble) or step.operands or step.fill != 1.0 or len(out.shape) != 1:
        return ""
    (size,) = out.shape
    if out.keep or uses.returned[out.index] or not isinstance(size, int) or size > _KEPT:
        return ""
    if not all(isinstance(reader, Product) for reader in uses.readers[out.index]):
        return ""
    return f"_ones_{size}" if out.dtype == "f64" else f"_ones_{size}_{out.dtype}"


def _looked(
    sheet: Sheet, step: Step, value: Value, kind: Reshape, shape: Shape, before: list[Step]
) -> Value:
    """A view of a value, before the step."""
    out = sheet.value(value.dtype, shape)
    out.step = Look(out, (value,), step.note, step.tag, kind)
    before.append(out.step)
    return out


def _lone(operand: object, uses: Uses) -> Value | None:
    """The operand, if it is an unnamed value that is read once only."""
    if isinstance(operand, Value) and not operand.keep and uses.count(operand) == 1:
        return operand
    return None


def _dot(sheet: Sheet, step: Fold, uses: Uses, before: list[Step]) -> Step | None:
    """A sum of products, over all axes or some."""
    summed = _lone(step.operands[0], uses)
    factors = None if summed is None or step.keepdims else _factors(summed)
    if summed is None or factors is None:
        return None
    function = _call(step, summed)
    if function:
        return Invoke(step.out, factors, step.note, step.tag, function, (), (step.out,))
    if step.out.dtype not in ("f64", "f32") or summed.dtype != step.out.dtype:
        return None
    if step.axes == tuple(range(len(summed.shape))):
        return _dots_of_rows(sheet, step, factors, summed.shape, before)
    return _einsum(step, factors, summed.shape)


def _call(step: Fold, summed: Value) -> str:
    """NumPy's function for a sum of products, over all axes or the last; empty if it is neither."""
    dtype, rank = step.out.dtype, len(summed.shape)
    if dtype not in ("f64", "f32") or summed.dtype != dtype or step.keepdims:
        return ""
    if step.axes == tuple(range(rank)):
        count = product(summed.shape)
        if dtype == "f32" and not (isinstance(count, int) and count <= LONGEST_SINGLE):
            return ""
        return "np.dot" if rank == 1 else "np.vdot"
    return "np.vecdot" if step.axes == (rank - 1,) else ""


def _dots_of_rows(
    sheet: Sheet, step: Fold, factors: tuple[Operand, ...], shape: Shape, before: list[Step]
) -> Step | None:
    """A long sum in single precision: BLAS adds up each row, and NumPy the rows, pairwise.

    Only where all is in the cache: larger arrays are worked on in tiles.
    """
    count, row = product(shape), shape[-1]
    if not (isinstance(count, int) and isinstance(row, int) and len(shape) > 1):
        return None
    if count > _LARGEST or not SHORTEST_ROW <= row <= LONGEST_SINGLE:
        return None
    rows = sheet.value(step.out.dtype, shape[:-1])
    dots = Invoke(rows, factors, step.note, step.tag, "np.vecdot", (), (rows,))
    rows.step = dots
    before.append(dots)
    axes = tuple(range(len(shape) - 1))
    return Fold(step.out, (rows,), step.note, step.tag, "sum", axes, False)


def _factors(value: Value) -> tuple[Value, Value] | None:
    """(a, b) of a value a * b, both of its own type."""
    step = value.step
    if not isinstance(step, Apply) or step.function.name not in ("multiply", "square"):
        return None
    a, b = step.operands[0], step.operands[-1]
    for factor in (a, b):
        if not isinstance(factor, Value) or (factor.dtype, factor.shape) != (
            value.dtype,
            value.shape,
        ):
            return None
    assert isinstance(a, Value)
    assert isinstance(b, Value)
    return a, b


def _dots(sheet: Sheet, step: Fold, uses: Uses, before: list[Step]) -> Step | None:
    """A sum of products that have literal factors, or of squares that are added: a sum of each."""
    summed = _lone(step.operands[0], uses)
    if summed is None or not isinstance(summed.step, Apply):
        return None
    terms = _terms(summed, uses)
    if terms is None or (len(terms) > 1 and not all(_is_positive(*term) for term in terms)):
        return None

    function = _call(step, summed)
    if not function:
        return None

    def apply(function: str, *operands: Operand) -> Step:
        return Apply(step.out, operands, step.note, step.tag, FUNCTIONS[function])

    def put(made: Step) -> Value:
        """The step's result as a value of its own."""
        made.out = sheet.value(step.out.dtype, step.out.shape)
        made.out.step = made
        if isinstance(made, Invoke):
            made.outs = (made.out,)
        before.append(made)
        return made.out

    total: Step | None = None
    for literal, product_ in terms:
        factors = _factors(product_)
        assert factors is not None
        term: Step = Invoke(step.out, factors, step.note, step.tag, function, (), (step.out,))
        if literal != 1.0:
            term = apply("multiply", Number(literal), put(term))
        total = term if total is None else apply("add", put(total), put(term))
    return total


def _terms(value: Value, uses: Uses) -> list[tuple[float, Value]] | None:
    """(c, p) of every term c * p of a sum, each read here only; p is a product."""
    step = value.step
    if _lone(value, uses) is None or not isinstance(step, Apply):
        return None
    if _factors(value) is not None:
        return [(1.0, value)]
    if step.function.name not in ("add", "multiply"):
        return None
    a, b = step.operands
    if isinstance(b, Number):
        a, b = b, a
    if not isinstance(b, Value) or (b.dtype, b.shape) != (value.dtype, value.shape):
        return None
    right = _terms(b, uses)
    if right is None:
        return None
    if isinstance(a, Number):
        scales = step.function.name == "multiply" and len(right) == 1 and right[0][0] == 1.0
        return [(float(a.value), right[0][1])] if scales else None
    if not isinstance(a, Value) or (a.dtype, a.shape) != (value.dtype, value.shape):
        return None
    left = _terms(a, uses) if step.function.name == "add" else None
    return None if left is None else [*left, *right]


def _is_positive(literal: float, product_: Value) -> bool:
    """Whether the term is a square times a positive number."""
    factors = _factors(product_)
    return literal > 0.0 and factors is not None and factors[0] is factors[1]


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
