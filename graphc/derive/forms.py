"""Equal forms of one exact expression: what `score` has to choose from.

A strategy takes a smooth SymPy expression and says it in other words. Where the exact expression is
a choice between pieces, a strategy is applied to every piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import sympy as sp

from codegen.expr import Apply, Expr
from graphc.derive.respell import masked, stable, symmetric
from graphc.derive.scalar import choose
from graphc.derive.sympy_bridge import from_sympy, is_smooth, symbol, to_sympy
from graphc.errors import GraphError

# Above this many operations polynomial algebra is too slow.
_SMALL = 50


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

    over: tells when enough forms have been measured.
    """
    context = Context(tuple((name, to_sympy(expr)) for name, expr in known if is_smooth(expr)))
    found: dict[Expr, None] = {exact: None}
    found.update(dict.fromkeys(seeds))
    for strategy in STRATEGIES:
        if over():
            break
        for form in _apply(strategy, exact, context):
            found.setdefault(form)
    for form in list(found):
        found.update(dict.fromkeys(masked(form, known)))
        found.update(dict.fromkeys(symmetric(form)))
        told = stable(form)
        if told is not None:
            found.setdefault(told)
    return list(found)


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
    elif isinstance(expr, Apply) and is_smooth(expr):
        yield expr


def _replace(expr: Expr, by: dict[Expr, Expr]) -> Expr:
    if isinstance(expr, Apply) and expr.function == "where":
        condition, yes, no = expr.args
        return choose(condition, _replace(yes, by), _replace(no, by))
    return by.get(expr, expr)


# -- strategies ------------------------------------------------------------------------------------


def _algebra(expr: sp.Expr, context: Context) -> Iterator[sp.Expr]:
    """One fraction, in factors; and multiplied out."""
    if expr.count_ops() > _SMALL:
        return
    yield sp.together(expr)
    yield sp.factor(expr)
    yield sp.expand(expr)


def _known_parts(expr: sp.Expr, context: Context) -> Iterator[sp.Expr]:
    """Known values in the place of their definitions: 1/(2 sqrt(x)) = 1/(2 y)."""
    for name, definition in reversed(context.known):
        if definition.is_Symbol or definition.is_number:
            continue
        direct = expr.subs(definition, symbol(name))
        if direct != expr:
            yield direct


def _known_factors(expr: sp.Expr, context: Context) -> Iterator[sp.Expr]:
    """expr = y^k rest, for a known y, where the rest is simpler for it."""
    for name, definition in reversed(context.known):
        if definition.is_Symbol or definition.is_number:
            continue
        if expr.count_ops() > _SMALL or definition.count_ops() > _SMALL:
            continue
        y = symbol(name)
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
    """A fraction in exp(u) by exp(-|u|), which never overflows: even, odd, or in two pieces."""
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
        right = sp.factor(sp.cancel(sp.together(told.subs(E, 1 / E))))
        left = sp.factor(sp.cancel(sp.together(told)))
        size = sp.exp(-sp.Abs(u))
        if sp.cancel(right - left) == 0:
            yield right.subs(E, size)
        elif sp.cancel(right + left) == 0:
            yield sp.sign(u) * right.subs(E, size)
        else:
            yield sp.Piecewise((right.subs(E, size), u >= 0), (left.subs(E, size), True))
        yield right.subs(E, sp.exp(-u))
        yield left.subs(E, sp.exp(u))


def _hyperbolic(expr: sp.Expr, context: Context) -> Iterator[sp.Expr]:
    """1 - tanh^2 = 1/cosh^2, 1 + tanh(w) = 2/(1 + exp(-2w)), 1 - cos(w) = 2 sin(w/2)^2."""
    told = expr.replace(lambda part: part.is_Add, _sum_of_hyperbolics)
    if told != expr:
        yield told
        yield from _fractions(told, context)
    factored = sp.factor(expr) if expr.count_ops() <= _SMALL else expr
    told = factored.replace(lambda part: part.is_Mul, _product_of_tanh)
    if told != factored:
        yield told


def _sum_of_hyperbolics(total: sp.Add) -> sp.Expr:
    """One number and the terms that it makes whole, wherever they are among the others."""
    terms = list(total.args)
    constant = next((term for term in terms if term.is_number), None)
    if constant is None:
        return total
    for term in terms:
        for sign in (1, -1):
            core = sign * term / constant
            whole = _WHOLE.get(type(core.args[0] if core.is_Pow else core))
            value = whole(core, sign) if whole else None
            if value is not None:
                return total - constant - term + constant * value
    return total


def _whole_tanh(core: sp.Expr, sign: int) -> sp.Expr | None:
    if core.is_Pow:
        return 1 / sp.cosh(core.base.args[0]) ** 2 if core.exp == 2 and sign < 0 else None
    return 2 / (1 + sp.exp(-2 * sign * core.args[0]))


def _whole_tan(core: sp.Expr, sign: int) -> sp.Expr | None:
    if core.is_Pow and core.exp == 2 and sign > 0:
        return 1 / sp.cos(core.base.args[0]) ** 2
    return None


def _whole_cos(core: sp.Expr, sign: int) -> sp.Expr | None:
    half = core.args[0] / 2
    if core.is_Pow:
        return None
    return 2 * (sp.sin(half) if sign < 0 else sp.cos(half)) ** 2


_WHOLE = {sp.tanh: _whole_tanh, sp.tan: _whole_tan, sp.cos: _whole_cos}


def _product_of_tanh(product: sp.Mul) -> sp.Expr:
    """(1 - tanh)(1 + tanh) = 1/cosh^2."""
    for part in sorted(product.atoms(sp.tanh), key=sp.default_sort_key):
        if {part - 1, part + 1} <= set(product.args):
            return product / ((part - 1) * (part + 1)) * (-1 / sp.cosh(part.args[0]) ** 2)
    return product


def _fractions(expr: sp.Expr, context: Context) -> Iterator[sp.Expr]:
    """exp(u)/(1 + exp(u)) = 1/(1 + exp(-u)), in every product: inf/inf becomes 1."""
    told = expr.replace(lambda part: part.is_Mul, _bounded)
    if told != expr:
        yield told


def _bounded(product: sp.Mul) -> sp.Expr:
    for factor in product.args:
        base, power = factor.as_base_exp()
        if not (power.is_Integer and power < 0 and base.is_Add and len(base.args) == 2):
            continue
        rest = base - 1
        if not isinstance(rest, sp.exp):
            continue
        u = rest.args[0]
        for other in product.args:
            times = sp.cancel(other.args[0] / u) if isinstance(other, sp.exp) else sp.S.Zero
            if times.is_Integer and 0 < times <= -power:
                kept = (1 + sp.exp(u)) ** (power + times) / (1 + sp.exp(-u)) ** times
                return product / factor / other * kept
    return product


# Quick ones first: of a user's op few forms are measured.
STRATEGIES: tuple[Strategy, ...] = (
    _known_parts,
    _hyperbolic,
    _fractions,
    _logistic,
    _known_factors,
    _by_magnitude,
    _solved,
    _algebra,
)
