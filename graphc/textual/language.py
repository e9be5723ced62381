"""What formulas of a graph file mean: a checked tree to values, by the functions of traced code.

Operands are what a traced function would hold: `Value`s, Python numbers (weak), sizes, tuples,
lists, text, None. Operators and elementwise functions make the node that they name; everything else
goes through `functions`, which calls NumPy and graphc as the user would.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from graphc import nodes
from graphc.errors import (
    GraphError,
    GraphNameError,
    GraphSyntaxError,
    GraphTypeError,
    GraphValueError,
    located,
)
from graphc.formula import ALIASES, CONSTANTS, excerpt
from graphc.lifting import Symbolic, is_weak, lift_all
from graphc.naming import unknown_name
from graphc.ops.elementwise import TABLE
from graphc.ops.kinds import Elementwise
from graphc.textual.formulas import Formula, Function, dotted
from graphc.textual.functions import ATTRIBUTES, FUNCTIONS, METHODS, UNCHECKED
from graphc.textual.limits import MAX_CALLS, MAX_INTEGER_BITS, MAX_SIZE_POWER, MAX_STEPS
from graphc.types import Dim
from graphc.values import Value, binary

_BINARY: Mapping[type[ast.operator], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Add: ("add", operator.add),
    ast.Sub: ("subtract", operator.sub),
    ast.Mult: ("multiply", operator.mul),
    ast.Div: ("divide", operator.truediv),
    ast.FloorDiv: ("floor_divide", operator.floordiv),
    ast.Mod: ("remainder", operator.mod),
    ast.Pow: ("power", operator.pow),
}
_COMPARE: Mapping[type[ast.cmpop], tuple[str, Callable[[Any, Any], Any]]] = {
    ast.Lt: ("less", operator.lt),
    ast.LtE: ("less_equal", operator.le),
    ast.Gt: ("greater", operator.gt),
    ast.GtE: ("greater_equal", operator.ge),
    ast.Eq: ("equal", operator.eq),
    ast.NotEq: ("not_equal", operator.ne),
}
_LOGIC: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}

Operand = Any
# The plain function of a user's op (`graphc.contraction`) or a function of FUNCTIONS.
Callee = Callable[..., Any]


class Language:
    """Evaluates formulas. One a file: it counts what the whole file costs.

    functions, ops (elementwise) and contractions (index formulas): the file's own.
    sizes: the names of sizes that the types of the inputs mention.
    """

    def __init__(
        self,
        functions: Mapping[str, Function],
        ops: Mapping[str, Elementwise],
        contractions: Mapping[str, Callee],
        sizes: Iterable[str],
    ) -> None:
        self.functions = functions
        self.ops = ops
        self.contractions = contractions
        self.sizes = frozenset(sizes)
        self.steps = 0
        # Whether a formula stated a node whose parameters no constructor has checked.
        self.unchecked = False
        self.active: list[str] = []

    def evaluate(self, formula: Formula, names: Mapping[str, Operand]) -> Operand:
        """The operand that a formula over `names` stands for.

        Raises GraphNameError for an unknown name or function, GraphTypeError and GraphValueError as
        traced code would, GraphSyntaxError for what has no meaning here.
        """
        try:
            return _Evaluation(self, formula, names).of(formula.tree)
        except RecursionError:
            raise GraphValueError(
                located(f"formula `{excerpt(formula.text)}`: functions nested too deeply")
            ) from None

    def count(self, steps: int = 1) -> None:
        """GraphValueError where the file costs too much."""
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise GraphValueError(located(f"more than {MAX_STEPS} terms, functions expanded"))

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """The call of a function of the file, guarded against recursion."""
        if name in self.active:
            cycle = [*self.active[self.active.index(name) :], name]
            raise GraphValueError(
                located(f"functions are expanded and may not recurse: {' -> '.join(cycle)}")
            )
        if len(self.active) >= MAX_CALLS:
            raise GraphValueError(located(f"functions called deeper than {MAX_CALLS}"))
        self.active.append(name)
        try:
            yield
        finally:
            self.active.pop()

    def known_functions(self) -> list[str]:
        """Every name that may be called."""
        return [*self.functions, *self.ops, *self.contractions, *FUNCTIONS, *TABLE, *ALIASES]


class _Evaluation:
    """One formula at one set of names."""

    def __init__(self, language: Language, formula: Formula, names: Mapping[str, Operand]) -> None:
        self.language = language
        self.formula = formula
        self.names = names

    def of(self, node: ast.expr) -> Operand:
        """The operand of a subtree; `formulas` has limited how deep it goes."""
        self.language.count()
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self._name(node, name)
            case ast.BinOp(left=left, op=op, right=right):
                return self._binary(node, op, self.of(left), self.of(right))
            case ast.UnaryOp(op=op, operand=operand):
                return self._unary(node, op, self.of(operand))
            case ast.Compare():
                return self._compare(node)
            case ast.BoolOp(op=op, values=values):
                name = "logical_and" if isinstance(op, ast.And) else "logical_or"
                return self._fold(node, name, [self.of(value) for value in values])
            case ast.IfExp(test=test, body=body, orelse=orelse):
                operands = [self.of(part) for part in (test, body, orelse)]
                return self._elementwise(node, TABLE["where"], operands)
            case ast.Call():
                return self._call(node)
            case ast.Attribute():
                return self._attribute(node)
            case ast.Subscript():
                return self._subscript(node)
            case ast.Slice(lower=lower, upper=upper, step=step):
                parts = [None if part is None else self.of(part) for part in (lower, upper, step)]
                return slice(*parts)
            case ast.Tuple(elts=elts):
                return tuple(self.of(part) for part in elts)
            case ast.List(elts=elts):
                return [self.of(part) for part in elts]
        raise self._fail(node, f"{type(node).__name__} is not part of the formula language")

    def _fail(self, node: ast.AST, problem: str) -> GraphSyntaxError:
        return self.formula.fail(node, problem)

    # -- names -----------------------------------------------------------------------------------

    def _name(self, node: ast.expr, name: str) -> Operand:
        if name in self.names:
            return self.names[name]
        if name in self.language.sizes:
            return Dim.named(name)
        if name in CONSTANTS:
            return CONSTANTS[name]
        raise unknown_name(f"formula `{self._excerpt()}`: unknown name", name, self.names)

    def _excerpt(self) -> str:
        return excerpt(self.formula.text)

    def _declared(self, node: ast.expr) -> str | None:
        name = dotted(node)
        return name if name is not None and name in self.names else None

    def _attribute(self, node: ast.Attribute) -> Operand:
        declared = self._declared(node)
        if declared is not None:
            return self.names[declared]
        whole = dotted(node)
        base = node.value
        while isinstance(base, ast.Attribute | ast.Subscript):
            base = base.value
        if isinstance(base, ast.Name) and not self._starts_a_value(node):
            raise unknown_name(
                f"formula `{self._excerpt()}`: unknown name", whole or base.id, self.names
            )
        value = self.of(node.value)
        if not isinstance(value, Value) or node.attr not in ATTRIBUTES:
            known = ", ".join(sorted(ATTRIBUTES))
            raise self._fail(node, f"no attribute {node.attr!r}; values have: {known}")
        return getattr(value, node.attr)

    def _starts_a_value(self, node: ast.expr) -> bool:
        """Whether some beginning of the dotted chain is a name that is known."""
        while isinstance(node, ast.Attribute | ast.Subscript):
            node = node.value
            if self._declared(node) is not None:
                return True
        return isinstance(node, ast.Name) and (
            node.id in self.language.sizes or node.id in CONSTANTS
        )

    def _subscript(self, node: ast.Subscript) -> Operand:
        declared = self._declared(node)
        if declared is not None:
            return self.names[declared]
        value, index = self.of(node.value), self.of(node.slice)
        if isinstance(value, Value):
            return self._guarded(node, "indexing", lambda: value[index])
        if (
            isinstance(value, tuple)
            and isinstance(index, int)
            and -len(value) <= index < len(value)
        ):
            return value[index]  # x.shape[0]
        raise self._fail(node, "only values and shapes are indexed")

    # -- operators -------------------------------------------------------------------------------

    def _binary(self, node: ast.expr, op: ast.operator, a: Operand, b: Operand) -> Operand:
        if isinstance(op, ast.MatMult):
            if not isinstance(a, Symbolic) and not isinstance(b, Symbolic):
                raise self._fail(node, "@ takes arrays")
            return self._guarded(node, "@", lambda: a @ b)
        logic = _LOGIC.get(type(op))
        if logic is not None:
            if not isinstance(a, Symbolic) and not isinstance(b, Symbolic):
                raise self._fail(node, "& | ^ combine conditions on values")
            return self._guarded(node, "& | ^", lambda: logic(a, b))
        entry = _BINARY.get(type(op))
        if entry is None:
            raise self._fail(node, "the operators are + - * / // % ** @ & | ^")
        name, plain = entry
        if isinstance(a, Symbolic) or isinstance(b, Symbolic):
            self._check_operands(node, name, (a, b))
            return Value(binary(TABLE[name], a, b))
        return self._arithmetic(node, name, plain, a, b)

    def _arithmetic(
        self, node: ast.expr, name: str, plain: Callable[[Any, Any], Any], a: Operand, b: Operand
    ) -> Operand:
        """Arithmetic on numbers and sizes alone: as Python does it, its results kept small."""
        if not is_weak(a) or not is_weak(b):
            raise self._fail(node, f"{name} takes values and numbers")
        if name == "power" and isinstance(a, int) and isinstance(b, int):
            if abs(a) > 1 and b * abs(a).bit_length() > 2 * MAX_INTEGER_BITS:
                raise self._fail(node, "an integer beyond 64 bits; write it as a float: 9.0 ** 9")
        elif isinstance(a, Dim) or isinstance(b, Dim):
            if name == "power" and isinstance(b, int) and 0 <= b <= MAX_SIZE_POWER:
                return math.prod([a] * b)
            if name in ("divide", "power"):
                raise self._fail(node, "sizes take + - * // %; divide a value by a size instead")
        try:
            result = plain(a, b)
        except ZeroDivisionError:
            raise self._fail(node, "division of numbers by zero") from None
        except OverflowError:
            raise self._fail(node, "a number too large for a float") from None
        except TypeError:
            raise self._fail(node, f"{name} of a size and a float; use a value") from None
        if isinstance(result, complex):
            raise self._fail(node, "a complex number")
        if isinstance(result, int) and result.bit_length() >= MAX_INTEGER_BITS:
            raise self._fail(node, "an integer beyond 64 bits; write it as a float: 1e30")
        return result

    def _unary(self, node: ast.expr, op: ast.unaryop, x: Operand) -> Operand:
        if isinstance(op, ast.Not | ast.Invert):
            if isinstance(x, bool):
                return not x
            return self._elementwise(node, TABLE["logical_not"], [x])
        if not isinstance(x, Symbolic) and not is_weak(x):
            raise self._fail(node, "a sign before what is no value and no number")
        if isinstance(op, ast.UAdd):
            return x
        if isinstance(x, Symbolic):
            return self._elementwise(node, TABLE["negative"], [x])
        return -x

    def _compare(self, node: ast.Compare) -> Operand:
        operands = [self.of(part) for part in (node.left, *node.comparators)]
        found: list[Operand] = []
        for op, a, b in zip(node.ops, operands, operands[1:], strict=False):
            entry = _COMPARE.get(type(op))
            if entry is None:
                raise self._fail(node, "the comparisons are < <= > >= == !=")
            name, plain = entry
            if isinstance(a, Symbolic) or isinstance(b, Symbolic):
                self._check_operands(node, name, (a, b))
                found.append(Value(binary(TABLE[name], a, b)))
            elif isinstance(a, bool | int | float) and isinstance(b, bool | int | float):
                found.append(plain(a, b))
            else:
                raise self._fail(node, f"{name} takes values and numbers")
        return self._fold(node, "logical_and", found)

    def _fold(self, node: ast.expr, name: str, operands: list[Operand]) -> Operand:
        result = operands[0]
        for operand in operands[1:]:
            result = self._elementwise(node, TABLE[name], [result, operand])
        return result

    def _check_operands(self, node: ast.expr, name: str, operands: Iterable[Operand]) -> None:
        for operand in operands:
            if not isinstance(operand, Symbolic | list) and not is_weak(operand):
                shown = type(operand).__name__
                raise GraphTypeError(
                    located(
                        f"formula `{self._excerpt()}`: {name} takes values and numbers, not {shown}"
                    )
                )

    # -- calls -----------------------------------------------------------------------------------

    def _call(self, node: ast.Call) -> Operand:
        args = [self.of(arg) for arg in node.args]
        options = {word.arg: self.of(word.value) for word in node.keywords if word.arg}
        if isinstance(node.func, ast.Attribute):
            return self._method(node, node.func, args, options)
        if not isinstance(node.func, ast.Name):
            raise self._fail(node, "only a known function can be called")
        name = node.func.id
        if name in self.language.functions:
            return self._expand(self.language.functions[name], args, options)
        op = self.language.ops.get(name) or TABLE.get(ALIASES.get(name, name))
        if name in FUNCTIONS:
            self.language.unchecked |= name in UNCHECKED
            return self._guarded(node, name, lambda: FUNCTIONS[name](*args, **options))
        if name in self.language.contractions:
            callee = self.language.contractions[name]
            return self._guarded(node, name, lambda: callee(*args, **options))
        if op is None:
            raise self._unknown_function(name)
        if options:
            raise self._fail(node, f"{name} takes no keywords")
        return self._elementwise(node, op, args)

    def _unknown_function(self, name: str) -> GraphNameError:
        close = get_close_matches(name, self.language.known_functions(), 1)
        hint = f"; did you mean {close[0]!r}?" if close else "; state it in [functions] or [ops]"
        return GraphNameError(
            located(f"formula `{self._excerpt()}`: unknown function {name!r}{hint}")
        )

    def _method(
        self, node: ast.Call, func: ast.Attribute, args: list[Operand], options: dict[str, Operand]
    ) -> Operand:
        base = func.value
        if isinstance(base, ast.Name) and base.id in ("np", "numpy", "graphc"):
            raise self._fail(node, f"write `{func.attr}(...)`, without a module before it")
        value = self.of(base)
        if not isinstance(value, Value) or func.attr not in METHODS:
            known = ", ".join(sorted(METHODS))
            raise self._fail(node, f"no method {func.attr!r}; values have: {known}")
        method = getattr(value, func.attr)
        return self._guarded(node, func.attr, lambda: method(*args, **options))

    def _expand(
        self, function: Function, args: list[Operand], options: dict[str, Operand]
    ) -> Operand:
        params = function.params
        bound = dict(zip(params, args, strict=False))
        for name, value in options.items():
            if name not in params or name in bound:
                raise GraphTypeError(
                    located(f"{function.name}({', '.join(params)}): unexpected argument {name!r}")
                )
            bound[name] = value
        if len(args) > len(params) or len(bound) < len(params):
            raise GraphTypeError(
                located(
                    f"{function.name}({', '.join(params)}) takes {len(params)} argument(s), "
                    f"got {len(args) + len(options)}"
                )
            )
        with self.language.inside(function.name):
            return self.language.evaluate(function.body, bound)

    def _elementwise(self, node: ast.expr, op: Elementwise, args: list[Operand]) -> Operand:
        if len(args) != len(op.args):
            raise GraphTypeError(
                located(
                    f"formula `{self._excerpt()}`: {op.name}({', '.join(op.args)}) is given "
                    f"{len(args)} operand(s)"
                )
            )
        self._check_operands(node, op.name, args)
        if any(isinstance(arg, Symbolic | Dim | list) for arg in args):
            return Value(nodes.elementwise(op, *lift_all(args)))
        return self._guarded(node, op.name, lambda: _number(op, args))

    def _guarded(self, node: ast.expr, name: str, call: Callable[[], Any]) -> Operand:
        """What a function of NumPy or graphc returns; its errors as ours, of one line."""
        try:
            result = call()
        except GraphError:
            raise
        except (TypeError, ValueError, IndexError, ArithmeticError, MemoryError) as error:
            line = str(error).partition("\n")[0] or type(error).__name__
            line = re.sub(r"^[\w.<>]+\(\) ", "", line)  # a function of ours, by its inner name
            kind = GraphTypeError if isinstance(error, TypeError) else GraphValueError
            raise kind(located(f"formula `{self._excerpt()}`: {name}: {line}")) from None
        if result is None or result is NotImplemented:
            raise GraphNameError(located(f"formula `{self._excerpt()}`: {name} gives no value"))
        return result


def _number(op: Elementwise, args: list[Operand]) -> Operand:
    """An elementwise op on numbers alone is a number, as weak as they are: sqrt(2)."""
    import numpy as np

    from graphc.interpret import definition
    from graphc.scalars import evaluate_expr

    with np.errstate(all="ignore"):
        result = evaluate_expr(definition(op), dict(zip(op.args, args, strict=True)), {})
    return result.item() if isinstance(result, np.generic | np.ndarray) else result
