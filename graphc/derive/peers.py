"""The same gradients by other libraries: what docs/accuracy.md compares with, where installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np

from graphc.derive.score import Points, worst
from graphc.ops.kinds import Elementwise

_AUTOGRAD: Mapping[str, str] = {"sigmoid": "expit", "digamma": "psi"}
_JAX: Mapping[str, str] = {"hard_swish": "hard_silu"}


def autograd_error(op: Elementwise, k: int, at: Points) -> float | None:
    """The error of HIPS autograd's gradient by operand k, in units; None where it has none."""
    function = autograd_function(op.name)
    if function is None or len(at.free) != len(op.args):
        return None
    return _error(import_module("autograd").elementwise_grad(function, k), op, at)


def autograd_function(name: str) -> Callable[..., Any] | None:
    """HIPS autograd's function of an op's name; None where it has none, or is not installed."""
    return _found(("autograd.scipy.special", "autograd.numpy"), name, _AUTOGRAD)


def jax_error(op: Elementwise, k: int, at: Points) -> float | None:
    """The error of JAX's gradient by operand k in f64, in units; None where it has none."""
    homes = ("jax.nn", "jax.scipy.special", "jax.numpy")
    name = "gelu" if op.name == "gelu_tanh" else op.name
    function = _found(homes, name, _JAX)
    if function is None or len(at.free) != len(op.args):
        return None
    jax = import_module("jax")
    jax.config.update("jax_enable_x64", True)
    scalar = function
    if name == "gelu":
        approximate = op.name == "gelu_tanh"
        scalar = lambda x: function(x, approximate=approximate)  # noqa: E731
    return _error(jax.vmap(jax.grad(scalar, k)), op, at)


def _found(
    homes: tuple[str, ...], name: str, theirs: Mapping[str, str]
) -> Callable[..., Any] | None:
    """The library's function of an op's name; None where it has none, or is not installed."""
    for home in homes:
        try:
            module = import_module(home)
        except ImportError:
            return None
        function: Callable[..., Any] | None = getattr(module, theirs.get(name, name), None)
        if function is not None:
            return function
    return None


def _error(gradient: Callable[..., Any], op: Elementwise, at: Points) -> float | None:
    columns = [np.array(at.operands[name]) for name in op.args]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            got = np.asarray(gradient(*columns))
        except (NotImplementedError, TypeError, ValueError):
            return None
    return worst(got, at)[0]
