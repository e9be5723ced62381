"""Loops: what is computed for all steps at once, and where that is left alone."""

import numpy as np
import pytest

import graphc
from graphc.autodiff import value_and_grad
from graphc.interpret import evaluate_outputs
from graphc.ops.kinds import Concatenate, Einstein, Place
from graphc.rewrite import add_before_placing, settle, stack_products, stack_sums
from graphc.verify import verify

STEPS, BATCH, WIDTH = 4, 3, 5


def array(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(scale=0.5, size=shape).astype(dtype)


def products(graph):
    """The sizes of all products of two operands."""
    found = [n.params for n in graph.nodes if isinstance(n.params, Einstein) and len(n.inputs) == 2]
    return [tuple(size for _, size in params.extents) for params in found]


def copies(graph):
    return [n for n in graph.nodes if isinstance(n.params, Concatenate)]


def same(before, after, arguments):
    """Both graphs compute the same, to rounding."""
    verify(after)
    expected = evaluate_outputs(before, arguments)
    for name, value in evaluate_outputs(after, arguments).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-12, atol=1e-13, err_msg=name)


def recurrence(steps=STEPS):
    """A recurrent layer, unrolled, and its arguments."""

    def loss(x, Wx, Wh, b):
        h = np.zeros((BATCH, WIDTH))
        for step in range(steps):
            h = np.tanh(x[step] @ Wx + h @ Wh + b)
        return (h * h).sum()

    arguments = {
        "x": array(steps, BATCH, 7),
        "Wx": array(7, WIDTH, seed=1),
        "Wh": array(WIDTH, WIDTH, seed=2),
        "b": array(WIDTH, seed=3),
    }
    return graphc.trace(loss, *arguments.values()), arguments


def test_the_products_of_all_steps_inputs_are_one():
    graph, arguments = recurrence()
    stacked = stack_products(graph)
    assert products(stacked).count((STEPS * BATCH, WIDTH, 7)) == 1
    assert (BATCH, WIDTH, 7) not in products(stacked)
    assert not copies(stacked)
    same(graph, stacked, arguments)


def test_the_gradients_of_a_recurrence_are_one_product_each():
    graph, arguments = recurrence()
    both = value_and_grad(graph, wrt=("Wx", "Wh", "b"))
    settled = settle(both)
    found = products(settled)
    # One for the inputs, one a step for the state; then two for the weights, one a step back.
    assert len(found) == 1 + STEPS + 2 + (STEPS - 1)
    # The states, and the cotangents that both weights and the bias share.
    assert len(copies(settled)) == 2
    same(both, settled, arguments)


def test_slices_that_are_rows_are_multiplied_at_once():
    def f(x, W):
        return np.tanh(x[4:6] @ W) + np.tanh(x[2:4] @ W) * np.tanh(x[:2] @ W)

    arguments = {"x": array(6, 3), "W": array(3, 4, seed=1)}
    graph = graphc.trace(f, *arguments.values())
    stacked = stack_products(graph)
    assert products(stacked) == [(6, 4, 3)]
    same(graph, stacked, arguments)


def test_slices_of_columns_from_the_right_operand_too():
    def f(x, W):
        parts = [np.tanh(W @ x[:, k : k + 2]) for k in (0, 2, 4)]
        return parts[0] * parts[1] + parts[2]

    arguments = {"x": array(3, 6), "W": array(4, 3, seed=1)}
    graph = graphc.trace(f, *arguments.values())
    stacked = stack_products(graph)
    assert products(stacked) == [(4, 6, 3)]
    same(graph, stacked, arguments)


@pytest.mark.parametrize(
    "picks",
    [(0, 1), (0, 2, 4), (0, 0, 0)],
    ids=["too few", "not neighbours", "one slice"],
)
def test_what_does_not_join_stays(picks):
    def f(x, W):
        return sum(np.tanh(x[k] @ W) for k in picks)

    graph = graphc.trace(f, array(6, 2, 3), array(3, 4))
    assert stack_products(graph) is graph


def test_products_large_enough_for_blas_stay():
    def f(x, W):
        return sum(np.tanh(x[k] @ W) for k in range(4))

    graph = graphc.trace(f, "f32[4, 512, 256]", "f32[256, 128]")
    assert stack_products(graph) is graph


def test_a_run_that_is_interrupted_is_two():
    def f(x, W):
        return sum(np.tanh(x[k] @ W) for k in (0, 1, 2, 4, 5, 6, 8))

    arguments = {"x": array(9, 2, 3), "W": array(3, 4, seed=1)}
    graph = graphc.trace(f, *arguments.values())
    stacked = stack_products(graph)
    assert sorted(products(stacked)) == [(2, 4, 3), (6, 4, 3), (6, 4, 3)]
    same(graph, stacked, arguments)


def test_outer_products_of_vectors_become_one_product():
    def f(x, W):
        h = x[0]
        for step in range(1, 5):
            h = np.tanh(W @ h) * x[step]
        return h.sum()

    arguments = {"x": array(5, 6), "W": array(6, 6, seed=1)}
    both = value_and_grad(graphc.trace(f, *arguments.values()), wrt="W")
    stacked = stack_sums(both)
    assert (4, 6, 6) in products(stacked)
    same(both, stacked, arguments)


def test_a_sum_of_other_terms_keeps_them():
    def f(a, b, c, d, p, q, r, s, bias):
        return np.cos(bias + a.T @ p + b.T @ q + np.sin(bias) + c.T @ r + d.T @ s)

    names = "abcdpqrs"
    arguments = {name: array(2, 9, seed=k) for k, name in enumerate(names)}
    arguments["bias"] = array(9, 9, seed=20)
    graph = graphc.trace(f, *arguments.values())
    stacked = stack_sums(graph)
    assert products(stacked) == [(9, 9, 8)]
    same(graph, stacked, arguments)


def test_a_term_that_is_needed_elsewhere_stays():
    def f(a, b, c, d, p, q, r, s):
        first = a.T @ p
        return first + b.T @ q + c.T @ r + d.T @ s + first, np.sin(first)

    arguments = {name: array(2, 9, seed=k) for k, name in enumerate("abcdpqrs")}
    graph = graphc.trace(f, *arguments.values())
    stacked = stack_sums(graph)
    assert sorted(products(stacked)) == [(9, 9, 2), (9, 9, 6)]
    same(graph, stacked, arguments)


def test_copies_larger_than_the_sums_are_not_made():
    def f(a, b, c, p, q, r):
        return a.T @ p + b.T @ q + c.T @ r

    graph = graphc.trace(f, *["f64[1000, 4]"] * 6)
    assert stack_sums(graph) is graph


def test_a_common_operand_is_not_copied():
    def f(a, b, c, p):
        return a.T @ p + b.T @ p + c.T @ p

    graph = graphc.trace(f, *["f64[2, 40]"] * 4)
    assert stack_sums(graph) is graph


def places(graph):
    return [node for node in graph.nodes if isinstance(node.params, Place)]


def test_gradients_of_a_row_that_every_step_reads_are_added_before_they_are_written():
    def f(x, w):
        for _ in range(6):
            x = np.sin(x * w[1]) * w[2]
        return x.sum()

    arguments = {"x": array(5), "w": array(4, 5, seed=1)}
    both = value_and_grad(graphc.trace(f, *arguments.values()), wrt="w")
    after = add_before_placing(both)
    assert len(places(both)) == 12
    assert len(places(after)) == 2
    same(both, after, arguments)


def test_what_is_written_elsewhere_or_needed_alone_stays():
    def f(a, b):
        first = graphc.at(np.zeros(5))[:2].set(a)
        second = graphc.at(np.zeros(5))[:2].set(b)
        return first + second, second, graphc.at(np.zeros(5))[1:3].set(a) + second

    graph = graphc.trace(f, array(2), array(2, seed=1))
    assert add_before_placing(graph) is graph


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_compiled_gradients_are_the_interpreters(dtype):
    kind = {"f32": np.float32, "f64": np.float64}[dtype]
    graph, arguments = recurrence(6)
    arguments = {name: value.astype(kind) for name, value in arguments.items()}

    def loss(x, Wx, Wh, b):
        h = np.zeros((BATCH, WIDTH), kind)
        for step in range(6):
            h = np.tanh(x[step] @ Wx + h @ Wh + b)
        return (h * h).sum()

    graph = graphc.trace(loss, *arguments.values())
    wrt = ("x", "Wx", "Wh", "b")
    value, grads = graphc.compile(graph, wrt=wrt).value_and_grad(*arguments.values())
    expected = evaluate_outputs(value_and_grad(graph, wrt=wrt), arguments)
    tolerance = {"f32": 1e-5, "f64": 1e-12}[dtype]
    np.testing.assert_allclose(value, expected["loss"], rtol=tolerance)
    for name, grad in zip(wrt, grads, strict=True):
        np.testing.assert_allclose(grad, expected[f"d_{name}"], rtol=tolerance, atol=tolerance)


def test_forward_and_backward_apart_agree_with_the_fused_function():
    graph, arguments = recurrence()
    f = graphc.compile(graph, wrt=("Wx", "Wh", "b"))
    outputs, saved = f.forward(*arguments.values())
    value, grads = f.value_and_grad(*arguments.values())
    np.testing.assert_allclose(outputs, value, rtol=1e-12)
    for one, other in zip(f.backward(saved), grads, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-13)


def test_sums_that_share_a_part_have_a_stack_each():
    def sums(a, b, d, e):
        a, b = ([np.tanh(x[k]) for k in (0, 2, 1)] for x in (a, b))
        d, e = ([np.sin(x[k]) for k in (0, 2, 1)] for x in (d, e))
        return (
            a[0].T @ d[0] + a[1].T @ d[1] + a[2].T @ d[2],
            a[0].T @ e[0] + b[1].T @ e[1] + b[2].T @ e[2],
        )

    given = [np.random.default_rng(k).normal(size=(3, 2, 8)) for k in range(4)]
    compiled = graphc.compile(graphc.trace(sums, *given), cache=False)
    for found, wanted in zip(compiled(*given), sums(*given), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-13, atol=1e-14)
