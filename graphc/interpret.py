"""The reference interpreter: the definitions, evaluated as they stand, slowly and obviously.

It is the oracle of the tests and what `g.evaluate` shows. Each node's value follows from its op's
definition alone: an elementwise formula is evaluated tree by tree, an index formula is summed term
by term, a layout is an index into the operand. Nothing here is shared with the code generator.

The same definitions can be evaluated in another floating type (`dtype`): in long double, for a
second opinion on rounding, and in complex128, for derivatives by a complex step:
f(x + ih) = f(x) + ih f'(x). Comparisons, kinks and steps then look at real parts, and what is no
function of the reals (log of a negative number) stays NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from codegen.expr import Expr
from codegen.program import Broadcast, Diagonal, Reshape, Slice, Transpose
from graphc import searches
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.formula import parse
from graphc.ir import Graph, Node
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
    Layout,
    Leaf,
    LinAlg,
    LinAlgParams,
    LoopParams,
    Pad,
    Place,
    Primitive,
    PrimitiveCall,
    RangeParams,
    Reduction,
    Scatter,
    SearchParams,
    SizeParams,
)
from graphc.ops.linalg import SOLVE_LOWER, SOLVE_UPPER
from graphc.scalars import REDUCTIONS, evaluate_expr, known
from graphc.summation import einstein
from graphc.types import (
    DTYPES,
    FLOATING,
    Dim,
    Shape,
    Size,
    dtype_name,
    size_text,
    substitute,
    type_of_array,
)

Array = np.ndarray[Any, Any]
Sizes = Mapping[str, Size]
Contract = Callable[[Node, Sequence[Array], Sizes], Array]


def definition(op: Elementwise) -> Expr:
    """What an elementwise op means: its definition; that of a table op is its formula.

    (A table op's `definition` field, where it has one, is what SymPy differentiates instead.)
    """
    text = op.formula if TABLE.get(op.name) is op else op.definition or op.formula
    return parse(text, op.args)


def emitted(op: Elementwise) -> Expr:
    """The equal form which the code generator emits for an op, chosen for accuracy."""
    from graphc.derive.lookup import stable_formula

    return parse(stable_formula(op), op.args)


def summed(node: Node, args: Sequence[Array], sizes: Sizes) -> Array:
    """The value of an index formula, term by term."""
    assert isinstance(node.params, Einstein)
    return einstein(node.params, args, sizes)


def evaluate(
    graph: Graph,
    values: Mapping[str, Any],
    dtype: Any = None,
    expression: Callable[[Elementwise], Expr] = definition,
    contract: Contract = summed,
) -> dict[Node, Any]:
    """The value of every node of `graph`, at inputs given by name.

    dtype: a NumPy dtype in which everything floating is computed instead of its own (np.complex128,
        np.longdouble); None keeps each node's own.
    expression: which formula of an elementwise op is evaluated, `definition` or `emitted`.
    contract: how an index formula is summed.

    Returns an array of the node's dtype and shape for each node (the opaque value that a primitive
    saves is whatever its author saved). Raises GraphTypeError where an input is missing, unknown or
    of a dtype that does not convert safely, GraphValueError where its shape does not fit.
    """
    work = None if dtype is None else np.dtype(dtype)
    arrays = take_inputs(graph, values, work)
    sizes = bind_sizes(graph, arrays)
    found: dict[Node, Any] = {}
    saved: dict[Node, Any] = {}
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            if isinstance(node.op, Leaf) and node.op.name == "input":
                found[node] = arrays[node.name]
            elif isinstance(node.op, Primitive):
                found[node] = _primitive(node, [found[x] for x in node.inputs], saved)
            elif isinstance(node.params, SearchParams):
                found[node] = searches.evaluate(node, *(found[x] for x in node.inputs))
                sizes[str(node.params.count)] = len(found[node])
            elif isinstance(node.params, LoopParams):
                found[node] = _loop(node.params, [found[x] for x in node.inputs], dtype)
            else:
                found[node] = evaluate_node(
                    node, [found[x] for x in node.inputs], sizes, work, expression, contract
                )
    return found


def _loop(params: LoopParams, args: Sequence[Array], dtype: Any) -> Array:
    """One result of a loop, step by step."""
    steps = params.steps
    body, last = steps.body, steps.rows + len(steps.carried)
    carried, results = list(args[steps.rows : last]), []
    if params.result in steps.carried:
        results.append(carried[steps.carried.index(params.result)])
    for t in range(steps.count):
        given = [*(x[t] for x in args[: steps.rows]), *carried, *args[last:]]
        values = {node.name: x for node, x in zip(body.inputs, given, strict=True)}
        found = list(evaluate_outputs(body, values, dtype).values())
        carried = [found[k] for k in steps.carried]
        results.append(found[params.result])
    return np.stack(results)


def evaluate_outputs(
    graph: Graph, values: Mapping[str, Any], dtype: Any = None
) -> dict[str, Array]:
    """The graph's outputs by name, at inputs given by name."""
    found = evaluate(graph, values, dtype)
    return {name: found[node] for name, node in graph.outputs}


def scalar(expr: Expr) -> float:
    """The value of an expression of numbers alone, in double."""
    with np.errstate(all="ignore"):
        return float(evaluate_expr(expr, {}, {}))


# -- inputs and sizes ------------------------------------------------------------------------------


def take_inputs(graph: Graph, values: Mapping[str, Any], work: Any = None) -> dict[str, Array]:
    """The inputs as arrays of their declared dtypes, by the rules of a call."""
    names = [node.name for node in graph.inputs]
    for name in values:
        if name not in names:
            raise GraphTypeError(
                located(f"{graph.name}() has no input {name!r}; inputs: {', '.join(names)}")
            )
    arrays: dict[str, Array] = {}
    for node in graph.inputs:
        if node.name not in values:
            raise GraphTypeError(
                located(f"{graph.name}(): input {node.name!r} ({node.type}) is missing")
            )
        arrays[node.name] = _take(graph, node, values[node.name], work)
    return arrays


def _take(graph: Graph, node: Node, value: Any, work: Any) -> Array:
    target = DTYPES[node.type.dtype]
    given = np.asarray(value)
    if given.ndim != node.type.ndim:
        found = type_of_array(given) if given.dtype in DTYPES.values() else given.dtype
        raise GraphValueError(
            located(f"{graph.name}(): {node.name} should be {node.type}, got {found}")
        )
    if work is not None and node.type.dtype in FLOATING and given.dtype.kind in "fcbiu":
        return given.astype(work)
    # Arrays convert where nothing can be lost; Python's own numbers, which have no width, also
    # where only digits are.
    strong = isinstance(value, np.ndarray | np.generic)
    if not np.can_cast(given.dtype, target, "safe" if strong else "same_kind"):
        raise GraphTypeError(
            located(
                f"{graph.name}(): {node.name} should be {node.type}, got dtype {given.dtype}; "
                "convert it first"
            )
        )
    taken = given.astype(target)
    if given.dtype.kind == "i" and taken.dtype.kind == "i" and (taken != given).any():
        raise GraphTypeError(
            located(f"{graph.name}(): {node.name} should be {node.type}: {value!r} does not fit")
        )
    return taken


def bind_sizes(graph: Graph, arrays: Mapping[str, Array]) -> dict[str, Size]:
    """Every named size, solved from the shapes of the inputs, and checked against all of them.

    A bare name binds at once; `2*n + 1` binds n where nothing else does. Raises GraphValueError
    where a size disagrees, or where no input determines it.
    """
    bound: dict[str, Size] = {}
    axes = [
        (node, axis, size, arrays[node.name].shape[axis])
        for node in graph.inputs
        for axis, size in enumerate(node.type.shape)
    ]
    for wanted_bare in (True, False):
        for _, _, size, actual in axes:
            if isinstance(size, Dim) and size.is_name is wanted_bare:
                _solve(size, actual, bound)
    for node, axis, size, actual in axes:
        expected = substitute(size, bound)
        if not isinstance(expected, int):
            raise GraphValueError(
                located(
                    f"{graph.name}(): no input determines the size `{size_text(expected)}` "
                    f"of {node.name} {node.type}"
                )
            )
        if expected != actual:
            wanted = f"{size} = {expected}" if isinstance(size, Dim) else str(size)
            raise GraphValueError(
                located(
                    f"{graph.name}(): {node.name} should be {node.type}: "
                    f"axis {axis} is {actual}, not {wanted}"
                )
            )
    return bound


def _solve(size: Dim, actual: int, bound: dict[str, Size]) -> None:
    """Bind the one unknown name of a size that is linear in it."""
    left = substitute(size, bound)
    if isinstance(left, int) or len(left.names) != 1:
        return
    (name,) = left.names
    unknown = Dim.named(name)
    offset = substitute(left, {name: 0})
    if not isinstance(offset, int):
        return
    one = substitute(left, {name: 1})
    scale = one - offset
    if not isinstance(scale, int) or scale == 0 or unknown * scale + offset != left:
        return
    if (actual - offset) % scale == 0:
        bound[name] = (actual - offset) // scale


def known_shape(shape: Shape, sizes: Sizes) -> tuple[int, ...]:
    """The shape as ints, names bound."""
    return tuple(known(size, sizes) for size in shape)


# -- one node --------------------------------------------------------------------------------------


def evaluate_node(
    node: Node,
    args: Sequence[Array],
    sizes: Sizes,
    work: Any = None,
    expression: Callable[[Elementwise], Expr] = definition,
    contract: Contract = summed,
) -> Array:
    """The value of one node (an input or a primitive aside) at the values of its operands.

    expression: which formula of an elementwise op is evaluated; constant folding asks for the one
        that is emitted.
    """
    result = _kind(node, args, sizes, work, expression, contract)
    target = DTYPES[node.type.dtype]
    if work is not None and node.type.dtype in FLOATING:
        target = work
    elif np.iscomplexobj(result):
        result = result.real
    result = np.asarray(result, dtype=target)
    shape = known_shape(node.type.shape, sizes)
    if result.shape != shape:
        raise GraphValueError(
            located(
                f"{node.op.name}: {node!r} has the shape {list(result.shape)}, not {list(shape)}"
            )
        )
    return result


def _kind(
    node: Node,
    args: Sequence[Array],
    sizes: Sizes,
    work: Any,
    expression: Callable[[Elementwise], Expr],
    contract: Contract,
) -> Any:
    op, params = node.op, node.params
    if isinstance(op, Elementwise):
        return _elementwise(node, op, args, sizes, work, expression)
    if isinstance(op, Leaf):
        if isinstance(params, ConstantParams):
            return params.value
        if isinstance(params, SizeParams):
            return np.asarray(known(params.size, sizes))
        if isinstance(params, RangeParams):
            return np.arange(known(params.size, sizes))
    if isinstance(op, Contraction) and isinstance(params, Einstein):
        return contract(node, args, sizes)
    if isinstance(op, Reduction) and isinstance(params, Axes):
        return _reduction(op, params, args[0])
    if isinstance(op, Layout):
        return _layout(node, args, sizes)
    if isinstance(op, Gather) and isinstance(params, Indexing):
        return args[0][_index(params, args[1:], args[0].ndim)]
    if isinstance(op, Scatter) and isinstance(params, Indexing):
        return _scatter(params, args[0], args[1], args[2:])
    if isinstance(op, LinAlg) and isinstance(params, LinAlgParams):
        return _linalg(op, params.result, args)
    raise GraphTypeError(located(f"{op.name}: {node!r} cannot be evaluated with params {params!r}"))


def _elementwise(
    node: Node,
    op: Elementwise,
    args: Sequence[Array],
    sizes: Sizes,
    work: Any,
    expression: Callable[[Elementwise], Expr],
) -> Any:
    if work is not None and not op.differentiable:
        # What carries no derivative sees no imaginary part: a complex step must not pass it.
        args = [x.real for x in args]
    dtypes = {} if work is None else dict.fromkeys(FLOATING, work)
    result = evaluate_expr(expression(op), dict(zip(op.args, args, strict=True)), sizes, dtypes)
    # A formula that lacks an argument (a constant derivative) still has its operands' shape.
    return np.broadcast_to(result, known_shape(node.type.shape, sizes))


def _reduction(op: Reduction, params: Axes, x: Array) -> Any:
    axes, keepdims = params.axes, params.keepdims
    if op.scan:
        return REDUCTIONS[op.name](x, axis=axes[0])
    if op.name in ("argmax", "argmin"):
        return _arg(op.name, x, axes, keepdims)
    if np.iscomplexobj(x) and op.name in ("max", "min"):
        # The element itself, chosen by its real part.
        rest = tuple(axis for axis in range(x.ndim) if axis not in axes)
        flat = x.transpose(rest + axes).reshape((*(x.shape[axis] for axis in rest), -1))
        chosen = np.argmax(flat.real if op.name == "max" else -flat.real, axis=-1)
        result = np.take_along_axis(flat, chosen[..., None], axis=-1)[..., 0]
        return np.expand_dims(result, axes) if keepdims else result
    if np.iscomplexobj(x) and not op.differentiable:
        x = x.real
    return REDUCTIONS[op.name](x, axis=axes, keepdims=keepdims)


def _arg(name: str, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """argmax over several axes counts positions among them in C order."""
    rest = tuple(axis for axis in range(x.ndim) if axis not in axes)
    flat = x.real.transpose(rest + axes).reshape((*(x.shape[axis] for axis in rest), -1))
    found: Array = np.asarray((np.argmax if name == "argmax" else np.argmin)(flat, axis=-1))
    return np.expand_dims(found, axes) if keepdims else found


def _linalg(op: LinAlg, result: int, args: Sequence[Array]) -> Any:
    """One result of a matrix function, each time computed afresh."""
    # LAPACK has no more than double.
    operands = [x.astype(np.float64) if x.dtype == np.longdouble else x for x in args]
    if op in (SOLVE_LOWER, SOLVE_UPPER):
        operands[0] = (np.tril if op == SOLVE_LOWER else np.triu)(operands[0])
    path = op.function.split(".")
    function = getattr(import_module(".".join(path[:-1]).replace("np", "numpy")), path[-1])
    found = function(*operands, **dict(op.keywords))
    return found[result] if isinstance(found, tuple) else found


def _layout(node: Node, args: Sequence[Array], sizes: Sizes) -> Array:
    x = args[0]
    match node.params:
        case Reshape(shape) | Broadcast(shape):
            wanted = known_shape(shape, sizes)
            if isinstance(node.params, Reshape):
                return x.reshape(wanted)
            return np.broadcast_to(x, wanted)
        case Transpose(axes):
            return x.transpose(axes)
        case Slice() as region:
            return np.asarray(x[_positions(region, sizes)])
        case Diagonal(offset, axis1, axis2):
            return np.diagonal(x, offset, axis1, axis2)
        case Pad(widths, value):
            around = [(known(before, sizes), known(after, sizes)) for before, after in widths]
            return np.pad(x, around, constant_values=value)
        case Place(region, shape):
            placed = np.zeros(known_shape(shape, sizes), dtype=x.dtype)
            placed[_positions(region, sizes)] = x
            return placed
        case Concatenate(axis):
            return np.concatenate(args, axis=axis)
    raise GraphTypeError(located(f"{node.op.name}: {node!r} has no layout in {node.params!r}"))


def _positions(region: Slice, sizes: Sizes) -> Any:
    """The index that selects a region: position by position, an array an axis."""
    return np.ix_(
        *(
            known(start, sizes) + known(step, sizes) * np.arange(known(extent, sizes))
            for start, extent, step in zip(region.starts, region.sizes, region.steps, strict=True)
        )
    )


def _index(params: Indexing, indices: Sequence[Array], ndim: int) -> tuple[Any, ...]:
    rest = iter(indices)
    taken = tuple(next(rest) if is_index else slice(None) for is_index in params.axes)
    return taken + (slice(None),) * (ndim - len(taken))


def _scatter(params: Indexing, base: Array, value: Array, indices: Sequence[Array]) -> Array:
    result = base.copy()
    at = _index(params, indices, base.ndim)
    if params.mode == "set":
        result[at] = value
    else:
        np.add.at(result, at, value)
    return result


def _primitive(node: Node, args: Sequence[Any], saved: dict[Node, Any]) -> Any:
    """A primitive's own function, called once: its forward node's value and what it saves."""
    op, params = node.op, node.params
    assert isinstance(op, Primitive)
    assert isinstance(params, PrimitiveCall)
    if params.part == "saved":
        first = node.inputs[0] if node.inputs else None
        if first is not None and first in saved and first.op is op:
            return saved[first]
        return op.forward(*args)[1]
    if params.part == "backward":
        if op.backward is None:
            raise GraphTypeError(
                located(f"{op.name}: no VJP is given; define one with @{op.name}.vjp")
            )
        cotangents = op.backward(*args)
        cotangent = (
            cotangents[params.operand] if isinstance(cotangents, tuple | list) else cotangents
        )
        return np.asarray(cotangent, dtype=DTYPES[node.type.dtype])
    result, saved[node] = op.forward(*args)
    value = np.asarray(result)
    if dtype_name(value.dtype) != node.type.dtype or value.ndim != node.type.ndim:
        found = f"{value.dtype}{list(value.shape)}"
        raise GraphTypeError(
            located(f"{op.name}: declared as {node.type}, its function returned {found}")
        )
    return value
