"""What `forward` saves for `backward`: no large value that one sum or product of others gives."""

import gc
import inspect
import tracemalloc

import numpy as np
import pytest

import graphc


def chain(x):
    return (np.tanh(x) * graphc.sigmoid(x) * np.exp(-x * x)).sum()


def gated(x, gate, bias):
    z = x * gate + bias
    return (np.tanh(z) * np.exp(z) * (x - gate)).sum()


def returned(x, y):
    """A product that is an output: it is there in any case."""
    both = x * y
    return {"both": both, "loss": (np.sin(both) * both).sum()}


def saved_by(step):
    """The names of what `forward` saves."""
    last = inspect.getsource(step.forward).rpartition("return ")[2]
    return "".join(last.partition(", (")[2].split()).strip("(),").split(",")


@pytest.mark.parametrize("size", [20_000, 100])
def test_a_pass_is_saved_by_memory_only_where_it_is_short(size):
    x = np.random.default_rng(0).normal(size=size)
    step = graphc.compile(graphc.trace(chain, x))
    kept = saved_by(step)
    assert "x" in kept
    assert ("negative_x" in kept) == (size < 1000)
    assert ("tanh_x_times_sigmoid_x" in kept) == (size < 1000)


@pytest.mark.parametrize(("model", "count"), [(chain, 1), (gated, 3), (returned, 2)])
def test_gradients_are_the_same_bits_but_for_the_order_of_sums(model, count):
    arrays = np.random.default_rng(1).normal(size=(count, 20_000)) * 0.5
    step = graphc.compile(graphc.trace(model, *arrays), of="loss" if model is returned else None)
    _, expected = step.value_and_grad(*arrays)
    _, saved = step.forward(*arrays)
    found = step.backward(saved, d_loss=1.0) if model is returned else step.backward(saved)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


def test_an_output_is_saved_as_it_is():
    arrays = np.random.default_rng(1).normal(size=(2, 20_000))
    step = graphc.compile(graphc.trace(returned, *arrays), of="loss")
    assert "both" in saved_by(step)


def test_forward_holds_what_it_saves_and_no_more():
    x = np.random.default_rng(0).normal(size=100_000)
    step = graphc.compile(graphc.trace(chain, x))
    step.forward(x)
    gc.collect()
    tracemalloc.start()
    try:
        result = step.forward(x)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    del result
    # tanh(x), sigmoid(x) and exp(-x * x)
    assert held == pytest.approx(3 * x.nbytes, rel=0.02)
