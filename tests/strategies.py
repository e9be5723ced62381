"""Random well-typed graphs over all kinds of ops, with inputs for them.

    cases()              a Case: a graph, and values for its inputs
    cases(smooth=True)   only ops that a small change of an operand changes little
    cases(scalar=True)   the one output is a floating scalar, which can be differentiated
    cases(kinks=False)   besides smooth: no maximum, magnitude or other kink, no stop_gradient

A graph is grown step by step from a pool of nodes: each step draws a kind of op, and operands that
fit. Shapes are small and mix known sizes with the named sizes n and m.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from codegen.expr import Apply, Symbol
from codegen.program import Affine, Slice
from graphc import nodes
from graphc.freeze import freeze
from graphc.ir import Graph, Node
from graphc.ops.elementwise import TABLE
from graphc.ops.kinds import Contraction, Einstein
from graphc.types import DTYPES, Dim, array_type, broadcast, substitute

N, M = Dim.named("n"), Dim.named("m")
SIZES: dict[str, int] = {"n": 2, "m": 3}
SHAPES = ((), (2,), (3,), (N,), (M,), (1, 3), (2, 3), (N, 3), (N, M), (3, M), (2, 2), (2, 1, 3))

SMOOTH_UNARY = [
    "tanh",
    "sin",
    "cos",
    "sigmoid",
    "softplus",
    "arctan",
    "negative",
    "square",
    "absolute",
    "relu",
    "erf",
    "exp",
    "log1p_abs",
    "sqrt_1p",
    "log_sigmoid",
    "silu",
    "stop_gradient",
    "positive",
    "expm1",
]
OTHER_UNARY = [
    "log",
    "sqrt",
    "reciprocal",
    "floor",
    "ceil",
    "rint",
    "trunc",
    "sign",
    "tan",
    "log1p",
    "cbrt",
    "exp2",
    "erfc",
]
SMOOTH_BINARY = ["add", "subtract", "multiply", "maximum", "minimum", "hypot", "logaddexp"]
OTHER_BINARY = [
    "divide",
    "power",
    "arctan2",
    "fmod",
    "remainder",
    "copysign",
    "fmax",
    "fmin",
    "floor_divide",
]
COMPARISONS = ["less", "less_equal", "greater", "greater_equal", "equal", "not_equal"]


KINKED = {"absolute", "relu", "maximum", "minimum", "hypot", "stop_gradient", "log1p_abs"}


@dataclass(frozen=True)
class Case:
    """A graph, and values for its inputs by name."""

    graph: Graph
    values: dict[str, np.ndarray[Any, Any]]

    def __repr__(self) -> str:
        lines = [repr(node) for node in self.graph.nodes]
        shown = {name: value.tolist() for name, value in self.values.items()}
        return "\n".join([self.graph.name, *lines, repr(shown)])


def known(shape: tuple[Any, ...]) -> tuple[int, ...]:
    """The shape with the named sizes of a Case bound."""
    return tuple(int(substitute(size, SIZES)) for size in shape)


class Grower:
    """A pool of nodes, and steps that add one node each, or nothing where no operand fits."""

    def __init__(self, draw: Callable[..., Any], smooth: bool, kinks: bool = True) -> None:
        self.draw = draw
        self.smooth = smooth
        self.kinks = kinks
        self.pool: list[Node] = []

    # -- choices

    def among(self, options: Any) -> Any:
        return self.draw(st.sampled_from(list(options)))

    def pick(self, fits: Callable[[Node], bool] = lambda node: True) -> Node | None:
        found = [node for node in self.pool if fits(node)]
        return self.among(found) if found else None

    def floating(self, fits: Callable[[Node], bool] = lambda node: True) -> Node | None:
        return self.pick(lambda node: node.type.floating and fits(node))

    def partner(self, node: Node) -> Node:
        """A second operand that broadcasts against `node`; a literal where chance has it so."""
        shape = node.type.shape
        found = [
            other
            for other in self.pool
            if other.type.dtype != "bool" and broadcast((shape, other.type.shape)) is not None
        ]
        if self.draw(st.integers(0, 3)) == 0 or not found:
            value = self.among((0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 3.0))
            literal = nodes.constant(value, node.type.dtype if node.type.dtype != "bool" else "f64")
            return nodes.broadcast_to(literal, shape) if self.draw(st.booleans()) else literal
        return self.among(found)

    # -- elementwise

    def unary(self) -> Node | None:
        x = self.floating()
        if x is None:
            return None
        names = SMOOTH_UNARY if self.smooth else SMOOTH_UNARY + OTHER_UNARY
        name = self.among(name for name in names if self.kinks or name not in KINKED)
        if name == "log1p_abs":
            return nodes.elementwise("log1p", nodes.elementwise("absolute", x))
        if name == "sqrt_1p":
            one = nodes.constant(1.0, x.type.dtype)
            return nodes.elementwise("sqrt", nodes.add(nodes.elementwise("square", x), one))
        if name in ("exp", "expm1") and self.smooth:
            x = nodes.elementwise("tanh", x)
        return nodes.elementwise(name, x)

    def binary(self) -> Node | None:
        x = self.floating()
        if x is None:
            return None
        names = SMOOTH_BINARY if self.smooth else SMOOTH_BINARY + OTHER_BINARY
        name = self.among(name for name in names if self.kinks or name not in KINKED)
        return nodes.elementwise(name, *self.swapped(x, self.partner(x)))

    def integers(self) -> Node | None:
        x = self.pick(lambda node: node.type.dtype in ("i32", "i64"))
        if x is None:
            return None
        y = self.partner(x)
        if y.type.floating:
            y = nodes.constant(self.among((0, 1, -1, 2)), x.type.dtype)
        return nodes.elementwise(self.among(("add", "subtract", "multiply")), *self.swapped(x, y))

    def swapped(self, x: Node, y: Node) -> tuple[Node, Node]:
        return (y, x) if self.draw(st.booleans()) else (x, y)

    def compare(self) -> Node | None:
        x = self.pick(lambda node: node.type.dtype != "bool")
        if x is None:
            return None
        return nodes.elementwise(self.among(COMPARISONS), x, self.partner(x))

    def logic(self) -> Node | None:
        x = self.pick(lambda node: node.type.dtype == "bool")
        if x is None:
            return None
        return nodes.elementwise("logical_not", x)

    def where(self) -> Node | None:
        c = self.pick(lambda node: node.type.dtype == "bool")
        x = self.floating(
            lambda node: c is not None and broadcast((c.type.shape, node.type.shape)) is not None
        )
        if c is None or x is None:
            return None
        shape = broadcast((c.type.shape, x.type.shape))
        y = self.partner(x)
        if broadcast((shape or (), y.type.shape)) is None:
            y = x
        return nodes.elementwise("where", c, *self.swapped(x, y))

    def cast(self) -> Node | None:
        x = self.pick()
        if x is None:
            return None
        if self.smooth or x.type.floating:
            # A float to an integer is a step, and undefined where it does not fit.
            return nodes.cast(x, self.among(("f64", "f32")))
        return nodes.cast(x, self.among(DTYPES))

    # -- sums and folds

    def axes(self, x: Node) -> tuple[int, ...]:
        ndim = x.type.ndim
        return tuple(k for k in range(ndim) if self.draw(st.booleans())) or (ndim - 1,)

    def sum(self) -> Node | None:
        x = self.pick(lambda node: node.type.ndim > 0)
        if x is None:
            return None
        return nodes.sum_(x, self.axes(x), self.draw(st.booleans()))

    def fold(self) -> Node | None:
        x = self.floating(lambda node: node.type.ndim > 0)
        if x is None:
            return None
        steps = () if self.smooth else ("argmax", "argmin", "count_nonzero", "any", "all")
        kinked = ("max", "min", "cumprod") if self.kinks else ()
        name = self.among(("prod", "cumsum", *kinked, *steps))
        axes = self.axes(x)
        if name in ("cumsum", "cumprod"):
            return nodes.reduction(name, x, axes[:1])
        return nodes.reduction(name, x, axes, self.draw(st.booleans()))

    def matmul(self) -> Node | None:
        a = self.floating(lambda node: 1 <= node.type.ndim <= 2)
        if a is None:
            return None
        inner = a.type.shape[-1]
        b = self.floating(
            lambda node: (
                1 <= node.type.ndim <= 2
                and node.type.shape[-2 if node.type.ndim > 1 else 0] == inner
            )
        )
        if b is None:
            b = nodes.transpose(a, (1, 0)) if a.type.ndim == 2 else a
        return nodes.matmul(a, b)

    def windows(self) -> Node | None:
        """A strided window sum (affine in the operand), or its adjoint (affine in the result)."""
        x = self.floating(
            lambda node: (
                node.type.ndim == 1
                and isinstance(node.type.shape[0], int)
                and node.type.shape[0] >= 2
            )
        )
        if x is None:
            return None
        size = x.type.shape[0]
        stride, offset = self.among((1, 2)), self.among((0, -1))
        window = Affine((("h", stride), ("k", 1)), offset)
        if self.draw(st.booleans()):
            params = Einstein((nodes.index("h"),), ((window,),), (("h", 2), ("k", 2)), (2,))
            return nodes.contraction(Contraction("windows"), params, x)
        params = Einstein((window,), ((nodes.index("h"),),), (("h", size), ("k", 2)), (4,))
        return nodes.contraction(Contraction("unfold"), params, x)

    def kernel(self) -> Node | None:
        """A nonlinear body: sum over j of tanh(a[i] * b[j])."""
        a = self.floating(lambda node: node.type.ndim == 1)
        if a is None:
            return None
        b = self.floating(lambda node: node.type.ndim == 1) or a
        body = Apply("tanh", (Apply("multiply", (Symbol("0"), Symbol("1"))),))
        i, j = nodes.index("i"), nodes.index("j")
        extents = (("i", a.type.shape[0]), ("j", b.type.shape[0]))
        params = Einstein((i,), ((i,), (j,)), extents, a.type.shape, body)
        return nodes.contraction(Contraction("kernel"), params, a, b)

    def trace(self) -> Node | None:
        x = self.floating(lambda n: n.type.ndim == 2 and n.type.shape[0] == n.type.shape[1])
        if x is None:
            return None
        i = nodes.index("i")
        extents = (("i", x.type.shape[0]),)
        if self.draw(st.booleans()):
            params = Einstein((), ((i, i),), extents, ())
        else:
            params = Einstein((i,), ((i, i),), extents, x.type.shape[:1])
        return nodes.contraction(Contraction("trace"), params, x)

    # -- layout and indexing

    def reshape(self) -> Node | None:
        x = self.pick()
        if x is None:
            return None
        choice = self.draw(st.integers(0, 2))
        if choice == 0:
            return nodes.reshape(x, (x.type.size,))
        if choice == 1:
            return nodes.expand_dims(x, self.draw(st.integers(0, x.type.ndim)))
        return nodes.reshape(x, tuple(size for size in x.type.shape if size != 1))

    def transpose(self) -> Node | None:
        x = self.pick(lambda node: node.type.ndim > 1)
        if x is None:
            return None
        return nodes.transpose(x, tuple(self.draw(st.permutations(range(x.type.ndim)))))

    def broadcast(self) -> Node | None:
        x = self.pick(lambda node: node.type.ndim < 3)
        if x is None:
            return None
        grown = tuple(self.among((2, N)) if size == 1 else size for size in x.type.shape)
        lead = self.among(((), (2,), (M,), (1,)))
        return nodes.broadcast_to(x, (*lead, *grown))

    def slice(self) -> Node | None:
        x = self.pick(lambda node: node.type.ndim > 0)
        if x is None:
            return None
        starts, sizes, steps = [], [], []
        for size in x.type.shape:
            choice = self.draw(st.integers(0, 2))
            whole = choice == 0 or not isinstance(size, int) or size < 2
            starts.append(0 if whole else 1 if choice == 1 else size - 1)
            sizes.append(size if whole else size - 1 if choice == 1 else size)
            steps.append(1 if whole or choice == 1 else -1)
        return nodes.slice_(x, tuple(starts), tuple(sizes), tuple(steps))

    def pad(self) -> Node | None:
        x = self.pick(lambda node: node.type.ndim > 0 and node.type.floating)
        if x is None:
            return None
        widths = [(self.among((0, 1)), self.among((0, 2))) for _ in x.type.shape]
        return nodes.pad(x, widths, self.among((0.0, 1.0)))

    def place(self) -> Node | None:
        x = self.floating(lambda node: node.type.ndim == 1)
        if x is None:
            return None
        size = x.type.shape[0]
        start, step = self.among(((0, 1), (1, 2), (0, 1)))
        return nodes.place(x, Slice((start,), (size,), (step,)), (size * step + start,))

    def concatenate(self) -> Node | None:
        x = self.pick(lambda node: node.type.ndim > 0)
        if x is None:
            return None
        y = self.pick(lambda n: n.type.shape == x.type.shape and n.type.dtype == x.type.dtype) or x
        return nodes.concatenate((x, y), self.draw(st.integers(0, x.type.ndim - 1)))

    def diagonal(self) -> Node | None:
        # min(n, m) against another size would be decided only at the call.
        x = self.pick(
            lambda n: n.type.ndim == 2 and isinstance(n.type.shape[0] - n.type.shape[1], int)
        )
        return None if x is None else nodes.diagonal(x, 0, 0, 1)

    def gather(self) -> Node | None:
        x = self.pick(lambda node: node.type.ndim > 0 and 0 not in node.type.shape)
        if x is None:
            return None
        axes, indices = self.indices(x)
        return nodes.gather(x, indices, axes)

    def scatter(self) -> Node | None:
        x = self.floating(lambda node: node.type.ndim > 0)
        if x is None:
            return None
        axes, indices = self.indices(x)
        value = nodes.constant(2.0, x.type.dtype)
        return nodes.scatter(x, value, indices, axes, self.among(("add", "set")))

    def indices(self, x: Node) -> tuple[tuple[bool, ...], tuple[Node, ...]]:
        """Repeated and negative positions, along one axis or two."""
        ndim = x.type.ndim
        axes = [self.draw(st.booleans()) for _ in range(ndim)]
        if not any(axes):
            axes[self.draw(st.integers(0, ndim - 1))] = True
        sizes = known(x.type.shape)
        arrays = [
            nodes.constant(np.array([0, -1, sizes[k] - 1]), self.among(("i32", "i64")))
            for k in range(ndim)
            if axes[k]
        ]
        return tuple(axes), tuple(arrays)

    # -- leaves

    def literal(self) -> Node:
        value = self.among((0.0, 1.0, -1.0, 2.0, 0.5, [1.0, 2.0], [[0.0, -1.0, 3.0]]))
        return nodes.constant(value, self.among(("f64", "f32")))

    def positions(self) -> Node:
        return nodes.arange(self.among((N, 3)))

    def size(self) -> Node:
        return nodes.size(self.among((N, M, N * M, N + 1)), self.among(("i64", "f64", "f32")))

    def step(self) -> None:
        steps: list[Callable[[], Node | None]] = [
            *(self.unary, self.unary, self.binary, self.binary, self.binary, self.integers),
            *(self.where, self.cast, self.sum, self.fold, self.matmul, self.windows, self.kernel),
            *(self.trace, self.reshape, self.transpose, self.broadcast, self.slice, self.pad),
            *(self.place, self.concatenate, self.diagonal, self.gather, self.scatter),
            *(self.literal, self.size, self.positions),
        ]
        if not self.smooth:
            steps += [self.compare, self.logic]
        made = self.among(steps)()
        if made is not None and made.type.ndim <= 4 and np.prod(known(made.type.shape)) <= 300:
            self.pool.append(made)


def example(draw: Callable[..., Any], node: Node, special: bool) -> np.ndarray[Any, Any]:
    """A value for an input: small numbers, with infinities, NaN and -0.0 where asked for."""
    shape = known(node.type.shape)
    dtype = DTYPES[node.type.dtype]
    random = np.random.default_rng(draw(st.integers(0, 99)))
    if node.type.dtype == "bool":
        return random.integers(0, 2, shape).astype(bool)
    if not node.type.floating:
        return random.integers(-3, 4, shape).astype(dtype)
    values = random.normal(size=shape)
    if special:
        odd = random.choice([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-300, 800.0], shape)
        values = np.where(random.random(shape) < 0.3, odd, values)
    return np.asarray(values, dtype=dtype)


@st.composite
def cases(
    draw: Callable[..., Any],
    smooth: bool = False,
    scalar: bool = False,
    special: bool = False,
    kinks: bool = True,
    steps: int = 10,
) -> Case:
    """A random graph with values for its inputs."""
    grower = Grower(draw, smooth, kinks)
    dtypes = ("f64", "f64", "f32") if smooth else ("f64", "f64", "f32", "i64", "i32", "bool")
    inputs = []
    # n and m are bound whatever else is drawn.
    for name, shape in (("a", (N,)), ("b", (N, M))):
        inputs.append(nodes.input_(name, array_type("f64", shape)))
    for k in range(draw(st.integers(0, 3))):
        kind = array_type(grower.among(dtypes), grower.among(SHAPES))
        inputs.append(nodes.input_(f"x{k}", kind))
    grower.pool += inputs
    for _ in range(draw(st.integers(1, steps))):
        grower.step()
    made = [node for node in grower.pool if node not in inputs] or [nodes.add(inputs[0], inputs[0])]
    for node in made:
        if not node.name and node.inputs and draw(st.integers(0, 3)) == 0:
            node.name = grower.among(("h", "layer.q", "lambda"))
    if scalar:
        outputs = [("loss", _total(made))]
    else:
        chosen = made[-3:] if draw(st.booleans()) else made[-1:]
        outputs = [(f"y{k}", node) for k, node in enumerate(chosen)]
    graph = freeze("case", inputs, outputs)
    values = {node.name: example(draw, node, special) for node in graph.inputs}
    return Case(graph, values)


def _total(made: list[Node]) -> Node:
    """The mean of tanh of every floating node: one scalar that depends on all of them."""
    total = nodes.constant(0.0)
    for node in made:
        if node.type.floating and node.inputs:
            flat = nodes.elementwise("tanh", nodes.cast(node, "f64"))
            total = nodes.add(total, nodes.sum_(flat, tuple(range(flat.type.ndim))))
    return total


# Every op of the table by its arity, for tests that run over the table.
UNARY = tuple(op for op in TABLE.values() if len(op.args) == 1)
BINARY = tuple(op for op in TABLE.values() if len(op.args) == 2)
