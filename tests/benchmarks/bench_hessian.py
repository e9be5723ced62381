"""Hessians by graphc against the formula by hand, JAX and PyTorch, on one core.

    python tests/benchmarks/bench_hessian.py

Outputs are compared before anything is timed; ratios are taken turn by turn. The peers take part
where they are installed.
"""

# What decides the number of threads must be set before NumPy is imported.
# ruff: noqa: E402
import os
import sys

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import statistics

import numpy as np
import peers
import report
import timing

import graphc

RNG = np.random.default_rng(0)


# -- logistic regression ---------------------------------------------------------------------------


def logistic(X, y, w):
    """The log-likelihood's negative, labels -1 and 1."""
    return graphc.softplus(-y * (X @ w)).sum()


def logistic_by_hand(X, y, w):
    """X' diag(p (1 - p)) X."""
    z = X @ w
    np.abs(z, out=z)
    np.negative(z, out=z)
    np.exp(z, out=z)  # of |z|: p (1 - p) is even
    p = 1.0 + z
    z /= p
    z /= p
    return (X.T * z) @ X


def logistic_peers(X, y, w):
    found = {}
    available = peers.available()
    if "jax" in available:
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)
        model = jax.jit(jax.hessian(lambda w: jax.nn.softplus(-y * (X @ w)).sum()))
        at = jnp.asarray(w)
        found["jax"] = lambda: np.asarray(model(at).block_until_ready())
    if "torch" in available:
        import torch

        tX, ty, tw = map(torch.from_numpy, (X, y, w))

        def nll(v):
            return torch.nn.functional.softplus(-ty * (tX @ v)).sum()

        found["torch"] = lambda: torch.func.hessian(nll)(tw).numpy()
    return found


# -- Rosenbrock ------------------------------------------------------------------------------------


def rosenbrock(x):
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


def rosenbrock_by_hand(x):
    """Three diagonals, as scipy.optimize.rosen_hess writes them."""
    n = x.shape[0]
    H = np.zeros((n, n))
    flat = H.reshape(-1)
    off = -400.0 * x[:-1]
    flat[1 :: n + 1] = off
    flat[n :: n + 1] = off
    main = np.empty(n)
    main[:-1] = 1200.0 * x[:-1] * x[:-1] - 400.0 * x[1:] + 2.0
    main[-1] = 0.0
    main[1:] += 200.0
    flat[:: n + 1] = main
    return H


def rosenbrock_peers(x):
    found = {}
    available = peers.available()
    if "jax" in available:
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)
        model = jax.jit(jax.hessian(rosenbrock))
        at = jnp.asarray(x)
        found["jax"] = lambda: np.asarray(model(at).block_until_ready())
    if "torch" in available:
        import torch

        tx = torch.from_numpy(x)
        found["torch"] = lambda: torch.func.hessian(rosenbrock)(tx).numpy()
    return found


X = RNG.normal(size=(600, 300))
LABELS = np.where(RNG.random(600) > 0.5, 1.0, -1.0)
# name: (function, types, wrt, arguments, by hand, peers, limit to hand, limit to peers)
WORKLOADS = {
    "logistic regression, n=300, m=600": (
        graphc.trace(logistic, "f64[m, n]", "f64[m]", "f64[n]"),
        "w",
        (X, LABELS, RNG.normal(size=300) * 0.1),
        logistic_by_hand,
        logistic_peers,
        1.1,
        0.5,
    ),
    "Rosenbrock, n=100": (
        graphc.trace(rosenbrock, "f64[n]"),
        "x",
        (RNG.normal(size=100),),
        rosenbrock_by_hand,
        rosenbrock_peers,
        None,
        1.0,
    ),
}


def main():
    """Print and write the table; whether every limit is kept."""
    rows, kept = [], True
    for name, (graph, wrt, given, by_hand, make_peers, hand, peer) in WORKLOADS.items():
        compiled = graphc.compile(graphc.hessian(graph, wrt), ())
        candidates = {
            "graphc": lambda f=compiled.value, given=given: f(*given),
            "hand": lambda f=by_hand, given=given: f(*given),
            **make_peers(*given),
        }
        expected = by_hand(*given)
        for who, call in candidates.items():
            np.testing.assert_allclose(call(), expected, rtol=1e-9, atol=1e-9, err_msg=who)
        turns = timing.turns(candidates, 4.0)
        ratios = {
            who: statistics.median(a / b for a, b in zip(turns["graphc"], turns[who], strict=True))
            for who in candidates
            if who != "graphc"
        }
        others = [ratio for who, ratio in ratios.items() if who != "hand"]
        ok = (hand is None or ratios["hand"] <= hand) and max(others, default=0.0) <= peer
        kept = kept and ok
        limits = f"{'' if hand is None else f'{hand:g}'}, {peer:g}"
        rows.append(
            [
                name,
                report.seconds(statistics.median(turns["graphc"])),
                *(
                    f"{ratios[who]:.2f}" if who in ratios else ""
                    for who in ("hand", "jax", "torch")
                ),
                limits,
                "ok" if ok else "**short**",
            ]
        )
    head = ["Hessian of", "graphc", "/ hand", "/ jax", "/ torch", "limits: hand, peer", ""]
    table = report.table(head, rows, left=(0, 5, 6))
    print(table)
    names = [name for name in ("jax", "torch") if name in peers.available()]
    report.write(
        "Hessians",
        [
            "`graphc.hessian` on one core against the formula by hand. Rosenbrock's has three",
            "diagonals, which a hand writes; JAX, PyTorch and graphc compute the whole matrix.",
            "",
            report.machine(names),
            "",
            table,
        ],
    )
    return kept


if __name__ == "__main__":
    sys.exit(not main())
