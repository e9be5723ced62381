"""The closed scalar expression tree: what one element of a `Map` computes.

    Expr     = Symbol(name) | Number(value) | Extent(size) | Apply(function, args)
    function = a name in FUNCTIONS

The tree preserves association: `(x + 1e16) - 1e16` stays as it was written. It knows how a function
is spelled in NumPy and in `math`, and nothing of derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Union

from codegen.record import record
from codegen.types import Size


@record
class Symbol:
    """An argument of the expression."""

    name: str


@record
class Number:
    """A literal: a Python bool, int or float, weak in promotion as NEP 50 has it.

    Equal by its text: 1, 1.0 and True are different literals, and so are 0.0 and -0.0, which caches
    of expressions would else take for each other.
    """

    value: bool | int | float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Number) and repr(self.value) == repr(other.value)

    def __hash__(self) -> int:
        return hash(repr(self.value))


@record
class Extent:
    """A size that is known at the call, as a (weak) Python int."""

    size: Size


@record
class Apply:
    """A function of FUNCTIONS on as many arguments as its arity says."""

    function: str
    args: tuple[Expr, ...]


Expr = Union[Symbol, Number, Extent, Apply]


@record
class Function:
    """How one scalar function is spelled.

    numpy: the dotted name of the ufunc or function on arrays (`np.exp`, `scipy.special.erf`).
    math: its spelling on Python floats, a template over {0}, {1}, ..., or None where there is none
        that agrees with NumPy at every double; the NumPy body is used then.
    infix: the Python operator, with its precedence (higher binds tighter), where there is one.
    result: the dtype of the result: "same" as the promoted arguments, "float" (integers become
        f64), "bool", or a dtype.
    ufunc: whether it takes `out=`.
    raises: whether the math spelling may raise where NumPy gives inf or nan.
    domain: a condition on {0} under which it never raises, and which is soon asked.
    """

    name: str
    arity: int
    numpy: str
    math: str | None = None
    infix: tuple[str, int] | None = None
    result: str = "same"
    ufunc: bool = True
    raises: bool = False
    domain: str = ""


def _table(*functions: Function) -> Mapping[str, Function]:
    return {function.name: function for function in functions}


# Sums with 0.0 turn -0.0 into 0.0, as NumPy's sign does, and keep NaN.
_SIGN = "math.copysign(1.0, {0}) if {0} < 0.0 or {0} > 0.0 else {0} + 0.0"
_HEAVISIDE = "0.0 if {0} < 0.0 else 1.0 if {0} > 0.0 else {1} if {0} == 0.0 else {0}"

# Precedences follow Python: or 1, and 2, comparison 4, | 5, ^ 6, & 7, + 9, * 10, unary 11, ** 12.
FUNCTIONS: Mapping[str, Function] = _table(
    Function("add", 2, "np.add", "{0} + {1}", ("+", 9)),
    Function("subtract", 2, "np.subtract", "{0} - {1}", ("-", 9)),
    Function("multiply", 2, "np.multiply", "{0} * {1}", ("*", 10)),
    Function("divide", 2, "np.divide", "{0} / {1}", ("/", 10), "float", raises=True),
    Function("floor_divide", 2, "np.floor_divide", "{0} // {1}", ("//", 10), raises=True),
    Function("remainder", 2, "np.remainder", "{0} % {1}", ("%", 10), raises=True),
    Function("fmod", 2, "np.fmod", "math.fmod({0}, {1})", raises=True),
    Function("power", 2, "np.power", "math.pow({0}, {1})", ("**", 12), raises=True),
    Function("negative", 1, "np.negative", "-{0}", ("-", 11)),
    Function("absolute", 1, "np.absolute", "abs({0})"),
    Function("sign", 1, "np.sign", _SIGN),
    Function("square", 1, "np.square", "{0} * {0}"),
    Function("reciprocal", 1, "np.reciprocal", "1.0 / {0}", raises=True),
    Function(
        "sqrt", 1, "np.sqrt", "math.sqrt({0})", None, "float", raises=True, domain="{0} >= 0.0"
    ),
    Function("cbrt", 1, "np.cbrt", "math.cbrt({0})", None, "float"),
    Function("exp", 1, "np.exp", "math.exp({0})", None, "float", raises=True, domain="{0} < 709.0"),
    Function("exp2", 1, "np.exp2", "math.exp2({0})", None, "float", raises=True),
    Function(
        "expm1", 1, "np.expm1", "math.expm1({0})", None, "float", raises=True, domain="{0} < 709.0"
    ),
    Function("log", 1, "np.log", "math.log({0})", None, "float", raises=True, domain="{0} > 0.0"),
    Function(
        "log2", 1, "np.log2", "math.log2({0})", None, "float", raises=True, domain="{0} > 0.0"
    ),
    Function(
        "log10", 1, "np.log10", "math.log10({0})", None, "float", raises=True, domain="{0} > 0.0"
    ),
    Function(
        "log1p", 1, "np.log1p", "math.log1p({0})", None, "float", raises=True, domain="{0} > -1.0"
    ),
    Function("sin", 1, "np.sin", "math.sin({0})", None, "float", raises=True),
    Function("cos", 1, "np.cos", "math.cos({0})", None, "float", raises=True),
    Function("tan", 1, "np.tan", "math.tan({0})", None, "float", raises=True),
    Function("arcsin", 1, "np.arcsin", "math.asin({0})", None, "float", raises=True),
    Function("arccos", 1, "np.arccos", "math.acos({0})", None, "float", raises=True),
    Function("arctan", 1, "np.arctan", "math.atan({0})", None, "float"),
    Function("arctan2", 2, "np.arctan2", "math.atan2({0}, {1})", None, "float"),
    Function("sinh", 1, "np.sinh", "math.sinh({0})", None, "float", raises=True),
    Function("cosh", 1, "np.cosh", "math.cosh({0})", None, "float", raises=True),
    Function("tanh", 1, "np.tanh", "math.tanh({0})", None, "float"),
    Function("arcsinh", 1, "np.arcsinh", "math.asinh({0})", None, "float"),
    Function("arccosh", 1, "np.arccosh", "math.acosh({0})", None, "float", raises=True),
    Function("arctanh", 1, "np.arctanh", "math.atanh({0})", None, "float", raises=True),
    Function("hypot", 2, "np.hypot", "math.hypot({0}, {1})", None, "float"),
    Function("copysign", 2, "np.copysign", "math.copysign({0}, {1})", None, "float"),
    Function("logaddexp", 2, "np.logaddexp", None, None, "float"),
    Function("logaddexp2", 2, "np.logaddexp2", None, None, "float"),
    Function("floor", 1, "np.floor", "math.copysign(math.floor({0}), {0})", raises=True),
    Function("ceil", 1, "np.ceil", "math.copysign(math.ceil({0}), {0})", raises=True),
    Function("rint", 1, "np.rint", "math.copysign(round({0}), {0})", None, "float", raises=True),
    Function("trunc", 1, "np.trunc", "math.copysign(math.trunc({0}), {0})", raises=True),
    Function("maximum", 2, "np.maximum", "{0} if {0} >= {1} or {0} != {0} else {1}"),
    Function("minimum", 2, "np.minimum", "{0} if {0} <= {1} or {0} != {0} else {1}"),
    Function("fmax", 2, "np.fmax", "{0} if {0} >= {1} or {1} != {1} else {1}"),
    Function("fmin", 2, "np.fmin", "{0} if {0} <= {1} or {1} != {1} else {1}"),
    Function("heaviside", 2, "np.heaviside", _HEAVISIDE, None, "float"),
    Function("less", 2, "np.less", "{0} < {1}", ("<", 4), "bool"),
    Function("less_equal", 2, "np.less_equal", "{0} <= {1}", ("<=", 4), "bool"),
    Function("greater", 2, "np.greater", "{0} > {1}", (">", 4), "bool"),
    Function("greater_equal", 2, "np.greater_equal", "{0} >= {1}", (">=", 4), "bool"),
    Function("equal", 2, "np.equal", "{0} == {1}", ("==", 4), "bool"),
    Function("not_equal", 2, "np.not_equal", "{0} != {1}", ("!=", 4), "bool"),
    Function("logical_and", 2, "np.logical_and", "{0} and {1}", None, "bool"),
    Function("logical_or", 2, "np.logical_or", "{0} or {1}", None, "bool"),
    Function("logical_xor", 2, "np.logical_xor", "{0} != {1}", None, "bool"),
    Function("logical_not", 1, "np.logical_not", "not {0}", None, "bool"),
    Function("isnan", 1, "np.isnan", "math.isnan({0})", None, "bool"),
    Function("isinf", 1, "np.isinf", "math.isinf({0})", None, "bool"),
    Function("isfinite", 1, "np.isfinite", "math.isfinite({0})", None, "bool"),
    Function("signbit", 1, "np.signbit", "math.copysign(1.0, {0}) < 0.0", None, "bool"),
    Function("where", 3, "np.where", "{1} if {0} else {2}", ufunc=False),
    Function("erf", 1, "scipy.special.erf", "math.erf({0})", None, "float"),
    Function("erfc", 1, "scipy.special.erfc", "math.erfc({0})", None, "float"),
    Function("erfcx", 1, "scipy.special.erfcx", None, None, "float"),
    Function("erfinv", 1, "scipy.special.erfinv", None, None, "float"),
    Function("erfcinv", 1, "scipy.special.erfcinv", None, None, "float"),
    Function("ndtri", 1, "scipy.special.ndtri", None, None, "float"),
    Function("log_ndtr", 1, "scipy.special.log_ndtr", None, None, "float"),
    Function("gamma", 1, "scipy.special.gamma", None, None, "float"),
    Function("gammaln", 1, "scipy.special.gammaln", None, None, "float"),
    Function("digamma", 1, "scipy.special.psi", None, None, "float"),
    # Hurwitz's: its first argument is a literal, 2 or more.
    Function("zeta", 2, "scipy.special.zeta", None, None, "float", ufunc=False),
    Function("betaln", 2, "scipy.special.betaln", None, None, "float"),
    Function("j0", 1, "scipy.special.j0", None, None, "float"),
    Function("j1", 1, "scipy.special.j1", None, None, "float"),
    Function("y0", 1, "scipy.special.y0", None, None, "float"),
    Function("y1", 1, "scipy.special.y1", None, None, "float"),
    Function("i0", 1, "scipy.special.i0", None, None, "float"),
    Function("i1", 1, "scipy.special.i1", None, None, "float"),
    Function("i0e", 1, "scipy.special.i0e", None, None, "float"),
    Function("i1e", 1, "scipy.special.i1e", None, None, "float"),
    # Bessel functions of an order that is a literal, 2 or more.
    Function("jv", 2, "scipy.special.jv", None, None, "float"),
    Function("yv", 2, "scipy.special.yv", None, None, "float"),
    Function("iv", 2, "scipy.special.iv", None, None, "float"),
    # Conversions: the dtype is part of the function, so that the tree stays closed.
    Function("f64", 1, "np.float64", "float({0})", None, "f64", ufunc=False),
    Function("f32", 1, "np.float32", None, None, "f32", ufunc=False),
    Function("i64", 1, "np.int64", None, None, "i64", ufunc=False),
    Function("i32", 1, "np.int32", None, None, "i32", ufunc=False),
    Function("bool", 1, "np.bool_", None, None, "bool", ufunc=False),
)


def symbols(expr: Expr) -> Iterator[str]:
    """Every symbol's name, once a use, left to right."""
    stack = [expr]
    while stack:
        node = stack.pop()
        if isinstance(node, Symbol):
            yield node.name
        elif isinstance(node, Apply):
            stack.extend(reversed(node.args))


def rebuild(expr: Expr, leaf: Callable[[Expr], Expr]) -> Expr:
    """The tree with leaves replaced by `leaf(it)`. An op's tree is shallow: recursion is safe."""
    if not isinstance(expr, Apply):
        return leaf(expr)
    return Apply(expr.function, tuple(rebuild(arg, leaf) for arg in expr.args))


def replace_symbols(expr: Expr, by: Mapping[str, Expr]) -> Expr:
    """The tree with symbols replaced; a symbol that `by` does not name stays."""
    return rebuild(expr, lambda node: by.get(node.name, node) if isinstance(node, Symbol) else node)
