"""Transformations beyond the gradient, graph to graph, all by the reverse pass alone.

    jvp(g)        inputs of g, and a tangent `t_<argument>` each argument -> the outputs' tangents
    hvp(g)        inputs of g, and a vector `v_<argument>` each argument -> Hessian times vector
    jacobian(g)   inputs of g -> the output's derivative by one argument, shape output + argument
    hessian(g)    inputs of g -> the scalar output's second derivative by one argument

    jacobian_structure(g)   whether a Jacobian is zero, diagonal or dense, without forming it

Naive compositions take their stable forms first, as they do in `compile`, unless stable=False.

The vector-Jacobian product is linear in its cotangent u, so its own VJP at the tangent t is the
Jacobian-vector product: d<u J, t>/du = J t. The Hessian times v is the gradient of <gradient, v>.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from codegen.record import record
from graphc import ir, nodes
from graphc.autodiff import (
    Wrt,
    backpropagate,
    grad,
    joint,
    model,
    resolve_wrt,
    scalar_output,
)
from graphc.batching import Unbatched, batched
from graphc.deltas import delta, on_diagonal, simplified
from graphc.errors import GraphValueError, located
from graphc.freeze import freeze
from graphc.graph import Graph
from graphc.ir import Container, Node, leaves, renamed
from graphc.naming import unknown_name, unused
from graphc.ops.kinds import Elementwise, InputParams
from graphc.order import reachable
from graphc.rewrite import simplify
from graphc.subjects import graph_of
from graphc.types import ArrayType, Shape, Size, array_type, size_text

# As many rows as may each take a reverse pass of its own.
MAX_ROWS = 4096


def jvp(graph: ir.Graph, wrt: Wrt = None, of: str | None = None, stable: bool = True) -> Graph:
    """The graph (inputs, t_<argument> ...) -> the tangent `t_<output>` of each floating output.

    A tangent has the shape, dtype and structure of its argument. Raises GraphTypeError for an
    integer wrt, GraphNameError for an unknown name.
    """
    graph = model(graph, wrt, stable)
    found = joint(graph, wrt, None if of is None else (of,))
    groups = resolve_wrt(graph, wrt)
    tangents, arguments, inputs = _vectors(graph, groups, "t")
    targets: dict[Node, Node] = {}
    for (_, gradient), tangent in zip(found.gradients, tangents, strict=True):
        targets[gradient] = (
            nodes.add(targets[gradient], tangent) if gradient in targets else tangent
        )
    cotangents = list(found.cotangents.values())
    results = _pulled(targets, cotangents)
    outputs = [
        (f"t_{name}", result) for name, result in zip(found.cotangents, results, strict=True)
    ]
    # Linear in the cotangents, so what is left of them (a test for zero, say) holds for any: ones.
    ones = {node: nodes.full(node.type, 1.0) for node in cotangents}
    settled = _replaced([node for _, node in outputs], ones)
    outputs = [(name, node) for (name, _), node in zip(outputs, settled, strict=True)]
    return freeze(f"jvp_{graph.name}", [*graph.inputs, *inputs], outputs, arguments)


def hvp(graph: ir.Graph, wrt: Wrt = None, of: str | None = None, stable: bool = True) -> Graph:
    """The graph (inputs, v_<argument> ...) -> `hv_<leaf>`, the Hessian of a scalar times a vector.

    The vector has the structure of what is differentiated by, and may couple all of it. Raises
    GraphValueError where the output is no scalar.
    """
    graph = model(graph, wrt, stable)
    name, _ = scalar_output(graph, of, "hvp")
    found = joint(graph, wrt, (name,), 1.0)
    groups = resolve_wrt(graph, wrt)
    vectors, arguments, inputs = _vectors(graph, groups, "v")
    targets: dict[Node, Node] = {}
    for (_, gradient), vector in zip(found.gradients, vectors, strict=True):
        targets[gradient] = nodes.add(targets[gradient], vector) if gradient in targets else vector
    variables = [node for _, group in groups for node in group]
    results = _pulled(targets, variables)
    outputs = [(f"hv_{node.name}", result) for node, result in zip(variables, results, strict=True)]
    return freeze(f"hvp_{graph.name}", [*graph.inputs, *inputs], outputs, arguments)


def jacobian(graph: ir.Graph, wrt: Wrt = None, of: str | None = None, stable: bool = True) -> Graph:
    """The graph of d output / d argument, `J`: shape of the output, then shape of the argument.

    One pass computes all of it, in closed form where index notation has one: forward where the
    argument is known to be smaller than the output, else reverse. A diagonal Jacobian takes one
    vector's work. wrt: one array; it may be left out where there is one. Where a pass knows no many
    at once (through a user's primitive) each element of the output takes a pass of its own; its
    sizes must then be numbers. Raises GraphValueError where they are not, or it is too large.
    """
    graph = model(graph, wrt, stable)
    made = _jacobian(graph, wrt, of)
    return _plain(f"jacobian_{graph.name}", graph, ("J", made))


def hessian(graph: ir.Graph, wrt: Wrt = None, of: str | None = None, stable: bool = True) -> Graph:
    """The graph of the second derivative of a scalar by one array, `H`: its shape, twice.

    Raises what `grad` and `jacobian` raise.
    """
    graph = graph_of(graph, "hessian")
    _one_by_one(graph, wrt, of, "hessian")
    gradient = model(grad(graph, wrt, of, stable), _single_name(graph, wrt), stable)
    made = _jacobian(gradient, _single_name(graph, wrt), None)
    return _plain(f"hessian_{graph.name}", gradient, ("H", made))


def _plain(name: str, of: ir.Graph, output: tuple[str, Node]) -> Graph:
    """A graph of one output, simplified: it is printed to be read, as a formula in closed form."""
    found = simplify(freeze(name, of.inputs, [output], of.arguments))
    assert isinstance(found, Graph)
    return found


def _jacobian(graph: ir.Graph, wrt: Wrt, of: str | None) -> Node:
    name, output, variable = _one_by_one(graph, wrt, of, "jacobian")
    structure = jacobian_structure(graph, wrt, of)
    shape = (*output.type.shape, *variable.type.shape)
    if structure.kind == "zero":
        return nodes.zeros(array_type(variable.type.dtype, shape))
    if structure.kind == "diagonal":
        (_, diagonal), *_ = joint(graph, wrt, (name,), 1.0).gradients
        return on_diagonal(diagonal)
    try:
        return _at_once(output, variable)
    except Unbatched:
        return _by_rows(output, variable, shape)


# -- structure -------------------------------------------------------------------------------------


@record
class Structure:
    """What is known of a Jacobian without forming it.

    kind: "zero", "diagonal" (output and argument have one shape, and an element depends on the
        element at its own place alone) or "dense" (nothing is known).
    rows, columns: the elements of the output and of the argument.
    """

    kind: str
    rows: Size
    columns: Size

    @property
    def nonzeros(self) -> Size:
        """How many entries may differ from zero."""
        if self.kind == "zero":
            return 0
        return self.rows if self.kind == "diagonal" else self.rows * self.columns

    def __str__(self) -> str:
        rows, columns = size_text(self.rows), size_text(self.columns)
        return f"{rows} x {columns}, {self.kind}: {size_text(self.nonzeros)} entries"


def jacobian_structure(graph: ir.Graph, wrt: Wrt = None, of: str | None = None) -> Structure:
    """The structure of d output / d argument, by one walk over the graph; nothing is computed.

    >>> print(jacobian_structure(trace(lambda x: np.maximum(0, x), "f64[4096]")))
    4096 x 4096, diagonal: 4096 entries
    """
    graph = graph_of(graph, "jacobian_structure")
    _, output, variable = _one_by_one(graph, wrt, of, "jacobian_structure")
    kinds: dict[Node, str] = {variable: "diagonal"}
    for node in graph.nodes:
        if node is variable:
            continue
        kind = _kind(node, variable.type, kinds)
        if kind != "zero":
            kinds[node] = kind
    return Structure(kinds.get(output, "zero"), output.type.size, variable.type.size)


def _kind(node: Node, variable: ArrayType, kinds: Mapping[Node, str]) -> str:
    """How a node depends on the variable, given how its operands do."""
    moved = [operand for operand in node.inputs if operand in kinds]
    if isinstance(node.op, Elementwise):
        # A condition chooses, and carries no derivative; neither does a step function.
        moved = [x for x in node.inputs[node.op.condition :] if x in kinds]
        if not node.op.differentiable:
            return "zero"
    if not moved or not node.type.floating:
        return "zero"
    if not isinstance(node.op, Elementwise) or node.type.shape != variable.shape:
        return "dense"
    if all(kinds[x] == "diagonal" and x.type.shape == variable.shape for x in moved):
        return "diagonal"
    return "dense"


# -- the parts -------------------------------------------------------------------------------------


def _vectors(
    graph: ir.Graph, groups: Sequence[tuple[str, tuple[Node, ...]]], letter: str
) -> tuple[list[Node], list[tuple[str, Container]], list[Node]]:
    """An input beside each variable: in the variables' order, as arguments, and as inputs."""
    taken = {*graph.named, *(name for name, _ in graph.arguments)}
    containers = dict(graph.arguments)

    def fresh(name: str) -> str:
        name = unused(f"{letter}_{name}", taken)
        taken.add(name)
        return name

    made: list[Node] = []
    arguments = list(graph.arguments)
    for name, group in groups:
        container = containers.get(name, Container("leaf", leaf=name))
        names = leaves(container)
        inputs = [
            nodes.input_(fresh(leaf), node.type, InputParams())
            for leaf, node in zip(names, group, strict=True)
        ]
        made += inputs
        argument = inputs[0].name if container.kind == "leaf" else fresh(name)
        called = dict(zip(names, (node.name for node in inputs), strict=True))
        arguments.append((argument, renamed(container, called)))
    return made, arguments, made


def _pulled(targets: Mapping[Node, Node], variables: Sequence[Node]) -> list[Node]:
    """The cotangents of the variables, zero where no target depends on them."""
    found = backpropagate(reachable([*targets, *variables]), targets, variables)
    return [found[node] if node in found else nodes.zeros(node.type) for node in variables]


def _replaced(roots: Sequence[Node], by: Mapping[Node, Node]) -> list[Node]:
    """The roots, computed from other operands."""
    copies: dict[Node, Node] = dict(by)
    for node in reachable(roots):
        if node in copies:
            continue
        operands = tuple([copies.get(x, x) for x in node.inputs])
        if operands == node.inputs:
            copies[node] = node
        else:
            copies[node] = Node(node.op, operands, node.params, node.type, node.name, node.origin)
    return [copies[node] for node in roots]


def _one_by_one(graph: ir.Graph, wrt: Wrt, of: str | None, what: str) -> tuple[str, Node, Node]:
    """The one output and the one array that a Jacobian is between."""
    outputs = dict(graph.outputs)
    if of is None and len(outputs) > 1:
        raise GraphValueError(
            located(f"{what} is of one output; {graph.name} has {', '.join(outputs)}: pass of=")
        )
    name = graph.outputs[0][0] if of is None else of
    if name not in outputs:
        raise unknown_name(f"of: {graph.name} has no output", name, outputs)
    variables = [node for _, group in resolve_wrt(graph, wrt) for node in group]
    if len(variables) != 1:
        names = ", ".join(node.name for node in variables)
        raise GraphValueError(located(f"{what} is by one array; there are {names}: pass wrt="))
    return name, outputs[name], variables[0]


def _single_name(graph: ir.Graph, wrt: Wrt) -> str:
    (_, (variable, *_)), *_ = resolve_wrt(graph, wrt)
    return variable.name


def _at_once(output: Node, variable: Node) -> Node:
    """All rows of the Jacobian, or all its columns, from the identity in one linear pass."""
    cotangent = nodes.input_("", output.type)
    (pulled,) = _pulled({output: cotangent}, [variable])
    rows, columns = output.type.size, variable.type.size
    if not (isinstance(rows, int) and isinstance(columns, int) and columns < rows):
        lead = output.type.shape
        (made,) = batched([pulled], lead, {cotangent: delta(output.type)})
        return made
    tangent = nodes.input_("", variable.type)
    (pushed,) = _pulled({pulled: tangent}, [cotangent])
    (pushed,) = _replaced([pushed], {cotangent: nodes.full(output.type, 1.0)})
    lead = variable.type.shape
    (made,) = batched([pushed], lead, {tangent: delta(variable.type)})
    ndim = len(lead) + output.type.ndim
    return simplified(nodes.transpose(made, (*range(len(lead), ndim), *range(len(lead)))))


def _by_rows(output: Node, variable: Node, shape: Shape) -> Node:
    """One reverse pass for each element of the output."""
    count = output.type.size
    if not isinstance(count, int) or count > MAX_ROWS:
        raise GraphValueError(
            located(
                f"jacobian: the output is {output.type}, and a primitive takes a reverse pass for "
                f"each of its elements: give sizes as numbers, at most {MAX_ROWS} elements"
            )
        )
    if count == 0:
        return nodes.zeros(array_type(variable.type.dtype, shape))
    flat = nodes.reshape(output, (count,))
    one = nodes.full(array_type(output.type.dtype, (1,)), 1.0)
    rows = []
    for k in range(count):
        element = nodes.slice_(flat, (k,), (1,), (1,))
        (row,) = _pulled({element: one}, [variable])
        rows.append(nodes.reshape(row, (1, variable.type.size)))
    whole = rows[0] if count == 1 else nodes.concatenate(rows, 0)
    return nodes.reshape(whole, shape)
