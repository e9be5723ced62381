"""The least squared distance, of each point to many centres, without the matrix of all distances.

k-means, nearest neighbours, chamfer distances: `min_j |x_i - c_j|^2`, spelled as a sum of squared
differences or as |x|^2 - 2 x c + |c|^2. Of all n k distances only the n least are ever used, also
by the gradient; which they are a search tells, and they are computed from differences, so that no
digit is lost to cancellation.
"""

from __future__ import annotations

from typing import NamedTuple

from codegen.program import Broadcast, Reshape, Transpose
from graphc import nodes
from graphc.ir import Node
from graphc.ops.kinds import Axes, Contraction, Einstein
from graphc.ops.reductions import REDUCTIONS
from graphc.rewrite.patterns import operand_of, operands_of, square_of, sum_of
from graphc.rewrite.products import Lone
from graphc.rewrite.walk import uniform
from graphc.searches import nearest
from graphc.types import FLOATING, Shape, array_type, product

# Fewer distances are computed sooner than the search for the least of them begins.
FEW = 1 << 16


class Rows(NamedTuple):
    """The rows of a matrix, or its columns: those along `axis`."""

    matrix: Node
    axis: int


def nearest_centre(node: Node, lone: Lone) -> Node | None:
    """min over j of |x_i - c_j|^2 -> the distances of the pairs that a search found nearest.

    node: a minimum over one axis of distances that nothing else uses. Centres at the same least
    distance share the gradient evenly, as in the minimum itself. Where sizes are known, only for
    2**16 distances and more.
    """
    params = node.params
    distances = node.inputs[0]
    # What else knows the distances may compare them with their minimum.
    if node.op != REDUCTIONS["min"] or not lone(distances):
        return None
    if not isinstance(params, Axes) or distances.type.ndim != 2 or len(params.axes) != 1:
        return None
    count = product(distances.type.shape)
    if distances.type.dtype not in FLOATING or (isinstance(count, int) and count < FEW):
        return None
    parts = _of_differences(distances) or _of_products(distances)
    if parts is None:
        return None
    points, centres = parts if params.axes == (1,) else parts[::-1]
    return nodes.reshape(_least(_matrix(points), _matrix(centres)), node.type.shape)


def _least(points: Node, centres: Node) -> Node:
    """The squared distance of each point to its nearest centre."""
    point, centre, share = nearest(points, centres)
    rows = (True, False)
    apart = nodes.elementwise(
        "subtract", nodes.gather(points, (point,), rows), nodes.gather(centres, (centre,), rows)
    )
    distance = nodes.sum_(nodes.multiply(apart, apart), (1,))
    zeros = nodes.zeros(array_type(points.type.dtype, points.type.shape[:1]))
    return nodes.scatter(zeros, nodes.multiply(share, distance), (point,), (True,))


def _matrix(rows: Rows) -> Node:
    return rows.matrix if rows.axis == 0 else nodes.transpose(rows.matrix, (1, 0))


def _rows(x: Node, axis: int) -> Rows:
    """The rows of x along an axis, those of what it is a transpose of."""
    while isinstance(params := x.params, Transpose):
        x, axis = x.inputs[0], params.axes[axis]
    return Rows(x, axis)


# -- sums of squared differences -------------------------------------------------------------------


def _of_differences(node: Node) -> tuple[Rows, Rows] | None:
    """The rows of x and of c in sum((x[:, None] - c)**2, axis), along the node's axes 0 and 1."""
    found = _squares(node)
    if found is None or found[0].type.ndim != 3:
        return None
    apart, axis = found
    parts = operands_of(apart, "subtract")
    if parts is None:
        return None
    first, second = (k for k in range(3) if k != axis)
    for x, c in (parts, parts[::-1]):
        one = _thin(x, apart.type.shape, first, axis)
        other = _thin(c, apart.type.shape, second, axis)
        if one is not None and other is not None:
            return one, other
    return None


def _squares(node: Node) -> tuple[Node, int] | None:
    """(x, axis) where the node is the sum of x * x over one axis."""
    summed = sum_of(node)
    if summed is not None:
        x = square_of(summed[0])
        return None if x is None or len(summed[1]) != 1 else (x, summed[1][0])
    params = node.params
    if not isinstance(params, Einstein) or params.body is not None or len(node.inputs) != 2:
        return None
    own = [affine.index for affine in params.operands[0]]
    out = [affine.index for affine in params.out]
    same = node.inputs[0] is node.inputs[1] and params.operands[0] == params.operands[1]
    gone = [k for k, name in enumerate(own) if name not in out]
    bare = None not in own and len(set(own)) == len(own) == len(params.extents)
    if not same or not bare or len(gone) != 1 or [n for n in own if n in out] != out:
        return None
    return node.inputs[0], gone[0]


def _thin(x: Node, shape: Shape, axis: int, along: int) -> Rows | None:
    """The rows of x[i, 1, a] (its axes in any order): it varies along these two axes alone."""
    if isinstance(x.params, Broadcast):
        x = x.inputs[0]
    own = (1,) * (len(shape) - x.type.ndim) + x.type.shape
    if any(size != (shape[k] if k in (axis, along) else 1) for k, size in enumerate(own)):
        return None
    flat = tuple(own[k] for k in sorted((axis, along)))
    if isinstance(x.params, Reshape) and x.inputs[0].type.shape == flat:
        x = x.inputs[0]
    return _rows(nodes.reshape(x, flat), int(axis > along))


# -- squares and products --------------------------------------------------------------------------


def _of_products(node: Node) -> tuple[Rows, Rows] | None:
    """The rows of x and of c in |x|^2 - 2 x c + |c|^2, along the node's axes 0 and 1."""
    terms = _terms(node)
    crossed = [(factor, _product(term)) for factor, term in terms]
    pairs = [rows for factor, rows in crossed if rows is not None and factor == -2.0]
    squares = [
        term for (factor, term), (_, rows) in zip(terms, crossed, strict=True) if rows is None
    ]
    if len(terms) != 3 or len(pairs) != 1:
        return None
    (pair,) = pairs
    if any(factor != 1.0 for factor, rows in crossed if rows is None):
        return None
    for one, other in (squares, squares[::-1]):
        if _norms(one, node.type.shape, 0) == pair[0] and (
            _norms(other, node.type.shape, 1) == pair[1]
        ):
            return pair
    return None


def _terms(node: Node) -> list[tuple[float, Node]]:
    """The terms of a sum with their factors; at most four, which is more than is looked for."""
    found: list[tuple[float, Node]] = []
    stack = [(1.0, node)]
    while stack and len(found) < 4:
        factor, x = stack.pop()
        if isinstance(x.params, Broadcast):
            stack.append((factor, x.inputs[0]))
            continue
        inner = operand_of(x, "negative")
        added, taken = operands_of(x, "add"), operands_of(x, "subtract")
        product = operands_of(x, "multiply")
        scales = [uniform(part) for part in product or ()]
        if inner is not None:
            stack.append((-factor, inner))
        elif added is not None:
            stack += [(factor, part) for part in added]
        elif taken is not None:
            stack += [(factor, taken[0]), (-factor, taken[1])]
        elif product is not None and scales[0] is not None:
            stack.append((factor * scales[0], product[1]))
        elif product is not None and scales[1] is not None:
            stack.append((factor * scales[1], product[0]))
        else:
            found.append((factor, x))
    return found


def _product(node: Node) -> tuple[Rows, Rows] | None:
    """The rows of x and of c in x @ c.T, along the node's axes 0 and 1."""
    params = node.params
    if not isinstance(node.op, Contraction) or not isinstance(params, Einstein):
        return None
    if params.body is not None or len(node.inputs) != 2 or len(params.out) != 2:
        return None
    if len(params.extents) != 3:
        return None
    found: list[Rows] = []
    for out in params.out:
        for x, indices in zip(node.inputs, params.operands, strict=True):
            if out.index is not None and len(indices) == 2 and out in indices:
                found.append(_rows(x, indices.index(out)))
    own = [{affine.index for affine in indices} for indices in params.operands]
    bare = all(len(names) == 2 and None not in names for names in own)
    return (found[0], found[1]) if bare and len(found) == 2 and len(own[0] & own[1]) == 1 else None


def _norms(node: Node, shape: Shape, axis: int) -> Rows | None:
    """The rows whose squares the node sums, where they lie along this axis of the distances."""
    own = (1,) * (2 - node.type.ndim) + node.type.shape
    if own != tuple(size if k == axis else 1 for k, size in enumerate(shape)):
        return None
    while isinstance(node.params, Reshape):
        node = node.inputs[0]
    found = _squares(node)
    if found is None or found[0].type.ndim != 2:
        return None
    x, summed = found
    return _rows(x, 1 - summed)
