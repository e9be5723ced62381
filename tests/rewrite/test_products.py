"""Chains of products: in the order that costs least, and only where that is certain."""

from __future__ import annotations

import numpy as np
import pytest

import graphc
from graphc.interpret import evaluate_outputs
from graphc.rewrite import simplify, stabilise, stabilise_log
from graphc.verify import verify

RULE = "product_order"


# name: (function, types, the emitted expression, or None where nothing is to be done)
CHAINS = {
    "vector last": (
        lambda A, B, v: (A @ B) @ v,
        ["f64[30, 20]", "f64[20, 25]", "f64[25]"],
        "A.dot(B.dot(v))",
    ),
    "vector first": (
        lambda v, A, B: v @ (A @ B),
        ["f64[30]", "f64[30, 20]", "f64[20, 25]"],
        "B.T.dot(A.T.dot(v))",
    ),
    "four matrices": (
        lambda A, B, C, D: A @ B @ C @ D,
        ["f64[30, 2]", "f64[2, 25]", "f64[25, 3]", "f64[3, 40]"],
        "A.dot(B.dot(C).dot(D))",
    ),
    "transposed": (
        lambda A, B, v: (A @ B).T @ v,
        ["f64[20, 30]", "f64[30, 25]", "f64[20]"],
        "B.T.dot(A.T.dot(v))",
    ),
    "sum": (
        lambda A, B: (A @ B).sum(),
        ["f64[30, 20]", "f64[20, 25]"],
        "_ones_30.dot(A).dot(B.dot(_ones_25))",
    ),
    "sum over rows": (
        lambda A, B: (A @ B).sum(axis=0),
        ["f64[30, 20]", "f64[20, 25]"],
        "B.T.dot(_ones_30.dot(A))",
    ),
    "trace": (
        lambda A, B: np.trace(A @ B),
        ["f64[30, 20]", "f64[20, 30]"],
        "np.vdot(A, B.T)",
    ),
    "batched by a kept index": (
        lambda A, B, v: np.einsum("ik,ki->i", A, B @ v[:, None] * np.ones((1, 30))),
        ["f64[30, 20]", "f64[20, 25]", "f64[25]"],
        None,
    ),
    "diagonal of a product": (
        lambda A, B, C: np.einsum("ik,ki->i", A, B @ C),
        ["f64[30, 20]", "f64[20, 2]", "f64[2, 30]"],
        'np.einsum("ij,ji->i", A.dot(B), C)',
    ),
    "scalars": (
        lambda a, b: (np.linalg.outer(a, b) @ np.linalg.vecdot(a[:, None], b[:, None])).sum(),
        ["f64[30]", "f64[30]"],
        "a.sum() * b.dot(",
    ),
    "stack": (
        lambda x, P, Q: (x @ P) @ (x @ Q).swapaxes(1, 2),
        ["f32[3, 30, 16]", "f32[16, 16]", "f32[16, 16]"],
        "x.reshape(90, 16).dot(P.dot(Q.T)).reshape(3, 30, 16) @ x.swapaxes(-2, -1)",
    ),
    "named sizes": (
        lambda A, B, v: (A @ B) @ v,
        ["f64[n, m]", "f64[m, k]", "f64[k]"],
        "A @ (B @ v)",
    ),
    "best already": (lambda A, B, v: A @ (B @ v), ["f64[30, 20]", "f64[20, 25]", "f64[25]"], None),
    "nothing to gain": (lambda A, B, C: A @ B @ C, ["f64[9, 9]"] * 3, None),
    "not at every size": (
        lambda A, B, C: A @ B @ C,
        ["f64[n, 784]", "f64[784, 256]", "f64[256, 10]"],
        None,
    ),
    "integers": (lambda A, B, v: (A @ B) @ v, ["i64[30, 20]", "i64[20, 25]", "i64[25]"], None),
}


def given(graph, seed=0):
    rng = np.random.default_rng(seed)
    sizes = {"n": 7, "m": 5, "k": 6}
    found = {}
    for node in graph.inputs:
        shape = [size if isinstance(size, int) else sizes[str(size)] for size in node.type.shape]
        dtype = {"f64": np.float64, "f32": np.float32, "i64": np.int64}[node.type.dtype]
        found[node.name] = (rng.normal(size=shape) * 3).astype(dtype)
    return found


def close(found, expected, rtol):
    """Equal but for rounding, which is that of the largest elements."""
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize(("function", "types", "spelled"), CHAINS.values(), ids=CHAINS)
def test_the_cheapest_order(function, types, spelled):
    graph = graphc.trace(function, *types)
    rules = [one.rule for one in stabilise_log(graph)]
    assert (RULE in rules) is (spelled is not None)
    values = given(graph)
    rtol = 1e-11 if types[0][:3] != "f32" else 1e-5
    stable = verify(stabilise(graph))
    (naive,) = evaluate_outputs(graph, values).values()
    for other in (stable, verify(simplify(stable))):
        (found,) = evaluate_outputs(other, values).values()
        close(found, naive, rtol)
    f = graphc.compile(graph, cache=False)
    close(f(**values), naive, rtol)
    if spelled is not None:
        assert f" = {spelled}" in f.source
        assert stabilise(graph, rules=()) is graph


@pytest.mark.parametrize("name", ["vector last", "trace", "stack", "four matrices"])
def test_gradients(name):
    function, types, _ = CHAINS[name]

    def loss(*args):
        return np.sin(function(*args)).sum()

    graph = graphc.trace(loss, *(text.replace("f32", "f64") for text in types))
    values = given(graph)
    found = graphc.compile(graph, cache=False).value_and_grad(**values)
    plain = graphc.compile(graph, stable=False, cache=False).value_and_grad(**values)
    np.testing.assert_allclose(found[0], plain[0], rtol=1e-9)
    for one, two in zip(found[1], plain[1], strict=True):
        close(one, two, 1e-9)


def test_what_is_named_or_used_twice_is_computed_as_it_is():
    types = ["f64[30, 20]", "f64[20, 25]", "f64[25]"]

    def named(A, B, v):
        both = A @ B
        return both @ v

    def twice(A, B, v):
        return (lambda both: (both @ v).sum() + both.sum())(A @ B)

    for function in (named, twice):
        graph = graphc.trace(function, *types)
        assert RULE not in [one.rule for one in stabilise_log(graph)]
    graph = graphc.trace(named, *types)
    gradient = graphc.compile(graph, of=None, wrt="both", cache=False)
    assert gradient.forward(*given(graph).values())


def test_chains_follow_one_another():
    """Each link is looked at with what was found before."""

    def chain(A, v):
        for _ in range(4):
            v = (A @ A) @ v
        return v

    graph = graphc.trace(chain, "f64[40, 40]", "f64[40]")
    A, v = np.random.default_rng(1).normal(size=(40, 40)) / 6, np.ones(40)
    power = np.linalg.matrix_power(A, 8) @ v
    np.testing.assert_allclose(graphc.compile(graph, cache=False)(A, v), power, rtol=1e-11)
