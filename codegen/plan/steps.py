"""The steps a function takes: one NumPy operation each, on values, in an order that runs.

    Step = Apply          one scalar function, elementwise
         | Look           another view of a value
         | Product        a matrix product (np.matmul)
         | Einsum         an index formula that is no matrix product
         | Fold           a reduction or a scan
         | Take | Put     integer-array indexing, and its adjoint
         | Assemble       an array filled, then written by regions
         | Sweep          matrix products with windows, image by image
         | Rows           the same for small maps, several images a product
         | Offsets        windows folded, or added into an array, one offset after another
         | Push           matrix products whose windows are added up, image by image
         | Invoke         a call that is computed as a whole
         | Repeat         a loop, of which a round has steps of its own (codegen.plan.rounds)

A Program's statements are lowered to steps by `codegen.plan.flatten`. Every later pass reads steps
and returns a decision about each value, in a list by the value's index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Union

from codegen.expr import Extent, Function, Number
from codegen.program import Broadcast, Diagonal, Reshape, Transpose
from codegen.record import record
from codegen.types import Shape, Size, product, substitute


class Value:
    """What a step computes, or a parameter, or a constant.

    py: a rank-0 value that may be a Python number at run time (weak in promotion, and raising on a
        division by zero), not a NumPy scalar.
    owned: whether its storage is this function's own to overwrite.
    word, of: what it is, where no step says it: a function that several steps compute, of a value.
    """

    __slots__ = ("dtype", "hint", "index", "keep", "of", "owned", "py", "shape", "step", "word")

    def __init__(self, index: int, dtype: str, shape: Shape, hint: str, keep: bool) -> None:
        self.index = index
        self.dtype = dtype
        self.shape = shape
        self.hint = hint
        self.keep = keep
        self.py = False
        self.owned = False
        self.step: Step | None = None
        self.word = ""
        self.of: Value | None = None

    def __repr__(self) -> str:
        return f"{self.hint or '_'}#{self.index}"


Operand = Union[Value, Number, Extent]


class Step:
    """What all steps have: a result, operands, and where they come from."""

    __slots__ = ("note", "operands", "out", "tag")

    def __init__(self, out: Value, operands: tuple[Operand, ...], note: str, tag: str) -> None:
        self.out = out
        self.operands = operands
        self.note = note
        self.tag = tag


class Apply(Step):
    """out = function(*operands), elementwise with broadcasting."""

    __slots__ = ("function",)

    def __init__(
        self, out: Value, operands: tuple[Operand, ...], note: str, tag: str, function: Function
    ) -> None:
        self.out = out
        self.operands = operands
        self.note = note
        self.tag = tag
        self.function = function


@record
class At:
    """One position of an axis; the axis goes."""

    position: Size


@record
class Span:
    """start + k * step for k < size, on an axis of length `length`."""

    start: Size
    size: Size
    step: Size
    length: Size


@record
class Index:
    """Basic indexing: an entry an axis, None for a new axis of size 1."""

    entries: tuple[At | Span | None, ...]


@record
class Window:
    """Element [k0, k1, ...] is the operand's element at start + sum of k * steps, axis by axis.

    starts: one an axis of the operand; steps: for each axis of the result, its coefficient on every
    axis of the operand.
    """

    starts: tuple[Size, ...]
    steps: tuple[tuple[int, ...], ...]


@record
class Same:
    """The value itself, under another name."""


Kind = Union[Same, Index, Reshape, Transpose, Broadcast, Diagonal, Window]


class Look(Step):
    """out shows the operand's elements; nothing is computed."""

    __slots__ = ("kind",)

    def __init__(
        self,
        out: Value,
        operands: tuple[Operand, ...],
        note: str,
        tag: str,
        kind: Kind,
    ) -> None:
        super().__init__(out, operands, note, tag)
        self.kind = kind


class Product(Step):
    """out = a @ b."""

    __slots__ = ()


class Einsum(Step):
    """out = np.einsum(formula, *operands)."""

    __slots__ = ("formula",)

    def __init__(
        self,
        out: Value,
        operands: tuple[Operand, ...],
        note: str,
        tag: str,
        formula: str,
    ) -> None:
        super().__init__(out, operands, note, tag)
        self.formula = formula


class Fold(Step):
    """out = fn(operand, axis=axes, keepdims=keepdims)."""

    __slots__ = ("axes", "fn", "keepdims")

    def __init__(
        self,
        out: Value,
        operands: tuple[Operand, ...],
        note: str,
        tag: str,
        fn: str,
        axes: tuple[int, ...],
        keepdims: bool,
    ) -> None:
        super().__init__(out, operands, note, tag)
        self.fn = fn
        self.axes = axes
        self.keepdims = keepdims


class Take(Step):
    """out = operands[0][...]: `pattern` is True where the next index array stands, else `:`."""

    __slots__ = ("pattern",)

    def __init__(
        self,
        out: Value,
        operands: tuple[Operand, ...],
        note: str,
        tag: str,
        pattern: tuple[bool, ...],
    ) -> None:
        super().__init__(out, operands, note, tag)
        self.pattern = pattern


class Put(Step):
    """out = base or zeros; out[...] += value. Operands: value, index arrays, then base if any."""

    __slots__ = ("based", "mode", "pattern", "unique")

    def __init__(
        self,
        out: Value,
        operands: tuple[Operand, ...],
        note: str,
        tag: str,
        pattern: tuple[bool, ...],
        mode: Literal["add", "set"],
        unique: bool,
        based: bool,
    ) -> None:
        super().__init__(out, operands, note, tag)
        self.pattern = pattern
        self.mode = mode
        self.unique = unique
        self.based = based


class Assemble(Step):
    """out = full(fill), then out[regions[k]] = (or +=) operands[k]."""

    __slots__ = ("add", "exhaustive", "fill", "regions")

    def __init__(
        self,
        out: Value,
        operands: tuple[Operand, ...],
        note: str,
        tag: str,
        fill: float | int | bool,
        regions: tuple[tuple[At | Span, ...], ...],
        add: bool,
        exhaustive: bool,
    ) -> None:
        super().__init__(out, operands, note, tag)
        self.fill = fill
        self.regions = regions
        self.add = add
        self.exhaustive = exhaustive


@record
class Strip:
    """start + sum of loop * coefficient + k * step for k < size; one position where step is 0."""

    loops: tuple[tuple[str, int], ...]
    start: Size
    step: int
    size: Size


class Offsets(Step):
    """For every value of `loops`, a part of each operand, and what `body` makes of the parts: out
    is their maximum, minimum or sum, or has them added where `target` says.

    loops: (name, extent) of the indices that are looped over.
    parts: for each operand, a Strip an axis; None where it is read whole.
    slabs: what stands for each operand's part in the body.
    body: elementwise steps on slabs, or an index formula; the last makes the result, which is the
        slab where there are none.
    fn: "max", "min" or "sum".
    target: for each axis of out, where it is added to; None for all of out, at every offset.
    """

    __slots__ = ("body", "fn", "loops", "parts", "slabs", "target")

    def __init__(
        self,
        out: Value,
        operands: tuple[Operand, ...],
        note: str,
        tag: str,
        loops: tuple[tuple[str, Size], ...],
        parts: tuple[tuple[Strip, ...] | None, ...],
        slabs: tuple[Value, ...],
        body: tuple[Apply | Einsum, ...],
        fn: str,
        target: tuple[Strip, ...] | None,
    ) -> None:
        super().__init__(out, operands, note, tag)
        self.loops = loops
        self.parts = parts
        self.slabs = slabs
        self.body = body
        self.fn = fn
        self.target = target


class Sweep(Step):
    """Matrix products with the windows of one image after another, which are copied into a buffer.

    Operands: windows [images, ...] and a matrix, or a stack of matrices. axes, columns: the order
    and the shape in which an image's windows are copied; flat: the same as a matrix (or a stack).
    summing False: out[image] = matrix @ flat; True: out += flat @ matrix[image] transposed.
    product: the shape of one product.
    """

    __slots__ = ("axes", "columns", "flat", "product", "summing")

    def __init__(
        self,
        out: Value,
        operands: tuple[Operand, ...],
        note: str,
        tag: str,
        axes: tuple[int, ...],
        columns: Shape,
        flat: Shape,
        product: Shape,
        summing: bool,
    ) -> None:
        super().__init__(out, operands, note, tag)
        self.axes = axes
        self.columns = columns
        self.flat = flat
        self.product = product
        self.summing = summing


class Rows(Step):
    """Matrix products with the windows of several images: a row is what one place reads.

    Operands: windows [images, places, what a place reads], and a matrix, or [images, places, rows]
    for the gradient of one. block: images a product; width: elements a row; axes: those of out in
    the order (images, places, columns of the matrix).
    summing False: out[block] = rows @ matrix; True: out += rows.T @ other[block].
    """

    __slots__ = ("axes", "block", "summing", "width")

    def __init__(
        self,
        out: Value,
        operands: tuple[Operand, ...],
        note: str,
        tag: str,
        block: int,
        width: Size,
        axes: tuple[int, ...],
        summing: bool,
    ) -> None:
        super().__init__(out, operands, note, tag)
        self.block = block
        self.width = width
        self.axes = axes
        self.summing = summing


class Push(Step):
    """For one image after another: columns = matrix @ other[image]; then, for every value of
    `loops`, a part of the columns is added to out[image].

    Operands: the matrix and the other factor, a matrix an image (or stacks of matrices). columns:
    the shape of one product, flat as a matrix. part: a Strip an axis of the columns; target: where
    it is added, a Strip an axis of out[image].
    """

    __slots__ = ("columns", "flat", "loops", "part", "target")

    def __init__(
        self,
        out: Value,
        operands: tuple[Operand, ...],
        note: str,
        tag: str,
        columns: Shape,
        flat: Shape,
        loops: tuple[tuple[str, Size], ...],
        part: tuple[Strip, ...],
        target: tuple[Strip, ...],
    ) -> None:
        super().__init__(out, operands, note, tag)
        self.columns = columns
        self.flat = flat
        self.loops = loops
        self.part = part
        self.target = target


class Invoke(Step):
    """outs = function(*operands, **keywords)."""

    __slots__ = ("function", "keywords", "outs")

    def __init__(
        self,
        out: Value,
        operands: tuple[Operand, ...],
        note: str,
        tag: str,
        function: str,
        keywords: tuple[tuple[str, object], ...],
        outs: tuple[Value, ...],
    ) -> None:
        super().__init__(out, operands, note, tag)
        self.function = function
        self.keywords = keywords
        self.outs = outs


class Sheet:
    """The steps of one function, being written; `note` and `tag` go to the steps to come.

    seen: what was read at affine indices, by the array, the indices and their extents.
    """

    __slots__ = ("note", "seen", "steps", "tag", "values")

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.steps: list[Step] = []
        self.seen: dict[object, object] = {}
        self.note = ""
        self.tag = ""

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
        scale = known.get(value.shape)
        if scale is None:
            scale = known[value.shape] = LARGE if is_large(value, sizes) else SMALL
        result.append(scale)
    return result


def is_large(value: Value, sizes: Mapping[str, Size]) -> bool:
    """Whether an array is large, as far as its size is known."""
    count = substitute(product(value.shape), sizes)
    return not isinstance(count, int) or count > SMALL_ELEMENTS
