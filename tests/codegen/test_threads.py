"""Tiles on several threads: the same bits as on one, errors and error states as the caller's."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

import graphc
from codegen import generate, load
from codegen.program import Options
from graphc.functions import plan, program
from tests.codegen.test_tiles import CACHE, CASES


def emitted(graph, threads):
    options = Options(cache_bytes=CACHE, threads=threads)
    generated = generate(program(plan(graph, None, None)), options)
    return generated.source, load(generated)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("case", CASES)
def test_every_number_of_threads_gives_the_same_bits(case, dtype):
    function, shapes = CASES[case]
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    graph = graphc.trace(function, *arrays)
    alone, single = emitted(graph, 1)
    assert "_on_threads" not in alone
    value, grads = single.value_and_grad(*arrays)
    for threads in (2, 3):
        source, module = emitted(graph, threads)
        assert f"on {threads} threads" in source
        for _ in range(5):
            found, others = module.value_and_grad(*arrays)
            assert found == value
            assert type(found) is type(value)
            for grad, other in zip(grads, others, strict=True):
                np.testing.assert_array_equal(grad, other)


def gated(x):
    return (np.tanh(x) * np.exp(x) * x).sum()


def test_sums_of_products_are_not_left_to_blas_which_has_threads_of_its_own():
    graph = graphc.trace(lambda x: (np.tanh(x) * np.exp(x)) @ np.sin(x), "f64[5000]")
    source, _ = emitted(graph, 3)
    assert 'np.einsum("i,i->", ' in source
    assert "dot(" not in source


@pytest.fixture
def threaded():
    return emitted(graphc.trace(gated, "f64[5000]"), 3)


def test_the_work_is_done_by_several_threads(threaded):
    _, module = threaded
    seen = set()
    both = threading.Barrier(2, timeout=20)

    def work():
        seen.add(threading.get_ident())
        both.wait()

    emitted(graphc.trace(gated, "f64[5000]"), 2)[1]._on_threads(work)
    assert len(seen) == 2
    assert module._pools


def test_modules_share_their_threads(threaded):
    _, module = threaded
    _, other = emitted(graphc.trace(gated, "f64[6000]"), 3)
    assert module._pools is other._pools


def test_an_error_on_any_thread_reaches_the_caller(threaded):
    _, module = threaded
    for at in (0, 2500, 4999):
        x = np.zeros(5000)
        x[at] = 1000.0
        with np.errstate(over="raise"), pytest.raises(FloatingPointError, match="overflow"):
            module.value_and_grad(x)
    with np.errstate(over="ignore"):
        assert module.value(x) == np.inf


def test_one_function_runs_for_several_callers_at_once(threaded):
    _, module = threaded
    x = np.random.default_rng(1).normal(size=5000)
    expected = module.value_and_grad(x)
    found = []

    def call():
        found.extend(module.value_and_grad(x) for _ in range(10))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(found) == 40
    for value, grads in found:
        assert value == expected[0]
        np.testing.assert_array_equal(grads.x, expected[1].x)


def test_a_forked_process_has_threads_of_its_own(threaded):
    source, _ = threaded
    script = source + (
        "\n\nx = np.linspace(-1.0, 1.0, 5000)\n"
        "before = value(x)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if value(x) == before else 1)\n"
        "print(os.waitpid(child, 0)[1])\n"
    )
    made = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert made.stdout.strip() == "0"


def test_an_unthreaded_module_imports_no_threads():
    source, _ = emitted(graphc.trace(gated, "f64[5000]"), 1)
    assert "concurrent" not in source
    source, _ = emitted(graphc.trace(gated, "f64[50]"), 3)
    assert "concurrent" not in source


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2"])
def test_a_number_of_threads_that_is_none(threads):
    with pytest.raises(graphc.GraphValueError, match="threads="):
        graphc.compile(graphc.trace(gated, "f64[5000]"), threads=threads)
