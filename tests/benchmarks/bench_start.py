"""A warm start against `import numpy`: whole process against whole process, minima taken in turn.

    python tests/benchmarks/bench_start.py

The warm process traces the digits net's loss, compiles it from the cache and takes one gradient.
"""

import os
import sys
import tempfile
from pathlib import Path

import report
import timing

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 1.5

MODEL = """
import graphc
import numpy as np

@graphc.trace(x="f64[batch, 64]", y="i64[batch]",
              W1=graphc.param("f64[64, 32]"), b1=graphc.param("f64[32]"),
              W2=graphc.param("f64[32, 10]"), b2=graphc.param("f64[10]"))
def loss(x, y, W1, b1, W2, b2):
    h = graphc.relu(x @ W1 + b1)
    scores = h @ W2 + b2
    return graphc.cross_entropy(scores, y).mean()

step = graphc.compile(loss)
value, grads = step.value_and_grad(
    np.zeros((8, 64)), np.zeros(8, dtype=np.int64),
    np.zeros((64, 32)), np.zeros(32), np.zeros((32, 10)), np.zeros(10))
assert abs(value - np.log(10)) < 1e-12
"""


def main():
    """Print the ratio; the exit status says whether it keeps the limit."""
    with tempfile.TemporaryDirectory() as folder:
        cache = os.path.join(folder, "cache")
        environment = os.environ | {
            "GRAPHC_CACHE_DIR": cache,
            "PYTHONPATH": str(ROOT),
            # Both processes find bytecode, as installed packages do, whatever the environment says.
            "PYTHONPYCACHEPREFIX": os.path.join(folder, "bytecode"),
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        model = os.path.join(folder, "model.py")
        Path(model).write_text(MODEL, encoding="utf-8")
        commands = {
            "import numpy": [sys.executable, "-c", "import numpy"],
            "warm start": [sys.executable, model],
        }
        timing.processes(commands, runs=2, env=environment)  # fills the cache and the bytecode
        best = timing.processes(commands, runs=30, env=environment)
    for name, seconds in best.items():
        print(f"{name:<58} {seconds * 1e3:6.1f} ms")
    ratio = best["warm start"] / best["import numpy"]
    text = [
        "A process that traces the digits net, compiles it from the cache and takes one gradient",
        f"needs {ratio:.2f} of the time of one that imports NumPy (limit {LIMIT}).",
        "",
        report.machine(),
    ]
    report.write("Starts", text)
    return timing.verdict("warm start / import numpy", ratio, LIMIT)


if __name__ == "__main__":
    sys.exit(not main())
