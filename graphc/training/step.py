"""train_step: a loss, its gradient and an optimizer's update as one compiled function.

    params, state, batch  ──>  new params, new state, value

The step is a graph like any other: the loss, its backward part and the update over shared nodes,
differentiated before it is compiled, so that nothing is computed twice and the update is fused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from codegen.cache import Cache
from graphc import ir, nodes
from graphc.autodiff import Wrt, joint, scalar_output
from graphc.compiled import Compiled, compile
from graphc.containers import flatten, unflatten
from graphc.errors import GraphTypeError, GraphValueError, located, location, user_frame
from graphc.freeze import freeze
from graphc.ir import Container, Node, leaves, renamed
from graphc.lifting import Symbolic
from graphc.naming import unused
from graphc.ops.kinds import InputParams
from graphc.rewrite import stabilise
from graphc.subjects import graph_of
from graphc.training.initialise import Parameters, init_params, parameters_of
from graphc.training.optimizers import Optimizer
from graphc.training.schedules import Schedule
from graphc.types import DTYPES, array_type
from graphc.values import Value

if TYPE_CHECKING:
    from graphc.graph import Graph

_COUNT = "count"


def train_step(
    loss: Any,
    optimizer: Optimizer,
    *,
    wrt: Wrt = None,
    of: str | None = None,
    donate: bool = False,
    sizes: Mapping[str, int] | None = None,
    threads: int = 1,
    cache: Cache | bool = True,
) -> TrainStep:
    """The compiled step `params, state, value = step(params, state, batch)`.

    loss: a Graph or a Builder with one floating scalar output, or several of which `of` names one.
    wrt: the arguments that are trained; by default those declared with `graphc.param` or
        `Builder.param`, else a container argument named `params`. All their leaves are trained.
    donate: the step may write its results into the arrays of `params` and `state` it is given,
        which must not be used afterwards. Else results are fresh arrays.
    sizes, threads, cache: as in `graphc.compile`.

    Where one container argument is trained, `params` is that container; else `params` is a dict of
    the trained arguments by name. `batch` is a tuple of the other arguments in order, a dict of
    them by name, or the array itself where there is one. `state` is made by `step.init(params)`.

    Raises GraphTypeError where the loss has no parameters, GraphValueError where it is no scalar.
    """
    loss = graph_of(loss, "train_step")
    if not isinstance(optimizer, Optimizer):
        raise GraphTypeError(
            located(
                f"train_step: the optimizer is a {type(optimizer).__name__}; "
                "give one of graphc.optimizers, as Adam(1e-3)"
            )
        )
    return TrainStep(loss, optimizer, wrt, of, donate, sizes, threads, cache)


class TrainStep:
    """A compiled training step.

    step(params, state, batch)    (new params, new state, value)
    step.init(params)             the state to begin with
    step.init_params(seed)        parameters to begin with, from their declared initialisers
    step.evaluate(params, batch)  the value alone
    step.graph, step.source       what is computed, and the code that computes it

    state: {"count": steps taken, <slot>: as params, ...}.
    value: what the loss graph returns; a dict of a builder's outputs, where it has several.
    """

    def __init__(
        self,
        loss: Graph,
        optimizer: Optimizer,
        wrt: Wrt,
        of: str | None,
        donate: bool,
        sizes: Mapping[str, int] | None,
        threads: int,
        cache: Cache | bool,
    ) -> None:
        self.loss = loss
        self.optimizer = optimizer
        self.donate = donate
        self.parameters = parameters_of(loss, wrt)
        self.of = scalar_output(loss, of, "train_step")[0]
        self._batch_arguments = tuple(
            (name, container)
            for name, container in loss.arguments
            if name not in self.parameters.arguments
        )
        self.graph = _step_graph(loss, optimizer, self.parameters, self._batch_arguments, self.of)
        self._state = dict(self.graph.arguments)["state"]
        self._value = loss.result
        given = Container("tuple", (), (self.parameters.container, self._state))
        # Loss and gradient are in their stable forms already, and nothing is differentiated again.
        donated = tuple(leaves(given)) if donate else ()
        self.compiled: Compiled = compile(
            self.graph, (), sizes=sizes, threads=threads, cache=cache, stable=False, donate=donated
        )
        self._options: dict[str, Any] = {"sizes": sizes, "threads": threads, "cache": cache}
        self._evaluate: Compiled | None = None

    def __repr__(self) -> str:
        return f"<train step of {self.loss.name} by {self.optimizer}>"

    @property
    def source(self) -> str:
        """The emitted module."""
        return self.compiled.source

    def __call__(self, params: Any, state: Any, batch: Any = ()) -> tuple[Any, Any, Any]:
        """One step: the new parameters, the new state, and the loss at the old parameters.

        Raises GraphTypeError and GraphValueError for arguments that do not fit.
        """
        result: tuple[Any, Any, Any] = self.compiled.value(params, state, self.batch(batch))
        return result

    def init(self, params: Any) -> dict[str, Any]:
        """The state before the first step: no steps taken, every slot at its starting value.

        Raises GraphTypeError where `params` has another structure than the loss declares.
        """
        given = flatten(self.parameters.container, params, "params")
        state: dict[str, Any] = {_COUNT: np.int64(0)}
        types = {node.name: node.type for node in self.loss.inputs}
        for slot, start in self.optimizer.slots.items():
            made = {
                leaf: np.full(np.shape(given[leaf]), start, DTYPES[types[leaf].dtype])
                for leaf in self.parameters.leaves
            }
            state[slot] = unflatten(self.parameters.container, made)
        return state

    def init_params(self, seed: int = 0, sizes: Mapping[str, int] | None = None) -> Any:
        """The parameters to begin with: see `graphc.init_params`."""
        return init_params(self.loss, seed, sizes, wrt=self.parameters.arguments)

    def evaluate(self, params: Any, batch: Any = ()) -> Any:
        """What the loss graph returns, without a step."""
        if self._evaluate is None:
            self._evaluate = compile(self.loss, (), **self._options)
        given = dict(
            zip((name for name, _ in self._batch_arguments), self.batch(batch), strict=True)
        )
        return self._evaluate.value(**given, **self.parameters.by_argument(params))

    def scalar(self, value: Any) -> float:
        """The loss alone, of what a step or `evaluate` returns."""
        return float(flatten(self._value, value)[self.of])

    def batch(self, batch: Any) -> tuple[Any, ...]:
        """A batch as a tuple of the loss's other arguments, in order."""
        if isinstance(batch, tuple) and len(batch) == len(self._batch_arguments):
            return batch
        names = [name for name, _ in self._batch_arguments]
        shown = ", ".join(names) or "nothing"
        if isinstance(batch, Mapping):
            if set(batch) != set(names):
                raise GraphTypeError(
                    located(f"the batch has the keys {', '.join(batch)}; it should have {shown}")
                )
            return tuple([batch[name] for name in names])
        if isinstance(batch, tuple | list):
            if len(batch) != len(names):
                raise GraphTypeError(
                    located(f"the batch has {len(batch)} items; it should have {shown}")
                )
            return tuple(batch)
        if len(names) == 1:
            return (batch,)
        raise GraphTypeError(
            located(f"the batch is a {type(batch).__name__}; give a tuple or dict of {shown}")
        )


# -- the graph -------------------------------------------------------------------------------------


def _step_graph(
    loss: ir.Graph,
    optimizer: Optimizer,
    parameters: Parameters,
    batch: Sequence[tuple[str, Container]],
    of: str,
) -> Graph:
    primal = stabilise(loss, keep=parameters.leaves)
    found = joint(primal, parameters.arguments, (of,), 1.0)
    inputs = {node.name: node for node in primal.inputs}
    weights = [inputs[leaf] for leaf in parameters.leaves]
    gradients = [gradient for _, gradient in found.gradients]
    taken = set(primal.named)

    def input_(name: str, type: Any) -> Node:
        return nodes.input_(_free(name, taken), type, InputParams())

    count = input_(f"state.{_COUNT}", array_type("i64", ()))
    slots = {
        slot: [input_(f"state.{slot}.{node.name}", node.type) for node in weights]
        for slot in optimizer.slots
    }
    with _unnamed(optimizer):
        new_weights, new_slots = _updated(optimizer, weights, gradients, slots, count)
        new_count = nodes.add(count, nodes.constant(1, "i64"))

    kept = {_COUNT: Container("leaf", leaf=count.name)}
    outputs: list[tuple[str, Node]] = []

    def results(container: Container, found: Mapping[str, Node]) -> Container:
        """The container with the new nodes at its leaves."""
        names = {}
        for leaf, node in found.items():
            names[leaf] = _free(f"new_{leaf}", taken)
            outputs.append((names[leaf], node))
        return renamed(container, names)

    of_parameters = dict(zip(parameters.leaves, new_weights, strict=True))
    new_params = results(parameters.container, of_parameters)
    new_kept = {_COUNT: results(kept[_COUNT], {count.name: new_count})}
    for slot, olds in slots.items():
        names = dict(zip(parameters.leaves, (node.name for node in olds), strict=True))
        kept[slot] = renamed(parameters.container, names)
        news = zip((node.name for node in olds), new_slots[slot], strict=True)
        new_kept[slot] = results(kept[slot], dict(news))
    explicit = {node: name for name, node in outputs if node.inputs}
    value = primal.result
    values = dict(primal.outputs)
    named = {leaf: _free(leaf, {name for name, _ in outputs}) for leaf in leaves(value)}
    outputs += [(named[leaf], values[leaf]) for leaf in named]
    state = Container("dict", tuple(kept), tuple(kept.values()))
    new_state = Container("dict", tuple(new_kept), tuple(new_kept.values()))
    arguments = [
        ("params", parameters.container),
        ("state", state),
        ("batch", Container("tuple", (), tuple(container for _, container in batch))),
    ]
    result = Container("tuple", (), (new_params, new_state, renamed(value, named)))
    every = [*primal.inputs, count, *(node for group in slots.values() for node in group)]
    name = f"{loss.name}_step"
    return freeze(name, every, outputs, arguments, result, explicit)


def _updated(
    optimizer: Optimizer,
    weights: Sequence[Node],
    gradients: Sequence[Node],
    slots: Mapping[str, Sequence[Node]],
    count: Node,
) -> tuple[list[Node], dict[str, list[Node]]]:
    """What the rule makes of each parameter and each of its slots."""
    taken = Value(nodes.cast(count, "f64"))
    rate = optimizer.rate(taken) if isinstance(optimizer.rate, Schedule) else optimizer.rate
    number = Value(nodes.cast(nodes.add(count, nodes.constant(1, "i64")), "f64"))
    found: list[Any] = [Value(node) for node in gradients]
    if optimizer.clip is not None:
        found = optimizer.clip(found)
    new_weights: list[Node] = []
    new_slots: dict[str, list[Node]] = {slot: [] for slot in slots}
    for k, (node, g) in enumerate(zip(weights, found, strict=True)):
        w = Value(node)
        if optimizer.weight_decay and not optimizer.decoupled:
            g = g + optimizer.weight_decay * w
        own = {slot: Value(group[k]) for slot, group in slots.items()}
        paced = rate.astype(w.dtype) if isinstance(rate, Value) else rate
        new, kept = optimizer.update(w, g, own, paced, number)
        new_weights.append(_like(optimizer, "the parameter", new, node))
        if set(kept) != set(slots):
            raise GraphValueError(
                located(
                    f"{type(optimizer).__name__}.update returned the slots "
                    f"{', '.join(kept) or 'none'}; declared are {', '.join(slots) or 'none'}"
                )
            )
        for slot in slots:
            new_slots[slot].append(_like(optimizer, slot, kept[slot], node))
    return new_weights, new_slots


def _like(optimizer: Optimizer, what: str, value: Any, old: Node) -> Node:
    """The node of what a rule returned, if it is of the parameter's type."""
    if not isinstance(value, Symbolic) or value.node.type != old.type:
        shown = value.node.type if isinstance(value, Symbolic) else type(value).__name__
        raise GraphTypeError(
            located(
                f"{type(optimizer).__name__}.update made {what} of {old.name} {shown}; "
                f"it should be {old.type}"
            )
        )
    return value.node


@contextmanager
def _unnamed(optimizer: Optimizer) -> Iterator[None]:
    """Our own rules' values take no name from the user's line, which names the step, not them."""
    frame = user_frame()
    if not type(optimizer).__module__.startswith("graphc.") or frame is None:
        yield
        return
    place = f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}"
    outer = nodes.origin.set(ir.Origin(frame.f_code.co_filename, frame.f_lineno))
    token = location.set(place)
    try:
        yield
    finally:
        location.reset(token)
        nodes.origin.reset(outer)


def _free(name: str, taken: set[str]) -> str:
    """The name, changed until nobody has it; it is taken from now on."""
    name = unused(name, taken)
    taken.add(name)
    return name
