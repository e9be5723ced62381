"""What a short call costs: NumPy's, each some hundred nanoseconds, against Python's floats.

Nanoseconds, measured for arrays of two to sixteen elements; only their proportions matter.
"""

from __future__ import annotations

from codegen.plan.steps import (
    Apply,
    Assemble,
    Einsum,
    Fold,
    Invoke,
    Look,
    Product,
    Sheet,
    Step,
    Take,
)

_CALLS: dict[type[Step], int] = {
    Look: 85,
    Fold: 970,
    Product: 400,
    Einsum: 1700,
    Invoke: 600,
    Take: 300,
}
_UFUNC, _CHOICE, _OTHER, _FILL, _REGION = 370, 1550, 1500, 120, 250
_OPERATOR, _FUNCTION = 15, 40
# From an array to numbers and back, and for each of them.
_UNPACK, _PACK, _EACH = 60, 200, 20
# The text of the elements is longer: it must be worth it.
_GAIN = 1.5


def numbers_pay(arrays: Sheet, numbers: Sheet, unpacked: list[int], packed: list[int]) -> bool:
    """Whether steps on numbers cost clearly less than the same on arrays.

    unpacked, packed: the numbers of elements of each array that becomes numbers, and is made of
    them.
    """
    by_numpy = sum(map(_call, arrays.steps))
    moved = sum(_UNPACK + _EACH * n for n in unpacked) + sum(_PACK + _EACH * n for n in packed)
    return _GAIN * (moved + sum(map(_number, numbers.steps))) < by_numpy


def _number(step: Step) -> int:
    """A step on Python's floats."""
    if not isinstance(step, Apply):
        return 0
    spelled = step.function.math or "("
    return _FUNCTION if "(" in spelled or " if " in spelled else _OPERATOR


def _call(step: Step) -> int:
    """A step on arrays."""
    if isinstance(step, Apply):
        if not step.out.shape:
            return _number(step)
        return _CHOICE if step.function.name == "where" else _UFUNC
    if isinstance(step, Assemble):
        return _FILL + _REGION * len(step.operands)
    return _CALLS.get(type(step), _OTHER)
