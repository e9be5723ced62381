"""Windows that are folded, or added up, one offset after another: all of them are never made.

The maximum over windows of 3x3 needs nine slices of the array, not an array of nine times its size;
no more does its gradient, for which each slice is compared with the maximum again.

max(windows(x), axis=window)             for k: y = max(y, x[k::2])
spread((windows(x) == y) * share)        for k: d_x[k::2] += (x[k::2] == y) * share
"""

from __future__ import annotations

from collections.abc import Mapping

from codegen.plan.steps import (
    SMALL_ELEMENTS,
    Apply,
    At,
    Einsum,
    Fold,
    Index,
    Look,
    Offsets,
    Operand,
    Sheet,
    Span,
    Strip,
    Value,
    Window,
)
from codegen.plan.uses import Uses
from codegen.program import Broadcast, Transpose
from codegen.types import Shape, Size, product, substitute

# For each axis of a value: the loop that selects on it, or None where it is whole.
Marks = tuple[str | None, ...]

# Windows of more elements are folded by NumPy.
_MOST = 64
_FOLDS = frozenset({"max", "min", "sum"})
# So cheap that they are computed again where they are read again.
_CHEAP = frozenset({"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"})
_CHEAP |= {"add", "subtract", "multiply", "negative", "square", "logical_and", "logical_or"}


def offsets(sheet: Sheet, uses: Uses, sizes: Mapping[str, Size]) -> bool:
    """Rewrite the steps; whether anything changed, so that uses must be counted again."""
    if not any(isinstance(step, Look) and isinstance(step.kind, Window) for step in sheet.steps):
        return False
    given, sheet.steps = sheet.steps, []
    dropped: dict[Value, Value] = {}
    known = len(sheet.values)
    for step in given:
        made = False
        sheet.note, sheet.tag = step.note, step.tag
        if isinstance(step, Fold):
            made = _fold(sheet, uses, sizes, step, dropped)
        elif isinstance(step, Einsum):
            made = _einsum(sheet, uses, step, dropped)
        elif isinstance(step, Offsets) and not step.body:
            made = _spread(sheet, uses, step, dropped)
        if not made:
            sheet.steps.append(step)
    return len(sheet.values) > known


def _fold(
    sheet: Sheet, uses: Uses, sizes: Mapping[str, Size], step: Fold, dropped: dict[Value, Value]
) -> bool:
    """A fold over all offsets inside windows, and nothing else, as a loop."""
    (operand,) = step.operands
    assert isinstance(operand, Value)
    out = step.out
    if step.fn not in _FOLDS or out.dtype == "bool":
        return False
    shape = operand.shape
    loops = tuple([(f"k{number}", shape[axis]) for number, axis in enumerate(step.axes)])
    rest = tuple([n for axis, n in enumerate(shape) if axis not in step.axes])
    count = product(tuple(extent for _, extent in loops))
    slab = substitute(product(rest), sizes)
    if not isinstance(count, int) or count > _MOST or not rest:
        return False
    if isinstance(slab, int) and slab <= SMALL_ELEMENTS:
        return False
    marks = tuple(
        f"k{step.axes.index(axis)}" if axis in step.axes else None for axis in range(len(shape))
    )
    parts = _Parts(sheet, uses, dict(loops), dropped)
    result = parts.slab(operand, marks)
    if not parts.windows or result.shape != rest:
        return False
    made = sheet.value(out.dtype, rest) if step.keepdims else out
    sheet.add(parts.step(made, loops, result, step.fn, None))
    if step.keepdims:
        entries = tuple([None if axis in step.axes else _whole(n) for axis, n in enumerate(shape)])
        sheet.look(made, Index(entries), out.shape, out)
        dropped[out] = made
    return True


def _spread(sheet: Sheet, uses: Uses, step: Offsets, dropped: dict[Value, Value]) -> bool:
    """What is added at every offset, computed there."""
    (operand,), (part,) = step.operands, step.parts
    assert isinstance(operand, Value)
    assert part is not None
    marks = tuple(strip.loops[0][0] if strip.loops else None for strip in part)
    parts = _Parts(sheet, uses, dict(step.loops), dropped)
    result = parts.slab(operand, marks)
    if parts.operands == [operand] or result.shape != step.slabs[0].shape:
        return False
    sheet.add(parts.step(step.out, step.loops, result, step.fn, step.target))
    return True


def _einsum(sheet: Sheet, uses: Uses, step: Einsum, dropped: dict[Value, Value]) -> bool:
    """An index formula over windows, at one offset after another: y[..., k] = sum(x[k::1] * d)."""
    inputs, result = step.formula.split("->")
    texts = inputs.split(",")
    shown = [k for k, operand in enumerate(step.operands) if _is_window(operand)]
    if len(texts) != 2 or len(shown) != 1:
        return False
    view, other = texts[shown[0]], texts[1 - shown[0]]
    loops = [letter for letter in result if letter not in other]
    if not loops or not set(loops) <= set(view):
        return False
    operands = [operand for operand in step.operands if isinstance(operand, Value)]
    sizes = dict(zip(view, operands[shown[0]].shape, strict=True))
    names = {letter: f"k{at}" for at, letter in enumerate(loops)}
    parts = _Parts(sheet, uses, {names[letter]: sizes[letter] for letter in loops}, dropped)
    slabs = [
        parts.slab(operand, tuple(names.get(letter) for letter in text))
        for operand, text in zip(operands, texts, strict=True)
    ]
    if not parts.windows or parts.body:
        return False
    rest = ["".join(letter for letter in text if letter not in names) for text in (*texts, result)]
    out = sheet.value(step.out.dtype, tuple(sizes[letter] for letter in rest[2]))
    formula = f"{rest[0]},{rest[1]}->{rest[2]}"
    parts.body.append(Einsum(out, tuple(slabs), step.note, step.tag, formula))
    looped = tuple((names[letter], sizes[letter]) for letter in loops)
    target = tuple(
        Strip(((names[letter], 1),), 0, 0, 1) if letter in names else Strip((), 0, 1, sizes[letter])
        for letter in result
    )
    sheet.add(parts.step(step.out, looped, out, "sum", target))
    return True


def _is_window(operand: Operand) -> bool:
    step = operand.step if isinstance(operand, Value) else None
    return isinstance(step, Look) and isinstance(step.kind, Window)


def _whole(size: Size) -> Span:
    return Span(0, size, 1, size)


class _Parts:
    """The operands of one loop, and the steps on their parts, as they are found."""

    def __init__(
        self, sheet: Sheet, uses: Uses, extents: Mapping[str, Size], dropped: dict[Value, Value]
    ) -> None:
        self.sheet = sheet
        self.uses = uses
        self.extents = extents
        # Values whose axes of size 1 at the loops are gone, by the value that has them.
        self.dropped = dropped
        self.operands: list[Value] = []
        self.parts: list[tuple[Strip, ...] | None] = []
        self.slabs: list[Value] = []
        self.body: list[Apply | Einsum] = []
        self.windows = False
        self._known: dict[tuple[Value, Marks], Value] = {}

    def step(
        self,
        out: Value,
        loops: tuple[tuple[str, Size], ...],
        result: Value,
        fn: str,
        target: tuple[Strip, ...] | None,
    ) -> Offsets:
        """The loop over what was found; `result` is what one offset gives."""
        assert result is (self.body[-1].out if self.body else self.slabs[-1])
        return Offsets(
            out, tuple(self.operands), self.sheet.note, self.sheet.tag, loops,
            tuple(self.parts), tuple(self.slabs), tuple(self.body), fn, target,
        )  # fmt: skip

    def slab(self, value: Value, marks: Marks) -> Value:
        """What stands for the value's part at one offset."""
        known = self._known.get((value, marks))
        if known is None:
            known = self._known[value, marks] = self._made(value, marks)
        return known

    def _made(self, value: Value, marks: Marks) -> Value:
        if not any(marks):
            return self._read(value, None, value.shape)
        if all(
            value.shape[axis] == 1 and self.extents[mark] != 1
            for axis, mark in enumerate(marks)
            if mark
        ):
            flat = self._drop(value, tuple(axis for axis, mark in enumerate(marks) if mark))
            return self._read(flat, None, flat.shape)
        step = value.step
        if isinstance(step, Apply) and self._again(step):
            return self._apply(step, marks)
        if isinstance(step, Look):
            seen = self._look(step, marks)
            if seen is not None:
                return seen
        # Stored as a whole: the part at these indices. What repeats has its one position.
        strips = tuple(
            Strip(((mark, 1),) if n != 1 else (), 0, 0, 1) if mark else Strip((), 0, 1, n)
            for mark, n in zip(marks, value.shape, strict=True)
        )
        rest = tuple(n for mark, n in zip(marks, value.shape, strict=True) if not mark)
        return self._read(value, strips, rest)

    def _read(self, value: Value, part: tuple[Strip, ...] | None, shape: Shape) -> Value:
        for operand, other, slab in zip(self.operands, self.parts, self.slabs, strict=True):
            if operand is value and other == part:
                return slab
        slab = self.sheet.value(value.dtype, shape)
        slab.py = value.py
        self.operands.append(value)
        self.parts.append(part)
        self.slabs.append(slab)
        return slab

    def _again(self, step: Apply) -> bool:
        """Whether the step may be done at each offset: nobody needs its whole result."""
        out = step.out
        if out.keep or self.uses.returned[out.index]:
            return False
        return len(self.uses.readers[out.index]) == 1 or step.function.name in _CHEAP

    def _apply(self, step: Apply, marks: Marks) -> Value:
        operands: list[Operand] = []
        for operand in step.operands:
            if isinstance(operand, Value):
                own = marks[len(marks) - len(operand.shape) :]
                operand = self.slab(operand, own)
            operands.append(operand)
        rest = tuple(n for mark, n in zip(marks, step.out.shape, strict=True) if not mark)
        out = self.sheet.value(step.out.dtype, rest)
        inner = Apply(out, tuple(operands), step.note, step.tag, step.function)
        out.step = inner
        self.body.append(inner)
        return out

    def _look(self, step: Look, marks: Marks) -> Value | None:
        """The part of what a view shows; None where its axes do not lie in their order."""
        source, kind = step.operands[0], step.kind
        if not isinstance(source, Value):
            return None
        if isinstance(kind, Transpose):
            back: list[str | None] = [None] * len(marks)
            for axis, mark in zip(kind.axes, marks, strict=True):
                back[axis] = mark
            order = [axis for axis, mark in zip(kind.axes, marks, strict=True) if not mark]
            return self.slab(source, tuple(back)) if order == sorted(order) else None
        if isinstance(kind, Broadcast):
            lead = len(marks) - len(source.shape)
            whole = [mark for mark in marks[:lead] if not mark]
            same = all(
                mark or n == m
                for mark, n, m in zip(
                    marks[lead:], source.shape, step.out.shape[lead:], strict=True
                )
            )
            return self.slab(source, marks[lead:]) if same and not whole else None
        if isinstance(kind, Window):
            return self._window(source, kind, step.out.shape, marks)
        return None

    def _window(self, source: Value, kind: Window, shape: Shape, marks: Marks) -> Value | None:
        chosen: list[int | None] = [None] * len(source.shape)
        last = -1
        for axis, mark in enumerate(marks):
            if mark:
                continue
            onto = [at for at, coefficient in enumerate(kind.steps[axis]) if coefficient]
            if len(onto) != 1 or onto[0] <= last or kind.steps[axis][onto[0]] < 0:
                return None
            last = onto[0]
            chosen[last] = axis
        strips: list[Strip] = []
        for at, whole in enumerate(chosen):
            loops = tuple(
                (mark, kind.steps[axis][at])
                for axis, mark in enumerate(marks)
                if mark and kind.steps[axis][at]
            )
            step = kind.steps[whole][at] if whole is not None else 0
            size = shape[whole] if whole is not None else 1
            strips.append(Strip(loops, kind.starts[at], step, size))
        self.windows = True
        rest = tuple(n for mark, n in zip(marks, shape, strict=True) if not mark)
        return self._read(source, tuple(strips), rest)

    # -- axes of size 1 ----------------------------------------------------------------------------

    def _drop(self, value: Value, axes: tuple[int, ...]) -> Value:
        """The value without these axes, each of size 1."""
        known = self.dropped.get(value)
        if known is None:
            known = self.dropped[value] = self._without(value, axes)
        return known

    def _without(self, value: Value, axes: tuple[int, ...]) -> Value:
        step = value.step
        rest = tuple(n for axis, n in enumerate(value.shape) if axis not in axes)
        if isinstance(step, Look) and isinstance(step.kind, Index):
            added = tuple(at for at, entry in enumerate(step.kind.entries) if entry is None)
            source = step.operands[0]
            if added == axes and isinstance(source, Value) and source.shape == rest:
                return source
        lone = len(self.uses.readers[value.index]) == 1 and not self.uses.returned[value.index]
        if isinstance(step, Apply) and lone and not value.keep and step.function.ufunc:
            operands: list[Operand] = []
            for operand in step.operands:
                if isinstance(operand, Value) and operand.shape:
                    lead = len(value.shape) - len(operand.shape)
                    own = tuple(axis - lead for axis in axes if axis >= lead)
                    operand = self._drop(operand, own) if own else operand
                operands.append(operand)
            out = self.sheet.value(value.dtype, rest, value.hint)
            note, tag = step.note, step.tag
            return self.sheet.add(Apply(out, tuple(operands), note, tag, step.function))
        entries = tuple(At(0) if axis in axes else _whole(n) for axis, n in enumerate(value.shape))
        return self.sheet.look(value, Index(entries), rest)
