"""Folds over axes that no sum of products expresses: one line an op."""

from __future__ import annotations

from collections.abc import Mapping

from graphc.ops.kinds import Reduction


def _table(*ops: Reduction) -> Mapping[str, Reduction]:
    return {op.name: op for op in ops}


REDUCTIONS = _table(
    Reduction("max", nonempty=True, doc="The largest element; NaN propagates."),
    Reduction("min", nonempty=True, doc="The smallest element; NaN propagates."),
    Reduction("prod", doc="The product; exact where elements are zero."),
    Reduction("any", differentiable=False, result="bool", doc="Whether any element is true."),
    Reduction("all", differentiable=False, result="bool", doc="Whether every element is true."),
    Reduction(
        "argmax",
        differentiable=False,
        result="i64",
        nonempty=True,
        doc="Where the first largest is.",
    ),
    Reduction(
        "argmin",
        differentiable=False,
        result="i64",
        nonempty=True,
        doc="Where the first smallest is.",
    ),
    Reduction(
        "count_nonzero", differentiable=False, result="i64", doc="How many elements are not zero."
    ),
    Reduction(
        "argsort",
        differentiable=False,
        result="i64",
        scan=True,
        doc="The positions that sort one axis: ties keep their order, NaN goes last.",
    ),
    Reduction("cumsum", scan=True, doc="Running sums along one axis."),
    Reduction("cummax", scan=True, doc="The largest element so far along one axis."),
    Reduction("cummin", scan=True, doc="The smallest element so far along one axis."),
    Reduction(
        "cumprod", scan=True, doc="Running products along one axis; exact where elements are zero."
    ),
)
