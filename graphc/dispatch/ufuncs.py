"""NumPy's ufuncs on graphc's values: `np.exp(x)` comes here through `__array_ufunc__`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from graphc import nodes
from graphc.dispatch.contractions import matvec, vecdot, vecmat
from graphc.dispatch.options import axes_of, dtype_of, flag, one_axis, refuse, typed
from graphc.dispatch.reductions import logsumexp_node
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.lifting import is_weak, lift, lift_all
from graphc.ops.elementwise import TABLE
from graphc.types import FLOATING

# Ufuncs whose NumPy name is not the op's.
_RENAMED = {
    "degrees": "rad2deg",
    "radians": "deg2rad",
    "rad2deg": "rad2deg",
    "deg2rad": "deg2rad",
    # SciPy's
    "expit": "sigmoid",
    "log_expit": "log_sigmoid",
    "psi": "digamma",
}
_BITWISE = {
    "bitwise_and": "logical_and",
    "bitwise_or": "logical_or",
    "bitwise_xor": "logical_xor",
    "invert": "logical_not",
}
_REDUCE: dict[str, Callable[..., Any]] = {
    "add": np.sum,
    "multiply": np.prod,
    "maximum": np.max,
    "minimum": np.min,
    "logical_and": np.all,
    "logical_or": np.any,
}
_ACCUMULATE: dict[str, Callable[..., Any]] = {"add": np.cumsum, "multiply": np.cumprod}
_EXTREME_SO_FAR = {"maximum": "cummax", "minimum": "cummin"}
_IN_PLACE = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "power": "**",
    "floor_divide": "//",
    "remainder": "%",
    "matmul": "@",
}


def call(ufunc: np.ufunc, method: str, inputs: Sequence[Any], options: Mapping[str, Any]) -> Any:
    """The nodes of a ufunc's call: one, or a tuple of them.

    Raises GraphTypeError for a ufunc, a method or an option that is not traced.
    """
    name = ufunc.__name__
    if method != "__call__":
        return _method(ufunc, method, inputs, options)
    dtype = _checked_options(name, options)
    if dtype is not None:
        inputs = [nodes.cast(x, dtype) for x in lift_all(inputs)]
    special = _SPECIAL.get(name)
    if special is not None:
        return special(*inputs)
    op = TABLE.get(_RENAMED.get(name, name))
    if op is None or op.condition:
        raise GraphTypeError(
            located(
                f"{_spelled(ufunc)} is not traced by graphc; "
                "compose it of functions that are traced"
            )
        )
    if name == "power":
        _check_power(inputs)
    operands = lift_all(inputs)
    if name.startswith("logical_"):
        operands = tuple(truth(x) for x in operands)
    return nodes.elementwise(op, *operands)


def _spelled(ufunc: np.ufunc) -> str:
    name = ufunc.__name__
    return f"np.{name}" if getattr(np, name, None) is ufunc else name


def truth(x: Node) -> Node:
    """Whether x is not zero."""
    return x if x.type.dtype == "bool" else nodes.cast(x, "bool")


def _checked_options(name: str, options: Mapping[str, Any]) -> str | None:
    for option, value in options.items():
        if option == "out":
            symbol = _IN_PLACE.get(name)
            fix = f"`a {symbol}= x` writes into an array; write a = a {symbol} x" if symbol else ""
            raise GraphTypeError(
                located(f"np.{name}: `out=` is not supported; {fix or 'use the result'}")
            )
        if option == "where" and value is not True:
            raise GraphTypeError(
                located(f"np.{name}: `where=` is not supported; use np.where on the result")
            )
        if option not in ("dtype", "where", "casting", "order", "subok"):
            raise GraphTypeError(located(f"np.{name}: `{option}=` is not supported; leave it out"))
    dtype = options.get("dtype")
    return None if dtype is None else dtype_of(dtype)


def _check_power(inputs: Sequence[Any]) -> None:
    base, exponent = inputs
    if is_weak(base) or not is_weak(exponent) or not isinstance(exponent, int) or exponent >= 0:
        return
    if lift(base).type.dtype not in FLOATING:
        raise GraphValueError(
            located(
                f"power: {nodes.describe(lift(base))} ** {exponent}: integers have no negative "
                "powers; convert with .astype('f64')"
            )
        )


def _method(ufunc: np.ufunc, method: str, inputs: Sequence[Any], options: Mapping[str, Any]) -> Any:
    from graphc import dispatch

    name = ufunc.__name__
    given = dict(options)
    if method == "reduce" and name in _REDUCE:
        given.setdefault("axis", 0)
        return dispatch.call(_REDUCE[name], inputs, given)
    if method == "reduce" and name == "logaddexp":
        return _log_of_sum(*inputs, **given)
    if method == "accumulate" and name in _ACCUMULATE:
        given.setdefault("axis", 0)
        return dispatch.call(_ACCUMULATE[name], inputs, given)
    if method == "accumulate" and name in _EXTREME_SO_FAR:
        return _so_far(name, *inputs, **given)
    if method == "outer" and ufunc.nin == 2:
        a, b = lift_all(inputs)
        shape = (*a.type.shape, *(1 for _ in b.type.shape))
        return call(ufunc, "__call__", [_column(a, shape), _held(b)], options)
    fix = {"at": "use graphc.at(x)[i].add(v)"}.get(
        method, "write it with functions that are traced"
    )
    raise GraphTypeError(located(f"np.{name}.{method} is not traced by graphc; {fix}"))


def _log_of_sum(
    array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: Any = False
) -> Node:
    """np.logaddexp.reduce: log(sum(exp(x)))."""
    refuse("np.logaddexp.reduce", out=out)
    x = typed(lift(array), dtype)
    return logsumexp_node(x, axes_of(axis, x, "np.logaddexp.reduce"), flag(keepdims))


def _so_far(name: str, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None) -> Node:
    """np.maximum.accumulate and np.minimum.accumulate."""
    refuse(f"np.{name}.accumulate", out=out)
    x = typed(lift(array), dtype)
    place = one_axis(axis, x.type.ndim, f"np.{name}.accumulate: {nodes.describe(x)}")
    return nodes.reduction(_EXTREME_SO_FAR[name], x, (place,))


def _column(x: Node, shape: Any) -> Any:
    return _held(nodes.reshape(x, shape))


def _held(x: Node) -> Any:
    from graphc.lifting import Symbolic

    return Symbolic(x)


# -- ufuncs that are no single op of the table -----------------------------------------------------


def _positive(x: Any) -> Node:
    return lift(x)


def _reciprocal(x: Any) -> Node:
    node = lift(x)
    if not node.type.floating:
        raise GraphTypeError(
            located(f"np.reciprocal: {nodes.describe(node)}: NumPy's is an integer; use 1 / x")
        )
    return nodes.elementwise("reciprocal", node)


def _fabs(x: Any) -> Node:
    node = lift(x)
    return nodes.elementwise("absolute", node if node.type.floating else nodes.cast(node, "f64"))


def _float_power(a: Any, b: Any) -> Node:
    x, y = lift_all((a, b))
    return nodes.elementwise("power", nodes.cast(x, "f64"), nodes.cast(y, "f64"))


def _divmod(a: Any, b: Any) -> tuple[Node, ...]:
    x, y = lift_all((a, b))
    return nodes.elementwise("floor_divide", x, y), nodes.elementwise("remainder", x, y)


def _modf(x: Any) -> tuple[Node, ...]:
    """The broken and the whole part, each with the sign of x."""
    node = lift(x)
    node = node if node.type.floating else nodes.cast(node, "f64")
    whole = nodes.elementwise("trunc", node)
    # inf - inf is no number, where the broken part of an infinity is 0.
    zero = nodes.constant(0, node.type.dtype)
    broken = nodes.elementwise(
        "where",
        nodes.elementwise("isinf", node),
        zero,
        nodes.elementwise("subtract", node, whole),
    )
    return nodes.elementwise("copysign", broken, node), whole


def _ldexp(x: Any, exponent: Any) -> Node:
    """x * 2**exponent, in two halves, so that neither overflows where the product does not."""
    a, n = lift(x), lift(exponent)
    n = nodes.cast(n, "i64") if n.type.dtype == "bool" else n
    if n.type.dtype not in ("i32", "i64"):
        raise GraphTypeError(
            located(f"np.ldexp: the exponent {nodes.describe(n)} is no integer; use x * np.exp2(n)")
        )
    a = a if a.type.floating else nodes.cast(a, "f64")
    half = nodes.elementwise("floor_divide", n, nodes.constant(2, n.type.dtype))
    for part in (half, nodes.elementwise("subtract", n, half)):
        a = nodes.multiply(a, nodes.elementwise("exp2", nodes.cast(part, a.type.dtype)))
    return a


def _matmul(a: Any, b: Any) -> Node:
    return nodes.matmul(lift(a), lift(b))


def _bitwise(name: str) -> Callable[..., Node]:
    def logic(*inputs: Any) -> Node:
        operands = lift_all(inputs)
        for x in operands:
            if x.type.dtype != "bool":
                raise GraphTypeError(
                    located(f"np.{name}: {nodes.describe(x)} is not bool; bits are not traced")
                )
        return nodes.elementwise(_BITWISE[name], *operands)

    return logic


_SPECIAL: dict[str, Callable[..., Any]] = {
    "reciprocal": _reciprocal,
    "positive": _positive,
    "conjugate": _positive,
    "fabs": _fabs,
    "float_power": _float_power,
    "divmod": _divmod,
    "matmul": _matmul,
    "vecdot": vecdot,
    "matvec": matvec,
    "vecmat": vecmat,
    "modf": _modf,
    "ldexp": _ldexp,
    "huber": lambda delta, r: nodes.elementwise("huber", *lift_all((r, delta))),
    "exp10": lambda x: nodes.elementwise("power", *lift_all((10.0, x))),
    **{name: _bitwise(name) for name in _BITWISE},
}
