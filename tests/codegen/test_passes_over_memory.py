"""Gradients of squares and products take as few passes over large arrays as by hand."""

import re

import numpy as np
import pytest

import graphc
from graphc.autodiff import grad
from graphc.interpret import evaluate_outputs


def lines_of(function, *arrays):
    """The lines of the gradient's function, after its gradients are compared."""
    graph = graphc.trace(function, *arrays)
    compiled = graphc.compile(graph, cache=False)
    names = [node.name for node in graph.inputs]
    expected = evaluate_outputs(grad(graph, wrt=names), dict(zip(names, arrays, strict=True)))
    _, grads = compiled.value_and_grad(*arrays)
    for name, found in zip(names, grads if isinstance(grads, tuple) else (grads,), strict=True):
        np.testing.assert_allclose(found, expected[f"d_{name}"], rtol=1e-12, atol=1e-13)
    body = compiled.source.partition("def value_and_grad")[2].partition("\ndef ")[0]
    return [line.strip() for line in body.splitlines()]


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(60, 70))


def test_half_a_square_needs_no_factor(x):
    lines = lines_of(lambda x: 0.5 * (x * x).sum() + (x * np.sin(x)).sum(), x)
    assert not any("0.5" in line for line in lines if line.startswith("d_"))
    assert not any("* 1.0" in line or "*= 1.0" in line for line in lines)


def test_powers_of_two_go_to_the_number(x):
    @graphc.trace(x="f64[n]", mu=graphc.param("f64"), scale=graphc.param("f64"))
    def loss(x, mu, scale):
        z = (x - mu) / scale
        return (0.5 * z**2).mean()

    compiled = graphc.compile(loss, cache=False)
    _, grads = compiled.value_and_grad(x[0], 0.5, 2.0)
    np.testing.assert_allclose(grads.mu, np.mean(0.5 - x[0]) / 4, rtol=1e-12)
    body = compiled.source.partition("def value_and_grad")[2].partition("\ndef ")[0]
    lines = [line.strip() for line in body.splitlines()]
    assert not any("2.0" in line for line in lines if line.startswith("d_"))


def test_a_sign_is_not_changed_twice(x):
    lines = lines_of(lambda x, r: (1.0 / (1.0 + np.exp(-r * (x - 1.0)))).sum(), x, 2.0)
    assert not any("--" in line for line in lines)


def test_twice_a_scaled_row_scales_the_row(x):
    def loss(x, w):
        return (w[:, None] * (x * x)).sum() - np.log((w * w).sum())

    lines = lines_of(loss, x, np.linspace(1.0, 2.0, 60))
    assert not any(line.startswith("d_x = np.add(") for line in lines)


def test_a_sum_over_rows_stores_no_product(x):
    lines = lines_of(lambda x: np.exp((x * x).sum(axis=0) * -0.1).sum(), x)
    assert any('np.einsum("ij,ij->j", x, x)' in line for line in lines)


def test_a_sum_is_negated_rather_than_its_terms(x):
    def loss(x, shift):
        centred = x - shift
        return (centred * np.exp(centred)).sum()

    lines = lines_of(loss, x, np.linspace(0.0, 1.0, 70))
    assert any(re.search(r"-\(?_ones_\d+(\.dot\(| @ )\w+|np.negative", line) for line in lines)
    assert not any(re.search(r"(@ |dot\()\(?-\w+", line) for line in lines)
