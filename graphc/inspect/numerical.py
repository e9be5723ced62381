"""Numerical derivatives of a function of one array by one of its elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
_ROUNDS = 8  # steps of the extrapolation
_SHRINK = 2.0  # from one step to the next


def complex_step(function: Callable[[Array], Any], at: Array, index: tuple[int, ...]) -> float:
    """Im f(x + ih) / h. Nothing is subtracted, so h may be as small as numbers are.

    W. Squire, G. Trapp, "Using Complex Variables to Estimate Derivatives of Real Functions", SIAM
    Review 40 (1998).
    """
    step = 1e-100 * max(1.0, abs(float(at[index])))
    moved = at.astype(np.complex128)
    moved[index] += 1j * step
    value = function(moved)
    if np.isnan(value):
        return float("nan")
    return float(np.imag(value)) / step


def central(
    function: Callable[[Array], float], at: Array, index: tuple[int, ...], eps: float
) -> float:
    """Central differences at falling steps, extrapolated to step zero (Ridders' method).

    The estimate that agrees best with its neighbours is taken, so neither a step too large for the
    function's curvature nor one too small for its rounding decides.
    eps: the rounding of `function`.

    C. J. F. Ridders, "Accurate computation of F'(x) and F'(x) F''(x)", Advances in Engineering
    Software 4 (1982).
    """
    scale = max(1.0, abs(float(at[index])))
    # A function may vary on the scale of x, or far below it: sin(1e6).
    found = (_ridders(function, at, index, scale * eps**power) for power in (0.2, 0.4))
    return min(found, key=lambda estimate: estimate[1])[0]


def _ridders(
    function: Callable[[Array], float], at: Array, index: tuple[int, ...], step: float
) -> tuple[float, float]:
    """The derivative, and how well the estimates agree, from a first step."""
    previous = [_difference(function, at, index, step)]
    best, error = previous[0], float("inf")
    for _ in range(1, _ROUNDS):
        step /= _SHRINK
        row = [_difference(function, at, index, step)]
        factor = _SHRINK**2
        for k, older in enumerate(previous):
            row.append((row[k] * factor - older) / (factor - 1))
            factor *= _SHRINK**2
            apart = max(abs(row[k + 1] - row[k]), abs(row[k + 1] - older))
            if apart < error:
                best, error = row[k + 1], apart
        if abs(row[-1] - previous[-1]) >= 2 * error:
            break
        previous = row
    return best, error


def _difference(
    function: Callable[[Array], float], at: Array, index: tuple[int, ...], step: float
) -> float:
    up, down = _moved(at, index, step), _moved(at, index, -step)
    # The step that was really made: x + h is rounded.
    return (function(up) - function(down)) / float(up[index] - down[index])


def one_sided(
    function: Callable[[Array], float], at: Array, index: tuple[int, ...], eps: float
) -> tuple[float, float]:
    """The derivative from the left and from the right, each to about half the digits."""
    step = max(1.0, abs(float(at[index]))) * eps**0.5
    here = function(at)
    slopes = []
    for sign in (-1.0, 1.0):
        moved = _moved(at, index, sign * step)
        slopes.append((function(moved) - here) / float(moved[index] - at[index]))
    return slopes[0], slopes[1]


def _moved(at: Array, index: tuple[int, ...], step: float) -> Array:
    moved = at.copy()
    moved[index] += step
    return moved
