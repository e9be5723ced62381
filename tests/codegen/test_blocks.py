"""Regions with products of matrices, block by block: the same numbers as without."""

import numpy as np
import pytest

import graphc
from codegen.program import Options
from tests.codegen.test_tiles import emitted

SMALL, WHOLE = Options(cache_bytes=1 << 12), Options(cache_bytes=1 << 30)
LOOP = "# In blocks that stay in the cache."


def mixture(x, factors, means):
    """Components of a mixture along the samples' last axis: a product, rows, a softmax."""
    y = np.einsum("kij,nj->kin", factors, x) - means[:, :, None]
    scores = -0.5 * (y * y).sum(1)
    peak = scores.max(axis=0)
    return (np.log(np.exp(scores - peak).sum(axis=0)) + peak).sum()


def kernel(x, c):
    """Every point against every other: x is cut, and read whole."""
    return (np.exp(-0.1 * np.square(x @ x.T)) @ c).sum()


def memory(x, keys, values, c):
    """Attention of many rows to few keys."""
    scores = x @ keys.T
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.square((p / p.sum(axis=1, keepdims=True)) @ values - c).mean()


def labels(x, y, w, b):
    """An element of each row is chosen, and changed in the gradient."""
    return graphc.cross_entropy(x @ w + b, y).mean()


def stacks(q, k, v):
    """Attention in a stack, which is cut between its matrices."""
    scores = q @ k.swapaxes(-1, -2)
    p = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.square((p / p.sum(axis=-1, keepdims=True)) @ v).sum()


def rows(table, index, w):
    """Gathered rows are cut with the numbers of the rows."""
    return np.tanh(np.square(table[index] @ w) * 0.1).sum()


def views(x, w, c):
    """Products in other shapes, transposed, and with selected columns."""
    h = np.tanh(x @ w)
    parts = h.reshape(x.shape[0], 5, 8)
    return (parts[:, 1:3] * parts[:, :1] * c).sum() + np.cos(h.T[2] * h.T[3]).sum()


def no_sums(x, w):
    """What is needed whole afterwards is written block by block."""
    h = np.exp(np.sin(np.tanh(x @ w) * 2.0 + 1.0))
    return np.square(h / h.sum(axis=0)).sum()


def two_leave(x, y, w):
    """What is changed at an element of each row is needed whole, as it was and as it is."""
    h = np.tanh(x @ w)
    g = graphc.at(h)[np.arange(x.shape[0]), y].add(1.0)
    return np.square(h / h.sum(axis=0)).sum() + np.square(g / g.sum(axis=0)).sum()


def normalised(x, g, b, c):
    """Rows that are normalised, each by sums of its own."""
    centred = x - x.mean(axis=1, keepdims=True)
    variance = (centred * centred).mean(axis=1, keepdims=True)
    return ((centred / np.sqrt(variance + 1e-3) * g + b) * c).sum()


def probabilities(x, c):
    """A softmax of rows, which is a result too."""
    p = np.exp(x - x.max(axis=1, keepdims=True))
    p = p / p.sum(axis=1, keepdims=True)
    return (np.square(p - c) * p).sum()


def centred_twice(x, c):
    """Two regions: columns are known when all rows are."""
    h = x / np.sqrt((x * x).sum(axis=1, keepdims=True) + 1.0)
    h = h - h.mean(axis=0)
    return (np.exp(h / (1.0 + np.abs(h).max(axis=1, keepdims=True))) * c).sum()


CASES = {
    "normalised rows": (normalised, ((1000, 12), (12,), (12,), (1000, 12))),
    "probabilities": (probabilities, ((1001, 9), (1001, 9))),
    "centred twice": (centred_twice, ((1003, 9), (1003, 9))),
    "mixture": (mixture, ((700, 3), (4, 3, 3), (4, 3))),
    "mixture, blocks of one size": (mixture, ((768, 3), (4, 3, 3), (4, 3))),
    "kernel": (kernel, ((520, 3), (520,))),
    "memory": (memory, ((1030, 4), (30, 4), (30, 3), (1030, 3))),
    "labels": (labels, ((900, 4), 900, (4, 50), (50,))),
    "two leave": (two_leave, ((900, 4), 900, (4, 50))),
    "stacks": (stacks, ((6, 40, 5), (6, 40, 5), (6, 40, 3))),
    "rows": (rows, ((9, 4), 1200, (4, 10))),
    "views": (views, ((900, 4), (4, 40), (2, 8))),
    "no sums": (no_sums, ((900, 4), (4, 40))),
}


def arguments(shapes, dtype):
    rng = np.random.default_rng(0)
    kind = {"f64": np.float64, "f32": np.float32}[dtype]
    return [
        rng.integers(0, 9, shape) if isinstance(shape, int) else rng.normal(size=shape).astype(kind)
        for shape in shapes
    ]


@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize("case", CASES)
def test_blocks_compute_what_whole_arrays_do(case, dtype):
    function, shapes = CASES[case]
    arrays = arguments(shapes, dtype)
    copies = [array.copy() for array in arrays]
    graph = graphc.trace(function, *arrays)
    plain, whole = emitted(graph, WHOLE)
    source, blocked = emitted(graph, SMALL)
    assert LOOP not in plain
    assert LOOP in source
    tolerance = 1e-11 if dtype == "f64" else 2e-4
    value, grads = blocked.value_and_grad(*arrays)
    expected, expected_grads = whole.value_and_grad(*arrays)
    assert np.asarray(value).dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(value, expected, rtol=tolerance)
    for found, other in zip(grads, expected_grads, strict=True):
        assert found.dtype == other.dtype
        assert found.shape == other.shape
        assert not any(np.shares_memory(found, argument) for argument in arrays)
        np.testing.assert_allclose(found, other, rtol=tolerance, atol=tolerance)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    outputs, saved = blocked.forward(*arrays)
    np.testing.assert_allclose(outputs, expected, rtol=tolerance)
    for found, other in zip(blocked.backward(saved), expected_grads, strict=True):
        np.testing.assert_allclose(found, other, rtol=tolerance, atol=tolerance)


def test_what_leaves_is_computed_where_it_is_needed():
    """A block of the gradient is worked on in its own place, and c * g stays in the block."""
    arrays = arguments(((4000, 80), (80,), (80,), (4000, 80)), "f64")
    graph = graphc.trace(normalised, *arrays)
    source = emitted(graph, Options(cache_bytes=1 << 19), ("x", "g", "b"))[0]
    body = source[source.index("def value_and_grad") :].partition("\ndef ")[0]
    assert "out=d_x[block])" in body
    assert "d_x[block] = " not in body
    before, _, inside = body.partition("for start in ")
    assert "np.multiply(c_block, g" in inside
    assert "c * g" not in before


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 900])
def test_an_expected_size_is_no_promise(size):
    graph = graphc.trace(memory, "f64[n, 4]", "f64[30, 4]", "f64[30, 3]", "f64[n, 3]")
    source, blocked = emitted(graph, Options(sizes=(("n", 5000),), cache_bytes=1 << 12))
    plain, whole = emitted(graph, WHOLE)
    assert LOOP in source
    assert LOOP not in plain
    arrays = arguments(((size, 4), (30, 4), (30, 3), (size, 3)), "f64")
    with np.errstate(invalid="ignore"):
        value, grads = blocked.value_and_grad(*arrays)
        expected, expected_grads = whole.value_and_grad(*arrays)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    for found, other in zip(grads, expected_grads, strict=True):
        assert found.shape == other.shape
        np.testing.assert_allclose(found, other, rtol=1e-11, atol=1e-14)


def test_a_block_writes_into_nothing_that_the_next_one_reads():
    """The product with itself reads all of h, in whose storage a block could else work."""

    def model(x, w):
        h = x @ w
        return (np.exp(-0.01 * np.square(h @ h.T)) @ np.sin(h)).sum()

    arrays = arguments(((300, 2), (2, 4)), "f64")
    graph = graphc.trace(model, *arrays)
    source, blocked = emitted(graph, Options(cache_bytes=1 << 10))
    assert LOOP in source
    _, whole = emitted(graph, WHOLE)
    expected = whole.value_and_grad(*arrays)[1]
    for found, other in zip(blocked.value_and_grad(*arrays)[1], expected, strict=True):
        np.testing.assert_allclose(found, other, rtol=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_blocks_with_kept_scratch(case):
    function, shapes = CASES[case]
    arrays = arguments(shapes, "f64")
    graph = graphc.trace(function, *arrays)
    _, kept = emitted(graph, Options(cache_bytes=1 << 12, workspace=True))
    _, whole = emitted(graph, WHOLE)
    expected = whole.value_and_grad(*arrays)[1]
    for _ in range(2):
        found = kept.value_and_grad(*arrays)[1]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)


def test_adding_up_that_costs_more_than_it_saves_is_left_out():
    """A layer's weights are as large as what goes through it."""

    def layer(x, w):
        return np.tanh(x @ w).sum()

    arrays = arguments(((600, 300), (300, 300)), "f64")
    source, _ = emitted(graphc.trace(layer, *arrays), Options(cache_bytes=1 << 16))
    value, _, gradient = source.partition("def value_and_grad(")
    assert LOOP in value
    assert LOOP not in gradient


def test_a_mixture_needs_no_memory_of_its_size():
    arrays = arguments(((20_000, 3), (8, 3, 3), (8, 3)), "f64")
    compiled = graphc.compile(graphc.trace(mixture, *arrays), wrt=("factors", "means"))
    assert LOOP in compiled.source
    assert compiled.memory().peak < 20_000 * 8 * 8
