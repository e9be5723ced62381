"""Equal spellings of a formula that need no algebra, for digits or work that another loses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sympy as sp

from codegen.expr import Apply, Expr, Number, Symbol, replace_symbols
from graphc.derive.sympy_bridge import is_smooth, symbol, to_sympy


def stable(expr: Expr) -> Expr | None:
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


def masked(expr: Expr, known: Sequence[tuple[str, Expr]]) -> Iterator[Expr]:
    """A mask on an operand as a mask on the value: relu' is x > 0, and y > 0 where y is relu(x)."""
    if not known or not isinstance(expr, Apply) or expr.function not in ("greater", "less"):
        return
    name, definition = known[-1]
    for at, operand in enumerate(expr.args):
        if isinstance(operand, Symbol) and operand in getattr(definition, "args", ()):
            told = [Symbol(name) if k == at else arg for k, arg in enumerate(expr.args)]
            yield Apply(expr.function, tuple(told))


def symmetric(expr: Expr) -> Iterator[Expr]:
    """where(x > 0, g(x), g(-x)) = g(|x|), and where(x > 0, g(x), -g(-x)) = sign(x) g(|x|)."""
    if not (isinstance(expr, Apply) and expr.function == "where"):
        return
    condition, right, left = expr.args
    if not isinstance(condition, Apply) or condition.function not in ("greater", "greater_equal"):
        return
    x, zero = condition.args
    if not isinstance(x, Symbol) or zero != Number(0) or not (is_smooth(right) and is_smooth(left)):
        return
    mirrored = to_sympy(right).subs(symbol(x.name), -symbol(x.name))
    folded = replace_symbols(right, {x.name: Apply("absolute", (x,))})
    if sp.expand(mirrored - to_sympy(left)) == 0:
        yield folded
    elif sp.expand(mirrored + to_sympy(left)) == 0 and condition.function == "greater":
        yield Apply("multiply", (Apply("sign", (x,)), folded))
