"""Mistakes at a call, and when asking for gradients: one line each, at the caller's own line."""

import inspect
import re

import numpy as np
import pytest

import graphc


@graphc.trace(x="f64[batch, 4]", y="i64[batch]", W="f64[4, 3]", c="f64[3]")
def loss(x, y, W, c):
    scores = x @ W + c
    return graphc.cross_entropy(scores, y).mean()


@graphc.trace(x="f32[batch, 4]", W="f32[4, 3]")
def model(x, W):
    scores = x @ W
    return {"scores": scores, "loss": scores.sum(), "positive": (scores > 0).sum()}


@graphc.trace(a="f64", b="f64")
def pair(a, b):
    return {"s": a + b, "p": a * b}


@graphc.trace(i="i64[n]")
def counted(i):
    return i.sum()


X, Y, W, C = np.ones((5, 4)), np.zeros(5, np.int64), np.ones((4, 3)), np.ones(3)
X32, W32 = X.astype("f4"), W.astype("f4")
f = graphc.compile(loss)
m = graphc.compile(model)
SAVED = m.forward(X32, W32)[1]


class Silent:
    """An object that is no array."""


WRONG = [
    (lambda: f(X, Y, W), TypeError, "loss() misses 'c'; inputs: x, y, W, c"),
    (lambda: f(X, c=C), TypeError, "loss() misses 'y', 'W'; inputs: x, y, W, c"),
    (lambda: f(X, Y, W, C, 1.0), TypeError, "loss() takes 4 inputs, got 5; inputs: x, y, W, c"),
    (
        lambda: f(X, Y, w=W, c=C),
        TypeError,
        "loss() has no input 'w'; did you mean 'W'? inputs: x, y, W, c",
    ),
    (
        lambda: f.value_and_grad(X, Y, w=W, c=C),
        TypeError,
        "loss() has no input 'w'; did you mean 'W'? inputs: x, y, W, c",
    ),
    (lambda: f(X, Y, W, C, zzz=1), TypeError, "loss() has no input 'zzz'; inputs: x, y, W, c"),
    (lambda: f(X, Y, W, C, c=C), TypeError, "loss() got 'c' twice; inputs: x, y, W, c"),
    (lambda: f(X, X[:, 0], W, C), TypeError, "loss(): y should be i64[batch], got f64[5]"),
    (
        lambda: f.forward(X + 1j, Y, W, C),
        TypeError,
        "loss(): x should be f64[batch, 4], got complex128[5, 4]",
    ),
    (lambda: f(None, Y, W, C), TypeError, "loss(): x should be f64[batch, 4], got NoneType"),
    (lambda: f(Silent(), Y, W, C), TypeError, "loss(): x should be f64[batch, 4], got Silent"),
    (lambda: m(X, W32), TypeError, "model(): x should be f32[batch, 4], got f64[5, 4]"),
    (lambda: f(X[0], Y, W, C), ValueError, "loss(): x should be f64[batch, 4], got f64[4]"),
    (
        lambda: f(X, Y, W[:, :2], C),
        ValueError,
        "loss(): W should be f64[4, 3], got f64[4, 2]: axis 1 is 2, not 3",
    ),
    (
        lambda: f(X, Y[:2], W, C),
        ValueError,
        "loss(): y should be i64[batch], got i64[2]: batch is 5 in x but 2 in y",
    ),
    (
        lambda: m.backward(SAVED),
        TypeError,
        "model() misses 'd_scores', 'd_loss'; inputs: saved, d_scores, d_loss",
    ),
    (
        lambda: m.backward(SAVED, np.ones((2, 3), "f4"), 1.0),
        ValueError,
        "model(): d_scores should be f32[batch, 3], got f32[2, 3]: "
        "batch is 5 in x but 2 in d_scores",
    ),
    (
        lambda: m.value_and_grad(X32, W32),
        ValueError,
        "value_and_grad needs one scalar output; 'scores' is f32[batch, 3]: "
        'reduce it, pass of="loss", or use backward with a cotangent',
    ),
    (
        lambda: graphc.compile(pair).value_and_grad(1.0, 2.0),
        ValueError,
        'value_and_grad needs one scalar output; pair has s, p: pass of="s", '
        "or use backward with cotangents",
    ),
    (
        lambda: graphc.compile(model, of="scores"),
        ValueError,
        "compile needs one scalar output; 'scores' is f32[batch, 3]: "
        'reduce it, pass of="loss", or use backward with a cotangent',
    ),
    (
        lambda: graphc.compile(counted).value_and_grad(Y),
        ValueError,
        "value_and_grad needs one scalar output; 'counted' is i64: "
        "reduce it, or use backward with a cotangent",
    ),
    (
        lambda: graphc.compile(model, of="los"),
        NameError,
        "of: model has no output 'los'; did you mean 'loss'? outputs: scores, loss, positive",
    ),
    (
        lambda: graphc.compile(loss, wrt="w"),
        NameError,
        "wrt: loss has no value 'w'; did you mean 'W'? values: x, y, W, c, scores, loss",
    ),
    (
        lambda: graphc.compile(loss, wrt=("W", "y")),
        TypeError,
        "wrt: y is i64[batch]; only f32 and f64 are differentiable",
    ),
    (
        lambda: graphc.compile(loss, sizes={"btch": 5}),
        NameError,
        "sizes: loss has no size 'btch'; did you mean 'batch'? sizes: batch",
    ),
    (
        lambda: graphc.compile(np.sin),
        TypeError,
        "compile takes a Graph or a Builder, got ufunc; trace a function first: @graphc.trace(...)",
    ),
]


@pytest.mark.parametrize("at", range(len(WRONG)))
def test_one_line_at_the_users_line(at):
    call, kind, text = WRONG[at]
    with pytest.raises(graphc.GraphError) as caught:
        call()
    assert isinstance(caught.value, kind)
    line = _line(call)
    place, _, message = str(caught.value).partition(": ")
    assert message == text
    name, _, number = place.partition(":")
    assert name == "test_call_errors.py"
    assert int(number) == line


def _line(call):
    """Where the call itself stands: a lambda's first instruction that does something."""
    return next(line for *_, line in call.__code__.co_lines() if line is not None)


def test_the_lines_are_those_of_this_file():
    source = inspect.getsource(WRONG[0][0])
    assert "f(X, Y, W)" in source


def test_safe_conversions_are_taken():
    whole = f(X, Y, W, C)
    assert f(X.astype("f4"), Y.astype("i4"), W.tolist(), [1, 1, 1]) == whole
    assert f(X.astype(int), Y.astype("u1"), W, C) == whole


@graphc.primitive(result=lambda x: x)
def refuse(x):
    if x[0] > 0:
        raise KeyError("mine")
    return x, None


@graphc.trace(x="f64[3]")
def refused(x):
    return refuse(x)


def test_what_a_primitive_raises_comes_through_as_it_is():
    with pytest.raises(KeyError, match="mine"):
        graphc.compile(refused)(np.ones(3))


def test_a_primitive_without_a_vjp_has_a_value_and_no_gradient():
    h = graphc.compile(refused)
    np.testing.assert_array_equal(h(-np.ones(3)), -np.ones(3))
    for ask in (
        lambda: h.forward(-np.ones(3)),
        lambda: graphc.compile(refused, wrt="x"),
    ):
        with pytest.raises(graphc.GraphError, match=r"refuse has no VJP; state one with @refuse"):
            ask()


@graphc.trace(a0="f64", missing="f64", rest="f64", function="f64")
def awkward(a0, missing, rest, function):
    return a0 + 2 * missing + 4 * rest + 8 * function


def test_inputs_may_be_called_anything_and_given_in_any_way():
    g = graphc.compile(awkward)
    for args, kwargs in [
        ((1.0, 2.0, 3.0, 4.0), {}),
        ((1.0, 2.0), {"function": 4.0, "rest": 3.0}),
        ((), {"missing": 2.0, "rest": 3.0, "function": 4.0, "a0": 1.0}),
    ]:
        assert g.value(*args, **kwargs) == 49.0
        assert g.value_and_grad(*args, **kwargs) == (49.0, (1.0, 2.0, 4.0, 8.0))
    with pytest.raises(TypeError, match=r"awkward\(\) got 'a0' twice; inputs: a0, missing, rest"):
        g.value(1.0, 2.0, 3.0, 4.0, a0=1.0)
    with pytest.raises(TypeError, match=r"awkward\(\) misses 'a0', 'missing'; inputs: a0"):
        g.value_and_grad(rest=1.0, function=2.0)


# What is written over a named size n, and how many elements it needs.
TOO_FEW = [
    (lambda x: x[-3], "f64[n] needs n >= 3"),
    (lambda x: x[2] + x[-4], "f64[n] needs n >= 4"),
    (lambda x: x[:-3], "f64[n - 3] needs n >= 3"),
    (lambda x: x[1:-1].sum(), "f64[n - 2] needs n >= 2"),
    (lambda x: x[::-1][3:], "f64[n - 3] needs n >= 3"),
    (lambda x: np.pad(x, 1, mode="edge"), "f64[n] needs n >= 1"),
    (lambda x: np.median(x), "f64[n] needs n >= 1"),
]


@pytest.mark.parametrize(("function", "needs"), TOO_FEW)
def test_too_few_elements_are_told_before_anything_is_read(function, needs):
    g = graphc.compile(graphc.trace(function, "f64[n]"), cache=False)
    least = int(needs[-1])
    x = np.arange(1.0, least + 1)
    np.testing.assert_allclose(g(x), function(x))
    with pytest.raises(graphc.GraphError, match=re.escape(f"slice: {needs}")) as error:
        g(x[1:])
    assert isinstance(error.value, ValueError)


def test_a_bound_from_the_end_is_cut_off_as_numpy_does():
    g = graphc.compile(graphc.trace(lambda x: x[::-1][2:], "f64[n]"), cache=False)
    for n in (2, 3, 5):
        x = np.arange(float(n))
        np.testing.assert_array_equal(g(x), x[::-1][2:])
