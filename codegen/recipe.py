"""A scalar expression as a straight line of single functions, with dtypes.

    Recipe      = instructions, result
    Instruction = function(operands) -> dtype
    Ref         = Argument(k) | Temporary(k) | Number | Extent

Equal sub-expressions become one instruction, constants are folded, and powers become products where
that loses nothing. Association is kept.
"""

from __future__ import annotations

from typing import Union

import numpy as np

from codegen.expr import FUNCTIONS, Expr, Extent, Number, Symbol
from codegen.infer import floating, promote, result_dtype, weak, weak_dtype
from codegen.literals import fraction
from codegen.record import record


@record
class Argument:
    """The k-th argument of the expression."""

    index: int


@record
class Temporary:
    """The result of the k-th instruction."""

    index: int


_OF_BOOLS = {
    "add": "logical_or",
    "multiply": "logical_and",
    "maximum": "logical_or",
    "minimum": "logical_and",
}

Ref = Union[Argument, Temporary, Number, Extent]


@record
class Instruction:
    """One function on refs; `dtype` may be weak (`float?`) where every operand is."""

    function: str
    operands: tuple[Ref, ...]
    dtype: str


@record
class Recipe:
    """Instructions in order, and which value is the expression's."""

    instructions: tuple[Instruction, ...]
    result: Ref
    dtype: str


def recipe(expr: Expr, dtypes: tuple[str, ...], out: str) -> Recipe:
    """The recipe of `expr` over arguments of these dtypes, with a result of dtype `out`."""
    book = _Book(dtypes, out)
    result, dtype = book.read(expr)
    if dtype != out:
        result, dtype = book.convert(result, dtype, out)
    return Recipe(tuple(book.instructions), result, dtype)


class _Book:
    """The instructions so far; equal ones are written once."""

    def __init__(self, dtypes: tuple[str, ...], out: str) -> None:
        self.dtypes = dtypes
        # What a choice between two literals becomes, which are weak and take the others' dtype.
        self.common = next((dtype for dtype in (out, *dtypes) if floating(dtype)), "i64")
        self.instructions: list[Instruction] = []
        self._known: dict[tuple[object, ...], tuple[Ref, str]] = {}

    def read(self, expr: Expr) -> tuple[Ref, str]:
        """The ref and dtype of a sub-expression. An op's tree is shallow; recursion is safe."""
        if isinstance(expr, Symbol):
            index = int(expr.name)
            return Argument(index), self.dtypes[index]
        if isinstance(expr, Number):
            return expr, weak_dtype(expr.value)
        if isinstance(expr, Extent):
            if isinstance(expr.size, int):
                return Number(expr.size), "int?"
            return expr, "int?"
        refs, dtypes = zip(*map(self.read, expr.args), strict=True)
        return self.apply(expr.function, refs, dtypes)

    def apply(
        self, function: str, refs: tuple[Ref, ...], dtypes: tuple[str, ...]
    ) -> tuple[Ref, str]:
        """function(*refs), simplified; the same call a second time is the first one's value."""
        if all(isinstance(ref, Number) for ref in refs) and function not in ("f32", "i32", "i64"):
            folded = _fold(function, [ref.value for ref in refs if isinstance(ref, Number)])
            return folded, weak_dtype(folded.value)
        if function == dtypes[0]:
            return refs[0], dtypes[0]
        if function in _OF_BOOLS and all(dtype in ("bool", "bool?") for dtype in dtypes):
            function = _OF_BOOLS[function]  # what NumPy does; Python would count
        dtype = result_dtype(function, dtypes)
        if FUNCTIONS[function].result == "float" and promote(dtypes) == "bool":
            # NumPy would compute the exponential of a bool in half precision.
            refs, dtypes = zip(
                *(self.apply("f64", (r,), (d,)) for r, d in zip(refs, dtypes, strict=True)),
                strict=True,
            )
        simple = self._simplify(function, refs, dtypes, dtype)
        if simple is not None:
            return simple
        if function == "where" and weak(dtype) and not weak(dtypes[0]):
            # An array of choices is not weak any more: it needs a dtype now.
            chosen, dtype = self.convert(refs[1], dtypes[1], self.common)
            refs, dtypes = (refs[0], chosen, refs[2]), (dtypes[0], dtype, dtypes[2])
        # A literal beside floats reads as a float; it is weak, so this changes no dtype.
        if floating(promote(dtypes[1:] if function == "where" else dtypes)):
            single = promote(dtypes[1:] if function == "where" else dtypes) == "f32"
            refs = tuple(_as_float(ref, single) for ref in refs)
        key = (function, *map(_identity, refs))
        if key not in self._known:
            self.instructions.append(Instruction(function, refs, dtype))
            self._known[key] = (Temporary(len(self.instructions) - 1), dtype)
        return self._known[key]

    def convert(self, ref: Ref, dtype: str, out: str) -> tuple[Ref, str]:
        """The value in dtype `out`."""
        if isinstance(ref, Number) and out == "f64":
            return Number(float(ref.value)), out
        self.instructions.append(Instruction(out, (ref,), out))
        return Temporary(len(self.instructions) - 1), out

    def _simplify(
        self, function: str, refs: tuple[Ref, ...], dtypes: tuple[str, ...], dtype: str
    ) -> tuple[Ref, str] | None:
        if function == "power" and floating(dtypes[0]) and isinstance(refs[1], Number):
            return self._power(refs[0], dtypes[0], float(refs[1].value), dtype)
        if function == "multiply":
            for this, other in ((0, 1), (1, 0)):
                if dtypes[this] == dtype and isinstance(factor := refs[other], Number):
                    if factor.value == 1:
                        return refs[this], dtype
                    if factor.value == -1 and floating(dtype):
                        return self.apply("negative", (refs[this],), (dtype,))
        if function == "subtract" and dtypes[0] == dtype and _is_zero(refs[1]):
            return refs[0], dtype
        if function == "negative":
            inner = self._instruction(refs[0])
            if inner is not None and inner.function == "negative" and floating(dtype):
                return inner.operands[0], dtype
        if function == "where" and isinstance(refs[0], Number):
            chosen = 1 if refs[0].value else 2
            return (refs[chosen], dtype) if dtypes[chosen] == dtype else None
        return None

    def _power(
        self, base: Ref, base_dtype: str, exponent: float, dtype: str
    ) -> tuple[Ref, str] | None:
        """Small powers as products, and a square root where the base cannot be negative.

        Not for every base: pow(-0.0, 0.5) is 0.0 and pow(-inf, 0.5) is inf, unlike sqrt.
        """
        if base_dtype != dtype:
            return None
        if exponent == 1.0:
            return base, dtype
        if exponent == 2.0:
            return self.apply("square", (base,), (dtype,))
        if exponent == 3.0:
            square, _ = self.apply("square", (base,), (dtype,))
            return self.apply("multiply", (square, base), (dtype, dtype))
        if exponent == 4.0:
            square, _ = self.apply("square", (base,), (dtype,))
            return self.apply("square", (square,), (dtype,))
        if exponent == -1.0:
            return self.apply("divide", (Number(1.0), base), ("float?", dtype))
        if exponent == 0.5 and self._nonnegative(base):
            return self.apply("sqrt", (base,), (dtype,))
        return None

    def _instruction(self, ref: Ref) -> Instruction | None:
        return self.instructions[ref.index] if isinstance(ref, Temporary) else None

    def _nonnegative(self, ref: Ref) -> bool:
        """Whether the value is NaN, zero with a plus sign, or positive."""
        if isinstance(ref, Number):
            return ref.value > 0
        inner = self._instruction(ref)
        if inner is None:
            return False
        if inner.function in ("square", "absolute", "exp", "exp2", "cosh"):
            return True
        if inner.function == "add":
            return all(self._nonnegative(operand) for operand in inner.operands)
        return False


def _identity(ref: Ref) -> object:
    """A key that tells 1 from 1.0 from True, and 0.0 from -0.0."""
    return repr(ref.value) if isinstance(ref, Number) else ref


def _is_zero(ref: Ref) -> bool:
    """Whether x - ref is x at every x, -0.0 among them: of -0.0 that is not so."""
    return isinstance(ref, Number) and str(ref.value) in ("0", "0.0")


def _as_float(ref: Ref, single: bool) -> Ref:
    """A literal as a float: beside single precision, the shortest that rounds to the same."""
    if not isinstance(ref, Number):
        return ref
    if single:
        with np.errstate(over="ignore"):
            shortest = float(str(np.float32(ref.value)))
        found = fraction(shortest, single=True)
        return Number(shortest if found is None else found[0] / found[1])
    return ref if isinstance(ref.value, float) else Number(float(ref.value))


def _fold(function: str, values: list[bool | int | float]) -> Number:
    """The function of literals, as NumPy (in f64) has it."""
    spelled = FUNCTIONS[function].numpy
    if spelled.startswith("scipy."):
        import scipy.special

        return Number(float(getattr(scipy.special, spelled.rpartition(".")[2])(*values)))
    with np.errstate(all="ignore"):
        result = getattr(np, spelled.removeprefix("np."))(*values)
    return Number(result.item())
