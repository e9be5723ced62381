"""Pooling and normalisation over windows: index notation, and a fold over the windows' places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from codegen.program import Affine
from graphc import nodes
from graphc.convolution import Widths, bare, count_places, pad_widths, per_axis, sized
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.nn import apply
from graphc.ops.kinds import Contraction, Einstein
from graphc.types import Shape, Size

WINDOWS = Contraction("windows")
AVERAGE = Contraction("window_sum")
NEIGHBOURS = Contraction("neighbour_sum")


def max_pool(x: Any, size: Any, *, stride: Any = None, padding: Any = 0) -> Any:
    """The largest element of every window of x [n, c, *space].

    size, stride: an int or one an axis of space; the stride is the size unless given, and windows
    overlap where it is less. padding: as for `conv`; what lies outside is never the largest.
    Where several elements of a window are the largest, its cotangent splits evenly among them.
    """
    return apply(lambda node: max_pool_node(node, size, stride, padding), x)


def avg_pool(x: Any, size: Any, *, stride: Any = None, padding: Any = 0) -> Any:
    """The mean of every window of x [n, c, *space], the padding's zeros counted.

    size, stride, padding: as for `max_pool`.
    """
    return apply(lambda node: avg_pool_node(node, size, stride, padding), x)


def local_response_norm(
    x: Any, size: int = 5, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0
) -> Any:
    """x over (k + alpha * sum of x^2 over `size` neighbouring channels)^beta; x is [n, c, ...].

    Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
    networks" (2012), section 3.3, whose constants are the defaults. At the ends there are fewer
    neighbours.
    """
    return apply(lambda node: response_node(node, size, alpha, beta, k), x)


def max_pool_node(x: Node, size: Any, stride: Any = None, padding: Any = 0) -> Node:
    """The node of `max_pool`."""
    what = f"max_pool: x {nodes.describe(x)}"
    kernel, steps, widths = _windows(x, size, stride, padding, what)
    if any(max(width) >= k for width, k in zip(widths, kernel, strict=True)):
        raise GraphValueError(
            located(f"{what}: padding {padding!r} is no less than the window: some would be empty")
        )
    if any(width != (0, 0) for width in widths):
        lowest = -np.inf if x.type.floating else float(np.iinfo(_dtype(x)).min)
        x = nodes.pad(x, [(0, 0), (0, 0), *widths], lowest)
    places = _places(x.type.shape[2:], kernel, steps, ((0, 0),) * len(kernel), what)
    shifted = _shifted(steps, (0,) * len(kernel))
    # The window's own axes come first: NumPy folds leading axes by whole arrays.
    out = (*bare("k", len(kernel)), *bare("b", 2), *bare("i", len(kernel)))
    lead = x.type.shape[:2]
    extents = (*sized("k", kernel), *sized("b", lead), *sized("i", places))
    params = Einstein(out, ((*bare("b", 2), *shifted),), extents, (*kernel, *lead, *places))
    windows = nodes.contraction(WINDOWS, params, x)
    return nodes.reduction("max", windows, tuple(range(len(kernel))))


def avg_pool_node(x: Node, size: Any, stride: Any = None, padding: Any = 0) -> Node:
    """The node of `avg_pool`."""
    what = f"avg_pool: x {nodes.describe(x)}"
    kernel, steps, widths = _windows(x, size, stride, padding, what)
    x = x if x.type.floating else nodes.cast(x, "f64")
    places = _places(x.type.shape[2:], kernel, steps, widths, what)
    shifted = _shifted(steps, [before for before, _ in widths])
    lead = x.type.shape[:2]
    extents = (*sized("b", lead), *sized("i", places), *sized("k", kernel))
    params = Einstein(
        (*bare("b", 2), *bare("i", len(kernel))),
        ((*bare("b", 2), *shifted),),
        extents,
        (*lead, *places),
    )
    total = nodes.contraction(AVERAGE, params, x)
    count = nodes.constant(int(np.prod(kernel)), x.type.dtype)
    return nodes.elementwise("divide", total, count)


def response_node(x: Node, size: Any, alpha: float, beta: float, k: float) -> Node:
    """The node of `local_response_norm`."""
    what = f"local_response_norm: x {nodes.describe(x)}"
    if x.type.ndim < 2:
        raise GraphValueError(located(f"{what}: x is [batch, channels, ...]"))
    (width,) = per_axis(size, 1, "size", what)
    x = x if x.type.floating else nodes.cast(x, "f64")
    shape, dtype = x.type.shape, x.type.dtype
    names = list(bare("b", len(shape)))
    near = list(names)
    near[1] = Affine((("b1", 1), ("k", 1)), -(width // 2))
    params = Einstein(tuple(names), (tuple(near),), (*sized("b", shape), ("k", width)), shape)
    total = nodes.contraction(NEIGHBOURS, params, nodes.elementwise("square", x))
    scale = nodes.multiply(total, nodes.constant(alpha, dtype))
    scale = nodes.add(scale, nodes.constant(k, dtype))
    power = nodes.elementwise("power", scale, nodes.constant(-beta, dtype))
    return nodes.multiply(x, power)


def _windows(
    x: Node, size: Any, stride: Any, padding: Any, what: str
) -> tuple[tuple[int, ...], tuple[int, ...], Widths]:
    rank = x.type.ndim - 2
    if rank < 1:
        raise GraphValueError(located(f"{what}: x is [batch, channels, *space]"))
    if x.type.dtype == "bool":
        raise GraphTypeError(located(f"{what}: bool has no windows to fold; use .astype"))
    kernel = per_axis(size, rank, "size", what)
    steps = kernel if stride is None else per_axis(stride, rank, "stride", what)
    return kernel, steps, pad_widths(padding, kernel, (1,) * rank, steps, rank, what)


def _places(
    space: Shape, kernel: Sequence[int], steps: Sequence[int], widths: Widths, what: str
) -> tuple[Size, ...]:
    return tuple(
        count_places(size, k, step, 1, width, what)
        for size, k, step, width in zip(space, kernel, steps, widths, strict=True)
    )


def _shifted(steps: Sequence[int], before: Sequence[int]) -> tuple[Affine, ...]:
    return tuple(
        Affine(((f"i{axis}", step), (f"k{axis}", 1)), -width)
        for axis, (step, width) in enumerate(zip(steps, before, strict=True))
    )


def _dtype(x: Node) -> Any:
    from graphc.types import DTYPES

    return DTYPES[x.type.dtype]
