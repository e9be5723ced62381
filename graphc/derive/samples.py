"""Where forms are measured: numbers over the whole range of a dtype, and the delicate places."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

FLOATS: Mapping[str, Any] = {"f64": np.float64, "f32": np.float32}

# Not 0 and 1: `x**0` and `x**1` are rewritten before anybody differentiates them.
LITERALS = (
    2.0,
    3.0,
    4.0,
    5.0,
    10.0,
    0.5,
    1.5,
    0.25,
    0.75,
    2.5,
    100.0,
    -1.0,
    -2.0,
    -3.0,
    -0.5,
    -1.5,
)


def samples(
    rng: random.Random,
    args: Sequence[str],
    dtype: str,
    count: int,
    boundaries: tuple[float, ...],
    ties: bool,
) -> list[tuple[float, ...]]:
    kind = FLOATS[dtype]
    single = _line(rng, dtype, count, boundaries)
    if len(args) == 1:
        return [(x,) for x in single]
    chosen: list[tuple[float, ...]] = []
    moderate = [x for x in single if 1e-3 < abs(x) < 1e3] or single
    for turn in range(count):
        pool = single if turn % 3 == 0 else moderate
        sample = [rng.choice(pool) for _ in args]
        if turn % 4 == 1:
            # Operands of like size meet more of a function than operands worlds apart.
            sample = [_cast(sample[0] * 2 ** rng.uniform(-3, 3), kind) for _ in args]
        if turn % 8 == 2:
            sample[1:] = [
                _cast(x + rng.uniform(-30, 30), kind) for x in sample[:1] * len(sample[1:])
            ]
        if turn % 5 == 3:
            # One operand anywhere, the others such as people write.
            sample = [float(kind(rng.choice(LITERALS))) for _ in args]
            sample[rng.randrange(len(args))] = rng.choice(single)
        if ties and turn % 2 == 0:
            j, k = rng.sample(range(len(args)), 2)
            sample[j] = sample[k]
        if turn % 16 == 5:
            sample[rng.randrange(len(args))] = rng.choice([0.0, 1.0, -1.0, 2.0, 0.5, 3.0])
        if all(math.isfinite(x) for x in sample):
            chosen.append(tuple(sample))
    for _ in range(count // 4):
        # All of them anywhere in the range, positive more often than not.
        signs = [rng.choice([1, 1, 1, -1]) for _ in args]
        chosen.append(tuple(sign * _anywhere(rng, dtype) for sign in signs))
    return list(dict.fromkeys(chosen))


def _anywhere(rng: random.Random, dtype: str) -> float:
    """A positive number of any size that the dtype holds."""
    low, high = (-1074, 1023) if dtype == "f64" else (-149, 127)
    return _cast((1 + rng.random()) * 2.0 ** rng.randint(low, high - 1), FLOATS[dtype])


def _cast(value: float, kind: Any) -> float:
    with np.errstate(all="ignore"):
        return float(kind(value))


def _line(rng: random.Random, dtype: str, count: int, boundaries: tuple[float, ...]) -> list[float]:
    """Numbers over the whole range: all exponents, common sizes, and the delicate places."""
    kind = FLOATS[dtype]
    info = np.finfo(kind)
    numbers: list[float] = [0.0, 1.0, -1.0, 0.5, -0.5, 2.0, float(info.max), -float(info.max)]
    for turn in range(count):
        size: float
        if turn % 4 == 0:
            size = _anywhere(rng, dtype)
        elif turn % 4 == 1:
            size = 10 ** rng.uniform(-3, 3.2)
        elif turn % 4 == 2:
            size = rng.uniform(0, 1) * rng.choice([1, 3, 10, 40, 100, 800])
        else:
            size = 2.0 ** rng.uniform(-60, 12)
        numbers.append(float(kind(size if rng.random() < 0.5 else -size)))
    for place in dict.fromkeys((0.0, 1.0, -1.0, *boundaries)):
        numbers.append(float(kind(place)))
        # The neighbours: beside its kink at 3, x + 3 rounds to 6.
        numbers.extend(float(np.nextafter(kind(place), kind(end))) for end in (-np.inf, np.inf))
        for _ in range(max(3, count // 40)):
            near = place + (abs(place) or 1.0) * rng.choice([-1, 1]) * 2.0 ** rng.uniform(-54, -1)
            numbers.append(float(kind(near)))
    return list(dict.fromkeys(x for x in numbers if math.isfinite(x)))
