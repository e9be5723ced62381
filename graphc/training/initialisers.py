"""Starting values of parameters: frozen records, called with (rng, shape, dtype).

>>> graphc.param("f32[784, 256]", init=graphc.initialisers.he_normal())

`fan_in` and `fan_out`, the numbers of values that feed an output and that an input feeds, follow
from the shape. A matrix [in, out] is one that rows are multiplied by, `x @ W`; of more axes,
[out, in, ...] is a convolution's kernel; `layout="out,in"` or `"in,out"` says otherwise.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from graphc.errors import GraphTypeError, GraphValueError, located

__all__ = [
    "Initialiser",
    "constant",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "normal",
    "ones",
    "orthogonal",
    "uniform",
    "zeros",
]

Array = np.ndarray[Any, Any]
FanLayout = Literal["", "in,out", "out,in"]


class Initialiser(ABC):
    """Starting values; subclass it, as a frozen record, for a rule of one's own."""

    @abstractmethod
    def __call__(
        self, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Array:
        """An array of this shape and dtype."""


@dataclass(frozen=True)
class constant(Initialiser):
    """Every element is `value`."""

    value: float

    def __call__(
        self, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Array:
        return np.full(shape, self.value, dtype)


def zeros() -> constant:
    """Every element is 0."""
    return constant(0.0)


def ones() -> constant:
    """Every element is 1."""
    return constant(1.0)


@dataclass(frozen=True)
class normal(Initialiser):
    """Normally distributed."""

    std: float = 1.0
    mean: float = 0.0

    def __call__(
        self, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Array:
        return rng.normal(self.mean, self.std, shape).astype(dtype)


@dataclass(frozen=True)
class uniform(Initialiser):
    """Uniformly distributed in [low, high)."""

    low: float = -1.0
    high: float = 1.0

    def __call__(
        self, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Array:
        return rng.uniform(self.low, self.high, shape).astype(dtype)


@dataclass(frozen=True)
class scaled(Initialiser):
    """Random, mean 0, variance gain^2 / n, n by `mode`: the fan in, or the mean of both fans."""

    mode: Literal["in", "mean"]
    shape: Literal["normal", "uniform"]
    gain: float
    layout: FanLayout = ""

    def __call__(
        self, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Array:
        fan_in, fan_out = fans(shape, self.layout)
        count = fan_in if self.mode == "in" else (fan_in + fan_out) / 2
        std = self.gain / math.sqrt(max(count, 1))
        if self.shape == "normal":
            return rng.normal(0.0, std, shape).astype(dtype)
        half = math.sqrt(3.0) * std  # a uniform distribution on [-a, a] has the variance a^2 / 3
        return rng.uniform(-half, half, shape).astype(dtype)


def glorot_normal(gain: float = 1.0, layout: FanLayout = "") -> scaled:
    """Normal, variance 2 / (fan_in + fan_out): for tanh and sigmoid.

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    2010.
    """
    return scaled("mean", "normal", gain, layout)


def glorot_uniform(gain: float = 1.0, layout: FanLayout = "") -> scaled:
    """Uniform, variance 2 / (fan_in + fan_out): see `glorot_normal`."""
    return scaled("mean", "uniform", gain, layout)


def he_normal(gain: float = math.sqrt(2.0), layout: FanLayout = "") -> scaled:
    """Normal, variance 2 / fan_in: for ReLU.

    He, Zhang, Ren and Sun, "Delving Deep into Rectifiers", 2015.
    """
    return scaled("in", "normal", gain, layout)


def he_uniform(gain: float = math.sqrt(2.0), layout: FanLayout = "") -> scaled:
    """Uniform, variance 2 / fan_in: see `he_normal`."""
    return scaled("in", "uniform", gain, layout)


@dataclass(frozen=True)
class orthogonal(Initialiser):
    """A random matrix with orthonormal rows or columns (the fewer), times `gain`.

    Axes after the first are taken as one. Saxe, McClelland and Ganguli, "Exact solutions to the
    nonlinear dynamics of learning in deep linear neural networks", 2014.
    """

    gain: float = 1.0

    def __call__(
        self, rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Array:
        if len(shape) < 2:
            raise GraphValueError(
                located(f"orthogonal() needs a matrix, and the shape is {shape}; use normal()")
            )
        rows, columns = shape[0], math.prod(shape[1:])
        q, r = np.linalg.qr(rng.normal(size=(max(rows, columns), min(rows, columns))))
        # QR fixes signs by convention; those of r's diagonal make q uniform over rotations.
        q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
        matrix = q if rows >= columns else q.T
        return (self.gain * matrix).reshape(shape).astype(dtype)


def fans(shape: tuple[int, ...], layout: FanLayout = "") -> tuple[int, int]:
    """(fan_in, fan_out) of a parameter of this shape.

    Raises GraphValueError for fewer than two axes, which have no two fans.
    """
    if layout not in ("", "in,out", "out,in"):
        raise GraphValueError(located(f"layout={layout!r}: use 'in,out' or 'out,in'"))
    if len(shape) < 2:
        raise GraphValueError(
            located(
                f"a shape {shape} has no fan in and fan out: give vectors zeros(), or normal(std)"
            )
        )
    first_is_in = layout == "in,out" or (not layout and len(shape) == 2)
    field = math.prod(shape[2:])
    n_in, n_out = shape[:2] if first_is_in else (shape[1], shape[0])
    return n_in * field, n_out * field


def as_initialiser(init: Any) -> Initialiser | None:
    """An initialiser as users give it: one of these records, or a number for every element."""
    if init is None or isinstance(init, Initialiser):
        return init
    if isinstance(init, bool) or not isinstance(init, int | float):
        raise GraphTypeError(
            located(f"init={init!r}: give a number, or one of graphc.initialisers, as he_normal()")
        )
    return constant(float(init))
