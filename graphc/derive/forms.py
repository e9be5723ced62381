"""Equal forms of one exact expression: what `score` has to choose from.

A strategy takes a smooth SymPy expression and says it in other words. Where the exact expression is
a choice between pieces, a strategy is applied to every piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import sympy as sp

from codegen.expr import Apply, Expr, Number, Symbol, symbols
from graphc.derive.sympy_bridge import from_sympy, symbol, to_sympy
from graphc.errors import GraphError

# Above this many operations, polynomial algebra is too slow for a user who waits.
_SMALL = 60


@dataclass(frozen=True, slots=True)
class Context:
    """What a strategy may use.

    known: operands that are values of ops, with their exact definitions: (("y", tanh(x)),).
    """

    known: tuple[tuple[str, sp.Expr], ...] = ()


Strategy = Callable[[sp.Expr, Context], Iterator[sp.Expr]]


def candidates(
    exact: Expr,
    known: Sequence[tuple[str, Expr]],
    seeds: Sequence[Expr],
    over: Callable[[], bool],
) -> list[Expr]:
    """Forms equal to `exact`, the exact one first, then seeds, then what the strategies find.

    over: tells when the time for seeking is over.
    """
    context = Context(tuple((name, to_sympy(expr)) for name, expr in known if _smooth(expr)))
    found: dict[Expr, None] = {exact: None}
    found.update(dict.fromkeys(seeds))
    for strategy in STRATEGIES:
        if over():
            break
        for form in _apply(strategy, exact, context):
            found.setdefault(form)
    for form in list(found):
        for stable in (_stable(form), _masked(form, known)):
            if stable is not None:
                found.setdefault(stable)
    return list(found)


def _smooth(expr: Expr) -> bool:
    try:
        to_sympy(expr)
    except GraphError:
        return False
    return True


def _apply(strategy: Strategy, exact: Expr, context: Context) -> Iterator[Expr]:
    """The strategy's forms of every smooth piece of `exact`, put back where the piece stood."""
    pieces = list(dict.fromkeys(_pieces(exact)))
    try:
        told = {
            piece: [from_sympy(f) for f in strategy(to_sympy(piece), context)] for piece in pieces
        }
    except GraphError:
        return
    for turn in range(max((len(forms) for forms in told.values()), default=0)):
        chosen = {piece: forms[min(turn, len(forms) - 1)] for piece, forms in told.items() if forms}
        yield _replace(exact, chosen)


def _pieces(expr: Expr) -> Iterator[Expr]:
    if isinstance(expr, Apply) and expr.function == "where":
        yield from _pieces(expr.args[1])
        yield from _pieces(expr.args[2])
    elif isinstance(expr, Apply) and _smooth(expr):
        yield expr


def _replace(expr: Expr, by: dict[Expr, Expr]) -> Expr:
    if isinstance(expr, Apply) and expr.function == "where":
        condition, yes, no = expr.args
        return Apply("where", (condition, _replace(yes, by), _replace(no, by)))
    return by.get(expr, expr)


# -- strategies ------------------------------------------------------------------------------------


def _algebra(expr: sp.Expr, context: Context) -> Iterator[sp.Expr]:
    """One fraction, in factors; and multiplied out."""
    if expr.count_ops() > _SMALL:
        return
    yield sp.together(expr)
    yield sp.factor(expr)
    yield sp.expand(expr)


def _in_terms_of_known(expr: sp.Expr, context: Context) -> Iterator[sp.Expr]:
    """Known values in the place of their definitions: 1/(2 sqrt(x)) = 1/(2 y)."""
    for name, definition in reversed(context.known):
        y = symbol(name)
        if definition.is_Symbol or definition.is_number:
            continue
        direct = expr.subs(definition, y)
        if direct != expr:
            yield direct
        if expr.count_ops() > _SMALL or definition.count_ops() > _SMALL:
            continue
        # expr = y^k * rest, where the rest is simpler for it.
        for power in (1, 2, -1):
            rest = sp.powsimp(sp.cancel(sp.powsimp(expr / definition**power)))
            if rest.count_ops() < expr.count_ops():
                yield y**power * rest.subs(definition, y)


def _solved(expr: sp.Expr, context: Context) -> Iterator[sp.Expr]:
    """y = r(t) solved for its one transcendental t, and put in: sigmoid' = y (1 - y)."""
    t = sp.Symbol("t", real=True)
    for name, definition in reversed(context.known):
        inner = _generators(definition)
        if len(inner) != 1 or expr.count_ops() > _SMALL:
            continue
        ratio = definition.subs(inner[0], t)
        if ratio.free_symbols != {t} or not ratio.is_rational_function(t):
            continue
        y = symbol(name)
        top, _ = sp.fraction(sp.together(ratio - y))
        if sp.Poly(top, t).degree() != 1:
            continue
        value = sp.solve(top, t)[0]
        told = expr.subs(inner[0], value)
        if not told.has(inner[0]):
            yield sp.factor(sp.cancel(told))


def _generators(expr: sp.Expr) -> list[sp.Expr]:
    """The transcendental parts: exp(u), tanh(u), log(u), in a settled order."""
    parts = [part for part in expr.atoms(sp.Function) if part.free_symbols]
    return sorted(parts, key=sp.default_sort_key)


def _logistic(expr: sp.Expr, context: Context) -> Iterator[sp.Expr]:
    """A fraction in E = exp(u) over (1 + E)^k, by s = 1/(1 + exp(-u)) and r = 1/(1 + exp(u)).

    s and r lie in [0, 1] whatever u is, so that nothing overflows into a nan: E^i / (1 + E)^k is
    s^i r^(k - i).
    """
    for u in _exponents(expr):
        E, s, r = sp.Symbol("E", positive=True), sp.Symbol("s"), sp.Symbol("r")
        told = _in_powers(expr, u, E)
        if told is None or told.count_ops() > _SMALL:
            continue
        top, bottom = sp.fraction(sp.cancel(sp.together(told)))
        if not top.is_polynomial(E) or not bottom.is_polynomial(E):
            continue
        scale, factors = sp.factor_list(bottom, E)
        degree = 0
        shift = 0
        for factor, power in factors:
            if factor == E:
                shift = power
            elif sp.expand(factor - (1 + E)) == 0:
                degree = power
            else:
                degree = -1
                break
        terms = sp.Poly(top, E).terms()
        if degree < 1 or any(not 0 <= i - shift <= degree for (i,), _ in terms):
            continue
        total = sum(c * s ** (i - shift) * r ** (degree - i + shift) for (i,), c in terms) / scale
        back = {s: 1 / (1 + sp.exp(-u)), r: 1 / (1 + sp.exp(u))}
        yield _grouped(total, s, r).subs(back)
        yield total.subs(back)
        yield sp.factor(total).subs(back)


def _grouped(total: sp.Expr, s: sp.Symbol, r: sp.Symbol) -> sp.Expr:
    """s^2 + s r + x s r = s (1 + x r), for s + r = 1."""
    poly = sp.factor(total)
    for factor in sp.Mul.make_args(poly):
        reduced = sp.expand(factor)
        if reduced.is_Add and reduced.coeff(s, 1).subs(r, 0) == 1 and reduced.coeff(r, 1).has(1):
            simpler = sp.expand(reduced - s - r) + 1
            if simpler.count_ops() <= reduced.count_ops():
                poly = poly.subs(factor, simpler)
    return poly


def _exponents(expr: sp.Expr) -> list[sp.Expr]:
    """Exponents u, signs aside, such that exp(u) and exp(-u) occur."""
    found: dict[sp.Expr, None] = {}
    for part in sorted(expr.atoms(sp.exp), key=sp.default_sort_key):
        u = part.args[0]
        u = -u if u.could_extract_minus_sign() else u
        content = u.as_coeff_Mul()[0]
        found.setdefault(u / content if content.is_Integer else u)
    return list(found)


def _in_powers(expr: sp.Expr, u: sp.Expr, E: sp.Symbol) -> sp.Expr | None:
    """The expression with exp(k u) as E^k; None where another exponential of u is left."""

    def told(argument: sp.Expr) -> sp.Expr:
        ratio = sp.cancel(argument / u)
        return E ** int(ratio) if ratio.is_Integer else sp.exp(argument)

    result = expr.replace(sp.exp, told)
    return None if any(part.has(sp.exp(u)) for part in [result]) else result


def _by_magnitude(expr: sp.Expr, context: Context) -> Iterator[sp.Expr]:
    """An even fraction in exp(u) by exp(-|u|), which never overflows."""
    expr = (
        expr.rewrite(sp.exp)
        if expr.has(sp.functions.elementary.hyperbolic.HyperbolicFunction)
        else expr
    )
    if expr.count_ops() > _SMALL:
        return
    E = sp.Symbol("E", positive=True)
    for u in _exponents(expr):
        told = _in_powers(expr, u, E)
        if told is None or not told.is_rational_function(E):
            continue
        forward = sp.factor(sp.cancel(sp.together(told.subs(E, 1 / E))))
        backward = sp.factor(sp.cancel(sp.together(told)))
        for sign, even in ((1, forward), (1, backward)):
            if sp.cancel(forward - backward) == 0:
                yield sign * even.subs(E, sp.exp(-sp.Abs(u)))
        yield forward.subs(E, sp.exp(-u))
        yield backward.subs(E, sp.exp(u))


def _hyperbolic(expr: sp.Expr, context: Context) -> Iterator[sp.Expr]:
    """1 - tanh^2 = 1/cosh^2, 1 + tan^2 = 1/cos^2, and both halves of the angle."""
    t = sp.Wild("t")
    told = expr.replace(1 - sp.tanh(t) ** 2, 1 / sp.cosh(t) ** 2)
    told = told.replace(1 + sp.tan(t) ** 2, 1 / sp.cos(t) ** 2)
    told = told.replace(1 - sp.cos(t), 2 * sp.sin(t / 2) ** 2)
    if told != expr:
        yield told
    factored = sp.factor(expr) if expr.count_ops() <= _SMALL else expr
    told = factored.replace((sp.tanh(t) - 1) * (sp.tanh(t) + 1), -1 / sp.cosh(t) ** 2)
    if told != factored:
        yield told


STRATEGIES: tuple[Strategy, ...] = (
    _in_terms_of_known,
    _solved,
    _hyperbolic,
    _logistic,
    _by_magnitude,
    _algebra,
)


# -- on the formula itself -------------------------------------------------------------------------


def _stable(expr: Expr) -> Expr | None:
    """log(1 + v), exp(u) - 1, sqrt(a a + b b), u / (v v) in the spelling that keeps the digits."""
    if not isinstance(expr, Apply):
        return None
    told = _rewritten(expr)
    return None if told == expr else told


def _rewritten(expr: Expr) -> Expr:
    if not isinstance(expr, Apply):
        return expr
    expr = Apply(expr.function, tuple(_rewritten(arg) for arg in expr.args))
    if expr.function == "log":
        return _log(expr)
    if expr.function == "subtract":
        return _difference(expr)
    if expr.function == "sqrt":
        return _root(expr)
    return expr


_ONE = Number(1)


def _log(expr: Apply) -> Expr:
    """log(1 + exp(u)) = max(u, 0) + log1p(exp(-|u|)); log(1 + v) = log1p(v)."""
    inner = expr.args[0]
    if not isinstance(inner, Apply) or inner.function != "add" or _ONE not in inner.args:
        return expr
    other = inner.args[1] if inner.args[0] == _ONE else inner.args[0]
    if not (isinstance(other, Apply) and other.function == "exp"):
        return Apply("log1p", (other,))
    u = other.args[0]
    bare = u.args[0] if isinstance(u, Apply) and u.function == "negative" else u
    small = Apply("exp", (Apply("negative", (Apply("absolute", (bare,)),)),))
    return Apply("add", (Apply("maximum", (u, Number(0))), Apply("log1p", (small,))))


def _difference(expr: Apply) -> Expr:
    left, right = expr.args
    if right == _ONE and isinstance(left, Apply) and left.function == "exp":
        return Apply("expm1", left.args)
    if left == _ONE and isinstance(right, Apply) and right.function == "exp":
        return Apply("negative", (Apply("expm1", right.args),))
    if left == _ONE and isinstance(right, Apply) and right.function == "multiply":
        a, b = right.args
        if a == b:
            return Apply("multiply", (Apply("subtract", (_ONE, a)), Apply("add", (_ONE, a))))
    return expr


def _root(expr: Apply) -> Expr:
    inner = expr.args[0]
    if not isinstance(inner, Apply) or inner.function != "add":
        return expr
    sides = [_square_root(arg) for arg in inner.args]
    if sides[0] is None or sides[1] is None:
        return expr
    return Apply("hypot", (sides[0], sides[1]))


def _square_root(expr: Expr) -> Expr | None:
    if expr == _ONE:
        return _ONE
    if isinstance(expr, Apply) and expr.function == "square":
        return expr.args[0]
    if isinstance(expr, Apply) and expr.function == "multiply" and expr.args[0] == expr.args[1]:
        return expr.args[0]
    return None


def _masked(expr: Expr, known: Sequence[tuple[str, Expr]]) -> Expr | None:
    """A mask on an operand as a mask on the value: relu' is x > 0, and y > 0 where y is relu(x)."""
    if not known or not isinstance(expr, Apply) or expr.function not in ("greater", "less"):
        return None
    name, definition = known[-1]
    left = expr.args[0]
    if isinstance(left, Symbol) and isinstance(definition, Apply) and left in definition.args:
        return Apply(expr.function, (Symbol(name), expr.args[1]))
    return None


def series(best: Expr, exact: Expr, arg: str) -> Iterator[Expr]:
    """`best` away from zero, and near zero a truncated Taylor series, of some orders and radii."""
    if not _smooth(exact) or set(symbols(exact)) != {arg}:
        return
    x = symbol(arg)
    for order, radius in ((4, 0.0005), (8, 0.05), (12, 0.25), (18, 0.6)):
        try:
            expansion = sp.series(to_sympy(exact), x, 0, order).removeO()
        except (NotImplementedError, ValueError, TypeError, AttributeError):
            return
        if not expansion.is_polynomial(x):
            return
        near = Apply("less", (Apply("absolute", (Symbol(arg),)), Number(radius)))
        yield Apply("where", (near, from_sympy(sp.horner(expansion, wrt=x)), best))
