"""What a benchmark needs to know of a workload: a Case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import graphc


@dataclass(frozen=True)
class Case:
    """One loss at one size, in every spelling that is measured.

    model: the loss as a user writes it, in NumPy; it is traced for graphc.
    hand: value and gradients (a tuple, in the order of `wrt`) by the best NumPy we can write.
    wrt: the parameters, by name. arguments: arrays by name, in the model's order.
    peers: the model in a peer's own functions: "jax", "torch", "autograd", "pytensor", "casadi".
        What is missing here is not measured.
    straight: names of rows that compare with a straight line rather than an expert's version.
    """

    model: Callable[..., Any]
    hand: Callable[..., tuple[Any, tuple[Any, ...]]]
    wrt: tuple[str, ...]
    arguments: Mapping[str, Any]
    peers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    rtol: float = 1e-9

    def graph(self) -> Any:
        """The model, traced with the arguments as examples."""
        return graphc.trace(self.model, *self.arguments.values())


@dataclass(frozen=True)
class Workload:
    """A row of the table. `small` are the sizes at which the tests run it.

    against_hand, against_peer: the largest ratio that is good enough.
    seconds: how long the measurement may take.
    """

    name: str
    build: Callable[..., Case]
    full: tuple[Any, ...]
    small: tuple[Any, ...]
    against_hand: float
    against_peer: float
    seconds: float = 2.0


def random(*shape: int, seed: int = 0, dtype: str = "f64", scale: float = 1.0) -> Any:
    """Normal numbers, the same on every run."""
    values = np.random.default_rng(seed).normal(scale=scale, size=shape)
    return values.astype({"f64": np.float64, "f32": np.float32}[dtype])


def everywhere(model: Callable[..., Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """The same text for every peer: `model(xp)` is the loss in the functions of module xp."""
    return {peer: _late(model, peer) for peer in ("jax", "torch", "autograd", "pytensor")}


def _late(model: Callable[..., Callable[..., Any]], peer: str) -> Callable[..., Any]:
    """Peers are imported when they are called: the tests do without."""

    def loss(*arguments: Any) -> Any:
        return model(namespace(peer))(*arguments)

    return loss


def namespace(peer: str) -> Any:
    """The module of a peer that has NumPy's functions."""
    if peer == "jax":
        import jax.numpy

        return jax.numpy
    if peer == "torch":
        import torch

        return torch
    if peer == "pytensor":
        import pytensor.tensor

        return pytensor.tensor
    if peer == "casadi":
        import casadi

        return casadi
    import autograd.numpy

    return autograd.numpy
