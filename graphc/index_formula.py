"""Index formulas: `y[b,o] = a[b,i] * W[o,i,j] * c[b,j]`.

    formula = name "[" indices "]" "=" body
    body    = a scalar formula over factors name "[" indices "]"; a scalar operand is a bare name
    indices = index {"," index}; an index is an integer expression linear in names (`2*h+p-1`), an
              int, or once `...`, which stands for the leading or middle axes that are left

Every index that the left side lacks is summed over. Where an index would read outside an operand,
the term is absent. Sizes follow from the operands: an index that stands alone somewhere has that
axis's size; of `x[2*h+p]` with p known, h takes every place that stays inside.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from codegen.expr import Apply, Expr, Symbol
from codegen.program import Affine
from codegen.record import record
from graphc.errors import GraphSyntaxError, GraphTypeError, GraphValueError, located
from graphc.formula import parse
from graphc.ir import Node
from graphc.nodes import describe, index
from graphc.ops.kinds import Einstein
from graphc.types import Size, floordiv, same_size, size_text

MAX_LENGTH = 2000
_FACTOR = re.compile(r"([A-Za-z_]\w*)\s*\[([^\[\]]*)\]")
_DOTS = "..."
Index = Affine | str  # `_DOTS` for the ellipsis


@record
class IndexFormula:
    """A formula as read: operands in order of appearance, each with its places in the body.

    args: the operands' names; places: for each factor of the body, (its operand, its indices).
    body: over Symbol("0"), Symbol("1"), ... which stand for the factors; None for their product.
    """

    text: str
    args: tuple[str, ...]
    out: tuple[Index, ...]
    places: tuple[tuple[int, tuple[Index, ...]], ...]
    body: Expr | None


def read(name: str, text: str) -> IndexFormula:
    """The formula in `text`.

    Raises GraphSyntaxError where it cannot be read, and names the part.
    """
    if not isinstance(text, str):
        raise GraphTypeError(located(f"contraction {name!r}: the formula is text"))
    if len(text) > MAX_LENGTH:
        raise _error(name, text[:40] + "...", f"longer than {MAX_LENGTH} characters")
    left, equals, right = text.partition("=")
    head = _FACTOR.fullmatch(left.strip()) or re.fullmatch(r"([A-Za-z_]\w*)()", left.strip())
    if not equals or head is None:
        raise _error(name, text, "write y[i, j] = ...")
    out = _indices(name, text, head[2])
    args: list[str] = []
    places: list[tuple[int, tuple[Index, ...]]] = []

    def factor(match: re.Match[str]) -> str:
        places.append((_place(args, match[1]), _indices(name, text, match[2])))
        return f"factor_{len(places) - 1}"

    body_text = _FACTOR.sub(factor, right)
    if "[" in body_text or "]" in body_text:
        raise _error(name, text, "brackets do not match")
    count = len(places)
    known = [f"factor_{k}" for k in range(count)]
    for scalar in _bare_names(name, text, body_text, known):
        places.append((_place(args, scalar), ()))
        known.append(scalar)
    if not places:
        raise _error(name, text, "the right side has no operand")
    body = parse(body_text.strip(), tuple(known))
    numbered = _renamed(body, {symbol: str(k) for k, symbol in enumerate(known)})
    product = _is_product(numbered, len(known))
    return IndexFormula(text, tuple(args), out, tuple(places), None if product else numbered)


def _place(args: list[str], name: str) -> int:
    if name not in args:
        args.append(name)
    return args.index(name)


def _bare_names(name: str, text: str, body: str, known: Sequence[str]) -> list[str]:
    from graphc.formula import free_names

    try:
        return [found for found in free_names(body.strip()) if found not in known]
    except GraphSyntaxError as error:
        raise _error(name, text, str(error).rpartition(": ")[2]) from None


def _renamed(expr: Expr, names: dict[str, str]) -> Expr:
    from codegen.expr import replace_symbols

    return replace_symbols(expr, {old: Symbol(new) for old, new in names.items()})


def _is_product(expr: Expr, count: int) -> bool:
    """Whether the body is every factor once, multiplied."""
    found: list[str] = []
    stack = [expr]
    while stack:
        part = stack.pop()
        if isinstance(part, Apply) and part.function == "multiply":
            stack.extend(part.args)
        elif isinstance(part, Symbol):
            found.append(part.name)
        else:
            return False
    return sorted(found) == sorted(str(k) for k in range(count))


def _indices(name: str, text: str, inside: str) -> tuple[Index, ...]:
    parts = [part.strip() for part in inside.split(",")] if inside.strip() else []
    found = tuple(_DOTS if part == _DOTS else _affine(name, text, part) for part in parts)
    if found.count(_DOTS) > 1:
        raise _error(name, text, "`...` stands twice in one place")
    return found


def _affine(name: str, text: str, part: str) -> Affine:
    try:
        tree = ast.parse(part, mode="eval").body
        terms = _linear(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _error(name, text, f"the index {part!r} is not linear in names") from None
    offset = terms.pop("", 0)
    return Affine(tuple((index, c) for index, c in terms.items() if c), offset)


def _linear(tree: ast.expr) -> dict[str, int]:
    match tree:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return {"": value}
        case ast.Name(id=name):
            return {name: 1}
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return {key: -c for key, c in _linear(operand).items()}
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
            sign = 1 if isinstance(op, ast.Add) else -1
            total = dict(_linear(left))
            for key, c in _linear(right).items():
                total[key] = total.get(key, 0) + sign * c
            return total
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            a, b = _linear(left), _linear(right)
            if set(b) <= {""}:
                a, b = b, a
            if set(a) <= {""}:
                return {key: c * a.get("", 0) for key, c in b.items()}
    raise ValueError("not linear")


def _error(name: str, text: str, what: str) -> GraphSyntaxError:
    return GraphSyntaxError(located(f"contraction {name!r}: `{text}`: {what}"))


# -- on operands -----------------------------------------------------------------------------------


def einstein(name: str, formula: IndexFormula, operands: Sequence[Node]) -> Einstein:
    """The formula for operands of these types, with every index's size.

    Raises GraphValueError where the sizes disagree, or do not determine an index.
    """
    dots = _dots(name, formula, operands)
    places = [
        (operand, _expanded(name, formula, indices, operands[operand], dots))
        for operand, indices in formula.places
    ]
    axes = [
        (at, size, operands[operand])
        for operand, indices in places
        for at, size in zip(indices, operands[operand].type.shape, strict=True)
    ]
    sizes = _sizes(name, formula, axes)
    out: tuple[Affine, ...] = ()
    for item in formula.out:
        out += tuple(map(index, dots)) if isinstance(item, str) else (item,)
    for at in out:
        for letter, _ in at.terms:
            if letter not in sizes:
                raise _mismatch(
                    name, formula, f"the result has the index {letter!r}, no operand has"
                )
    first = [letter for at in out for letter, _ in at.terms]
    order = list(dict.fromkeys([*first, *sizes]))
    return Einstein(
        out,
        tuple(indices for _, indices in places),
        tuple((letter, sizes[letter]) for letter in order),
        tuple(_reach(at, sizes) for at in out),
        formula.body,
    )


def _dots(name: str, formula: IndexFormula, operands: Sequence[Node]) -> tuple[str, ...]:
    count = 0
    for operand, indices in formula.places:
        if _DOTS in indices:
            left = operands[operand].type.ndim - (len(indices) - 1)
            if left < 0:
                shown = f"{formula.args[operand]} {describe(operands[operand])}"
                raise _mismatch(name, formula, f"{shown} has too few axes")
            count = max(count, left)
    return tuple(f"dots{k}" for k in range(count))


def _expanded(
    name: str,
    formula: IndexFormula,
    indices: tuple[Index, ...],
    operand: Node,
    dots: tuple[str, ...],
) -> tuple[Affine, ...]:
    own = operand.type.ndim - (len(indices) - 1) if _DOTS in indices else 0
    found: tuple[Affine, ...] = ()
    for item in indices:
        found += tuple(map(index, dots[len(dots) - own :])) if isinstance(item, str) else (item,)
    if len(found) != operand.type.ndim:
        what = f"{describe(operand)} has {operand.type.ndim} axes, the formula {len(found)}"
        raise _mismatch(name, formula, what)
    return found


def _sizes(
    name: str, formula: IndexFormula, axes: Sequence[tuple[Affine, Size, Node]]
) -> dict[str, Size]:
    sizes: dict[str, Size] = {}
    for at, size, operand in axes:
        letter = at.index
        if letter is None:
            continue
        known = sizes.setdefault(letter, size)
        if same_size(known, size) is False:
            what = f"the index {letter!r} is {size_text(known)} and {size_text(size)}"
            raise _mismatch(name, formula, f"{what} in {describe(operand)}")
    # What stands in sums only: the count of places that stay inside, the others at their largest.
    for at, size, _ in axes:
        unknown = [(letter, c) for letter, c in at.terms if letter not in sizes]
        if len(unknown) != 1 or unknown[0][1] < 0:
            continue
        letter, scale = unknown[0]
        span: Size = at.offset
        for other, c in at.terms:
            if other != letter and c > 0:
                span = span + (sizes[other] - 1) * c
        sizes[letter] = floordiv(size - 1 - span, scale) + 1
    for at, _, operand in axes:
        for letter, _ in at.terms:
            if letter not in sizes:
                what = f"the size of the index {letter!r} is not determined by {describe(operand)}"
                raise _mismatch(name, formula, what)
    return sizes


def _reach(at: Affine, sizes: dict[str, Size]) -> Size:
    """The result's size along an axis: one more than the largest position reached."""
    last: Size = at.offset
    for letter, c in at.terms:
        if c > 0:
            last = last + (sizes[letter] - 1) * c
    return last + 1


def _mismatch(name: str, formula: IndexFormula, what: str) -> GraphValueError:
    return GraphValueError(located(f"{name}: `{formula.text}`: {what}"))


def operand_count_error(name: str, formula: IndexFormula, given: int) -> GraphTypeError:
    """The error for a wrong number of operands."""
    args = ", ".join(formula.args)
    return GraphTypeError(
        located(f"{name} takes {len(formula.args)} operands ({args}), got {given}")
    )
