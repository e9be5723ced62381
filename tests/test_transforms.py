"""jvp, hvp, jacobian, hessian: against each other, differences and closed forms."""

import numpy as np
import pytest

import graphc

RNG = np.random.default_rng(5)
X = RNG.normal(size=(3, 4))


def soft(x):
    return graphc.softmax(np.tanh(x) * x, axis=1) + np.sin(x[0]).sum()


FUNCTIONS = [
    lambda x: np.tanh(x) * np.exp(x),
    soft,
    lambda x: x @ x.T,
    lambda x: np.where(x > 0, np.sqrt(np.abs(x)), x * x),
    lambda x: graphc.logsumexp(x, axis=0),
    lambda x: np.maximum(x, 0.1)[[0, 0, 2]].cumsum(axis=1),
    lambda x: np.sum(x**3),
    lambda x: np.ones(3) + 0 * x.sum(),
]


def direction(function, x, t, h=1e-6):
    return (np.asarray(function(x + h * t)) - np.asarray(function(x - h * t))) / (2 * h)


@pytest.mark.parametrize("function", FUNCTIONS, ids=range(len(FUNCTIONS)))
def test_jvp_is_the_directional_derivative(function):
    g = graphc.trace(function, x=X)
    t = RNG.normal(size=X.shape)
    tangent = graphc.jvp(g)
    expected = direction(g, X, t)
    np.testing.assert_allclose(tangent(x=X, t_x=t), expected, rtol=1e-6, atol=1e-8)
    compiled = graphc.compile(tangent, ())
    np.testing.assert_allclose(compiled(X, t), expected, rtol=1e-6, atol=1e-8)
    np.testing.assert_array_equal(compiled(X, np.zeros_like(X)), 0 * expected)


@pytest.mark.parametrize("function", FUNCTIONS, ids=range(len(FUNCTIONS)))
def test_jacobian_holds_every_directional_derivative(function):
    g = graphc.trace(function, x=X)
    J = graphc.compile(graphc.jacobian(g), ())(X)
    assert J.shape == np.shape(g(X)) + X.shape
    t = RNG.normal(size=X.shape)
    np.testing.assert_allclose(
        np.tensordot(J, t, axes=2), graphc.jvp(g)(X, t), rtol=1e-12, atol=1e-14
    )


def test_an_infinite_partial_meets_no_tangent():
    g = graphc.trace(lambda x: np.where(x > 0, np.sqrt(x), 0.0), "f64[2]")
    np.testing.assert_allclose(graphc.jvp(g)(np.array([0.0, 4.0]), np.ones(2)), [0, 0.25])


def test_the_third_derivative_of_a_square_is_no_product_with_zero():
    g = graphc.trace(lambda x: (x[1:] * x[:-1] ** 2).sum(), x="f64[3]")
    f = graphc.compile(graphc.hessian(g))
    assert "* 0.0" not in f.source
    _, saved = f.forward(np.array([np.inf, 1.0, 2.0]))
    # x0^2 x1 + x1^2 x2: by x of a sum with a matrix c of cotangents, at infinity as well.
    c = np.arange(9.0).reshape(3, 3)
    expected = 2.0 * np.array([c[0, 1] + c[1, 0], c[0, 0] + c[1, 2] + c[2, 1], c[1, 1]])
    np.testing.assert_allclose(f.backward(saved, c).x, expected, rtol=1e-15)


def test_several_arguments_and_outputs_in_containers():
    @graphc.trace(params=graphc.param({"W": "f64[3, 2]", "b": "f64[2]"}), x="f64[n, 3]")
    def net(params, x):
        h = np.tanh(x @ params["W"] + params["b"])
        return {"h": h, "loss": (h * h).sum()}

    params = {"W": RNG.normal(size=(3, 2)), "b": RNG.normal(size=2)}
    t = {"W": RNG.normal(size=(3, 2)), "b": RNG.normal(size=2)}
    x = RNG.normal(size=(5, 3))
    step = 1e-6
    moved = [net({k: params[k] + sign * step * t[k] for k in params}, x).h for sign in (1, -1)]
    found = graphc.compile(graphc.jvp(net), ())(params, x, t)
    np.testing.assert_allclose(found.t_h, (moved[0] - moved[1]) / (2 * step), rtol=1e-6, atol=1e-8)
    gradient = graphc.compile(net, of="loss")
    grads = [
        gradient.value_and_grad({k: params[k] + sign * step * t[k] for k in params}, x)[1].params
        for sign in (1, -1)
    ]
    product = graphc.compile(graphc.hvp(net, of="loss"), ())(params, x, t)
    for leaf, key in (("hv_params_W", "W"), ("hv_params_b", "b")):
        expected = (grads[0][key] - grads[1][key]) / (2 * step)
        np.testing.assert_allclose(getattr(product, leaf), expected, rtol=1e-6, atol=1e-7)


def test_hessian_in_closed_form():
    A = RNG.normal(size=(4, 4))
    g = graphc.trace(lambda x: 0.5 * x @ A @ x, "f64[4]")
    np.testing.assert_allclose(graphc.hessian(g)(np.ones(4)), (A + A.T) / 2, rtol=1e-13)
    v = RNG.normal(size=4)
    np.testing.assert_allclose(graphc.hvp(g)(np.ones(4), v), (A + A.T) / 2 @ v, rtol=1e-12)


def test_hessian_of_logistic_regression():
    x, y = RNG.normal(size=(20, 5)), RNG.choice([-1.0, 1.0], size=20)
    g = graphc.trace(
        lambda x, y, w: graphc.softplus(-y * (x @ w)).sum(), "f64[m, 5]", "f64[m]", "f64[5]"
    )
    w = RNG.normal(size=5)
    p = 1 / (1 + np.exp(-(x @ w)))
    expected = x.T @ ((p * (1 - p))[:, None] * x)
    found = graphc.compile(graphc.hessian(g, "w"), ())
    np.testing.assert_allclose(found(x, y, w), expected, rtol=1e-12)
    assert found(x, y, w).shape == (5, 5)


def test_hessian_of_an_elementwise_sum_is_diagonal_at_any_size():
    g = graphc.trace(lambda x: (x**4).sum(), "f64[n]")
    x = RNG.normal(size=6)
    np.testing.assert_allclose(graphc.hessian(g)(x), np.diag(12 * x * x), rtol=1e-13)


@pytest.mark.parametrize(
    "transform", [graphc.grad, graphc.vjp, graphc.value_and_grad, graphc.hessian]
)
def test_a_naive_composition_takes_its_stable_form_first(transform):
    g = graphc.trace(lambda x: np.log(graphc.sigmoid(x)), x="f64")
    given = (-800.0, 1.0) if transform is graphc.vjp else (-800.0,)
    for stable in (True, False):
        found = graphc.compile(transform(g, stable=stable), (), stable=stable)
        with np.errstate(all="ignore"):
            last = np.ravel(found(*given))[-1]
        expected = 0.0 if transform is graphc.hessian else 1.0
        assert last == expected if stable else np.isnan(last)


# -- structure -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (lambda x: np.maximum(0, x), "diagonal"),
        (lambda x: np.exp(x) * 3 + x / 2, "diagonal"),
        (lambda x: np.where(x > x.sum(), x, -x), "diagonal"),
        (lambda x: np.floor(x) + 1, "zero"),
        (lambda x: (x > 0).astype(np.float64), "zero"),
        (lambda x: x - x.mean(), "dense"),
        (lambda x: x[::-1], "dense"),
        (lambda x: x.sum(), "dense"),
        (lambda x: x * graphc.stop_gradient(x).sum(), "diagonal"),
    ],
)
def test_structure(function, kind):
    g = graphc.trace(function, "f64[6]")
    structure = graphc.jacobian_structure(g)
    x = RNG.normal(size=6)
    J = graphc.compile(graphc.jacobian(g), ())(x)
    expected = np.stack([direction(g, x, e) for e in np.eye(6)], axis=-1)
    if (
        "stop" not in function.__code__.co_names
        and "stop_gradient" not in function.__code__.co_names
    ):
        np.testing.assert_allclose(J, expected, rtol=1e-6, atol=1e-8)
    assert structure.kind == kind
    if kind == "diagonal":
        np.testing.assert_array_equal(J, np.diag(np.diagonal(J)))
    assert np.count_nonzero(J) <= structure.nonzeros


def test_the_lectures_relu_is_never_formed():
    relu = graphc.trace(lambda x: np.maximum(0, x), "f64[100, 4096]")
    structure = graphc.jacobian_structure(relu)
    assert (structure.kind, structure.rows, structure.columns) == ("diagonal", 409600, 409600)
    one = graphc.jacobian_structure(graphc.trace(lambda x: np.maximum(0, x), "f64[4096]"))
    assert str(one) == "4096 x 4096, diagonal: 4096 entries"
    named = graphc.jacobian_structure(graphc.trace(lambda x: np.maximum(0, x), "f64[n]"))
    assert str(named) == "n x n, diagonal: n entries"


def test_a_diagonal_jacobian_of_a_matrix():
    g = graphc.trace(lambda x: x**2, "f64[n, 2]")
    x = RNG.normal(size=(3, 2))
    J = graphc.compile(graphc.jacobian(g), ())(x)
    assert J.shape == (3, 2, 3, 2)
    np.testing.assert_allclose(J.reshape(6, 6), np.diag(2 * x.ravel()), rtol=1e-14)


def test_f32_stays_f32():
    g = graphc.trace(lambda x: (np.tanh(x) ** 2).sum(), "f32[3]")
    x = np.ones(3, np.float32)
    assert graphc.hessian(g)(x).dtype == np.float32
    assert graphc.hvp(g)(x, x).dtype == np.float32
    assert graphc.jvp(g)(x, x).dtype == np.float32


@graphc.primitive(result=lambda x: x)
def reverse(x):
    return x[::-1].copy(), None


@reverse.vjp
def _(saved, d_y):
    return d_y[::-1].copy()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: graphc.jacobian(graphc.trace(lambda x: reverse(x), "f64[n]")),
            r"the output is f64\[n\].*give sizes as numbers",
        ),
        (
            lambda: graphc.jacobian(graphc.trace(lambda x, y: x * y, "f64", "f64")),
            "by one array; there are x, y: pass wrt=",
        ),
        (
            lambda: graphc.jacobian(graphc.trace(lambda x: {"a": x, "b": x + 1}, "f64")),
            "of one output; .* has a, b: pass of=",
        ),
        (
            lambda: graphc.jacobian(graphc.trace(lambda x: {"a": x, "b": x + 1}, "f64"), of="c"),
            "has no output 'c'",
        ),
        (lambda: graphc.hvp(graphc.trace(lambda x: x * 2, "f64[3]")), "needs one scalar output"),
        (
            lambda: graphc.jacobian(graphc.trace(lambda x: reverse(x), "f64[5000]")),
            "at most 4096 elements",
        ),
    ],
)
def test_errors(make, message):
    with pytest.raises(graphc.GraphError, match=message):
        make()
