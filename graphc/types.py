"""Types as users write them, and the rules of broadcasting and promotion.

type = dtype [ "[" size, ... "]" ]          "f64"   "f32[batch, 64]"   "i64[n-1]"
size = integer polynomial in names, with //, %, min(a, b), max(a, b)
"""

from __future__ import annotations

import ast
from functools import lru_cache
from typing import Any

import numpy as np

from codegen.types import (
    DTYPES,
    FLOATING,
    ArrayType,
    Dim,
    Shape,
    Size,
    array_type,
    floordiv,
    mod,
    product,
    size_max,
    size_min,
    size_names,
    size_text,
    substitute,
)
from graphc.errors import GraphSyntaxError, GraphTypeError, GraphValueError, located

__all__ = [
    "DTYPES",
    "FLOATING",
    "ArrayType",
    "Dim",
    "Shape",
    "Size",
    "array_type",
    "broadcast",
    "dtype_name",
    "floordiv",
    "mod",
    "parse_size",
    "parse_type",
    "product",
    "promote",
    "same_size",
    "shape_text",
    "size_max",
    "size_min",
    "size_names",
    "size_text",
    "substitute",
    "type_of_array",
    "weak_dtype",
]

MAX_NDIM = 32
MAX_POWER = 8  # n**8, as a size prints itself
_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_LONG_NAMES = {"float64": "f64", "float32": "f32", "int64": "i64", "int32": "i32"}


@lru_cache(maxsize=4096)
def parse_type(text: str) -> ArrayType:
    """The type a string names: `parse_type("f32[batch, 64]")`.

    Raises GraphSyntaxError where the text is no type.
    """
    dtype, bracket, rest = text.strip().partition("[")
    dtype = _LONG_NAMES.get(dtype.strip(), dtype.strip())
    if dtype not in DTYPES:
        raise GraphSyntaxError(
            located(f"type {text!r}: {dtype!r} is no dtype; use one of {', '.join(DTYPES)}")
        )
    if not bracket:
        return array_type(dtype, ())
    if not rest.endswith("]"):
        raise GraphSyntaxError(located(f"type {text!r}: the closing ] is missing"))
    body = rest[:-1].strip()
    if not body:
        return array_type(dtype, ())
    try:
        tree = ast.parse(f"({body},)", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise GraphSyntaxError(located(f"type {text!r}: the sizes cannot be read")) from None
    if not isinstance(tree, ast.Tuple) or len(tree.elts) > MAX_NDIM:
        raise GraphSyntaxError(located(f"type {text!r}: the sizes cannot be read"))
    shape = tuple(_size(element, text) for element in tree.elts)
    for size in shape:
        if isinstance(size, int) and size < 0:
            raise GraphSyntaxError(located(f"type {text!r}: a size is negative"))
    return array_type(dtype, shape)


def parse_size(text: str) -> Size:
    """One size: `parse_size("2*n - 1")`."""
    return parse_type(f"f64[{text}]").shape[0]


def _size(node: ast.expr, text: str) -> Size:
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return value
        case ast.Name(id=name):
            return Dim.named(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return 0 - _size(operand, text)
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _size(left, text), _size(right, text)
            match op:
                case ast.Add():
                    return a + b
                case ast.Sub():
                    return a - b
                case ast.Mult():
                    return a * b
                case ast.FloorDiv() if b != 0:
                    return floordiv(a, b)
                case ast.Mod() if b != 0:
                    return mod(a, b)
                case ast.Pow() if isinstance(b, int) and 0 <= b <= MAX_POWER:
                    power: Size = 1
                    for _ in range(b):
                        power = power * a
                    return power
        case ast.Call(func=ast.Name(id="min" | "max" as name), args=[left, right], keywords=[]):
            pick = size_min if name == "min" else size_max
            return pick(_size(left, text), _size(right, text))
    raise GraphSyntaxError(
        located(f"type {text!r}: a size is an integer expression in names, with + - * // % min max")
    )


def dtype_name(dtype: Any) -> str:
    """Our name of a NumPy dtype (byte order aside); GraphTypeError where we have none."""
    found = _NAMES.get(np.dtype(dtype).newbyteorder("="))
    if found is None:
        raise GraphTypeError(
            located(f"dtype {np.dtype(dtype)} is not supported; use one of {', '.join(DTYPES)}")
        )
    return found


def type_of_array(value: Any) -> ArrayType:
    """The type of an array or number: its dtype and its shape."""
    array = np.asarray(value)
    return array_type(dtype_name(array.dtype), array.shape)


@lru_cache(maxsize=256)
def promote(*dtypes: str) -> str:
    """NumPy's promotion of strong dtypes: promote("i64", "f32") is "f64"."""
    return _NAMES[np.result_type(*(DTYPES[dtype] for dtype in dtypes))]


def weak_dtype(value: bool | int | float, dtype: str) -> str:
    """The dtype that a Python number takes beside an operand of `dtype` (NEP 50)."""
    if isinstance(value, bool):
        return dtype
    if isinstance(value, int):
        return "i64" if dtype == "bool" else dtype
    return dtype if dtype in FLOATING else "f64"


def same_size(a: Size, b: Size) -> bool | None:
    """Whether two sizes are equal: None where it is known only at the call.

    Two sizes that differ by a constant are different; two that differ by more count as different
    too, unless `//`, `%`, `min` or `max` is involved: a named size equals only itself.
    """
    if a == b:
        return True
    difference = a - b
    if isinstance(difference, int):
        return False
    for monomial, _ in difference.terms:
        if any(not isinstance(atom, str) for atom, _ in monomial):
            return None
    return False


def broadcast(shapes: tuple[Shape, ...]) -> Shape | None:
    """The common shape by NumPy's rule; None where there is none.

    Only the int 1 is repeated: a named size never broadcasts, even when it is 1 at the call. Of
    sizes that must turn out equal there the simplest is taken, so that none grows with the steps of
    a loop.
    """
    ndim = max((len(shape) for shape in shapes), default=0)
    result: list[Size] = []
    for axis in range(-ndim, 0):
        size: Size = 1
        for shape in shapes:
            if len(shape) < -axis or shape[axis] == 1:
                continue
            if size == 1:
                size = shape[axis]
            elif same_size(size, shape[axis]) is False:
                return None
            elif _intricacy(shape[axis]) < _intricacy(size):
                size = shape[axis]
        result.append(size)
    return tuple(result)


def _intricacy(size: Size) -> int:
    """0 for a number, 1 for a name, 2 for what is computed."""
    return 0 if isinstance(size, int) else 1 if size.is_name else 2


def shape_text(shape: Shape) -> str:
    """The shape as it stands in a type: `[batch, 64]`."""
    return f"[{', '.join(size_text(size) for size in shape)}]"


def check_size(size: Size, what: str) -> None:
    """GraphValueError where a size is known to be negative."""
    if isinstance(size, int) and size < 0:
        raise GraphValueError(located(f"{what}: the size {size} is negative"))
