"""What users pass and get: wrt, of, containers, cotangents, sizes, dtypes, ops of their own."""

import inspect
import math
import runpy
from collections import namedtuple

import numpy as np
import pytest

import graphc

Layer = namedtuple("Layer", "W b")
TYPES = {
    "layers": [Layer("f64[3, 4]", "f64[4]"), Layer("f64[4, 2]", "f64[2]")],
    "scale": "f64",
}


@graphc.trace(x="f64[n, 3]", p=TYPES)
def net(x, p):
    h = x
    for layer in p["layers"]:
        h = np.tanh(h @ layer.W + layer.b)
    return {"loss": (h * h).sum() * p["scale"], "aux": Layer(h, h.sum(axis=0))}


def parameters(seed=0):
    random = np.random.default_rng(seed)
    sizes = ((3, 4), 4), ((4, 2), 2)
    layers = [Layer(random.normal(size=w), random.normal(size=b)) for w, b in sizes]
    return {"layers": layers, "scale": 2.0}


def test_the_compiled_graph_is_called_as_its_value():
    f = graphc.compile(graphc.trace(lambda x, y, z: x * y + z, "f64", "f64", "f64"))
    first = f(1.0, 2.0, 3.0)  # which makes `value`
    assert first == f(1.0, z=3.0, y=2.0) == f(z=3.0, y=2.0, x=1.0) == f.value(1.0, 2.0, 3.0) == 5.0
    assert list(inspect.signature(f).parameters) == ["x", "y", "z"]
    assert list(inspect.signature(f.value_and_grad).parameters) == ["x", "y", "z"]
    with pytest.raises(graphc.GraphTypeError, match=r"misses 'y'; inputs: x, y, z"):
        f(1.0, z=3.0)


# -- wrt and of ------------------------------------------------------------------------------------


@graphc.trace(x="f64[n]", w=graphc.param("f64[n]"), c=graphc.param("f64"))
def weighted(x, w, c):
    q = x * w
    return (q * q).sum() * c


X, W3 = np.array([1.0, 2.0, 3.0]), np.array([0.5, -1.0, 2.0])


def test_wrt_is_the_parameters_by_default():
    value, grads = graphc.compile(weighted).value_and_grad(X, W3, 2.0)
    assert value == 2 * ((X * W3) ** 2).sum()
    assert type(value) is float or type(value) is np.float64
    assert grads._fields == ("w", "c")
    np.testing.assert_allclose(grads.w, 4 * X * X * W3)
    assert grads.c == value / 2


def test_a_string_gives_a_bare_gradient_and_a_tuple_a_named_one():
    _, d_x = graphc.compile(weighted, wrt="x").value_and_grad(X, W3, 2.0)
    np.testing.assert_allclose(d_x, 4 * X * W3 * W3)
    _, grads = graphc.compile(weighted, wrt=("c", "x")).value_and_grad(X, W3, 2.0)
    assert grads._fields == ("c", "x")
    np.testing.assert_array_equal(grads.x, d_x)
    _, grads = graphc.compile(weighted, wrt=["x"]).value_and_grad(X, W3, 2.0)
    assert grads._fields == ("x",)


def test_any_named_value_may_be_asked_for():
    _, grads = graphc.compile(weighted, wrt=("q", "w")).value_and_grad(X, W3, 2.0)
    np.testing.assert_allclose(grads.q, 4 * X * W3)
    np.testing.assert_allclose(grads.w, 4 * X * X * W3)


def test_of_chooses_the_scalar_and_the_rest_rides_along():
    f = graphc.compile(net, wrt="p", of="loss")
    p, x = parameters(), np.ones((5, 3))
    value, grads = f.value_and_grad(x, p)
    assert value._fields == ("loss", "aux")
    assert isinstance(value.aux, Layer)
    assert value.aux.W.shape == (5, 2)
    assert list(grads) == ["layers", "scale"]
    assert [type(layer) for layer in grads["layers"]] == [Layer, Layer]
    assert type(grads["layers"]) is list
    assert grads["scale"] == pytest.approx(value.loss / 2)
    for layer, d in zip(p["layers"], grads["layers"], strict=True):
        assert (d.W.shape, d.b.shape) == (layer.W.shape, layer.b.shape)
        for part, gradient in zip(layer, d, strict=True):
            kept = part.flat[0]
            part.flat[0] = kept + 1e-6
            above = f(x, p).loss
            part.flat[0] = kept - 1e-6
            below = f(x, p).loss
            part.flat[0] = kept
            assert (above - below) / 2e-6 == pytest.approx(gradient.flat[0], rel=1e-6)


def test_several_outputs_are_a_named_tuple_and_one_is_bare():
    def both(x):
        double = x * 2
        return double, x + 1

    for graph in (
        graphc.trace(lambda x: {"double": x * 2, "lambda": x + 1}, "f64"),
        graphc.trace(both, "f64"),
    ):
        for result in (graph(3.0), graphc.compile(graph)(3.0)):
            assert type(result).__name__ == "Outputs"
            assert result == (6.0, 4.0)
            assert result.double == 6.0
    assert graphc.trace(lambda x: {"double": x * 2, "lambda": x}, "f64")(3.0).lambda_ == 3.0
    named = graphc.trace(lambda x: {"double": x * 2}, "f64")
    assert named.output_names == ("double",)
    assert named(3.0) == graphc.compile(named)(3.0) == 6.0


def test_names_that_no_field_may_bear():
    b = graphc.Builder("c")
    x, y, z = b.inputs("_x", "x", "1")
    b.output("f", x * y * z)
    _, grads = graphc.compile(b).value_and_grad(2.0, 3.0, 5.0)
    assert grads._asdict() == {"x": 15.0, "x_2": 10.0, "value_1": 6.0}


@pytest.mark.parametrize("exported", [False, True])
def test_users_classes_with_our_names(exported, tmp_path):
    grads_class, outputs_class = namedtuple("Grads", "a b"), namedtuple("Outputs", "u v")
    graph = graphc.trace(
        lambda p: {"f": p.a * p.b, "rest": outputs_class(p.a, p.b)}, grads_class("f64", "f64")
    )
    call = graphc.compile(graph, of="f").value_and_grad
    if exported:
        graphc.compile(graph, of="f").export(tmp_path / "module.py")
        call = runpy.run_path(str(tmp_path / "module.py"))["value_and_grad"]
    value, grads = call(grads_class(2.0, 3.0))
    assert value.f == 6.0
    assert value.rest == (2.0, 3.0)
    assert grads.p == (3.0, 2.0)
    assert [type(part).__name__ for part in (value, value.rest, grads, grads.p)] == [
        "Outputs_", "Outputs", "Grads_", "Grads",
    ]  # fmt: skip


def test_containers_of_another_structure_are_refused():
    f = graphc.compile(net, wrt="p", of="loss")
    p = parameters()
    p["layers"] = p["layers"][:1]
    with pytest.raises(graphc.GraphTypeError, match=r"test_calling.py:\d+: net\(\): p should be"):
        f(np.ones((5, 3)), p)


def test_cotangents_for_several_outputs():
    @graphc.trace(x="f32[n]", k="f64")
    def several(x, k):
        return {"y": x * 2, "total": (x.sum()) * k, "count": (x > 0).sum()}

    f = graphc.compile(several)
    x = np.array([1, -2, 3], "f4")
    out, saved = f.forward(x, 3.0)
    assert out.count == 2
    d_y = np.array([1, 10, 100], "f4")
    grads = f.backward(saved, d_y, 2.0)
    assert grads.x.dtype == np.float32
    np.testing.assert_array_equal(grads.x, 2 * d_y + 6)
    assert grads.k == 4.0
    assert f.backward(saved, d_total=2.0, d_y=d_y).k == 4.0


def test_an_unused_input_gets_zeros_and_no_work():
    @graphc.trace(x="f64[n]", unused="f32[n, 2]", spare="f64")
    def partly(x, unused, spare):
        return (x * x).sum()

    f = graphc.compile(partly)
    unused = np.ones((3, 2), "f4")
    _, grads = f.value_and_grad(X, unused, 1.0)
    _, saved = f.forward(X, unused, 1.0)
    for found in (grads, f.backward(saved)):
        assert found.unused.dtype == np.float32
        np.testing.assert_array_equal(found.unused, np.zeros((3, 2)))
        assert found.spare == 0.0


# -- sizes -----------------------------------------------------------------------------------------


@graphc.trace(x="f64[n, m]", i="i64[k]")
def sized(x, i):
    n, m = x.shape
    return x.reshape(n * m).mean() * i.shape[0] + x.T[:, : n // 2].sum() / m


@pytest.mark.parametrize("shape", [(4, 3), (1, 1), (7, 2)])
def test_named_sizes_bind_at_the_call(shape):
    f = graphc.compile(sized)
    n, m = shape
    x = np.arange(1.0, n * m + 1).reshape(shape)
    i = np.zeros(5, np.int64)
    expected = x.mean() * 5 + x[: n // 2].sum() / m
    d = np.full(shape, 5 / (n * m))
    d[: n // 2] += 1 / m
    value, grads = f.value_and_grad(x, i)
    assert value == pytest.approx(expected)
    np.testing.assert_allclose(grads.x, d)
    value, saved = f.forward(x, i)
    np.testing.assert_allclose(f.backward(saved).x, d)  # backward knows the sizes it needs


def test_a_cotangent_that_no_gradient_needs_is_checked():
    """Its sizes are known all the same."""

    @graphc.trace(x="f64[n]", y="f64[m]")
    def apart(x, y):
        return {"loss": np.sum(x * x), "aside": np.tanh(y[1:])}

    f = graphc.compile(apart, wrt="x")
    _, saved = f.forward(np.ones(3), np.ones(4))
    np.testing.assert_array_equal(f.backward(saved, 1.0, np.ones(3)), np.full(3, 2.0))
    with pytest.raises(graphc.GraphValueError, match=r"d_aside should be f64\[m - 1\].* 2, not 3"):
        f.backward(saved, 1.0, np.ones(2))


def test_sizes_do_not_grow_with_the_steps_of_a_loop():
    """n - 1 + min(1, n) must be n at the call, and is called so from then on."""

    def turned(x, u, h):
        for t in range(24):
            h = np.tanh(np.concatenate([(h * x[t])[1:], h[:1]]) * u)
        return h

    graph = graphc.trace(turned, "f64[24, n]", "f64[n]", "f64[n]")
    assert str(graph.outputs[0][1].type) == "f64[n]"
    random = np.random.default_rng(3)
    x, u, h = random.normal(size=(24, 3)), random.normal(size=3), random.normal(size=3)
    np.testing.assert_allclose(graphc.compile(graph)(x, u, h), turned(x, u, h), rtol=1e-12)


@pytest.mark.parametrize("n", [0, 1, 3])
def test_empty_and_single_arrays(n):
    @graphc.trace(x="f64[n]", A="f64[n, 4]", y="i64[n]")
    def mixed(x, A, y):
        z = np.tanh(A[:, 0] * x)
        return z.sum() + (A.T @ x).sum() + graphc.cross_entropy(A, y).sum()

    f = graphc.compile(mixed)
    random = np.random.default_rng(0)
    x, A, y = random.normal(size=n), random.normal(size=(n, 4)), np.zeros(n, np.int64)
    value, grads = f.value_and_grad(x, A, y)
    assert grads.x.shape == (n,)
    assert grads.A.shape == (n, 4)
    _, saved = f.forward(x, A, y)
    np.testing.assert_allclose(f.backward(saved).A, grads.A, rtol=1e-13)
    if n == 0:
        assert value == 0.0


@pytest.mark.parametrize(
    "made",
    [
        lambda a: a[::-1],
        lambda a: np.asfortranarray(a),
        lambda a: np.repeat(a, 2, axis=1)[:, ::2],
        lambda a: np.broadcast_to(a[:1], a.shape),
        lambda a: a.astype(">f8"),
    ],
    ids=["negative", "fortran", "strided", "broadcast", "big-endian"],
)
def test_layouts_of_inputs(made):
    @graphc.trace(a="f64[n, m]")
    def mixed(a):
        return (np.exp(a) * a.T.sum()).sum(axis=0).max() + a.reshape(-1)[0]

    a = made(np.random.default_rng(1).normal(size=(4, 4)))
    a.flags.writeable = False
    plain = np.array(a, np.float64)
    f = graphc.compile(mixed)
    value, grads = f.value_and_grad(a)
    wanted, expected = f.value_and_grad(plain)
    assert value == pytest.approx(wanted, rel=1e-13)
    np.testing.assert_allclose(grads.a, expected.a, rtol=1e-12)
    assert grads.a.flags.writeable


# -- ops of one's own ------------------------------------------------------------------------------


@graphc.primitive(result=lambda table, i: graphc.ArrayType(table.dtype, i.shape + table.shape[1:]))
def lookup(table, i):
    return table[i], (table.shape, i)


@lookup.vjp
def _(saved, d_y):
    shape, i = saved
    d_table = np.zeros(shape)
    np.add.at(d_table, i, d_y)
    return d_table, None


def test_a_primitive_of_ones_own():
    @graphc.trace(table=graphc.param("f64[words, 3]"), i="i64[n]", w="f64[n, 3]")
    def score(table, i, w):
        return (np.tanh(lookup(table, i)) * w).sum()

    random = np.random.default_rng(3)
    table, i, w = random.normal(size=(5, 3)), np.array([4, 0, 4, 1]), random.normal(size=(4, 3))
    f = graphc.compile(score)
    value, grads = f.value_and_grad(table, i, w)
    assert value == pytest.approx((np.tanh(table[i]) * w).sum(), rel=1e-14)
    expected = np.zeros_like(table)
    np.add.at(expected, i, w * (1 - np.tanh(table[i]) ** 2))
    np.testing.assert_allclose(grads.table, expected, rtol=1e-13)
    _, saved = f.forward(table, i, w)
    np.testing.assert_array_equal(f.backward(saved).table, grads.table)
    with pytest.raises(graphc.GraphTypeError, match="lookup is a primitive of yours"):
        f.export("never.py")


def test_an_elementwise_op_of_ones_own():
    swish = graphc.elementwise("swish", "x / (1 + exp(-x))")

    @graphc.trace(x="f64[n]")
    def total(x):
        return swish(x).sum()

    s = 1 / (1 + np.exp(-X))
    value, grads = graphc.compile(total).value_and_grad(X)
    assert value == pytest.approx((X * s).sum(), rel=1e-14)
    np.testing.assert_allclose(grads.x, s + X * s * (1 - s), rtol=1e-14)

    @graphc.trace(x="f64")
    def one(x):
        return swish(x)

    second = graphc.compile(graphc.grad(graphc.grad(one)))
    u = 1 / (1 + math.exp(-0.7))
    wanted = u * (1 - u) * (2 + 0.7 * (1 - 2 * u))
    assert second(0.7) == pytest.approx(wanted, rel=1e-13)


def test_contractions_of_ones_own():
    bilinear = graphc.contraction("bilinear", "y[b,o] = a[b,i] * W[o,i,j] * c[b,j]")
    distances = graphc.contraction("distances", "d[i,j] = sqrt(1 + (x[i,k] - y[j,k])**2)")

    @graphc.trace(a="f64[n, 3]", W="f64[2, 3, 4]", c="f64[n, 4]")
    def first(a, W, c):
        return bilinear(a, W, c).sum()

    @graphc.trace(x="f64[n, 2]", y="f64[m, 2]")
    def apart(x, y):
        return distances(x, y).sum()

    random = np.random.default_rng(2)
    a, W, c = (random.normal(size=size) for size in ((5, 3), (2, 3, 4), (5, 4)))
    value, grads = graphc.compile(first).value_and_grad(a, W, c)
    assert value == pytest.approx(np.einsum("bi,oij,bj->", a, W, c))
    np.testing.assert_allclose(grads.a, np.einsum("oij,bj->bi", W, c), rtol=1e-12)
    np.testing.assert_allclose(grads.W, np.einsum("bi,bj,o->oij", a, c, np.ones(2)), rtol=1e-12)
    x, y = random.normal(size=(4, 2)), random.normal(size=(3, 2))
    value, grads = graphc.compile(apart).value_and_grad(x, y)
    gap = x[:, None] - y
    assert value == pytest.approx(np.sqrt(1 + gap**2).sum(), rel=1e-13)
    slope = gap / np.sqrt(1 + gap**2)
    np.testing.assert_allclose(grads.x, slope.sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(grads.y, -slope.sum(axis=0), rtol=1e-12)


# -- transformations nest --------------------------------------------------------------------------


@graphc.trace(x="f64", y="f64")
def curve(x, y):
    return np.sin(x) * y**3 + np.exp(x * y)


def test_second_derivatives_by_nesting():
    g = graphc.grad(curve)  # outputs d_x, d_y
    f = graphc.compile(graphc.grad(g, of="d_x"))
    x, y = 0.3, -0.7
    e = math.exp(x * y)
    found = f(x, y)
    assert found[0] == pytest.approx(-math.sin(x) * y**3 + y * y * e, rel=1e-13)
    assert found[1] == pytest.approx(3 * math.cos(x) * y * y + e + x * y * e, rel=1e-13)
    h = graphc.compile(g, wrt="y", of="d_y")
    value, d = h.value_and_grad(x, y)
    assert value[1] == pytest.approx(3 * math.sin(x) * y * y + x * e, rel=1e-13)
    assert d == pytest.approx(6 * math.sin(x) * y + x * x * e, rel=1e-13)
    third = graphc.compile(graphc.grad(graphc.value_and_grad(curve), of="curve"))
    assert third(x, y)[0] == pytest.approx(math.cos(x) * y**3 + y * e, rel=1e-13)


# -- what a where does not choose ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("branch", "slope"),
    [
        (np.log, lambda x: 1 / x),
        (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
        (lambda x: 1 / x, lambda x: -1 / x**2),
        (lambda x: x**0.5, lambda x: 0.5 * x**-0.5),
        (lambda x: np.sqrt(x) * np.log(x), lambda x: (np.log(x) / 2 + 1) / np.sqrt(x)),
    ],
    ids=["log", "sqrt", "divide", "power", "product"],
)
def test_an_unchosen_branch_leaks_nothing(branch, slope):
    @graphc.trace(x="f64[n]")
    def guarded(x):
        return np.where(x > 0, branch(x), 3 * x).sum()

    x = np.array([2.0, 0.0, -1.0, 0.5])
    f = graphc.compile(guarded)
    with np.errstate(all="ignore"):
        value, grads = f.value_and_grad(x)
        _, saved = f.forward(x)
        again = f.backward(saved)
    positive = x[x > 0]
    assert value == pytest.approx(branch(positive).sum() - 3)
    expected = np.where(x > 0, 0.0, 3.0)
    expected[x > 0] = slope(positive)
    np.testing.assert_allclose(grads.x, expected, rtol=1e-13)
    np.testing.assert_allclose(again.x, expected, rtol=1e-13)
