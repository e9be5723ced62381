"""Which functions of single numbers are `math`'s, in functions of arrays.

NumPy's function of one number takes ten times as long. `math` gives a Python float, which NumPy
takes for weak, and by which a division raises: so only where neither can show.
"""

from __future__ import annotations

from codegen.plan.steps import Apply, Sheet, Step, Value
from codegen.plan.uses import Uses

# With a NumPy number as the other operand these give one again.
_KEEPS = frozenset({"add", "subtract", "multiply"})


def use_math(sheet: Sheet, uses: Uses) -> None:
    """Marks the values that may be Python floats from then on."""
    for step in sheet.steps:
        out = step.out
        if not isinstance(step, Apply) or not step.function.domain or out.shape:
            continue
        (operand,) = step.operands
        if out.dtype != "f64" or not isinstance(operand, Value) or operand.dtype != "f64":
            continue
        out.py = all(_hides(reader, out) for reader in uses.readers[out.index])


def _hides(reader: Step, number: Value) -> bool:
    """Whether the reader's result is the same for a Python float."""
    if not isinstance(reader, Apply) or reader.out.dtype != "f64":
        return False
    others = [operand for operand in reader.operands if operand is not number]
    if not all(isinstance(other, Value) and other.dtype == "f64" for other in others):
        return False
    arrays = bool(reader.out.shape) or reader.function.name in _KEEPS
    return arrays and any(isinstance(other, Value) and not other.py for other in others)
