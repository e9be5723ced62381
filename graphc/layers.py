"""What networks are built of beside matrix products: normalisation, dropout, cells, attention.

Each is a composition of the op table, so its derivative is derived. All are pure: random
numbers and running statistics come in as operands.
"""

from __future__ import annotations

from typing import Any

from graphc import nodes
from graphc.dispatch.options import axes_of, count_of, one_axis
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.nn import apply, apply_many, softmax_node
from graphc.types import broadcast, floordiv, same_size, size_text

# -- normalisation ---------------------------------------------------------------------------------


def layer_norm(
    x: Any, scale: Any = 1.0, shift: Any = 0.0, *, axis: Any = -1, eps: float = 1e-5
) -> Any:
    """x less its mean, over its standard deviation, along `axis`; then times scale, plus shift.

    scale, shift: of the shape of the normalised axes, or what broadcasts to x. Ba, Kiros and
    Hinton, "Layer normalization" (2016).
    """

    def build(x: Node, scale: Node, shift: Node) -> Node:
        x = _floating(x)
        return _affine(_normal(x, axes_of(axis, x, "layer_norm"), eps), scale, shift)

    return apply(build, x, scale, shift)


def batch_norm(
    x: Any,
    scale: Any,
    shift: Any,
    *,
    axis: int = 1,
    mean: Any = None,
    variance: Any = None,
    eps: float = 1e-5,
) -> Any:
    """x normalised for each channel over all other axes; then times scale [c], plus shift [c].

    axis: the channels. mean, variance [c]: given, they are used in place of the batch's own (which
    is how a trained network is applied). Ioffe and Szegedy, "Batch normalization" (2015).
    """
    if (mean is None) != (variance is None):
        raise GraphTypeError(located("batch_norm: give mean and variance both, or neither"))
    given = () if mean is None else (mean, variance)

    def build(x: Node, scale: Node, shift: Node, *statistics: Node) -> Node:
        what = f"batch_norm: x {nodes.describe(x)}"
        x = _floating(x)
        channel = one_axis(axis, x.type.ndim, what)
        scale, shift = (_along(part, x, channel, what) for part in (scale, shift))
        if not statistics:
            rest = tuple(k for k in range(x.type.ndim) if k != channel)
            return _affine(_normal(x, rest, eps), scale, shift)
        middle, spread = (_along(part, x, channel, what) for part in statistics)
        return _affine(_scaled(_less(x, middle), spread, eps), scale, shift)

    return apply(build, x, scale, shift, *given)


def group_norm(x: Any, groups: int, scale: Any, shift: Any, *, eps: float = 1e-5) -> Any:
    """x [n, c, ...] normalised for each sample and group of channels; times scale [c], plus shift.

    Wu and He, "Group normalization" (2018); one group a channel is instance normalisation.
    """

    def build(x: Node, scale: Node, shift: Node) -> Node:
        what = f"group_norm: x {nodes.describe(x)}"
        x = _floating(x)
        if x.type.ndim < 2 or isinstance(groups, bool) or not isinstance(groups, int) or groups < 1:
            raise GraphTypeError(located(f"{what}: x is [n, c, ...] and groups a positive int"))
        (batch, channels), space = x.type.shape[:2], x.type.shape[2:]
        if isinstance(channels, int) and channels % groups:
            raise GraphValueError(
                located(f"{what}: {channels} channels do not divide into {groups} groups")
            )
        split = nodes.reshape(x, (batch, groups, floordiv(channels, groups), *space))
        normal = _normal(split, tuple(range(2, split.type.ndim)), eps)
        scale, shift = (_along(part, x, 1, what) for part in (scale, shift))
        return _affine(nodes.reshape(normal, x.type.shape), scale, shift)

    return apply(build, x, scale, shift)


def _normal(x: Node, axes: tuple[int, ...], eps: float) -> Node:
    centred = _less(x, _mean(x, axes))
    return _scaled(centred, _mean(nodes.elementwise("square", centred), axes), eps)


def _mean(x: Node, axes: tuple[int, ...]) -> Node:
    count = nodes.size(count_of(x, axes), x.type.dtype)
    return nodes.elementwise("divide", nodes.sum_(x, axes, keepdims=True), count)


def _less(x: Node, y: Node) -> Node:
    return nodes.elementwise("subtract", x, y)


def _scaled(centred: Node, variance: Node, eps: float) -> Node:
    spread = nodes.add(variance, nodes.constant(eps, variance.type.dtype))
    return nodes.elementwise("divide", centred, nodes.elementwise("sqrt", spread))


def _affine(x: Node, scale: Node, shift: Node) -> Node:
    return nodes.add(nodes.multiply(x, scale), shift)


def _along(part: Node, x: Node, channel: int, what: str) -> Node:
    """A vector [c] with the axes of x after the channels'; numbers stay."""
    if part.type.shape == ():
        return part
    size = x.type.shape[channel]
    if part.type.ndim != 1 or same_size(part.type.shape[0], size) is not True:
        raise GraphValueError(
            located(f"{what}: {nodes.describe(part)} should be [{size_text(size)}], one a channel")
        )
    return nodes.reshape(part, (size, *(1,) * (x.type.ndim - channel - 1)))


def _floating(x: Node) -> Node:
    return x if x.type.floating else nodes.cast(x, "f64")


# -- dropout, embedding ----------------------------------------------------------------------------


def dropout(x: Any, random: Any, rate: float = 0.5) -> Any:
    """x over (1 - rate) where `random` keeps it, 0 elsewhere; the mean stays.

    random: uniform numbers in [0, 1), of which those below `rate` drop; or bool, True keeps. A
    fresh one is an input of every training step. A trained network is applied without dropout.
    """
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise GraphValueError(located(f"dropout: the rate is a number in [0, 1), got {rate!r}"))

    def build(x: Node, random: Node) -> Node:
        x = _floating(x)
        if random.type.dtype != "bool":
            least = nodes.constant(rate, random.type.dtype)
            random = nodes.elementwise("greater_equal", random, least)
        scaled = nodes.multiply(x, nodes.constant(1 / (1 - rate), x.type.dtype))
        # A product, not a choice: what is behind a choice pays for infinities it might hide.
        return nodes.multiply(scaled, nodes.cast(random, x.type.dtype))

    return apply(build, x, random)


def embedding(table: Any, indices: Any) -> Any:
    """The rows of table [words, ...] at indices (integers of any shape): [*indices, ...]."""

    def build(table: Node, indices: Node) -> Node:
        if not table.type.ndim:
            raise GraphValueError(located("embedding: the table is [words, ...]"))
        return nodes.gather(table, [indices], (True, *(False,) * (table.type.ndim - 1)))

    return apply(build, table, indices)


# -- recurrent cells -------------------------------------------------------------------------------


def lstm_cell(x: Any, h: Any, c: Any, W: Any, U: Any, b: Any) -> Any:
    """One step of a long short-term memory: (h, c) after x [batch, i], from h, c [batch, d].

    W [i, 4*d], U [d, 4*d], b [4*d] hold the input, forget, cell and output gates side by side:
    c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c'). Hochreiter and Schmidhuber
    (1997), with the forget gate of Gers, Schmidhuber and Cummins (2000).
    """

    def build(x: Node, h: Node, c: Node, W: Node, U: Node, b: Node) -> tuple[Node, Node]:
        gates = nodes.add(nodes.add(nodes.matmul(x, W), nodes.matmul(h, U)), b)
        i, f, g, o = _split(gates, 4, h, "lstm_cell")
        kept = nodes.multiply(nodes.elementwise("sigmoid", f), c)
        new = nodes.multiply(nodes.elementwise("sigmoid", i), nodes.elementwise("tanh", g))
        cell = nodes.add(kept, new)
        hidden = nodes.multiply(nodes.elementwise("sigmoid", o), nodes.elementwise("tanh", cell))
        return hidden, cell

    return apply_many(build, x, h, c, W, U, b)


def gru_cell(x: Any, h: Any, W: Any, U: Any, b: Any, a: Any) -> Any:
    """One step of a gated recurrent unit: h' [batch, d] after x [batch, i], from h [batch, d].

    W [i, 3*d], U [d, 3*d], b and a [3*d] hold the reset, update and candidate parts side by side, b
    the biases beside W and a those beside U: n = tanh(x W_n + b_n + r (h U_n + a_n)),
    h' = (1 - z) n + z h. Cho et al. (2014), the reset after the product as most libraries have it.
    """

    def build(x: Node, h: Node, W: Node, U: Node, b: Node, a: Node) -> Node:
        r_x, z_x, n_x = _split(nodes.add(nodes.matmul(x, W), b), 3, h, "gru_cell")
        r_h, z_h, n_h = _split(nodes.add(nodes.matmul(h, U), a), 3, h, "gru_cell")
        reset = nodes.elementwise("sigmoid", nodes.add(r_x, r_h))
        update = nodes.elementwise("sigmoid", nodes.add(z_x, z_h))
        new = nodes.elementwise("tanh", nodes.add(n_x, nodes.multiply(reset, n_h)))
        return nodes.add(new, nodes.multiply(update, _less(h, new)))

    return apply(build, x, h, W, U, b, a)


def _split(gates: Node, count: int, h: Node, name: str) -> list[Node]:
    """The gates side by side, each as wide as the state."""
    width = h.type.shape[-1]
    wide = gates.type.shape[-1]
    if same_size(wide, width * count) is not True:
        raise GraphValueError(
            located(
                f"{name}: h {nodes.describe(h)} needs {count} gates of {size_text(width)} side by "
                f"side, W and U give {size_text(wide)}"
            )
        )
    lead = gates.type.shape[:-1]
    zeros, ones = (0,) * len(lead), (1,) * gates.type.ndim
    return [nodes.slice_(gates, (*zeros, width * k), (*lead, width), ones) for k in range(count)]


# -- attention -------------------------------------------------------------------------------------


def attention(q: Any, k: Any, v: Any, mask: Any = None, *, scale: float | None = None) -> Any:
    """softmax(q k^T * scale) v over the last two axes: q [..., m, d], k [..., n, d], v [..., n, e].

    scale: 1 / sqrt(d) unless given. mask: bool, True where a query may look; every query has at
    least one place. Vaswani et al., "Attention is all you need" (2017).
    """
    masks = () if mask is None else (mask,)

    def build(q: Node, k: Node, v: Node, *masks: Node) -> Node:
        what = f"attention: q {nodes.describe(q)}, k {nodes.describe(k)}"
        if min(q.type.ndim, k.type.ndim, v.type.ndim) < 2:
            raise GraphValueError(located(f"{what}: operands are [..., places, features]"))
        q = _floating(q)
        dtype = q.type.dtype
        if scale is None:
            factor = nodes.elementwise("sqrt", nodes.size(q.type.shape[-1], dtype))
            q = nodes.elementwise("divide", q, factor)
        else:
            q = nodes.multiply(q, nodes.constant(scale, dtype))
        axes = list(range(k.type.ndim))
        scores = nodes.matmul(q, nodes.transpose(k, (*axes[:-2], axes[-1], axes[-2])))
        if masks:
            # Far below every score, and yet finite: a difference of two such is no NaN.
            low = nodes.constant(-1e30, scores.type.dtype)
            scores = nodes.elementwise("where", masks[0], scores, low)
        return nodes.matmul(softmax_node(scores, (scores.type.ndim - 1,)), v)

    return apply(build, q, k, v, *masks)


def cosine_similarity(a: Any, b: Any, *, axis: int = -1, eps: float = 1e-12) -> Any:
    """a.b / sqrt((a.a + eps) (b.b + eps)) along one axis: the cosine of the angle between them.

    eps keeps the quotient and its derivative finite where a or b is zero.
    """

    def build(a: Node, b: Node) -> Node:
        what = f"cosine_similarity: {nodes.describe(a)} with {nodes.describe(b)}"
        a, b = _floating(a), _floating(b)
        shape = broadcast((a.type.shape, b.type.shape))
        if shape is None:
            raise GraphValueError(located(f"{what}: the operands do not broadcast"))
        behind = one_axis(axis, len(shape), what) - len(shape)
        dot = _summed(nodes.multiply(a, b), behind)
        lengths = [
            nodes.elementwise(
                "sqrt",
                nodes.add(
                    _summed(nodes.elementwise("square", x), behind),
                    nodes.constant(eps, x.type.dtype),
                ),
            )
            for x in (a, b)
        ]
        return nodes.elementwise("divide", dot, nodes.multiply(*lengths))

    return apply(build, a, b)


def _summed(x: Node, behind: int) -> Node:
    return nodes.sum_(x, (x.type.ndim + behind,))
