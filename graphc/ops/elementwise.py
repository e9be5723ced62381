"""The elementwise ops, one line each: a name, its arguments, a scalar formula.

To add an op, add its line, and run `make derive`: SymPy derives its partials, forms and kinks, and
the tests run over the table. A formula that is one bare function (`exp(x)`) is a primitive scalar
function; everything else is defined by simpler ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from codegen.errors import GraphNameError, GraphSyntaxError, GraphTypeError, located
from codegen.expr import FUNCTIONS, Apply, Expr, Number, symbols
from graphc.formula import Definition, free_names, parse, parse_with, split_arrow, text
from graphc.ops.kinds import Elementwise, ResultRule

_Points = tuple[tuple[str, tuple[str, ...]], ...]


def _op(
    name: str,
    args: str,
    formula: str,
    doc: str,
    result: ResultRule = "same",
    *,
    points: _Points = (),
    condition: int = 0,
    definition: str = "",
) -> Elementwise:
    names = tuple(args.split())
    return Elementwise(
        name, names, formula, definition, result, condition=condition, doc=doc, points=points
    )


def _step(name: str, args: str, formula: str, doc: str, result: ResultRule = "same") -> Elementwise:
    """A step function: its gradient is zero wherever it is defined."""
    return Elementwise(name, tuple(args.split()), formula, "", result, False, doc=doc)


def _index(ops: Iterable[Elementwise]) -> Mapping[str, Elementwise]:
    return {op.name: op for op in ops}


# At an isolated point where the formula for a partial breaks down, the declared value stands: the
# element of least norm of the generalised gradient there (tests sample the gradients around it).
_HYPOT: _Points = (("a == 0 and b == 0", ("0", "0")),)
_POWER: _Points = (("b == 0", ("0", "")), ("a == 0 and b >= 0", ("", "0")))
_ARCTAN2: _Points = (("a == 0 and b == 0", ("0", "0")),)
_XLOGY: _Points = (("a == 0", ("log(b)", "0")),)
_XLOG1PY: _Points = (("a == 0", ("log1p(b)", "0")),)
# The slope of -x log(x) at 0 is infinite, as that of sqrt is.
_ENTR: _Points = (("x == 0", ("inf",)),)

# fmt: off
TABLE: Mapping[str, Elementwise] = _index(
    [
        # -- arithmetic
        _op("add", "a b", "a + b", "The sum."),
        _op("subtract", "a b", "a - b", "The difference."),
        _op("multiply", "a b", "a * b", "The product."),
        _op("divide", "a b", "a / b", "The quotient; inf or nan by zero.", "float"),
        _op("power", "a b", "a ** b", "a to the power of b; nan for a broken power of a negative.",
            points=_POWER),
        _op("negative", "x", "-x", "The negative."),
        _op("positive", "x", "x", "x itself."),
        _op("square", "x", "square(x)", "x * x."),
        _op("reciprocal", "x", "1 / x", "One over x.", "float"),
        _op("remainder", "a b", "a % b", "a - floor(a / b) * b, with the sign of b."),
        _op("fmod", "a b", "fmod(a, b)", "a - trunc(a / b) * b, with the sign of a."),
        _step("floor_divide", "a b", "a // b", "The floor of the quotient."),
        # -- powers, exponentials, logarithms
        _op("sqrt", "x", "sqrt(x)", "The square root; nan below zero.", "float"),
        _op("cbrt", "x", "cbrt(x)", "The real cube root.", "float"),
        _op("exp", "x", "exp(x)", "e to the power of x.", "float"),
        _op("exp2", "x", "exp2(x)", "2 to the power of x.", "float"),
        _op("expm1", "x", "expm1(x)", "exp(x) - 1, exact near zero.", "float"),
        _op("log", "x", "log(x)", "The natural logarithm.", "float"),
        _op("log2", "x", "log2(x)", "The logarithm to base 2.", "float"),
        _op("log10", "x", "log10(x)", "The logarithm to base 10.", "float"),
        _op("log1p", "x", "log1p(x)", "log(1 + x), exact near zero.", "float"),
        _op("logaddexp", "a b", "logaddexp(a, b)", "log(exp(a) + exp(b)).", "float"),
        _op("logaddexp2", "a b", "logaddexp2(a, b)", "log2(2**a + 2**b).", "float"),
        # -- trigonometric and hyperbolic
        _op("sin", "x", "sin(x)", "The sine of x radians.", "float"),
        _op("cos", "x", "cos(x)", "The cosine of x radians.", "float"),
        _op("tan", "x", "tan(x)", "The tangent of x radians.", "float"),
        _op("arcsin", "x", "arcsin(x)", "The inverse sine; nan outside [-1, 1].", "float"),
        _op("arccos", "x", "arccos(x)", "The inverse cosine; nan outside [-1, 1].", "float"),
        _op("arctan", "x", "arctan(x)", "The inverse tangent.", "float"),
        _op("arctan2", "a b", "arctan2(a, b)", "The angle of the point (b, a).", "float",
            points=_ARCTAN2),
        _op("hypot", "a b", "hypot(a, b)", "sqrt(a**2 + b**2).", "float",
            points=_HYPOT),
        _op("sinh", "x", "sinh(x)", "The hyperbolic sine.", "float"),
        _op("cosh", "x", "cosh(x)", "The hyperbolic cosine.", "float"),
        _op("tanh", "x", "tanh(x)", "The hyperbolic tangent.", "float"),
        _op("arcsinh", "x", "arcsinh(x)", "The inverse hyperbolic sine.", "float"),
        _op("arccosh", "x", "arccosh(x)", "The inverse hyperbolic cosine; nan below 1.", "float"),
        _op("arctanh", "x", "arctanh(x)", "The inverse hyperbolic tangent.", "float"),
        _op("sinc", "x", "sin(pi * where(x == 0, 1e-20, x)) / (pi * where(x == 0, 1e-20, x))",
            "sin(pi x) / (pi x); 1 at 0.", "float"),
        _op("deg2rad", "x", "x * (pi / 180)", "Degrees to radians.", "float"),
        _op("rad2deg", "x", "x * (180 / pi)", "Radians to degrees.", "float"),
        # -- special functions and activations
        _op("erf", "x", "erf(x)", "The error function.", "float"),
        _op("erfc", "x", "erfc(x)", "1 - erf(x), exact for large x.", "float"),
        _op("sigmoid", "x", "1 / (1 + exp(-x))", "The logistic function.", "float"),
        _op("softplus", "x", "log(1 + exp(x))", "A smooth relu.", "float"),
        _op("log_sigmoid", "x", "-log(1 + exp(-x))", "The logarithm of the sigmoid.", "float"),
        _op("silu", "x", "x / (1 + exp(-x))", "x * sigmoid(x), also called swish.", "float"),
        _op("erfcx", "x", "erfcx(x)", "exp(x**2) erfc(x), which does not underflow.", "float"),
        _op("erfinv", "x", "erfinv(x)", "The inverse of erf; nan outside [-1, 1].", "float"),
        _op("erfcinv", "x", "erfcinv(x)", "The inverse of erfc; nan outside [0, 2].", "float"),
        _op("ndtr", "x", "0.5 * erfc(-sqrt(0.5) * x)", "P(standard normal <= x).", "float"),
        _op("log_ndtr", "x", "log_ndtr(x)", "The logarithm of ndtr.", "float"),
        _op("ndtri", "x", "ndtri(x)", "The inverse of ndtr: a quantile of the normal.", "float"),
        _op("gamma", "x", "gamma(x)", "The gamma function.", "float"),
        _op("gammaln", "x", "gammaln(x)", "The logarithm of |gamma(x)|.", "float"),
        _op("digamma", "x", "digamma(x)", "The derivative of gammaln.", "float"),
        _op("trigamma", "x", "zeta(2, x)", "The derivative of digamma.", "float"),
        _op("betaln", "a b", "betaln(a, b)", "The logarithm of |beta(a, b)|.", "float"),
        _op("j0", "x", "j0(x)", "The Bessel function of the first kind, order 0.", "float"),
        _op("j1", "x", "j1(x)", "The Bessel function of the first kind, order 1.", "float"),
        _op("y0", "x", "y0(x)", "The Bessel function of the second kind, order 0.", "float"),
        _op("y1", "x", "y1(x)", "The Bessel function of the second kind, order 1.", "float"),
        _op("i0", "x", "i0(x)", "The modified Bessel function of order 0.", "float"),
        _op("i1", "x", "i1(x)", "The modified Bessel function of order 1.", "float"),
        _op("i0e", "x", "i0e(x)", "exp(-|x|) i0(x), which does not overflow.", "float",
            definition="exp(-abs(x)) * i0(x)"),
        _op("i1e", "x", "i1e(x)", "exp(-|x|) i1(x), which does not overflow.", "float",
            definition="exp(-abs(x)) * i1(x)"),
        _op("logit", "x", "log(x / (1 - x))", "The inverse of the sigmoid.", "float"),
        _op("mish", "x", "x * tanh(log(1 + exp(x)))", "x * tanh(softplus(x)).", "float"),
        _op("gelu_tanh", "x",
            "0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))",
            "gelu, approximately, by tanh.", "float"),
        _op("gelu", "x", "0.5 * x * erfc(-sqrt(0.5) * x)", "x * P(standard normal <= x).", "float"),
        _op("relu", "x", "maximum(x, 0)", "x where positive, else 0."),
        _op("elu", "x", "maximum(x, 0) + expm1(minimum(x, 0))", "x, or exp(x) - 1 where negative.",
            "float"),
        _op("selu", "x", "1.0507009873554805 * (maximum(x, 0) + "
            "1.6732632423543772 * expm1(minimum(x, 0)))",
            "elu, scaled so that layers keep mean 0 and variance 1.", "float"),
        _op("scaled_elu", "x a", "where(x > 0, x, a * expm1(x))",
            "x, or a (exp(x) - 1) where negative.", "float"),
        _op("leaky_relu", "x slope", "where(x > 0, x, slope * x)",
            "x, or slope * x where negative.", "float"),
        _op("hard_sigmoid", "x", "minimum(maximum(x + 3, 0), 6) / 6",
            "0 below -3, 1 above 3, straight between.", "float"),
        _op("hard_tanh", "x", "minimum(maximum(x, -1), 1)", "x, at least -1 and at most 1."),
        _op("hard_swish", "x", "where(x <= -3, 0, where(x >= 3, x, x * (x + 3) / 6))",
            "x * hard_sigmoid(x).", "float"),
        _op("huber", "x delta",
            "where(abs(x) <= delta, 0.5 * x * x, delta * (abs(x) - 0.5 * delta))",
            "x**2 / 2 up to delta, straight beyond.", "float"),
        _op("xlog1py", "a b", "where(a == 0, 0, a * log1p(b))", "a * log(1 + b); 0 where a is 0.",
            "float", points=_XLOG1PY),
        _op("entr", "x", "where(x < 0, -inf, where(x == 0, 0, -x * log(x)))",
            "-x * log(x); 0 at 0, -inf below.", "float", points=_ENTR),
        _op("rel_entr", "a b",
            "where(a > 0 and b > 0, a * log(a / b), where(a == 0 and b >= 0, 0, "
            "where(isnan(a) or isnan(b), a + b, inf)))",
            "a * log(a / b); 0 where a is 0, inf below.", "float"),
        _op("xlogy", "a b", "where(a == 0, 0, a * log(b))", "a * log(b); 0 where a is 0.",
            "float", points=_XLOGY),
        # -- magnitude, rounding, order
        _op("absolute", "x", "abs(x)", "The magnitude."),
        _op("copysign", "a b", "copysign(a, b)", "The magnitude of a with the sign of b.", "float"),
        _op("maximum", "a b", "maximum(a, b)", "The larger one; nan if either is."),
        _op("minimum", "a b", "minimum(a, b)", "The smaller one; nan if either is."),
        _op("fmax", "a b", "fmax(a, b)", "The larger one; the other where one is nan."),
        _op("fmin", "a b", "fmin(a, b)", "The smaller one; the other where one is nan."),
        _op("clip", "x lo hi", "minimum(maximum(x, lo), hi)", "x, at least lo and at most hi."),
        _step("sign", "x", "sign(x)", "-1, 0 or 1."),
        _step("floor", "x", "floor(x)", "The largest integer not above x."),
        _step("ceil", "x", "ceil(x)", "The smallest integer not below x."),
        _step("rint", "x", "rint(x)", "The nearest integer, ties to even.", "float"),
        _step("trunc", "x", "trunc(x)", "The integer part."),
        _step("heaviside", "x h", "heaviside(x, h)", "0 below zero, h at zero, 1 above.", "float"),
        # -- selection
        _op("where", "condition a b", "where(condition, a, b)", "a where it holds, else b.",
            condition=1),
        Elementwise("stop_gradient", ("x",), "x", differentiable=False,
                    doc="x itself, held constant by differentiation."),
        Elementwise("absorb", ("d", "p"), "where(d == 0, 0, d * p)", "d * p",
                    doc="d * p, where a zero cotangent d absorbs an infinite partial p."),
        # -- comparisons, logic, tests
        _step("less", "a b", "a < b", "Whether a < b.", "bool"),
        _step("less_equal", "a b", "a <= b", "Whether a <= b.", "bool"),
        _step("greater", "a b", "a > b", "Whether a > b.", "bool"),
        _step("greater_equal", "a b", "a >= b", "Whether a >= b.", "bool"),
        _step("equal", "a b", "a == b", "Whether a == b.", "bool"),
        _step("not_equal", "a b", "a != b", "Whether a != b.", "bool"),
        _step("logical_and", "a b", "logical_and(a, b)", "Whether both hold.", "bool"),
        _step("logical_or", "a b", "logical_or(a, b)", "Whether either holds.", "bool"),
        _step("logical_xor", "a b", "logical_xor(a, b)", "Whether exactly one holds.", "bool"),
        _step("logical_not", "x", "logical_not(x)", "Whether x does not hold.", "bool"),
        _step("isnan", "x", "isnan(x)", "Whether x is not a number.", "bool"),
        _step("isinf", "x", "isinf(x)", "Whether x is infinite.", "bool"),
        _step("signbit", "x", "signbit(x)", "Whether x is negative, -0.0 too.", "bool"),
        _step("isfinite", "x", "isfinite(x)", "Whether x is neither infinite nor nan.", "bool"),
        # -- conversions: the op is named by its dtype
        _op("f64", "x", "f64(x)", "x as f64.", "f64"),
        _op("f32", "x", "f32(x)", "x as f32.", "f32"),
        _step("i64", "x", "i64(x)", "x as i64, towards zero.", "i64"),
        _step("i32", "x", "i32(x)", "x as i32, towards zero.", "i32"),
        _step("bool", "x", "bool(x)", "Whether x is not zero.", "bool"),
    ]
)
# fmt: on


@lru_cache(maxsize=1)
def definitions() -> Mapping[str, Definition]:
    """Every table op that is defined by others, as the formula language expands it in a call."""
    return {
        op.name: (op.args, parse(op.formula, op.args))
        for op in TABLE.values()
        if op.name not in FUNCTIONS and op.name != "stop_gradient"
    }


def define(
    name: str,
    formula: str | Callable[..., Any],
    args: Iterable[str] | None = None,
    *,
    result: ResultRule | None = None,
    doc: str = "",
) -> Elementwise:
    """A user's own elementwise op.

    formula: text (`"x / (1 + exp(-x))"`, or `"(x, y) -> x * log(y)"` to fix the order of the
        arguments), or a callable which takes SymPy symbols and returns a SymPy expression; it is
        turned into text here, once. Ops of the table may be called in it.
    args: the arguments in order; by default those before the arrow, else in order of appearance.
    result: the rule for the result's dtype; by default NumPy's own for the formula.

    Raises GraphNameError for a name that is no identifier, GraphSyntaxError for the formula.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise GraphNameError(located(f"op name {name!r} is not an identifier; try 'my_op'"))
    if callable(formula):
        from graphc.derive.sympy_bridge import from_callable

        names, expr = from_callable(name, formula, None if args is None else tuple(args))
    elif isinstance(formula, str):
        names, expr = _read(formula, args)
    else:
        kind = type(formula).__name__
        raise GraphTypeError(
            located(f"elementwise {name!r}: a formula is text or a callable, not {kind}")
        )
    reserved = [arg for arg in names if arg in ("pi", "inf", "nan") or not arg.isidentifier()]
    if reserved:
        raise GraphNameError(
            located(f"elementwise {name!r}: {reserved[0]!r} cannot name an argument; try 'x'")
        )
    unused = [arg for arg in names if arg not in set(symbols(expr))]
    if unused:
        raise GraphSyntaxError(
            located(f"elementwise {name!r}: the formula does not use argument {unused[0]!r}")
        )
    rule = result_rule(expr) if result is None else result
    smooth = rule not in ("bool", "i32", "i64")
    return Elementwise(name, names, text(expr), "", rule, smooth, doc=doc)


def _read(formula: str, args: Iterable[str] | None) -> tuple[tuple[str, ...], Expr]:
    names, body = split_arrow(formula)
    if args is not None:
        names = tuple(args)
    if names is None:
        names = free_names(body, definitions())
    if not names:
        raise GraphSyntaxError(located(f"formula `{formula}` has no argument: use a constant"))
    if len(set(names)) != len(names):
        raise GraphSyntaxError(located(f"formula `{formula}`: an argument is named twice"))
    return names, parse_with(body, names, definitions())


def result_rule(expr: Expr) -> ResultRule:
    """The result's dtype rule that NumPy's promotion gives for the expression."""
    if isinstance(expr, Apply):
        rule = FUNCTIONS[expr.function].result
        if rule in ("bool", "f32", "f64", "i32", "i64"):
            return rule  # type: ignore[return-value]
        parts = expr.args[1:] if expr.function == "where" else expr.args
        rules = [result_rule(part) for part in parts]
        if expr.function == "where" and all(part == "bool" for part in rules):
            return "bool"
        return "float" if rule == "float" or "float" in rules else "same"
    if isinstance(expr, Number):
        if isinstance(expr.value, bool):
            return "bool"
        return "float" if isinstance(expr.value, float) else "same"
    return "same"
