"""The README's systems: the wall time of every command, and the last thing that it says.

    python tests/benchmarks/bench_systems.py [part of a command ...]

The commands are those of the README's tables, each a process of its own on one core, in a folder of
its own, with an empty cache: everything is compiled for the first time.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import report

ROOT = Path(__file__).resolve().parents[2]
# A row of either table: `| 7 | Softmax classifier | `python ...` |` and `| `examples/lenet.py` |`.
COMMAND = re.compile(r"^\|.*?`((?:graphc run |python )?examples/[^`]*)` \|", re.MULTILINE)


def commands():
    """What the tables say to type, in their order."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = COMMAND.findall(text)
    return [f"python {one}" if one.startswith("examples/") else one for one in found]


def run(command, folder):
    """Wall seconds, and the last line of the output."""
    program, *arguments = shlex.split(command)
    start = [sys.executable] if program == "python" else [sys.executable, "-m", "graphc"]
    paths = [str(ROOT / word) if word.startswith("examples/") else word for word in arguments]
    own = {"GRAPHC_CACHE_DIR": os.path.join(folder, "cache"), "PYTHONPATH": str(ROOT)}
    threads = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    environment = os.environ | own | dict.fromkeys(threads, "1")
    began = time.perf_counter()
    done = subprocess.run(
        [*start, *paths], check=True, cwd=folder, env=environment, capture_output=True, text=True
    )
    last = done.stdout.rstrip().rpartition("\n")[2]
    return time.perf_counter() - began, " ".join(last.split()).replace("|", "\\|")


def main():
    """Print the table row by row."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    parts, rows = sys.argv[1:], []
    for command in commands():
        if parts and not any(part in command for part in parts):
            continue
        with tempfile.TemporaryDirectory() as folder:
            seconds, said = run(command, folder)
        rows.append(
            [f"`{command}`", f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s", said]
        )
        print("  ".join(rows[-1]), flush=True)
    if not parts:
        text = [
            "The commands of the README's tables, each in a process of its own with an empty",
            "cache: wall time of the whole command on one core, and the last line that it prints.",
            "",
            report.machine(),
            "",
            report.table(["command", "time", "says"], rows, left=(0, 2)),
        ]
        report.write("Systems", text)


if __name__ == "__main__":
    main()
