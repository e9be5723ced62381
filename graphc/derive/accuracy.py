"""`make accuracy`: how far every op's value and partials are from the truth, as docs/accuracy.md.

The forms that are emitted are run by NumPy and SciPy over the whole floating range and compared
with mpmath at many digits, in f64 and in f32; beside them stands the gradient of HIPS autograd at
the same points, where it is installed and knows the function.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from graphc.derive import score
from graphc.derive.data import free_args, output_name
from graphc.derive.lookup import derivation
from graphc.derive.samples import FLOATS
from graphc.derive.score import Points
from graphc.derive.search import PARTIAL_LIMIT, VALUE_LIMIT, Effort, Outputs, points_for
from graphc.formula import parse
from graphc.ops.elementwise import TABLE
from graphc.ops.kinds import Elementwise

PAGE = "docs/accuracy.md"
COUNT = 300

# Why a form is beyond its limit; what is not named here is within it.
REASONS: Mapping[str, str] = {
    "power": "near the ends of the range b a**(b - 1) passes through numbers that are not normal",
    "hypot": "near the ends of the range a / hypot(a, b) divides numbers that are not normal",
    "arctan2": "near the ends of the range a**2 + b**2 is made of numbers that are not normal",
    "erfcx": "2 x erfcx(x) - 2 / sqrt(pi) cancels: some x**2 units, up to x = 16",
    "hard_sigmoid": "beside its kinks x + 3 rounds to 0 or to 6",
    "gelu_tanh": "its literals, rounded to f32, meet x**3",
    "betaln": "digamma(a) - digamma(a + b) cancels where b is small beside a",
    "i0e": "i1e(x) - i0e(x) cancels: x units for large x",
    "i1e": "i0e(x) - i1e(x) cancels: x units for large x",
}


@dataclass(frozen=True, slots=True)
class Worst:
    """The largest error found, in units and in ulps of the result, and the point of the former."""

    units: float
    ulps: float
    at: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One function: an op's value (arg is "") or its partial by an argument.

    found: the largest errors by dtype. autograd: that of HIPS autograd's gradient in f64, in units.
    """

    op: str
    arg: str
    form: str
    found: Mapping[str, Worst]
    autograd: float | None = None

    @property
    def limit(self) -> float:
        return PARTIAL_LIMIT if self.arg else VALUE_LIMIT


def measured(op: Elementwise, count: int = COUNT) -> Iterator[Row]:
    """The rows of one op of the table: its value, then its partials."""
    known = derivation(op)
    definition = parse(op.definition or op.formula, op.args)
    own = parse(known.form, op.args)
    free = free_args(op)
    outputs = Outputs((), (output_name(op), definition), own)
    effort = Effort(count, math.inf)
    at = {dtype: points_for(definition, free, (), dtype, effort, ()) for dtype in FLOATS}
    found = {dtype: _worst(score.run(own, at[dtype].operands), at[dtype]) for dtype in FLOATS}
    yield Row(op.name, "", known.form, found)
    for k, (arg, partial) in enumerate(zip(op.args, known.partials, strict=True)):
        if partial is None or arg not in free:
            continue
        exact = parse(partial.definition, op.args)
        form = parse(partial.formula, partial.args)
        at = {dtype: points_for(exact, free, outputs, dtype, effort, ()) for dtype in FLOATS}
        found = {dtype: _worst(score.run(form, at[dtype].operands), at[dtype]) for dtype in FLOATS}
        yield Row(op.name, arg, partial.formula, found, _autograd(op, k, at["f64"]))


def _worst(got: Any, at: Points) -> Worst:
    return Worst(*score.worst(got, at))


def ops() -> list[Elementwise]:
    """What is measured: every differentiable op that computes (a choice only passes on)."""
    passing = {"where", "absorb", "f64", "f32"}
    return [op for op in TABLE.values() if op.differentiable and op.name not in passing]


# -- HIPS autograd ---------------------------------------------------------------------------------


def _autograd(op: Elementwise, k: int, at: Points) -> float | None:
    """The error of autograd's gradient by operand k, in units; None where it has none."""
    function = their_function(op.name)
    if function is None or len(at.free) != len(op.args):
        return None
    elementwise_grad = import_module("autograd").elementwise_grad
    columns = [np.array(at.operands[name]) for name in op.args]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            got = elementwise_grad(function, k)(*columns)
        except NotImplementedError:
            return None
    return _worst(np.asarray(got), at).units


def their_function(name: str) -> Callable[..., Any] | None:
    """HIPS autograd's function of an op's name; None where it has none, or is not installed."""
    try:
        modules = [import_module(f"autograd.{home}") for home in ("scipy.special", "numpy")]
    except ImportError:
        return None
    theirs = {"sigmoid": "expit", "digamma": "psi"}.get(name, name)
    for module in modules:
        found = getattr(module, theirs, None)
        if found is not None:
            function: Callable[..., Any] = found
            return function
    return None


# -- the page --------------------------------------------------------------------------------------

_HEAD = """\
# Accuracy

Generated by `make accuracy`. Every op of the table is measured against mpmath at hundreds of
digits: the form that is emitted, run by NumPy {numpy} (SciPy {scipy}), at points over the whole
floating range, the delicate places among them.

- **units**: the largest k with |error| = k (ulp(f) + sum of ulp(x) |df/dx|), so that a point where
  the function itself magnifies the rounding of its operands is not blamed on the form.
- **ulp**: the largest |error| / ulp(f), which does blame it.
  Both are 0 where every result is the nearest number.
- **at**: where the error in f64 units is largest.
- **autograd**: the same gradient by HIPS autograd {autograd} in f64, in units; `-` where it has
  none.

The limits are {value:g} units for values and {partial:g} for partials. `inf` says that some point
is off by more than a million units; what is beyond a limit is listed with its reason at the end.

| op | of | f64 units | f64 ulp | at | f32 units | f32 ulp | autograd |
|---|---|---|---|---|---|---|---|
"""


def page(rows: Sequence[Row]) -> str:
    """The text of docs/accuracy.md."""
    from importlib.metadata import version

    head = _HEAD.format(
        numpy=version("numpy"), scipy=version("scipy"), autograd=version("autograd"),
        value=VALUE_LIMIT, partial=PARTIAL_LIMIT,
    )  # fmt: skip
    beyond = [row for row in rows if max(w.units for w in row.found.values()) > row.limit]
    notes = [f"- {_name(row)}: {_reason(row)}" for row in beyond]
    within = len(rows) - len(beyond)
    total = f"\n{within} of {len(rows)} values and partials are within their limits.\n"
    listed = "\n## Beyond a limit\n\n" + "\n".join(notes) + "\n" if notes else ""
    return head + "\n".join(map(_line, rows)) + "\n" + total + listed


_LIBRARY = "NumPy's or SciPy's own function is the bound"


def _reason(row: Row) -> str:
    return REASONS.get(row.op, _LIBRARY) if row.arg else _LIBRARY


def _name(row: Row) -> str:
    return f"{row.op} by {row.arg}" if row.arg else row.op


def _line(row: Row) -> str:
    double, single = row.found["f64"], row.found["f32"]
    at = ", ".join(f"{x:.6g}" for x in double.at) or "-"
    theirs = "-" if row.autograd is None else _digits(row.autograd)
    cells = [row.op, f"d/d{row.arg}" if row.arg else "value", _digits(double.units)]
    cells += [_digits(double.ulps), at, _digits(single.units), _digits(single.ulps), theirs]
    return f"| {' | '.join(cells)} |"


def _digits(x: float) -> str:
    return "inf" if x == math.inf else f"{x:.2g}" if x < 1000 else f"{x:.1e}"


def recorded(text: str) -> dict[tuple[str, str], dict[str, float]]:
    """The errors in units that a page states: {(op, arg): {dtype: units}}."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 8 and (cells[1] == "value" or cells[1].startswith("d/d")):
            key = (cells[0], cells[1].removeprefix("d/d").replace("value", ""))
            found[key] = {"f64": float(cells[2]), "f32": float(cells[5])}
    return found


def main() -> None:
    """Measure everything, and write the page."""
    rows: list[Row] = []
    for op in ops():
        print(op.name, flush=True)
        rows.extend(measured(op))
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(page(rows))


if __name__ == "__main__":
    main()
