"""Whole programs by hand: the digits loss, a neuron, a convolution."""

from __future__ import annotations

from codegen.expr import Extent, Number
from codegen.program import Leaf, Program, Record, Tree, Var
from tests.codegen.programs import (
    ONE,
    ZERO,
    Body,
    dim,
    expr,
    function,
    inputs,
    program,
    record_of,
)


def digits(batch: int | None = None, dtype: str = "f64") -> Program:
    """The loss of a two-layer ReLU net with cross-entropy, and its gradient."""
    n = "batch" if batch is None else str(batch)
    f = dtype
    v = inputs(
        x=f"{f}[{n}, 64]", y=f"i64[{n}]",
        W1=f"{f}[64, 32]", b1=f"{f}[32]", W2=f"{f}[32, 10]", b2=f"{f}[10]",
    )  # fmt: skip
    b = Body()
    size = dim("batch") if batch is None else batch
    b.note = "h = relu(x @ W1 + b1)"
    pre = b.matmul(f"{f}[{n}, 32]", v["x"], v["W1"])
    h = b.map(f"{f}[{n}, 32]", expr("maximum", expr("add", ZERO, ONE), 0.0), pre, v["b1"], name="h")
    b.note = "scores = h @ W2 + b2"
    scores = b.apply(
        f"{f}[{n}, 10]", "add", b.matmul(f"{f}[{n}, 10]", h, v["W2"]), v["b2"], name="scores"
    )
    b.note = "loss = mean(logsumexp(scores) - scores[y])"
    peak = b.reduce(f"{f}[{n}, 1]", "max", scores, (1,), keepdims=True)
    shifted = b.apply(f"{f}[{n}, 10]", "subtract", scores, peak)
    count = b.map("i64", Extent(size))
    row = b.call(f"i64[{n}]", "np.arange", count, name="row")
    score_y = b.gather(f"{f}[{n}]", shifted, row, v["y"], name="score_y")
    p = b.apply(f"{f}[{n}, 10]", "exp", shifted, name="p", keep=False)
    total = b.reduce(f"{f}[{n}, 1]", "sum", p, (1,), keepdims=True, name="total")
    flat = b.reshape(total, size)
    each = b.map(f"{f}[{n}]", expr("subtract", expr("log", ZERO), ONE), flat, score_y)
    summed = b.reduce(f, "sum", each)
    loss = b.map(f, expr("divide", ZERO, Extent(size)), summed, name="loss")
    b.note = "d cross_entropy / d scores = softmax(scores) - onehot(y);  d mean = 1 / batch"
    softmax = b.apply(f"{f}[{n}, 10]", "divide", p, total)
    minus = b.map(f, Number(-1.0))
    error = b.scatter(f"{f}[{n}, 10]", softmax, (row, v["y"]), minus, unique=True)
    d_scores = b.map(f"{f}[{n}, 10]", expr("divide", ZERO, Extent(size)), error, name="d_scores")
    d_W2 = b.contract(f"{f}[32, 10]", "k, j", (h, "i, k"), (d_scores, "i, j"), name="d_W2")
    d_b2 = b.contract(f"{f}[10]", "j", (d_scores, "i, j"), name="d_b2")
    b.note = "d relu(u) / du = u > 0"
    d_h = b.contract(f"{f}[{n}, 32]", "i, k", (d_scores, "i, j"), (v["W2"], "k, j"))
    d_u = b.map(
        f"{f}[{n}, 32]", expr("multiply", ZERO, expr("greater", ONE, 0.0)), d_h, h, name="d_u"
    )
    d_W1 = b.contract(f"{f}[64, 32]", "k, j", (v["x"], "i, k"), (d_u, "i, j"), name="d_W1")
    d_b1 = b.contract(f"{f}[32]", "j", (d_u, "i, j"), name="d_b1")
    names = ("W1", "b1", "W2", "b2")
    grads = record_of("Grads", d_W1, d_b1, d_W2, d_b2)
    made = function(
        "value_and_grad", v, b, Tree("tuple", (), (Leaf(loss), grads)),
        doc="The loss, and its gradient by W1, b1, W2, b2.",
    )  # fmt: skip
    return program("loss", made, records=(Record("Grads", names),))


def neuron() -> Program:
    """A sigmoid neuron of five numbers, and its gradient."""
    v = inputs(w0="f64", x0="f64", w1="f64", x1="f64", w2="f64")
    b = Body()
    a = [v[name] for name in ("w0", "x0", "w1", "x1", "w2")]
    first = b.apply("f64", "multiply", a[0], a[1])
    second = b.apply("f64", "multiply", a[2], a[3])
    b.note = "f = sigmoid(w0 x0 + w1 x1 + w2)"
    u = b.apply("f64", "add", b.apply("f64", "add", first, second), a[4], name="u")
    f = b.map(
        "f64",
        expr("divide", 1.0, expr("add", 1.0, expr("exp", expr("negative", ZERO)))),
        u,
        name="f",
    )
    b.note = "d sigmoid(u) / du = f (1 - f)"
    d_u = b.map("f64", expr("multiply", ZERO, expr("subtract", 1.0, ZERO)), f, name="d_u")
    b.note = ""
    grads: list[Var] = [
        b.apply("f64", "multiply", d_u, a[1], name="d_w0"),
        b.apply("f64", "multiply", d_u, a[0], name="d_x0"),
        b.apply("f64", "multiply", d_u, a[3], name="d_w1"),
        b.apply("f64", "multiply", d_u, a[2], name="d_x1"),
        d_u,
    ]
    names = ("w0", "x0", "w1", "x1", "w2")
    result = Tree("tuple", (), (Leaf(f), record_of("Grads", *grads)))
    made = function("value_and_grad", v, b, result, doc="f and its gradient.")
    return program("neuron", made, records=(Record("Grads", names, ("float",) * 5),))
