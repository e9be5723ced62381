"""The derivation of an op: from the record, from the cache of earlier processes, or by SymPy."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from codegen.expr import Apply, Expr
from graphc import formula
from graphc.derive.data import (
    Derivation,
    Form,
    from_section,
    read_block,
    recorded,
    section_name,
    to_text,
)
from graphc.errors import GraphNameError, GraphValueError, located
from graphc.ops.elementwise import TABLE
from graphc.ops.kinds import Elementwise

if TYPE_CHECKING:
    from codegen.cache import Cache

__all__ = ["Derivation", "derivation", "stable_formula"]

_KINKS = frozenset({"absolute", "maximum", "minimum", "fmax", "fmin"})


@lru_cache(maxsize=4096)
def derivation(op: Elementwise | str, literal: tuple[bool, ...] = ()) -> Derivation:
    """The derivation of `op`, or of the table's op of that name; printed, it is for reading.

    literal: which operands are literal constants. They get no partial, and at a kink the element of
        least norm is taken over the others alone.

    The ops of the table and their partials are read from the record; anything else is derived by
    SymPy at first use, and kept in the cache from then on. Raises GraphValueError where the
    definition is beyond what can be differentiated, GraphNameError for an unknown name.
    """
    if isinstance(op, str):
        return derivation(_named(op), literal)
    if not op.differentiable:
        none = (None,) * len(op.args)
        return Derivation(op, op.formula, none, Form(op.formula), none)
    section = recorded(op, section_name(op, literal))
    if section is not None:
        return from_section(op, section)
    # The record holds only what differs where operands are literals.
    if any(literal) and (recorded(op, op.name) is not None or not _matters(op)):
        return _without(derivation(op), literal)
    return _cached(op, literal)


def stable_formula(op: Elementwise) -> str:
    """The formula to compute an op by: the stable form of its definition.

    A partial's formula is that form already. What cannot be derived is computed as it is written.
    """
    if op.definition:
        return op.formula
    try:
        return derivation(op).form
    except GraphValueError:
        return op.formula


def _named(name: str) -> Elementwise:
    if name in TABLE:
        return TABLE[name]
    import difflib

    close = difflib.get_close_matches(name, TABLE, 1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise GraphNameError(located(f"no elementwise op {name!r}{hint}"))


def _without(full: Derivation, literal: tuple[bool, ...]) -> Derivation:
    """The same derivation with no partial for literal operands."""
    keep = [not constant for constant in literal]
    partials = tuple(p if k else None for p, k in zip(full.partials, keep, strict=True))
    forms = tuple(f if k else None for f, k in zip(full.forms, keep, strict=True))
    return Derivation(full.op, full.form, partials, full.value, forms, full.kinks)


def _matters(op: Elementwise) -> bool:
    """Whether literal operands can change another's partial: only at a kink of several operands."""
    return len(op.args) > 1 and _has_kink(formula.parse(op.definition or op.formula, op.args))


def _has_kink(expr: Expr) -> bool:
    if not isinstance(expr, Apply):
        return False
    return expr.function in _KINKS or any(_has_kink(arg) for arg in expr.args)


# -- what is not in the record ---------------------------------------------------------------------


def _cached(op: Elementwise, literal: tuple[bool, ...]) -> Derivation:
    import json

    from codegen.cache import default_cache
    from codegen.entries import Entry

    cache = default_cache()
    key = _key(op, literal, cache)
    entry = cache.get(key)
    if entry is not None:
        return from_section(op, read_block(json.loads(entry.facts["derivation"]), "op"))
    from graphc.derive.search import QUICK, derive

    found = derive(op, literal, QUICK)
    block = to_text(found, "op")
    comment = "".join(f"# {line}\n" for line in str(found).splitlines())
    cache.put(key, Entry(comment, facts={"derivation": json.dumps(block)}))
    return found


def _key(op: Elementwise, literal: tuple[bool, ...], cache: Cache) -> str:
    """What the derivation depends on: the definition, and the sources whose judgement it is."""
    import json
    import os

    from codegen.cache import digest_of_sources, key_of

    identity: list[Any] = [
        op.name,
        op.args,
        op.formula,
        op.definition,
        op.points,
        op.given,
        literal,
    ]
    folder = os.path.dirname(os.path.abspath(__file__))
    return key_of("derivation", json.dumps(identity), digest_of_sources(folder, cache=cache))
