"""Dimensions and array types: what both packages say about a value before it exists.

    ArrayType = dtype[shape]           f64   f32[batch, 64]   i64[n-1]   bool[3]
    shape     = tuple of int | Dim
    Dim       = an integer polynomial in named sizes, with //, % , min and max

A `Dim` that turns out constant is never kept as a Dim: arithmetic returns an `int` then, so that
`isinstance(size, int)` decides what is known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Union

import numpy as np

from codegen.errors import GraphTypeError, GraphValueError, located
from codegen.record import record

Size = Union[int, "Dim"]
Shape = tuple[Size, ...]
# An atom is a name, or an operation that polynomials cannot express, on sizes.
Atom = Union[str, tuple[str, Size, Size]]
Monomial = tuple[tuple[Atom, int], ...]

DTYPES: Mapping[str, np.dtype] = {
    "bool": np.dtype(np.bool_),
    "i32": np.dtype(np.int32),
    "i64": np.dtype(np.int64),
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
}
FLOATING = frozenset({"f32", "f64"})


class Dim:
    """A symbolic size, in canonical form: equal sizes are equal objects in the sense of `==`."""

    __slots__ = ("_hash", "terms")

    terms: tuple[tuple[Monomial, int], ...]

    def __init__(self, terms: tuple[tuple[Monomial, int], ...]) -> None:
        self.terms = terms
        self._hash = hash(terms)

    @staticmethod
    def named(name: str) -> Dim:
        return Dim(((((name, 1),), 1),))

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Dim) and self.terms == other.terms)

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[type[Dim], tuple[object]]:
        return Dim, (self.terms,)

    def __repr__(self) -> str:
        return size_text(self)

    @property
    def is_name(self) -> bool:
        """Whether this is one bare name, such as `batch`."""
        if len(self.terms) != 1:
            return False
        monomial, coefficient = self.terms[0]
        return (
            coefficient == 1
            and len(monomial) == 1
            and monomial[0][1] == 1
            and isinstance(monomial[0][0], str)
        )

    @property
    def names(self) -> frozenset[str]:
        """Every name that occurs, also inside `//`, `%`, `min` and `max`."""
        found: set[str] = set()
        for monomial, _ in self.terms:
            for atom, _ in monomial:
                if isinstance(atom, str):
                    found.add(atom)
                else:
                    found.update(size_names(atom[1]), size_names(atom[2]))
        return frozenset(found)

    def __add__(self, other: Size) -> Size:
        if not isinstance(other, int | Dim):
            return self._beyond(other)
        return _combine(self, other, 1)

    __radd__ = __add__

    def __sub__(self, other: Size) -> Size:
        if not isinstance(other, int | Dim):
            return self._beyond(other)
        return _combine(self, other, -1)

    def __rsub__(self, other: Size) -> Size:
        if not isinstance(other, int | Dim):
            return self._beyond(other)
        return _combine(_times(self, -1), other, 1)

    def __neg__(self) -> Size:
        return _times(self, -1)

    def __mul__(self, other: Size) -> Size:
        if not isinstance(other, int | Dim):
            return self._beyond(other)
        return _times(self, other)

    __rmul__ = __mul__

    def __floordiv__(self, other: Size) -> Size:
        if not isinstance(other, int | Dim):
            return self._beyond(other)
        return floordiv(self, other)

    def __rfloordiv__(self, other: Size) -> Size:
        if not isinstance(other, int | Dim):
            return self._beyond(other)
        return floordiv(other, self)

    def __mod__(self, other: Size) -> Size:
        if not isinstance(other, int | Dim):
            return self._beyond(other)
        return mod(self, other)

    def __rmod__(self, other: Size) -> Size:
        if not isinstance(other, int | Dim):
            return self._beyond(other)
        return mod(other, self)

    def _beyond(self, other: object = 0, *_: object) -> Any:
        """What arithmetic on sizes cannot express: an error, unless `other` knows what to do."""
        if not isinstance(other, Dim | int | float):
            return NotImplemented
        raise GraphTypeError(
            located(
                f"the size `{self}` is known only at the call: +, -, * and // of sizes make sizes; "
                "otherwise use a value (x / n), graphc.size(n, dtype) or graphc.arange(n)"
            )
        )

    __truediv__ = __rtruediv__ = __pow__ = __rpow__ = __float__ = _beyond
    __abs__ = __round__ = __floor__ = __ceil__ = _beyond

    def __array_ufunc__(self, ufunc: object, method: str, *inputs: object, **_: object) -> Any:
        if any(not isinstance(x, Dim | np.ndarray | np.generic | int | float) for x in inputs):
            return NotImplemented  # a value is among them: it decides
        return self._beyond()

    def _undecided(self, other: object) -> Any:
        if not isinstance(other, Dim | int | float):
            return NotImplemented
        raise GraphTypeError(
            located(f"whether `{self}` is above or below {other} is known only at the call")
        )

    __lt__ = __le__ = __gt__ = __ge__ = _undecided

    def __index__(self) -> int:
        # No TypeError: NumPy would replace that by its own, which says less.
        raise GraphValueError(
            located(
                f"the size `{self}` is known only at the call; Python needs an int here: use "
                "whole-array operations, such as np.zeros_like(x) and graphc.arange(n)"
            )
        )

    __int__ = __index__

    def __bool__(self) -> bool:
        return True


def _poly(size: Size) -> dict[Monomial, int]:
    if isinstance(size, int):
        return {(): size} if size else {}
    return dict(size.terms)


def _key(monomial: Monomial) -> tuple[int, str]:
    return (-sum(power for _, power in monomial), repr(monomial))


def _from_poly(poly: Mapping[Monomial, int]) -> Size:
    terms = [(monomial, c) for monomial, c in poly.items() if c]
    if not terms:
        return 0
    if len(terms) == 1 and terms[0][0] == ():
        return terms[0][1]
    return Dim(tuple(sorted(terms, key=lambda term: _key(term[0]))))


def _combine(a: Size, b: Size, sign: int) -> Size:
    if b == 0:
        return a
    poly = _poly(a)
    for monomial, c in _poly(b).items():
        poly[monomial] = poly.get(monomial, 0) + sign * c
    return _from_poly(poly)


def _times(a: Size, b: Size) -> Size:
    if isinstance(a, int):
        a, b = b, a
    if isinstance(b, int) and isinstance(a, Dim):
        if b in (0, 1):
            return a if b else 0
        return Dim(tuple([(monomial, c * b) for monomial, c in a.terms]))
    poly: dict[Monomial, int] = {}
    for m1, c1 in _poly(a).items():
        for m2, c2 in _poly(b).items():
            powers: dict[Atom, int] = dict(m1)
            for atom, power in m2:
                powers[atom] = powers.get(atom, 0) + power
            monomial = tuple(sorted(powers.items(), key=lambda item: repr(item[0])))
            poly[monomial] = poly.get(monomial, 0) + c1 * c2
    return _from_poly(poly)


def _atom(operation: str, a: Size, b: Size) -> Dim:
    return Dim((((((operation, a, b), 1),), 1),))


def _divide_exactly(a: Size, b: Size) -> Size | None:
    """a / b where b is one monomial that divides every term of a, else None."""
    if isinstance(b, int):
        divisor: tuple[Monomial, int] = ((), b)
    elif len(b.terms) == 1:
        divisor = b.terms[0]
    else:
        return 1 if a == b else None
    monomial_b, c_b = divisor
    quotient: dict[Monomial, int] = {}
    for monomial, c in _poly(a).items():
        powers = dict(monomial)
        for atom, power in monomial_b:
            powers[atom] = powers.get(atom, 0) - power
        if c_b == 0 or c % c_b or any(power < 0 for power in powers.values()):
            return None
        left = tuple(
            sorted(((k, p) for k, p in powers.items() if p), key=lambda item: repr(item[0]))
        )
        quotient[left] = quotient.get(left, 0) + c // c_b
    return _from_poly(quotient)


def floordiv(a: Size, b: Size) -> Size:
    """a // b, exact where it is decidable."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b
    exact = _divide_exactly(a, b)
    return _atom("//", a, b) if exact is None else exact


def mod(a: Size, b: Size) -> Size:
    """a % b, 0 where that is decidable."""
    if isinstance(a, int) and isinstance(b, int):
        return a % b
    return 0 if _divide_exactly(a, b) is not None else _atom("%", a, b)


def size_min(a: Size, b: Size) -> Size:
    """min(a, b), decided where the difference is a constant."""
    difference = _combine(a, b, -1)
    if isinstance(difference, int):
        return a if difference <= 0 else b
    return _atom("min", a, b)


def size_max(a: Size, b: Size) -> Size:
    """max(a, b), decided where the difference is a constant."""
    difference = _combine(a, b, -1)
    if isinstance(difference, int):
        return a if difference >= 0 else b
    return _atom("max", a, b)


def positive_and_negative(size: Size) -> tuple[Size, Size]:
    """(a, b) with size = a - b, where no term of a or b has a minus."""
    poly = _poly(size)
    return (
        _from_poly({monomial: c for monomial, c in poly.items() if c > 0}),
        _from_poly({monomial: -c for monomial, c in poly.items() if c < 0}),
    )


def not_negative(size: Size) -> bool:
    """Whether its form says that a size is not negative: sizes with names never are."""
    if isinstance(size, int):
        return size >= 0
    return all(
        coefficient >= 0 and all(isinstance(atom, str) for atom, _ in monomial)
        for monomial, coefficient in size.terms
    )


def size_names(size: Size) -> frozenset[str]:
    """The names in a size; none for an int."""
    return frozenset() if isinstance(size, int) else size.names


@lru_cache(maxsize=4096)
def product(shape: Shape) -> Size:
    """The number of elements of a shape."""
    total: Size = 1
    for size in shape:
        total = total * size
    return total


def substitute(size: Size, bindings: Mapping[str, Size]) -> Size:
    """The size with names replaced; an int where every name is bound to an int."""
    if isinstance(size, int) or not bindings:
        return size
    total: Size = 0
    for monomial, coefficient in size.terms:
        term: Size = coefficient
        for atom, power in monomial:
            value = _substitute_atom(atom, bindings)
            for _ in range(power):
                term = term * value
        total = total + term
    return total


def _substitute_atom(atom: Atom, bindings: Mapping[str, Size]) -> Size:
    if isinstance(atom, str):
        return bindings.get(atom, Dim.named(atom))
    operation, a, b = atom
    operate = {"//": floordiv, "%": mod, "min": size_min, "max": size_max}[operation]
    return operate(substitute(a, bindings), substitute(b, bindings))


def size_text(size: Size, rename: Mapping[str, str] | None = None) -> str:
    """The size as a Python integer expression, names mapped by `rename`."""
    if isinstance(size, int):
        return str(size)
    parts: list[str] = []
    for monomial, coefficient in size.terms:
        text = _monomial_text(monomial, abs(coefficient), rename or {})
        if parts:
            parts.append(f" - {text}" if coefficient < 0 else f" + {text}")
        else:
            parts.append(f"-{text}" if coefficient < 0 else text)
    return "".join(parts)


def _monomial_text(monomial: Monomial, coefficient: int, rename: Mapping[str, str]) -> str:
    factors = [] if coefficient == 1 and monomial else [str(coefficient)]
    for atom, power in monomial:
        text = rename.get(atom, atom) if isinstance(atom, str) else _operation_text(atom, rename)
        factors.append(text if power == 1 else f"{text}**{power}")
    return "*".join(factors)


def _operation_text(atom: tuple[str, Size, Size], rename: Mapping[str, str]) -> str:
    operation, a, b = atom
    left, right = size_text(a, rename), size_text(b, rename)
    if operation in ("min", "max"):
        return f"{operation}({left}, {right})"
    left = left if re.fullmatch(r"\w+", left) else f"({left})"
    right = right if re.fullmatch(r"\w+", right) else f"({right})"
    return f"({left}{operation}{right})"


@record
class ArrayType:
    """The dtype and the shape of a value: `f32[batch, 64]`; a scalar is `f64`."""

    dtype: str
    shape: Shape = ()

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def floating(self) -> bool:
        return self.dtype in FLOATING

    @property
    def size(self) -> Size:
        return product(self.shape)

    def __str__(self) -> str:
        if not self.shape:
            return self.dtype
        return f"{self.dtype}[{', '.join(size_text(size) for size in self.shape)}]"


@lru_cache(maxsize=4096)
def array_type(dtype: str, shape: Shape) -> ArrayType:
    """The one shared object for this type: a large graph has few types and many nodes."""
    return ArrayType(dtype, shape)
