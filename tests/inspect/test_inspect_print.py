"""`print(g)`."""

from __future__ import annotations

import numpy as np

import graphc
from graphc.inspect.shown import labels


def test_a_graph_prints_typed_one_node_a_line():
    table = np.arange(3.0)

    @graphc.trace(x="f64[batch, 3]", y="i64[batch]", W=graphc.param("f32[3]"))
    def loss(x, y, W):
        h = np.tanh(x * W + table)
        return (h[:, 1:] * 2).sum() / h.shape[0]

    assert (
        str(loss)
        == """\
graph loss
  inputs
    x: f64[batch, 3]
    y: i64[batch]
  params
    W: f32[3]
  constants
    constant_1: f64[3] = [0., 1., 2.]
  nodes
    f64_1: f64[3] = f64(W)
    multiply_1: f64[batch, 3] = x * f64_1
    add_1: f64[batch, 3] = multiply_1 + constant_1
    h: f64[batch, 3] = tanh(add_1)
    slice_1: f64[batch, 2] = h[:, 1:]
    multiply_2: f64[batch, 2] = slice_1 * 2.0
    sum_1: f64 = sum(multiply_2)
    loss: f64 = sum_1 / batch
  outputs
    loss"""
    )


def test_an_output_under_another_name():
    graph = graphc.loads('graphc = 1\n[inputs]\nx = "f64"\n[outputs]\ntotal = "x"\nfour = "4.0"\n')
    assert str(graph).endswith("outputs\n    total = x\n    four = 4.0")


def test_large_constants_are_summarised():
    table = np.arange(100.0)
    mask = np.arange(100) % 3 == 0

    @graphc.trace(x="f64[100]")
    def f(x):
        return np.where(mask, x, table)

    text = str(f)
    assert "f64[100] = 100 elements in [0, 99]" in text
    assert "bool[100] = 34 of 100 true" in text


def test_primitives_and_their_parts_print():
    @graphc.primitive(result=lambda x: x)
    def twice(x):
        return 2 * x, None

    @twice.vjp
    def _(saved, d_y):
        return 2 * d_y

    @graphc.trace(x="f64")
    def f(x):
        return twice(x)

    assert "f: f64 = twice(x)" in str(f)
    text = str(graphc.grad(f))
    assert "twice.saved(f)" in text
    assert "= twice.vjp[0](" in text


def test_labels_never_meet_names():
    @graphc.trace(x="f64")
    def f(x):
        exp_1 = x + 1
        return np.sin(np.exp(np.exp(exp_1)))

    found = list(labels(f).values())
    assert len(set(found)) == len(found)
    assert "exp_1" in found
    assert "exp_2" in found
