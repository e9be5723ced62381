"""The objective for scipy.optimize: layout, shared evaluations, Hessian products."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize

import graphc

NETS = runpy.run_path(str(Path(__file__).parent / "nets.py"))
net, nested, data = NETS["net"], NETS["nested"], NETS["data"]
BATCH = data(40)


@pytest.mark.parametrize("make", [net, nested])
def test_derivatives(make):
    loss = make()
    objective = graphc.scipy_objective(loss, graphc.init_params(loss, 1), BATCH)
    x0 = objective.x0
    value, gradient = objective.value_and_grad(x0)
    assert value == objective.fun(x0)
    np.testing.assert_array_equal(gradient, objective.jac(x0))
    assert x0.shape == (objective.size,) == (8 * 16 + 16 + 16 * 3 + 3,)
    rng = np.random.default_rng(0)
    for _ in range(3):
        p = rng.normal(size=objective.size)
        numerical = (objective.fun(x0 + 1e-6 * p) - objective.fun(x0 - 1e-6 * p)) / 2e-6
        assert objective.jac(x0) @ p == pytest.approx(numerical, rel=1e-7)
        numerical = (objective.jac(x0 + 1e-6 * p) - objective.jac(x0 - 1e-6 * p)) / 2e-6
        np.testing.assert_allclose(objective.hessp(x0, p), numerical, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("method", ["Newton-CG", "trust-krylov", "L-BFGS-B"])
def test_minimise(method):
    @graphc.trace(x="f64[n, 8]", y="f64[n]", w=graphc.param("f64[8]"), c=graphc.param("f64"))
    def loss(x, y, w, c):
        return graphc.softplus(-y * (x @ w + c)).mean() + 0.01 * (w * w).sum()

    x, y = BATCH[0], np.where(BATCH[1] == 0, 1.0, -1.0)
    objective = graphc.scipy_objective(loss, {"w": np.zeros(8), "c": 0.0}, {"y": y, "x": x})
    second = {} if method == "L-BFGS-B" else {"hessp": objective.hessp}
    found = optimize.minimize(
        objective.fun, objective.x0, jac=objective.jac, method=method, **second
    )
    assert np.abs(objective.jac(found.x)).max() < 1e-4
    params = objective.params(found.x)
    assert params["w"].shape == (8,)
    assert graphc.compile(loss)(x, y, **params) == pytest.approx(found.fun)


def test_value_and_gradient_come_from_one_evaluation(monkeypatch):
    objective = graphc.scipy_objective(net(), graphc.init_params(net(), 1), BATCH)
    calls = []
    inner = objective._compiled.value_and_grad
    monkeypatch.setattr(
        objective._compiled, "value_and_grad", lambda *args: calls.append(1) or inner(*args)
    )
    x = objective.x0.copy()
    value, gradient = objective.fun(x), objective.jac(x)
    assert len(calls) == 1
    gradient[:] = 0  # the caller's own copy
    assert objective.jac(x).any()
    x += 0.1  # the same vector, moved in place
    assert objective.fun(x) != value
    assert len(calls) == 2


def test_f32_parameters_of_one_array_and_auxiliary_outputs():
    @graphc.trace(x="f32[n]", w=graphc.param("f32[3]"))
    def loss(x, w):
        error = (w[0] + w[1] * x + w[2] * x * x - np.tanh(x)) ** 2
        return {"worst": error.max(), "mean": error.mean()}

    x = np.linspace(-1, 1, 30, dtype=np.float32)
    objective = graphc.scipy_objective(loss, {"w": np.zeros(3, np.float32)}, (x,), of="mean")
    assert objective.x0.dtype == np.float64
    assert objective.params(objective.x0)["w"].dtype == np.float32
    assert objective.hessp(objective.x0, np.ones(3)).shape == (3,)
    assert objective.fun(objective.x0) == pytest.approx(float((np.tanh(x) ** 2).mean()), rel=1e-6)


def test_errors():
    loss, start = net(), graphc.init_params(net(), 1)
    with pytest.raises(graphc.GraphTypeError, match="the batch should be a tuple or dict of x, y"):
        graphc.scipy_objective(loss, start, BATCH[0])
    with pytest.raises(graphc.GraphTypeError, match="keys x; it should have x, y"):
        graphc.scipy_objective(loss, start, {"x": BATCH[0]})
    with pytest.raises(graphc.GraphTypeError, match="params has no key 'b2'"):
        graphc.scipy_objective(loss, {k: start[k] for k in ("W1", "b1", "W2")}, BATCH)
    objective = graphc.scipy_objective(loss, start, BATCH)
    with pytest.raises(graphc.GraphValueError, match=r"shape \(3,\); the parameters fill \(195,\)"):
        objective.fun(np.zeros(3))


def test_an_error_under_scipy_points_at_the_line_that_called_scipy():
    @graphc.trace(t="f64[n]", p=graphc.param("f64[2]"))
    def loss(t, p):
        return (p[0] * t).sum() + p[1]

    step = graphc.compile(loss).value_and_grad  # takes t first, SciPy gives p first
    with pytest.raises(graphc.GraphError, match=r"^test_objective\.py:\d+: loss\(\): p should be"):
        optimize.minimize(step, np.ones(2), args=(np.ones(5),), jac=True)
