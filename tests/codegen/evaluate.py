"""A plain evaluator of Programs: what each statement means, in obvious NumPy, one at a time.

The oracle of the emitted code. It fuses nothing, reuses nothing, and loops over contractions.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.special

from codegen.expr import FUNCTIONS, Expr, Extent, Number, Symbol
from codegen.program import (
    Broadcast,
    Call,
    Contract,
    Diagonal,
    Function,
    Gather,
    Leaf,
    Map,
    Node,
    Program,
    Reduce,
    Reshape,
    Scatter,
    Slice,
    Statement,
    Transpose,
    Var,
    View,
    Write,
)
from codegen.types import DTYPES, Size, substitute

Array = Any
Bindings = Mapping[str, Size]


def number(size: Size, sizes: Bindings) -> int:
    """The size as an int."""
    result = substitute(size, sizes)
    assert isinstance(result, int)
    return result


def run(program: Program, function: Function, arguments: Mapping[Var, Array]) -> Any:
    """The function's result on the values of its leaves, as nested tuples, lists and dicts."""
    values: dict[Var, Array] = {c.var: np.array(c.value) for c in program.constants}
    for var, value in arguments.items():
        values[var] = np.asarray(value, dtype=DTYPES[var.type.dtype])
    sizes: dict[str, int] = {}
    for var, value in list(values.items()):
        for size, extent in zip(var.type.shape, value.shape, strict=True):
            if not isinstance(size, int) and size.is_name:
                sizes.setdefault(next(iter(size.names)), extent)
    for statement in function.body:
        execute(program, statement, values, sizes)
    return collect(function.result, values)


def collect(node: Node, values: Mapping[Var, Array]) -> Any:
    """A result tree of arrays; records and tuples are tuples."""
    if isinstance(node, Leaf):
        return values[node.var]
    items = [collect(item, values) for item in node.items]
    if node.kind == "dict":
        return dict(zip(node.keys, items, strict=True))
    return items if node.kind == "list" else tuple(items)


def execute(
    program: Program, statement: Statement, values: dict[Var, Array], sizes: Bindings
) -> None:
    """One statement."""
    if isinstance(statement, Call):
        call(program, statement, values)
        return
    out = statement.out
    shape = tuple(number(size, sizes) for size in out.type.shape)
    result = _EXECUTE[type(statement)](statement, values, sizes, shape)
    result = np.array(np.broadcast_to(result, shape), dtype=DTYPES[out.type.dtype])
    values[out] = result


def scalar(expr: Expr, args: list[Array], sizes: Bindings) -> Array:
    """An expression on whole arrays, in NumPy's own promotion."""
    if isinstance(expr, Symbol):
        return args[int(expr.name)]
    if isinstance(expr, Number):
        return expr.value
    if isinstance(expr, Extent):
        return number(expr.size, sizes)
    operands = [scalar(arg, args, sizes) for arg in expr.args]
    return ufunc(expr.function)(*operands)


def ufunc(name: str) -> Callable[..., Array]:
    """The NumPy function of an entry of FUNCTIONS."""
    spelled = FUNCTIONS[name].numpy
    if spelled.startswith("scipy."):
        return getattr(scipy.special, spelled.rpartition(".")[2])
    return getattr(np, spelled.removeprefix("np."))


def _map(s: Map, values: Mapping[Var, Array], sizes: Bindings, shape: tuple[int, ...]) -> Array:
    with np.errstate(all="ignore"):
        return scalar(s.expr, [values[arg] for arg in s.args], sizes)


def _contract(
    s: Contract, values: Mapping[Var, Array], sizes: Bindings, shape: tuple[int, ...]
) -> Array:
    out = np.zeros(shape, DTYPES[s.out.type.dtype])
    names = [name for name, _ in s.extents]
    ranges = [range(number(extent, sizes)) for _, extent in s.extents]
    args = [values[arg] for arg in s.args]
    for point in itertools.product(*ranges):
        at = dict(zip(names, point, strict=True))
        where = _position(s.out_index, at, shape)
        places = [_position(i, at, a.shape) for i, a in zip(s.arg_index, args, strict=True)]
        if where is None or any(place is None for place in places):
            continue
        term = 1
        for array, place in zip(args, places, strict=True):
            term = term * array[place]
        out[where] += term
    return out


def _position(indices: Any, at: Mapping[str, int], shape: tuple[int, ...]) -> Any:
    place = tuple(i.offset + sum(c * at[name] for name, c in i.terms) for i in indices)
    inside = all(0 <= k < n for k, n in zip(place, shape, strict=True))
    return place if inside else None


def _reduce(s: Reduce, values: Mapping[Var, Array], sizes: Bindings, shape: Any) -> Array:
    arg = values[s.arg]
    if s.fn in ("cummax", "cummin"):
        fold = np.maximum if s.fn == "cummax" else np.minimum
        return fold.accumulate(arg, axis=s.axes[0])
    if s.fn in ("cumsum", "cumprod"):
        return getattr(np, s.fn)(arg, axis=s.axes[0])
    if s.fn == "argsort":
        return np.argsort(arg, axis=s.axes[0], kind="stable")
    if s.fn in ("argmax", "argmin"):
        axis = s.axes[0] if len(s.axes) == 1 else None
        return getattr(np, s.fn)(arg, axis=axis, keepdims=s.keepdims)
    keywords = {"dtype": DTYPES[s.out.type.dtype]} if s.fn in ("sum", "prod") else {}
    return getattr(np, s.fn)(arg, axis=s.axes, keepdims=s.keepdims, **keywords)


def region(how: Slice, sizes: Bindings) -> tuple[Any, ...]:
    """The positions of a Slice, as arrays for np.ix_."""
    return np.ix_(
        *[
            number(start, sizes) + step * np.arange(number(size, sizes))
            for start, size, step in zip(how.starts, how.sizes, how.steps, strict=True)
        ]
    )


def _view(s: View, values: Mapping[Var, Array], sizes: Bindings, shape: tuple[int, ...]) -> Array:
    arg, how = values[s.arg], s.how
    if isinstance(how, Reshape):
        return arg.reshape(shape)
    if isinstance(how, Transpose):
        return arg.transpose(how.axes)
    if isinstance(how, Broadcast):
        return np.broadcast_to(arg, shape)
    if isinstance(how, Diagonal):
        return np.diagonal(arg, how.offset, how.axis1, how.axis2)
    return arg[region(how, sizes)] if how.starts else arg


def _write(s: Write, values: Mapping[Var, Array], sizes: Bindings, shape: tuple[int, ...]) -> Array:
    out = np.full(shape, s.fill, DTYPES[s.out.type.dtype])
    for where, part in zip(s.regions, s.parts, strict=True):
        if s.add:
            out[region(where, sizes)] += values[part]
        else:
            out[region(where, sizes)] = values[part]
    return out


def _indexer(index: Any, values: Mapping[Var, Array]) -> tuple[Any, ...]:
    return tuple(slice(None) if i is None else values[i] for i in index)


def _gather(s: Gather, values: Mapping[Var, Array], sizes: Bindings, shape: Any) -> Array:
    return values[s.arg][_indexer(s.index, values)]


def _scatter(
    s: Scatter, values: Mapping[Var, Array], sizes: Bindings, shape: tuple[int, ...]
) -> Array:
    base = np.zeros(shape) if s.base is None else values[s.base]
    out = np.array(base, dtype=DTYPES[s.out.type.dtype])
    if s.mode == "set":
        out[_indexer(s.index, values)] = values[s.value]
    else:
        np.add.at(out, _indexer(s.index, values), values[s.value])
    return out


_EXECUTE: dict[type, Callable[..., Array]] = {
    Map: _map,
    Contract: _contract,
    Reduce: _reduce,
    View: _view,
    Write: _write,
    Gather: _gather,
    Scatter: _scatter,
}


def call(program: Program, statement: Call, values: dict[Var, Array]) -> None:
    """A Call: NumPy's function, or the program's."""
    function: Any = program.callables.get(statement.function)
    if function is None:
        function = np
        for part in statement.function.split(".")[1:]:
            function = getattr(function, part)
    keywords = dict(statement.keywords)
    result = function(*[values[arg] for arg in statement.args], **keywords)
    results = result if len(statement.outs) > 1 else (result,)
    for out, value in zip(statement.outs, results, strict=True):
        values[out] = np.asarray(value)
