"""What NumPy lacks: activations, stable sums of exponentials, losses, functional updates.

Each takes Values, and plain arrays too, which are computed at once. They are composed of the op
table in a stable form, so that neither they nor their gradients overflow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from graphc import nodes
from graphc.dispatch.indexing import write
from graphc.dispatch.options import axes_of, dtype_of, flag, floating, one_axis
from graphc.dispatch.reductions import logsumexp_node
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.lifting import Symbolic, is_weak, lift, lift_all
from graphc.ops.elementwise import TABLE
from graphc.ops.kinds import Elementwise
from graphc.sites import here
from graphc.types import DTYPES, Dim, same_size, size_text
from graphc.values import Value, finish


def apply(build: Callable[..., Node], *operands: Any) -> Any:
    """`build` on the operands' nodes: a Value, or an array where no operand is a Value."""
    name = here()
    if any(isinstance(operand, Symbolic) for operand in operands):
        return finish(build(*lift_all(operands)), name)
    return _computed(build, operands)


def apply_many(build: Callable[..., tuple[Node, ...]], *operands: Any) -> tuple[Any, ...]:
    """`apply` where `build` makes several nodes: a tuple."""
    here()
    if any(isinstance(operand, Symbolic) for operand in operands):
        return tuple(finish(node, "") for node in build(*lift_all(operands)))
    count = len(build(*lift_all(operands)))
    parts = [lambda *inputs, k=k: build(*inputs)[k] for k in range(count)]
    return tuple(_computed(part, operands) for part in parts)


def _computed(build: Callable[..., Node], operands: tuple[Any, ...]) -> Any:
    """The same on plain arrays: a small graph, evaluated in the forms that are emitted."""
    from graphc.freeze import freeze
    from graphc.inlining import evaluated

    given: dict[str, Any] = {}
    inputs: list[Node] = []
    for k, node in enumerate(lift_all(operands)):
        # Lifting gives a Python number the dtype of the operands beside it.
        value = operands[k]
        inputs.append(nodes.input_(f"x{k}", node.type))
        given[f"x{k}"] = np.asarray(value, DTYPES[node.type.dtype]) if is_weak(value) else value
    graph = freeze("result", inputs, [("result", build(*inputs))])
    return evaluated(graph, given)["result"]


def apply_op(op: Elementwise, *operands: Any) -> Any:
    """An elementwise op on values or arrays."""
    return apply(lambda *inputs: nodes.elementwise(op, *inputs), *operands)


# -- activations -----------------------------------------------------------------------------------


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return apply_op(TABLE["sigmoid"], x)


def relu(x: Any) -> Any:
    """max(x, 0); its gradient at 0 is 0."""
    return apply_op(TABLE["relu"], x)


def softplus(x: Any) -> Any:
    """log(1 + exp(x)), without overflow."""
    return apply_op(TABLE["softplus"], x)


def log_sigmoid(x: Any) -> Any:
    """log(sigmoid(x)), without underflow."""
    return apply_op(TABLE["log_sigmoid"], x)


def silu(x: Any) -> Any:
    """x * sigmoid(x)."""
    return apply_op(TABLE["silu"], x)


def gelu(x: Any, approximate: bool = False) -> Any:
    """x times the probability that a standard normal variable is below x.

    approximate: by tanh, as the original paper has it, which needs no error function.
    """
    return apply_op(TABLE["gelu_tanh" if approximate else "gelu"], x)


def elu(x: Any, alpha: Any = 1.0) -> Any:
    """x where positive, alpha * (exp(x) - 1) elsewhere."""
    if is_weak(alpha) and alpha == 1:
        return apply_op(TABLE["elu"], x)
    return apply_op(TABLE["scaled_elu"], x, alpha)


def erf(x: Any) -> Any:
    """The error function."""
    return apply_op(TABLE["erf"], x)


def erfc(x: Any) -> Any:
    """1 - erf(x), exact for large x."""
    return apply_op(TABLE["erfc"], x)


def xlogy(x: Any, y: Any) -> Any:
    """x * log(y), 0 where x is 0."""
    return apply_op(TABLE["xlogy"], x, y)


def clip(x: Any, lo: Any, hi: Any, edge: int = 0) -> Any:
    """x, at least lo and at most hi, as np.clip; its gradient where x is lo or hi is `edge`.

    edge: 0, the element of least norm there; or 1, which leaves x at a bound free to move away from
        it, as descent within a box wants; the bounds have a gradient where x is beyond them.
    """
    if isinstance(edge, bool) or edge not in (0, 1):
        raise GraphValueError(located(f"clip: the gradient at an edge is 0 or 1, got {edge!r}"))
    if edge == 0:
        return apply_op(TABLE["clip"], x, lo, hi)

    def within(x: Node, lo: Node, hi: Node) -> Node:
        clipped = nodes.elementwise("clip", x, lo, hi)
        # x itself wherever it lies within the bounds, edges included.
        same = nodes.elementwise("equal", x, clipped)
        return nodes.elementwise("where", same, x, clipped)

    return apply(within, x, lo, hi)


def stop_gradient(x: Any) -> Any:
    """x itself, held constant by differentiation."""
    return apply_op(TABLE["stop_gradient"], x)


# -- sums of exponentials --------------------------------------------------------------------------


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """log(sum(exp(x))) over axes (all for None), shifted by the largest element."""
    return apply(
        lambda node: logsumexp_node(node, axes_of(axis, node, "logsumexp"), flag(keepdims)), x
    )


def softmax(x: Any, axis: Any = -1) -> Any:
    """exp(x) / sum(exp(x)) over axes, shifted by the largest element."""
    return apply(lambda node: softmax_node(node, axes_of(axis, node, "softmax")), x)


def log_softmax(x: Any, axis: Any = -1) -> Any:
    """log(softmax(x)), as x less its logsumexp."""
    return apply(lambda node: log_softmax_node(node, axes_of(axis, node, "log_softmax")), x)


def softmax_node(x: Node, axes: tuple[int, ...]) -> Node:
    """The node of `softmax`."""
    exps = nodes.elementwise("exp", _shifted(floating(x), axes))
    return nodes.elementwise("divide", exps, nodes.sum_(exps, axes, keepdims=True))


def log_softmax_node(x: Node, axes: tuple[int, ...]) -> Node:
    """The node of `log_softmax`: the shift is taken off first, so that nothing large cancels."""
    shifted = _shifted(floating(x), axes)
    total = nodes.sum_(nodes.elementwise("exp", shifted), axes, keepdims=True)
    return nodes.elementwise("subtract", shifted, nodes.elementwise("log", total))


def _shifted(x: Node, axes: tuple[int, ...]) -> Node:
    """x less its largest element, which is a constant of the derivative: it cancels out."""
    largest = nodes.reduction("max", x, axes, keepdims=True)
    return nodes.elementwise("subtract", x, nodes.elementwise("stop_gradient", largest))


# -- losses ----------------------------------------------------------------------------------------


def cross_entropy(scores: Any, labels: Any, axis: int = -1) -> Any:
    """-log(softmax(scores)[label]) for every row: [batch, classes] and labels give [batch].

    labels: integers of the shape of scores without `axis`; or probabilities of scores' own shape,
        and then the result is -sum(labels * log_softmax(scores)).

    Raises GraphTypeError for labels that are neither, GraphValueError for another shape.

    >>> print(f"{graphc.cross_entropy(np.array([[3.2, 5.1, -1.7]]), np.array([0]))[0]:.2f}")
    2.04
    """
    # An array of labels stands as it is: it does not meet the scores in promotion.
    return apply(lambda s, y: cross_entropy_node(s, y, axis), scores, _array(labels))


def _array(value: Any) -> Any:
    return value if isinstance(value, Symbolic) else np.asarray(value)


def cross_entropy_node(scores: Node, labels: Node, axis: int = -1) -> Node:
    """The node of `cross_entropy`."""
    scores = floating(scores)
    what = f"cross_entropy: scores {nodes.describe(scores)} with labels {nodes.describe(labels)}"
    place = one_axis(axis, scores.type.ndim, what)
    shape = scores.type.shape
    rest = tuple(size for k, size in enumerate(shape) if k != place)
    if labels.type.floating:
        if labels.type.ndim != len(shape) or not _fits(labels.type.shape, shape):
            fix = "probabilities have the scores' shape"
            if labels.type.ndim == len(shape) - 1:
                fix += "; class numbers are integers: .astype('i64')"
            raise GraphTypeError(located(f"{what}: {fix}"))
        logs = log_softmax_node(scores, (place,))
        total = nodes.sum_(nodes.multiply(labels, logs), (place,))
        return nodes.elementwise("negative", total)
    if labels.type.dtype == "bool":
        raise GraphTypeError(located(f"{what}: labels are class numbers (integers)"))
    if labels.type.ndim != len(rest) or not _fits(labels.type.shape, rest):
        shown = ", ".join(map(size_text, rest))
        raise GraphValueError(located(f"{what}: the labels' shape should be [{shown}]"))
    shifted = _shifted(scores, (place,))
    total = nodes.sum_(nodes.elementwise("exp", shifted), (place,))
    chosen = _choose(shifted, labels, place)
    return nodes.elementwise("subtract", nodes.elementwise("log", total), chosen)


def _fits(shape: tuple[Any, ...], wanted: tuple[Any, ...]) -> bool:
    return all(same_size(a, b) is not False for a, b in zip(shape, wanted, strict=True))


def _choose(x: Node, labels: Node, place: int) -> Node:
    """x at the labels along one axis: x[arange, ..., labels, ...]."""
    rest = [k for k in range(x.type.ndim) if k != place]
    arrays: list[Node] = []
    for k, size in enumerate(x.type.shape):
        if k == place:
            arrays.append(labels)
            continue
        shape = tuple(size if j == k else 1 for j in rest)
        arrays.append(nodes.reshape(nodes.arange(size), shape))
    return nodes.gather(x, arrays, (True,) * x.type.ndim)


def one_hot(labels: Any, classes: int, dtype: Any = "f64") -> Any:
    """1 at each label's place along a new last axis of size `classes`, 0 elsewhere."""
    if isinstance(classes, bool) or not isinstance(classes, int | np.integer) or classes < 0:
        raise GraphTypeError(located(f"one_hot: classes is an int, got {classes!r}"))

    def build(node: Node) -> Node:
        if node.type.dtype not in ("i32", "i64"):
            raise GraphTypeError(
                located(
                    f"one_hot: labels {nodes.describe(node)} are no integers; use .astype('i64')"
                )
            )
        places = nodes.cast(nodes.arange(int(classes)), node.type.dtype)
        same = nodes.elementwise("equal", nodes.expand_dims(node, node.type.ndim), places)
        return nodes.cast(same, dtype_of(dtype))

    return apply(build, labels)


def arange(size: int | Dim) -> Value:
    """0, 1, ..., size - 1 as i64, of a size that may be named: `graphc.arange(x.shape[0])`."""
    name = here()
    if isinstance(size, bool) or not isinstance(size, int | Dim):
        raise GraphTypeError(located(f"arange: the size is an int or a Dim, got {size!r}"))
    return finish(nodes.arange(size), name)


def constant(array: Any) -> Value:
    """An array as a value, copied and frozen: `graphc.constant(table)[i]` is indexed by a value."""
    name = here()
    return finish(lift(array), name)


def size(n: int | Dim, dtype: Any = "f64") -> Value:
    """A size as a number to compute with: `np.sqrt(graphc.size(x.shape[-1], "f32"))`."""
    name = here()
    if isinstance(n, bool) or not isinstance(n, int | Dim):
        raise GraphTypeError(located(f"size: {n!r} is no size of a value's shape"))
    return finish(nodes.size(n, dtype_of(dtype)), name)


# -- functional updates ----------------------------------------------------------------------------


class at:
    """`graphc.at(x)[i].set(v)`: x with v at [i]; `.add(v)` adds. x itself stays as it is."""

    __slots__ = ("_x",)

    def __init__(self, x: Any) -> None:
        self._x = x

    def __getitem__(self, key: Any) -> Place:
        return Place(self._x, key)


class Place:
    """A part of a value, to be set or added to."""

    __slots__ = ("_key", "_x")

    def __init__(self, x: Any, key: Any) -> None:
        self._x = x
        self._key = key

    def set(self, value: Any) -> Any:
        """A copy with `value` in the place."""
        return self._write(value, "set")

    def add(self, value: Any) -> Any:
        """A copy with `value` added in the place; where positions repeat, all are added."""
        return self._write(value, "add")

    def _write(self, value: Any, mode: str) -> Any:
        name = here()
        if not _symbolic(self._x, value, self._key):
            array = np.array(self._x)
            if mode == "set":
                array[self._key] = value
            else:
                np.add.at(array, self._key, value)
            return array
        (x,) = lift_all((self._x,))
        return finish(write(x, self._key, value, mode), name)


def _symbolic(x: Any, value: Any, key: Any) -> bool:
    parts = key if isinstance(key, tuple) else (key,)
    return any(isinstance(part, Symbolic) for part in (x, value, *parts))


__all__ = [
    "arange",
    "at",
    "clip",
    "constant",
    "cross_entropy",
    "elu",
    "erf",
    "erfc",
    "gelu",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "one_hot",
    "relu",
    "sigmoid",
    "silu",
    "size",
    "softmax",
    "softplus",
    "stop_gradient",
    "xlogy",
]
