"""SciPy's special functions and more activations, on Values and on plain arrays.

Each is an op of the table, or composed of ops; derivatives follow from their formulas. SciPy is
needed where NumPy lacks the function itself. Its ufuncs (`scipy.special.erfinv(x)`) are traced too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from graphc import nodes
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Node
from graphc.nn import apply, apply_op
from graphc.ops.elementwise import TABLE
from graphc.ops.kinds import ConstantParams, Elementwise


def _public(name: str, op: str = "") -> Callable[..., Any]:
    """The table's op as a function of values and arrays."""
    entry = TABLE[op or name]

    def function(*operands: Any) -> Any:
        if len(operands) != len(entry.args):
            given = f"{len(operands)} operand{'s' if len(operands) != 1 else ''}"
            raise GraphTypeError(located(f"{name}({', '.join(entry.args)}) is given {given}"))
        return apply_op(entry, *operands)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{entry.doc} f({', '.join(entry.args)}) = {entry.formula}, broadcast."
    return function


erfcx = _public("erfcx")
erfinv = _public("erfinv")
erfcinv = _public("erfcinv")
ndtr = _public("ndtr")
log_ndtr = _public("log_ndtr")
ndtri = _public("ndtri")
gamma = _public("gamma")
gammaln = _public("gammaln")
digamma = _public("digamma")
betaln = _public("betaln")
j0 = _public("j0")
j1 = _public("j1")
y0 = _public("y0")
y1 = _public("y1")
i0 = _public("i0")
i1 = _public("i1")
i0e = _public("i0e")
i1e = _public("i1e")
expit = _public("expit", "sigmoid")
log_expit = _public("log_expit", "log_sigmoid")
logit = _public("logit")
xlog1py = _public("xlog1py")
entr = _public("entr")
rel_entr = _public("rel_entr")
selu = _public("selu")
mish = _public("mish")
hard_sigmoid = _public("hard_sigmoid")
hard_tanh = _public("hard_tanh")
hard_swish = _public("hard_swish")


def beta(a: Any, b: Any) -> Any:
    """gamma(a) gamma(b) / gamma(a + b), as exp(betaln(a, b)) with the sign of the gammas.

    At a pole of gamma (a or b is 0, -1, -2, ...) neither the infinity's sign nor a derivative is
    defined; where a + b is one, the value is 0 and the derivative NaN.
    """
    return apply(_beta, a, b)


def _beta(a: Node, b: Node) -> Node:
    size = nodes.elementwise("exp", nodes.elementwise("betaln", a, b))
    for x in (a, b, nodes.add(a, b)):
        sign = _gamma_sign(nodes.cast(x, size.type.dtype))
        size = size if sign is None else nodes.multiply(size, sign)
    return size


def _gamma_sign(x: Node) -> Node | None:
    """The sign of gamma(x): below 0 it changes from one integer to the next. None for 1."""
    if isinstance(x.params, ConstantParams) and np.all(x.params.value > 0):
        return None
    number = partial(nodes.constant, dtype=x.type.dtype)
    odd = nodes.elementwise("remainder", nodes.elementwise("floor", x), number(2))
    below = nodes.elementwise("subtract", number(1), nodes.multiply(number(2), odd))
    negative = nodes.elementwise("less", x, number(0))
    return nodes.elementwise("where", negative, below, number(1))


def polygamma(n: int, x: Any) -> Any:
    """The n-th derivative of `digamma`; n is an int, not negative.

    (-1)**(n + 1) n! zeta(n + 1, x) by Hurwitz's zeta function (DLMF 25.11.12).
    Raises GraphTypeError for an order that is no int, GraphValueError for a negative one.
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer):
        raise GraphTypeError(located(f"polygamma: the order is an int, got {n!r}"))
    if n < 0:
        raise GraphValueError(located(f"polygamma: the order is {n}; it is 0 or more"))
    return apply_op(_polygamma(int(n)), x)


def _polygamma(n: int) -> Elementwise:
    if n < 2:
        return TABLE["trigamma" if n else "digamma"]
    scale = (-1) ** (n + 1) * math.factorial(n)
    shown = scale if abs(scale) < 2**53 else float(scale)
    return Elementwise(f"polygamma_{n}", ("x",), f"{shown} * zeta({n + 1}, x)", result="float")


def leaky_relu(x: Any, slope: Any = 0.01) -> Any:
    """x where positive, slope * x elsewhere."""
    return apply_op(TABLE["leaky_relu"], x, slope)


def huber(x: Any, delta: Any = 1.0) -> Any:
    """x**2 / 2 for |x| <= delta, delta * (|x| - delta / 2) beyond."""
    return apply_op(TABLE["huber"], x, delta)


def trigamma(x: Any) -> Any:
    """The derivative of `digamma`."""
    return apply_op(TABLE["trigamma"], x)


__all__ = [
    "beta",
    "betaln",
    "digamma",
    "entr",
    "erfcinv",
    "erfcx",
    "erfinv",
    "expit",
    "gamma",
    "gammaln",
    "hard_sigmoid",
    "hard_swish",
    "hard_tanh",
    "huber",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "j0",
    "j1",
    "leaky_relu",
    "log_expit",
    "log_ndtr",
    "logit",
    "mish",
    "ndtr",
    "ndtri",
    "polygamma",
    "rel_entr",
    "selu",
    "trigamma",
    "xlog1py",
    "y0",
    "y1",
]
