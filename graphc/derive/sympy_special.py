"""Functions that SymPy lacks, or rewrites to its own taste: each by its definition.

An inverse function is known by the equation that it solves, and differentiated implicitly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import sympy as sp

_X, _Y = sp.Symbol("x", real=True), sp.Symbol("y", real=True)


def _implicit(equation: sp.Expr, root: sp.Expr) -> sp.Expr:
    """dy/dx at y = root, for the y of equation(x, y) = 0."""
    return (-sp.diff(equation, _X) / sp.diff(equation, _Y)).subs(_Y, root)


class Cbrt(sp.Function):  # type: ignore[misc]
    """The real cube root, which SymPy lacks: y with y**3 = x."""

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return _implicit(_Y**3 - _X, self)


class Erfc(sp.Function):  # type: ignore[misc]
    """The complement of erf. SymPy's own turns erfc(-x) into 2 - erfc(x), which cancels."""

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sp.diff(1 - sp.erf(_X), _X).subs(_X, self.args[0])


class Erfcx(sp.Function):  # type: ignore[misc]
    """exp(x**2) erfc(x), which SymPy lacks."""

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        derivative = sp.diff(sp.exp(_X**2) * Erfc(_X), _X)
        told = sp.expand(derivative.subs(Erfc(_X), _Y * sp.exp(-(_X**2))))
        return told.subs(_X, self.args[0]).subs(_Y, self)


class Erfinv(sp.Function):  # type: ignore[misc]
    """y with erf(y) = x. SymPy's own rewrites compositions with erf."""

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return _implicit(sp.erf(_Y) - _X, self)


class Erfcinv(sp.Function):  # type: ignore[misc]
    """y with 1 - erf(y) = x."""

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return _implicit(1 - sp.erf(_Y) - _X, self)


class Ndtri(sp.Function):  # type: ignore[misc]
    """y with (1 + erf(y / sqrt(2))) / 2 = x."""

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return _implicit((1 + sp.erf(_Y / sp.sqrt(2))) / 2 - _X, self)


class LogNdtr(sp.Function):  # type: ignore[misc]
    """log(erfc(-x / sqrt(2)) / 2), whose slope, a density over its integral, Erfcx tells."""

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        z = -_X / sp.sqrt(2)
        derivative = sp.diff(sp.log(Erfc(z) / 2), _X)
        told = sp.powsimp(derivative.subs(Erfc(z), _Y * sp.exp(-(z**2))))
        return told.subs(_Y, Erfcx(z)).subs(_X, self.args[0])


# SymPy's Bessel functions, by the letter that scientists know them by.
BESSEL: Mapping[str, str] = {"besselj": "j", "bessely": "y", "besseli": "i"}

SPECIAL: Mapping[str, Callable[..., sp.Expr]] = {
    "erfcx": Erfcx,
    "erfinv": Erfinv,
    "erfcinv": Erfcinv,
    "ndtri": Ndtri,
    "log_ndtr": LogNdtr,
    "gamma": sp.gamma,
    "gammaln": sp.loggamma,
    "digamma": sp.digamma,
    "zeta": sp.zeta,
    "betaln": lambda a, b: sp.loggamma(a) + sp.loggamma(b) - sp.loggamma(a + b),
    "j0": lambda x: sp.besselj(0, x),
    "j1": lambda x: sp.besselj(1, x),
    "jv": sp.besselj,
    "y0": lambda x: sp.bessely(0, x),
    "y1": lambda x: sp.bessely(1, x),
    "yv": sp.bessely,
    "i0": lambda x: sp.besseli(0, x),
    "i1": lambda x: sp.besseli(1, x),
    "iv": sp.besseli,
}
