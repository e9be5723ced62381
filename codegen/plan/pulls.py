"""A product that is added at affine indices, as a product with windows: pulled, not pushed.

dx[n,c,i+k-p] += dy[n,o,i] W[o,c,k]      is      dx[n,c,j] = dy[n,o,j-k+p] W[o,c,k]

where dy is zero outside its axes. The first makes the products of all windows and adds them up; the
second copies windows of dy, and has one matrix product. Where dy has fewer channels than the result
that is less to move.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from codegen.program import Affine
from codegen.types import Shape, Size

# Copying an element costs half of adding it up.
_WORTH = 2


class Pulled(NamedTuple):
    """The same contraction with plain indices on its left side."""

    out: tuple[Affine, ...]
    operands: tuple[tuple[Affine, ...], ...]
    extents: dict[str, Size]
    numbers: dict[str, int]


def pulled(
    out: tuple[Affine, ...],
    operands: tuple[tuple[Affine, ...], ...],
    shape: Shape,
    extents: Mapping[str, Size],
    numbers: Mapping[str, int],
) -> Pulled | None:
    """The indices of the pulled form; None where there is none, or it is not worth it."""
    if len(operands) != 2 or any(len(index.terms) not in (1, 2) for index in out):
        return None
    named = [{name for index in operand for name, _ in index.terms} for operand in operands]
    written = [name for index in out for name, _ in index.terms]
    summed = (named[0] & named[1]).difference(written)
    if not summed or len(set(written)) != len(written):
        return None
    moved: dict[str, Affine] = {}
    far: set[str] = set()
    new_out: list[Affine] = []
    new_extents, new_numbers = dict(extents), dict(numbers)
    for index, size in zip(out, shape, strict=True):
        if index.index is not None:
            new_out.append(index)
            continue
        if len(index.terms) != 2:
            return None
        (a, step), (b, other) = sorted(index.terms, key=lambda term: -numbers[term[0]])
        if step != 1:
            return None
        j = f"{a}_"
        while j in new_extents:
            j += "_"
        new_extents[j] = size
        new_numbers[j] = numbers[a] + abs(other) * (numbers[b] - 1)
        if isinstance(size, int):
            new_numbers[j] = size
        moved[a] = Affine(((j, 1), (b, -other)), -index.offset)
        far.add(b)
        new_out.append(Affine(((j, 1),)))
    source = next((k for k in (0, 1) if set(moved) <= named[k]), None)
    if source is None or far & named[source] or named[1 - source] & set(moved):
        return None
    if any(index.index is None for operand in operands for index in operand):
        return None
    push = pull = 1
    for name in named[0] | named[1]:
        push *= numbers[name] if name in written else 1
    for name in (named[source] - set(moved)) | far:
        pull *= numbers[name]
    for index in moved.values():
        pull *= new_numbers[index.terms[0][0]]
    if pull > _WORTH * push:
        return None
    new_operands = tuple(
        tuple(moved.get(index.index or "", index) for index in operand) for operand in operands
    )
    for a in moved:
        del new_extents[a], new_numbers[a]
    return Pulled(tuple(new_out), new_operands, new_extents, new_numbers)
