"""Programs of scientific computing, traced unchanged: NumPy's value, and gradients that are slopes
of it."""

import numpy as np
import pytest

import graphc
from tests.programs import science

RNG = np.random.default_rng(15)
N = RNG.normal
OF_CAMERA, OF_POINT = np.array([0, 1, 2, 0, 1, 2, 1]), np.array([0, 1, 2, 3, 4, 0, 1])
OBSERVED = [0, 1, 3, 2, 1, 0, 0, 2]
# name: (function, operands, what is known while it is traced)
CASES = {
    "quaternion": (science.quaternion_fit, (N(size=4), N(size=(6, 3)), N(size=(6, 3))), ()),
    "bundle adjustment": (
        science.reprojection_error,
        (N(size=(3, 11)), N(size=(5, 3)) + np.array([0, 0, 9.0]), N(size=(7, 2))),
        (OF_CAMERA, OF_POINT),
    ),
    "skinning": (
        science.skinning_error,
        (N(size=(4, 3, 4)), RNG.dirichlet(np.ones(4), 9), N(size=(9, 3)), N(size=(9, 3))),
        (),
    ),
    "portfolio": (science.negative_sharpe, (N(size=5), 0.01 * N(size=(60, 5))), ()),
    "hidden Markov": (
        science.hmm_log_likelihood,
        (N(size=(3, 3)), N(size=3), N(size=(3, 4))),
        (OBSERVED,),
    ),
    "RBF network": (
        science.rbf_network_loss,
        (N(size=(30, 2)), N(size=30), N(size=(6, 2)), N(size=6), N(size=7)),
        (),
    ),
    "Gauss-Newton": (science.gauss_newton_step, (N(size=3), np.linspace(0, 2, 15), N(size=15)), ()),
    "SIR": (science.sir_misfit, (0.4, 0.1, np.array([0.99, 0.01, 0.0]), RNG.random(20)), ()),
    "Poisson": (science.poisson_residual, (N(size=(12, 13)), N(size=(12, 13)), 0.1), ()),
    "Sinkhorn": (
        science.sinkhorn_cost,
        (1 + RNG.random(6), RNG.random(4), RNG.random((6, 4))),
        (),
    ),
    "Kabsch": (science.kabsch_distance, (N(size=(10, 3)), N(size=(10, 3))), ()),
    "Cox": (science.cox_likelihood, (N(size=3), N(size=(20, 3)), RNG.random(20)), ()),
    "SSIM": (science.ssim, (N(size=(8, 8)), N(size=(8, 8))), ()),
}


@pytest.fixture(params=CASES, scope="module")
def case(request):
    function, arrays, known = CASES[request.param]
    graph = graphc.trace(lambda *xs: function(*xs, *known), *arrays)
    return function, arrays, known, graph


def test_the_value_is_numpys(case):
    function, arrays, known, graph = case
    wanted = function(*arrays, *known)
    np.testing.assert_allclose(graphc.compile(graph)(*arrays), wanted, rtol=1e-11)


def test_gradients_are_slopes(case):
    _, arrays, _, graph = case
    assert graphc.check_grads(graph, *arrays).ok


def test_hessian_products_are_slopes_of_the_gradient(case):
    """Along one random direction, by central differences of the emitted gradient."""
    _, arrays, _, graph = case
    gradient = graphc.compile(graph, wrt=graph.input_names)
    second = graphc.compile(graphc.hvp(graph, wrt=graph.input_names))
    rng = np.random.default_rng(3)
    along = [rng.normal(size=np.shape(x)) for x in arrays]

    def slopes(h):
        moved = [x + h * v for x, v in zip(arrays, along, strict=True)]
        return gradient.value_and_grad(*moved)[1]

    found = second(*arrays, *along)
    ours = found if isinstance(found, tuple) else (found,)
    h = 1e-5
    for one, high, low in zip(ours, slopes(h), slopes(-h), strict=True):
        wanted = (np.asarray(high) - low) / (2 * h)
        scale = 1 + np.abs(wanted).max()
        np.testing.assert_allclose(one / scale, wanted / scale, atol=1e-5)
