"""Large index formulas on plain arrays, by the code that is emitted for them.

The definition, summed term by term, takes minutes where a matrix product takes milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from graphc import nodes
from graphc.ir import Node
from graphc.ops.kinds import Contraction, Einstein
from graphc.scalars import known
from graphc.summation import einstein
from graphc.types import Size, array_type

Array = npt.NDArray[Any]
# Below so many terms the definition itself is faster than a look for its code.
_LARGE = 1 << 15


def contract(node: Node, args: Sequence[Array], sizes: Mapping[str, Size]) -> Array:
    """The value of a contraction's node at arrays."""
    params = node.params
    assert isinstance(params, Einstein)
    assert isinstance(node.op, Contraction)
    extents = tuple((name, known(size, sizes)) for name, size in params.extents)
    if math.prod(size for _, size in extents) < _LARGE:
        return einstein(params, args, sizes)
    shape = tuple(known(size, sizes) for size in params.shape)
    fixed = Einstein(params.out, params.operands, extents, shape, params.body)
    given = tuple((x.type.dtype, arg.shape) for x, arg in zip(node.inputs, args, strict=True))
    result: Array = _function(node.op, fixed, given)(*args)
    return result


@lru_cache(maxsize=128)
def _function(
    op: Contraction, params: Einstein, given: tuple[tuple[str, tuple[int, ...]], ...]
) -> Callable[..., Any]:
    """The formula at arrays of these dtypes and shapes, as a function."""
    from codegen import generate, load
    from codegen.program import Function, Leaf, Param, Program, Var
    from graphc.lower import Body, Constants

    inputs = [
        nodes.input_(f"x{k}", array_type(dtype, shape)) for k, (dtype, shape) in enumerate(given)
    ]
    node = nodes.contraction(op, params, *inputs)
    arguments = {x: Var(x.name, x.type, True) for x in inputs}
    constants = Constants()
    body = Body(arguments, constants, {}, {}, {})
    body.lower([*inputs, node], [node])
    params_ = tuple(Param(x.name, Leaf(arguments[x])) for x in inputs)
    function = Function("value", "", params_, tuple(body.statements), Leaf(body.var(node)))
    module = load(generate(Program(op.name, "", (function,), constants.all)))
    found: Callable[..., Any] = module.value
    return lambda *args: np.asarray(found(*args))
