"""Elementwise ops on neighbouring slices: one op, where every operand allows it."""

import numpy as np
import pytest

import graphc
from graphc.interpret import evaluate_outputs
from graphc.ops.kinds import Elementwise
from graphc.rewrite import join_neighbours
from graphc.verify import verify


def array(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def count(graph, name):
    return sum(isinstance(node.op, Elementwise) and node.op.name == name for node in graph.nodes)


def joined(model, **arguments):
    """The traced model and its rewritten graph, which computes the very same numbers."""
    graph = graphc.trace(model, *arguments.values())
    after = join_neighbours(graph)
    verify(after)
    expected = evaluate_outputs(graph, arguments)
    for name, value in evaluate_outputs(after, arguments).items():
        np.testing.assert_array_equal(value, expected[name])
    return graph, after


def test_the_gates_of_a_cell_are_one_sigmoid():
    def gates(z):
        i, f, o = (graphc.sigmoid(z[:, 3 * k : 3 * k + 3]) for k in range(3))
        return i * np.tanh(z[:, 9:]) + f * o

    graph, after = joined(gates, z=array(2, 12))
    assert count(graph, "sigmoid") == 3
    assert count(after, "sigmoid") == count(after, "tanh") == 1


def test_slices_of_different_lengths_join():
    def f(x):
        return np.exp(x[:2]).sum() + np.exp(x[2:7]).prod() + np.exp(x[7:]).sum()

    assert count(joined(f, x=array(9))[1], "exp") == 1


def test_several_operands_are_sliced_at_one_place():
    def f(x, y):
        a, b = x[:3] * y[:3], x[3:] * y[3:]
        return np.sin(a) / np.cos(b)

    graph, after = joined(f, x=array(6), y=array(6, seed=1))
    assert (count(graph, "multiply"), count(after, "multiply")) == (2, 1)


def test_what_does_not_vary_along_the_axis_is_shared():
    def f(x, w):
        return (x[:2] * w).sum() + np.tanh(x[2:4] * w).prod()

    assert count(joined(f, x=array(4, 3), w=array(3, seed=1))[1], "multiply") == 1


def test_ops_on_joined_ops_join_too():
    def f(x):
        parts = [np.tanh(np.sin(x[k : k + 2])) for k in (0, 2, 4)]
        return parts[0] * parts[1] + parts[2]

    after = joined(f, x=array(6))[1]
    assert count(after, "sin") == count(after, "tanh") == 1


@pytest.mark.parametrize(
    "model",
    [
        lambda x, y: np.tanh(x[:3]) + np.tanh(x[2:5]),  # overlapping
        lambda x, y: np.tanh(x[:3]) + np.tanh(y[3:6]),  # of two values
        lambda x, y: x[:3] * y[3:6] + x[3:6] * y[:3],  # at different places
        lambda x, y: x[:3] * y[6:] + x[3:6] * y[6:],  # one operand does not move on
        lambda x, y: np.tanh(x[:6:2]) + np.tanh(x[1:6:2]),  # with steps
        lambda x, y: np.tanh(x[:3]) + np.tanh(x[4:7]),  # with a gap
    ],
)
def test_what_does_not_join_stays(model):
    graph = graphc.trace(model, array(9), array(9, seed=1))
    assert join_neighbours(graph) is graph


def test_large_slices_stay():
    def f(x):
        return np.tanh(x[:50_000]) + np.tanh(x[50_000:])

    graph = graphc.trace(f, "f64[100000]")
    assert join_neighbours(graph) is graph
