"""Which values are written inside the expression that reads them, and which get a statement.

A value that is read once may be part of its reader's expression. Scalars and small arrays are, up
to a readable depth: one expression a named value. Of a large array's elementwise chain each step is
a statement, so that it can work in place, of its own array or of one that is read there last; what
needs a new array anyway (a mask, the operand of a sum) stays inside the expression.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from codegen.expr import Number
from codegen.infer import weak
from codegen.plan.rounds import Repeat
from codegen.plan.steps import (
    LARGE,
    Apply,
    Assemble,
    Invoke,
    Look,
    Offsets,
    Operand,
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
)
from codegen.plan.uses import Uses
from codegen.program import Broadcast, Reshape, Transpose
from codegen.types import product

# An expression of more functions, or nested deeper, is cut into statements.
MAX_DEPTH = 6
MAX_FUNCTIONS = 10
# An element of an array has a name if it is computed by more.
_ELEMENT_FUNCTIONS = 2
_WORTH_A_LINE = 8192
# Spelled in `math` with an operand that occurs twice, or in no branch: it must be a name.
_MATH_NEEDS_NAMES = frozenset(
    [
        "square",
        "sign",
        "floor",
        "ceil",
        "rint",
        "trunc",
        "maximum",
        "minimum",
        "fmax",
        "fmin",
        "heaviside",
    ]
)


def inline_values(
    sheet: Sheet,
    uses: Uses,
    scale: list[int],
    scalar_mode: bool,
    packed: Collection[Value] = (),
    donated: frozenset[int] = frozenset(),
) -> list[bool]:
    """For each value: whether it is part of its readers' expressions.

    packed: values that are nothing but an element of one returned array.
    donated: arguments, by value index, in whose storage results may be made.
    """
    count = len(sheet.values)
    inline = [False] * count
    depth = [0] * count
    functions = [0] * count
    chain = _chains(sheet, uses, scale)
    position = {step: at for at, step in enumerate(sheet.steps)}
    for step in sheet.steps:
        out = step.out
        index = out.index
        deep, many = 0, 1
        for operand in step.operands:
            if isinstance(operand, Value) and inline[operand.index]:
                deep = max(deep, depth[operand.index])
                many += functions[operand.index]
        if isinstance(step, Look):
            many -= 1
        if donated and _takes_over(step, uses, scale, donated):
            continue
        if (
            weak(out.dtype)
            or _is_inline(step, uses, scale, chain, scalar_mode, deep, many, position)
            or (out in packed and isinstance(step, Apply) and many <= _ELEMENT_FUNCTIONS)
        ):
            inline[index] = True
            depth[index] = deep + (not isinstance(step, Look))
            functions[index] = many
    return inline


def _takes_over(step: Step, uses: Uses, scale: list[int], donated: frozenset[int]) -> bool:
    """Whether the step works in the storage of a donated argument, for a result that then does."""
    out = step.out
    readers = uses.readers[out.index]
    if not isinstance(step, Apply) or scale[out.index] != LARGE or len(readers) != 1:
        return False
    result = readers[0].out
    same = (out.dtype, out.shape)
    given = (
        isinstance(operand, Value)
        and operand.index in donated
        and (operand.dtype, operand.shape) == same
        for operand in step.operands
    )
    return uses.returned[result.index] and (result.dtype, result.shape) == same and any(given)


def _chains(sheet: Sheet, uses: Uses, scale: list[int]) -> list[int]:
    """For each large value: how many steps lead to it, each working on the one before."""
    chain = [0] * len(sheet.values)
    for step in sheet.steps:
        out = step.out
        if scale[out.index] != LARGE:
            continue
        longest = 0
        if isinstance(step, Apply):
            for operand in step.operands:
                if isinstance(operand, Value) and _follows(operand, out, uses):
                    longest = max(longest, chain[operand.index])
        chain[out.index] = longest + 1 if not isinstance(step, Look) else 0
    return chain


def _follows(operand: Value, out: Value, uses: Uses) -> bool:
    """Whether `out` could be computed in the operand's place: its only reader, its type."""
    return (
        operand.dtype == out.dtype
        and operand.shape == out.shape
        and operand.step is not None
        and not isinstance(operand.step, Look)
        and uses.count(operand) == 1
    )


def _is_inline(
    step: Step,
    uses: Uses,
    scale: list[int],
    chain: list[int],
    scalar_mode: bool,
    deep: int,
    many: int,
    position: Mapping[Step, int],
) -> bool:
    out = step.out
    if out.keep:
        return False
    if isinstance(step, Look) and not out.shape and not isinstance(step.operands[0], Value):
        # A literal, or a size: no name says more.
        return True
    if uses.returned[out.index]:
        return False
    readers = uses.readers[out.index]
    if isinstance(step, Look):
        return _look_is_inline(step, uses, scale)
    if len(readers) != 1 or not readers:
        return False
    if not isinstance(step, Apply):
        if isinstance(step, Assemble | Put | Offsets | Sweep | Rows | Push | Repeat):
            return False
        if isinstance(step, Invoke) and len(step.outs) > 1:
            return False
    if deep >= MAX_DEPTH or many > MAX_FUNCTIONS:
        return False
    reader = readers[0]
    if _needs_name(reader, out, scalar_mode):
        return False
    if scale[out.index] != LARGE:
        return True
    if isinstance(reader, Apply) and _follows(out, reader.out, uses):
        return (
            chain[out.index] == 1
            and isinstance(step, Apply)
            and _has_longer(reader, out, chain, uses)
            and not _has_room(step, uses, position)
        )
    if isinstance(reader, Assemble) and goes_straight(reader, reader.operands.index(out)):
        return True
    return chain[out.index] <= 1


def goes_straight(step: Assemble, position: int) -> bool:
    """Whether an operand may be computed in its region of the result."""
    part, region = step.operands[position], step.regions[position]
    if step.exhaustive or (step.add and (position or step.fill != 0)):
        return False
    if not isinstance(part, Value) or not isinstance(part.step, Apply):
        return False
    function = part.step.function
    # With `out=` a power is another function: x ** 0.5 is a square root.
    return (
        function.ufunc
        and function.name != "power"
        and part.dtype == step.out.dtype
        and part.shape == tuple(entry.size for entry in region if isinstance(entry, Span))
    )


def _has_room(step: Apply, uses: Uses, position: Mapping[Step, int]) -> bool:
    """Whether the step is the last to read an array of its result's type, made here; of a size
    at which another array is worth a line."""
    out = step.out
    count = product(out.shape)
    if not isinstance(count, int) or count < _WORTH_A_LINE:
        return False
    return any(
        isinstance(operand, Value)
        and (operand.dtype, operand.shape) == (out.dtype, out.shape)
        and isinstance(operand.step, Apply | Product)
        and _last_read(operand, uses, position) <= position[step]
        for operand in step.operands
    )


def _last_read(value: Value, uses: Uses, position: Mapping[Step, int]) -> float:
    """The position of the last step that reads the array, or a view of it."""
    last: float = -1
    pending = [value]
    while pending:
        shown = pending.pop()
        if uses.returned[shown.index]:
            return math.inf
        for reader in uses.readers[shown.index]:
            if isinstance(reader, Look):
                pending.append(reader.out)
            else:
                last = max(last, position[reader])
    return last


def _has_longer(reader: Apply, out: Value, chain: list[int], uses: Uses) -> bool:
    """Whether another operand, before this one or with a longer chain, will lend its place."""
    seen = False
    for operand in reader.operands:
        if operand is out:
            seen = True
        elif isinstance(operand, Value) and _follows(operand, reader.out, uses):
            longer = chain[operand.index] - chain[out.index]
            if longer > 0 or (longer == 0 and not seen):
                return True
    return False


def _look_is_inline(step: Look, uses: Uses, scale: list[int]) -> bool:
    """Views cost nothing, so that short ones are written wherever they are read."""
    readers = uses.readers[step.out.index]
    if isinstance(step.kind, Window) or _lends_its_place(step, uses, scale):
        return False
    if any(_needs_name(reader, step.out, False) for reader in readers):
        return False
    source = step.operands[0]
    if len(readers) == 1 or not isinstance(source, Value):
        return True
    if source.step is not None and not source.keep and uses.count(source) == 1:
        # The source would be computed at each reader.
        return False
    return isinstance(step.kind, Transpose) and step.kind.axes == (1, 0)


def _lends_its_place(step: Look, uses: Uses, scale: list[int]) -> bool:
    """Whether this is a product in another shape, which what reads it can work in."""
    out, source = step.out, step.operands[0]
    if not isinstance(step.kind, Reshape) or scale[out.index] != LARGE or uses.count(out) != 1:
        return False
    if not isinstance(source, Value) or not isinstance(source.step, Product):
        return False
    (reader,) = uses.readers[out.index]
    return (
        uses.count(source) == 1
        and isinstance(reader, Apply)
        and reader.function.ufunc
        and (reader.out.dtype, reader.out.shape) == (out.dtype, out.shape)
    )


def _needs_name(reader: Step, value: Value, scalar_mode: bool) -> bool:
    """Whether the reader's code mentions this operand several times, or before or after it."""
    if isinstance(reader, Apply):
        if scalar_mode:
            return reader.function.name in _MATH_NEEDS_NAMES
        # NumPy's function of a number is called only outside of the domain of that of `math`.
        return reader.out.py and bool(reader.function.domain)
    if isinstance(reader, Offsets | Sweep | Rows | Push | Repeat):
        return True
    if isinstance(reader, Look):
        return isinstance(reader.kind, Window) or (
            isinstance(reader.kind, Broadcast) and len(reader.operands) != 1
        )
    return isinstance(reader, Put) and reader.based and value is reader.operands[-1]


def scalar_only(sheet: Sheet, others: list[Value]) -> bool:
    """Whether Python's floats suffice: every value, also of `others` (arguments and results), is an
    f64 number or a condition."""

    def plain(operand: Operand) -> bool:
        if isinstance(operand, Value):
            return operand.shape == () and operand.dtype in ("f64", "bool", "float?", "bool?")
        return isinstance(operand, Number)

    return all(plain(value) for value in others) and all(
        isinstance(step, Apply | Look)
        and plain(step.out)
        and all(plain(operand) for operand in step.operands)
        for step in sheet.steps
    )
