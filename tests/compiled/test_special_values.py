"""Compiled scalar functions at special values: Python's floats agree with NumPy's."""

import itertools

import numpy as np
import pytest

import graphc
from codegen.expr import Apply
from graphc import nodes
from graphc.derive.lookup import derivation
from graphc.freeze import freeze
from graphc.interpret import emitted, evaluate
from graphc.ops.elementwise import TABLE
from graphc.types import Dim, array_type

SPECIAL = [
    0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, 1e-300, -1e-300, 5e-324, 1e300, -1e300,
    709.0, 710.0, -745.0, -746.0, 800.0, -800.0, np.inf, -np.inf, np.nan, 1e16, 0.1,
]  # fmt: skip
CHOOSING = {"maximum", "minimum", "fmax", "fmin"}
FEW = [0.0, -0.0, 1.0, -1.5, 2.0, 1e300, -1e300, 800.0, -800.0, np.inf, -np.inf, np.nan]

OPS = sorted(
    name
    for name, op in TABLE.items()
    if not op.condition and op.result in ("same", "float") and len(op.args) <= 3
)


def graph_of(name, shape=()):
    """One op of f64 operands; None where they may not be floats."""
    op = TABLE[name]
    inputs = [nodes.input_(arg, array_type("f64", shape)) for arg in op.args]
    try:
        made = nodes.elementwise(op, *inputs)
    except graphc.GraphError:
        return None
    if made.type.dtype != "f64":
        return None
    return freeze(f"one_{name}", inputs, [("y", made)])


GRAPHS = {name: graph for name in OPS if (graph := graph_of(name)) is not None}


def points(graph):
    count = len(graph.inputs)
    return itertools.product(SPECIAL if count == 1 else FEW[:: max(1, count - 1)], repeat=count)


def functions(expr):
    """The names of the functions in an expression."""
    if not isinstance(expr, Apply):
        return set()
    return {expr.function}.union(*map(functions, expr.args))


def signed(name):
    """Whether the sign of a zero is certain: the larger of 0.0 and -0.0 is either, and NumPy's own
    answer depends on the length of the array."""
    op = TABLE[name]
    ops = [op, *(partial for partial in derivation(op).partials if partial is not None)]
    return not any(functions(emitted(part)) & CHOOSING for part in ops)


def same(got, wanted, sign=True):
    """Equal to a few ulps; NaN, infinities and (where certain) the signs of zeros exactly."""
    wanted = float(wanted)
    if np.isnan(wanted) or np.isinf(wanted):
        return bool(np.array_equal(got, wanted, equal_nan=True))
    if wanted == 0:
        return got == 0 and (not sign or np.signbit(got) == np.signbit(wanted))
    return abs(got - wanted) <= 1e-12 * abs(wanted) + 5e-323


@pytest.mark.parametrize("name", GRAPHS)
def test_a_scalar_op_is_numpys(name):
    graph = GRAPHS[name]
    f = graphc.compile(graph, cache=False)
    names = [node.name for node in graph.inputs]
    with np.errstate(all="ignore"):
        for point in points(graph):
            values = dict(zip(names, map(np.float64, point), strict=True))
            wanted = evaluate(graph, values, expression=emitted)[graph.outputs[0][1]]
            assert same(f(*point), wanted, signed(name)), (
                point,
                f(*point),
                float(wanted),
                f.source,
            )


@pytest.mark.parametrize("name", [name for name in GRAPHS if TABLE[name].differentiable])
def test_a_gradient_of_scalars_is_that_of_arrays(name):
    graph = GRAPHS[name]
    whole = graph_of(name, (Dim.named("n"),))
    scalar, array = graphc.compile(graph, cache=False), graphc.compile(whole, cache=False)
    grid = list(points(graph))
    columns = [np.array(column) for column in zip(*grid, strict=True)]
    with np.errstate(all="ignore"):
        out, saved = array.forward(*columns)
        expected = array.backward(saved, np.ones(len(grid)))
        for at, point in enumerate(grid):
            value, grads = scalar.value_and_grad(*point)
            assert same(value, out[at], signed(name)), (point, value, out[at])
            for mine, theirs in zip(grads, expected, strict=True):
                assert same(mine, theirs[at], signed(name)), (
                    point,
                    mine,
                    theirs[at],
                    scalar.source,
                )


def test_paddings_that_are_equal_and_not_the_same():
    def padded(x):
        return np.pad(x, 1), np.pad(x, 1, constant_values=-0.0)

    found = graphc.compile(graphc.trace(padded, x="f64[3]"), ())(np.ones(3))
    assert [list(np.signbit(part)[[0, -1]]) for part in found] == [[False] * 2, [True] * 2]


@pytest.mark.parametrize("shape", ["", "[40]"])
def test_literals_that_are_equal_and_not_the_same(shape):
    """0.0 and -0.0, one after the other in one process: caches must not mix them up."""
    x = np.ones(40) if shape else 1.0
    for zero in (0.0, -0.0, 0.0):
        found = graphc.compile(
            graphc.trace(lambda x, z=zero: np.copysign(x, z), x=f"f64{shape}"), ()
        )
        np.testing.assert_array_equal(found(x), np.copysign(x, zero))
