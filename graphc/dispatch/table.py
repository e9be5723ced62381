"""Which of NumPy's functions are traced: `python -m graphc.dispatch.table` writes docs/numpy.md.

The table is read off the functions themselves: a function is traced if it has a handler, a ufunc if
a call of it makes a node. With `--check` nothing is written, and a stale page is exit code 1. What
the tests count (`python -m tests.coverage.report`) stands at the end of the page, and stays there.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

PAGE = Path("docs/numpy.md")
COUNTS = "## Counts"
_NAMESPACES = {"np": np, "np.linalg": np.linalg}

_HEADER = """\
# NumPy in a trace

Written by `python -m graphc.dispatch.table`; a test holds it to what the code does.

A traced function means what NumPy means by it, with NumPy's signature: axes (negative ones and
tuples), `keepdims`, `ddof`, `dtype`, `initial` and `where` on folds. `out=` is refused everywhere,
for values do not change. A shape cannot depend on values, so what selects by a condition takes a
constant one. Where NumPy has a choice the graph does not have:

- `sort`, `argsort` and `partition` are stable, whatever `kind` says; a partition is a whole sort;
- `max`, `min`, `maximum.accumulate` and their kin share a cotangent evenly among equals, which is
  the element of least norm; the derivative of a sort, a median or a quantile goes to the elements
  found, ties in their order: it is that of `x[np.argsort(x)]`, one permutation among those that
  sort, as in every other library, and needs no second pass over the ties;
- `allclose`, `array_equal` and their kin give a bool value, not Python's `True` or `False`;
- nan-functions give NaN for a slice without numbers, without NumPy's warning.
"""


@dataclass(frozen=True)
class Row:
    """A public function: is it traced, refused with an error, or one that never meets a value?"""

    name: str
    kind: Literal["traced", "refused", "apart"]
    error: str = ""


def rows() -> list[Row]:
    """Every public function of NumPy and numpy.linalg, in the order of their names."""
    found = []
    for prefix, namespace in _NAMESPACES.items():
        for name in sorted(namespace.__all__):
            function = getattr(namespace, name)
            if callable(function) and not isinstance(function, type):
                found.append(_row(f"{prefix}.{name}", function))
    return found


def _row(name: str, function: Any) -> Row:
    from graphc.dispatch.registry import FUNCTIONS

    if isinstance(function, np.ufunc):
        error = _ufunc_error(function)
        return Row(name, "refused" if error else "traced", error)
    if function in FUNCTIONS:
        error = _error(function)
        return Row(name, "refused" if "is not traced" in error else "traced", error)
    if not hasattr(function, "_implementation"):
        return Row(name, "apart")
    return Row(name, "refused", _error(function))


def _ufunc_error(function: np.ufunc) -> str:
    """The error of a call on values; "" where values of some dtype make a node."""
    from graphc.errors import GraphError

    error = ""
    for dtype in ("f64", "i64", "bool"):
        for shape in ("[3]", "[3, 3]"):
            try:
                function(*_values(dtype + shape, function.nin))
            except GraphError as raised:
                error = error or str(raised)
            else:
                return ""
    return error


def _error(function: Any) -> str:
    """The error of a call on a value, without regard for the function's other arguments."""
    from graphc import dispatch
    from graphc.errors import GraphError

    try:
        dispatch.call(function, tuple(_values("f64[3, 3]", 1)), {})
    except (GraphError, TypeError) as error:
        return str(error)
    return ""


def _values(type: str, count: int) -> Iterator[Any]:
    from graphc.builder import Builder

    builder = Builder("probe")
    for k in range(count):
        yield builder.input(f"x{k}", type)


def page() -> str:
    """The page, as Markdown."""
    found = rows()
    traced = [row for row in found if row.kind == "traced"]
    refused = [row for row in found if row.kind == "refused"]
    apart = [row for row in found if row.kind == "apart"]
    parts = [_HEADER]
    parts.append(f"## Traced: {len(traced)}\n\n{_listed(traced)}\n")
    parts.append(
        f"## Refused: {len(refused)}\n\nEach raises a `GraphTypeError` where it is called.\n"
    )
    lines = [f"- `{row.name}`{_fix(row)}" for row in refused]
    parts.append("\n".join(lines) + "\n")
    parts.append(
        f"## Apart: {len(apart)}\n\nThese make arrays of numbers, convert, print or set options. "
        "What they return is\na constant in a trace; to convert a value with them is an error.\n\n"
        f"{_listed(apart)}\n"
    )
    return "\n".join(parts)


def _fix(row: Row) -> str:
    _, _, fix = row.error.partition("; ")
    return f": {fix}" if fix and "compose it of" not in fix else ""


def _listed(found: list[Row]) -> str:
    return textwrap.fill(", ".join(f"`{row.name}`" for row in found), 100, break_on_hyphens=False)


def main(arguments: list[str]) -> int:
    """Write the page, or compare it (`--check`); returns the exit code."""
    written = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    _, mark, counts = written.partition(COUNTS)
    text = f"{page()}\n{mark}{counts}" if mark else page()
    if "--check" in arguments:
        current = written == text
        if not current:
            print(f"{PAGE} is stale; run python -m graphc.dispatch.table", file=sys.stderr)
        return 0 if current else 1
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
