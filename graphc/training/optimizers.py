"""Update rules, written on values: a training step compiles them together with the loss.

    optimizer.slots     what is kept for each parameter between steps, and its starting value
    optimizer.update    (w, gradient, slots, rate, count) -> (new w, new slots), in NumPy code

In the formulas w is a parameter, g its gradient, and `rate` a number or a schedule. Every optimizer
takes `weight_decay` (adds `weight_decay * w` to g, which is the gradient of half its square; AdamW
decouples it) and `clip` (applied to the gradients first). All arithmetic is in the parameter's own
dtype; factors that depend on the step alone are computed in f64, and then rounded to it.

A rule of one's own is a frozen dataclass with `slots` and `update`:

>>> @dataclass(frozen=True)
... class SignDescent(Optimizer):
...     def update(self, w, g, slots, rate, count):
...         return w - rate * np.sign(g), {}
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import reduce
from operator import add
from typing import Any, ClassVar

import numpy as np

from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.training.schedules import Schedule, check

__all__ = [
    "Adagrad",
    "Adam",
    "AdamW",
    "Clip",
    "ClipByNorm",
    "ClipByValue",
    "GradientDescent",
    "Momentum",
    "Nesterov",
    "Optimizer",
    "RMSProp",
]

Slots = Mapping[str, Any]


# -- clipping --------------------------------------------------------------------------------------


class Clip(ABC):
    """What is done to all gradients before the update."""

    @abstractmethod
    def __call__(self, gradients: Sequence[Any]) -> list[Any]:
        """The clipped gradients, each of its own shape and dtype."""


@dataclass(frozen=True)
class ClipByValue(Clip):
    """Each element of a gradient is kept within [-limit, limit]."""

    limit: float

    def __post_init__(self) -> None:
        check("ClipByValue", "limit", self.limit, strict=True)

    def __call__(self, gradients: Sequence[Any]) -> list[Any]:
        return [np.minimum(np.maximum(g, -self.limit), self.limit) for g in gradients]


@dataclass(frozen=True)
class ClipByNorm(Clip):
    """All gradients are scaled by one factor, so that their joint Euclidean norm is within `limit`.

    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013.
    """

    limit: float

    def __post_init__(self) -> None:
        check("ClipByNorm", "limit", self.limit, strict=True)

    def __call__(self, gradients: Sequence[Any]) -> list[Any]:
        squares = [np.sum(g * g).astype(np.float64) for g in gradients]
        norm = np.sqrt(reduce(add, squares))
        # Exactly 1 where the norm is within the limit; no division by zero at a stationary point.
        factor = self.limit / np.maximum(norm, self.limit)
        return [g * factor.astype(g.dtype) for g in gradients]


# -- the rules -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Optimizer(ABC):
    """An update rule. rate: a number, or a schedule from `graphc.schedules`."""

    rate: float | Schedule
    _: KW_ONLY
    weight_decay: float = 0.0
    clip: Clip | None = None

    # What is kept for each parameter, an array of its shape and dtype: name -> starting value.
    slots: ClassVar[Mapping[str, float]] = {}
    # The fields that must be above 0, and those that must be in [0, 1).
    positive: ClassVar[tuple[str, ...]] = ()
    fractions: ClassVar[tuple[str, ...]] = ()
    # Whether weight decay is part of `update`, not of the gradient.
    decoupled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        name = type(self).__name__
        if not isinstance(self.rate, Schedule):
            check(name, "rate", self.rate)
        check(name, "weight_decay", self.weight_decay)
        if self.clip is not None and not isinstance(self.clip, Clip):
            raise GraphTypeError(
                located(
                    f"{name}: clip={self.clip!r} should be ClipByValue(limit) or ClipByNorm(limit)"
                )
            )
        for field in self.positive:
            check(name, field, getattr(self, field), strict=True)
        for field in self.fractions:
            check(name, field, getattr(self, field))
            if getattr(self, field) >= 1:
                raise GraphValueError(
                    located(f"{name}: {field}={getattr(self, field)!r} should be < 1")
                )

    @abstractmethod
    def update(self, w: Any, g: Any, slots: Slots, rate: Any, count: Any) -> tuple[Any, Slots]:
        """The new parameter and its new slots.

        w, g, slots[...]: values of one shape and dtype. rate: a number, or a scalar value of their
        dtype. count: the number of this step, from 1, as an f64 scalar.
        """


@dataclass(frozen=True)
class GradientDescent(Optimizer):
    """w - rate g."""

    def update(self, w: Any, g: Any, slots: Slots, rate: Any, count: Any) -> tuple[Any, Slots]:
        return w - rate * g, {}


@dataclass(frozen=True)
class Momentum(Optimizer):
    """v = momentum v - rate g;  w + v.

    Polyak, "Some methods of speeding up the convergence of iteration methods", 1964.
    """

    momentum: float = 0.9

    slots: ClassVar[Mapping[str, float]] = {"velocity": 0.0}
    fractions: ClassVar[tuple[str, ...]] = ("momentum",)

    def update(self, w: Any, g: Any, slots: Slots, rate: Any, count: Any) -> tuple[Any, Slots]:
        velocity = self.momentum * slots["velocity"] - rate * g
        return w + velocity, {"velocity": velocity}


@dataclass(frozen=True)
class Nesterov(Momentum):
    """v = momentum v - rate g;  w + momentum v - rate g.

    Nesterov, "A method of solving a convex programming problem with convergence rate O(1/k^2)",
    1983, in the form of Sutskever, Martens, Dahl and Hinton, "On the importance of initialization
    and momentum in deep learning", 2013, with w the point at which the gradient is taken.
    """

    def update(self, w: Any, g: Any, slots: Slots, rate: Any, count: Any) -> tuple[Any, Slots]:
        move = rate * g
        velocity = self.momentum * slots["velocity"] - move
        return w + (self.momentum * velocity - move), {"velocity": velocity}


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """s = s + g^2;  w - rate g / (sqrt(s) + epsilon).

    Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic
    Optimization", 2011, with a diagonal matrix.
    """

    epsilon: float = 1e-8

    slots: ClassVar[Mapping[str, float]] = {"square": 0.0}
    positive: ClassVar[tuple[str, ...]] = ("epsilon",)

    def update(self, w: Any, g: Any, slots: Slots, rate: Any, count: Any) -> tuple[Any, Slots]:
        square = slots["square"] + g * g
        return w - rate * (g / (np.sqrt(square) + self.epsilon)), {"square": square}


@dataclass(frozen=True)
class RMSProp(Optimizer):
    """s = decay s + (1 - decay) g^2;  w - rate g / (sqrt(s) + epsilon).

    Tieleman and Hinton, "Lecture 6.5: RMSProp", COURSERA: Neural Networks for Machine Learning,
    2012.
    """

    decay: float = 0.9
    epsilon: float = 1e-8

    slots: ClassVar[Mapping[str, float]] = {"square": 0.0}
    positive: ClassVar[tuple[str, ...]] = ("epsilon",)
    fractions: ClassVar[tuple[str, ...]] = ("decay",)

    def update(self, w: Any, g: Any, slots: Slots, rate: Any, count: Any) -> tuple[Any, Slots]:
        square = self.decay * slots["square"] + (1.0 - self.decay) * (g * g)
        return w - rate * (g / (np.sqrt(square) + self.epsilon)), {"square": square}


@dataclass(frozen=True)
class Adam(Optimizer):
    """m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;  w - rate mh / (sqrt(vh) + eps)

    with mh = m / (1 - beta1^t) and vh = v / (1 - beta2^t) at step t: Kingma and Ba, "Adam: A Method
    for Stochastic Optimization", 2015, algorithm 1.

    The slots hold `mean` = m / (1 - beta1) and `square` = v / (1 - beta2): the averages then need
    no second product, and what is left of the corrections are two scalars, so that the whole update
    takes ten passes over the parameter.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    slots: ClassVar[Mapping[str, float]] = {"mean": 0.0, "square": 0.0}
    positive: ClassVar[tuple[str, ...]] = ("epsilon",)
    fractions: ClassVar[tuple[str, ...]] = ("beta1", "beta2")

    def update(self, w: Any, g: Any, slots: Slots, rate: Any, count: Any) -> tuple[Any, Slots]:
        mean = self.beta1 * slots["mean"] + g
        square = self.beta2 * slots["square"] + g * g
        # mh = first * mean and vh = second^2 * square; dividing through by `second` frees sqrt(vh).
        first = (1.0 - self.beta1) / (1.0 - self.beta1**count)
        second = np.sqrt((1.0 - self.beta2) / (1.0 - self.beta2**count))
        pace = (rate * (first / second)).astype(w.dtype)
        epsilon = (self.epsilon / second).astype(w.dtype)
        moved = self.decayed(w, rate) - pace * (mean / (np.sqrt(square) + epsilon))
        return moved, {"mean": mean, "square": square}

    def decayed(self, w: Any, rate: Any) -> Any:
        """The parameter that the step is subtracted from."""
        return w


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam, with (1 - rate weight_decay) w in place of w: the averages know nothing of the decay.

    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2, its schedule
    multiplier and step size in one rate.
    """

    _: KW_ONLY
    weight_decay: float = 0.01

    decoupled: ClassVar[bool] = True

    def decayed(self, w: Any, rate: Any) -> Any:
        return (1.0 - rate * self.weight_decay) * w if self.weight_decay else w
