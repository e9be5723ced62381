"""The digest: what counts, what does not, and that it is the same everywhere."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import graphc
from codegen.expr import Number
from codegen.program import Slice
from graphc import nodes
from graphc.canonical import callable_text, canonical_lines, digest
from graphc.graph import Graph
from graphc.ir import Origin
from graphc.ops.kinds import Contraction, Einstein, InputParams
from graphc.types import Dim, array_type, parse_type


def graph(build, name="g", type="f64[3]"):
    x = nodes.input_("x", parse_type(type), InputParams("input"))
    out = build(x)
    order, stack = {}, [out]
    while stack:
        node = stack.pop()
        order[node] = None
        stack.extend(node.inputs)
    order = sorted({x: None, **order}, key=lambda node: node.serial)
    return Graph(name, [x], [("y", out)], order)


def add(x, value):
    return nodes.elementwise("add", x, nodes.constant(value))


BASE = graph(lambda x: add(x, 1.0))


def named(x):
    node = add(x, 1.0)
    node.name = "y"
    return node


def pad(value):
    return lambda x: nodes.pad(x, [(1, 0)], value)


def contract(body):
    i = nodes.index("i")
    params = Einstein((i,), ((i,),), (("i", 3),), (3,), body)
    return lambda x: nodes.contraction(Contraction("c"), params, x)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (BASE, graph(lambda x: add(x, 2.0))),
        (BASE, graph(lambda x: add(x, -1.0))),
        (BASE, graph(lambda x: add(x, 1.0), name="h")),
        (BASE, graph(lambda x: add(x, 1.0), type="f64[4]")),
        (BASE, graph(lambda x: nodes.elementwise("add", nodes.constant(1.0), x))),
        (BASE, graph(lambda x: nodes.elementwise("subtract", x, nodes.constant(1.0)))),
        (BASE, graph(named)),
        (graph(lambda x: add(x, 0.0)), graph(lambda x: add(x, -0.0))),
        (graph(pad(0.0)), graph(pad(-0.0))),
        (graph(pad(1.0)), graph(pad(1))),
        (graph(contract(Number(1.0))), graph(contract(Number(1)))),
        (graph(contract(Number(1.0))), graph(contract(Number(True)))),
        (graph(contract(Number(0.0))), graph(contract(Number(-0.0)))),
        (graph(contract(None)), graph(contract(Number(1.0)))),
    ],
)
def test_what_counts(a, b):
    assert digest(a) != digest(b)


def test_roles_and_outputs_count():
    def with_role(role):
        x = nodes.input_("x", array_type("f64", ()), InputParams(role))
        return Graph("g", [x], [("x", x)], [x])

    found = {digest(with_role(role)) for role in ("input", "param", "cotangent")}
    assert len(found) == 3
    x = nodes.input_("x", array_type("f64", ()))
    y = add(x, 1.0)
    order = [x, y.inputs[1], y]
    one, two = Graph("g", [x], [("a", y)], order), Graph("g", [x], [("b", y)], order)
    assert digest(one) != digest(two)


def test_sharing_counts():
    def shared(x):
        one = nodes.elementwise("exp", x)
        return nodes.add(one, one)

    def apart(x):
        return nodes.add(nodes.elementwise("exp", x), nodes.elementwise("exp", x))

    assert digest(graph(shared)) != digest(graph(apart))


def test_where_it_was_declared_does_not_count():
    token = nodes.origin.set(Origin("elsewhere.py", 99, "f"))
    try:
        moved = graph(lambda x: add(x, 1.0))
    finally:
        nodes.origin.reset(token)
    assert moved.nodes[0].origin.line == 99
    assert digest(moved) == digest(BASE)


def test_the_place_of_a_leaf_does_not_count():
    x = nodes.input_("x", array_type("f64", (3,)))
    total = add(x, 1.0)
    one = total.inputs[1]
    late = nodes.input_("late", array_type("f64", ()))
    orders = [[one, x, late, total], [x, late, one, total], [x, one, total, late]]
    assert len({digest(Graph("g", [x, late], [("y", total)], order)) for order in orders}) == 1


def test_large_constants_count_by_their_bytes():
    table = np.arange(100.0)
    other = table.copy()
    other[50] = np.nextafter(other[50], 0)
    base = graph(lambda x: add(nodes.sum_(x, (0,)), table))
    assert digest(base) == digest(graph(lambda x: add(nodes.sum_(x, (0,)), table.copy())))
    assert digest(base) != digest(graph(lambda x: add(nodes.sum_(x, (0,)), other)))


def test_ops_count_by_their_formula():
    def with_op(formula):
        op = graphc.elementwise("mine", formula)
        return graphc.trace(lambda x: op(x), "f64")

    assert digest(with_op("x * 2")) == digest(with_op("x * 2"))
    assert digest(with_op("x * 2")) != digest(with_op("x * 3"))


def test_sizes_count():
    n = Dim.named("n")

    def half(start):
        region = Slice((start,), (n - 1,), (1,))
        return lambda x: nodes.slice_(x, region.starts, region.sizes, region.steps)

    assert digest(graph(half(0), type="f64[n]")) != digest(graph(half(1), type="f64[n]"))


def test_functions_count_by_what_they_do():
    def make(k):
        def f(x, scale=2.0):
            return [k * x for _ in range(3)] + [lambda: "inner"]

        return f

    text = callable_text(make(1))
    assert text == callable_text(make(1))
    assert text != callable_text(make(2))  # the closure
    assert "0x" not in text  # no address
    assert callable_text(np.sin) != callable_text(np.cos)
    assert callable_text(None) == "None"
    renamed = make(1)
    renamed.__defaults__ = (3.0,)
    assert callable_text(renamed) != text


CHILD = """
import numpy as np, graphc
from graphc.canonical import digest
op = graphc.elementwise("mine", "x * sin(x)")
@graphc.primitive(result=lambda x: x)
def hand(x):
    return np.where(x in {1.0, 2.0, 3.0}, x, -x) if x.ndim == 0 else x, {"a", "b", "c"}
@hand.vjp
def _(saved, d_y):
    return d_y
@graphc.trace(p={"b": "f64[n]", "a": "f32[n, 3]"}, i="i64[n]")
def f(p, i):
    table = np.arange(7.0)
    h = op(p["b"]) + hand(p["b"]) * graphc.constant(table)[i]
    return {"loss": (h * p["a"].sum(axis=1)).sum(), "h": h}
print(digest(f))
"""


def test_every_process_finds_the_same_digest():
    found = set()
    for seed in ("0", "1", "12345"):
        run = subprocess.run(
            [sys.executable, "-c", CHILD],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        found.add(run.stdout)
    assert len(found) == 1
    assert len(found.pop().strip()) == 64


def test_a_long_chain():
    x = nodes.input_("x", array_type("f64", ()))
    order = [x]
    for _ in range(100_000):
        order.append(nodes.elementwise("sin", order[-1]))
    chain = Graph("chain", [x], [("y", order[-1])], order)
    assert digest(chain) == digest(Graph("chain", [x], [("y", order[-1])], order))
    assert sum(1 for _ in canonical_lines(chain)) == 100_000 + 1 + 1 + 1 + 1 + 1
    again = graphc.loads(graphc.dumps(chain))
    assert digest(again) == digest(chain)
    assert str(chain).count("\n") > 100_000
