"""The formula language: text to a scalar expression and back. Never `eval`, `exec` or `sympify`.

    formula    = expression, or (name, ...) -> expression
    expression = name | number | pi | e | inf | nan | True | False
               | -x | +x | not x | x + y, - * / // % ** | x < y, <= > >= == != (chains too)
               | x and y, x or y | x if c else y | f(x, ...)

Python's own grammar reads it (`ast`, which only parses), an allowlist takes what is named above,
and everything else is an error that points at the column. Line breaks and `#` comments are free.
`f` is a name of `codegen.expr.FUNCTIONS`, an alias below, or an op that the caller hands in, which
is expanded by its own definition.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from codegen.errors import GraphSyntaxError, located
from codegen.expr import FUNCTIONS, Apply, Expr, Extent, Number, Symbol, replace_symbols, symbols

if TYPE_CHECKING:
    import ast

MAX_LENGTH = 20_000
MAX_DEPTH = 90  # nested calls and operators; an op's tree is shallow, and passes recurse over it
MAX_NODES = 5_000

CONSTANTS: Mapping[str, float] = {"pi": math.pi, "e": math.e, "inf": math.inf, "nan": math.nan}

ALIASES: Mapping[str, str] = {
    "abs": "absolute",
    "max": "maximum",
    "min": "minimum",
    "pow": "power",
    "ln": "log",
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "atan2": "arctan2",
    "asinh": "arcsinh",
    "acosh": "arccosh",
    "atanh": "arctanh",
    "sgn": "sign",
    "select": "where",
}
# Folded from the left, so that maximum(a, b, c) may be written.
_VARIADIC = frozenset({"maximum", "minimum", "fmax", "fmin", "logical_and", "logical_or"})

# A formula that an op stands for: its argument names and its expression.
Definition = tuple[tuple[str, ...], Expr]

_BINARY = {
    "Add": "add",
    "Sub": "subtract",
    "Mult": "multiply",
    "Div": "divide",
    "FloorDiv": "floor_divide",
    "Mod": "remainder",
    "Pow": "power",
}
_COMPARE = {
    "Lt": "less",
    "LtE": "less_equal",
    "Gt": "greater",
    "GtE": "greater_equal",
    "Eq": "equal",
    "NotEq": "not_equal",
}


@lru_cache(maxsize=4096)
def parse(text: str, args: tuple[str, ...]) -> Expr:
    """The expression that `text` spells over the symbols `args`.

    Raises GraphSyntaxError, which points at the column, for whatever the language does not have.
    """
    return _Reader(text, args, {}).read()


def parse_with(text: str, args: tuple[str, ...], ops: Mapping[str, Definition]) -> Expr:
    """As `parse`; calls of the names in `ops` are expanded by their definitions."""
    return _Reader(text, args, ops).read()


def split_arrow(text: str) -> tuple[tuple[str, ...] | None, str]:
    """`(x, y) -> x * y` into its argument names and its body; None where there is no arrow."""
    head, arrow, body = text.partition("->")
    if not arrow:
        return None, text
    inner = head.strip()
    if inner.startswith("(") and inner.endswith(")"):
        inner = inner[1:-1]
    names = tuple(name.strip() for name in inner.split(",") if name.strip())
    if not names or not all(name.isidentifier() for name in names):
        raise GraphSyntaxError(
            located(f"formula `{excerpt(text)}`: before -> stand argument names: (x, y) -> x * y")
        )
    return names, body


def free_names(text: str, ops: Mapping[str, Definition] | None = None) -> tuple[str, ...]:
    """The names in `text` that are neither constants nor functions, in order of appearance."""
    expr = _Reader(text, None, ops or {}).read()
    return tuple(dict.fromkeys(symbols(expr)))


class _Reader:
    """One reading of one formula; holds the text so that errors can point into it."""

    def __init__(
        self, text: str, args: tuple[str, ...] | None, ops: Mapping[str, Definition]
    ) -> None:
        self.text = text
        # `ast` normalises identifiers; an argument name is found under its normal form.
        self.args = None if args is None else {_normal(arg): arg for arg in args}
        self.ops = ops
        self.nodes = 0

    def read(self) -> Expr:
        import ast

        if not isinstance(self.text, str):
            kind = type(self.text).__name__
            raise GraphSyntaxError(located(f"a formula is text, not {kind}: '1 / (1 + exp(-x))'"))
        if len(self.text) > MAX_LENGTH:
            raise GraphSyntaxError(
                located(f"a formula of {len(self.text)} characters; the limit is {MAX_LENGTH}")
            )
        line = self._one_line()
        start = len(line) - len(line.lstrip())
        if not line.strip():
            raise GraphSyntaxError(located("an empty formula"))
        try:
            tree = ast.parse(line.strip(), mode="eval")
        except SyntaxError as error:
            problem = error.msg.partition(":")[0]
            raise self._error(start + (error.offset or 1) - 1, problem) from None
        except (ValueError, MemoryError, RecursionError):
            raise self._error(
                start, f"nested deeper than {MAX_DEPTH}; split it in several ops"
            ) from None
        # Columns of `ast` count UTF-8 bytes of the stripped line.
        self.encoded = line.strip().encode()
        self.start = start
        return self._expr(tree.body, 0)

    def _one_line(self) -> str:
        """Comments and line breaks as blanks, in place, so that columns stay; brackets counted."""
        out = []
        comment = False
        depth = 0
        for column, char in enumerate(self.text):
            if char in "\r\n":
                comment = False
                out.append(" ")
            elif comment:
                out.append(" ")
            elif char == "#":
                comment = True
                out.append(" ")
            elif char in "\"'`\\;\0":
                raise self._error(column, f"unexpected {char!r}")
            else:
                depth += (char in "([{") - (char in ")]}")
                if depth > MAX_DEPTH:
                    raise self._error(column, f"brackets nested deeper than {MAX_DEPTH}")
                out.append(char)
        return "".join(out)

    def _error(self, column: int, problem: str) -> GraphSyntaxError:
        before = self.text[: max(column, 0)]
        line = before.count("\n") + 1
        place = f"column {column - (before.rfind(chr(10)) + 1) + 1}"
        if "\n" in self.text.strip():
            place = f"line {line}, {place}"
        return GraphSyntaxError(
            located(f"formula `{excerpt(self.text, column)}`, {place}: {problem}")
        )

    def _fail(self, node: ast.expr, problem: str) -> GraphSyntaxError:
        column = len(self.encoded[: node.col_offset].decode(errors="replace"))
        return self._error(self.start + column, problem)

    def _expr(self, node: ast.expr, depth: int) -> Expr:
        import ast

        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise self._fail(node, f"more than {MAX_NODES} terms; split it in several ops")
        if depth > MAX_DEPTH:
            raise self._fail(node, f"nested deeper than {MAX_DEPTH}; split it in several ops")
        depth += 1
        if isinstance(node, ast.Name):
            return self._name(node)
        if isinstance(node, ast.Constant):
            return Number(self._number(node))
        if isinstance(node, ast.BinOp):
            function = _BINARY.get(type(node.op).__name__)
            if function is None:
                raise self._fail(node, "the operators are + - * / // % ** and, or, not")
            return Apply(function, (self._expr(node.left, depth), self._expr(node.right, depth)))
        if isinstance(node, ast.UnaryOp):
            return self._unary(node, depth)
        if isinstance(node, ast.Compare):
            return self._compare(node, depth)
        if isinstance(node, ast.BoolOp):
            name = "logical_and" if isinstance(node.op, ast.And) else "logical_or"
            return _fold(name, [self._expr(value, depth) for value in node.values])
        if isinstance(node, ast.IfExp):
            parts = (node.test, node.body, node.orelse)
            return Apply("where", tuple(self._expr(part, depth) for part in parts))
        if isinstance(node, ast.Call):
            return self._call(node, depth)
        if isinstance(node, ast.Attribute):
            raise self._fail(node, f"no attributes; write `{node.attr}` alone")
        kind = type(node).__name__
        raise self._fail(node, f"{kind} is not part of the formula language")

    def _name(self, node: ast.Name) -> Expr:
        if self.args is None:
            if node.id in CONSTANTS:
                return Number(CONSTANTS[node.id])
            return Symbol(node.id)
        if node.id in self.args:
            return Symbol(self.args[node.id])
        if node.id in CONSTANTS:
            return Number(CONSTANTS[node.id])
        known = ", ".join(self.args.values()) or "none"
        raise self._fail(
            node, f"unknown name {node.id!r}{self._similar(node.id, self.args)}; arguments: {known}"
        )

    def _number(self, node: ast.Constant) -> bool | int | float:
        value = node.value
        if isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            if abs(value) >= 2**63:
                raise self._fail(node, "an integer beyond 64 bits; write it as a float: 1e30")
            return value
        raise self._fail(node, "numbers are integers and floats")

    def _unary(self, node: ast.UnaryOp, depth: int) -> Expr:
        import ast

        if isinstance(node.op, ast.USub):
            if isinstance(node.operand, ast.Constant):
                value = self._number(node.operand)
                if not isinstance(value, bool):
                    return Number(-value)
            operand = self._expr(node.operand, depth)
            if isinstance(operand, Number) and operand.value == math.inf:
                return Number(-math.inf)
            return Apply("negative", (operand,))
        if isinstance(node.op, ast.UAdd):
            return self._expr(node.operand, depth)
        if isinstance(node.op, ast.Not):
            return Apply("logical_not", (self._expr(node.operand, depth),))
        raise self._fail(node, "the operator ~ is not part of the language; use `not`")

    def _compare(self, node: ast.Compare, depth: int) -> Expr:
        lefts = [node.left, *node.comparators[:-1]]
        pairs: list[Expr] = []
        for op, left, right in zip(node.ops, lefts, node.comparators, strict=True):
            name = _COMPARE.get(type(op).__name__)
            if name is None:
                raise self._fail(node, "the comparisons are < <= > >= == !=")
            pairs.append(Apply(name, (self._expr(left, depth), self._expr(right, depth))))
        return _fold("logical_and", pairs)

    def _call(self, node: ast.Call, depth: int) -> Expr:
        import ast

        if isinstance(node.func, ast.Attribute):
            raise self._fail(node, f"write `{node.func.attr}(...)`, without a module before it")
        if not isinstance(node.func, ast.Name):
            raise self._fail(node, "only a known function can be called")
        if node.keywords or any(isinstance(arg, ast.Starred) for arg in node.args):
            raise self._fail(node, f"{node.func.id} takes positional arguments only")
        written = node.func.id
        args = [self._expr(arg, depth) for arg in node.args]
        if written in self.ops:
            return self._expand(node, written, args)
        name = ALIASES.get(written, written)
        if name not in FUNCTIONS:
            names = [*FUNCTIONS, *ALIASES, *self.ops]
            raise self._fail(node, f"unknown function {written!r}{self._similar(written, names)}")
        if name in _VARIADIC and len(args) > 2:
            return _fold(name, args)
        arity = FUNCTIONS[name].arity
        if len(args) != arity:
            raise self._fail(node, f"{written} takes {arity} argument(s), not {len(args)}")
        return _literal(name, args) or Apply(name, tuple(args))

    def _expand(self, node: ast.Call, name: str, args: list[Expr]) -> Expr:
        names, body = self.ops[name]
        if len(args) != len(names):
            raise self._fail(node, f"{name}({', '.join(names)}) is given {len(args)} argument(s)")
        return replace_symbols(body, dict(zip(names, args, strict=True)))

    def _similar(self, name: str, names: object) -> str:
        import difflib

        close = difflib.get_close_matches(name, list(names), 1)  # type: ignore[call-overload]
        return f"; did you mean {close[0]!r}?" if close else ""


def _fold(name: str, args: list[Expr]) -> Expr:
    result = args[0]
    for arg in args[1:]:
        result = Apply(name, (result, arg))
    return result


def _literal(name: str, args: list[Expr]) -> Number | None:
    """sqrt(2) as the number it is: np.sqrt(2) is a float64, which would widen an f32 array."""
    function = FUNCTIONS[name]
    if function.infix is not None or function.result != "float" or function.arity != 1:
        return None
    spelling = (function.math or "").removesuffix("({0})")
    if not isinstance(args[0], Number) or not spelling.startswith("math."):
        return None
    try:
        return Number(float(getattr(math, spelling.removeprefix("math."))(args[0].value)))
    except (ArithmeticError, ValueError):
        return None


def _normal(name: str) -> str:
    if name.isascii():
        return name
    import unicodedata

    return unicodedata.normalize("NFKC", name)


def excerpt(text: str, column: int = 0) -> str:
    """At most 60 characters of the formula, around the column, on one line, printable."""
    if len(text) > 60:
        start = max(0, min(column - 30, len(text) - 60))
        text = ("..." if start else "") + text[start : start + 60] + "..."
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


# -- back to text ----------------------------------------------------------------------------------

_SPELLING: Mapping[str, str] = {"absolute": "abs"}
_ATOM = 20
_UNARY = FUNCTIONS["negative"].infix[1] if FUNCTIONS["negative"].infix else 11


def text(expr: Expr) -> str:
    """The formula of an expression: `parse(text(e), args) == e`, brackets only where needed."""
    return _print(expr)[0]


def _print(expr: Expr) -> tuple[str, int]:
    """The text and its precedence, by Python's own precedences."""
    if isinstance(expr, Symbol):
        return expr.name, _ATOM
    if isinstance(expr, Extent):
        return str(expr.size), _ATOM
    if isinstance(expr, Number):
        return _number_text(expr.value)
    function = FUNCTIONS[expr.function]
    if function.infix is None:
        inner = ", ".join(_print(arg)[0] for arg in expr.args)
        return f"{_SPELLING.get(function.name, function.name)}({inner})", _ATOM
    operator, level = function.infix
    if function.arity == 1:
        return _unary_text(expr)
    left, right = expr.args
    comparison = level == 4
    power = operator == "**"
    a = _bracket(left, level + 1 if comparison or power else level)
    # The right side of `**` is read as a unary: 2 ** -x.
    b = _bracket(right, _UNARY if power else level + 1)
    return f"{a} {operator} {b}", level


def _unary_text(expr: Apply) -> tuple[str, int]:
    operand = expr.args[0]
    # `-2` is read as a number, and so is `-inf`: only a call negates a literal.
    if isinstance(operand, Number):
        return f"negative({_number_text(operand.value)[0]})", _ATOM
    return f"-{_bracket(operand, _UNARY)}", _UNARY


def _bracket(expr: Expr, level: int) -> str:
    inner, own = _print(expr)
    return inner if own >= level else f"({inner})"


def _number_text(value: bool | int | float) -> tuple[str, int]:
    if value == math.pi:
        return "pi", _ATOM
    printed = repr(value)
    return printed, _UNARY if printed.startswith("-") else _ATOM
