"""The grammar of formulas in a graph file: Python's parser reads it, an allowlist lets through.

    formula  = name | number | 'text' | formula operator formula | f(formula, ..., keyword=formula)
             | formula[index] | formula.T | (formula, ...) | formula if formula else formula
    function = (name, ...) -> formula

`ast` only parses; nothing is compiled or run. This module turns text into a checked tree and finds
the names in it; `language` gives the tree its meaning.
"""

from __future__ import annotations

import ast
from collections.abc import Container, Iterator
from dataclasses import dataclass

from graphc.errors import GraphSyntaxError, located
from graphc.formula import excerpt
from graphc.textual.limits import MAX_FORMULA, MAX_NESTING

_ALLOWED = (
    ast.Name,
    ast.Constant,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.IfExp,
    ast.Call,
    ast.keyword,
    ast.Attribute,
    ast.Subscript,
    ast.Slice,
    ast.Tuple,
    ast.List,
)
# Which operator, which context (Load): leaves of the tree that say nothing of their own.
_SILENT = (ast.operator, ast.unaryop, ast.cmpop, ast.boolop, ast.expr_context)


@dataclass(frozen=True, slots=True)
class Formula:
    """A formula, read and checked: its tree holds nothing but what the grammar names."""

    text: str
    tree: ast.expr

    def fail(self, node: ast.AST, problem: str) -> GraphSyntaxError:
        """An error at a place of the formula."""
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        return _error(self.text, line, column, problem)


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the file: it is expanded where it is called."""

    name: str
    params: tuple[str, ...]
    body: Formula


def parse(text: str) -> Formula:
    """The formula that `text` spells; comments and line breaks are free.

    Raises GraphSyntaxError, with the column, for whatever the grammar does not have.
    """
    if len(text) > MAX_FORMULA:
        raise GraphSyntaxError(
            located(f"a formula of {len(text)} characters; the limit is {MAX_FORMULA}")
        )
    if not text.strip():
        raise GraphSyntaxError(located("an empty formula"))
    # In brackets of our own, so that lines may break anywhere.
    try:
        tree = ast.parse(f"({text}\n)", mode="eval").body
    except SyntaxError as error:
        raise _error(text, error.lineno or 1, (error.offset or 1) - 1, error.msg) from None
    except (ValueError, MemoryError, RecursionError):
        raise GraphSyntaxError(located(f"formula `{excerpt(text)}` cannot be read")) from None
    formula = Formula(text, tree)
    if (tree.lineno, tree.col_offset) == (1, 0):
        # The tree begins at our own bracket: `x) + (y` closed it, or this is a tuple.
        raise formula.fail(tree, "not one expression in balanced brackets")
    _check(formula)
    return formula


def parse_function(name: str, text: str) -> Function:
    """`(x, W, b) -> maximum(x @ W + b, 0)`."""
    head, arrow, body = text.partition("->")
    inner = head.strip()
    if not arrow or not inner.startswith("(") or not inner.endswith(")"):
        raise GraphSyntaxError(
            located(f"function {name!r} is written `(x, y) -> formula`, not `{excerpt(text)}`")
        )
    params = tuple(param.strip() for param in inner[1:-1].split(",") if param.strip())
    for param in params:
        if not param.isidentifier():
            raise GraphSyntaxError(located(f"function {name!r}: {param!r} is no parameter's name"))
    if len(set(params)) != len(params):
        raise GraphSyntaxError(located(f"function {name!r} names a parameter twice"))
    return Function(name, params, parse(body))


def _check(formula: Formula) -> None:
    stack: list[tuple[ast.AST, int]] = [(formula.tree, 0)]
    while stack:
        node, depth = stack.pop()
        if isinstance(node, _SILENT):
            continue
        if not isinstance(node, _ALLOWED):
            kind = type(node).__name__
            raise formula.fail(node, f"{kind} is not part of the formula language")
        if depth > MAX_NESTING:
            raise formula.fail(node, f"nested deeper than {MAX_NESTING}; name a part of it")
        if isinstance(node, ast.keyword) and node.arg is None:
            raise formula.fail(node.value, "** is not part of the formula language")
        if isinstance(node, ast.Constant):
            _check_constant(formula, node)
        stack.extend((child, depth + 1) for child in ast.iter_child_nodes(node))


def _check_constant(formula: Formula, node: ast.Constant) -> None:
    value = node.value
    if isinstance(value, complex | bytes):
        raise formula.fail(node, "numbers are integers and floats")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise formula.fail(node, "an integer beyond 64 bits; write it as a float: 1e30")


# -- names -----------------------------------------------------------------------------------------


def dotted(node: ast.expr) -> str | None:
    """`layer1.W` and `params.layers[0].W` as the dotted name they may be; else None."""
    parts: list[str] = []
    while True:
        match node:
            case ast.Attribute(value=value, attr=attr):
                parts.append(attr)
            case ast.Subscript(value=value, slice=ast.Constant(value=int(index))) if index >= 0:
                parts.append(str(index))
            case ast.Name(id=name):
                return ".".join([name, *reversed(parts)])
            case _:
                return None
        node = value


def names_in(formula: Formula, declared: Container[str]) -> Iterator[str]:
    """The declared names that the formula uses, once a use; the longest dotted name counts."""
    stack: list[ast.AST] = [formula.tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Name | ast.Attribute | ast.Subscript):
            name = dotted(node)
            if name is not None and name in declared:
                yield name
                continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            stack.extend([*node.args, *node.keywords])  # a function's name is no value's
            continue
        stack.extend(ast.iter_child_nodes(node))


# -- errors ----------------------------------------------------------------------------------------


def _error(text: str, line: int, column: int, problem: str) -> GraphSyntaxError:
    if line == 1:
        column -= 1  # our own opening bracket
    place = f"column {max(column, 0) + 1}"
    if "\n" in text.strip():
        place = f"line {line}, {place}"
    return GraphSyntaxError(located(f"formula `{excerpt(text, column)}`, {place}: {problem}"))
