"""Matrix formulas: `L @ low(M) - dA.T`, read as data, and differentiated as what they are: sums of
products of matrices.

    formula = name | formula @ formula | formula * formula | formula + formula | formula - formula
            | -formula | formula.T | function(formula, ...)

`@` multiplies matrices, `*` elements (a vector stands for each row), `.T` exchanges the last two
axes. `dA` is a small change of A. Of a function named in LINEAR the last argument enters linearly.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from functools import lru_cache

from codegen.record import record

# Functions linear in their last argument -> the function that transposes them. Where there is a
# first argument too, it is a given matrix, and is transposed along.
LINEAR = {
    "solve": "solve",
    "solve_lower": "solve_upper",
    "solve_upper": "solve_lower",
    "frechet": "frechet",
    "tril": "tril",
    "triu": "triu",
    "low": "low",
    "phi": "phi",
    "sym": "sym",
    "diag": "spread",
    "spread": "diag",
    "total": "total",
    "outside": "outside",
}
# What is given to these is the same in the transpose: outside(U, E) is E less its part in U's span.
SYMMETRIC_IN = frozenset({"outside"})
_BINARY = {ast.MatMult: "@", ast.Mult: "*", ast.Add: "+", ast.Sub: "-"}


@record
class Term:
    """A formula: `op` is "name", an operator, "T", "neg" or a function; `name` for a name."""

    op: str
    args: tuple[Term, ...] = ()
    name: str = ""


@lru_cache(maxsize=1024)
def parse(text: str) -> Term:
    """The formula that a text is. Raises ValueError for what is none: the texts are our own."""
    return _term(ast.parse(text, mode="eval").body)


def _term(node: ast.expr) -> Term:
    match node:
        case ast.Name(name):
            return Term("name", (), name)
        case ast.Attribute(of, "T"):
            return Term("T", (_term(of),))
        case ast.UnaryOp(ast.USub(), of):
            return Term("neg", (_term(of),))
        case ast.BinOp(left, operator, right) if type(operator) in _BINARY:
            return Term(_BINARY[type(operator)], (_term(left), _term(right)))
        case ast.Call(ast.Name(function), args, []):
            return Term(function, tuple(map(_term, args)))
    raise ValueError(f"no matrix formula: {ast.unparse(node)}")


def sides(equation: str) -> tuple[Term, Term]:
    """The two sides of `A @ X = B`."""
    left, _, right = equation.partition(" = ")
    return parse(left), parse(right)


def line(text: str) -> tuple[str, Term]:
    """The name and the formula of `M = Q.T @ X`."""
    name, _, formula = text.partition(" = ")
    return name, parse(formula)


def names(term: Term) -> frozenset[str]:
    """The names in a formula."""
    found: set[str] = set()
    stack = [term]
    while stack:
        part = stack.pop()
        if part.op == "name":
            found.add(part.name)
        stack.extend(part.args)
    return frozenset(found)


def differential(term: Term, moving: Collection[str]) -> Term | None:
    """The formula's own differential by the product rule, where `moving` are the names that move.

    None where nothing in it moves. Raises ValueError at a function that is not linear.
    """
    if term.op == "eye" or not names(term) & set(moving):
        return None  # the identity of a matrix's size does not move with it
    op = term.op
    if op == "name":
        return Term("name", (), f"d{term.name}")
    parts = [differential(arg, moving) for arg in term.args]
    if op in ("@", "*"):
        (left, right), (d_left, d_right) = term.args, parts
        return _sum(
            "+",
            None if d_left is None else Term(op, (d_left, right)),
            None if d_right is None else Term(op, (left, d_right)),
        )
    if op in ("+", "-"):
        return _sum(op, *parts)
    given, last = parts[:-1], parts[-1]
    if last is None or any(part is not None for part in given):
        raise ValueError(f"{op} of a given matrix that moves")
    if op not in ("T", "neg") and op not in LINEAR:
        raise ValueError(f"{op} is not linear")
    return Term(op, (*term.args[:-1], last))


def _sum(op: str, left: Term | None, right: Term | None) -> Term | None:
    if right is None:
        return left
    if left is None:
        return right if op == "+" else Term("neg", (right,))
    return Term(op, (left, right))


def solved(equation: str, unknown: str, moving: Collection[str], inverse: str) -> Term:
    """d<unknown> from an equation that is linear in it: `A @ X = B` gives inverse(dB - dA @ X).

    The equation must have one term with the unknown, `M @ unknown`; `inverse` is a formula in
    `rest` for M's inverse times the rest.
    """
    left, right = sides(equation)
    if left.op != "@" or left.args[1] != Term("name", (), unknown):
        raise ValueError(f"{equation}: not of the form M @ {unknown} = ...")
    rest = _sum(
        "-",
        differential(right, moving),
        None
        if (moved := differential(left.args[0], moving)) is None
        else Term("@", (moved, left.args[1])),
    )
    if rest is None:
        raise ValueError(f"{equation}: nothing moves")
    return _put(parse(inverse), rest)


def _put(term: Term, rest: Term) -> Term:
    if term == Term("name", (), "rest"):
        return rest
    return Term(term.op, tuple(_put(arg, rest) for arg in term.args), term.name)


def text(term: Term) -> str:
    """The formula as text, with brackets around every sum and product inside another."""
    match term.op:
        case "name":
            return term.name
        case "T":
            return f"{_bracketed(term.args[0])}.T"
        case "neg":
            return f"-{_bracketed(term.args[0])}"
        case "@" | "*" | "+" | "-":
            left, right = term.args
            return f"{_bracketed(left)} {term.op} {_bracketed(right)}"
    return f"{term.op}({', '.join(map(text, term.args))})"


def _bracketed(term: Term) -> str:
    inside = text(term)
    return f"({inside})" if term.op in ("@", "*", "+", "-", "neg") else inside
