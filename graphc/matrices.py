"""Nodes of matrix functions: their types, by the signatures of the op table, and small pieces.

Every function makes nodes from nodes, as those of `graphc.nodes` do, and raises GraphErrors that
name the op, the operands and their types.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from codegen.program import Transpose
from codegen.record import record
from graphc import nodes
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.ops.elementwise import TABLE
from graphc.ops.kinds import Contraction, Einstein, LinAlg, LinAlgParams
from graphc.ops.linalg import CHOLESKY, LINALG, QR
from graphc.types import (
    FLOATING,
    ArrayType,
    Shape,
    Size,
    array_type,
    broadcast,
    promote,
    same_size,
    size_min,
    size_text,
)

SPREAD = Contraction("diag")


@record
class Signature:
    """Core axes an operand and a result: "(n,n),(n,k?)->(n,k?)"."""

    operands: tuple[tuple[str, ...], ...]
    results: tuple[tuple[str, ...], ...]


@lru_cache(maxsize=64)
def signature(text: str) -> Signature:
    """A signature as data. `min(m,n)` is one axis."""
    operands, _, results = text.partition("->")
    return Signature(_groups(operands), _groups(results))


def _groups(text: str) -> tuple[tuple[str, ...], ...]:
    found = re.findall(r"\(((?:min\(\w,\w\)|[^()])*)\)", text)
    return tuple(tuple(re.findall(r"min\(\w,\w\)|\w\??(?:>\w)?", group)) for group in found)


# -- types -----------------------------------------------------------------------------------------


def result_types(op: LinAlg, inputs: Sequence[Node]) -> tuple[ArrayType, ...]:
    """The type of each result, by the op's signature.

    Raises GraphTypeError for operands of other dtypes than f32 and f64, or of several; and
    GraphValueError where one has too few axes, or axes differ that must agree.
    """
    rule = signature(op.signature)
    if len(inputs) != len(rule.operands):
        raise GraphTypeError(located(f"{op.name} takes {len(rule.operands)} operands"))
    dtype = inputs[0].type.dtype
    if dtype not in FLOATING or any(x.type.dtype != dtype for x in inputs):
        raise GraphTypeError(
            located(f"{op.name}: {_shown(inputs)}: the operands must be of one floating dtype")
        )
    sizes: dict[str, Size] = {}
    batches: list[Shape] = []
    for x, axes in zip(inputs, rule.operands, strict=True):
        vector = axes[-1].endswith("?") and x.type.ndim == 1
        core = axes[:-1] if vector else axes
        if x.type.ndim < len(core):
            raise GraphValueError(
                located(
                    f"{op.name}: {nodes.describe(x)} has fewer than {len(core)} axes; "
                    "it takes matrices"
                )
            )
        at = x.type.ndim - len(core)
        batches.append(x.type.shape[:at])
        _bind(op, inputs, core, x.type.shape[at:], sizes)
    batch = broadcast(tuple(batches))
    if batch is None:
        raise GraphValueError(
            located(f"{op.name}: {_shown(inputs)}: the leading axes do not broadcast")
        )
    if batch and not op.batched:
        raise GraphValueError(
            located(f"{op.name}: {_shown(inputs)}: NumPy's {op.name} takes one matrix, not a stack")
        )
    return tuple(array_type(dtype, (*batch, *_sizes(axes, sizes))) for axes in rule.results)


def _bind(
    op: LinAlg, inputs: Sequence[Node], core: Sequence[str], shape: Shape, sizes: dict[str, Size]
) -> None:
    for axis, size in zip(core, shape, strict=True):
        name = axis[0]
        known = sizes.setdefault(name, size)
        if same_size(known, size) is False:
            square = len(inputs) == 1
            raise GraphValueError(
                located(
                    f"{op.name}: {_shown(inputs)}: "
                    f"{'the matrix is not square' if square else 'sizes that must agree'}: "
                    f"{size_text(known)} and {size_text(size)} differ"
                )
            )
    for axis in core:
        if ">" not in axis:
            continue
        tall, wide = sizes[axis[0]], sizes[axis[2]]
        if isinstance(tall, int) and isinstance(wide, int) and tall < wide:
            raise GraphValueError(
                located(
                    f"{op.name}: {_shown(inputs)}: more columns than rows; "
                    f"{op.name} is traced for as many rows as columns or more"
                )
            )


def _sizes(axes: Sequence[str], sizes: dict[str, Size]) -> Shape:
    found: list[Size] = []
    for axis in axes:
        if axis.startswith("min"):
            found.append(size_min(sizes[axis[4]], sizes[axis[6]]))
        elif axis[0] in sizes:
            found.append(sizes[axis[0]])  # else k?, where the operand is a vector
    return tuple(found)


def _shown(inputs: Sequence[Node]) -> str:
    return ", ".join(map(nodes.describe, inputs))


# -- construction ----------------------------------------------------------------------------------


def results(op: LinAlg | str, *inputs: Node) -> tuple[Node, ...]:
    """A node each result; operands are cast to their common dtype, integers and bools to f64."""
    if isinstance(op, str):
        op = LINALG[op]
    dtype = promote(*(x.type.dtype for x in inputs))
    operands = tuple(nodes.cast(x, dtype if dtype in FLOATING else "f64") for x in inputs)
    types = result_types(op, operands)
    return tuple(nodes.node(op, operands, LinAlgParams(k), type) for k, type in enumerate(types))


def apply(op: LinAlg | str, *inputs: Node) -> Node:
    """The node of a function with one result."""
    (result,) = results(op, *inputs)
    return result


def siblings(node: Node) -> tuple[object, ...]:
    """A key that the results of one decomposition share."""
    assert isinstance(node.params, LinAlgParams)
    return (node.op, node.inputs, node.params.options)


def triangular_solver(matrix: Node) -> str:
    """The op that solves with a factor that is triangular by its making, else ""."""
    upper = False
    while isinstance(matrix.params, Transpose):
        axes, ndim = matrix.params.axes, matrix.type.ndim
        if axes != (*range(ndim - 2), ndim - 1, ndim - 2):
            return ""
        upper = not upper
        matrix = matrix.inputs[0]
    params = matrix.params
    if not isinstance(params, LinAlgParams):
        return ""
    if matrix.op == QR and params.result == 1:
        upper = not upper
    elif matrix.op != CHOLESKY:
        return ""
    return "solve_upper" if upper else "solve_lower"


# -- pieces ----------------------------------------------------------------------------------------


def transposed(x: Node) -> Node:
    """The last two axes exchanged."""
    ndim = x.type.ndim
    return nodes.transpose(x, (*range(ndim - 2), ndim - 1, ndim - 2))


def position(size: Size, axis: int) -> Node:
    """0, 1, ... along the row (axis -1) or the column (axis -2) of a matrix."""
    return nodes.expand_dims(nodes.arange(size), 0 if axis == -1 else 1)


def where_positions(comparison: str, x: Node, other: Node | None = None) -> Node:
    """x where its row and column compare so ("greater": below the diagonal), else other, or 0."""
    rows, columns = x.type.shape[-2:]
    chosen = nodes.elementwise(comparison, position(rows, -2), position(columns, -1))
    if other is None:
        other = nodes.constant(0, x.type.dtype)
    return nodes.elementwise("where", chosen, x, other)


def diagonal(x: Node) -> Node:
    """The diagonals of the last two axes."""
    return nodes.diagonal(x, 0, x.type.ndim - 2, x.type.ndim - 1)


def spread(v: Node) -> Node:
    """Matrices with the vectors on their diagonals."""
    shape = v.type.shape
    batch = tuple(nodes.index(f"b{k}") for k in range(len(shape) - 1))
    at = nodes.index("i")
    extents = tuple((f"b{k}", size) for k, size in enumerate(shape[:-1]))
    params = Einstein(
        (*batch, at, at), ((*batch, at),), (*extents, ("i", shape[-1])), (*shape, shape[-1])
    )
    return nodes.contraction(SPREAD, params, v)


def eye(like: Node) -> Node:
    """Identities as large as the last axis of `like`, of its batch."""
    shape = like.type.shape
    size = shape[-1]
    ones = nodes.full(array_type(like.type.dtype, (*shape[:-2], size)), 1)
    return spread(ones)


def row(v: Node) -> Node:
    """Vectors as rows."""
    return nodes.expand_dims(v, v.type.ndim - 1)


def column(v: Node) -> Node:
    """Vectors as columns."""
    return nodes.expand_dims(v, v.type.ndim)


def reciprocal_or_zero(x: Node) -> Node:
    """1 / x, and 0 where x is 0."""
    dtype = x.type.dtype
    zero = nodes.elementwise("equal", x, nodes.constant(0, dtype))
    safe = nodes.elementwise("where", zero, nodes.constant(1, dtype), x)
    inverse = nodes.elementwise(TABLE["divide"], nodes.constant(1, dtype), safe)
    return nodes.elementwise("where", zero, nodes.constant(0, dtype), inverse)


def gaps(w: Node) -> Node:
    """1 / (w[j] - w[i]) at [i, j], and 0 where the two are equal."""
    return reciprocal_or_zero(nodes.elementwise("subtract", row(w), column(w)))


def sums(s: Node) -> Node:
    """1 / (s[j] + s[i]) at [i, j], and 0 where both are 0."""
    return reciprocal_or_zero(nodes.add(row(s), column(s)))
