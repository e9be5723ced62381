"""What every value is called.

A user's name belongs to the value it was given to. An unnamed value that works in another's
storage bears the name of the chain: `hidden = x @ W`, `hidden += b`, `np.tanh(hidden, out=hidden)`.
Any other is called by what it is: `exp_x`, `x_times_y`.
"""

from __future__ import annotations

from collections.abc import Mapping

from codegen.expr import Extent, Number
from codegen.names import Names
from codegen.plan.buffers import Buffers
from codegen.plan.rounds import Repeat
from codegen.plan.steps import (
    Apply,
    Assemble,
    At,
    Einsum,
    Fold,
    Index,
    Invoke,
    Look,
    Offsets,
    Operand,
    Product,
    Push,
    Put,
    Same,
    Sheet,
    Span,
    Step,
    Sweep,
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
_COMMUTATIVE = frozenset({"add", "multiply"})
# What a value is, where its operands have no short names: `loss_difference`.
_NOUNS = {
    "add": "sum",
    "subtract": "difference",
    "multiply": "product",
    "divide": "quotient",
    "negative": "negated",
    "square": "squared",
    "power": "power",
    "sqrt": "root",
    "where": "chosen",
}
# The same, where nothing says what it is part of: no name of Python's own.
_ALONE = {"sum": "total", "slice": "view", "max": "largest", "min": "smallest"}
_CASTS = frozenset({"f64", "f32", "i64", "i32", "bool"})
_SHORT = {"absolute": "abs", "logical_not": "not"}
_LOOKS: Mapping[type, str] = {
    Window: "windows",
    Reshape: "reshaped",
    Transpose: "turned",
    Diagonal: "diagonal",
    Broadcast: "repeated",
}
# How far downstream a name is looked for that says what an unnamed value is part of.
_HOPS = 8
# A longer description says less than the comment above.
_LONGEST = 22
_DEPTH = 4


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
    # A chain that works in one place is called by what others read there.
    final: dict[int, Step] = {}
    settled = [False] * len(sheet.values)
    for step in sheet.steps:
        for out in outs_of(step):
            owner = label[out.index]
            if owner is None or inline[out.index] or settled[owner.index]:
                continue
            final[owner.index] = step
            settled[owner.index] = uses.count(out) > 1
    for step in sheet.steps:
        for out in outs_of(step):
            owner = label[out.index]
            if owner is None or inline[out.index]:
                continue
            if not result[owner.index]:
                result[owner.index] = names.fresh(_describe(final[owner.index], uses, result))
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
            if out.hint:
                ahead[out.index] = out
            elif after is not None and uses.count(out) <= 1:
                ahead[out.index] = ahead[after.index]
    label: list[Value | None] = [None] * count
    settled = [False] * count  # whether what bears a name has been read by others than the chain
    for step in sheet.steps:
        for out in outs_of(step):
            index = out.index
            if inline[index]:
                continue
            place = buffers.inplace[index]
            before = label[place.index] if place is not None else None
            if before is not None and settled[before.index] and not before.hint:
                # What was read under its name may now be something else.
                before = before if _adjusts(step) else None
            if ahead[index] is out:
                label[index] = out
            elif uses.count(out) > 1:
                # What is shifted or scaled is still that; `exp(scores)` is something else.
                changed = isinstance(step, Apply) and step.function.name in _CHANGED
                goes_on = before is not None and (changed or not before.hint)
                label[index] = before if goes_on else out
            else:
                if before is not None and before.keep:
                    # A user's name goes on meaning what the user gave it to.
                    before = None
                label[index] = ahead[index] or before or out
            owner = label[index]
            if owner is not None and uses.count(out) > 1:
                settled[owner.index] = True
    return label


def _adjusts(step: Step) -> bool:
    """Whether an array is shifted as a whole: `scores -= peak` are still scores."""
    if not isinstance(step, Apply) or step.function.name not in ("add", "subtract"):
        return False
    shapes = [x.shape if isinstance(x, Value) else () for x in step.operands]
    return any(shape != step.out.shape for shape in shapes)


def _describe(step: Step, uses: Uses, names: list[str]) -> str:
    """A name for an unnamed value: what it is of its operands, else what it is to the value that it
    is part of. Neither depends on lines elsewhere, as a plain number would."""
    text = _of_operands(step, names, _DEPTH)
    if text and len(text) <= _LONGEST:
        return text
    summed = any(isinstance(r, Fold) and r.fn == "sum" for r in uses.readers[step.out.index])
    noun = step.out.word or ("terms" if summed and isinstance(step, Apply) else _noun(step))
    target = _downstream(step.out, uses)
    return f"{target}_{noun}" if target else _ALONE.get(noun, noun)


def _noun(step: Step) -> str:
    """What the value is, whatever its operands are."""
    if step.out.dtype == "bool":
        return "mask"
    if isinstance(step, Apply):
        name = step.function.name
        inner = step.operands[0]
        through = name in _CASTS or (name in _CHANGED and isinstance(step.operands[-1], Number))
        if through and isinstance(inner, Value) and inner.step is not None:
            return inner.word or _noun(inner.step)
        return _NOUNS.get(name, name)
    if isinstance(step, Product | Einsum | Sweep | Push):
        return "sum" if any(map(_is_ones, step.operands)) else "product"
    if isinstance(step, Fold):
        return step.fn
    if isinstance(step, Assemble):
        return "joined" if step.exhaustive and len(step.operands) > 1 else _filled(step)
    if isinstance(step, Put):
        return "scattered"
    if isinstance(step, Invoke):
        return step.function.rpartition(".")[2]
    if isinstance(step, Look):
        return "slice" if isinstance(step.kind, Index) else _LOOKS.get(type(step.kind), "view")
    return "rows" if isinstance(step, Take) else "part"


def _called(operand: Operand, names: list[str], depth: int) -> str:
    """An operand as a part of a name: its own, else its description, without literal numbers."""
    if not isinstance(operand, Value):
        return ""
    if names[operand.index] or operand.step is None or not depth:
        return names[operand.index]
    step = operand.step
    if isinstance(step, Look) and isinstance(step.kind, Same | Broadcast | Reshape | Transpose):
        return _called(step.operands[0], names, depth - 1)
    if isinstance(step, Apply) and step.function.name in _CHANGED:
        a, b = step.operands
        if isinstance(b, Number):
            return _called(a, names, depth - 1)
        if isinstance(a, Number) and step.function.name in _COMMUTATIVE:
            return _called(b, names, depth - 1)
    return _of_operands(step, names, depth - 1)


def _of_operands(step: Step, names: list[str], depth: int) -> str:
    """What the value is, in terms of its operands; empty where these have no names."""
    word, of = step.out.word, step.out.of
    if word:
        text = _called(of, names, depth) if of is not None else ""
        return f"{word}_{text}" if text else ""
    operands = [_called(operand, names, depth) for operand in step.operands]
    first = operands[0] if operands else ""
    if isinstance(step, Look):
        if isinstance(step.kind, Index):
            return f"{first}_{_slice_word(step.kind)}" if first else ""
        looks = _LOOKS.get(type(step.kind))
        return f"{first.removesuffix('_padded')}_{looks}" if looks and first else ""
    if isinstance(step, Repeat):
        return ""
    if isinstance(step, Invoke):
        name = step.function.rpartition(".")[2]
        if name.startswith("_"):
            return ""
        return "index" if name == "arange" else f"{name}_{first}" if first else name
    if isinstance(step, Apply):
        return _of_function(step, operands)
    if not first:
        return ""
    if isinstance(step, Offsets) and step.body:
        return "count" if step.body[-1].out.dtype == "bool" else ""
    if isinstance(step, Fold) or (isinstance(step, Offsets) and step.target is None):
        return f"{step.fn}_{first}"
    if isinstance(step, Einsum):
        both = len(operands) == 2 and step.operands[0] is step.operands[1]
        return f"squared_norm_{first}" if both else ""
    if isinstance(step, Take):
        return f"{first}_{operands[-1]}" if operands[-1] else ""
    if isinstance(step, Product):
        # Products of products say too much: those are products.
        operands = [_shown_name(operand) for operand in step.operands]
        if not all(operands):
            return ""
        summed = [text for text, o in zip(operands, step.operands, strict=True) if not _is_ones(o)]
        return f"sum_{summed[0]}" if len(summed) == 1 else "_".join(operands)
    return f"{first}_{_filled(step)}" if isinstance(step, Assemble) and len(operands) == 1 else ""


def _filled(step: Assemble) -> str:
    """What zeros with something in them are called."""
    entries = [entry for region in step.regions for entry in region]
    apart = any(isinstance(entry, Span) and entry.step not in (1, -1) for entry in entries)
    return "spread" if apart else "padded"


def _shown_name(operand: Operand) -> str:
    """The name that somebody gave to the value that a view shows."""
    while isinstance(operand, Value) and not operand.hint and isinstance(operand.step, Look):
        operand = operand.step.operands[0]
    return operand.hint if isinstance(operand, Value) else ""


def _is_ones(operand: Operand) -> bool:
    """Whether a product with the operand is a sum."""
    return isinstance(operand, Value) and operand.hint == "ones" and not operand.keep


def _slice_word(index: Index) -> str:
    """`to_5`, `from_15`, `5_to_10`, `3`, where one axis is cut at numbers."""
    words: list[str] = []
    for entry in index.entries:
        if isinstance(entry, At) and isinstance(entry.position, int):
            words.append(str(entry.position))
        elif isinstance(entry, Span) and entry.size != entry.length:
            start, size = entry.start, entry.size
            if not isinstance(start, int) or entry.step != 1:
                return "slice"
            if start + size == entry.length:
                words.append(f"from_{start}")
            elif isinstance(size, int):
                words.append(f"{start}_to_{start + size}" if start else f"to_{size}")
            else:
                return "slice"
        elif isinstance(entry, Span) and entry.step == -1:
            words.append("reversed")
    return words[0] if len(words) == 1 else "slice"


def _of_function(step: Apply, operands: list[str]) -> str:
    name = step.function.name
    if len(operands) == 1:
        return f"{_SHORT.get(name, name)}_{operands[0]}" if operands[0] else ""
    if name == "where":
        other = step.operands[2]
        zero = isinstance(other, Number) and other.value == 0
        return f"{operands[1]}_or_0" if zero and operands[1] else ""
    if len(operands) != 2:
        return ""
    a, b = step.operands
    if name == "divide" and isinstance(a, Number) and a.value == 1:
        return f"per_{operands[1] or _size_name(b)}".removesuffix("per_")
    if name == "multiply" and a is b:
        return f"square_{operands[0]}" if operands[0] else ""
    word = _CHANGED.get(name)
    if word is None:
        return ""
    if isinstance(a, Number) and a.value == 1 and name in ("add", "subtract"):
        return f"one_{_BINARY[name]}_{operands[1]}" if operands[1] else ""
    if all(operands):
        text = f"{operands[0]}_{_BINARY[name]}_{operands[1]}"
        if len(text) <= _LONGEST:
            return text
        whole = [isinstance(x, Value) and x.shape == step.out.shape for x in (a, b)]
        if all(whole):
            return text
        operands = [operands[0] if whole[0] else "", operands[1] if whole[1] else ""]
    changed = operands[0] or (operands[1] if name in _COMMUTATIVE else "")
    return f"{changed}_{word}" if changed else ""


def _size_name(operand: Operand) -> str:
    """The name of a size, where the operand is one, also as a float."""
    if isinstance(operand, Value) and isinstance(operand.step, Apply | Look):
        operand = operand.step.operands[0]
    if isinstance(operand, Extent) and not isinstance(operand.size, int) and operand.size.is_name:
        return str(operand.size)
    return ""


def _downstream(value: Value, uses: Uses) -> str:
    """The first user's name that the value leads to."""
    for _ in range(_HOPS):
        readers = uses.readers[value.index]
        if not readers:
            break
        # Readers are collected backwards: the last is the first in the code.
        value = readers[-1].out
        if value.hint:
            return value.hint
    return ""
