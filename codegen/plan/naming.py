"""What every value is called.

A user's name belongs to the value it was given to. An unnamed value that works in another's
storage bears the name of the chain: `hidden = x @ W`, `hidden += b`, `np.tanh(hidden, out=hidden)`.
Any other is called by what it is: `exp_x`, `x_times_y`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from codegen.expr import Extent, Number
from codegen.names import Names
from codegen.plan.buffers import Buffers
from codegen.plan.steps import (
    Apply,
    Assemble,
    Fold,
    Index,
    Invoke,
    Look,
    Offsets,
    Operand,
    Product,
    Sheet,
    Step,
    Take,
    Value,
    Window,
    outs_of,
)
from codegen.plan.uses import Uses
from codegen.program import Broadcast, Diagonal, Reshape, Transpose

_BINARY = {
    "add": "plus",
    "subtract": "minus",
    "multiply": "times",
    "divide": "over",
}
_CHANGED = {"add": "shifted", "subtract": "shifted", "multiply": "scaled", "divide": "scaled"}
_LOOKS: Mapping[type, str] = {
    Window: "windows",
    Index: "slice",
    Reshape: "reshaped",
    Transpose: "turned",
    Diagonal: "diagonal",
    Broadcast: "repeated",
}
# How far downstream a name is looked for that says what an unnamed value is part of.
_HOPS = 8
_LONGEST = 20


def name_values(
    sheet: Sheet,
    uses: Uses,
    inline: list[bool],
    buffers: Buffers,
    names: Names,
    given: dict[int, str],
) -> list[str]:
    """The identifier of every value that has one ("" for inlined values).

    names: the function's scope; given: identifiers of parameters and constants, by value index.
    """
    result = [""] * len(sheet.values)
    for index, text in given.items():
        result[index] = text
    label = _labels(sheet, uses, inline, buffers)
    bearers = Counter(owner.index for owner in label if owner is not None)
    owners = [
        out
        for step in sheet.steps
        for out in outs_of(step)
        if not inline[out.index] and label[out.index] is out
    ]
    for kept in (True, False):
        for out in owners:
            if out.hint and out.keep is kept:
                result[out.index] = names.fresh(out.hint)
    for step in sheet.steps:
        for out in outs_of(step):
            owner = label[out.index]
            if owner is None or inline[out.index]:
                continue
            if not result[owner.index]:
                assert owner.step is not None
                chained = bearers[owner.index] > 1
                text = _describe(owner.step, uses, result, chained)
                result[owner.index] = names.fresh(text)
            result[out.index] = result[owner.index]
    return result


def _labels(sheet: Sheet, uses: Uses, inline: list[bool], buffers: Buffers) -> list[Value | None]:
    """For each value, the value whose name it bears."""
    count = len(sheet.values)
    successor: list[Value | None] = [None] * count
    ahead: list[Value | None] = [None] * count
    for step in reversed(sheet.steps):
        place = buffers.inplace[step.out.index]
        if place is not None:
            successor[place.index] = step.out
        for out in outs_of(step):
            after = successor[out.index]
            ahead[out.index] = out if out.hint else ahead[after.index] if after else None
    label: list[Value | None] = [None] * count
    for step in sheet.steps:
        for out in outs_of(step):
            index = out.index
            if inline[index]:
                continue
            place = buffers.inplace[index]
            before = label[place.index] if place is not None else None
            if ahead[index] is out:
                label[index] = out
            elif uses.count(out) > 1:
                # `scores -= peak` are still scores; `exp(scores)` is something else.
                changed = isinstance(step, Apply) and step.function.name in _CHANGED
                label[index] = before if before is not None and changed else out
            else:
                if before is not None and before.keep:
                    # A user's name goes on meaning what the user gave it to.
                    before = None
                label[index] = ahead[index] or before or out
    return label


def _describe(step: Step, uses: Uses, names: list[str], chained: bool) -> str:
    """A name for an unnamed value, from its operands, else from what it is part of.

    chained: whether later steps work in its place, so that its first content says little.
    """
    text = "" if chained else _by_operands(step, names)
    if text and len(text) <= _LONGEST:
        return text
    if step.out.dtype == "bool":
        return "mask"
    target, folded = _downstream(step.out, uses)
    if not target:
        return "t"
    return f"{target}_terms" if folded else f"{target}_part"


def _by_operands(step: Step, names: list[str]) -> str:
    """What the value is, in terms of its operands; empty where these have no names."""
    operands = [names[o.index] if isinstance(o, Value) else "" for o in step.operands]
    first = operands[0] if operands else ""
    if isinstance(step, Look):
        word = _LOOKS.get(type(step.kind))
        first = first or _shown(step.operands[0], names)
        return f"{first.removesuffix('_padded')}_{word}" if word and first else ""
    if isinstance(step, Invoke):
        name = step.function.rpartition(".")[2]
        return "index" if name == "arange" else f"{name}_{first}" if first else name
    if isinstance(step, Apply):
        return _by_function(step, operands)
    if isinstance(step, Assemble):
        first = first or _shown(step.operands[0], names) if len(operands) == 1 else ""
        return f"{first}_padded" if first else ""
    if not first:
        return ""
    if isinstance(step, Offsets) and step.body:
        return "count" if step.body[-1].out.dtype == "bool" else ""
    if isinstance(step, Fold) or (isinstance(step, Offsets) and step.target is None):
        return f"{step.fn}_{first}"
    if isinstance(step, Take):
        return f"{first}_{operands[-1]}" if operands[-1] else ""
    if isinstance(step, Product) and all(operands):
        return f"{first}_{operands[1]}"
    return ""


def _shown(operand: Operand, names: list[str]) -> str:
    """The name of what is shown with its axes exchanged."""
    step = operand.step if isinstance(operand, Value) else None
    if not isinstance(step, Look) or not isinstance(step.kind, Transpose):
        return ""
    source = step.operands[0]
    return names[source.index] if isinstance(source, Value) else ""


def _by_function(step: Apply, operands: list[str]) -> str:
    name = step.function.name
    if len(operands) == 1:
        return f"{name}_{operands[0]}" if operands[0] else ""
    if len(operands) != 2:
        return ""
    if name == "divide" and isinstance(step.operands[0], Number) and step.operands[0].value == 1:
        return f"per_{operands[1] or _size_name(step.operands[1])}".removesuffix("per_")
    if all(operands):
        word = _BINARY.get(name)
        return f"{operands[0]}_{word}_{operands[1]}" if word else ""
    word = _CHANGED.get(name)
    return f"{operands[0]}_{word}" if word and operands[0] else ""


def _size_name(operand: Operand) -> str:
    """The name of a size, where the operand is one, also as a float."""
    if isinstance(operand, Value) and isinstance(operand.step, Apply | Look):
        operand = operand.step.operands[0]
    if isinstance(operand, Extent) and not isinstance(operand.size, int) and operand.size.is_name:
        return str(operand.size)
    return ""


def _downstream(value: Value, uses: Uses) -> tuple[str, bool]:
    """The first user's name that the value leads to, and whether there is a sum between."""
    folded = False
    for _ in range(_HOPS):
        readers = uses.readers[value.index]
        if not readers:
            break
        # Readers are collected backwards: the last is the first in the code.
        folded |= isinstance(readers[-1], Fold)
        value = readers[-1].out
        if value.hint:
            return value.hint, folded
    return "", folded
