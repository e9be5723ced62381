"""What is added to a product of matrices as one more term of it, and sums beside such products."""

from __future__ import annotations

import numpy as np
import pytest

import graphc
from graphc.interpret import evaluate_outputs
from graphc.rewrite import biases_as_terms, settle
from graphc.verify import verify

N, K, D = 2000, 40, 4


def applied():
    def column(x, c, b, a):
        return x @ c.T + b

    def row(x, c, b, a):
        return a[:, None] + x @ c.T

    def taken(x, c, b, a):
        return x @ c.T - b

    def turned(x, c, b, a):
        return np.einsum("kd,nd->kn", c, x) - b[:, None]

    def stacked(x, c, b, a):
        return np.einsum("kij,nj->kin", c.reshape(8, 5, D), x) + b.reshape(8, 5, 1)

    def shared(x, c, b, a):
        return np.einsum("kij,nj->nik", c.reshape(8, 5, D), x) - b[:8]

    return locals()


def left():
    def two_readers(x, c, b, a):
        product = x @ c.T
        return (product + b) * product

    def of_all(x, c, b, a):
        return x @ c.T + a[:, None] * b

    def a_number(x, c, b, a):
        return x @ c.T + b[0]

    def large_factors(x, c, b, a):
        return np.exp(x[:, :1] * np.linspace(0.0, 1.0, 400)) @ np.ones((400, K)) + b

    def small(x, c, b, a):
        return x[:100] @ c.T + b

    return locals()


APPLIED, LEFT = applied(), left()


def data(dtype=np.float64):
    rng = np.random.default_rng(5)
    shapes = (N, D), (K, D), (K,), (N,)
    return tuple(rng.normal(size=shape).astype(dtype) for shape in shapes)


def graph_of(model, dtype=np.float64):
    return graphc.trace(lambda x, c, b, a: (model(x, c, b, a) ** 2).sum(), *data(dtype))


@pytest.mark.parametrize("name", APPLIED)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_results_stay(name, dtype):
    graph = graphc.value_and_grad(graph_of(APPLIED[name], dtype), ("x", "c", "b", "a"))
    found = settle(graph)
    verify(found)
    assert any(node.op.name == "concatenate" for node in found.nodes)
    tolerance = 1e-11 if dtype is np.float64 else 1e-4
    values = dict(zip("xcba", data(dtype), strict=True))
    results = evaluate_outputs(found, values), evaluate_outputs(graph, values)
    for name, expected in results[1].items():
        scale = tolerance * float(np.abs(expected).max())
        np.testing.assert_allclose(results[0][name], expected, rtol=tolerance, atol=scale)


@pytest.mark.parametrize("name", LEFT)
def test_what_is_left_as_it_is(name):
    graph = graph_of(LEFT[name])
    assert biases_as_terms(graph) is graph


def test_a_named_product_is_computed_as_it_is():
    def model(x, c, b, a):
        scores = x @ c.T
        return scores + b

    graph = graph_of(model)
    assert biases_as_terms(graph) is graph


def test_sums_of_the_gradient_come_from_the_same_product():
    def loss(x, c, b, a):
        return np.exp(x @ c.T - b).sum()

    f = graphc.compile(graphc.trace(loss, *data()), wrt=("c", "b"), cache=False)
    x, c, b, a = data()
    _, (d_c, d_b) = f.value_and_grad(x, c, b, a)
    p = np.exp(x @ c.T - b)
    np.testing.assert_allclose(d_c, p.T @ x, rtol=1e-11)
    np.testing.assert_allclose(d_b, -p.sum(0), rtol=1e-11)
    body = f.source[f.source.index("def value_and_grad") :]
    assert body.count(" @ ") + body.count("np.matmul(") == 2
