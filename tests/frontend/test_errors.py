"""Every mistake in a declaration: a typed error of one line, at the user's line, with the fix."""

import math
import re

import numpy as np
import pytest

import graphc
from graphc import GraphError, GraphTypeError, GraphValueError

TYPES = {
    "x": "f32[batch, 64]",
    "W": "f32[32, 10]",
    "y": "f64[n]",
    "z": "f64[m]",
    "i": "i64[batch]",
    "s": "f64",
    "m": "bool[n]",
    "a": "f64[3]",
}


def message(function, kind=GraphError):
    """The error's text without its place, which is checked: this file, and the function's line."""
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    with pytest.raises(kind) as caught:
        graphc.trace(function, *[TYPES[name] for name in names])
    text = str(caught.value)
    assert "\n" not in text
    place, _, rest = text.partition(": ")
    assert re.fullmatch(r"test_errors\.py:\d+", place), text
    lines = {line for _, _, line in function.__code__.co_lines()}
    assert int(place.partition(":")[2]) in lines | {_trace_line()}
    return rest


def _trace_line():
    # What a function returned is judged where the trace was asked for.
    return next(
        line
        for _, _, line in message.__code__.co_lines()
        if line and "graphc.trace" in _LINES[line - 1]
    )


with open(__file__, encoding="utf-8") as _file:
    _LINES = _file.read().splitlines()


def in_place(y):
    w = y
    w += 1
    return w


def in_place_through_a_view(y):
    w = (y * 2)[1:]
    w *= 3
    return w


def assigned(x):
    x[0, 1:] = 2.0
    return x


def branching(s):
    if s > 0:
        return s
    return -s


SHAPES = [
    (lambda x, W: x @ W, "matmul: x f32[batch, 64] @ W f32[32, 10]: inner dimensions 64 and 32"),
    (lambda x, y: x + y, "add: x f32[batch, 64] and y f64[n] do not broadcast"),
    (lambda y, z: y * z, "multiply: y f64[n] and z f64[m] do not broadcast"),
    (lambda y: y.reshape(3), "reshape: y f64[n] has n elements, [3] has 3"),
    (lambda a: a.reshape(2, -1), "reshape: a f64[3] to [2, -1]: 3 elements do not divide by 2"),
    (lambda a: a.reshape(-1, -1), "only one size may be -1"),
    (lambda a: a.sum(axis=1), "np.sum: a f64[3]: axis 1 is out of range for 1 axes"),
    (lambda a: a[3], "indexing: a f64[3]: position 3 is out of range for axis 0 of size 3"),
    (lambda a: a[0, 0], "indexing: a f64[3] has 1 axes, 2 indices are given"),
    (lambda a: a[np.array([5])], "is out of range for axis 0 of size 3"),
    (lambda a: np.stack([a, a[:2]]), "np.stack: a f64[3] and f64[2]: shapes differ"),
    (lambda a: np.concatenate([a, a[None]]), "concatenate: a f64[3] and f64[1, 3] differ"),
    (lambda a: np.max(a[:0]), "max: f64[0] has no elements along axis (0,)"),
    (lambda a: np.einsum("ij->i", a), "np.einsum 'ij->i': a f64[3] has 1 axes, its term 2"),
    (lambda y, z: np.einsum("i,i->", y, z), "'i' is n and m, in y f64[n], z f64[m]"),
    (lambda a: np.broadcast_to(a, (2, 4)), "broadcast_to: a f64[3] does not broadcast to [2, 4]"),
    (lambda a: np.squeeze(a, 0), "axis 0 has size 3, not 1"),
    (lambda a, s: np.concatenate([a, s]), "a scalar operand; use np.stack"),
    (lambda x, y: np.where(y > 0, x, 0.0), "do not broadcast"),
    (lambda i: i**-1, "power: i i64[batch] ** -1: integers have no negative powers"),
    (lambda i: i + 2**70, "does not fit i64"),
    (lambda a: np.clip(a), "np.clip: neither a lower nor an upper bound"),
]


@pytest.mark.parametrize(("function", "expected"), SHAPES, ids=range(len(SHAPES)))
def test_wrong_shapes_and_values(function, expected):
    assert expected in message(function, GraphValueError)


TYPE_ERRORS = [
    (branching, "a symbolic value `s > 0` has no truth value; use np.where"),
    (lambda s: 0 < s < 1, "a symbolic value `s > 0` has no truth value; use np.where"),
    (lambda s: s > 0 and s < 1, "np.logical_and"),
    (lambda s: not (s * 2 < 1), "`(s * 2) < 1` has no truth value"),
    (lambda s: max(s, 0.0), "has no truth value; use np.where"),
    (lambda s: math.exp(s), "float(): the symbolic value `s` has no number yet; use NumPy's"),
    (lambda s: float(s), "np.exp, not math.exp"),
    (lambda s: int(s), "int(): the symbolic value `s` has no number yet; use .astype('i64')"),
    (lambda y: np.asarray(y), "np.asarray(): the symbolic value `y` has no number yet"),
    (lambda y: np.array([y, y]), "np.stack"),
    (lambda i: np.arange(3.0)[i], "to index an array by it: graphc.constant(a)[i]"),
    (lambda i: np.take(np.arange(3.0), i), "to index an array by it: graphc.constant(a)[i]"),
    (lambda y: y.item(), ".item()"),
    (lambda s: range(s), "an int is needed here: the symbolic value `s`"),
    (lambda i: [1, 2][i], "index a value with it, or graphc.constant(a)[i]"),
    (lambda y: list(y), "iterating over y f64[n]: the size `n` is known only at the call"),
    (lambda y: len(y), "len(y): the size `n` is known only at the call"),
    (lambda s: list(s), "s f64 is a scalar; there is nothing to iterate over"),
    (lambda y: 1.0 / y.shape[0], "the size `n` is known only at the call"),
    (lambda y: np.sqrt(y.shape[0]), "graphc.size(n, dtype)"),
    (lambda y: 1 if y.shape[0] > 3 else 2, "whether `n` is above or below 3"),
    (assigned, "use x = graphc.at(x)[0, 1:].set(v)"),
    (in_place, "`y += ...` would also change another name of the same array; write y = y + ..."),
    (in_place_through_a_view, "would also change another name"),
    (lambda y: y + None, "add: y f64[n] with None"),
    (lambda y: "a" * y, "multiply: y f64[n] with str"),
    (lambda y: y + 1j, "add: y f64[n] with complex"),
    (lambda i: i & 1, "`&` takes bool operands, got i i64[batch]"),
    (lambda y: ~y, "`~` takes a bool operand, got y f64[n]"),
    (lambda m: np.exp(m), "exp: m bool[n]: a bool operand"),
    (lambda m: -m, "NumPy defines no bool negative"),
    (lambda y: np.sort_complex(y), "np.sort_complex is not traced by graphc"),
    (lambda y: np.linalg.eig(y), "np.linalg.eig is not traced by graphc"),
    (lambda y: np.piecewise(y, [y > 0], [1]), "np.piecewise is not traced by graphc; use np.where"),
    (lambda y: np.nonzero(y), "a shape cannot depend on values"),
    (lambda y: np.frexp(y), "np.frexp is not traced by graphc"),
    (lambda y: np.exp(y, out=np.ones(3)), "np.exp: `out=` is not supported; use the result"),
    (lambda y: np.ones(3).__iadd__(y), "`a += x` writes into an array; write a = a + x"),
    (lambda y: np.add(y, 1, where=[True]), "np.add: `where=` is not supported; use np.where"),
    (lambda y: y.sum(out=np.ones(1)), "np.sum: `out=` is not supported"),
    (lambda y: np.sum(y, where=y), "np.sum: where=y f64[n] is not bool"),
    (lambda y: np.sort(y, order="a"), "np.sort: `order=` is not supported; leave it out"),
    (lambda y: np.add.at(y, 0, 1), "np.add.at is not traced by graphc; use graphc.at(x)[i].add(v)"),
    (lambda y: np.where(y), "np.where(condition) alone"),
    (lambda y: y[y > 0], "by the boolean mask bool[n]: the size of the result would depend"),
    (lambda y: y[0.5], "by float, which is no index"),
    (lambda y: y[True], "by a bool; use np.where"),
    (lambda y: y[y], "by y f64[n]: an index array is integer; convert it with .astype('i64')"),
    (lambda y, i: y[i[0] :], "a slice's bound is an int or a size"),
    (lambda y: np.mean(y, axis="x"), "the axis is an int, got 'x'"),
    (lambda y: y.astype("nothing"), "'nothing' is no dtype"),
    (lambda y: y.astype("c16"), "dtype complex128 is not supported"),
    (lambda y: y.astype(np.float16), "dtype float16 is not supported"),
    (lambda x, y: graphc.cross_entropy(x, y), "class numbers are integers: .astype('i64')"),
    (lambda y: None, "output() returned NoneType, not an array or number; did you forget"),
    (lambda y: "text", "output() returned str"),
    (lambda y: {}, "output() returned an empty dict"),
    (lambda y: {1: y}, "the key 1 of a dict of arrays is no string"),
]


@pytest.mark.parametrize(("function", "expected"), TYPE_ERRORS, ids=range(len(TYPE_ERRORS)))
def test_wrong_types_and_uses(function, expected):
    assert expected in message(function, GraphTypeError)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (
            lambda y: range(y.shape[0]),
            "the size `n` is known only at the call; Python needs an int",
        ),
        (lambda y: np.eye(y.shape[0]), "Python needs an int here"),
        (lambda y: np.zeros(y.shape), "such as np.zeros_like(x) and graphc.arange(n)"),
    ],
)
def test_a_named_size_where_python_needs_an_int(function, expected):
    assert expected in message(function, GraphValueError)


def test_a_foreign_operand_may_know_what_to_do():
    class Foreign:
        def __radd__(self, other):
            return "mine"

    def function(y):
        assert y + Foreign() == "mine"
        with pytest.raises(TypeError):
            y + object()
        return y

    graphc.trace(function, "f64")


def test_a_missing_attribute_is_named_with_its_neighbour():
    with pytest.raises(AttributeError, match=r"test_errors.py:\d+: .*`x` has no attribute 'summ'"):
        graphc.trace(lambda x: x.summ(), "f64")
    graph = graphc.trace(lambda x: x * (1 if hasattr(x, "toarray") else 2), "f64")
    assert graph(2.0) == 4.0


@pytest.mark.parametrize(
    ("declare", "kind", "expected"),
    [
        (lambda: graphc.trace(lambda x: x), TypeError, "the argument 'x' has no type"),
        (lambda: graphc.trace(lambda x: x, "f64", "f64"), TypeError, "takes 1 arguments, 2 types"),
        (lambda: graphc.trace(lambda x: x, x="f64", xs="f64"), NameError, "did you mean 'x'"),
        (lambda: graphc.trace(lambda x: x, "f64", x="f64"), TypeError, "two types for"),
        (lambda: graphc.trace(3), TypeError, "the first argument is the function"),
        (lambda: graphc.trace(lambda x: x, "f65"), ValueError, "'f65' is no dtype"),
        (lambda: graphc.trace(lambda x: x, "f64[n"), ValueError, "the closing ] is missing"),
        (lambda: graphc.trace(lambda x: x, "f64[n.m]"), ValueError, "a size is an integer"),
        (lambda: graphc.trace(lambda x: x, object()), TypeError, "is no type"),
        (lambda: graphc.trace(lambda x: x, 1j), TypeError, "is no type"),
        (lambda: graphc.Builder("b").build(), ValueError, "builder 'b' has no output"),
        (lambda: graphc.Builder(""), NameError, "the name is a non-empty string"),
        (lambda: graphc.Builder("b").inputs("x", "x"), NameError, "another value has this name"),
        (lambda: graphc.one_hot(graphc.Builder("b").input("x"), 3), TypeError, "no integers"),
        (lambda: graphc.elementwise("f", "x +"), ValueError, "x +"),
        (lambda: graphc.contraction("c", "y[i] = "), ValueError, "an empty formula"),
        (lambda: graphc.contraction("c", "y[i] = x[i*j]"), ValueError, "not linear in names"),
        (lambda: graphc.contraction("c", "y[i] x[i]"), ValueError, "write y[i, j] = ..."),
        (lambda: graphc.contraction("2c", "y = x[i]"), NameError, "the name is an identifier"),
    ],
    ids=range(19),
)
def test_wrong_declarations(declare, kind, expected):
    with pytest.raises(kind) as caught:
        declare()
    assert isinstance(caught.value, GraphError)
    assert expected in str(caught.value)
    assert re.match(r"test_errors\.py:\d+: ", str(caught.value))


def test_the_value_of_another_graph_is_refused():
    leaked = []
    graphc.trace(lambda x: leaked.append(x) or x, "f64")
    with pytest.raises(GraphValueError, match="uses the input 'x' of another graph"):
        graphc.trace(lambda y: y + leaked[0], "f64")


def test_values_of_a_name_are_counted_only_where_they_are():
    """In place on a value that has one name is what Python means: a new value under that name."""

    def function(x):
        total = x * 2
        total += 1
        total /= 4
        return total

    assert graphc.trace(function, "f64")(1.0) == 0.75
