"""Scalar functions on arrays, for the interpreter: real as NumPy has them, and complex for a step.

A complex step reads a derivative off the imaginary part, so each function here continues the real
one analytically: by NumPy's own complex function where that is it, else by the formulas below.
Where the real function is NaN (the log of a negative number) the complex one is NaN too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from codegen.expr import FUNCTIONS, Apply, Expr, Extent, Number, Symbol
from codegen.loading import require_scipy
from graphc.errors import GraphValueError, located
from graphc.types import DTYPES, Size, size_text, substitute

REDUCTIONS: Mapping[str, Callable[..., Any]] = {
    name: getattr(np, name)
    for name in ("max", "min", "prod", "any", "all", "count_nonzero", "cumsum", "cumprod")
} | {
    "argsort": lambda x, axis: np.argsort(x.real, axis=axis, kind="stable"),
    "cummax": np.maximum.accumulate,
    "cummin": np.minimum.accumulate,
}


def known(size: Size, sizes: Mapping[str, Size]) -> int:
    """The size as an int, names bound."""
    value = substitute(size, sizes)
    if not isinstance(value, int):
        raise GraphValueError(located(f"the size `{size_text(value)}` is bound by no input"))
    return value


def evaluate_expr(
    expr: Expr,
    values: Mapping[str, Any],
    sizes: Mapping[str, Size],
    dtypes: Mapping[str, Any] | None = None,
) -> Any:
    """A scalar expression at arrays, association as written; numbers are weak, as NEP 50 has it.

    dtypes: in which dtype a conversion (`f32(x)`) really ends, where another is being computed in.
    """
    if isinstance(expr, Symbol):
        return values[expr.name]
    if isinstance(expr, Number):
        return expr.value
    if isinstance(expr, Extent):
        return known(expr.size, sizes)
    assert isinstance(expr, Apply)
    args = [evaluate_expr(arg, values, sizes, dtypes) for arg in expr.args]
    result = call(expr.function, args, dtypes or {})
    if all(isinstance(arg, bool | int | float) for arg in args) and expr.function not in DTYPES:
        return result.item()  # a number made of numbers is as weak as they are
    return result


def call(name: str, args: Sequence[Any], dtypes: Mapping[str, Any]) -> Any:
    """FUNCTIONS[name] on arrays and weak Python numbers.

    dtypes: what a conversion such as `f64` means, where everything floating is computed in another.
    """
    if name in DTYPES:
        return _convert(args[0], dtypes.get(name, DTYPES[name]))
    if any(np.iscomplexobj(x) for x in args):
        return _complex(name, args)
    return _real(name)(*args)


def _convert(x: Any, dtype: Any) -> Any:
    array = np.asarray(x)
    if np.iscomplexobj(array) and np.dtype(dtype).kind != "c":
        array = array.real
    return array.astype(dtype)


@lru_cache(maxsize=256)
def _real(name: str) -> Callable[..., Any]:
    special = _SPECIAL.get(name)
    if special is not None:
        return special
    function = FUNCTIONS[name].numpy
    if function.startswith("scipy."):
        return scipy_function(function)
    found: Callable[..., Any] = getattr(np, function.removeprefix("np."))
    return found


def scipy_function(name: str) -> Callable[..., Any]:
    """`scipy.special.erfinv` by its dotted name; GraphValueError where SciPy is not installed."""
    require_scipy(name)
    import scipy.special

    found = getattr(scipy.special, name.rpartition(".")[2])

    def apply(*args: Any) -> Any:
        # SciPy has no long double; a Python number is as weak as in NumPy.
        wide = [np.float64(x) if getattr(x, "dtype", None) == np.longdouble else x for x in args]
        small = any(getattr(x, "dtype", None) == np.float32 for x in args)
        dtype = np.float32 if small else np.float64
        return found(*(dtype(x) if isinstance(x, bool | int | float) else x for x in wide))

    return apply


def _vectorised(function: Callable[[float], float]) -> Callable[[Any], Any]:
    """A function of `math` on arrays, in double, the dtype kept."""

    def apply(x: Any) -> Any:
        array = np.asarray(x)
        dtype = array.dtype if array.dtype.kind == "f" else np.dtype(np.float64)
        flat = [function(float(element)) for element in array.ravel()]
        return np.array(flat, dtype=dtype).reshape(array.shape)

    return apply


# NumPy has no error function; that of `math` is accurate to an ulp.
_SPECIAL: Mapping[str, Callable[..., Any]] = {
    "erf": _vectorised(math.erf),
    "erfc": _vectorised(math.erfc),
}


def _complex(name: str, args: Sequence[Any]) -> Any:
    parts = [np.asarray(x).real for x in args]
    if name == "where":
        return np.where(parts[0], args[1], args[2])
    real = _real(name)(*parts)
    continued = _CONTINUED.get(name)
    if continued is not None:
        result = continued(*args)
    elif name in _STEPS or np.asarray(real).dtype.kind == "b":
        return real
    else:
        result = _real(name)(*args)
    return np.where(np.isnan(real), np.nan, result)


def _pick(better: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The operand whose real part is `better`."""
    return lambda x, y: np.where(better(np.real(x), np.real(y)), x, y)


def _absolute(x: Any) -> Any:
    return np.where(np.real(x) < 0, np.negative(x), x)


def _hypot(x: Any, y: Any) -> Any:
    # Scaled, as the real one is, so that squares neither overflow nor vanish.
    scale = np.maximum(np.abs(np.real(x)), np.abs(np.real(y)))
    safe = np.where((scale > 0) & np.isfinite(scale), scale, 1.0)
    return safe * np.sqrt((x / safe) ** 2 + (y / safe) ** 2)


def _erf_step(sign: float, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """erf to first order in the imaginary part, which is all that a complex step asks for."""

    def apply(x: Any) -> Any:
        real, step = np.real(x), np.imag(x)
        return function(real) + 1j * step * (sign * 2 / math.sqrt(math.pi)) * np.exp(-real * real)

    return apply


def _arctan2(y: Any, x: Any) -> Any:
    """arctan2 to first order in the imaginary parts: (x dy - y dx) / (x^2 + y^2)."""
    a, b = np.real(y), np.real(x)
    slope = (b * np.imag(y) - a * np.imag(x)) / (a * a + b * b)
    return np.arctan2(a, b) + 1j * slope


def _first_order(name: str, *slopes: Callable[..., Any]) -> Callable[..., Any]:
    """A function of SciPy to first order in the imaginary parts, by its known slopes."""

    def apply(*args: Any) -> Any:
        real = [np.real(x) for x in args]
        step = sum(
            slope(*real) * np.imag(x)
            for slope, x in zip(slopes, args, strict=True)
            if np.iscomplexobj(x)
        )
        return _real(name)(*real) + 1j * step

    return apply


def _of(name: str) -> Callable[..., Any]:
    """A function of SciPy, looked up when it is called."""
    return lambda *args: scipy_function(f"scipy.special.{name}")(*args)


def _shifted_digamma(at: int) -> Callable[[Any, Any], Any]:
    psi = _of("psi")
    return lambda *pair: psi(pair[at]) - psi(pair[0] + pair[1])


def _special_slopes() -> Mapping[str, tuple[Callable[..., Any], ...]]:
    """d f / d x of SciPy's functions: DLMF 7.17, 5.2, 5.12, 10.6, 10.29, 25.11."""
    root, two = math.sqrt(math.pi), 2 / math.sqrt(math.pi)
    psi, polygamma = _of("psi"), _of("polygamma")
    jvp, yvp, ivp = _of("jvp"), _of("yvp"), _of("ivp")
    erfcx, erfinv, erfcinv, ndtri = _of("erfcx"), _of("erfinv"), _of("erfcinv"), _of("ndtri")
    i0e, i1e = _of("i0e"), _of("i1e")
    zero = np.zeros_like
    return {
        "erfcx": (lambda x: 2 * x * erfcx(x) - two,),
        "erfinv": (lambda x: root / 2 * np.exp(erfinv(x) ** 2),),
        "erfcinv": (lambda x: -root / 2 * np.exp(erfcinv(x) ** 2),),
        "ndtri": (lambda x: math.sqrt(2) * root * np.exp(ndtri(x) ** 2 / 2),),
        "log_ndtr": (lambda x: math.sqrt(2) / root / erfcx(-math.sqrt(0.5) * x),),
        "gamma": (lambda x: _of("gamma")(x) * psi(x),),
        "gammaln": (psi,),
        "digamma": (lambda x: polygamma(1, x),),
        "zeta": (lambda s, x: zero(x), lambda s, x: -s * _of("zeta")(s + 1, x)),
        "betaln": (_shifted_digamma(0), _shifted_digamma(1)),
        **{f"{letter}{order}": (lambda x, f=f, order=order: f(order, x),)
           for letter, f in (("j", jvp), ("y", yvp), ("i", ivp)) for order in (0, 1)},
        **{f"{letter}v": (lambda n, x: zero(x), lambda n, x, f=f: f(n, x))
           for letter, f in (("j", jvp), ("y", yvp), ("i", ivp))},
        "i0e": (lambda x: i1e(x) - np.sign(x) * i0e(x),),
        "i1e": (lambda x: np.exp(-abs(x)) * ivp(1, x) - np.sign(x) * i1e(x),),
    }  # fmt: skip


def _cbrt(x: Any) -> Any:
    """cbrt to first order in the imaginary part: dx / (3 cbrt(x)^2)."""
    root = np.cbrt(np.real(x))
    return root + 1j * np.imag(x) / (3 * root * root)


def _quotient(rounding: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """x - q y, where the whole number q is a step and carries no derivative."""
    return lambda x, y: x - rounding(np.real(x) / np.real(y)) * y


def _log_sum(exp: Callable[[Any], Any], log: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    def apply(x: Any, y: Any) -> Any:
        top = np.maximum(np.real(x), np.real(y))
        top = np.where(np.isfinite(top), top, 0.0)
        return top + log(exp(x - top) + exp(y - top))

    return apply


# Functions whose derivative is zero wherever it is defined: the value at the real parts.
_STEPS = frozenset(
    {"signbit", "sign", "floor", "ceil", "rint", "trunc", "heaviside", "floor_divide"}
)

_CONTINUED: Mapping[str, Callable[..., Any]] = {
    "absolute": _absolute,
    "maximum": _pick(lambda a, b: ~(a < b)),
    "minimum": _pick(lambda a, b: ~(a > b)),
    "fmax": _pick(lambda a, b: (a >= b) | np.isnan(b)),
    "fmin": _pick(lambda a, b: (a <= b) | np.isnan(b)),
    "hypot": _hypot,
    "arctan2": _arctan2,
    "cbrt": _cbrt,
    "copysign": lambda x, y: _absolute(x) * np.copysign(1.0, np.real(y)),
    "remainder": _quotient(np.floor),
    "fmod": _quotient(np.trunc),
    "logaddexp": _log_sum(np.exp, np.log),
    "logaddexp2": _log_sum(np.exp2, np.log2),
    "erf": _erf_step(1.0, _SPECIAL["erf"]),
    "erfc": _erf_step(-1.0, _SPECIAL["erfc"]),
    **{name: _first_order(name, *slopes) for name, slopes in _special_slopes().items()},
}
