"""One function of a module: arguments, entry check, sizes, body, result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from codegen.arguments import (
    bindings,
    inputs_of,
    known_sizes,
    parameter_names,
    signature,
    unpack,
)
from codegen.emit import Emitter, Plan
from codegen.entry import Check, check
from codegen.names import Names, identifier
from codegen.plan.buffers import buffers
from codegen.plan.flatten import Known, flatten, leaves
from codegen.plan.fusion import inline_values, scalar_only
from codegen.plan.naming import name_values
from codegen.plan.steps import Apply, scales
from codegen.plan.strength import strengthen
from codegen.plan.uses import uses
from codegen.printers import MathPrinter, Printer, dtype_text
from codegen.program import Function, Options, Program, Tree, Var
from codegen.results import Result
from codegen.source import Assign, Blank, Block, Comment, Return, Source, docstring
from codegen.types import Size, size_names, size_text

# Rewriting neighbours may bring new neighbours together, but not for long.
_ROUNDS = 3


@dataclass(slots=True)
class Made:
    """The emitted function(s), and what they need of the module."""

    sources: list[Source]
    check: Check | None
    modules: set[str] = field(default_factory=set)
    constants: set[Var] = field(default_factory=set)
    fast_records: bool = False


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


def plan_function(
    program: Program, function: Function, options: Options, given: Mapping[Var, str]
) -> tuple[Plan, Known, Sizes, dict[Var, str]]:
    """All decisions about a function. given: the module-level names of constants."""
    sheet, known = flatten(function, program.constants, options)
    results = [known[var] for var in leaves(function.result)]
    read = uses(sheet, results)
    for _ in range(_ROUNDS):
        if not strengthen(sheet, read):
            break
        read = uses(sheet, results)
    scale = scales(sheet.values, dict(options.sizes))
    parameters = [var for param in function.params for var in leaves(param.value)]
    scalar_mode = scalar_only(sheet, [known[var] for var in parameters] + results)
    inline = inline_values(sheet, read, scale, scalar_mode)
    places = buffers(sheet, read, inline, scale, frozenset(program.callables))
    scope = Names(given.values())
    texts = parameter_names(function, scope)
    sizes = Sizes()
    for name in known_sizes(function, parameters):
        sizes.rename[name] = scope.fresh(name)
    idents = {known[var].index: text for var, text in given.items() if var in known}
    idents.update({known[var].index: texts[var] for var in parameters})
    names = name_values(sheet, read, inline, places, scope, idents)
    plan = Plan(sheet, read, scale, inline, places, names, scope, scalar_mode)
    return plan, known, sizes, texts


def emit_function(
    program: Program,
    function: Function,
    options: Options,
    given: Mapping[Var, str],
    checks: bool,
) -> Made:
    """The source of one function; of two where scalar code needs its NumPy body."""
    plan, known, sizes, texts = plan_function(program, function, options, given)
    printer_class = MathPrinter if plan.scalar_mode else Printer
    printer = printer_class(len(plan.sheet.values), sizes.text)
    body = Emitter(plan, printer, sizes.loops).body()
    result = Result(function, plan, known, printer, texts, fast=plan.scalar_mode)
    body.append(Return(result.text(function.result, top=True)))
    made = Made([], None, printer.modules)
    checked = None
    if checks and function.entry is not None:
        inputs = tuple(inputs_of(function, texts))
        if inputs:
            checked = check(function.entry, inputs, plan.scalar_mode, identifier(program.name))
    head = _head(function, plan, sizes, texts, checked)
    made.check = checked
    made.fast_records = result.fast_used
    made.constants = {
        constant.var for constant in program.constants if plan.uses.count(known[constant.var])
    }
    fallback: list[Source] = []
    if plan.scalar_mode and _raises(plan):
        name = f"_{function.name}_numpy"
        arguments = ", ".join(_used_leaves(function, plan, known, texts))
        handler = Block(
            "except (OverflowError, ZeroDivisionError, ValueError):",
            [Return(f"{name}({arguments})")],
        )
        body = [Block("try:", body), handler]
        fallback = _numpy_body(function, plan, known, texts, name, arguments, made)
    if head and isinstance(body[0], Comment):
        body.insert(0, Blank())
    doc = docstring(function.doc, 4) if function.doc else None
    content: list[Source] = [*([doc] if doc else []), *head, *body]
    arguments = ", ".join(signature(function, texts))
    header = f"def {identifier(function.name)}({arguments}):"
    made.sources = [Block(header, content), *fallback]
    return made


def _head(
    function: Function,
    plan: Plan,
    sizes: Sizes,
    texts: Mapping[Var, str],
    checked: Check | None,
) -> list[Source]:
    """Unpacking, the check, and the sizes that the body mentions."""
    head: list[Source] = []
    for param in function.params:
        if isinstance(param.value, Tree):
            head.extend(unpack(identifier(param.name), param.value, texts))
    if checked is not None and checked.condition:
        # Filled in by the module, which shares checking functions between functions.
        call = Assign(checked.names + ("," if len(checked.inputs) == 1 else ""), "CHECK")
        head.append(Block(f"if not ({checked.condition}):", [call]))
    bound = bindings(function, texts)
    for name, text in sizes.rename.items():
        if name in sizes.used and name in bound:
            head.append(Assign(text, bound[name]))
    return head


# -- scalar mode -----------------------------------------------------------------------------------


def _raises(plan: Plan) -> bool:
    return any(isinstance(step, Apply) and step.function.raises for step in plan.sheet.steps)


def _used_leaves(
    function: Function, plan: Plan, known: Known, texts: Mapping[Var, str]
) -> list[str]:
    return [
        texts[var]
        for param in function.params
        for var in leaves(param.value)
        if plan.uses.count(known[var])
    ]


def _numpy_body(
    function: Function,
    plan: Plan,
    known: Known,
    texts: Mapping[Var, str],
    name: str,
    arguments: str,
    made: Made,
) -> list[Source]:
    """The same statements on NumPy's numbers, for where Python's raise."""
    printer = Printer(len(plan.sheet.values), str, strict=True)
    body = Emitter(plan, printer, {}).body()
    result = Result(function, plan, known, printer, texts, fast=True)
    body.append(Return(result.text(function.result, top=True)))
    made.modules |= printer.modules
    doc = docstring(f"`{function.name}` where Python's floats raise and NumPy's do not.", 4)
    convert: list[Source] = []
    for param in function.params:
        for var in leaves(param.value):
            if plan.uses.count(known[var]):
                text = texts[var]
                convert.append(Assign(text, f"{dtype_text(var.type.dtype)}({text})"))
    return [Blank(2), Block(f"def {name}({arguments}):", [doc, *convert, *body])]
