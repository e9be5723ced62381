"""Which arguments are parameters, in which structure they are held, and their starting values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zlib import crc32

import numpy as np

from codegen.record import record
from graphc import ir
from graphc.autodiff import Wrt, resolve_wrt
from graphc.containers import unflatten
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Container, leaves
from graphc.ops.kinds import InputParams
from graphc.subjects import graph_of
from graphc.training.initialisers import as_initialiser
from graphc.types import DTYPES, substitute


@record
class Parameters:
    """The trained arguments of a graph, and the structure in which a user holds them.

    container: that of the one container argument there is, else a dict by argument.
    """

    arguments: tuple[str, ...]
    container: Container
    leaves: tuple[str, ...]
    bare: bool

    def by_argument(self, params: Any) -> dict[str, Any]:
        """The parameters as keyword arguments of the graph."""
        return {self.arguments[0]: params} if self.bare else dict(params)


def parameters_of(graph: ir.Graph, wrt: Wrt = None) -> Parameters:
    """What is trained: `wrt`, else the declared parameters, else a container argument `params`.

    Raises GraphTypeError where there is none, GraphNameError for a name that is no argument.
    """
    containers = dict(graph.arguments)
    if wrt is None:
        wrt = _declared(graph)
    names = tuple(name for name, _ in resolve_wrt(graph, wrt))
    for name in names:
        if name not in containers:
            raise GraphTypeError(
                located(f"{name!r} is no argument of {graph.name}, so it cannot be trained")
            )
    chosen = [containers[name] for name in names]
    bare = len(names) == 1 and chosen[0].kind != "leaf"
    container = chosen[0] if bare else Container("dict", names, tuple(chosen))
    return Parameters(names, container, tuple(leaves(container)), bare)


def _declared(graph: ir.Graph) -> tuple[str, ...]:
    roles = {
        node.name: node.params.role for node in graph.inputs if isinstance(node.params, InputParams)
    }
    found = tuple(
        name
        for name, container in graph.arguments
        if any(roles[leaf] == "param" for leaf in leaves(container))
    )
    if found:
        return found
    if dict(graph.arguments).get("params", Container("leaf")).kind != "leaf":
        return ("params",)
    names = ", ".join(name for name, _ in graph.arguments)
    raise GraphTypeError(
        located(
            f"{graph.name}({names}) declares no parameters: wrap their types, as "
            "graphc.param('f64[64, 10]'), or name them by wrt="
        )
    )


def init_params(
    graph: Any,
    seed: int = 0,
    sizes: Mapping[str, int] | None = None,
    *,
    default: Any = None,
    wrt: Wrt = None,
) -> Any:
    """Starting values of a graph's parameters, in the structure that `train_step` takes.

    graph: a Graph or a Builder. seed: an integer; a parameter's numbers depend on it, on the
        parameter's name and on its shape, not on what other parameters there are.
    sizes: values of the named sizes in the parameters' types.
    default: the initialiser of parameters that declare none.
    wrt: the arguments that are parameters, as in `train_step`.

    Arrays are fresh, of the declared dtypes and shapes. Raises GraphValueError where a parameter
    has no initialiser, or a size no value.
    """
    graph = graph_of(graph, "init_params")
    parameters = parameters_of(graph, wrt)
    by_name = {node.name: node for node in graph.inputs}
    fallback = as_initialiser(default)
    made: dict[str, Any] = {}
    for leaf in parameters.leaves:
        node = by_name[leaf]
        init = node.params.init if isinstance(node.params, InputParams) else None
        init = init or fallback
        if init is None:
            raise GraphValueError(
                located(
                    f"the parameter {leaf} has no initialiser: declare it as graphc.param("
                    f"'{node.type}', init=graphc.initialisers.he_normal()), or pass default="
                )
            )
        shape = tuple(_number(size, sizes or {}, leaf, str(node.type)) for size in node.type.shape)
        rng = np.random.default_rng([seed, crc32(leaf.encode())])
        value = init(rng, shape, DTYPES[node.type.dtype])
        made[leaf] = value if shape else value[()]
    return unflatten(parameters.container, made)


def _number(size: Any, sizes: Mapping[str, int], leaf: str, type: str) -> int:
    found = substitute(size, dict(sizes))
    if not isinstance(found, int):
        raise GraphValueError(
            located(f"{leaf} is {type}: give the size, as sizes={{'{found}': 64}}")
        )
    return found
