"""Two cores against one, in separate processes that take turns.

    python tests/benchmarks/bench_threads.py

Separate, since the idle workers of BLAS and OpenMP would take time from the other candidate. In the
process of one core, one thread runs everything; in that of two, tiles run on two threads of ours,
and BLAS may use two of its own.
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path

import report

ROOT = Path(__file__).resolve().parents[2]
# What the table asks for is the elementwise chain; the others are reported.
LIMIT = 0.7
LIMITED = ("elementwise chain, 1e7 f32", "elementwise chain, 1e7 f64")
NAMES = (
    *LIMITED,
    "MLP 784-1024-1024-10, batch 256",
    "layer-norm, 512x768",
)
TURNS = 3

CHILD = """
import os, sys
threads, names = int(sys.argv[1]), sys.argv[2:]
if threads == 1 and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
import statistics
import timing
import graphc
from cases import WORKLOADS
for workload in WORKLOADS:
    if workload.name not in names:
        continue
    case = workload.build(*workload.full)
    step = graphc.compile(case.graph(), wrt=case.wrt, threads=threads).value_and_grad
    arguments = tuple(case.arguments.values())
    taken = timing.turns({"step": lambda: step(*arguments)}, seconds=1.0)["step"]
    print(workload.name, statistics.median(taken), sep="\\t")
"""


def run(threads):
    """Seconds a step of each workload, in a process of so many threads."""
    environment = os.environ | {
        "OPENBLAS_NUM_THREADS": str(threads),
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests" / "benchmarks"))),
    }
    command = [sys.executable, "-c", CHILD, str(threads), *NAMES]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    return {name: float(seconds) for name, seconds in lines}


def main():
    """Print the ratios; whether the limited ones keep their limit, where there are two cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if cores < 2:
        print("two cores against one: this machine, or its affinity mask, has one")
        return True
    turns = [(run(1), run(2)) for _ in range(TURNS)]
    rows, kept = [], True
    for name in NAMES:
        one = statistics.median(turn[0][name] for turn in turns)
        ratio = statistics.median(turn[1][name] / turn[0][name] for turn in turns)
        limit = LIMIT if name in LIMITED else None
        fine = limit is None or ratio <= limit
        kept = kept and fine
        verdict = "" if limit is None else "ok" if fine else "**short**"
        rows.append([name, report.seconds(one), f"{ratio:.2f}", str(limit or ""), verdict])
        print(f"{name:<42} one core {rows[-1][1]:>8}  two / one {ratio:.2f}  {verdict}", flush=True)
    text = [
        "`threads=2`, and two threads of BLAS, against one: separate processes that take turns.",
        "",
        report.machine(),
        "",
        report.table(["workload", "one core", "two / one", "limit", ""], rows, left=(0, 4)),
    ]
    report.write("Two cores", text)
    return kept


if __name__ == "__main__":
    sys.exit(not main())
