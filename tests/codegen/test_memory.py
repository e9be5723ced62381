"""The plan of memory: its estimate is what is measured, and dead arrays go where they would raise
the peak, nowhere else."""

import gc
import inspect
import re
import tracemalloc

import numpy as np
import pytest

import graphc
from codegen.function import plan_function
from codegen.names import ModuleNames
from codegen.program import Options
from graphc.functions import plan, program

N = 40_000  # an array of this many doubles is 320 kB


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def memory_of(graph, wrt=None, name="value_and_grad"):
    """The plan of one function's memory."""
    found = program(plan(graph, wrt, None))
    function = next(one for one in found.functions if one.name == name)
    names = ModuleNames([], [], [record.name for record in found.records], [])
    return plan_function(found, function, Options(), names, ()).plan.memory


def peak(call):
    """Bytes that a call has at most, beside what was there."""
    call()
    gc.collect()
    tracemalloc.start()
    try:
        result = call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        del result


def alternating(x, W):
    """Products of which each needs only the one before: two arrays at a time, and the gradient
    needs all of them."""
    for _ in range(6):
        x = np.sin(x @ W)
    return (x * x).sum()


def chain(x):
    """Elementwise, with temporaries inside expressions."""
    return (np.tanh(x) * np.exp(-x * x) * np.cos(x)).sum()


def wide(x):
    """Three large values, dead one after another."""
    a = np.sort(x)
    low = a[:7].sum()
    b = np.sort(-x)
    high = b[:7].sum()
    c = np.sort(x * x)
    return low + high + c[:7].sum()


@pytest.mark.parametrize(("model", "arguments"), [
    (alternating, (array(400, 100), array(100, 100, seed=1))),
    (chain, (array(N),)),
    (chain, (array(5 * N),)),
])  # fmt: skip
def test_the_estimate_is_what_is_measured(model, arguments):
    graph = graphc.trace(model, *arguments)
    found = memory_of(graph)
    step = graphc.compile(graph).value_and_grad
    measured = peak(lambda: step(*arguments))
    assert found.peak == pytest.approx(measured, rel=0.05)
    assert found.peak == max(found.held)
    assert found.least <= found.peak


def test_dead_arrays_go_where_they_would_raise_the_peak():
    graph = graphc.trace(wide, f"f64[{4 * N}]")
    found = memory_of(graph, name="value")
    compiled = graphc.compile(graph)
    assert found.dropped
    assert "    del a" in compiled.source
    x = array(4 * N)
    assert peak(lambda: compiled(x)) == pytest.approx(found.least, rel=0.05)
    np.testing.assert_allclose(compiled(x), wide(x), rtol=1e-12)


def test_small_functions_keep_their_lines():
    graph = graphc.trace(wide, "f64[1000]")
    assert not memory_of(graph, name="value").dropped
    assert "del " not in graphc.compile(graph).source


def test_expected_sizes_count():
    graph = graphc.trace(wide, "f64[n]")
    assert "del " not in graphc.compile(graph).source
    assert "    del a" in graphc.compile(graph, sizes={"n": 4 * N}).source


def test_what_is_returned_or_given_stays():
    def f(x):
        a = np.sort(x)
        b = np.sort(-a)
        return a, np.sort(b * b), x

    compiled = graphc.compile(graphc.trace(f, f"f64[{4 * N}]"))
    x = array(4 * N)
    for found, expected in zip(compiled(x), f(x), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_plan_prints_the_bytes_beside_each_line():
    compiled = graphc.compile(graphc.trace(wide, f"f64[{4 * N}]"))
    listing = compiled.memory("value")
    assert listing.peak == max(size for size, _ in listing.rows if size is not None)
    lines = str(listing).splitlines()
    # An array is 1.28 MB: at most two and the order of a third are there at once.
    assert lines[0] == "value: 3.84 MB at the peak, 3.84 MB at least in this order"
    assert "  1.28 MB  low = a[:7].sum()" in lines
    # What is listed is what runs, line by line.
    body = compiled.source[compiled.source.index("def value(") :]
    for size, line in listing.rows:
        assert size is None or line.strip() in body


@pytest.mark.parametrize("name", ["forward", "backward"])
def test_forward_and_backward_have_plans_too(name):
    compiled = graphc.compile(graphc.trace(alternating, "f64[400, 100]", "f64[100, 100]"))
    listing = compiled.memory(name)
    assert listing.function == name
    assert listing.peak >= 400 * 100 * 8


def test_a_loop_over_tiles_holds_what_it_leaves_and_scratch():
    compiled = graphc.compile(graphc.trace(chain, "f64[3000000]"))
    assert "for start in range(" in compiled.source
    (held,) = [size for size, line in compiled.memory().rows if line.startswith("for start")]
    body = inspect.getsource(compiled.value_and_grad)
    scratch = int(re.search(r"np.empty\(\((\d), 32768\)\)", body)[1])
    assert held == (3_000_000 + scratch * 32_768) * 8


def test_functions_that_are_not_there_are_named():
    compiled = graphc.compile(graphc.trace(wide, "f64[9]"))
    with pytest.raises(graphc.GraphError, match="memory: wide has no function 'vlaue'"):
        compiled.memory("vlaue")
