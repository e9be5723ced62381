"""Each invariant of the IR, broken once: the verifier names the node and the reason."""

import numpy as np
import pytest
from hypothesis import given, settings

from codegen.expr import Symbol
from codegen.program import Affine, Broadcast, Reshape, Slice, Transpose
from graphc import nodes
from graphc.errors import GraphError
from graphc.freeze import freeze
from graphc.ir import Container, Graph, Node, Origin
from graphc.ops.elementwise import TABLE
from graphc.ops.kinds import (
    Axes,
    Concatenate,
    ConstantParams,
    Einstein,
    Indexing,
    InputParams,
    Place,
    Primitive,
    PrimitiveCall,
)
from graphc.ops.reductions import REDUCTIONS
from graphc.types import array_type, parse_type
from graphc.verify import debugging, verify
from tests.strategies import cases


def inp(name, text):
    return nodes.input_(name, parse_type(text))


class StrayOp:
    """No kind of op, though it has a name."""

    def __init__(self, name):
        self.name = name


X = inp("x", "f64[2, 3]")
V = inp("v", "f64[3]")
F = inp("f", "f32[3]")
C = inp("c", "bool[3]")
I = inp("i", "i64[2]")  # noqa: E741 (an index)
INPUTS = (X, V, F, C, I)


def made(op, inputs, params, text):
    return Node(op, inputs, params, parse_type(text), "", Origin("/home/me/model.py", 12))


def graph_of(*new, inputs=INPUTS, outputs=None, **more):
    return Graph("g", inputs, outputs or [("y", new[-1])], [*INPUTS, *new], **more)


@given(cases())
@settings(max_examples=100)
def test_what_the_constructors_build_is_valid(case):
    assert verify(case.graph) is case.graph


ADD = TABLE["add"]
i, j = nodes.index("i"), nodes.index("j")
WRONG = [
    ("operands are of several dtypes: f32, f64", made(ADD, (V, F), None, "f64[3]")),
    (
        r"type rule gives f64\[2, 3\]",
        made(ADD, (X, X), None, "f64[3]"),
    ),
    (
        r"its operands f64\[3\] and f64\[4\] do not broadcast",
        made(ADD, (V, nodes.constant(np.zeros(4))), None, "f64[3]"),
    ),
    ("it takes 2 operands", made(ADD, (V,), None, "f64[3]")),
    ("an elementwise op has no params", made(ADD, (V, V), Axes((0,)), "f64[3]")),
    (r"type rule gives bool\[3\]", made(TABLE["less"], (V, V), None, "f64[3]")),
    ("a condition is not bool", made(TABLE["where"], (V, V, V), None, "f64[3]")),
    (r"type rule gives f64\[3\]", made(TABLE["exp"], (V,), None, "f32[3]")),
    ("axes are not sorted", made(REDUCTIONS["max"], (X,), Axes((1, 0)), "f64")),
    (r"axes \(2,\) of f64\[2, 3\]", made(REDUCTIONS["max"], (X,), Axes((2,)), "f64[2]")),
    (r"type rule gives f64\[2, 1\]", made(REDUCTIONS["max"], (X,), Axes((1,), True), "f64[2]")),
    (r"type rule gives i64\[2\]", made(REDUCTIONS["argmax"], (X,), Axes((1,)), "f64[2]")),
    ("a scan has one axis", made(REDUCTIONS["cumsum"], (X,), Axes((0, 1)), "f64[2, 3]")),
    ("it changes the size", made(nodes.RESHAPE, (X,), Reshape((7,)), "f64[7]")),
    (
        r"\[2, 3\] does not broadcast to \[3, 3\]",
        made(nodes.BROADCAST, (X,), Broadcast((3, 3)), "f64[3, 3]"),
    ),
    (
        r"axes \(0, 0\) are no permutation",
        made(nodes.TRANSPOSE, (X,), Transpose((0, 0)), "f64[2, 2]"),
    ),
    (
        "positions 1 to 3 of an axis of 3",
        made(nodes.SLICE, (V,), Slice((1,), (3,), (1,)), "f64[3]"),
    ),
    ("a step of zero", made(nodes.SLICE, (V,), Slice((1,), (1,), (0,)), "f64[1]")),
    (
        "the operand does not fill its region",
        made(nodes.PLACE, (V,), Place(Slice((0,), (2,), (1,)), (5,)), "f64[5]"),
    ),
    ("operands differ off axis 0", made(nodes.CONCATENATE, (X, X, V), Concatenate(0), "f64[5]")),
    ("operands of several dtypes", made(nodes.CONCATENATE, (V, F), Concatenate(0), "f64[6]")),
    (
        "the index 'i' and its axis differ in size",
        made(nodes.SUM, (X,), Einstein((i,), ((i, j),), (("i", 3), ("j", 3)), (3,)), "f64[3]"),
    ),
    (
        "the index 'j' has no extent",
        made(nodes.SUM, (X,), Einstein((i,), ((i, j),), (("i", 2),), (2,)), "f64[2]"),
    ),
    (
        "operand 0 has 2 axes",
        made(nodes.SUM, (X,), Einstein((i,), ((i,),), (("i", 2),), (2,)), "f64[2]"),
    ),
    (
        "an index has two extents",
        made(nodes.SUM, (V,), Einstein((), ((i,),), (("i", 3), ("i", 3)), ()), "f64"),
    ),
    (
        "names an operand it does not have",
        made(nodes.SUM, (V,), Einstein((), ((i,),), (("i", 3),), (), Symbol("1")), "f64"),
    ),
    (
        "zero coefficient",
        made(nodes.SUM, (V,), Einstein((), ((Affine((("i", 0),)),),), (("i", 3),), ()), "f64"),
    ),
    ("an index array is not integer", made(nodes.GATHER, (X, V), Indexing((True,)), "f64[3, 3]")),
    (
        "one index array an indexed axis",
        made(nodes.GATHER, (X, I), Indexing((True, True)), "f64[2]"),
    ),
    (r"type rule gives f64\[2, 3\]", made(nodes.GATHER, (X, I), Indexing((True,)), "f64[2]")),
    ("the value does not fit", made(nodes.SCATTER, (V, X, I), Indexing((True,)), "f64[3]")),
    ("base and value differ in dtype", made(nodes.SCATTER, (V, F, I), Indexing((True,)), "f64[3]")),
    ("a leaf has no operands", made(nodes.CONSTANT, (V,), ConstantParams(np.zeros(3)), "f64[3]")),
    (r"type rule gives f64\[3\]", made(nodes.CONSTANT, (), ConstantParams(np.zeros(3)), "f64")),
    ("'f16' is no dtype", Node(ADD, (V, V), None, array_type("f16", (3,)))),
    ("has a negative size", Node(ADD, (V, V), None, array_type("f64", (-3,)))),
    (
        "comes from its own forward node",
        Node(Primitive("p", len), (V,), PrimitiveCall("saved"), array_type("opaque", ())),
    ),
    ("is of no kind of op", Node(StrayOp("add"), (V, V), None, V.type)),
]


@pytest.mark.parametrize(("message", "node"), WRONG, ids=[message for message, _ in WRONG])
def test_a_broken_node_is_named(message, node):
    extra = [x for x in node.inputs if x not in INPUTS]
    with pytest.raises(GraphError, match=message) as caught:
        verify(graph_of(*extra, node))
    assert "graph 'g': node" in str(caught.value)
    if node.origin.file:
        assert "declared at model.py:12" in str(caught.value)


def test_the_order_is_checked():
    y = nodes.add(V, V)
    z = nodes.add(y, V)
    with pytest.raises(GraphError, match=r"node add f64\[3\].* stands before its operand"):
        verify(Graph("g", INPUTS, [("z", z)], [*INPUTS, z, y]))
    with pytest.raises(GraphError, match="is listed twice"):
        verify(graph_of(y, y))


def test_names_are_unique():
    y, z = nodes.add(V, V), nodes.add(V, V)
    y.name = z.name = "h"
    with pytest.raises(GraphError, match="share the name 'h'"):
        verify(graph_of(y, z))


def test_inputs_and_outputs_are_among_the_nodes():
    y = nodes.add(V, V)
    with pytest.raises(GraphError, match=r"the output 'y', .* is not among its nodes"):
        verify(graph_of(outputs=[("y", y)]))
    with pytest.raises(GraphError, match="two outputs share a name"):
        verify(graph_of(y, outputs=[("y", y), ("y", y)]))
    with pytest.raises(GraphError, match="is an input the graph does not list"):
        verify(graph_of(y, inputs=INPUTS[:-1]))
    with pytest.raises(GraphError, match="an input is listed twice"):
        verify(graph_of(y, inputs=(*INPUTS, X)))
    with pytest.raises(GraphError, match="is no named input"):
        verify(graph_of(y, inputs=(*INPUTS, y)))
    stray = Node(nodes.INPUT, (), InputParams(), V.type, "w")
    with pytest.raises(GraphError, match=r"the input node 'w' .* is not among its nodes"):
        verify(graph_of(y, inputs=(*INPUTS, stray)))


def test_arguments_and_results_hold_the_inputs_and_outputs():
    y = nodes.add(V, V)
    leaf = Container("leaf", leaf="x")
    with pytest.raises(GraphError, match="its arguments hold x, its inputs are x, v, f, c, i"):
        verify(graph_of(y, arguments=[("x", leaf)]))
    with pytest.raises(GraphError, match="its result holds 'x', which is no output"):
        verify(graph_of(y, result=leaf))
    pair = Container("tuple", items=(Container("leaf", leaf="y"), Container("leaf", leaf="y")))
    assert verify(graph_of(y, result=pair))


def test_a_long_chain_is_verified_without_recursion():
    node = V
    for _ in range(100_000):
        node = nodes.elementwise("sin", node)
    assert len(verify(freeze("chain", [V], [("y", node)])).nodes) == 100_001


def test_debugging_is_asked_for_by_the_environment(monkeypatch):
    monkeypatch.delenv("GRAPHC_DEBUG", raising=False)
    assert not debugging()
    monkeypatch.setenv("GRAPHC_DEBUG", "0")
    assert not debugging()
    monkeypatch.setenv("GRAPHC_DEBUG", "1")
    assert debugging()
