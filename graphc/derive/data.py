"""What a derivation is, as data; and its text in the record, both ways. No SymPy here."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from codegen.record import record
from graphc import formula
from graphc.formula import parse
from graphc.naming import unused
from graphc.ops.elementwise import result_rule
from graphc.ops.kinds import Elementwise

RECORD = os.path.join(os.path.dirname(__file__), "derivations.toml")
# Blocks of the record, one an op, stand two blank lines apart, so that one can be read alone.
_GAP = "\n\n\n"


@record
class Form:
    """A chosen form. errors: the largest error found, in units, by dtype. why: what decided.

    tried: the other forms, one line each, with their costs and errors.
    """

    text: str
    errors: tuple[tuple[str, float], ...] = ()
    why: str = ""
    tried: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The form, why it is chosen, and the others, for reading."""
        found = [f"computed as {self.text}"]
        if self.errors:
            errors = ", ".join(f"{dtype} {error:g}" for dtype, error in self.errors)
            found.append(f"    error {errors} units: {self.why}")
        return found + [f"    not {line}" for line in self.tried]


@record
class Kink:
    """Where the gradient jumps, and the partials, one an operand, that stand there."""

    where: str
    partials: tuple[str, ...]


@record
class Derivation:
    """What is known of an op's value and local derivatives.

    form: the text to emit for the value: equal to the op's formula, and stable.
    partials: one an operand; None where it is zero everywhere, or the operand a literal. Each is an
        op itself: `definition` is the exact derivative, `formula` the stable form, over the op's
        args and, where `output`, the op's own value as one more.
    value, forms: the measurements behind `form` and behind each partial's formula.
    """

    op: Elementwise
    form: str
    partials: tuple[Elementwise | None, ...]
    value: Form
    forms: tuple[Form | None, ...]
    kinks: tuple[Kink, ...] = ()

    def __str__(self) -> str:
        op = self.op
        lines = [f"{op.name}({', '.join(op.args)}) = {op.definition or op.formula}"]
        if self.form != op.formula or self.value.errors:
            lines += [f"  {line}" for line in self.value.lines()]
        for arg, partial, form in zip(op.args, self.partials, self.forms, strict=True):
            if partial is None or form is None:
                continue
            lines.append(f"d/d{arg} = {partial.definition}")
            given = f", {partial.args[-1]} being {op.name}" if partial.output else ""
            head, *rest = form.lines()
            lines += [f"  {line}" for line in (head + given, *rest)]
        for kink in self.kinks:
            lines.append(f"at {kink.where}: {', '.join(kink.partials)}")
        return "\n".join(lines)


# -- names -----------------------------------------------------------------------------------------


def output_name(op: Elementwise) -> str:
    """What an op's own value is called in the forms of its partials: y; d in those of a partial."""
    order = 0
    name = op.name
    while name.startswith("d_"):
        order, name = order + 1, name[2:]
    chosen = "y" if order == 0 else "d" if order == 1 else f"d{order}"
    return unused(chosen, op.args)


def free_args(op: Elementwise) -> tuple[str, ...]:
    """The args a derivative may be taken by: not conditions, nor what other args determine."""
    given = {name for name, _ in op.given}
    return tuple(arg for arg in op.args[op.condition :] if arg not in given)


def partial_name(op: Elementwise, arg: str) -> str:
    """`d_tanh`, `d_power_d_a`; the order of differentiation is the order of reading."""
    return f"d_{op.name}" if len(free_args(op)) == 1 else f"d_{op.name}_d_{arg}"


def partial_op(
    op: Elementwise,
    arg: str,
    definition: str,
    form: str,
    points: Sequence[tuple[str, tuple[str, ...]]] = (),
) -> Elementwise:
    """The partial of `op` by `arg` as an op, over its args, and its value where `form` has it."""
    y = output_name(op)
    with_output = (*op.args, y)
    uses_output = y in formula.free_names(form)
    args = with_output if uses_output else op.args
    given = (*op.given, (y, op.definition or op.formula)) if uses_output else op.given
    name = partial_name(op, arg)
    return Elementwise(
        name, args, form, definition, result_rule(parse(form, args)),
        output=uses_output, points=tuple(points), given=given,
        doc=f"The partial of {op.name} by {arg}.",
    )  # fmt: skip


# -- the record ------------------------------------------------------------------------------------

Section = Mapping[str, Any]


def section_name(op: Elementwise, literal: Sequence[bool]) -> str:
    """`clip`, or `clip.literal.lo_hi` for what differs where those operands are literals."""
    names = [arg for arg, constant in zip(op.args, literal, strict=False) if constant]
    return f"{op.name}.literal.{'_'.join(names)}" if names else op.name


def to_text(derivation: Derivation, name: str) -> str:
    """One block of the record: TOML, laid out for a reviewer."""
    op = derivation.op
    lines = [f"[{name}]", f"args = {_strings(op.args)}", f"formula = {_string(op.formula)}"]
    if op.definition:
        lines.append(f"definition = {_string(op.definition)}")
    if derivation.form != op.formula or derivation.value.errors:
        lines += _form_lines(derivation.value)
    for kink in derivation.kinks:
        lines += ["", f"[[{name}.kinks]]", f"where = {_string(kink.where)}"]
        lines.append(f"partials = {_strings(kink.partials)}")
    for arg, partial, form in zip(op.args, derivation.partials, derivation.forms, strict=True):
        if partial is None or form is None:
            continue
        lines += ["", f"[{name}.partials.{arg}]", f"definition = {_string(partial.definition)}"]
        lines += _form_lines(form)
        for where, values in partial.points:
            lines += ["", f"[[{name}.partials.{arg}.points]]", f"where = {_string(where)}"]
            lines.append(f"partials = {_strings(values)}")
    return "\n".join(lines)


def _form_lines(form: Form) -> list[str]:
    lines = [f"form = {_string(form.text)}"]
    if form.errors:
        errors = ", ".join(f"{dtype} = {float(error)!r}" for dtype, error in form.errors)
        lines.append(f"errors = {{ {errors} }}")
    if form.why:
        lines.append(f"why = {_string(form.why)}")
    if form.tried:
        lines += ["tried = [", *(f"    {_string(line)}," for line in form.tried), "]"]
    return lines


def _string(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False)


def _strings(texts: Sequence[str]) -> str:
    return f"[{', '.join(_string(text) for text in texts)}]"


def from_section(op: Elementwise, section: Section) -> Derivation:
    """The derivation of `op` that a block of the record holds."""
    value = _form(section, op.formula)
    partials: list[Elementwise | None] = []
    forms: list[Form | None] = []
    for arg in op.args:
        found = section.get("partials", {}).get(arg)
        if found is None:
            partials.append(None)
            forms.append(None)
            continue
        form = _form(found, "")
        points = [(p["where"], tuple(p["partials"])) for p in found.get("points", ())]
        partials.append(partial_op(op, arg, found["definition"], form.text, points))
        forms.append(form)
    kinks = tuple(Kink(k["where"], tuple(k["partials"])) for k in section.get("kinks", ()))
    return Derivation(op, value.text, tuple(partials), value, tuple(forms), kinks)


def _form(section: Section, default: str) -> Form:
    return Form(
        section.get("form", default),
        tuple(section.get("errors", {}).items()),
        section.get("why", ""),
        tuple(section.get("tried", ())),
    )


@lru_cache(maxsize=1)
def _record() -> str:
    try:
        with open(RECORD, encoding="utf-8") as file:
            return _GAP + file.read()
    except FileNotFoundError:
        return ""


def recorded(op: Elementwise, name: str) -> Section | None:
    """The block of the record for `op`, if it is there and says the same of the op."""
    text = _record()
    start = text.find(f"{_GAP}[{name}]\n")
    if start < 0:
        return None
    end = text.find(_GAP, start + len(_GAP))
    section = read_block(text[start : end if end > 0 else len(text)], name)
    same = (
        tuple(section.get("args", ())) == op.args
        and section.get("formula") == op.formula
        and section.get("definition", "") == op.definition
    )
    return section if same else None


def read_block(text: str, name: str) -> Section:
    """The table `name` of a piece of TOML."""
    import tomllib

    section: Any = tomllib.loads(text)
    for part in name.split("."):
        section = section[part]
    found: Section = section
    return found


def block_gap() -> str:
    """What stands between two blocks of the record."""
    return _GAP
