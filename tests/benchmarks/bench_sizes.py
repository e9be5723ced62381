"""Time against the size of the data: graphc's and the peers', and a plot of it.

    python tests/benchmarks/bench_sizes.py

The elementwise chain, whose cost a call should grow in step with its data.
"""

# What decides the number of threads must be set before NumPy is imported.
# ruff: noqa: E402
import os
import sys

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import itertools
import statistics
from pathlib import Path

import peers
import plots
import report
import timing
from cases.numeric import chain

import graphc

SIZES = (10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000)
PEERS = ("jax", "torch", "autograd", "pytensor")
SECONDS = 1.5
# Twice what a linear cost gives: caches end, and page faults begin, somewhere in between.
LARGEST_STEP = 20.0
PLOT = Path(__file__).with_name("time_against_size.svg")


def main():
    """Write the plot and the table; whether tenfold data costs at most so much more."""
    found: dict[str, list[tuple[float, float]]] = {}
    for size in SIZES:
        case = chain(size, "f32")
        arguments = tuple(case.arguments.values())
        step = graphc.compile(case.graph(), wrt=case.wrt).value_and_grad
        candidates = {
            "graphc": lambda step=step, arguments=arguments: step(*arguments),
            "hand": lambda case=case, arguments=arguments: case.hand(*arguments),
        }
        for name, make in peers.available().items():
            if name in PEERS:
                candidates[name] = make(case)[0]
        turns = timing.turns(candidates, SECONDS)
        for name, taken in turns.items():
            found.setdefault(name, []).append((size, statistics.median(taken)))
        line = "  ".join(f"{name} {report.seconds(found[name][-1][1])}" for name in turns)
        print(f"{size:>9}  {line}", flush=True)
    plots.save(PLOT, "sum(tanh(x) sigmoid(x) exp(-x^2)), f32", "elements", "seconds", found)
    times = [taken for _, taken in found["graphc"]]
    steepest = max(b / a for a, b in itertools.pairwise(times))
    rows = [
        [f"{size:,}", *(report.seconds(points[k][1]) for points in found.values())]
        for k, size in enumerate(SIZES)
    ]
    names = [name for name in found if name in PEERS]
    text = [
        "Value and gradient of sum(tanh(x) sigmoid(x) exp(-x^2)), f32, one core.",
        "",
        report.machine(names),
        "",
        report.table(["elements", *found], rows),
        "",
        f"![time against size]({PLOT.name})",
    ]
    report.write("Time against data size", text)
    return timing.verdict("tenfold data costs at most", steepest, LARGEST_STEP)


if __name__ == "__main__":
    sys.exit(not main())
