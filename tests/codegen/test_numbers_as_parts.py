"""Numbers that become the elements of an array are written as such."""

import inspect

import numpy as np
import pytest

import graphc
from graphc.types import DTYPES


def body(function):
    return inspect.getsource(function)


@graphc.trace(t="f64[n]", p="f64[4]")
def curve(t, p):
    amplitude, rate, phase, shift = p
    return (amplitude * np.exp(-rate * t) * np.cos(t + phase) + shift).sum()


@graphc.trace(t="f32[n]", p="f32[5]")
def some(t, p):
    return (p[1] * np.exp(-p[3] * t)).sum()


@graphc.trace(t="f64[n]", p="f64[3, 2]")
def entries(t, p):
    return p[0, 0] * t.sum() + p[2, 1] * (t * t).sum()


@graphc.trace(t="f64[n]", p="f64[6]")
def overlapping(t, p):
    return (p[1:4] * t.sum()).sum() + (p[2:6] * (t * t).sum()).sum() + p[0] * p[3]


@pytest.mark.parametrize("graph", [curve, some, entries, overlapping], ids=lambda graph: graph.name)
def test_gradients_of_elements_agree_with_numerical_ones(graph):
    random = np.random.default_rng(0)
    t, p = (node.type for node in graph.inputs)
    values = [random.normal(size=shape) for shape in (7, p.shape)]
    assert graphc.check_grads(graph, *(x.astype(DTYPES[t.dtype]) for x in values)).ok


def test_the_gradient_of_unpacked_parameters_is_one_array_of_numbers():
    source = body(graphc.compile(curve, "p").value_and_grad)
    assert "d_p = np.array([d_amplitude, d_rate, d_phase, d_shift])" in source


def test_numbers_are_written_to_their_places():
    source = body(graphc.compile(some, "p").value_and_grad)
    assert "d_p[3] = " in source
    assert "d_p[1] = " in source
    source = body(graphc.compile(entries, "p").value_and_grad)
    assert "d_p[0, 0] = " in source
    assert "d_p[2, 1] = " in source


def test_regions_that_overlap_are_added():
    source = body(graphc.compile(overlapping, "p").value_and_grad)
    assert " += " in source.partition("d_p = ")[2]


def test_a_stack_of_numbers_is_one_array():
    @graphc.trace(a="f64[n]")
    def moments(a):
        return np.stack([a.sum(), (a * a).sum()])

    assert "np.array([" in body(graphc.compile(moments, wrt="a").value)


def test_a_half_of_a_double_is_another_name():
    @graphc.trace(t="f64[n]", y="f64[n]")
    def loss(t, y):
        residual = np.tanh(t) - y
        return 0.5 * (residual**2).sum()

    source = body(graphc.compile(loss, "t").value_and_grad)
    assert "    d_residual = residual\n" in source
    assert graphc.check_grads(loss, t=np.linspace(-1, 1, 5), y=np.ones(5)).ok
