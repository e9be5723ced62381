"""Least squared distances: found by a search, equal to the minimum of all of them."""

from __future__ import annotations

import numpy as np
import pytest

import graphc
from graphc.interpret import evaluate_outputs
from graphc.rewrite import simplify, stabilise, stabilise_log
from graphc.verify import verify

N, K, D = 700, 100, 3
RULE = "nearest_centre"


def spellings():
    def differences(x, c):
        return ((x[:, None] - c) ** 2).sum(axis=2).min(axis=1)

    def turned(x, c):
        apart = c[:, None, :] - x[None, :, :]
        return np.sum(apart * apart, axis=-1).min(axis=0)

    def features_first(x, c):
        return np.square(x.T[:, :, None] - c.T[:, None, :]).sum(axis=0).min(axis=1)

    def indices(x, c):
        apart = x[:, None] - c
        return np.einsum("nkd,nkd->nk", apart, apart).min(1)

    def products(x, c):
        return ((x * x).sum(1)[:, None] - 2.0 * (x @ c.T) + (c * c).sum(1)).min(axis=1)

    def products_kept(x, c):
        both = np.sum(x**2, axis=1, keepdims=True) + np.sum(c**2, axis=1)
        return np.min(both + -2 * np.einsum("nd,kd->nk", x, c), axis=1, keepdims=True)[:, 0]

    def products_turned(x, c):
        squares = np.einsum("ij,ij->i", c, c)[:, None] + np.einsum("ij,ij->i", x, x)[None, :]
        return (squares - c @ x.T * 2).min(axis=0)

    return locals()


def other():
    """What looks alike and means something else."""

    def farthest(x, c):
        return ((x[:, None] - c) ** 2).sum(axis=2).max(axis=1)

    def other_factor(x, c):
        return ((x * x).sum(1)[:, None] - 3.0 * (x @ c.T) + (c * c).sum(1)).min(axis=1)

    def other_squares(x, c):
        return ((x * x).sum(1)[:, None] - 2.0 * (x @ c.T) + (c * c + 1).sum(1)).min(axis=1)

    def sums(x, c):
        return ((x[:, None] + c) ** 2).sum(axis=2).min(axis=1)

    def over_all(x, c):
        return ((x[:, None] - c) ** 2).sum(axis=2).min() + 0 * x[:, 0]

    def of_one(x, c):
        return ((x[:, None] - x) ** 2).sum(axis=2).min(axis=1)[: len(c)].sum() + 0 * x[:, 0]

    return locals()


SPELLINGS = spellings()


def data(dtype="f64", seed=0):
    rng = np.random.default_rng(seed)
    x, c = rng.normal(size=(N, D)), rng.normal(size=(K, D))
    return (x.astype(np.float32), c.astype(np.float32)) if dtype == "f32" else (x, c)


def cost(spelling):
    def loss(x, c, w):
        return (spelling(x, c) * w).sum()

    return loss


def expected(x, c, w):
    """Cost and gradients, with the distances split evenly where several are least."""
    apart = x[:, None] - c
    distances = (apart * apart).sum(2)
    least = distances.min(1, keepdims=True)
    share = (distances == least) / (distances == least).sum(1, keepdims=True)
    d_apart = 2 * apart * (share * w[:, None])[:, :, None]
    return (least[:, 0] * w).sum(), d_apart.sum(1), -d_apart.sum(0)


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_every_spelling(name, dtype):
    x, c = data(dtype)
    w = np.linspace(-1, 2, N).astype(x.dtype)
    graph = graphc.trace(cost(SPELLINGS[name]), x, c, w)
    assert [one.rule for one in stabilise_log(graph)] == [RULE]
    stable = verify(stabilise(graph))
    values = {"x": x, "c": c, "w": w}
    (found,) = evaluate_outputs(stable, values).values()
    (simple,) = evaluate_outputs(verify(simplify(stable)), values).values()
    (naive,) = evaluate_outputs(graph, values).values()
    rtol = 1e-11 if dtype == "f64" else 2e-4
    np.testing.assert_allclose([found, simple], naive, rtol=rtol)
    f = graphc.compile(graph, wrt=("x", "c"), cache=False)
    assert "_nearest(" in f.source
    value, grads = f.value_and_grad(x, c, w)
    assert value.dtype == x.dtype
    for one, two in zip((value, *grads), expected(x, c, w), strict=True):
        np.testing.assert_allclose(one, two, rtol=rtol, atol=rtol * 10)
    _, saved = f.forward(x, c, w)
    for one, two in zip(f.backward(saved), grads, strict=True):
        np.testing.assert_allclose(one, two, rtol=rtol, atol=rtol)


OTHER = other()


@pytest.mark.parametrize("name", OTHER)
def test_what_looks_alike_stays(name):
    x, c = data()
    graph = graphc.trace(cost(OTHER[name]), x, c, np.ones(N))
    if name == "of_one":
        assert RULE in [one.rule for one in stabilise_log(graph)]  # the same points twice
    else:
        assert RULE not in [one.rule for one in stabilise_log(graph)]


def test_the_rule_may_be_refused():
    x, c = data()
    graph = graphc.trace(cost(SPELLINGS["differences"]), x, c, np.ones(N))
    assert stabilise(graph, rules=()) is graph
    assert "_nearest(" not in graphc.compile(graph, wrt="c", stable=False, cache=False).source
    assert [one.rule for one in stabilise_log(graph, rules=(RULE,))] == [RULE]


def test_distances_used_elsewhere_stay():
    """A mask of the nearest compares with the very distances; and few are computed at once."""

    def masked(x, c):
        distances = ((x[:, None] - c) ** 2).sum(axis=2)
        return (distances.min(axis=1, keepdims=True) == distances).sum() * c.sum()

    x, c = data()
    assert stabilise_log(graphc.trace(masked, x, c)) == []
    few = graphc.trace(cost(SPELLINGS["differences"]), x[:50], c, np.ones(50))
    assert stabilise_log(few) == []


def test_a_gradient_graph_keeps_its_comparison():
    x, c = data()
    graph = graphc.grad(graphc.trace(cost(SPELLINGS["differences"]), x, c, np.ones(N)), wrt="c")
    found = graphc.compile(graph, cache=False)(x, c, np.ones(N))
    np.testing.assert_allclose(found, expected(x, c, np.ones(N))[2], rtol=1e-11, atol=1e-11)


def test_ties_share_evenly():
    rng = np.random.default_rng(3)
    x, c = rng.integers(-4, 5, (N, 2)) * 0.5, rng.integers(-2, 3, (K, 2)) * 1.0
    w = rng.normal(size=N)
    for name in ("differences", "products"):
        graph = graphc.trace(cost(SPELLINGS[name]), x, c, w)
        f = graphc.compile(graph, wrt=("x", "c"), cache=False)
        value, grads = f.value_and_grad(x, c, w)
        for one, two in zip((value, *grads), expected(x, c, w), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e7])
def test_what_is_nearly_tied_is_told_apart(offset):
    """Points beside the bisectors of neighbours, far from the origin."""
    c = np.arange(K)[:, None] * 1.0 + offset
    aside = np.array([-1e-7, -1e-9, 0.0, 1e-9, 1e-7])[np.arange(N) % 5, None]
    x = c[np.arange(N) % (K - 1)] + 0.5 + aside
    w = np.ones(N)
    f = graphc.compile(graphc.trace(cost(SPELLINGS["differences"]), x, c, w), wrt="c", cache=False)
    value, d_c = f.value_and_grad(x, c, w)
    exact, _, d_exact = expected(x, c, w)
    np.testing.assert_allclose(value, exact, rtol=1e-14)
    np.testing.assert_allclose(d_c, d_exact, rtol=1e-12, atol=1e-12)


def test_named_sizes_and_second_derivatives():
    def loss(x, c):
        return (SPELLINGS["differences"](x, c) ** 2).sum()

    graph = graphc.trace(loss, "f64[n, d]", graphc.param("f64[k, d]"))
    x, c = data()
    f = graphc.compile(graph, cache=False)
    assert "_nearest(" in f.source
    for n, k in ((N, K), (1, 1), (1025, 7), (0, 3)):
        points, centres = np.resize(x, (n, D)), c[:k]
        value, grads = f.value_and_grad(points, centres)
        apart = points[:, None] - centres
        least = (apart * apart).sum(2).min(1)
        np.testing.assert_allclose(value, (least * least).sum(), rtol=1e-12)
        d_c = expected(points, centres, 2 * least)[2]
        np.testing.assert_allclose(grads.c, d_c, rtol=1e-11, atol=1e-11)
    hvp = graphc.compile(graphc.hvp(graph), cache=False)
    u = np.random.default_rng(9).normal(size=c.shape)
    step = 1e-6
    ends = [f.value_and_grad(x, c + sign * step * u)[1].c for sign in (1, -1)]
    found = hvp(x, c, u)
    np.testing.assert_allclose(found, (ends[0] - ends[1]) / (2 * step), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("scale", [1.0, 1e25, 1e-30])
def test_any_scale(scale):
    x, c = data()
    f = graphc.compile(
        graphc.trace(cost(SPELLINGS["differences"]), x, c, np.ones(N)), wrt="c", cache=False
    )
    value, d_c = f.value_and_grad(x * scale, c * scale, np.ones(N))
    exact, _, d_exact = expected(x * scale, c * scale, np.ones(N))
    np.testing.assert_allclose(value, exact, rtol=1e-12)
    np.testing.assert_allclose(d_c, d_exact, rtol=1e-10, atol=1e-10 * scale)


def test_nan_is_no_distance():
    x, c = data()
    f = graphc.compile(graphc.trace(SPELLINGS["differences"], x, c), cache=False)
    x[3, 1] = np.nan
    found = f(x, c)
    assert np.isnan(found[3])
    others = np.arange(N) != 3
    apart = x[others][:, None] - c
    np.testing.assert_allclose(found[others], (apart * apart).sum(2).min(1), rtol=1e-12)
