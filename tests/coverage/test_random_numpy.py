"""Random programs of NumPy functions: the interpreter, the emitted code and autograd agree.

A program is a chain of steps, each on one of the values so far; a step is a function of a NumPy and
an array, so that the same program runs on NumPy, in a trace and under HIPS autograd.
"""

import autograd
import autograd.numpy as anp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import graphc
from codegen import generate, load
from codegen.program import Options
from graphc.functions import plan
from graphc.functions import program as lowered

UNARY = {
    name: lambda np, x, name=name: getattr(np, name)(x)
    for name in ("sin", "cos", "tanh", "arctan", "negative", "square", "abs", "arcsinh", "sinc")
} | {
    "exp": lambda np, x: np.exp(np.tanh(x)),
    "log": lambda np, x: np.log(np.abs(x) + 0.3),
    "sqrt": lambda np, x: np.sqrt(x * x + 0.2),
    "log1p": lambda np, x: np.log1p(x * x),
    "expm1": lambda np, x: np.expm1(np.sin(x)),
    "reciprocal": lambda np, x: 1 / (x * x + 0.7),
    "where": lambda np, x: np.where(x > 0.1, np.sin(x), x * x),
    "clip": lambda np, x: np.clip(x, -0.6, 0.7),
    "arcsin": lambda np, x: np.arcsin(0.9 * np.tanh(x)),
    "cube": lambda np, x: x**3,
    "broken power": lambda np, x: (np.abs(x) + 0.3) ** 1.7,
}
BINARY = ("add", "subtract", "multiply", "maximum", "minimum", "logaddexp", "arctan2")
FOLDS = ("sum", "mean", "max", "min", "prod", "var", "std")


class Draw:
    """Choices made by hypothesis."""

    def __init__(self, data):
        self.data = data

    def among(self, options):
        return self.data.draw(st.sampled_from(list(options)))

    def number(self, low, high):
        return self.data.draw(st.integers(low, high))

    def axis(self, ndim):
        return self.number(-ndim, ndim - 1)

    def array(self, *shape):
        seed = self.number(0, 99)
        return np.random.default_rng(seed).normal(size=shape)


def unary(draw, values, at):
    f = UNARY[draw.among(UNARY)]
    return lambda np, env: f(np, env[at])


def binary(draw, values, at):
    x = values[at]
    others = [
        k for k, y in enumerate(values)
        if all(1 in (a, b) or a == b for a, b in zip(x.shape[::-1], y.shape[::-1], strict=False))
    ]  # fmt: skip
    name, other = draw.among(BINARY), draw.among(others)
    if name in ("maximum", "minimum", "arctan2"):
        # Equal operands are a kink, which autograd has another convention for.
        return lambda np, env: getattr(np, name)(env[at] + 0.31, 1.07 * np.cos(env[other]) + 2.3)
    return lambda np, env: getattr(np, name)(env[at], env[other])


def fold(draw, values, at):
    x = values[at]
    name, axis = draw.among(FOLDS), draw.among([None, *range(-x.ndim, x.ndim)])
    keepdims = draw.among([False, True])
    size = x.size if axis is None else x.shape[axis]
    if name in ("var", "std") and size < 2:
        return None
    return lambda np, env: getattr(np, name)(env[at], axis=axis, keepdims=keepdims)


def scan(draw, values, at):
    axis = draw.axis(values[at].ndim) if values[at].ndim else None
    return None if axis is None else lambda np, env: np.cumsum(env[at], axis=axis)


def product(draw, values, at):
    x = values[at]
    if not x.ndim:
        return None
    k = x.shape[-1]
    c = draw.among([draw.array(k), draw.array(k, 2)])
    choice = draw.number(0, 3)
    if choice == 0:
        return lambda np, env: np.dot(env[at], c)
    if choice == 1 and x.ndim > 1:
        return lambda np, env: np.matmul(env[at], c)
    if choice == 2 and x.ndim == 2:
        formula = draw.among(["ij,kj->ik", "ij,ij->j", "ij->ji", "ij,ij->"])
        count = formula.partition("->")[0].count(",") + 1
        return lambda np, env: np.einsum(formula, *[env[at] * (k + 1) for k in range(count)])
    return lambda np, env: np.tensordot(env[at], c, axes=1)


def layout(draw, values, at):
    x = values[at]
    order = tuple(draw.data.draw(st.permutations(range(x.ndim))))
    options = {
        "transpose": lambda np, env: np.transpose(env[at], order),
        "reshape": lambda np, env: np.reshape(env[at], (-1, 1)),
        "ravel": lambda np, env: np.ravel(env[at]),
        "expand": lambda np, env: np.expand_dims(env[at], 0),
        "tile": lambda np, env: np.tile(env[at], (2, 1)),
        "stack": lambda np, env: np.stack([env[at], np.sin(env[at])], axis=-1),
    }
    if x.ndim:
        axis, shift = draw.axis(x.ndim), draw.number(-3, 3)
        first = draw.number(0, x.shape[axis] - 1)
        options |= {
            "roll": lambda np, env: np.roll(env[at], shift, axis=axis),
            "repeat": lambda np, env: np.repeat(env[at], 2, axis=axis),
            "flip": lambda np, env: env[at][::-1],
            "steps": lambda np, env: env[at][..., ::2],
            "row": lambda np, env: env[at][first % env[at].shape[0]],
            "gather": lambda np, env: env[at][numpy_array([0, -1, first % env[at].shape[0]])],
            "concatenate": lambda np, env: np.concatenate([env[at], 2 * env[at]], axis=axis),
            "pad": lambda np, env: np.pad(env[at], 1, "constant"),
            "swap": lambda np, env: np.swapaxes(env[at], axis, 0),
            "new axis": lambda np, env: env[at][..., None, :],
        }
    if x.ndim == 2:
        options |= {
            "tril": lambda np, env: np.tril(env[at], shift),
            "trace": lambda np, env: np.trace(np.dot(env[at], env[at].T)),
        }
    return options[draw.among(options)]


numpy_array = np.array  # index arrays are NumPy's own under autograd, too
STEPS = (unary, unary, binary, fold, scan, product, layout, layout)


SMALL = ((3,), (2, 3), (3, 2), (2, 2, 3), (1, 4), (2, 1))
# Arrays that are worth tiles, blocks and storage of their own, where a cache is small.
LARGE = ((1500,), (60, 40), (1200, 1), (8, 20, 10), (1, 1300))


def program(data, shapes=SMALL, most=300):
    """(steps, starting array, value): a chain of steps that NumPy runs to finite values, on arrays
    of less than `most` elements."""
    draw = Draw(data)
    shape = draw.among(shapes)
    start = draw.array(*shape)
    values, steps = [start], []
    for _ in range(draw.number(2, 7)):
        at = draw.number(max(0, len(values) - 2), len(values) - 1)
        step = draw.among(STEPS)(draw, values, at)
        if step is None:
            continue
        with np.errstate(all="ignore"):
            y = np.asarray(step(np, values))
        assume(y.size and y.size < most and np.all(np.isfinite(y)) and np.abs(y).max() < 1e3)
        values.append(y)
        steps.append(step)
    assume(steps)
    return steps, start, values[-1]


def run(np, steps, start):
    values = [start]
    for step in steps:
        values.append(step(np, values))
    return values[-1]


@given(data=st.data())
@settings(max_examples=100)
def test_interpreter_emitted_code_and_autograd_agree(data):
    steps, start, value = program(data)
    weights = np.random.default_rng(7).normal(size=value.shape)
    graph = graphc.trace(lambda x: np.sum(run(np, steps, x) * weights), start)
    compiled = graphc.compile(graph, wrt="x", cache=False)
    wanted = np.sum(value * weights)
    scale = 1 + abs(wanted)
    found, gradient = compiled.value_and_grad(start)
    np.testing.assert_allclose([found, graph(start)], wanted, rtol=1e-11, atol=1e-11 * scale)

    theirs = autograd.grad(lambda x: anp.sum(run(anp, steps, x) * weights))(start)
    assume(np.all(np.isfinite(theirs)))
    size = 1 + np.abs(theirs).max()
    _, saved = compiled.forward(start)
    for ours in (gradient, compiled.backward(saved), graphc.grad(graph, wrt="x")(start)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-9 * size)


OPTIONS = {
    "tiles": Options(cache_bytes=256),
    "threads": Options(cache_bytes=512, threads=2),
    "workspace": Options(cache_bytes=1024, workspace=True),
    "donated": Options(cache_bytes=1 << 14, donate=("x",)),
}


@pytest.mark.parametrize("name", OPTIONS)
@given(data=st.data())
@settings(max_examples=25)
def test_options_change_no_number(name, data):
    """Nor is a result written again by the next call, nor an argument that was not given away."""
    steps, start, value = program(data, LARGE, 30_000)
    weights = np.random.default_rng(7).normal(size=value.shape)

    def weighted(x, w):
        y = run(np, steps, x)
        return {"loss": np.sum(y * w), "y": y}

    graph = graphc.trace(weighted, start, weights)
    plain = graphc.compile(graph, of="loss", cache=False)
    module = load(generate(lowered(plan(graph, None, "loss")), OPTIONS[name]))

    def compare(found, wanted):
        found, wanted = ([*outputs, *grads] for outputs, grads in (found, wanted))
        for mine, theirs in zip(found, wanted, strict=True):
            size = float(np.max(np.abs(theirs), initial=1e-6))
            np.testing.assert_allclose(mine, theirs, rtol=1e-8, atol=1e-10 * size)

    kept = {"x": start, "w": weights}
    wanted = plain.value_and_grad(**kept)
    first = module.value_and_grad(x=start.copy(), w=weights)
    compare(first, wanted)
    outputs, saved = module.forward(**kept)
    compare((outputs, module.backward(saved)), wanted)
    module.value_and_grad(x=2.0 * start, w=weights)
    compare(first, wanted)
    np.testing.assert_array_equal(plain.value_and_grad(**kept)[0].y, outputs.y)
