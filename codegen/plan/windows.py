"""Affine indices: windows on what a contraction reads, and adding into what it writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from codegen.expr import Extent
from codegen.plan.steps import (
    Assemble,
    At,
    Index,
    Invoke,
    Look,
    Offsets,
    Put,
    Same,
    Sheet,
    Span,
    Strip,
    Value,
    Window,
)
from codegen.program import Affine, Diagonal
from codegen.types import Shape, Size, size_max

Extents = Mapping[str, Size]


class Factor(NamedTuple):
    """A value whose axes are named by distinct indices."""

    value: Value
    names: tuple[str, ...]


def _range(index: Affine, extents: Extents) -> tuple[Size, Size]:
    """The lowest and the highest position that the index reaches."""
    low: Size = index.offset
    high: Size = index.offset
    for name, coefficient in index.terms:
        reach = (extents[name] - 1) * coefficient
        if coefficient < 0:
            low = low + reach
        else:
            high = high + reach
    return low, high


def _margins(index: Affine, size: Size, extents: Extents) -> tuple[Size, Size]:
    """How far the index reaches before and behind an axis of this size."""
    if index.index is not None and extents[index.index] == size:
        return 0, 0
    low, high = _range(index, extents)
    return size_max(0, -low), size_max(0, high - size + 1)


def _interior(margins: list[tuple[Size, Size]], shape: Shape) -> tuple[tuple[Span, ...], Shape]:
    """The region of an array of `shape` inside its padded form, and the padded shape."""
    padded = tuple(b + n + a for n, (b, a) in zip(shape, margins, strict=True))
    spans = zip(margins, shape, padded, strict=True)
    return tuple(Span(before, n, 1, total) for (before, _), n, total in spans), padded


# -- reading ---------------------------------------------------------------------------------------


def reaches_out(value: Value, indices: tuple[Affine, ...], extents: Extents) -> bool:
    """Whether an index would read outside the value, so that it is copied into zeros."""
    pairs = zip(indices, value.shape, strict=True)
    return any(_margins(index, n, extents) != (0, 0) for index, n in pairs)


def read(
    sheet: Sheet,
    value: Value,
    indices: tuple[Affine, ...],
    extents: Extents,
    order: tuple[str, ...] = (),
) -> Factor:
    """The value as an array with one axis a name; zero where an index would read outside it.
    order: that of the axes of windows, where it is not that of the indices."""
    sizes = tuple(extents[name] for index in indices for name, _ in index.terms)
    key = (value, indices, sizes, order)
    known = sheet.seen.get(key)
    if known is None:
        known = sheet.seen[key] = _read(sheet, value, indices, extents, order)
    assert isinstance(known, Factor)
    return known


def _read(
    sheet: Sheet,
    value: Value,
    indices: tuple[Affine, ...],
    extents: Extents,
    order: tuple[str, ...],
) -> Factor:
    margins = [_margins(i, n, extents) for i, n in zip(indices, value.shape, strict=True)]
    if any(margin != (0, 0) for margin in margins):
        region, padded = _interior(margins, value.shape)
        step = Assemble(
            sheet.value(value.dtype, padded), (value,), sheet.note, sheet.tag,
            0, (region,), False, False,
        )  # fmt: skip
        value = sheet.add(step)
    starts: tuple[Size, ...] = tuple(
        i.offset + before for i, (before, _) in zip(indices, margins, strict=True)
    )
    names = tuple(dict.fromkeys(name for index in indices for name, _ in index.terms))
    shape = tuple(extents[name] for name in names)
    if all(index.index for index in indices) and shape == value.shape:
        return Factor(value, names)
    diagonal = _diagonal(sheet, value, indices, names, extents)
    if diagonal is not None:
        return diagonal
    if sum(len(index.terms) for index in indices) == len(names) and _plain(indices):
        entries = [
            Span(start, extents[index.terms[0][0]], index.terms[0][1], size)
            if index.terms
            else At(start)
            for index, start, size in zip(indices, starts, value.shape, strict=True)
        ]
        return Factor(sheet.look(value, Index(tuple(entries)), shape), names)
    if order:
        names, shape = order, tuple(extents[name] for name in order)
    steps = tuple(tuple(dict(index.terms).get(name, 0) for index in indices) for name in names)
    return Factor(sheet.look(value, Window(starts, steps), shape), names)


def _plain(indices: tuple[Affine, ...]) -> bool:
    """Whether every axis is read by at most one index, forwards."""
    return all(len(i.terms) <= 1 and all(c > 0 for _, c in i.terms) for i in indices)


def _diagonal(
    sheet: Sheet,
    value: Value,
    indices: tuple[Affine, ...],
    names: tuple[str, ...],
    extents: Extents,
) -> Factor | None:
    """x[i, i]: the diagonal of two axes, where all indices are bare and only one repeats."""
    bare = [index.index for index in indices]
    if len(bare) != len(names) + 1 or any(name is None for name in bare):
        return None
    if any(extents[str(name)] != n for name, n in zip(bare, value.shape, strict=True)):
        return None
    twice = next(name for name in names if bare.count(name) == 2)
    first = bare.index(twice)
    second = bare.index(twice, first + 1)
    rest = tuple(name for name in names if name != twice)
    kept = (*rest, twice)
    shape = tuple(extents[name] for name in kept)
    return Factor(sheet.look(value, Diagonal(0, first, second), shape), kept)


# -- writing ---------------------------------------------------------------------------------------


class Target(NamedTuple):
    """How a result that has affine indices is written.

    names: the indices of the plain array that is computed first, in the best order.
    loops: those of them that are looped over; main: for each axis, the index that is a slice.
    """

    names: tuple[str, ...]
    loops: tuple[str, ...]
    main: tuple[str | None, ...]


def target(indices: tuple[Affine, ...], extents: Extents, expected: Mapping[str, int]) -> Target:
    """Which indices are slices of the result, and which are looped over."""
    axes_of: dict[str, int] = {}
    for index in indices:
        for name, _ in index.terms:
            axes_of[name] = axes_of.get(name, 0) + 1

    def rank(term: tuple[str, int]) -> tuple[bool, bool, float]:
        name, coefficient = term
        size = extents[name]
        if not isinstance(size, int):
            known = expected.get(str(size))
            return axes_of[name] == 1, coefficient > 0, float("inf") if known is None else known
        return axes_of[name] == 1, coefficient > 0, size

    main: list[str | None] = []
    for index in indices:
        best = max(index.terms, key=rank, default=None)
        usable = best is not None and rank(best)[:2] == (True, True)
        main.append(best[0] if best is not None and usable else None)
    slices = [name for name in main if name is not None]
    terms = [name for index in indices for name, _ in index.terms]
    loops = tuple(dict.fromkeys(name for name in terms if name not in slices))
    # Loops stand together before the slices that they move: so they are columns of one product.
    axis = next((k for k, index in enumerate(indices) if len(index.terms) > 1), None)
    if axis is None:
        return Target(tuple(dict.fromkeys(terms)), loops, tuple(main))
    before = sum(name is not None for name in main[:axis])
    names = (*slices[:before], *loops, *slices[before:])
    return Target(names, loops, tuple(main))


def placed(
    indices: tuple[Affine, ...], shape: Shape, extents: Extents, to: Target
) -> tuple[tuple[Strip, ...], tuple[Span, ...], Shape]:
    """Where each offset's slices are added: the strips, in an array with margins; the part of it
    that is the result; and its shape."""
    margins = [_margins(i, n, extents) for i, n in zip(indices, shape, strict=True)]
    region, padded = _interior(margins, shape)
    entries: list[Strip] = []
    for index, chosen, (before, _) in zip(indices, to.main, margins, strict=True):
        loops = tuple(term for term in index.terms if term[0] != chosen)
        step = dict(index.terms)[chosen] if chosen is not None else 0
        size = extents[chosen] if chosen is not None else 1
        entries.append(Strip(loops, index.offset + before, step, size))
    return tuple(entries), region, padded


def picked(names: Iterable[str], loops: tuple[str, ...], shape: Shape) -> tuple[Strip, ...]:
    """The part of an array with axes `names` at one value of the loops."""
    return tuple(
        Strip(((name, 1),), 0, 0, 1) if name in loops else Strip((), 0, 1, size)
        for name, size in zip(names, shape, strict=True)
    )


def write(
    sheet: Sheet,
    plain: Value,
    indices: tuple[Affine, ...],
    shape: Shape,
    extents: Extents,
    to: Target,
) -> Value:
    """The array of `shape`, zero but where `plain` is added at the affine indices."""
    diagonal = _write_diagonal(sheet, plain, indices, shape, extents, to)
    if diagonal is not None:
        return diagonal
    entries, region, padded = placed(indices, shape, extents, to)
    out = sheet.value(plain.dtype, padded)
    if to.loops:
        part = picked(to.names, to.loops, plain.shape)
        rest = [n for name, n in zip(to.names, plain.shape, strict=True) if name not in to.loops]
        slab = sheet.value(plain.dtype, tuple(rest))
        looped = tuple((name, extents[name]) for name in to.loops)
        adding = Offsets(
            out, (plain,), sheet.note, sheet.tag,
            looped, (part,), (slab,), (), "sum", entries,
        )  # fmt: skip
        sheet.add(adding)
    else:
        spans = tuple(
            Span(entry.start, entry.size, entry.step, n) if entry.step else At(entry.start)
            for entry, n in zip(entries, padded, strict=True)
        )
        sheet.add(Assemble(out, (plain,), sheet.note, sheet.tag, 0, (spans,), False, False))
    if padded == shape:
        return out
    return sheet.look(out, Index(region), shape)


def _write_diagonal(
    sheet: Sheet,
    plain: Value,
    indices: tuple[Affine, ...],
    shape: Shape,
    extents: Extents,
    to: Target,
) -> Value | None:
    """out[i, i] = plain[i]: bare indices, one of which stands on neighbouring axes."""
    bare = [index.index for index in indices]
    if any(name is None for name in bare) or len(to.loops) != 1:
        return None
    twice = to.loops[0]
    axes = [axis for axis, name in enumerate(bare) if name == twice]
    fits = all(extents[str(name)] == n for name, n in zip(bare, shape, strict=True))
    if not fits or axes != list(range(axes[0], axes[-1] + 1)):
        return None
    size = extents[twice]
    rows = sheet.value("i64", (size,), f"{twice}_index")
    count = sheet.value("int?", ())
    count.py = True
    sheet.add(Look(count, (Extent(size),), sheet.note, sheet.tag, Same()))
    sheet.add(Invoke(rows, (count,), sheet.note, sheet.tag, "np.arange", (), (rows,)))
    pattern = tuple(name == twice for name in bare)
    out = sheet.value(plain.dtype, shape)
    operands = (plain, *[rows] * len(axes))
    return sheet.add(Put(out, operands, sheet.note, sheet.tag, pattern, "set", True, False))


def is_window(value: Value) -> bool:
    """Whether the value is a view of windows."""
    return isinstance(value.step, Look) and isinstance(value.step.kind, Window)
