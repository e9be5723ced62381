"""Ways to write a thing that few people use, each against NumPy or by its gradient."""

import numpy as np
import pytest

import graphc
from graphc.types import Dim, parse_type, substitute

X = np.arange(12.0).reshape(3, 4) + 1.0

FORMULAS = {
    "y[i] = exp(a[2*i] + b[i])": ("f64[9]", "f64[5]"),
    "y[i, j] = exp(a[j, i]) + b[j]": ("f64[4, 3]", "f64[4]"),
    "y = exp(a[i]) + b[j]": ("f64[3]", "f64[4]"),  # the derivative by a does not vary with j
    "y[i] = where(a[i] > b[j], a[i], b[j] * b[j])": ("f64[3]", "f64[4]"),
}


@pytest.mark.parametrize("text", FORMULAS)
def test_an_index_formula_that_is_no_product(text):
    formula = graphc.contraction("formula", text)
    graph = graphc.trace(lambda a, b: np.tanh(0.1 * formula(a, b)).sum(), *FORMULAS[text])
    random = np.random.default_rng(0)
    values = [random.normal(size=node.type.shape) for node in graph.inputs]
    assert graphc.check_grads(graph, *values).ok
    assert graphc.compile(graph)(*values) == pytest.approx(graph(*values))


CALLS = {
    "pad by axis": lambda x: np.pad(x, {0: (1, 2)}),
    "pad by negative axis": lambda x: np.pad(x, {-1: 1}),
    "pad by one": lambda x: np.pad(x, (1,)),
    "pad by a pair": lambda x: np.pad(x, ((1, 2),)),
    "nanvar of too few": lambda x: np.nanvar(np.where(x > 5, x, np.nan), axis=0, ddof=2),
    "isclose of nan": lambda x: np.isclose(np.where(x > 5, x, np.nan), x, equal_nan=True) * x,
    "a list by a value": lambda x: [[1.0, 2.0, 3.0]] @ x,
    "divmod": lambda x: divmod(x, 3.0)[0] + divmod(3.0, x)[1],
    "the largest of none": lambda x: np.max(x[:, :0], axis=1, initial=3.0),
}


@pytest.mark.filterwarnings("ignore:Degrees of freedom")
@pytest.mark.parametrize("name", CALLS)
def test_a_call_as_in_numpy(name):
    graph = graphc.trace(CALLS[name], X)
    np.testing.assert_allclose(graphc.compile(graph)(X), CALLS[name](X))


SIZES = {
    "10 // n": lambda n: 10 // n,
    "10 % n": lambda n: 10 % n,
    "n % 3": lambda n: n % 3,
    "-n + 7": lambda n: -n + 7,
    "n * n // n": lambda n: n * n // n,
    "3 * n % n": lambda n: 3 * n % n,
}


@pytest.mark.parametrize("text", SIZES)
def test_arithmetic_of_sizes(text):
    size = SIZES[text](Dim.named("n"))
    assert [substitute(size, {"n": n}) for n in (2, 3, 7)] == [SIZES[text](n) for n in (2, 3, 7)]


def test_a_type_reads_its_sizes_as_python_does():
    shape = parse_type("f64[min(n, 3), max(2, n - 4), n % 4]").shape
    assert [substitute(size, {"n": 7}) for size in shape] == [3, 3, 3]
