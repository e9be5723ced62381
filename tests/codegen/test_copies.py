"""Transposed matrices: copied once where many short products read them, else views."""

import numpy as np
import pytest

import graphc
from graphc.autodiff import value_and_grad
from graphc.interpret import evaluate_outputs


def recurrence(steps, batch, width):
    """The gradient of a recurrent layer, and arguments."""

    def loss(h, W):
        for _ in range(steps):
            h = np.tanh(h @ W)
        return (h * h).sum()

    rng = np.random.default_rng(0)
    arguments = {
        "h": rng.normal(size=(batch, width)),
        "W": rng.normal(scale=width**-0.5, size=(width, width)),
    }
    return graphc.trace(loss, *arguments.values()), arguments


def test_weights_of_a_recurrence_are_transposed_once():
    graph, arguments = recurrence(20, 32, 64)
    compiled = graphc.compile(graph, wrt=("h", "W"))
    body = compiled.source[compiled.source.index("def value_and_grad(") :]
    assert body.count("W.T") == 1
    assert 'W_T = np.copy(W.T, order="C")' in body
    expected = evaluate_outputs(value_and_grad(graph, wrt=("h", "W")), arguments)
    value, grads = compiled.value_and_grad(*arguments.values())
    np.testing.assert_allclose(value, expected["loss"], rtol=1e-12)
    np.testing.assert_allclose(grads.h, expected["d_h"], rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(grads.W, expected["d_W"], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
    ("steps", "batch", "width"),
    [(3, 32, 64), (20, 128, 64), (8, 2, 64), (20, 32, 16)],
    ids=["few steps", "many rows", "few rows in all", "small matrix"],
)
def test_elsewhere_it_is_a_view(steps, batch, width):
    graph, _ = recurrence(steps, batch, width)
    assert "np.copy" not in graphc.compile(graph, wrt=("h", "W")).source


def test_an_argument_in_columns_is_not_written_to():
    graph, arguments = recurrence(20, 32, 64)
    h, W = arguments["h"], np.asfortranarray(arguments["W"])
    before = W.copy()
    compiled = graphc.compile(graph, wrt=("h", "W"))
    first = compiled.value_and_grad(h, W)
    second = compiled.value_and_grad(h, arguments["W"])
    np.testing.assert_array_equal(W, before)
    np.testing.assert_allclose(first[1].W, second[1].W, rtol=1e-10, atol=1e-13)
