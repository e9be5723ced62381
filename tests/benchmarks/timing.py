"""How the benchmarks measure: candidates in turn, the minimum of each, everything in one run.

A ratio of minima taken in turn cancels what a shared machine does to both: drift, other work, the
clock. A minimum is the time of the code; what is above it is the time of something else.
"""

from __future__ import annotations

import gc
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def calls(
    candidates: Mapping[str, Callable[[], Any]], seconds: float = 3.0, slice_seconds: float = 0.002
) -> dict[str, float]:
    """Seconds a call of each candidate: the minimum over slices of about `slice_seconds`."""
    counts = {}
    for name, call in candidates.items():
        call()
        began = time.perf_counter()
        call()
        once = max(time.perf_counter() - began, 1e-7)
        counts[name] = max(1, round(slice_seconds / once))
    best = dict.fromkeys(candidates, float("inf"))
    gc.collect()
    gc.disable()
    try:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for name, call in candidates.items():
                repeat = [None] * counts[name]
                began = time.perf_counter()
                for _ in repeat:
                    call()
                taken = (time.perf_counter() - began) / counts[name]
                best[name] = min(best[name], taken)
    finally:
        gc.enable()
    return best


def turns(
    candidates: Mapping[str, Callable[[], Any]], seconds: float = 2.0, slice_seconds: float = 0.004
) -> dict[str, list[float]]:
    """Seconds a call of each candidate in each turn: ratios are taken turn by turn.

    At least five turns are taken, and as many as fit in `seconds`.
    """
    counts = {}
    for name, call in candidates.items():
        for _ in range(3):
            began = time.perf_counter()
            call()
            once = max(time.perf_counter() - began, 1e-7)
        counts[name] = max(1, round(slice_seconds / once))
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    gc.collect()
    gc.disable()
    try:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(next(iter(taken.values()))) < 5:
            for name, call in candidates.items():
                repeat = [None] * counts[name]
                call()  # what the others left in the caches is not this one's fault
                began = time.perf_counter()
                for _ in repeat:
                    call()
                taken[name].append((time.perf_counter() - began) / counts[name])
    finally:
        gc.enable()
    return taken


def processes(
    commands: Mapping[str, Sequence[str]], runs: int, **keywords: Any
) -> dict[str, float]:
    """Seconds from start to end of each command: the minimum of `runs`, taken in turn."""
    best = dict.fromkeys(commands, float("inf"))
    for _ in range(runs):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **keywords)
            best[name] = min(best[name], time.perf_counter() - began)
    return best


def verdict(label: str, figure: float, limit: float, unit: str = "x") -> bool:
    """Print one line; whether the figure keeps the limit."""
    kept = figure <= limit
    print(f"{label:<58} {figure:6.2f} {unit:<2}  limit {limit:.2f}  {'ok' if kept else 'TOO MUCH'}")
    return kept
