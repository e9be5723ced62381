"""A region of elementwise steps as a loop over tiles.

x_tile = x[tile] for what is read, d_x_tile = d_x[tile] for what is read later, and between them the
steps as they would stand without the loop, in rows of one scratch array. Sums of tiles go to a
list that is added up at the end. With several threads the loop is a function, which each of them
runs, with scratch of its own, and which takes the next tile from what they share: which thread
computes a tile changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from codegen.arrays import filled, part_of_sum
from codegen.plan.buffers import origin
from codegen.plan.steps import Step
from codegen.plan.tiles import Region, scratch
from codegen.printers import ATOM, dtype_text
from codegen.source import Assign, Blank, Block, Comment, Do, Lines, Source
from codegen.types import Shape

if TYPE_CHECKING:
    from codegen.emit import Emitter


def write_tiles(emitter: Emitter, region: Region) -> None:
    """The loop, what it needs before and what it leaves behind."""
    plan, printer = emitter.plan, emitter.printer
    names, text, level, fresh = plan.names, printer.text, printer.level, plan.scope.fresh
    outside, tag = emitter.sources, region.steps[0].tag
    if outside:
        outside.append(Blank())
    threads = plan.threads if region.threads else 1
    shared = f", on {threads} threads" if threads > 1 else ""
    outside.append(Comment(f"In tiles that stay in the cache{shared}.", tag))

    whole = {value: names[value.index] for value in (*region.sliced, *region.leaving)}
    spelled = {value: (text[value.index], level[value.index]) for value in whole}
    renamed = {name: fresh(f"{name}_tile") for name in dict.fromkeys(whole.values()) if name}
    places = {value: origin(value, region.steps, plan.buffers) for value in region.leaving}
    rows = scratch(region, plan.buffers, plan.inline)
    direct = set(rows.values())
    for value, place in places.items():
        if place is None:
            outside.append(Assign(whole[value], filled(printer, value, 0, empty=True), tag=tag))
    sums = {step: fresh(f"{names[step.out.index]}_tiles") for step in region.sums}
    tiling = f"range(0, {printer.size(region.shape[0])}, {region.rows})"
    start, tile = fresh("start"), fresh("tile")
    targets: dict[Step, str] = {}
    if threads > 1:
        starts = fresh("starts")
        outside.append(Assign(starts, tiling, tag=tag))
        outside.extend(Assign(name, f"[0.0] * len({starts})", tag=tag) for name in sums.values())
        targets = {step: f"{name}[{start} // {region.rows}]" for step, name in sums.items()}
        tiling = fresh("untaken")
        outside.append(Assign(tiling, f"iter({starts})", tag=tag))
    else:
        outside.extend(Assign(name, "[]", tag=tag) for name in sums.values())

    inside: list[Source] = [Assign(tile, f"slice({start}, {start} + {region.rows})", tag=tag)]
    cut: list[str] = []
    for value in region.sliced:
        index = value.index
        name = renamed.get(names[index]) or fresh("tile_part")
        inside.append(Assign(name, f"{printer.operand(value, ATOM)}[{tile}]", tag=tag))
        names[index] = text[index] = name
        level[index] = ATOM
        cut.append(name)
    for value, place in places.items():
        if place is None and value in direct:
            name = renamed[whole[value]]
            inside.append(Assign(name, f"{whole[value]}[{tile}]", tag=tag))
            cut.append(name)
    for step in region.steps:
        index = step.out.index
        if not plan.inline[index] and step not in sums:
            names[index] = text[index] = renamed.get(names[index], names[index])
    own = [
        names[value.index] for value, row in rows.items() if value is row and value not in places
    ]
    before = _scratch(emitter, region, own, cut, inside, threads > 1) if own else []
    emitter.into = {value: names[row.index] for value, row in rows.items()}
    emitter.within(
        region.steps,
        inside,
        {step: _adding(emitter, step, name, targets) for step, name in sums.items()},
    )
    emitter.into = plan.into
    for value, place in places.items():
        if place is None and value not in direct:
            inside.append(Assign(f"{whole[value]}[{tile}]", names[value.index], tag=tag))
    loop = [*before, Block(f"for {start} in {tiling}:", inside, tag)]
    if threads > 1:
        printer.modules.add("threads")
        work = fresh("work")
        outside.extend([Blank(), Block(f"def {work}():", loop, tag), Lines([""])])
        outside.append(Do(f"_on_threads({work})", tag))
    else:
        outside.extend(loop)

    for value, name in whole.items():
        names[value.index] = name
        text[value.index], level[value.index] = spelled[value]
    for value, place in places.items():
        text[value.index] = whole[value]
        if place is not None and names[place.index] != whole[value]:
            outside.append(Assign(whole[value], names[place.index], tag=tag))
    for step, name in sums.items():
        outside.append(Assign(names[step.out.index], total(step, name), tag=tag))


def _adding(
    emitter: Emitter, step: Step, name: str, targets: Mapping[Step, str]
) -> Callable[[], Source]:
    """What appends a tile's part of a sum to a list, or puts it where `targets` says."""

    def source() -> Source:
        part = part_of_sum(emitter.printer, step)
        if step in targets:
            return Assign(targets[step], part, tag=step.tag)
        return Do(f"{name}.append({part})", step.tag)

    return source


def _scratch(
    emitter: Emitter,
    region: Region,
    own: list[str],
    cut: list[str],
    inside: list[Source],
    threaded: bool,
) -> list[Source]:
    """One array for all rows of scratch, and the names of its rows inside the loop."""
    printer, scope = emitter.printer, emitter.plan.scope
    name, tag = scope.fresh("scratch"), region.steps[0].tag
    dtype = region.steps[0].out.dtype
    shape = [str(region.rows), *(printer.size(size) for size in region.shape[1:])]
    typed = "" if dtype == "f64" else f", {dtype_text(dtype)}"
    space = f"np.empty(({len(own)}, {', '.join(shape)}){typed})"
    workspace = emitter.plan.workspace
    sizes = (len(own), region.rows, *region.shape[1:])
    if workspace is not None and not threaded and _known(sizes):
        space = workspace.place((dtype, sizes), 0, scratch=True)
    names = ", ".join(own) + ("," if len(own) == 1 else "")
    inside.append(Assign(f"({names})", f"{name}[:, : len({cut[0]})]", tag=tag))
    return [Assign(name, space, tag=tag)]


def _known(sizes: Shape) -> bool:
    return all(isinstance(size, int) for size in sizes)


def total(step: Step, name: str) -> str:
    """The sum of the parts in a list."""
    dtype = step.out.dtype
    return f"np.sum({name})" if dtype == "f64" else f"np.sum({name}, dtype={dtype_text(dtype)})"
