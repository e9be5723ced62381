"""A transposed matrix that many short products read is copied once.

BLAS reads a transposed matrix as fast as another where a product has many rows, since it packs the
matrix in any case; where a product has few, packing is most of its work, and packing columns is the
slower. In a recurrence the same transposed weights are packed at every step back in time.

d_h_3 = d_z_4 @ Wh.T;  d_h_2 = d_z_3 @ Wh.T;  ...     ->     Wh_T = np.copy(Wh.T, order="C");
                                                             d_h_3 = d_z_4 @ Wh_T;  ...
"""

from __future__ import annotations

from codegen.plan.steps import Invoke, Look, Operand, Product, Sheet, Step, Value
from codegen.program import Transpose
from codegen.types import product

# Products of more rows gain nothing.
_FEW_ROWS = 64
# So many products, of so many rows together, are worth the copy.
_MANY, _ROWS = 4, 512
# Smaller matrices stay in the first-level cache, packed or not.
_SMALL = 4096


def copy_transposed(sheet: Sheet) -> bool:
    """Puts the copies in; whether there are any, so that uses must be counted again."""
    found: dict[Value, list[Product]] = {}
    for step in sheet.steps:
        if isinstance(step, Product):
            matrix, rows = _transposed(step.operands[1]), _rows(step)
            if matrix is not None and rows is not None and rows <= _FEW_ROWS:
                found.setdefault(matrix, []).append(step)
    before: dict[Step, Step] = {}
    for matrix, products in found.items():
        enough = sum(_rows(one) or 0 for one in products) >= _ROWS
        if len(products) >= _MANY and enough:
            before[products[0]] = _copy(sheet, matrix, products)
    if not before:
        return False
    steps: list[Step] = []
    for step in sheet.steps:
        if step in before:
            steps.append(before[step])
        steps.append(step)
    sheet.steps[:] = steps
    return True


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


def _rows(step: Product) -> int | None:
    """How many rows the left matrix has, where that is known; None for stacks and vectors."""
    left = step.operands[0]
    if not isinstance(left, Value) or len(left.shape) != 2 or not isinstance(left.shape[0], int):
        return None
    return left.shape[0]


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
