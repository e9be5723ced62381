"""Mistakes of the first day: one line each, with the user's line and what to write instead."""

import re

import numpy as np
import pytest

import graphc
from graphc.cli import main


def loss(x):
    return (x * x).sum()


TYPES = {"x": "f64[3, 4]", "W": "f64[3]", "y": "f64[n]", "z": "f64[m]"}
DECLARED = [
    (lambda x, W: x + W, "add: x f64[3, 4] and W f64[3] do not broadcast: the last axes are "
     "compared first; write W[:, None]"),
    (lambda y, z: y * z, "multiply: y f64[n] and z f64[m] do not broadcast: sizes n and m differ; "
     "sizes that are always equal have one name"),
    (lambda x: x + np.ones((3, 5)), "sizes 4 and 5 differ"),
    (lambda x: x.exp(), "the symbolic value `x` has no attribute 'exp'; use np.exp(x)"),
    (lambda x: x.relu(), "the symbolic value `x` has no attribute 'relu'; use graphc.relu(x)"),
    (lambda x: x.detach(), "no attribute 'detach'; use graphc.stop_gradient(x)"),
    (lambda x: x.sum().backward(), "gradients come from graphc.compile(graph).value_and_grad(...)"),
    (lambda x: x.summ(), "no attribute 'summ'; did you mean .sum?"),
    (lambda y: y.sum() / len(y), "len(y): the size `n` is known only at the call; y.shape[0] is"),
    (lambda x: f"{x:.3f}", "'.3f' formatting: the symbolic value `x` has no number yet"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "text"), DECLARED, ids=[text[:40] for _, text in DECLARED])
def test_a_mistake_in_a_declaration(function, text):
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    with pytest.raises(graphc.GraphError) as caught:
        graphc.trace(function, *[TYPES[name] for name in names])
    message = str(caught.value)
    assert text in message
    assert re.match(r"test_beginners_errors\.py:\d+: ", message)
    assert "\n" not in message


def test_the_fix_that_is_named_works():
    graph = graphc.trace(lambda x, W: x + W[:, None], "f64[3, 4]", "f64[3]")
    assert graph(np.ones((3, 4)), np.ones(3)).shape == (3, 4)


ASKED = [
    (lambda g: graphc.compile(g, wrt=0), "wrt=0: give a name, or a tuple of names; inputs: x"),
    (lambda g: graphc.compile(g, wrt=[0]), "wrt=[0]: give a name, or a tuple of names; inputs: x"),
    (lambda g: graphc.compile(g, wrt=("x", "x")), "wrt: 'x' is named twice"),
    (lambda g: graphc.compile(g).hessian, "use graphc.compile(graphc.hessian(graph, ...), wrt=())"),
    (lambda g: graphc.compile(g).gradient, "the compiled loss has no attribute 'gradient'"),
    (lambda g: graphc.compile(g).valu, "did you mean .value?"),
    (lambda g: graphc.compile(g).backward(1.0), "loss.backward takes what forward saved"),
    (lambda g: graphc.compile(g)(1.0, 2.0), "loss() takes 1 input, got 2; inputs: x"),
    (lambda g: g.draw("loss.png"), "loss.png: a picture is written as SVG; name a file such as"),
    (lambda g: graphc.scipy_objective(g, np.ones((2, 4)), wrt="x"), "params should be a dict of x"),
    (lambda g: graphc.compile(loss), "got function; trace a function first: @graphc.trace(...)"),
    (lambda g: graphc.compile("a.toml"), "got str; load a file first: graphc.load('a.toml')"),
    (lambda g: graphc.train_step(loss, None), "train_step takes a Graph or a Builder, got fun"),
    (lambda g: graphc.grad(3), "a transformation takes a Graph or a Builder, got int"),
    (lambda g: graphc.hessian("a.toml"), "got str; load a file first: graphc.load('a.toml')"),
    (lambda g: graphc.check_grads(loss), "check_grads takes a Graph or a Builder, got function"),
    (lambda g: graphc.trace(loss, np.float64), "np.float64 is no type; write one such as 'f64["),
    (lambda g: graphc.trace(lambda *xs: 1.0, x="f64"), "has no argument 'x'; there are none"),
    (lambda g: g.evaluate(np.ones(3)), "x should be f64[n, 4], got f64[3]"),
]  # fmt: skip


@pytest.mark.parametrize(("ask", "text"), ASKED, ids=[text[:40] for _, text in ASKED])
def test_a_mistake_in_a_call(ask, text):
    graph = graphc.trace(loss, "f64[n, 4]")
    with pytest.raises(graphc.GraphError) as caught:
        ask(graph)
    message = str(caught.value)
    assert text in message
    assert re.match(r"test_beginners_errors\.py:\d+: ", message)
    assert "\n" not in message


COMMANDS = [
    (["show", "model.py"], "graphc: model.py: say which graph of the module: model.py:loss"),
    (
        ["derivation", "softplu"],
        "graphc: derivation: no function 'softplu'; did you mean 'softplus'?",
    ),
]


@pytest.mark.parametrize(("arguments", "text"), COMMANDS)
def test_a_mistake_on_the_command_line(arguments, text, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err == f"{text}\n"


def test_a_picture_is_svg(tmp_path, capsys):
    path = tmp_path / "circuit.toml"
    graphc.dump(graphc.trace(loss, "f64[3]"), path)
    target = tmp_path / "circuit.png"
    assert main(["draw", str(path), "-o", str(target)]) == 2
    assert "a picture is written as SVG" in capsys.readouterr().err
    assert not target.exists()
