"""Reverse-mode differentiation, graph to graph.

    vjp(g)              inputs of g, and a cotangent `d_<output>` each output -> gradients
    grad(g)             inputs of g -> gradients of its one scalar output
    value_and_grad(g)   inputs of g -> outputs of g, then those gradients

The result is a Graph like any other, so the transformations nest. Per kind of op there is one rule;
an elementwise op's local derivatives come from its derivation, a contraction's adjoint from the
exchange of roles between the output and an operand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codegen.record import record
from graphc import nodes
from graphc.adjoints import RULES
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Container, Graph, Node, leaves
from graphc.naming import unknown_name, unused
from graphc.ops.kinds import Elementwise, InputParams
from graphc.subjects import graph_of


@record
class Joint:
    """A primal graph together with its backward part, over shared nodes.

    cotangents: the node that stands for each output's cotangent, by output name.
    gradients: (name of what is differentiated by, its gradient), in the order of `wrt`.
    """

    primal: Graph
    cotangents: Mapping[str, Node]
    gradients: tuple[tuple[str, Node], ...]


# -- the reverse pass ------------------------------------------------------------------------------


def backpropagate(
    order: Sequence[Node], targets: Mapping[Node, Node], wrt: Sequence[Node]
) -> dict[Node, Node]:
    """The cotangent of every node between `wrt` and the targets.

    order: the primal nodes, operands before users. targets: nodes with their given cotangents.
    A node that no target depends on has no entry: its gradient is zero.
    """
    active = _active(order, wrt)
    absorbing = _reached_only_through_where(order, targets, active)
    contributions: dict[Node, list[Node]] = {node: [seed] for node, seed in targets.items()}
    cotangents: dict[Node, Node] = {}
    outer = nodes.origin.get()
    for node in reversed(order):
        parts = contributions.pop(node, None)
        if parts is None or node not in active:
            continue
        nodes.origin.set(node.origin)
        d_node = parts[0]
        for part in parts[1:]:
            d_node = nodes.add(d_node, part)
        _name_cotangent(d_node, node)
        cotangents[node] = d_node
        rule = RULES.get(type(node.op))
        if rule is None:
            continue
        for operand, part in rule(node, d_node, active, node in absorbing):
            contributions.setdefault(operand, []).append(part)
    nodes.origin.set(outer)
    return cotangents


def _name_cotangent(d_node: Node, primal: Node) -> None:
    """`d_h` for the cotangent of `h`: what the lectures write on the wire."""
    if primal.name and not d_node.name and d_node.op is not nodes.CONSTANT:
        d_node.name = f"d_{primal.name}"


def _active(order: Sequence[Node], wrt: Sequence[Node]) -> set[Node]:
    """The nodes whose value depends on one of wrt, by floating values."""
    active = set(wrt)
    for node in order:
        if node.type.dtype in ("f32", "f64") and any(operand in active for operand in node.inputs):
            active.add(node)
    return active


def _reached_only_through_where(
    order: Sequence[Node], targets: Mapping[Node, Node], active: set[Node]
) -> set[Node]:
    """The nodes that reach a target only as a branch of a `where`.

    There the cotangent is an exact zero wherever the branch was not chosen, and a local derivative
    that is infinite or undefined at such a place must not turn it into NaN.
    """
    open_: set[Node] = set(targets)
    inside: set[Node] = set()
    for node in reversed(order):
        if node not in active or (node not in open_ and node not in inside):
            continue
        is_where = isinstance(node.op, Elementwise) and node.op.condition > 0
        (inside if is_where or node not in open_ else open_).update(node.inputs)
    return inside - open_


# -- what to differentiate, by what ----------------------------------------------------------------

Wrt = str | Sequence[str] | None


def resolve_wrt(graph: Graph, wrt: Wrt) -> list[tuple[str, tuple[Node, ...]]]:
    """What `wrt` names, as (argument or node name, its arrays).

    The default is the declared parameters, else every floating input. Raises GraphNameError for a
    name that is not there, GraphTypeError for one that is not floating, GraphValueError for one
    that is there twice.
    """
    by_name = graph.named
    arguments = {name: leaves(container) for name, container in graph.arguments}
    if wrt is None:
        return _default_wrt(graph)
    found: dict[str, tuple[Node, ...]] = {}
    for name in (wrt,) if isinstance(wrt, str) else wrt:
        if name in found:
            raise GraphValueError(located(f"wrt: {name!r} is named twice"))
        if name in arguments:
            chosen = tuple(by_name[leaf] for leaf in arguments[name])
        elif name in by_name:
            chosen = (by_name[name],)
        else:
            raise unknown_name(f"wrt: {graph.name} has no value", name, by_name, "values")
        for node in chosen:
            if not node.type.floating:
                raise GraphTypeError(
                    located(f"wrt: {node.name} is {node.type}; only f32 and f64 are differentiable")
                )
        found[name] = chosen
    return list(found.items())


def _default_wrt(graph: Graph) -> list[tuple[str, tuple[Node, ...]]]:
    by_name = graph.named
    groups = [
        (name, tuple(by_name[leaf] for leaf in leaves(container)))
        for name, container in graph.arguments
    ]
    declared = [
        (name, group)
        for name, group in groups
        if any(
            isinstance(node.params, InputParams) and node.params.role == "param" for node in group
        )
    ]
    found = declared or [
        (name, group) for name, group in groups if group and all(n.type.floating for n in group)
    ]
    if not found:
        raise GraphTypeError(located(f"{graph.name} has no floating input to differentiate by"))
    return found


def _is_scalar(node: Node) -> bool:
    return node.type.shape == () and node.type.floating


def scalar_output(graph: Graph, of: str | None, what: str) -> tuple[str, Node]:
    """The scalar output to differentiate; GraphValueError with the fix where there is none."""
    outputs = dict(graph.outputs)
    if of is not None:
        if of not in outputs:
            raise unknown_name(f"of: {graph.name} has no output", of, outputs, "outputs")
        name, node = of, outputs[of]
    elif len(outputs) == 1:
        name, node = graph.outputs[0]
    elif all(_is_scalar(node) for node in outputs.values()):
        raise GraphValueError(
            located(
                f"{what} needs one scalar output; {graph.name} has {', '.join(outputs)}: "
                f'pass of="{next(iter(outputs))}", or use backward with cotangents'
            )
        )
    else:
        name, node = next(item for item in graph.outputs if not _is_scalar(item[1]))
    if not _is_scalar(node):
        scalars = [name for name, node in graph.outputs if _is_scalar(node)]
        choose = f'pass of="{scalars[0]}", ' if scalars else ""
        raise GraphValueError(
            located(
                f"{what} needs one scalar output; {name!r} is {node.type}: reduce it, {choose}"
                "or use backward with a cotangent"
            )
        )
    return name, node


# -- the transformations ---------------------------------------------------------------------------


def model(graph: Graph, wrt: Wrt, stable: bool) -> Graph:
    """What is differentiated: the graph with naive compositions in their stable forms, unless
    `stable` is False. Of log(sigmoid(x)) as it is written the derivative at -800 is NaN."""
    graph = graph_of(graph, "a transformation")
    if not stable:
        return graph
    from graphc.rewrite.stabilise import stabilise

    keep = [node.name for _, group in resolve_wrt(graph, wrt) for node in group]
    return stabilise(graph, keep=keep)


def joint(
    graph: Graph, wrt: Wrt, outputs: Sequence[str] | None = None, seed: float | None = None
) -> Joint:
    """The primal graph with its backward part, for cotangents of the named floating outputs.

    seed None makes each cotangent an input `d_<output>`; a number makes it that constant.
    """
    chosen = [(name, node) for name, node in graph.outputs if outputs is None or name in outputs]
    chosen = [(name, node) for name, node in chosen if node.type.floating]
    groups = resolve_wrt(graph, wrt)
    targets: dict[Node, Node] = {}
    cotangents: dict[str, Node] = {}
    taken = set(graph.named)
    for name, node in chosen:
        label = unused(f"d_{name}", taken)
        if seed is None:
            cotangent = nodes.input_(label, node.type, InputParams("cotangent"))
        else:
            cotangent = nodes.full(node.type, seed)
        cotangents[name] = cotangent
        targets[node] = nodes.add(targets[node], cotangent) if node in targets else cotangent
    variables = [node for _, group in groups for node in group]
    found = backpropagate(graph.nodes, targets, variables)
    gradients = tuple(
        (_leaf_name(name, node), found[node] if node in found else nodes.zeros(node.type))
        for name, group in groups
        for node in group
    )
    return Joint(graph, cotangents, gradients)


def _leaf_name(name: str, node: Node) -> str:
    return node.name or name


def vjp(graph: Graph, wrt: Wrt = None, of: str | None = None, stable: bool = True) -> Graph:
    """The graph (inputs, d_<output> ...) -> the cotangent of each of wrt, named `d_<input>`.

    Shapes and dtypes: a cotangent has those of its value. Raises GraphTypeError for an integer wrt.
    """
    graph = model(graph, wrt, stable)
    return _result(joint(graph, wrt, None if of is None else (of,)), "vjp", with_value=False)


def grad(graph: Graph, wrt: Wrt = None, of: str | None = None, stable: bool = True) -> Graph:
    """The graph of the gradient of the scalar output by each of wrt, named `d_<input>`.

    A gradient has the shape and the dtype of its input. Raises GraphTypeError for an integer wrt,
    GraphValueError where the output is no scalar.

    >>> cube = graphc.trace(lambda x: x**3, "f64")
    >>> print(graphc.grad(graphc.grad(cube))(2.0))
    12.0
    """
    graph = model(graph, wrt, stable)
    name, _ = scalar_output(graph, of, "grad")
    return _result(joint(graph, wrt, (name,), 1.0), "grad", with_value=False)


def value_and_grad(
    graph: Graph, wrt: Wrt = None, of: str | None = None, stable: bool = True
) -> Graph:
    """The outputs of the graph, then the gradients of its scalar output by each of wrt."""
    graph = model(graph, wrt, stable)
    name, _ = scalar_output(graph, of, "value_and_grad")
    return _result(joint(graph, wrt, (name,), 1.0), "value_and_grad", with_value=True)


def _result(found: Joint, what: str, with_value: bool) -> Graph:
    from graphc.freeze import freeze

    primal = found.primal
    outputs = list(primal.outputs) if with_value else []
    outputs += [(f"d_{name}", node) for name, node in found.gradients]
    extra = [node for node in found.cotangents.values() if node.op is nodes.INPUT]
    arguments = [
        *primal.arguments,
        *((node.name, Container("leaf", leaf=node.name)) for node in extra),
    ]
    return freeze(f"{what}_{primal.name}", [*primal.inputs, *extra], outputs, arguments)
