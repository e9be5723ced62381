"""From declaration to the first gradient, cold and warm, against the number of nodes.

    python tests/benchmarks/bench_compile.py [nodes ...]

Every figure is the best of a few fresh processes, without what it takes to import the library.
Cold: the cache is empty. Warm: another process filled it. The peak is that of the cold process's
memory. Peers run once a size, in a process of their own, and no further size once they have taken
too long. Without arguments the table is also written to results.md, with a plot.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import peers
import plots
import report
import timing

ROOT = Path(__file__).resolve().parents[2]
SIZES = (10, 1000, 10_000, 100_000)
LIMIT_NODES, LIMIT = 10_000, 2.0  # seconds, cold
LONGEST = 30.0  # seconds that a peer may take
PLOT = Path(__file__).with_name("compile_against_nodes.svg")

BYTECODE = tempfile.TemporaryDirectory()

CHILD = """
import resource, sys, time
import numpy as np
import graphc
nodes = int(sys.argv[1])
began = time.perf_counter()
b = graphc.Builder("deep")
x, w = b.inputs("x", "w", type="f64[8]")
values = [x, w]
for node in range(nodes):
    a, c = values[-1], values[node // 2]
    values.append((a + c, a * c, np.tanh(a), np.sin(a))[node % 4])
b.output("loss", values[-1].sum())
f = graphc.compile(b.build())
value, grads = f.value_and_grad(np.linspace(0.1, 0.9, 8), np.linspace(-0.5, 0.5, 8))
taken = time.perf_counter() - began
assert np.isfinite(value) and np.isfinite(grads.x).all()
print(taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


# The same graph, node by node, and its first gradient, by others. Each defines `run(nodes)`.
OTHERS = {
    "jax": """
import jax
jax.config.update("jax_enable_x64", True)
import jax.numpy as xp
def run(nodes):
    def loss(x, w):
        return graph(xp, [x, w], nodes).sum()
    step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
    value, grads = jax.block_until_ready(step(jax.numpy.asarray(X), jax.numpy.asarray(W)))
    return grads[0]
""",
    "torch": """
import torch as xp
def run(nodes):
    x, w = (xp.tensor(value, requires_grad=True) for value in (X, W))
    graph(xp, [x, w], nodes).sum().backward()
    return x.grad.numpy()
""",
    "pytensor": """
import pytensor
import pytensor.tensor as xp
def run(nodes):
    x, w = xp.dvector("x"), xp.dvector("w")
    value = graph(xp, [x, w], nodes).sum()
    step = pytensor.function([x, w], [value, *pytensor.grad(value, [x, w])])
    return step(X, W)[1]
""",
    "casadi": """
import casadi as xp
def run(nodes):
    x, w = xp.MX.sym("x", 8), xp.MX.sym("w", 8)
    value = xp.sum1(graph(xp, [x, w], nodes))
    step = xp.Function("step", [x, w], [value, xp.gradient(value, x), xp.gradient(value, w)])
    return np.asarray(step(X, W)[1])
""",
}

OTHER = """
import sys, time
sys.setrecursionlimit(1_000_000)
import numpy as np
X, W = np.linspace(0.1, 0.9, 8), np.linspace(-0.5, 0.5, 8)
def graph(xp, values, nodes):
    for node in range(nodes):
        a, c = values[-1], values[node // 2]
        kind = node % 4
        values.append(
            a + c if kind == 0 else a * c if kind == 1 else xp.tanh(a) if kind == 2 else xp.sin(a)
        )
    return values[-1]
{definition}
began = time.perf_counter()
gradient = run(int(sys.argv[1]))
taken = time.perf_counter() - began
assert np.isfinite(gradient).all()
print(taken)
"""


def run(nodes, folder):
    """(seconds, peak MB) of one process; graphc's own bytecode is found, as if installed."""
    environment = os.environ | {
        "GRAPHC_CACHE_DIR": os.path.join(folder, "cache"),
        "PYTHONPATH": str(ROOT),
        "PYTHONPYCACHEPREFIX": BYTECODE.name,
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", CHILD, str(nodes)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    seconds, kilobytes = done.stdout.split()
    return float(seconds), int(kilobytes) / 1024


def other(name, nodes):
    """Seconds of a peer's process; infinite where that takes too long, or breaks."""
    command = [sys.executable, "-c", OTHER.format(definition=OTHERS[name]), str(nodes)]
    try:
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=LONGEST + 10.0
        )
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        return float("inf")
    return float(done.stdout.split()[-1])


def ours(nodes):
    """(cold, warm, peak) of graphc."""
    cold, warm, peak = [], [], 0.0
    for _ in range(1 if nodes > LIMIT_NODES else 3):
        with tempfile.TemporaryDirectory() as folder:
            seconds, megabytes = run(nodes, folder)
            cold.append(seconds)
            peak = max(peak, megabytes)
            warm.append(run(nodes, folder)[0])
    return min(cold), min(warm), peak


def main():
    """Print the table; the exit status says whether 10,000 nodes keep the limit."""
    arguments = [int(argument) for argument in sys.argv[1:]]
    kept = True
    with tempfile.TemporaryDirectory() as folder:
        run(1, folder)  # writes the bytecode
    names = [name for name in OTHERS if name in peers.available()]
    series = {name: [] for name in ("graphc, cold", "graphc, warm", *names)}
    rows = []
    for nodes in arguments or SIZES:
        cold, warm, peak = ours(nodes)
        series["graphc, cold"].append((nodes, cold))
        series["graphc, warm"].append((nodes, warm))
        each = f"{cold / nodes * 1e6:.0f} us"
        row = [f"{nodes:,}", report.seconds(cold), report.seconds(warm), each, f"{peak:.0f} MB"]
        for name in names:
            done = not series[name] or series[name][-1][1] <= LONGEST
            taken = other(name, nodes) if done else float("inf")
            series[name].append((nodes, taken))
            row.append(report.seconds(taken) if taken <= LONGEST else f"> {LONGEST:.0f} s")
        rows.append(row)
        print(dict(zip(("nodes", *HEAD, *names), row, strict=True)), flush=True)
        if nodes == LIMIT_NODES:
            kept = timing.verdict("cold compile of 10,000 nodes", cold, LIMIT, "s")
    if not arguments:
        write(series, rows, names)
    return kept


HEAD = ("cold", "warm", "cold a node", "peak")


def write(series, rows, names):
    """The plot and the section of the results."""
    shown = {
        name: [point for point in points if point[1] <= LONGEST] for name, points in series.items()
    }
    shown = {name: points for name, points in shown.items() if points}
    plots.save(PLOT, "from declaration to the first gradient", "nodes", "seconds", shown)
    text = [
        "From declaration to the first gradient, nodes of f64[8], in fresh processes, without the",
        "imports. Cold and warm: graphc with its cache on disk empty, and filled. PyTorch is eager",
        "and compiles nothing.",
        "",
        report.machine(names),
        "",
        report.table(["nodes", *HEAD, *names], rows),
        "",
        f"![compile time against nodes]({PLOT.name})",
    ]
    report.write("Compile time", text)


if __name__ == "__main__":
    sys.exit(not main())
