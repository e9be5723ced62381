"""Which steps run block by block along one axis, so that what they make stays in the cache.

A mixture's densities for 100 components, or a kernel between many points, are products of matrices
that are far larger than what goes in and what comes out. Run for some hundred samples at a time
they need no memory of their size, and what follows them finds them in the cache:

    for start in range(0, n, 256):
        scores = weights @ x[start : start + 256].T
        ...
        d_weights += d_scores @ x[start : start + 256]

So do the rows of a larger array, normalised each by sums of its own. A block region is grown from a
large matrix product, or from a step on such an array, for each axis of its result: any step that
walks along that axis, or sums over it, joins (`codegen.plan.labels` says how axes go through
steps). Sums over the axis are added up, block by block; what the function needs whole is written
part by part. The region that saves most is taken, where that is more than adding up costs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from codegen.infer import weak
from codegen.plan.buffers import Buffers
from codegen.plan.labels import adds_up, labels
from codegen.plan.steps import Apply, Fold, Look, Product, Sheet, Step, Value, outs_of, values_of
from codegen.plan.uses import Uses
from codegen.plan.workspace import may_be_told
from codegen.program import Options, Reshape
from codegen.types import Shape, Size, product, substitute

_BYTES = {"f64": 8, "f32": 4, "i64": 8, "i32": 4, "bool": 1}
# The largest array of a block takes this part of the cache, unless products then had few rows.
_SHARE = 2
_FEWEST_ROWS = 256
# So many caches of intermediate results are worth a loop; less than this part of one is not.
_WORTH, _SMALL = 3, 4
# What is added up is made, read, read and written for every block.
_ADDING = 4
# An array of so many caches starts a region where it is no product either.
_MANY = 4
# Smaller arrays are made anew at no cost.
_LARGE_SCRATCH = 1 << 17
# So many products are tried: each is a walk over all steps.
_TRIED = 16
# Steps that stay together, and what they read.
_Unit = tuple[list[Step], set[Value]]


class Blocks:
    """Steps that run together, block by block along one axis of each.

    axes: which axis of a value is cut, of what the steps make and of what they read; size: its
    extent; rows: how much of it is a block. sliced: values from outside that are cut; leaving:
    values that are read outside, whole; sums: the steps that sum over the axis. whole: values from
    outside that every block reads; counters: those of `sliced` that count the rows of a block.
    """

    __slots__ = ("axes", "counters", "leaving", "rows", "size", "sliced", "steps", "sums", "whole")

    def __init__(self, size: Size) -> None:
        self.size = size
        self.rows = 0
        self.steps: list[Step] = []
        self.axes: dict[Value, int] = {}
        self.whole: set[Value] = set()
        self.counters: set[Value] = set()
        self.sliced: list[Value] = []
        self.leaving: list[Value] = []
        self.sums: list[Step] = []

    def of_a_block(self, value: Value) -> Shape:
        """The shape of a block of a value that is cut."""
        axis = self.axes[value]
        return (*value.shape[:axis], self.rows, *value.shape[axis + 1 :])

    def admit(self, step: Step, axis: int | None = None) -> bool:
        """Takes a step that reads what is cut already, or the first one, cut along `axis` of its
        result; whether it did."""
        named = labels(step)
        if named is None:
            return False
        operands = values_of(step)
        if axis is None:
            cut = {
                own[self.axes[value]]
                for value, own in zip(operands, named.operands, strict=True)
                if value in self.axes
            }
            label = cut.pop() if len(cut) == 1 else None
        else:
            label = named.out[axis]
        if label is None:
            return False
        found: dict[Value, int] = {}
        for value, own in zip(operands, named.operands, strict=True):
            places = [at for at, name in enumerate(own) if name == label]
            if len(places) > 1 or self.axes.get(value, found.get(value)) not in (None, *places):
                return False
            if not places:
                if value in self.axes or value in found:
                    return False
            elif value in self.whole:
                return False
            else:
                found[value] = places[0]
        counter = named.counter
        if any(v in self.axes and (v is counter) != (v in self.counters) for v in operands):
            return False
        where = [at for at, name in enumerate(named.out) if name == label]
        if not where and not (adds_up(step) and step.out.dtype in ("f64", "f32")):
            return False
        self.axes.update(found)
        if counter is not None:
            self.counters.add(counter)
        self.whole.update(value for value in operands if value not in self.axes)
        self.steps.append(step)
        if where:
            self.axes[step.out] = where[0]
        else:
            self.sums.append(step)
        return True


def blocks(sheet: Sheet, uses: Uses, inline: list[bool], options: Options) -> dict[Step, Blocks]:
    """The block regions, by the first of their steps; the sheet is put in an order in which each
    stands together. What a loop would compute anew for each block gets a statement."""
    sizes = dict(options.sizes)
    products, others = _seeds(sheet, sizes, options)
    found: dict[Step, Blocks] = {}
    done: set[Step] = set()

    def small(value: Value) -> bool:
        return _bytes(value, sizes) < options.cache_bytes // _SMALL

    units = _units(sheet, found) if products or others else []
    for seed in [*products, *others][:_TRIED]:
        if seed in done:
            continue
        best, order, most = None, sheet.steps, 0
        for axis in range(len(seed.out.shape)):
            grown = _grown(units, uses, seed, axis, small)
            if grown is None or not (seed in products or _needs_blocks(grown[0], seed)):
                continue
            if _saved(grown[0], sizes, options) > most:
                best, order = grown
                most = _saved(best, sizes, options)
        if best is not None:
            sheet.steps[:] = order
            _close(best, uses, inline)
            found[best.steps[0]] = best
            done.update(best.steps)
            units = _units(sheet, found)
    return found


def scratch(region: Blocks, places: Buffers, inline: list[bool]) -> dict[Value, Shape]:
    """What is computed in storage that serves every block, and its shape: an array that is made
    anew for each would cost its pages each time."""
    found: dict[Value, Shape] = {}
    elsewhere = {*direct(region, places, inline).values(), *region.leaving}
    for step in region.steps:
        out = step.out
        fresh = places.inplace[out.index] is None and not inline[out.index]
        if fresh and out not in elsewhere and step not in region.sums and may_be_told(step):
            shape = region.of_a_block(out)
            count = product(shape)
            if isinstance(count, int) and count * _BYTES[out.dtype] >= _LARGE_SCRATCH:
                found[out] = shape
    return found


def direct(region: Blocks, places: Buffers, inline: list[bool]) -> dict[Value, Value]:
    """For what leaves the region: the value that starts the chain of steps in its storage, which is
    put where the last one is to end."""
    found: dict[Value, Value] = {}
    for value in region.leaving:
        start = value
        while (place := places.inplace[start.index]) is not None:
            start = place
        if start.step is not None and not inline[start.index] and may_be_told(start.step):
            found[value] = start
    return found


def separate(regions: Mapping[Step, Blocks], places: Buffers) -> None:
    """Steps of a region write into storage from outside only where it is cut as they are, so that a
    block writes what no other block reads; and lend none of theirs, which is as small as a block.
    """
    for region in regions.values():
        made = {step.out for step in region.steps}
        entering = {v for step in region.steps for v in values_of(step)} - made
        shown = Counter(places.root[value.index] for value in entering)
        for value in made:
            place = places.inplace[value.index]
            if place is not None and place not in made:
                alone = place in entering and shown[places.root[place.index]] == 1
                axis = region.axes.get(place)
                if not alone or axis is None or axis != region.axes.get(value):
                    places.inplace[value.index] = None
            places.reused[value.index] = None
        for index, spare in enumerate(places.reused):
            if spare in made:
                places.reused[index] = None


def _seeds(
    sheet: Sheet, sizes: Mapping[str, Size], options: Options
) -> tuple[list[Step], list[Step]]:
    """What regions are grown from: products of matrices that exceed the cache; other steps on
    arrays of many caches."""
    many = _MANY * options.cache_bytes
    kinds = {(value.shape, value.dtype): value for value in sheet.values}
    if all(_bytes(value, sizes) <= options.cache_bytes for value in kinds.values()):
        return [], []
    products: list[Step] = []
    others: list[Step] = []
    for step in sheet.steps:
        if isinstance(step, Product) and _bytes(step.out, sizes) > options.cache_bytes:
            products.append(step)
        elif not isinstance(step, Look) and any(
            len(value.shape) > 1 and _bytes(value, sizes) >= many
            for value in (step.out, *values_of(step))
        ):
            others.append(step)
    return products, others


def _needs_blocks(block: Blocks, seed: Step) -> bool:
    """Whether a region without a large product is none for tiles: sums of parts of its arrays are
    read in it. It is cut along their first axis, between long runs of elements."""
    inside = {value for step in block.steps for value in values_of(step)}
    rank = max(len(value.shape) for value in (seed.out, *values_of(seed)))
    first = all(axis == 0 for value, axis in block.axes.items() if len(value.shape) == rank)
    parts = (step for step in block.steps if not isinstance(step, Apply | Look))
    return first and any(0 < len(s.out.shape) < rank and s.out in inside for s in parts)


def _units(sheet: Sheet, found: Mapping[Step, Blocks]) -> list[_Unit]:
    """The steps in order; those of a region are together."""
    units: list[_Unit] = []
    inside: set[Step] = set()
    for step in sheet.steps:
        if step in found:
            members = found[step].steps
            units.append((members, {value for one in members for value in values_of(one)}))
            inside.update(members)
        elif step not in inside:
            units.append(([step], set(values_of(step))))
    return units


def _grown(
    units: list[_Unit], uses: Uses, seed: Step, axis: int, small: Callable[[Value], bool]
) -> tuple[Blocks, list[Step]] | None:
    """The region around a product, cut along an axis of its result; all steps in its order."""
    block = Blocks(seed.out.shape[axis])
    if not block.admit(seed, axis) or seed in block.sums:
        return None
    at = next(k for k, (unit, _) in enumerate(units) if unit[0] is seed)
    before = [step for unit, _ in units[:at] for step in unit]
    after: list[Step] = []
    inside, later = {seed.out}, set[Value]()
    for unit, operands in units[at + 1 :]:
        if later.isdisjoint(operands) and inside.isdisjoint(operands):
            before.extend(unit)
        elif len(unit) > 1 or not later.isdisjoint(operands) or not block.admit(unit[0]):
            after.extend(unit)
            later.update(out for step in unit for out in outs_of(step))
        elif block.sums and block.sums[-1] is unit[0]:
            later.add(unit[0].out)
        else:
            inside.add(unit[0].out)
    _reach_back(block, {unit[0] for unit, _ in units if len(unit) == 1}, uses, small)
    members = set(block.steps)
    before = [step for step in before if step not in members]
    block.steps = [unit[0] for unit, _ in units if unit[0] in members]
    after[:0] = _looks_at_the_end(block, uses)
    _leave(block, uses)
    return block, [*before, *block.steps, *after]


def _reach_back(block: Blocks, free: set[Step], uses: Uses, small: Callable[[Value], bool]) -> None:
    """Takes steps before the region in that make large arrays for it alone."""
    members = set(block.steps)
    count = 0
    while count < len(members):
        count = len(members)
        for value, axis in list(block.axes.items()):
            step = value.step
            if step is None or step in members or step not in free or uses.returned[value.index]:
                continue
            if not members.issuperset(uses.readers[value.index]):
                continue
            if (isinstance(step, Look) or not small(value)) and block.admit(step, axis):
                members.add(step)


def _looks_at_the_end(block: Blocks, uses: Uses) -> list[Step]:
    """Takes the views out that nothing in the region reads: outside they cost nothing."""
    taken: list[Step] = []
    members = set(block.steps)
    for step in reversed(block.steps):
        if isinstance(step, Look) and members.isdisjoint(uses.readers[step.out.index]):
            members.discard(step)
            taken.insert(0, step)
    block.steps = [step for step in block.steps if step in members]
    return taken


def _leave(block: Blocks, uses: Uses) -> None:
    """What enters the region cut, and what leaves it."""
    members = set(block.steps)
    entering = (v for step in block.steps for v in values_of(step) if v.step not in members)
    block.sliced = [value for value in dict.fromkeys(entering) if value in block.axes]
    for step in block.steps:
        index = step.out.index
        read = uses.returned[index] or any(r not in members for r in uses.readers[index])
        if read and step not in block.sums:
            block.leaving.append(step.out)


def _saved(block: Blocks, sizes: Mapping[str, Size], options: Options) -> int:
    """The bytes that need not go through memory, less what is added up instead; 0 where the region
    is not worth a loop. Decides on the rows of a block."""
    extent = substitute(block.size, sizes)
    made = [step.out for step in block.steps if not isinstance(step, Look | Fold)]
    cut = [value for value in made if value in block.axes]
    others = (size for value in (*block.axes, *block.whole) for size in value.shape)
    if (
        not cut
        or not isinstance(extent, int)
        or not all(size == block.size or (isinstance(size, int) and size > 0) for size in others)
    ):
        return 0
    widest = max(_bytes(value, sizes) // extent for value in cut)
    fewest = 1 if _is_stack(block) else _FEWEST_ROWS
    rows = max(options.cache_bytes // _SHARE // max(widest, 1), fewest)
    count = -(-extent // rows)
    if count < 2:
        return 0
    block.rows = -(-extent // count) if isinstance(block.size, int) else rows
    small = options.cache_bytes // _SMALL
    saved = sum(size for v in cut if v not in block.leaving and (size := _bytes(v, sizes)) >= small)
    added = sum(_bytes(step.out, sizes) for step in block.sums)
    worth = saved - _ADDING * count * added
    return worth if worth >= _WORTH * options.cache_bytes else 0


def _is_stack(block: Blocks) -> bool:
    """Whether every product of the region is a stack of matrices, which is cut between them."""
    for step in block.steps:
        if isinstance(step, Product) and all(len(v.shape) > 1 for v in values_of(step)):
            value, axis = next((v, block.axes[v]) for v in values_of(step) if v in block.axes)
            if axis >= len(value.shape) - 2:
                return False
    return True


def _close(block: Blocks, uses: Uses, inline: list[bool]) -> None:
    """Statements for what leaves, for what is added up, and for what would be computed anew."""
    members = set(block.steps)
    for value in (*block.leaving, *(step.out for step in block.sums)):
        inline[value.index] = False
    for step in block.steps:
        if isinstance(step, Product) and step.out in block.axes:
            inline[step.out.index] = False
        for value in values_of(step):
            made: object = value
            while isinstance(made, Value) and isinstance(made.step, Look):
                made = made.step.operands[0]
            if isinstance(made, Value) and made.step not in members and not weak(made.dtype):
                inline[made.index] = False
        if isinstance(step, Look) and isinstance(step.kind, Reshape):
            # A block has fewer rows than the array, and the last one fewer still.
            shape = list(step.kind.shape)
            shape[block.axes[step.out]] = -1
            step.kind = Reshape(tuple(shape))


def _bytes(value: Value, sizes: Mapping[str, Size]) -> int:
    """The bytes of a value, where they are known or expected; else 0."""
    count = substitute(product(value.shape), sizes)
    return count * _BYTES.get(value.dtype, 8) if isinstance(count, int) else 0
