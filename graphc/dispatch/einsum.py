"""np.einsum's notation -> an index formula.

    subscripts = term {"," term} ["->" term]        "ij,jk->ik"    "...i,...i->..."    "ii"

Without an arrow, the output has the ellipsis and the letters that occur once, in their order in
the alphabet.
"""

from __future__ import annotations

from codegen.program import Affine
from graphc import nodes
from graphc.errors import GraphValueError, located
from graphc.ir import Node
from graphc.ops.kinds import Contraction, Einstein
from graphc.types import Size, same_size, size_text

EINSUM = Contraction("einsum")


def einsum_nodes(subscripts: str, operands: tuple[Node, ...]) -> Node:
    """The node of an einsum.

    Raises GraphValueError where the subscripts do not fit the operands.
    """
    text = subscripts.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise _error(subscripts, f"{len(terms)} terms for {len(operands)} operands")
    ellipsis = _ellipsis_names(subscripts, terms, operands)
    labels = [
        _expand(subscripts, term, _ellipsis_of(term, operand, ellipsis))
        for term, operand in zip(terms, operands, strict=True)
    ]
    for operand, names in zip(operands, labels, strict=True):
        if len(names) != operand.type.ndim:
            raise _error(
                subscripts,
                f"{nodes.describe(operand)} has {operand.type.ndim} axes, its term {len(names)}",
            )
    sizes = _sizes(subscripts, operands, labels)
    if arrow:
        out = _expand(subscripts, right, ellipsis if "." in right else ())
    else:
        every = [name for names in labels for name in names]
        once = sorted(name for name in set(every) if every.count(name) == 1 and len(name) == 1)
        out = (*ellipsis, *once)
    for name in out:
        if name not in sizes:
            raise _error(subscripts, f"the output has {name!r}, which no operand has")
    if len(set(out)) != len(out):
        raise _error(subscripts, "the output has an index twice")
    for name in ellipsis:
        if name not in out:
            raise _error(subscripts, "the output lacks the ellipsis `...`")
    summed = [name for name in sizes if name not in out]
    params = Einstein(
        out=tuple(nodes.index(name) for name in out),
        operands=tuple(
            tuple(_index(name, size, sizes) for name, size in zip(names, x.type.shape, strict=True))
            for names, x in zip(labels, operands, strict=True)
        ),
        extents=tuple((name, sizes[name]) for name in (*out, *summed)),
        shape=tuple(sizes[name] for name in out),
    )
    return nodes.contraction(EINSUM, params, *operands)


def _index(name: str, size: Size, sizes: dict[str, Size]) -> Affine:
    # An axis of size 1 against a longer one is repeated: always its position 0.
    return nodes.FIRST if size == 1 and sizes[name] != 1 else nodes.index(name)


def _ellipsis_names(
    subscripts: str, terms: list[str], operands: tuple[Node, ...]
) -> tuple[str, ...]:
    count = 0
    for term, operand in zip(terms, operands, strict=True):
        if "..." in term:
            rest = operand.type.ndim - (len(term) - 3)
            if rest < 0:
                raise _error(subscripts, f"{nodes.describe(operand)} has too few axes for {term!r}")
            count = max(count, rest)
    return tuple(f"e{k}" for k in range(count))


def _ellipsis_of(term: str, operand: Node, ellipsis: tuple[str, ...]) -> tuple[str, ...]:
    if "..." not in term:
        return ()
    own = operand.type.ndim - (len(term) - 3)
    return ellipsis[len(ellipsis) - own :]


def _expand(subscripts: str, term: str, ellipsis: tuple[str, ...]) -> tuple[str, ...]:
    before, dots, after = term.partition("...")
    for letter in before + after:
        if not (letter.isascii() and letter.isalpha()):
            raise _error(subscripts, f"{letter!r} is no index")
    return (*before, *(ellipsis if dots else ()), *after)


def _sizes(
    subscripts: str, operands: tuple[Node, ...], labels: list[tuple[str, ...]]
) -> dict[str, Size]:
    sizes: dict[str, Size] = {}
    for operand, names in zip(operands, labels, strict=True):
        for name, size in zip(names, operand.type.shape, strict=True):
            known = sizes.setdefault(name, size)
            if known == 1:
                sizes[name] = size
            elif size != 1 and same_size(known, size) is False:
                what = f"{name!r} is {size_text(known)} and {size_text(size)}"
                raise _error(subscripts, f"{what}, in {', '.join(map(nodes.describe, operands))}")
    return sizes


def _error(subscripts: str, what: str) -> GraphValueError:
    return GraphValueError(located(f"np.einsum {subscripts!r}: {what}"))
