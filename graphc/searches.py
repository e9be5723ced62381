"""Nodes of searches, their types, and what they mean.

A search finds positions, as index arrays of one length that is known only when it has run. In types
this length is a size of its own, written `<pairs 12>`, which no input tells.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc import nodes
from graphc.ir import Node
from graphc.ops.kinds import Search, SearchParams
from graphc.ops.searches import NEAREST
from graphc.types import ArrayType, Dim, Size, array_type


def result_type(op: Search, result: int, count: Size, dtype: str) -> ArrayType:
    """The type of one result: positions are i64, shares of the operands' dtype."""
    return array_type(dtype if op.results[result] == "share" else "i64", (count,))


def nearest(points: Node, centres: Node) -> tuple[Node, ...]:
    """(point, centre, share): the pairs at the least distance of points [n, d] to centres [k, d].

    Positions are i64[pairs]; the share is 1 over the number of centres at the same least distance.
    """
    count = Dim.named(f"<pairs {max(points.serial, centres.serial)}>")
    inputs = (points, centres)
    return tuple(
        nodes.node(
            NEAREST,
            inputs,
            SearchParams(result, count),
            result_type(NEAREST, result, count, points.type.dtype),
        )
        for result in range(len(NEAREST.results))
    )


def found(node: Node) -> bool:
    """Whether the node holds positions that a search found: they are inside their array."""
    return isinstance(node.params, SearchParams) and node.type.dtype == "i64"


def evaluate(node: Node, points: Any, centres: Any) -> Any:
    """The result of a search by its definition: all distances, compared."""
    params = node.params
    assert isinstance(params, SearchParams)
    apart = points[:, None].real - centres.real
    distances = (apart * apart).sum(axis=2)
    least = distances.min(axis=1, initial=np.inf, keepdims=True)
    point, centre = np.nonzero(~(distances > least))
    share = 1.0 / np.bincount(point)[point]
    return (point, centre, share)[params.result]
