"""Scalar expressions to SymPy and back. Every SymPy symbol of the house is made here, and is real.

SymPy rewrites arithmetic on construction (`x*y/y -> x`), so it sees one op's definition at a time
and never a user's graph. What it cannot differentiate well does not reach it: choices (`where`,
`maximum`, `abs`) and steps (`floor`, comparisons) are resolved before, in `graphc.derive.scalar`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import sympy as sp

from codegen.expr import Apply, Expr, Extent, Number, Symbol
from graphc.derive.named import named
from graphc.derive.sympy_special import BESSEL, SPECIAL, Cbrt, Erfc
from graphc.errors import GraphTypeError, GraphValueError, located


@lru_cache(maxsize=4096)
def symbol(name: str) -> sp.Symbol:
    """The one real symbol of this name."""
    return sp.Symbol(name, real=True)


def _hypot(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    return sp.sqrt(a**2 + b**2)


# What each function of the formula language is by SymPy's own. None of them is differentiated here.
TO_SYMPY: Mapping[str, Callable[..., sp.Expr]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "power": lambda a, b: a**b,
    "negative": lambda a: -a,
    "square": lambda a: a**2,
    "reciprocal": lambda a: 1 / a,
    "sqrt": sp.sqrt,
    "cbrt": Cbrt,
    "exp": sp.exp,
    "exp2": lambda a: sp.Integer(2) ** a,
    "expm1": lambda a: sp.exp(a) - 1,
    "log": sp.log,
    "log2": lambda a: sp.log(a) / sp.log(2),
    "log10": lambda a: sp.log(a) / sp.log(10),
    "log1p": lambda a: sp.log(1 + a),
    "logaddexp": lambda a, b: sp.log(sp.exp(a) + sp.exp(b)),
    "logaddexp2": lambda a, b: sp.log(sp.Integer(2) ** a + sp.Integer(2) ** b) / sp.log(2),
    "sin": sp.sin,
    "cos": sp.cos,
    "tan": sp.tan,
    "arcsin": sp.asin,
    "arccos": sp.acos,
    "arctan": sp.atan,
    "arctan2": sp.atan2,
    "sinh": sp.sinh,
    "cosh": sp.cosh,
    "tanh": sp.tanh,
    "arcsinh": sp.asinh,
    "arccosh": sp.acosh,
    "arctanh": sp.atanh,
    "hypot": _hypot,
    "erf": sp.erf,
    "erfc": Erfc,
    **SPECIAL,
    "f64": lambda a: a,
    "f32": lambda a: a,
}

_FROM_SYMPY: Mapping[str, str] = {
    "Cbrt": "cbrt",
    "log": "log",
    "sin": "sin",
    "cos": "cos",
    "tan": "tan",
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "atan2": "arctan2",
    "sinh": "sinh",
    "cosh": "cosh",
    "tanh": "tanh",
    "asinh": "arcsinh",
    "acosh": "arccosh",
    "atanh": "arctanh",
    "erf": "erf",
    "erfc": "erfc",
    "Erfc": "erfc",
    "Erfcx": "erfcx",
    "Erfinv": "erfinv",
    "Erfcinv": "erfcinv",
    "Ndtri": "ndtri",
    "LogNdtr": "log_ndtr",
    "gamma": "gamma",
    "loggamma": "gammaln",
    "zeta": "zeta",
    "Abs": "absolute",
    "sign": "sign",
    "floor": "floor",
    "ceiling": "ceil",
}
# One over these is spelled by another function of the language.
_RECIPROCAL = {"sec": "cos", "csc": "sin", "cot": "tan", "sech": "cosh", "csch": "sinh"}
_RECIPROCAL["coth"] = "tanh"
_RELATION = {
    "StrictLessThan": "less",
    "LessThan": "less_equal",
    "StrictGreaterThan": "greater",
    "GreaterThan": "greater_equal",
    "Equality": "equal",
    "Unequality": "not_equal",
}
_FOLDED = {"Max": "maximum", "Min": "minimum", "And": "logical_and", "Or": "logical_or"}


def to_sympy(expr: Expr) -> sp.Expr:
    """The expression in SymPy; GraphValueError for choices and steps, which it may not see."""
    if isinstance(expr, Symbol):
        return symbol(expr.name)
    if isinstance(expr, Number):
        return number(expr.value)
    if isinstance(expr, Extent):
        return symbol(f"size_{expr.size}")
    build = TO_SYMPY.get(expr.function)
    if build is None:
        raise GraphValueError(located(f"{expr.function} has no smooth definition"))
    return build(*(to_sympy(arg) for arg in expr.args))


def is_smooth(expr: Expr) -> bool:
    """Whether `to_sympy` takes the expression: it has no choices and no steps."""
    if isinstance(expr, Apply):
        return expr.function in TO_SYMPY and all(is_smooth(arg) for arg in expr.args)
    return True


@lru_cache(maxsize=1024)
def number(value: bool | int | float) -> sp.Expr:
    """The literal as an exact number; the nearest double to sqrt(2), pi/4, log(10) as itself."""
    if isinstance(value, bool | int):
        return sp.Integer(int(value))
    if value != value:
        return sp.nan
    if value in (float("inf"), float("-inf")):
        return sp.oo if value > 0 else -sp.oo
    exact = sp.Rational(value)
    if exact.q <= 2**16:
        return exact
    return _named(value) or exact


def _named(value: float) -> sp.Expr | None:
    """The number that the double stands for: sqrt(p/q), (p/q) pi, 2/sqrt(pi), log(p), 1/log(p)."""
    name = named(value)
    if name is None:
        return None
    ratio = sp.Rational(name.p, name.q)
    size: sp.Expr = {
        "sqrt": sp.sqrt(ratio),
        "pi": sp.pi * ratio,
        "over_pi": ratio / sp.pi,
        "sqrt_pi": sp.sqrt(sp.pi * ratio),
        "sqrt_over_pi": sp.sqrt(ratio / sp.pi),
        "log": sp.log(ratio),
        "over_log": 1 / sp.log(ratio),
    }[name.kind]
    return name.sign * size


# -- back ------------------------------------------------------------------------------------------


def from_sympy(expr: sp.Expr) -> Expr:
    """The SymPy expression in the formula language, spelled as a person would: 1 + exp(-x).

    Raises GraphValueError for what the language has no function for.
    """
    if expr.is_Symbol:
        return Symbol(expr.name)
    if expr.is_Number or expr is sp.zoo:
        return _number(expr)
    if expr.is_number and not expr.has(sp.Piecewise):
        value = complex(expr)
        if value.imag == 0:
            return Number(value.real)
    if expr.is_Add:
        return _sum(expr)
    if expr.is_Mul:
        return _product(expr)
    if isinstance(expr, sp.exp):
        return _call("exp", expr.args[0])
    if expr.is_Pow:
        return _power(*expr.as_base_exp())
    return _function(expr)


def _number(expr: sp.Expr) -> Expr:
    if expr.is_Integer:
        return Number(int(expr)) if abs(int(expr)) < 2**53 else Number(float(expr))
    if expr is sp.zoo or expr is sp.nan:
        return Number(float("nan"))
    if expr.is_Rational and not _is_double(expr) and max(abs(expr.p), expr.q) < 1000:
        return Apply("divide", (Number(int(expr.p)), Number(int(expr.q))))
    return Number(float(expr))


def _is_double(value: sp.Rational) -> bool:
    return bool(sp.Rational(float(value)) == value)


def _call(name: str, *args: sp.Expr) -> Expr:
    return Apply(name, tuple(from_sympy(arg) for arg in args))


def _sum(expr: sp.Expr) -> Expr:
    """Positive terms first, numbers before the rest: 1 - x rather than -x + 1."""
    plus: list[sp.Expr] = []
    minus: list[sp.Expr] = []
    for term in expr.as_ordered_terms():
        (minus if term.could_extract_minus_sign() else plus).append(term)
    plus.sort(key=lambda term: not term.is_number)
    total: Expr | None = None
    for term in plus:
        part = from_sympy(term)
        total = part if total is None else Apply("add", (total, part))
    for term in minus:
        part = from_sympy(-term)
        total = Apply("negative", (part,)) if total is None else Apply("subtract", (total, part))
    assert total is not None
    return total


def _product(expr: sp.Expr) -> Expr:
    coefficient, rest = expr.as_independent(*expr.free_symbols, as_Add=False)
    if coefficient.is_negative:
        return Apply("negative", (from_sympy(-expr),))
    above: list[Expr] = []
    below: list[Expr] = []
    factors = rest.as_ordered_factors() if rest.is_Mul else [rest]
    for factor in sorted(factors, key=lambda factor: not factor.is_Symbol):
        base, exponent = factor.as_base_exp()
        is_exp = isinstance(factor, sp.exp)
        if not is_exp and exponent.could_extract_minus_sign() and base != 2:
            below.append(_power(base, -exponent))
        else:
            above.append(from_sympy(factor))
    if coefficient.is_Rational and not _is_double(coefficient) and coefficient.q < 1000:
        below.insert(0, Number(int(coefficient.q)))
        coefficient = sp.Integer(coefficient.p)
    if float(coefficient) != 1 or not above:
        # 1 / (2 y), not 0.5 / y, reads as it is written in books; the value is the same.
        if coefficient.is_Rational and coefficient.p == 1 and coefficient.q > 1 and not above:
            below.insert(0, Number(int(coefficient.q)))
            above.insert(0, Number(1))
        else:
            above.insert(0, from_sympy(coefficient))
    top = _times(above)
    return Apply("divide", (top, _times(below))) if below else top


def _times(factors: list[Expr]) -> Expr:
    product = factors[0]
    for factor in factors[1:]:
        product = Apply("multiply", (product, factor))
    return product


def _power(base: sp.Expr, exponent: sp.Expr) -> Expr:
    if exponent.could_extract_minus_sign() and base not in (sp.E, sp.Integer(2)):
        return Apply("divide", (Number(1), _power(base, -exponent)))
    inner = from_sympy(base)
    if exponent == 1:
        return inner
    if exponent == 2:
        # A square by name or by product: `**` takes the slow general power in a ufunc.
        if isinstance(inner, Symbol):
            return Apply("multiply", (inner, inner))
        return Apply("square", (inner,))
    if exponent == 3 and isinstance(inner, Symbol):
        return _times([inner, inner, inner])
    if exponent == sp.Rational(1, 2):
        return Apply("sqrt", (inner,))
    if exponent.is_Rational and exponent.q == 2 and exponent.p == 3:
        return Apply("multiply", (inner, Apply("sqrt", (inner,))))
    if base == sp.E:
        return _call("exp", exponent)
    if base == 2 and not exponent.is_number:
        return _call("exp2", exponent)
    return Apply("power", (inner, from_sympy(exponent)))


def _function(expr: sp.Expr) -> Expr:
    kind = type(expr).__name__
    if kind in _FROM_SYMPY:
        return _call(_FROM_SYMPY[kind], *expr.args)
    if kind in BESSEL:
        return _bessel(kind, *expr.args)
    if kind == "polygamma":
        return _polygamma(*expr.args)
    if kind in _RECIPROCAL:
        return Apply("divide", (Number(1), _call(_RECIPROCAL[kind], *expr.args)))
    if kind in _RELATION:
        return _call(_RELATION[kind], expr.lhs, expr.rhs)
    if kind in _FOLDED:
        ordered = sorted(expr.args, key=lambda arg: (arg.is_number, sp.default_sort_key(arg)))
        parts = [from_sympy(arg) for arg in ordered]
        folded = parts[0]
        for part in parts[1:]:
            folded = Apply(_FOLDED[kind], (folded, part))
        return folded
    if kind == "Not":
        return _call("logical_not", *expr.args)
    if kind in ("BooleanTrue", "BooleanFalse"):
        return Number(kind == "BooleanTrue")
    if kind == "Heaviside":
        return Apply("heaviside", (from_sympy(expr.args[0]), Number(0.5)))
    if isinstance(expr, sp.Piecewise):
        return _piecewise(expr)
    raise GraphValueError(located(f"the formula language has no {kind}: `{expr}`"))


def _bessel(kind: str, order: sp.Expr, argument: sp.Expr) -> Expr:
    letter = BESSEL[kind]
    if order in (0, 1):
        return _call(f"{letter}{order}", argument)
    return _call(f"{letter}v", order, argument)


def _polygamma(order: sp.Expr, argument: sp.Expr) -> Expr:
    """By Hurwitz's zeta function: psi_n(x) = (-1)^(n + 1) n! zeta(n + 1, x)."""
    if order == 0:
        return _call("digamma", argument)
    scale = (-1) ** (int(order) + 1) * sp.factorial(order)
    value = _call("zeta", order + 1, argument)
    return value if scale == 1 else Apply("multiply", (_number(scale), value))


def _piecewise(expr: sp.Piecewise) -> Expr:
    pieces = list(expr.args)
    value, condition = pieces[-1]
    result = from_sympy(value)
    if condition != sp.true:
        result = Apply("where", (from_sympy(condition), result, Number(float("nan"))))
    for value, condition in reversed(pieces[:-1]):
        result = Apply("where", (from_sympy(condition), from_sympy(value), result))
    return result


def from_callable(
    name: str, function: Callable[..., Any], args: tuple[str, ...] | None
) -> tuple[tuple[str, ...], Expr]:
    """A callable that returns a SymPy expression, called once: its argument names and its formula.

    Raises GraphTypeError where it returns anything else (NumPy's functions do not take symbols).
    """
    if args is None:
        args = tuple(inspect.signature(function).parameters)
    fix = "use SymPy's functions in it (sympy.exp), or give the formula as text"
    try:
        result = sp.sympify(function(*(symbol(arg) for arg in args)), strict=True)
    except Exception as error:
        problem = str(error).partition("\n")[0] or type(error).__name__
        raise GraphTypeError(located(f"elementwise {name!r}: {problem}; {fix}")) from None
    if not isinstance(result, sp.Expr | sp.logic.boolalg.Boolean):
        raise GraphTypeError(located(f"elementwise {name!r}: not a SymPy expression; {fix}"))
    return args, from_sympy(result)
