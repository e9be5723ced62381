"""Functions of a few tiny arrays, unrolled: every element becomes a number of its own.

    y = exp(x) + b, x f64[2]    ->    y_0 = exp(x_0) + b;  y_1 = exp(x_1) + b

In the time of one call of NumPy, whatever its size, Python adds twenty floats. Each Var becomes an
array of elements, NumPy's own array of objects, so that views, broadcasting and regions are NumPy's
on it, and leave no statement behind.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, Union

import numpy as np

from codegen.expr import Apply, Expr, Number, Symbol, replace_symbols
from codegen.plan.flatten import leaves
from codegen.program import (
    Affine,
    Broadcast,
    Constant,
    Contract,
    Function,
    Leaf,
    Map,
    Node,
    Param,
    Reduce,
    Reshape,
    Slice,
    Statement,
    Transpose,
    Tree,
    Var,
    View,
    Write,
)
from codegen.record import record
from codegen.types import ArrayType, Size

# An array of more elements stays one: nobody reads so many names.
ELEMENTS = 16
# Nor so many statements. What else the function does is then worth NumPy's calls.
STATEMENTS = 160

Element = Union[Var, Number]
Elements = Any  # an array of Element, of the Var's shape
_DTYPES = frozenset({"f64", "bool"})
_FOLDS = {
    "sum": "add",
    "prod": "multiply",
    "max": "maximum",
    "min": "minimum",
    "any": "logical_or",
    "all": "logical_and",
}
_SCANS = {"cumsum": "add", "cumprod": "multiply", "cummax": "maximum", "cummin": "minimum"}


@record
class Unrolled:
    """A function of numbers, and the arrays among the arguments of the one it was made of.

    function: arrays among its arguments are tuples of their elements; results that are arrays are
        trees of kind "array".
    arrays: the arrays among the arguments, and their elements in NumPy's order.
    """

    function: Function
    arrays: tuple[tuple[Var, tuple[Var, ...]], ...]


def unrolled(
    function: Function, constants: Sequence[Constant], names: Callable[[Var], str]
) -> Unrolled | None:
    """The same function on the elements of its arrays.

    names: what the function on arrays calls a Var that has no name; empty where it has none there.
    None where there is no array, where one is not tiny or not of f64, or where a statement is what
    NumPy alone does.
    """
    parameters = [var for param in function.params for var in leaves(param.value)]
    if not any(var.type.shape for var in (*parameters, *leaves(function.result))):
        return None
    made = _Unrolled(constants, names)
    try:
        arrays = [(var, made.argument(var)) for var in parameters]
        for statement in function.body:
            made.statement(statement)
        result = made.result(function.result)
    except _Stays:
        return None
    elements = dict(arrays)
    params = tuple(
        Param(param.name, _elements(param.value, elements), param.default)
        for param in function.params
    )
    body = tuple(made.body)
    scalar = Function(function.name, function.doc, params, body, result, function.entry)
    return Unrolled(scalar, tuple((var, found) for var, found in arrays if var.type.shape))


def _elements(node: Node, elements: Mapping[Var, tuple[Var, ...]]) -> Node:
    """The container of the elements of its arrays."""
    if isinstance(node, Tree):
        items = tuple(_elements(item, elements) for item in node.items)
        return Tree(node.kind, node.keys, items, node.record)
    if not node.var.type.shape:
        return node
    return Tree("tuple", (), tuple(map(Leaf, elements[node.var])))


class _Stays(Exception):
    """The function is not one of tiny arrays."""


class _Unrolled:
    def __init__(self, constants: Sequence[Constant], names: Callable[[Var], str]) -> None:
        self.body: list[Statement] = []
        self.known: dict[Var, Elements] = {}
        self._constants = {constant.var: constant.value for constant in constants}
        self._names = names
        # Elements that bear no name of their own, which may stand for one that does.
        self._nameless: set[Var] = set()
        self._note = self._tag = ""

    # -- arguments and results ---------------------------------------------------------------------

    def argument(self, var: Var) -> tuple[Var, ...]:
        """The elements of an argument, which are Vars."""
        elements = self._new(var)
        for index in np.ndindex(elements.shape):
            # An argument that is a number stays the Var it is.
            elements[index] = self._element(var, index) if index else var
        self.known[var] = elements
        return tuple(elements.flat)

    def result(self, node: Node) -> Node:
        """The container of the elements."""
        if isinstance(node, Tree):
            items = tuple(map(self.result, node.items))
            return Tree(node.kind, node.keys, items, node.record)
        elements = self._read(node.var)
        if not elements.shape:
            return Leaf(self._var(elements.item(), node.var.type.dtype))
        name = node.var.name or self._names(node.var)
        return Tree("array", (name,), self._rows(elements, node.var.type.dtype))

    def _rows(self, elements: Elements, dtype: str) -> tuple[Node, ...]:
        if elements.ndim == 1:
            return tuple(Leaf(self._var(element, dtype)) for element in elements)
        return tuple(Tree("list", (), self._rows(row, dtype)) for row in elements)

    def _var(self, element: Element, dtype: str) -> Var:
        if isinstance(element, Var):
            return element
        var = Var("", ArrayType(dtype, ()))
        self.body.append(Map(var, element, ()))
        return var

    # -- elements ----------------------------------------------------------------------------------

    def _new(self, var: Var) -> Elements:
        shape = var.type.shape
        if var.type.dtype not in _DTYPES or not all(isinstance(size, int) for size in shape):
            raise _Stays
        elements = np.empty(shape, object)
        if not 0 < elements.size <= ELEMENTS:
            raise _Stays
        return elements

    def _read(self, var: Var) -> Elements:
        """The elements of an argument, of what a statement made, or of a constant."""
        if var not in self.known:
            values = self._constants[var]
            if values.size > ELEMENTS:
                raise _Stays
            elements = np.empty(values.shape, object)
            elements.reshape(-1)[:] = [Number(value) for value in values.reshape(-1).tolist()]
            self.known[var] = elements
        return self.known[var]

    def _element(self, of: Var, index: tuple[int, ...]) -> Var:
        """A new Var for an element of this one."""
        name = _name(of.name or self._names(of), index)
        var = Var(name, ArrayType(of.type.dtype, ()), of.keep_name)
        if not of.name:
            self._nameless.add(var)
        return var

    def _alias(self, out: Var, index: tuple[int, ...], element: Element) -> Element:
        """The element, which is that of `out` too, and called so if it has no better name."""
        if out.name and isinstance(element, Var) and element in self._nameless:
            element.name, element.keep_name = _name(out.name, index), out.keep_name
            self._nameless.remove(element)
        return element

    def _apply(self, out: Var, index: tuple[int, ...], expr: Expr, args: Iterable[Element]) -> Var:
        """The Var of an element, by a scalar statement. expr: of the args, by position."""
        used: list[Var] = []
        numbers: dict[str, Expr] = {}
        for position, arg in enumerate(args):
            if isinstance(arg, Number):
                numbers[str(position)] = arg
            else:
                numbers[str(position)] = Symbol(str(len(used)))
                used.append(arg)
        if len(used) != len(numbers):
            expr = replace_symbols(expr, numbers)
        var = self._element(out, index)
        self.body.append(Map(var, expr, tuple(used), self._note, self._tag))
        if len(self.body) > STATEMENTS:
            raise _Stays
        return var

    def _folded(
        self, out: Var, index: tuple[int, ...], function: str, elements: Sequence[Element]
    ) -> Element:
        """All elements joined by a function of two, from the left."""
        first, *rest = elements
        if not rest:
            return self._alias(out, index, first)
        if function == "add":
            symbols: list[Expr] = [Symbol(str(position)) for position in range(len(elements))]
            joined = reduce(lambda a, b: Apply(function, (a, b)), symbols)
            return self._apply(out, index, joined, elements)
        for element in rest:
            expr = Apply(function, (Symbol("0"), Symbol("1")))
            first = self._apply(out, index, expr, [first, element])
        return first

    # -- statements --------------------------------------------------------------------------------

    def statement(self, statement: Statement) -> None:
        """The statements of the elements."""
        unroll = _UNROLL.get(type(statement))
        if unroll is None:
            raise _Stays
        self._note, self._tag = statement.note, statement.tag
        unroll(self, statement)

    def map(self, statement: Map) -> None:
        """One statement an element."""
        out = self._new(statement.out)
        args: list[Elements] = [
            np.broadcast_to(self._read(arg), out.shape) for arg in statement.args
        ]
        for index in np.ndindex(out.shape):
            elements: list[Element] = [arg[index] for arg in args]
            out[index] = self._apply(statement.out, index, statement.expr, elements)
        self.known[statement.out] = out

    def contract(self, statement: Contract) -> None:
        """The sum of its products, for each element."""
        out = self._new(statement.out)
        args = [self._read(arg) for arg in statement.args]
        if any(var.type.dtype != "f64" for var in (statement.out, *statement.args)):
            raise _Stays
        terms: dict[tuple[int, ...], list[list[Element]]] = {}
        for point in _points(statement.extents):
            target = _at(statement.out_index, point)
            places = [_at(index, point) for index in statement.arg_index]
            shapes = [out.shape, *(arg.shape for arg in args)]
            if all(map(_inside, [target, *places], shapes)):
                product = [arg[place] for arg, place in zip(args, places, strict=True)]
                terms.setdefault(target, []).append(product)
        for index in np.ndindex(out.shape):
            out[index] = self._sum_of_products(statement.out, index, terms.get(index, []))
        self.known[statement.out] = out

    def _sum_of_products(
        self, out: Var, index: tuple[int, ...], terms: list[list[Element]]
    ) -> Element:
        if not terms:
            return Number(0.0)
        if len(terms) == len(terms[0]) == 1:
            return self._alias(out, index, terms[0][0])
        elements = [element for term in terms for element in term]
        symbols = iter([Symbol(str(position)) for position in range(len(elements))])
        products: list[Expr] = []
        for term in terms:
            factors: list[Expr] = [next(symbols) for _ in term]
            products.append(reduce(lambda a, b: Apply("multiply", (a, b)), factors))
        total = reduce(lambda a, b: Apply("add", (a, b)), products)
        return self._apply(out, index, total, elements)

    def reduce(self, statement: Reduce) -> None:
        """A chain of functions of two, for each element."""
        function = _FOLDS.get(statement.fn) or _SCANS.get(statement.fn)
        logic = statement.fn in ("any", "all")
        if function is None or (statement.arg.type.dtype == "bool") != logic:
            raise _Stays
        arg, out = self._read(statement.arg), self._new(statement.out)
        self.known[statement.out] = out
        if statement.fn in _SCANS:
            # Lines along the axis: both are views.
            lines, results = (np.moveaxis(x, statement.axes[0], 0) for x in (arg, out))
            results[0] = lines[0]
            for at in range(1, len(lines)):
                for index in np.ndindex(lines.shape[1:]):
                    pair = [results[(at - 1, *index)], lines[(at, *index)]]
                    results[(at, *index)] = self._folded(
                        statement.out, (at, *index), function, pair
                    )
            return
        kept = [axis for axis in range(arg.ndim) if axis not in statement.axes]
        # The axes that are left in front, the others as one behind them.
        rows = arg.transpose(*kept, *statement.axes).reshape(*(arg.shape[k] for k in kept), -1)
        flat = out.reshape(rows.shape[:-1])
        for index in np.ndindex(flat.shape):
            flat[index] = self._folded(statement.out, index, function, list(rows[index]))

    def view(self, statement: View) -> None:
        """The elements in another order: nothing is computed."""
        arg, how = self._read(statement.arg), statement.how
        shape = self._new(statement.out).shape
        if isinstance(how, Reshape):
            shown = arg.reshape(shape)
        elif isinstance(how, Transpose):
            shown = arg.transpose(how.axes)
        elif isinstance(how, Broadcast):
            shown = np.broadcast_to(arg, shape)
        elif isinstance(how, Slice):
            shown = arg[_region(how)]
        else:
            shown = np.diagonal(arg, how.offset, how.axis1, how.axis2)
        for index in np.ndindex(shape):
            self._alias(statement.out, index, shown[index])
        self.known[statement.out] = shown

    def write(self, statement: Write) -> None:
        """Elements of the parts, or of what they add up to."""
        out = self._new(statement.out)
        if statement.out.type.dtype != "f64":
            raise _Stays
        added: Elements = np.empty(out.shape, object)
        start = [] if statement.fill == 0 and statement.add else [Number(float(statement.fill))]
        for index in np.ndindex(out.shape):
            added[index] = list(start)
        for region, part in zip(statement.regions, statement.parts, strict=True):
            where = _region(region)
            target = added[where]
            elements: Elements = np.broadcast_to(self._read(part), target.shape)
            for index in np.ndindex(target.shape):
                if not statement.add:
                    target[index].clear()
                target[index].append(elements[index])
        for index in np.ndindex(out.shape):
            terms = added[index] or [Number(0.0)]
            out[index] = self._folded(statement.out, index, "add", terms)
        self.known[statement.out] = out


_UNROLL: dict[Any, Callable[[_Unrolled, Any], None]] = {
    Map: _Unrolled.map,
    Contract: _Unrolled.contract,
    Reduce: _Unrolled.reduce,
    View: _Unrolled.view,
    Write: _Unrolled.write,
}


def _name(name: str, index: tuple[int, ...]) -> str:
    """What an element is called: `x_0_1`, where the array has a name."""
    return "_".join([name, *map(str, index)]) if name else ""


def _region(how: Slice) -> tuple[slice, ...]:
    """The same as Python's slices; one that goes down to the first element has no end."""
    found = []
    for start, size, step in zip(how.starts, how.sizes, how.steps, strict=True):
        assert isinstance(start, int)
        assert isinstance(size, int)
        end = start + size * step
        found.append(slice(start, end if end >= 0 else None, step) if size else slice(0))
    return tuple(found)


def _points(extents: Sequence[tuple[str, Size]]) -> Iterator[dict[str, int]]:
    """Every value of the indices."""
    names = [name for name, _ in extents]
    sizes = [size for _, size in extents if isinstance(size, int)]
    if len(sizes) != len(names) or np.prod(sizes) > STATEMENTS:
        raise _Stays
    for point in itertools.product(*map(range, sizes)):
        yield dict(zip(names, point, strict=True))


def _at(index: Sequence[Affine], point: dict[str, int]) -> tuple[int, ...]:
    return tuple(
        affine.offset + sum(scale * point[name] for name, scale in affine.terms) for affine in index
    )


def _inside(place: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return all(0 <= at < size for at, size in zip(place, shape, strict=True))
