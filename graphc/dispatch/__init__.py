"""NumPy's functions on graphc's values: `np.sum(x)` comes here through `__array_function__`.

One small function stands for each of NumPy's, with NumPy's own signature, in a file by family
(elementwise, reductions, contractions, layout, joining, indexing, creation). To add one, write:

    @implements(np.sum)
    def sum_(a, axis=None, dtype=None, out=None, keepdims=False, initial=None, where=None): ...

It makes nodes (`lift` turns operands into nodes) and returns a Node, or a list of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphc.dispatch import (
    comparing,
    contractions,
    creation,
    differences,
    elementwise,
    indexing,
    joining,
    layout,
    linalg,
    missing,
    norms,
    padding,
    quantiles,
    ranges,
    reductions,
    selecting,
    sorting,
)
from graphc.dispatch.registry import FUNCTIONS
from graphc.errors import GraphTypeError, located

__all__ = [
    "call",
    "comparing",
    "contractions",
    "creation",
    "differences",
    "elementwise",
    "indexing",
    "joining",
    "layout",
    "linalg",
    "missing",
    "norms",
    "padding",
    "quantiles",
    "ranges",
    "reductions",
    "selecting",
    "sorting",
]

# What graphc does not trace has often a spelling that it does.
_INSTEAD = {
    "nonzero": "np.where(condition, a, b): a shape cannot depend on values",
    "argwhere": "np.where(condition, a, b): a shape cannot depend on values",
    "flatnonzero": "np.where(condition, a, b): a shape cannot depend on values",
    "unique": "an index array given as an input: a shape cannot depend on values",
    "copyto": "np.where(condition, a, b)",
    "put": "graphc.at(x)[i].set(v)",
    "place": "np.where(condition, a, b)",
    "putmask": "np.where(condition, a, b)",
    "fill_diagonal": "np.where(np.eye(n, dtype=bool), v, x)",
    "piecewise": "np.where or np.select",
    "put_along_axis": "graphc.at(x)[i].set(v)",
    "bincount": "graphc.at(np.zeros(n))[i].add(weights)",
    "histogram": "graphc.at(np.zeros(n))[np.digitize(x, edges) - 1].add(1)",
    "trim_zeros": "a slice: a shape cannot depend on values",
    "apply_along_axis": "a function that takes axis=",
    "apply_over_axes": "a tuple of axes, axis=(0, 1)",
    "einsum_path": "np.einsum: the path is chosen when the graph is compiled",
    "save": "the arrays of a call",
}


def call(function: Callable[..., Any], args: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """What `function` means on values: nodes, in NumPy's structure.

    Raises GraphTypeError for a function that graphc does not trace, naming it.
    """
    handler = FUNCTIONS.get(function)
    if handler is not None:
        return handler(*args, **options)
    module = getattr(function, "__module__", "numpy") or "numpy"
    path = f"{module}.{function.__name__}".removeprefix("numpy.")
    instead = _INSTEAD.get(path)
    fix = f"use {instead}" if instead else "compose it of functions that are traced"
    raise GraphTypeError(located(f"np.{path} is not traced by graphc; {fix}"))
