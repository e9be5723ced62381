"""The dtype of a scalar function's result: NumPy's promotion (NEP 50), decided at generation.

A weak operand (a literal, a size) is written `bool?`, `int?` or `float?`: it adapts to the others.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from codegen.expr import FUNCTIONS
from codegen.types import DTYPES

_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_WEAK: dict[str, bool | int | float] = {"bool?": False, "int?": 0, "float?": 0.0}
_FLOATING = ("f32", "f64", "float?")


def weak(dtype: str) -> bool:
    """Whether this is the dtype of a literal or of a size."""
    return dtype[-1] == "?"


def weak_dtype(value: bool | int | float) -> str:
    """The weak dtype of a Python number."""
    if isinstance(value, bool):
        return "bool?"
    return "int?" if isinstance(value, int) else "float?"


@lru_cache(maxsize=4096)
def promote(dtypes: tuple[str, ...]) -> str:
    """The common dtype of operands; weak where all of them are."""
    first = dtypes[0]
    if all(dtype == first for dtype in dtypes):
        return first
    strong = [dtype for dtype in dtypes if not weak(dtype)]
    if not strong:
        return max(dtypes, key=("bool?", "int?", "float?").index)
    values = [_WEAK[dtype] if weak(dtype) else DTYPES[dtype] for dtype in dtypes]
    return _NAMES[np.result_type(*values)]


@lru_cache(maxsize=4096)
def result_dtype(function: str, dtypes: tuple[str, ...]) -> str:
    """The dtype of function(*operands) for operands of these dtypes."""
    rule = FUNCTIONS[function].result
    if function == "where":
        return promote(dtypes[1:])
    if rule == "same":
        return promote(dtypes)
    if rule == "float":
        common = promote(dtypes)
        if common in _FLOATING:
            return common
        return "float?" if weak(common) else "f64"
    if rule == "bool":
        return "bool?" if all(weak(dtype) for dtype in dtypes) else "bool"
    return rule


def floating(dtype: str) -> bool:
    """Whether values of this dtype are floating numbers, weak or not."""
    return dtype in _FLOATING
