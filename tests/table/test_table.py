"""Every op of the table, compiled: value, gradient, second derivative, dtypes, shapes.

What is compared with is NumPy, SciPy, mpmath and HIPS autograd; SymPy has no part in it.
"""

import warnings

import numpy as np
import pytest
import scipy.special

import graphc
from graphc import nodes
from graphc.derive import peers, precise
from graphc.derive.data import free_args
from graphc.formula import parse
from graphc.freeze import freeze
from graphc.interpret import emitted, evaluate
from graphc.ops.elementwise import TABLE
from graphc.types import parse_type
from tests.test_interpret import meaning

OPS = [op for op in TABLE.values() if not op.condition and op.name not in ("absorb", "bool")]
FLOATING = [op for op in OPS if op.name not in ("i32", "i64") and not op.name.startswith("logical")]
SMOOTH = [
    op for op in FLOATING if op.differentiable and op.name not in ("f32", "f64", "stop_gradient")
]
EPS = np.finfo(np.float64).eps


def name_of(op):
    return op.name


def points(op, count=6):
    """Operands at which every op is a number: in (0, 1), or above 1 for arccosh."""
    rng = np.random.default_rng(len(op.name))
    start = 1.2 if op.name == "arccosh" else 0.1
    return [start + 0.8 * rng.random(count) for _ in op.args]


def graph_of(op, *types):
    inputs = [nodes.input_(arg, parse_type(text)) for arg, text in zip(op.args, types, strict=True)]
    return freeze(op.name, inputs, [("y", nodes.elementwise(op, *inputs))])


def compiled(op, *types, wrt=None):
    return graphc.compile(graph_of(op, *types), wrt=wrt)


def total(op, types):
    """The sum of the op over everything, which has a gradient."""
    inputs = [nodes.input_(arg, parse_type(text)) for arg, text in zip(op.args, types, strict=True)]
    y = nodes.elementwise(op, *inputs)
    y = nodes.sum_(y, tuple(range(y.type.ndim)))
    return freeze(op.name, inputs, [("y", y)])


@pytest.mark.parametrize("op", FLOATING, ids=name_of)
def test_forward_is_numpys_or_scipys(op):
    x = points(op)
    with np.errstate(all="ignore"):
        wanted = meaning(op)(*x)
    found = compiled(op, *["f64[6]"] * len(x))(*x)
    np.testing.assert_allclose(found, wanted, rtol=2e-14)
    assert found.dtype == wanted.dtype


@pytest.mark.parametrize("op", SMOOTH, ids=name_of)
def test_gradient_is_the_slope(op):
    """Against central differences at hundreds of digits."""
    x = points(op, 3)
    grads = graphc.compile(total(op, ["f64[3]"] * len(x)), wrt=op.args).value_and_grad(*x)[1]
    definition = parse(op.definition or op.formula, op.args)
    for k in range(3):
        point = {arg: float(column[k]) for arg, column in zip(op.args, x, strict=True)}
        for arg in free_args(op):
            wanted = float(precise.slope(definition, point, arg))
            assert getattr(grads, arg)[k] == pytest.approx(wanted, rel=1e-11, abs=1e-13)


@pytest.mark.parametrize("op", SMOOTH, ids=name_of)
def test_second_derivative(op):
    """The gradient's gradient, against differences of the gradient."""
    x = points(op, 3)
    first = graphc.grad(total(op, ["f64[3]"] * len(x)), wrt=op.args[0])
    f = graphc.compile(first)
    h = 1e-6
    central = (f(x[0] + h, *x[1:]) - f(x[0] - h, *x[1:])) / (2 * h)
    summed = graphc.trace(lambda *xs: np.sum(first(*xs)), *["f64[3]"] * len(x))
    try:
        second = graphc.compile(summed, wrt=summed.inputs[0].name).value_and_grad(*x)[1]
    except graphc.GraphTypeError:  # the slope does not depend on the operand
        second = np.zeros(3)
    np.testing.assert_allclose(second, central, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("op", FLOATING, ids=name_of)
def test_single_precision_stays_single(op):
    if op.name == "f64":
        return
    x = [column.astype(np.float32) for column in points(op)]
    f = compiled(op, *["f32[6]"] * len(x))
    found = f(*x)
    if op.result == "bool":
        assert found.dtype == bool
        return
    assert found.dtype == np.float32
    if op in SMOOTH:
        graph = total(op, ["f32[6]"] * len(x))
        for gradient in graphc.compile(graph, wrt=op.args).value_and_grad(*x)[1]:
            assert gradient.dtype == np.float32


@pytest.mark.parametrize("op", [op for op in SMOOTH if len(op.args) > 1], ids=name_of)
def test_broadcasting_in_every_operand(op):
    x, *rest = points(op, 4)
    for k in range(len(op.args)):
        shapes = [(4,)] * len(op.args)
        shapes[k] = (3, 1)
        operands = [column.copy() for column in (x, *rest)]
        operands[k] = operands[k][:3].reshape(3, 1)
        types = [f"f64[{', '.join(map(str, shape))}]" for shape in shapes]
        value, grads = graphc.compile(total(op, types), wrt=op.args).value_and_grad(*operands)
        full = [np.broadcast_to(a, (3, 4)).copy() for a in operands]
        flat = graphc.compile(total(op, ["f64[3, 4]"] * len(op.args)), wrt=op.args)
        wanted, wide = flat.value_and_grad(*full)
        np.testing.assert_allclose(value, wanted, rtol=1e-13)
        for at, (gradient, spread) in enumerate(zip(grads, wide, strict=True)):
            summed = spread.sum(axis=1, keepdims=True) if at == k else spread.sum(axis=0)
            np.testing.assert_allclose(gradient, summed, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("op", FLOATING, ids=name_of)
def test_empty_and_rank_0(op):
    empty = [np.zeros(0) for _ in op.args]
    assert compiled(op, *["f64[0]"] * len(op.args))(*empty).shape == (0,)
    x = points(op, 1)
    single = compiled(op, *["f64"] * len(op.args))(*(float(column[0]) for column in x))
    whole = compiled(op, *["f64[1]"] * len(op.args))(*x)
    np.testing.assert_allclose(single, whole[0], rtol=4e-15)


@pytest.mark.parametrize("op", FLOATING, ids=name_of)
def test_compiled_is_interpreted(op):
    x = points(op)
    graph = graph_of(op, *["f64[6]"] * len(x))
    values = evaluate(graph, dict(zip(op.args, x, strict=True)), expression=emitted)
    wanted = values[dict(graph.outputs)["y"]]
    np.testing.assert_allclose(graphc.compile(graph)(*x), wanted, rtol=4e-15)


@pytest.mark.parametrize("op", [op for op in FLOATING if op.result == "float"], ids=name_of)
def test_integers_become_doubles_and_bools_are_refused(op):
    # So many that both functions work on arrays: Python's floats have other functions.
    x = [np.tile([1, 2, 3], 40) for _ in op.args]
    with np.errstate(all="ignore"):
        found = compiled(op, *["i64[120]"] * len(x))(*x)
        wanted = compiled(op, *["f64[120]"] * len(x))(*(column.astype(float) for column in x))
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, wanted)
    with pytest.raises(graphc.GraphTypeError, match="bool"):
        compiled(op, *["bool[3]"] * len(x))


def theirs():
    found = []
    for op in SMOOTH:
        function = peers.autograd_function(op.name)
        # Where the function is the identity or a kink, what autograd says differs by choice.
        if function is not None and op.name not in ("clip",):
            found.append(op)
    return found


@pytest.mark.parametrize("op", theirs(), ids=name_of)
def test_gradients_are_hips_autograds(op):
    from autograd import elementwise_grad

    x = points(op)
    grads = graphc.compile(total(op, ["f64[6]"] * len(x)), wrt=op.args).value_and_grad(*x)[1]
    compared = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k, gradient in enumerate(grads):
            try:
                wanted = elementwise_grad(peers.autograd_function(op.name), k)(*x)
            except NotImplementedError:
                continue
            np.testing.assert_allclose(gradient, wanted, rtol=1e-12)
            compared += 1
    assert compared or op.name in UNDIFFERENTIATED


# Functions that autograd computes and does not differentiate.
UNDIFFERENTIATED = {"positive", "fmod", "cbrt", "copysign"}


@pytest.mark.parametrize(
    ("ufunc", "name"),
    [(getattr(scipy.special, name), name) for name in (
        "erf", "erfc", "erfcx", "erfinv", "erfcinv", "gamma", "gammaln", "betaln", "ndtr",
        "log_ndtr", "ndtri", "j0", "j1", "y0", "y1", "i0", "i0e", "i1", "i1e", "expit", "logit",
        "log_expit", "xlogy", "xlog1py", "entr", "rel_entr",
    )] + [(scipy.special.psi, "digamma")],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_scipys_ufuncs_are_traced(ufunc, name):
    x = [np.array([0.2, 0.5, 0.7]) for _ in range(ufunc.nin)]
    traced = graphc.trace(lambda *xs: ufunc(*xs), *["f64[3]"] * ufunc.nin)
    wanted = ufunc(*x)
    np.testing.assert_allclose(graphc.compile(traced)(*x), wanted, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(getattr(graphc, name)(*x), wanted, rtol=1e-13, atol=1e-15)
