"""An emitted module as a file that stands alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from codegen import generate
from codegen.program import Options
from graphc.functions import Plan, program

if TYPE_CHECKING:
    from codegen.modules import Generated


def write(plan: Plan, options: Options, path: str, origins: str) -> None:
    """The module at `path`, and its large constants in a `.npz` beside it."""
    stem = os.path.splitext(os.path.basename(path))[0]
    made = program(plan, export=True)
    generated = generate(made, options, constants_file=f"{stem}.npz")
    source = generated.source if origins == "names" else _with_lines(generated, plan)
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(source)
    if generated.constants:
        folder = os.path.dirname(path)
        with open(os.path.join(folder, f"{stem}.npz"), "wb") as file:
            np.savez(file, **generated.constants)  # type: ignore[arg-type]  # names are strings


def _with_lines(generated: Generated, plan: Plan) -> str:
    """The source with each statement's place of declaration beside it."""
    lines = generated.source.split("\n")
    for number, tag in generated.source_map.items():
        origin = plan.graph.nodes[int(tag)].origin
        line = lines[number - 1]
        if origin.line and line.strip() and not line.strip().startswith("#") and "  #" not in line:
            lines[number - 1] = f"{line}  # {origin}"
    return "\n".join(lines)
