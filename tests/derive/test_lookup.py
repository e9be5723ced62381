"""A user's own op: derived at first use, stable, of any order, kept for the next process."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest

from codegen.expr import FUNCTIONS
from graphc.derive import precise
from graphc.derive.lookup import derivation
from graphc.derive.search import QUICK, derive
from graphc.formula import parse
from graphc.ops.elementwise import define
from graphc.scalars import evaluate_expr

USERS = {
    "logistic": "1 / (1 + exp(-t))",
    "swish": "x / (1 + exp(-x))",
    "mish": "x * tanh(softplus(x))",
    "gaussian": "exp(-x ** 2 / 2) / sqrt(2 * pi)",
    "gelu_tanh": "0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x ** 3)))",
    "softsign": "x / (1 + abs(x))",
    "huber": "where(abs(x) < 1, 0.5 * x * x, abs(x) - 0.5)",
    "naive_tanh": "(exp(x) - exp(-x)) / (exp(x) + exp(-x))",
    "logit": "log(x / (1 - x))",
    "sinc": "sin(x) / x",
    "mean_exp": "(exp(x) - 1) / x",
    "versine": "1 - cos(x)",
    "selu": "1.0507 * (maximum(x, 0) + 1.67326 * minimum(exp(x) - 1, 0))",
}


def run(form, args, operands):
    with np.errstate(all="ignore"):
        return np.asarray(evaluate_expr(parse(form, args), operands, {}), dtype=np.float64)


@pytest.mark.parametrize("name", USERS)
def test_users_ops_are_differentiated_accurately(name):
    """Against numerical differentiation at many digits, from tiny to large arguments."""
    op = define(name, USERS[name])
    (arg,) = op.args
    known = derivation(op)
    partial = known.partials[0]
    definition = parse(op.formula, op.args)
    sizes = [1e-8, 1e-3, 0.1, 0.7, 1.5, 5.0, 17.0, 40.0, 200.0]
    for x in [sign * size for size in sizes for sign in (1.0, -1.0)]:
        try:
            wanted = float(precise.slope(definition, {arg: x}, arg))
        except precise.Undefined:
            continue
        if not 1e-290 < abs(wanted) < 1e290:
            continue
        operands = {arg: np.float64(x)}
        if partial.output:
            operands[partial.args[-1]] = run(known.form, op.args, operands)
        got = float(run(partial.formula, partial.args, operands))
        exact = parse(partial.definition, op.args)
        excuse = abs(float(precise.slope(exact, {arg: x}, arg)) * x)
        tolerance = 40 * np.finfo(np.float64).eps * (abs(wanted) + excuse)
        assert abs(got - wanted) <= tolerance, (x, partial.formula, got, wanted)


@pytest.mark.parametrize("name", ["logistic", "swish", "mish", "naive_tanh", "softsign", "selu"])
def test_users_ops_do_not_overflow_into_nan(name):
    op = define(name, USERS[name])
    known = derivation(op)
    x = np.array([-1e4, -800.0, 800.0, 1e4])
    operands = {op.args[0]: x}
    value = run(known.form, op.args, operands)
    assert not np.any(np.isnan(value))
    partial = known.partials[0]
    if partial.output:
        operands[partial.args[-1]] = value
    assert not np.any(np.isnan(run(partial.formula, partial.args, operands)))


def test_partials_nest_to_any_order():
    """d^3/dx^3 of tanh at 0.3, through partials of partials."""
    op = define("mine", "tanh(x)")
    x = 0.3
    for order in range(1, 4):
        op = derivation(op).partials[0]
        definition = parse(op.definition, op.args)
        got = float(precise.evaluate(definition, {"x": x}))
        t = math.tanh(x)
        wanted = {1: 1 - t**2, 2: -2 * t * (1 - t**2), 3: (1 - t**2) * (6 * t**2 - 2)}[order]
        assert got == pytest.approx(wanted, rel=1e-13)


def test_given_operands_carry_no_partial():
    op = define("mine", "exp(2 * x)")
    first = derivation(op).partials[0]
    assert first.output
    assert first.given == (("y", "exp(2 * x)"),)
    second = derivation(first).partials
    assert len(second) == 2
    assert second[1] is None


def test_an_argument_called_y_is_no_confusion():
    op = define("mine", "(x, y) -> exp(x * y)")
    by_x, by_y = derivation(op).partials
    operands = {"x": np.float64(0.5), "y": np.float64(2.0)}
    for partial, wanted in [(by_x, 2 * math.e), (by_y, 0.5 * math.e)]:
        held = dict(operands)
        if partial.output:
            assert partial.args[-1] not in op.args
            held[partial.args[-1]] = np.float64(math.e)
        assert float(run(partial.formula, partial.args, held)) == pytest.approx(wanted)


def test_literal_operands_have_no_partial():
    op = define("mine", "(a, b) -> a * a * b")
    assert derivation(op, (False, True)).partials[1] is None
    assert derivation(op, (False, True)).partials[0] == derivation(op).partials[0]


def test_forms_use_the_language_only():
    for name in USERS:
        found = derive(define(name, USERS[name]), (), QUICK)
        for partial in found.partials:
            expr = parse(partial.formula, partial.args)
            stack = [expr]
            while stack:
                node = stack.pop()
                if hasattr(node, "args"):
                    assert node.function in FUNCTIONS
                    stack.extend(node.args)


PROGRAM = """
import sys
from graphc.derive.lookup import derivation
from graphc.ops.elementwise import define
known = derivation(define("mine", "x / (1 + exp(-x)) + abs(x)"))
print(known.form, known.partials[0].formula, known.kinks)
print("sympy" in sys.modules, "mpmath" in sys.modules)
"""


def test_the_next_process_needs_no_sympy(tmp_path):
    environment = {**os.environ, "GRAPHC_CACHE_DIR": str(tmp_path / "cache")}
    first, second = (
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=environment, capture_output=True, text=True, check=True, timeout=120,
        ).stdout.splitlines()
        for _ in range(2)
    )  # fmt: skip
    assert first[0] == second[0]
    assert first[1] == "True True"
    assert second[1] == "False False"
