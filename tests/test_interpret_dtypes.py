"""The reference interpreter in complex numbers and in long doubles."""

import numpy as np
import pytest
from hypothesis import given, settings

from graphc import nodes
from graphc.freeze import freeze
from graphc.interpret import evaluate, evaluate_outputs
from graphc.types import parse_type
from tests.strategies import BINARY, UNARY, cases


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def inp(name, text):
    return nodes.input_(name, parse_type(text))


_UNSTEPPED = {"absorb", "floor_divide", "f32", "stop_gradient"}
ANALYTIC = [
    op for op in UNARY + BINARY if op.differentiable and op.name not in _UNSTEPPED | set("bool")
]


@pytest.mark.parametrize("op", ANALYTIC, ids=[op.name for op in ANALYTIC])
def test_a_complex_step_is_the_derivative(op, rng):
    x = rng.uniform(0.1, 0.9, (len(op.args), 20))
    if op.name == "arccosh":
        x = x + 1.5
    made = [inp(f"x{k}", "f64[20]") for k in range(len(op.args))]
    graph = freeze("g", made, [("y", nodes.elementwise(op, *made))])

    def value(points, dtype):
        return evaluate_outputs(graph, {f"x{k}": v for k, v in enumerate(points)}, dtype)["y"]

    for k in range(len(op.args)):
        step = np.zeros_like(x, dtype=complex)
        step[k] = 1e-30j
        stepped = value(x + step, np.complex128).imag / 1e-30
        h = np.zeros_like(x)
        h[k] = 1e-6
        central = (value(x + h, np.longdouble) - value(x - h, np.longdouble)) / 2e-6
        tolerance = 1e-5 if "erf" in op.formula else 1e-8  # erf is evaluated in double
        np.testing.assert_allclose(stepped, central.astype(float), rtol=tolerance, atol=1e-8)


@pytest.mark.parametrize("name", ["log", "sqrt", "log1p", "arcsin", "arctanh", "log2"])
def test_outside_its_domain_a_function_is_nan_in_complex_too(name):
    x = inp("x", "f64")
    graph = freeze("g", [x], [("y", nodes.elementwise(name, x))])
    assert np.isnan(evaluate_outputs(graph, {"x": -2.0 + 1e-20j}, np.complex128)["y"])


def test_a_complex_step_passes_no_step_function():
    x = inp("x", "f64[3]")
    stopped = nodes.elementwise("stop_gradient", x)
    y = nodes.multiply(stopped, nodes.elementwise("floor", x))
    graph = freeze("g", [x], [("y", y)])
    values = {"x": np.array([1.5, -2.5, 3.0]) + 1e-20j}
    assert (evaluate_outputs(graph, values, np.complex128)["y"].imag == 0).all()


def test_folds_choose_by_the_real_part():
    x = inp("x", "f64[2, 3]")
    top = nodes.reduction("max", x, (1,), True)
    graph = freeze("g", [x], [("y", top), ("i", nodes.reduction("argmin", x, (0, 1)))])
    values = np.array([[1 + 9j, 2 + 1j, -3 + 5j], [0, -1 + 1j, 1 - 7j]])
    found = evaluate_outputs(graph, {"x": values}, np.complex128)
    assert found["y"].tolist() == [[2 + 1j], [1 - 7j]]
    assert found["i"] == 2  # of -3


@given(cases(smooth=True))
@settings(max_examples=60)
def test_long_double_agrees_with_double(case):
    coarse = evaluate(case.graph, case.values)
    fine = evaluate(case.graph, case.values, np.longdouble)
    for node in case.graph.nodes:
        if node.type.dtype == "f64" and np.isfinite(fine[node]).all():
            assert fine[node].dtype == np.longdouble
    outputs = [node for _, node in case.graph.outputs if node.type.floating]
    for node in outputs:
        scale = 1 + np.abs(fine[node]).max(initial=0)
        if np.isfinite(scale) and scale < 1e6:
            np.testing.assert_allclose(
                coarse[node].astype(float) / float(scale),
                (fine[node] / scale).astype(float),
                atol=2e-2,
            )


@given(cases())
@settings(max_examples=100)
def test_every_value_has_its_declared_dtype(case):
    found = evaluate(case.graph, case.values)
    for node in case.graph.nodes:
        assert found[node].dtype == nodes.DTYPES[node.type.dtype]
        assert found[node].ndim == node.type.ndim
