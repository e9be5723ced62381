"""Unrolled loops: what every step computes is computed at once, and the rest is a loop again."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import graphc
from graphc.autodiff import joint
from graphc.interpret import evaluate_outputs
from graphc.ir import Graph
from graphc.ops.kinds import Concatenate, LoopParams
from graphc.order import reachable
from graphc.rewrite import settle
from graphc.verify import verify

RNG = np.random.default_rng(0)


def traced(fn, **arrays):
    """The graph of a function of arrays of known sizes."""
    types = {}
    for name, x in arrays.items():
        dtype = "i64" if np.asarray(x).dtype == np.int64 else "f64"
        types[name] = f"{dtype}{list(np.shape(x))}" if np.ndim(x) else dtype
    return graphc.trace(fn, **types)


def with_gradients(graph):
    """The graph of the output and its gradients by all inputs that have one."""
    wrt = [node.name for node in graph.inputs if node.type.floating]
    found = joint(graph, wrt, (graph.outputs[0][0],), 1.0)
    outputs = [*graph.outputs, *((f"d {name}", node) for name, node in found.gradients)]
    order = reachable([*graph.inputs, *(node for _, node in outputs)])
    return Graph(graph.name, graph.inputs, outputs, order, graph.arguments)


def loops(graph):
    """The loops of a settled graph, with the number of their steps."""
    return {
        id(node.params.steps): node.params.steps.count
        for node in graph.nodes
        if isinstance(node.params, LoopParams)
    }


def agree(found, wanted):
    """The same values by the same names, to rounding."""
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-8, atol=1e-11)


def checked(fn, **arrays):
    """The settled graph and the compiled function, both compared with the graph as it was."""
    graph = traced(fn, **arrays)
    whole = with_gradients(graph)
    settled = verify(settle(whole))
    wanted = evaluate_outputs(whole, arrays)
    agree(evaluate_outputs(settled, arrays), wanted)
    f = graphc.compile(graph, wrt=tuple(arrays), cache=False)
    value, grads = f.value_and_grad(**arrays)
    agree(dict(zip(wanted, (value, *grads), strict=True)), wanted)
    outputs, saved = f.forward(**arrays)
    agree(dict(zip(wanted, (outputs, *f.backward(saved)), strict=True)), wanted)
    np.testing.assert_allclose(f(**arrays), value, rtol=1e-12)
    return settled, f


def rnn(x, w, u, h):
    for t in range(x.shape[0]):
        h = np.tanh(x[t] * w + h * u)
    return h.sum()


def vectors(steps, width=3):
    """Inputs of `rnn`."""
    return {
        "x": RNG.normal(size=(steps, width)),
        "w": RNG.normal(size=width),
        "u": RNG.normal(size=width),
        "h": RNG.normal(size=width),
    }


def test_a_recurrence_is_a_loop_forward_and_backward():
    settled, f = checked(rnn, **vectors(40))
    counts = list(loops(settled).values())
    assert len(counts) == 2
    assert all(count > 25 for count in counts)
    assert len(settled.nodes) < 250
    # One in value and in forward, two in value_and_grad: backward runs none of forward's again.
    backward = f.source[f.source.index("def backward") : f.source.index("def value_and_grad")]
    assert backward.count("_t in ") <= 1


def test_a_short_recurrence_stays_as_it_is():
    settled, f = checked(rnn, **vectors(5))
    assert not loops(settled)
    assert "_t in " not in f.source


def test_what_no_step_carries_on_is_computed_at_once():
    def fn(x, w):
        total = 0.0
        for t in range(20):
            total = total + (np.exp(x[t] * w) * x[t]).sum()
        return total

    settled, _ = checked(fn, x=RNG.normal(size=(20, 3)), w=RNG.normal(size=3))
    assert not loops(settled)
    assert len(settled.nodes) < 60


def test_a_matrix_and_two_carried_values():
    def fn(x, U, h, c):
        for t in range(24):
            c = c * np.tanh(h) + x[t]
            h = np.tanh(h @ U) * np.cos(c)
        return (h * c).sum()

    settled, _ = checked(
        fn,
        x=RNG.normal(size=(24, 4)),
        U=RNG.normal(size=(4, 4)) / 2,
        h=RNG.normal(size=4),
        c=RNG.normal(size=4),
    )
    assert loops(settled)


def test_a_recurrence_with_a_matrix_is_a_loop_forward_and_backward():
    def fn(x, W, U, h):
        for t in range(24):
            h = np.tanh(x[t] @ W + h @ U)
        return (h * h).sum()

    arrays = {"x": RNG.normal(size=(24, 4)), "h": RNG.normal(size=3)}
    arrays["W"], arrays["U"] = RNG.normal(size=(4, 3)), RNG.normal(size=(3, 3)) / 2
    settled, _ = checked(fn, **{name: arrays[name] for name in ("x", "W", "U", "h")})
    assert list(loops(settled).values()) == [24, 24]
    assert len(settled.nodes) < 100


def test_two_layers_are_two_loops():
    def fn(x, u, v, h, k):
        for t in range(30):
            h = np.tanh(x[t] + h * u)
            k = np.tanh(h + k * v)
        return k.sum() + h.sum()

    arrays = {name: RNG.normal(size=3) for name in ("u", "v", "h", "k")}
    settled, _ = checked(fn, x=RNG.normal(size=(30, 3)), **arrays)
    assert len(loops(settled)) >= 2


def test_steps_in_reverse_and_every_second_row():
    def fn(x, u, h):
        for t in range(38, 0, -2):
            h = np.sin(h * u + x[t])
        return h.sum()

    settled, _ = checked(fn, x=RNG.normal(size=(40, 3)), u=RNG.normal(size=3), h=RNG.normal(size=3))
    assert loops(settled)


def test_all_steps_values_are_results():
    def fn(x, u, h):
        states = []
        for t in range(16):
            h = np.tanh(h * u + x[t])
            states.append(h)
        return (np.stack(states) ** 2 * x).sum() + (states[3] * states[15]).sum()

    checked(fn, x=RNG.normal(size=(16, 3)), u=RNG.normal(size=3), h=RNG.normal(size=3))


def test_steps_that_differ_are_right():
    def fn(x, u, h):
        for t in range(24):
            h = np.tanh(h * u + x[t]) if t % 3 else np.sin(h + x[t])
        return h.sum()

    checked(fn, x=RNG.normal(size=(24, 3)), u=RNG.normal(size=3), h=RNG.normal(size=3))


def test_a_step_that_looks_two_steps_back_is_right():
    def fn(x, u, h):
        before = h * 0.5
        for t in range(24):
            before, h = h, np.tanh(h * u + before - x[t])
        return (h * before).sum()

    checked(fn, x=RNG.normal(size=(24, 3)), u=RNG.normal(size=3), h=RNG.normal(size=3))


def test_steps_of_numbers_stay_python_floats():
    def fn(x, u):
        for _ in range(30):
            x = np.tanh(x * u)
        return x

    _, f = checked(fn, x=0.3, u=1.1)
    assert "_t in " not in f.source
    assert isinstance(f(0.3, 1.1), float)


def test_parts_that_are_joined_for_a_gate_are_taken_apart():
    """Of gates of [x, h], those of x need no step before."""

    def fn(x, w, h):
        for t in range(24):
            gates = np.concatenate((x[t], h)) * w
            h = np.tanh(gates[:3]) * gates[3:]
        return h.sum()

    settled, _ = checked(fn, x=RNG.normal(size=(24, 3)), w=RNG.normal(size=6), h=np.ones(3))
    bodies = {id(n.params.steps): n.params.steps for n in settled.nodes if n.op.name == "loop"}
    assert bodies
    for steps in bodies.values():
        assert not any(isinstance(n.params, Concatenate) for n in steps.body.nodes)


def test_named_sizes_stay_unrolled():
    """A stack of arrays that may be large would only take memory."""

    @graphc.trace(x="f64[12, n]", u="f64[n]")
    def fn(x, u):
        h = u
        for t in range(12):
            h = np.tanh(h * u + x[t])
        return h.sum()

    assert "_t in " not in graphc.compile(fn, cache=False).source


def test_a_carried_value_is_not_written_through():
    """Results of a loop are fresh, and its first values are left alone."""

    def fn(x, h):
        for t in range(20):
            h = h * 0.5 + x[t]
        return h

    graph = traced(fn, x=np.zeros((20, 3)), h=np.zeros(3))
    f = graphc.compile(graph, wrt=("h",), cache=False)
    x, h = RNG.normal(size=(20, 3)), np.ones(3)
    first = f(x, h)
    kept = first.copy()
    second = f(x, 2 * h)
    assert (h == 1).all()
    assert (first == kept).all()
    assert not np.shares_memory(first, second)


def test_slices_of_several_rows_are_each_at_a_place_of_its_own():
    """A family's members may read different places of different steps' values."""

    def added(x, w):
        total = 0.0
        for t in range(9):
            z = np.tanh(x[t] * w)
            for k in range(8):
                total = total + np.sin(z[2 * k : 2 * k + 2]).sum()
        return total

    def carried(x, w, h):
        for t in range(9):
            z = np.tanh(x[t] * w)
            for k in range(8):
                h = np.tanh(0.9 * h + np.sin(z[2 * k : 2 * k + 2]))
        return h.sum()

    x, w, h = (RNG.normal(size=shape) for shape in ((9, 16), 16, 2))
    _, f = checked(added, x=x, w=w)
    np.testing.assert_allclose(f(x, w), added(x, w), rtol=1e-12)
    _, f = checked(carried, x=x, w=w, h=h)
    np.testing.assert_allclose(f(x, w, h), carried(x, w, h), rtol=1e-12)


def test_a_batch_whose_inputs_are_one_product():
    """Its rows of a step are a slice of that product, and all of them a view of it."""

    def fn(x, w, h):
        for t in range(12):
            gate = graphc.sigmoid(x[t] @ w + h)
            h = gate * h + (1 - gate) * np.tanh(h @ w)
        return (h * h).sum()

    x, w, h = (RNG.normal(size=shape) for shape in ((12, 2, 3), (3, 3), (2, 3)))
    _, f = checked(fn, x=x, w=w, h=h)
    np.testing.assert_allclose(f(x, w, h), fn(x, w, h), rtol=1e-12)


def test_parts_of_no_elements_are_joined():
    def fn(x, h, u):
        for t in range(20):
            z = np.concatenate([u[1:], h + x[t]]) * x[t]
            h = np.tanh(np.concatenate([z[:1], z[1:]]) * 0.9)
        return (h * h).sum()

    x, h, u = (RNG.normal(size=shape) for shape in ((20, 1), 1, 1))
    _, f = checked(fn, x=x, h=h, u=u)
    np.testing.assert_allclose(f(x, h, u), fn(x, h, u), rtol=1e-12)


def test_slices_across_parts_that_are_joined():
    def fn(x, h):
        for t in range(24):
            z = np.concatenate([h, np.tanh(x[t])])
            h = np.tanh(z[1:4] * z[3:] + z[:3])
        return (h * h).sum()

    _, f = checked(fn, x=RNG.normal(size=(24, 3)), h=RNG.normal(size=3))
    x, h = RNG.normal(size=(24, 3)), RNG.normal(size=3)
    np.testing.assert_allclose(f(x, h), fn(x, h), rtol=1e-12)


LEAVES = ("h", "c", "x", "w", "1.5")


def steps_of(draw, depth):
    """The text of a step: an expression of what is carried, the row and a weight."""
    if depth == 0:
        return draw(st.sampled_from(LEAVES))
    kind = draw(st.sampled_from(("sum", "product", "difference", "tanh", "sin", "leaf")))
    if kind == "leaf":
        return draw(st.sampled_from(LEAVES))
    if kind in ("tanh", "sin"):
        return f"np.{kind}({steps_of(draw, depth - 1)})"
    sign = {"sum": "+", "product": "*", "difference": "-"}[kind]
    return f"({steps_of(draw, depth - 1)} {sign} {steps_of(draw, depth - 1)})"


@given(data=st.data(), count=st.integers(8, 16))
@settings(max_examples=20, deadline=None)
def test_any_step(data, count):
    texts = [f"np.tanh({steps_of(data.draw, 3)})" for _ in range(2)]
    h_next, c_next = (eval(f"lambda np, h, c, x, w: {text}") for text in texts)

    def fn(x, w, h, c):
        total = 0.0
        for t in range(count):
            h, c = h_next(np, h, c, x[t], w), c_next(np, h, c, x[t], w)
            total = total + (h * c).sum()
        return total + h.sum() - c.sum() + (w * x[0]).sum()

    arrays = {"x": RNG.normal(size=(count, 2))}
    arrays.update((name, RNG.normal(size=2)) for name in ("w", "h", "c"))
    whole = with_gradients(traced(fn, **arrays))
    agree(evaluate_outputs(verify(settle(whole)), arrays), evaluate_outputs(whole, arrays))


def term_of(draw, width, widths, depth):
    """The text of a value of so many elements: of carried ones, of rows, of picked rows, weights;
    of values of another width, by way of a matrix."""
    kind = draw(st.sampled_from(("sum", "product", "quotient", "tanh", "matrix", "leaf")))
    if depth == 0 or kind == "leaf":
        carried = [f"s{k}" for k, own in enumerate(widths) if own == width]
        return draw(
            st.sampled_from(
                [*carried, f"x[t, :{width}]", f"w[:{width}]", f"table[picked[t]][:{width}]"]
            )
        )
    if kind == "tanh":
        return f"np.tanh({term_of(draw, width, widths, depth - 1)})"
    if kind == "matrix":
        return f"({term_of(draw, 5 - width, widths, depth - 1)} @ M{width})"
    first, second = (term_of(draw, width, widths, depth - 1) for _ in range(2))
    if kind == "quotient":
        return f"({first} / (2.0 + np.cos({second})))"
    return f"({first} {'+' if kind == 'sum' else '*'} {second})"


@st.composite
def recurrences(draw):
    """A function with one or two loops of up to three carried values of two or three elements: in
    any order of steps, interleaved, with rows picked by index, with results of every step."""
    widths = draw(st.lists(st.sampled_from((2, 3)), min_size=1, max_size=3))
    groups = [list(range(len(widths)))]
    if len(widths) > 1 and draw(st.booleans()):
        groups = [groups[0][:1], groups[0][1:]]  # loops that do not read one another
    texts = {}
    for group in groups:
        own = [width if k in group else 0 for k, width in enumerate(widths)]
        for k in group:
            texts[k] = f"np.tanh(s{k} * {term_of(draw, widths[k], own, 3)})"
    code = compile(f"({', '.join(texts[k] for k in range(len(widths)))},)", "step", "eval")
    count = draw(st.integers(18, 24))
    order = list(range(count))
    order = draw(st.sampled_from((order, order[::-1], [k // 2 for k in order])))
    rows = draw(st.sampled_from(("", "last", "every")))

    def fn(x, w, M2, M3, table, picked, *first):
        values, total, kept = list(first), 0.0, []
        for t in order:
            known = {f"s{k}": value for k, value in enumerate(values)}
            known.update(np=np, x=x, w=w, M2=M2, M3=M3, table=table, picked=picked, t=t)
            values = list(eval(code, known))
            total = total + (values[0] * x[t, : widths[0]]).sum()
            kept.append(values[-1])
        if rows == "every":
            total = total + (np.stack(kept) ** 2 * x[:, : widths[-1]]).sum()
        if rows == "last":
            total = total + (values[-1] * kept[count // 2]).sum()
        return total

    shapes = {"x": (count, 3), "w": (3,), "M2": (3, 2), "M3": (2, 3), "table": (5, 3)}
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    arrays = {name: random.normal(size=shape) for name, shape in shapes.items()}
    arrays["picked"] = random.integers(0, 5, count)
    for k, width in enumerate(widths):
        arrays[f"first{k}"] = random.normal(size=width)
    return fn, arrays


def by_names(fn, arrays):
    """The function of named arrays."""
    names = ", ".join(arrays)
    scope = {"fn": fn}
    exec(f"def recurrence({names}):\n    return fn({names})", scope)
    return traced(scope["recurrence"], **arrays)


@given(drawn=recurrences())
@settings(max_examples=25, deadline=None)
def test_any_recurrence(drawn):
    fn, arrays = drawn
    whole = with_gradients(by_names(fn, arrays))
    agree(evaluate_outputs(verify(settle(whole)), arrays), evaluate_outputs(whole, arrays))


@given(drawn=recurrences())
@settings(max_examples=8, deadline=None)
def test_second_derivatives_of_any_recurrence(drawn):
    fn, arrays = drawn
    slope = graphc.grad(by_names(fn, arrays), "w")
    whole = with_gradients(by_names(lambda *given: (slope(*given) ** 2).sum(), arrays))
    agree(evaluate_outputs(verify(settle(whole)), arrays), evaluate_outputs(whole, arrays))


@pytest.mark.parametrize("steps", [9, 40])
def test_the_source_does_not_grow_with_the_steps(steps):
    arrays = vectors(steps)
    f = graphc.compile(traced(rnn, **arrays), cache=False)
    assert len(f.source.splitlines()) < 700
