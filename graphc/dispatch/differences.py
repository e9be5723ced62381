"""NumPy functions of neighbours: differences, integrals, interpolation, convolution, powers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from codegen.program import Affine
from graphc import nodes
from graphc.dispatch.options import flat, flipped, floating, given, one_axis, part
from graphc.dispatch.registry import implements
from graphc.dispatch.sorting import places_in
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.lifting import Symbolic, lift, lift_all
from graphc.ops.kinds import Contraction, Einstein
from graphc.types import Size, array_type, promote, same_size, size_max, size_min

CORRELATE = Contraction("correlate")


def _step(x: Node, axis: int, reach: int = 1) -> Node:
    """x[k + reach] - x[k] along an axis."""
    rest = x.type.shape[axis] - reach
    if isinstance(rest, int) and rest < 0:
        rest = 0
    later, earlier = part(x, axis, reach if rest != 0 else 0, rest), part(x, axis, 0, rest)
    op = "not_equal" if x.type.dtype == "bool" else "subtract"
    return nodes.elementwise(op, later, earlier)


@implements(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Node:
    x = lift(a)
    place = one_axis(axis, x.type.ndim, f"np.diff: {nodes.describe(x)}")
    if n < 0:
        raise GraphValueError(located(f"np.diff: n={n} is negative"))
    if n:
        alone = tuple(1 if k == place else size for k, size in enumerate(x.type.shape))
        ends = [lift(end) if given(end) else None for end in (prepend, append)]
        wide = [
            end if end is None or end.type.ndim else nodes.broadcast_to(end, alone) for end in ends
        ]
        x = nodes.concatenate([end for end in (wide[0], x, wide[1]) if end is not None], place)
    for _ in range(n):
        x = _step(x, place)
    return x


def _numbers(x: Node, function: str) -> Node:
    if x.type.dtype == "bool":
        raise GraphTypeError(
            located(f"{function}: {nodes.describe(x)}: NumPy subtracts no bools; .astype('i64')")
        )
    return x


@implements(np.ediff1d)
def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Node:
    x = flat(_numbers(lift(ary), "np.ediff1d"))
    parts = [_step(x, 0)]
    if to_begin is not None:
        parts.insert(0, flat(nodes.cast(lift(to_begin), x.type.dtype)))
    if to_end is not None:
        parts.append(flat(nodes.cast(lift(to_end), x.type.dtype)))
    return nodes.concatenate(parts, 0)


@implements(np.trapezoid)
def trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Node:
    node = lift(y)
    place = one_axis(axis, node.type.ndim, f"np.trapezoid: {nodes.describe(node)}")
    if x is None:
        width = lift_all((Symbolic(floating(node)), dx))[1]
    else:
        along = lift(x)
        if along.type.ndim == 1:
            width = _step(along, 0)
            alone = [1] * node.type.ndim
            width = nodes.reshape(width, (*alone[:place], width.type.shape[0], *alone[place + 1 :]))
        else:
            width = _step(along, one_axis(axis, along.type.ndim, "np.trapezoid"))
    rest = node.type.shape[place] - 1
    pairs = nodes.add(part(node, place, 1, rest), part(node, place, 0, rest))
    area = floating(nodes.multiply(width, pairs))
    halved = nodes.elementwise("divide", area, nodes.constant(2, area.type.dtype))
    return nodes.sum_(halved, (place,))


@implements(np.gradient)
def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    x = floating(_numbers(lift(f), "np.gradient"))
    what = f"np.gradient: {nodes.describe(x)}"
    ndim = x.type.ndim
    listed = axis if isinstance(axis, tuple | list) else (axis,)
    axes = range(ndim) if axis is None else [one_axis(k, ndim, what) for k in listed]
    if edge_order not in (1, 2):
        raise GraphValueError(located(f"{what}: edge_order={edge_order} is neither 1 nor 2"))
    spacings = list(varargs) or [1.0]
    if len(spacings) == 1 and np.ndim(_shape_of(spacings[0])) == 0:
        spacings *= len(axes)
    if len(spacings) != len(axes):
        raise GraphValueError(located(f"{what}: {len(spacings)} spacings for {len(axes)} axes"))
    found = [
        _slope(x, place, spacing, edge_order, what)
        for place, spacing in zip(axes, spacings, strict=True)
    ]
    return found[0] if len(found) == 1 else tuple(found)


def _shape_of(value: Any) -> Any:
    return (
        0
        if (isinstance(value, Symbolic) and not value.node.type.ndim)
        else ([0] if isinstance(value, Symbolic) else value)
    )


def _slope(x: Node, axis: int, spacing: Any, edge_order: int, what: str) -> Node:
    """Central differences inside, one-sided ones at both ends."""
    size = x.type.shape[axis]
    if isinstance(size, int) and size < edge_order + 1:
        raise GraphValueError(
            located(f"{what}: axis {axis} needs {edge_order + 1} elements, it has {size}")
        )
    h = lift_all((Symbolic(x), spacing))[1]
    inner = size - 2
    if h.type.ndim:
        steps = _step(h, 0)
        alone = [1] * x.type.ndim
        steps = nodes.reshape(steps, (*alone[:axis], size - 1, *alone[axis + 1 :]))
    else:
        alone = [1] * x.type.ndim
        wide = (*alone[:axis], size - 1, *alone[axis + 1 :])
        steps = nodes.broadcast_to(nodes.reshape(h, tuple(alone)), wide)
    steps = nodes.cast(steps, x.type.dtype) if not steps.type.floating else steps
    before, after = part(steps, axis, 0, inner), part(steps, axis, 1, inner)
    slopes = nodes.elementwise("divide", _step(x, axis), steps)
    # The slope at a point is that of its two sides, each weighted by the width of the other.
    both = nodes.add(before, after)
    left = nodes.multiply(part(slopes, axis, 0, inner), nodes.elementwise("divide", after, both))
    right = nodes.multiply(part(slopes, axis, 1, inner), nodes.elementwise("divide", before, both))
    # Of a named size there may be too few elements at a call, which the reshape has checked there.
    some = 1 if isinstance(size, int) else size_min(1, size_max(0, size - edge_order))
    shape = slopes.type.shape
    first = nodes.reshape(part(slopes, axis, 0, some), (*shape[:axis], 1, *shape[axis + 1 :]))
    last = part(slopes, axis, size - 2, 1)
    if edge_order == 2:
        first = _parabola(first, slopes, steps, axis, 0, 1)
        last = _parabola(last, slopes, steps, axis, size - 2, size - 3)
    whole = nodes.concatenate([first, nodes.add(left, right), last], axis)
    return nodes.cast(whole, x.type.dtype)


def _parabola(slope: Node, slopes: Node, steps: Node, axis: int, near: Size, far: Size) -> Node:
    """The slope at an end of the parabola through the three points there.

    slope: that of the last two of them, `slopes` at `near`.
    """
    other = part(slopes, axis, far, 1)
    own, next_ = part(steps, axis, near, 1), part(steps, axis, far, 1)
    bend = nodes.elementwise("divide", own, nodes.add(own, next_))
    change = nodes.elementwise("subtract", slope, other)
    return nodes.add(slope, nodes.multiply(change, bend))


@implements(np.interp)
def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Node:
    """Linear between the points, constant outside; by x, by the points and by their values.

    At a point itself the slope is that of the segment to its right.
    """
    value, points, heights = (nodes.cast(node, "f64") for node in map(lift, (x, xp, fp)))
    if points.type.ndim != 1 or heights.type.ndim != 1:
        raise GraphValueError(located("np.interp: the points xp and their values fp are vectors"))
    size = points.type.shape[0]
    if same_size(size, heights.type.shape[0]) is False or size == 0:
        raise GraphValueError(
            located(
                f"np.interp: points {nodes.describe(points)} and values {nodes.describe(heights)} "
                "differ in size, or there are none"
            )
        )
    if period is not None:
        value, points, heights = _periodic(value, points, heights, period)
        size, left, right = size + 2, None, None
    last = nodes.size(size - 1)
    one, zero = nodes.constant(1, "i64"), nodes.constant(0, "i64")
    place = nodes.elementwise("subtract", places_in(points, value, right=True), one)
    top = nodes.elementwise("maximum", nodes.elementwise("subtract", last, one), zero)
    place = nodes.elementwise("minimum", nodes.elementwise("maximum", place, zero), top)
    after = nodes.elementwise("minimum", nodes.add(place, one), last)
    x0, x1, y0, y1 = (
        nodes.gather(source, (at,), (True,))
        for source in (points, heights)
        for at in (place, after)
    )
    width = nodes.elementwise("subtract", x1, x0)
    flat_ = nodes.elementwise("equal", width, nodes.constant(0.0))
    width = nodes.elementwise("where", flat_, nodes.constant(1.0), width)
    slope = nodes.elementwise("divide", nodes.elementwise("subtract", y1, y0), width)
    inside = nodes.add(nodes.multiply(slope, nodes.elementwise("subtract", value, x0)), y0)
    ends = []
    for at, beyond_it in ((0, left), (size - 1, right)):
        end = part(heights, 0, at, 1) if beyond_it is None else nodes.cast(lift(beyond_it), "f64")
        ends.append(nodes.reshape(end, ()))
    low, high = (nodes.reshape(part(points, 0, at, 1), ()) for at in (0, size - 1))
    result = nodes.elementwise("where", nodes.elementwise("less", value, low), ends[0], inside)
    if right is None:
        beyond = nodes.elementwise("greater_equal", value, high)
    else:
        beyond = nodes.elementwise("greater", value, high)
    return nodes.elementwise("where", beyond, ends[1], result)


def _periodic(value: Node, points: Node, heights: Node, period: Any) -> tuple[Node, Node, Node]:
    """All of them within one period, sorted, and one more point beyond each end."""
    length = nodes.cast(lift(period), "f64")
    if length.type.ndim or (not isinstance(period, Symbolic) and period == 0):
        raise GraphValueError(located("np.interp: the period is a number, and not 0"))
    length = nodes.elementwise("absolute", length)
    value, points = (nodes.elementwise("remainder", node, length) for node in (value, points))
    order = nodes.reduction("argsort", points, (0,))
    points, heights = (nodes.gather(x, (order,), (True,), True) for x in (points, heights))
    end = points.type.shape[0] - 1
    before = nodes.elementwise("subtract", part(points, 0, end, 1), length)
    after = nodes.add(part(points, 0, 0, 1), length)
    points = nodes.concatenate([before, points, after], 0)
    heights = nodes.concatenate([part(heights, 0, end, 1), heights, part(heights, 0, 0, 1)], 0)
    return value, points, heights


# -- convolution -----------------------------------------------------------------------------------


@implements(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Node:
    x, kernel = lift_all((a, v))
    if _longer(kernel, x, "np.convolve", mode):
        x, kernel = kernel, x
    return _correlated(x, flipped(kernel, 0), mode, "np.convolve")


@implements(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Node:
    x, kernel = lift_all((a, v))
    if _longer(kernel, x, "np.correlate", mode):
        return flipped(_correlated(kernel, x, mode, "np.correlate"), 0)
    return _correlated(x, kernel, mode, "np.correlate")


def _longer(a: Node, b: Node, function: str, mode: str) -> bool:
    for node in (a, b):
        if node.type.ndim != 1 or node.type.shape[0] == 0:
            raise GraphValueError(
                located(f"{function}: {nodes.describe(node)} is no vector, or it is empty")
            )
    first, second = a.type.shape[0], b.type.shape[0]
    if isinstance(first, int) and isinstance(second, int):
        return first > second
    if mode != "full" and first != second:
        raise GraphValueError(
            located(
                f"{function}: which of {nodes.describe(b)} and {nodes.describe(a)} is longer is "
                "not known yet; use mode='full', and slice"
            )
        )
    return False


def _correlated(x: Node, kernel: Node, mode: str, function: str) -> Node:
    """sum over j of x[k + j] kernel[j], at the positions k that the mode takes."""
    size, width = x.type.shape[0], kernel.type.shape[0]
    if mode not in ("full", "same", "valid"):
        raise GraphValueError(located(f"{function}: mode={mode!r} is not full, same or valid"))
    before: Size = 0
    after: Size = 0
    if mode == "full":
        before = after = width - 1
    elif mode == "same":
        before, after = width // 2, width - 1 - width // 2
    wide = nodes.pad(x, [(before, after)])
    length = size + before + after - (width - 1)
    at = Affine((("k", 1), ("j", 1)))
    params = Einstein(
        (nodes.index("k"),), ((at,), (nodes.index("j"),)), (("k", length), ("j", width)), (length,)
    )
    return nodes.contraction(CORRELATE, params, wide, kernel)


# -- polynomials -----------------------------------------------------------------------------------


@implements(np.polyval)
def polyval(p: Any, x: Any) -> Node:
    """Horner's scheme, the highest power first."""
    coefficients, at = lift(p), lift(x)
    powers = coefficients.type.shape[0] if coefficients.type.ndim == 1 else None
    if not isinstance(powers, int):
        raise GraphValueError(
            located(f"np.polyval: {nodes.describe(coefficients)} is no vector of a known size")
        )
    result = nodes.full(at.type, 0)
    for k in range(powers):
        coefficient = nodes.reshape(part(coefficients, 0, k, 1), ())
        result = nodes.add(nodes.multiply(result, at), coefficient)
    return result


def _aligned(a: Any, b: Any) -> tuple[Node, Node]:
    """Two polynomials' coefficients at one length, the higher powers zero."""
    x, y = lift_all((a, b))
    x, y = (nodes.reshape(p, (1,)) if not p.type.ndim else p for p in (x, y))
    sizes = [p.type.shape[0] for p in (x, y)]
    if not all(isinstance(size, int) for size in sizes):
        raise GraphValueError(located("polynomials need a known number of coefficients"))
    longest = size_max(*sizes)
    x, y = (nodes.pad(p, [(longest - p.type.shape[0], 0)]) for p in (x, y))
    return x, y


@implements(np.polyadd)
def polyadd(a1: Any, a2: Any) -> Node:
    return nodes.add(*_aligned(a1, a2))


@implements(np.polysub)
def polysub(a1: Any, a2: Any) -> Node:
    return nodes.elementwise("subtract", *_aligned(a1, a2))


@implements(np.polyder)
def polyder(p: Any, m: int = 1) -> Node:
    x = lift(p)
    for _ in range(m):
        size = x.type.shape[0]
        powers = flipped(nodes.arange(size), 0)
        x = part(nodes.multiply(x, powers), 0, 0, size - 1)
    return x


@implements(np.vander)
def vander(x: Any, N: Any = None, increasing: bool = False) -> Node:
    node = lift(x)
    node = nodes.cast(node, promote(node.type.dtype, "i64"))
    count = node.type.shape[0] if N is None and node.type.ndim == 1 else N
    if node.type.ndim != 1 or not isinstance(count, int | np.integer):
        raise GraphValueError(
            located(f"np.vander: {nodes.describe(node)}: a vector, and a known number of columns N")
        )
    if count == 0:
        return nodes.full(array_type(node.type.dtype, (node.type.size, 0)), 0)
    columns: list[Node] = []
    for _ in range(int(count)):
        columns.append(nodes.multiply(columns[-1], node) if columns else nodes.full(node.type, 1))
    ordered: Sequence[Node] = columns if increasing else columns[::-1]
    return nodes.concatenate([nodes.expand_dims(column, 1) for column in ordered], 1)


@implements(np.unwrap)
def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * np.pi) -> Node:
    """Jumps of more than half a period are taken out; they are steps, so the gradient is 1."""
    x = floating(lift(p))
    place = one_axis(axis, x.type.ndim, f"np.unwrap: {nodes.describe(x)}")
    if x.type.shape[place] == 0:
        return x
    dtype = x.type.dtype
    whole, half = nodes.constant(period, dtype), nodes.constant(period / 2, dtype)
    steps = _step(x, place)
    turned = nodes.elementwise(
        "subtract", nodes.elementwise("remainder", nodes.add(steps, half), whole), half
    )
    low = nodes.elementwise("equal", turned, nodes.elementwise("negative", half))
    rising = nodes.elementwise("greater", steps, nodes.constant(0, dtype))
    turned = nodes.elementwise("where", nodes.elementwise("logical_and", low, rising), half, turned)
    correction = nodes.elementwise("subtract", turned, steps)
    limit = nodes.constant(max(period / 2, discont or 0), dtype)
    small = nodes.elementwise("less", nodes.elementwise("absolute", steps), limit)
    correction = nodes.elementwise("where", small, nodes.constant(0, dtype), correction)
    # What is taken out is a number of whole periods: it has no gradient.
    total = nodes.elementwise("stop_gradient", nodes.reduction("cumsum", correction, (place,)))
    rest = x.type.shape[place] - 1
    first = part(x, place, 0, 1)
    return nodes.concatenate([first, nodes.add(part(x, place, 1, rest), total)], place)
