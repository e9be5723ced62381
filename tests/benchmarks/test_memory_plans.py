"""The memory plan of a workload says what a call takes, as tracemalloc finds it."""

import gc
import inspect
import tracemalloc

import pytest

import graphc
from tests.benchmarks.cases import WORKLOADS

# What routines of the module use inside is not planned: embeddings and k-means have such.
PLANNED = (
    "logistic regression, 10,000x100",
    "logsumexp, 1.28e6",
    "MLP 784-1024-1024-10, batch 256",
    "elementwise chain, 1e5 f32",
    "elementwise chain, 1e5 f64",
    "Gaussian mixture, d=64 k=100 n=1000",
    "layer-norm, 512x768",
    "batch-norm, 512x768",
    "attention, 8x128x64",
    "convolution 3x3, 8x64x28x28",
    "convolution 3x3, 64x16x8x8",
    "max pooling 2x2, 8x64x56x56",
)


@pytest.fixture(scope="module", params=PLANNED)
def workload(request):
    """A compiled workload of full size, and its arguments."""
    (found,) = [workload for workload in WORKLOADS if workload.name == request.param]
    case = found.build(*found.full)
    return graphc.compile(case.graph(), wrt=case.wrt), tuple(case.arguments.values())


@pytest.mark.parametrize("name", ["value", "value_and_grad", "forward"])
def test_the_peak_is_what_a_call_takes(workload, name):
    compiled, arguments = workload
    call = compiled if name == "value" else getattr(compiled, name)
    call(*arguments)
    gc.collect()
    tracemalloc.start()
    try:
        result = call(*arguments)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    del result
    assert compiled.memory(name).peak == pytest.approx(peak, rel=0.05)


def test_the_columns_of_a_convolution_go_where_they_would_raise_the_peak():
    (found,) = [each for each in WORKLOADS if each.name == "convolution 3x3, 8x64x28x28"]
    case = found.build(*found.full)
    compiled = graphc.compile(case.graph(), wrt=case.wrt)
    forward, both = map(inspect.getsource, (compiled.forward, compiled.value_and_grad))
    assert "        del x_padded, x_windows, columns, columns_flat\n" in forward
    # The gradient works in them again.
    assert both.count("columns = np.empty(") == 1
    assert ", columns" not in both.partition(" del ")[2].partition("np.copyto(")[0]
