"""Every invariant of the IR, as code: what `graphc.ir` promises, checked node by node.

A pass leaves a valid graph and may assume one. Tests call `verify` after every pass; so does every
pass pipeline while GRAPHC_DEBUG=1 is set. The type rules below are stated a second time on purpose,
apart from the constructors in `graphc.nodes`: a pass that builds nodes by hand is checked by them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from codegen.expr import symbols
from codegen.program import Affine, Broadcast, Diagonal, Reshape, Slice, Transpose
from graphc.errors import GraphError, GraphTypeError, GraphValueError
from graphc.ir import Graph, Node, leaves
from graphc.matrices import result_types
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
    LinAlg,
    LinAlgParams,
    Loop,
    LoopParams,
    Pad,
    Place,
    Primitive,
    PrimitiveCall,
    RangeParams,
    Reduction,
    Scatter,
    Search,
    SearchParams,
    SizeParams,
)
from graphc.searches import result_type
from graphc.types import (
    DTYPES,
    FLOATING,
    ArrayType,
    Shape,
    Size,
    array_type,
    broadcast,
    dtype_name,
    product,
    promote,
    same_size,
    shape_text,
    size_max,
    size_min,
)


def debugging() -> bool:
    """Whether the environment asks that graphs be verified after every pass (GRAPHC_DEBUG=1)."""
    return os.environ.get("GRAPHC_DEBUG", "") not in ("", "0")


def verify(graph: Graph) -> Graph:
    """The graph itself, if it keeps every invariant of the IR.

    Raises GraphTypeError or GraphValueError, naming the node and the invariant it breaks. Linear in
    the number of nodes, and without recursion over them.
    """
    where = f"graph {graph.name!r}"
    seen: set[Node] = set()
    names: dict[str, Node] = {}
    for node in graph.nodes:
        if node in seen:
            raise GraphValueError(f"{where}: {describe(node)} is listed twice")
        for operand in node.inputs:
            if operand not in seen:
                raise GraphValueError(
                    f"{where}: {describe(node)} stands before its operand {describe(operand)}"
                )
        seen.add(node)
        if node.name:
            other = names.setdefault(node.name, node)
            if other is not node:
                raise GraphValueError(
                    f"{where}: {describe(other)} and {describe(node)} share the name {node.name!r}"
                )
        _verify_node(where, node)
    _verify_interface(where, graph, seen)
    return graph


def describe(node: Node) -> str:
    """A node as the verifier names it: name or op, type, and where the user declared it."""
    label = f"{node.name!r} ({node.op.name})" if node.name else node.op.name
    place = f", declared at {node.origin}" if node.origin.file else ""
    return f"node {label} {node.type}{place}"


def _verify_interface(where: str, graph: Graph, seen: set[Node]) -> None:
    if len(set(graph.inputs)) != len(graph.inputs):
        raise GraphValueError(f"{where}: an input is listed twice")
    for node in graph.inputs:
        if node not in seen:
            raise GraphValueError(f"{where}: the input {describe(node)} is not among its nodes")
        if not isinstance(node.params, InputParams) or not node.name:
            raise GraphValueError(f"{where}: {describe(node)} is no named input")
    inputs = set(graph.inputs)
    for node in graph.nodes:
        if isinstance(node.params, InputParams) and node not in inputs:
            raise GraphValueError(f"{where}: {describe(node)} is an input the graph does not list")
    outputs = [name for name, _ in graph.outputs]
    if len(set(outputs)) != len(outputs):
        raise GraphValueError(f"{where}: two outputs share a name; outputs: {', '.join(outputs)}")
    for name, node in graph.outputs:
        if node not in seen:
            raise GraphValueError(
                f"{where}: the output {name!r}, {describe(node)}, is not among its nodes"
            )
    declared = [leaf for _, container in graph.arguments for leaf in leaves(container)]
    if sorted(declared) != sorted(node.name for node in graph.inputs):
        raise GraphValueError(
            f"{where}: its arguments hold {', '.join(declared)}, its inputs are "
            f"{', '.join(node.name for node in graph.inputs)}"
        )
    for leaf in leaves(graph.result):
        if leaf not in outputs:
            raise GraphValueError(f"{where}: its result holds {leaf!r}, which is no output")


def _verify_node(where: str, node: Node) -> None:
    if node.type.dtype not in DTYPES and not _is_saved(node):
        raise GraphTypeError(f"{where}: {describe(node)}: {node.type.dtype!r} is no dtype")
    for size in node.type.shape:
        if isinstance(size, int) and size < 0:
            raise GraphValueError(f"{where}: {describe(node)} has a negative size")
    rule = RULES.get(type(node.op))
    if rule is None:
        raise GraphTypeError(f"{where}: {describe(node)}: {node.op!r} is of no kind of op")
    try:
        expected = rule(node)
    except _Broken as reason:
        raise GraphTypeError(f"{where}: {describe(node)}: {reason}") from None
    if expected is not None and not _agree(expected, node.type):
        raise GraphTypeError(f"{where}: {describe(node)}: its op's type rule gives {expected}")


def _is_saved(node: Node) -> bool:
    return isinstance(node.params, PrimitiveCall) and node.params.part == "saved"


class _Broken(Exception):
    """What a type rule found wrong, before it is known of which node and graph."""


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise _Broken(reason)


def _agree(a: ArrayType, b: ArrayType) -> bool:
    """Whether two types are equal, as far as sizes can be decided now."""
    if a is b:
        return True
    return a.dtype == b.dtype and _same_shape(a.shape, b.shape)


def _same_shape(a: Shape, b: Shape) -> bool:
    return len(a) == len(b) and all(same_size(x, y) is not False for x, y in zip(a, b, strict=True))


# -- one type rule a kind --------------------------------------------------------------------------


def _leaf(node: Node) -> ArrayType | None:
    _require(not node.inputs, "a leaf has no operands")
    match node.params:
        case ConstantParams(value=value):
            _require(not value.flags.writeable, "the constant is writable")
            return array_type(dtype_name(value.dtype), value.shape)
        case SizeParams():
            return array_type(node.type.dtype, ())
        case RangeParams(size):
            return array_type("i64", (size,))
        case InputParams():
            return None
    raise _Broken(f"a leaf with params {node.params!r}")


def _elementwise(node: Node) -> ArrayType:
    op = node.op
    assert isinstance(op, Elementwise)
    _require(node.params is None, "an elementwise op has no params")
    _require(len(node.inputs) == len(op.args), f"it takes {len(op.args)} operands")
    conditions, operands = node.inputs[: op.condition], node.inputs[op.condition :]
    _require(all(x.type.dtype == "bool" for x in conditions), "a condition is not bool")
    dtypes = {x.type.dtype for x in operands}
    _require(len(dtypes) == 1, f"its operands are of several dtypes: {', '.join(sorted(dtypes))}")
    (dtype,) = dtypes
    shape = broadcast(tuple(x.type.shape for x in node.inputs))
    if shape is None:
        shapes = " and ".join(str(x.type) for x in node.inputs)
        raise _Broken(f"its operands {shapes} do not broadcast")
    if op.result == "float":
        return array_type(dtype if dtype in FLOATING else "f64", shape)
    return array_type(dtype if op.result == "same" else op.result, shape)


def _contraction(node: Node) -> ArrayType:
    params = node.params
    if not isinstance(params, Einstein):
        raise _Broken(f"a contraction with params {params!r}")
    _require(len(params.operands) == len(node.inputs), "one index list an operand")
    extents = dict(params.extents)
    _require(len(extents) == len(params.extents), "an index has two extents")
    for k, (x, indices) in enumerate(zip(node.inputs, params.operands, strict=True)):
        _require(len(indices) == x.type.ndim, f"operand {k} has {x.type.ndim} axes")
        for affine, size in zip(indices, x.type.shape, strict=True):
            _check_affine(affine, size, extents, f"operand {k}")
    _require(len(params.out) == len(params.shape), "one index an axis of the result")
    for affine, size in zip(params.out, params.shape, strict=True):
        _check_affine(affine, size, extents, "the result")
    if params.body is not None:
        known = {str(k) for k in range(len(node.inputs))}
        _require(set(symbols(params.body)) <= known, "its body names an operand it does not have")
    dtype = promote(*(x.type.dtype for x in node.inputs))
    _require(all(x.type.dtype == dtype for x in node.inputs), "operands of several dtypes")
    _require(dtype != "bool", "bool operands")
    return array_type(dtype, params.shape)


def _check_affine(affine: Affine, size: Size, extents: Mapping[str, Size], what: str) -> None:
    names = [name for name, _ in affine.terms]
    _require(len(set(names)) == len(names), f"{what}: `{affine}` names an index twice")
    for name, coefficient in affine.terms:
        _require(name in extents, f"{what}: the index {name!r} has no extent")
        _require(coefficient != 0, f"{what}: `{affine}` has a zero coefficient")
    if affine.index is not None:
        _require(
            same_size(extents[affine.index], size) is not False,
            f"{what}: the index {affine.index!r} and its axis differ in size",
        )


def _reduction(node: Node) -> ArrayType:
    op, params = node.op, node.params
    assert isinstance(op, Reduction)
    if not isinstance(params, Axes):
        raise _Broken(f"a reduction with params {params!r}")
    (x,) = node.inputs
    axes = params.axes
    _require(axes == tuple(sorted(set(axes))), "axes are not sorted, or repeat")
    _require(all(0 <= axis < x.type.ndim for axis in axes), f"axes {axes} of {x.type}")
    dtype = x.type.dtype if op.result == "same" else op.result
    if op.scan:
        _require(len(axes) == 1, "a scan has one axis")
        return array_type(dtype, x.type.shape)
    empty = op.nonempty and any(x.type.shape[axis] == 0 for axis in axes)
    _require(not empty, "an empty axis, and no identity")
    if params.keepdims:
        shape = tuple(1 if k in axes else size for k, size in enumerate(x.type.shape))
    else:
        shape = tuple(size for k, size in enumerate(x.type.shape) if k not in axes)
    return array_type(dtype, shape)


def _layout(node: Node) -> ArrayType:
    _require(bool(node.inputs), "a layout has an operand")
    shape = _layout_shape(node)
    dtypes = {x.type.dtype for x in node.inputs}
    _require(len(dtypes) == 1, "operands of several dtypes")
    return array_type(node.inputs[0].type.dtype, shape)


def _layout_shape(node: Node) -> Shape:
    x = node.inputs[0].type.shape
    params = node.params
    if not isinstance(params, Concatenate):
        _require(len(node.inputs) == 1, "it takes one operand")
    match params:
        case Reshape(shape):
            _require(same_size(product(shape), product(x)) is not False, "it changes the size")
            return shape
        case Broadcast(shape):
            lead = len(shape) - len(x)
            fits = lead >= 0 and all(
                a == 1 or same_size(a, b) is not False for a, b in zip(x, shape[lead:], strict=True)
            )
            _require(fits, f"{shape_text(x)} does not broadcast to {shape_text(shape)}")
            return shape
        case Transpose(axes):
            _require(sorted(axes) == list(range(len(x))), f"axes {axes} are no permutation")
            return tuple(x[axis] for axis in axes)
        case Slice() as region:
            _check_region(region, x)
            return region.sizes
        case Place(region, shape):
            _check_region(region, shape)
            _require(_same_shape(x, region.sizes), "the operand does not fill its region")
            return shape
        case Diagonal(offset, axis1, axis2):
            distinct = axis1 != axis2 and {axis1, axis2} <= set(range(len(x)))
            _require(distinct, f"axes {axis1} and {axis2}")
            rows, columns = x[axis1], x[axis2]
            length = (
                size_min(rows, columns - offset)
                if offset >= 0
                else size_min(rows + offset, columns)
            )
            rest = (size for k, size in enumerate(x) if k not in (axis1, axis2))
            return (*rest, size_max(0, length) if offset else length)
        case Pad(widths, _):
            _require(len(widths) == len(x), "one pair of widths an axis")
            return tuple(
                before + size + after for (before, after), size in zip(widths, x, strict=True)
            )
        case Concatenate(axis):
            return _joined(node, axis)
    raise _Broken(f"a layout with params {params!r}")


def _check_region(region: Slice, shape: Shape) -> None:
    lengths = {len(region.starts), len(region.sizes), len(region.steps), len(shape)}
    _require(len(lengths) == 1, "one start, size and step an axis")
    for start, size, step, whole in zip(
        region.starts, region.sizes, region.steps, shape, strict=True
    ):
        _require(step != 0, "a step of zero")
        known = all(isinstance(part, int) for part in (start, size, step, whole))
        if known and size > 0:
            last = start + (size - 1) * step
            inside = 0 <= start < whole and 0 <= last < whole
            _require(inside, f"positions {start} to {last} of an axis of {whole}")


def _joined(node: Node, axis: int) -> Shape:
    first = node.inputs[0].type.shape
    _require(0 <= axis < len(first), f"axis {axis} of {shape_text(first)}")
    total: Size = 0
    for x in node.inputs:
        shape = x.type.shape
        off = tuple(1 if k == axis else size for k, size in enumerate(shape))
        expected = tuple(1 if k == axis else size for k, size in enumerate(first))
        _require(_same_shape(off, expected), f"operands differ off axis {axis}")
        total = total + shape[axis]
    return (*first[:axis], total, *first[axis + 1 :])


def _indexed(shape: Shape, params: Any, indices: tuple[Node, ...]) -> Shape:
    """The shape of x[index], by NumPy's rule for where the index arrays' axes come."""
    if not isinstance(params, Indexing):
        raise _Broken(f"an indexing with params {params!r}")
    taken = [k for k, is_index in enumerate(params.axes) if is_index]
    _require(bool(taken) and len(params.axes) <= len(shape), "no axis is indexed, or one too many")
    _require(len(taken) == len(indices), "one index array an indexed axis")
    _require(all(i.type.dtype in ("i32", "i64") for i in indices), "an index array is not integer")
    common = broadcast(tuple(i.type.shape for i in indices))
    if common is None:
        raise _Broken("the index arrays do not broadcast")
    rest = tuple(size for k, size in enumerate(shape) if k not in taken)
    place = taken[0] if taken[-1] - taken[0] == len(taken) - 1 else 0
    return (*rest[:place], *common, *rest[place:])


def _gather(node: Node) -> ArrayType:
    x, *indices = node.inputs
    return array_type(x.type.dtype, _indexed(x.type.shape, node.params, tuple(indices)))


def _scatter(node: Node) -> ArrayType:
    base, value, *indices = node.inputs
    shape = _indexed(base.type.shape, node.params, tuple(indices))
    _require(value.type.dtype == base.type.dtype, "base and value differ in dtype")
    common = broadcast((value.type.shape, shape))
    _require(common is not None and _same_shape(common, shape), "the value does not fit its place")
    return base.type


def _linalg(node: Node) -> ArrayType:
    op, params = node.op, node.params
    assert isinstance(op, LinAlg)
    if not isinstance(params, LinAlgParams):
        raise _Broken(f"a matrix function with {params!r}")
    _require(0 <= params.result < len(op.results), f"{op.name} has no result {params.result}")
    try:
        return result_types(op, node.inputs)[params.result]
    except GraphError as error:
        raise _Broken(str(error)) from None


def _search(node: Node) -> ArrayType:
    op, params = node.op, node.params
    assert isinstance(op, Search)
    if not isinstance(params, SearchParams):
        raise _Broken(f"a search with {params!r}")
    shapes = [x.type.shape for x in node.inputs]
    matrices = len(shapes) == 2 and all(len(shape) == 2 for shape in shapes)
    fits = matrices and same_size(shapes[0][1], shapes[1][1]) is not False
    _require(fits, "it takes two matrices with rows of one length")
    dtypes = {x.type.dtype for x in node.inputs}
    _require(len(dtypes) == 1 and dtypes <= FLOATING, "operands of one floating dtype")
    return result_type(op, params.result, params.count, node.inputs[0].type.dtype)


def _loop(node: Node) -> ArrayType:
    params = node.params
    if not isinstance(params, LoopParams):
        raise _Broken(f"a loop with {params!r}")
    steps = params.steps
    body = steps.body
    _require(len(node.inputs) == len(body.inputs), "as many operands as a step has")
    for k, (x, inside) in enumerate(zip(node.inputs, body.inputs, strict=True)):
        shape = (steps.count, *inside.type.shape) if k < steps.rows else inside.type.shape
        fits = x.type == array_type(inside.type.dtype, shape)
        _require(fits, f"operand {k} is {x.type}, a step's {inside.type}")
    for k, result in enumerate(steps.carried):
        given, found = body.inputs[steps.rows + k].type, body.outputs[result][1].type
        _require(given == found, f"what is carried on is {given}, then {found}")
    type = body.outputs[params.result][1].type
    return array_type(type.dtype, (steps.length(params.result), *type.shape))


def _primitive(node: Node) -> ArrayType | None:
    params = node.params
    if not isinstance(params, PrimitiveCall):
        raise _Broken(f"a primitive with params {params!r}")
    if params.part == "saved":
        _require(
            len(node.inputs) == 1 and node.inputs[0].op is node.op,
            "what a primitive saves comes from its own forward node",
        )
    if params.part != "backward":
        return None
    _require(len(node.inputs) == 2 and _is_saved(node.inputs[0]), "backward takes what was saved")
    forward = node.inputs[0].inputs[0]
    _require(params.operand < len(forward.inputs), f"no operand {params.operand}")
    return forward.inputs[params.operand].type


RULES: Mapping[type, Callable[[Node], ArrayType | None]] = {
    Leaf: _leaf,
    Elementwise: _elementwise,
    Contraction: _contraction,
    Reduction: _reduction,
    Layout: _layout,
    Gather: _gather,
    Scatter: _scatter,
    LinAlg: _linalg,
    Search: _search,
    Loop: _loop,
    Primitive: _primitive,
}
