"""One node as the formula that makes it: what `dump` writes, and what `print` and tables show.

The formula of a node names its operands by texts that are handed in; each carries its level, by
Python's own precedences, so that brackets stand only where they must.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from codegen.expr import FUNCTIONS
from codegen.program import Broadcast, Diagonal, Reshape, Slice, Transpose
from codegen.record import record
from graphc import nodes
from graphc.errors import GraphError, GraphTypeError
from graphc.ir import Node
from graphc.ops.elementwise import TABLE
from graphc.ops.kinds import (
    Axes,
    Concatenate,
    Contraction,
    Einstein,
    Elementwise,
    Gather,
    Indexing,
    Layout,
    Leaf,
    LinAlg,
    LinAlgParams,
    Pad,
    Place,
    PrimitiveCall,
    RangeParams,
    Reduction,
    Scatter,
    Search,
    SearchParams,
    SizeParams,
)
from graphc.textual.index_formula import write_body, write_contraction
from graphc.types import Shape, Size, size_text

ATOM = 20
UNARY = 11
PRODUCT = 10
_POWER = 12
_COMPARISON = 4
_ALIAS = {"absolute": "abs"}


class Spelt(NamedTuple):
    """A formula and how tightly its outermost operator binds."""

    text: str
    level: int = ATOM


@record
class Speller:
    """How ops and sizes are written.

    exact: every parameter is there, so that the formula makes this very node; else what a reader
    needs. op: the name of an elementwise op. size: a size inside a formula.
    """

    exact: bool
    op: Callable[[Elementwise], str]
    size: Callable[[Size], str]

    def formula(self, node: Node, operands: Sequence[Spelt]) -> Spelt:
        """The formula of a node that is neither an input nor a constant.

        Raises GraphTypeError for what no text can hold, where `exact` is asked for.
        """
        op = node.op
        match op:
            case Elementwise():
                return self._elementwise(op, operands)
            case Contraction():
                return self._contraction(node, operands)
            case Reduction():
                return Spelt(f"{op.name}({operands[0].text}{self._axes(node)})")
            case Layout():
                return self._layout(node, operands)
            case Gather():
                subscript = None if self.exact else _gathered(node, operands[1:])
                if subscript is not None:
                    return Spelt(f"{_bracketed(operands[0], ATOM)}[{subscript}]")
                index = self._indices(node.params, operands[1:])
                unique = ", unique=True" if _indexing(node).unique else ""
                return Spelt(f"gather({operands[0].text}, {index}{unique})")
            case Scatter():
                return self._scatter(node, operands)
            case LinAlg():
                return self._linalg(node, operands)
            case Search() if isinstance(node.params, SearchParams) and not self.exact:
                result = op.results[node.params.result]
                return Spelt(f"{_call(op.name, operands).text}.{result}")
            case Leaf() if isinstance(node.params, SizeParams):
                size = self.size(node.params.size)
                if self.exact:
                    return Spelt(f"size({size}, '{node.type.dtype}')")
                return Spelt(size, ATOM if size.isalnum() else 0)
            case Leaf() if isinstance(node.params, RangeParams):
                return Spelt(f"arange({self.size(node.params.size)})")
        return self._other(node, operands)

    # -- elementwise -----------------------------------------------------------------------------

    def _elementwise(self, op: Elementwise, operands: Sequence[Spelt]) -> Spelt:
        if TABLE.get(op.name) is op:
            function = FUNCTIONS.get(op.name)
            if function is not None and function.infix is not None:
                return _infix(*function.infix, operands)
            return _call(_ALIAS.get(op.name, op.name), operands)
        return _call(self.op(op), operands)

    # -- sums ------------------------------------------------------------------------------------

    def _contraction(self, node: Node, operands: Sequence[Spelt]) -> Spelt:
        params = node.params
        assert isinstance(params, Einstein)
        if params.body is None:
            if node.op is nodes.MATMUL and _is_matmul(node):
                return _infix("@", PRODUCT, operands)
            axes = _summed(node) if node.op is nodes.SUM else None
            if axes is not None:
                return Spelt(f"sum({operands[0].text}{axis_text(axes, node.inputs[0])})")
            product = None if self.exact else _product(params, operands)
            if product is not None:
                return product
        parts = [f"'{write_contraction(params)}'", *(operand.text for operand in operands)]
        body = write_body(params)
        if body is not None:
            parts.append(f"body='{body}'")
        if self.exact:
            sizes = [f"('{name}', {self.size(size)})" for name, size in params.extents]
            parts.append(f"sizes={_tuple(sizes)}")
            if not _shape_follows(params):
                parts.append(f"shape={self.shape(params.shape)}")
            parts.append(f"op={_quoted(node.op.name)}")
        return Spelt(f"contract({', '.join(parts)})")

    # -- reductions and layout -------------------------------------------------------------------

    def _axes(self, node: Node) -> str:
        params = node.params
        assert isinstance(params, Axes)
        text = axis_text(params.axes, node.inputs[0])
        return f"{text}, keepdims=True" if params.keepdims else text

    def shape(self, shape: Shape) -> str:
        """A tuple of sizes."""
        return _tuple([self.size(size) for size in shape])

    def _layout(self, node: Node, operands: Sequence[Spelt]) -> Spelt:
        x = operands[0].text
        match node.params:
            case Reshape(shape):
                return Spelt(f"reshape({x}, {self.shape(shape)})")
            case Broadcast(shape):
                return Spelt(f"broadcast_to({x}, {self.shape(shape)})")
            case Transpose(axes):
                if len(axes) > 1 and axes == tuple(reversed(range(len(axes)))):
                    return Spelt(f"{_bracketed(operands[0], ATOM)}.T")
                return Spelt(f"transpose({x}, {axes})")
            case Slice() as region:
                index = _subscript(node, region)
                if index is not None:
                    return Spelt(f"{_bracketed(operands[0], ATOM)}[{index}]")
                return Spelt(f"slice({x}, {self._region(region)})")
            case Place(region, shape):
                return Spelt(f"place({x}, {self._region(region)}, {self.shape(shape)})")
            case Diagonal(offset, axis1, axis2):
                return Spelt(f"diagonal({x}, {offset}, {axis1}, {axis2})")
            case Pad(widths, value):
                pairs = _tuple([self.shape(pair) for pair in widths])
                return Spelt(f"pad({x}, {pairs}, {value!r})")
            case Concatenate(axis):
                parts = _tuple([operand.text for operand in operands])
                return Spelt(f"concatenate({parts}, axis={axis})")
        return self._other(node, operands)

    def _region(self, region: Slice) -> str:
        return f"{self.shape(region.starts)}, {self.shape(region.sizes)}, {region.steps}"

    # -- indexing --------------------------------------------------------------------------------

    def _indices(self, params: object, indices: Sequence[Spelt]) -> str:
        assert isinstance(params, Indexing)
        rest = iter(indices)
        return _tuple([next(rest).text if taken else "None" for taken in params.axes])

    def _scatter(self, node: Node, operands: Sequence[Spelt]) -> Spelt:
        params = _indexing(node)
        base, value, *indices = operands
        unique = ", unique=True" if params.unique else ""
        index = self._indices(params, indices)
        return Spelt(f"scatter({base.text}, {value.text}, {index}, mode='{params.mode}'{unique})")

    # -- matrix functions ------------------------------------------------------------------------

    def _linalg(self, node: Node, operands: Sequence[Spelt]) -> Spelt:
        op, params = node.op, node.params
        assert isinstance(op, LinAlg)
        assert isinstance(params, LinAlgParams)
        call = _call(op.name, operands)
        if len(op.results) == 1:
            return call
        result = op.results[params.result]
        if self.exact:
            return Spelt(f"{call.text[:-1]}, result='{result}')")
        return Spelt(f"{call.text}.{result}")

    # -- what is written by hand -----------------------------------------------------------------

    def _other(self, node: Node, operands: Sequence[Spelt]) -> Spelt:
        if self.exact:
            kind = type(node.op).__name__
            raise GraphTypeError(
                f"dump: {node.op.name!r} ({kind}) is Python code, which a text file cannot hold"
            )
        name = node.op.name
        match node.params:
            case PrimitiveCall("saved"):
                name = f"{name}.saved"
            case PrimitiveCall("backward", operand):
                name = f"{name}.vjp[{operand}]"
        return _call(name, operands)


def _tuple(parts: Sequence[str]) -> str:
    return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"


def _call(name: str, operands: Sequence[Spelt]) -> Spelt:
    return Spelt(f"{name}({', '.join(operand.text for operand in operands)})")


def _bracketed(operand: Spelt, level: int) -> str:
    return operand.text if operand.level >= level else f"({operand.text})"


def _infix(symbol: str, level: int, operands: Sequence[Spelt]) -> Spelt:
    if len(operands) == 1:
        return Spelt(f"{symbol}{_bracketed(operands[0], UNARY)}", UNARY)
    a, b = operands
    # Comparisons do not chain, `**` binds to the right and takes a sign there: 2 ** -x.
    left = level + 1 if level in (_COMPARISON, _POWER) else level
    right = UNARY if level == _POWER else level + 1
    return Spelt(f"{_bracketed(a, left)} {symbol} {_bracketed(b, right)}", level)


def _quoted(text: str) -> str:
    # A double quote is never needed: the text stands in a TOML string of its own.
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _indexing(node: Node) -> Indexing:
    assert isinstance(node.params, Indexing)
    return node.params


def axis_text(axes: tuple[int, ...], x: Node) -> str:
    """`, axis=1` after the operand of a fold; nothing where it is over all axes."""
    if axes and axes == tuple(range(x.type.ndim)):
        return ""
    return f", axis={axes[0]}" if len(axes) == 1 else f", axis={axes}"


def _is_matmul(node: Node) -> bool:
    if len(node.inputs) != 2:
        return False
    try:
        return nodes.matmul(*node.inputs).params == node.params
    except GraphError:
        return False


def _product(params: Einstein, operands: Sequence[Spelt]) -> Spelt | None:
    """The sum of products as `a @ b` or `b @ a`, with the last axes of either swapped where that
    makes it one.

    Only people read this: a transposed operand is no node of its own.
    """
    if len(params.operands) != 2:
        return None
    axes = [[affine.index for affine in part] for part in (*params.operands, params.out)]
    if any(None in names or len(set(names)) < len(names) for names in axes):
        return None
    factors = [*zip(operands, axes, strict=False)]
    for order in (factors, factors[::-1]):
        for swaps in ((False, False), (False, True), (True, False), (True, True)):
            swapped = [
                _swapped(names) if swap else names
                for (_, names), swap in zip(order, swaps, strict=True)
            ]
            if _multiplied(*swapped) == axes[2]:
                texts = [
                    Spelt(_bracketed(x, ATOM) + (".T" if len(names) == 2 else ".swapaxes(-2, -1)"))
                    if swap
                    else x
                    for (x, names), swap in zip(order, swaps, strict=True)
                ]
                return _infix("@", PRODUCT, texts)
    return None


def matrix_product(params: Einstein) -> bool:
    """Whether people write the sum of products as a product of matrices."""
    return _product(params, [Spelt("")] * len(params.operands)) is not None


def _multiplied(a: list[str | None], b: list[str | None]) -> list[str | None] | None:
    """The axes of `a @ b`, of arrays with these axes; None where the two do not fit."""
    if not a or not b or a[-1] != b[-2:][0]:
        return None
    stacks = sorted((a[:-2], b[:-2]), key=len)
    if stacks[1][len(stacks[1]) - len(stacks[0]) :] != stacks[0]:
        return None
    return [*stacks[1], *a[-2:-1], *(b[-1:] if len(b) > 1 else [])]


def _swapped(names: list[str | None]) -> list[str | None]:
    return [*names[:-2], *reversed(names[-2:])]


def _gathered(node: Node, indices: Sequence[Spelt]) -> str | None:
    """The subscript `:, i`; None where arrays are apart: NumPy would move their axes."""
    axes = _indexing(node).axes
    taken = [axis for axis, selects in enumerate(axes) if selects]
    if not taken or taken[-1] - taken[0] >= len(taken):
        return None
    return ", ".join([*[":"] * taken[0], *(index.text for index in indices)])


def _summed(node: Node) -> tuple[int, ...] | None:
    """The axes, where the node is the sum over them as `nodes.sum_` makes it."""
    params = node.params
    assert isinstance(params, Einstein)
    if len(params.operands) != 1:
        return None
    out = {affine.index for affine in params.out}
    axes = tuple(k for k, affine in enumerate(params.operands[0]) if affine.index not in out)
    made = nodes.sum_(node.inputs[0], axes)
    return axes if made.op is nodes.SUM and made.params == params else None


def _shape_follows(params: Einstein) -> bool:
    extents = dict(params.extents)
    indices = [affine.index for affine in params.out]
    return None not in indices and params.shape == tuple(
        extents[index] for index in indices if index is not None
    )


def _subscript(node: Node, region: Slice) -> str | None:
    """The region as `1:, ::-1`, where reading that back gives this very region."""
    from graphc.dispatch.indexing import index

    x = node.inputs[0]
    keys: list[slice] = []
    texts: list[str] = []
    parts = zip(region.starts, region.sizes, region.steps, x.type.shape, strict=True)
    for start, size, step, whole in parts:
        found = _axis_slice(start, size, step, whole)
        if found is None:
            return None
        keys.append(found)
        texts.append(_slice_text(found))
    if not keys:
        return None
    try:
        made = index(x, tuple(keys))
    except GraphError:
        return None
    if made.op is not node.op or made.params != region or made.inputs[0] is not x:
        return None
    while len(texts) > 1 and texts[-1] == ":":
        texts.pop()
    return ", ".join(texts)


def _axis_slice(start: Size, size: Size, step: Size, whole: Size) -> slice | None:
    if start == 0 and size == whole and step == 1:
        return slice(None)
    if step == -1 and size == whole and start == whole - 1:
        return slice(None, None, -1)
    if step == 1 and isinstance(start, int) and start + size == whole:
        return slice(start, None)
    if isinstance(step, int) and step > 0 and isinstance(start, int) and isinstance(size, int):
        stop = start + (size - 1) * step + 1 if size else start
        return slice(start or None, stop, None if step == 1 else step)
    left = whole - size
    if step == 1 and start == 0 and isinstance(left, int) and left > 0:
        return slice(None, -left)
    return None


def _slice_text(key: slice) -> str:
    start, stop = ("" if part is None else str(part) for part in (key.start, key.stop))
    return f"{start}:{stop}" + ("" if key.step is None else f":{key.step}")


def plain_size(size: Size) -> str:
    """A size as people read it."""
    return size_text(size)
