"""Whether NumPy had better not copy what it repeats.

An elementwise function with an operand that is repeated along some axes (a bias, a mean of each
row) runs row by row. Where rows are shorter than half of NumPy's buffer, which has 8,192 elements,
NumPy gathers several of them in the buffer first, all operands: that takes as long as the function
itself, or twice as long. With a buffer of 1,024 elements it does so for rows of up to 512 alone,
for which it pays.
"""

from __future__ import annotations

from collections.abc import Mapping

from codegen.plan.blocks import Blocks
from codegen.plan.steps import LARGE, Apply, Sheet, Step, values_of
from codegen.types import Shape, Size, product, substitute

BUFFER = 1024
_LONGEST = 4096
# Fewer elements are done before the buffer is changed and changed back.
_MANY = 1 << 16


def repeats_long_rows(
    sheet: Sheet, scale: list[int], loops: Mapping[Step, object], sizes: Mapping[str, Size]
) -> bool:
    """Whether most of what elementwise functions repeat is repeated along such rows."""
    cut = {
        step.out: loop.of_a_block(step.out)
        for loop in loops.values()
        if isinstance(loop, Blocks)
        for step in loop.steps
        if step.out in loop.axes
    }
    long = short = 0
    for step in sheet.steps:
        large = scale[step.out.index] == LARGE
        if not large or not isinstance(step, Apply) or not step.function.ufunc:
            continue
        shape = step.out.shape
        count = substitute(product(shape), sizes)
        row = substitute(_row(step, cut.get(step.out, shape)), sizes)
        if not isinstance(count, int) or not isinstance(row, int) or row == count:
            continue
        if BUFFER // 2 < row <= _LONGEST:
            long += count
        else:
            short += count
    return long >= _MANY and long >= short


def _row(step: Apply, shape: Shape) -> Size:
    """The elements along the last axes, along which each operand is repeated, or none is."""
    rank = len(shape)
    whole = [
        (False,) * (rank - len(value.shape)) + tuple(size != 1 for size in value.shape)
        for value in values_of(step)
        if value.shape
    ]
    start = rank
    while start and all(axes[start - 1] == axes[-1] for axes in whole):
        start -= 1
    return product(shape[start:])
