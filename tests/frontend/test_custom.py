"""A user's own ops."""

import numpy as np
import pytest

import graphc
from graphc import verify

RNG = np.random.default_rng(5)


def test_elementwise_by_text_and_by_lambda():
    import sympy

    by_text = graphc.elementwise("swish", "x / (1 + exp(-x))")
    by_lambda = graphc.elementwise("swish", lambda x: x / (1 + sympy.exp(-x)))
    x = RNG.normal(size=3)
    for swish in (by_text, by_lambda):
        np.testing.assert_allclose(swish(x), x / (1 + np.exp(-x)), rtol=1e-14)
        graph = graphc.trace(lambda x, f=swish: f(x), "f64[n]")
        verify.verify(graph)
        np.testing.assert_allclose(graph(x), x / (1 + np.exp(-x)), rtol=1e-14)


def test_elementwise_broadcasts_and_promotes():
    f = graphc.elementwise("f", "(a, b) -> b * a**2")
    assert f(2.0, 3.0) == 12.0
    graph = graphc.trace(lambda x: f(x, 2), "f32[n, 3]")
    assert str(graph.outputs[0][1].type) == "f32[n, 3]"
    assert f(np.ones((2, 1)), np.ones(3)).shape == (2, 3)
    assert repr(f) == "<elementwise f(a, b) = b * a ** 2>"
    with pytest.raises(graphc.GraphTypeError, match=r"f takes 2 operands \(a, b\), got 1"):
        f(1.0)


A, W3, C = RNG.normal(size=(2, 3)), RNG.normal(size=(4, 3, 5)), RNG.normal(size=(2, 5))
IMAGE, KERNEL = RNG.normal(size=(2, 3, 9)), RNG.normal(size=(4, 3, 3))


def strided(x, w):
    out = np.zeros((2, 4, 4))
    for h in range(4):
        out[:, :, h] = np.einsum("ncp,ocp->no", x[:, :, 2 * h : 2 * h + 3], w)
    return out


CONTRACTIONS = [
    (
        "y[b,o] = a[b,i] * W[o,i,j] * c[b,j]",
        (A, W3, C),
        lambda a, w, c: np.einsum("bi,oij,bj->bo", a, w, c),
    ),
    ("y[n,o,h] = x[n,c,2*h+p] * w[o,c,p]", (IMAGE, KERNEL), strided),
    ("d[i,j] = (a[i,k] - c[j,k])**2", (A, A), lambda a, c: ((a[:, None] - c[None]) ** 2).sum(-1)),
    ("y[...,j] = x[...,i] * w[i,j]", (IMAGE, RNG.normal(size=(9, 2))), lambda x, w: x @ w),
    ("s = exp(x[i,j]) * k", (A, 2.0), lambda x, k: np.exp(x).sum() * k),
    ("y[i] = x[i,i]", (A @ A.T,), np.diagonal),
    ("y[i,i] = x[i]", (A[0],), np.diag),
    ("y[2*i] = x[i]", (A[0],), lambda x: np.array([x[0], 0, x[1], 0, x[2]])),
    ("y[i] = x[i,0] * x[i,2]", (A,), lambda x: x[:, 0] * x[:, 2]),
    ("y[i,j] = maximum(x[i], x[j])", (A[0],), lambda x: np.maximum(x[:, None], x)),
]


@pytest.mark.parametrize(
    ("formula", "operands", "expected"), CONTRACTIONS, ids=[c[0] for c in CONTRACTIONS]
)
def test_contractions(formula, operands, expected):
    function = graphc.contraction("mine", formula)
    np.testing.assert_allclose(function(*operands), expected(*operands), rtol=1e-12)
    arguments = ", ".join(f"x{k}" for k in range(len(operands)))
    traced = eval(f"lambda {arguments}: f({arguments})", {"f": function})
    graph = graphc.trace(traced, *operands)
    verify.verify(graph)
    np.testing.assert_allclose(graph(*operands), expected(*operands), rtol=1e-12)


@pytest.mark.parametrize("size", ["7", "n"])
@pytest.mark.parametrize(
    ("body", "scalar"),
    [
        ("(x[h+p-1] - w[p])**2", lambda x, w: (x - w) ** 2),
        ("tanh(x[h+p-1] + w[p])", lambda x, w: np.tanh(x + w)),
        ("exp(x[h+p-1]) + w[p]", lambda x, w: np.exp(x) + w),
        ("x[h+p-1] * w[p]", lambda x, w: x * w),
    ],
)
def test_a_term_that_would_read_outside_is_absent(body, scalar, size):
    """Also where a zero read there would be a term: in values and in every operand's gradient."""
    function = graphc.contraction("windows", f"y[h] = {body}")

    def by_hand(x, w, h):
        inside = [p for p in range(3) if 0 <= h + p - 1 < len(x)]
        return sum(scalar(x[h + p - 1], w[p]) for p in inside)

    x, w = RNG.normal(size=7), RNG.normal(size=3)
    graph = graphc.trace(lambda x, w: (function(x, w) ** 2).sum(), f"f64[{size}]", "f64[3]")
    compiled = graphc.compile(graph, cache=False)
    count = len(function(x, w))
    wanted = sum(by_hand(x, w, h) ** 2 for h in range(count))
    np.testing.assert_allclose((function(x, w) ** 2).sum(), wanted, rtol=1e-12)
    value, grads = compiled.value_and_grad(x, w)
    np.testing.assert_allclose(value, wanted, rtol=1e-12)
    _, saved = compiled.forward(x, w)
    for step, found, again in zip(
        (np.eye(7), np.eye(3)), grads, compiled.backward(saved), strict=True
    ):
        for k, direction in enumerate(step * 1e-6):
            ends = [
                sum(by_hand(*moved, h) ** 2 for h in range(count))
                for moved in (
                    ((x + s * direction, w) if len(direction) == 7 else (x, w + s * direction))
                    for s in (1, -1)
                )
            ]
            np.testing.assert_allclose(found[k], (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-8)
            np.testing.assert_allclose(again[k], found[k], rtol=1e-12, atol=1e-14)


def test_contraction_on_named_sizes():
    conv = graphc.contraction("conv", "y[n,h] = x[n,2*h+p] * w[p]")
    graph = graphc.trace(lambda x, w: conv(x, w), "f64[n, m]", "f64[3]")
    assert str(graph.outputs[0][1].type) == "f64[n, ((m - 3)//2) + 1]"
    x, w = RNG.normal(size=(2, 8)), RNG.normal(size=3)
    expected = [[x[n, 2 * h : 2 * h + 3] @ w for h in range(3)] for n in range(2)]
    np.testing.assert_allclose(graph(x, w), expected)


@pytest.mark.parametrize(
    ("formula", "shapes", "expected"),
    [
        ("y[i] = x[i,j] * w[j]", [(2, 3), (4,)], "the index 'j' is 3 and 4"),
        ("y[i,k] = x[i,j]", [(2, 3)], "the result has the index 'k', no operand has"),
        ("y[i] = x[i,j]", [(2,)], "has 1 axes, the formula 2"),
        ("y[i] = x[i+j+k]", [(2,)], "the size of the index"),
        ("y[i] = x[i,j] * w[j]", [(2, 3)], "takes 2 operands (x, w), got 1"),
    ],
)
def test_contractions_that_do_not_fit(formula, shapes, expected):
    function = graphc.contraction("mine", formula)
    with pytest.raises(graphc.GraphError) as caught:
        function(*(np.ones(shape) for shape in shapes))
    assert expected in str(caught.value)


def test_primitive():
    @graphc.primitive(
        result=lambda table, i: graphc.ArrayType(table.dtype, i.shape + table.shape[1:])
    )
    def lookup(table, i):
        return table[i], (table.shape, i)

    @lookup.vjp
    def _(saved, d_y):
        d_table = np.zeros(saved[0])
        np.add.at(d_table, saved[1], d_y)
        return d_table, None

    table, i = RNG.normal(size=(4, 3)), np.array([0, 0, 2])
    np.testing.assert_array_equal(lookup(table, i), table[i])
    graph = graphc.trace(lambda table, i: lookup(table, i).sum(), "f64[n, 3]", "i64[m]")
    verify.verify(graph)
    np.testing.assert_allclose(graph(table, i), table[i].sum())
    assert lookup.op.backward is not None


def test_primitive_types():
    fixed = graphc.primitive(result="f64[3]", name="fixed")(lambda x: (np.ones(3), None))
    graph = graphc.trace(lambda x: fixed(x), "f64")
    assert str(graph.outputs[0][1].type) == "f64[3]"
    several = graphc.primitive(result=("f64", "f64"), name="several")(lambda x: (x, None))
    with pytest.raises(graphc.GraphValueError, match="several: a primitive has one result"):
        graphc.trace(lambda x: several(x), "f64")
    wrong = graphc.primitive(result=lambda: "f64", name="wrong")(lambda x: (x, None))
    with pytest.raises(graphc.GraphTypeError, match="wrong: result="):
        graphc.trace(lambda x: wrong(x), "f64")
