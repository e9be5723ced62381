"""A Program as a module: imports, constants, records, functions, entry checks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from codegen.arrays import empty_text, shape_text
from codegen.collection import without_collection
from codegen.entry import check_function, helpers
from codegen.function import Made, emit_function
from codegen.names import ModuleNames, identifier, quoted
from codegen.plan.workspace import Workspace
from codegen.printers import Printer, number_text
from codegen.program import Constant, Options, Program, Record
from codegen.record import struct
from codegen.routines import routines
from codegen.source import (
    Assign,
    Blank,
    Block,
    Comment,
    Do,
    Lines,
    Source,
    Text,
    docstring,
    render,
)

# An array of more elements stays out of the source.
LITERAL_ELEMENTS = 64
Array = np.ndarray[Any, Any]


@struct
class Generated:
    """An emitted module.

    source: its text. constants: the arrays that `load` (or a file) must put into its globals.
    callables: the names of Program.callables by their identifiers in the source.
    source_map: the tag of each line that has one, lines counted from 1.
    """

    name: str
    source: str
    constants: dict[str, Array]
    source_map: dict[int, str]
    callables: dict[str, str]
    program: Program | None
    options: Options | None

    @property
    def unchecked(self) -> str:
        """The same module without entry checks, for callers that have checked already."""
        assert self.program is not None
        assert self.options is not None
        return generate(self.program, self.options, checks=False).source


def generate(
    program: Program,
    options: Options | None = None,
    checks: bool = True,
    constants_file: str | None = None,
) -> Generated:
    """The source of a Program.

    checks: whether functions check and convert their inputs.
    constants_file: for a module that stands alone: the file beside it with the large constants.
    """
    options = options or Options()
    with without_collection():
        module = _Module(program, options, checks, constants_file)
        text = module.text()
    callables = {text: name for name, text in module.names.callables.items()}
    return Generated(program.name, str(text), module.large, text.tags, callables, program, options)


def module_names(program: Program) -> ModuleNames:
    """The names at the top of the module, chosen before any function's own."""
    return ModuleNames(
        (param.name for function in program.functions for param in function.params),
        program.callables,
        (record.name for record in program.records),
        ((c.var, c.var.name or "constant") for c in program.constants),
    )


class _Module:
    def __init__(
        self, program: Program, options: Options, checks: bool, constants_file: str | None
    ) -> None:
        self.program = program
        self.options = options
        self.checks = checks
        self.constants_file = constants_file
        self.large: dict[str, Array] = {}
        self.names = module_names(program)

    def text(self) -> Text:
        """The whole module."""
        program = self.program
        made: list[Made] = []
        saved: tuple[str, ...] = ()
        workspace = Workspace() if self.options.workspace else None
        for function in program.functions:
            one = emit_function(
                program, function, self.options, self.names, self.checks, saved, workspace
            )
            made.append(one)
            saved = one.saved or saved
        modules = set().union(*(one.modules for one in made))
        used = set().union(*(one.constants for one in made))
        checkers, helper_sources = self._checkers(made)
        constants = [constant for constant in program.constants if constant.var in used]
        preamble = self._constants(constants)
        functions = [source for one in made for source in (Blank(2), *one.sources)]
        if helper_sources:
            conditions = [one.check.condition for one in made if one.check is not None]
            preamble += _compared(" ".join([*conditions, str(render(checkers))]))
        ones = {text: value for one in made for text, value in one.ones.items()}
        if ones:
            preamble += [Blank(), Comment("Sums along axes are products with these.")]
            preamble += [Assign(text, value) for text, value in ones.items()]
        if workspace is not None and workspace.buffers:
            preamble += _kept(workspace)
        if "threads" in modules:
            preamble += _threading(self.options.threads)
        if any(one.fast_records for one in made):
            preamble.append(Blank())
            preamble.append(Comment("Builds a named tuple from its fields at once."))
            preamble.append(Assign("_new", "tuple.__new__"))
        body: list[Source] = [*preamble]
        for record in program.records:
            body += [Blank(2), *_record(record, self.names.records[record.name])]
        # What a reader wants to see comes first: the NumPy bodies of scalar functions go last.
        fallbacks = [source for one in made for source in one.fallback]
        own = routines(set().union(*(one.routines for one in made)))
        if checkers:
            heading = (
                "Called where an input is not exactly as declared: it is converted, or refused."
            )
            checkers = [Blank(2), Comment(heading), *checkers]
        body += [*functions, *own, *checkers, *helper_sources, *fallbacks]
        text = render(body)
        head = self._imports(modules, any("np." in line for line in text.lines))
        doc = program.doc or f"Generated by graphc from `{program.name}`. Do not edit."
        return render([docstring(doc, 0), *head]).followed_by(text)

    def _imports(self, modules: set[str], uses_numpy: bool) -> list[Source]:
        standard: list[Source] = []
        if self.large and self.constants_file is not None:
            standard.append(Do("import hashlib"))
        if "math" in modules:
            standard.append(Do("import math"))
        if "threads" in modules:
            standard.append(Do("import os"))
            standard.append(Do("from concurrent.futures import ThreadPoolExecutor"))
            standard.append(Do("from contextvars import copy_context"))
        if self.large and self.constants_file is not None:
            standard.append(Do("from pathlib import Path"))
        if self.program.records:
            standard.append(Do("from typing import NamedTuple"))
        others: list[Source] = []
        if uses_numpy:
            others.append(Do("import numpy as np"))
        others += [Do(f"import {name}") for name in sorted(modules) if name.startswith("scipy")]
        if "as_strided" in modules:
            others.append(Do("from numpy.lib.stride_tricks import as_strided"))
        groups = [group for group in (standard, others) if group]
        return [line for group in groups for line in (Blank(), *group)]

    # -- constants ---------------------------------------------------------------------------------

    def _constants(self, constants: list[Constant]) -> list[Source]:
        small: list[Source] = []
        for constant in constants:
            name = self.names.constants[constant.var]
            if constant.value.size > LITERAL_ELEMENTS:
                self.large[name] = np.ascontiguousarray(constant.value)
            else:
                small.append(Assign(name, _literal(constant)))
        sources = [Blank(), *small] if small else []
        if self.large and self.constants_file is not None:
            sources += [Blank(), *self._from_file(self.constants_file)]
        return sources

    def _from_file(self, file: str) -> list[Source]:
        """Reading the constants, each checked against its digest."""
        import hashlib

        where = f"Path(__file__).with_name({quoted(file)})"
        body: list[Source] = []
        for name, array in self.large.items():
            digest = hashlib.sha256(array.tobytes()).hexdigest()
            body.append(Assign(name, f"_stored[{quoted(name)}]"))
            message = quoted(f"{file}: {name} is not the array that this module was made with")
            body.append(
                Lines(
                    [
                        f"if hashlib.sha256({name}.tobytes()).hexdigest() != (",
                        f'    "{digest}"',
                        "):",
                        f"    raise ValueError({message})",
                    ]
                )
            )
        return [Block(f"with np.load({where}) as _stored:", body)]

    # -- checks ------------------------------------------------------------------------------------

    def _checkers(self, made: list[Made]) -> tuple[list[Source], list[Source]]:
        """One checking function for each distinct list of inputs, and what they call."""
        known: dict[tuple[str, ...], str] = {}
        checkers: list[Source] = []
        for function, one in zip(self.program.functions, made, strict=True):
            if one.check is None or not one.check.condition:
                continue
            first = "_check_inputs"
            lines = key = tuple(render([check_function(first, one.check)]).lines)
            name = known.get(key)
            if name is None:
                name = known[key] = f"_check_{identifier(function.name)}" if known else first
                if name != first:
                    lines = tuple(render([check_function(name, one.check)]).lines)
                checkers += [Blank(2), Lines(lines)]
            if one.call is not None:
                one.call.value = f"{name}({one.check.arguments})"
        text = str(render(checkers))
        needs = {
            name
            for name in ("_as_array", "_as_number", "_expect", "_distinct")
            if f"{name}(" in text
        }
        if needs:
            needs.add("_describe")
        return checkers, helpers(identifier(self.program.name), needs)


def _kept(workspace: Workspace) -> list[Source]:
    """The storage that stays between calls."""
    lines = ["_work = ["]
    for dtype, shape in workspace.buffers:
        lines.append(f"    {empty_text(Printer(0, str), shape, dtype)},")
    text = "Kept between calls, which is why two of them must not run at once."
    return [Blank(), Comment(text), Lines([*lines, "]"])]


def _threading(threads: int) -> list[Source]:
    """What shares out tiles."""
    others = threads - 1
    doc = f"""Runs `work` on {threads} threads at once: this one and {others} of a pool."""
    body: list[Source] = [
        docstring(doc, 4),
        Assign("key", f"os.getpid(), {others}"),
        Assign("pool", f"_pools.get(key) or _pools.setdefault(key, ThreadPoolExecutor({others}))"),
        Comment("In a context of its own each has this thread's np.errstate."),
        Assign("parts", f"[pool.submit(copy_context().run, work) for _ in range({others})]"),
        Block("try:", [Do("work()")]),
        Block(
            "finally:",
            [Block("for part in parts:", [Block("if not part.cancel():", [Do("part.result()")])])],
        ),
    ]
    return [
        Blank(),
        Comment("Pools of threads, by process: a fork takes no threads along."),
        Assign("_pools", "{}"),
        Blank(2),
        Block("def _on_threads(work):", body),
    ]


_DTYPE_NAMES: Mapping[str, str] = {
    "F64": "np.float64",
    "F32": "np.float32",
    "I64": "np.int64",
    "I32": "np.int32",
    "BOOL": "np.bool_",
}


def _compared(text: str) -> list[Source]:
    """Names for what entry checks compare with: a global is found faster than an attribute."""
    lines: list[Source] = [Blank(), Assign("ndarray", "np.ndarray")]
    for name, dtype in _DTYPE_NAMES.items():
        if re.search(rf"\b{name}\b", text):
            lines.append(Assign(name, f"np.dtype({dtype})"))
    return lines


def _record(record: Record, name: str) -> list[Source]:
    types = record.types or ("np.ndarray",) * len(record.fields)
    body: list[Source] = []
    if record.doc:
        body += [docstring(record.doc, 4), Blank()]
    body += [
        Do(f"{identifier(field)}: {kind}") for field, kind in zip(record.fields, types, strict=True)
    ]
    return [Block(f"class {name}(NamedTuple):", body or [Do("pass")])]


def _literal(constant: Constant) -> str:
    """A small array as a literal."""
    dtype, value = constant.var.type.dtype, constant.value
    spelled = {"f64": "", "bool": ""}.get(dtype, f", dtype=np.{np.dtype(value.dtype).name}")
    if value.ndim == 0:
        text = number_text(value.item(), "np")[0]
        return text if dtype == "f64" else f"np.{np.dtype(value.dtype).type.__name__}({text})"
    if value.size == 0:
        printer = Printer(0, str)
        return (
            f"np.zeros({shape_text(printer, value.shape)}, dtype=np.{np.dtype(value.dtype).name})"
        )
    return f"np.array({_nested(value.tolist())}{spelled})"


def _nested(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_nested(item) for item in value)}]"
    return number_text(value, "np")[0]
