"""Programs by hand, with less typing: a body is written as calls that return Vars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from codegen.expr import Apply, Expr, Extent, Number, Symbol
from codegen.program import (
    Affine,
    Broadcast,
    Call,
    Constant,
    Contract,
    Entry,
    Function,
    Gather,
    How,
    Leaf,
    Map,
    Node,
    Param,
    Program,
    Record,
    Reduce,
    Reshape,
    Scatter,
    SizeRule,
    Slice,
    Statement,
    Transpose,
    Tree,
    Var,
    View,
    Write,
)
from codegen.types import ArrayType, Dim, Size

ZERO, ONE, TWO = Symbol("0"), Symbol("1"), Symbol("2")
Sizes = tuple[Size, ...]


def dim(name: str) -> Dim:
    """A named size."""
    return Dim.named(name)


def typed(text: str) -> ArrayType:
    """`f64[batch, 64]`; dims are ints or bare names."""
    dtype, _, rest = text.partition("[")
    parts = [part.strip() for part in rest.rstrip("]").split(",") if part.strip()]
    return ArrayType(dtype, tuple(int(p) if p.isdigit() else dim(p) for p in parts))


def expr(function: str, *args: Any) -> Expr:
    """A call in the expression tree; numbers are literals."""
    made = [Number(a) if isinstance(a, bool | int | float) else a for a in args]
    return Apply(function, tuple(made))


def affine(text: str) -> Affine:
    """`i`, `2*h + p - 1`, `3`."""
    terms: dict[str, int] = {}
    offset = 0
    for part in text.replace(" ", "").replace("-", "+-").split("+"):
        if not part:
            continue
        sign = -1 if part.startswith("-") else 1
        factors = part.lstrip("-").split("*")
        names = [f for f in factors if not f.isdigit()]
        value = sign
        for factor in factors:
            value *= int(factor) if factor.isdigit() else 1
        if names:
            terms[names[0]] = terms.get(names[0], 0) + value
        else:
            offset += value
    return Affine(tuple(terms.items()), offset)


def indices(text: str) -> tuple[Affine, ...]:
    """`n, c, 2*h + p`."""
    return tuple(affine(part) for part in text.split(",") if part.strip())


class Body:
    """The statements of a function, being written. `note` and `tag` go to what is written next."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []
        self.note = ""
        self.tag = ""

    def _out(self, type: ArrayType | str, name: str, keep: bool) -> Var:
        return Var(name, typed(type) if isinstance(type, str) else type, keep)

    def map(
        self,
        type: ArrayType | str,
        tree: Expr,
        *args: Var,
        name: str = "",
        keep: bool | None = None,
    ) -> Var:
        out = self._out(type, name, bool(name) if keep is None else keep)
        self.statements.append(Map(out, tree, args, self.note, self.tag))
        return out

    def apply(self, type: ArrayType | str, function: str, *args: Any, **names: Any) -> Var:
        """One function of Vars and numbers."""
        variables = [a for a in args if isinstance(a, Var)]
        operands = [Symbol(str(variables.index(a))) if isinstance(a, Var) else a for a in args]
        return self.map(type, expr(function, *operands), *variables, **names)

    def contract(
        self,
        type: ArrayType | str,
        out: str,
        *args: tuple[Var, str],
        extents: dict[str, Size] | None = None,
        name: str = "",
        keep: bool | None = None,
    ) -> Var:
        """args: (Var, "i, k"); bare indices take their extents from the Vars."""
        result = self._out(type, name, bool(name) if keep is None else keep)
        known: dict[str, Size] = dict(extents or {})
        for var, text in args:
            for index, size in zip(indices(text), var.type.shape, strict=True):
                if index.index is not None:
                    known.setdefault(index.index, size)
        self.statements.append(
            Contract(
                result,
                indices(out),
                tuple(var for var, _ in args),
                tuple(indices(text) for _, text in args),
                tuple(known.items()),
                self.note,
                self.tag,
            )
        )
        return result

    def matmul(self, type: str, a: Var, b: Var, **names: Any) -> Var:
        return self.contract(type, "i, j", (a, "i, k"), (b, "k, j"), **names)

    def reduce(
        self,
        type: ArrayType | str,
        fn: Any,
        arg: Var,
        axes: Sequence[int] | None = None,
        keepdims: bool = False,
        name: str = "",
    ) -> Var:
        out = self._out(type, name, bool(name))
        chosen = tuple(range(arg.type.ndim)) if axes is None else tuple(axes)
        self.statements.append(Reduce(out, fn, arg, chosen, keepdims, self.note, self.tag))
        return out

    def view(self, type: ArrayType | str, how: How, arg: Var, name: str = "") -> Var:
        out = self._out(type, name, bool(name))
        self.statements.append(View(out, how, arg, self.note, self.tag))
        return out

    def transpose(self, arg: Var, *axes: int) -> Var:
        order = axes or tuple(reversed(range(arg.type.ndim)))
        shape = tuple(arg.type.shape[axis] for axis in order)
        return self.view(ArrayType(arg.type.dtype, shape), Transpose(order), arg)

    def reshape(self, arg: Var, *shape: Size, name: str = "") -> Var:
        return self.view(ArrayType(arg.type.dtype, shape), Reshape(shape), arg, name)

    def broadcast(self, arg: Var, *shape: Size, name: str = "") -> Var:
        return self.view(ArrayType(arg.type.dtype, shape), Broadcast(shape), arg, name)

    def slice(
        self, arg: Var, starts: Sizes, sizes: Sizes, steps: tuple[int, ...], name: str = ""
    ) -> Var:
        type = ArrayType(arg.type.dtype, sizes)
        return self.view(type, Slice(starts, sizes, steps), arg, name)

    def write(
        self,
        type: ArrayType | str,
        fill: float,
        parts: Sequence[tuple[Slice, Var]],
        add: bool = False,
        exhaustive: bool = False,
        name: str = "",
    ) -> Var:
        out = self._out(type, name, bool(name))
        self.statements.append(
            Write(
                out,
                fill,
                tuple(where for where, _ in parts),
                tuple(part for _, part in parts),
                add,
                exhaustive,
                self.note,
                self.tag,
            )
        )
        return out

    def gather(self, type: ArrayType | str, arg: Var, *index: Var | None, name: str = "") -> Var:
        out = self._out(type, name, bool(name))
        self.statements.append(Gather(out, arg, index, self.note, self.tag))
        return out

    def scatter(
        self,
        type: ArrayType | str,
        base: Var | None,
        index: tuple[Var | None, ...],
        value: Var,
        mode: Any = "add",
        unique: bool = False,
        name: str = "",
    ) -> Var:
        out = self._out(type, name, bool(name))
        self.statements.append(Scatter(out, base, index, value, mode, unique, self.note, self.tag))
        return out

    def call(
        self,
        types: str | tuple[str, ...],
        function: str,
        *args: Var,
        name: str = "",
        **keywords: Any,
    ) -> Any:
        many = (types,) if isinstance(types, str) else types
        outs = tuple(self._out(type, name if len(many) == 1 else "", bool(name)) for type in many)
        self.statements.append(
            Call(outs, function, args, tuple(keywords.items()), self.note, self.tag)
        )
        return outs[0] if len(outs) == 1 else outs


def inputs(**types: str) -> dict[str, Var]:
    """Input Vars by name."""
    return {name: Var(name, typed(text), True) for name, text in types.items()}


def entry(variables: Sequence[Var], **keywords: Any) -> Entry:
    """An Entry that binds every bare named size where it is met first."""
    rules: dict[str, SizeRule] = {}
    for var in variables:
        for axis, size in enumerate(var.type.shape):
            if isinstance(size, Dim) and size.is_name:
                name = next(iter(size.names))
                rules.setdefault(name, SizeRule(name, var, axis))
    return Entry(tuple(rules.values()), **keywords)


def function(
    name: str,
    variables: dict[str, Var],
    body: Body,
    result: Var | Node,
    doc: str = "",
    checked: bool = True,
    **keywords: Any,
) -> Function:
    """A function of plain arrays."""
    params = tuple(Param(key, Leaf(var)) for key, var in variables.items())
    node: Node = Leaf(result) if isinstance(result, Var) else result
    made = entry(list(variables.values())) if checked else None
    return Function(name, doc, params, tuple(body.statements), node, made, **keywords)


def tuple_of(*results: Var) -> Tree:
    """Several results."""
    return Tree("tuple", (), tuple(Leaf(var) for var in results))


def record_of(name: str, *results: Var | Node) -> Tree:
    """Several results in a named tuple."""
    items = tuple(Leaf(r) if isinstance(r, Var) else r for r in results)
    return Tree("record", (), items, name)


def program(name: str, *functions: Function, **keywords: Any) -> Program:
    """A module of functions."""
    return Program(name, "", functions, **keywords)


def constant(name: str, value: Any) -> Constant:
    """A module-level array."""
    array = np.array(value)
    dtype = {"float64": "f64", "float32": "f32", "int64": "i64", "bool": "bool"}[array.dtype.name]
    return Constant(Var(name, ArrayType(dtype, array.shape), True), array)


def size(value: Size) -> Expr:
    """A size as a number in an expression."""
    return Extent(value)


__all__ = [name for name in dir() if not name.startswith("_")] + ["Record"]
