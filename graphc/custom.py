"""A user's own ops: one formula each, or forward and VJP by hand where no formula says it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from graphc import nodes
from graphc.builder import read_type
from graphc.errors import GraphNameError, GraphTypeError, GraphValueError, located
from graphc.index_formula import IndexFormula, einstein, operand_count_error, read
from graphc.ir import Node
from graphc.lifting import Symbolic, lift
from graphc.nn import apply, apply_op
from graphc.ops.elementwise import define
from graphc.ops.kinds import Contraction, Elementwise, Primitive, PrimitiveCall
from graphc.sites import here
from graphc.types import ArrayType
from graphc.values import finish


class ElementwiseFunction:
    """An elementwise op to be called, with broadcasting; `op` is its definition."""

    __slots__ = ("op",)

    def __init__(self, op: Elementwise) -> None:
        self.op = op

    def __call__(self, *operands: Any) -> Any:
        """A Value, or an array where no operand is a Value."""
        if len(operands) != len(self.op.args):
            args = ", ".join(self.op.args)
            raise GraphTypeError(
                located(
                    f"{self.op.name} takes {len(self.op.args)} operands ({args}), "
                    f"got {len(operands)}"
                )
            )
        return apply_op(self.op, *operands)

    def __repr__(self) -> str:
        return f"<elementwise {self.op.name}({', '.join(self.op.args)}) = {self.op.formula}>"


def elementwise(
    name: str, formula: str | Callable[..., Any], args: Iterable[str] | None = None, doc: str = ""
) -> ElementwiseFunction:
    """A function of numbers, applied element by element; its derivatives are derived.

    formula: text (`"x / (1 + exp(-x))"`, or `"(x, y) -> x * log(y)"` to fix the order of the
        arguments), or a lambda that takes SymPy symbols and returns a SymPy expression.
    args: the arguments in order; by default those before the arrow, else in order of appearance.

    Raises GraphSyntaxError for a formula that cannot be read.

    >>> swish = graphc.elementwise("swish", "x / (1 + exp(-x))")
    >>> activation = graphc.trace(lambda x: swish(x).sum(), "f64[n]")
    >>> graphc.compile(activation, wrt="x").value_and_grad(np.zeros(2))[1]
    array([0.5, 0.5])
    """
    return ElementwiseFunction(define(name, formula, args, doc=doc))


class ContractionFunction:
    """An index formula to be called; `formula` is what was read."""

    __slots__ = ("formula", "name", "op")

    def __init__(self, name: str, formula: IndexFormula, doc: str) -> None:
        self.name = name
        self.formula = formula
        self.op = Contraction(name, doc)

    def __call__(self, *operands: Any) -> Any:
        """A Value, or an array where no operand is a Value."""
        if len(operands) != len(self.formula.args):
            raise operand_count_error(self.name, self.formula, len(operands))
        return apply(self._node, *operands)

    def _node(self, *operands: Node) -> Node:
        params = einstein(self.name, self.formula, operands)
        # The formula has a place for each factor; an operand used twice stands at two places.
        factors = [operands[operand] for operand, _ in self.formula.places]
        return nodes.contraction(self.op, params, *factors)

    def __repr__(self) -> str:
        return f"<contraction {self.name}: {self.formula.text}>"


def contraction(name: str, formula: str, doc: str = "") -> ContractionFunction:
    """A sum of products by index notation; its derivatives are derived.

    formula: `"y[b,o] = a[b,i] * W[o,i,j] * c[b,j]"`: what the left side lacks is summed over. The
        operands are called in order of appearance. Indices may be linear (`x[n,c,2*h+p]`), `...`
        stands for the axes that are left, and the body may be any scalar formula of its factors.

    Raises GraphSyntaxError for a formula that cannot be read.

    >>> outer = graphc.contraction("outer", "y[i,j] = a[i] * b[j]")
    >>> outer(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    array([[3., 4.],
           [6., 8.]])
    """
    _check_name("contraction", name)
    return ContractionFunction(name, read(name, formula), doc)


class PrimitiveFunction:
    """A primitive to be called; `vjp` states its VJP."""

    __slots__ = ("_result", "op")

    def __init__(self, op: Primitive, result: Any) -> None:
        self.op = op
        self._result = result

    def vjp(self, backward: Callable[..., Any]) -> Callable[..., Any]:
        """States the VJP: (saved, d_y) -> the cotangent of each operand, None for integer ones.

        Of one operand it returns the cotangent itself, of several a tuple.
        """
        # A primitive is frozen but for this: its VJP is stated below its forward.
        self.op.backward = backward
        return backward

    def __call__(self, *operands: Any) -> Any:
        """A Value, or the function's own result where no operand is a Value."""
        name = here()
        if not any(isinstance(operand, Symbolic) for operand in operands):
            return self.op.forward(*operands)[0]
        inputs = tuple(map(lift, operands))
        made = nodes.node(self.op, inputs, PrimitiveCall("forward"), self._type(inputs))
        return finish(made, name)

    def _type(self, inputs: tuple[Node, ...]) -> ArrayType:
        result = self._result
        if callable(result):
            try:
                result = result(*(node.type for node in inputs))
            except TypeError as error:
                raise GraphTypeError(located(f"{self.op.name}: result=: {error}")) from None
        if isinstance(result, list | tuple):
            raise GraphValueError(
                located(f"{self.op.name}: a primitive has one result; stack or define several")
            )
        return read_type(result)

    def __repr__(self) -> str:
        return f"<primitive {self.op.name}>"


def primitive(*, result: Any, name: str = "") -> Callable[[Callable[..., Any]], PrimitiveFunction]:
    """An op whose forward is the decorated function; state its VJP with `.vjp`.

    The function takes arrays and returns (result, saved): saved is whatever the VJP needs.
    result: the result's type: a string, an ArrayType, or a function of the operands' ArrayTypes.

    >>> @primitive(result=lambda table, i: ArrayType(table.dtype, i.shape + table.shape[1:]))
    ... def lookup(table, i):
    ...     return table[i], (table.shape, i)
    >>> @lookup.vjp
    ... def _(saved, d_y):
    ...     d_table = np.zeros(saved[0])
    ...     np.add.at(d_table, saved[1], d_y)
    ...     return d_table, None
    """

    def declare(forward: Callable[..., Any]) -> PrimitiveFunction:
        own = name or getattr(forward, "__name__", "primitive")
        _check_name("primitive", own)
        return PrimitiveFunction(Primitive(own, forward), result)

    return declare


def _check_name(what: str, name: object) -> None:
    if not isinstance(name, str) or not name.isidentifier():
        raise GraphNameError(
            located(f"{what} {name!r}: the name is an identifier, such as 'my_op'")
        )
