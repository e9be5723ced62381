"""Matrix functions as calls: which function of NumPy computes which results of a decomposition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from codegen.program import Transpose
from graphc.ir import Node
from graphc.matrices import siblings
from graphc.ops.kinds import LinAlg, LinAlgParams
from graphc.ops.linalg import CHOLESKY, QR, SOLVE_LOWER, SOLVE_UPPER


class Decomposition(NamedTuple):
    """One call. results: which result each of its values is, -1 for one that no op has."""

    function: str
    keywords: tuple[tuple[str, object], ...]
    results: tuple[int, ...]


def used_results(order: Iterable[Node]) -> Mapping[object, set[int]]:
    """For each decomposition in `order`, by its key, the results that are there."""
    found: dict[object, set[int]] = {}
    for node in order:
        if isinstance(node.params, LinAlgParams):
            found.setdefault(siblings(node), set()).add(node.params.result)
    return found


def decomposition(op: LinAlg, used: set[int]) -> Decomposition:
    """The call for these results of an op: of one alone there may be a cheaper function."""
    for result, function, keywords in op.single:
        if used == {result}:
            return Decomposition(function, keywords, (result,))
    results = (*range(len(op.results)), *(-1 for _ in range(op.extra)))
    return Decomposition(op.function, op.keywords, results)


def triangle(node: Node) -> str:
    """The NumPy function that takes the triangle a solver reads; "" where that is all there is."""
    if node.op not in (SOLVE_LOWER, SOLVE_UPPER):
        return ""
    matrix, upper = node.inputs[0], node.op == SOLVE_UPPER
    while isinstance(matrix.params, Transpose):
        if matrix.params.axes[-1] != matrix.type.ndim - 1:
            upper = not upper
        matrix = matrix.inputs[0]
    params = matrix.params
    if isinstance(params, LinAlgParams):
        lower = matrix.op == CHOLESKY
        if (lower and not upper) or (matrix.op == QR and params.result == 1 and upper):
            return ""
    return "np.triu" if node.op == SOLVE_UPPER else "np.tril"
