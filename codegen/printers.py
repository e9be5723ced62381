"""Steps as expressions: how a function is spelled in NumPy and in `math`.

An expression is its text and its precedence, so that parentheses stand only where Python needs
them, and association stays as it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from codegen.expr import FUNCTIONS, Extent, Function, Number
from codegen.infer import floating, weak
from codegen.literals import fraction, written
from codegen.plan.steps import Apply, Operand, Value
from codegen.types import Size

Text = tuple[str, int]
TERNARY, OR, AND, NOT, COMPARE, SUM, PRODUCT, UNARY, POWER, ATOM = 0, 1, 2, 3, 4, 9, 10, 11, 12, 20

_CONVERSIONS = {
    "f64": "np.float64",
    "f32": "np.float32",
    "i64": "np.int64",
    "i32": "np.int32",
    "bool": "np.bool_",
}
# Operators that raise on Python numbers where NumPy gives inf or NaN.
_RAISING = frozenset({"divide", "power", "floor_divide", "remainder"})
# On bools, bit by bit; `words` are for numbers, which Python's operators would leave as ints.
_LOGIC = {
    "logical_and": ("&", 7, "and", AND),
    "logical_or": ("|", 5, "or", OR),
    "logical_xor": ("^", 6, "!=", COMPARE),
}
_SHORT = {"np.absolute": "np.abs"}


def dtype_text(dtype: str) -> str:
    """The dtype as an expression."""
    return _CONVERSIONS[dtype]


def number_text(value: bool | int | float, module: str) -> Text:
    """A literal that reads back as the same number."""
    if isinstance(value, float) and not math.isfinite(value):
        name = f"{module}.nan" if math.isnan(value) else f"{module}.inf"
        return (f"-{name}", UNARY) if value < 0 else (name, ATOM)
    text = repr(value)
    return text, UNARY if text[0] == "-" else ATOM


def _literal(value: bool | int | float, module: str) -> Text:
    """The number in an expression; Python computes a quotient once, when it compiles the line."""
    if isinstance(value, float) and fraction(value) is not None:
        return written(value), PRODUCT
    return number_text(value, module)


class Printer:
    """Expressions of the values of one function.

    text, level: of each value, by index: an identifier, or an expression and its precedence.
    size: prints a size, and takes note of the names in it.
    callables: the identifiers of what the Program calls by a bare name.
    modules: the modules that the code mentions. routines: those of `codegen.routines` it calls.
    strict: every number is a NumPy scalar, never a Python one.
    """

    def __init__(
        self,
        count: int,
        size: Callable[[Size], str],
        callables: Mapping[str, str] | None = None,
        strict: bool = False,
    ) -> None:
        self.text = [""] * count
        self.level = [ATOM] * count
        self.size = size
        self.callables = callables or {}
        self.strict = strict
        # Names a number (of a dtype) that is an operand of arrays in a loop.
        self.named: Callable[[float, str], str] | None = None
        self.modules: set[str] = set()
        self.routines: set[str] = set()

    # -- operands ----------------------------------------------------------------------------------

    def operand(self, operand: Operand, at_least: int = TERNARY) -> str:
        """The operand, in parentheses where it binds looser than `at_least`."""
        if isinstance(operand, Value):
            text, level = self.text[operand.index], self.level[operand.index]
        else:
            text, level = self.literal(operand)
        return text if level >= at_least else f"({text})"

    def literal(self, operand: Number | Extent) -> Text:
        """A number or a size."""
        if isinstance(operand, Number):
            return _literal(operand.value, self.module)
        text = self.size(operand.size)
        return text, ATOM if text.isidentifier() or _is_call(text) else SUM

    module = "np"

    def python_number(self, operand: Operand) -> bool:
        """Whether the operand may be a Python number at run time."""
        if not isinstance(operand, Value):
            return True
        return weak(operand.dtype) or (operand.py and not self.strict)

    # -- functions ---------------------------------------------------------------------------------

    def apply(self, step: Apply) -> Text:
        """The function of the step's operands."""
        function, out = step.function, step.out
        name = function.name
        special = _SPECIAL.get(name)
        if special is not None:
            made = special(self, step)
            if made is not None:
                return made
        if not out.shape and name in _RAISING and all(map(self.python_number, step.operands)):
            called = self.call(function, step)
            return (f"float({called})", ATOM) if weak(out.dtype) else (called, ATOM)
        if function.infix is not None:
            return self.infix(step, function.infix)
        called = self.call(function, step)
        return (f"float({called})" if weak(out.dtype) and not out.shape else called), ATOM

    def infix(self, step: Apply, infix: tuple[str, int]) -> Text:
        """The function as an operator."""
        operator, level = infix
        if len(step.operands) == 1:
            return f"{operator}{self.argument(step, 0, level)}", level
        left, right = level, level + 1
        if operator == "**":
            left, right = level + 1, UNARY
        elif level == COMPARE:
            left = level + 1
        return f"{self.argument(step, 0, left)} {operator} {self.argument(step, 1, right)}", level

    def argument(self, step: Apply, position: int, at_least: int = TERNARY) -> str:
        """An operand; a Python number among arrays of another dtype must not be weak."""
        operand = step.operands[position]
        if isinstance(operand, Number) and self.named is not None and _is_arithmetic(step):
            return self.named(float(operand.value), step.out.dtype)
        if isinstance(operand, Value):
            operand = _without_float(step, operand, self)
        if isinstance(operand, Value) and operand.py and not weak(operand.dtype):
            for other in step.operands:
                if isinstance(other, Value) and other.dtype != operand.dtype:
                    if weak(other.dtype) or step.out.dtype == "bool" or other.dtype == "bool":
                        continue
                    return f"{_CONVERSIONS[operand.dtype]}({self.operand(operand)})"
        return self.operand(operand, at_least)

    def call(self, function: Function, step: Apply, extra: str = "") -> str:
        """The function by its dotted name."""
        arguments = [self.argument(step, position) for position in range(len(step.operands))]
        if step.out.dtype == "f32" and function.numpy.startswith("scipy."):
            # SciPy's functions take a Python number for a double.
            for at, operand in enumerate(step.operands):
                if not isinstance(operand, Value):
                    arguments[at] = f"np.float32({arguments[at]})"
        if extra:
            arguments.append(extra)
        return f"{self.function(function)}({', '.join(arguments)})"

    def function(self, function: Function) -> str:
        """The function's dotted name, its module being noted."""
        name = function.numpy
        self.modules.add(name.rpartition(".")[0])
        return _SHORT.get(name, name)


class MathPrinter(Printer):
    """Expressions of Python floats, with `math`."""

    module = "math"

    def apply(self, step: Apply) -> Text:
        """The function of the step's operands, on Python floats."""
        function = step.function
        name = function.name
        if name == "where":
            return _ternary(self, step)
        if name == "bool":
            return f"{self.operand(step.operands[0], COMPARE + 1)} != 0.0", COMPARE
        if name in _LOGIC and all(_is_bool(operand) for operand in step.operands):
            return _words(self, step)
        if name == "logical_not":
            return f"not {self.operand(step.operands[0], NOT)}", NOT
        if function.infix is not None and name != "power":
            return self.infix(step, function.infix)
        if function.math is None or name in _LOGIC:
            wrap = "bool" if step.out.dtype == "bool" else "float"
            return f"{wrap}({self.call(function, step)})", ATOM
        self.modules.update({"math"} if "math." in function.math else ())
        called = function.math.endswith(")") and function.math.count("(") == 1
        least = TERNARY if called else ATOM
        text = function.math.format(*[self.operand(o, least) for o in step.operands])
        if called or text.startswith(("math.copysign(math.", "math.copysign(round")):
            return text, ATOM
        return text, PRODUCT if name in ("square", "reciprocal") else TERNARY

    def literal(self, operand: Number | Extent) -> Text:
        """A number, as a float: an int would stay one."""
        if isinstance(operand, Number) and not isinstance(operand.value, bool):
            text, level = _literal(float(operand.value), "math")
            if "math." in text:
                self.modules.add("math")
            return text, level
        return super().literal(operand)


def _without_float(step: Apply, operand: Value, printer: Printer) -> Operand:
    """The size itself for `float(size)` beside what makes the result a float anyway."""
    made = operand.step
    if not isinstance(made, Apply) or made.function.name != "f64" or step.out.dtype != "f64":
        return operand
    if not isinstance(made.operands[0], Extent) or printer.text[operand.index].isidentifier():
        return operand
    others = [other for other in step.operands if other is not operand]
    beside = any(isinstance(o, Value) and o.dtype == "f64" and not o.py for o in others)
    return made.operands[0] if step.function.result == "float" or beside else operand


def _is_call(text: str) -> bool:
    return text.isdigit() or (text.startswith(("min(", "max(")) and text.endswith(")"))


def _is_bool(operand: Operand) -> bool:
    if isinstance(operand, Value):
        return operand.dtype in ("bool", "bool?")
    return isinstance(operand, Number) and isinstance(operand.value, bool)


def _ternary(printer: Printer, step: Apply) -> Text:
    """A choice between numbers: Python's own, which computes one branch only."""
    condition, yes, no = step.operands
    texts = []
    for branch in (yes, no):
        text = printer.operand(branch, OR)
        loose = not isinstance(branch, Value) or weak(branch.dtype)
        plain = step.out.dtype == "f64" and not printer.strict
        if _is_bool(branch) and step.out.dtype not in ("bool", "bool?"):
            # Beside a number NumPy makes a number of it; Python returns it as it is.
            text = f"{'float' if plain else _CONVERSIONS[step.out.dtype]}({text})"
        elif loose and not plain and not weak(step.out.dtype):
            text = f"{_CONVERSIONS[step.out.dtype]}({text})"
        texts.append(text)
    return f"{texts[0]} if {printer.operand(condition, OR)} else {texts[1]}", TERNARY


def _words(printer: Printer, step: Apply) -> Text:
    """Logic on single bools, in Python's words."""
    _, _, word, level = _LOGIC[step.function.name]
    left = level + 1 if level == COMPARE else level
    a, b = step.operands
    return f"{printer.operand(a, left)} {word} {printer.operand(b, level + 1)}", level


def _where(printer: Printer, step: Apply) -> Text | None:
    return _ternary(printer, step) if not step.out.shape else None


def _logic(printer: Printer, step: Apply) -> Text | None:
    if not all(_is_bool(operand) for operand in step.operands):
        return None
    if not step.out.shape:
        return _words(printer, step)
    operator, level, _, _ = _LOGIC[step.function.name]
    return printer.infix(step, (operator, level))


def _not(printer: Printer, step: Apply) -> Text | None:
    if not step.out.shape:
        return f"not {printer.operand(step.operands[0], NOT)}", NOT
    if _is_bool(step.operands[0]):
        return f"~{printer.operand(step.operands[0], UNARY)}", UNARY
    return None


def _square(printer: Printer, step: Apply) -> Text | None:
    (operand,) = step.operands
    if isinstance(operand, Value) and printer.text[operand.index].isidentifier():
        text = printer.operand(operand)
        return f"{text} * {text}", PRODUCT
    return None


def _reciprocal(printer: Printer, step: Apply) -> Text | None:
    (operand,) = step.operands
    if step.out.dtype not in ("f32", "f64"):
        return None
    if not step.out.shape and printer.python_number(operand):
        return f"np.divide(1.0, {printer.operand(operand)})", ATOM
    one = "1.0"
    if printer.named is not None and step.out.shape:
        one = printer.named(1.0, step.out.dtype)
    return f"{one} / {printer.operand(operand, PRODUCT + 1)}", PRODUCT


def _is_arithmetic(step: Apply) -> bool:
    """Whether the step is a sum, product or the like of floating arrays."""
    known = step.function.name in ("add", "subtract", "multiply", "divide")
    return known and bool(step.out.shape) and step.out.dtype in ("f32", "f64")


def _error_function(printer: Printer, step: Apply) -> Text | None:
    """NumPy has no erf; for one number `math` has."""
    if step.out.shape:
        return None
    printer.modules.add("math")
    text = f"math.{step.function.name}({printer.operand(step.operands[0])})"
    if step.out.dtype == "f64" and not printer.strict:
        return text, ATOM
    return f"{_CONVERSIONS[step.out.dtype]}({text})", ATOM


def _number(printer: Printer, step: Apply) -> Text | None:
    """By `math`, where the plan says so and it does not raise."""
    text, function = printer.operand(step.operands[0]), step.function
    if not step.out.py or printer.strict or not text.isidentifier():
        return None
    assert function.math is not None
    printer.modules.add("math")
    inside, condition = function.math.format(text), function.domain.format(text)
    return f"{inside} if {condition} else {printer.call(function, step)}", TERNARY


def _finite(printer: Printer, step: Apply) -> Text | None:
    """NumPy's question about one number costs as much as one about an array."""
    (operand,) = step.operands
    if step.out.shape or (isinstance(operand, Value) and not floating(operand.dtype)):
        return None
    printer.modules.add("math")
    return f"math.{step.function.name}({printer.operand(operand)})", ATOM


def _convert(printer: Printer, step: Apply) -> Text:
    (operand,) = step.operands
    name = step.function.name
    if isinstance(operand, Value) and operand.shape:
        return f"{printer.operand(operand, ATOM)}.astype({_CONVERSIONS[name]})", ATOM
    if name == "i64" and not isinstance(operand, Value):
        return printer.literal(operand)
    if name in ("i64", "i32") and isinstance(operand, Value) and floating(operand.dtype):
        # NumPy's conversion never raises; that of a Python float does.
        text = printer.operand(operand, ATOM)
        number = f"np.float64({text})" if printer.python_number(operand) else text
        return f"{number}.astype({_CONVERSIONS[name]})", ATOM
    if name == "f64" and printer.python_number(operand) and not printer.strict:
        return f"float({printer.operand(operand)})", ATOM
    return f"{_CONVERSIONS[name]}({printer.operand(operand)})", ATOM


_SPECIAL: dict[str, Callable[[Printer, Apply], Text | None]] = {
    "where": _where,
    "logical_and": _logic,
    "logical_or": _logic,
    "logical_xor": _logic,
    "logical_not": _not,
    "square": _square,
    "reciprocal": _reciprocal,
    **dict.fromkeys([name for name, entry in FUNCTIONS.items() if entry.domain], _number),
    "erf": _error_function,
    "erfc": _error_function,
    **dict.fromkeys(("isfinite", "isinf", "isnan"), _finite),
    **dict.fromkeys(_CONVERSIONS, _convert),
}
