"""The kinds of ops. Code matches on kinds (and on a node's params), never on an op's name.

    Op = Leaf          an input, a constant, a size as a number
       | Elementwise   one scalar formula, broadcast
       | Contraction   index notation: sums of products of operands, affine indices
       | Reduction     max, min, prod, any, all, argmax ...
       | Layout        reshape, transpose, broadcast, slice, pad, concatenate
       | Gather | Scatter   integer-array indexing and its adjoint
       | LinAlg        a matrix function with a defining equation
       | Search        positions that have a property, as many as there are
       | Loop          steps one after another, each with what the one before carries on
       | Primitive     forward and VJP by hand

What varies from node to node of one op (axes, a shape, an index formula) is the node's `params`:
one frozen dataclass a kind, in this file, so that passes see typed fields.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Union

import numpy as np

from codegen.expr import Expr
from codegen.program import Affine, Broadcast, Diagonal, Reshape, Slice, Transpose
from codegen.record import record
from codegen.types import Shape, Size

ResultRule = Literal["same", "float", "bool", "f32", "f64", "i32", "i64"]


@record
class Leaf:
    """An input, a constant or a size; a node of it has no inputs."""

    name: str


@record
class Elementwise:
    """A scalar formula over `args`, applied with broadcasting.

    formula: text in the formula language (`graphc.formula.parse` reads it, and remembers). It is
        the op's identity together with args, so that a cache key needs no SymPy.
    definition: what the interpreter evaluates and SymPy differentiates, where it differs from the
        formula (a partial written in terms of the output, in a stable form); "" means the formula.
    result: the dtype of the result from the promoted dtype of the operands.
    differentiable: False for step functions, whose gradient is zero wherever it is defined.
    condition: how many leading operands are bool conditions (`where`): not promoted, no cotangent.
        The cotangent of such an op passes to the chosen operand unmultiplied.
    output: for a partial: the last arg is the primal op's own output, which the other args
        determine; it carries no cotangent, and `definition` does not mention it.
    points: isolated points at which the formula for a partial breaks down: (condition, the partial
        of each operand there, "" for no exception). They are declared here, and certified by tests.
    given: args that other args determine, with their definitions in those: (("y", "exp(x)"),). They
        carry no cotangent; `output` says that the last of them is the primal op's own output.
    """

    name: str
    args: tuple[str, ...]
    formula: str
    definition: str = ""
    result: ResultRule = "same"
    differentiable: bool = True
    condition: int = 0
    output: bool = False
    doc: str = ""
    points: tuple[tuple[str, tuple[str, ...]], ...] = ()
    given: tuple[tuple[str, str], ...] = ()


@record
class Contraction:
    """An index formula; the node's params are an `Einstein`."""

    name: str
    doc: str = ""


@record
class Reduction:
    """A fold over axes; the node's params are an `Axes`. `name` is codegen's ReduceFunction."""

    name: str
    differentiable: bool = True
    result: ResultRule = "same"
    nonempty: bool = False  # no identity: an empty axis is an error
    scan: bool = False  # keeps the axis: running sums and products, the order of its elements
    doc: str = ""


@record
class Layout:
    """The same elements elsewhere; the node's params are a `How`, a `Pad` or a `Concatenate`."""

    name: str
    doc: str = ""


@record
class Gather:
    """x[i, :, j]: inputs are the array, then the index arrays; params an `Indexing`."""

    name: str = "gather"


@record
class Scatter:
    """base with value added (or set) at [i, :, j]: inputs are base, value, then index arrays."""

    name: str = "scatter"


@record
class LinAlg:
    """A matrix function with defining equations; the node's params are a `LinAlgParams`.

    args, results: the names that equations and differential use for operands and results.
    signature: the shapes as NumPy writes them, "(n,n),(n,k?)->(n,k?)": leading axes are batches and
        broadcast, `k?` is absent where the operand is a vector, an operand's `m>n` has m >= n, and
        `min(m,n)` is a result's.
    equations: what defines the results, as matrix formulas (`graphc.matrix_formula`).
    differential: how the results move with the operands, line by line; `dA` moves A. It solves the
        equations' own differential, which the tests certify.
    function: what computes it, and `single` what computes a result alone: (result, function,
        keywords).
    source: where a differential that is not read off its equation is from.
    """

    name: str
    args: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    signature: str = ""
    equations: tuple[str, ...] = ()
    differential: tuple[str, ...] = ()
    function: str = ""
    keywords: tuple[tuple[str, object], ...] = ()
    single: tuple[tuple[int, str, tuple[tuple[str, object], ...]], ...] = ()
    extra: int = 0  # how many more results the function has, which nothing here uses
    batched: bool = True
    analytic: bool = False  # computed alike for complex operands, so that a complex step passes
    source: str = ""
    doc: str = ""


@record
class Search:
    """Index arrays of what has a property, and what belongs to them; params a `SearchParams`.

    Results are constant by differentiation, as a comparison is: what they select is not.
    function: the routine of the emitted module that computes all results.
    """

    name: str
    results: tuple[str, ...] = ()
    function: str = ""
    doc: str = ""


@record
class Loop:
    """Steps one after another; the node's params are `LoopParams`. Made by passes alone."""

    name: str = "loop"


class Primitive:
    """Forward and VJP by hand, for what no formula expresses; node's params are a `PrimitiveCall`.

    `backward` alone is set later, by the decorator `vjp`.
    """

    def __init__(
        self,
        name: str,
        forward: Callable[..., Any],
        backward: Callable[..., Any] | None = None,
    ) -> None:
        self.name = name
        self.forward = forward
        self.backward = backward

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Primitive):
            return NotImplemented
        return (self.name, self.forward) == (other.name, other.forward)

    def __hash__(self) -> int:
        return hash((self.name, self.forward))


Op = Union[
    Leaf,
    Elementwise,
    Contraction,
    Reduction,
    Layout,
    Gather,
    Scatter,
    LinAlg,
    Search,
    Loop,
    Primitive,
]


# -- params ----------------------------------------------------------------------------------------


@record
class InputParams:
    """An input. `role` "param" is differentiated by default; `path` is its place in a container.

    init: how a parameter's starting value is made, a hashable callable (`graphc.initialisers`).
    """

    role: Literal["input", "param", "cotangent"] = "input"
    path: tuple[str | int, ...] = ()
    init: Any = None


class ConstantParams:
    """A constant array or scalar, frozen (not writable). Equal by dtype, shape and bytes."""

    __slots__ = ("_key", "value")

    def __init__(self, value: np.ndarray[Any, Any]) -> None:
        frozen = np.array(value)
        frozen.flags.writeable = False
        self.value = frozen
        self._key = (frozen.dtype.str, frozen.shape, frozen.tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConstantParams) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"ConstantParams({self.value.dtype}{list(self.value.shape)})"


@record
class SizeParams:
    """A size as a number of the node's dtype."""

    size: Size


@record
class RangeParams:
    """0, 1, ..., size - 1 as i64."""

    size: Size


@record
class Einstein:
    """y[out] = sum over the indices that `out` lacks of body(operand 0 at operands[0], ...).

    body: an Expr over Symbol("0"), Symbol("1"), ...: the scalar that is summed; None means the
        product of all operands, by far the commonest.
    extents: every index with its size, outer indices first.
    shape: the result's shape (with an affine output it does not follow from the extents).
    """

    out: tuple[Affine, ...]
    operands: tuple[tuple[Affine, ...], ...]
    extents: tuple[tuple[str, Size], ...]
    shape: Shape
    body: Expr | None = None


@record
class Axes:
    """The axes of a reduction, non-negative and sorted."""

    axes: tuple[int, ...]
    keepdims: bool = False


@record
class Pad:
    """Constant padding: (before, after) an axis. Padding with 0.0 and with -0.0 differ."""

    widths: tuple[tuple[Size, Size], ...]
    value: float = 0.0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pad):
            return False
        return self.widths == other.widths and repr(self.value) == repr(other.value)

    def __hash__(self) -> int:
        return hash((self.widths, repr(self.value)))


@record
class Place:
    """Zeros of `shape` with the operand written at `region`: the adjoint of a slice."""

    region: Slice
    shape: Shape


@record
class Concatenate:
    """Operands one after another along an axis."""

    axis: int


@record
class Indexing:
    """For each axis of the array: True where an index array (the next one) selects, False for `:`.

    mode: what a scatter does with the value; unique: whether no position repeats.
    """

    axes: tuple[bool, ...]
    mode: Literal["add", "set"] = "add"
    unique: bool = False


@record
class PrimitiveCall:
    """Which part of a primitive this node is.

    A primitive is one "forward" node on the operands, whose value is the user's result; a "saved"
    node on that forward node (opaque, of the op's own making); and one "backward" node an operand,
    on the saved node and the cotangent.
    """

    part: Literal["forward", "saved", "backward"]
    operand: int = 0


@record
class LinAlgParams:
    """Keyword options of a matrix function, and which of its results this node is."""

    result: int = 0
    options: tuple[tuple[str, object], ...] = ()


@record
class SearchParams:
    """Which of a search's results this node is, and the size that says how many were found."""

    result: int
    count: Size


class Steps:
    """The steps of a loop. Compared by identity.

    body: one step, a graph. Its inputs are, in this order, a row of each of the loop's first `rows`
        operands; what the step before carries on, first the loop's next operands; and whole the
        loop's last ones. Its outputs are what the loop may return.
    carried: for each value that is carried on, the number of the output that it is.
    """

    __slots__ = ("body", "carried", "count", "rows")

    def __init__(self, body: Any, count: int, rows: int, carried: tuple[int, ...]) -> None:
        self.body = body  # an ir.Graph
        self.count = count
        self.rows = rows
        self.carried = carried

    def length(self, number: int) -> int:
        """The rows of a result: one a step, and before them what is carried into the first."""
        return self.count + (number in self.carried)


@record
class LoopParams:
    """Which output of a step this node is, for all steps: stacked along a new first axis.

    Where it is carried on, the first row is what is carried into the first step.
    """

    steps: Steps
    result: int


Params = Union[
    None,
    InputParams,
    ConstantParams,
    SizeParams,
    RangeParams,
    Einstein,
    Axes,
    Reshape,
    Transpose,
    Broadcast,
    Slice,
    Diagonal,
    Pad,
    Place,
    Concatenate,
    Indexing,
    PrimitiveCall,
    LinAlgParams,
    SearchParams,
    LoopParams,
]
