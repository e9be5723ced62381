"""Typed construction: each function makes one node (and the casts it needs) from nodes.

Every layer builds nodes here, the user's operators as well as the derivatives: a type rule stands
in one place. The errors name the op, the operands and their types.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from codegen.program import Affine, Broadcast, Diagonal, Reshape, Slice, Transpose
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import NOWHERE, Node, Origin
from graphc.ops.elementwise import TABLE
from graphc.ops.kinds import (
    Axes,
    Concatenate,
    ConstantParams,
    Contraction,
    Einstein,
    Elementwise,
    Gather,
    Indexing,
    InputParams,
    Layout,
    Leaf,
    Op,
    Pad,
    Params,
    Place,
    RangeParams,
    Reduction,
    Scatter,
    SizeParams,
)
from graphc.ops.reductions import REDUCTIONS
from graphc.spelling import lined_up
from graphc.types import (
    DTYPES,
    ArrayType,
    Shape,
    Size,
    array_type,
    broadcast,
    check_size,
    dtype_name,
    product,
    promote,
    same_size,
    shape_text,
    size_text,
)

# Where the user declared what is being made; set by the layer that meets the user's code.
origin: ContextVar[Origin] = ContextVar("origin", default=NOWHERE)

INPUT = Leaf("input")
CONSTANT = Leaf("constant")
SIZE = Leaf("size")
ARANGE = Leaf("arange")
SUM = Contraction("sum")
MATMUL = Contraction("matmul")
RESHAPE = Layout("reshape")
TRANSPOSE = Layout("transpose")
BROADCAST = Layout("broadcast_to")
SLICE = Layout("slice")
DIAGONAL = Layout("diagonal")
PAD = Layout("pad")
PLACE = Layout("place")
CONCATENATE = Layout("concatenate")
GATHER = Gather()
SCATTER = Scatter()


def node(op: Op, inputs: tuple[Node, ...], params: Params, type: ArrayType) -> Node:
    """A node at the current origin; the caller vouches for the type."""
    return Node(op, inputs, params, type, "", origin.get())


def describe(operand: Node) -> str:
    """An operand as errors show it: `x f32[batch, 64]`."""
    return f"{operand.name} {operand.type}" if operand.name else str(operand.type)


# -- leaves ----------------------------------------------------------------------------------------


def input_(name: str, type: ArrayType, params: InputParams | None = None) -> Node:
    """An input of a graph."""
    return Node(INPUT, (), params or InputParams(), type, name, origin.get())


def constant(value: Any, dtype: str | None = None) -> Node:
    """A constant: the array or number is copied and frozen; `dtype` converts it."""
    array = np.asarray(value, dtype=None if dtype is None else DTYPES[dtype])
    name = dtype_name(array.dtype)
    array = np.asarray(array, dtype=DTYPES[name])  # native byte order
    return node(CONSTANT, (), ConstantParams(array), array_type(name, array.shape))


def full(type: ArrayType, value: float) -> Node:
    """A value of this type all of whose elements are `value`."""
    return broadcast_to(constant(value, type.dtype), type.shape)


def size(value: Size, dtype: str = "i64") -> Node:
    """A size as a number."""
    if isinstance(value, int):
        return constant(value, dtype)
    return node(SIZE, (), SizeParams(value), array_type(dtype, ()))


def arange(size: Size) -> Node:
    """0, 1, ..., size - 1 as i64."""
    check_size(size, "arange")
    return node(ARANGE, (), RangeParams(size), array_type("i64", (size,)))


# -- elementwise -----------------------------------------------------------------------------------


def cast(x: Node, dtype: str) -> Node:
    """x converted to dtype; x itself where it has it already."""
    if x.type.dtype == dtype:
        return x
    if x.op is CONSTANT:
        assert isinstance(x.params, ConstantParams)
        return constant(x.params.value, dtype)
    return node(TABLE[dtype], (x,), None, array_type(dtype, x.type.shape))


def elementwise(op: Elementwise | str, *inputs: Node) -> Node:
    """The scalar op applied with broadcasting; operands are cast to their common dtype."""
    if isinstance(op, str):
        op = TABLE[op]
    if len(inputs) != len(op.args):
        raise GraphTypeError(located(f"{op.name} takes {len(op.args)} operands, got {len(inputs)}"))
    conditions, operands = inputs[: op.condition], inputs[op.condition :]
    first = operands[0].type
    alike = not conditions
    for x in operands:
        alike = alike and x.type is first
    if alike:
        dtype, shape = first.dtype, first.shape  # by far the commonest: nothing to promote
    else:
        dtype = promote(*(x.type.dtype for x in operands))
        common = broadcast(tuple(x.type.shape for x in inputs))
        if common is None:
            why = f": {lined_up(*inputs)}" if len(inputs) == 2 else ""
            shown = " and ".join(map(describe, inputs))
            raise GraphValueError(located(f"{op.name}: {shown} do not broadcast{why}"))
        shape = common
    if op.result == "float" and dtype not in ("f32", "f64"):
        if dtype == "bool":
            raise GraphTypeError(
                located(
                    f"{op.name}: {', '.join(map(describe, inputs))}: a bool operand; "
                    "convert it with .astype"
                )
            )
        dtype = "f64"
    if dtype == "bool" and op.name in ("negative", "subtract"):
        raise GraphTypeError(
            located(
                f"{op.name}: NumPy defines no bool {op.name}; use np.logical_xor or np.logical_not"
            )
        )
    for x in conditions:
        if x.type.dtype != "bool":
            raise GraphTypeError(located(f"{op.name}: the condition {describe(x)} is not bool"))
    if op.name not in DTYPES and not (alike and dtype == first.dtype):
        inputs = conditions + tuple(cast(x, dtype) for x in operands)
    result = dtype if op.result in ("same", "float") else op.result
    return node(op, inputs, None, array_type(result, shape))


def add(a: Node, b: Node) -> Node:
    """a + b."""
    return elementwise(TABLE["add"], a, b)


def multiply(a: Node, b: Node) -> Node:
    """a * b."""
    return elementwise(TABLE["multiply"], a, b)


# -- contractions ----------------------------------------------------------------------------------

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def index(name: str) -> Affine:
    """One bare index."""
    return Affine(((name, 1),))


# On an axis of size 1 that is repeated against a longer one: position 0, whatever the index.
FIRST = Affine(())


def contraction(op: Contraction, params: Einstein, *inputs: Node) -> Node:
    """The index formula applied; operands are cast to their common dtype."""
    dtype = promote(*(x.type.dtype for x in inputs))
    if dtype == "bool":
        raise GraphTypeError(
            located(
                f"{op.name}: {', '.join(map(describe, inputs))}: bool operands; "
                "convert them with .astype"
            )
        )
    return node(op, tuple(cast(x, dtype) for x in inputs), params, array_type(dtype, params.shape))


def sum_(x: Node, axes: tuple[int, ...], keepdims: bool = False) -> Node:
    """The sum over axes (non-negative); bool and i32 sums are i64, as in NumPy."""
    if x.type.dtype in ("bool", "i32"):
        x = cast(x, "i64")
    if not axes:
        return x
    shape = x.type.shape
    names = [f"i{k}" for k in range(len(shape))]
    kept = [k for k in range(len(shape)) if k not in axes]
    order = kept + sorted(axes)
    params = Einstein(
        out=tuple(index(names[k]) for k in kept),
        operands=(tuple(index(name) for name in names),),
        extents=tuple((names[k], shape[k]) for k in order),
        shape=tuple(shape[k] for k in kept),
    )
    total = node(SUM, (x,), params, array_type(x.type.dtype, params.shape))
    if not keepdims:
        return total
    return reshape(total, tuple(1 if k in axes else size for k, size in enumerate(shape)))


def matmul(a: Node, b: Node) -> Node:
    """a @ b with NumPy's rules: vectors, matrices, and leading batch axes that broadcast."""
    left, right = a.type.shape, b.type.shape
    if not left or not right:
        raise GraphValueError(
            located(f"matmul: {describe(a)} @ {describe(b)}: a scalar operand; use *")
        )
    inner_a, inner_b = left[-1], right[-2] if len(right) > 1 else right[0]
    if same_size(inner_a, inner_b) is False:
        raise GraphValueError(
            located(
                f"matmul: {describe(a)} @ {describe(b)}: inner dimensions "
                f"{size_text(inner_a)} and {size_text(inner_b)} differ"
            )
        )
    batch = broadcast((left[:-2], right[:-2]))
    if batch is None:
        raise GraphValueError(
            located(f"matmul: {describe(a)} @ {describe(b)}: the batch axes do not broadcast")
        )
    names = [f"b{k}" for k in range(len(batch))]
    extents = list(zip(names, batch, strict=True))
    out = [index(name) for name in names]

    def batched(shape: Shape) -> list[Affine]:
        lead = shape[:-2]
        own = names[len(names) - len(lead) :]
        sizes = batch[len(names) - len(lead) :]
        return [
            FIRST if size == 1 and full != 1 else index(name)
            for name, size, full in zip(own, lead, sizes, strict=True)
        ]

    at_a, at_b = batched(left), batched(right)
    shape = list(batch)
    if len(left) > 1:
        out.append(index("i"))
        extents.append(("i", left[-2]))
        at_a.append(index("i"))
        shape.append(left[-2])
    at_a.append(index("k"))
    at_b.append(index("k"))
    if len(right) > 1:
        out.append(index("j"))
        extents.append(("j", right[-1]))
        at_b.append(index("j"))
        shape.append(right[-1])
    extents.append(("k", inner_a))
    params = Einstein(tuple(out), (tuple(at_a), tuple(at_b)), tuple(extents), tuple(shape))
    return contraction(MATMUL, params, a, b)


# -- reductions ------------------------------------------------------------------------------------


def reduction(name: str, x: Node, axes: tuple[int, ...], keepdims: bool = False) -> Node:
    """A fold of REDUCTIONS over axes (non-negative, sorted)."""
    op: Reduction = REDUCTIONS[name]
    if op.nonempty and any(x.type.shape[axis] == 0 for axis in axes):
        raise GraphValueError(
            located(
                f"{name}: {describe(x)} has no elements along axis {axes}; {name} has no identity"
            )
        )
    if not axes and name in ("max", "min", "prod"):
        return x
    dtype = x.type.dtype if op.result == "same" else op.result
    if name in ("prod", "cumsum", "cumprod") and dtype in ("bool", "i32"):
        dtype = "i64"
    sizes = x.type.shape
    if op.scan:
        shape: Shape = sizes
    elif keepdims:
        shape = tuple(1 if axis in axes else size for axis, size in enumerate(sizes))
    else:
        shape = tuple(size for axis, size in enumerate(sizes) if axis not in axes)
    if op.result == "same":
        x = cast(x, dtype)
    return node(op, (x,), Axes(axes, keepdims), array_type(dtype, shape))


# -- layout ----------------------------------------------------------------------------------------


def reshape(x: Node, shape: Shape) -> Node:
    """x with its elements, in C order, under another shape (without -1)."""
    if shape == x.type.shape:
        return x
    if same_size(product(shape), x.type.size) is False:
        raise GraphValueError(
            located(
                f"reshape: {describe(x)} has {size_text(x.type.size)} elements, "
                f"{shape_text(shape)} has {size_text(product(shape))}"
            )
        )
    return node(RESHAPE, (x,), Reshape(shape), array_type(x.type.dtype, shape))


def expand_dims(x: Node, axis: int) -> Node:
    """x with an axis of size 1 put in at `axis` (non-negative, in the result)."""
    shape = x.type.shape
    return reshape(x, (*shape[:axis], 1, *shape[axis:]))


def transpose(x: Node, axes: tuple[int, ...]) -> Node:
    """Axis k of the result is axis axes[k] of x."""
    if axes == tuple(range(len(axes))):
        return x
    shape = tuple(x.type.shape[axis] for axis in axes)
    return node(TRANSPOSE, (x,), Transpose(axes), array_type(x.type.dtype, shape))


def broadcast_to(x: Node, shape: Shape) -> Node:
    """x repeated to `shape` by NumPy's rule; here its size 1 may become a named size, too."""
    if shape == x.type.shape:
        return x
    own = x.type.shape
    lead = len(shape) - len(own)
    if lead < 0 or any(
        a != 1 and same_size(a, b) is False for a, b in zip(own, shape[lead:], strict=True)
    ):
        raise GraphValueError(
            located(f"broadcast_to: {describe(x)} does not broadcast to {shape_text(shape)}")
        )
    return node(BROADCAST, (x,), Broadcast(shape), array_type(x.type.dtype, shape))


def slice_(x: Node, starts: tuple[Size, ...], sizes: Shape, steps: tuple[Size, ...]) -> Node:
    """start + k * step for k < size, one triple an axis; starts non-negative and in range."""
    if (
        sizes == x.type.shape
        and all(start == 0 for start in starts)
        and all(step == 1 for step in steps)
    ):
        return x
    return node(SLICE, (x,), Slice(starts, sizes, steps), array_type(x.type.dtype, sizes))


def diagonal(x: Node, offset: int, axis1: int, axis2: int) -> Node:
    """np.diagonal: the diagonal of two axes, as the last axis."""
    shape = x.type.shape
    rows, columns = shape[axis1], shape[axis2]
    from graphc.types import size_max, size_min

    length = size_min(rows, columns - offset) if offset >= 0 else size_min(rows + offset, columns)
    if offset:
        length = size_max(0, length)  # without an offset no size is below zero
    rest = tuple(size for axis, size in enumerate(shape) if axis not in (axis1, axis2))
    return node(
        DIAGONAL, (x,), Diagonal(offset, axis1, axis2), array_type(x.type.dtype, (*rest, length))
    )


def pad(x: Node, widths: Sequence[tuple[Size, Size]], value: float = 0.0) -> Node:
    """x with `value` around it: (before, after) an axis."""
    if all(before == 0 and after == 0 for before, after in widths):
        return x
    shape = tuple(
        before + size + after for (before, after), size in zip(widths, x.type.shape, strict=True)
    )
    return node(PAD, (x,), Pad(tuple(widths), value), array_type(x.type.dtype, shape))


def place(x: Node, region: Slice, shape: Shape) -> Node:
    """Zeros of `shape` with x written at `region`."""
    return node(PLACE, (x,), Place(region, shape), array_type(x.type.dtype, shape))


def concatenate(xs: Sequence[Node], axis: int) -> Node:
    """Operands one after another along `axis` (non-negative), cast to their common dtype."""
    if not xs:
        raise GraphValueError(located("concatenate: no operands"))
    first = xs[0].type.shape
    for x in xs[1:]:
        shape = x.type.shape
        if len(shape) != len(first) or any(
            k != axis and same_size(a, b) is False
            for k, (a, b) in enumerate(zip(first, shape, strict=True))
        ):
            raise GraphValueError(
                located(f"concatenate: {describe(xs[0])} and {describe(x)} differ off axis {axis}")
            )
    if len(xs) == 1:
        return xs[0]
    dtype = promote(*(x.type.dtype for x in xs))
    total: Size = 0
    for x in xs:
        total = total + x.type.shape[axis]
    shape = (*first[:axis], total, *first[axis + 1 :])
    return node(
        CONCATENATE, tuple(cast(x, dtype) for x in xs), Concatenate(axis), array_type(dtype, shape)
    )


# -- indexing --------------------------------------------------------------------------------------


def indexed_shape(shape: Shape, axes: tuple[bool, ...], indices: Sequence[Node]) -> Shape:
    """The shape of x[index], by NumPy's rule.

    The index arrays' common shape stands in place of the indexed axes where these are neighbours,
    else in front.
    """
    common = broadcast(tuple(i.type.shape for i in indices))
    if common is None:
        raise GraphValueError(
            located(
                f"indexing: the index arrays {', '.join(map(describe, indices))} do not broadcast"
            )
        )
    taken = [k for k, is_index in enumerate(axes) if is_index]
    rest = [size for k, size in enumerate(shape) if k >= len(axes) or not axes[k]]
    neighbours = taken == list(range(taken[0], taken[-1] + 1))
    place = taken[0] if neighbours else 0
    return (*rest[:place], *common, *rest[place:])


def gather(x: Node, indices: Sequence[Node], axes: tuple[bool, ...], unique: bool = False) -> Node:
    """x[i, :, j]: `axes` says which axes the integer arrays select, `unique` that none repeats."""
    for i in indices:
        if i.type.dtype not in ("i32", "i64"):
            raise GraphTypeError(
                located(f"indexing: {describe(x)} by {describe(i)}: an index array must be integer")
            )
    shape = indexed_shape(x.type.shape, axes, indices)
    return node(
        GATHER, (x, *indices), Indexing(axes, "add", unique), array_type(x.type.dtype, shape)
    )


def scatter(
    base: Node,
    value: Node,
    indices: Sequence[Node],
    axes: tuple[bool, ...],
    mode: Any = "add",
    unique: bool = False,
) -> Node:
    """base with `value` added at (or set at) [i, :, j]; repeated positions add up."""
    shape = indexed_shape(base.type.shape, axes, indices)
    if broadcast((value.type.shape, shape)) != shape:
        raise GraphValueError(
            located(
                f"scatter: {describe(value)} does not broadcast to the indexed {shape_text(shape)}"
            )
        )
    inputs = (base, cast(value, base.type.dtype), *indices)
    return node(SCATTER, inputs, Indexing(axes, mode, unique), base.type)


def zeros(type: ArrayType) -> Node:
    """Zeros of this type."""
    return full(type, 0)
