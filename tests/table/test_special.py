"""Special functions as users call them: on values, on arrays, and where SciPy is missing."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.special

import graphc

X = np.array([0.2, 0.5, 0.9])


def derivative(function):
    f = graphc.compile(graphc.trace(lambda x: function(x).sum(), "f64[3]"))
    return f.value_and_grad(X)[1].x


@pytest.mark.parametrize("order", range(5))
def test_polygamma_of_every_order_and_its_derivative(order):
    np.testing.assert_allclose(graphc.polygamma(order, X), scipy.special.polygamma(order, X))
    found = derivative(lambda x: graphc.polygamma(order, x))
    np.testing.assert_allclose(found, scipy.special.polygamma(order + 1, X), rtol=1e-12)


@pytest.mark.parametrize(
    ("order", "error", "message"),
    [
        (-1, graphc.GraphValueError, "the order is -1"),
        (1.0, graphc.GraphTypeError, "the order is an int"),
        (True, graphc.GraphTypeError, "the order is an int"),
    ],
)
def test_polygamma_of_no_order(order, error, message):
    with pytest.raises(error, match=message):
        graphc.polygamma(order, X)


def test_beta_is_scipys():
    a, b = np.array([0.3, 2.0, 5.5]), X
    np.testing.assert_allclose(graphc.beta(a, b), scipy.special.beta(a, b), rtol=1e-14)


def test_beta_of_negative_operands():
    """Below 0 the sign of gamma changes from one integer to the next."""
    grid = np.array([-3.7, -3.2, -2.5, -1.1, -0.6, -0.25, 0.3, 1.0, 2.4])
    a, b = (x.ravel() for x in np.meshgrid(grid, grid))
    apart = np.abs(a + b - np.round(a + b)) > 1e-9
    a, b = a[apart | (a + b > 0.5)], b[apart | (a + b > 0.5)]
    wanted = scipy.special.beta(a, b)
    assert (wanted < 0).sum() > 10
    np.testing.assert_allclose(graphc.beta(a, b), wanted, rtol=1e-12)
    graph = graphc.trace(lambda a, b: graphc.beta(a, b).sum(), "f64[n]", "f64[n]")
    _, grads = graphc.compile(graph).value_and_grad(a, b)
    psi = scipy.special.psi
    np.testing.assert_allclose(grads.a, wanted * (psi(a) - psi(a + b)), rtol=1e-10)
    np.testing.assert_allclose(grads.b, wanted * (psi(b) - psi(a + b)), rtol=1e-10)


def test_beta_of_a_positive_number_has_no_sign_to_ask_for():
    source = graphc.compile(graphc.trace(lambda: graphc.beta(2.5, graphc.constant(1.5)))).source
    assert "floor" not in source


def test_numpys_i0_is_traced_and_differentiated():
    f = graphc.compile(graphc.trace(lambda x: np.i0(x).sum(), "f64[3]"))
    value, grads = f.value_and_grad(X)
    assert value == pytest.approx(np.i0(X).sum(), rel=1e-14)
    np.testing.assert_allclose(grads.x, scipy.special.i1(X), rtol=1e-14)


def test_scales_of_activations():
    x = np.array([-2.0, -0.5, 0.0, 0.7])
    np.testing.assert_array_equal(graphc.leaky_relu(x), np.where(x > 0, x, 0.01 * x))
    np.testing.assert_array_equal(graphc.leaky_relu(x, 0.3), np.where(x > 0, x, 0.3 * x))
    np.testing.assert_allclose(graphc.elu(x, 2.0), np.where(x > 0, x, 2 * np.expm1(x)))
    np.testing.assert_array_equal(graphc.elu(x, 1.0), graphc.elu(x))
    np.testing.assert_allclose(graphc.huber(x, 0.6), scipy.special.huber(0.6, x))
    np.testing.assert_allclose(graphc.gelu(x, approximate=True), graphc.gelu(x), atol=1e-3)
    assert np.abs(graphc.gelu(x, approximate=True) - graphc.gelu(x)).max() > 1e-6


def test_scipys_huber_has_its_operands_the_other_way_round():
    traced = graphc.trace(lambda r: scipy.special.huber(0.5, r), "f64[3]")
    np.testing.assert_allclose(graphc.compile(traced)(X), scipy.special.huber(0.5, X))


def test_a_wrong_number_of_operands():
    with pytest.raises(graphc.GraphTypeError, match=r"erfinv\(x\) is given 2 operands"):
        graphc.erfinv(X, X)


def test_a_ufunc_that_is_not_traced_is_named():
    with pytest.raises(graphc.GraphTypeError, match="ellipk is not traced"):
        graphc.trace(lambda x: scipy.special.ellipk(x), "f64[3]")


@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_more_of_numpys_ufuncs(dtype):
    x = np.array([-1.75, 0.0, 2.25], np.float32 if dtype == "f32" else np.float64)
    for function in (
        lambda x: np.modf(x)[0],
        lambda x: np.modf(x)[1],
        lambda x: np.ldexp(x, 3),
        np.signbit,
        np.fabs,
        np.cbrt,
        np.exp2,
        np.deg2rad,
        np.sinc,
    ):
        found = graphc.compile(graphc.trace(function, f"{dtype}[3]"))(x)
        wanted = function(x)
        np.testing.assert_allclose(found, wanted, rtol=1e-6 if dtype == "f32" else 1e-15)
        assert found.dtype == wanted.dtype


def test_without_scipy_the_error_says_what_to_install():
    program = """
import sys
sys.modules["scipy"] = None
import graphc, numpy as np
f = graphc.compile(graphc.trace(lambda x: graphc.sigmoid(x).sum(), "f64[3]"))
f(np.zeros(3))
g = graphc.trace(lambda x: graphc.erfinv(x).sum(), "f64[3]")
for attempt in (lambda: graphc.compile(g)(np.zeros(3)), lambda: graphc.erfinv(np.zeros(3))):
    try:
        attempt()
    except graphc.GraphError as error:
        assert "pip install 'graphc[special]'" in str(error), error
    else:
        raise AssertionError("no error")
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
