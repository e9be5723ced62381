"""Which steps run tile by tile, so that what they make stays in the cache.

A chain of elementwise steps on large arrays reads and writes main memory once a step. Run for a few
thousand elements at a time it reads its operands once, and writes its results once. A region is the
elementwise steps over one shape, with the sums of all their elements, that may run together: no
other step stands between two of them. What they need of other steps comes before the loop, what
needs them comes after it.

Only shapes whose size is known, or expected (`Options.sizes`), are tiled: the loop is right for
every size, but costs a little where one tile would do. The tile's size depends on the dtype and on
`Options.cache_bytes` alone, so that sums are the same on every machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Set
from itertools import groupby

from codegen.expr import Extent, Number
from codegen.infer import weak
from codegen.plan.buffers import Buffers
from codegen.plan.steps import Apply, Fold, Invoke, Look, Sheet, Step, Value, outs_of, values_of
from codegen.plan.uses import Uses
from codegen.program import Options
from codegen.types import Shape, Size, product, substitute

_BYTES = {"f64": 8, "f32": 4, "i64": 8, "i32": 4, "bool": 1}
# A tile of one array takes this part of the cache: a long chain has several alive at once.
_SHARE = 4
# Arrays of a region that together take so many caches no longer stay in the next one. At sixteen a
# pass costs there what it does in tiles, at thirty-two two and a half times that.
_TOGETHER = 24
# A smaller region saves memory at most. It does where this many arrays, of so many caches, live at
# once that nothing outside needs: of those only a tile is ever there.
_HIDDEN, _HIDDEN_CACHES = 3, 2
# Arrays of fewer caches are not worth waking a thread.
_FOR_THREADS = 4
# Up to so many tiles are equally long, but for whole lines of the cache, of so many bytes: a last
# short one would cost as many calls as the others.
_FEW, _LINE = 16, 64
# Fewer passes over memory are not worth a loop.
_FEWEST = 3
_DOTS = frozenset({"np.dot", "np.vdot"})


class Region:
    """Steps that run together, in tiles along the first axis.

    shape: what all of them work on; rows: how much of its first axis is a tile.
    sliced: values from outside that are cut as the tile is; leaving: values that are read outside;
    sums: the steps that add up over all tiles. threads: whether several may share the work.
    """

    __slots__ = ("leaving", "rows", "shape", "sliced", "steps", "sums", "threads")

    def __init__(self, shape: Shape, rows: int, steps: list[Step]) -> None:
        self.shape = shape
        self.rows = rows
        self.steps = steps
        self.sliced: list[Value] = []
        self.leaving: list[Value] = []
        self.sums: list[Step] = []
        self.threads = False


def tiles(
    sheet: Sheet,
    uses: Uses,
    inline: list[bool],
    options: Options,
    apart: Set[Step] = frozenset(),
    donated: Set[int] = frozenset(),
) -> dict[Step, Region]:
    """The regions, by the first of their steps; the sheet is put in an order in which each stands
    together. What an expression in the loop would compute anew for each tile gets a statement.

    apart: steps of other loops, which stay where they are. donated: arguments, by value index,
    whose storage the caller gives away.
    """
    sizes = dict(options.sizes)
    rows: dict[tuple[Shape, str], int] = {}
    found: dict[Step, Region] = {}

    def ordered(pending: list[Step]) -> Iterator[Step]:
        """The steps, with regions that stand together."""
        while pending:
            region, before, after = _split(pending, rows, sizes, options)
            if region is None:
                yield from pending
                return
            members = set(region.steps)
            if not _is_worth_it(region, members, uses, options, donated):
                # Too little to gain: its first step stands alone, and the search goes on behind it.
                cut = pending.index(region.steps[0]) + 1
                yield from pending[:cut]
                pending = pending[cut:]
                continue
            _close(region, members, uses, inline)
            yield from before
            yield from region.steps
            found[region.steps[0]] = region
            pending = after

    steps: list[Step] = []
    for together, stretch in groupby(sheet.steps, apart.__contains__):
        some = list(stretch)
        steps.extend(some if together else ordered(some))
    if found:
        sheet.steps[:] = steps
    return found


def settle(regions: Mapping[Step, Region], places: Buffers) -> None:
    """No storage is lent that is as small as a tile; and no tile is written into storage that the
    next one reads elsewhere: z += z.T."""
    inside = {out for region in regions.values() for step in region.steps for out in outs_of(step)}
    for index, spare in enumerate(places.reused):
        if spare is not None and spare in inside:
            places.reused[index] = None
    for region in regions.values():
        entering = {v for step in region.steps for v in values_of(step)} - inside
        roots = Counter(places.root[value.index] for value in entering)
        for step in region.steps:
            place = places.inplace[step.out.index]
            if place in entering and roots[places.root[place.index]] > 1:
                places.inplace[step.out.index] = None


def scratch(region: Region, places: Buffers, inline: list[bool]) -> dict[Value, Value]:
    """For each value that starts a chain in storage of its own: the value whose storage that is.

    A value that maps to itself needs a row of scratch; one that maps to a leaving value works where
    that is to end; any other works in the row of an earlier value, which is dead by then.
    """
    made = {step.out for step in region.steps}
    start: dict[Value, Value] = {}
    for step in region.steps:
        place = places.inplace[step.out.index]
        start[step.out] = start.get(place, place) if place is not None else step.out
    last: dict[Value, int] = {}
    read: dict[Value, int] = {}
    for at, step in reversed(list(enumerate(region.steps))):
        # What is inlined reads its operands where its reader stands.
        then = read.get(step.out, at) if inline[step.out.index] else at
        for operand in values_of(step):
            if operand in made:
                read[operand] = max(then, read.get(operand, then))
                last[start[operand]] = max(then, last.get(start[operand], then))
    ends = {start[value]: value for value in region.leaving}
    rows: dict[Value, Value] = {}
    free: list[Value] = []
    dying: dict[int, list[Value]] = {}
    for at, step in enumerate(region.steps):
        out = step.out
        for row in dying.pop(at - 1, ()):
            free.append(row)
        if start[out] is not out or inline[out.index] or not _has_scratch(step, region):
            continue
        if out in ends:
            rows[out] = ends[out]
            continue
        rows[out] = free.pop() if free else out
        dying.setdefault(last.get(out, at), []).append(rows[out])
    return rows


def _has_scratch(step: Step, region: Region) -> bool:
    """Whether the step writes into storage that it is given."""
    dtype = region.steps[0].out.dtype
    return isinstance(step, Apply) and step.function.ufunc and step.out.dtype == dtype


def _split(
    steps: list[Step],
    rows: dict[tuple[Shape, str], int],
    sizes: Mapping[str, Size],
    options: Options,
) -> tuple[Region | None, list[Step], list[Step]]:
    """The first region, the steps that come before it, and those that come after."""
    region: Region | None = None
    before: list[Step] = []
    after: list[Step] = []
    inside: set[Value] = set()
    later: set[Value] = set()
    for step in steps:
        operands = values_of(step)
        if region is None:
            count = _rows(step, rows, sizes, options)
            if not count or not _fits(step, step.out.shape, inside):
                before.append(step)
                continue
            region = Region(step.out.shape, count, [])
        if not later.isdisjoint(operands):
            after.append(step)
            later.update(outs_of(step))
        elif _fits(step, region.shape, inside):
            region.steps.append(step)
            inside.add(step.out)
        elif _adds_up(step, region.shape) and not inside.isdisjoint(operands):
            region.steps.append(step)
            region.sums.append(step)
            later.add(step.out)
        elif inside.isdisjoint(operands):
            before.append(step)
        else:
            after.append(step)
            later.update(outs_of(step))
    return region, before, after


def _rows(
    step: Step,
    known: dict[tuple[Shape, str], int],
    sizes: Mapping[str, Size],
    options: Options,
) -> int:
    """How many rows of the step's result are a tile; 0 where it is not worth tiles."""
    out = step.out
    if not isinstance(step, Apply) or not out.shape or out.dtype not in ("f64", "f32"):
        return 0
    if out.shape[0] == 1:
        # Nothing to cut, and no operand that says how long a tile is.
        return 0
    key = (out.shape, out.dtype)
    rows = known.get(key)
    if rows is None:
        rows = 0
        count = substitute(product(out.shape), sizes)
        width = product(out.shape[1:])
        most = options.cache_bytes // _SHARE // _BYTES[out.dtype]
        large = isinstance(count, int) and count > most
        if large and isinstance(width, int) and width <= most // 8:
            line = _LINE // _BYTES[out.dtype] if width == 1 else 1
            rows = _even(out.shape[0], most // width, line)
        known[key] = rows
    return rows


def _even(extent: Size, rows: int, line: int) -> int:
    """The rows of a tile: `rows`, or some less, in whole lines, that make tiles equally long."""
    if not isinstance(extent, int) or extent > _FEW * rows:
        return rows
    tiles = -(-extent // rows)
    return -(-extent // (tiles * line)) * line


def _fits(step: Step, shape: Shape, inside: set[Value]) -> bool:
    """Whether an elementwise step computes a tile of its result from tiles of its operands."""
    if not isinstance(step, Apply) or step.out.shape != shape or step.out.dtype not in _BYTES:
        return False
    for operand in step.operands:
        if isinstance(operand, Value):
            if operand in inside or not operand.shape or _is_sliced(operand, shape):
                continue
            # Repeated along the first axis, it is the same for every tile.
            if len(operand.shape) == len(shape) and operand.shape[0] != 1:
                return False
        elif not isinstance(operand, Number | Extent):
            return False
    return True


def _is_sliced(value: Value, shape: Shape) -> bool:
    return len(value.shape) == len(shape) and value.shape[0] == shape[0] and shape[0] != 1


def _adds_up(step: Step, shape: Shape) -> bool:
    """Whether the step is a sum over all elements of arrays of the shape."""
    out = step.out
    if out.shape or out.dtype not in ("f64", "f32"):
        return False
    if any(not isinstance(o, Value) or o.shape != shape for o in step.operands):
        return False
    if isinstance(step, Fold):
        return step.fn == "sum" and step.axes == tuple(range(len(shape)))
    return isinstance(step, Invoke) and step.function in _DOTS


def _is_worth_it(
    region: Region, members: set[Step], uses: Uses, options: Options, donated: Set[int]
) -> bool:
    """Whether the loop saves enough passes over enough memory."""
    if sum(isinstance(step, Apply) for step in region.steps) + len(region.sums) < _FEWEST:
        return False
    waiting: dict[Value, int] = {}
    sliced: set[Value] = set()
    most = hidden = leaving = 0
    for step in region.steps:
        for operand in values_of(step):
            if operand in waiting:
                waiting[operand] -= 1
                if not waiting[operand]:
                    del waiting[operand]
            elif operand.step not in members and _is_sliced(operand, region.shape):
                sliced.add(operand)
        if step not in region.sums:
            # What leaves stays to the end.
            waiting[step.out] = uses.count(step.out)
            leaving += _leaves(step.out, members, uses)
        most = max(most, len(waiting))
        hidden = max(hidden, len(waiting) - leaving)
    count = substitute(product(region.shape), dict(options.sizes))
    assert isinstance(count, int)
    bytes_ = count * _BYTES[region.steps[0].out.dtype]
    region.threads = bytes_ >= _FOR_THREADS * options.cache_bytes
    # What is given away takes what leaves.
    given = min(leaving, sum(value.index in donated for value in sliced))
    if (len(sliced) + most - given) * bytes_ >= _TOGETHER * options.cache_bytes:
        return True
    return hidden >= _HIDDEN and hidden * bytes_ >= _HIDDEN_CACHES * options.cache_bytes


def _leaves(value: Value, members: set[Step], uses: Uses) -> bool:
    """Whether something outside reads the value."""
    return uses.returned[value.index] or not members.issuperset(uses.readers[value.index])


def _close(region: Region, members: set[Step], uses: Uses, inline: list[bool]) -> None:
    """What enters and what leaves the region."""
    entering: dict[Value, None] = {}
    for step in region.steps:
        for operand in values_of(step):
            if operand.step not in members:
                entering[operand] = None
        index = step.out.index
        if step in region.sums or _has_scratch(step, region):
            inline[index] = False
        if step in region.sums:
            continue
        if _leaves(step.out, members, uses):
            inline[index] = False
            region.leaving.append(step.out)
    for value in entering:
        if _is_sliced(value, region.shape):
            region.sliced.append(value)
        made: object = value
        while isinstance(made, Value) and isinstance(made.step, Look):
            made = made.step.operands[0]
        if isinstance(made, Value) and not weak(made.dtype):
            inline[made.index] = False
