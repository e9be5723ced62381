"""Order, reachability, and the cycle that is named."""

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphc import nodes, order
from graphc.errors import GraphValueError
from graphc.freeze import freeze
from graphc.types import parse_type
from tests.strategies import cases


@given(cases())
@settings(max_examples=50)
def test_the_order_of_creation_is_networkxs(case):
    graph = case.graph
    by_serial = sorted(graph.nodes, key=lambda node: node.serial)
    assert order.sorted_nodes(graph) == by_serial
    assert order.reachable([node for _, node in graph.outputs], graph.inputs) == by_serial


@given(cases())
@settings(max_examples=50)
def test_ancestors_are_networkxs(case):
    graph = case.graph
    view = order.view(graph)
    for node in graph.nodes:
        assert order.ancestors([node]) == networkx.ancestors(view, node) | {node}


def test_the_view_keeps_position_and_multiplicity():
    x = nodes.input_("x", parse_type("f64"))
    square = nodes.multiply(x, x)
    graph = freeze("g", [x], [("y", nodes.elementwise("subtract", square, x))])
    view = order.view(graph)
    x, square, y = graph.nodes
    assert [data["position"] for data in view[x][square].values()] == [0, 1]
    assert [data["position"] for data in view[x][y].values()] == [1]
    assert order.users(graph.nodes) == {x: [square, square, y], square: [y], y: []}


def test_names_are_ordered_and_ties_keep_the_files_order():
    uses = {"f": ["q", "z"], "q": ["x", "y"], "a": [], "z": []}
    assert order.topological(uses) == ["q", "a", "z", "f"]
    assert order.topological({"b": ["input"], "a": ["b"]}) == ["b", "a"]


@pytest.mark.parametrize(
    ("uses", "cycle"),
    [
        ({"a": ["b"], "b": ["a"]}, "a -> b -> a"),
        ({"a": ["a"]}, "a -> a"),
        ({"s": ["c"], "c": ["b"], "b": ["a"], "a": ["c"], "t": ["a"]}, "c -> b -> a -> c"),
    ],
)
def test_a_cycle_is_spelt_out_in_the_direction_of_use(uses, cycle):
    assert " -> ".join(order.find_cycle(uses)) == cycle
    with pytest.raises(GraphValueError, match=f"circuit.toml: cycle: {cycle}$"):
        order.topological(uses, "circuit.toml")


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdefg"), max_size=3)))
def test_an_order_exists_exactly_where_no_cycle_does(uses):
    if order.find_cycle(uses):
        with pytest.raises(GraphValueError):
            order.topological(uses)
        return
    found = order.topological(uses)
    assert sorted(found) == sorted(uses)
    for name, used in uses.items():
        assert all(found.index(other) < found.index(name) for other in used if other in uses)


def test_a_chain_of_100_000_nodes_is_ordered_without_recursion():
    x = nodes.input_("x", parse_type("f64"))
    node = x
    for _ in range(100_000):
        node = nodes.elementwise("sin", node)
    found = order.reachable([node])
    assert len(found) == 100_001
    assert found[0] is x
    names = {f"n{k}": [f"n{k + 1}"] for k in range(100_000)}
    assert order.topological(names)[0] == "n99999"
