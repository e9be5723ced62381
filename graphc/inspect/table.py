"""Numbers and tables for people: what `graphc run` and `check_grads` print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_WIDEST = 44  # characters of a formula in a table


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Columns under a header; `right` says which are aligned to the right."""
    cells = [[_cut(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(header))]
    lines = [
        "  ".join(_pad(*cell) for cell in zip(row, widths, right, strict=True)) for row in cells
    ]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join(line.rstrip() for line in (lines[0], rule, *lines[1:]))


def _pad(cell: str, width: int, right: bool) -> str:
    return cell.rjust(width) if right else cell.ljust(width)


def _cut(cell: str) -> str:
    return cell if len(cell) <= _WIDEST else f"{cell[: _WIDEST - 3]}..."


def value_text(value: Any) -> str:
    """A number in seven digits; a short vector whole; of a larger array its shape and range."""
    array = np.asarray(value)
    if array.dtype.kind == "O":
        return type(value).__name__
    if array.ndim == 0:
        return number_text(array[()])
    if array.ndim == 1 and array.size <= 4:
        return f"[{', '.join(map(number_text, array))}]"
    shape = "x".join(map(str, array.shape))
    if array.size == 0:
        return f"{shape}, empty"
    if array.dtype.kind == "b":
        return f"{shape}, {np.count_nonzero(array)} true"
    return f"{shape} in [{number_text(array.min())}, {number_text(array.max())}]"


def number_text(number: Any) -> str:
    """A number in seven significant digits."""
    if isinstance(number, bool | np.bool_):
        return str(bool(number))
    if isinstance(number, int | np.integer):
        return str(int(number))
    return f"{float(number):.7g}"
