"""Special functions at arbitrary precision, for `precise`: by mpmath, within what a float can meet.

Each is asked at doubles, at hundreds of digits; where mpmath would take for ever, or where the
function of the table has no value, `Undefined` is raised and the point is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import mpmath  # type: ignore[import-untyped]
from mpmath import mp

Value = Any  # an mpf

# Beyond, an argument is out of the floating range by far; range reduction would take for ever.
HUGE = 4000
# Bessel functions and poles on the negative axis are looked at up to here.
_FAR = 10_000


class Undefined(Exception):
    """The function has no real value there, or none that is worth computing."""


def exp(x: Value) -> Value:
    """e to the power of x, quickly for large x too."""
    if not x or mpmath.mag(x) < 40:
        return mpmath.exp(x)
    if mpmath.mag(x) > HUGE:
        return mpmath.inf if x > 0 else mpmath.mpf(0)
    # mpmath's own takes a hundred times longer for a large argument at many digits.
    with mp.workprec(mp.prec + mpmath.mag(x) + 20):
        k = int(mpmath.floor(x / mp.ln2))
        rest = x - k * mp.ln2
    return mpmath.ldexp(mpmath.exp(+rest), k)


def _between(low: float, high: float, function: Callable[[Value], Value]) -> Callable[..., Value]:
    """The function on the open interval."""

    def apply(x: Value) -> Value:
        if not low < x < high:
            raise Undefined
        return function(x)

    return apply


def _erfcx(x: Value) -> Value:
    if x < 0:
        return 2 * exp(x * x) - _erfcx(-x)
    if x < 1000:
        return mpmath.exp(x * x) * mpmath.erfc(x)
    # The asymptotic series: its terms shrink by a factor of two million, and more.
    total = term = mpmath.mpf(1)
    order = 1
    while abs(term) > mpmath.ldexp(1, -mp.prec - 10):
        term = -term * order / (2 * x * x)
        total += term
        order += 2
    return total / (x * mpmath.sqrt(mp.pi))


def _log_ndtr(x: Value) -> Value:
    z = -x / mpmath.sqrt(2)
    if z < 0:
        return mpmath.log1p(-mpmath.erfc(-z) / 2)
    return mpmath.log(_erfcx(z) / 2) - z * z


def _newton(start: Value, step: Callable[[Value], Value]) -> Value:
    """The root that Newton's steps lead to: at few digits first, and at twice as many each time."""
    with mp.workprec(80):
        y = +start
        for _ in range(12):
            y -= step(y)
    precisions = [mp.prec + 20]
    while precisions[-1] > 150:
        precisions.append(precisions[-1] // 2 + 5)
    for precision in reversed(precisions):
        with mp.workprec(precision):
            y -= step(y)
    return y


def _erfinv(x: Value) -> Value:
    if abs(x) > 0.5:
        return mpmath.sign(x) * _erfcinv(1 - abs(x))
    if not x:
        return x
    half_root = mpmath.sqrt(mp.pi) / 2
    return _newton(x * half_root, lambda y: (mpmath.erf(y) - x) * half_root * mpmath.exp(y * y))


def _erfcinv(x: Value) -> Value:
    if x > 1:
        return -_erfcinv(2 - x)
    if x >= 0.5:
        return _erfinv(1 - x)
    # log(erfc(y)) is nearly -y**2: Newton's method likes it.
    half_root = mpmath.sqrt(mp.pi) / 2
    target = mpmath.log(x)
    return _newton(
        mpmath.sqrt(-target),
        lambda y: (target - mpmath.log(mpmath.erfc(y))) * half_root * _erfcx(y),
    )


def _gammaln(x: Value) -> Value:
    if x <= 0 and x == mpmath.floor(x):
        raise Undefined
    return mpmath.re(mpmath.loggamma(x))


def _gamma(x: Value) -> Value:
    return mpmath.inf if x > _FAR else mpmath.gamma(x)


def _zeta(s: Value, x: Value) -> Value:
    """Hurwitz's zeta of an integer s > 1, which mpmath computes faster as a polygamma."""
    order = int(s) - 1
    if s != order + 1 or order < 1 or x < -_FAR:
        raise Undefined
    return (-1) ** (order + 1) * mpmath.psi(order, x) / mpmath.factorial(order)


def _betaln(a: Value, b: Value) -> Value:
    if a <= 0 or b <= 0:
        raise Undefined
    # Logarithms of the size of the operands cancel, to one of their quotient's.
    with mp.workprec(mp.prec + 2 * max(0, mpmath.mag(a), mpmath.mag(b)) + 20):
        value = mpmath.loggamma(a) + mpmath.loggamma(b) - mpmath.loggamma(a + b)
    return +value


def _bessely(order: int, x: Value) -> Value:
    """By its power series, DLMF 10.8.1: mpmath's limit of orders takes a thousand times as long."""
    # The terms grow to exp(x) before they cancel.
    with mp.workprec(mp.prec + int(4 * x) + 40 * (order + 1)):
        half = +x / 2
        square = half * half
        term = 1 / mpmath.factorial(order)
        psi = -2 * mp.euler + mpmath.harmonic(order)
        total, k = term * psi, 0
        while k * k < square or abs(term * psi) > mpmath.ldexp(abs(total), -mp.prec):
            k += 1
            term *= -square / (k * (k + order))
            psi += mpmath.mpf(1) / k + mpmath.mpf(1) / (k + order)
            total += term * psi
        head = sum(
            (mpmath.factorial(order - k - 1) / mpmath.factorial(k) * square**k)
            for k in range(order)
        )
        logarithm = 2 * mpmath.log(half) * mpmath.besselj(order, x)
        value = (logarithm - head / half**order - half**order * total) / mp.pi
    return +value


def _bessel(
    function: Callable[[int, Value], Value], order: int, positive: bool = False
) -> Callable[[Value], Value]:
    low, high = (1e-3, 100) if positive else (-_FAR, _FAR)
    return _between(low, high, lambda x: function(order, x))


def _ordered(
    function: Callable[[int, Value], Value], positive: bool = False
) -> Callable[[Value, Value], Value]:
    def apply(order: Value, x: Value) -> Value:
        return _bessel(function, int(order), positive)(x)

    return apply


def _besseli(order: int, x: Value) -> Value:
    """Where it converges to all digits by the asymptotic series, DLMF 10.40.1, which mpmath sums at
    a cost that grows with x."""
    if abs(x) < mp.prec:
        return mpmath.besseli(order, x)
    size = abs(x)
    total = term = mpmath.mpf(1)
    k = 0
    while abs(term) > mpmath.ldexp(abs(total), -mp.prec - 10):
        k += 1
        term *= -mpmath.mpf(4 * order**2 - (2 * k - 1) ** 2) / (8 * k * size)
        total += term
    value = exp(size) / mpmath.sqrt(2 * mp.pi * size) * total
    return -value if x < 0 and order % 2 else value


def _modified(order: int, x: Value) -> Value:
    if mpmath.mag(x) > HUGE:
        raise Undefined
    return _besseli(order, x)


def _scaled(order: int) -> Callable[[Value], Value]:
    return lambda x: _modified(order, x) * exp(-abs(x))


FUNCTIONS: Mapping[str, Callable[..., Value]] = {
    "erfcx": _erfcx,
    "log_ndtr": _log_ndtr,
    "erfinv": _between(-1, 1, _erfinv),
    "erfcinv": _between(0, 2, _erfcinv),
    "ndtri": _between(0, 1, lambda x: -mpmath.sqrt(2) * _erfcinv(2 * x)),
    "gamma": _between(-_FAR, mpmath.inf, _gamma),
    "gammaln": _between(-_FAR, mpmath.inf, _gammaln),
    "digamma": _between(-_FAR, mpmath.inf, mpmath.digamma),
    "zeta": _zeta,
    "betaln": _betaln,
    "j0": _bessel(mpmath.besselj, 0),
    "j1": _bessel(mpmath.besselj, 1),
    "jv": _ordered(mpmath.besselj),
    "y0": _bessel(_bessely, 0, positive=True),
    "y1": _bessel(_bessely, 1, positive=True),
    "yv": _ordered(_bessely, positive=True),
    "i0": lambda x: _modified(0, x),
    "i1": lambda x: _modified(1, x),
    "iv": lambda order, x: _modified(int(order), x),
    "i0e": _scaled(0),
    "i1e": _scaled(1),
}
