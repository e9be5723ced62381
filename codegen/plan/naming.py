"""What every value is called.

A user's name belongs to the value it was given to. An unnamed value that works in another's
storage bears the name of the chain: `hidden = x @ W`, `hidden += b`, `np.tanh(hidden, out=hidden)`.
Any other is called by what it is: `exp_x`, `x_times_y`.
"""

from __future__ import annotations

from codegen.names import Names
from codegen.plan.buffers import Buffers
from codegen.plan.steps import (
    Apply,
    Assemble,
    Fold,
    Look,
    Product,
    Sheet,
    Step,
    Value,
    Window,
    outs_of,
)
from codegen.plan.uses import Uses

_BINARY = {
    "add": "plus",
    "subtract": "minus",
    "multiply": "times",
    "divide": "over",
}
_CHANGED = {"add": "shifted", "subtract": "shifted", "multiply": "scaled", "divide": "scaled"}
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
                result[owner.index] = names.fresh(_describe(owner.step, uses, result))
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
            elif before is not None and uses.count(out) > 1:
                label[index] = before
            else:
                label[index] = ahead[index] or before or out
    return label


def _describe(step: Step, uses: Uses, names: list[str]) -> str:
    """A name for an unnamed value, from its operands, else from what it is part of."""
    text = ""
    if isinstance(step, Look) and isinstance(step.kind, Window):
        (source,) = step.operands
        assert isinstance(source, Value)
        return f"{names[source.index].removesuffix('_padded')}_windows"
    operands = [names[o.index] if isinstance(o, Value) else "" for o in step.operands]
    if isinstance(step, Apply | Fold) and len(operands) == 1 and operands[0]:
        name = step.fn if isinstance(step, Fold) else step.function.name
        text = f"{name}_{operands[0]}"
    elif isinstance(step, Apply) and len(operands) == 2 and all(operands):
        word = _BINARY.get(step.function.name)
        text = f"{operands[0]}_{word}_{operands[1]}" if word else ""
    elif isinstance(step, Apply) and len(operands) == 2 and operands[0]:
        word = _CHANGED.get(step.function.name)
        text = f"{operands[0]}_{word}" if word else ""
    elif isinstance(step, Product) and all(operands):
        text = f"{operands[0]}_{operands[1]}"
    elif isinstance(step, Assemble) and len(operands) == 1 and operands[0]:
        text = f"{operands[0]}_padded"
    if text and len(text) <= _LONGEST:
        return text
    if step.out.dtype == "bool":
        return "mask"
    target = _downstream(step.out, uses)
    return f"{target}_part" if target else "t"


def _downstream(value: Value, uses: Uses) -> str:
    """The first user's name that the value leads to."""
    for _ in range(_HOPS):
        readers = uses.readers[value.index]
        if not readers:
            return ""
        # Readers are collected backwards: the last is the first in the code.
        value = readers[-1].out
        if value.hint:
            return value.hint
    return ""
