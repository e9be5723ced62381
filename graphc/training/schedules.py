"""Learning rates that change with the step, as graphs: `rate(count)` for a count from 0.

A schedule is a frozen record, called with the number of steps taken so far (an f64 scalar, a Value
while a step is declared, or a number to look at it) and returning the rate of the next step.

>>> rate = warmup(exponential(0.1, factor=0.5, every=1000), steps=100)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.errors import GraphTypeError, GraphValueError, located

__all__ = ["Schedule", "constant", "cosine", "exponential", "step", "warmup"]


class Schedule(ABC):
    """A learning rate by step; subclass it, as a frozen record, for a rule of one's own."""

    @abstractmethod
    def __call__(self, count: Any) -> Any:
        """The rate after `count` steps: an f64 scalar of an f64 scalar, by NumPy code."""


def check(what: str, name: str, value: Any, low: float = 0.0, strict: bool = False) -> None:
    """GraphValueError where a number of a record is below `low` (or at it, if `strict`), or NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise GraphTypeError(located(f"{what}: {name}={value!r} should be a number"))
    if not math.isfinite(value) or value < low or (strict and value == low):
        sign = ">" if strict else ">="
        raise GraphValueError(located(f"{what}: {name}={value!r} should be {sign} {low:g}"))


@dataclass(frozen=True)
class constant(Schedule):
    """The same rate at every step."""

    rate: float

    def __post_init__(self) -> None:
        check("constant", "rate", self.rate)

    def __call__(self, count: Any) -> Any:
        return self.rate + 0.0 * count


@dataclass(frozen=True)
class step(Schedule):
    """rate * factor ^ floor(count / every): falls in steps."""

    rate: float
    factor: float
    every: int

    def __post_init__(self) -> None:
        _check_decay("step", self.rate, self.factor, self.every)

    def __call__(self, count: Any) -> Any:
        return self.rate * np.exp(math.log(self.factor) * np.floor(count / self.every))


@dataclass(frozen=True)
class exponential(Schedule):
    """rate * factor ^ (count / every): falls smoothly."""

    rate: float
    factor: float
    every: int = 1

    def __post_init__(self) -> None:
        _check_decay("exponential", self.rate, self.factor, self.every)

    def __call__(self, count: Any) -> Any:
        return self.rate * np.exp(math.log(self.factor) / self.every * count)


@dataclass(frozen=True)
class cosine(Schedule):
    """Half a cosine from `rate` at 0 to `last` at `steps`, and `last` from there on.

    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, without
    the restarts.
    """

    rate: float
    steps: int
    last: float = 0.0

    def __post_init__(self) -> None:
        check("cosine", "rate", self.rate)
        check("cosine", "last", self.last)
        check("cosine", "steps", self.steps, strict=True)

    def __call__(self, count: Any) -> Any:
        done = np.minimum(count / self.steps, 1.0)
        above = 0.5 * (self.rate - self.last) * (1.0 + np.cos(math.pi * done))
        return above + self.last if self.last else above


@dataclass(frozen=True)
class warmup(Schedule):
    """Rises linearly over `steps`, then follows `after`, which counts from the end of the rise.

    The first step has the rate after(0) / steps, the last one of the rise after(0).
    """

    after: Schedule | float
    steps: int

    def __post_init__(self) -> None:
        check("warmup", "steps", self.steps, strict=True)
        if not isinstance(self.after, Schedule):
            check("warmup", "after", self.after)

    def __call__(self, count: Any) -> Any:
        after = self.after if isinstance(self.after, Schedule) else constant(self.after)
        risen = np.minimum((count + 1.0) / self.steps, 1.0)
        return risen * after(np.maximum(count - self.steps, 0.0))


def _check_decay(what: str, rate: float, factor: float, every: int) -> None:
    check(what, "rate", rate)
    check(what, "factor", factor, strict=True)
    check(what, "every", every, strict=True)
