"""How many bytes live at each step, and which names must go so that they are few.

A local name keeps its array until the function returns. Where that would raise the peak above what
the steps need in this order, the names of dead arrays are deleted right before the step that would
raise it; elsewhere they stay, and the source is shorter. An expression's temporaries count while
its statement runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from codegen.plan.blocks import Blocks, direct
from codegen.plan.buffers import FOREVER, Buffers
from codegen.plan.steps import (
    Look,
    Offsets,
    Push,
    Rows,
    Sheet,
    Step,
    Sweep,
    Value,
    outs_of,
    values_of,
)
from codegen.plan.tiles import Region, scratch
from codegen.plan.uses import Uses
from codegen.record import struct
from codegen.types import Shape, Size, substitute

_BYTES = {"f64": 8, "f32": 4, "i64": 8, "i32": 4, "bool": 1}
# The size that an estimate assumes for a named size of which nothing is known.
_ASSUMED = 64
# A smaller peak is nobody's trouble, nor is a smaller array.
_LARGE_PEAK = 1 << 20
_LARGE_ARRAY = 1 << 14


@struct
class Memory:
    """held: the bytes of this function's arrays while each step runs, temporaries included.

    peak: the largest of them. least: the peak if every array went as soon as it is dead: no plan
    of these steps in this order needs less. dropped: for a position of the steps, the values whose
    names are deleted before it. released: the positions before which so is the buffer for columns,
    in which loops over images work.
    """

    held: list[int]
    peak: int
    least: int
    dropped: dict[int, list[Value]]
    released: set[int]


@struct
class _Storage:
    """An array that the function makes: when it is made and read last, the values in it, of which
    scratch has none, and the position before which its name goes, or is another array's."""

    bytes: int
    made: int
    dead: int
    values: list[Value]
    gone: int


def memory(
    sheet: Sheet,
    uses: Uses,
    inline: list[bool],
    places: Buffers,
    regions: Mapping[Step, Region | Blocks],
    sizes: Mapping[str, Size],
) -> Memory:
    """The bytes of each step by estimate: named sizes are what `sizes` expects."""

    storages, passing = _storages(sheet, uses, inline, places, regions, sizes)
    needed = _running(passing, ((s.made, s.dead, s.bytes) for s in storages))
    plan = Memory(needed, 0, max(needed, default=0), {}, set())
    if plan.least >= _LARGE_PEAK:
        _drop(plan, storages, passing)
    spans = ((s.made, s.gone - 1, s.bytes) for s in storages)
    plan.held = _running(passing, spans)
    plan.peak = max(plan.held, default=0)
    return plan


def _storages(
    sheet: Sheet,
    uses: Uses,
    inline: list[bool],
    places: Buffers,
    regions: Mapping[Step, Region | Blocks],
    sizes: Mapping[str, Size],
) -> tuple[list[_Storage], list[int]]:
    """The arrays that statements make, and the bytes of temporaries while each step runs."""
    count = len(sheet.steps)
    known: dict[tuple[Shape, str], int] = {}

    def bytes_of(value: Value) -> int:
        key = value.shape, value.dtype
        if key not in known:
            known[key] = _size(*key, sizes)
        return known[key]

    found: dict[Value, _Storage] = {}
    passing = [0] * count
    when = [-1] * len(sheet.values)
    last: dict[Value, int] = {}
    for at in range(count - 1, -1, -1):
        step = sheet.steps[at]
        # What is written inside an expression runs where that stands.
        runs = when[step.out.index] if inline[step.out.index] else at
        for operand in step.operands:
            if isinstance(operand, Value) and when[operand.index] < runs:
                when[operand.index] = runs
    tiled = {out for region in regions.values() for step in region.steps for out in outs_of(step)}
    pinned = {value for region in regions.values() for value in (*region.sliced, *region.leaving)}
    sums = (step.out for region in regions.values() for step in region.sums)
    leaving = {value for region in regions.values() for value in region.leaving}.union(sums)
    # A loop over tiles runs where its first step stands.
    starts: dict[Step, int] = {}
    for at, step in enumerate(sheet.steps):
        if step in regions:
            starts.update(dict.fromkeys(regions[step].steps, at))
    others = _columns(sheet, sizes)
    for first, region in regions.items():
        # Names of what a tile or a block is made in stay.
        if isinstance(region, Blocks):
            kept = _of_a_block(region, places, inline, sizes)
            passing[starts[first]] += max((bytes_of(s.out) for s in region.sums), default=0)
        else:
            kept = _of_tiles(region, places, inline, sizes)
        others.append(_Storage(kept, starts[first], FOREVER, [], FOREVER))
    roots = _roots(sheet, places)
    # What is computed inside a named view lives as long as that.
    looks = (step.out for step in sheet.steps if isinstance(step, Look))
    viewed = {roots[out.index] for out in looks if not inline[out.index]}
    for place, step in enumerate(sheet.steps):
        at = starts.get(step, place)
        if isinstance(step, Rows):
            windows = values_of(step)[0].shape
            passing[at] += _size((step.block, *windows[1:]), step.out.dtype, sizes)
        elif isinstance(step, Offsets):
            passing[at] += _of_an_offset(step, sizes)
        if isinstance(step, Rows | Sweep) and step.summing:
            passing[at] += bytes_of(step.out)
        for out in outs_of(step):
            index = out.index
            root = roots[index]
            if root.step is None or not places.owned[root.index]:
                continue
            if inline[index]:
                if not isinstance(step, Look) and out.shape and 0 <= when[index] < count:
                    if out not in tiled and out not in viewed:
                        passing[when[index]] += bytes_of(out)
                else:
                    last[root] = max(last.get(root, -1), when[index])
                continue
            if out in tiled and out not in leaving:
                continue
            storage = found.get(root)
            if storage is None:
                storage = found[root] = _Storage(bytes_of(root), at, at, [], FOREVER)
            storage.values.append(out)
            kept = uses.returned[index] or out in pinned
            storage.dead = max(storage.dead, FOREVER if kept else when[index])
    for root, at in last.items():
        if root in found:
            found[root].dead = max(found[root].dead, at)
    every = (*found.values(), *others)
    return [storage for storage in every if storage.bytes >= _LARGE_ARRAY], passing


def _of_tiles(
    region: Region, places: Buffers, inline: list[bool], sizes: Mapping[str, Size]
) -> int:
    """The bytes of what all tiles of a loop work in."""
    rows = scratch(region, places, inline).items()
    own = sum(value is row and value not in region.leaving for value, row in rows)
    return _size((own, region.rows, *region.shape[1:]), region.steps[0].out.dtype, sizes)


def _columns(sheet: Sheet, sizes: Mapping[str, Size]) -> list[_Storage]:
    """The buffers for columns: loops that follow one another share one, if it is of their shape."""
    found: list[_Storage] = []
    last: object = None
    for at, step in enumerate(sheet.steps):
        if isinstance(step, Sweep | Push):
            kind = (step.columns, step.flat, step.out.dtype)
            if kind != last:
                if found:
                    found[-1].gone = at + 1
                size = _size(step.columns, step.out.dtype, sizes)
                found.append(_Storage(size, at, at, [], FOREVER))
            found[-1].dead, last = at, kind
    return found


def _of_an_offset(step: Offsets, sizes: Mapping[str, Size]) -> int:
    """The bytes of what is made at each offset inside a window."""
    made = {inner.out: _size(inner.out.shape, inner.out.dtype, sizes) for inner in step.body}
    return max(
        (made[inner.out] + sum(made.get(v, 0) for v in values_of(inner)) for inner in step.body),
        default=0,
    )


def _of_a_block(
    region: Blocks, places: Buffers, inline: list[bool], sizes: Mapping[str, Size]
) -> int:
    """The bytes of what a block makes, but for what is made where it is to end."""
    elsewhere = {*direct(region, places, inline).values(), *(s.out for s in region.sums)}
    parts = 0
    for step in region.steps:
        out = step.out
        own = places.root[out.index] is out and places.inplace[out.index] is None
        if own and out not in elsewhere:
            parts += _size(region.of_a_block(out), out.dtype, sizes)
    return parts


def _roots(sheet: Sheet, places: Buffers) -> list[Value]:
    """For each value, that whose statement made its storage: through views, and what is computed in
    place."""
    roots = list(places.root)
    for step in sheet.steps:
        for out in outs_of(step):
            root = places.root[out.index]
            below = places.inplace[root.index] or places.reused[root.index]
            roots[out.index] = root if below is None else roots[below.index]
    return roots


def _running(passing: list[int], spans: Iterable[tuple[int, int, int]]) -> list[int]:
    """The bytes at each position, of arrays that live from one to another, and of temporaries."""
    change = [0] * (len(passing) + 1)
    for made, dead, size in spans:
        change[made] += size
        change[min(dead, len(passing) - 1) + 1] -= size
    held, total = [], 0
    for at, more in enumerate(passing):
        total += change[at]
        held.append(total + more)
    return held


def _drop(plan: Memory, storages: list[_Storage], passing: list[int]) -> None:
    """Deletes dead arrays, the oldest first, where a step would exceed the least peak."""
    made: dict[int, list[_Storage]] = {}
    for storage in storages:
        made.setdefault(storage.made, []).append(storage)
    dying: dict[int, list[_Storage]] = {}
    dead: list[_Storage] = []
    held = 0
    for at, more in enumerate(passing):
        held += sum(storage.bytes for storage in made.get(at, ()))
        dead += dying.pop(at - 1, ())
        rebound = [storage for storage in dead if storage.gone <= at]
        held -= sum(storage.bytes for storage in rebound)
        dead = [storage for storage in dead if storage.gone > at]
        while held + more > plan.least and dead:
            # All that are dead: fewer lines than one at a time.
            for storage in dead:
                held -= storage.bytes
                storage.gone = at
                if storage.values:
                    plan.dropped.setdefault(at, []).extend(storage.values)
                else:
                    plan.released.add(at)
            dead = []
        for storage in made.get(at, ()):
            if storage.dead < FOREVER:
                dying.setdefault(storage.dead, []).append(storage)
        # An array that nothing reads later dies with the step that makes it.


def _size(shape: Shape, dtype: str, sizes: Mapping[str, Size]) -> int:
    total = _BYTES.get(dtype, 8)
    for size in shape:
        known = size
        if not isinstance(size, int):
            known = substitute(size, {name: sizes.get(name, _ASSUMED) for name in size.names})
        total *= known if isinstance(known, int) else _ASSUMED
    return total
