"""A convolution, image by image: windows copied into one buffer of columns, then a matrix product.

The columns of a whole batch are many times its size: they would leave every cache, and for the
gradient of the weights NumPy would lay them out once more, by single elements. The columns of one
image stay in the cache, in the order in which they lie; memory is bounded whatever the batch.
"""

from __future__ import annotations

from collections.abc import Mapping

from codegen.plan.axes import sizes, transpose
from codegen.plan.steps import Look, Sheet, Sweep, Value, Window
from codegen.plan.windows import Extents, Factor
from codegen.program import Reshape
from codegen.types import Shape, product

# Below so many elements in the columns of an image, one product for all images is faster.
_LEAST = 1 << 14


def sweep(
    sheet: Sheet,
    factors: list[Factor],
    names: tuple[str, ...],
    extents: Extents,
    numbers: Mapping[str, int],
    dtype: str,
) -> Value | None:
    """The product of two factors with axes `names`, where it is a convolution or the gradient of
    its weights; else None."""
    windows = [factor for factor in factors if _is_window(factor.value)]
    if len(factors) != 2 or len(windows) != 1 or any(f.value.dtype != dtype for f in factors):
        return None
    view = windows[0]
    other = factors[1] if factors[0] is view else factors[0]
    image, *inside = view.names
    summing = image not in names
    own = [name for name in other.names if name != image]
    lead = [name for name in own if name in inside and name in names]
    left = [name for name in own if name not in inside]
    summed = [name for name in own if name in inside and name not in names]
    right = [name for name in inside if name in names and name not in lead]
    if not left or not right or not summed or set(inside) != {*lead, *summed, *right}:
        return None
    if summing is not (image in other.names) or not set(left) <= set(names):
        return None
    groups = sizes(lead, extents)
    height, depth, width = (product(sizes(group, extents)) for group in (left, summed, right))
    if summing:
        rows = [*lead, *right, *summed]
        matrix = (extents[image], *groups, height, depth)
        made: Shape = (*groups, width, height)
        one = made
        order = [*lead, *right, *left]
    else:
        rows = [*lead, *summed, *right]
        matrix = (*groups, height, depth)
        one = (*groups, height, width)
        made = (extents[image], *groups, *sizes([*left, *right], extents))
        order = [image, *lead, *left, *right]
        count = 1
        for name in rows:
            count *= numbers[name]
        if count < _LEAST:
            return None
    wanted = [image, *lead, *left, *summed] if summing else [*lead, *left, *summed]
    operand = transpose(sheet, other.value, tuple(other.names.index(name) for name in wanted))
    operand = _reshaped(sheet, operand, matrix)
    flat = (*groups, width, depth) if summing else (*groups, depth, width)
    step = Sweep(
        sheet.value(dtype, made),
        (view.value, operand),
        sheet.note,
        sheet.tag,
        axes=tuple(inside.index(name) for name in rows),
        columns=sizes(rows, extents),
        flat=flat,
        product=one,
        summing=summing,
    )
    result = sheet.add(step)
    if summing:
        # As a matrix it is turned at once, not axis by axis.
        shape = (*groups, height, width)
        axes = (*range(len(groups)), len(groups) + 1, len(groups))
        result, order = transpose(sheet, result, axes), [*lead, *left, *right]
        assert result.shape == shape
    result = _reshaped(sheet, result, sizes(order, extents))
    return transpose(sheet, result, tuple(order.index(name) for name in names))


def _reshaped(sheet: Sheet, value: Value, shape: Shape) -> Value:
    return value if value.shape == shape else sheet.look(value, Reshape(shape), shape)


def _is_window(value: Value) -> bool:
    return isinstance(value.step, Look) and isinstance(value.step.kind, Window)
