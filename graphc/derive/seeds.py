"""Equal expressions a person would try, per op of the table, and points where partials break down.

Seeds are candidates only: each is scored like every other form, and one that is not equal loses.
Keys are op names; a partial is `d_<op>`, or `d_<op>_d_<arg>` where the op has several operands. In
a partial's seeds `y` is the op's value, and in those of a partial's partial `d` the partial's.
"""

from __future__ import annotations

from collections.abc import Mapping

from graphc.derive.recurrences import digamma_difference, trigamma_difference

SEEDS: Mapping[str, tuple[str, ...]] = {
    # -- values
    "sigmoid": ("exp(minimum(x, 0)) / (1 + exp(-abs(x)))", "0.5 + 0.5 * tanh(0.5 * x)"),
    "softplus": ("maximum(x, 0) + log1p(exp(-abs(x)))", "logaddexp(x, 0)"),
    "log_sigmoid": ("minimum(x, 0) - log1p(exp(-abs(x)))", "-logaddexp(-x, 0)"),
    "logit": (
        "where(abs(x - 0.5) < 0.25, 2 * arctanh(2 * x - 1), log(x) - log1p(-x))",
        "log(x) - log1p(-x)",
    ),
    "mish": (
        "x * tanh(maximum(x, 0) + log1p(exp(-abs(x))))",
        "x * tanh(logaddexp(x, 0))",
    ),
    "gelu_tanh": ("x / (1 + exp(-1.5957691216057308 * x * (1 + 0.044715 * x * x)))",),
    "scaled_elu": ("where(x > 0, x, a * expm1(minimum(x, 0)))",),
    # The quotient may overflow, or lose its digits, where its logarithm is a common number.
    "rel_entr": (
        "where(a > 0 and b > 0, a * where(abs(log(a) - log(b)) < 80, log(a / b), log(a) - log(b)),"
        " where(a == 0 and b >= 0, 0, where(isnan(a) or isnan(b), a + b, inf)))",
    ),
    "absorb": (),
    # -- partials
    "d_sigmoid": ("y * (1 - y)", "y / (1 + exp(x))"),
    "d_softplus": ("-expm1(-y)", "1 - exp(-y)", "1 / (1 + exp(-x))"),
    "d_log_sigmoid": ("-expm1(y)", "1 / (1 + exp(x))"),
    "d_silu": ("(1 + x / (1 + exp(x))) / (1 + exp(-x))",),
    "d_tanh": ("1 - y * y", "(1 - y) * (1 + y)", "1 / square(cosh(x))"),
    "d_tan": ("1 + y * y", "1 / square(cos(x))"),
    "d_expm1": ("1 + y", "exp(x)"),
    "d_sinh": ("cosh(x)", "sqrt(1 + y * y)"),
    "d_cosh": ("sinh(x)",),
    "d_arcsin": ("1 / sqrt((1 - x) * (1 + x))", "1 / cos(y)"),
    "d_arccos": ("-1 / sqrt((1 - x) * (1 + x))", "-1 / sin(y)"),
    "d_arctan": ("1 / (1 + x * x)", "square(cos(y))"),
    "d_arctanh": ("1 / ((1 - x) * (1 + x))",),
    "d_arcsinh": ("1 / sqrt(1 + x * x)", "1 / hypot(1, x)", "1 / cosh(y)"),
    "d_arccosh": ("1 / sqrt((x - 1) * (x + 1))", "1 / sqrt(x - 1) / sqrt(x + 1)", "1 / sinh(y)"),
    "d_sqrt": ("0.5 / y", "1 / (2 * y)"),
    "d_cbrt": ("1 / (3 * y * y)", "y / (3 * x)", "1 / (3 * square(y))", "1 / y / y / 3"),
    "d_divide_d_b": ("-y / b", "-a / b / b"),
    "d_reciprocal": ("-y * y", "-y / x"),
    "d_power_d_a": (
        "where(b == 0, 0, b * a ** (b - 1))",
        "b * a ** (b - 1)",
        "where(b == 0, 0, b * y / a)",
        # a ** (b - 1) may overflow where the product does not; and b - 1 is b, for a large one.
        "where(b == 0, 0, where(logical_and(logical_or(b < 1, b > 16777216), a != 0),"
        " b * y / where(a == 0, 1, a), b * a ** (b - 1)))",
    ),
    "d_power_d_b": (
        "y * log(a)",
        "y * log(where(a == 0, 1, a))",
        "where(logical_and(a == 0, b >= 0), 0, y * log(a))",
    ),
    "d_hypot_d_a": ("a / where(y == 0, 1, y)", "where(y == 0, 0, a / y)"),
    "d_hypot_d_b": ("b / where(y == 0, 1, y)", "where(y == 0, 0, b / y)"),
    "d_arctan2_d_a": (
        "where(logical_and(a == 0, b == 0), 0, b / hypot(a, b) / hypot(a, b))",
        "where(abs(a) < abs(b), 1 / (b + a * (a / b)), b / a / (a + b * (b / a)))",
    ),
    "d_arctan2_d_b": (
        "where(logical_and(a == 0, b == 0), 0, -a / hypot(a, b) / hypot(a, b))",
    ),
    "d_logaddexp_d_a": ("1 / (1 + exp(b - a))", "exp(a - y)"),
    "d_logaddexp_d_b": ("1 / (1 + exp(a - b))", "exp(b - y)"),
    "d_logaddexp2_d_a": ("1 / (1 + exp2(b - a))", "exp2(a - y)"),
    "d_logaddexp2_d_b": ("1 / (1 + exp2(a - b))", "exp2(b - y)"),
    "d_clip_d_x": ("logical_and(lo < x, x < hi)", "logical_and(lo < y, y < hi)"),
    # The angle less whole turns, exactly: for a large x, pi x is off by turns itself.
    "d_sinc": ("(cos(pi * (x - 2 * rint(0.5 * x))) - y) / where(x == 0, 1, x)",),
    "d_hard_sigmoid": ("where(abs(x) < 3, 0.16666666666666666, 0)",),
    "d_elu": ("exp(minimum(x, 0))", "1 + minimum(y, 0)"),
    # 1 / density at the quantile, by erfcx: near an end what is left of the range has the digits.
    "d_erfinv": ("0.886226925452758 * erfcx(abs(y)) / (1 - abs(x))",),
    "d_erfcinv": (
        "-0.886226925452758 * where(x < 1, erfcx(y) / x, erfcx(-y) / (2 - x))",
        "-0.886226925452758 * erfcx(abs(y)) / minimum(x, 2 - x)",
    ),
    "d_ndtri": ("1.2533141373155003 * erfcx(abs(0.7071067811865476 * y)) / minimum(x, 1 - x)",),
    "d_log_ndtr": ("0.7978845608028654 / erfcx(-0.7071067811865476 * x)",),
    "d_betaln_d_a": (digamma_difference("a", "b"),),
    "d_betaln_d_b": (digamma_difference("b", "a"),),
    "d_d_betaln_d_a_d_a": (trigamma_difference("a", "b"),),
    "d_d_betaln_d_b_d_b": (trigamma_difference("b", "a"),),
    "d_gamma": ("y * digamma(x)",),
    "d_j0": ("-j1(x)",),
    "d_y0": ("-y1(x)",),
    "d_i0": ("i1(x)",),
    # SciPy's iv is nan at the end of the range, where it has long been infinite.
    "d_i1": ("0.5 * (i0(x) + iv(2, minimum(abs(x), 10000)))",),
    "d_i0e": ("i1e(x) - sign(x) * y",),
    "d_i1e": ("where(x == 0, 0.5, i0e(x) - y / x - sign(x) * y)",),
    "d_logit": ("1 / (x * (1 - x))",),
    "d_mish": (
        "where(x > 0,"
        " (1 + 4 * exp(-abs(x)) * (1 + exp(-abs(x)) * (x + 1.5 + (x + 1) * exp(-abs(x)))))"
        " / square(1 + 2 * exp(-abs(x)) * (1 + exp(-abs(x)))),"
        " 4 * exp(-abs(x)) * (x + 1 + exp(-abs(x)) * (x + 1.5 + exp(-abs(x))"
        " * (1 + 0.25 * exp(-abs(x)))))"
        " / square(2 + exp(-abs(x)) * (2 + exp(-abs(x)))))",
    ),
    "d_gelu_tanh": (
        "where(abs(x) > 24, x > 0,"
        " (where(x > 0, 1, exp(-1.5957691216057308 * abs(x) * (1 + 0.044715 * x * x)))"
        " + x * (1.5957691216057308 + 0.2140644488178008 * x * x)"
        " / (1 + exp(-1.5957691216057308 * abs(x) * (1 + 0.044715 * x * x)))"
        " * exp(-1.5957691216057308 * abs(x) * (1 + 0.044715 * x * x)))"
        " / (1 + exp(-1.5957691216057308 * abs(x) * (1 + 0.044715 * x * x))))",
    ),
    "d_scaled_elu_d_x": ("where(x > 0, 1, a * exp(minimum(x, 0)))",),
    "d_scaled_elu_d_a": ("where(x > 0, 0, expm1(minimum(x, 0)))", "expm1(minimum(x, 0))"),
    "d_entr": ("where(x == 0, inf, where(x < 0, 0, -log(x) - 1))",),
    "d_rel_entr_d_a": (
        "where(a > 0 and b > 0,"
        " 1 + where(abs(log(a) - log(b)) < 80, log(a / b), log(a) - log(b)),"
        " where(a == 0 and b >= 0, 0, isnan(a) or isnan(b)))",
    ),
    # -- partials of partials
    "d_d_sigmoid": ("d * tanh(-0.5 * x)", "-d * tanh(0.5 * x)", "d * (1 - 2 * y)"),
    "d_d_softplus": ("d * (1 - d)", "d * exp(-y)", "d / (1 + exp(x))"),
    "d_d_i0": ("0.5 * (i0(x) + iv(2, minimum(abs(x), 10000)))",),
    "d_d_i1": ("0.25 * sign(x) * (3 * i1(abs(x)) + iv(3, minimum(abs(x), 10000)))",),
    "d_d_i0e": ("where(x == 0, 0, 2 * i0e(x) - i1e(x) / x - 2 * sign(x) * i1e(x))",),
    "d_d_i1e": (
        "where(x == 0, 0, i1e(x) * (2 + 2 / x / x) - i0e(x) / x"
        " - 2 * sign(x) * (i0e(x) - i1e(x) / x))",
    ),
    "d_d_mish": (
        "where(x > 0,"
        " 4 * exp(-abs(x)) / square(1 + 2 * exp(-abs(x)) * (1 + exp(-abs(x))))"
        " * (2 * exp(-abs(x)) * (1 + exp(-abs(x))) - x * exp(-abs(x))"
        " * ((2 + exp(-abs(x)) * (3 - 2 * exp(-abs(x)) * (1 + exp(-abs(x)))))"
        " / (1 + 2 * exp(-abs(x)) * (1 + exp(-abs(x)))))),"
        " 4 * exp(-abs(x)) / square(2 + exp(-abs(x)) * (2 + exp(-abs(x))))"
        " * (2 + 2 * exp(-abs(x))"
        " + x * ((2 + exp(-abs(x)) * (2 - exp(-abs(x)) * (3 + 2 * exp(-abs(x)))))"
        " / (2 + exp(-abs(x)) * (2 + exp(-abs(x)))))))",
    ),
    "d_d_gelu_tanh": (
        "where(abs(x) > 24, 0,"
        " ((1.5957691216057308 + 0.2140644488178008 * x * x)"
        " * (2 - x * (1.5957691216057308 + 0.2140644488178008 * x * x)"
        " * tanh(0.5 * (1.5957691216057308 * x * (1 + 0.044715 * x * x))))"
        " + 0.4281288976356016 * x * x)"
        " * exp(-1.5957691216057308 * abs(x) * (1 + 0.044715 * x * x))"
        " / square(1 + exp(-1.5957691216057308 * abs(x) * (1 + 0.044715 * x * x))))",
    ),
    "d_d_log_ndtr": ("-d * (x + d)",),
    "d_d_logit": ("d * d * (2 * x - 1)",),
    "d_d_xlog1py_d_b_d_b": ("where(a == 0, 0, -a / (1 + b) / (1 + b))", "-d / (1 + b)"),
    "d_d_rel_entr_d_b_d_b": ("where(a > 0 and b > 0, a / b / b, 0)",),
    "d_d_log_sigmoid": ("-d * (1 - d)", "-d * exp(y)", "-d / (1 + exp(-x))"),
    "d_d_tanh": ("-2 * y * d",),
    "d_d_tan": ("2 * y * d",),
    "d_d_sqrt": ("-0.5 * d / x", "-d / (2 * x)", "-2 * d * d * d"),
    "d_d_cbrt": ("-2 * d / (3 * x)", "-2 / 3 * d / x", "d / x * (-2 / 3)"),
    "d_d_log": ("-d / x", "-d * d"),
    "d_d_log1p": ("-d * d",),
    "d_d_reciprocal": ("-2 * d / x", "2 * y / x / x", "-2 * y * d"),
    "d_d_arcsin": ("x * d * d * d", "x * d / ((1 - x) * (1 + x))"),
    "d_d_arccos": ("-x * d / ((x - 1) * (1 + x))", "x * d / ((1 - x) * (1 + x))"),
    "d_d_arctan": ("-2 * d * (x * d)",),
    "d_d_arctanh": ("2 * d * (x * d)",),
    "d_d_arcsinh": ("-x * d * d * d", "-d * (x * d) * d", "-x * d / (1 + x * x)"),
    "d_d_arccosh": ("-x * d * d * d", "-d * (x * d) * d", "-x * d / (x - 1) / (x + 1)"),
    "d_d_erf": ("-2 * x * d",),
    "d_d_erfc": ("-2 * x * d",),
    "d_d_silu": (
        "(2 - x * tanh(0.5 * x)) / (1 + exp(x)) / (1 + exp(-x))",
        "(2 - x * tanh(0.5 * x)) / (2 + 2 * cosh(x))",
    ),
    "d_d_gelu": (
        "0.3989422804014327 * (2 - x * x) * exp(-0.5 * x * x)",
        "0.7978845608028654 * exp(-0.5 * x * x)"
        " - 0.3989422804014327 * x * (x * exp(-0.5 * x * x))",
    ),
    "d_d_hypot_d_a_d_a": ("where(y == 0, 0, b / y / y * (b / y))",),
    "d_d_hypot_d_a_d_b": ("where(y == 0, 0, -d * (b / y) / y)",),
    "d_d_hypot_d_b_d_a": ("where(y == 0, 0, -d * (a / y) / y)",),
    "d_d_hypot_d_b_d_b": ("where(y == 0, 0, a / y / y * (a / y))",),
    "d_d_arctan2_d_a_d_a": (
        "where(logical_and(a == 0, b == 0), 0, -2 * d * (a / hypot(a, b)) / hypot(a, b))",
    ),
    "d_d_arctan2_d_a_d_b": (
        "where(logical_and(a == 0, b == 0), 0, "
        "(a - b) / hypot(a, b) * ((a + b) / hypot(a, b)) / hypot(a, b) / hypot(a, b))",
    ),
    "d_d_arctan2_d_b_d_a": (
        "where(logical_and(a == 0, b == 0), 0, "
        "(a - b) / hypot(a, b) * ((a + b) / hypot(a, b)) / hypot(a, b) / hypot(a, b))",
    ),
    "d_d_arctan2_d_b_d_b": (
        "where(logical_and(a == 0, b == 0), 0, -2 * d * (b / hypot(a, b)) / hypot(a, b))",
    ),
    "d_d_logaddexp_d_a_d_a": ("d / (1 + exp(a - b))",),
    "d_d_logaddexp_d_a_d_b": ("-d / (1 + exp(a - b))",),
    "d_d_logaddexp_d_b_d_a": ("-d / (1 + exp(b - a))",),
    "d_d_logaddexp_d_b_d_b": ("d / (1 + exp(b - a))",),
    "d_d_logaddexp2_d_a_d_a": ("0.6931471805599453 * d / (1 + exp2(a - b))",),
    "d_d_logaddexp2_d_a_d_b": ("-0.6931471805599453 * d / (1 + exp2(a - b))",),
    "d_d_logaddexp2_d_b_d_a": ("-0.6931471805599453 * d / (1 + exp2(b - a))",),
    "d_d_logaddexp2_d_b_d_b": ("0.6931471805599453 * d / (1 + exp2(b - a))",),
    "d_d_xlogy_d_b_d_b": ("where(a == 0, 0, -d / b)", "-d / b"),
    "d_d_divide_d_b_d_a": ("-1 / b / b",),
    "d_d_divide_d_a_d_b": ("-d / b", "-1 / b / b", "-d * d"),
    "d_d_divide_d_b_d_b": ("-2 * d / b", "2 * y / b / b"),
    "d_d_power_d_a_d_a": ("where(b == 1, 0, b * (b - 1) * a ** (b - 2))",
                          "b * (b - 1) * a ** (b - 2)"),
    "d_d_power_d_a_d_b": ("a ** (b - 1) * (1 + b * log(a))",),
    "d_d_power_d_b_d_a": ("a ** (b - 1) * (1 + b * log(a))",),
    "d_d_power_d_b_d_b": ("d * log(a)", "d * log(where(a == 0, 1, a))"),
}  # fmt: skip

# Where a partial's own partials break down (the op's own points are in the table of ops): x**b with
# b = 0 or 1 is constant or linear, and its higher derivatives are zero even at x = 0.
POINTS: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "d_power_d_a": (
        ("b == 0 or b == 1", ("0", "")),
        ("a == 0 and b > 1", ("", "0")),
    ),
    "d_power_d_b": (("a == 0 and b > 1", ("0", "0")),),
    "d_d_power_d_a_d_a": (("b == 0 or b == 1 or b == 2", ("0", "")),),
    "d_hypot_d_a": (("a == 0 and b == 0", ("0", "0")),),
    "d_hypot_d_b": (("a == 0 and b == 0", ("0", "0")),),
    "d_arctan2_d_a": (("a == 0 and b == 0", ("0", "0")),),
    "d_arctan2_d_b": (("a == 0 and b == 0", ("0", "0")),),
}
