"""Convolution as index notation: y[n,o,i] = sum over c, k of x[n,c,stride*i+dilation*k-p] W[o,c,k].

Batch first, then channels, then space, in any number of dimensions. "Convolution" is what networks
call so, a correlation: the kernel is not flipped. The formula is the whole definition: its
derivatives follow by exchanging the roles of y with x or W, and a transposed convolution is the
exchange itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from codegen.program import Affine
from graphc import nodes
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.nn import apply
from graphc.ops.kinds import Contraction, Einstein
from graphc.types import Shape, Size, broadcast, floordiv, same_size, size_text

Widths = tuple[tuple[int, int], ...]

CONV = Contraction("conv")
CONV_TRANSPOSE = Contraction("conv_transpose")
CIRCULAR = Contraction("circular_convolution")


def conv(
    x: Any, W: Any, *, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """x [n, c, *space] with the kernels W [o, c // groups, *kernel]: [n, o, *places].

    stride, dilation: an int, or one an axis of space. padding: zeros around x: an int, one an axis,
        a pair (before, after) an axis, "valid" for none, or "same" for as many places as
        x has positions (stride 1), the odd zero behind.
    groups: channels and kernels in so many groups that do not see each other.

    An axis of space has (size + before + after - dilation * (kernel - 1) - 1) // stride + 1 places.
    Raises GraphValueError where the channels do not fit or no place is left.
    """
    return apply(lambda a, b: conv_node(a, b, stride, padding, dilation, groups), x, W)


def conv1d(x: Any, W: Any, **options: Any) -> Any:
    """`conv` over one axis: x [n, c, length], W [o, c // groups, k]."""
    return apply(lambda a, b: conv_node(_of_rank(a, 1, "conv1d"), b, **options), x, W)


def conv2d(x: Any, W: Any, **options: Any) -> Any:
    """`conv` over images: x [n, c, height, width], W [o, c // groups, kh, kw]."""
    return apply(lambda a, b: conv_node(_of_rank(a, 2, "conv2d"), b, **options), x, W)


def conv3d(x: Any, W: Any, **options: Any) -> Any:
    """`conv` over volumes: x [n, c, depth, height, width], W [o, c // groups, kd, kh, kw]."""
    return apply(lambda a, b: conv_node(_of_rank(a, 3, "conv3d"), b, **options), x, W)


def conv_transpose(
    x: Any,
    W: Any,
    *,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """The adjoint of `conv`: x [n, c, *space], W [c, o // groups, *kernel] give [n, o, *wide].

    padding: as much is cut from each end of what the kernels reach; output_padding: zeros behind.
    An axis of space becomes (size - 1) * stride + dilation * (kernel - 1) + 1 - before - after +
    output_padding wide.
    """
    return apply(
        lambda a, b: conv_transpose_node(a, b, stride, padding, output_padding, dilation, groups),
        x,
        W,
    )


def circular_convolution(w: Any, s: Any) -> Any:
    """y[..., i] = sum over j of w[..., i - j] s[..., j], positions counted round the circle.

    The last axes are the circles and have one size; leading axes are shared or broadcast. A shift
    of few places is the same with the other places of `s` zero.
    """
    return apply(circular_node, w, s)


# -- nodes -----------------------------------------------------------------------------------------


def conv_node(
    x: Node, W: Node, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1
) -> Node:
    """The node of `conv`."""
    what = f"conv: x {nodes.describe(x)} with W {nodes.describe(W)}"
    rank = _rank(x, W, what)
    groups = _groups(groups, what)
    (batch, channels), space = x.type.shape[:2], x.type.shape[2:]
    (kernels, depth), kernel = W.type.shape[:2], W.type.shape[2:]
    if same_size(depth * groups, channels) is not True:
        raise GraphValueError(
            located(
                f"{what}: W has {size_text(depth)} channels for {groups} group(s) of "
                f"x's {size_text(channels)}; it should be [o, channels // {groups}, ...]"
            )
        )
    if not isinstance(kernels, int) or kernels % groups:
        raise GraphValueError(
            located(f"{what}: {size_text(kernels)} kernels do not divide into {groups} groups")
        )
    steps, gaps = per_axis(stride, rank, "stride", what), per_axis(dilation, rank, "dilation", what)
    widths = pad_widths(padding, kernel, gaps, steps, rank, what)
    places = tuple(
        count_places(size, k, step, gap, width, what)
        for size, k, step, gap, width in zip(space, kernel, steps, gaps, widths, strict=True)
    )
    at_x = _moved(steps, gaps, widths)
    at_W, at_y = bare("k", rank), bare("i", rank)
    if depth == 1 and kernels == groups:
        # A kernel for each channel: a group has no channels to sum over, nor kernels to tell apart.
        n, g = nodes.index("n"), nodes.index("g")
        extents = (("n", batch), ("g", groups), *sized("i", places), *sized("k", kernel))
        filters = nodes.reshape(W, (groups, *kernel))
        shape = (batch, groups, *places)
        params = Einstein((n, g, *at_y), ((n, g, *at_x), (g, *at_W)), extents, shape)
        return nodes.contraction(CONV, params, x, filters)
    extents = (("n", batch), *_group_extent(groups), ("o", kernels // groups))
    extents += (*sized("i", places), ("c", depth), *sized("k", kernel))
    x, W = _split(x, 1, groups), _split(W, 0, groups)
    group = _bare_group(groups)
    n, o, c = nodes.index("n"), nodes.index("o"), nodes.index("c")
    out_shape = (batch, *_group_shape(groups), kernels // groups, *places)
    params = Einstein(
        (n, *group, o, *at_y), ((n, *group, c, *at_x), (*group, o, c, *at_W)), extents, out_shape
    )
    y = nodes.contraction(CONV, params, x, W)
    return nodes.reshape(y, (batch, kernels, *places))


def conv_transpose_node(
    x: Node,
    W: Node,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    groups: Any = 1,
) -> Node:
    """The node of `conv_transpose`: the index formula of `conv` with x in the place of y."""
    what = f"conv_transpose: x {nodes.describe(x)} with W {nodes.describe(W)}"
    rank = _rank(x, W, what)
    groups = _groups(groups, what)
    (batch, channels), space = x.type.shape[:2], x.type.shape[2:]
    (rows, depth), kernel = W.type.shape[:2], W.type.shape[2:]
    if same_size(rows, channels) is not True or not isinstance(rows, int) or rows % groups:
        raise GraphValueError(
            located(
                f"{what}: W should be [{size_text(channels)}, o // {groups}, ...], its first axis "
                f"x's channels in {groups} group(s)"
            )
        )
    steps, gaps = per_axis(stride, rank, "stride", what), per_axis(dilation, rank, "dilation", what)
    widths = pad_widths(padding, kernel, gaps, steps, rank, what)
    more = per_axis(output_padding, rank, "output_padding", what, least=0)
    wide = tuple(
        (size - 1) * step + gap * (k - 1) + 1 - before - after + extra
        for size, step, gap, k, (before, after), extra in zip(
            space, steps, gaps, kernel, widths, more, strict=True
        )
    )
    if any(isinstance(size, int) and size <= 0 for size in wide):
        raise GraphValueError(located(f"{what}: the padding leaves nothing of the result"))
    at_y = _moved(steps, gaps, widths)
    at_W, at_x = bare("k", rank), bare("i", rank)
    extents = (("n", batch), *_group_extent(groups), ("o", depth))
    extents += (*sized("i", space), *sized("k", kernel), ("c", rows // groups))
    x, W = _split(x, 1, groups), _split(W, 0, groups)
    group = _bare_group(groups)
    n, o, c = nodes.index("n"), nodes.index("o"), nodes.index("c")
    out_shape = (batch, *_group_shape(groups), depth, *wide)
    params = Einstein(
        (n, *group, o, *at_y), ((n, *group, c, *at_x), (*group, c, o, *at_W)), extents, out_shape
    )
    y = nodes.contraction(CONV_TRANSPOSE, params, x, W)
    return nodes.reshape(y, (batch, depth * groups, *wide))


def circular_node(w: Node, s: Node) -> Node:
    """The node of `circular_convolution`: one turn of `w` before itself, then an affine index."""
    what = f"circular_convolution: {nodes.describe(w)} with {nodes.describe(s)}"
    if not w.type.ndim or not s.type.ndim:
        raise GraphValueError(located(f"{what}: a scalar has no circle"))
    size = w.type.shape[-1]
    if same_size(size, s.type.shape[-1]) is not True:
        raise GraphValueError(located(f"{what}: the last axes are the circles, of one size"))
    if not isinstance(size, int):
        raise GraphValueError(located(f"{what}: the circle's size is an int, not a named size"))
    lead = broadcast((w.type.shape[:-1], s.type.shape[:-1]))
    if lead is None:
        raise GraphValueError(located(f"{what}: the leading axes do not broadcast"))
    w, s = nodes.broadcast_to(w, (*lead, size)), nodes.broadcast_to(s, (*lead, size))
    twice = nodes.concatenate([w, w], w.type.ndim - 1)
    own = [nodes.index(f"b{k}") for k in range(len(lead))]
    moved = Affine((("i", 1), ("j", -1)), size)
    extents = (*sized("b", lead), ("i", size), ("j", size))
    params = Einstein(
        (*own, nodes.index("i")),
        ((*own, moved), (*own, nodes.index("j"))),
        extents,
        (*lead, size),
    )
    return nodes.contraction(CIRCULAR, params, twice, s)


# -- what the functions over windows share ---------------------------------------------------------


def per_axis(value: Any, rank: int, name: str, what: str, least: int = 1) -> tuple[int, ...]:
    """An int for all axes of space, or one an axis."""
    items = tuple(value) if isinstance(value, tuple | list) else (value,) * rank
    if any(isinstance(item, bool) or not isinstance(item, int | np.integer) for item in items):
        raise GraphTypeError(located(f"{what}: {name} is an int or one an axis, got {value!r}"))
    if len(items) != rank or any(item < least for item in items):
        raise GraphValueError(
            located(f"{what}: {name} is {least} or more, one for {rank} axes, got {value!r}")
        )
    return tuple(int(item) for item in items)


def pad_widths(
    padding: Any,
    kernel: Shape,
    gaps: Sequence[int],
    steps: Sequence[int],
    rank: int,
    what: str,
) -> Widths:
    """Zeros (before, after) an axis of space."""
    if padding == "valid":
        return ((0, 0),) * rank
    if padding == "same":
        if any(step != 1 for step in steps) or not all(isinstance(k, int) for k in kernel):
            raise GraphValueError(located(f"{what}: padding 'same' needs stride 1"))
        totals = [gap * (int(k) - 1) for gap, k in zip(gaps, kernel, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    if isinstance(padding, str):
        raise GraphValueError(located(f"{what}: padding {padding!r} is neither 'valid' nor 'same'"))
    if isinstance(padding, tuple | list) and any(isinstance(p, tuple | list) for p in padding):
        pairs = tuple(per_axis(pair, 2, "padding", what, least=0) for pair in padding)
        if len(pairs) != rank:
            raise GraphValueError(located(f"{what}: padding has {len(pairs)} pairs, not {rank}"))
        return tuple((before, after) for before, after in pairs)
    return tuple((width, width) for width in per_axis(padding, rank, "padding", what, least=0))


def count_places(
    size: Size, kernel: Size, step: int, gap: int, width: tuple[int, int], what: str
) -> Size:
    """How many places a kernel takes along an axis."""
    room = size + width[0] + width[1] - (kernel - 1) * gap - 1
    if isinstance(room, int) and room < 0:
        raise GraphValueError(
            located(
                f"{what}: the kernel's reach {size_text((kernel - 1) * gap + 1)} is more than the "
                f"{size_text(size + width[0] + width[1])} positions of an axis"
            )
        )
    return floordiv(room, step) + 1


def _moved(steps: Sequence[int], gaps: Sequence[int], widths: Widths) -> tuple[Affine, ...]:
    """stride * i + dilation * k - before, axis by axis."""
    return tuple(
        Affine(((f"i{axis}", step), (f"k{axis}", gap)), -before)
        for axis, (step, gap, (before, _)) in enumerate(zip(steps, gaps, widths, strict=True))
    )


def bare(letter: str, rank: int) -> tuple[Affine, ...]:
    """`h0`, `h1`, ...: an index an axis."""
    return tuple(nodes.index(f"{letter}{axis}") for axis in range(rank))


def sized(letter: str, shape: Shape) -> tuple[tuple[str, Size], ...]:
    """Those indices with the sizes of their axes."""
    return tuple((f"{letter}{axis}", size) for axis, size in enumerate(shape))


def _bare_group(groups: int) -> tuple[Affine, ...]:
    return (nodes.index("g"),) if groups > 1 else ()


def _group_extent(groups: int) -> tuple[tuple[str, Size], ...]:
    return (("g", groups),) if groups > 1 else ()


def _group_shape(groups: int) -> Shape:
    return (groups,) if groups > 1 else ()


def _split(x: Node, axis: int, groups: int) -> Node:
    """One axis as (groups, the rest); x itself for one group."""
    if groups == 1:
        return x
    shape = x.type.shape
    rest = floordiv(shape[axis], groups)
    return nodes.reshape(x, (*shape[:axis], groups, rest, *shape[axis + 1 :]))


def _groups(groups: Any, what: str) -> int:
    if isinstance(groups, bool) or not isinstance(groups, int | np.integer) or groups < 1:
        raise GraphTypeError(located(f"{what}: groups is a positive int, got {groups!r}"))
    return int(groups)


def _rank(x: Node, W: Node, what: str) -> int:
    """How many axes of space there are."""
    if x.type.ndim < 3 or W.type.ndim != x.type.ndim:
        raise GraphValueError(
            located(
                f"{what}: x is [batch, channels, *space] and W has as many axes, [o, c, *kernel]"
            )
        )
    return x.type.ndim - 2


def _of_rank(x: Node, rank: int, name: str) -> Node:
    if x.type.ndim != rank + 2:
        space = ", ".join(("depth", "height", "width")[-rank:]) if rank > 1 else "length"
        raise GraphValueError(
            located(f"{name}: {nodes.describe(x)} should be [batch, channels, {space}]")
        )
    return x
