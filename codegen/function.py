"""One function of a module: arguments, entry check, sizes, body, result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from codegen.arguments import (
    bindings,
    element_names,
    inputs_of,
    known_sizes,
    parameter_names,
    signature,
    structure,
    unpack,
)
from codegen.arrays import filled
from codegen.emit import Emitter, Plan
from codegen.entry import Check, check
from codegen.names import ModuleNames, Names, identifier
from codegen.plan.blocks import Blocks, blocks, separate
from codegen.plan.broadcasts import BUFFER, repeats_long_rows
from codegen.plan.buffers import buffers
from codegen.plan.common import factor
from codegen.plan.copies import copy_transposed
from codegen.plan.costs import numbers_pay
from codegen.plan.dots import join_dots
from codegen.plan.factors import gather
from codegen.plan.flatten import Known, flatten, leaves
from codegen.plan.floats import use_math
from codegen.plan.fusion import inline_values, scalar_only
from codegen.plan.memory import Memory, memory
from codegen.plan.naming import name_values
from codegen.plan.offsets import offsets
from codegen.plan.ones import numbers
from codegen.plan.rounds import Repeat
from codegen.plan.schedule import schedule
from codegen.plan.shared import any_alike, share
from codegen.plan.steps import Apply, Invoke, Sheet, Step, Value, scales
from codegen.plan.strength import strengthen
from codegen.plan.sums import kept_ones, simplify_sums
from codegen.plan.tiles import Region, settle, tiles
from codegen.plan.uses import Uses, uses
from codegen.plan.weighted import weigh
from codegen.plan.workspace import Workspace, placed
from codegen.printers import MathPrinter, Printer, dtype_text
from codegen.program import Function, Node, Options, Program, Tree, Var
from codegen.record import struct
from codegen.results import Result
from codegen.source import Assign, Blank, Block, Comment, Do, Return, Source, docstring
from codegen.types import Shape, Size, product, size_names, size_text
from codegen.unrolled import unrolled

# Rewriting neighbours may bring new neighbours together, but not for long.
_ROUNDS = 3
# A longer function of scalars has its NumPy body alone: its text twice, for Python floats and for
# where they raise, would take more memory to compile than all the rest.
SCALAR_STEPS = 20_000


class Made:
    """An emitted function, and what it needs of the module.

    fallback: its NumPy body, for where Python's floats raise. call: the statement that calls the
    checking function, whose name the module decides. ones: vectors of ones that it reads, by their
    names.
    """

    def __init__(self, check: Check | None) -> None:
        self.check = check
        self.sources: list[Source] = []
        self.fallback: list[Source] = []
        self.call: Assign | None = None
        self.modules: set[str] = set()
        self.routines: set[str] = set()
        self.constants: set[Var] = set()
        self.ones: dict[str, str] = {}
        self.fast_records = False
        self.saved: tuple[str, ...] = ()


class Sizes:
    """Prints sizes, and takes note of the names in them."""

    def __init__(self) -> None:
        self.rename: dict[str, str] = {}
        self.loops: dict[str, str] = {}
        self.used: set[str] = set()
        self._known: dict[Size, str] = {}

    def text(self, size: Size) -> str:
        """The size as an expression in the function."""
        if isinstance(size, int):
            return str(size)
        known = self._known.get(size)
        if known is None:
            self.used.update(size_names(size))
            known = size_text(size, {**self.rename, **self.loops})
            if not self.loops:
                self._known[size] = known
        return known


@struct
class Planned:
    """A function and everything that was decided about it.

    known: the value of each Var. texts: the identifier of every leaf of the arguments; containers:
    that of every argument, by its name. ones: vectors of ones that the module has, by their names.
    """

    function: Function
    plan: Plan
    known: Known
    sizes: Sizes
    texts: dict[Var, str]
    containers: dict[str, str]
    ones: dict[Value, str]

    @property
    def used(self) -> list[Var]:
        """The leaves of the arguments that the body reads."""
        count = self.plan.uses.count
        return [var for var in self.texts if count(self.known[var])]


def plan_function(
    program: Program,
    function: Function,
    options: Options,
    module: ModuleNames,
    saved: Sequence[str],
    workspace: Workspace | None = None,
    arrays: Planned | None = None,
) -> Planned:
    """All decisions about a function.

    saved: what an earlier function calls what it saves. arrays: the function on arrays of which
    this is the one on their elements; both have the same arguments.
    """
    sheet, known = flatten(function, program.constants, options)
    results = [known[var] for var in leaves(function.result)]
    read = _rewritten(sheet, results, options)
    scope = Names(module.taken)
    if arrays is None:
        texts, containers = parameter_names(function, scope, saved)
    else:
        containers = arrays.containers
        texts = element_names(function, scope, arrays.texts, containers)
    ones = kept_ones(sheet, read, scope)
    scale = scales(sheet.values, dict(options.sizes))
    schedule(sheet, read, scale)
    parameters = [var for param in function.params for var in leaves(param.value)]
    small = len(sheet.steps) <= SCALAR_STEPS
    scalar_mode = small and scalar_only(sheet, [known[var] for var in parameters] + results)
    packed = [] if arrays is None else _only_packed(function.result, known, read)
    donated = frozenset(known[var].index for var in _donated(function, options))
    inline = inline_values(sheet, read, scale, scalar_mode, packed, donated)
    blocked = {} if scalar_mode else blocks(sheet, read, inline, options)
    apart = {step for block in blocked.values() for step in block.steps}
    regions = {} if scalar_mode else tiles(sheet, read, inline, options, apart, donated)
    callables = frozenset(program.callables)
    places = buffers(sheet, read, inline, scale, callables, donated)
    settle(regions, places)
    separate(blocked, places)
    sizes = Sizes()
    for name in known_sizes(function, parameters):
        sizes.rename[name] = scope.fresh(name.strip("<> 0123456789") if name[0] == "<" else name)
    idents = {known[var].index: text for var, text in module.constants.items()}
    idents.update({known[var].index: texts[var] for var in parameters})
    idents.update({value.index: text for value, text in ones.items()})
    names = name_values(sheet, read, inline, places, scope, idents)
    sizes.rename.update(_found_sizes(sheet, read, names))
    loops: dict[Step, Region | Blocks] = {**regions, **blocked}
    bytes_ = memory(sheet, read, inline, places, loops, dict(options.sizes))
    plan = Plan(sheet, read, scale, inline, places, names, scope, scalar_mode, loops, bytes_)
    plan.threads = options.threads
    plan.rounds = {
        step: _plan_round(step, plan, options, callables)
        for step in sheet.steps
        if isinstance(step, Repeat)
    }
    if workspace is not None and not scalar_mode:
        tiled = [step for region in loops.values() for step in region.steps]
        plan.workspace = workspace
        plan.into = placed(sheet, read, inline, scale, places, tiled, workspace)
    return Planned(function, plan, known, sizes, texts, containers, ones)


def _only_packed(result: Node, known: Known, read: Uses) -> list[Value]:
    """The values that are one element of one returned array, and read by nothing."""
    times = Counter(known[var] for var in leaves(result))
    arrays, inside = [result], []
    for node in arrays:  # which grows as containers are taken apart
        if isinstance(node, Tree) and node.kind == "array":
            inside += [known[var] for var in leaves(node)]
        elif isinstance(node, Tree):
            arrays += node.items
    return [x for x in inside if times[x] == 1 and not read.readers[x.index]]


def _rewritten(sheet: Sheet, results: Sequence[Value], options: Options) -> Uses:
    """Who reads what, after every rewriting of the steps."""
    read = uses(sheet, results)
    for rewrite in (share, factor):
        if rewrite(sheet, read):
            read = uses(sheet, results)
    rewrites = (strengthen, weigh, gather, simplify_sums, join_dots, numbers)
    idle, changed = 0, False
    for rewrite in rewrites * _ROUNDS:
        if rewrite(sheet, read):
            read, idle, changed = uses(sheet, results), 0, True
        else:
            idle += 1
            if idle == len(rewrites):
                break
    # Factors joined to one may have made products alike.
    if changed and any_alike(sheet) and share(sheet, read):
        read = uses(sheet, results)
    use_math(sheet, read)
    if copy_transposed(sheet, dict(options.sizes)):
        read = uses(sheet, results)
    if offsets(sheet, read, dict(options.sizes)):
        read = uses(sheet, results)
    return read


def _plan_round(step: Repeat, outer: Plan, options: Options, callables: frozenset[str]) -> Plan:
    """All decisions about one round of a loop; its values from outside get their text later."""
    sheet, sizes = step.inner, dict(options.sizes)
    read = _rewritten(sheet, step.kept, options)
    scale = scales(sheet.values, sizes)
    schedule(sheet, read, scale)
    inline = inline_values(sheet, read, scale, False)
    places = buffers(sheet, read, inline, scale, callables)
    states = {value.index: outer.scope.fresh(value.hint or "state") for value, _, _ in step.carried}
    names = name_values(sheet, read, inline, places, outer.scope, states)
    bytes_ = Memory([0] * len(sheet.steps), 0, 0, {}, set())
    return Plan(sheet, read, scale, inline, places, names, outer.scope, False, {}, bytes_)


def _found_sizes(sheet: Sheet, read: Uses, names: list[str]) -> dict[str, str]:
    """The sizes that a routine's results have and nothing tells before: `<pairs 3>` by its text."""
    found: dict[str, str] = {}
    for step in sheet.steps:
        if isinstance(step, Invoke):
            for out in step.outs:
                size = out.shape[0] if len(out.shape) == 1 else 0
                if str(size)[0] == "<" and read.count(out):
                    found.setdefault(str(size), f"len({names[out.index]})")
    return found


def _donated(function: Function, options: Options) -> list[Var]:
    """The arguments whose storage is the function's own."""
    saves = function.may_alias or (function.entry is not None and function.entry.trusted)
    if not options.donate or saves:
        return []
    arguments = [var for param in function.params for var in leaves(param.value)]
    return [var for var in arguments if var.name in options.donate]


def emit_function(
    program: Program,
    function: Function,
    options: Options,
    module: ModuleNames,
    checks: bool,
    saved: Sequence[str] = (),
    workspace: Workspace | None = None,
) -> Made:
    """The source of one function; of two where scalar code needs its NumPy body."""
    planned = plan_function(program, function, options, module, saved, workspace)
    numbers = None if workspace is not None else _on_numbers(program, planned, options, module)
    main, arrays = (planned, ()) if numbers is None else numbers
    plan, sizes = main.plan, main.sizes
    printer_class = MathPrinter if plan.scalar_mode else Printer
    printer = printer_class(len(plan.sheet.values), sizes.text, module.callables)
    made = Made(_check(program, planned, options) if checks else None)
    body = _body(main, printer, made, module)
    made.saved = tuple(
        plan.names[main.known[var].index]
        for var in leaves(main.function.result)
        if var in function.may_alias
    )
    emitted = [main]
    if plan.scalar_mode and _raises(plan):
        name = f"_{identifier(function.name)}_numpy"
        call = f"{name}({', '.join(planned.texts[var] for var in planned.used)})"
        handler = "except (OverflowError, ZeroDivisionError, ValueError):"
        body = [Block("try:", body), Block(handler, [Return(call)])]
        made.fallback = [Blank(2), _numpy_body(planned, name, made, module)]
        emitted.append(planned)
    made.constants = {
        constant.var
        for constant in program.constants
        if any(one.plan.uses.count(one.known[constant.var]) for one in emitted)
    }
    elements = [
        Assign(
            _pattern(var.type.shape, [main.texts[x] for x in found]),
            f"{planned.texts[var]}.tolist()",
        )
        for var, found in arrays
    ]
    head = [*_head(planned, made, identifier(program.name)), *elements]
    if repeats_long_rows(plan.sheet, plan.scale, plan.regions, dict(options.sizes)):
        body = _with_short_buffer(body, plan.scope.fresh("buffer"))
    if head and isinstance(body[0], Comment):
        body.insert(0, Blank())
    doc = [docstring(function.doc, 4)] if function.doc else []
    parameters = ", ".join(signature(function, planned.containers))
    header = f"def {identifier(function.name)}({parameters}):"
    made.sources = [Block(header, [*doc, *head, *body])]
    # A value and its step name each other: apart, they go at once, where the collector is off.
    for one in (planned, main):
        for value in one.plan.sheet.values:
            value.step = None
    return made


def _on_numbers(
    program: Program, planned: Planned, options: Options, module: ModuleNames
) -> tuple[Planned, tuple[tuple[Var, tuple[Var, ...]], ...]] | None:
    """The function on the elements of its arrays, and those, where that is faster."""
    function = planned.function
    if function.may_alias or function.entry is None or function.entry.trusted:
        return None
    known, names = planned.known, planned.plan.names
    found = unrolled(function, program.constants, lambda var: names[known[var].index])
    if found is None:
        return None
    numbers = plan_function(program, found.function, options, module, (), None, planned)
    count = numbers.plan.uses.count
    arrays = tuple(
        (var, elements)
        for var, elements in found.arrays
        if any(count(numbers.known[element]) for element in elements)
    )
    unpacked = [len(elements) for _, elements in arrays]
    packed = [_count(var) for var in leaves(function.result) if var.type.shape]
    if not numbers_pay(planned.plan.sheet, numbers.plan.sheet, unpacked, packed):
        return None
    return numbers, arrays


def _with_short_buffer(body: list[Source], name: str) -> list[Source]:
    """The statements, while NumPy's buffer is short."""
    return [
        Comment("Rows of more than half of NumPy's buffer are repeated without a copy."),
        Assign(name, f"np.setbufsize({BUFFER})"),
        Block("try:", body),
        Block("finally:", [Do(f"np.setbufsize({name})")]),
    ]


def _check(program: Program, planned: Planned, options: Options) -> Check | None:
    """The entry check, where there is anything to check."""
    entry = planned.function.entry
    if entry is None:
        return None
    inputs = tuple(inputs_of(planned.function, planned.texts))
    if not inputs:
        return None
    where = identifier(program.name)
    donated = [var for var in _donated(planned.function, options) if var.type.shape]
    given = [planned.texts[var] for var in donated]
    return check(entry, inputs, planned.texts, planned.plan.scalar_mode, where, given)


def _head(planned: Planned, made: Made, where: str) -> list[Source]:
    """Unpacking, the check, and the sizes that the body mentions."""
    function, texts, sizes = planned.function, planned.texts, planned.sizes
    checked = made.check
    head: list[Source] = []
    for param in function.params:
        if isinstance(param.value, Tree):
            text = planned.containers[param.name]
            lines = unpack(text, param.value, texts)
            entry = function.entry if checked is not None else None
            if entry is not None and param.name not in entry.trusted:
                lines = structure(where, param, text, lines)
            head.extend(lines)
    if checked is not None and checked.condition:
        # The module fills in the call, for functions share their checking functions.
        made.call = Assign(checked.names, "")
        if checked.aside:
            head.append(made.call)
        else:
            head.append(Block(f"if {_negated(checked.condition)}:", [made.call]))
    bound = bindings(function, texts)
    for name, text in sizes.rename.items():
        if name in sizes.used and name in bound:
            head.append(Assign(text, bound[name]))
    return head


def _negated(condition: str) -> str:
    """The condition does not hold."""
    if " and " not in condition and condition.count(" is ") == 1:
        return condition.replace(" is ", " is not ")
    return f"not ({condition})"


def _raises(plan: Plan) -> bool:
    return any(isinstance(step, Apply) and step.function.raises for step in plan.sheet.steps)


def _count(var: Var) -> int:
    """The number of elements of an array of a known shape."""
    count = product(var.type.shape)
    assert isinstance(count, int)
    return count


def _body(planned: Planned, printer: Printer, made: Made, module: ModuleNames) -> list[Source]:
    """The statements of a function, and its `return`."""
    function, plan = planned.function, planned.plan
    emitter = Emitter(plan, printer, planned.sizes.loops)
    body = emitter.body()
    result = Result(function, plan, planned.known, printer, planned.containers, module)
    result.notes = emitter.notes
    returned = Return(result.text(function.result, top=True))
    body += [*result.sources, returned]
    made.modules |= printer.modules
    made.routines |= printer.routines
    made.fast_records |= result.fast_used
    made.ones |= {text: filled(printer, value, 1.0) for value, text in planned.ones.items()}
    return body


def _pattern(shape: Shape, names: list[str]) -> str:
    """The names of an array's elements as a target: `(a_0_0, a_0_1), (a_1_0, a_1_1)`."""
    for size in reversed(shape[1:]):
        assert isinstance(size, int)
        rows = [names[at : at + size] for at in range(0, len(names), size)]
        names = [f"({', '.join(row)}{',' * (size == 1)})" for row in rows]
    return ", ".join(names) if len(names) > 1 else f"({names[0]},)"


def _numpy_body(planned: Planned, name: str, made: Made, module: ModuleNames) -> Source:
    """The same on NumPy's numbers and arrays, for where Python's floats raise."""
    function, plan, texts = planned.function, planned.plan, planned.texts
    # Without arrays, all that NumPy could know its own by are the numbers.
    scalar = plan.scalar_mode
    printer = Printer(len(plan.sheet.values), planned.sizes.text, module.callables, strict=scalar)
    body = _body(planned, printer, made, module)
    doc = docstring(f"`{function.name}` where Python's floats raise and NumPy's do not.", 4)
    convert: list[Source] = [
        Assign(texts[var], f"{dtype_text(var.type.dtype)}({texts[var]})")
        for var in planned.used
        if scalar
    ]
    parameters = ", ".join(texts[var] for var in planned.used)
    return Block(f"def {name}({parameters}):", [doc, *convert, *body])
