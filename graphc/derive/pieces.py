"""A definition taken apart: its choices, its steps, and the smooth expression between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sympy as sp

from codegen.expr import FUNCTIONS, Apply, Expr, Number, Symbol
from graphc import formula
from graphc.derive.sympy_bridge import to_sympy
from graphc.errors import GraphValueError

# Piecewise constant: their derivative is zero wherever it exists.
STEPS = frozenset(
    name for name, function in FUNCTIONS.items() if function.result in ("bool", "i32", "i64")
) | {"sign", "floor", "ceil", "rint", "trunc", "heaviside", "floor_divide"}
KINKS = frozenset({"absolute", "maximum", "minimum", "fmax", "fmin"})
ZERO, ONE = Number(0), Number(1)


@dataclass(slots=True)
class Choice:
    """One place where the definition branches.

    left, right: a kink's boundary is left == right. For a `where`, `left` is the condition, `right`
    None. key: the boundary in canonical form, so that abs(x) and maximum(x, 0) share one.
    """

    left: Expr
    right: Expr | None
    key: object
    flipped: bool = False


@dataclass(slots=True)
class Pieces:
    """The definition's choices, in order, and its steps, each under an opaque symbol."""

    choices: list[Choice] = field(default_factory=list)
    steps: dict[str, Expr] = field(default_factory=dict)


def resolve_steps(expr: Expr, pieces: Pieces) -> Expr:
    """Steps become opaque symbols, and what is defined through steps or kinks is spelled out."""
    if not isinstance(expr, Apply):
        return expr
    if expr.function in STEPS:
        return _opaque(expr, pieces)
    if expr.function == "where":
        condition, *branches = expr.args
        return Apply("where", (condition, *(resolve_steps(branch, pieces) for branch in branches)))
    args = tuple(resolve_steps(arg, pieces) for arg in expr.args)
    if expr.function == "remainder":
        return _less_multiple(args, _opaque(Apply("floor_divide", expr.args), pieces))
    if expr.function == "fmod":
        quotient = Apply("trunc", (Apply("divide", expr.args),))
        return _less_multiple(args, _opaque(quotient, pieces))
    if expr.function == "copysign":
        size = Apply("absolute", (args[0],))
        return Apply("multiply", (size, _opaque(Apply("copysign", (ONE, expr.args[1])), pieces)))
    return Apply(expr.function, args)


def _less_multiple(args: tuple[Expr, ...], quotient: Expr) -> Expr:
    return Apply("subtract", (args[0], Apply("multiply", (args[1], quotient))))


def _opaque(expr: Expr, pieces: Pieces) -> Expr:
    for name, known in pieces.steps.items():
        if known == expr:
            return Symbol(name)
    name = f"step_{len(pieces.steps)}"
    pieces.steps[name] = expr
    return Symbol(name)


def collect(expr: Expr, pieces: Pieces) -> None:
    """Every choice of the tree, inner ones first."""
    if not isinstance(expr, Apply):
        return
    if expr.function == "where":
        for branch in expr.args[1:]:
            collect(branch, pieces)
        pieces.choices.append(Choice(expr.args[0], None, expr.args[0]))
        return
    for arg in expr.args:
        collect(arg, pieces)
    if expr.function in KINKS:
        left, right = expr.args[0], expr.args[1] if len(expr.args) == 2 else ZERO
        key, flipped = _boundary(left, right)
        pieces.choices.append(Choice(left, right, key, flipped))


def _boundary(left: Expr, right: Expr) -> tuple[object, bool]:
    """left - right up to a positive factor, and whether its sign was turned."""
    try:
        difference = sp.expand(to_sympy(left) - to_sympy(right))
    except GraphValueError:
        return (left, right), False
    content = difference.as_coeff_Mul()[0] if not difference.is_Add else difference.primitive()[0]
    if content != 0:
        difference = sp.expand(difference / sp.Abs(content))
    flipped = difference.could_extract_minus_sign()
    return _root(-difference if flipped else difference), flipped


def _root(boundary: sp.Expr) -> sp.Expr:
    """The same boundary, with the same sign on either side, without an exponential: exp(u) = c."""
    constant, rest = boundary.as_coeff_Add()
    if isinstance(rest, sp.exp) and constant.is_negative:
        return sp.expand(rest.args[0] - sp.log(-constant))
    return boundary


def conditions_of(pieces: Pieces) -> list[Choice]:
    """The distinct choices: one for each boundary, in order, in its shortest spelling."""
    distinct: dict[object, Choice] = {}
    for choice in pieces.choices:
        known = distinct.setdefault(choice.key, choice)
        if _length(choice) < _length(known):
            distinct[choice.key] = choice
    return list(distinct.values())


def _length(choice: Choice) -> int:
    return len(formula.text(choice.left)) + len(formula.text(choice.right or ZERO))


def take(expr: Expr, way: Mapping[object, str], conditions: Sequence[Choice]) -> Expr:
    """The smooth expression that remains when every choice goes its way."""
    if not isinstance(expr, Apply):
        return expr
    if expr.function == "where":
        return take(expr.args[1 if way[expr.args[0]] == ">" else 2], way, conditions)
    if expr.function not in KINKS:
        return Apply(expr.function, tuple(take(arg, way, conditions) for arg in expr.args))
    left, right = expr.args[0], expr.args[1] if len(expr.args) == 2 else ZERO
    key, flipped = _boundary(left, right)
    first = next(condition for condition in conditions if condition.key == key)
    greater = (way[key] == ">") != (flipped != first.flipped)
    left_taken = take(left, way, conditions)
    if expr.function == "absolute":
        return left_taken if greater else Apply("negative", (left_taken,))
    takes_left = greater == (expr.function in ("maximum", "fmax"))
    return left_taken if takes_left else take(right, way, conditions)
