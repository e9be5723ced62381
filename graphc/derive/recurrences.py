"""Differences of polygamma functions without cancellation, as text: seeds of betaln's partials.

psi(a) - psi(a + b) is b psi'(a), nearly, where b is small, and log(a / (a + b)) where a is large;
either way the terms themselves are larger by far. The recurrence psi(x + 1) = psi(x) + 1 / x (DLMF
5.5.2) takes both to A = a + 10 and B = a + b + 10, where the asymptotic series 5.11.2 and 5.15.8
give all digits; and every difference of equal terms is written as b times something positive. With
p = 1 / A and q = 1 / B these are p - q = b p q and the divided difference of a polynomial in p**2.
"""

from __future__ import annotations

from collections.abc import Sequence

_STEPS = 10
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


def digamma_difference(a: str, b: str) -> str:
    """digamma(a) - digamma(a + b) for positive a and a + b; the plain difference elsewhere."""
    p, q, change = _reciprocals(a, b)
    coefficients = [number / (2 * k) for k, number in enumerate(_BERNOULLI, 1)]
    _, divided = _horner([0.0, *coefficients], f"{p} * {p}", f"{q} * {q}")
    steps = " + ".join(_step(a, b, j) for j in range(_STEPS))
    far = f"log1p({b} / ({a} + {_STEPS})) + {change} * (0.5 + ({p} + {q}) * ({divided}))"
    return _guarded(a, b, f"-({steps} + {far})", f"digamma({a}) - digamma({a} + {b})")


def trigamma_difference(a: str, b: str) -> str:
    """zeta(2, a) - zeta(2, a + b) for positive a and a + b; the plain difference elsewhere."""
    p, q, change = _reciprocals(a, b)
    series, divided = _horner([1.0, *_BERNOULLI], f"{p} * {p}", f"{q} * {q}")
    steps = " + ".join(
        f"{_step(a, b, j)} * (1 / {_at(a, j)} + 1 / {_at(f'{a} + {b}', j)})" for j in range(_STEPS)
    )
    far = f"{change} * ({series} + ({p} + {q}) * (0.5 + {q} * ({divided})))"
    return _guarded(a, b, f"{steps} + {far}", f"zeta(2, {a}) - zeta(2, {a} + {b})")


def _guarded(a: str, b: str, near: str, otherwise: str) -> str:
    return f"where(logical_and({a} > 0, {a} + {b} > 0), {near}, {otherwise})"


def _reciprocals(a: str, b: str) -> tuple[str, str, str]:
    """p, q and p - q."""
    p, q = f"(1 / ({a} + {_STEPS}))", f"(1 / ({a} + {b} + {_STEPS}))"
    return p, q, f"{b} * {p} * {q}"


def _at(x: str, j: int) -> str:
    return f"({x} + {j})" if j else f"({x})"


def _step(a: str, b: str, j: int) -> str:
    """b / ((a + j) (a + b + j)), by a quotient of at most 1."""
    return f"{b} / {_at(f'{a} + {b}', j)} / {_at(a, j)}"


def _horner(coefficients: Sequence[float], x: str, z: str) -> tuple[str, str]:
    """A polynomial f at x, and its divided difference (f(x) - f(z)) / (x - z)."""
    value, divided = repr(coefficients[-1]), ""
    for c in reversed(coefficients[:-1]):
        divided = f"{value} + {z} * ({divided})" if divided else value
        value = f"{c!r} + {x} * ({value})" if c else f"{x} * ({value})"
    return value, divided
