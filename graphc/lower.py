"""Nodes -> codegen's statements, one node at a time.

What is here is translation only: each kind of op has its statement. Which values are fused, named
and kept where is codegen's decision; the forward/backward cut is made in `graphc.functions`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from codegen.expr import Apply, Expr, Extent, Number
from codegen.program import (
    Broadcast,
    Call,
    Constant,
    Contract,
    Diagonal,
    Gather,
    Map,
    Reduce,
    Reshape,
    Scatter,
    Slice,
    Statement,
    Transpose,
    Var,
    View,
    Write,
)
from graphc import nodes
from graphc.callables import name_of
from graphc.errors import GraphTypeError, located
from graphc.ir import Node
from graphc.lower_body import apart, argument, instantiated, joined, mapped_body, word
from graphc.lower_linalg import decomposition, triangle, used_results
from graphc.lower_loop import loop, wanted_results
from graphc.matrices import result_types, siblings
from graphc.ops import kinds
from graphc.ops.elementwise import TABLE
from graphc.searches import result_type
from graphc.types import ArrayType, array_type


class Constants:
    """The arrays a module carries, each once, shared by its functions."""

    def __init__(self) -> None:
        self._vars: dict[kinds.ConstantParams, Constant] = {}

    def var(self, node: Node) -> Var:
        """The Var of a constant array."""
        params = node.params
        assert isinstance(params, kinds.ConstantParams)
        found = self._vars.get(params)
        if found is None:
            found = Constant(
                Var(node.name or _constant_name(params.value), node.type, bool(node.name)),
                params.value,
            )
            self._vars[params] = found
        return found.var

    @property
    def all(self) -> tuple[Constant, ...]:
        return tuple(self._vars.values())


def _constant_name(value: np.ndarray[Any, Any]) -> str:
    """What an array without a name is called: by what its elements are, where they are simple."""
    if value.dtype.kind == "b":
        return "mask"
    if not value.any():
        return "zeros"
    if value.ndim == 2 and np.array_equal(value, np.eye(*value.shape)):
        return "identity"
    return "indices" if value.dtype.kind == "i" else "constant"


class Body:
    """The statements of one function, as they are made.

    given: nodes whose Vars are there already (arguments). notes: the comment of a node's group.
    tags: for an origin, what the source map says. scipy: whether its solvers may be called.
    """

    def __init__(
        self,
        given: Mapping[Node, Var],
        constants: Constants,
        callables: dict[str, Any],
        notes: Mapping[Node, str],
        tags: Mapping[Any, str],
        scipy: bool = False,
    ) -> None:
        self.vars: dict[Node, Var] = dict(given)
        self.statements: list[Statement] = []
        self.constants = constants
        self.callables = callables
        self.notes = notes
        self.tags = tags
        self.scipy = scipy
        self._uses: dict[Node, int] = {}
        self._sums: set[Node] = set()  # sums of places alone
        self._merged: set[Node] = set()
        self._saved: dict[Node, Var] = {}
        self._backward: dict[Node, list[Var]] = {}
        self._results: dict[object, dict[int, Var]] = {}  # of decompositions, by their keys
        self._wanted: Mapping[object, set[int]] = {}  # of loops, by their keys
        self._used_results: Mapping[object, set[int]] = {}

    def lower(self, order: Sequence[Node], wanted: Iterable[Node]) -> None:
        """Statements for `order` (operands first); `wanted` are the nodes whose Vars are needed."""
        for node in order:
            for operand in node.inputs:
                self._uses[operand] = self._uses.get(operand, 0) + 1
        keep = list(wanted)
        for node in keep:
            self._uses[node] = self._uses.get(node, 0) + 1
        self._find_merged(order)
        self._wanted = wanted_results(order)
        self._used_results = used_results(node for node in order if node not in self.vars)
        for node in order:
            if node not in self.vars and node not in self._merged and not _is_deferred(node):
                self._node(node)
        for node in keep:
            self.var(node)

    # -- values ----------------------------------------------------------------------------------

    def var(self, node: Node) -> Var:
        """The Var of a node; numbers and sizes become one where no expression can hold them."""
        found = self.vars.get(node)
        if found is not None:
            return found
        params = node.params
        if isinstance(params, kinds.ConstantParams) and node.type.shape:
            found = self.constants.var(node)
        elif isinstance(params, kinds.ConstantParams | kinds.SizeParams):
            found = self._out(node)
            self._add(Map(found, self._converted(self._number(node), node.type.dtype), ()), node)
        elif isinstance(params, Broadcast):
            self._node(node)
            return self.vars[node]
        else:
            raise AssertionError(f"{node!r} has not been lowered")
        self.vars[node] = found
        return found

    def _out(self, node: Node, type: ArrayType | None = None) -> Var:
        return Var(node.name, type or node.type, bool(node.name), word(node))

    def _add(self, statement: Statement, node: Node) -> None:
        statement.note = self.notes.get(node, "")
        statement.tag = self.tags.get(node.origin, "")
        self.statements.append(statement)

    def _number(self, node: Node) -> Expr:
        params = node.params
        if isinstance(params, kinds.SizeParams):
            return Extent(params.size)
        assert isinstance(params, kinds.ConstantParams)
        return Number(params.value.item())

    @staticmethod
    def _converted(expr: Expr, dtype: str) -> Expr:
        """A number of exactly this dtype: a bare literal is weak, and f64 only by default."""
        if isinstance(expr, Number) and dtype == "f64":
            return expr
        return Apply(dtype, (expr,))

    # -- one node --------------------------------------------------------------------------------

    def _node(self, node: Node) -> None:
        match node.op:
            case kinds.Elementwise():
                self._elementwise(node)
            case kinds.Contraction():
                self._contraction(node)
            case kinds.Reduction():
                self._reduction(node)
            case kinds.Layout():
                self._layout(node)
            case kinds.Gather():
                self._gather(node)
            case kinds.Scatter():
                self._scatter(node)
            case kinds.LinAlg():
                self._linalg(node)
            case kinds.Search():
                self._search(node)
            case kinds.Loop():
                self._loop(node)
            case kinds.Primitive():
                self._primitive(node)
            case kinds.Leaf() if isinstance(node.params, kinds.RangeParams):
                self._range(node)
            case op:
                raise GraphTypeError(located(f"{op.name}: this op cannot be compiled"))

    # -- elementwise -----------------------------------------------------------------------------

    def _elementwise(self, node: Node) -> None:
        if node in self._sums:
            self._write_places(node)
            return
        op = node.op
        assert isinstance(op, kinds.Elementwise)
        if op.name == "multiply" and TABLE["multiply"] is op:
            a, b = node.inputs
            operands = [self._unmasked(a, b), self._unmasked(b, a)]
        else:
            operands = list(node.inputs)
        expr, args = self._expression(op, node, operands)
        out = self.vars[node] = self._out(node)
        self._add(Map(out, expr, tuple(args)), node)

    def _unmasked(self, x: Node, other: Node) -> Node:
        """A mask converted to the other factor's dtype, as the mask: NumPy multiplies by a bool.

        Where the converted mask was saved, the mask itself may not be at hand.
        """
        if x.name or x.op is not TABLE.get(other.type.dtype):
            return x
        mask = x.inputs[0]
        at_hand = x not in self.vars or mask in self.vars
        return mask if mask.type.dtype == "bool" and at_hand else x

    def _expression(
        self, op: kinds.Elementwise, node: Node, operands: Sequence[Node]
    ) -> tuple[Expr, list[Var]]:
        """The op's expression over numbered Vars, numbers and sizes put in as they are."""
        leaves: list[Expr] = []
        args: list[Var] = []
        for operand in operands:
            # What has been computed is there as it is; the rest may be a number.
            var = self.vars.get(operand) if operand.inputs else None
            if var is None and _is_inline(operand):
                number = self._number(operand)
                if not any(
                    not _is_inline(other) and other.type.dtype == operand.type.dtype
                    for other in operands[op.condition :]
                ):
                    number = self._converted(number, operand.type.dtype)
                leaves.append(number)
                continue
            var = var or self.var(operand)
            if var not in args:
                args.append(var)
            leaves.append(argument(args.index(var)))
        dtypes = tuple([var.type.dtype for var in args])
        return instantiated(op, tuple(leaves), dtypes, node.type.dtype), args

    # -- sums of places --------------------------------------------------------------------------

    def _find_merged(self, order: Sequence[Node]) -> None:
        """Places that are written straight into the sum they are added to."""
        for node in order:  # operands first: a long sum is looked at once, not once a term
            if node.op is TABLE["add"] and all(self._is_part(x, node) for x in node.inputs):
                self._sums.add(node)
        for node in reversed(order):
            if node in self._sums and node not in self._merged:
                self._merged.update(self._within(node)[1:])

    def _is_part(self, x: Node, node: Node) -> bool:
        """Whether an operand of a sum is a place, or a sum of places, and nothing else needs it."""
        if self._uses.get(x, 0) != 1 or x.name or x.type.shape != node.type.shape:
            return False
        return isinstance(x.params, kinds.Place) or x in self._sums

    def _within(self, node: Node) -> list[Node]:
        """A place; or a sum of places, all sums that it consists of, and the places."""
        found: list[Node] = []
        stack = [node]
        while stack:
            x = stack.pop()
            found.append(x)
            if x in self._sums:
                stack.extend(reversed(x.inputs))
        return found

    def _write_places(self, node: Node) -> None:
        places = [x for x in self._within(node) if x not in self._sums]
        regions = tuple(x.params.region for x in places if isinstance(x.params, kinds.Place))
        parts = tuple(self._part(x.inputs[0]) for x in places)
        out = self.vars[node] = self._out(node)
        self._add(Write(out, 0, regions, parts, add=not apart(regions)), node)

    def _part(self, x: Node) -> Var:
        """What is written at a region, which repeats what is short of it."""
        return self.var(x.inputs[0] if isinstance(x.params, Broadcast) else x)

    # -- contractions and reductions -------------------------------------------------------------

    def _contraction(self, node: Node) -> None:
        params = node.params
        assert isinstance(params, kinds.Einstein)
        args = tuple(self.var(x) for x in node.inputs)
        arg_index = params.operands
        if params.body is not None:
            made, mapped = mapped_body(params, args, node.type.dtype)
            for statement in made:
                self._add(statement, node)
            args, arg_index = (mapped,), (tuple(nodes.index(name) for name, _ in params.extents),)
        out = self.vars[node] = self._out(node)
        self._add(Contract(out, params.out, args, arg_index, params.extents), node)

    def _reduction(self, node: Node) -> None:
        params = node.params
        assert isinstance(params, kinds.Axes)
        arg = self.var(node.inputs[0])
        out = self.vars[node] = self._out(node)
        name: Any = node.op.name
        self._add(Reduce(out, name, arg, params.axes, params.keepdims), node)

    # -- layout ----------------------------------------------------------------------------------

    def _layout(self, node: Node) -> None:
        if isinstance(node.params, kinds.Place):
            self._write_places(node)
            return
        operands = tuple(self.var(x) for x in node.inputs)
        out = self.vars[node] = self._out(node)
        params = node.params
        match params:
            case Reshape() | Transpose() | Broadcast() | Slice() | Diagonal():
                self._add(View(out, params, operands[0]), node)
            case kinds.Pad(widths, value):
                starts = tuple(before for before, _ in widths)
                sizes = operands[0].type.shape
                region = Slice(starts, sizes, (1,) * len(sizes))
                self._add(Write(out, value, (region,), operands), node)
            case kinds.Concatenate(axis):
                self._add(Write(out, 0, joined(operands, axis), operands, exhaustive=True), node)
            case _:
                raise AssertionError(f"a layout with params {params}")

    # -- indexing --------------------------------------------------------------------------------

    def _gather(self, node: Node) -> None:
        x, *indices = node.inputs
        index = self._indexer(node, indices)
        arg = self.var(x)
        out = self.vars[node] = self._out(node)
        self._add(Gather(out, arg, index), node)

    def _indexer(self, node: Node, indices: Sequence[Node]) -> tuple[Var | None, ...]:
        params = node.params
        assert isinstance(params, kinds.Indexing)
        remaining = iter(indices)
        return tuple(self.var(next(remaining)) if taken else None for taken in params.axes)

    def _scatter(self, node: Node) -> None:
        base, value, *indices = node.inputs
        params = node.params
        assert isinstance(params, kinds.Indexing)
        start = None if _is_zero(base) else self.var(base)
        index = self._indexer(node, indices)
        added = self.var(value)
        out = self.vars[node] = self._out(node)
        self._add(Scatter(out, start, index, added, params.mode, params.unique), node)

    # -- what is computed as a whole -------------------------------------------------------------

    def _range(self, node: Node) -> None:
        params = node.params
        assert isinstance(params, kinds.RangeParams)
        count = Var("", array_type("i64", ()))
        self._add(Map(count, Extent(params.size), ()), node)
        out = self.vars[node] = self._out(node)
        self._add(Call((out,), "np.arange", (count,)), node)

    def _linalg(self, node: Node) -> None:
        """One call for all results of a decomposition, made where the first is needed."""
        op, params = node.op, node.params
        assert isinstance(op, kinds.LinAlg)
        assert isinstance(params, kinds.LinAlgParams)
        key = siblings(node)
        outs = self._results.get(key)
        if outs is None:
            call = decomposition(node, self._used_results[key], self.scipy)
            args = [self.var(x) for x in node.inputs]
            only = triangle(node, call)
            if only:
                part = Var("", node.inputs[0].type)
                self._add(Call((part,), only, (args[0],)), node)
                args[0] = part
            types = result_types(op, node.inputs)
            opaque = array_type("opaque", ())
            made = [Var("", types[k] if k >= 0 else opaque) for k in call.results]
            self._add(Call(tuple(made), call.function, tuple(args), call.keywords), node)
            outs = self._results[key] = dict(zip(call.results, made, strict=True))
        out = outs[params.result]
        if node.name and not out.name:
            out.name, out.keep_name = node.name, True
        elif not out.name and len(op.results) > 1:
            out.name = f"{op.name}_{op.results[params.result]}"
        elif not out.name:
            out.word = op.name
        self.vars[node] = out

    def _search(self, node: Node) -> None:
        """One call for all results."""
        op, params = node.op, node.params
        assert isinstance(op, kinds.Search)
        assert isinstance(params, kinds.SearchParams)
        key = (op, node.inputs)
        outs = self._results.get(key)
        if outs is None:
            args = tuple(self.var(x) for x in node.inputs)
            dtype = args[0].type.dtype
            made = [
                Var(name, result_type(op, k, params.count, dtype))
                for k, name in enumerate(op.results)
            ]
            self._add(Call(tuple(made), op.function, args), node)
            outs = self._results[key] = dict(enumerate(made))
        self.vars[node] = outs[params.result]

    def _loop(self, node: Node) -> None:
        """One loop for all its results that are needed."""
        params = node.params
        assert isinstance(params, kinds.LoopParams)
        key = (params.steps, node.inputs)
        if key not in self._results:
            args = [self.var(x) for x in node.inputs]
            made, self._results[key] = loop(self, params.steps, args, self._wanted[key])
            self._add(made, node)
        self.vars[node] = self._results[key][params.result]

    def _primitive(self, node: Node) -> None:
        op, params = node.op, node.params
        assert isinstance(op, kinds.Primitive)
        assert isinstance(params, kinds.PrimitiveCall)
        if params.part == "saved":
            self.vars[node] = self._saved[node.inputs[0]]  # made together with the forward value
            return
        if params.part == "forward":
            name = name_of(self.callables, op.forward)
            args = tuple(self.var(x) for x in node.inputs)
            out = self.vars[node] = self._out(node)
            saved = Var(f"{node.name or op.name}_saved", array_type("opaque", ()))
            self._add(Call((out, saved), name, args), node)
            self._saved[node] = saved
            return
        forward = node.inputs[0].inputs[0]
        outs = self._backward.get(node.inputs[0])
        if outs is None:
            assert op.backward is not None
            name = name_of(self.callables, op.backward)
            args = tuple(self.var(x) for x in node.inputs)
            outs = [
                Var("", x.type if x.type.floating else array_type("opaque", ()))
                for x in forward.inputs
            ]
            self._backward[node.inputs[0]] = outs
            self._add(Call(tuple(outs), name, args), node)
        out = outs[params.operand]
        if node.name and not out.name:
            out.name, out.keep_name = node.name, True
        self.vars[node] = out


def _is_inline(node: Node) -> bool:
    """Whether the node stands inside its users' expressions: a number or a size."""
    if isinstance(node.params, kinds.SizeParams):
        return True
    return isinstance(node.params, kinds.ConstantParams) and not node.type.shape


def _is_deferred(node: Node) -> bool:
    """Whether a statement is made only where a user asks for the node's Var."""
    repeated = isinstance(node.params, Broadcast) and _is_inline(node.inputs[0])
    return repeated or isinstance(node.params, kinds.ConstantParams | kinds.SizeParams)


def _is_zero(node: Node) -> bool:
    while isinstance(node.params, Broadcast):
        node = node.inputs[0]
    params = node.params
    return isinstance(params, kinds.ConstantParams) and not np.any(params.value)
