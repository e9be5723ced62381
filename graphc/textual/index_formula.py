"""Index formulas of one node: `[n,h] = [n,2*h+p] * [p]` <-> an `Einstein`.

The exact form, extents and shape beside it; what users write is `graphc.contraction`'s.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from codegen.expr import Apply, Expr, Extent, Symbol, replace_symbols
from codegen.program import Affine
from graphc import formula
from graphc.errors import GraphSyntaxError, GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.ops.kinds import Einstein
from graphc.textual.limits import MAX_NDIM
from graphc.types import Dim, Size, parse_size

_GROUP = re.compile(r"\[([^\[\]]*)\]")
_TERM = re.compile(r"\s*([+-]?)\s*(?:(?:(\d+)\s*\*\s*)?([A-Za-z_]\w*)|(\d+))\s*")


def write_contraction(params: Einstein) -> str:
    """`[i,j] = [i,k] * [k,j]`."""
    operands = " * ".join(_group(indices) for indices in params.operands)
    return f"{_group(params.out)} = {operands}"


def write_body(params: Einstein) -> str | None:
    """The body over a0, a1, ...; None where it is the product.

    Raises GraphTypeError for a body that mentions a size, which no text of ours holds.
    """
    if params.body is None:
        return None
    if _has_extent(params.body):
        raise GraphTypeError("a contraction whose body mentions a size cannot be written as text")
    names: dict[str, Expr] = {str(k): Symbol(f"a{k}") for k in range(len(params.operands))}
    return formula.text(replace_symbols(params.body, names))


def _has_extent(expr: Expr) -> bool:
    if isinstance(expr, Apply):
        return any(_has_extent(arg) for arg in expr.args)
    return isinstance(expr, Extent)


def _group(indices: Sequence[Affine]) -> str:
    return f"[{','.join(_affine_text(affine) for affine in indices)}]"


def _affine_text(affine: Affine) -> str:
    text = "+".join(name if c == 1 else f"{c}*{name}" for name, c in affine.terms)
    if affine.offset or not text:
        text += f"+{affine.offset}" if text else str(affine.offset)
    return text.replace("+-", "-")


def read_contraction(
    text: str,
    operands: Sequence[Node],
    sizes: Any = (),
    shape: Any = None,
    body: str | None = None,
) -> Einstein:
    """The params that an index formula spells for these operands.

    sizes: (('i', n), ...), each index with its extent, outer ones first. shape: the result's; it
    follows from the extents where every outer index is a bare name.

    Raises GraphSyntaxError for the formula, GraphValueError where it does not fit the operands.
    """
    left, equals, right = text.partition("=")
    outs = [_read_group(group) for group in _GROUP.findall(left)]
    groups = [_read_group(group) for group in _GROUP.findall(right)]
    skeleton = _GROUP.sub("#", left) + equals + _GROUP.sub("#", right)
    if len(outs) != 1 or not re.fullmatch(r"\s*#\s*=\s*#(\s*\*\s*#)*\s*", skeleton):
        raise GraphSyntaxError(located(f"index formula `{text}` is written [i,j] = [i,k] * [k,j]"))
    if len(groups) != len(operands):
        raise GraphValueError(
            located(f"index formula `{text}` has {len(groups)} operands, {len(operands)} are given")
        )
    for group, operand in zip(groups, operands, strict=True):
        if len(group) != operand.type.ndim:
            raise GraphValueError(
                located(f"index formula `{text}`: {len(group)} indices for {operand.type}")
            )
    extents = _extents(text, sizes)
    used = {name for group in (outs[0], *groups) for affine in group for name, _ in affine.terms}
    missing = sorted(used - dict(extents).keys())
    if missing:
        raise GraphValueError(located(f"index formula `{text}`: no size for {missing[0]!r}"))
    return Einstein(
        out=outs[0],
        operands=tuple(groups),
        extents=extents,
        shape=_shape(text, outs[0], dict(extents), shape),
        body=None if body is None else _read_body(body, len(operands)),
    )


def _read_group(text: str) -> tuple[Affine, ...]:
    if not text.strip():
        return ()
    parts = text.split(",")
    if len(parts) > MAX_NDIM:
        raise GraphSyntaxError(located(f"more than {MAX_NDIM} indices"))
    return tuple(_read_affine(part) for part in parts)


def _read_affine(text: str) -> Affine:
    terms: list[tuple[str, int]] = []
    offset = 0
    at = 0
    while at < len(text):
        match = _TERM.match(text, at)
        if match is None or (at and not match[1]):
            raise GraphSyntaxError(located(f"index {text.strip()!r} is written like 2*h+p-1"))
        sign = -1 if match[1] == "-" else 1
        if match[3]:
            terms.append((match[3], sign * int(match[2] or 1)))
        else:
            offset += sign * int(match[4])
        at = match.end()
    if not text.strip():
        raise GraphSyntaxError(located("an empty index"))
    return Affine(tuple(terms), offset)


def _extents(text: str, sizes: Any) -> tuple[tuple[str, Size], ...]:
    pairs = sizes if isinstance(sizes, tuple | list) else ()
    found: list[tuple[str, Size]] = []
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise GraphTypeError(located(f"index formula `{text}`: sizes are (('i', n), ...)"))
        found.append((pair[0], read_size(pair[1])))
    if len(dict(found)) != len(found):
        raise GraphValueError(located(f"index formula `{text}`: an index has two sizes"))
    return tuple(found)


def read_size(value: Any) -> Size:
    """A size as a formula has it: a number, an expression in names, or that as text."""
    if isinstance(value, Dim) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, str):
        return parse_size(value)
    raise GraphTypeError(located(f"a size is an integer expression in names, not {value!r}"))


def _shape(
    text: str, out: tuple[Affine, ...], extents: dict[str, Size], shape: Any
) -> tuple[Size, ...]:
    if shape is not None:
        sizes = tuple(read_size(s) for s in (shape if isinstance(shape, tuple | list) else [shape]))
        if len(sizes) != len(out):
            raise GraphValueError(located(f"index formula `{text}`: {len(sizes)} sizes in shape="))
        return sizes
    names = [affine.index for affine in out]
    if None in names:
        raise GraphValueError(located(f"index formula `{text}`: shape= is missing"))
    return tuple(extents[name] for name in names if name is not None)


def _read_body(text: str, arity: int) -> Expr:
    if not isinstance(text, str):
        raise GraphTypeError(located("body= is a formula over a0, a1, ..."))
    names = tuple(f"a{k}" for k in range(arity))
    symbols: dict[str, Expr] = {name: Symbol(str(k)) for k, name in enumerate(names)}
    return replace_symbols(formula.parse(text, names), symbols)
