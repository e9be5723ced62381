"""From declaration to the first gradient, cold and warm, against the number of nodes.

    python tests/benchmarks/bench_compile.py [nodes ...]

Every figure is the best of a few fresh processes, without what it takes to import graphc. Cold: the
cache is empty. Warm: another process filled it. The peak is that of the cold process's memory.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import timing

ROOT = Path(__file__).resolve().parents[2]
SIZES = (10, 1000, 10_000, 100_000)
LIMIT_NODES, LIMIT = 10_000, 2.0  # seconds, cold

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


def main():
    """Print the table; the exit status says whether 10,000 nodes keep the limit."""
    sizes = [int(argument) for argument in sys.argv[1:]] or SIZES
    kept = True
    with tempfile.TemporaryDirectory() as folder:
        run(1, folder)  # writes the bytecode
    print(f"{'nodes':>8} {'cold':>9} {'warm':>9} {'cold a node':>12} {'peak':>8}")
    for nodes in sizes:
        cold, warm, peak = [], [], 0.0
        for _ in range(1 if nodes > LIMIT_NODES else 3):
            with tempfile.TemporaryDirectory() as folder:
                seconds, megabytes = run(nodes, folder)
                cold.append(seconds)
                peak = max(peak, megabytes)
                warm.append(run(nodes, folder)[0])
        each = min(cold) / nodes * 1e6
        print(f"{nodes:>8} {min(cold):>7.2f} s {min(warm):>7.2f} s {each:>9.0f} us {peak:>5.0f} MB")
        if nodes == LIMIT_NODES:
            kept = timing.verdict("cold compile of 10,000 nodes", min(cold), LIMIT, "s")
    return kept


if __name__ == "__main__":
    sys.exit(not main())
