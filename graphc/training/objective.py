"""A loss for `scipy.optimize.minimize`: flat vectors in; values, gradients, Hessian products out.

SciPy asks for the value and the gradient at one point in two calls; both come from one evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from graphc import ir
from graphc.autodiff import Wrt, scalar_output
from graphc.compiled import Compiled, compile
from graphc.containers import flatten, unflatten
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.subjects import graph_of
from graphc.training.initialise import parameters_of
from graphc.transforms import hvp
from graphc.types import DTYPES

Array = np.ndarray[Any, Any]


def scipy_objective(
    graph: Any, params: Any, batch: Any = (), *, wrt: Wrt = None, of: str | None = None
) -> Objective:
    """The scalar output of a graph as a function of one f64 vector, the parameters laid end to end.

    graph, wrt, of: as in `train_step`.
    params: a point to begin at, in the structure of `train_step`; it gives the shapes.
    batch: the other arguments, a tuple in order or a dict; they stay.

    >>> objective = graphc.scipy_objective(loss, params, (x, y))
    >>> found = scipy.optimize.minimize(objective.value_and_grad, objective.x0, jac=True)
    >>> found = scipy.optimize.minimize(objective.fun, objective.x0, jac=objective.jac,
    ...                                 hessp=objective.hessp, method="Newton-CG")
    >>> params = objective.params(found.x)

    Raises GraphValueError where the output is no scalar, GraphTypeError where the parameters or the
    batch have another structure than the graph declares.
    """
    return Objective(graph_of(graph, "scipy_objective"), params, batch, wrt, of)


class Objective:
    """fun(x), jac(x), value_and_grad(x), hessp(x, p) for SciPy; x0 the start; params(x) the
    parameters at x."""

    def __init__(self, graph: Any, params: Any, batch: Any, wrt: Wrt, of: str | None) -> None:
        self.parameters = parameters_of(graph, wrt)
        self._graph = graph
        self._of = scalar_output(graph, of, "scipy_objective")[0]
        types = {node.name: node.type for node in graph.inputs}
        given = flatten(self.parameters.container, params, "params")
        self._places: list[tuple[str, slice, tuple[int, ...], np.dtype[Any]]] = []
        end = 0
        for leaf in self.parameters.leaves:
            shape = np.shape(given[leaf])
            begin, end = end, end + int(np.prod(shape))
            dtype = DTYPES[types[leaf].dtype]
            self._places.append((leaf, slice(begin, end), shape, dtype))
        self.size = end
        self.x0 = self._flat(given)
        self._batch = _by_name(graph, self.parameters.arguments, batch)
        names = self.parameters.arguments
        self._compiled = compile(graph, names, self._of)
        self._hvp: Compiled | None = None
        self._at: bytes | None = None
        self._found: tuple[float, Array] = (0.0, self.x0)

    def fun(self, x: Array) -> float:
        """The scalar at x."""
        return self._evaluated(x)[0]

    def jac(self, x: Array) -> Array:
        """The gradient at x, f64[size]; from the same evaluation as `fun`."""
        return self._evaluated(x)[1].copy()

    def value_and_grad(self, x: Array) -> tuple[float, Array]:
        """Both at x, as `jac=True` wants them."""
        value, gradient = self._evaluated(x)
        return value, gradient.copy()

    def hessp(self, x: Array, p: Array) -> Array:
        """The Hessian at x times p, f64[size]; the Hessian is never formed."""
        if self._hvp is None:
            self._hvp = compile(hvp(self._graph, self.parameters.arguments, self._of), ())
        given = [*self._arguments(x), *self.parameters.by_argument(self.params(p)).values()]
        found = self._hvp.value(*given)
        if len(self.parameters.leaves) == 1:
            found = (found,)
        return self._flat(dict(zip(self.parameters.leaves, found, strict=True)))

    def params(self, x: Array) -> Any:
        """The parameters that a vector stands for: fresh arrays of their structure and dtypes."""
        x = np.asarray(x)
        if x.shape != (self.size,):
            raise GraphValueError(
                located(f"the vector has the shape {x.shape}; the parameters fill ({self.size},)")
            )
        values = {
            leaf: x[place].reshape(shape).astype(dtype)[()]
            for leaf, place, shape, dtype in self._places
        }
        return unflatten(self.parameters.container, values)

    def _arguments(self, x: Array) -> list[Any]:
        given = {**self._batch, **self.parameters.by_argument(self.params(x))}
        return [given[name] for name, _ in self._graph.arguments]

    def _evaluated(self, x: Array) -> tuple[float, Array]:
        # SciPy writes new points into the old vector: only its contents tell whether it has moved.
        key = np.asarray(x, np.float64).tobytes()
        if key != self._at:
            value, grads = self._compiled.value_and_grad(*self._arguments(x))
            arrays: dict[str, Any] = {}
            for (name, container), grad in zip(self._trained(), grads, strict=True):
                arrays.update(flatten(container, grad, name))
            self._found = (self._scalar(value), self._flat(arrays))
            self._at = key
        return self._found

    def _trained(self) -> list[tuple[str, Any]]:
        containers = dict(self._graph.arguments)
        return [(name, containers[name]) for name in self.parameters.arguments]

    def _scalar(self, value: Any) -> float:
        return float(flatten(self._graph.result, value)[self._of])

    def _flat(self, values: Mapping[str, Any]) -> Array:
        flat = np.empty(self.size)
        for leaf, place, _, _ in self._places:
            flat[place] = np.ravel(values[leaf])
        return flat


def _by_name(graph: ir.Graph, trained: tuple[str, ...], batch: Any) -> dict[str, Any]:
    names = [name for name, _ in graph.arguments if name not in trained]
    shown = ", ".join(names) or "nothing"
    if isinstance(batch, Mapping):
        if set(batch) != set(names):
            raise GraphTypeError(
                located(f"the batch has the keys {', '.join(batch)}; it should have {shown}")
            )
        return dict(batch)
    if not isinstance(batch, tuple | list) or len(batch) != len(names):
        raise GraphTypeError(located(f"the batch should be a tuple or dict of {shown}"))
    return dict(zip(names, batch, strict=True))
