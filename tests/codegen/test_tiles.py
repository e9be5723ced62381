"""Regions in tiles: the same numbers as without, at every size of tile and array."""

import numpy as np
import pytest

import graphc
from codegen import generate, load
from codegen.program import Options
from graphc.functions import plan, program

CACHE = 1 << 12  # bytes: tiles of 128 doubles, for arrays of 2,048 and more
SMALL = Options(cache_bytes=CACHE)


def emitted(graph, options, wrt=None):
    generated = generate(program(plan(graph, wrt, None)), options)
    return generated.source, load(generated)


def gated(x, gate):
    return (np.tanh(x) * gate * np.exp(-x * x)).sum()


def rows(x, bias, scale):
    h = (x + bias) * scale
    return (h * np.exp(-h)).sum()


def two_sums(x):
    p = np.exp(x - x.max())
    q = p / p.sum()
    return (q * q * np.cos(q)).sum()


def through_a_product(x, w):
    h = np.tanh(x * 2.0 + 1.0) * x
    y = h @ w
    return (np.exp(-y * y) * y).sum() + (h * h).sum()


CASES = {
    "vectors": (gated, ((5001,), (5001,))),
    "one tile exactly": (gated, ((4096,), (4096,))),
    "a bias for each column, a factor for each row": (rows, ((1500, 3), (3,), (1500, 1))),
    "sums between": (two_sums, ((5777,),)),
    "a product between": (through_a_product, ((2100, 2), (2, 2))),
}


@pytest.mark.parametrize("dtype", ["f64", "f32"])
@pytest.mark.parametrize("case", CASES)
def test_tiles_compute_what_whole_arrays_do(case, dtype):
    function, shapes = CASES[case]
    rng = np.random.default_rng(0)
    kind = {"f64": np.float64, "f32": np.float32}[dtype]
    arrays = [rng.normal(size=shape).astype(kind) for shape in shapes]
    copies = [array.copy() for array in arrays]
    graph = graphc.trace(function, *arrays)
    plain, whole = emitted(graph, Options())
    source, tiled = emitted(graph, SMALL)
    assert "tile" not in plain
    assert "tile = slice(start, start + " in source
    tolerance = 1e-12 if dtype == "f64" else 1e-4
    value, grads = tiled.value_and_grad(*arrays)
    expected, expected_grads = whole.value_and_grad(*arrays)
    assert np.asarray(value).dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(value, expected, rtol=tolerance)
    for found, other, array in zip(grads, expected_grads, arrays, strict=True):
        assert found.dtype == kind
        assert found.flags.writeable
        assert not any(np.shares_memory(found, argument) for argument in arrays)
        np.testing.assert_allclose(found, other, rtol=tolerance, atol=tolerance)
        assert found.shape == array.shape
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 4000])
def test_an_expected_size_is_no_promise(size):
    graph = graphc.trace(gated, "f64[n]", "f64[n]")
    options = Options(sizes=(("n", 4000),), cache_bytes=CACHE)
    source, tiled = emitted(graph, options)
    assert "range(0, n, " in source
    x, gate = np.random.default_rng(1).normal(size=(2, size))
    value, grads = tiled.value_and_grad(x, gate)
    _, whole = emitted(graph, Options())
    expected, expected_grads = whole.value_and_grad(x, gate)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    for found, other in zip(grads, expected_grads, strict=True):
        np.testing.assert_allclose(found, other, rtol=1e-12)


def test_elementwise_results_are_the_same_for_every_tile():
    x, gate = np.random.default_rng(2).normal(size=(2, 5000))
    graph = graphc.trace(gated, x, gate)
    results = [
        emitted(graph, Options(cache_bytes=cache))[1].value_and_grad(x, gate)[1]
        for cache in (512, 1000, 4096, 1 << 20)
    ]
    for grads in results[1:]:
        np.testing.assert_array_equal(grads.x, results[0].x)
        np.testing.assert_array_equal(grads.gate, results[0].gate)


def test_an_unknown_size_is_not_tiled():
    graph = graphc.trace(gated, "f64[n]", "f64[n]")
    assert "tile" not in emitted(graph, SMALL)[0]


def test_forward_and_backward_in_tiles_agree_with_the_fused_function():
    x, gate = np.random.default_rng(3).normal(size=(2, 2999))
    graph = graphc.trace(gated, x, gate)
    source, module = emitted(graph, SMALL)
    assert source.count("tile = slice(") >= 3
    value, saved = module.forward(x, gate)
    grads = module.backward(saved)
    expected, expected_grads = module.value_and_grad(x, gate)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_allclose(grads.x, expected_grads.x, rtol=1e-12)
    np.testing.assert_allclose(grads.gate, expected_grads.gate, rtol=1e-12)


def test_what_is_written_in_an_expression_reads_its_operands_there():
    """Both choices of the gradient are made of d_v, the second one in the last line of the tile."""

    def chosen(x):
        v = np.select([x < -0.5, x < 0.5], [x, x * x], 0.25)
        return np.square(np.abs(v) / (np.abs(v).sum(axis=1, keepdims=True) + 0.5)).mean()

    x = np.random.default_rng(0).normal(size=(300, 1))
    source, module = emitted(graphc.trace(chosen, x), Options(cache_bytes=256))
    backward = source.partition("def backward")[2].partition("\ndef ")[0]
    assert "tile = slice(" in backward
    assert backward.count("np.where(") > 2
    _, whole = emitted(graphc.trace(chosen, x), Options())
    _, expected = whole.value_and_grad(x)
    _, saved = module.forward(x)
    np.testing.assert_allclose(module.backward(saved).x, expected.x, rtol=1e-12)


def test_a_result_that_is_read_again_leaves_the_loop():
    b = graphc.Builder("kept")
    x = b.input("x", "f64[2900]")
    h = b.node("h", np.tanh(x) * x + 1.0)
    b.output("h", h)
    b.output("total", (h * np.exp(h)).sum())
    graph = b.build()
    values = np.linspace(-1, 1, 2900)
    source, module = emitted(graph, SMALL)
    assert "tile" in source
    h, total = module.value(values)
    np.testing.assert_allclose(h, np.tanh(values) * values + 1.0, rtol=1e-14)
    np.testing.assert_allclose(total, (h * np.exp(h)).sum(), rtol=1e-12)


def test_what_the_next_cache_holds_is_not_tiled():
    def normalised(x):
        p = np.exp(x - 1.0)
        return p / p.sum()

    few = np.linspace(0, 1, CACHE // 2)
    many = np.linspace(0, 1, 2 * CACHE)
    assert "tile" not in emitted(graphc.trace(normalised, few), SMALL)[0]
    assert "tile" in emitted(graphc.trace(normalised, many), SMALL)[0]


def test_what_is_given_away_takes_the_results():
    def update(w, g, mean, square):
        mean, square = 0.9 * mean + g, 0.99 * square + g * g
        return w - mean / (np.sqrt(square) + 1e-8), mean, square

    some = [np.linspace(0.1, 1.0, CACHE // 2)] * 4  # at 8 bytes an element, 4 caches each
    graph = graphc.trace(update, *some)
    tiled = {}
    for donate in ((), ("w", "mean", "square")):
        options = Options(cache_bytes=CACHE, donate=donate)
        generated = generate(program(plan(graph, (), None)), options)
        tiled[donate] = "tile" in generated.source
    assert tiled == {(): True, ("w", "mean", "square"): False}


def test_what_lives_inside_a_chain_is_tiled_for_the_memory_it_takes():
    def chain(x):
        return (np.tanh(x) * graphc.sigmoid(x) * np.exp(-x * x)).sum()

    def scaled(x):
        return np.tanh(x * 2.0 + 1.0) - 1.0

    x = np.linspace(-1, 1, 700)
    source, module = emitted(graphc.trace(chain, x), SMALL)
    # Six tiles of 117 are whole lines of the cache at 120.
    assert "in range(0, 700, 120):" in source
    _, whole = emitted(graphc.trace(chain, x), Options())
    np.testing.assert_allclose(module.value_and_grad(x)[1], whole.value_and_grad(x)[1], rtol=1e-13)
    # Nothing to save where each step works in the result's storage, or where one tile is all.
    assert "tile" not in emitted(graphc.trace(scaled, x), SMALL)[0]
    assert "tile" not in emitted(graphc.trace(chain, x[:128]), SMALL)[0]


def test_small_arrays_do_not_wake_threads():
    x = np.linspace(-1, 1, 1000)
    gate = x + 1.0
    source, _ = emitted(graphc.trace(gated, x, gate), Options(cache_bytes=CACHE, threads=2))
    assert "tile" in source
    assert "_on_threads" not in source


def test_a_tile_writes_into_nothing_that_the_next_one_reads():
    """Rows of z are read as columns, after those before them were worked on."""

    def model(x, w):
        z = x @ w
        u = (z + z.T) * 0.5
        return (np.exp(-0.01 * u**2) * np.sin(u) * np.cos(u) / (1 + u * u)).sum()

    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(240, 2)), rng.normal(size=(2, 240))]
    graph = graphc.trace(model, *arrays)
    source, tiled = emitted(graph, Options(cache_bytes=1 << 16))
    _, whole = emitted(graph, Options())
    assert "tile = slice(" in source
    np.testing.assert_allclose(tiled.value(*arrays), whole.value(*arrays), rtol=1e-12)
    expected = whole.value_and_grad(*arrays)[1]
    for found, other in zip(tiled.value_and_grad(*arrays)[1], expected, strict=True):
        np.testing.assert_allclose(found, other, rtol=1e-10, atol=1e-12)
