"""What a public function takes where it asks for a graph."""

from __future__ import annotations

from typing import Any

from graphc import ir
from graphc.errors import GraphTypeError, located


def graph_of(subject: Any, what: str) -> ir.Graph:
    """The graph of a Graph, a Builder or a Compiled; GraphTypeError for anything else.

    what: who asks, for the error.
    """
    if isinstance(subject, ir.Graph):
        return subject
    if callable(getattr(subject, "build", None)):
        built: ir.Graph = subject.build()
        return built
    inner = getattr(subject, "graph", None)
    if isinstance(inner, ir.Graph):
        return inner
    fix = ""
    if isinstance(subject, str):
        fix = f"; load a file first: graphc.load({subject!r})"
    elif callable(subject):
        fix = "; trace a function first: @graphc.trace(...)"
    raise GraphTypeError(
        located(f"{what} takes a Graph or a Builder, got {type(subject).__name__}{fix}")
    )
