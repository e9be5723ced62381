"""Exact partials of one scalar definition, kinks included.

A definition is smooth pieces joined by choices (`where`, `maximum`, `abs`) and steps (`floor`,
comparisons). Each choice is resolved both ways, SymPy differentiates the smooth pieces that result,
and the pieces' gradients are joined by conditions again:

* between two pieces of a kink (`abs`, `maximum`) stands the element of least norm of the convex
  hull of the adjacent gradients, at the boundary, over the operands that are not literal constants;
* a `where` of the user's is no kink: the chosen branch is differentiated;
* a step is constant wherever its derivative exists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import sympy as sp

from codegen.expr import FUNCTIONS, Apply, Expr, Number, Symbol, rebuild, symbols
from graphc import formula
from graphc.derive.data import Kink
from graphc.derive.pieces import (
    ONE,
    STEPS,
    ZERO,
    Choice,
    Pieces,
    collect,
    conditions_of,
    resolve_steps,
    take,
)
from graphc.derive.sympy_bridge import from_sympy, symbol, to_sympy
from graphc.derive.ties import Vector, at_tie
from graphc.errors import GraphValueError, located

MAX_CHOICES = 6
MAX_TIES = 3

_OPPOSITE = {"greater": "less_equal", "greater_equal": "less", "equal": "not_equal"}


@dataclass(frozen=True, slots=True)
class Gradient:
    """The exact partial by each argument, as an expression; None is zero everywhere."""

    partials: tuple[Expr | None, ...]
    kinks: tuple[Kink, ...] = ()


def gradient(
    expr: Expr,
    args: Sequence[str],
    literal: Sequence[bool] = (),
    points: Sequence[tuple[str, tuple[str, ...]]] = (),
) -> Gradient:
    """The partials of `expr` by each of `args`.

    literal: which operands are literal constants; they get no partial and count in no norm.
    points: isolated points with the partials that stand there (`Elementwise.points`).

    Raises GraphValueError for a definition with too many choices to resolve at once.
    """
    literal = tuple(literal) or (False,) * len(args)
    free = [k for k, constant in enumerate(literal) if not constant]
    vector, kinks = _gradient(expr, args, free, literal)
    joined: list[Expr | None] = [None] * len(args)
    for at, k in enumerate(free):
        tree = _at_points(vector[at], k, args, points)
        joined[k] = None if tree == ZERO else tree
    for where, values in points:
        kinks.append(Kink(where, tuple(value or "formula" for value in values)))
    return Gradient(tuple(joined), tuple(kinks))


def _gradient(
    expr: Expr, args: Sequence[str], free: Sequence[int], literal: Sequence[bool]
) -> tuple[Vector, list[Kink]]:
    """The partials by the free args, and the kinks."""
    if isinstance(expr, Apply) and expr.function == "where":
        # An outermost choice needs no table: each branch is differentiated on its own.
        condition, *branches = expr.args
        (yes, kinks), (no, more) = (_gradient(branch, args, free, literal) for branch in branches)
        joined = tuple(choose(condition, a, b) for a, b in zip(yes, no, strict=True))
        return joined, kinks + [kink for kink in more if kink not in kinks]
    pieces = Pieces()
    lowered = resolve_steps(expr, pieces)
    collect(lowered, pieces)
    conditions = conditions_of(pieces)
    if len(conditions) > MAX_CHOICES:
        raise GraphValueError(
            located(f"formula `{formula.text(expr)}` has more than {MAX_CHOICES} choices: split it")
        )
    table, jumps = _table(lowered, args, free, pieces, conditions)
    vector = tuple(
        _restore(_join({way: row[at] for way, row in table.items()}, conditions), pieces)
        for at in range(len(free))
    )
    return vector, _kinks(table, jumps, conditions, literal, pieces)


# -- differentiating -------------------------------------------------------------------------------

_Way = tuple[str, ...]  # at each condition ">", "<" or "=" (a `where` has only ">" and "<")


def _table(
    expr: Expr,
    args: Sequence[str],
    free: Sequence[int],
    pieces: Pieces,
    conditions: Sequence[Choice],
) -> tuple[dict[_Way, Vector], set[_Way]]:
    """The gradient by the free arguments for each way of choosing, ties included; and the ties at
    which it jumps."""
    exact: dict[_Way, list[sp.Expr]] = {}
    for way in product("><", repeat=len(conditions)):
        smooth = to_sympy(
            take(expr, dict(zip((c.key for c in conditions), way, strict=True)), conditions)
        )
        exact[way] = [_derivative(smooth, symbol(args[k])) for k in free]
    table = {way: tuple(from_sympy(part) for part in parts) for way, parts in exact.items()}
    kinks = [at for at, condition in enumerate(conditions) if condition.right is not None]
    ties = [
        way
        for way in product("><=", repeat=len(conditions))
        if "=" in way and all(way[at] != "=" or at in kinks for at in range(len(way)))
    ]
    if len(kinks) > MAX_TIES:
        # So many boundaries never meet in practice: only single ties are told apart.
        ties = [way for way in ties if way.count("=") == 1]
    jumps: set[_Way] = set()
    for way in ties:
        around = [exact[near] for near in product("><", repeat=len(way)) if _touches(near, way)]
        boundaries = [conditions[at].key for at in range(len(way)) if way[at] == "="]
        table[way], jump = at_tie(around, boundaries)
        if jump:
            jumps.add(way)
    return table, jumps


def _derivative(smooth: sp.Expr, by: sp.Symbol) -> sp.Expr:
    """The derivative, with b a**(b - 1) in one power: SymPy's b a**b / a is 0/0 at a = 0."""
    slope = sp.diff(smooth, by)
    if any(not power.exp.is_number and power.base.free_symbols for power in slope.atoms(sp.Pow)):
        slope = sp.powsimp(sp.factor(slope), combine="exp")
    return slope


def _touches(near: _Way, way: _Way) -> bool:
    return all(b == "=" or a == b for a, b in zip(near, way, strict=True))


# -- putting together ------------------------------------------------------------------------------


def _join(table: Mapping[_Way, Expr], conditions: Sequence[Choice]) -> Expr:
    """One expression for the values of the table, by the conditions, the last one outermost."""
    if not conditions:
        return table[()]
    *inner, last = conditions

    def under(sign: str) -> Expr | None:
        rows = {way[:-1]: value for way, value in table.items() if way[-1] == sign}
        return _join(rows, inner) if rows else None

    greater, less, equal = under(">"), under("<"), under("=")
    assert greater is not None
    assert less is not None
    if last.right is None:
        return greater if greater == less else choose(last.left, greater, less)
    if equal is None:
        equal = less
    pair = (last.left, last.right)
    if greater == less == equal:
        return greater
    if equal == less:
        return choose(Apply("greater", pair), greater, less)
    if equal == greater:
        return choose(Apply("greater_equal", pair), greater, less)
    if equal == ZERO and last.right == ZERO and _opposite(greater, less):
        sign = Apply("sign", (last.left,))
        if greater == ONE:
            return sign
        return Apply("negative", (sign,)) if less == ONE else Apply("multiply", (greater, sign))
    strict = choose(Apply("greater", pair), greater, less)
    if strict == Apply("less_equal", pair):
        strict = Apply("less", pair)  # the tie is decided before
    return choose(Apply("equal", pair), equal, strict)


def _opposite(a: Expr, b: Expr) -> bool:
    if isinstance(a, Number) and isinstance(b, Number):
        return a.value == -b.value
    return Apply("negative", (a,)) == b or Apply("negative", (b,)) == a


def choose(condition: Expr, yes: Expr, no: Expr) -> Expr:
    """where(condition, yes, no), as a mask where it is one: a product with a bool is fast."""
    if isinstance(no, Apply) and no.function == "where" and no.args[0] == condition:
        no = no.args[2]
    if yes == no:
        return yes
    if yes == ONE and no == ZERO:
        return condition
    if (
        yes == ZERO
        and no == ONE
        and isinstance(condition, Apply)
        and condition.function in _OPPOSITE
    ):
        return Apply(_OPPOSITE[condition.function], condition.args)
    if no == ZERO and is_mask(yes):
        return Apply("logical_and", (condition, yes))
    return Apply("where", (condition, yes, no))


def is_mask(expr: Expr) -> bool:
    """Whether the expression is a comparison or a combination of such."""
    return isinstance(expr, Apply) and FUNCTIONS[expr.function].result == "bool"


def _restore(tree: Expr, pieces: Pieces) -> Expr:
    if not pieces.steps:
        return tree

    def leaf(node: Expr) -> Expr:
        return pieces.steps.get(node.name, node) if isinstance(node, Symbol) else node

    return rebuild(tree, leaf)


def _at_points(
    tree: Expr, k: int, args: Sequence[str], points: Sequence[tuple[str, tuple[str, ...]]]
) -> Expr:
    for where, values in reversed(points):
        if values[k]:
            condition = formula.parse(where, tuple(args))
            tree = choose(condition, formula.parse(values[k], tuple(args)), tree)
    return tree


def _kinks(
    table: Mapping[_Way, Vector],
    jumps: set[_Way],
    conditions: Sequence[Choice],
    literal: Sequence[bool],
    pieces: Pieces,
) -> list[Kink]:
    """What stands on each boundary on which the gradient jumps, other boundaries being apart."""
    found: list[Kink] = []
    show: Callable[[Expr], str] = formula.text
    for at, condition in enumerate(conditions):
        if condition.right is None:
            continue
        seen: list[tuple[str, ...]] = []
        for way, vector in table.items():
            if way[at] != "=" or way.count("=") != 1 or way not in jumps:
                continue
            parts = iter(vector)
            values = tuple(
                "literal" if constant else show(_restore(next(parts), pieces))
                for constant in literal
            )
            if values not in seen:
                seen.append(values)
                where = show(_restore(Apply("equal", (condition.left, condition.right)), pieces))
                found.append(Kink(where, values))
    return found


def constant_in(expr: Expr, args: Sequence[str]) -> bool:
    """Whether no argument moves the value but through conditions and steps: no partial at all."""
    if isinstance(expr, Apply):
        if expr.function in STEPS:
            return True
        parts = expr.args[1:] if expr.function == "where" else expr.args
        return all(constant_in(part, args) for part in parts)
    return not any(name in args for name in symbols(expr))
