"""Programs that were wrong once, and that random programs beside another library have found."""

import numpy as np
import pytest

import graphc

RNG = np.random.default_rng(31)
X = RNG.normal(size=(3, 4))


@pytest.mark.parametrize("mode", ["reflect", "symmetric", "wrap"])
def test_padding_that_reaches_beyond_a_named_size_is_an_error(mode):
    """What a slice reaches beyond the end would be missing without a word."""
    compiled = graphc.compile(
        graphc.trace(lambda x: np.pad(x, ((2, 1), (0, 0)), mode), "f64[n, 3]")
    )
    enough = 3 if mode == "reflect" else 2
    for n in range(enough):
        with pytest.raises(graphc.GraphValueError, match="differ"):
            compiled(np.ones((n, 3)))
    for n in range(enough, 6):
        x = RNG.normal(size=(n, 3))
        np.testing.assert_array_equal(compiled(x), np.pad(x, ((2, 1), (0, 0)), mode))
        assert graphc.check_grads(
            graphc.trace(lambda x: np.sum(np.pad(x, 2, mode) ** 3), "f64[n, 3]"),
            np.ones((5, 3)) * x[0],
        ).ok


@pytest.mark.parametrize("edge_order", [1, 2])
def test_a_gradient_of_too_few_elements_is_an_error(edge_order):
    graph = graphc.trace(lambda x: np.gradient(x, axis=0, edge_order=edge_order), "f64[n, 2]")
    compiled = graphc.compile(graph)
    for n in range(5):
        x = RNG.normal(size=(n, 2))
        if n <= edge_order:
            with pytest.raises(graphc.GraphValueError, match="differ"):
                compiled(x)
            continue
        wanted = np.gradient(x, axis=0, edge_order=edge_order)
        np.testing.assert_allclose(compiled(x), wanted, rtol=1e-13)


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


@pytest.mark.parametrize(
    ("function", "size", "sizes"),
    [
        (lambda x, y: x[:-1][::-1], "[1]", (1,)),
        (lambda x, y: x[3:][::-1] + y.sum(), "[3]", (3,)),
        (lambda x, y: x[: y.shape[0]][::-1] * y, "[n]", (0, 1, 3)),
        (lambda x, y: np.sin(x)[: y.shape[0]][::-2], "[n]", (0, 1, 2, 3)),
        (lambda x, y: np.concatenate([x[:-1][::-1], x]), "[n]", (1, 2)),
    ],
)
def test_backwards_over_nothing_is_nothing(function, size, sizes):
    """There is no element to start at, and -1 would be the last one."""
    compiled = graphc.compile(
        graphc.trace(lambda x, y: np.sum(np.square(function(x, y))), f"f64{size}", "f64[m]"),
        cache=False,
    )
    x = RNG.normal(size=3)[: int(size[1:-1]) if size != "[n]" else 3]
    for m in sizes:
        x = x if size != "[n]" else RNG.normal(size=max(m, 1))
        y = RNG.normal(size=m)
        wanted = np.sum(np.square(function(x, y)))
        value, grads = compiled.value_and_grad(x, y)
        np.testing.assert_allclose(value, wanted, rtol=1e-13)
        assert graphc.check_grads(compiled.graph, x, y).ok
        assert grads.x.shape == x.shape
