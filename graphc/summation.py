"""An index formula, summed literally: the interpreter's evaluation of an `Einstein`.

    y[out] = sum over every index that `out` lacks of body(operand 0 at operands[0], ...)

All positions of all indices are visited (in blocks of a bounded size), each operand is read at its
index expressions, and each term is added where the output's index expressions say. A term that
would read or write outside an array is absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from codegen.expr import Expr
from codegen.program import Affine
from graphc.ops.kinds import Einstein
from graphc.scalars import evaluate_expr, known
from graphc.types import Size

Array = np.ndarray[Any, Any]

# Visited at once; more is done in a loop over the outermost indices.
BLOCK = 1 << 20


def einstein(params: Einstein, args: Sequence[Array], sizes: Mapping[str, Size]) -> Array:
    """The formula's value; the dtype is that of the operands."""
    extents = {name: known(size, sizes) for name, size in params.extents}
    shape = tuple(known(size, sizes) for size in params.shape)
    if _is_plain(params, args, extents, shape):
        return _plain(params, args)
    result = np.zeros(shape, dtype=np.result_type(*args))
    if any(0 in arg.shape for arg in args):
        return result  # every read would be outside
    names = list(extents)
    outer = 0
    while outer < len(names) and _count(extents[name] for name in names[outer:]) > BLOCK:
        outer += 1
    inner = names[outer:]
    grids = np.meshgrid(*(np.arange(extents[name]) for name in inner), indexing="ij")
    for fixed in product(*(range(extents[name]) for name in names[:outer])):
        at: dict[str, Any] = dict(zip(names[:outer], fixed, strict=True))
        at.update(zip(inner, grids, strict=True))
        _add_block(params, args, at, tuple(extents[name] for name in inner), result, sizes)
    return result


def _add_block(
    params: Einstein,
    args: Sequence[Array],
    at: Mapping[str, Any],
    block: tuple[int, ...],
    result: Array,
    sizes: Mapping[str, Size],
) -> None:
    present = np.ones(block, dtype=bool)
    read: list[Any] = []
    for arg, expressions in zip(args, params.operands, strict=True):
        positions = _positions(expressions, at, arg.shape, block, present)
        read.append(arg[positions])
    target = _positions(params.out, at, result.shape, block, present)
    term = np.broadcast_to(_body(params.body, read, sizes), block).astype(result.dtype)
    if not target:
        result[()] += term[present].sum()  # add.at knows no index of no axes
        return
    np.add.at(result, tuple(p[present] for p in target), term[present])


def _positions(
    expressions: Sequence[Affine],
    at: Mapping[str, Any],
    shape: tuple[int, ...],
    block: tuple[int, ...],
    present: Array,
) -> tuple[Array, ...]:
    """The index arrays of one operand; `present` loses what lies outside, read at position 0."""
    found = []
    for expression, size in zip(expressions, shape, strict=True):
        where: Any = expression.offset
        for name, coefficient in expression.terms:
            where = where + coefficient * at[name]
        position = np.broadcast_to(np.asarray(where), block)
        inside = (position >= 0) & (position < size)
        present &= inside
        found.append(np.where(inside, position, 0))
    return tuple(found)


def _body(body: Expr | None, read: Sequence[Any], sizes: Mapping[str, Size]) -> Any:
    if body is None:
        total: Any = 1
        for value in read:
            total = total * value
        return total
    return evaluate_expr(body, {str(k): value for k, value in enumerate(read)}, sizes)


def _is_plain(
    params: Einstein, args: Sequence[Array], extents: Mapping[str, int], shape: tuple[int, ...]
) -> bool:
    """Whether this is a product of operands at bare indices that cover them: NumPy's own einsum."""
    if params.body is not None:
        return False
    covered: set[str | None] = set()
    for expressions, sizes in [
        *zip(params.operands, (arg.shape for arg in args), strict=True),
        (params.out, shape),
    ]:
        for expression, size in zip(expressions, sizes, strict=True):
            if expression.index is None or extents[expression.index] != size:
                return False
    for expressions in params.operands:
        covered.update(expression.index for expression in expressions)
    out = [expression.index for expression in params.out]
    return covered == set(extents) and len(set(out)) == len(out) and len(extents) <= 26


def _plain(params: Einstein, args: Sequence[Array]) -> Array:
    number = {name: k for k, (name, _) in enumerate(params.extents)}
    operands: list[Any] = []
    for arg, expressions in zip(args, params.operands, strict=True):
        operands += [arg, [number[expression.index or ""] for expression in expressions]]
    out = [number[expression.index or ""] for expression in params.out]
    return np.asarray(np.einsum(*operands, out))


def _count(extents: Any) -> int:
    total = 1
    for extent in extents:
        total *= extent
    return total
