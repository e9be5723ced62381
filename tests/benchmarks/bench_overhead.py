"""What the compiled object adds to its emitted function, and the digits net against work by hand.

    python tests/benchmarks/bench_overhead.py

Both figures come from one run. The step by hand is the best in-place version we can write.
"""

import os
import sys
import tempfile

import numpy as np
import report
import timing

import graphc

OVERHEAD_LIMIT = 0.6  # microseconds
RATIO_LIMIT = 1.10
BATCH, HIDDEN = 256, 64


def circuit():
    """(x + y) z, the smallest graph there is to call."""
    b = graphc.Builder("circuit")
    x, y, z = b.inputs("x", "y", "z")
    q = b.node("q", x + y)
    b.output("f", q * z)
    return b.build()


@graphc.trace(
    x="f64[batch, 64]",
    y="i64[batch]",
    W1=graphc.param(f"f64[64, {HIDDEN}]"),
    b1=graphc.param(f"f64[{HIDDEN}]"),
    W2=graphc.param(f"f64[{HIDDEN}, 10]"),
    b2=graphc.param("f64[10]"),
)
def loss(x, y, W1, b1, W2, b2):
    """The loss of examples/digits.py."""
    h = graphc.relu(x @ W1 + b1)
    scores = h @ W2 + b2
    return graphc.cross_entropy(scores, y).mean()


def by_hand(x, y, W1, b1, W2, b2):
    """Value and gradient of the same loss, every buffer used again where it is dead."""
    batch = x.shape[0]
    h = x @ W1
    h += b1
    np.maximum(h, 0.0, out=h)

    p = h @ W2
    p += b2
    p -= p.max(axis=1, keepdims=True)
    rows = np.arange(batch)
    score_y = p[rows, y]
    np.exp(p, out=p)
    total = p.sum(axis=1, keepdims=True)
    value = (np.log(total[:, 0]) - score_y).mean()

    total *= batch
    p /= total
    p[rows, y] -= 1.0 / batch
    d_W2 = h.T @ p
    d_b2 = p.sum(axis=0)
    d_h = p @ W2.T
    d_h *= h > 0.0
    d_W1 = x.T @ d_h
    d_b1 = d_h.sum(axis=0)
    return value, (d_W1, d_b1, d_W2, d_b2)


def digits_arguments():
    """A batch of the digits' size and fresh weights."""
    rng = np.random.default_rng(0)
    return (
        rng.uniform(size=(BATCH, 64)),
        rng.integers(0, 10, size=BATCH),
        rng.normal(scale=0.2, size=(64, HIDDEN)),
        np.zeros(HIDDEN),
        rng.normal(scale=0.2, size=(HIDDEN, 10)),
        np.zeros(10),
    )


def bare(compiled):
    """The emitted value_and_grad alone: the source as it is exported, run without graphc."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "exported.py")
        compiled.export(path)
        namespace = {"__name__": "exported", "__file__": path}
        with open(path, encoding="utf-8") as file:
            exec(compile(file.read(), path, "exec"), namespace)
    return namespace["value_and_grad"]


def main():
    """Print both figures; whether both keep their limits."""
    scalar = graphc.compile(circuit())
    emitted = bare(scalar)
    called = scalar.value_and_grad
    best = timing.calls(
        {
            "circuit, emitted function": lambda: emitted(-2.0, 5.0, -4.0),
            "circuit, f.value_and_grad": lambda: called(-2.0, 5.0, -4.0),
        },
        seconds=2.0,
    )

    step = graphc.compile(loss).value_and_grad
    arguments = digits_arguments()
    value, grads = step(*arguments)
    expected, expected_grads = by_hand(*arguments)
    assert abs(value - expected) < 1e-12
    for grad, other in zip(grads, expected_grads, strict=True):
        np.testing.assert_allclose(grad, other, rtol=1e-10, atol=1e-14)
    best |= timing.calls(
        {
            "digits, by hand": lambda: by_hand(*arguments),
            "digits, f.value_and_grad": lambda: step(*arguments),
        },
        seconds=6.0,
    )

    for name, seconds in best.items():
        print(f"{name:<58} {seconds * 1e6:6.2f} us")
    overhead = best["circuit, f.value_and_grad"] - best["circuit, emitted function"]
    ratio = best["digits, f.value_and_grad"] / best["digits, by hand"]
    text = [
        f"The compiled object adds {overhead * 1e6:.2f} us to its emitted function (limit",
        f"{OVERHEAD_LIMIT} us). A step of the digits net takes {ratio:.2f} of the best by hand",
        f"(limit {RATIO_LIMIT}).",
        "",
        report.machine(),
    ]
    report.write("Calls", text)
    kept = timing.verdict("circuit: overhead of the call", overhead * 1e6, OVERHEAD_LIMIT, "us")
    return timing.verdict("digits: compiled / by hand", ratio, RATIO_LIMIT) and kept


if __name__ == "__main__":
    sys.exit(not main())
