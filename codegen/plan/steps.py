"""The steps a function takes: one NumPy operation each, on values, in an order that runs.

    Step = Apply          one scalar function, elementwise
         | Look           another view of a value
         | Product        a matrix product (np.matmul)
         | Einsum         an index formula that is no matrix product
         | Fold           a reduction or a scan
         | Take | Put     integer-array indexing, and its adjoint
         | Assemble       an array filled, then written by regions
         | Spread         windows added into an array, offset by offset (the adjoint of windows)
         | Invoke         a call that is computed as a whole

A Program's statements are lowered to steps by `codegen.plan.flatten`. Every later pass reads steps
and returns a decision about each value, in a list by the value's index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Union

from codegen.expr import Extent, Function, Number
from codegen.program import Broadcast, Diagonal, Reshape, Transpose
from codegen.types import Shape, Size, product, substitute


class Value:
    """What a step computes, or a parameter, or a constant.

    py: a rank-0 value that may be a Python number at run time (weak in promotion, and raising on a
        division by zero), not a NumPy scalar.
    owned: whether its storage is this function's own to overwrite.
    """

    __slots__ = ("dtype", "hint", "index", "keep", "owned", "py", "shape", "step")

    def __init__(self, index: int, dtype: str, shape: Shape, hint: str, keep: bool) -> None:
        self.index = index
        self.dtype = dtype
        self.shape = shape
        self.hint = hint
        self.keep = keep
        self.py = False
        self.owned = False
        self.step: Step | None = None

    def __repr__(self) -> str:
        return f"{self.hint or '_'}#{self.index}"


Operand = Union[Value, Number, Extent]


@dataclass(eq=False, slots=True)
class Step:
    """What all steps have: a result, operands, and where they come from."""

    out: Value
    operands: tuple[Operand, ...]
    note: str
    tag: str


@dataclass(eq=False, slots=True)
class Apply(Step):
    """out = function(*operands), elementwise with broadcasting."""

    function: Function


@dataclass(frozen=True, slots=True)
class At:
    """One position of an axis; the axis goes."""

    position: Size


@dataclass(frozen=True, slots=True)
class Span:
    """start + k * step for k < size, on an axis of length `length`."""

    start: Size
    size: Size
    step: int
    length: Size


@dataclass(frozen=True, slots=True)
class Index:
    """Basic indexing: an entry an axis, None for a new axis of size 1."""

    entries: tuple[At | Span | None, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """Element [k0, k1, ...] is the operand's element at start + sum of k * steps, axis by axis.

    starts: one an axis of the operand; steps: for each axis of the result, its coefficient on every
    axis of the operand.
    """

    starts: tuple[Size, ...]
    steps: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Same:
    """The value itself, under another name."""


Kind = Union[Same, Index, Reshape, Transpose, Broadcast, Diagonal, Window]


@dataclass(eq=False, slots=True)
class Look(Step):
    """out shows the operand's elements; nothing is computed."""

    kind: Kind


@dataclass(eq=False, slots=True)
class Product(Step):
    """out = a @ b."""


@dataclass(eq=False, slots=True)
class Einsum(Step):
    """out = np.einsum(formula, *operands)."""

    formula: str


@dataclass(eq=False, slots=True)
class Fold(Step):
    """out = fn(operand, axis=axes, keepdims=keepdims)."""

    fn: str
    axes: tuple[int, ...]
    keepdims: bool


@dataclass(eq=False, slots=True)
class Take(Step):
    """out = operands[0][...]: `pattern` is True where the next index array stands, else `:`."""

    pattern: tuple[bool, ...]


@dataclass(eq=False, slots=True)
class Put(Step):
    """out = base or zeros; out[...] += value. Operands: value, index arrays, then base if any."""

    pattern: tuple[bool, ...]
    mode: Literal["add", "set"]
    unique: bool
    based: bool


@dataclass(eq=False, slots=True)
class Assemble(Step):
    """out = full(fill), then out[regions[k]] = (or +=) operands[k]."""

    fill: float | int | bool
    regions: tuple[tuple[At | Span, ...], ...]
    add: bool
    exhaustive: bool


@dataclass(eq=False, slots=True)
class Spread(Step):
    """out = zeros; for every value of `loops`: out[region] += operands[0][..., loop indices, ...].

    loops: (name, extent) of the indices that are looped over.
    source: for each axis of the operand, the loop that selects on it, or None where it is whole.
    target: for each axis of out, (loops and coefficients, offset, step, size): the region begins at
        offset + sum(coefficient * loop), and goes on by `step` for `size` elements.
    """

    loops: tuple[tuple[str, Size], ...]
    source: tuple[str | None, ...]
    target: tuple[tuple[tuple[tuple[str, int], ...], Size, int, Size], ...]


@dataclass(eq=False, slots=True)
class Invoke(Step):
    """outs = function(*operands, **keywords)."""

    function: str
    keywords: tuple[tuple[str, object], ...]
    outs: tuple[Value, ...]


@dataclass(slots=True)
class Sheet:
    """The steps of one function, being written."""

    values: list[Value] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    # Operands and shapes known already, so that a view is not built twice.
    note: str = ""
    tag: str = ""

    def value(self, dtype: str, shape: Shape, hint: str = "", keep: bool = False) -> Value:
        """A new value."""
        value = Value(len(self.values), dtype, shape, hint, keep)
        self.values.append(value)
        return value

    def add(self, step: Step) -> Value:
        """Append a step; its result."""
        step.out.step = step
        self.steps.append(step)
        return step.out

    def look(self, operand: Value, kind: Kind, shape: Shape, out: Value | None = None) -> Value:
        """A view of `operand`."""
        result = out or self.value(operand.dtype, shape)
        return self.add(Look(result, (operand,), self.note, self.tag, kind))


def values_of(step: Step) -> list[Value]:
    """The operands that are values, once a use."""
    return [operand for operand in step.operands if isinstance(operand, Value)]


def outs_of(step: Step) -> tuple[Value, ...]:
    """What a step defines."""
    return step.outs if isinstance(step, Invoke) else (step.out,)


SCALAR, SMALL, LARGE = 0, 1, 2
# Below this an array fits in the first-level cache and one expression costs less than its parts.
SMALL_ELEMENTS = 1024


def scales(values: Sequence[Value], sizes: Mapping[str, Size]) -> list[int]:
    """For each value: SCALAR, SMALL or LARGE; LARGE where its size is not known."""
    known: dict[Shape, int] = {(): SCALAR}
    result: list[int] = []
    for value in values:
        shape = value.shape
        scale = known.get(shape)
        if scale is None:
            count = substitute(product(shape), sizes)
            small = isinstance(count, int) and count <= SMALL_ELEMENTS
            scale = known[shape] = SMALL if small else LARGE
        result.append(scale)
    return result
