"""Programs that were wrong once, and that random programs beside another library have found."""

import numpy as np
import pytest

import graphc

RNG = np.random.default_rng(31)
X = RNG.normal(size=(3, 4))


def second_of(function):
    """A scalar made of the function's gradient."""
    gradient = graphc.grad(graphc.trace(lambda x: np.sum(function(x)), X))
    return graphc.trace(lambda x: np.sum(gradient(x) * x), X)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.nanmin(x, axis=0, keepdims=True) ** 2,
        lambda x: np.max(x, axis=1) ** 3,
        lambda x: (x > 0.1) * np.exp(x) + (x > 0.1).astype("f64") ** 2 * x,
    ],
)
def test_a_mask_that_is_saved_as_a_number(function):
    """The backward pass multiplies by a mask whose conversion the forward pass has saved."""
    graph = second_of(function)
    assert graphc.check_grads(graph, X).ok
    compiled = graphc.compile(graph)
    _, together = compiled.value_and_grad(X)
    _, saved = compiled.forward(X)
    np.testing.assert_allclose(compiled.backward(saved).x, together.x, rtol=1e-12, atol=1e-14)
