"""The plan of memory as a person reads it: the bytes of a function's arrays beside its lines."""

from __future__ import annotations

from codegen.emit import Emitter
from codegen.function import emit_function, plan_function
from codegen.modules import module_names
from codegen.printers import MathPrinter, Printer
from codegen.program import Function, Options, Program
from codegen.record import record
from codegen.source import Comment, render


@record
class MemoryPlan:
    """What the arrays that a function makes take while each of its lines runs, by estimate.

    rows: (bytes, line); bytes are None for what is no statement. peak: the largest bytes. least:
    what these steps in this order need at least, were every array gone as soon as it is dead.
    Not counted are arguments, what NumPy's functions and the module's own use inside, and arrays
    below 16 kB.
    """

    function: str
    rows: tuple[tuple[int | None, str], ...]
    peak: int
    least: int

    def __str__(self) -> str:
        head = (
            f"{self.function}: {bytes_text(self.peak)} at the peak, "
            f"{bytes_text(self.least)} at least in this order"
        )
        lines = [f"{'' if size is None else bytes_text(size):>9}  {row}" for size, row in self.rows]
        return "\n".join([head, *(line.rstrip() for line in lines)])


def memory_plan(program: Program, options: Options, name: str) -> MemoryPlan:
    """The plan of one function of a program. Named sizes are what `options.sizes` expects of them,
    else a few dozen. Raises KeyError where the program has no such function."""
    functions = {function.name: function for function in program.functions}
    function: Function = functions[name]
    names = module_names(program)
    saved: tuple[str, ...] = ()
    if name == "backward" and "forward" in functions:
        saved = emit_function(program, functions["forward"], options, names, False).saved
    planned = plan_function(program, function, options, names, saved)
    plan, sizes = planned.plan, planned.sizes
    printer_class = MathPrinter if plan.scalar_mode else Printer
    printer = printer_class(len(plan.sheet.values), sizes.text, names.callables)
    emitter = Emitter(plan, printer, sizes.loops)
    emitter.body()
    rows: list[tuple[int | None, str]] = []
    starts = [*emitter.starts, len(emitter.sources)]
    last = 0
    for at, held in enumerate(plan.memory.held):
        if starts[at] == starts[at + 1] != len(emitter.sources):
            last = max(last, held)  # inside the expression or the loop that follows, or came before
            continue
        held, last = max(held, last), 0
        for source in emitter.sources[starts[at] : starts[at + 1]]:
            first, *rest = render([source]).lines or [""]
            counted = None if isinstance(source, Comment) or not first else held
            rows += [(counted, first), *((None, line) for line in rest)]
    for value in plan.sheet.values:
        value.step = None
    return MemoryPlan(name, tuple(rows), plan.memory.peak, plan.memory.least)


def bytes_text(size: int) -> str:
    """Bytes in the unit that fits them."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size} B"
