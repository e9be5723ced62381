"""How views, reductions, indexing and calls are spelled: `x.T`, `x.sum(axis=0)`, `x[i, :]`."""

from __future__ import annotations

from collections.abc import Sequence

from codegen.expr import Number
from codegen.plan.matmul import short
from codegen.plan.steps import (
    Apply,
    Assemble,
    At,
    Einsum,
    Fold,
    Index,
    Invoke,
    Look,
    Operand,
    Product,
    Same,
    Span,
    Step,
    Take,
    Value,
    Window,
)
from codegen.printers import ATOM, PRODUCT, Printer, Text, dtype_text
from codegen.program import Broadcast, Diagonal, Reshape, Transpose
from codegen.routines import ROUTINES
from codegen.types import Shape, Size, not_negative, size_text

_ACCUMULATE = {"cummax": "np.maximum.accumulate", "cummin": "np.minimum.accumulate"}
_SUMS = frozenset({"sum", "prod", "cumsum", "cumprod"})


def expression(printer: Printer, step: Step) -> Text:
    """The step's value as one expression."""
    if isinstance(step, Apply):
        return printer.apply(step)
    if isinstance(step, Look):
        return _look(printer, step)
    if isinstance(step, Product):
        a, b = step.operands
        if short(step):
            return f"{printer.operand(a, ATOM)}.dot({printer.operand(b)})", ATOM
        # `1 / s @ x` is right, and reads as if it were not.
        chained = isinstance(a, Value) and isinstance(a.step, Product)
        left = printer.operand(a, PRODUCT if chained else PRODUCT + 1)
        right = printer.operand(b, PRODUCT + 1)
        return f"{left} @ {right}", PRODUCT
    if isinstance(step, Fold):
        return _fold(printer, step), ATOM
    if isinstance(step, Take):
        return _take(printer, step), ATOM
    if isinstance(step, Einsum):
        operands = ", ".join(printer.operand(operand) for operand in step.operands)
        return f'np.einsum("{step.formula}", {operands})', ATOM
    if isinstance(step, Invoke):
        return _invoke(printer, step), ATOM
    if isinstance(step, Assemble):
        return filled(printer, step.out, step.fill), ATOM
    raise AssertionError(f"{type(step).__name__} is no expression")


def part_of_sum(printer: Printer, step: Step) -> str:
    """A tile's part of a sum. Of products not by BLAS, whose own threads would get in the way of
    other tiles', and round differently."""
    if not isinstance(step, Invoke):
        return expression(printer, step)[0]
    operands = ", ".join(printer.operand(operand) for operand in step.operands)
    (shape,) = {operand.shape for operand in step.operands if isinstance(operand, Value)}
    indices = "ijklmnop"[: len(shape)]
    return f'np.einsum("{indices},{indices}->", {operands})'


# -- shapes and regions ----------------------------------------------------------------------------


def shape_text(printer: Printer, shape: Shape) -> str:
    """A shape as an argument: `n`, or `(batch, 10)`."""
    sizes = [printer.size(size) for size in shape]
    return sizes[0] if len(sizes) == 1 else f"({', '.join(sizes)})"


def filled(printer: Printer, out: Value, fill: float | int | bool, empty: bool = False) -> str:
    """A new array, filled."""
    if empty:
        return empty_text(printer, out.shape, out.dtype)
    shape = shape_text(printer, out.shape)
    dtype = "" if out.dtype == "f64" else f", {dtype_text(out.dtype)}"
    if fill == 0 and repr(fill) != "-0.0":
        return f"np.zeros({shape}{dtype})"
    if fill == 1:
        return f"np.ones({shape}{dtype})"
    number = printer.operand(Number(float(fill) if out.dtype == "f64" else fill))
    return f"np.full({shape}, {number}{dtype})"


def empty_text(printer: Printer, shape: Shape, dtype: str) -> str:
    """A new array that is to be written."""
    typed = "" if dtype == "f64" else f", {dtype_text(dtype)}"
    return f"np.empty({shape_text(printer, shape)}{typed})"


def span_text(printer: Printer, span: Span, start: Size | None = None) -> str:
    """A span as a slice."""
    start = span.start if start is None else start
    step = span.step
    if span.size == 0:
        return ":0"  # backwards its start, -1, would be the last element
    if start == 0 and step == 1 and span.size == span.length:
        return ":"
    stop = start + span.size * step
    if not isinstance(step, int) or step > 0:
        first = "" if start == 0 else _bound(printer, start, span.length)
        reach = stop - span.length
        past = not_negative(reach) or not_negative(reach - span.size)
        last = "" if past else _bound(printer, stop, span.length)
        return f"{first}:{last}" if step == 1 else f"{first}:{last}:{printer.size(step)}"
    first = "" if start == span.length - 1 else _bound(printer, start, span.length)
    if isinstance(stop, int):
        last = "" if stop < 0 else str(stop)
    else:
        # A negative stop would count from the end.
        text = printer.size(stop)
        last = f"{text} if {text} >= 0 else None"
    return f"{first}:{last}:{step}"


def _bound(printer: Printer, position: Size, length: Size) -> str:
    """A slice's bound; on an axis of a named size, so many from its end as people write it: where
    the axis is shorter than that, Python cuts off."""
    back = position - length
    if not isinstance(length, int) and not_negative(-back - 1):
        position = min(back, position, key=lambda size: len(size_text(size)))
    return printer.size(position)


def subscript(printer: Printer, entries: Sequence[At | Span | None]) -> str:
    """The text between the brackets; whole axes at the end need not be said."""
    texts = [
        "None"
        if entry is None
        else printer.size(entry.position)
        if isinstance(entry, At)
        else span_text(printer, entry)
        for entry in entries
    ]
    while texts and texts[-1] == ":":
        texts.pop()
    return ", ".join(texts) or "..."


# -- views -----------------------------------------------------------------------------------------


def _look(printer: Printer, step: Look) -> Text:
    (operand,) = step.operands
    kind = step.kind
    if isinstance(kind, Same):
        return _same(printer, step, operand)
    if isinstance(kind, Broadcast):
        made = isinstance(operand, Value) and bool(operand.shape)
        shape = shape_text(printer, kind.shape)
        if not made:
            return f"np.full({shape}, {_typed(printer, operand, step.out)})", ATOM
        return f"np.broadcast_to({printer.operand(operand)}, {shape})", ATOM
    text = printer.operand(operand, ATOM)
    if isinstance(kind, Index):
        inside = subscript(printer, kind.entries)
        return (text if inside == "..." else f"{text}[{inside}]"), ATOM
    if isinstance(kind, Transpose):
        return f"{text}{transposed(kind.axes)}", ATOM
    if isinstance(kind, Reshape):
        if not kind.shape:
            return f"{text}.reshape(())[()]", ATOM
        sizes = [printer.size(size) for size in kind.shape] if len(kind.shape) > 1 else ["-1"]
        return f"{text}.reshape({', '.join(sizes)})", ATOM
    if isinstance(kind, Diagonal):
        default = (kind.offset, kind.axis1, kind.axis2) == (0, 0, 1)
        where = "" if default else f"{kind.offset}, {kind.axis1}, {kind.axis2}"
        return f"{text}.diagonal({where})", ATOM
    raise AssertionError("a window is a statement of its own")


def _same(printer: Printer, step: Look, operand: Operand) -> Text:
    if not isinstance(operand, Value):
        text, level = printer.literal(operand)
        if printer.strict:
            return f"{dtype_text(step.out.dtype)}({text})", ATOM
        return text, level
    return printer.text[operand.index], printer.level[operand.index]


def _typed(printer: Printer, operand: Operand, out: Value) -> str:
    """A number of out's dtype, also where Python's own number would give another."""
    text = printer.operand(operand)
    if printer.python_number(operand) and out.dtype != "f64":
        return f"{text}, {dtype_text(out.dtype)}"
    return text


def transposed(axes: tuple[int, ...]) -> str:
    """`.T`, or what else exchanges the axes so."""
    rank = len(axes)
    if axes == tuple(reversed(range(rank))):
        return ".T"
    moved = [axis for axis in range(rank) if axes[axis] != axis]
    if len(moved) == 2:
        a, b = (axis - rank for axis in moved) if moved[1] == rank - 1 else moved
        return f".swapaxes({a}, {b})"
    return f".transpose({', '.join(map(str, axes))})"


def strided(printer: Printer, step: Look, kind: Window, strides: str) -> str:
    """Windows on an array; `strides` is the name of its strides."""
    printer.modules.add("as_strided")
    text = printer.operand(step.operands[0], ATOM)
    moves = []
    for steps in kind.steps:
        terms = []
        for axis, coefficient in enumerate(steps):
            if coefficient:
                times = {1: "", -1: "-"}.get(coefficient, f"{coefficient} * ")
                terms.append(f"{times}{strides}[{axis}]")
        moves.append(" + ".join(terms) or "0")
    starts = [":" if start == 0 else f"{printer.size(start)}:" for start in kind.starts]
    while starts and starts[-1] == ":":
        starts.pop()
    start = f"[{', '.join(starts)}]" if starts else ""
    shape = tuple_text([printer.size(size) for size in step.out.shape])
    return f"as_strided({text}{start}, {shape}, {tuple_text(moves)})"


def tuple_text(items: Sequence[str]) -> str:
    """A tuple of expressions."""
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"


# -- reductions, indexing, calls -------------------------------------------------------------------


def _fold(printer: Printer, step: Fold) -> str:
    (operand,) = step.operands
    assert isinstance(operand, Value)
    arguments = []
    whole = step.axes == tuple(range(len(operand.shape))) and not step.fn.startswith("cum")
    if not whole:
        axes = step.axes[0] if len(step.axes) == 1 else step.axes
        arguments.append(f"axis={axes}")
    natural = "i64" if operand.dtype in ("bool", "i32") else operand.dtype
    if step.fn in _SUMS and step.out.dtype != natural:
        arguments.append(f"dtype={dtype_text(step.out.dtype)}")
    if step.keepdims:
        arguments.append("keepdims=True")
    if step.fn == "argsort":
        arguments.append('kind="stable"')
    if step.fn in _ACCUMULATE:
        return f"{_ACCUMULATE[step.fn]}({', '.join([printer.operand(operand), *arguments])})"
    if step.fn == "count_nonzero":
        text = f"np.count_nonzero({', '.join([printer.operand(operand), *arguments])})"
        return text if step.out.shape else f"np.int64({text})"
    return f"{printer.operand(operand, ATOM)}.{step.fn}({', '.join(arguments)})"


def index_text(printer: Printer, pattern: tuple[bool, ...], indices: Sequence[Operand]) -> str:
    """Integer-array indexing: `row, :, column`."""
    rest = iter(indices)
    texts = [printer.operand(next(rest)) if chosen else ":" for chosen in pattern]
    while len(texts) > 1 and texts[-1] == ":":
        texts.pop()
    return ", ".join(texts)


def _take(printer: Printer, step: Take) -> str:
    source, *indices = step.operands
    text = printer.operand(source, ATOM)
    lone = indices[0] if len(indices) == 1 else None
    if len(step.pattern) > 1 and isinstance(lone, Value) and lone.shape:
        # Along one axis `take` is twice as fast as indexing.
        return f"{text}.take({printer.operand(lone)}, axis={step.pattern.index(True)})"
    return f"{text}[{index_text(printer, step.pattern, indices)}]"


def _invoke(printer: Printer, step: Invoke) -> str:
    if step.function == "np.dot":
        # The method takes half the time of the function on short vectors.
        a, b = step.operands
        return f"{printer.operand(a, ATOM)}.dot({printer.operand(b)})"
    arguments = [printer.operand(operand) for operand in step.operands]
    arguments += [f"{name}={literal_text(value)}" for name, value in step.keywords]
    name = printer.callables.get(step.function)
    if name is None and step.function in ROUTINES:
        name = step.function
        printer.routines.add(name)
    if name is None:
        name = step.function
        printer.modules.add(name.rpartition(".")[0])
    return f"{name}({', '.join(arguments)})"


def literal_text(value: object) -> str:
    """A keyword's value: numbers, strings, None and tuples of them."""
    if isinstance(value, tuple | list):
        inner = ", ".join(literal_text(item) for item in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, str):
        text = repr(value)
        return f'"{text[1:-1]}"' if '"' not in text else text
    if isinstance(value, bool | int | float | None):
        return repr(value)
    raise TypeError(f"a keyword must be a literal, not {type(value).__name__}")
