"""Matrix functions as calls: which function of NumPy computes which results of a decomposition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from graphc.ir import Node
from graphc.matrices import siblings, triangular_solver
from graphc.ops.kinds import LinAlg, LinAlgParams
from graphc.ops.linalg import SOLVE_LOWER, SOLVE_UPPER

_SCIPY_SOLVER = "scipy.linalg.solve_triangular"


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


def decomposition(node: Node, used: set[int], scipy: bool) -> Decomposition:
    """The call for these results of a node's op: of one alone there may be a cheaper function.

    scipy: whether triangular systems may be solved by SciPy, which reads one triangle only and is
    many times faster than NumPy's solver for any matrix. Of stacks it takes one at a time.
    """
    op = node.op
    assert isinstance(op, LinAlg)
    single = all(x.type.ndim <= 2 for x in node.inputs)
    if scipy and single and op in (SOLVE_LOWER, SOLVE_UPPER):
        options = (("lower", op == SOLVE_LOWER), ("check_finite", False))
        return Decomposition(_SCIPY_SOLVER, options, (0,))
    for result, function, keywords in op.single:
        if used == {result}:
            return Decomposition(function, keywords, (result,))
    results = (*range(len(op.results)), *(-1 for _ in range(op.extra)))
    return Decomposition(op.function, op.keywords, results)


def triangle(node: Node, call: Decomposition) -> str:
    """The NumPy function that takes the triangle a solver reads; "" where that is all there is, or
    all that the solver reads."""
    if node.op not in (SOLVE_LOWER, SOLVE_UPPER) or call.function == _SCIPY_SOLVER:
        return ""
    wanted = "solve_lower" if node.op == SOLVE_LOWER else "solve_upper"
    if triangular_solver(node.inputs[0]) == wanted:
        return ""
    return "np.triu" if node.op == SOLVE_UPPER else "np.tril"
