"""A graph and its derivative -> the Program: value, forward, backward and value_and_grad.

The cut between forward and backward is made here. What an output needs is computed by `forward`;
what only a gradient needs, by `backward`; between them go the saved values, which `backward` cannot
get more cheaply: a view of a saved value is looked at again, a number is written again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from codegen.names import field_names
from codegen.program import (
    Broadcast,
    Diagonal,
    Entry,
    Function,
    Leaf,
    Param,
    Program,
    Record,
    Reshape,
    Slice,
    Transpose,
    Tree,
    Var,
)
from codegen.program import (
    Node as Place,
)
from codegen.record import record
from graphc import ir, nodes
from graphc.autodiff import Wrt, joint, resolve_wrt, scalar_output
from graphc.callables import name_of, user_callables
from graphc.errors import GraphTypeError
from graphc.extras import scipy_installed
from graphc.ir import Container, Node, leaves
from graphc.lower import Body, Constants
from graphc.matrices import siblings
from graphc.naming import unused
from graphc.notes import notes
from graphc.ops.kinds import Einstein, LinAlgParams, LoopParams, Primitive, PrimitiveCall
from graphc.order import ancestors, in_order, reachable
from graphc.rewrite import settle, stabilise
from graphc.sizing import bare_names, bound_names, constraints, least, names_in, rules_of
from graphc.verify import debugging, verify

_VIEWS = Reshape | Transpose | Broadcast | Slice | Diagonal
# A function of more than this many nodes goes without comments: nobody reads it from end to end.
READ_NODES = 50_000


@record
class Plan:
    """What is differentiated by what.

    primal: the graph in its stable form. groups: (argument or value, the leaves it stands for).
    of: the scalar output that value_and_grad differentiates, or None where there is none.
    """

    graph: ir.Graph
    primal: ir.Graph
    groups: tuple[tuple[str, tuple[str, ...]], ...]
    bare: bool
    of: str | None


def plan(graph: ir.Graph, wrt: Wrt, of: str | None, stable: bool = True) -> Plan:
    """Checks wrt and of against the graph; raises what `compile` raises.

    stable: whether naive compositions are rewritten into their stable forms.
    """
    if of is not None:
        scalar_output(graph, of, "compile")
    scalars = [name for name, node in graph.outputs if node.type.shape == () and node.type.floating]
    if of is None and len(graph.outputs) == 1 and scalars:
        of = scalars[0]
    try:
        groups = tuple(
            (name, tuple(node.name for node in group)) for name, group in resolve_wrt(graph, wrt)
        )
    except GraphTypeError:
        if wrt is not None:
            raise
        groups = ()  # nothing to differentiate by: the value alone can be asked for
    primitives = any(isinstance(node.op, Primitive) for node in graph.nodes)
    if (
        wrt is None
        and primitives
        and _stuck(graph, [name for _, names in groups for name in names])
    ):
        groups = ()
    keep = [name for _, names in groups for name in names]
    primal = stabilise(graph, keep=keep) if stable else graph
    _check(primal)
    return Plan(graph, primal, groups, isinstance(wrt, str), of)


def _stuck(graph: ir.Graph, wrt: Sequence[str]) -> bool:
    """Whether a primitive without a VJP stands between the inputs and an output."""
    by_name = graph.named
    active = {by_name[name] for name in wrt}
    for node in graph.nodes:
        if node.type.floating and any(operand in active for operand in node.inputs):
            if isinstance(node.op, Primitive) and node.op.backward is None:
                return True
            active.add(node)
    return False


def function_names(chosen: Plan) -> tuple[str, ...]:
    """The functions that a graph has: `value`, and where it is differentiable the other three."""
    if not any(names for _, names in chosen.groups):
        return ("value",)
    fused = () if chosen.of is None else ("value_and_grad",)
    return ("value", "forward", "backward", *fused)


def program(chosen: Plan, export: bool = False, only: Sequence[str] = ()) -> Program:
    """The Program of a graph: all its functions, or those named in `only`.

    What one function is does not depend on the others, but for `forward` and `backward`, which come
    together.
    """
    graph, primal = chosen.graph, chosen.primal
    shared = _Shared(chosen, graph, export)
    functions: list[Function] = []
    names = [name for name in function_names(chosen) if not only or name in only]
    if "value" in names:
        functions.append(shared.value(_settled(primal, primal.outputs, shared.done)))
    if "forward" in names or "backward" in names:
        functions += shared.pair(primal)
    if "value_and_grad" in names:
        functions.append(shared.fused(primal))
    return Program(
        graph.name,
        f"Generated by graphc from `{graph.name}`. Do not edit.",
        tuple(functions),
        shared.constants.all,
        tuple(shared.records.values()),
        shared.callables,
    )


def _check(graph: ir.Graph) -> None:
    if debugging():
        verify(graph)


def _settled(
    graph: ir.Graph,
    outputs: Iterable[tuple[str, Node]],
    done: set[Node],
    inputs: Iterable[Node] = (),
) -> ir.Graph:
    """These outputs, simplified for good. done: what `settle` found of the module's functions."""
    outputs, inputs = list(outputs), [*graph.inputs, *inputs]
    order = reachable([*inputs, *(node for _, node in outputs)])
    own = set(graph.inputs)
    extra = [node for node in inputs if node not in own]
    arguments = [
        *graph.arguments,
        *((node.name, Container("leaf", leaf=node.name)) for node in extra),
    ]
    found = settle(ir.Graph(graph.name, inputs, outputs, order, arguments), done)
    _check(found)
    return found


class _Shared:
    """What the functions of one module have in common: constants, records, callables, labels."""

    def __init__(self, chosen: Plan, graph: ir.Graph, export: bool) -> None:
        self.plan = chosen
        self.graph = graph
        self.export = export
        self.constants = Constants()
        # The functions of a module have most of their nodes in common.
        self.done: set[Node] = set()
        self.users = user_callables(graph)
        # An exported module defines the named tuples itself, and calls no primitives.
        self.callables: dict[str, Any] = {} if export else self.users
        self.records: dict[str, Record] = {}
        self.tags: dict[Any, str] = {}
        for at, node in enumerate(graph.nodes):
            self.tags.setdefault(node.origin, str(at))

    # -- the functions ---------------------------------------------------------------------------

    def value(self, graph: ir.Graph) -> Function:
        """The outputs."""
        order = reachable(node for _, node in graph.outputs)
        maker = _Maker(self, graph, order, ())
        maker.body.lower(order, [node for _, node in graph.outputs])
        result = self.outputs(maker, dict(graph.outputs))
        return maker.function("value", f"{self._signature()}.", result)

    def fused(self, primal: ir.Graph) -> Function:
        """The outputs and the gradients of one scalar, as one function."""
        of = self.plan.of
        assert of is not None
        found = joint(primal, [name for name, _ in self.plan.groups], (of,), 1.0)
        outputs = [(f"output {name}", node) for name, node in primal.outputs]
        outputs += [(f"gradient {name}", node) for name, node in found.gradients]
        graph = _settled(primal, outputs, self.done)
        values = {name.partition(" ")[2]: node for name, node in graph.outputs if name[0] == "o"}
        gradients = {name.partition(" ")[2]: node for name, node in graph.outputs if name[0] == "g"}
        forward = ancestors(values.values())
        order = reachable([*values.values(), *gradients.values()])
        backward = {node for node in order if node not in forward}
        maker = _Maker(self, graph, order, values.items(), backward)
        maker.body.lower(order, [*values.values(), *gradients.values()])
        result = Tree("tuple", (), (self.outputs(maker, values), self.gradients(maker, gradients)))
        by = ", ".join(name for name, _ in self.plan.groups)
        doc = f"{self._signature()}, and the gradient of {of} by {by}."
        return maker.function("value_and_grad", doc, result)

    def pair(self, primal: ir.Graph) -> list[Function]:
        """`forward` with what it saves, and `backward` from that and the cotangents."""
        of = self.plan.of
        chosen = None if of is None else (of,)
        found = joint(primal, [name for name, _ in self.plan.groups], chosen)
        outputs = [(f"output {name}", node) for name, node in primal.outputs]
        outputs += [(f"gradient {name}", node) for name, node in found.gradients]
        cotangents = list(found.cotangents.values())
        graph = _settled(primal, outputs, self.done, cotangents)
        values = {name.partition(" ")[2]: node for name, node in graph.outputs if name[0] == "o"}
        gradients = {name.partition(" ")[2]: node for name, node in graph.outputs if name[0] == "g"}
        given = {node.name for node in cotangents}
        seeds = [node for node in graph.inputs if node.name in given]
        inputs = [node for node in graph.inputs if node.name not in given]
        forward_side = _forward_side(values.values(), inputs, gradients.values())
        needed, order = _backward_side(gradients.values(), forward_side, seeds)
        saved = _with_sizes(needed, order, seeds, inputs)

        before = [node for node in reachable([*values.values(), *saved]) if node in forward_side]
        forward = _Maker(self, graph, before, values.items(), inputs=inputs)
        forward.body.lower(before, [*values.values(), *saved])
        kept = [forward.body.var(node) for node in saved]
        result = Tree(
            "tuple", (), (self.outputs(forward, values), Tree("tuple", (), tuple(map(Leaf, kept))))
        )
        doc = f"{self._signature()}, and what backward needs."
        first = forward.function("forward", doc, result, frozenset(kept))

        second = self._backward(graph, saved, seeds, order, gradients)
        return [first, second]

    def _backward(
        self,
        graph: ir.Graph,
        saved: Sequence[Node],
        seeds: Sequence[Node],
        order: Sequence[Node],
        gradients: Mapping[str, Node],
    ) -> Function:
        maker = _Maker(self, graph, order, (), set(order), inputs=seeds, saved=saved)
        maker.body.lower(order, gradients.values())
        result = self.gradients(maker, gradients)
        by = ", ".join(name for name, _ in self.plan.groups)
        doc = f"The cotangents of {by}, from those of the outputs."
        params = [
            Param("saved", Tree("tuple", (), tuple(Leaf(maker.vars[node]) for node in saved)))
        ]
        for node in seeds:
            default = 1.0 if node.type.shape == () and len(seeds) == 1 else None
            params.append(Param(node.name, Leaf(maker.vars[node]), default))
        names = names_in(order, [*gradients.values(), *seeds])
        rules = rules_of([*saved, *seeds], maker.vars, names)
        entry = Entry(rules, trusted=("saved",))
        return Function("backward", doc, tuple(params), tuple(maker.body.statements), result, entry)

    def _signature(self) -> str:
        by_name = self.graph.named
        parts = []
        for name, container in self.graph.arguments:
            found = leaves(container)
            if container.kind == "leaf":
                parts.append(f"{name} {by_name[found[0]].type}")
            else:
                parts.append(f"{name} {container.kind} of {len(found)}")
        results = ", ".join(
            f"{name} {node.type}" if len(self.graph.outputs) > 1 else str(node.type)
            for name, node in self.graph.outputs
        )
        text = f"{self.graph.name}({', '.join(parts)}) -> {results}"
        return text if len(text) <= 160 else f"{self.graph.name} of {len(parts)} arguments"

    # -- results ---------------------------------------------------------------------------------

    def outputs(self, maker: _Maker, values: Mapping[str, Node]) -> Place:
        """The outputs as the graph returns them."""
        parts = {name: Leaf(maker.body.var(node)) for name, node in values.items()}
        return self._tree(self.graph.result, parts)

    def gradients(self, maker: _Maker, found: Mapping[str, Node]) -> Place:
        """The gradients in the structure of what they are the gradients of."""
        containers = dict(self.graph.arguments)
        items: list[Place] = []
        for name, names in self.plan.groups:
            parts = {leaf: Leaf(maker.body.var(found[leaf])) for leaf in names}
            container = containers.get(name)
            items.append(parts[names[0]] if container is None else self._tree(container, parts))
        if self.plan.bare:
            return items[0]
        return self._record("Grads", [name for name, _ in self.plan.groups], items)

    def _record(self, name: str, fields: Sequence[str], items: Sequence[Place]) -> Tree:
        name = unused(name, self.users)  # a user's own class may be called so
        legal = field_names(fields)
        types = tuple(_annotation(item) for item in items)
        self.records[name] = Record(name, legal, types)
        return Tree("record", legal, tuple(items), name)

    def _tree(self, container: Container, parts: Mapping[str, Leaf]) -> Place:
        if container.kind == "leaf":
            return parts[container.leaf]
        items = tuple(self._tree(item, parts) for item in container.items)
        if container.kind == "record":
            return self._record("Outputs", container.keys, items)
        if container.kind != "namedtuple":
            return Tree(container.kind, container.keys, items)  # type: ignore[arg-type]
        name = name_of(self.users, container.cls)
        if self.export:
            self.records.setdefault(
                name, Record(name, tuple(container.keys), tuple(map(_annotation, items)))
            )  # else the result is of the user's own class, so that isinstance holds
        return Tree("record", container.keys, items, name)


def _annotation(item: Place) -> str:
    if isinstance(item, Tree):
        return item.record or item.kind
    type = item.var.type
    if type.shape:
        return "np.ndarray"
    return {"f64": "float", "f32": "np.float32", "i64": "np.int64", "i32": "np.int32"}.get(
        type.dtype, "np.bool_"
    )


class _Maker:
    """One function in the making: its arguments' Vars and its Body."""

    def __init__(
        self,
        shared: _Shared,
        graph: ir.Graph,
        order: Sequence[Node],
        outputs: Iterable[tuple[str, Node]],
        backward: set[Node] | None = None,
        inputs: Sequence[Node] | None = None,
        saved: Sequence[Node] = (),
    ) -> None:
        self.shared = shared
        self.inputs = tuple(graph.inputs if inputs is None else inputs)
        self.vars = {node: Var(node.name, node.type, True) for node in (*self.inputs, *saved)}
        for node in saved:
            if not node.name:
                self.vars[node] = Var("", node.type)
        labels = notes(order, outputs, backward or set()) if len(order) < READ_NODES else {}
        self.body = Body(
            self.vars,
            shared.constants,
            shared.callables,
            labels,
            shared.tags,
            scipy_installed() and not shared.export,  # an exported file needs NumPy alone
        )
        self.graph = graph

    def function(
        self, name: str, doc: str, result: Place, may_alias: frozenset[Var] = frozenset()
    ) -> Function:
        """The function of the graph's own arguments."""
        by_name = {node.name: Leaf(self.vars[node]) for node in self.inputs}
        params = tuple(
            Param(argument, _argument(container, by_name))
            for argument, container in self.shared.graph.arguments
        )
        entry = Entry(
            rules_of(self.inputs, self.vars, None),
            tuple(constraints(self.graph.nodes)),
            # What the declaration reads: a gradient's own steps are made to fit.
            tuple(least(self.shared.graph.nodes)),
        )
        return Function(name, doc, params, tuple(self.body.statements), result, entry, may_alias)


def _argument(container: Container, parts: Mapping[str, Leaf]) -> Place:
    if container.kind == "leaf":
        return parts[container.leaf]
    items = tuple(_argument(item, parts) for item in container.items)
    return Tree(container.kind, container.keys, items)  # type: ignore[arg-type]


# -- the cut ---------------------------------------------------------------------------------------


def _forward_side(
    values: Iterable[Node], inputs: Sequence[Node], gradients: Iterable[Node]
) -> set[Node]:
    """What `forward` computes anyway, what a primitive saves while it does, and the other results
    of a decomposition or of a loop."""
    side = ancestors(values) | set(inputs)
    decomposed = {siblings(node) for node in side if isinstance(node.params, LinAlgParams)}
    looped = {
        (node.params.steps, node.inputs) for node in side if isinstance(node.params, LoopParams)
    }
    several = LinAlgParams | LoopParams | PrimitiveCall
    for node in in_order(node for node in ancestors(gradients) if isinstance(node.params, several)):
        saved = isinstance(node.params, PrimitiveCall) and node.params.part == "saved"
        if saved and node.inputs[0] in side:
            side.add(node)
        if isinstance(node.params, LinAlgParams) and siblings(node) in decomposed:
            side.add(node)
        if isinstance(node.params, LoopParams) and (node.params.steps, node.inputs) in looped:
            side.add(node)
    return side


def _backward_side(
    gradients: Iterable[Node], forward: set[Node], seeds: Sequence[Node]
) -> tuple[list[Node], list[Node]]:
    """What must be saved, and what `backward` computes, both in order."""
    given = set(seeds)
    saved: set[Node] = set()
    computed: set[Node] = set()
    stack = list(gradients)
    while stack:
        node = stack.pop()
        if node in given or node in saved or node in computed:
            continue
        if node in forward and not _cheap(node):
            saved.add(node)
            continue
        computed.add(node)
        stack.extend(node.inputs)
    return in_order(saved), in_order(computed)


def _cheap(node: Node) -> bool:
    """Whether backward gets the value from a saved one without computing: numbers, sizes, views."""
    if node.op is nodes.INPUT:
        return False
    return (
        not node.inputs
        or isinstance(node.params, _VIEWS)
        or (isinstance(node.params, Einstein) and _only_shows(node.params))
    )


def _only_shows(formula: Einstein) -> bool:
    """Whether an index formula computes nothing: the windows of one array."""
    own = {index.index for index in formula.out}
    whole = formula.body is None and len(formula.operands) == 1 and None not in own
    return whole and own == {name for name, _ in formula.extents} and len(own) == len(formula.out)


def _with_sizes(
    saved: list[Node], order: Sequence[Node], seeds: Sequence[Node], inputs: Sequence[Node]
) -> list[Node]:
    """The saved values, and the inputs that alone tell a size which backward needs, if only to
    check a cotangent."""
    names = names_in(order, seeds)
    known = {name for node in (*saved, *seeds) for name in bare_names(node.type)}
    result = list(saved)
    for node in inputs:
        if node in result or not (names - known) & bound_names(node.type):
            continue
        result.append(node)
        known |= bound_names(node.type)
    return result
