"""The results file: one section a benchmark, each replaced by its own run, so that any may be run
again alone."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import peers

RESULTS = Path(__file__).with_name("results.md")

HEAD = """# Benchmarks

Written by `make bench`. Ratios are graphc's figure to the other's: below 1 graphc is faster, or
smaller. Each section is written by one file of this folder, which may be run again alone.
"""

# The sections, in the order of the file.
TITLES = (
    "Value and gradient, one core",
    "Hessians",
    "Training steps",
    "AlexNet",
    "Two cores",
    "Time against data size",
    "Compile time",
    "Memory",
    "Calls",
    "Starts",
    "Systems",
)


def write(title: str, lines: Sequence[str]) -> None:
    """Put the section in the place of its last version."""
    sections = read()
    sections[title] = "\n".join(lines).strip()
    parts = [HEAD]
    parts += [f"## {name}\n\n{sections[name]}\n" for name in TITLES if name in sections]
    RESULTS.write_text("\n".join(parts), encoding="utf-8")


def read() -> dict[str, str]:
    """The sections that are there, by title."""
    if not RESULTS.exists():
        return {}
    _, *parts = RESULTS.read_text(encoding="utf-8").split("\n## ")
    found = {}
    for part in parts:
        title, _, text = part.partition("\n")
        if title in TITLES:
            found[title] = text.strip()
    return found


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """A Markdown table; columns are right-aligned, but for those in `left`."""
    line = ["---" if k in left else "---:" for k in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, line, *rows))


def machine(names: Sequence[str] = ()) -> str:
    """What figures depend on: processor, versions, and how busy the machine was."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        found = [s.split(":", 1)[1].strip() for s in lines if s.startswith("model name")]
        model = next(iter(found), model)
    versions = [f"CPython {platform.python_version()}", f"NumPy {np.__version__}"]
    versions += [f"{name} {peers.version(name)}" for name in names]
    text = f"{model}, {os.cpu_count()} cores, {platform.system()}; {', '.join(versions)}."
    if not hasattr(os, "getloadavg"):
        return text
    # On a busy machine ratios scatter, and single rows mislead.
    busy = os.getloadavg()[1]
    return f"{text} Load average of the last five minutes: {busy:.1f} (1 is a run alone)."


def seconds(value: float) -> str:
    """A time in the unit that fits it."""
    for unit, scale in (("us", 1e-6), ("ms", 1e-3)):
        if value < 1000 * scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value:.3g} s"
