"""`graphc.Value`: what a user computes with while declaring a graph.

A Value stands for an array that does not exist yet. It takes Python's operators, NumPy's ufuncs and
functions, and the methods of an array; each makes a node. What cannot be done before the numbers
exist (a truth value, `float(x)`, item assignment) raises at once, with the spelling to use instead.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NoReturn

import numpy as np

from graphc import nodes
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.lifting import Symbolic, is_weak, lift, lift_beside
from graphc.methods import Methods
from graphc.naming import missing_attribute
from graphc.ops.elementwise import TABLE
from graphc.ops.kinds import Elementwise, Layout
from graphc.scopes import prefix
from graphc.sites import here, names_here
from graphc.spelling import elsewhere, spell
from graphc.types import DTYPES, FLOATING, Shape, Size


def finish(node: Node, name: str) -> Value:
    """The Value of a new node, which takes the name of the variable it is assigned to."""
    if name and not node.name and node.type.dtype != "opaque":
        node.name = prefix.get() + name
    return Value(node)


def wrap(result: Any, name: str = "") -> Any:
    """What a dispatched function returns: its nodes as Values, in the same lists and tuples."""
    if isinstance(result, Node):
        return finish(result, name)
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return type(result)(*map(wrap, result))
    if isinstance(result, list | tuple):
        return type(result)(wrap(item) for item in result)
    return result


def binary(op: Elementwise, a: Any, b: Any) -> Node:
    """One elementwise node of two operands, a Python number taking the other's dtype."""
    if isinstance(a, Symbolic):
        left = a.node
        right = b.node if isinstance(b, Symbolic) else lift_beside(b, left.type.dtype)
    else:
        right = lift(b)
        left = lift_beside(a, right.type.dtype)
    if op is _POWER:
        _check_power(left, b)
    return nodes.elementwise(op, left, right)


_POWER = TABLE["power"]


def _check_power(base: Node, exponent: Any) -> None:
    integer = base.type.dtype not in FLOATING
    if integer and is_weak(exponent) and isinstance(exponent, int) and exponent < 0:
        raise GraphValueError(
            located(
                f"power: {nodes.describe(base)} ** {exponent}: integers have no negative powers; "
                "convert with .astype('f64')"
            )
        )


def _operator(op_name: str, reflected: bool = False) -> Callable[[Value, Any], Any]:
    op = TABLE[op_name]

    def operate(self: Value, other: Any) -> Any:
        if not _is_operand(other, self.node, op_name):
            return NotImplemented
        name = here(operator=True)
        return finish(binary(op, other, self) if reflected else binary(op, self, other), name)

    operate.__doc__ = op.doc
    return operate


def _logic(op_name: str, symbol: str, reflected: bool = False) -> Callable[[Value, Any], Any]:
    op = TABLE[op_name]

    def operate(self: Value, other: Any) -> Any:
        if not _is_operand(other, self.node, op_name):
            return NotImplemented
        name = here(operator=True)
        node = binary(op, other, self) if reflected else binary(op, self, other)
        for operand in node.inputs:
            if operand.type.dtype != "bool":
                raise GraphTypeError(
                    located(
                        f"`{symbol}` takes bool operands, got {nodes.describe(operand)}; "
                        "a comparison beside it needs parentheses: (a > 0) & (b > 0)"
                    )
                )
        return finish(node, name)

    operate.__doc__ = op.doc
    return operate


def _unary(op_name: str) -> Callable[[Value], Value]:
    op = TABLE[op_name]

    def operate(self: Value) -> Value:
        name = here()
        return finish(nodes.elementwise(op, self.node), name)

    operate.__doc__ = op.doc
    return operate


def _is_operand(other: object, node: Node, op_name: str) -> bool:
    """Whether `other` can be an operand; False for a foreign class, which may know what to do."""
    if isinstance(other, Symbolic):
        return True
    if isinstance(other, np.ndarray | np.generic | list | tuple) or is_weak(other):
        return True
    if other is None or isinstance(other, str | bytes | complex | dict | set):
        kind = "None" if other is None else type(other).__name__
        raise GraphTypeError(
            located(
                f"{op_name}: {nodes.describe(node)} with {kind}, which is no real number or array"
            )
        )
    return False


def _in_place(op_name: str, symbol: str) -> Callable[[Value, Any], Any]:
    op = TABLE[op_name]

    def operate(self: Value, other: Any) -> Any:
        # NumPy would write into the array, which shows under every other name of it.
        if isinstance(self.node.op, Layout) or sys.getrefcount(self) > _own_references():
            name = spell(self.node)
            right = spell(other.node) if isinstance(other, Symbolic) else "..."
            raise GraphTypeError(
                located(
                    f"`{name} {symbol}= {right}` would also change another name of the same array; "
                    f"write {name} = {name} {symbol} {right}"
                )
            )
        name = here(operator=True)
        return finish(binary(op, self, other), name)

    operate.__doc__ = f"{op.doc} Only on a value with one name: others would see NumPy's change."
    return operate


class _Counted:
    """An object that counts the references to itself as an in-place operator meets it."""

    def __iadd__(self, other: int) -> int:
        return sys.getrefcount(self)


_references = 0


def _own_references() -> int:
    """How many references an object has inside its in-place operator that has one name only."""
    global _references
    if not _references:
        local: Any = _Counted()
        local += 1
        held: dict[str, Any] = {"value": _Counted()}
        held["value"] += 1
        _references = max(local, held["value"])
    return _references


class Value(Methods):
    """An array of a graph that is being declared: its type is known, its numbers are not."""

    __slots__ = ()
    # Elementwise comparison leaves no room for a hash, as with NumPy's arrays.
    __hash__: ClassVar[None]  # type: ignore[assignment]

    # -- what is known ---------------------------------------------------------------------------

    @property
    def shape(self) -> Shape:
        """The sizes: ints, and `Dim` where a size is named."""
        return self.node.type.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's dtype."""
        return DTYPES[self.node.type.dtype]

    @property
    def ndim(self) -> int:
        """How many axes."""
        return len(self.node.type.shape)

    @property
    def size(self) -> Size:
        """How many elements: an int, or a `Dim`."""
        return self.node.type.size

    @property
    def name(self) -> str:
        """The name, "" where it has none yet."""
        return self.node.name

    def __repr__(self) -> str:
        return f"<Value {spell(self.node)}: {self.node.type}>"

    def __len__(self) -> int:
        if not self.shape:
            raise GraphTypeError(located(f"len(): {nodes.describe(self.node)} is a scalar"))
        name = spell(self.node)
        instead = f"{name}.shape[0] is that size, and graphc.arange({name}.shape[0]) counts"
        return _int_size(self.shape[0], f"len({name})", instead)

    def __iter__(self) -> Iterator[Value]:
        names = names_here()
        if not self.shape:
            raise GraphTypeError(
                located(
                    f"{nodes.describe(self.node)} is a scalar; there is nothing to iterate over"
                )
            )
        what = f"iterating over {nodes.describe(self.node)}"
        count = _int_size(self.shape[0], what, "use whole-array operations")
        return self._rows(count, names)

    def _rows(self, count: int, names: tuple[str, ...]) -> Iterator[Value]:
        from graphc.dispatch.indexing import index

        for k in range(count):
            # Unpacked into several variables, or one row a turn of the user's loop.
            own = names[k] if k < len(names) else here()
            yield finish(index(self.node, k), own)

    # -- operators -------------------------------------------------------------------------------

    __add__ = _operator("add")
    __radd__ = _operator("add", reflected=True)
    __sub__ = _operator("subtract")
    __rsub__ = _operator("subtract", reflected=True)
    __mul__ = _operator("multiply")
    __rmul__ = _operator("multiply", reflected=True)
    __truediv__ = _operator("divide")
    __rtruediv__ = _operator("divide", reflected=True)
    __floordiv__ = _operator("floor_divide")
    __rfloordiv__ = _operator("floor_divide", reflected=True)
    __mod__ = _operator("remainder")
    __rmod__ = _operator("remainder", reflected=True)
    __pow__ = _operator("power")
    __rpow__ = _operator("power", reflected=True)
    __lt__ = _operator("less")
    __le__ = _operator("less_equal")
    __gt__ = _operator("greater")
    __ge__ = _operator("greater_equal")
    __eq__ = _operator("equal")
    __ne__ = _operator("not_equal")
    __and__ = _logic("logical_and", "&")
    __rand__ = _logic("logical_and", "&", reflected=True)
    __or__ = _logic("logical_or", "|")
    __ror__ = _logic("logical_or", "|", reflected=True)
    __xor__ = _logic("logical_xor", "^")
    __rxor__ = _logic("logical_xor", "^", reflected=True)
    __neg__ = _unary("negative")
    __abs__ = _unary("absolute")
    __iadd__ = _in_place("add", "+")
    __isub__ = _in_place("subtract", "-")
    __imul__ = _in_place("multiply", "*")
    __itruediv__ = _in_place("divide", "/")
    __ifloordiv__ = _in_place("floor_divide", "//")
    __imod__ = _in_place("remainder", "%")
    __ipow__ = _in_place("power", "**")

    def __pos__(self) -> Value:
        return self

    def __divmod__(self, other: Any) -> Any:
        return np.divmod(self, other)

    def __rdivmod__(self, other: Any) -> Any:
        return np.divmod(other, self)

    def __round__(self, digits: int = 0) -> Any:
        return np.round(self, digits)

    def __invert__(self) -> Value:
        name = here()
        if self.node.type.dtype != "bool":
            raise GraphTypeError(
                located(f"`~` takes a bool operand, got {nodes.describe(self.node)}; negate with -")
            )
        return finish(nodes.elementwise("logical_not", self.node), name)

    def __matmul__(self, other: Any) -> Value:
        name = here(operator=True)
        return finish(nodes.matmul(self.node, lift(other)), name)

    def __rmatmul__(self, other: Any) -> Value:
        name = here(operator=True)
        return finish(nodes.matmul(lift(other), self.node), name)

    def __getitem__(self, key: Any) -> Value:
        from graphc.dispatch.indexing import index

        name = here()
        return finish(index(self.node, key), name)

    # -- NumPy's protocols -----------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        from graphc.dispatch.ufuncs import call

        name = here()
        return wrap(call(ufunc, method, inputs, options), name)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        from graphc import dispatch

        name = here()
        return wrap(dispatch.call(function, args, kwargs), name)

    # -- methods of an array ---------------------------------------------------------------------

    def _call(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        from graphc import dispatch

        name = here()
        return wrap(dispatch.call(function, (self, *args), options), name)

    @property
    def T(self) -> Value:
        """The axes in reverse order."""
        name = here()
        return finish(nodes.transpose(self.node, tuple(reversed(range(self.ndim)))), name)

    def astype(self, dtype: Any) -> Value:
        """Converted to a dtype: "f32", np.float32, float ..."""
        from graphc.dispatch.options import dtype_of

        name = here()
        return finish(nodes.cast(self.node, dtype_of(dtype)), name)

    def copy(self) -> Value:
        """The value itself: values never change."""
        return self

    # -- what must wait for the numbers ------------------------------------------------------------

    def __bool__(self) -> bool:
        raise GraphTypeError(
            located(
                f"a symbolic value `{spell(self.node)}` has no truth value; use np.where"
                " (np.logical_and, np.logical_or, np.logical_not between conditions)"
            )
        )

    def _number(self, what: str, instead: str) -> NoReturn:
        raise GraphTypeError(
            located(f"{what}: the symbolic value `{spell(self.node)}` has no number yet; {instead}")
        )

    def __float__(self) -> float:
        self._number("float()", "use NumPy's functions (np.exp, not math.exp), or .astype('f64')")

    def __int__(self) -> int:
        self._number("int()", "use .astype('i64')")

    def __complex__(self) -> complex:
        self._number("complex()", "complex numbers are not supported")

    def __index__(self) -> int:
        self._number(
            "an int is needed here",
            "index a value with it, or graphc.constant(a)[i]; a Python list or range cannot wait",
        )

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        if self.node.type.dtype in ("i32", "i64"):
            # What most often comes here is an array indexed by a value, which NumPy cannot hand on.
            name = spell(self.node)
            self._number("np.asarray()", f"to index an array by it: graphc.constant(a)[{name}]")
        self._number("np.asarray()", "use the value as it is, or np.stack to make one of several")

    def item(self, *args: Any) -> NoReturn:
        """Refused: a value has no number yet."""
        self._number(".item()", "use the value as it is")

    def tolist(self) -> NoReturn:
        """Refused: a value has no number yet."""
        self._number(".tolist()", "iterate over the value")

    def __setitem__(self, key: Any, value: Any) -> None:
        name = spell(self.node)
        raise GraphTypeError(
            located(
                f"item assignment: the symbolic value `{name}` does not change in place; "
                f"use {name} = graphc.at({name})[{_key_text(key)}].set(v)"
            )
        )

    def __delitem__(self, key: Any) -> None:
        self._number("del", "use slices and np.concatenate")

    def __contains__(self, item: Any) -> bool:
        self._number("`in`", "use np.any(x == item)")

    def __getattr__(self, name: str) -> NoReturn:
        # Only what is missing comes here. Names with underscores are protocols being asked for.
        if name.startswith("_"):
            raise AttributeError(name)
        known = [attribute for attribute in dir(Value) if not attribute.startswith("_")]
        text = spell(self.node)
        instead = elsewhere(name, text)
        raise missing_attribute(f"the symbolic value `{text}`", name, known, instead)

    def __format__(self, spec: str) -> str:
        return (
            str(self) if not spec else self._number(f"{spec!r} formatting", "print(graph) shows it")
        )

    def __reduce__(self) -> NoReturn:
        raise GraphTypeError(located("pickle the Graph, not a Value of it"))


def _key_text(key: Any) -> str:
    if isinstance(key, tuple):
        return ", ".join(_key_text(part) for part in key)
    if isinstance(key, slice):
        parts = ["" if part is None else str(part) for part in (key.start, key.stop)]
        return ":".join(parts + ([str(key.step)] if key.step is not None else []))
    if isinstance(key, Symbolic):
        return spell(key.node)
    return "..." if key is Ellipsis or isinstance(key, np.ndarray) else str(key)


def _int_size(size: Size, what: str, instead: str) -> int:
    if isinstance(size, int):
        return size
    raise GraphTypeError(located(f"{what}: the size `{size}` is known only at the call; {instead}"))
