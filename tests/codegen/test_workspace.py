"""Storage kept between calls: the same bits, and results that are nobody's but the caller's."""

from __future__ import annotations

import random

import numpy as np
import pytest

import graphc
from codegen import generate, load
from codegen.program import Options
from graphc.functions import plan, program
from tests.codegen.test_tiles import CACHE, CASES


def emitted(graph, **options):
    generated = generate(program(plan(graph, None, None)), Options(**options))
    return generated.source, load(generated)


def compared(graph, arrays, **options):
    """The source with a workspace, after it was compared with the one without, call by call."""
    _, plain = emitted(graph, **options)
    source, module = emitted(graph, workspace=True, **options)
    kept = list(getattr(module, "_work", []))
    first = None
    for scale in (1.0, 0.5, 1.0):
        given = [array * array.dtype.type(scale) for array in arrays]
        copies = [array.copy() for array in given]
        value, grads = module.value_and_grad(*given)
        expected, others = plain.value_and_grad(*given)
        assert value == expected
        assert module.value(*given) == plain.value(*given)
        again, saved = module.forward(*given)
        assert again == plain.forward(*given)[0]
        module.value(*arrays)  # what was saved is nobody else's
        for grad, other, back in zip(grads, others, module.backward(saved), strict=True):
            np.testing.assert_array_equal(grad, other)
            np.testing.assert_allclose(back, other, rtol=1e-9, atol=1e-9)
            assert grad.flags.writeable
            assert not any(np.shares_memory(grad, buffer) for buffer in kept)
        for array, copy in zip(given, copies, strict=True):
            np.testing.assert_array_equal(array, copy)
        if first is None:
            first = grads, [np.array(grad) for grad in grads]
    for grad, copy in zip(*first, strict=True):
        np.testing.assert_array_equal(grad, copy)
    return source


@pytest.mark.parametrize("case", CASES)
def test_tiles_with_kept_scratch(case):
    function, shapes = CASES[case]
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape) for shape in shapes]
    source = compared(graphc.trace(function, *arrays), arrays, cache_bytes=CACHE)
    assert "scratch = _work[" in source


def layers(x, W, V, b):
    h = np.tanh(x @ W + b)
    g = np.tanh(h @ V)
    return ((g - h) ** 2).sum()


def test_layers_work_in_few_buffers():
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=shape) for shape in ((64, 48), (48, 48), (48, 48), (48,))]
    source = compared(graphc.trace(layers, *arrays), arrays)
    assert "out=_work[0]" in source
    assert "np.matmul(x, W, out=_work[" in source
    start = source.index("_work = [")
    assert 1 <= source[start : source.index("]", start)].count("np.empty(") <= 5


def test_sizes_that_a_call_tells_are_not_kept():
    graph = graphc.trace(layers, "f64[n, 48]", "f64[48, m]", "f64[m, m]", "f64[m]")
    assert "_work" not in emitted(graph, workspace=True)[0]


def test_without_being_asked_nothing_is_kept():
    graph = graphc.trace(layers, "f64[64, 48]", "f64[48, 48]", "f64[48, 48]", "f64[48]")
    assert "_work" not in emitted(graph)[0]


def test_a_value_that_a_primitive_may_return_is_not_kept():
    @graphc.primitive(result=lambda x: x)
    def same(x):
        return x, ()

    @same.vjp
    def _(saved, d_y):
        return d_y

    def doubled(x):
        return {"y": same(x * 2.0), "total": (x * 3.0).sum()}

    x = np.arange(4096.0)
    f = graphc.compile(graphc.trace(doubled, x), workspace=True, cache=False)
    first = f(x).y
    f(x + 1.0)
    np.testing.assert_array_equal(first, x * 2.0)


def _random_function(seed):
    """A function of three matrices, of random operations; most values are read several times."""
    rng = random.Random(seed)
    choices = [(rng.randrange(6), rng.random(), rng.random()) for _ in range(rng.randrange(4, 14))]

    def function(x, y, z):
        pool = [x, y, z]
        for kind, first, second in choices:
            a, b = pool[int(first * len(pool))], pool[int(second * len(pool))]
            made = [
                lambda a, b: a + b,
                lambda a, b: a * b,
                lambda a, b: np.tanh(a),
                lambda a, b: a @ b / 40.0,
                lambda a, b: a - b.sum(axis=1, keepdims=True) / 40.0,
                lambda a, b: np.exp(-a * a),
            ][kind]
            pool.append(made(a, b))
        return (np.tanh(pool[-1]) * np.sin(pool[-2])).sum()

    return function


@pytest.mark.parametrize("seed", range(25))
def test_any_function_in_a_workspace(seed):
    rng = np.random.default_rng(seed)
    arrays = list(rng.normal(size=(3, 40, 40)))
    graph = graphc.trace(_random_function(seed), *arrays)
    compared(graph, arrays)
    compared(graph, arrays, cache_bytes=512)
