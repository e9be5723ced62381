"""Adjoints that no formula gives: moving, picking and folding elements. Each states its reason."""

from __future__ import annotations

from collections.abc import Mapping

from codegen.program import Broadcast, Diagonal, Reshape, Slice, Transpose
from graphc import nodes
from graphc.adjoints.extremes import extremum, extremum_so_far
from graphc.adjoints.products import product, running_product
from graphc.adjoints.rule import Contributions, flip, kept, unbroadcast
from graphc.errors import GraphTypeError, located
from graphc.ir import Node
from graphc.ops.kinds import (
    Axes,
    Concatenate,
    Contraction,
    Einstein,
    Indexing,
    Pad,
    Place,
    Primitive,
    PrimitiveCall,
    Reduction,
)
from graphc.types import Shape, Size, array_type

# What is stated here, with the reason why no formula of numbers or indices gives it.
BY_HAND: Mapping[str, str] = {
    "max": "picks elements: which, their values say; equal ones share the cotangent evenly",
    "min": "picks elements: which, their values say; equal ones share the cotangent evenly",
    "prod": "multiplies as many factors as there are elements, the others without a division",
    "cumsum": "sums over a range whose end moves: the same sum from the other end",
    "cumprod": "multiplies over a range whose end moves, without a division",
    "cummax": "picks elements: which, the values so far say; equal ones share the cotangent evenly",
    "cummin": "picks elements: which, the values so far say; equal ones share the cotangent evenly",
    "reshape": "moves elements, each to the place of the same number",
    "transpose": "moves elements, axes and all",
    "broadcast": "repeats elements: their cotangents add up",
    "slice": "picks elements by their places",
    "place": "moves elements to a region of zeros",
    "pad": "moves elements into a frame of constants",
    "diagonal": "picks elements by their places",
    "concatenate": "moves elements of several operands side by side",
    "gather": "picks elements by indices that are data: positions that repeat add up",
    "scatter": "moves elements by indices that are data: what is set twice has the last value",
}


def reduction(node: Node, d: Node, active: set[Node], absorb: bool) -> Contributions:
    op, params = node.op, node.params
    assert isinstance(op, Reduction)
    assert isinstance(params, Axes)
    x = node.inputs[0]
    if x not in active or not op.differentiable:
        return
    match op.name:
        case "max" | "min":
            yield x, extremum(node, d, params)
        case "prod":
            yield x, product(node, kept(node, d, params), params)
        case "cumsum":
            axis = params.axes[0]
            yield x, flip(nodes.reduction("cumsum", flip(d, axis), (axis,)), axis)
        case "cummax" | "cummin":
            yield x, extremum_so_far(node, d, params.axes[0])
        case "cumprod":
            yield x, running_product(node, d, params.axes[0])
        case _:
            raise GraphTypeError(
                located(f"{op.name} of {nodes.describe(x)} has no derivative here")
            )


def layout(node: Node, d: Node, active: set[Node], absorb: bool) -> Contributions:
    """Moving elements: the cotangents move back, and add up where one element was repeated."""
    x = node.inputs[0]
    shape = x.type.shape
    match node.params:
        case Reshape():
            yield x, nodes.reshape(d, shape)
        case Transpose(axes):
            yield x, nodes.transpose(d, tuple(axes.index(k) for k in range(len(axes))))
        case Broadcast():
            yield x, unbroadcast(d, shape)
        case Slice() as region:
            yield x, nodes.place(d, region, shape)
        case Place(region, _):
            yield x, nodes.slice_(d, region.starts, region.sizes, region.steps)
        case Pad(widths, _):
            yield (
                x,
                nodes.slice_(d, tuple(before for before, _ in widths), shape, (1,) * len(shape)),
            )
        case Diagonal(offset, axis1, axis2):
            yield x, _diagonal(d, offset, axis1, axis2, shape)
        case Concatenate(axis):
            start: Size = 0
            for operand in node.inputs:
                own = operand.type.shape
                if operand in active:
                    starts = tuple(start if k == axis else 0 for k in range(len(own)))
                    yield operand, nodes.slice_(d, starts, own, (1,) * len(own))
                start = start + own[axis]
        case params:
            raise AssertionError(f"a layout with params {params}")


def _diagonal(d: Node, offset: int, axis1: int, axis2: int, shape: Shape) -> Node:
    """d on the diagonal of a square, which is placed where the diagonal was read."""
    length = d.type.shape[-1]
    names = [f"i{k}" for k in range(len(shape))]
    names[axis1] = names[axis2] = "d"
    rest = [nodes.index(names[k]) for k in range(len(shape)) if k not in (axis1, axis2)]
    square = tuple(length if k in (axis1, axis2) else size for k, size in enumerate(shape))
    extents = tuple((at.index or "", shape[names.index(at.index or "")]) for at in rest)
    params = Einstein(
        tuple(map(nodes.index, names)),
        ((*rest, nodes.index("d")),),
        (*extents, ("d", length)),
        square,
    )
    onto = nodes.contraction(Contraction("diagonal_adjoint"), params, d)
    starts = [0] * len(shape)
    starts[axis1], starts[axis2] = max(0, -offset), max(0, offset)
    region = Slice(tuple(starts), square, (1,) * len(shape))
    return onto if square == shape else nodes.place(onto, region, shape)


def gather(node: Node, d: Node, active: set[Node], absorb: bool) -> Contributions:
    """Reading at positions: the cotangents are added at the same positions."""
    x, *indices = node.inputs
    assert isinstance(node.params, Indexing)
    if x in active:
        yield (
            x,
            nodes.scatter(
                nodes.zeros(x.type), d, indices, node.params.axes, "add", node.params.unique
            ),
        )


def scatter(node: Node, d: Node, active: set[Node], absorb: bool) -> Contributions:
    """Adding at positions: the base's cotangent passes, the value's is read there.

    Setting at positions: the base's cotangent is cleared there; where positions repeat, the value
    that was set last has the cotangent.
    """
    base, value, *indices = node.inputs
    params = node.params
    assert isinstance(params, Indexing)
    if base in active:
        if params.mode == "add":
            yield base, d
        else:
            yield (
                base,
                nodes.scatter(d, nodes.constant(0, d.type.dtype), indices, params.axes, "set"),
            )
    if value in active:
        read = nodes.gather(d, indices, params.axes)
        if params.mode == "set" and not params.unique:
            read = _of_the_last(read, base, indices, params)
        yield value, unbroadcast(read, value.type.shape)


def _of_the_last(d: Node, base: Node, indices: list[Node], params: Indexing) -> Node:
    """d where a value stayed: of those that were set at one position only the last did."""
    shape = d.type.shape
    numbers = nodes.reshape(nodes.arange(d.type.size), shape)
    blank = nodes.zeros(array_type("i64", base.type.shape))
    kept = nodes.scatter(blank, numbers, indices, params.axes, "set")
    stayed = nodes.elementwise("equal", nodes.gather(kept, indices, params.axes), numbers)
    return nodes.elementwise("where", stayed, d, nodes.constant(0, d.type.dtype))


def primitive(node: Node, d: Node, active: set[Node], absorb: bool) -> Contributions:
    op = node.op
    assert isinstance(op, Primitive)
    assert isinstance(node.params, PrimitiveCall)
    if node.params.part != "forward":
        raise GraphTypeError(
            located(f"{op.name}: the VJP of a primitive cannot be differentiated again")
        )
    if op.backward is None:
        raise GraphTypeError(located(f"{op.name} has no VJP; state one with @{op.name}.vjp"))
    saved = nodes.node(op, (node,), PrimitiveCall("saved"), array_type("opaque", ()))
    for k, operand in enumerate(node.inputs):
        if operand in active:
            yield operand, nodes.node(op, (saved, d), PrimitiveCall("backward", k), operand.type)
