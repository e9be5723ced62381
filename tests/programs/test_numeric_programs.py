"""NumPy programs traced unchanged: value, gradient, second derivatives where they are the point.

The gradients are checked against HIPS autograd, which runs the same source with its NumPy in the
place of NumPy, and Black and Scholes' against their closed forms.
"""

import autograd
import autograd.numpy as anp
import autograd.scipy.signal as anp_signal
import autograd.scipy.special as anp_special
import numpy as np
import pytest
from scipy.stats import norm

import graphc
from tests.programs import numeric

RNG = np.random.default_rng(8)
N = RNG.normal
X = N(size=(12, 3))
SEEN = RNG.random((5, 4)) > 0.3
# A function, its operands, and the options that are no arrays.
CASES = {
    "k-means": (numeric.kmeans_objective, (N(size=(20, 2)), N(size=(4, 2))), ()),
    "logistic regression": (
        numeric.logistic_regression,
        (N(size=3), 0.2, X, np.sign(N(size=12)), 0.1),
        (),
    ),
    "softmax regression": (
        numeric.softmax_regression,
        (N(size=(3, 4)), X, np.eye(4)[RNG.integers(0, 4, 12)], 0.01),
        (),
    ),
    "huber regression": (numeric.huber_regression, (N(size=3), X, N(size=12), 1.35), ()),
    "soft DTW": (numeric.soft_dtw, (N(size=5), N(size=4), 0.7), ()),
    "Black-Scholes": (numeric.black_scholes_call, (101.0, 95.0, 0.6, 0.03, 0.25), ()),
    "Lotka-Volterra": (
        numeric.lotka_volterra_fit,
        (np.array([1.1, 0.4, 0.1, 0.4]), np.array([10.0, 5.0]), 5 + N(size=(6, 2)), 0.1),
        (),
    ),
    "two bodies": (
        numeric.two_body_energy,
        (N(size=(2, 3)), N(size=(2, 3)), np.array([1.0, 0.3]), 1.2),
        (),
    ),
    "Ising": (numeric.ising_energy, (N(size=(4, 5)), 1.0, 0.3), ()),
    "spline": (
        lambda x, y, at: numeric.np.sum(numeric.natural_spline(x, y, at) ** 2),
        (np.array([0.0, 0.7, 1.5, 2.0, 3.1]), N(size=5), np.array([0.1, 0.8, 1.2, 1.7, 2.9])),
        (),
    ),
    "FIR filter": (numeric.fir_filter_error, (N(size=4), N(size=20), N(size=20)), ()),
    "shooting": (numeric.shooting_error, (1.3, 0.2, 0.8), (10, 2.0)),
    "heat equation": (
        numeric.heat_equation_misfit,
        (0.5 + RNG.random(7), N(size=8), N(size=8)),
        (5, 0.1),
    ),
    "matrix factorisation": (
        numeric.matrix_factorisation,
        (N(size=(5, 2)), N(size=(4, 2)), N(size=(5, 4)), SEEN.astype(float), 0.05),
        (),
    ),
    "Lennard-Jones": (numeric.lennard_jones, (2 * N(size=(5, 3)), 1.0, 1.0), ()),
}


@pytest.fixture(params=CASES, scope="module")
def case(request):
    function, arrays, options = CASES[request.param]
    graph = graphc.trace(lambda *xs: function(*xs, *options), *arrays)
    compiled = graphc.compile(graph, wrt=graph.input_names)
    return function, arrays, options, graph, compiled


def test_the_value_is_numpys(case):
    function, arrays, options, graph, compiled = case
    wanted = function(*arrays, *options)
    np.testing.assert_allclose(compiled(*arrays), wanted, rtol=1e-12)
    np.testing.assert_allclose(graph(*arrays), wanted, rtol=1e-12)


class Theirs:
    """autograd's NumPy, with the convolution that it differentiates."""

    convolve = staticmethod(anp_signal.convolve)

    def __getattr__(self, name):
        return getattr(anp, name)


def test_gradients_are_autograds(case, monkeypatch):
    function, arrays, options, _, compiled = case
    value, grads = compiled.value_and_grad(*arrays)
    _, saved = compiled.forward(*arrays)
    monkeypatch.setattr(numeric, "np", Theirs())
    monkeypatch.setattr(numeric, "erf", anp_special.erf)
    theirs = autograd.value_and_grad(lambda xs: function(*xs, *options))(arrays)
    np.testing.assert_allclose(value, theirs[0], rtol=1e-12)
    for found in (grads, compiled.backward(saved)):
        for ours, wanted in zip(found, theirs[1], strict=True):
            np.testing.assert_allclose(ours, wanted, rtol=1e-9, atol=1e-11)


def test_gradients_are_slopes(case):
    _, arrays, _, graph, _ = case
    assert graphc.check_grads(graph, *arrays).ok


def test_exported_code_stands_alone(case, tmp_path):
    _, arrays, _, _, compiled = case
    path = tmp_path / "module_grad.py"
    compiled.export(path)
    names = {}
    exec(compile(path.read_text(), str(path), "exec"), names)
    value, grads = names["value_and_grad"](*arrays)
    wanted = compiled.value_and_grad(*arrays)
    np.testing.assert_allclose(value, wanted[0], rtol=1e-13)
    for one, other in zip(grads, wanted[1], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


# -- the Greeks ------------------------------------------------------------------------------------

MARKET = {"S": 101.0, "K": 95.0, "T": 0.6, "r": 0.03, "sigma": 0.25}


def closed_forms(S, K, T, r, sigma):
    """First and second derivatives of the price, as the textbooks give them.

    E. G. Haug, "The Complete Guide to Option Pricing Formulas" (2007), chapter 2.
    """
    root = np.sqrt(T)
    d1 = (np.log(S / K) + (r + sigma**2 / 2) * T) / (sigma * root)
    d2 = d1 - sigma * root
    discount, density = np.exp(-r * T), norm.pdf(d1)
    vega = S * density * root
    return {
        "S": norm.cdf(d1),
        "K": -discount * norm.cdf(d2),
        "T": S * density * sigma / (2 * root) + r * K * discount * norm.cdf(d2),
        "r": K * T * discount * norm.cdf(d2),
        "sigma": vega,
        "S S": density / (S * sigma * root),
        "S sigma": -density * d2 / sigma,
        "sigma sigma": vega * d1 * d2 / sigma,
        "S T": density * (r / (sigma * root) - d2 / (2 * T)),
        "S r": density * root / sigma,
        "K K": discount * norm.pdf(d2) / (K * sigma * root),
    }


def price():
    return graphc.trace(numeric.black_scholes_call, *MARKET.values())


def test_all_greeks_of_first_order():
    grads = graphc.compile(price(), wrt=tuple(MARKET)).value_and_grad(**MARKET)[1]
    wanted = closed_forms(**MARKET)
    for name in MARKET:
        assert getattr(grads, name) == pytest.approx(wanted[name], rel=1e-13)


def test_all_greeks_of_second_order():
    at = np.array(list(MARKET.values()))
    graph = graphc.trace(lambda market: numeric.black_scholes_call(*market), "f64[5]")
    hessian = graphc.compile(graphc.hessian(graph))(at)
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-10, atol=1e-12)
    order = list(MARKET)
    for name, wanted in closed_forms(**MARKET).items():
        if " " in name:
            i, j = (order.index(part) for part in name.split())
            assert hessian[i, j] == pytest.approx(wanted, rel=1e-11)


def test_greeks_of_a_whole_book():
    """The same source on arrays: every option of a book at once."""
    spots = np.linspace(80, 120, 9)
    graph = graphc.trace(
        lambda S: np.sum(numeric.black_scholes_call(S, 95.0, 0.6, 0.03, 0.25)), "f64[n]"
    )
    delta = graphc.grad(graph)
    gamma = graphc.grad(graphc.trace(lambda S: np.sum(delta(S)), "f64[n]"))
    wanted = closed_forms(spots, 95.0, 0.6, 0.03, 0.25)
    np.testing.assert_allclose(graphc.compile(delta)(spots), wanted["S"], rtol=1e-13)
    np.testing.assert_allclose(graphc.compile(gamma)(spots), wanted["S S"], rtol=1e-11)


# -- what the gradients are for --------------------------------------------------------------------


def test_a_shot_finds_its_target():
    """Newton's method on the end angle: the derivative of a trajectory by its start."""
    graph = graphc.trace(lambda v: numeric.shooting_error(v, 0.1, 0.8, 20, 2.0), "f64")
    compiled = graphc.compile(graph)
    velocity = 1.0
    for _ in range(60):
        error, grads = compiled.value_and_grad(velocity)
        if error < 1e-20:
            break
        # error = miss**2, so that Newton's step for the miss is 2 error / slope.
        velocity -= 2 * error / grads.v
    assert compiled(velocity) < 1e-20


def test_the_force_between_two_bodies_is_newtons():
    r, v = np.array([[0.0, 0, 0], [1.5, 0, 2.0]]), np.zeros((2, 3))
    graph = graphc.trace(
        lambda r: numeric.two_body_energy(r, v, np.array([2.0, 3.0]), 6.0), "f64[2, 3]"
    )
    _, grads = graphc.compile(graph).value_and_grad(r)
    force = 6.0 * 2.0 * 3.0 / 2.5**3 * (r[1] - r[0])
    np.testing.assert_allclose(-grads.r, [force, -force], rtol=1e-14)


def test_named_sizes_of_the_fits():
    """One compiled function for any number of points."""
    compiled = graphc.compile(
        graphc.trace(numeric.logistic_regression, "f64[d]", "f64", "f64[n, d]", "f64[n]", "f64")
    )
    for n, d in ((3, 2), (12, 3), (1, 1)):
        arrays = N(size=d), 0.3, N(size=(n, d)), np.sign(N(size=n)), 0.2
        np.testing.assert_allclose(
            compiled(*arrays), numeric.logistic_regression(*arrays), rtol=1e-13
        )
