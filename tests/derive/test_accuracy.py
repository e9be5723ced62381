"""docs/accuracy.md: complete, and what it states holds at other points."""

import math
from pathlib import Path

import pytest

from graphc.derive import accuracy
from graphc.ops.elementwise import TABLE

PAGE = Path(__file__).parents[2] / "docs" / "accuracy.md"
STATED = accuracy.recorded(PAGE.read_text(encoding="utf-8"))
RESAMPLED = ["exp", "tanh", "sigmoid", "softplus", "silu", "gelu", "mish", "log_ndtr", "entr"]
RESAMPLED += ["erfinv", "sqrt", "divide", "logaddexp", "arcsinh", "xlogy"]


def test_every_op_is_on_the_page():
    assert {op for op, _ in STATED} == {op.name for op in accuracy.ops()}


def test_what_is_beyond_a_limit_has_its_reason():
    text = PAGE.read_text(encoding="utf-8")
    for (op, arg), errors in STATED.items():
        limit = 8 if arg else 4
        beyond = max(errors.values()) > limit
        assert (f"- {op} by {arg}:" if arg else f"- {op}:") in text or not beyond


@pytest.mark.parametrize("name", RESAMPLED)
def test_other_points_are_within_what_is_stated(name):
    """Fewer and other points: within the limit, or twice the worst that the page found."""
    for row in accuracy.measured(TABLE[name], count=60):
        for dtype, found in row.found.items():
            stated = STATED[row.op, row.arg][dtype]
            bound = max(row.limit, 2 * stated)
            assert found.units <= bound or math.isinf(stated), (row.op, row.arg, dtype, found)
