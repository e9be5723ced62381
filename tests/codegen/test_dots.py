"""Weighted sums of the dot products of short rows, and sums at positions without their factors."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import graphc


def weighted(x, c, w):
    apart = x - c
    return (w * (apart * apart).sum(axis=1)).sum()


def compiled(model, *arguments, wrt):
    """(body of value_and_grad or of the function, what it returns)."""
    f = graphc.compile(graphc.trace(model, *arguments), wrt=wrt, cache=False)
    if not wrt:
        return f.source, f(*arguments)
    return inspect.getsource(f.value_and_grad), f.value_and_grad(*arguments)


def data(rows, width, dtype):
    rng = np.random.default_rng(width)
    x, c = rng.normal(size=(2, rows, width)).astype(dtype)
    return x, c, rng.uniform(size=rows).astype(dtype)


@pytest.mark.parametrize(
    ("rows", "width", "dtype", "joined"),
    [
        (500, 4, np.float64, True),
        (500, 4, np.float32, True),
        # Long rows, and what BLAS would add up in sequence for too long.
        (50, 64, np.float64, False),
        (5000, 4, np.float32, False),
    ],
)
def test_the_product_that_the_gradient_needs_serves_the_value(rows, width, dtype, joined):
    x, c, w = data(rows, width, dtype)
    source, (value, d_c) = compiled(weighted, x, c, w, wrt="c")
    assert ("np.vdot(" in source) == joined
    assert ("np.vecdot(" in source) != joined
    x, c, w = x.astype(float), c.astype(float), w.astype(float)
    tolerance = 1e-12 if dtype is np.float64 else 1e-5
    np.testing.assert_allclose(value, weighted(x, c, w), rtol=tolerance)
    np.testing.assert_allclose(d_c, -2.0 * w[:, None] * (x - c), rtol=tolerance)


def test_without_a_gradient_no_product_is_made():
    x, c, w = data(500, 4, np.float64)
    source, value = compiled(weighted, x, c, w, wrt=())
    assert "np.vecdot(" in source
    np.testing.assert_allclose(value, weighted(x, c, w), rtol=1e-12)


@pytest.mark.parametrize(("entries", "pulled"), [(500, True), (20, False)])
def test_literal_factors_of_sums_at_positions(entries, pulled):
    """What is added up at fewer positions is scaled afterwards."""

    def model(x, table, index, w):
        return (w[:, None] * (x - table[index]) ** 3).sum()

    rng = np.random.default_rng(3)
    x, table = rng.normal(size=(entries, 4)), rng.normal(size=(100, 4))
    index, w = rng.integers(0, 100, entries), rng.uniform(size=entries)
    source, (_, d_table) = compiled(model, x, table, index, w, wrt="table")
    assert ("d_table = d_table_scattered * -3.0" in source) == pulled
    expected = np.zeros_like(table)
    np.add.at(expected, index, -3.0 * w[:, None] * (x - table[index]) ** 2)
    np.testing.assert_allclose(d_table, expected, rtol=1e-12, atol=1e-12)
