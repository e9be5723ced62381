"""Long graphs: nothing recurses, and the results are right."""

import math

import numpy as np
import pytest

import graphc

LONG = [1_000, 6_000, pytest.param(100_000, marks=pytest.mark.long)]


def chain(nodes, shape):
    """sin and a product in turn, `nodes` of them, summed where x is an array."""
    b = graphc.Builder("chain")
    x = b.input("x", f"f64{shape}")
    y = x
    for k in range(nodes // 2):
        y = np.sin(y)
        y = y + 0.5 if k % 2 else y * x
    b.output("f", y.sum() if shape else y)
    return b.build()


def by_hand(nodes, x):
    """The same, with the derivative carried along."""
    y, slope = x, np.ones_like(x)
    for k in range(nodes // 2):
        y, slope = np.sin(y), slope * np.cos(y)
        y, slope = (y + 0.5, slope) if k % 2 else (y * x, slope * x + y)
    return np.sum(y), slope


@pytest.mark.parametrize("nodes", LONG)
@pytest.mark.parametrize(
    "x", [np.float64(0.7), np.array([0.3, -0.9, 1.4])], ids=["scalar", "array"]
)
def test_a_long_chain(nodes, x):
    f = graphc.compile(chain(nodes, "[n]" if x.shape else ""), cache=False)
    value, slope = by_hand(nodes, x)
    found, grads = f.value_and_grad(x)
    np.testing.assert_allclose(found, value, rtol=1e-10)
    np.testing.assert_allclose(grads.x, slope, rtol=1e-9, atol=1e-12)
    outputs, saved = f.forward(x)
    assert outputs == found
    np.testing.assert_allclose(f.backward(saved).x, slope, rtol=1e-9, atol=1e-12)
    assert f(x) == found


@pytest.mark.parametrize("terms", [2_000])
def test_a_wide_sum(terms):
    """A value used thousands of times receives the sum over its uses."""
    b = graphc.Builder("wide")
    x = b.input("x", "f64")
    total = x * 0.0
    for k in range(terms):
        total = total + np.sin(x) * (k % 7)
    b.output("f", total)
    factor = sum(k % 7 for k in range(terms))
    value, grads = graphc.compile(b, cache=False).value_and_grad(0.3)
    assert value == pytest.approx(factor * math.sin(0.3), rel=1e-11)
    assert grads.x == pytest.approx(factor * math.cos(0.3), rel=1e-11)


def test_slices_of_one_array_are_written_once_each():
    """The cotangent of an array of which every element is used apart."""
    count = 400

    @graphc.trace(x=f"f64[{count}]")
    def apart(x):
        total = 0.0
        for k in range(count):
            total = total + x[k] * x[k] * k
        return total

    x = np.linspace(-1, 1, count)
    _, grads = graphc.compile(apart, cache=False).value_and_grad(x)
    np.testing.assert_allclose(grads.x, 2 * x * np.arange(count), rtol=1e-13)


def lines(nodes):
    return graphc.compile(chain(nodes, "[n]"), cache=False).source.count("\n")


def test_the_source_grows_linearly():
    one, two, four = lines(250), lines(500), lines(1000)
    assert 1.9 < (four - two) / (two - one) < 2.1
