"""A variance written as the mean of squares less the square of the mean.

Where the mean is large the two are nearly equal, and their difference is rounding. It is not
rewritten: it may be negative where np.var is not, and its parts are often wanted for themselves.
"""

from __future__ import annotations

from codegen.program import Reshape
from graphc.ir import Node
from graphc.ops.kinds import Einstein, SizeParams
from graphc.rewrite.patterns import operands_of, square_of, sum_of
from graphc.rewrite.walk import uniform


def variance_of_squares(node: Node) -> bool:
    """Whether this is mean(x * x, axes) - mean(x, axes) ** 2."""
    parts = operands_of(node, "subtract")
    mean = None if parts is None else square_of(parts[1])
    if parts is None or mean is None:
        return False
    squares, plain = _mean(parts[0]), _mean(mean)
    if squares is None or plain is None or squares[1] != plain[1]:
        return False
    if parts[0].type != mean.type:
        return False
    total, x = squares[0], sum_of(plain[0])
    if x is None:
        return False
    summed = sum_of(total)
    if summed is not None:
        return summed[1] == x[1] and square_of(summed[0]) is x[0]
    # x @ x of a vector
    params = total.params
    same = isinstance(params, Einstein) and params.body is None and total.inputs == (x[0], x[0])
    return same and x[0].type.ndim == 1 and total.type.shape == ()


def _mean(node: Node) -> tuple[Node, object] | None:
    """(the sum, what it is divided by) of a quotient of a sum and a number."""
    parts = operands_of(node, "divide")
    if parts is None:
        return None
    total, count = parts
    if isinstance(total.params, Reshape):
        total = total.inputs[0]
    number = uniform(count)
    if number is None and isinstance(count.params, SizeParams):
        return total, count.params.size
    return None if number is None else (total, number)
