"""Convolution against a loop, SciPy and NumPy; its gradients against numerical ones."""

import itertools
import tracemalloc

import numpy as np
import pytest
from scipy import signal

import graphc

RNG = np.random.default_rng(7)


def naive(x, W, stride, padding, dilation, groups):
    """The definition, place by place."""
    rank = x.ndim - 2
    pairs = [(0, 0), (0, 0), *[(p, p) if isinstance(p, int) else p for p in padding]]
    x = np.pad(x, pairs)
    kernel = W.shape[2:]
    places = [
        (size - d * (k - 1) - 1) // s + 1
        for size, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True)
    ]
    y = np.zeros((x.shape[0], W.shape[0], *places))
    depth, share = W.shape[1], W.shape[0] // groups
    for o in range(W.shape[0]):
        group = o // share
        own = x[:, group * depth : (group + 1) * depth]
        for at in itertools.product(*map(range, places)):
            window = tuple(
                slice(i * s, i * s + d * (k - 1) + 1, d)
                for i, s, d, k in zip(at, stride, dilation, kernel, strict=True)
            )
            part = own[(slice(None), slice(None), *window)]
            y[(slice(None), o, *at)] = (part * W[o]).sum(axis=tuple(range(1, rank + 2)))
    return y


CASES = [
    # x, W, stride, padding, dilation, groups
    ((2, 3, 9), (4, 3, 3), (1,), (0,), (1,), 1),
    ((2, 4, 11), (6, 2, 4), (3,), (2,), (2,), 2),
    ((3, 3, 7, 6), (4, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 3, 11, 9), (4, 3, 5, 3), (2, 1), (2, 0), (1, 2), 1),
    ((2, 4, 8, 8), (6, 2, 3, 3), (2, 2), (1, 1), (1, 1), 2),
    ((2, 4, 8, 9), (4, 1, 3, 3), (1, 1), (1, 1), (1, 1), 4),
    ((1, 2, 7, 7), (3, 2, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((2, 2, 6, 6), (3, 2, 1, 1), (2, 2), (0, 0), (1, 1), 1),
    ((2, 2, 15, 15), (3, 2, 11, 11), (4, 4), (2, 2), (1, 1), 1),
    ((2, 2, 5, 5), (3, 2, 5, 5), (1, 1), (0, 0), (1, 1), 1),
    ((2, 2, 9, 8), (2, 2, 2, 2), (3, 3), (0, 0), (1, 1), 1),
    ((2, 2, 6, 7), (2, 2, 3, 2), (1, 2), ((0, 2), (1, 0)), (1, 1), 1),
    ((2, 2, 4, 5, 6), (3, 2, 2, 3, 2), (1, 2, 1), (1, 1, 0), (1, 1, 2), 1),
    ((2, 16, 14, 14), (4, 16, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 32, 15, 29), (6, 16, 3, 3), (1, 2), (1, 1), (1, 1), 2),
    ((1, 4, 4, 4, 4), (2, 2, 3, 3, 3), (1, 1, 2), (1, 1, 1), (1, 1, 1), 2),
    ((2, 4, 17, 17), (20, 4, 5, 5), (1, 1), (2, 2), (1, 1), 1),
    # A kernel for each channel: slices times numbers.
    ((2, 6, 60, 50), (6, 1, 3, 3), (1, 1), (1, 1), (1, 1), 6),
    ((3, 4, 61, 62), (4, 1, 3, 2), (2, 2), (1, 0), (1, 2), 4),
    ((2, 1, 150, 70), (1, 1, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((40, 32, 8, 8), (32, 1, 3, 3), (1, 1), (1, 1), (1, 1), 32),
    ((2, 9, 1100), (9, 1, 5), (1,), (2,), (1,), 9),
    # Small maps: several images a product, channels last.
    ((45, 8, 6, 5), (3, 8, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((75, 32, 12), (5, 32, 3), (1,), (0,), (1,), 1),
    ((48, 12, 9, 9), (5, 12, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((37, 20, 9, 8), (2, 20, 3, 3), (1, 1), ((0, 2), (1, 0)), (2, 2), 1),
    ((40, 4, 5, 5, 5), (6, 4, 2, 2, 3), (1, 1, 1), (0, 0, 1), (1, 1, 1), 1),
]


def loss_of(case, dtype="f64", named=False):
    x, W, stride, padding, dilation, groups = case
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    batch = "n" if named else x[0]
    x_type = f"{dtype}[{', '.join(map(str, (batch, *x[1:])))}]"
    W_type = f"{dtype}[{', '.join(map(str, W))}]"

    def model(x, W):
        y = graphc.conv(x, W, **options)
        return {"y": y, "loss": (y * y * y).sum()}

    return graphc.trace(model, x_type, W_type)


def inputs(case, dtype=np.float64):
    return [RNG.normal(size=shape).astype(dtype) for shape in case[:2]]


@pytest.mark.parametrize("case", CASES)
def test_convolution_is_its_definition(case):
    x, W = inputs(case)
    expected = naive(x, W, *case[2:])
    f = graphc.compile(loss_of(case, named=True), of="loss")
    found = f(x, W)
    np.testing.assert_allclose(found.y, expected, rtol=1e-12, atol=1e-12)
    plain = graphc.conv(x, W, stride=case[2], padding=case[3], dilation=case[4], groups=case[5])
    np.testing.assert_allclose(plain, expected, rtol=1e-12, atol=1e-12)
    assert not np.shares_memory(found.y, x)


@pytest.mark.parametrize("case", CASES)
def test_convolution_gradients(case):
    """Exact by the definition's linearity: <d_y, conv(u, W)> = <d_x, u>, and the same for W."""
    x, W = inputs(case)
    f = graphc.compile(loss_of(case), of="loss")
    _, grads = f.value_and_grad(x, W)
    d_y = 3 * naive(x, W, *case[2:]) ** 2
    u, V = inputs(case)
    assert np.vdot(grads.x, u) == pytest.approx(np.vdot(d_y, naive(u, W, *case[2:])), rel=1e-11)
    assert np.vdot(grads.W, V) == pytest.approx(np.vdot(d_y, naive(x, V, *case[2:])), rel=1e-11)
    _, saved = f.forward(x, W)
    both = f.backward(saved, 1.0)
    np.testing.assert_allclose(both.x, grads.x, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(both.W, grads.W, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("case", CASES[:17:3])
def test_check_grads(case):
    x, W = inputs(case)
    graphc.check_grads(loss_of(case), of="loss", x=x, W=W)


@pytest.mark.parametrize("case", CASES)
def test_f32_stays_f32(case):
    x, W = inputs(case, np.float32)
    f = graphc.compile(loss_of(case, "f32"), of="loss")
    value, grads = f.value_and_grad(x, W)
    assert value.y.dtype == grads.x.dtype == grads.W.dtype == np.float32
    expected = naive(x.astype(np.float64), W.astype(np.float64), *case[2:])
    np.testing.assert_allclose(value.y, expected, rtol=1e-4, atol=1e-4)


def test_against_scipy():
    x, W = RNG.normal(size=(1, 1, 12, 10)), RNG.normal(size=(1, 1, 3, 4))
    expected = signal.correlate2d(x[0, 0], W[0, 0], mode="valid")
    np.testing.assert_allclose(graphc.conv2d(x, W)[0, 0], expected, rtol=1e-12)
    x, W = RNG.normal(size=(1, 1, 12)), RNG.normal(size=(1, 1, 5))
    same = graphc.conv1d(x, W, padding="same")[0, 0]
    np.testing.assert_allclose(same, np.correlate(x[0, 0], W[0, 0], "same"), rtol=1e-12)


@pytest.mark.parametrize("case", CASES[:12])
def test_transposed_convolution_is_the_adjoint(case):
    """<conv(x, W), y> = <x, conv_transpose(y, W)>, the zeros behind being what the stride skips."""
    x_shape, W_shape, stride, padding, dilation, groups = case
    x, W = inputs(case)
    y = RNG.normal(size=naive(x, W, *case[2:]).shape)
    pairs = [(p, p) if isinstance(p, int) else p for p in padding]
    behind = tuple(
        (size + sum(p) - d * (k - 1) - 1) % s
        for size, p, d, k, s in zip(x_shape[2:], pairs, dilation, W_shape[2:], stride, strict=True)
    )
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    back = graphc.conv_transpose(y, W, output_padding=behind, **options)
    assert back.shape == x.shape
    assert np.vdot(naive(x, W, *case[2:]), y) == pytest.approx(np.vdot(x, back), rel=1e-11)

    types = [f"f64[{', '.join(map(str, a.shape))}]" for a in (y, W)]
    g = graphc.trace(
        lambda y, W: (graphc.conv_transpose(y, W, output_padding=behind, **options) ** 2).sum(),
        *types,
    )
    _, grads = graphc.compile(g).value_and_grad(y, W)
    np.testing.assert_allclose(grads.y, 2 * naive(back, W, *case[2:]), rtol=1e-10, atol=1e-10)
    V = RNG.normal(size=W.shape)
    along = 2 * np.vdot(back, graphc.conv_transpose(y, V, output_padding=behind, **options))
    assert np.vdot(grads.W, V) == pytest.approx(along, rel=1e-10)


def test_circular_convolution():
    w, s = RNG.normal(size=(2, 3, 7)), RNG.normal(size=(3, 7))
    expected = np.real(np.fft.ifft(np.fft.fft(w) * np.fft.fft(s)))
    np.testing.assert_allclose(graphc.circular_convolution(w, s), expected, atol=1e-12)
    g = graphc.trace(
        lambda w, s: (graphc.circular_convolution(w, s) ** 3).sum(), "f64[n, 3, 7]", "f64[3, 7]"
    )
    np.testing.assert_allclose(graphc.compile(g)(w, s), (expected**3).sum(), rtol=1e-12)
    graphc.check_grads(g, w=w, s=s)


def test_named_space():
    """Sizes may be names: one function for images of any size."""
    g = graphc.trace(
        lambda x, W: (graphc.conv2d(x, W, stride=2, padding=1) ** 2).sum(),
        "f64[n, 2, h, w]",
        "f64[3, 2, 3, 3]",
    )
    f = graphc.compile(g)
    W = RNG.normal(size=(3, 2, 3, 3))
    for shape in [(2, 2, 7, 6), (1, 2, 4, 9)]:
        x = RNG.normal(size=shape)
        value, grads = f.value_and_grad(x, W)
        y = naive(x, W, (2, 2), (1, 1), (1, 1), 1)
        assert value == pytest.approx((y * y).sum())
        u = RNG.normal(size=shape)
        along = np.vdot(2 * y, naive(u, W, (2, 2), (1, 1), (1, 1), 1))
        assert np.vdot(grads.x, u) == pytest.approx(along)


@pytest.mark.parametrize(
    ("x", "W", "options", "message"),
    [
        ("f64[2, 3, 8, 8]", "f64[4, 2, 3, 3]", {}, "W has 2 channels for 1 group"),
        ("f64[2, 4, 8, 8]", "f64[3, 2, 3, 3]", {"groups": 2}, "3 kernels do not divide"),
        ("f64[2, 3, 2, 2]", "f64[4, 3, 3, 3]", {}, "reach 3 is more than the 2 positions"),
        ("f64[2, 3, 8, 8]", "f64[4, 3, 3]", {}, "W has as many axes"),
        ("f64[2, 3, 8, 8]", "f64[4, 3, 3, 3]", {"stride": 0}, "stride is 1 or more"),
        ("f64[2, 3, 8, 8]", "f64[4, 3, 3, 3]", {"padding": "full"}, "neither 'valid' nor 'same'"),
        ("f64[2, 3, 8, 8]", "f64[4, 3, 3, 3]", {"stride": 2, "padding": "same"}, "stride 1"),
        ("f64[2, 3, 8, 8]", "f64[4, 3, 3, 3]", {"dilation": 1.5}, "dilation is an int"),
        ("f64[2, 3, 8, 8]", "f64[4, 3, 3, 3]", {"groups": 0}, "groups is a positive int"),
    ],
)
def test_mistakes(x, W, options, message):
    with pytest.raises(graphc.GraphError, match=message):
        graphc.trace(lambda x, W: graphc.conv(x, W, **options), x, W)


def test_rank_is_checked():
    with pytest.raises(graphc.GraphError, match=r"conv2d: x f64\[2, 3, 8\] should be"):
        graphc.trace(lambda x, W: graphc.conv2d(x, W), "f64[2, 3, 8]", "f64[4, 3, 3]")


def test_large_arrays_are_computed_by_emitted_code():
    """The definition would take minutes; small ones, and other dtypes, agree with it."""
    x = RNG.normal(size=(4, 32, 30, 30)).astype(np.float32)
    W = RNG.normal(size=(32, 32, 3, 3)).astype(np.float32)
    y = graphc.conv(x, W, padding=1)
    assert y.dtype == np.float32
    part = graphc.conv(x[:1, :, 3:8, 2:7].astype(np.float64), W.astype(np.float64))
    np.testing.assert_allclose(y[:1, :, 4:7, 3:6], part, rtol=1e-3, atol=1e-3)
    whole = RNG.integers(-9, 9, size=(2, 8, 16, 16))
    kernels = RNG.integers(-9, 9, size=(8, 8, 3, 3))
    found = graphc.conv(whole, kernels)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, naive(whole, kernels, (1, 1), (0, 0), (1, 1), 1))
    back = graphc.conv_transpose(y, W, padding=1)
    expected = (back.astype(np.float64) * x).sum()
    assert (y.astype(np.float64) ** 2).sum() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kernels", [4, 16, 64])
def test_memory_does_not_grow_with_the_kernel_s_area(kernels):
    """Columns are those of one image, in gradients too: a batch's would be 25 times its size."""
    g = graphc.trace(
        lambda x, W: (graphc.conv(x, W, padding=2) ** 2).sum(),
        "f32[32, 16, 20, 20]",
        f"f32[{kernels}, 16, 5, 5]",
    )
    f = graphc.compile(g)
    x = RNG.normal(size=(32, 16, 20, 20)).astype(np.float32)
    W = RNG.normal(size=(kernels, 16, 5, 5)).astype(np.float32)
    f.value_and_grad(x, W)
    tracemalloc.start()
    f.value_and_grad(x, W)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    result = x.nbytes * kernels // 16
    columns = 25 * max(x.nbytes, result) // 32
    assert peak < 4 * x.nbytes + 3 * result + 3 * columns
    assert peak < 25 * x.nbytes


def test_a_kernel_for_each_channel_makes_no_columns():
    """Slices of the array times numbers: memory is that of the arrays, whatever the kernel."""
    g = graphc.trace(
        lambda x, W: (graphc.conv(x, W, padding=2, groups=16) ** 2).sum(),
        "f32[8, 16, 30, 30]",
        "f32[16, 1, 5, 5]",
    )
    f = graphc.compile(g)
    assert "columns" not in f.source
    x = RNG.normal(size=(8, 16, 30, 30)).astype(np.float32)
    W = RNG.normal(size=(16, 1, 5, 5)).astype(np.float32)
    f.value_and_grad(x, W)
    tracemalloc.start()
    f.value_and_grad(x, W)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * x.nbytes


def test_small_maps_are_rows_of_several_images():
    """Neither a loop over images nor the columns of all: memory is that of the arrays."""
    g = graphc.trace(
        lambda x, W: (graphc.conv(x, W, padding=1) ** 2).sum(),
        "f32[n, 16, 8, 8]",
        "f32[16, 16, 3, 3]",
    )
    f = graphc.compile(g)
    assert f.source.count("rows = x_windows[image : image + 4].reshape(-1, 144)") > 1
    assert "columns" not in f.source
    W = RNG.normal(size=(16, 16, 3, 3)).astype(np.float32)
    for images in (0, 1, 7, 64):
        x = RNG.normal(size=(images, 16, 8, 8)).astype(np.float32)
        tracemalloc.start()
        value, grads = f.value_and_grad(x, W)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        y = naive(x, W, (1, 1), (1, 1), (1, 1), 1)
        assert value == pytest.approx((y * y).sum(), rel=1e-4)
        assert grads.x.shape == x.shape
    assert peak < 6 * x.nbytes + 1e6


@pytest.mark.parametrize("kernels", [8, 40])
def test_threads_change_nothing(kernels):
    """Images are shared out, and their terms are added in order: bit for bit the same."""
    g = graphc.trace(
        lambda x, W: (graphc.conv(x, W, padding=1) ** 2).sum(),
        "f32[n, 16, 13, 13]",
        f"f32[{kernels}, 16, 3, 3]",
    )
    alone, together = graphc.compile(g), graphc.compile(g, threads=2)
    assert "_on_threads" in together.source
    W = RNG.normal(size=(kernels, 16, 3, 3)).astype(np.float32)
    for images in (1, 5, 8):
        x = RNG.normal(size=(images, 16, 13, 13)).astype(np.float32)
        for _ in range(3):
            value, grads = together.value_and_grad(x, W)
            expected, expected_grads = alone.value_and_grad(x, W)
            assert value == expected
            np.testing.assert_array_equal(grads.x, expected_grads.x)
            np.testing.assert_array_equal(grads.W, expected_grads.W)


def test_results_of_large_arrays_are_fresh():
    x = RNG.normal(size=(4, 8, 33, 33))
    before = x.copy()
    for found in (graphc.max_pool(x, 3, stride=2), graphc.avg_pool(x, 3)):
        assert not np.shares_memory(found, x)
        found[:] = 0
    np.testing.assert_array_equal(x, before)
    g = graphc.trace(lambda x, W: graphc.conv(x, W), "f64[n, 8, 33, 33]", "f64[4, 8, 1, 1]")
    W = RNG.normal(size=(4, 8, 1, 1))
    np.testing.assert_allclose(g(x, W), np.einsum("nchw,oc->nohw", x, W[..., 0, 0]), rtol=1e-9)
