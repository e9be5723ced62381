"""Transposed matrices in short products: copied once, or multiplied from the left.

BLAS reads a transposed matrix as fast as another where a product has many rows, since it packs the
matrix in any case; where a product has few, packing is most of its work, and packing columns is the
slower. In a recurrence the same transposed weights are packed at every step back in time:

d_h_3 = d_z_4 @ Wh.T;  d_h_2 = d_z_3 @ Wh.T;  ...     ->     Wh_T = np.copy(Wh.T, order="C");
                                                             d_h_3 = d_z_4 @ Wh_T;  ...

Where the matrix is read once, it is read in rows if the product itself is transposed. (Measured
with OpenBLAS in single precision: half the time at 8 to 32 rows, 0.9 of it at 64. In double
precision both take the same time.)

d_h = d_y @ W.T                                       ->     d_h = _few_rows(d_y, W)
"""

from __future__ import annotations

from collections.abc import Mapping

from codegen.plan.steps import Invoke, Look, Operand, Product, Sheet, Step, Value
from codegen.program import Transpose
from codegen.types import Size, product, substitute

# Products of more rows gain nothing.
_FEW_ROWS = 64
# So many products, of so many rows together, are worth the copy.
_MANY, _ROWS = 4, 512
# Smaller matrices stay in the first-level cache, packed or not.
_SMALL = 4096
# A product from the left is worth it for matrices of so many rows and columns, and for so many
# multiplications.
_WIDE, _WORK = 128, 1 << 19


def copy_transposed(sheet: Sheet, sizes: Mapping[str, Size]) -> bool:
    """Rewrites the products; whether there are any, so that uses must be counted again."""
    found: dict[Value, list[Product]] = {}
    for step in sheet.steps:
        if isinstance(step, Product):
            matrix, rows = _transposed(step.operands[1]), _rows(step, sizes)
            if matrix is not None and rows is not None and rows <= _FEW_ROWS:
                found.setdefault(matrix, []).append(step)
    changed: dict[Step, tuple[Step, ...]] = {}
    for matrix, products in found.items():
        counts = [_rows(one, sizes) or 0 for one in products]
        if len(products) >= _MANY and sum(counts) >= _ROWS:
            changed[products[0]] = _copy(sheet, matrix, products), products[0]
            continue
        for one, rows in zip(products, counts, strict=True):
            if _from_left(matrix, rows):
                changed[one] = (_few_rows(one, matrix),)
    sheet.steps[:] = [new for step in sheet.steps for new in changed.get(step, (step,))]
    return bool(changed)


def _transposed(operand: Operand) -> Value | None:
    """The matrix, of some size, that the operand shows with its axes exchanged."""
    if not isinstance(operand, Value) or len(operand.shape) != 2:
        return None
    step = operand.step
    if not isinstance(step, Look) or not isinstance(step.kind, Transpose):
        return None
    (matrix,) = step.operands
    count = product(operand.shape)
    large = isinstance(count, int) and count >= _SMALL
    return matrix if large and isinstance(matrix, Value) else None


def _rows(step: Product, sizes: Mapping[str, Size]) -> int | None:
    """How many rows the left matrix has, where that is known; None for stacks and vectors."""
    left = step.operands[0]
    if not isinstance(left, Value) or len(left.shape) != 2:
        return None
    rows = substitute(left.shape[0], sizes)
    return rows if isinstance(rows, int) else None


def _from_left(matrix: Value, rows: int) -> bool:
    """Whether a product of so few rows with the transposed matrix is faster from the left."""
    if matrix.dtype != "f32" or rows < 2:
        return False
    wide = all(isinstance(size, int) and size >= _WIDE for size in matrix.shape)
    count = product(matrix.shape)
    return wide and isinstance(count, int) and rows * count >= _WORK


def _few_rows(step: Product, matrix: Value) -> Step:
    """The product by a routine of the module's own."""
    out, operands = step.out, (step.operands[0], matrix)
    made = Invoke(out, operands, step.note, step.tag, "_few_rows", (), (out,))
    out.step = made
    return made


def _copy(sheet: Sheet, matrix: Value, products: list[Product]) -> Step:
    """The copy, read by the products from now on."""
    first = products[0]
    shown = first.operands[1]
    assert isinstance(shown, Value)
    out = sheet.value(shown.dtype, shown.shape, f"{matrix.hint}_T" if matrix.hint else "")
    made = Invoke(out, (shown,), first.note, first.tag, "np.copy", (("order", "C"),), (out,))
    out.step = made
    for step in products:
        step.operands = (step.operands[0], out)
    return made
