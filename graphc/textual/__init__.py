"""The text form of a graph: TOML with formulas, read and written.

    graphc = 1                       format version
    name = "circuit"
    [inputs], [params]               name = "f64[batch, 64]", in order; dotted keys are scopes
    [constants]                      numbers, lists, { file = "mean.npy", sha256 = "..." }; a float
                                     is f64, another dtype is { dtype = "f32", value = 0.5 }
    [functions]                      dense = "(x, W, b) -> maximum(x @ W + b, 0)", expanded
    [ops]                            swish = "x / (1 + exp(-x))": a user's own definitions
    [nodes]                          name = "formula", in any order; keys like _1 name nothing
    [outputs]                        name = "formula"
    [example]                        values for `graphc run`

What `dump` adds, for graphs that Python declares: [cotangents], inputs of a VJP; [arguments] and
`result`, where arrays come in containers or in another order; [names], for names that no formula
can say.

Nothing in a file is ever executed: formulas are read by `ast` through an allowlist, data files are
`.npy` in the file's own folder with a hash. Limits: `graphc.textual.limits`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphc.errors import GraphSyntaxError, GraphValueError

if TYPE_CHECKING:
    import numpy as np

    from graphc.graph import Graph
    from graphc.ir import Graph as IRGraph
    from graphc.textual.build import Loaded

# Constants with more elements than this leave the text for a file beside it.
INLINE_ELEMENTS = 1024


def loads(
    text: str, name: str | None = None, directory: str | os.PathLike[str] | None = None
) -> Graph:
    """The graph that a text declares.

    name: the graph's name, instead of the text's own. directory: where its data files lie.

    Raises GraphSyntaxError for what cannot be read, GraphNameError for unknown names,
    GraphTypeError and GraphValueError as declaring the graph in Python would; one line, with the
    line of the entry at fault.
    """
    folder = None if directory is None else os.fspath(directory)
    return _read(text, "graph file", "", folder, name).graph


def load(path: str | os.PathLike[str]) -> Graph:
    """The graph in a file: `graphc.load("circuit.toml")`. Errors as `loads`."""
    return read_file(path).graph


def read_file(path: str | os.PathLike[str]) -> Loaded:
    """The graph in a file, and its example values."""
    from graphc.textual.limits import MAX_BYTES

    where = os.fspath(path)
    label = os.path.basename(where)
    try:
        with open(where, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise GraphValueError(f"{where}: {error.strerror or error}") from None
    if len(data) > MAX_BYTES:
        raise GraphValueError(f"{label}: longer than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise GraphSyntaxError(f"{label}:{line}: not UTF-8 text") from None
    return _read(text, label, where, os.path.dirname(where) or ".", None)


def _read(text: str, label: str, path: str, directory: str | None, name: str | None) -> Loaded:
    from dataclasses import replace

    from graphc.textual.build import build
    from graphc.textual.document import parse

    document = parse(text, label, path, directory)
    return build(document if name is None else replace(document, name=name))


def dumps(graph: IRGraph) -> str:
    """The text of a graph, from which `loads` makes a graph of the same digest.

    Raises GraphTypeError for a graph with a primitive: Python code that no text can hold.
    """
    from graphc.textual.write import write

    return write(graph)


def dump(graph: IRGraph, path: str | os.PathLike[str]) -> None:
    """Writes the text of a graph to a file; large constants become `.npy` files beside it."""
    from graphc.textual.write import write

    where = Path(path)
    files: dict[str, bytes] = {}

    def store(key: str, value: np.ndarray[Any, Any]) -> str | None:
        if value.size <= INLINE_ELEMENTS:
            return None
        from graphc.textual.data import sha256_of, to_npy
        from graphc.textual.toml import quote

        readable = "".join(char if char.isalnum() or char in "_-" else "_" for char in key)
        name = f"{where.stem}.{len(files)}.{readable}.npy"
        files[name] = to_npy(value)
        return f'{{ file = {quote(name)}, sha256 = "{sha256_of(files[name])}" }}'

    text = write(graph, store)
    for name, data in files.items():
        (where.parent / name).write_bytes(data)
    where.write_text(text, encoding="utf-8", newline="\n")
