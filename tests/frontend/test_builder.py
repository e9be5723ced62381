"""The builder."""

import numpy as np
import pytest

import graphc
from graphc import verify


def circuit():
    b = graphc.Builder("circuit")
    x, y, z = b.inputs("x", "y", "z")
    q = b.node("q", x + y)
    b.output("f", q * z)
    return b


def test_the_circuit():
    graph = circuit().build()
    verify.verify(graph)
    assert graph.name == "circuit"
    assert [node.name for node in graph.nodes] == ["x", "y", "z", "q", "f"]
    assert graph.output_names == ("f",)
    assert graph(-2, 5, -4) == -12
    assert graph(z=-4, y=5, x=-2) == -12


def test_several_outputs_are_a_named_tuple():
    b = circuit()
    x = b.param("w", "f32[n]")
    b.output("double", x * 2)
    graph = b.build()
    assert [node.params.role for node in graph.inputs] == ["input", "input", "input", "param"]
    result = graph(1, 2, 3, np.ones(2, np.float32))
    assert result.f == 9
    np.testing.assert_array_equal(result.double, [2, 2])


def test_building_twice_gives_graphs_that_do_not_change():
    b = circuit()
    first = b.build()
    x = b.input("late")
    b.output("g", x)
    second = b.build()
    assert first.input_names == ("x", "y", "z")
    assert second.input_names == ("x", "y", "z", "late")
    assert first.nodes[3] is not second.nodes[3]


def test_names_are_the_users():
    b = graphc.Builder("names")
    x = b.input("x")
    with graphc.name_scope("layer1"):
        w = b.param("w")
        h = b.node("h", x * w)
    local = h + 1
    named = b.node("other", local)
    b.output("f", named)
    b.output("also", h)
    b.output("direct", x)
    graph = b.build()
    verify.verify(graph)
    assert graph.input_names == ("x", "layer1.w")
    assert set(graph.named) == {"x", "layer1.w", "layer1.h", "other"}
    assert [(name, node.name) for name, node in graph.outputs] == [
        ("f", "other"),
        ("also", "layer1.h"),
        ("direct", "x"),
    ]


def test_a_local_name_gives_way_to_an_explicit_one():
    b = graphc.Builder("b")
    x = b.input("x")
    q = x * 2
    r = b.node("q", x * 3)
    b.output("f", q + r)
    graph = b.build()
    assert {name: node.op.name for name, node in graph.named.items() if name != "x"} == {
        "q": "multiply",
        "q_1": "multiply",
        "f": "add",
    }
    assert graph.named["q"].inputs[1].params.value == 3


def test_constants():
    b = graphc.Builder("b")
    x = b.input("x", "f64[2]")
    mean = b.const("mean", [1.0, 2.0])
    b.output("f", x - mean)
    graph = b.build()
    assert graph.named["mean"].op.name == "constant"
    np.testing.assert_array_equal(graph([1.0, 1.0]), [0.0, -1.0])


def test_named_nodes_stay_though_no_output_needs_them():
    b = graphc.Builder("b")
    x = b.input("x")
    b.node("aside", x * 3)
    b.output("f", x * 2)
    assert "aside" in b.build().named


@pytest.mark.parametrize(
    ("declare", "expected"),
    [
        (lambda b, x: b.input("x"), "input 'x': another value has this name"),
        (lambda b, x: b.node("x", x * 2), "node 'x': another value has this name"),
        (lambda b, x: b.node("again", x), "this value is named 'x' already"),
        (lambda b, x: b.node("", x * 2), "the name is a non-empty string"),
        (lambda b, x: b.output("x", x * 2), "output 'x': another value has this name"),
        (lambda b, x: [b.output("f", x), b.output("f", x * 2)], "another output has this name"),
        (lambda b, x: [b.output("f", x * 2), b.node("f", x * 3)], "another value has this name"),
    ],
)
def test_names_clash(declare, expected):
    b = graphc.Builder("b")
    x = b.input("x")
    with pytest.raises(graphc.GraphNameError, match=expected):
        declare(b, x)


def test_calls_are_checked():
    graph = circuit().build()
    with pytest.raises(NameError, match=r"circuit\(\) has no input 'Z'; did you mean 'z'"):
        graph(1, 2, Z=3)
    with pytest.raises(TypeError, match=r"circuit\(\): the input 'z' is missing"):
        graph(1, 2)
    with pytest.raises(TypeError, match="two values for 'x'"):
        graph(1, 2, 3, x=1)
