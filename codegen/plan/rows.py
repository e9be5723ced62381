"""A convolution of small maps, several images a product: rows of windows, channels last.

Windows are copied run by run. In an image of 8x8 places a run along an axis of space has 8
elements; with the channels last, as many as a row of the kernel times the channels. What one place
reads is a row: those of several images are one matrix, as long as BLAS likes it, which stays in the
cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

from codegen.plan.axes import sizes, transpose
from codegen.plan.steps import Invoke, Rows, Sheet, Value
from codegen.plan.windows import Extents, reaches_out, read
from codegen.program import Affine, Reshape
from codegen.types import Shape, product

# Maps of more places have runs that are long enough, and products of many columns an image.
_PLACES = 400
# The elements in the rows of one product: a quarter of a megabyte in single precision.
_BLOCK = 1 << 16


class Reading(NamedTuple):
    """What the windows' operand reads: images, places, the kernel, and the axis of channels."""

    image: str
    places: tuple[str, ...]
    kernel: tuple[str, ...]
    channels: str
    axis: int


def row_products(
    sheet: Sheet,
    args: Sequence[Value],
    out_index: tuple[Affine, ...],
    arg_index: Sequence[tuple[Affine, ...]],
    extents: Extents,
    numbers: Mapping[str, int],
    dtype: str,
) -> Value | None:
    """A convolution, or the gradient of its weights, in rows; None where it is neither, or where
    rows are not worth it. The indices of the result are bare."""
    if len(args) != 2 or any(value.dtype != dtype for value in args):
        return None
    windows = [k for k in (0, 1) if any(index.index is None for index in arg_index[k])]
    if len(windows) != 1:
        return None
    at = windows[0]
    names = tuple(str(index.index) for index in out_index)
    own = tuple(str(index.index) for index in arg_index[1 - at])
    reading = _reading(arg_index[at], names, own)
    if reading is None:
        return None
    image, places, kernel, channels, axis = reading
    summing = image not in names
    left = tuple(name for name in (own if summing else names) if name not in (image, *places))
    expected = {image, *places, *left} if summing else {*left, *kernel, channels}
    if set(own) != expected or len(own) != len(expected) or not left or channels in left:
        return None
    if set(names) != ({*left, *kernel, channels} if summing else {image, *places, *left}):
        return None
    row = prod([numbers[name] for name in (*kernel, channels)])
    count = prod([numbers[name] for name in places])
    if not _worth(reading, left, numbers, row, count):
        return None

    # The channels last, in the array itself: padding copies it in any case.
    source = args[at]
    order = (*(k for k in range(len(source.shape)) if k != axis), axis)
    padded = reaches_out(source, arg_index[at], extents)
    indices = tuple(arg_index[at][k] for k in order)
    inner = (*kernel, channels)
    rows = (image, *places, *inner)
    view = read(sheet, _last(sheet, source, order, padded), indices, extents, rows)
    across = (image, *places, *left) if summing else (*inner, *left)
    other = transpose(sheet, args[1 - at], tuple(own.index(name) for name in across))
    width, columns = product(sizes(inner, extents)), product(sizes(left, extents))
    axes: tuple[int, ...] = ()
    if summing:
        shape: Shape = (width, columns)
    else:
        other = sheet.look(other, Reshape((width, columns)), (width, columns))
        shape = sizes(names, extents)
        axes = tuple(names.index(name) for name in (image, *places, *left))
    step = Rows(
        sheet.value(dtype, shape),
        (view.value, other),
        sheet.note,
        sheet.tag,
        block=_block(count * row),
        width=width,
        axes=axes,
        summing=summing,
    )
    result = sheet.add(step)
    if not summing:
        return result
    grid = (*inner, *left)
    result = sheet.look(result, Reshape(sizes(grid, extents)), sizes(grid, extents))
    return _copied(sheet, transpose(sheet, result, tuple(grid.index(name) for name in names)))


def _block(elements: int) -> int:
    """How many images of so many elements a product takes: a power of two."""
    return 1 << max(0, (_BLOCK // elements).bit_length() - 1)


def _reading(
    indices: tuple[Affine, ...], names: tuple[str, ...], own: tuple[str, ...]
) -> Reading | None:
    """How windows are read: bare images first, bare channels, and a place and a position in the
    kernel for each axis of space."""
    if indices[0].index is None:
        return None
    image = indices[0].index
    bare = [axis for axis, index in enumerate(indices) if axis and index.index is not None]
    moved = [index for index in indices if index.index is None]
    if len(bare) != 1 or any(len(index.terms) != 2 for index in moved):
        return None
    channels = str(indices[bare[0]].index)
    shown = names if image in names else own
    places, kernel = [], []
    for index in moved:
        one = [name for name, _ in index.terms if name in shown]
        rest = [name for name, _ in index.terms if name not in shown]
        if len(one) != 1:
            return None
        places += one
        kernel += rest
    every = (image, channels, *places, *kernel)
    if len(set(every)) != len(every):
        return None
    return Reading(image, tuple(places), tuple(kernel), channels, bare[0])


def _worth(
    reading: Reading, left: tuple[str, ...], numbers: Mapping[str, int], row: int, count: int
) -> bool:
    """Whether maps are small, runs longer than along space, and places many: the other factor is
    laid out anew, too."""
    images = numbers[reading.image]
    run = numbers[reading.channels] * numbers[reading.kernel[-1]]
    few = prod([numbers[name] for name in left])
    return (
        count <= _PLACES
        and run >= 2 * numbers[reading.places[-1]]
        and images * count * row > _BLOCK
        and images * count >= 8 * few
    )


def _last(sheet: Sheet, value: Value, order: tuple[int, ...], padded: bool) -> Value:
    """The value with its axes in this order, and its elements too where no padding copies it; the
    same value each time."""
    key = ("last", value, order)
    known = sheet.seen.get(key)
    if known is None:
        known = transpose(sheet, value, order)
        known = sheet.seen[key] = known if padded else _copied(sheet, known)
    assert isinstance(known, Value)
    return known


def _copied(sheet: Sheet, value: Value) -> Value:
    """The elements in the order of the axes."""
    out = sheet.value(value.dtype, value.shape)
    made = Invoke(out, (value,), sheet.note, sheet.tag, "np.copy", (("order", "C"),), (out,))
    return sheet.add(made)
