"""A product with windows that shares all its other indices with them: a filter for each channel.

y[n,g,i] = sum over k of x[n,g,i+k] W[g,k] has no matrices to multiply: a column for each place
would be a copy of the whole array for each k. Slices of the array times numbers are added up
instead, one k at a time; and the gradient of W is a sum of products with one slice for each k.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from codegen.expr import FUNCTIONS
from codegen.plan.axes import aligned
from codegen.plan.steps import Apply, Einsum, Offsets, Sheet, Value
from codegen.plan.windows import Extents, Factor, is_window, picked

# As many offsets as `codegen.plan.offsets` makes a loop of; and arrays that are worth one.
_MOST, _LEAST = 64, 1 << 14


def slide(
    sheet: Sheet,
    factors: Sequence[Factor],
    names: tuple[str, ...],
    extents: Extents,
    numbers: Mapping[str, int],
    dtype: str,
) -> Value | None:
    """The product of windows with another factor, with axes `names`; None where there are matrices
    to multiply, or the kernel is large, or the arrays small."""
    if len(factors) != 2 or any(factor.value.dtype != dtype for factor in factors):
        return None
    windows = [factor for factor in factors if is_window(factor.value)]
    if len(windows) != 1:
        return None
    view = windows[0]
    other = factors[1] if factors[0] is view else factors[0]
    summed = [name for name in view.names if name not in names]
    if (
        not summed
        or not {*other.names, *names} <= set(view.names)
        or not set(summed) <= set(other.names)
    ):
        return None
    offsets = [name for name in names if name not in other.names]
    if _few(summed, view.names, extents, numbers):
        common = (*names, *summed)
        shape = tuple(extents[name] for name in common)
        operands = tuple(aligned(sheet, factor, common) for factor in (view, other))
        function = FUNCTIONS["multiply"]
        terms = Apply(sheet.value(dtype, shape), operands, sheet.note, sheet.tag, function)
        # One offset after another: the product of all windows is never made (codegen.plan.offsets).
        places = tuple(extents[name] for name in names)
        adding = Offsets(
            sheet.value(dtype, places),
            (sheet.add(terms),),
            sheet.note,
            sheet.tag,
            loops=tuple((name, extents[name]) for name in summed),
            parts=(picked(common, tuple(summed), shape),),
            slabs=(sheet.value(dtype, places),),
            body=(),
            fn="sum",
            target=None,
        )
        return sheet.add(adding)
    if _few(offsets, view.names, extents, numbers):
        order = dict.fromkeys((*other.names, *view.names))
        letters = {name: chr(ord("a") + at) for at, name in enumerate(order)}
        texts = ["".join(letters[name] for name in one) for one in (view.names, other.names, names)]
        formula = f"{texts[0]},{texts[1]}->{texts[2]}"
        out = sheet.value(dtype, tuple(extents[name] for name in names))
        both = (view.value, other.value)
        return sheet.add(Einsum(out, both, sheet.note, sheet.tag, formula))
    return None


def _few(
    offsets: Sequence[str], names: Sequence[str], extents: Extents, numbers: Mapping[str, int]
) -> bool:
    """Whether there are few offsets, known, of large slices."""
    if not offsets or not all(isinstance(extents[name], int) for name in offsets):
        return False
    count = prod([numbers[name] for name in offsets])
    return count <= _MOST and prod([numbers[name] for name in names]) >= _LEAST * count
