"""Scalar mode: Python floats agree with NumPy at every double, special values included."""

from __future__ import annotations

import ast
import itertools
import math

import numpy as np
import pytest

import codegen
from codegen.expr import FUNCTIONS
from tests.codegen.compare import check
from tests.codegen.evaluate import ufunc
from tests.codegen.programs import ONE, TWO, ZERO, Body, expr, function, inputs, program, tuple_of
from tests.codegen.samples import neuron

INF, NAN = math.inf, math.nan
GRID = [
    0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 2.0, -2.0, 3.0, -3.0, 0.1, -0.3, 1e-9,
    17.3, -17.3, 36.7, -745.2, 709.9, 800.0, -800.0, 1e16, -1e16, 1e200, -1e200, 1e308, -1e308,
    5e-324, -5e-324, 2.2e-308, 1e-300, math.pi, -math.e, INF, -INF, NAN,
]  # fmt: skip
PAIRS = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 2.5, 1e200, -1e200, 5e-324,
         1e-300, 1e308, 709.9, INF, -INF, NAN]  # fmt: skip
CONDITIONS = [True, False]
# Functions of conditions; where the value of the operand is a number, the others take numbers.
BOOLEAN = {"logical_and", "logical_or", "logical_xor", "logical_not"}
SKIPPED = {"f32", "i32", "i64"}
# NumPy's own vector code is off by this many units in the last place, or the C library is; SciPy's
# erfc by 23, at 17.3.
ULPS = {"power": 1, "tan": 2, "tanh": 2, "sinh": 2, "cosh": 2, "arctanh": 2, "arcsinh": 2,
        "arccosh": 2, "arcsin": 2, "arccos": 2, "cbrt": 2, "exp2": 1, "expm1": 2, "log1p": 2,
        "erf": 2, "erfc": 30}  # fmt: skip


def ulps(a: float, b: float) -> float:
    """How many doubles lie between a and b."""
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0
    if not (math.isfinite(a) and math.isfinite(b)):
        return INF
    return abs(a - b) / math.ulp(max(abs(a), abs(b)))


def one(name, result, dtypes):
    """A module with one function of scalars."""
    variables = inputs(**{f"x{k}": dtype for k, dtype in enumerate(dtypes)})
    body = Body()
    out = body.apply(result, name, *variables.values(), name="y")
    return program("p", function("f", variables, body, out))


def by_numpy(name, point):
    """NumPy's result. For powers its operator's: `np.power` alone computes x**0.5 as a square root,
    also of -0.0 and -inf."""
    operands = [np.bool_(x) if isinstance(x, bool) else np.float64(x) for x in point]
    with np.errstate(all="ignore"):
        return operands[0] ** operands[1] if name == "power" else ufunc(name)(*operands)


def dtypes_of(name):
    """Conditions where the function takes them, else numbers."""
    arity = FUNCTIONS[name].arity
    return [
        "bool" if name in BOOLEAN or (name == "where" and k == 0) else "f64" for k in range(arity)
    ]


def points(arity, dtypes):
    axes = [CONDITIONS if d == "bool" else GRID if arity == 1 else PAIRS for d in dtypes]
    return itertools.product(*axes)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in SKIPPED])
def test_every_function_agrees_with_numpy(name):
    dtypes = dtypes_of(name)
    result = "bool" if FUNCTIONS[name].result == "bool" else "f64"
    module = codegen.load(codegen.generate(one(name, result, dtypes)))
    for point in points(len(dtypes), dtypes):
        wanted = by_numpy(name, point)
        with np.errstate(all="ignore"):
            got = module.f(*point)
        if result == "bool":
            assert type(got) is np.bool_
            assert got == wanted, (name, point)
            continue
        assert isinstance(got, float)
        assert ulps(got, float(wanted)) <= ULPS.get(name, 1), (name, point, got, wanted)
        if got == 0 and name not in ("maximum", "minimum", "fmax", "fmin"):
            assert math.copysign(1, got) == math.copysign(1, wanted), (name, point, got, wanted)


@pytest.mark.parametrize(
    "name", ["maximum", "minimum", "fmax", "fmin", "sign", "floor", "heaviside"]
)
def test_exact_functions_are_exact(name):
    entry = FUNCTIONS[name]
    module = codegen.load(codegen.generate(one(name, "f64", ["f64"] * entry.arity)))
    for point in points(entry.arity, ["f64"] * entry.arity):
        with np.errstate(all="ignore"):
            got = module.f(*point)
        assert ulps(got, float(by_numpy(name, point))) == 0, (name, point)


def test_neuron_uses_python_floats():
    source = codegen.generate(neuron()).source
    main = source[source.index("def value_and_grad") : source.index("except")]
    assert "np." not in main
    assert "f = 1.0 / (1.0 + math.exp(-u))" in main


def test_neuron_has_the_lecture_values():
    module = codegen.load(codegen.generate(neuron()))
    value, grads = module.value_and_grad(2.0, -1.0, -3.0, -2.0, -3.0)
    assert type(value) is float
    np.testing.assert_allclose(value, 1 / (1 + math.exp(-1)), rtol=1e-15)
    expected = (-0.19661193, 0.39322387, -0.39322387, -0.58983580, 0.19661193)
    np.testing.assert_allclose(grads, expected, rtol=1e-7)
    assert grads.w0 == grads[0]
    assert type(grads).__name__ == "Grads"


def test_overflow_falls_to_numpy():
    module = codegen.load(codegen.generate(neuron()))
    with np.errstate(all="ignore"):
        value, grads = module.value_and_grad(2.0, -1e3, -3.0, -2.0, -3.0)
    assert value == 0.0
    assert list(grads) == [0.0] * 5
    assert type(grads).__name__ == "Grads"


def test_no_handler_where_nothing_raises():
    source = codegen.generate(one("tanh", "f64", ["f64"])).source
    assert "try:" not in source
    assert "_numpy" not in source


def composite():
    """Choices, constants, comparisons and a value that is used twice."""
    v = inputs(x="f64", y="f64", c="bool")
    b = Body()
    chosen = b.map("f64", expr("where", TWO, ZERO, 0), v["x"], v["y"], v["c"], name="chosen")
    ratio = b.apply("f64", "divide", chosen, v["y"])
    power = b.apply("f64", "power", ratio, 2)
    root = b.map("f64", expr("power", expr("square", ZERO), 0.5), ratio, name="root")
    large = b.map("bool", expr("greater", expr("maximum", ZERO, ONE), 1), power, root, name="large")
    both = b.map(
        "bool", expr("logical_and", ZERO, expr("logical_not", ONE)), large, v["c"], name="both"
    )
    inverse = b.map(
        "f64", expr("multiply", ZERO, expr("divide", 1.0, ONE)), power, root, name="inverse"
    )
    return program("p", function("f", v, b, tuple_of(power, root, large, both, inverse)))


@pytest.mark.parametrize("x", [1.5, -0.0, INF, NAN, 1e300])
@pytest.mark.parametrize("y", [2.0, 0.0, -0.0, -INF, 1e-300])
@pytest.mark.parametrize("c", [True, False])
def test_composite(x, y, c):
    with np.errstate(all="ignore"):
        check(composite(), rtol=1e-15, arguments={"x": x, "y": y, "c": c})


def test_python_numbers_never_leak_into_numpy_semantics():
    """Beside an array, a Python float divides as NumPy does."""
    v = inputs(x="f64", y="f64", a="f64[3]")
    b = Body()
    ratio = b.apply("f64", "divide", v["x"], v["y"], name="ratio")
    power = b.apply("f64", "power", v["x"], v["y"], name="power")
    rest = b.apply("f64", "remainder", v["x"], v["y"], name="rest")
    scaled = b.apply("f64[3]", "multiply", v["a"], ratio, name="scaled")
    made = program("p", function("f", v, b, tuple_of(ratio, power, rest, scaled)))
    module = codegen.load(codegen.generate(made))
    with np.errstate(all="ignore"):
        result = module.f(1.0, 0.0, np.ones(3))
    assert result[0] == INF
    assert result[1] == 1.0
    assert math.isnan(result[2])
    np.testing.assert_array_equal(result[3], [INF] * 3)


def test_fallback_has_the_same_statements():
    tree = ast.parse(codegen.generate(neuron()).source)
    functions = {f.name: f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef)}

    def targets(name):
        nodes = [n for n in ast.walk(functions[name]) if isinstance(n, ast.Assign)]
        return [
            t for n in nodes for t in map(ast.unparse, n.targets) if t in ("u", "f", "d_u", "d_w0")
        ]

    assert (
        targets("value_and_grad") == targets("_value_and_grad_numpy") == ["u", "f", "d_u", "d_w0"]
    )
