"""Pooling and response normalisation against loops; ties; gradients."""

import tracemalloc

import numpy as np
import pytest

import graphc

RNG = np.random.default_rng(11)


def windows(x, size, stride, padding, fill):
    """[n, c, i, j, size, size], by loops."""
    x = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)], constant_values=fill)
    rows, columns = ((n - size) // stride + 1 for n in x.shape[2:])
    return np.array(
        [
            [
                x[:, :, i * stride : i * stride + size, j * stride : j * stride + size]
                for j in range(columns)
            ]
            for i in range(rows)
        ]
    ).transpose(2, 3, 0, 1, 4, 5)


CASES = [(2, 2, 0), (3, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 0), (1, 1, 0)]


@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize(("size", "stride", "padding"), CASES)
def test_max_pool(size, stride, padding, dtype):
    x = RNG.normal(size=(2, 3, 9, 8)).astype(np.float64 if dtype == "f64" else np.float32)
    parts = windows(x, size, stride, padding, -np.inf)
    expected = parts.max(axis=(4, 5))

    def model(x):
        y = graphc.max_pool(x, size, stride=stride, padding=padding)
        return {"y": y, "loss": (y * y).sum()}

    f = graphc.compile(graphc.trace(model, f"{dtype}[n, 3, 9, 8]"), of="loss")
    value, grads = f.value_and_grad(x)
    np.testing.assert_array_equal(value.y, expected)
    assert grads.x.dtype == x.dtype
    gradient = np.zeros((2, 3, 9 + 2 * padding, 8 + 2 * padding))
    for i, j in np.ndindex(expected.shape[2:]):
        part = parts[:, :, i, j] == expected[:, :, i, j, None, None]
        place = np.s_[:, :, i * stride : i * stride + size, j * stride : j * stride + size]
        gradient[place] += part * 2 * expected[:, :, i, j, None, None]
    inner = gradient[:, :, padding : padding + 9, padding : padding + 8]
    np.testing.assert_allclose(grads.x, inner, rtol=1e-6, atol=1e-6)


def test_max_pool_ties_split_evenly():
    x = np.ones((1, 1, 3, 3))
    g = graphc.trace(lambda x: graphc.max_pool(x, 3).sum(), "f64[1, 1, 3, 3]")
    np.testing.assert_array_equal(graphc.compile(g).value_and_grad(x)[1].x, np.full(x.shape, 1 / 9))
    overlap = graphc.trace(lambda x: graphc.max_pool(x, 2, stride=1).sum(), "f64[1, 1, 3, 3]")
    expected = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 4
    np.testing.assert_array_equal(graphc.compile(overlap).value_and_grad(x)[1].x[0, 0], expected)


def test_max_pool_of_special_values():
    """NaN is the largest; a window of -inf alone is all ties."""
    x = RNG.normal(size=(1, 1, 64, 66))
    x[0, 0, 4, 5] = np.nan
    x[0, 0, 32:34, 40:42] = -np.inf
    g = graphc.trace(lambda x: graphc.max_pool(x, 2).sum(), "f64[n, 1, 64, 66]")
    with np.errstate(invalid="ignore", divide="ignore"):
        gradient = graphc.compile(g).value_and_grad(x)[1].x[0, 0]
    y = graphc.max_pool(x, 2)[0, 0]
    assert np.isnan(y[2, 2])
    assert np.count_nonzero(np.isnan(y)) == 1
    assert np.isnan(gradient[4:6, 4:6]).all()
    assert y[16, 20] == -np.inf
    np.testing.assert_array_equal(gradient[32:34, 40:42], np.full((2, 2), 0.25))


@pytest.mark.parametrize("pool", [graphc.max_pool, graphc.avg_pool])
def test_windows_are_not_stored(pool):
    """Neither a mask nor a copy of all windows: an array's own size is the largest there is."""
    g = graphc.trace(lambda x: (pool(x, 3, stride=2) ** 2).sum(), "f32[4, 8, 33, 33]")
    f = graphc.compile(g)
    x = RNG.normal(size=(4, 8, 33, 33)).astype(np.float32)
    f.value_and_grad(x)
    tracemalloc.start()
    f.value_and_grad(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * x.nbytes
    assert "as_strided" not in f.source


def test_max_pool_of_whole_numbers():
    x = RNG.integers(-9, 9, size=(2, 3, 9, 8))
    found = graphc.max_pool(x, 3, stride=2, padding=1)
    assert found.dtype == np.int64
    lowest = np.iinfo(np.int64).min
    np.testing.assert_array_equal(found, windows(x, 3, 2, 1, lowest).max(axis=(4, 5)))


@pytest.mark.parametrize(("size", "stride", "padding"), CASES)
def test_avg_pool(size, stride, padding):
    x = RNG.normal(size=(2, 3, 9, 8))
    expected = windows(x, size, stride, padding, 0).mean(axis=(4, 5))
    np.testing.assert_allclose(
        graphc.avg_pool(x, size, stride=stride, padding=padding), expected, rtol=1e-12
    )
    g = graphc.trace(
        lambda x: (graphc.avg_pool(x, size, stride=stride, padding=padding) ** 3).sum(),
        "f64[n, 3, 9, 8]",
    )
    graphc.check_grads(g, x=x)
    assert graphc.compile(g)(x) == pytest.approx((expected**3).sum())


@pytest.mark.parametrize("size", [5, 3, 4, 1])
def test_local_response_norm(size):
    x = RNG.normal(size=(2, 7, 3, 2))
    total = np.zeros_like(x)
    for c in range(7):
        for near in range(c - size // 2, c - size // 2 + size):
            if 0 <= near < 7:
                total[:, c] += x[:, near] ** 2
    expected = x / (2 + 0.1 * total) ** 0.75
    found = graphc.local_response_norm(x, size, alpha=0.1)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    g = graphc.trace(
        lambda x: (graphc.local_response_norm(x, size, alpha=0.1) ** 3).sum(), "f64[n, 7, 3, 2]"
    )
    graphc.check_grads(g, x=x)


def test_one_dimension_and_three():
    x = RNG.normal(size=(2, 3, 8))
    np.testing.assert_array_equal(graphc.max_pool(x, 2), x.reshape(2, 3, 4, 2).max(axis=3))
    x = RNG.normal(size=(1, 2, 4, 4, 4))
    blocks = x.reshape(1, 2, 2, 2, 2, 2, 2, 2)
    np.testing.assert_array_equal(graphc.max_pool(x, 2), blocks.max(axis=(3, 5, 7)))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: graphc.max_pool(x, 2, padding=2), "some would be empty"),
        (lambda x: graphc.max_pool(x, 9), "reach 9 is more than the 8 positions"),
        (lambda x: graphc.avg_pool(x, 0), "size is 1 or more"),
        (lambda x: graphc.max_pool(x > 0, 2), "bool"),
        (lambda x: graphc.avg_pool(x[0, 0], 2), r"x is \[batch, channels"),
        (lambda x: graphc.local_response_norm(x, 0), "size is 1 or more"),
    ],
)
def test_mistakes(function, message):
    with pytest.raises(graphc.GraphError, match=message):
        graphc.trace(function, "f64[2, 3, 8, 8]")
