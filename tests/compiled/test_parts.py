"""A function is made when it is asked for, and is what it is in the whole module."""

import inspect
from pathlib import Path

import numpy as np
import pytest

import codegen
import graphc
from codegen.cache import Cache

X = np.linspace(-1.0, 2.0, 5)


def loss(w, x):
    table = np.array([3.0, 1.0, 4.0, 1.0, 5.0])
    hidden = np.tanh(w * x + table)
    return {"loss": (hidden * hidden).sum(), "hidden": hidden * np.arange(5.0)}


def graph():
    return graphc.trace(loss, graphc.param("f64[5]"), "f64[5]")


def neuron():
    return graphc.trace(lambda w, x: 1 / (1 + np.exp(-w * x)), graphc.param("f64"), "f64")


@pytest.mark.parametrize(("declared", "of"), [(graph, "loss"), (neuron, None)])
def test_a_function_alone_reads_as_in_the_whole_module(declared, of):
    f = graphc.compile(declared(), of=of, cache=False)
    names = ["value_and_grad", "backward", "forward", "value"]
    alone = [inspect.getsource(getattr(f, name).__wrapped__) for name in names]
    assert all(text.strip() in f.source for text in alone)
    assert [inspect.getsource(getattr(f, name).__wrapped__) for name in names] == alone


def test_the_source_is_the_module_that_runs_once_it_is_looked_at():
    f = graphc.compile(graph(), of="loss", cache=False)
    before = f.value_and_grad
    assert f.source.count("\ndef value") == 2
    files = {inspect.getfile(getattr(f, name).__wrapped__) for name in ("value", "value_and_grad")}
    assert files == {inspect.getfile(f.value.__wrapped__)}
    assert inspect.getsource(before.__wrapped__) in f.source


def test_gradients_are_of_one_class():
    f = graphc.compile(graph(), of="loss", wrt=("w", "x"), cache=False)
    value, grads = f.value_and_grad(X, X)
    outputs, saved = f.forward(X, X)
    again = f.backward(saved, 1.0)
    assert type(value) is type(outputs) is type(f(X, X))
    assert type(grads) is type(again)
    assert f.source
    assert type(f.value_and_grad(X, X)[1]) is type(grads)
    np.testing.assert_allclose(again, grads, rtol=1e-14)


def made(monkeypatch):
    """The names of the functions of every module that is generated from now on."""
    found = []
    generate = codegen.generate

    def watched(program, *options, **more):
        found.append([function.name for function in program.functions])
        return generate(program, *options, **more)

    monkeypatch.setattr(codegen, "generate", watched)
    return found


def test_each_function_is_made_once_and_found_by_the_next(monkeypatch, tmp_path):
    found = made(monkeypatch)
    cache = Cache(str(tmp_path / "cache"))
    f = graphc.compile(neuron(), cache=cache)
    assert found == [["value_and_grad"]]
    expected = f.value_and_grad(0.5, 2.0)
    assert f(0.5, 2.0) == f(0.5, 2.0) == expected[0]
    assert f.backward(f.forward(0.5, 2.0)[1]) == expected[1]
    assert found == [["value_and_grad"], ["value"], ["forward", "backward"]]
    source = f.source
    assert found[3:] == [["value", "forward", "backward", "value_and_grad"]]

    again = graphc.compile(neuron(), cache=Cache(str(tmp_path / "cache")))
    assert again.value_and_grad(0.5, 2.0) == expected
    assert again(0.5, 2.0) == expected[0]
    assert again.source == source
    assert len(found) == 4


def test_without_a_scalar_the_value_comes_first(monkeypatch):
    found = made(monkeypatch)
    f = graphc.compile(graphc.trace(lambda w, x: w * x, "f64[n]", "f64[n]"), cache=False)
    np.testing.assert_array_equal(f(X, X), X * X)
    assert found == [["value"]]
    assert repr(f).endswith(": value, forward, backward>")
    assert {"value", "forward", "backward"} < set(dir(f))
    assert "value_and_grad" not in dir(f)
    assert found == [["value"]]


@pytest.mark.parametrize("wrt", [None, "x", ()])
def test_lines_are_known_of_the_whole_module(wrt):
    f = graphc.compile(graph(), wrt=wrt, cache=False)  # no scalar is chosen
    lines = f.source.split("\n")
    where = {lines[line - 1].strip() for line, origin in f.origins.items()}
    assert any("tanh(" in line for line in where)
    assert all(Path(__file__).name in origin for origin in f.origins.values())


def test_what_has_no_derivative_is_told_at_once():
    @graphc.primitive(result=lambda x: x)
    def opaque(x):
        return 2 * x, ()

    twice = graphc.trace(lambda x: opaque(x), "f64[3]")
    with pytest.raises(graphc.GraphTypeError, match=f"{Path(__file__).name}.*opaque has no VJP"):
        graphc.compile(twice, wrt="x", cache=False)
    f = graphc.compile(twice, cache=False)
    np.testing.assert_array_equal(f(X[:3]), 2 * X[:3])


def test_a_workspace_is_shared_by_all_functions(monkeypatch):
    found = made(monkeypatch)
    f = graphc.compile(neuron(), workspace=True, cache=False)
    assert f(0.5, 2.0) == f.value_and_grad(0.5, 2.0)[0]
    assert found == [["value", "forward", "backward", "value_and_grad"]]


def test_a_warning_of_the_declaration_is_given_once():
    def spread(x):
        return (x * x).mean() - x.mean() ** 2

    graph = graphc.trace(spread, "f64[n]")
    with pytest.warns(graphc.StabilityWarning):
        f = graphc.compile(graph, cache=False)
    f(X)
    f.forward(X)
    assert "def backward" in f.source  # and warnings are errors here
