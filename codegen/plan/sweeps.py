"""A convolution, image by image: windows copied into one buffer of columns, then a matrix product.

The columns of a whole batch are many times its size: they would leave every cache, and for the
gradient of the weights NumPy would lay them out once more, by single elements. The columns of one
image stay in the cache, in the order in which they lie; memory is bounded whatever the batch.
"""

from __future__ import annotations

from collections.abc import Mapping

from codegen.plan.axes import sizes
from codegen.plan.steps import Look, Sheet, Sweep, Value, Window
from codegen.plan.windows import Extents, Factor
from codegen.types import product

# Below so many elements in the columns of an image, one stack of products for all is faster.
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
    if summing:
        fits = list(other.names) == [image, *lead, *left, *summed]
        fits = fits and list(names) == [*lead, *left, *right]
        rows = [*lead, *right, *summed]
    else:
        fits = list(other.names) == [*lead, *left, *summed]
        fits = fits and list(names) == [image, *lead, *left, *right]
        rows = [*lead, *summed, *right]
        count = 1
        for name in rows:
            count *= numbers[name]
        fits = fits and count >= _LEAST
    if not fits:
        return None
    groups = sizes(lead, extents)
    height, depth, width = (product(sizes(group, extents)) for group in (left, summed, right))
    step = Sweep(
        sheet.value(dtype, tuple(extents[name] for name in names)),
        (view.value, other.value),
        sheet.note,
        sheet.tag,
        axes=tuple(inside.index(name) for name in rows),
        columns=sizes(rows, extents),
        flat=(*groups, width, depth) if summing else (*groups, depth, width),
        other=(*groups, height, depth),
        product=(*groups, height, width),
        summing=summing,
    )
    return sheet.add(step)


def _is_window(value: Value) -> bool:
    return isinstance(value.step, Look) and isinstance(value.step.kind, Window)
