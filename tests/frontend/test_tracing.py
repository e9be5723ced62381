"""Tracing: names from local variables, origins, containers, graphs inside graphs, purity."""

import functools
import pickle
from typing import NamedTuple

import numpy as np
import pytest

import graphc
from graphc import canonical, freeze, verify
from graphc.types import parse_type


def names(graph):
    verify.verify(graph)
    return [node.name for node in graph.nodes if node.name and node not in graph.inputs]


# -- names -----------------------------------------------------------------------------------------


def test_a_value_takes_the_name_of_its_variable():
    def function(x, W):
        hidden = np.tanh(x @ W + 1)
        a, b = hidden[0], 2 * hidden
        total: object = (b * a).sum()
        if (again := total * 2) is not None:
            pass
        return total + again

    graph = graphc.trace(function, "f64[3, 4]", "f64[4, 5]")
    assert names(graph) == ["hidden", "b", "total", "again", "function"]


def test_loops_number_their_names_and_inputs_keep_theirs():
    def function(h):
        for _ in range(3):
            h = np.tanh(h)
        h_2 = h + 1
        return h_2 * 2

    graph = graphc.trace(function, "f64")
    assert [node.name for node in graph.inputs] == ["h"]
    assert names(graph) == ["h_1", "h_3", "h_4", "h_2", "function"]


def test_unpacking_names_the_parts():
    def function(x):
        a, b = x
        for row in x:
            b = row * b
        return a + b

    assert names(graphc.trace(function, "f64[2]")) == [
        "a",
        "b_1",
        "row_1",
        "b_2",
        "row_2",
        "b_3",
        "function",
    ]


def test_a_helper_gives_its_result_to_the_callers_variable():
    def dense(x, W):
        return graphc.relu(x @ W)

    def function(x, W):
        hidden = dense(x, W)
        return hidden.sum()

    assert names(graphc.trace(function, "f64[2, 2]", "f64[2, 2]")) == ["hidden", "function"]


def test_partial_sums_take_no_name():
    def function(x):
        total = sum([x, x * 2, x * 3])
        product = functools.reduce(lambda a, b: a * b, [x, total])
        return total + product

    assert names(graphc.trace(function, "f64")) == ["product", "function"]


def test_closures_globals_and_cells():
    def function(x):
        inner = x * 2

        def use():
            return inner + 1

        return use()

    assert names(graphc.trace(function, "f64")) == ["inner", "function"]


def test_underscores_are_no_names():
    def function(x):
        _ = x * 2
        return _ + 1

    assert names(graphc.trace(function, "f64")) == ["function"]


def test_a_lambda_names_its_output_output():
    graph = graphc.trace(lambda x: x * 2, "f64")
    assert graph.name == "output"
    assert graph.output_names == ("output",)


def test_long_functions_have_their_names_too():
    """Beyond 255 variables, instructions carry extended arguments."""
    lines = "\n".join(f"    v{k} = x * {k}" for k in range(300))
    scope: dict = {}
    exec(f"def function(x):\n{lines}\n    return v299 + v0", scope)
    assert names(graphc.trace(scope["function"], "f64")) == ["v0", "v299", "function"]


def test_name_scopes_prefix_and_nest():
    def function(x):
        with graphc.name_scope("layer1"):
            h = x * 2
            with graphc.name_scope("inner"):
                h = h + 1
        return h

    assert names(graphc.trace(function, "f64")) == ["layer1.h", "layer1.inner.h"]


def test_origins_are_the_users_lines():
    def function(x):
        a = np.exp(x)
        return graphc.logsumexp(a, axis=0)

    first = function.__code__.co_firstlineno
    graph = graphc.trace(function, "f64[n]")
    lines = {node.origin.line - first for node in graph.nodes}
    assert lines == {0, 1, 2}
    assert {node.origin.file for node in graph.nodes} == {__file__}
    assert {node.origin.function.rpartition(".")[2] for node in graph.nodes} == {"function"}


# -- arguments and results -------------------------------------------------------------------------


def test_types_examples_defaults_and_keywords():
    def function(x, y, *rest, scale=2.0, k, **more):
        return (x + y + sum(rest)) * scale * k + more["m"]

    graph = graphc.trace(function, "f64", np.float32(1), "f64", 3, k="f64", m="f64")
    assert [f"{node.name}: {node.type}" for node in graph.inputs] == [
        "x: f64", "y: f32", "rest_0: f64", "rest_1: i64", "k: f64", "m: f64",
    ]  # fmt: skip
    assert graph(1, 1, 1, 1, k=2, m=5) == 21


def test_other_callables():
    class Model:
        def __call__(self, x):
            return x * 2

        def method(self, x):
            return x * 3

    assert graphc.trace(Model(), "f64")(2.0) == 4
    assert graphc.trace(Model().method, "f64")(2.0) == 6
    assert graphc.trace(functools.partial(lambda a, b: a * b, 5.0), "f64")(2.0) == 10
    assert graphc.trace(np.exp, "f64")(0.0) == 1


def test_the_decorator_makes_a_graph():
    @graphc.trace(x="f64[n]", w=graphc.param("f64[n]"))
    def energy(x, w):
        return (x * w).sum()

    assert isinstance(energy, graphc.Graph)
    assert energy.name == energy.__name__ == "energy"
    assert [node.params.role for node in energy.inputs] == ["input", "param"]
    assert repr(energy) == "<Graph energy(x, w): 4 nodes>"


class Layer(NamedTuple):
    W: object
    b: object


def test_containers_of_types_and_of_examples():
    def function(params, xs):
        h = xs[0]
        for layer in params["layers"]:
            h = np.tanh(h @ layer.W + layer.b)
        return {"h": h, "sums": (h.sum(), [h.sum(axis=0)])}

    layers = [Layer(np.ones((2, 3)), np.zeros(3)), Layer(np.ones((3, 1)), np.zeros(1))]
    types = {"layers": [Layer("f64[2, 3]", "f64[3]"), Layer("f64[3, 1]", "f64[1]")]}
    for given in (types, {"layers": layers}):
        graph = graphc.trace(function, graphc.param(given), ["f64[n, 2]"])
        verify.verify(graph)
        assert graph.input_names == (
            "params.layers.0.W", "params.layers.0.b", "params.layers.1.W", "params.layers.1.b",
            "xs.0",
        )  # fmt: skip
        assert [node.params.role for node in graph.inputs] == ["param"] * 4 + ["input"]
        assert graph.output_names == ("h", "sums.0", "sums.1.0")
        result = graph({"layers": layers}, [np.ones((5, 2))])
        assert result.h.shape == (5, 1)
        assert isinstance(result.sums, tuple)
        np.testing.assert_allclose(result.sums[1][0], result.h.sum(axis=0))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (({"W": 1.0}, 2.0), "p has no key 'b'; its keys: W, b"),
        (({"W": 1.0, "b": 1.0, "c": 0}, 2.0), "p has an unknown key 'c'"),
        ((3.0, 2.0), "p should be a dict of W, b, got float"),
        (({"W": 1.0, "b": 1.0},), "the input 'x' is missing; inputs: p, x"),
        (({"W": 1.0, "b": 1.0}, 2.0, 3.0), "takes 2 arguments, got 3: p, x"),
    ],
)
def test_containers_are_checked_at_a_call(given, expected):
    graph = graphc.trace(lambda p, x: p["W"] * x + p["b"], {"W": "f64", "b": "f64"}, "f64")
    with pytest.raises(graphc.GraphTypeError, match=expected):
        graph(*given)


def test_results():
    class Result(NamedTuple):
        loss: object
        scores: object

    pair = graphc.trace(lambda x: (x * 2, x + 1), "f64")
    assert pair.output_names == ("output_0", "output_1")
    assert pair(1.0) == (2.0, 2.0)

    def named(x):
        loss = x * 2
        scores = x + 1
        return loss, scores

    assert graphc.trace(named, "f64").output_names == ("loss", "scores")
    graph = graphc.trace(lambda x: Result(x * 2, x + 1), "f64")
    assert graph.output_names == ("loss", "scores")
    assert graph(3.0) == Result(6.0, 4.0)
    assert graphc.trace(lambda x: 3.5, "f64")(1.0) == 3.5
    assert graphc.trace(lambda x: x, "f64")(1.0) == 1.0
    assert graphc.trace(lambda x: [x, x], "f64")(1.0) == [1.0, 1.0]


def test_unused_inputs_stay():
    graph = graphc.trace(lambda x, y: x * 2, "f64", "f64")
    assert graph.input_names == ("x", "y")


# -- graphs inside graphs --------------------------------------------------------------------------


@graphc.trace(x="f64[n, d]", W="f64[d, k]")
def dense(x, W):
    pre = x @ W
    return np.tanh(pre) / x.shape[1]


def test_a_graph_called_with_values_is_inlined():
    def model(x, W, V):
        h = dense(x, W)
        out = dense(x=h, W=V)
        return out.sum()

    graph = graphc.trace(model, "f64[batch, 3]", "f64[3, 4]", "f64[4, 2]")
    assert names(graph) == ["dense.pre_1", "h", "dense.pre_2", "out", "model"]
    types = [str(node.type) for node in graph.nodes if node.name in ("dense.pre_1", "out")]
    assert types == ["f64[batch, 4]", "f64[batch, 2]"]
    rng = np.random.default_rng(0)
    x, W, V = rng.normal(size=(5, 3)), rng.normal(size=(3, 4)), rng.normal(size=(4, 2))
    expected = (np.tanh(np.tanh(x @ W) / 3 @ V) / 4).sum()
    np.testing.assert_allclose(graph(x, W, V), expected)
    np.testing.assert_allclose(dense(x, W), np.tanh(x @ W) / 3)


def test_inlining_takes_numbers_and_casts_safely():
    scale = graphc.trace(lambda x, k: x * k, "f64[n]", "f64")
    graph = graphc.trace(lambda x: scale(x, 3), "f32[m]")
    verify.verify(graph)
    assert str(graph.outputs[0][1].type) == "f64[m]"
    with pytest.raises(graphc.GraphTypeError, match=r"x should be f32, got y f64; convert it"):
        graphc.trace(lambda y: graphc.trace(lambda x: x, "f32")(y), "f64")


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        (("f64[a, 3]", "f64[4, 5]"), "W should be f64[d, k], got f64[4, 5]: axis 0 is 4, not 3"),
        (("f64[3]", "f64[4, 5]"), "x should be f64[n, d], got f64[3]"),
    ],
)
def test_inlining_checks_types(types, expected):
    def caller(a, b):
        return dense(a * 1, b * 1)

    with pytest.raises(graphc.GraphValueError) as caught:
        graphc.trace(caller, *types)
    assert expected in str(caught.value)


def test_sizes_that_are_solved_when_inlined():
    inner = graphc.trace(lambda x, y: x[1:] * y, "f64[2*n + 1]", "f64[2*n]")
    graph = graphc.trace(lambda x, y: inner(x, y), "f64[7]", "f64[6]")
    verify.verify(graph)
    assert str(graph.outputs[0][1].type) == "f64[6]"
    with pytest.raises(graphc.GraphValueError, match="axis 0 is 8"):
        graphc.trace(lambda x, y: inner(x, y), "f64[8]", "f64[7]")


# -- the graph itself ------------------------------------------------------------------------------


def test_two_traces_of_a_pure_function_are_equal():
    graph = graphc.trace(lambda x: np.exp(x) * 2, "f64[n]")
    assert canonical.digest(graph.retrace()) == canonical.digest(graph)
    state = [1.0]

    def impure(x):
        state[0] += 1
        return x * state[0]

    graph = graphc.trace(impure, "f64")
    assert canonical.digest(graph.retrace()) != canonical.digest(graph)


def test_pickling_keeps_everything():
    swish = graphc.elementwise("swish", "x / (1 + exp(-x))")

    def function(params, y):
        h = swish(params["W"] @ params["W"].T)
        return {"loss": h.sum() + h[y].mean() + np.max(h), "h": h}

    graph = graphc.trace(function, {"W": "f64[n, 3]"}, "i64[m]")
    again = pickle.loads(pickle.dumps(graph))
    verify.verify(again)
    assert canonical.digest(again) == canonical.digest(graph)
    assert [node.origin for node in again.nodes] == [node.origin for node in graph.nodes]
    W = np.random.default_rng(0).normal(size=(4, 3))
    assert again({"W": W}, [0, 1]).loss == graph({"W": W}, [0, 1]).loss
    # Our own ops come back as the very same objects: code compares them by identity.
    ops = {op.name: op for op in (node.op for node in graph.nodes)}
    assert all(node.op is ops[node.op.name] for node in again.nodes if node.op.name != "swish")


def test_a_value_or_node_is_not_pickled():
    x = graphc.Builder("b").input("x")
    with pytest.raises(TypeError):
        pickle.dumps(x)


def test_a_long_chain():
    """Freezing, pickling and freeing go node by node, never deeper."""

    def chain(x):
        for _ in range(30_000):
            x = np.sin(x)
        return x

    graph = graphc.trace(chain, "f64")
    assert len(graph.nodes) == 30_001
    assert len(pickle.loads(pickle.dumps(graph)).nodes) == 30_001
    deep = graphc.trace(lambda x: chain(x), "f64")
    assert deep.outputs[0][1].name in ("output", "x_30000")


def test_reachable_is_in_order_of_creation():
    b = graphc.Builder("b")
    x = b.input("x")
    q = x * 2
    r = q + x
    found = freeze.reachable([r.node])
    assert found == sorted(found, key=lambda node: node.serial)
    assert set(found) == {x.node, q.node, r.node, *q.node.inputs}


def test_array_types_are_types_too():
    graph = graphc.trace(lambda x: x * 2, parse_type("f32[n]"))
    assert str(graph.inputs[0].type) == "f32[n]"
