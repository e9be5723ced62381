"""What a function accepts, what it converts, and what it says otherwise."""

from __future__ import annotations

import re

import numpy as np
import pytest

import codegen
from codegen.program import Entry, Function, Leaf, Param, Program, SizeRule, Tree, Var
from codegen.types import ArrayType
from tests.codegen.programs import (
    Body,
    constant,
    dim,
    function,
    inputs,
    program,
    record_of,
    size,
    tuple_of,
)
from tests.codegen.samples import digits, neuron


@pytest.fixture(scope="module")
def loss():
    return codegen.load(codegen.generate(digits())).value_and_grad


def arguments(batch=4, rng=None):
    rng = rng or np.random.default_rng(1)
    return {
        "x": rng.standard_normal((batch, 64)),
        "y": rng.integers(0, 10, batch),
        "W1": rng.standard_normal((64, 32)),
        "b1": rng.standard_normal(32),
        "W2": rng.standard_normal((32, 10)),
        "b2": rng.standard_normal(10),
    }


ACCEPTED = {
    "single precision": lambda a: a.astype(np.float32),
    "other byte order": lambda a: a.astype(a.dtype.newbyteorder()),
    "a list": lambda a: a.tolist(),
    "a tuple": lambda a: tuple(map(tuple, a.tolist())),
    "a subclass": lambda a: a.view(type("Sub", (np.ndarray,), {})),
    "not contiguous": lambda a: np.asfortranarray(a),
    "read-only": lambda a: np.broadcast_to(a, a.shape),
    "integers": lambda a: np.arange(a.size).reshape(a.shape) % 3,
}


@pytest.mark.parametrize("kind", ACCEPTED)
def test_accepts(loss, kind):
    given = arguments()
    given["x"] = ACCEPTED[kind](given["x"])
    plain = dict(given, x=np.array(given["x"], np.float64))
    value, grads = loss(**given)
    expected, expected_grads = loss(**plain)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_allclose(grads.W1, expected_grads.W1, rtol=1e-9, atol=1e-12)
    assert type(grads.W1) is np.ndarray


REFUSED = [
    ({"x": np.zeros((4, 63))}, ValueError,
     "loss(): x should be f64[batch, 64], got f64[4, 63]: axis 1 is 63, not 64"),
    ({"y": np.zeros(5, np.int64)}, ValueError,
     "loss(): y should be i64[batch], got i64[5]: batch is 4 in x but 5 in y"),
    ({"x": np.zeros(64)}, ValueError, "loss(): x should be f64[batch, 64], got f64[64]"),
    ({"x": np.zeros((4, 64), complex)}, TypeError,
     "loss(): x should be f64[batch, 64], got complex128[4, 64]"),
    ({"y": np.zeros(4)}, TypeError, "loss(): y should be i64[batch], got f64[4]"),
    ({"x": "hello"}, TypeError, "loss(): x should be f64[batch, 64], got str"),
    ({"x": None}, TypeError, "loss(): x should be f64[batch, 64], got NoneType"),
    ({"b1": np.zeros(33)}, ValueError,
     "loss(): b1 should be f64[32], got f64[33]: axis 0 is 33, not 32"),
    ({"W2": 3.0}, ValueError, "loss(): W2 should be f64[32, 10], got float"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "kind", "message"), REFUSED)
def test_refuses(loss, wrong, kind, message):
    with pytest.raises(kind) as caught:
        loss(**{**arguments(), **wrong})
    assert str(caught.value) == message


def test_ragged_lists_are_refused_by_name(loss):
    with pytest.raises(ValueError, match=re.escape("loss(): x should be f64[batch, 64]")):
        loss(**{**arguments(), "x": [[1.0], [1.0, 2.0]]})


def test_inputs_are_never_written(loss):
    given = arguments()
    before = {name: value.copy() for name, value in given.items()}
    loss(**given)
    for name, value in given.items():
        np.testing.assert_array_equal(value, before[name])


@pytest.fixture(scope="module")
def number():
    return codegen.load(codegen.generate(neuron())).value_and_grad


@pytest.mark.parametrize(
    "value", [2, True, np.float32(2), np.int64(2), np.array(2.0), np.float64(2)]
)
def test_numbers_are_taken(number, value):
    expected = number(float(value), -1.0, -3.0, -2.0, -3.0)
    assert number(value, -1.0, -3.0, -2.0, -3.0) == expected


@pytest.mark.parametrize(
    ("value", "kind", "got"),
    [
        ("2", TypeError, "str"),
        (2j, TypeError, "complex"),
        (None, TypeError, "NoneType"),
        (np.zeros(3), ValueError, "f64[3]"),
        (np.longdouble(2), TypeError, np.dtype(np.longdouble).name),
    ],
)
def test_other_things_are_not_numbers(number, value, kind, got):
    with pytest.raises(kind) as caught:
        number(value, -1.0, -3.0, -2.0, -3.0)
    assert str(caught.value) == f"neuron(): w0 should be f64, got {got}"


def scalars():
    """One of each dtype, beside an array."""
    v = inputs(a="f64", b="f32", c="i64", d="i32", e="bool", x="f32[2]")
    b = Body()
    outs = [b.apply(v[k].type, "where", v["e"], v[k], v[k], name=f"r_{k}") for k in "abcd"]
    y = b.apply("f32[2]", "multiply", v["x"], outs[1], name="y")
    return program("p", function("f", v, b, tuple_of(*outs, y)))


def test_scalars_of_every_dtype():
    f = codegen.load(codegen.generate(scalars())).f
    x = np.ones(2, np.float32)
    for given in [
        (1, 2, 3, 4, True, x),
        (1.0, np.float32(2), np.int64(3), np.int32(4), np.True_, x),
    ]:
        a, b, c, d, y = f(*given)
        assert (a, b, c, d) == (1, 2, 3, 4)
        assert isinstance(a, float)
        assert [type(v) for v in (b, c, d)] == [np.float32, np.int64, np.int32]
        assert y.dtype == np.float32
    with pytest.raises(TypeError, match=r"p\(\): c should be i64, got float"):
        f(1, 2, 3.5, 4, True, x)
    with pytest.raises(TypeError, match=r"p\(\): b should be f32, got f64"):
        f(1, np.float64(2), 3, 4, True, x)
    with pytest.raises(TypeError, match=r"p\(\): e should be bool, got int"):
        f(1, 2, 3, 4, 1, x)


def polynomial_sizes():
    """x f64[2*n + 1], y f64[n], z f64[n - 1, m]: n is solved from x."""
    n, m = dim("n"), dim("m")
    x, y = Var("x", ArrayType("f64", (2 * n + 1,)), True), Var("y", ArrayType("f64", (n,)), True)
    z = Var("z", ArrayType("f64", (n - 1, m)), True)
    b = Body()
    total = b.map("f64", size(n * m), name="total")
    entry = Entry(
        (SizeRule("n", x, 0, 2, 1), SizeRule("m", z, 1)),
        equal=((m, n + 1, "p(): the columns of z should be one more than n"),),
    )
    params = tuple(Param(v.name, Leaf(v)) for v in (x, y, z))
    return Program("p", "", (Function("f", "", params, tuple(b.statements), Leaf(total), entry),))


def test_polynomial_sizes():
    f = codegen.load(codegen.generate(polynomial_sizes())).f
    assert f(np.zeros(7), np.zeros(3), np.zeros((2, 4))) == 12.0
    with pytest.raises(ValueError, match=r"x should be f64\[2\*n \+ 1\], got f64\[6\]"):
        f(np.zeros(6), np.zeros(3), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="n is 3 in x but 2 in y"):
        f(np.zeros(7), np.zeros(2), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="axis 0 is 3, not 2"):
        f(np.zeros(7), np.zeros(3), np.zeros((3, 4)))
    with pytest.raises(ValueError, match="should be one more than n"):
        f(np.zeros(7), np.zeros(3), np.zeros((2, 5)))


def test_a_size_below_zero_is_an_error():
    n = dim("n")
    x = Var("x", ArrayType("f64", (n + 2,)), True)
    b = Body()
    out = b.map("f64", size(n), name="out")
    made = Function(
        "f", "", (Param("x", Leaf(x)),), tuple(b.statements), Leaf(out),
        Entry((SizeRule("n", x, 0, 1, 2),)),
    )  # fmt: skip
    f = codegen.load(codegen.generate(Program("p", "", (made,)))).f
    assert f(np.zeros(2)) == 0.0
    with pytest.raises(ValueError, match=r"p\(\): x is too small: size n would be -1"):
        f(np.zeros(1))


def containers():
    """params: {"layers": [{"W", "b"}, ...], "pair": namedtuple}, in and out."""
    leaves = {
        name: Var(f"params.{name}", ArrayType("f64", (2,)), True)
        for name in ("layers.0.W", "layers.0.b", "pair.left", "pair.right")
    }
    w, bias, left, right = leaves.values()
    layer = Tree("dict", ("W", "b"), (Leaf(w), Leaf(bias)))
    pair = Tree("namedtuple", ("left", "right"), (Leaf(left), Leaf(right)))
    tree = Tree("dict", ("layers", "pair"), (Tree("list", (), (layer,)), pair))
    b = Body()
    total = b.apply("f64[2]", "add", w, bias, name="total")
    d_left = b.apply("f64[2]", "multiply", left, right, name="d_left")
    out_layer = Tree("dict", ("W", "b"), (Leaf(total), Leaf(bias)))
    out_pair = Tree("namedtuple", ("left", "right"), (Leaf(d_left), Leaf(right)))
    result = Tree("dict", ("layers", "pair"), (Tree("list", (), (out_layer,)), out_pair))
    made = Function("f", "", (Param("params", tree),), tuple(b.statements), result, Entry())
    return Program("p", "", (made,))


def test_containers():
    from collections import namedtuple

    Pair = namedtuple("Pair", "left right")
    f = codegen.load(codegen.generate(containers())).f
    one = np.ones(2)
    given = {"layers": [{"W": one, "b": 2 * one}], "pair": Pair(3 * one, 4 * one)}
    result = f(given)
    assert type(result["pair"]) is Pair
    np.testing.assert_array_equal(result["layers"][0]["W"], [3, 3])
    np.testing.assert_array_equal(result["pair"].left, [12, 12])
    np.testing.assert_array_equal(result["pair"].right, [4, 4])
    assert result["pair"].right is not given["pair"].right
    wrong = {"layers": [{"W": np.ones(3), "b": one}], "pair": given["pair"]}
    with pytest.raises(ValueError, match=r"p\(\): params.layers.0.W should be f64\[2\]"):
        f(wrong)
    for broken in ({"layers": []}, {"layers": [{"W": one}], "pair": given["pair"]}, 3, None):
        with pytest.raises((TypeError, ValueError), match=r"p\(\): params should be"):
            f(broken)


def saved():
    """forward and backward: what is saved may be an input, what is returned may not."""
    v = inputs(x="f64[n]", W="f64[n]")
    f = Body()
    y = f.apply("f64[n]", "multiply", v["x"], v["W"], name="y")
    forward_result = Tree("tuple", (), (Leaf(y), tuple_of(v["x"], y)))
    forward = function("forward", v, f, forward_result, may_alias=frozenset({v["x"], y}))
    x, y2 = Var("x", v["x"].type, True), Var("y", y.type, True)
    d_y = Var("d_y", y.type, True)
    b = Body()
    d_W = b.apply("f64[n]", "multiply", d_y, b.apply("f64[n]", "add", x, y2), name="d_W")
    count = b.map("f64", size(dim("n")), name="count")
    params = (Param("saved", tuple_of(x, y2)), Param("d_y", Leaf(d_y)))
    backward = Function(
        "backward", "", params, tuple(b.statements), record_of("Grads", d_W, count),
        Entry((SizeRule("n", x, 0),), trusted=("saved",)),
    )  # fmt: skip
    from codegen.program import Record

    return program("p", forward, backward, records=(Record("Grads", ("W", "n")),))


def test_saved_values():
    module = codegen.load(codegen.generate(saved()))
    x, w = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    y, kept = module.forward(x, w)
    assert kept[0] is x
    assert not np.shares_memory(y, kept[1])
    y[...] = 0
    grads = module.backward(kept, [1, 1])
    np.testing.assert_array_equal(grads.W, [4.0, 10.0])
    assert grads.n == 2.0
    np.testing.assert_array_equal(kept[1], [3.0, 8.0])
    with pytest.raises(ValueError, match="n is 2 in x but 3 in d_y"):
        module.backward(kept, np.ones(3))


def test_internal_functions_check_nothing():
    v = inputs(x="f64[n]")
    b = Body()
    out = b.map("f64", size(dim("n")), name="out")
    source = codegen.generate(program("p", function("f", v, b, out, checked=False))).source
    assert "_check_inputs" not in source
    assert codegen.load_source(source, "p").f(np.zeros(7)) == 7.0


def test_defaults():
    v = inputs(x="f64", d_y="f64")
    b = Body()
    made = function("f", v, b, b.apply("f64", "multiply", v["x"], v["d_y"], name="y"))
    params = (made.params[0], Param("d_y", made.params[1].value, 1.0))
    made = Function("f", "", params, made.body, made.result, made.entry)
    f = codegen.load(codegen.generate(Program("p", "", (made,)))).f
    assert f(3.0) == 3.0
    assert f(3.0, 2.0) == 6.0


def test_constants_are_not_returned_nor_written():
    small, large = constant("small", [1.0, 2.0]), constant("large", np.arange(100.0))
    b = Body()
    twice = b.apply("f64[100]", "add", large.var, large.var, name="twice")
    made = function("f", {}, b, tuple_of(small.var, large.var, twice))
    generated = codegen.generate(program("p", made, constants=(small, large)))
    assert list(generated.constants) == ["large"]
    assert "small = np.array([1.0, 2.0])" in generated.source
    module = codegen.load(generated)
    first, second = module.f(), module.f()
    for a, b_ in zip(first, second, strict=True):
        assert not np.shares_memory(a, b_)
        a[...] = -1
        np.testing.assert_array_equal(module.f()[2], 2 * np.arange(100.0))
    np.testing.assert_array_equal(second[0], [1.0, 2.0])


def test_stored_constants_are_checked(tmp_path):
    large = constant("large", np.arange(100.0))
    b = Body()
    made = program(
        "p", function("f", {}, b, b.reduce("f64", "sum", large.var, name="y")), constants=(large,)
    )
    generated = codegen.generate(made, constants_file="p.npz")
    (tmp_path / "p.py").write_text(generated.source)

    def run():
        space = {"__file__": str(tmp_path / "p.py"), "__name__": "p"}
        exec(compile(generated.source, space["__file__"], "exec"), space)
        return space["f"]()

    np.savez(tmp_path / "p.npz", **generated.constants)
    assert run() == 4950.0
    np.savez(tmp_path / "p.npz", large=np.arange(100.0) + 1)
    with pytest.raises(ValueError, match="large is not the array that this module was made with"):
        run()


def test_many_inputs_are_checked_aside():
    import graphc

    types = {f"x{k}": "f64[n]" for k in range(20)}
    graph = graphc.trace(lambda **xs: sum(x.sum() for x in xs.values()), **types)
    compiled = graphc.compile(graph)
    body = compiled.source.partition("def value(")[2].partition("\ndef ")[0]
    assert "dtype" not in body
    arrays = {name: [1.0, 2.0] for name in types}
    assert compiled(**arrays) == 60.0
    with pytest.raises(graphc.GraphValueError, match="n is 2 in x0 but 3 in x7"):
        compiled(**{**arrays, "x7": [1.0, 2.0, 3.0]})
