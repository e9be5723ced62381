"""`python -m tests.coverage.report`: the counts at the end of docs/numpy.md.

How many ops there are, how many have their derivative from SymPy, what the tests call, and what of
it is supported, refused, and wrong: an outcome that is neither NumPy's nor an error.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter

import numpy as np

import graphc
from graphc.dispatch import table
from graphc.ops.elementwise import TABLE as ELEMENTWISE
from graphc.ops.linalg import LINALG
from graphc.ops.reductions import REDUCTIONS
from graphc.types import DTYPES
from tests.coverage.cases import TABLE as CASES
from tests.coverage.test_dtypes import OURS, PAIRS, ufuncs

MOVES = (
    *("reshape", "transpose", "broadcast_to", "slice", "diagonal", "pad", "place", "concatenate"),
    *("gather", "scatter"),
)
STRUCTURAL = """\
What states its adjoint by hand: extremes share a cotangent among equals; products and running
products multiply what is beside an element, so that zeros are exact; running sums run backwards;
layouts, gathers and scatters move cotangents to where the elements came from. No formula says where
an element is.
"""


def section() -> str:
    """The counts, as Markdown."""
    differentiable = [op for op in ELEMENTWISE.values() if op.differentiable]
    folds = [op for op in REDUCTIONS.values() if op.differentiable]
    calls = sum(len(rows) for rows in CASES.values())
    outcomes = Counter(outcome for _, outcome in promotions())
    rows = [
        ("elementwise ops", len(ELEMENTWISE), len(differentiable), "SymPy, from the formula"),
        ("contractions", "any formula", "all", "SymPy, from the index formula's body"),
        ("matrix functions", len(LINALG), len(LINALG), "their defining equations' differential"),
        ("folds and running folds", len(REDUCTIONS), len(folds), "stated by hand"),
        ("layouts, gather, scatter", len(MOVES), len(MOVES), "stated by hand"),
    ]
    lines = [
        table.COUNTS,
        "",
        "| Ops | in the table | differentiable | derivative |",
        "|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    lines += ["", STRUCTURAL]
    lines += [
        "| Tested beside NumPy | calls | supported | refused with an error | wrong |",
        "|---|---|---|---|---|",
        f"| {len(CASES)} functions with their options, in f64, f32 and any layout in memory "
        f"| {calls} | {calls} | 0 | 0 |",
        f"| {len(ufuncs(1)) + len(ufuncs(2)) + len(PAIRS)} ufuncs and functions on every dtype, "
        f"and pair of dtypes | {sum(outcomes.values())} | {outcomes['supported']} "
        f"| {outcomes['refused']} | {outcomes['wrong']} |",
    ]
    return "\n".join(lines) + "\n"


def promotions():
    """(what, outcome) for every ufunc and function of two arrays on all dtypes."""
    for ufunc in ufuncs(1):
        for dtype in DTYPES:
            yield from outcome(ufunc.__name__, lambda x, f=ufunc: f(x), ones(dtype))
    pairs = {f.__name__: lambda x, y, f=f: f(x, y) for f in ufuncs(2)} | PAIRS
    for name, function in pairs.items():
        for one, other in itertools.product(DTYPES, DTYPES):
            yield from outcome(name, function, ones(one), ones(other))


def ones(dtype):
    return np.ones((3, 3), DTYPES[dtype])


def outcome(name, function, *arrays):
    """Whether a call's type is NumPy's; nothing where NumPy has no value, or none of our dtypes."""
    try:
        with np.errstate(all="ignore"):
            wanted = np.asarray(function(*arrays))
    except (TypeError, ValueError):
        return
    if wanted.dtype not in OURS:
        return
    try:
        (result,) = dict(graphc.trace(function, *arrays).outputs).values()
    except graphc.GraphError:
        yield name, "refused"
        return
    same = DTYPES[result.type.dtype] == wanted.dtype and result.type.shape == wanted.shape
    yield name, "supported" if same else "wrong"


def main(arguments: list[str]) -> int:
    """Write the page with its counts, or compare it (`--check`); returns the exit code."""
    text = f"{table.page()}\n{section()}"
    if "--check" in arguments:
        return int(not table.PAGE.exists() or table.PAGE.read_text(encoding="utf-8") != text)
    table.PAGE.write_text(text, encoding="utf-8")
    print(section())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
