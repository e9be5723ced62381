"""What people call a few nodes together: `softmax(x)`, `mean(x, axis=1)`, `x[:, None]`.

A graph spells these out, stable and one node a step; a comment says them in a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from codegen.expr import FUNCTIONS, Apply, Expr, Number, Symbol, replace_symbols
from codegen.program import Broadcast, Reshape, Slice
from graphc.formula import parse, text
from graphc.inspect.shown import number
from graphc.ir import Node
from graphc.ops.elementwise import TABLE
from graphc.ops.kinds import (
    Axes,
    Contraction,
    Einstein,
    Elementwise,
    Gather,
    Indexing,
    RangeParams,
    Reduction,
    Scatter,
)
from graphc.rewrite.patterns import exp_sum, is_shifted, normaliser, operand_of, operands_of, sum_of
from graphc.rewrite.walk import uniform
from graphc.textual.spell import ATOM, PRODUCT, UNARY, Spelt, axis_text, matrix_product, plain_size
from graphc.types import DTYPES, product

Operand = Callable[[Node], Spelt]
PARTIAL = re.compile(r"The partial of (\w+) by (\w+)\.")
_LETTERS = "ijklmnopqrst"


def wording(node: Node, spelt: Operand) -> Spelt | None:
    """The node in a word, if there is one; `spelt` is how an operand is written.

    What has a name is called by it, so that only nodes without one are part of a word.
    """
    op = node.op
    if isinstance(op, Elementwise):
        if TABLE.get(op.name) is not op:
            return _partial(node, spelt)
        words = _WORDS.get(op.name)
        return words(node, spelt) if words is not None else None
    if isinstance(node.params, Reshape):
        return _reshaped(node, spelt)
    if isinstance(op, Contraction):
        return _einsum(node, spelt)
    return _added(node, spelt) if isinstance(op, Scatter) else None


def composition(node: Node) -> str:
    """The function that the node is the result of, for a name: "softmax", or ""."""
    if node.op is not _DIVIDE:
        return ""
    return "softmax" if _softmax(node, lambda _: Spelt("")) is not None else ""


# -- shapes ----------------------------------------------------------------------------------------


def _reshaped(node: Node, spelt: Operand) -> Spelt | None:
    """Axes of size 1 that are kept, added or dropped."""
    x = node.inputs[0]
    folded = _folded(x)
    if folded is not None and _kept(node, *folded):
        return Spelt(f"{spelt(x).text[:-1]}, keepdims=True)")
    entries = _entries(x.type.shape, node.type.shape)
    if entries is None:
        return None
    if isinstance(x.params, Slice) and not x.name and "None" not in entries:
        return _elements(x, entries, spelt)
    while entries and entries[-1] == ":":
        entries.pop()
    return Spelt(f"{_atom(spelt(x))}[{', '.join(entries)}]") if entries else None


def _folded(x: Node) -> tuple[Node, tuple[int, ...]] | None:
    """(operand, axes) of a sum or a reduction without a name."""
    if x.name:
        return None
    if isinstance(x.op, Reduction) and isinstance(x.params, Axes):
        return None if x.params.keepdims else (x.inputs[0], x.params.axes)
    return sum_of(x)


def _kept(node: Node, x: Node, axes: tuple[int, ...]) -> bool:
    kept = tuple(1 if k in axes else size for k, size in enumerate(x.type.shape))
    return bool(axes) and node.type.shape == kept


def _entries(old: tuple[object, ...], new: tuple[object, ...]) -> list[str] | None:
    """The subscripts that only add or drop axes of size 1."""
    entries: list[str] = []
    i = j = 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and old[i] == new[j]:
            entries.append(":")
            i, j = i + 1, j + 1
        elif j < len(new) and new[j] == 1:
            entries.append("None")
            j += 1
        elif i < len(old) and old[i] == 1:
            entries.append("0")
            i += 1
        else:
            return None
    return entries


def _elements(x: Node, entries: list[str], spelt: Operand) -> Spelt | None:
    """`x[2:3][0]` as `x[2]`, where the other axes are whole."""
    region = x.params
    assert isinstance(region, Slice)
    texts: list[str] = []
    for entry, start, size, whole in zip(
        entries, region.starts, region.sizes, x.inputs[0].type.shape, strict=True
    ):
        if entry == ":" and size != whole:
            return None
        texts.append(plain_size(start) if entry == "0" else ":")
    while texts and texts[-1] == ":":
        texts.pop()
    return Spelt(f"{_atom(spelt(x.inputs[0]))}[{', '.join(texts)}]") if texts else None


def _atom(operand: Spelt) -> str:
    return operand.text if operand.level > UNARY else f"({operand.text})"


def _twice(node: Node, spelt: Operand) -> Spelt | None:
    """What a square's two factors give alike."""
    x, y = map(spelt, node.inputs)
    if x != y:
        return None
    return Spelt(f"2.0 * {x.text if x.level >= UNARY else f'({x.text})'}", PRODUCT)


# -- index formulas and local derivatives ----------------------------------------------------------


def _einsum(node: Node, spelt: Operand) -> Spelt | None:
    """A sum of products that is no product of matrices, as NumPy writes it."""
    params = node.params
    assert isinstance(params, Einstein)
    parts = [*params.operands, params.out]
    if params.body is not None or len(params.operands) < 2 or len(params.extents) > len(_LETTERS):
        return None
    if any(affine.index is None for part in parts for affine in part) or matrix_product(params):
        return None
    letter = dict(zip((name for name, _ in params.extents), _LETTERS, strict=False))
    terms = ["".join(letter[str(affine.index)] for affine in part) for part in parts]
    operands = ", ".join(spelt(x).text for x in node.inputs)
    return Spelt(f"einsum('{','.join(terms[:-1])}->{terms[-1]}', {operands})")


def _partial(node: Node, spelt: Operand) -> Spelt | None:
    """A local derivative as `tanh'(x)`; that of arithmetic as its formula."""
    op = node.op
    assert isinstance(op, Elementwise)
    found = PARTIAL.fullmatch(op.doc)
    if found is None:
        return None
    primal, by = found.groups()
    known = TABLE.get(primal)
    if known is not None and is_arithmetic(parse(known.formula, known.args)):
        return _arithmetic(op, [spelt(x) for x in node.inputs])
    inputs = node.inputs
    if known is not None and op.args and op.args[-1] not in known.args:
        # The op's own output stands for its operands.
        y = inputs[-1]
        inputs = y.inputs if y.op.name == primal else inputs[:-1] or inputs
    word = f"{primal}'" if by == "x" else f"{primal}_{by}'"
    return Spelt(f"{word}({', '.join(spelt(x).text for x in inputs)})")


def _arithmetic(op: Elementwise, operands: list[Spelt]) -> Spelt:
    """The formula over the operands: of x ** 3 by x, `3.0 * x ** 2.0`."""
    by: dict[str, Expr] = {}
    for name, operand in zip(op.args, operands, strict=True):
        number = _float(operand.text)
        by[name] = Symbol(_atom(operand)) if number is None else Number(number)
    expr = _folded_numbers(replace_symbols(parse(op.formula, op.args), by))
    return Spelt(text(expr), 0 if isinstance(expr, Apply) else ATOM)


def _float(written: str) -> float | None:
    try:
        return float(written)
    except ValueError:
        return None


def _folded_numbers(expr: Expr) -> Expr:
    """`b - 1` of a number b as a number, `a ** 1` as a."""
    if not isinstance(expr, Apply):
        return expr
    args = tuple(_folded_numbers(arg) for arg in expr.args)
    if expr.function == "subtract" and all(isinstance(arg, Number) for arg in args):
        return Number(args[0].value - args[1].value)  # type: ignore[union-attr]
    if expr.function == "power" and args[1] == Number(1.0):
        return args[0]
    return Apply(expr.function, args)


def is_arithmetic(expr: Expr) -> bool:
    """Whether the expression consists of operators alone: everybody knows their derivatives."""
    if not isinstance(expr, Apply):
        return True
    operator = FUNCTIONS[expr.function].infix is not None
    return operator and all(is_arithmetic(arg) for arg in expr.args)


# -- means and softmax -----------------------------------------------------------------------------


def _mean(node: Node, spelt: Operand) -> Spelt | None:
    total, count = node.inputs
    inner = total.inputs[0] if isinstance(total.params, Reshape) and not total.name else total
    folded = sum_of(inner) if not inner.name else None
    if folded is None or total.name or not folded[1]:
        return None
    size = product(tuple(folded[0].type.shape[k] for k in folded[1]))
    said = spelt(total).text
    known = number(count)
    plain = size if isinstance(size, int) else plain_size(size)
    same = uniform(count) == size or (known is not None and known.text == plain)
    return Spelt(f"mean{said.removeprefix('sum')}") if same and said.startswith("sum(") else None


def _softmax(node: Node, spelt: Operand) -> Spelt | None:
    exps, total = node.inputs
    x = operand_of(exps, "exp")
    if x is None or exps.name or total.name:
        return None
    axes = normaliser(total, x)
    return None if axes is None else _over("softmax", x, axes, spelt)


def _unrepeated(node: Node) -> Node:
    """What is reshaped and repeated, to broadcast."""
    while isinstance(node.params, Reshape | Broadcast) and not node.name:
        node = node.inputs[0]
    return node


def _added(node: Node, spelt: Operand) -> Spelt | None:
    """A gradient at some of its elements: `p with -1.0 added at [arange(n), y]`."""
    params = node.params
    assert isinstance(params, Indexing)
    base, value, *indices = node.inputs
    if params.mode != "add" or uniform(base) == 0:
        return None
    rest = iter(indices)
    places = [spelt(_unrepeated(next(rest))).text if taken else ":" for taken in params.axes]
    while places[-1] == ":":
        places.pop()
    added = spelt(_unrepeated(value)).text
    return Spelt(f"{spelt(base).text}, with {added} added at [{', '.join(places)}]", 0)


def _log_softmax(node: Node, spelt: Operand) -> Spelt | None:
    x, logs = node.inputs
    total = operand_of(logs, "log")
    if total is None or logs.name or total.name or x.name:
        return None
    axes = normaliser(total, x)
    return None if axes is None else _over("log_softmax", x, axes, spelt)


def _over(name: str, x: Node, axes: tuple[int, ...], spelt: Operand) -> Spelt:
    """A function along axes that does not depend on a shift along them."""
    if not x.name and is_shifted(x):
        x = x.inputs[0]
    axis = "" if axes == (x.type.ndim - 1,) else axis_text(axes, x)
    return Spelt(f"{name}({spelt(x).text}{axis})")


def _log_of_sum(node: Node) -> tuple[Node, tuple[int, ...]] | None:
    """(x, axes) of log(sum(exp(x), axes)), where nothing in it has a name."""
    total = operand_of(node, "log")
    if total is None or node.name or total.name:
        return None
    found = exp_sum(total)
    return None if found is None or not is_shifted(found[0]) or found[0].name else found


def _logsumexp(node: Node, spelt: Operand) -> Spelt | None:
    """log(sum(exp(x - t))) + t."""
    parts = operands_of(node, "add")
    if parts is None:
        return None
    for logs, top in (parts, parts[::-1]):
        found = _log_of_sum(logs)
        if found is None:
            continue
        shifted, axes = found
        x, held = shifted.inputs
        if _below(top) is _below(held):
            return Spelt(f"logsumexp({spelt(x).text}{axis_text(axes, x)})")
    return None


def _below(node: Node) -> Node:
    """What is reshaped, or held constant."""
    while isinstance(node.params, Reshape) or operand_of(node, "stop_gradient") is not None:
        node = node.inputs[0]
    return node


def _cross_entropy(node: Node, spelt: Operand) -> Spelt | None:
    """log(sum(exp(x - t))) - (x - t)[arange, ..., labels, ...]."""
    found = _log_of_sum(node.inputs[0])
    chosen = node.inputs[1]
    if found is None or not isinstance(chosen.op, Gather) or chosen.name:
        return None
    shifted, axes = found
    params = chosen.params
    assert isinstance(params, Indexing)
    if chosen.inputs[0] is not shifted or len(axes) != 1 or not all(params.axes):
        return None
    indices = list(chosen.inputs[1:])
    labels = indices.pop(axes[0])
    if not all(isinstance(_below(index).params, RangeParams) for index in indices):
        return None
    x = shifted.inputs[0]
    axis = "" if axes == (x.type.ndim - 1,) else axis_text(axes, x)
    return Spelt(f"cross_entropy({spelt(x).text}, {spelt(labels).text}{axis})")


# -- which ops may have a word ---------------------------------------------------------------------


def _quotient(node: Node, spelt: Operand) -> Spelt | None:
    return _softmax(node, spelt) or _mean(node, spelt)


def _difference(node: Node, spelt: Operand) -> Spelt | None:
    return _cross_entropy(node, spelt) or _log_softmax(node, spelt)


def _total(node: Node, spelt: Operand) -> Spelt | None:
    return _logsumexp(node, spelt) or _twice(node, spelt)


def _condition(node: Node, spelt: Operand) -> Spelt | None:
    """A condition among numbers is 1 where it holds."""
    return spelt(node.inputs[0]) if node.inputs[0].type.dtype == "bool" else None


_DIVIDE = TABLE["divide"]
_WORDS: Mapping[str, Callable[[Node, Operand], Spelt | None]] = {
    "divide": _quotient,
    "subtract": _difference,
    "add": _total,
    **dict.fromkeys(DTYPES, _condition),
}
