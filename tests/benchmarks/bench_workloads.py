"""Every workload against the best NumPy by hand and against other libraries, on one core.

    python tests/benchmarks/bench_workloads.py [part of a workload's name ...]

One process, pinned to one core; candidates take turns, so that drift hits all; outputs are compared
before anything is timed. A figure is the median over the turns of the ratio to graphc's own time in
the same turn. Without arguments the table is also written to results.md, and with it, for every row
that falls short, where its time goes.
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
import statistics
import time
from dataclasses import dataclass

import numpy as np
import peers
import report
import timing
import where
from cases import WORKLOADS

import graphc

# Tracing and compiling long graphs takes these peers minutes, and says nothing new.
LEFT_OUT = {
    ("2,000-node scalar graph", "autograd"),
    ("2,000-node scalar graph", "pytensor"),
    ("LSTM cell, batch 32, width 128, 50 steps", "pytensor"),
}
# torch.compile takes half a minute a model: it is measured where it is at its best.
TORCH_COMPILE = ("elementwise", "logsumexp, 1.28e6", "norm", "k-means", "attention", "784-256")
# A figure to look at, not a limit: here the table asks for JAX alone.
REPORTED = {("2,000-node scalar graph", "casadi")}


@dataclass(frozen=True)
class Row:
    """One workload's outcome: microseconds of graphc, ratios graphc / other, where time goes."""

    workload: object
    microseconds: float
    ratios: dict[str, float]
    profile: str = ""

    @property
    def best_peer(self):
        """The ratio to the fastest peer: the largest of them."""
        limits = [
            ratio
            for name, ratio in self.ratios.items()
            if name != "hand" and (self.workload.name, name) not in REPORTED
        ]
        return max(limits, default=None)

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
        if not wanted(workload, case, name):
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
    seconds = statistics.median(turns["graphc"])
    row = Row(workload, seconds * 1e6, ratios)
    if row.kept:
        return row
    return Row(workload, seconds * 1e6, ratios, where.words(compiled, arguments, seconds))


def wanted(workload, case, name):
    """Whether the peer has this workload's model, and it is worth its time."""
    if name == "torch.compile":
        known = "torch" in case.peers
        return known and any(part in workload.name for part in TORCH_COMPILE)
    return name in case.peers and (workload.name, name) not in LEFT_OUT


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


def section(rows):
    """The rows as a table, and where the time of those goes that fall short."""
    names = ["hand", *peers.available()]
    head = ["workload", "graphc", *(f"/ {name}" for name in names), "limits: hand, peer", ""]
    lines = []
    for row in rows:
        workload = row.workload
        figures = [f"{row.ratios[name]:.2f}" if name in row.ratios else "" for name in names]
        limits = f"{workload.against_hand:g}, {workload.against_peer:g}"
        verdict = "ok" if row.kept else "**short**"
        taken = report.seconds(row.microseconds * 1e-6)
        lines.append([workload.name, taken, *figures, limits, verdict])
    text = [
        "The limits are for the ratio to the hand and for the largest one to a peer (of the scalar",
        "graph's, JAX; CasADi's is shown). What is empty was not measured: the peer has no such",
        "function, or takes minutes to compile it; torch.compile, half a minute a model, was asked",
        "for where it is at its best.",
        "",
        report.machine(sorted({name.partition(".")[0] for name in peers.available()})),
        "",
        report.table(head, lines, left=(0, len(head) - 2, len(head) - 1)),
    ]
    short = [row for row in rows if not row.kept]
    if short:
        text += ["", "Where the time goes in the rows that fall short:", ""]
        text += [f"- {row.workload.name}: {row.profile}." for row in short]
    return text


def main():
    """Print the table row by row; the exit status says whether every row keeps its limits."""
    parts = sys.argv[1:]
    rows = []
    for workload in WORKLOADS:
        if parts and not any(part in workload.name for part in parts):
            continue
        began = time.perf_counter()
        row = measure(workload)
        rows.append(row)
        figures = "  ".join(f"/{name} {ratio:.2f}" for name, ratio in row.ratios.items())
        taken = time.perf_counter() - began
        print(
            f"{'ok   ' if row.kept else 'SHORT'} {workload.name:<42} "
            f"{report.seconds(row.microseconds * 1e-6):>9}  {figures}  ({taken:.0f} s)",
            flush=True,
        )
        gc.collect()
    if not parts:
        report.write(report.TITLES[0], section(rows))
    return all(row.kept for row in rows)


if __name__ == "__main__":
    sys.exit(not main())
