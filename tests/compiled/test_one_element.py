"""Reductions over all axes that keep them: arrays of one element, which the code has as numbers."""

import numpy as np
import pytest

import graphc

X = np.array([[0.3, -1.2], [0.7, 0.1], [-0.4, 1.1]])
PROGRAMS = {
    "factor of a sum": lambda x: (np.sin(x).max(keepdims=True) * x).sum(),
    "factor of a sum, read twice": lambda x: (np.cos(x).max(keepdims=True) * np.cos(x)).sum(),
    "product of two": lambda x: (x.sum(keepdims=True) * x.max(keepdims=True)).sum(),
    "function of one": lambda x: np.sin(np.sin(x).max(keepdims=True)).sum(),
    "one of one": lambda x: (x.max(keepdims=True) * x).max(keepdims=True).sum(),
    "beside a vector": lambda x: (x.mean(keepdims=True) + x[:, 0]).sum(),
    "returned": lambda x: x.max(keepdims=True) * 2,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_gradients(name):
    program = PROGRAMS[name]
    f = graphc.compile(graphc.trace(program, "f64[3, 2]"))
    np.testing.assert_allclose(f(X), program(X), rtol=1e-14)
    assert np.shape(f(X)) == np.shape(program(X))
    if np.shape(f(X)):
        return
    _, (found,) = f.value_and_grad(X)
    _, saved = f.forward(X)
    np.testing.assert_allclose(f.backward(saved)[0], found, rtol=1e-14)
    step = 1e-6
    for at in np.ndindex(X.shape):
        shift = np.zeros_like(X)
        shift[at] = step
        slope = (program(X + shift) - program(X - shift)) / (2 * step)
        np.testing.assert_allclose(found[at], slope, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("shape", ["", "[1]", "[2]", "[2, n]"])
def test_a_condition_beside_a_number_is_a_number(shape):
    """max'(a, b) is where(a == b, 0.5, a > b): in Python's words it would be a bool."""
    graph = graphc.trace(lambda a, b: np.maximum(a, b).sum(), f"f64{shape}", f"f64{shape}")
    size = {"": (), "[1]": (1,), "[2]": (2,), "[2, n]": (2, 3)}[shape]
    gradient = graphc.compile(graphc.grad(graph, graph.input_names[0]), ())
    for a, expected in ((1.0, 0.0), (2.0, 0.5), (3.0, 1.0)):
        found = gradient(np.full(size, a), np.full(size, 2.0))
        assert np.asarray(found).dtype == np.float64
        np.testing.assert_array_equal(found, np.full(size, expected))


@pytest.mark.parametrize("shape", ["", "[2]", "[n]"])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: ((x > 0) + (x > 1)) * 1.0,
        lambda x: (x > 0) * (x > 1) + x,
        lambda x: np.maximum(x > 0, x > 1) * 2.0,
        lambda x: np.minimum(x > 0, x > 1) - x,
    ],
)
def test_arithmetic_of_bools_is_logic(function, shape):
    """True + True is True in NumPy, and 2 in Python."""
    found = graphc.compile(graphc.trace(function, x=f"f64{shape}"), ())
    for value in (3.0, 0.5, -1.0):
        x = np.float64(value) if not shape else np.array([value, 2.0])
        np.testing.assert_array_equal(found(x), function(x))
