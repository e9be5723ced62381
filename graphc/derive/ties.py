"""On a boundary between smooth pieces: the element of least norm of the hull of their gradients."""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from codegen.expr import Apply, Expr
from graphc.derive.hull import least_norm
from graphc.derive.pieces import ONE, ZERO
from graphc.derive.sympy_bridge import from_sympy

Vector = tuple[Expr, ...]


def at_tie(around: list[list[sp.Expr]], boundaries: Sequence[object]) -> tuple[Vector, bool]:
    """The element of least norm of the hull of the gradients `around`, on the boundaries; and
    whether there is more than one of them."""
    substitution = _solve(boundaries)
    vectors: list[list[sp.Expr]] = []
    for parts in around:
        on_it = [part.subs(substitution) for part in parts]
        if on_it not in vectors and not any(part.has(sp.nan, sp.zoo) for part in on_it):
            vectors.append(on_it)
    if not vectors:
        vectors = [around[0]]
    if len(vectors) == 1:
        # No jump: what holds on one side holds here, and the two need not be told apart.
        return tuple(from_sympy(part) for part in around[0]), False
    if all(part.is_Rational for vector in vectors for part in vector):
        return tuple(from_sympy(part) for part in least_norm(vectors)), True
    # Three and more varying pieces meet at a point: the first two decide, as they do around it.
    return _between(vectors[0], vectors[1]), True


def _solve(boundaries: Sequence[object]) -> dict[sp.Symbol, sp.Expr]:
    """What the boundaries say of one symbol each, where they are linear in it."""
    known: dict[sp.Symbol, sp.Expr] = {}
    for boundary in boundaries:
        if not isinstance(boundary, sp.Expr):
            continue
        boundary = boundary.subs(known)
        for name in sorted(boundary.free_symbols, key=lambda s: s.name):
            slope = sp.diff(boundary, name)
            if slope.is_number and slope != 0:
                known[name] = sp.expand(name - boundary / slope)
                break
    return known


def _between(p: list[sp.Expr], q: list[sp.Expr]) -> Vector:
    """The element of least norm between two gradients that are known only at the call."""
    if len(p) == 1:
        if p[0] + q[0] == 0:
            return (ZERO,)
        return (_nearer_zero(from_sympy(p[0]), from_sympy(q[0])),)
    # The point p + t (q - p), t in [0, 1], of least norm has t = p.(p - q) / |p - q|^2.
    along = sp.expand(sum(a * (a - b) for a, b in zip(p, q, strict=True)))
    length = sp.expand(sum((a - b) ** 2 for a, b in zip(p, q, strict=True)))
    t = sp.cancel(along / length)
    if t.is_number:
        t = sp.Min(sp.Max(t, 0), 1)
        return tuple(from_sympy(sp.expand(a + t * (b - a))) for a, b in zip(p, q, strict=True))
    ratio = Apply("minimum", (Apply("maximum", (from_sympy(along / length), ZERO)), ONE))
    weight = Apply("where", (Apply("greater", (from_sympy(length), ZERO)), ratio, ZERO))
    return tuple(_blend(a, b, weight) for a, b in zip(p, q, strict=True))


def _blend(a: sp.Expr, b: sp.Expr, weight: Expr) -> Expr:
    """a + weight * (b - a)"""
    if a == b:
        return from_sympy(a)
    change = weight if b - a == 1 else Apply("multiply", (weight, from_sympy(b - a)))
    return change if a == 0 else Apply("add", (from_sympy(a), change))


def _nearer_zero(a: Expr, b: Expr) -> Expr:
    """Of the interval between a and b the number of least magnitude."""
    if ZERO in (a, b):
        return ZERO
    low, high = Apply("minimum", (a, b)), Apply("maximum", (a, b))
    return Apply("add", (Apply("maximum", (low, ZERO)), Apply("minimum", (high, ZERO))))
