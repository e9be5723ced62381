"""A convolution, image by image: windows copied into one buffer of columns, then a matrix product.

The columns of a whole batch are many times its size: they would leave every cache, and for the
gradient of the weights NumPy would lay them out once more, by single elements. The columns of one
image stay in the cache, in the order in which they lie; memory is bounded whatever the batch. The
same holds of the products that are added up at windows.
"""

from __future__ import annotations

from collections.abc import Mapping

from codegen.plan.axes import sizes, transpose
from codegen.plan.steps import Index, Push, Sheet, Sweep, Value
from codegen.plan.windows import Extents, Factor, Target, is_window, picked, placed
from codegen.program import Affine, Reshape
from codegen.types import Shape, product

# Below so many elements in the columns of an image, one product for all images is faster; and where
# columns are added up, slice by slice, below more.
_LEAST, _LEAST_ADDED = 1 << 12, 1 << 14


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
    windows = [factor for factor in factors if is_window(factor.value)]
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


def push(
    sheet: Sheet,
    factors: list[Factor],
    indices: tuple[Affine, ...],
    shape: Shape,
    extents: Extents,
    numbers: Mapping[str, int],
    to: Target,
    dtype: str,
) -> Value | None:
    """The product of two factors added at affine indices, where one factor has the images first and
    the other has none; else None."""
    if len(factors) != 2 or len(to.names) < 3 or any(f.value.dtype != dtype for f in factors):
        return None
    image = to.names[0]
    if indices[0].index != image or shape[0] != extents[image]:
        return None
    with_images = [factor for factor in factors if factor.names[:1] == (image,)]
    if len(with_images) != 1:
        return None
    view = with_images[0]
    other = factors[1] if factors[0] is view else factors[0]
    shared = [name for name in other.names if name in view.names]
    lead = [name for name in shared if name in to.names]
    summed = [name for name in shared if name not in to.names]
    left = [name for name in to.names[1:] if name in other.names and name not in lead]
    right = [name for name in to.names[1:] if name in view.names and name not in lead]
    if not left or not right or not summed or image in other.names or not to.loops:
        return None
    fits = to.names == (image, *lead, *left, *right)
    fits = fits and set(view.names) == {image, *lead, *summed, *right}
    fits = fits and set(other.names) == {*lead, *left, *summed} and set(to.loops) <= set(left)
    count = 1
    for name in to.names[1:]:
        count *= numbers[name]
    if not fits or count < _LEAST_ADDED:
        return None
    groups = sizes(lead, extents)
    height, depth, width = (product(sizes(group, extents)) for group in (left, summed, right))
    wanted = [*lead, *summed, *left]
    matrix = transpose(sheet, other.value, tuple(other.names.index(name) for name in wanted))
    matrix = _reshaped(sheet, matrix, (*groups, depth, height))
    rank = len(groups)
    matrix = transpose(sheet, matrix, (*range(rank), rank + 1, rank))
    wanted = [image, *lead, *summed, *right]
    operand = transpose(sheet, view.value, tuple(view.names.index(name) for name in wanted))
    operand = _reshaped(sheet, operand, (extents[image], *groups, depth, width))
    entries, region, padded = placed(indices, shape, extents, to)
    columns = sizes(to.names[1:], extents)
    step = Push(
        sheet.value(dtype, padded),
        (matrix, operand),
        sheet.note,
        sheet.tag,
        columns=columns,
        flat=(*groups, height, width),
        loops=tuple((name, extents[name]) for name in to.loops),
        part=picked(to.names[1:], to.loops, columns),
        target=entries[1:],
    )
    result = sheet.add(step)
    return result if padded == shape else sheet.look(result, Index(region), shape)


def _reshaped(sheet: Sheet, value: Value, shape: Shape) -> Value:
    return value if value.shape == shape else sheet.look(value, Reshape(shape), shape)
