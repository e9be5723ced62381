"""Numbers as a person would write them: 0.0026041666666666665 is `2.0 / 768.0`."""

from __future__ import annotations

import math

import numpy as np

# A number of fewer digits is read at a glance.
_MANY_DIGITS = 5
_NUMERATORS = range(1, 13)
_LARGEST = 1_000_000


def fraction(value: float, single: bool = False) -> tuple[float, float] | None:
    """Small whole numbers whose quotient is exactly the value (in single precision, where asked
    for), for a value of many digits; None where there are none."""
    if not math.isfinite(value) or not 1 / _LARGEST < abs(value) < max(_NUMERATORS):
        return None
    digits = repr(value).partition("e")[0].replace(".", "").lstrip("-0")
    if len(digits) < _MANY_DIGITS:
        return None
    for numerator in _NUMERATORS:
        denominator = float(round(numerator / abs(value)))
        if not 1 < denominator <= _LARGEST:
            continue
        quotient = math.copysign(numerator, value) / denominator
        if quotient == value or (single and np.float32(quotient) == np.float32(value)):
            return math.copysign(numerator, value), denominator
    return None


def written(value: float, single: bool = False) -> str:
    """`2.0 / 768.0`, or the number itself."""
    found = fraction(value, single)
    return repr(value) if found is None else f"{found[0]!r} / {found[1]!r}"
