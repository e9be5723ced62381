"""Every workload against the best NumPy by hand and against other libraries, on one core.

    python tests/benchmarks/bench_workloads.py [part of a workload's name ...]

One process, pinned to one core; candidates take turns, so that drift hits all; outputs are compared
before anything is timed. A figure is the median over the turns of the ratio to graphc's own time in
the same turn. Without arguments the table is also written to results.md.
"""

# What decides the number of threads must be set before NumPy is imported.
# ruff: noqa: E402
import os
import sys

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import gc
import platform
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import peers
import timing
from cases import WORKLOADS

import graphc

RESULTS = Path(__file__).with_name("results.md")
# Tracing and compiling a large scalar graph takes these peers minutes, and says nothing new.
LEFT_OUT = {("2,000-node scalar graph", "autograd")}


@dataclass(frozen=True)
class Row:
    """One workload's outcome: microseconds of graphc, and ratios graphc / other."""

    workload: object
    microseconds: float
    ratios: dict[str, float]

    @property
    def best_peer(self):
        """The ratio to the fastest peer: the largest of them."""
        return max((ratio for name, ratio in self.ratios.items() if name != "hand"), default=None)

    @property
    def kept(self):
        """Whether both limits are kept; a peer that is not installed sets none."""
        peer = self.best_peer
        hand = self.ratios["hand"] <= self.workload.against_hand
        return hand and (peer is None or peer <= self.workload.against_peer)


def measure(workload):
    """Compare the outputs, then time the candidates in turn."""
    case = workload.build(*workload.full)
    arguments = tuple(case.arguments.values())
    compiled = graphc.compile(case.graph(), wrt=case.wrt)
    step = compiled.value_and_grad
    candidates = {"graphc": lambda: step(*arguments), "hand": lambda: case.hand(*arguments)}
    value, grads = step(*arguments)
    compare(workload, case, "hand", (value, grads), case.hand(*arguments))
    for name, make in peers.available().items():
        if name not in case.peers or (workload.name, name) in LEFT_OUT:
            continue
        call, results = make(case)
        compare(workload, case, name, (value, grads), results(call()))
        candidates[name] = call
    turns = timing.turns(candidates, workload.seconds)
    ratios = {
        name: statistics.median(
            ours / other for ours, other in zip(turns["graphc"], turns[name], strict=True)
        )
        for name in candidates
        if name != "graphc"
    }
    return Row(workload, statistics.median(turns["graphc"]) * 1e6, ratios)


def compare(workload, case, name, found, expected):
    """Raises where a candidate computes something else."""
    pairs = [(found[0], expected[0]), *zip(found[1], expected[1], strict=True)]
    for ours, theirs in pairs:
        theirs = np.asarray(theirs)
        scale = float(np.abs(theirs).max(initial=0.0))
        try:
            np.testing.assert_allclose(ours, theirs, rtol=case.rtol, atol=case.rtol * scale)
        except AssertionError as error:
            raise AssertionError(f"{workload.name}: {name} computes something else") from error


def table(rows):
    """The rows as a Markdown table."""
    names = ["hand", *peers.available()]
    head = ["workload", "graphc", *(f"/ {name}" for name in names), "limits: hand, peer", ""]
    lines = [head, ["---"] + ["---:"] * (len(names) + 1) + ["---", "---"]]
    for row in rows:
        workload = row.workload
        figures = [f"{row.ratios[name]:.2f}" if name in row.ratios else "" for name in names]
        limits = f"{workload.against_hand:g}, {workload.against_peer:g}"
        verdict = "ok" if row.kept else "**short**"
        lines.append([workload.name, spelled(row.microseconds), *figures, limits, verdict])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spelled(microseconds):
    """A time in the unit that fits it."""
    if microseconds < 1000:
        return f"{microseconds:.3g} us"
    return f"{microseconds / 1000:.3g} ms"


def machine():
    """What the figures depend on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        model = next(
            (s.split(":", 1)[1].strip() for s in lines if s.startswith("model name")), model
        )
    versions = [f"CPython {platform.python_version()}", f"NumPy {np.__version__}"]
    versions += [f"{name} {peers.version(name)}" for name in peers.available()]
    return f"{model}, {os.cpu_count()} cores, {platform.system()}; {', '.join(versions)}."


def load():
    """How busy the machine was: on a busy one ratios scatter, and single rows mislead."""
    if not hasattr(os, "getloadavg"):
        return ""
    return f"Load average of the last five minutes: {os.getloadavg()[1]:.1f} (1 is this run alone)."


def main():
    """Print the table row by row; the exit status says whether every row keeps its limits."""
    wanted = sys.argv[1:]
    rows = []
    for workload in WORKLOADS:
        if wanted and not any(part in workload.name for part in wanted):
            continue
        began = time.perf_counter()
        row = measure(workload)
        rows.append(row)
        figures = "  ".join(f"/{name} {ratio:.2f}" for name, ratio in row.ratios.items())
        taken = time.perf_counter() - began
        print(
            f"{'ok   ' if row.kept else 'SHORT'} {workload.name:<42} "
            f"{spelled(row.microseconds):>9}  {figures}  ({taken:.0f} s)",
            flush=True,
        )
        gc.collect()
    if not wanted:
        text = [
            "# Benchmarks",
            "",
            "Value and gradient, one core; ratios of graphc's time to the other's, so that below 1",
            "graphc is faster; the limits are for the ratio to the hand and for the largest one to",
            "a peer. Written by `make bench`.",
            "",
            machine(),
            load(),
            "",
            table(rows),
        ]
        RESULTS.write_text("\n".join(text) + "\n", encoding="utf-8")
    return all(row.kept for row in rows)


if __name__ == "__main__":
    sys.exit(not main())
