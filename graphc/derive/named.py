"""Literals that stand for irrational numbers: the double nearest to sqrt(2), 2 / sqrt(pi), log(10).

A definition is text, and a number in it a double; what it means is the number of that name. Taken
for the double, 2 x erfcx(x) - 1.1283791670955126 would tend to 7e-17 where erfcx' tends to 0.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import mpmath  # type: ignore[import-untyped]
from mpmath import mp

# Names are looked for among numerators and denominators up to these.
_MOST = 180
_SMALL = 12


class Named(NamedTuple):
    """sign * f(p / q), where f is `sqrt`, `pi` (p / q pi), `over_pi` (p / q / pi), `sqrt_pi`
    (sqrt(pi p / q)), `sqrt_over_pi` (sqrt(p / q / pi)), `log` or `over_log` (1 / log(p))."""

    kind: str
    sign: int
    p: int
    q: int


@lru_cache(maxsize=1024)
def named(value: float) -> Named | None:
    """The name of a double; None for one that is what it says: 0.1, or an integer's quarter."""
    sign, size = (-1, -value) if value < 0 else (1, value)
    if not 1e-6 < size < 1e6 or (size * 65536).is_integer():
        return None
    square = size * size
    guesses = {
        "sqrt": square,
        "pi": size / math.pi,
        "over_pi": size * math.pi,
        "sqrt_pi": square / math.pi,
        "sqrt_over_pi": square * math.pi,
    }
    for q in range(1, _SMALL + 1):
        for kind, ratio in guesses.items():
            p = round(ratio * q)
            if 0 < p <= _MOST and _rounds_to(Named(kind, 1, p, q), size):
                return Named(kind, sign, p, q)
    for p in (2, 10):
        for kind in ("log", "over_log"):
            if _rounds_to(Named(kind, 1, p, 1), size):
                return Named(kind, sign, p, 1)
    return None


def _rounds_to(name: Named, size: float) -> bool:
    with mpmath.workprec(60):
        if abs(number(name) - size) > size * 2e-16:
            return False
    with mpmath.workprec(150):
        return float(number(name)) == size


def number(name: Named) -> Any:
    """The number of that name, at mpmath's working precision."""
    ratio = mpmath.mpf(name.p) / name.q
    match name.kind:
        case "sqrt":
            size = mpmath.sqrt(ratio)
        case "pi":
            size = mp.pi * ratio
        case "over_pi":
            size = ratio / mp.pi
        case "sqrt_pi":
            size = mpmath.sqrt(mp.pi * ratio)
        case "sqrt_over_pi":
            size = mpmath.sqrt(ratio / mp.pi)
        case "log":
            size = mpmath.log(ratio)
        case _:
            size = 1 / mpmath.log(ratio)
    return name.sign * size
