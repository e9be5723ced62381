"""Peak memory of every workload's step, its arguments apart, against the hand's and JAX's.

    python tests/benchmarks/bench_memory.py [part of a workload's name ...]

Ours and the hand's: what Python's allocators, NumPy's arrays among it, hold at most during a call
(tracemalloc), the second call of each, so that what is made once and kept does not count. JAX's:
the temporaries and results that its compiler plans for the same function. The lower bound is what
the results alone take.
"""

# What decides the number of threads must be set before NumPy is imported.
import os
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import gc
import importlib.util
import tracemalloc

import numpy as np
import report
from cases import WORKLOADS

import graphc

AGAINST_HAND, AGAINST_JAX = 1.1, 1.0
# Smaller than this, Python's own objects and the call's frames are what is measured.
SMALLEST = 1 << 20
# Compiling these takes JAX a minute and more.
LONG = ("2,000-node",)


def traced(call):
    """(peak, held by the results) of a call, in bytes."""
    call()
    gc.collect()
    tracemalloc.start()
    try:
        result = call()
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    del result
    return peak, held


def jax_peak(case):
    """Temporaries and results of JAX's compiled function, in bytes; None without JAX."""
    if "jax" not in case.peers or importlib.util.find_spec("jax") is None:
        return None
    import jax

    jax.config.update("jax_enable_x64", True)
    names = list(case.arguments)
    by = tuple(names.index(name) for name in case.wrt)
    step = jax.jit(jax.value_and_grad(case.peers["jax"], argnums=by))
    arguments = [jax.numpy.asarray(argument) for argument in case.arguments.values()]
    plan = step.lower(*arguments).compile().memory_analysis()
    return plan.temp_size_in_bytes + plan.output_size_in_bytes


def spelled(size):
    """Bytes in the unit that fits them."""
    return f"{size / 1e6:.3g} MB" if size >= 1e5 else f"{size / 1e3:.3g} kB"


def main():
    """Print the table row by row; whether every row of some size keeps its limits."""
    parts = sys.argv[1:]
    rows, kept = [], True
    for workload in WORKLOADS:
        if parts and not any(part in workload.name for part in parts):
            continue
        case = workload.build(*workload.full)
        arguments = tuple(case.arguments.values())
        step = graphc.compile(case.graph(), wrt=case.wrt).value_and_grad
        ours, held = traced(lambda step=step, arguments=arguments: step(*arguments))
        hand, _ = traced(lambda case=case, arguments=arguments: case.hand(*arguments))
        if ours < SMALLEST and hand < SMALLEST:
            continue
        theirs = None
        if not any(part in workload.name for part in LONG):
            theirs = jax_peak(case)
        # To two decimals: beside the arrays, ours counts a few Python objects.
        fine = round(ours / hand, 2) <= AGAINST_HAND
        fine = fine and (theirs is None or round(ours / theirs, 2) <= AGAINST_JAX)
        kept = kept and fine
        row = [workload.name, spelled(ours), spelled(held), f"{ours / hand:.2f}"]
        row += ["" if theirs is None else f"{ours / theirs:.2f}", "ok" if fine else "**short**"]
        rows.append(row)
        print(
            f"{row[0]:<42} {row[1]:>9}  results {row[2]:>9}  /hand {row[3]}  /jax {row[4]}",
            flush=True,
        )
    if not parts:
        text = [
            "Peak bytes of a call above its arguments; at least the results must be held. Limits:",
            f"{AGAINST_HAND} of the hand, {AGAINST_JAX} of JAX. Workloads below a megabyte are",
            "left out.",
            "",
            f"NumPy {np.__version__}.",
            "",
            report.table(
                ["workload", "graphc", "results", "/ hand", "/ jax", ""], rows, left=(0, 5)
            ),
        ]
        report.write("Memory", text)
    return kept


if __name__ == "__main__":
    sys.exit(not main())
