"""np.linalg on values: decompositions as nodes, the rest composed of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc import matrices, nodes
from graphc.dispatch.contractions import outer, trace, vecdot
from graphc.dispatch.norms import norm
from graphc.dispatch.options import floating, refuse
from graphc.dispatch.registry import implements
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.lifting import lift, lift_all
from graphc.ops.elementwise import TABLE
from graphc.ops.linalg import LINALG
from graphc.types import product, same_size


def _named(function: Callable[..., Any], results: tuple[Node, ...]) -> Any:
    """The results in the named tuple that NumPy's function returns."""
    return type(function(np.eye(1)))(*results)


# -- equations -------------------------------------------------------------------------------------


@implements(np.linalg.inv)
def inv(a: Any) -> Node:
    return matrices.apply("inv", lift(a))


@implements(np.linalg.solve)
def solve(a: Any, b: Any) -> Node:
    """A factor of cholesky or qr is solved with as the triangle that it is."""
    matrix, right = lift_all((a, b))
    return matrices.apply(matrices.triangular_solver(matrix) or "solve", matrix, right)


@implements(np.linalg.lstsq)
def lstsq(a: Any, b: Any, rcond: Any = None) -> tuple[Node, ...]:
    """At full column rank: x, the sums of squares of b - a @ x, the rank, the singular values."""
    refuse("np.linalg.lstsq", rcond=rcond)
    matrix, right = lift_all((a, b))
    x = matrices.apply("lstsq", matrix, right)
    rows, columns = matrix.type.shape
    if isinstance(rows, int) and isinstance(columns, int) and rows < columns:
        raise GraphValueError(
            located(
                f"np.linalg.lstsq: {nodes.describe(matrix)} has more columns than rows; "
                "use np.linalg.pinv(a) @ b"
            )
        )
    left = nodes.elementwise("subtract", right, nodes.matmul(matrix, x))
    residuals = nodes.sum_(nodes.elementwise("square", left), (0,))
    if right.type.ndim == 1:
        residuals = nodes.expand_dims(residuals, 0)
    if same_size(rows, columns) is True:
        residuals = nodes.slice_(residuals, (0,), (0,), (1,))
    return x, residuals, nodes.size(columns), svdvals(matrix)


@implements(np.linalg.pinv)
def pinv(a: Any, rcond: Any = None, hermitian: Any = False, *, rtol: Any = None) -> Node:
    refuse("np.linalg.pinv", rcond=rcond, hermitian=hermitian or None, rtol=rtol)
    return matrices.apply("pinv", lift(a))


# -- determinants ----------------------------------------------------------------------------------


@implements(np.linalg.det)
def det(a: Any) -> Node:
    return matrices.apply("det", lift(a))


@implements(np.linalg.slogdet)
def slogdet(a: Any) -> Any:
    return _named(np.linalg.slogdet, matrices.results("slogdet", lift(a)))


# -- factorisations --------------------------------------------------------------------------------


@implements(np.linalg.cholesky)
def cholesky(a: Any, /, *, upper: bool = False) -> Node:
    x = lift(a)
    if not upper:
        return matrices.apply("cholesky", x)
    if x.type.ndim < 2:
        matrices.result_types(LINALG["cholesky"], (floating(x),))  # raises
    return matrices.transposed(matrices.apply("cholesky", matrices.transposed(x)))


@implements(np.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    if mode not in ("reduced", "r"):
        raise GraphValueError(
            located(f"np.linalg.qr: mode={mode!r} is not traced; 'reduced' and 'r' are")
        )
    found = matrices.results("qr", lift(a))
    return _named(np.linalg.qr, found) if mode == "reduced" else found[1]


@implements(np.linalg.eigh)
def eigh(a: Any, UPLO: str = "L") -> Any:
    return _named(np.linalg.eigh, _eigh("np.linalg.eigh", a, UPLO))


@implements(np.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str = "L") -> Node:
    return _eigh("np.linalg.eigvalsh", a, UPLO)[0]


def _eigh(function: str, a: Any, triangle: str) -> tuple[Node, ...]:
    if triangle.upper() not in ("L", "U"):
        raise GraphValueError(located(f"{function}: UPLO={triangle!r}; it is 'L' or 'U'"))
    x = lift(a)
    if triangle.upper() == "U" and x.type.ndim >= 2:
        x = matrices.transposed(x)
    return matrices.results("eigh", x)


@implements(np.linalg.svd)
def svd(a: Any, full_matrices: Any = True, compute_uv: Any = True, hermitian: Any = False) -> Any:
    refuse("np.linalg.svd", hermitian=hermitian or None)
    x = lift(a)
    found = matrices.results("svd", x)
    if not compute_uv:
        return found[1]
    if full_matrices and same_size(*x.type.shape[-2:]) is not True:
        raise GraphValueError(
            located(
                f"np.linalg.svd: {nodes.describe(x)}: full_matrices=True is not traced, for the "
                "vectors beyond the singular values are anybody's choice; pass full_matrices=False"
            )
        )
    return _named(np.linalg.svd, found)


@implements(np.linalg.svdvals)
def svdvals(x: Any, /) -> Node:
    return matrices.results("svd", x if isinstance(x, Node) else lift(x))[1]


# -- products --------------------------------------------------------------------------------------


@implements(np.linalg.matrix_power)
def matrix_power(a: Any, n: Any) -> Node:
    """By squaring, as NumPy does."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer):
        raise GraphTypeError(located(f"np.linalg.matrix_power: the exponent is an int, got {n!r}"))
    x, power = lift(a), int(n)
    if x.type.ndim < 2 or same_size(*x.type.shape[-2:]) is False:
        raise GraphValueError(
            located(f"np.linalg.matrix_power: {nodes.describe(x)} is no square matrix")
        )
    if power == 0:
        return matrices.eye(x)
    if power < 0:
        x, power = matrices.apply("inv", x), -power
    result: Node | None = None
    while True:
        if power % 2:
            result = x if result is None else nodes.matmul(result, x)
        power //= 2
        if not power:
            assert result is not None
            return result
        x = nodes.matmul(x, x)


@implements(np.linalg.multi_dot)
def multi_dot(arrays: Sequence[Any], *, out: Any = None) -> Node:
    """The product in the order of fewest multiplications; from the left where sizes have names."""
    refuse("np.linalg.multi_dot", out=out)
    factors = list(lift_all(list(arrays)))
    if len(factors) < 2:
        raise GraphValueError(located("np.linalg.multi_dot: fewer than two arrays"))
    for k, x in enumerate(factors):
        inner = 0 < k < len(factors) - 1
        if x.type.ndim != 2 and (inner or x.type.ndim != 1):
            raise GraphValueError(located(f"np.linalg.multi_dot: {nodes.describe(x)} is no matrix"))
    first = factors[0].type.shape
    sizes = [first[0] if len(first) == 2 else 1, *(x.type.shape[-1] for x in factors)]
    if factors[-1].type.ndim == 1:
        sizes[-2:] = [factors[-1].type.shape[0], 1]
    known = [size for size in sizes if isinstance(size, int)]
    if len(known) < len(sizes):
        result = factors[0]
        for x in factors[1:]:
            result = nodes.matmul(result, x)
        return result
    cuts = _cuts(known)

    def chain(i: int, j: int) -> Node:
        if i == j:
            return factors[i]
        k = cuts[i, j]
        return nodes.matmul(chain(i, k), chain(k + 1, j))

    return chain(0, len(factors) - 1)


def _cuts(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Where the product of factors i to j is cut, factor k being sizes[k] by sizes[k + 1]."""
    count = len(sizes) - 1
    cost = {(i, i): 0 for i in range(count)}
    cuts: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            cost[i, j], cuts[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )
    return cuts


@implements(np.linalg.trace)
def linalg_trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Node:
    node = lift(x)
    if node.type.ndim < 2:
        raise GraphValueError(located(f"np.linalg.trace: {nodes.describe(node)} is no matrix"))
    return trace(x, offset, -2, -1, dtype)


@implements(np.linalg.outer)
def linalg_outer(x1: Any, x2: Any, /) -> Node:
    return outer(x1, x2)


@implements(np.linalg.vecdot)
def linalg_vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Node:
    a, b = lift_all((x1, x2))
    if axis not in (-1,) and (axis != a.type.ndim - 1 or axis != b.type.ndim - 1):
        raise GraphValueError(located(f"np.linalg.vecdot: axis={axis}; move it to the end"))
    return vecdot(x1, x2)


@implements(np.linalg.tensorinv)
def tensorinv(a: Any, ind: int = 2) -> Node:
    x = lift(a)
    if not 0 < ind < x.type.ndim:
        raise GraphValueError(located(f"np.linalg.tensorinv: {nodes.describe(x)}, ind={ind}"))
    first, last = x.type.shape[:ind], x.type.shape[ind:]
    matrix = nodes.reshape(x, (product(first), product(last)))
    return nodes.reshape(matrices.apply("inv", matrix), (*last, *first))


@implements(np.linalg.tensorsolve)
def tensorsolve(a: Any, b: Any, axes: Any = None) -> Node:
    refuse("np.linalg.tensorsolve", axes=axes)
    x, y = lift_all((a, b))
    rest = x.type.shape[y.type.ndim :]
    matrix = nodes.reshape(x, (y.type.size, product(rest)))
    flat = nodes.reshape(y, (y.type.size,))
    return nodes.reshape(matrices.apply("solve", matrix, flat), rest)


# -- numbers ---------------------------------------------------------------------------------------


@implements(np.linalg.cond)
def cond(x: Any, p: Any = None) -> Node:
    node = lift(x)
    if p is None or p in (2, -2):
        values = matrices.results("svd", node)[1]
        count = values.type.shape[-1]
        largest, smallest = _at(values, 0), _at(values, count - 1)
        if p == -2:
            largest, smallest = smallest, largest
        return nodes.elementwise(TABLE["divide"], largest, smallest)
    inverse = matrices.apply("inv", node)
    axes = (node.type.ndim - 2, node.type.ndim - 1)
    return nodes.multiply(norm(node, p, axes), norm(inverse, p, axes))


def _at(values: Node, position: Any) -> Node:
    """One position of the last axis."""
    ndim = values.type.ndim
    if values.type.shape[-1] == 0:
        raise GraphValueError(located("np.linalg.cond: an empty matrix has no condition number"))
    starts = (*(0 for _ in range(ndim - 1)), position)
    sizes = (*values.type.shape[:-1], 1)
    one = nodes.slice_(values, starts, sizes, (1,) * ndim)
    return nodes.reshape(one, values.type.shape[:-1])


@implements(np.linalg.matrix_rank)
def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Node:
    raise GraphTypeError(
        located(
            "np.linalg.matrix_rank is not traced by graphc: it is a count that jumps; use "
            "np.sum(np.linalg.svdvals(a) > tolerance)"
        )
    )


@implements(np.linalg.eig, np.linalg.eigvals)
def eig(a: Any) -> Node:
    raise GraphTypeError(
        located(
            "np.linalg.eig is not traced by graphc: its results are complex; for a "
            "symmetric matrix use np.linalg.eigh"
        )
    )
