"""From planned steps to statements. What is fused, in place and called what is decided already."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from codegen.arrays import (
    expression,
    filled,
    index_text,
    strided,
    subscript,
)
from codegen.blocked import write_blocks
from codegen.comments import without_echoes
from codegen.looped import write_offsets, write_push, write_repeat, write_rows, write_sweep
from codegen.names import Names
from codegen.plan.blocks import Blocks
from codegen.plan.buffers import Buffers
from codegen.plan.fusion import goes_straight
from codegen.plan.matmul import short
from codegen.plan.memory import Memory
from codegen.plan.rounds import Repeat
from codegen.plan.shapes import full
from codegen.plan.steps import (
    LARGE,
    Apply,
    Assemble,
    At,
    Invoke,
    Look,
    Offsets,
    Product,
    Push,
    Put,
    Rows,
    Sheet,
    Span,
    Step,
    Sweep,
    Value,
    Window,
    outs_of,
)
from codegen.plan.tiles import Region
from codegen.plan.uses import Uses
from codegen.plan.workspace import Workspace
from codegen.printers import ATOM, UNARY, Printer, dtype_text
from codegen.record import struct
from codegen.source import Assign, Blank, Comment, Do, Source
from codegen.tiled import write_tiles
from codegen.types import Shape, Size, product, size_text

_AUGMENTED = frozenset({"+", "-", "*", "/", "//", "%"})
_COMMUTATIVE = frozenset({"add", "multiply"})
# Shorter or fewer rows are added element by element, in one call.
_LONG_ROW = 32
_MANY_ROWS = 64
# So many characters of names are deleted on one line, which may stand in a loop.
_NAMES_WIDTH = 76


@struct
class Plan:
    """The decisions about one function's values, each a list by the value's index."""

    sheet: Sheet
    uses: Uses
    scale: list[int]
    inline: list[bool]
    buffers: Buffers
    names: list[str]
    scope: Names
    scalar_mode: bool
    regions: Mapping[Step, Region | Blocks]
    memory: Memory
    threads: int = 1
    into: Mapping[Value, str] = MappingProxyType({})
    workspace: Workspace | None = None
    # Of every loop, one round.
    rounds: Mapping[Repeat, Plan] = MappingProxyType({})


class Emitter:
    """Writes the statements of one function's body."""

    def __init__(self, plan: Plan, printer: Printer, loops: dict[str, str]) -> None:
        self.plan = plan
        self.printer = printer
        # Loop variables by the name that stands for them in sizes; `printer.size` knows the dict.
        self.loops = loops
        # Loops that do not stand in one another share their variables.
        self._counters: dict[str, str] = {}
        # What the last loop over images left in the buffer for columns: shapes and dtype; and the
        # names of buffers.
        self.columns: tuple[Shape, Shape, str] | None = None
        self.buffers: dict[str, None] = {}
        self.sources: list[Source] = []
        # Where the statements of each step begin among them.
        self.starts: list[int] = []
        # Where steps put their results that have storage already: scratch of tiles, or kept.
        self.into: Mapping[Value, str] = plan.into
        # What else keeps the storage of an array: names of its rows.
        self.held: dict[str, list[str]] = {}
        # Names of the numbers that loops use as arrays, by number and dtype.
        self.arrays: dict[tuple[float, str], str] = {}
        self._note = ""
        # The notes of values that are written inside an expression still to come.
        self.notes: dict[int, tuple[str, ...]] = {}
        self._seen: set[str] = set()
        self._told: set[str] = set()
        self._users = {
            plan.names[value.index]
            for value in plan.sheet.values
            if value.keep and value.step is not None
        }

    def body(self) -> list[Source]:
        """All statements, with their comments."""
        printer, plan = self.printer, self.plan
        for index, name in enumerate(plan.names):
            printer.text[index] = name
        inside: set[Step] = set()
        for at, step in enumerate(plan.sheet.steps):
            self.starts.append(len(self.sources))
            if at in plan.memory.dropped or at in plan.memory.released:
                self._drop(at, step.tag)
            region = plan.regions.get(step)
            if region is not None:
                inside.update(region.steps)
                if isinstance(region, Blocks):
                    write_blocks(self, region)
                else:
                    write_tiles(self, region)
            elif step not in inside:
                self._step(step)
        return without_echoes(self.sources)

    def round(self, step: Repeat) -> Emitter:
        """What writes one round of a loop."""
        plan, printer = self.plan.rounds[step], self.printer
        size = len(plan.sheet.values)
        inner = type(printer)(size, printer.size, printer.callables, printer.strict)
        inner.modules, inner.routines = printer.modules, printer.routines
        return Emitter(plan, inner, self.loops)

    def _drop(self, at: int, tag: str) -> None:
        """Names of dead arrays, which would keep their storage."""
        count, memory = self.plan.uses.count, self.plan.memory
        dropped = memory.dropped.get(at, ())
        names = list(dict.fromkeys(self.plan.names[v.index] for v in dropped if count(v)))
        if at in memory.released:
            names += self.buffers
            self.columns, self.buffers = None, {}
        while names:
            fits = 1
            while fits < len(names) and len(", ".join(names[: fits + 1])) <= _NAMES_WIDTH:
                fits += 1
            self.sources.append(Do(f"del {', '.join(names[:fits])}", tag))
            names = names[fits:]

    def counter(self, name: str) -> str:
        """The variable of loops that is called so."""
        if name not in self._counters:
            self._counters[name] = self.plan.scope.fresh(name)
        return self._counters[name]

    def within(
        self,
        steps: Sequence[Step],
        sources: list[Source],
        statements: Mapping[Step, Callable[[], Source]],
    ) -> None:
        """Write steps into another block; `statements` makes those of steps that add up."""
        outside, self.sources, self._note = self.sources, sources, ""
        self._seen.update(self.plan.names[step.out.index] for step in steps)
        for step in steps:
            if step in statements:
                self._comment(step)
                self.sources.append(statements[step]())
            else:
                self._step(step)
        self.sources, self._note = outside, ""

    def _step(self, step: Step) -> None:
        """A statement, or a part of the expression that reads it."""
        index, printer = step.out.index, self.printer
        if self.plan.inline[index]:
            printer.text[index], printer.level[index] = expression(printer, step)
            self._carry_notes(step)
            return
        quiet = isinstance(step, Look) and not isinstance(step.kind, Window)
        if quiet and not step.out.keep:
            # A view may stand in any group, and heads none.
            self._carry_notes(step)
        else:
            self._comment(step)
        self._statement(step)

    # -- comments ----------------------------------------------------------------------------------

    def _inherited(self, step: Step) -> tuple[str, ...]:
        """The notes of what is written inside this step's expression."""
        if not self.notes:
            return ()
        found: list[str] = []
        for operand in step.operands:
            if isinstance(operand, Value):
                found.extend(self.notes.pop(operand.index, ()))
        return tuple(found)

    def _carry_notes(self, step: Step) -> None:
        notes = self._inherited(step)
        if step.note:
            notes = (*notes, step.note)
        if notes:
            self.notes[step.out.index] = notes

    def _comment(self, step: Step) -> None:
        """The notes that the group of statements before does not bear already."""
        notes = self._inherited(step)
        if step.note:
            notes = (*notes, step.note)
        if not notes and self._note:
            # What follows is no part of the group above.
            self.sources.append(Blank())
            self._note = ""
        new = [note for note in dict.fromkeys(notes) if note != self._note]
        if not new:
            return
        if self.sources:
            self.sources.append(Blank())
        for note in new:
            self.sources += [Comment(line, step.tag) for line in self._unsaid(note)]
        self._note = notes[-1]

    def _unsaid(self, note: str) -> list[str]:
        """The lines of a note that no group before bears; else whose group goes on."""
        lines = [line for line in note.splitlines() if line not in self._told]
        self._told.update(lines)
        name, equals, _ = note.partition(" = ")
        return lines or ([f"{name}, continued"] if equals and name.isidentifier() else [])

    def _type_comment(self, step: Step, name: str) -> str:
        """The type of a user's array, where its name is bound first."""
        out = step.out
        if len(out.shape) < 2 or name in self._seen:
            return ""
        self._seen.add(name)
        if name not in self._users:
            return ""
        return f"{out.dtype}[{', '.join(size_text(size) for size in out.shape)}]"

    # -- statements --------------------------------------------------------------------------------

    def _statement(self, step: Step) -> None:
        if isinstance(step, Apply | Product):
            self._compute(step)
        elif isinstance(step, Put):
            self._put(step)
        elif isinstance(step, Assemble) and step.operands:
            self._assemble(step)
        elif isinstance(step, Offsets):
            write_offsets(self, step)
        elif isinstance(step, Sweep):
            write_sweep(self, step)
        elif isinstance(step, Rows):
            write_rows(self, step)
        elif isinstance(step, Push):
            write_push(self, step)
        elif isinstance(step, Repeat):
            write_repeat(self, step)
        elif isinstance(step, Invoke) and len(step.outs) > 1:
            names = [self._target(out) for out in outs_of(step)]
            self.assign(step, ", ".join(names), expression(self.printer, step)[0])
        elif isinstance(step, Look) and isinstance(step.kind, Window):
            strides = self.plan.scope.fresh("strides")
            source = self.printer.operand(step.operands[0], ATOM)
            self.sources.append(Assign(strides, f"{source}.strides", tag=step.tag))
            value = strided(self.printer, step, step.kind, strides)
            self.assign(step, self.plan.names[step.out.index], value)
        else:
            value = expression(self.printer, step)[0]
            self.assign(step, self.plan.names[step.out.index], value)

    def _target(self, out: Value) -> str:
        return self.plan.names[out.index] if self.plan.uses.count(out) else "_"

    def assign(self, step: Step, target: str, value: str, operator: str = "=") -> None:
        """A statement that binds a name, with its type where it is a user's array."""
        comment = self._type_comment(step, target) if operator == "=" else ""
        self.sources.append(Assign(target, value, operator, comment, step.tag))

    def _compute(self, step: Apply | Product) -> None:
        """A new array, or one in the place of an operand or of dead storage."""
        index = step.out.index
        name = self.plan.names[index]
        place = self.plan.buffers.inplace[index]
        if place is not None and isinstance(step, Apply):
            self._in_place(step, name, place)
            return
        spare = self.plan.buffers.reused[index]
        where = self.into.get(step.out, "")
        if where and isinstance(step, Apply):
            text = self._with_out(step, where)
            if where == name:
                self.sources.append(Do(text, step.tag))
            else:
                self.assign(step, name, text)
            return
        if spare is not None and not (isinstance(step, Product) and short(step)):
            where = self.plan.names[spare.index]
        if not where:
            self.assign(step, name, expression(self.printer, step)[0])
            return
        a, b = (self.printer.operand(operand) for operand in step.operands)
        self.assign(step, name, f"np.matmul({a}, {b}, out={where})")

    def _with_out(self, step: Apply, where: str) -> str:
        return self.printer.call(step.function, step, f"out={where}")

    def _in_place(self, step: Apply, name: str, place: Value) -> None:
        """`h += b` where it reads so, else `np.tanh(h, out=h)`."""
        where = self.plan.names[place.index]
        if where != name:
            self.assign(step, name, self._with_out(step, where))
            return
        infix = step.function.infix
        if infix is not None and infix[0] in _AUGMENTED and len(step.operands) == 2:
            a, b = step.operands
            if a is place:
                self.assign(step, name, self.printer.argument(step, 1), f"{infix[0]}=")
                return
            if b is place and step.function.name in _COMMUTATIVE:
                self.assign(step, name, self.printer.argument(step, 0), f"{infix[0]}=")
                return
        self.sources.append(Do(self._with_out(step, name), step.tag))

    # -- writing into arrays -----------------------------------------------------------------------

    def _put(self, step: Put) -> None:
        """Integer-array indexing on the left side."""
        printer, out = self.printer, step.out
        name = self.plan.names[out.index]
        place = self.plan.buffers.inplace[out.index]
        value, *indices = step.operands
        routine = _row_routine(step)
        if routine:
            self.assign(step, name, self._sum_rows(step, routine))
            return
        if step.based:
            base = indices.pop()
            if place is None:
                self.assign(step, name, f"{printer.operand(base, ATOM)}.copy()")
            elif self.plan.names[place.index] != name:
                self.assign(step, name, self.plan.names[place.index])
        else:
            self.assign(step, name, filled(printer, out, 0))
        text, level = printer.operand(value), ATOM
        if isinstance(value, Value):
            level = printer.level[value.index]
        region = index_text(printer, step.pattern, indices)
        if step.mode == "set":
            self.sources.append(Assign(f"{name}[{region}]", text, "=", tag=step.tag))
        elif step.unique:
            operator = "+="
            if level == UNARY and text[0] == "-":
                operator, text = "-=", text[1:]
            self.sources.append(Assign(f"{name}[{region}]", text, operator, tag=step.tag))
        else:
            self.sources.append(Do(self._add_at(step, name, region, text), step.tag))

    def _sum_rows(self, step: Put, routine: str) -> str:
        """Rows added up by a function of the module's own."""
        printer, out = self.printer, step.out
        value, index = step.operands
        assert isinstance(index, Value)
        self.printer.routines.add(routine)
        rows, values = printer.operand(index), printer.operand(value)
        if len(index.shape) != 1:
            width = ", ".join(map(printer.size, out.shape[1:]))
            rows = f"{printer.operand(index, ATOM)}.reshape(-1)"
            values = f"{printer.operand(value, ATOM)}.reshape(-1, {width})"
        return f"{routine}({rows}, {values}, {printer.size(out.shape[0])})"

    def _add_at(self, step: Put, name: str, region: str, value: str) -> str:
        """Addition at positions that may repeat."""
        where = f"({region})" if ", " in region or ":" in region else region
        if ":" in region:
            where = f"np.s_[{region}]"
        return f"np.add.at({name}, {where}, {value})"

    def _assemble(self, step: Assemble) -> None:
        """Concatenation where it is one, else region by region."""
        printer, name = self.printer, self.plan.names[step.out.index]
        joined = _joined(printer, step)
        if joined:
            self.assign(step, name, joined)
            return
        straight = self._is_straight(step, 0)
        gaps = _gaps(step.regions[0]) if straight and str(step.fill) in ("0", "0.0") else None
        empty = step.exhaustive or gaps is not None
        self.assign(step, name, filled(printer, step.out, step.fill, empty))
        for gap in gaps or ():
            self.sources.append(Assign(f"{name}[{subscript(printer, gap)}]", "0.0", tag=step.tag))
        for at, (region, part) in enumerate(zip(step.regions, step.operands, strict=True)):
            # What is added first is added to zeros.
            operator = "+=" if step.add and (at or step.fill != 0) else "="
            target = f"{name}[{subscript(printer, region)}]"
            if self._is_straight(step, at):
                assert isinstance(part, Value)
                assert isinstance(part.step, Apply)
                self.sources.append(Do(self._with_out(part.step, target), step.tag))
                continue
            value = printer.operand(part)
            self.sources.append(Assign(target, value, operator, tag=step.tag))

    def _is_straight(self, step: Assemble, position: int) -> bool:
        """Whether a large part is computed in its place."""
        part = step.operands[position]
        if not isinstance(part, Value) or not self.plan.inline[part.index]:
            return False
        return self.plan.scale[part.index] == LARGE and goes_straight(step, position)


def _gaps(region: tuple[At | Span, ...]) -> list[tuple[Span, ...]] | None:
    """What a region leaves of an array, where it is cut along one axis; None where along more."""
    cut = [axis for axis, e in enumerate(region) if isinstance(e, At) or e.size != e.length]
    if len(cut) != 1:
        return None
    entry = region[cut[0]]
    if isinstance(entry, At) or entry.step != 1:
        return None
    stop, length = entry.start + entry.size, entry.length
    spans = [Span(0, entry.start, 1, length), Span(stop, length - stop, 1, length)]
    whole = [full(e.length) for e in region if isinstance(e, Span)]
    return [(*whole[: cut[0]], span, *whole[cut[0] + 1 :]) for span in spans if span.size != 0]


def _row_routine(step: Put) -> str:
    """The function that adds whole rows to zeros at positions that may repeat; empty where the step
    is not that, or where a call costs more than it saves."""
    if step.based or step.unique or step.mode != "add":
        return ""
    shape = step.out.shape
    if len(shape) < 2 or not step.pattern[0] or any(step.pattern[1:]):
        return ""
    added, index = step.operands
    if not isinstance(added, Value) or not isinstance(index, Value) or not index.shape:
        return ""
    if added.shape != (*index.shape, *shape[1:]):
        return ""
    width, count = product(shape[1:]), product(index.shape)
    if isinstance(count, int) and count < _MANY_ROWS:
        return ""
    if not isinstance(width, int) or width >= _LONG_ROW:
        return "_sum_rows"
    return "_sum_short_rows" if len(shape) == 2 else ""


def _joined(printer: Printer, step: Assemble) -> str:
    """`np.concatenate` or `np.array`, where the parts follow one another along one axis."""
    if not step.exhaustive or step.add:
        return ""
    out = step.out
    parts = [part for part in step.operands if isinstance(part, Value)]
    texts = [printer.operand(part) for part in parts]
    axes = {
        axis
        for region in step.regions
        for axis, entry in enumerate(region)
        if not (isinstance(entry, Span) and entry.size == entry.length)
    }
    if len(axes) > 1 or len(parts) < 2:
        return ""
    axis = axes.pop() if axes else 0
    position: Size = 0
    for region, part in zip(step.regions, parts, strict=True):
        entry = region[axis]
        if isinstance(entry, At):
            entry = Span(entry.position, 1, 1, out.shape[axis])
        if entry.start != position or entry.step != 1:
            return ""
        position = position + entry.size
        region_shape = tuple(e.size for e in region if isinstance(e, Span))
        if part.shape and part.shape != region_shape:
            return ""
    if all(not part.shape for part in parts) and position == len(parts):
        if len(out.shape) != 1:
            return ""
        dtype = "" if out.dtype == "f64" else f", {dtype_text(out.dtype)}"
        return f"np.array([{', '.join(texts)}]{dtype})"
    if any(not part.shape for part in parts) or any(p.dtype != out.dtype for p in parts):
        return ""
    return f"np.concatenate(({', '.join(texts)}), axis={axis})"
