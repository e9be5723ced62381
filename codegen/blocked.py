"""A region with products of matrices as a loop over blocks of one axis.

x_block = x[block] for what is read, d_x[block] = ... for what is needed whole afterwards, and
between them the steps as they would stand without the loop. Sums over the axis start at zero and
are added to; numbers go to a list that is added up at the end, pairwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from codegen.arrays import empty_text, expression, filled
from codegen.plan.blocks import Blocks, direct, scratch
from codegen.plan.buffers import origin
from codegen.plan.steps import Look, Put, Step, Value, values_of
from codegen.printers import ATOM, SUM
from codegen.source import Assign, Blank, Block, Comment, Do, Source
from codegen.tiled import total
from codegen.types import Shape

if TYPE_CHECKING:
    from codegen.emit import Emitter


def write_blocks(emitter: Emitter, region: Blocks) -> None:
    """The loop, what it needs before and what it leaves behind."""
    plan, printer = emitter.plan, emitter.printer
    names, text, level, fresh = plan.names, printer.text, printer.level, plan.scope.fresh
    outside, tag = emitter.sources, region.steps[0].tag
    if outside:
        outside.append(Blank())
    outside.append(Comment("In blocks that stay in the cache.", tag))

    start, block = fresh("start"), fresh("block")
    spelled = {value: (text[value.index], level[value.index]) for value in region.sliced}
    reads = [value for step in region.steps for value in values_of(step)]
    whole = {value: names[value.index] for value in region.leaving}
    origins = {value: origin(value, region.steps, plan.buffers) for value in whole}
    lent = {plan.buffers.inplace[step.out.index] for step in region.steps}
    targets = {v: f"{name}[{_cut(region.axes[v], block)}]" for v, name in whole.items()}
    starts = direct(region, plan.buffers, plan.inline)
    into: dict[Value, str] = {}
    renamed: dict[str, str] = {}
    statements: dict[Step, Callable[[], Source]] = {}
    for value, name in whole.items():
        if origins[value] is None:
            outside.append(Assign(name, filled(printer, value, 0, empty=True), tag=tag))
        else:
            targets.pop(value)
        step = value.step
        if value in reads or plan.buffers.inplace[value.index] or isinstance(step, Put):
            renamed[name] = renamed.get(name) or fresh(f"{name}_block")
            if value in starts and value in targets:
                into[starts[value]] = targets.pop(value)
        elif step is not None:
            statements[step] = _writing(emitter, step, targets.pop(value))
    parts: dict[Step, str] = {}
    for step in region.sums:
        name = names[step.out.index]
        if step.out.shape:
            outside.append(Assign(name, filled(printer, step.out, 0), tag=tag))
        else:
            parts[step] = name = fresh(f"{name}_blocks")
            outside.append(Assign(name, "[]", tag=tag))
        statements[step] = _adding(emitter, step, name)

    storage: dict[Value, str] = {}
    inside: list[Source] = [Assign(block, f"slice({start}, {start} + {region.rows})", tag=tag)]
    for value in region.sliced:
        index = value.index
        cut, bound = f"{printer.operand(value, ATOM)}[{_cut(region.axes[value], block)}]", ATOM
        if value in region.counters:
            cut, bound = f"{cut} - {start}", SUM
        if reads.count(value) > 1 or value in lent:
            name = renamed.get(names[index]) or fresh(f"{_base(value, names)}_block")
            inside.append(Assign(name, cut, tag=tag))
            cut, bound = name, ATOM
            if value in lent:
                # What works in the block's storage may bear the name of the whole.
                storage[value] = names[index]
                renamed[names[index]] = names[index] = name
        text[index], level[index] = cut, bound
    for step in region.steps:
        index = step.out.index
        if not plan.inline[index] and step not in statements:
            names[index] = text[index] = renamed.get(names[index], names[index])
    emitter.into = {**_scratch(emitter, region, start), **into}
    emitter.within(region.steps, inside, statements)
    emitter.into = plan.into
    for value, target in targets.items():
        inside.append(Assign(target, names[value.index], tag=tag))
    tiling = f"range(0, {printer.size(region.size)}, {region.rows})"
    outside.append(Block(f"for {start} in {tiling}:", inside, tag))

    for value, (cut, bound) in spelled.items():
        text[value.index], level[value.index] = cut, bound
    for value, name in storage.items():
        names[value.index] = name
    for value, name in whole.items():
        names[value.index] = text[value.index] = name
        place = origins[value]
        if place is not None and names[place.index] != name:
            outside.append(Assign(name, names[place.index], tag=tag))
    for step, name in parts.items():
        outside.append(Assign(names[step.out.index], total(step, name), tag=tag))


def _scratch(emitter: Emitter, region: Blocks, start: str) -> dict[Value, str]:
    """Storage for the large arrays of a block, and the part of it that the last block needs."""
    plan, printer = emitter.plan, emitter.printer
    found: dict[Value, str] = {}
    numbers: Counter[tuple[str, Shape]] = Counter()
    for value, shape in scratch(region, plan.buffers, plan.inline).items():
        name = plan.scope.fresh(f"{plan.names[value.index]}_scratch")
        space = empty_text(printer, shape, value.dtype)
        if plan.workspace is not None:
            kind = (value.dtype, shape)
            space = plan.workspace.place(kind, numbers[kind], scratch=True)
            numbers[kind] += 1
        emitter.sources.append(Assign(name, space, tag=region.steps[0].tag))
        size = region.size
        if not isinstance(size, int) or size % region.rows:
            left = f": {printer.size(size)} - {start}"
            name = f"{name}[{_cut(region.axes[value], left)}]"
        found[value] = name
    return found


def _adding(emitter: Emitter, step: Step, name: str) -> Callable[[], Source]:
    """What adds a block's part of a sum."""

    def source() -> Source:
        part = expression(emitter.printer, step)[0]
        if step.out.shape:
            return Assign(name, part, "+=", tag=step.tag)
        return Do(f"{name}.append({part})", step.tag)

    return source


def _writing(emitter: Emitter, step: Step, target: str) -> Callable[[], Source]:
    """What writes a block of an array that is needed whole."""
    return lambda: Assign(target, expression(emitter.printer, step)[0], tag=step.tag)


def _cut(axis: int, block: str) -> str:
    """The index of a block along an axis."""
    return f"{':, ' * axis}{block}"


def _base(value: Value, names: list[str]) -> str:
    """A name for a value that may be a view that has none."""
    while not names[value.index] and isinstance(value.step, Look):
        source = value.step.operands[0]
        if not isinstance(source, Value):
            break
        value = source
    return names[value.index] or "part"
