"""A variance written as the mean of squares less the square of the mean; and a covariance alike.

Where the means are large the two terms are nearly equal, and their difference is rounding. It is
not rewritten: a variance may be negative so where np.var is not, and the parts are often wanted for
themselves.
"""

from __future__ import annotations

from codegen.program import Reshape
from graphc.ir import Node
from graphc.ops.kinds import Einstein, SizeParams
from graphc.rewrite.patterns import operands_of, square_of, sum_of
from graphc.rewrite.walk import uniform

_Pair = tuple[Node, Node]


def variance_of_squares(node: Node) -> bool:
    """Whether this is mean(x * x, axes) - mean(x, axes) ** 2."""
    pair = _moments(node)
    return pair is not None and pair[0] is pair[1]


def covariance_of_products(node: Node) -> bool:
    """Whether this is mean(x * y, axes) - mean(x, axes) * mean(y, axes)."""
    pair = _moments(node)
    return pair is not None and pair[0] is not pair[1]


def _moments(node: Node) -> _Pair | None:
    """x and y of mean(x * y, axes) - mean(x, axes) * mean(y, axes)."""
    parts = operands_of(node, "subtract")
    means = None if parts is None else _factors(parts[1])
    if parts is None or means is None or any(parts[0].type != mean.type for mean in means):
        return None
    found = [mean for x in (parts[0], *means) if (mean := _mean(x)) is not None]
    if len(found) < 3 or any(count != found[0][1] for _, count in found):
        return None
    product, *plain = [total for total, _ in found]
    sums = [summed for x in plain if (summed := sum_of(x)) is not None]
    if len(sums) < 2 or sums[0][1] != sums[1][1]:
        return None
    (x, axes), (y, _) = sums
    summed = sum_of(product)
    if summed is None:
        # x @ y of vectors
        params = product.params
        dot = isinstance(params, Einstein) and params.body is None and product.type.shape == ()
        alike = len(product.inputs) == 2 and _same(product.inputs, (x, y))
        return (x, y) if dot and alike and x.type.ndim == 1 else None
    factors = _factors(summed[0])
    alike = factors is not None and _same(factors, (x, y))
    return (x, y) if summed[1] == axes and alike else None


def _factors(node: Node) -> _Pair | None:
    x = square_of(node)
    return operands_of(node, "multiply") if x is None else (x, x)


def _same(one: tuple[Node, ...], other: _Pair) -> bool:
    """Whether two products have the same factors."""
    return one in (other, other[::-1])


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
