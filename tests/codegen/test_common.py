"""What the terms of a sum share is multiplied once: fewer passes, no digits lost, no NaN won."""

import inspect
import math

import mpmath
import numpy as np
import pytest

import graphc


def bell(x):
    return (np.tanh(x) * graphc.sigmoid(x) * np.exp(-x * x)).sum()


def wave(x):
    return (np.sin(x) * graphc.sigmoid(x) * np.exp(-x * x)).sum()


def gradient_lines(model, x):
    """What value_and_grad does to arrays, line by line."""
    step = graphc.compile(graphc.trace(model, x), cache=False).value_and_grad
    body = inspect.getsource(step).partition("\n\n")[2]
    lines = [line.strip() for line in body.splitlines()]
    return [line for line in lines if line and line[0] not in "#)" and "return" not in line]


def terms_of(function, x):
    """The terms of the gradient, to many digits."""
    t = mpmath.mpf(float(x))
    s, r, e = 1 / (1 + mpmath.exp(-t)), 1 / (1 + mpmath.exp(t)), mpmath.exp(-t * t)
    if function is bell:
        u, slope = mpmath.tanh(t), 1 / mpmath.cosh(t) ** 2
    else:
        u, slope = mpmath.sin(t), mpmath.cos(t)
    return slope * s * e, u * s * r * e, -2 * t * u * s * e


@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize("model", [bell, wave])
def test_gradients_keep_their_digits_over_the_whole_range(model, dtype):
    kind = {"f64": np.float64, "f32": np.float32}[dtype]
    info = np.finfo(kind)
    sizes = np.concatenate([np.logspace(-12, 1.5, 600), [0.0, 88.0, 709.0, 1e30, float(info.max)]])
    x = np.concatenate([sizes, -sizes]).astype(kind)
    step = graphc.compile(graphc.trace(model, x)).value_and_grad
    with np.errstate(all="ignore"):
        _, (found,) = step(x)
    assert found.dtype == kind
    for at, got in zip(x, found, strict=True):
        with mpmath.workdps(60):
            terms = terms_of(model, at)
            exact, size = sum(terms), sum(map(abs, terms))
        assert math.isfinite(got), at
        if size <= info.smallest_normal:
            assert abs(got) <= 1.01 * info.smallest_normal
            continue
        # Rounding x * x alone moves exp(-x * x) by x * x ulps.
        unit = float(info.eps) * (1 + float(at) ** 2)
        assert abs(mpmath.mpf(float(got)) - exact) <= 5 * unit * size


def test_a_product_rule_multiplies_once_by_what_its_terms_share():
    lines = gradient_lines(bell, np.linspace(-1, 1, 5000))
    # sigmoid(x) exp(-x * x) is made once, by a division, and added up in a dot product.
    assert sum(".dot(" in line for line in lines) == 1
    assert not any(".sum()" in line for line in lines)
    assert sum("np.divide(" in line or "/" in line for line in lines) <= 4
    assert len(lines) <= 20


def test_nothing_is_made_that_may_overflow():
    """Where x and y are large a bell is zero: their product, or their sum, would not be."""

    def two(x, y):
        b = np.exp(-x * x)
        return (b * np.tanh(y) * (x * y)).sum() + (b * np.tanh(y) * (y * 3.0)).sum()

    x = np.full(3000, 1e200)
    step = graphc.compile(graphc.trace(two, x, x)).value_and_grad
    with np.errstate(all="ignore"):
        value, grads = step(x, np.sqrt(x))
    assert value == 0.0
    assert not np.isnan(grads.y).any()


def test_the_value_is_regrouped_only_if_its_factors_are_small():
    def product(x, y):
        return (x * np.tanh(y) * graphc.sigmoid(y)).sum()

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 3000))
    x[:10], y[:10] = 1e308, 1e-300
    compiled = graphc.compile(graphc.trace(product, x, y))
    value, grads = compiled.value_and_grad(x, y)
    s = 1 / (1 + np.exp(-y))
    np.testing.assert_allclose(value, (x * np.tanh(y) * s).sum(), rtol=1e-12)
    slope = x * (s / np.cosh(y) ** 2 + np.tanh(y) * s / (1 + np.exp(y)))
    np.testing.assert_allclose(grads.y, slope, rtol=1e-12)
