"""Truncated series where nothing else keeps the digits: around zero, and out to infinity."""

import mpmath
import numpy as np
import pytest

from graphc import formula
from graphc.derive import precise, recurrences, tails
from graphc.derive.lookup import derivation
from graphc.derive.named import named, number
from graphc.derive.search import QUICK, derive
from graphc.derive.tails import Side, symmetry, tail
from graphc.formula import parse
from graphc.ops.elementwise import TABLE, define
from graphc.scalars import evaluate_expr

EPS = np.finfo(np.float64).eps


def run(expr, **operands):
    given = {name: np.float64(x) for name, x in operands.items()}
    with np.errstate(all="ignore"):
        return float(evaluate_expr(expr, given, {}))


def relative(got, exact):
    return float(abs((mpmath.mpf(got) - exact) / exact))


# -- out to infinity -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "side", "cut"),
    [
        ("sqrt(x + 1) - sqrt(x)", Side(1), 4.0),
        ("log(x + 1) - log(x)", Side(1), 4.0),
        ("sqrt(1 - x) - sqrt(-x)", Side(-1), 4.0),
        ("x / sqrt(x * x + 1) - 1", Side(1), 2.0),
        ("1 - abs(x) / sqrt(x * x + 1)", Side(0), 4.0),
        ("sign(x) * (1 - abs(x) / sqrt(x * x + 1))", Side(0, odd=True), 4.0),
    ],
)
def test_a_tail_has_all_digits_out_to_the_end_of_the_range(text, side, cut):
    exact = parse(text, ("x",))
    found = tail(exact, "x", side, cut)
    for size in (cut + 1e-9, 5.3, 17.0, 1e3, 1e8, 1e15, 1e50):
        x = -size if side.sign < 0 else size
        wanted = precise.evaluate(exact, {"x": x})
        assert relative(run(found, x=x), wanted) < 12 * EPS, (x, formula.text(found))
        if side.sign == 0:
            mirrored = -run(found, x=-x) if side.odd else run(found, x=-x)
            assert mirrored == run(found, x=x)


def test_a_tail_does_not_warn_before_its_cut():
    found = tail(parse("sqrt(x + 1) - sqrt(x)", ("x",)), "x", Side(1), 4.0)
    with np.errstate(all="raise"):
        assert np.isfinite(evaluate_expr(found, {"x": np.array([-1e300, -2.0, 0.0])}, {})).all()


@pytest.mark.parametrize("text", ["exp(-x)", "exp(x)", "sin(x)", "log(x)", "x * x"])
def test_what_tends_to_no_power_has_no_tail(text):
    assert tail(parse(text, ("x",)), "x", Side(1), 4.0) is None


def test_symmetry_is_seen():
    assert symmetry(parse("cos(x) * x * x", ("x",)), "x") == Side(0)
    assert symmetry(parse("tanh(x)", ("x",)), "x") == Side(0, odd=True)
    assert symmetry(parse("exp(x)", ("x",)), "x") is None
    assert symmetry(parse("log(x)", ("x",)), "x") is None


def test_a_long_polynomial_is_not_nested_deeply():
    u = parse("u", ("u",))
    coefficients = [1.0 / (k + 1) for k in range(50)]
    found = tails.horner(coefficients, u)
    assert parse(formula.text(found), ("u",)) == found
    assert run(found, u=0.5) == pytest.approx(sum(c * 0.5**k for k, c in enumerate(coefficients)))


def test_a_users_difference_is_computed_by_a_series():
    op = define("gap", "sqrt(x + 1) - sqrt(x)")
    known = derive(op, (), QUICK)
    for text, exact in [(known.form, op.formula), (known.partials[0].formula, None)]:
        args = known.partials[0].args if exact is None else op.args
        definition = parse(exact or known.partials[0].definition, op.args)
        for x in (0.01, 1.0, 3.9, 4.1, 1e4, 1e9, 1e16):
            operands = {"x": x, "y": run(parse(known.form, op.args), x=x)}
            got = run(parse(text, args), **{name: operands[name] for name in args})
            assert relative(got, precise.evaluate(definition, {"x": x})) < 12 * EPS, (x, text)


# -- the special functions that need them ----------------------------------------------------------


FAR = [-20.0, -2.5, -0.3, 1e-9, 0.9, 2.5, 6.0, 15.0, 40.0, 1e3, 1e8, 1e100]


@pytest.mark.parametrize("name", ["erfcx", "i0e", "i1e"])
@pytest.mark.parametrize("x", FAR)
def test_slopes_far_out(name, x):
    """Where the terms of the textbook's formula agree to as many digits as x**2 has."""
    op = TABLE[name]
    partial = derivation(op).partials[0]
    operands = {"x": np.float64(x)}
    if partial.output:
        operands["y"] = run(parse(derivation(op).form, op.args), x=x)
    got = run(parse(partial.formula, partial.args), **operands)
    exact = parse(partial.definition, op.args)
    wanted = precise.evaluate(exact, {"x": x})
    excuse = abs(float(precise.slope(exact, {"x": x}, "x") * x / wanted))
    assert relative(got, wanted) < 8 * EPS * (1 + excuse)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        *((1.0, 1e-12), (1e-12, 1.0), (0.3, 0.4), (1e10, 1e-10), (1e300, 1e300), (1e-300, 1e-300)),
        *((5.5, -5.4), (200.0, 0.01), (3.0, 1e200), (1e-5, 1e-20)),
    ],
)
def test_differences_of_polygammas(a, b):
    for text, plain in [
        (recurrences.digamma_difference("a", "b"), "digamma(a) - digamma(a + b)"),
        (recurrences.trigamma_difference("a", "b"), "zeta(2, a) - zeta(2, a + b)"),
    ]:
        wanted = precise.evaluate(parse(plain, ("a", "b")), {"a": a, "b": b})
        if not 1e-300 < abs(wanted) < 1e300:
            continue
        # Of a sum that nearly vanishes the operands' own rounding is seen.
        excuse = (abs(a) + abs(b)) / (a + b)
        assert relative(run(parse(text, ("a", "b")), a=a, b=b), wanted) < 8 * EPS * excuse


# -- constants -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (2 / np.sqrt(np.pi), "sqrt_over_pi"),
        (np.sqrt(2 / 3), "sqrt"),
        (-np.pi / 2, "pi"),
        (1 / np.pi, "over_pi"),
        (np.log(10), "log"),
        (1.4426950408889634, "over_log"),
        (1.2533141373155003, "sqrt_pi"),
    ],
)
def test_a_literal_that_stands_for_an_irrational_number(value, kind):
    name = named(float(value))
    assert name.kind == kind
    with mpmath.workprec(200):
        assert float(number(name)) == value
        assert number(name) != mpmath.mpf(float(value))


@pytest.mark.parametrize("value", [0.1, 0.044715, 1.0507009873554805, 0.25, 3.0, 1e-20, 1e300])
def test_other_literals_are_what_they_say(value):
    assert named(value) is None
