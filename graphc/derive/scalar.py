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
from dataclasses import dataclass, field
from itertools import product

import sympy as sp

from codegen.expr import FUNCTIONS, Apply, Expr, Number, Symbol, rebuild, symbols
from graphc import formula
from graphc.derive.data import Kink
from graphc.derive.hull import least_norm
from graphc.derive.sympy_bridge import from_sympy, symbol, to_sympy
from graphc.errors import GraphValueError, located

MAX_CHOICES = 6
MAX_TIES = 3

# Piecewise constant: their derivative is zero wherever it exists.
STEPS = frozenset(
    name for name, function in FUNCTIONS.items() if function.result in ("bool", "i32", "i64")
) | {"sign", "floor", "ceil", "rint", "trunc", "heaviside", "floor_divide"}
_KINKS = frozenset({"absolute", "maximum", "minimum", "fmax", "fmin"})
_OPPOSITE = {"greater": "less_equal", "greater_equal": "less", "equal": "not_equal"}
ZERO, ONE = Number(0), Number(1)


@dataclass(frozen=True, slots=True)
class Gradient:
    """The exact partial by each argument, as an expression; None is zero everywhere."""

    partials: tuple[Expr | None, ...]
    kinks: tuple[Kink, ...] = ()


@dataclass(slots=True)
class _Choice:
    """One place where the definition branches.

    left, right: a kink's boundary is left == right. For a `where`, `left` is the condition, `right`
    None. key: the boundary in canonical form, so that abs(x) and maximum(x, 0) share one.
    """

    left: Expr
    right: Expr | None
    key: object
    flipped: bool = False


@dataclass(slots=True)
class _Pieces:
    """The definition's choices, in order, and its steps, each under an opaque symbol."""

    choices: list[_Choice] = field(default_factory=list)
    steps: dict[str, Expr] = field(default_factory=dict)


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
) -> tuple[_Vector, list[Kink]]:
    """The partials by the free args, and the kinks."""
    if isinstance(expr, Apply) and expr.function == "where":
        # An outermost choice needs no table: each branch is differentiated on its own.
        condition, *branches = expr.args
        (yes, kinks), (no, more) = (_gradient(branch, args, free, literal) for branch in branches)
        joined = tuple(choose(condition, a, b) for a, b in zip(yes, no, strict=True))
        return joined, kinks + [kink for kink in more if kink not in kinks]
    pieces = _Pieces()
    lowered = _resolve_steps(expr, pieces)
    _collect(lowered, pieces)
    conditions = _conditions(pieces)
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


# -- taking apart ----------------------------------------------------------------------------------


def _resolve_steps(expr: Expr, pieces: _Pieces) -> Expr:
    """Steps become opaque symbols, and what is defined through steps or kinks is spelled out."""
    if not isinstance(expr, Apply):
        return expr
    if expr.function in STEPS:
        return _opaque(expr, pieces)
    if expr.function == "where":
        condition, *branches = expr.args
        return Apply("where", (condition, *(_resolve_steps(branch, pieces) for branch in branches)))
    args = tuple(_resolve_steps(arg, pieces) for arg in expr.args)
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


def _opaque(expr: Expr, pieces: _Pieces) -> Expr:
    for name, known in pieces.steps.items():
        if known == expr:
            return Symbol(name)
    name = f"step_{len(pieces.steps)}"
    pieces.steps[name] = expr
    return Symbol(name)


def _collect(expr: Expr, pieces: _Pieces) -> None:
    """Every choice of the tree, inner ones first."""
    if not isinstance(expr, Apply):
        return
    if expr.function == "where":
        for branch in expr.args[1:]:
            _collect(branch, pieces)
        pieces.choices.append(_Choice(expr.args[0], None, expr.args[0]))
        return
    for arg in expr.args:
        _collect(arg, pieces)
    if expr.function in _KINKS:
        left, right = expr.args[0], expr.args[1] if len(expr.args) == 2 else ZERO
        key, flipped = _boundary(left, right)
        pieces.choices.append(_Choice(left, right, key, flipped))


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


def _conditions(pieces: _Pieces) -> list[_Choice]:
    """The distinct choices: one for each boundary, in order, in its shortest spelling."""
    distinct: dict[object, _Choice] = {}
    for choice in pieces.choices:
        known = distinct.setdefault(choice.key, choice)
        if _length(choice) < _length(known):
            distinct[choice.key] = choice
    return list(distinct.values())


def _length(choice: _Choice) -> int:
    return len(formula.text(choice.left)) + len(formula.text(choice.right or ZERO))


# -- differentiating -------------------------------------------------------------------------------

_Way = tuple[str, ...]  # at each condition ">", "<" or "=" (a `where` has only ">" and "<")
_Vector = tuple[Expr, ...]


def _table(
    expr: Expr,
    args: Sequence[str],
    free: Sequence[int],
    pieces: _Pieces,
    conditions: Sequence[_Choice],
) -> tuple[dict[_Way, _Vector], set[_Way]]:
    """The gradient by the free arguments for each way of choosing, ties included; and the ties at
    which it jumps."""
    exact: dict[_Way, list[sp.Expr]] = {}
    for way in product("><", repeat=len(conditions)):
        smooth = to_sympy(
            _take(expr, dict(zip((c.key for c in conditions), way, strict=True)), conditions)
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
        table[way], jump = _at_tie(around, boundaries)
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


def _take(expr: Expr, way: Mapping[object, str], conditions: Sequence[_Choice]) -> Expr:
    """The smooth expression that remains when every choice goes its way."""
    if not isinstance(expr, Apply):
        return expr
    if expr.function == "where":
        return _take(expr.args[1 if way[expr.args[0]] == ">" else 2], way, conditions)
    if expr.function not in _KINKS:
        return Apply(expr.function, tuple(_take(arg, way, conditions) for arg in expr.args))
    left, right = expr.args[0], expr.args[1] if len(expr.args) == 2 else ZERO
    key, flipped = _boundary(left, right)
    first = next(condition for condition in conditions if condition.key == key)
    greater = (way[key] == ">") != (flipped != first.flipped)
    left_taken = _take(left, way, conditions)
    if expr.function == "absolute":
        return left_taken if greater else Apply("negative", (left_taken,))
    takes_left = greater == (expr.function in ("maximum", "fmax"))
    return left_taken if takes_left else _take(right, way, conditions)


def _at_tie(around: list[list[sp.Expr]], boundaries: Sequence[object]) -> tuple[_Vector, bool]:
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


def _between(p: list[sp.Expr], q: list[sp.Expr]) -> _Vector:
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


# -- putting together ------------------------------------------------------------------------------


def _join(table: Mapping[_Way, Expr], conditions: Sequence[_Choice]) -> Expr:
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


def _restore(tree: Expr, pieces: _Pieces) -> Expr:
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
    table: Mapping[_Way, _Vector],
    jumps: set[_Way],
    conditions: Sequence[_Choice],
    literal: Sequence[bool],
    pieces: _Pieces,
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
