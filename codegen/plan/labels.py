"""How the axes of a step's operands become the axes of its result, as in index notation.

h = a @ b               a: i k, b: k j, out: i j
s = h.sum(axis=0)       h: 0 1, out: 1

Axes with one label are walked together. None stands for an axis that nothing is walked along: of
size 1, or read in part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from codegen.plan.steps import (
    Apply,
    Einsum,
    Fold,
    Index,
    Invoke,
    Look,
    Product,
    Put,
    Same,
    Span,
    Step,
    Take,
    Value,
    values_of,
)
from codegen.program import Reshape, Transpose
from codegen.types import Shape, product

Label = int | str | None
_DOTS = frozenset({"np.dot", "np.vdot"})


class Labels(NamedTuple):
    """operands: the labels of every operand that is a Value, in order; out: the result's.

    counter: an operand that counts the rows of another, for an element to be chosen of each. Of
    some of the rows it has to count from 0, too.
    """

    operands: tuple[tuple[Label, ...], ...]
    out: tuple[Label, ...]
    counter: Value | None = None


def labels(step: Step) -> Labels | None:
    """The labels of a step's axes; None where a step does not go axis by axis."""
    operands = values_of(step)
    shapes = [value.shape for value in operands]
    rank = len(step.out.shape)
    if isinstance(step, Apply):
        every = tuple(range(rank))
        return Labels(tuple(_aligned(shape, step.out.shape, every) for shape in shapes), every)
    if isinstance(step, Look) and shapes:
        return _look(step, shapes[0])
    if isinstance(step, Product):
        return _product(step, shapes)
    if isinstance(step, Einsum):
        inputs, out = step.formula.split("->")
        return Labels(tuple(map(tuple, inputs.split(","))), tuple(out))
    if isinstance(step, Fold):
        return _fold(step, shapes[0])
    if isinstance(step, Take) and sum(step.pattern) == 1:
        return _take(step, operands)
    if isinstance(step, Take | Put):
        return _choice(step)
    if isinstance(step, Invoke) and step.function in _DOTS:
        every = tuple(range(len(shapes[0])))
        return Labels((every, every), ())
    if isinstance(step, Invoke) and step.function == "np.vecdot":
        every = tuple(range(rank))
        terms: list[tuple[Label, ...]] = [
            (*_aligned(shape[:-1], step.out.shape, every), "k") for shape in shapes
        ]
        return Labels(tuple(terms), every)
    return None


def adds_up(step: Step) -> bool:
    """Whether a label that the result lacks is summed over."""
    if isinstance(step, Fold):
        return step.fn == "sum"
    return isinstance(step, Product | Einsum | Invoke)


def _aligned(shape: Shape, out: Shape, names: Sequence[Label]) -> tuple[Label, ...]:
    """The labels of an operand that is broadcast to `out`, whose labels are `names`."""
    missing = len(out) - len(shape)
    return tuple(
        names[missing + axis] if size == out[missing + axis] else None
        for axis, size in enumerate(shape)
    )


def _product(step: Product, shapes: list[Shape]) -> Labels:
    a, b = shapes
    rows: tuple[Label, ...] = ("i",) if len(a) > 1 else ()
    columns: tuple[Label, ...] = ("j",) if len(b) > 1 else ()
    stack = step.out.shape[: len(step.out.shape) - len(rows) - len(columns)]
    names = tuple(range(len(stack)))
    left = (*_aligned(a[:-2], stack, names), *rows, "k")
    right = (*_aligned(b[:-2], stack, names), "k", *columns)
    return Labels((left, right), (*names, *rows, *columns))


def _fold(step: Fold, shape: Shape) -> Labels:
    every = range(len(shape))
    kept = tuple(axis for axis in every if axis not in step.axes)
    if len(step.out.shape) == len(kept):
        return Labels((tuple(every),), kept)
    alone = tuple(None if axis in step.axes else axis for axis in every)
    # A scan goes along its axis in order.
    return Labels((tuple(every) if step.keepdims else alone,), alone)


def _take(step: Take, operands: list[Value]) -> Labels | None:
    source, index = operands
    at = step.pattern.index(True)
    own: list[Label] = list(range(len(source.shape)))
    chosen = tuple(f"i{axis}" for axis in range(len(index.shape)))
    out = (*own[:at], *chosen, *own[at + 1 :])
    own[at] = None
    return Labels((tuple(own), chosen), out)


def _choice(step: Take | Put) -> Labels | None:
    """An element of each row: z[arange(n), y], also where something is added to it."""
    if isinstance(step, Take):
        source, *indices = step.operands
    elif step.based:
        _, *indices, source = step.operands
    else:
        return None
    rows = indices[0]
    if len(step.pattern) != 2 or len(indices) != 2:
        return None
    if not isinstance(rows, Value) or not isinstance(source, Value):
        return None
    made = rows.step
    counts = isinstance(made, Invoke) and made.function == "np.arange" and len(made.operands) == 1
    shapes = {value.shape for value in values_of(step) if value is not source}
    if not counts or not shapes <= {(), rows.shape} or source.shape[:1] != rows.shape:
        return None
    operands: list[tuple[Label, ...]] = []
    for value in values_of(step):
        operands.append((0, None) if value is source else (0,) if value.shape else ())
    return Labels(tuple(operands), (0, None) if isinstance(step, Put) else (0,), rows)


def _look(step: Look, shape: Shape) -> Labels | None:
    kind, out = step.kind, step.out.shape
    if isinstance(kind, Same):
        return Labels((tuple(range(len(shape))),), tuple(range(len(shape))))
    if isinstance(kind, Transpose):
        return Labels((tuple(range(len(shape))),), kind.axes)
    if isinstance(kind, Index):
        read: list[Label] = []
        shown: list[Label] = []
        for entry in kind.entries:
            if entry is None:
                shown.append(None)
                continue
            whole = isinstance(entry, Span) and entry.step == 1 and entry.size == entry.length
            read.append(len(read) if whole else None)
            if isinstance(entry, Span):
                shown.append(read[-1])
        return Labels((tuple(read),), tuple(shown))
    if isinstance(kind, Reshape):
        # An axis stays where as many elements lie behind it, and before it, as did.
        before = {(product(shape[:axis]), size): axis for axis, size in enumerate(shape)}
        kept = [before.get((product(out[:axis]), size)) for axis, size in enumerate(out)]
        return Labels((tuple(n if n in kept else None for n in range(len(shape))),), tuple(kept))
    return None
