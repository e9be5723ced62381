"""Speed never changes results: at small sizes, what every workload computes is what the
interpreter computes, and what we measure against computes the same."""

import numpy as np
import pytest

import graphc
from graphc.autodiff import grad
from graphc.interpret import evaluate_outputs
from tests.benchmarks.cases import WORKLOADS

TOLERANCE = {np.dtype(np.float64): 1e-9, np.dtype(np.float32): 3e-4}


def compare(found, expected, dtype):
    """Close in units of the array's own scale: sums in another order round differently."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    scale = float(np.abs(expected).max(initial=1.0))
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * scale)


def dtype_of(case):
    return np.asarray(case.arguments[case.wrt[0]]).dtype


# What a user may choose of the plan: each is another source of the same function.
PLANS = {
    "fused": {},
    "threads": {"threads": 2},
    "workspace": {"workspace": True},
    "naive": {"stable": False},
}


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_a_workload_computes_what_its_definition_says(workload):
    case = workload.build(*workload.small)
    graph = case.graph()
    arguments = tuple(case.arguments.values())
    expected = evaluate_outputs(grad(graph, wrt=case.wrt), case.arguments)
    (output,) = evaluate_outputs(graph, case.arguments).values()

    def check(value, grads):
        compare(value, output, dtype_of(case))
        for found, name in zip(grads, case.wrt, strict=True):
            compare(found, expected[f"d_{name}"], dtype_of(case))
            assert np.asarray(found).dtype == dtype_of(case)

    for options in PLANS.values():
        compiled = graphc.compile(graph, wrt=case.wrt, **options)
        for _ in range(2):  # what the first call leaves in a workspace changes nothing
            check(*compiled.value_and_grad(*arguments))
    value, saved = compiled.forward(*arguments)
    check(value, compiled.backward(saved))


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_the_expert_computes_the_same(workload):
    case = workload.build(*workload.small)
    graph = case.graph()
    value, grads = graphc.compile(graph, wrt=case.wrt).value_and_grad(*case.arguments.values())
    expected, expected_grads = case.hand(*case.arguments.values())
    compare(value, expected, dtype_of(case))
    for found, other in zip(grads, expected_grads, strict=True):
        compare(found, other, dtype_of(case))
