"""The functions that formulas of a graph file may call, elementwise ops aside.

The first part states exactly one node each: it is what `dump` writes, so that every graph can be
read back as it was. The second part is NumPy and graphc as traced code has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np

from codegen.program import Broadcast, Reshape, Slice, Transpose
from graphc import matrices, nodes
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.lifting import Symbolic, lift, lift_all
from graphc.ops.kinds import Concatenate, Contraction, Op, Pad, Params
from graphc.ops.linalg import LINALG
from graphc.ops.reductions import REDUCTIONS
from graphc.textual.index_formula import read_contraction, read_size
from graphc.textual.limits import MAX_ELEMENTS, MAX_NDIM
from graphc.types import Dim, Shape, size_max, size_min
from graphc.values import Value

ATTRIBUTES = frozenset({"T", "mT", "shape", "ndim", "size"})
# Of these the file states parameters that follow from each other; the whole graph is verified then.
UNCHECKED = frozenset({"contract", "slice", "place"})
METHODS = frozenset(
    {
        *("sum", "mean", "var", "std", "prod", "max", "min", "any", "all", "argmax", "argmin"),
        *("cumsum", "cumprod", "reshape", "transpose", "swapaxes", "ravel", "flatten", "squeeze"),
        *("dot", "clip", "diagonal", "trace", "astype"),
    }
)


def _axes(x: Node, axis: Any) -> tuple[int, ...]:
    """The axes, non-negative and sorted; None is all of them."""
    ndim = x.type.ndim
    if axis is None:
        return tuple(range(ndim))
    wanted = axis if isinstance(axis, tuple) else (axis,)
    found = []
    for k in wanted:
        if not isinstance(k, int) or not -ndim <= k < ndim:
            raise GraphValueError(located(f"axis {k} of {nodes.describe(x)}: it has {ndim} axes"))
        found.append(k % ndim)
    if len(set(found)) != len(found):
        raise GraphValueError(located(f"axis {axis} of {nodes.describe(x)}: an axis twice"))
    return tuple(sorted(found))


def _shape(value: Any) -> Shape:
    sizes = value if isinstance(value, tuple | list) else (value,)
    if len(sizes) > MAX_NDIM:
        raise GraphValueError(located(f"a shape of more than {MAX_NDIM} axes"))
    return tuple(read_size(size) for size in sizes)


def _ints(value: Any, what: str) -> tuple[int, ...]:
    numbers = value if isinstance(value, tuple | list) else (value,)
    for number in numbers:
        if not isinstance(number, int) or isinstance(number, bool):
            raise GraphTypeError(located(f"{what} are integers, not {number!r}"))
    return tuple(numbers)


def _always(result: Node, x: Node, op: Op, params: Params) -> Value:
    """The node that was made, and one that changes nothing where none was: the file says so."""
    return Value(nodes.node(op, (x,), params, x.type) if result is x else result)


# -- one node each ---------------------------------------------------------------------------------


def _sum(x: Any, axis: Any = None, keepdims: bool = False) -> Value:
    node = lift(x)
    return Value(nodes.sum_(node, _axes(node, axis), bool(keepdims)))


_OF_SIZES = {"max": size_max, "min": size_min}


def _fold(name: str) -> Callable[..., Any]:
    scan = REDUCTIONS[name].scan

    def call(x: Any, *others: Any, axis: Any = None, keepdims: bool = False) -> Any:
        if name in _OF_SIZES and others and any(isinstance(size, Dim) for size in (x, *others)):
            return reduce(_OF_SIZES[name], map(read_size, others), read_size(x))
        node = lift(x)
        if others:
            return _larger(name, node, x, others)
        if scan and len(_axes(node, axis)) != 1:
            raise GraphValueError(located(f"{name} of {nodes.describe(node)}: pass one axis="))
        return Value(nodes.reduction(name, node, _axes(node, axis), bool(keepdims)))

    return call


def _larger(name: str, node: Node, x: Any, others: tuple[Any, ...]) -> Value:
    """max(a, b) of scalars, as Python has it; on arrays NumPy would read b as an axis."""
    if name not in ("max", "min"):
        raise GraphTypeError(located(f"{name} takes one array; pass axis= by name"))
    op = "maximum" if name == "max" else "minimum"
    if node.type.ndim:
        raise GraphTypeError(
            located(f"{name} of {nodes.describe(node)} and more: write {op}(a, b), or pass axis=")
        )
    operands = lift_all((x, *others))
    result = operands[0]
    for other in operands[1:]:
        result = nodes.elementwise(op, result, other)
    return Value(result)


def _matmul(a: Any, b: Any) -> Value:
    return Value(nodes.matmul(lift(a), lift(b)))


def _reshape(x: Any, shape: Any) -> Value:
    node = lift(x)
    sizes = shape if isinstance(shape, tuple | list) else (shape,)
    if any(isinstance(size, int) and size == -1 for size in sizes):
        guessed: Value = Value(node).reshape(tuple(sizes))
        return guessed
    wanted = _shape(shape)
    return _always(nodes.reshape(node, wanted), node, nodes.RESHAPE, Reshape(wanted))


def _transpose(x: Any, axes: Any = None) -> Value:
    node = lift(x)
    ndim = node.type.ndim
    order = tuple(reversed(range(ndim))) if axes is None else _ints(axes, "axes")
    order = tuple(k + ndim if k < 0 else k for k in order)
    if sorted(order) != list(range(ndim)):
        raise GraphValueError(located(f"transpose of {nodes.describe(node)}: axes {axes}"))
    return _always(nodes.transpose(node, order), node, nodes.TRANSPOSE, Transpose(order))


def _broadcast_to(x: Any, shape: Any) -> Value:
    node = lift(x)
    wanted = _shape(shape)
    return _always(nodes.broadcast_to(node, wanted), node, nodes.BROADCAST, Broadcast(wanted))


def _region(node: Node, starts: Any, sizes: Any, steps: Any, ndim: int) -> Slice:
    region = Slice(_shape(starts), _shape(sizes), _ints(steps, "steps"))
    if not len(region.starts) == len(region.sizes) == len(region.steps) == ndim:
        raise GraphValueError(
            located(f"a region of {nodes.describe(node)} has one start, size and step an axis")
        )
    return region


def _check_inside(node: Node, region: Slice, shape: Shape) -> None:
    """Every position inside the axis, as far as it is known here."""
    triples = zip(region.starts, region.sizes, region.steps, strict=True)
    for (start, size, step), whole in zip(triples, shape, strict=True):
        if not isinstance(start, int) or not isinstance(size, int) or not isinstance(whole, int):
            continue
        last = start + (size - 1) * step
        if size and not (0 <= start < whole and 0 <= last < whole):
            raise GraphValueError(
                located(f"{nodes.describe(node)}: positions {start} to {last} of {whole}")
            )


def _slice(x: Any, starts: Any, sizes: Any, steps: Any) -> Value:
    node = lift(x)
    region = _region(node, starts, sizes, steps, node.type.ndim)
    _check_inside(node, region, node.type.shape)
    made = nodes.slice_(node, region.starts, region.sizes, region.steps)
    return _always(made, node, nodes.SLICE, region)


def _place(x: Any, starts: Any, sizes: Any, steps: Any, shape: Any) -> Value:
    node = lift(x)
    whole = _shape(shape)
    region = _region(node, starts, sizes, steps, len(whole))
    _check_inside(node, region, whole)
    if region.sizes != node.type.shape:
        raise GraphValueError(located(f"place: {nodes.describe(node)} does not fill its region"))
    return Value(nodes.place(node, region, whole))


def _diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Value:
    node = lift(x)
    first, second = _axes(node, axis1)[0], _axes(node, axis2)[0]
    if first == second:
        raise GraphValueError(located(f"diagonal of {nodes.describe(node)}: twice one axis"))
    (by,) = _ints(offset, "offsets")
    return Value(nodes.diagonal(node, by, first, second))


def _pad(x: Any, widths: Any, value: float = 0.0) -> Value:
    node = lift(x)
    around = tuple(_shape(pair) for pair in widths) if isinstance(widths, tuple | list) else ()
    if len(around) != node.type.ndim or any(len(pair) != 2 for pair in around):
        raise GraphValueError(
            located(f"pad: {nodes.describe(node)}: widths are (before, after) an axis")
        )
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise GraphTypeError(located(f"pad: the value is a number, not {value!r}"))
    pairs = [(before, after) for before, after in around]
    made = nodes.pad(node, pairs, value)
    return _always(made, node, nodes.PAD, Pad(tuple(pairs), value))


def _concatenate(xs: Any, axis: int = 0) -> Value:
    if not isinstance(xs, tuple | list) or not xs:
        raise GraphTypeError(
            located("concatenate takes a list of arrays: concatenate((a, b), axis=0)")
        )
    operands = lift_all(xs)
    if any(not x.type.ndim for x in operands):
        raise GraphValueError(located("concatenate: a scalar operand; use stack"))
    (place,) = _axes(operands[0], axis)
    made = nodes.concatenate(operands, place)
    return _always(made, operands[0], nodes.CONCATENATE, Concatenate(place))


def _index(x: Node, index: Any) -> tuple[list[Node], tuple[bool, ...]]:
    """(i, None, j) -> the index arrays, and which axes they select."""
    parts = index if isinstance(index, tuple | list) else (index,)
    if len(parts) > x.type.ndim or not any(part is not None for part in parts):
        raise GraphValueError(
            located(f"indexing {nodes.describe(x)}: one index array or None an axis")
        )
    found = [lift(part) for part in parts if part is not None]
    return found, tuple(part is not None for part in parts)


def _gather(x: Any, index: Any, unique: bool = False) -> Value:
    node = lift(x)
    indices, axes = _index(node, index)
    return Value(nodes.gather(node, indices, axes, bool(unique)))


def _scatter(base: Any, value: Any, index: Any, mode: str = "add", unique: bool = False) -> Value:
    node = lift(base)
    if mode not in ("add", "set"):
        raise GraphValueError(located(f"scatter: mode {mode!r}; use 'add' or 'set'"))
    indices, axes = _index(node, index)
    return Value(nodes.scatter(node, lift(value), indices, axes, mode, bool(unique)))


def _contract(formula: str, *operands: Any, op: str = "contract", **options: Any) -> Value:
    """contract('[i,j] = [i,k] * [k,j]', a, b, sizes=(('i', n), ...), shape=(n, 3))."""
    if not isinstance(formula, str) or not isinstance(op, str) or not operands:
        raise GraphTypeError(located("contract takes an index formula and operands"))
    lifted = lift_all(operands)
    params = read_contraction(formula, lifted, **options)
    shared: Mapping[str, Contraction] = {"sum": nodes.SUM, "matmul": nodes.MATMUL}
    return Value(nodes.contraction(shared.get(op) or Contraction(op), params, *lifted))


def _number_of(size: Any, dtype: str = "i64") -> Value:
    """A size as a number of a dtype: size(batch - 1, 'f64')."""
    if dtype not in ("i32", "i64", "f32", "f64"):
        raise GraphTypeError(located(f"size: dtype {dtype!r}; use i64, i32, f64 or f32"))
    return Value(nodes.size(read_size(size), dtype))


def _arange(size: Any) -> Value:
    """0, 1, ... up to a size, as i64."""
    count = read_size(size)
    if isinstance(count, int) and count > MAX_ELEMENTS:
        raise GraphValueError(located(f"arange: {count} elements are too many here"))
    return Value(nodes.arange(count))


def _convert(x: Any, dtype: Any) -> Value:
    return Value(lift(x)).astype(dtype)


def _linalg(name: str) -> Callable[..., Any]:
    """inv(a); of a decomposition one result: eigh(a, result='V')."""
    op = LINALG[name]

    def call(*operands: Any, result: Any = None) -> Value:
        if len(operands) != len(op.args):
            raise GraphTypeError(located(f"{name} takes {len(op.args)} operands"))
        found = matrices.results(op, *lift_all(operands))
        if len(found) == 1 and result is None:
            return Value(found[0])
        if result not in op.results:
            known = ", ".join(map(repr, op.results))
            raise GraphValueError(located(f"{name}: result={result!r}; it has {known}"))
        return Value(found[op.results.index(result)])

    return call


_EXACT: Mapping[str, Callable[..., Any]] = {
    **{name: _linalg(name) for name in LINALG},
    "sum": _sum,
    **{name: _fold(name) for name in REDUCTIONS},
    "matmul": _matmul,
    "reshape": _reshape,
    "transpose": _transpose,
    "broadcast_to": _broadcast_to,
    "slice": _slice,
    "place": _place,
    "diagonal": _diagonal,
    "pad": _pad,
    "concatenate": _concatenate,
    "gather": _gather,
    "scatter": _scatter,
    "contract": _contract,
    "size": _number_of,
    "arange": _arange,
    "astype": _convert,
}

# -- as traced code has them -----------------------------------------------------------------------


def _numpy(name: str, module: Any = np) -> Callable[..., Any]:
    function = getattr(module, name)

    def call(*args: Any, **options: Any) -> Any:
        _check_symbolic(name, args, options)
        return function(*args, **options)

    return call


def _ours(name: str) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        from graphc import nn

        _check_symbolic(name, args, options)
        return getattr(nn, name)(*args, **options)

    return call


def _check_symbolic(name: str, args: tuple[Any, ...], options: Mapping[str, Any]) -> None:
    """Without a value of the graph NumPy itself would compute, at any size the file asks for."""
    flat: list[Any] = [*args, *options.values()]
    for arg in args:
        if isinstance(arg, tuple | list):
            flat.extend(arg)
    if not any(isinstance(arg, Symbolic) for arg in flat):
        raise GraphTypeError(located(f"{name}: no operand is a value of the graph"))
    for value in flat:
        if isinstance(value, int) and abs(value) > 10_000_000:
            raise GraphValueError(located(f"{name}: {value} is too large here"))


_NUMPY = (
    *(
        "mean",
        "var",
        "std",
        "outer",
        "inner",
        "dot",
        "vdot",
        "tensordot",
        "einsum",
        "trace",
        "stack",
    ),
    *("hstack", "vstack", "expand_dims", "squeeze", "swapaxes", "moveaxis", "ravel", "zeros_like"),
    *("ones_like", "full_like", "diag", "flip", "roll", "take", "repeat", "tile"),
)
_OURS = ("logsumexp", "softmax", "log_softmax", "cross_entropy", "one_hot")

_OF_MATRICES = ("norm", "eigvalsh", "svdvals", "matrix_power", "cond")

FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    **{name: _numpy(name, np.linalg) for name in _OF_MATRICES},
    **{name: _numpy(name) for name in _NUMPY},
    **{name: _ours(name) for name in _OURS},
    **_EXACT,
}
