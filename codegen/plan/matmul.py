"""Two factors as one matrix product: which indices are rows, columns, and a stack of matrices."""

from __future__ import annotations

from codegen.plan.axes import new_axis, sizes, transpose
from codegen.plan.shapes import full
from codegen.plan.steps import At, Index, Look, Product, Sheet, Span, Value, Window
from codegen.plan.windows import Extents, Factor
from codegen.program import Reshape
from codegen.types import FLOATING, Size, product

# Matrices of fewer rows.
_SMALL = 32
# Products of so many multiplications.
_SHORT = 1 << 16


def split_order(
    wanted: list[str], batch: list[str], mine: list[str], yours: list[str]
) -> tuple[list[str], list[str], list[str]]:
    """The result's indices as (lead, rows, columns) of a stack of matrices.

    Best is the wanted order itself, with a lead of all batch indices and perhaps some of one side
    (a broadcast stack); else batch, mine, yours, to be transposed afterwards.
    """
    for cut in range(len(wanted) + 1):
        lead, rest = wanted[:cut], wanted[cut:]
        if not set(batch) <= set(lead):
            continue
        sides = [name in mine for name in rest]
        turns = sum(sides[k] != sides[k - 1] for k in range(1, len(sides)))
        extra = [name in mine for name in lead if name not in batch]
        one_side = all(side == extra[0] for side in extra) if extra else True
        # A side that has lent its leading indices must have rows or columns left.
        if turns <= 1 and one_side and (not extra or (extra[0] in sides and len(set(sides)) == 2)):
            middle = next((k for k in range(1, len(sides)) if sides[k] != sides[0]), len(sides))
            if middle == len(sides) and not sides:
                continue
            return lead, rest[:middle], rest[middle:]
    return batch, mine, yours


def matmul(
    sheet: Sheet,
    a: Factor,
    b: Factor,
    lead: list[str],
    left: list[str],
    right: list[str],
    summed: list[str],
    extents: Extents,
    dtype: str,
) -> Factor:
    """a[lead, left, summed] @ b[lead, summed, right]."""
    if isinstance(a.value.step, Look) and isinstance(a.value.step.kind, Window):
        # Windows are copied anyway: let the other side keep its order.
        summed = [name for name in b.names if name in summed]
    # NumPy multiplies a stack of matrices by one matrix without any reshape.
    stack = [*lead, *left, *summed]
    stacked = not lead and len(left) > 1 and len(summed) == 1 and list(a.names) == stack
    if stacked and not _few(extents[left[-1]]):
        lead, left = left[:-1], left[-1:]
        x = a.value
    else:
        x = _grouped(sheet, a, lead, left, summed, extents)
    y = _grouped(sheet, b, lead, summed, right, extents)
    # A side without indices of its own is a vector; beside a stack it needs an axis.
    row = bool(lead) and not left
    column = bool(lead) and not right and y.shape[:-1] != ()
    if row:
        x = new_axis(sheet, x, len(x.shape) - 1)
    if column:
        y = new_axis(sheet, y, len(y.shape))
    lead_shape = tuple(extents[name] for name in lead)
    rows = () if not left and not row else (1 if row else product(sizes(left, extents)),)
    columns = () if not right and not column else (1 if column else product(sizes(right, extents)),)
    shape = (*lead_shape, *rows, *columns)
    result = sheet.add(Product(sheet.value(dtype, shape), (x, y), sheet.note, sheet.tag))
    names = (*lead, *left, *right)
    final = tuple(extents[name] for name in names)
    if row or column:
        at = len(lead_shape) if row else len(shape) - 1
        entries: list[At | Span | None] = [
            At(0) if axis == at else full(size) for axis, size in enumerate(shape)
        ]
        shape = shape[:at] + shape[at + 1 :]
        result = sheet.look(result, Index(tuple(entries)), shape)
    if shape != final:
        result = sheet.look(result, Reshape(final), final)
    return Factor(result, names)


def short(step: Product) -> bool:
    """Whether starting the product takes a good part of its time, so that it is `a.dot(b)`.

    NumPy starts `a @ b` in 0.9 us and `a.dot(b)` in 0.3, and both do the same work, by BLAS; of
    65,536 multiplications it takes some 3 us.
    """
    a, b = step.operands
    if not (isinstance(a, Value) and isinstance(b, Value)) or step.out.dtype not in FLOATING:
        return False
    if max(len(a.shape), len(b.shape)) > 2:
        return False
    work = 1
    for size in (*a.shape, *b.shape[1:]):
        if not isinstance(size, int):
            return False
        work *= size
    return work <= _SHORT


def _few(rows: Size) -> bool:
    """Whether the matrices of a stack are so small that one large product is faster: the other
    factor is then prepared once."""
    return isinstance(rows, int) and rows <= _SMALL


def _grouped(
    sheet: Sheet,
    factor: Factor,
    lead: list[str],
    first: list[str],
    second: list[str],
    extents: Extents,
) -> Value:
    """The factor with axes (lead..., first merged, second merged); leading axes it lacks are left
    out where they come first, else they have size 1."""
    value, names = factor
    own_lead = [name for name in lead if name in names]
    groups = [[name] for name in own_lead]
    groups += [group for group in (first, second) if group]
    value = _merge(sheet, value, list(names), groups, extents)
    missing = [name not in names for name in lead]
    while missing and missing[0]:
        missing.pop(0)
    if any(missing):
        entries: list[At | Span | None] = []
        shape = list(value.shape)
        result_shape: list[Size] = []
        for absent in missing:
            entries.append(None if absent else full(shape[0]))
            result_shape.append(1 if absent else shape.pop(0))
        entries.extend(full(size) for size in shape)
        value = sheet.look(value, Index(tuple(entries)), (*result_shape, *shape))
    return value


def _merge(
    sheet: Sheet, value: Value, names: list[str], groups: list[list[str]], extents: Extents
) -> Value:
    """One axis a group. Groups that lie together are merged where they lie, then moved: no copy."""
    present = _groups_in_place(names, groups)
    if present:
        shape = tuple([product(sizes(group, extents)) for group in present])
        if shape != value.shape:
            value = sheet.look(value, Reshape(shape), shape)
        axes = tuple(present.index(group) for group in groups)
        return transpose(sheet, value, axes)
    flat = [name for group in groups for name in group]
    value = transpose(sheet, value, tuple(names.index(name) for name in flat))
    merged = tuple([product(sizes(group, extents)) for group in groups])
    if merged != value.shape:
        value = sheet.look(value, Reshape(merged), merged)
    return value


def _groups_in_place(names: list[str], groups: list[list[str]]) -> list[list[str]]:
    """The groups in the order in which they lie in `names`; empty where one is scattered."""
    found: list[list[str]] = []
    position = 0
    while position < len(names):
        group = next((g for g in groups if g[0] == names[position]), None)
        if group is None or names[position : position + len(group)] != group:
            return []
        found.append(group)
        position += len(group)
    return found
