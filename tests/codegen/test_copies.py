"""Transposed matrices: copied once where many short products read them, else views."""

import re

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
    body = re.sub(r" *#.*", "", body)
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


def layers(batch, dtype="f32"):
    """Two dense layers, and arguments."""
    rng = np.random.default_rng(1)
    numpy_type = {"f32": np.float32, "f64": np.float64}[dtype]
    x = rng.normal(size=(8, 200)).astype(numpy_type)
    V = rng.normal(scale=0.1, size=(200, 300)).astype(numpy_type)
    W = rng.normal(scale=0.1, size=(300, 256)).astype(numpy_type)

    def loss(x, V, W):
        y = np.tanh(x @ V) @ W
        return (y * y).sum()

    types = [f"{dtype}[{batch}, 200]", f"{dtype}[200, 300]", f"{dtype}[300, 256]"]
    return graphc.trace(loss, *types), {"x": x, "V": V, "W": W}


@pytest.mark.parametrize("batch", [8, "n"])
def test_few_rows_are_multiplied_from_the_left(batch):
    graph, arguments = layers(batch)
    compiled = graphc.compile(graph, wrt=("x", "V", "W"), sizes={"n": 8} if batch == "n" else {})
    body = compiled.source[compiled.source.index("def value_and_grad(") :]
    assert " = _few_rows(d_y, W)\n" in body
    _, grads = compiled.value_and_grad(*arguments.values())
    doubles = [array.astype(np.float64) for array in arguments.values()]
    _, expected = graphc.compile(layers(batch, "f64")[0]).value_and_grad(*doubles)
    for found, exact in zip(grads, expected, strict=True):
        assert found.flags.c_contiguous
        np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("batch", "dtype"), [(1, "f32"), (100, "f32"), ("n", "f32"), (8, "f64")])
def test_other_products_read_a_transposed_view(batch, dtype):
    graph, _ = layers(batch, dtype)
    assert "_few_rows" not in graphc.compile(graph, wrt=("x", "V", "W")).source
