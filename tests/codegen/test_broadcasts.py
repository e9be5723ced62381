"""Rows that are repeated without a copy: NumPy's buffer is short meanwhile, and only then."""

import numpy as np
import pytest

import graphc


def scaled(x, bias, factor):
    return np.square((x + bias) * factor).sum(axis=0)


def compiled(width, rows=200):
    types = f"f64[{rows}, {width}]", f"f64[{width}]", f"f64[{rows}, 1]"
    return graphc.compile(graphc.trace(scaled, *types), cache=False)


def sample(width, rows=200):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape) for shape in ((rows, width), width, (rows, 1))]


@pytest.mark.parametrize(
    ("width", "rows", "short"),
    [(400, 400, False), (768, 200, True), (4096, 20, True), (5000, 20, False), (768, 20, False)],
)
def test_rows_of_the_length_at_which_it_pays(width, rows, short):
    f = compiled(width, rows)
    assert ("np.setbufsize(1024)" in f.source) is short
    x, bias, factor = sample(width, rows)
    expected = np.square((x + bias) * factor).sum(axis=0)
    np.testing.assert_allclose(f(x, bias, factor), expected, rtol=1e-12)


def test_the_buffer_is_as_it_was_afterwards():
    def model(x, bias):
        return np.exp(x + bias)

    f = graphc.compile(graphc.trace(model, "f64[200, 768]", "f64[768]"), cache=False)
    assert "np.setbufsize(1024)" in f.source
    before = np.getbufsize()
    x, bias = np.zeros((200, 768)), np.zeros(768)
    f(x, bias)
    assert np.getbufsize() == before
    x[3, 4] = 1e4
    with np.errstate(over="raise"):
        with pytest.raises(FloatingPointError):
            f(x, bias)
        assert np.getbufsize() == before


def test_axes_that_are_repeated_together_count_together():
    """A bias of each channel is repeated along 28 x 28 elements."""

    def channels(x, bias):
        return np.tanh(x + bias[:, None, None])

    f = graphc.compile(graphc.trace(channels, "f64[4, 32, 28, 28]", "f64[32]"), cache=False)
    assert "np.setbufsize(1024)" in f.source
