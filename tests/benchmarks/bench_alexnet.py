"""A training step of the whole AlexNet, batch 8, with momentum and weight decay, against PyTorch's.

    python tests/benchmarks/bench_alexnet.py

Each run is a process of its own, graphc's and PyTorch's in turn, with one thread and with two: the
minimum over its steps is its time, and the peak of its resident memory counts everything, libraries
too. A figure is the median over the runs.
"""

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import report

NETS = ("grouped", "single")
# The largest ratios of time to PyTorch that are good enough, by threads; and of memory.
LIMITS, MEMORY = {1: 1.4, 2: 1.7}, 1.0
RUNS, STEPS, BATCH = 3, 3, 8
RATE, MOMENTUM, DECAY = 0.01, 0.9, 5e-4


def graphc_steps(name, threads):
    """Seconds of each step of ours."""
    sys.path[:0] = [str(Path(__file__).parents[2] / "examples")]
    import alexnet
    import numpy as np

    import graphc

    net, rng = alexnet.NETS[name], np.random.default_rng(0)
    rule = graphc.optimizers.Momentum(RATE, momentum=MOMENTUM, weight_decay=DECAY)
    graph = alexnet.training_graph(net, BATCH)
    step = graphc.train_step(graph, rule, donate=True, threads=threads)
    params = step.init_params(0)
    state = step.init(params)
    x = rng.standard_normal((BATCH, net.channels, net.side, net.side), np.float32)
    batch = x, rng.integers(0, net.dense[-1], BATCH), alexnet.drops(net, BATCH, rng)
    for _ in range(STEPS):
        began = time.perf_counter()
        params, state, _ = step(params, state, batch)
        yield time.perf_counter() - began


def torch_steps(name, threads):
    """Seconds of each step of PyTorch's."""
    import torch
    from torch import nn

    torch.set_num_threads(threads)
    norm = [nn.LocalResponseNorm(5, 5 * 1e-4, 0.75, 2.0)] if name == "grouped" else []
    pool = [nn.MaxPool2d(3, 2)]
    # kernels, size, stride, padding, groups, what follows the relu
    layers = {
        "grouped": [
            (96, 11, 4, 2, 1, norm + pool),
            (256, 5, 1, 2, 2, norm + pool),
            (384, 3, 1, 1, 1, []),
            (384, 3, 1, 1, 2, []),
            (256, 3, 1, 1, 2, pool),
        ],
        "single": [
            (64, 11, 4, 2, 1, pool),
            (192, 5, 1, 2, 1, pool),
            (384, 3, 1, 1, 1, []),
            (256, 3, 1, 1, 1, []),
            (256, 3, 1, 1, 1, pool),
        ],
    }[name]
    parts, channels = [], 3
    for kernels, size, stride, padding, groups, rest in layers:
        parts += [nn.Conv2d(channels, kernels, size, stride, padding, groups=groups), nn.ReLU()]
        parts += rest
        channels = kernels
    parts += [nn.Flatten(), nn.Dropout(), nn.Linear(9216, 4096), nn.ReLU()]
    parts += [nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)]
    model = nn.Sequential(*parts)
    rule = torch.optim.SGD(model.parameters(), RATE, MOMENTUM, weight_decay=DECAY, foreach=True)
    x, y = torch.randn(BATCH, 3, 224, 224), torch.randint(0, 1000, (BATCH,))
    for _ in range(STEPS):
        began = time.perf_counter()
        rule.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        rule.step()
        yield time.perf_counter() - began


def child(who, name, threads):
    """One process's run, as JSON on its output."""
    import resource

    steps = graphc_steps if who == "graphc" else torch_steps
    best = min(steps(name, threads))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": best, "bytes": peak}))


def run(who, name, threads):
    """A child's figures."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    root = str(Path(__file__).parents[2])
    # Ours shares out images, each product on one thread; PyTorch shares out each product.
    each = "1" if who == "graphc" else str(threads)
    environment = {**os.environ, **dict.fromkeys(names, each), "PYTHONPATH": root}
    command = [sys.executable, __file__, "child", who, name, str(threads)]
    prefix = []
    if hasattr(os, "sched_setaffinity"):
        cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[-threads:]))
        prefix = ["taskset", "-c", cores]
    done = subprocess.run(
        [*prefix, *command], check=True, env=environment, capture_output=True, text=True
    )
    return json.loads(done.stdout)


def main():
    """Print a line a net and number of threads; whether all limits are kept."""
    if not importlib.util.find_spec("torch"):
        print("PyTorch is not installed: there is nothing to compare with")
        return True
    rows, kept = [], True
    for name in NETS:
        for threads, limit in LIMITS.items():
            pairs = [
                (run("graphc", name, threads), run("torch", name, threads)) for _ in range(RUNS)
            ]
            figures = {
                what: statistics.median(ours[what] / theirs[what] for ours, theirs in pairs)
                for what in ("seconds", "bytes")
            }
            fine = figures["seconds"] <= limit and figures["bytes"] <= MEMORY
            kept = kept and fine
            seconds = statistics.median(ours["seconds"] for ours, _ in pairs)
            peak = statistics.median(ours["bytes"] for ours, _ in pairs)
            row = [name, str(threads), report.seconds(seconds), f"{figures['seconds']:.2f}"]
            row += [f"{peak / 1e6:.0f} MB", f"{figures['bytes']:.2f}", f"{limit:g}, {MEMORY:g}"]
            rows.append([*row, "ok" if fine else "**short**"])
            print("  ".join(rows[-1]), flush=True)
    head = ["net", "threads", "graphc", "/ torch", "peak", "/ torch", "limits", ""]
    text = [
        f"A training step on {BATCH} images of 224x224, with momentum and weight decay; the peak",
        "of resident memory of the whole process. Separate processes, in turn.",
        "",
        report.machine(["torch"]),
        "",
        report.table(head, rows, left=(0, len(head) - 2, len(head) - 1)),
    ]
    report.write("AlexNet", text)
    return kept


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        sys.exit(not main())
