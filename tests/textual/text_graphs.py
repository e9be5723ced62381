"""Random well-typed graphs over every kind of op that a text file can hold."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from codegen.expr import Apply, Symbol
from codegen.program import Affine, Slice
from graphc import nodes
from graphc.graph import Graph
from graphc.ir import Container, Node
from graphc.ops.elementwise import TABLE, define
from graphc.ops.kinds import Contraction, Einstein, Elementwise, InputParams
from graphc.types import Dim, array_type

N = Dim.named("n")
SHAPES = [(), (3,), (N,), (2, 3), (N, 3), (1, 3), (2, 1, 3)]
NAMES = [
    "x",
    "layer1.W",
    "p.0.b",
    "p.q",
    "lambda",
    "my node",
    "_7",
    "n",
    "é",
    "pi",
    "x.T",
    "inf",
    "ﬁ",
    "a'b",
]
UNARY = [
    "negative",
    "exp",
    "tanh",
    "absolute",
    "square",
    "relu",
    "sign",
    "f32",
    "f64",
    "stop_gradient",
]
BINARY = ["add", "subtract", "multiply", "divide", "power", "maximum", "less", "equal", "hypot"]
USER = [
    define("swish", "x / (1 + exp(-x))"),
    define("scaled", "(b, a) -> a * sin(b)"),
    Elementwise("d tanh", ("x", "y"), "1 - y * y", "1 - tanh(x)**2", "float", output=True),
    Elementwise("relu", ("x",), "where(x > 0, x, 0)", doc='Of "its own" kind.'),
    Elementwise("kinked", ("a", "b"), "a * b", points=(("a == 0", ("", "0")),)),
]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """A graph of up to 25 nodes; names, outputs, arguments and containers vary."""
    names = draw(st.permutations(NAMES))
    pool: list[Node] = []
    for k in range(draw(st.integers(1, 3))):
        dtype = draw(st.sampled_from(["f64", "f64", "f32", "i64", "bool"]))
        shape = draw(st.sampled_from(SHAPES)) if k else (N, 3)
        role = draw(st.sampled_from(["input", "input", "param", "cotangent"]))
        pool.append(nodes.input_(names[k], array_type(dtype, shape), InputParams(role)))
    inputs = list(pool)
    for _ in range(draw(st.integers(1, 20))):
        made = draw(st.sampled_from(MAKERS))(draw, pool)
        if made is not None and made not in pool:
            pool.append(made)
    rest = [node for node in pool if node not in inputs]
    for name in names[3 : 3 + draw(st.integers(0, 6))]:
        if rest:
            draw(st.sampled_from(rest)).name = name
    unique: set[str] = set()
    for node in rest:
        if node.name in unique:
            node.name = ""
        unique.add(node.name)
    ends = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=3, unique=True))
    outputs = [(f"out.{k}" if k else "loss", node) for k, node in enumerate(ends)]
    every = _closure(pool)
    return Graph(
        draw(st.sampled_from(["graph", 'a "name"\n', "größe"])),
        inputs,
        outputs,
        [*inputs, *(node for node in every if node not in inputs)],
        _arguments(draw, inputs),
        draw(st.sampled_from([None, Container("leaf", leaf="loss")])),
    )


def _closure(pool: list[Node]) -> list[Node]:
    seen: set[Node] = set()
    stack = list(pool)
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            stack.extend(node.inputs)
    return sorted(seen, key=lambda node: node.serial)


def _arguments(draw: st.DrawFn, inputs: list[Node]) -> list[tuple[str, Container]] | None:
    leaves = [Container("leaf", leaf=node.name) for node in inputs]
    kind = draw(st.sampled_from(["plain", "list", "dict", "tuple"]))
    if kind == "plain":
        return None
    if kind == "dict":
        keys = tuple(f"k{k}" for k in range(len(leaves)))
        return [("params", Container("dict", keys, tuple(leaves)))]
    inner = Container(kind, (), tuple(leaves[1:]))
    return [("all", Container("tuple", (), (leaves[0], inner)))]


# -- one maker a kind: a node from the pool, or None where the pick does not fit ----------------


def _pick(draw, pool, where=lambda node: True):
    fitting = [node for node in pool if where(node)]
    return draw(st.sampled_from(fitting)) if fitting else None


def _number(node: Node) -> bool:
    return node.type.dtype != "bool"


def _unary(draw, pool):
    x = _pick(draw, pool, _number)
    return x and nodes.elementwise(draw(st.sampled_from(UNARY)), x)


def _binary(draw, pool):
    x = _pick(draw, pool, _number)
    y = x and _pick(draw, pool, lambda y: _number(y) and y.type.shape in (x.type.shape, ()))
    if x is None:
        return None
    op = TABLE[draw(st.sampled_from(BINARY))]
    return nodes.elementwise(op, *draw(st.permutations([x, y])))


def _with_literal(draw, pool):
    x = _pick(draw, pool, lambda node: node.type.dtype in ("f32", "f64"))
    if x is None:
        return None
    value = draw(st.sampled_from([2.0, -1.0, -0.0, 0.1, 1e300, 1e-5, np.inf, np.nan, 7.0]))
    with np.errstate(over="ignore"):
        number = nodes.constant(np.float64(value), x.type.dtype)
    return nodes.elementwise(draw(st.sampled_from(BINARY)), *draw(st.permutations([x, number])))


def _user(draw, pool):
    x = _pick(draw, pool, lambda node: node.type.dtype == "f64")
    if x is None:
        return None
    op = draw(st.sampled_from(USER))
    return nodes.elementwise(op, *[x] * len(op.args))


def _where(draw, pool):
    x = _pick(draw, pool, _number)
    if x is None:
        return None
    other = nodes.constant(0, x.type.dtype)
    return nodes.elementwise("where", nodes.elementwise("greater", x, other), x, other)


def _constant(draw, pool):
    value = draw(
        st.sampled_from(
            [
                np.float64(2.5),
                np.arange(6.0).reshape(2, 3) / 7,
                np.array([0.1, -0.0, np.nan], np.float32),
                np.zeros((0, 3)),
                np.array([1, 2, 3], np.int32),
                np.array([True, False, True]),
                -np.array([np.nan, np.inf]),
                np.int64(-4),
            ]
        )
    )
    return nodes.constant(value)


def _size(draw, pool):
    if not any(N in node.type.shape for node in pool):
        return None
    if draw(st.booleans()):
        return nodes.arange(draw(st.sampled_from([N, N * 2 - 1])))
    return nodes.size(
        draw(st.sampled_from([N, N * 2 - 1, N * N, N // 2])), draw(st.sampled_from(["i64", "f64"]))
    )


def _sum(draw, pool):
    x = _pick(draw, pool, lambda node: node.type.ndim > 0)
    if x is None:
        return None
    axes = tuple(sorted(draw(st.sets(st.integers(0, x.type.ndim - 1), min_size=1))))
    return nodes.sum_(x, axes, draw(st.booleans()))


def _matmul(draw, pool):
    x = _pick(draw, pool, lambda node: node.type.ndim > 0 and _number(node))
    if x is None:
        return None
    other = (
        x
        if x.type.ndim == 1
        else nodes.transpose(x, (*range(x.type.ndim - 2), x.type.ndim - 1, x.type.ndim - 2))
    )
    return nodes.matmul(x, other)


def _einstein(draw, pool):
    x = _pick(draw, pool, lambda node: node.type.shape == (2, 3) and _number(node))
    if x is None:
        return None
    i, j = nodes.index("i"), nodes.index("j")
    window, shifted = Affine((("i", 2), ("j", 1)), -1), Affine((("i", 2), ("j", 1)), 1)
    body = Apply("multiply", (Symbol("0"), Apply("exp", (Symbol("1"),))))
    params = draw(
        st.sampled_from(
            [
                Einstein((j, i), ((i, j),), (("i", 2), ("j", 3)), (3, 2)),
                Einstein((i,), ((i, j), (i, j)), (("i", 2), ("j", 3)), (2,), body),
                Einstein((shifted, i), ((i, j), (i, j)), (("i", 2), ("j", 3)), (9, 2)),
                Einstein((), ((nodes.FIRST, window), (i, window)), (("i", 2), ("j", 3)), ()),
            ]
        )
    )
    return nodes.contraction(
        Contraction(draw(st.sampled_from(["matmul", "it's"]))), params, *[x] * len(params.operands)
    )


def _reduction(draw, pool):
    x = _pick(
        draw, pool, lambda node: 0 not in node.type.shape and node.type.ndim > 0 and _number(node)
    )
    if x is None:
        return None
    name = draw(st.sampled_from(["max", "min", "prod", "any", "argmax", "count_nonzero", "cumsum"]))
    axes = tuple(sorted(draw(st.sets(st.integers(0, x.type.ndim - 1), min_size=1))))
    if name == "cumsum":
        axes = axes[:1]
    return nodes.reduction(name, x, axes, draw(st.booleans()) and name != "cumsum")


def _layout(draw, pool):
    x = _pick(draw, pool)
    shape, ndim = x.type.shape, x.type.ndim
    choice = draw(
        st.sampled_from(
            [
                "reshape",
                "transpose",
                "broadcast",
                "slice",
                "pad",
                "concatenate",
                "place",
                "diagonal",
            ]
        )
    )
    match choice:
        case "reshape":
            return nodes.reshape(x, (*shape, 1))
        case "transpose":
            return nodes.transpose(x, tuple(draw(st.permutations(range(ndim)))))
        case "broadcast":
            return nodes.broadcast_to(x, (draw(st.sampled_from([2, N])), *shape))
        case "slice" if ndim:
            return _slice(draw, x)
        case "pad" if _number(x):
            return nodes.pad(
                x,
                [draw(st.sampled_from([(1, 0), (0, N), (0, 0)])) for _ in shape],
                draw(st.sampled_from([0.0, -1.5, np.inf])),
            )
        case "concatenate" if ndim:
            return nodes.concatenate([x, x, x], draw(st.integers(0, ndim - 1)))
        case "place" if shape == (3,):
            return nodes.place(x, Slice((1,), (3,), (2,)), (7,))
        case "diagonal" if ndim > 1 and all(isinstance(size, int) for size in shape):
            return nodes.diagonal(x, draw(st.sampled_from([0, 1, -1])), 0, 1)
    return None


def _slice(draw, x):
    starts, sizes, steps = [], [], []
    for whole in x.type.shape:
        options = [(0, whole, 1), (whole - 1, whole, -1)]
        if isinstance(whole, int) and whole > 1:
            options += [(1, whole - 1, 1), (0, whole - 1, 1), (0, 1, 2), (whole - 1, 1, -1)]
        elif whole is N:
            options += [(1, whole - 1, 1), (0, whole - 2, 1), (0, 1, 1), (whole - 1, 1, 1)]
        start, size, step = draw(st.sampled_from(options))
        starts.append(start)
        sizes.append(size)
        steps.append(step)
    return nodes.slice_(x, tuple(starts), tuple(sizes), tuple(steps))


def _gather(draw, pool):
    x = _pick(draw, pool, lambda node: node.type.ndim > 0)
    if x is None:
        return None
    index = nodes.constant(np.array([0, 0, 0]))
    axes = draw(
        st.sampled_from([(True,), *([(False, True), (True, True)] if x.type.ndim > 1 else [])])
    )
    indices = [index] * sum(axes)
    if draw(st.booleans()):
        return nodes.gather(x, indices, axes)
    if not _number(x):
        return None
    value = nodes.constant(1, x.type.dtype)
    return nodes.scatter(
        x, value, indices, axes, draw(st.sampled_from(["add", "set"])), draw(st.booleans())
    )


MAKERS = [
    _unary,
    _binary,
    _binary,
    _with_literal,
    _with_literal,
    _user,
    _where,
    _constant,
    _size,
    _sum,
    _matmul,
    _einstein,
    _reduction,
    _layout,
    _layout,
    _gather,
]
