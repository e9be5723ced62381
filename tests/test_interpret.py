"""The reference interpreter against NumPy, against loops, and by its own complex step."""

import math

import numpy as np
import pytest
import scipy.special

from codegen.expr import Apply, Number, Symbol
from codegen.program import Affine, Slice
from graphc import nodes, summation
from graphc.errors import GraphTypeError, GraphValueError
from graphc.freeze import freeze
from graphc.interpret import bind_sizes, emitted, evaluate, evaluate_outputs, scalar
from graphc.ops.elementwise import TABLE, define
from graphc.ops.kinds import Contraction, Einstein, Primitive, PrimitiveCall
from graphc.types import array_type, parse_type
from tests.strategies import BINARY, UNARY

POINTS = np.array([-2.5, -1.0, -0.7, -0.0, 0.0, 0.3, 0.9, 1.0, 1.5, 3.0, np.inf, -np.inf, np.nan])

# What the definitions mean, where NumPy has no function of the name.
MEANING = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "log_sigmoid": lambda x: -np.log(1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x, slope: np.where(x > 0, x, slope * x),
    "elu": lambda x: np.maximum(x, 0) + np.expm1(np.minimum(x, 0)),
    "xlogy": lambda x, y: np.where(x == 0, 0, x * np.log(y)),
    "absorb": lambda d, p: np.where(d == 0, 0, d * p),
    "erf": lambda x: np.array([math.erf(element) for element in x]),
    "erfc": lambda x: np.array([math.erfc(element) for element in x]),
    "gelu": lambda x: x * 0.5 * np.array([math.erfc(-t / math.sqrt(2)) for t in x]),
    "ndtr": lambda x: 0.5 * np.array([math.erfc(-t * math.sqrt(0.5)) for t in x]),
    "digamma": scipy.special.psi,
    "trigamma": lambda x: scipy.special.zeta(2, x),
    "logit": lambda x: np.log(x / (1 - x)),
    "mish": lambda x: x * np.tanh(np.log(1 + np.exp(x))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))),
    "selu": lambda x: (
        1.0507009873554805 * (np.maximum(x, 0) + 1.6732632423543772 * np.expm1(np.minimum(x, 0)))
    ),
    "scaled_elu": lambda x, a: np.where(x > 0, x, a * np.expm1(x)),
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "hard_swish": lambda x: np.select([x <= -3, x >= 3], [0, x], x * (x + 3) / 6),
    "huber": lambda x, d: np.where(np.abs(x) <= d, 0.5 * x * x, d * (np.abs(x) - 0.5 * d)),
    "xlog1py": lambda a, b: np.where(a == 0, 0, a * np.log1p(b)),
    "entr": lambda x: np.select([x < 0, x == 0], [-np.inf, 0], -x * np.log(x)),
    "rel_entr": lambda a, b: np.select(
        [(a > 0) & (b > 0), (a == 0) & (b >= 0), np.isnan(a) | np.isnan(b)],
        [a * np.log(a / b), np.zeros_like(a), a + b],
        np.inf,
    ).astype(a.dtype),
    "stop_gradient": lambda x: x,
    "f64": lambda x: x,
    "f32": lambda x: x.astype(np.float32),
    "bool": lambda x: x.astype(bool),
}


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def inp(name, text):
    return nodes.input_(name, parse_type(text))


def run(node, **values):
    inputs = list(dict.fromkeys(x for x in _leaves(node)))
    return evaluate_outputs(freeze("g", inputs, [("y", node)]), values)["y"]


def _leaves(node):
    if node.op is nodes.INPUT:
        return [node]
    return [leaf for x in node.inputs for leaf in _leaves(x)]


def by_name(op):
    return op.name


def meaning(op):
    found = MEANING.get(op.name) or getattr(np, op.name, None)
    return found or getattr(scipy.special, op.name)


@pytest.mark.parametrize("op", [op for op in UNARY if op.name not in ("i32", "i64")], ids=by_name)
def test_unary_ops_mean_what_their_names_say(op):
    x = POINTS
    logical = op.name == "logical_not"
    values = x[:-1] > 0 if logical else x
    node = nodes.elementwise(op, inp("x", f"bool[{len(values)}]" if logical else "f64[13]"))
    with np.errstate(all="ignore"):
        expected = meaning(op)(values)
    # (A formula of several steps may round differently from ours.)
    np.testing.assert_allclose(run(node, x=values), expected, rtol=4e-15, atol=0)


@pytest.mark.parametrize(
    "op", [op for op in BINARY if not op.name.startswith("logical")], ids=by_name
)
@pytest.mark.parametrize("dtype", ["f64", "f32"])
def test_binary_ops_mean_what_their_names_say(op, dtype):
    x, y = (grid.ravel() for grid in np.meshgrid(POINTS, POINTS))
    x, y = (v.astype(np.float32 if dtype == "f32" else np.float64) for v in (x, y))
    node = nodes.elementwise(op, inp("x", f"{dtype}[{x.size}]"), inp("y", f"{dtype}[{x.size}]"))
    result = run(node, x=x, y=y)
    with np.errstate(all="ignore"):
        expected = meaning(op)(x, y)
    np.testing.assert_array_equal(result, expected)
    assert result.dtype == expected.dtype


def test_numbers_in_a_formula_are_weak():
    op = define("turn", "x * (pi / 180) + 1")
    assert run(nodes.elementwise(op, inp("x", "f32")), x=1.0).dtype == np.float32
    assert scalar(Apply("divide", (Number(1), Number(4)))) == 0.25


def test_a_constant_partial_has_its_operands_shape():
    op = define("shift", "x + 1")
    flat = nodes.elementwise(op, inp("x", "f64[3]"))
    assert run(flat, x=[1.0, 2.0, 3.0]).tolist() == [2.0, 3.0, 4.0]


def test_the_definition_is_evaluated_and_the_emitted_form_on_request():
    x = inp("x", "f64")
    graph = freeze("g", [x], [("y", nodes.elementwise("softplus", x))])
    last = graph.nodes[-1]
    assert evaluate(graph, {"x": 800.0})[last] == np.inf
    assert evaluate(graph, {"x": 800.0}, expression=emitted)[last] == 800.0


# -- index notation --------------------------------------------------------------------------------


def einstein(out, operands, extents, shape, *inputs, body=None):
    params = Einstein(out, operands, extents, shape, body)
    return nodes.contraction(Contraction("c"), params, *inputs)


def at(*terms, offset=0):
    return Affine(tuple(terms), offset)


I, J, K = nodes.index("i"), nodes.index("j"), nodes.index("k")  # noqa: E741 (as on paper)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        *[((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 2)), ((3, 4), (4, 2))],
        *[((5, 3, 4), (4, 2)), ((1, 3, 4), (5, 4, 2)), ((2, 1, 3, 4), (5, 4, 2))],
    ],
)
def test_matmul_is_numpys(a, b, rng):
    x, y = nodes.input_("x", array_type("f64", a)), nodes.input_("y", array_type("f64", b))
    given_x, given_y = rng.normal(size=a), rng.normal(size=b)
    result = run(nodes.matmul(x, y), x=given_x, y=given_y)
    np.testing.assert_allclose(result, given_x @ given_y, rtol=1e-14)


def test_a_strided_padded_convolution_is_its_loops(rng):
    x, w = rng.normal(size=7), rng.normal(size=3)
    node = einstein(
        (I,),
        ((at(("i", 2), ("k", 1), offset=-1),), (K,)),
        (("i", 4), ("k", 3)),
        (4,),
        inp("x", "f64[7]"),
        inp("w", "f64[3]"),
    )
    expected = [
        sum(x[2 * i + k - 1] * w[k] for k in range(3) if 0 <= 2 * i + k - 1 < 7) for i in range(4)
    ]
    np.testing.assert_allclose(run(node, x=x, w=w), expected, rtol=1e-14)


def test_an_affine_output_adds_up_and_leaves_zeros(rng):
    d, w = rng.normal(size=4), rng.normal(size=3)
    node = einstein(
        (at(("i", 2), ("k", 1), offset=-1),),
        ((I,), (K,)),
        (("i", 4), ("k", 3)),
        (10,),
        inp("d", "f64[4]"),
        inp("w", "f64[3]"),
    )
    expected = np.zeros(10)
    for i in range(4):
        for k in range(3):
            if 2 * i + k - 1 >= 0:
                expected[2 * i + k - 1] += d[i] * w[k]
    np.testing.assert_allclose(run(node, d=d, w=w), expected, rtol=1e-14)


def test_a_repeated_index_is_a_diagonal(rng):
    x = rng.normal(size=(3, 3))
    trace = einstein((), ((I, I),), (("i", 3),), (), inp("x", "f64[3, 3]"))
    onto = einstein((I, I), ((I,),), (("i", 3),), (3, 3), inp("v", "f64[3]"))
    np.testing.assert_allclose(run(trace, x=x), np.trace(x), rtol=1e-14)
    np.testing.assert_array_equal(run(onto, v=x[0]), np.diag(x[0]))


def test_an_index_that_no_operand_has_counts():
    node = einstein((I,), ((I,),), (("i", 2), ("j", 5)), (2,), inp("x", "f64[2]"))
    assert run(node, x=[1.0, 2.0]).tolist() == [5.0, 10.0]


def test_a_nonlinear_body(rng):
    a, b = rng.normal(size=3), rng.normal(size=4)
    difference = Apply("subtract", (Symbol("0"), Symbol("1")))
    node = einstein(
        (I,),
        ((I,), (J,)),
        (("i", 3), ("j", 4)),
        (3,),
        inp("a", "f64[3]"),
        inp("b", "f64[4]"),
        body=Apply("square", (difference,)),
    )
    expected = ((a[:, None] - b) ** 2).sum(axis=1)
    np.testing.assert_allclose(run(node, a=a, b=b), expected, rtol=1e-14)


def test_large_sums_are_taken_in_blocks(rng, monkeypatch):
    x, w = rng.normal(size=(6, 9)), rng.normal(size=(2, 3))
    node = einstein(
        (I, J),
        ((at(("i", 1), ("p", 1)), at(("j", 2), ("q", 1))), (nodes.index("p"), nodes.index("q"))),
        (("i", 5), ("j", 4), ("p", 2), ("q", 3)),
        (5, 4),
        inp("x", "f64[6, 9]"),
        inp("w", "f64[2, 3]"),
    )
    whole = run(node, x=x, w=w)
    monkeypatch.setattr(summation, "BLOCK", 10)
    np.testing.assert_allclose(run(node, x=x, w=w), whole, rtol=1e-14)
    expected = [[(x[i : i + 2, 2 * j : 2 * j + 3] * w).sum() for j in range(4)] for i in range(5)]
    np.testing.assert_allclose(whole, expected, rtol=1e-13)


def test_an_empty_operand_sums_to_zero():
    node = einstein(
        (I,), ((I, at(("j", 1), offset=0)),), (("i", 2), ("j", 0)), (2,), inp("x", "f64[2, n]")
    )
    assert run(node, x=np.empty((2, 0))).tolist() == [0.0, 0.0]


# -- folds, layouts, indexing ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["max", "min", "prod", "any", "all", "count_nonzero"])
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_folds_are_numpys(name, axes, keepdims, rng):
    x = rng.integers(-2, 3, (2, 3, 4)).astype(float)
    result = run(nodes.reduction(name, inp("x", "f64[2, 3, 4]"), axes, keepdims), x=x)
    np.testing.assert_array_equal(result, getattr(np, name)(x, axis=axes, keepdims=keepdims))


@pytest.mark.parametrize("name", ["argmax", "argmin", "argsort", "cumsum", "cumprod"])
def test_searches_and_running_folds_are_numpys(name, rng):
    x = rng.integers(-2, 3, (2, 3, 4)).astype(float)
    result = run(nodes.reduction(name, inp("x", "f64[2, 3, 4]"), (1,)), x=x)
    expected = x.argsort(1, kind="stable") if name == "argsort" else getattr(np, name)(x, axis=1)
    np.testing.assert_array_equal(result, expected)


def test_argmax_over_all_axes_counts_in_c_order(rng):
    x = rng.normal(size=(2, 3))
    assert run(nodes.reduction("argmax", inp("x", "f64[2, 3]"), (0, 1)), x=x) == np.argmax(x)


def test_layouts_are_numpys(rng):
    x = rng.normal(size=(3, 4))
    node = inp("x", "f64[3, 4]")
    pairs = [
        (nodes.reshape(node, (2, 6)), x.reshape(2, 6)),
        (nodes.transpose(node, (1, 0)), x.T),
        (nodes.broadcast_to(node, (2, 3, 4)), np.broadcast_to(x, (2, 3, 4))),
        (nodes.slice_(node, (2, 1), (2, 2), (-1, 2)), x[2:0:-1, 1:4:2]),
        (nodes.diagonal(node, 1, 0, 1), np.diagonal(x, 1)),
        (nodes.pad(node, [(1, 0), (0, 2)], 7.0), np.pad(x, [(1, 0), (0, 2)], constant_values=7)),
        (nodes.concatenate([node, node], 1), np.concatenate([x, x], axis=1)),
    ]
    for made, expected in pairs:
        np.testing.assert_array_equal(run(made, x=x), expected)


def test_a_placed_value_stands_in_zeros():
    region = Slice((3,), (2,), (-2,))
    assert run(nodes.place(inp("x", "f64[2]"), region, (5,)), x=[1.0, 2.0]).tolist() == [
        0,
        2,
        0,
        1,
        0,
    ]


def test_gather_and_scatter_are_numpys(rng):
    x, i = rng.normal(size=(3, 4, 5)), np.array([[0, -1], [2, 2]])
    node, index = inp("x", "f64[3, 4, 5]"), inp("i", "i64[2, 2]")
    np.testing.assert_array_equal(
        run(nodes.gather(node, [index, index], (True, False, True)), x=x, i=i), x[i, :, i]
    )
    value = nodes.constant(1.5)
    added = x.copy()
    np.add.at(added, (slice(None), i), 1.5)
    made = nodes.scatter(node, value, [index], (False, True))
    np.testing.assert_array_equal(run(made, x=x, i=i), added)
    made = nodes.scatter(node, value, [index], (False, True), "set")
    assert (run(made, x=x, i=i)[:, [0, 2, 3]] == 1.5).all()


def test_a_primitive_is_called_once_and_its_backward_gets_what_it_saved():
    calls = []

    def forward(x):
        calls.append("forward")
        return x * 2, "saved"

    def backward(saved, d_y):
        calls.append(saved)
        return (d_y * 2,)

    op = Primitive("double", forward, backward)
    x, d = inp("x", "f64[3]"), inp("d", "f64[3]")
    y = nodes.node(op, (x,), PrimitiveCall("forward"), x.type)
    saved = nodes.node(op, (y,), PrimitiveCall("saved"), array_type("opaque", ()))
    d_x = nodes.node(op, (saved, d), PrimitiveCall("backward", 0), x.type)
    graph = freeze("g", [x, d], [("y", y), ("d_x", d_x)])
    found = evaluate_outputs(graph, {"x": np.arange(3.0), "d": np.ones(3)})
    assert found["y"].tolist() == [0.0, 2.0, 4.0]
    assert found["d_x"].tolist() == [2.0, 2.0, 2.0]
    assert calls == ["forward", "saved"]


def test_a_primitive_that_breaks_its_declaration_is_an_error():
    op = Primitive("broken", lambda x: (x.astype(np.float32), None))
    x = inp("x", "f64[3]")
    y = nodes.node(op, (x,), PrimitiveCall("forward"), x.type)
    with pytest.raises(GraphTypeError, match=r"broken: declared as f64\[3\].*float32"):
        run(y, x=np.ones(3))


# -- inputs and sizes ------------------------------------------------------------------------------


def test_sizes_are_bound_from_shapes_and_are_numbers():
    x = inp("x", "f64[2*n + 1, m]")
    graph = freeze("g", [x], [("n", nodes.size(parse_type("f64[n*m]").shape[0]))])
    arrays = {"x": np.zeros((7, 4))}
    assert bind_sizes(graph, arrays) == {"n": 3, "m": 4}
    assert evaluate_outputs(graph, arrays)["n"] == 12


@pytest.mark.parametrize(
    ("types", "shapes", "message"),
    [
        (
            {"x": "f64[n]", "y": "f64[n]"},
            [(3,), (4,)],
            r"y should be f64\[n\]: axis 0 is 4, not n = 3",
        ),
        ({"x": "f64[2, 3]"}, [(2, 4)], r"x should be f64\[2, 3\]: axis 1 is 4, not 3"),
        ({"x": "f64[2*n]"}, [(3,)], r"no input determines the size `2\*n`|axis 0 is 3"),
        ({"x": "f64[n*m]"}, [(3,)], r"no input determines the size `m\*n`|`n\*m`"),
        ({"x": "f64[n]"}, [(3, 1)], r"x should be f64\[n\], got f64\[3, 1\]"),
    ],
)
def test_wrong_shapes_are_named(types, shapes, message):
    made = [inp(name, text) for name, text in types.items()]
    graph = freeze("g", made, [("y", made[0])])
    values = {name: np.zeros(shape) for name, shape in zip(types, shapes, strict=True)}
    with pytest.raises(GraphValueError, match=message):
        evaluate(graph, values)


def test_wrong_inputs_are_named():
    x = inp("x", "f32")
    graph = freeze("loss", [x], [("y", x)])
    with pytest.raises(GraphTypeError, match=r"loss\(\): input 'x' \(f32\) is missing"):
        evaluate(graph, {})
    with pytest.raises(GraphTypeError, match=r"loss\(\) has no input 'w'; inputs: x"):
        evaluate(graph, {"x": 1.0, "w": 2.0})
    with pytest.raises(GraphTypeError, match=r"x should be f32, got dtype float64"):
        evaluate(graph, {"x": np.array(1.0)})
    assert evaluate_outputs(graph, {"x": 1})["y"].dtype == np.float32
    assert evaluate_outputs(graph, {"x": 0.1})["y"] == np.float32(0.1)


@pytest.mark.parametrize(
    ("text", "value", "message"),
    [
        ("i64", 1.5, "x should be i64, got dtype float64"),
        ("bool", 1, "x should be bool, got dtype int64"),
        ("i32", 2**40, "x should be i32: 1099511627776 does not fit"),
        ("f64", 1j, "x should be f64, got dtype complex128"),
        ("f64", "1", "x should be f64, got dtype <U1"),
        ("f32", np.float64(1.0), "x should be f32, got dtype float64"),
    ],
)
def test_what_would_be_lost_is_refused(text, value, message):
    x = inp("x", text)
    with pytest.raises(GraphTypeError, match=message):
        evaluate(freeze("g", [x], [("y", x)]), {"x": value})


def test_the_table_is_covered():
    assert {op.name for op in UNARY + BINARY} <= set(TABLE)
    assert len(UNARY) + len(BINARY) >= len(TABLE) - 4
