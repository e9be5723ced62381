"""Reverse-mode differentiation, graph to graph.

    vjp(g)              inputs of g, and a cotangent `d_<output>` each output -> gradients
    grad(g)             inputs of g -> gradients of its one scalar output
    value_and_grad(g)   inputs of g -> outputs of g, then those gradients

The result is a Graph like any other, so the transformations nest. Per kind of op there is one rule;
an elementwise op's local derivatives come from its derivation, a contraction's adjoint from the
exchange of roles between the output and an operand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from codegen.expr import Apply, Expr, Symbol, replace_symbols, symbols
from codegen.program import Broadcast, Diagonal, Reshape, Slice, Transpose
from graphc import formula, nodes
from graphc.derive.lookup import derivation
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.ir import Container, Graph, Node
from graphc.naming import unknown_name
from graphc.ops.elementwise import TABLE
from graphc.ops.kinds import (
    Axes,
    Concatenate,
    Contraction,
    Einstein,
    Elementwise,
    Gather,
    Indexing,
    InputParams,
    Layout,
    Pad,
    Place,
    Primitive,
    PrimitiveCall,
    Reduction,
    Scatter,
)
from graphc.types import DTYPES, Shape, array_type


@dataclass(frozen=True, slots=True)
class Joint:
    """A primal graph together with its backward part, over shared nodes.

    cotangents: the node that stands for each output's cotangent, by output name.
    gradients: (name of what is differentiated by, its gradient), in the order of `wrt`.
    """

    primal: Graph
    cotangents: Mapping[str, Node]
    gradients: tuple[tuple[str, Node], ...]

    @property
    def nodes(self) -> list[Node]:
        """Every node that an output or a gradient needs, operands before users."""
        return reachable(
            [node for _, node in self.primal.outputs] + [node for _, node in self.gradients],
            [*self.primal.inputs, *self.cotangents.values()],
        )


def reachable(outputs: Iterable[Node], keep: Iterable[Node] = ()) -> list[Node]:
    """`keep` and the ancestors of outputs, in the order of creation, which is topological."""
    seen: dict[Node, None] = dict.fromkeys(keep)
    stack = [node for node in outputs if node not in seen]
    seen.update(dict.fromkeys(stack))
    while stack:
        for operand in stack.pop().inputs:
            if operand not in seen:
                seen[operand] = None
                stack.append(operand)
    return sorted(seen, key=lambda node: node.serial)


# -- the reverse pass ------------------------------------------------------------------------------


def backpropagate(
    order: Sequence[Node], targets: Mapping[Node, Node], wrt: Sequence[Node]
) -> dict[Node, Node]:
    """The cotangent of every node between `wrt` and the targets.

    order: the primal nodes, operands before users. targets: nodes with the cotangent they are given.
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


# -- one rule a kind -------------------------------------------------------------------------------

Contributions = Iterable[tuple[Node, Node]]
Rule = Callable[[Node, Node, set[Node], bool], Contributions]


def unbroadcast(d: Node, shape: Shape) -> Node:
    """d summed over the axes along which an operand of `shape` was repeated."""
    have = d.type.shape
    if have == shape:
        return d
    lead = len(have) - len(shape)
    axes = tuple(range(lead)) + tuple(
        lead + k for k, size in enumerate(shape) if size == 1 and have[lead + k] != 1
    )
    return nodes.reshape(nodes.sum_(d, axes), shape)


def _elementwise(node: Node, d: Node, active: set[Node], absorb: bool) -> Contributions:
    op = node.op
    assert isinstance(op, Elementwise)
    if op.condition:
        yield from _where(node, d, active)
        return
    if not op.differentiable:
        return
    if op.name in DTYPES:
        if node.inputs[0].type.floating and node.type.floating:
            yield node.inputs[0], nodes.cast(d, node.inputs[0].type.dtype)
        return
    literal = tuple(operand.op is nodes.CONSTANT for operand in node.inputs)
    partials = derivation(op, literal).partials
    for operand, partial in zip(node.inputs, partials, strict=False):
        if operand not in active or partial is None:
            continue
        yield operand, unbroadcast(_scaled(d, partial, node, absorb), operand.type.shape)


def _scaled(d: Node, partial: Elementwise, node: Node, absorb: bool) -> Node:
    """d times the partial at the node's operands (and output, where the partial is written in it)."""
    if partial.formula == "1":
        return d
    if partial.formula == "-1":
        return nodes.elementwise(TABLE["negative"], d)
    local = apply_partial(partial, node)
    if local.op is nodes.CONSTANT or not absorb:
        return nodes.multiply(d, local)
    return nodes.elementwise(TABLE["absorb"], d, local)


def apply_partial(partial: Elementwise, node: Node) -> Node:
    """The partial's value at the node, in the node's dtype."""
    expr = formula.parse(partial.formula, partial.args)
    if not any(True for _ in symbols(expr)):
        return nodes.constant(_literal(expr), node.type.dtype)
    inputs = (*node.inputs, node) if partial.output else node.inputs
    return nodes.cast(nodes.elementwise(partial, *inputs), node.type.dtype)


def _literal(expr: Expr) -> float:
    from graphc.interpret import scalar

    return scalar(expr)


def _where(node: Node, d: Node, active: set[Node]) -> Contributions:
    condition, chosen, other = node.inputs
    zero = nodes.constant(0, d.type.dtype)
    if chosen in active:
        yield (
            chosen,
            unbroadcast(nodes.elementwise(TABLE["where"], condition, d, zero), chosen.type.shape),
        )
    if other in active:
        yield (
            other,
            unbroadcast(nodes.elementwise(TABLE["where"], condition, zero, d), other.type.shape),
        )


def _contraction(node: Node, d: Node, active: set[Node], absorb: bool) -> Contributions:
    """Exchange of roles: d_a[e_a] += d_y[e_out] * d body / d a, summed over what e_a lacks."""
    params = node.params
    assert isinstance(params, Einstein)
    for k, operand in enumerate(node.inputs):
        if operand not in active:
            continue
        if len(node.inputs) == 1 and _is_plain_sum(params):
            yield operand, _repeated(d, params, operand.type.shape)
            continue
        yield operand, _exchanged(node, params, d, k)


def _is_plain_sum(params: Einstein) -> bool:
    """Whether one operand's axes are summed or permuted, and nothing else: no index is affine, none
    repeats, and none is new in the result or counted without being read."""
    own = [affine.index for affine in params.operands[0]]
    out = [affine.index for affine in params.out]
    distinct = len(set(own)) == len(own) and len(set(out)) == len(out)
    return (
        params.body is None
        and None not in own
        and distinct
        and (set(out) <= set(own) and len(params.extents) == len(own))
    )


def _repeated(d: Node, params: Einstein, shape: Shape) -> Node:
    """The adjoint of a sum (or a permutation): d repeated along the axes that were summed."""
    at_out = {affine.index: k for k, affine in enumerate(params.out)}
    own = [affine.index for affine in params.operands[0]]
    kept = [name for name in own if name in at_out]
    d = nodes.transpose(d, tuple(at_out[name] for name in kept))
    d = nodes.reshape(
        d, tuple(size if name in at_out else 1 for name, size in zip(own, shape, strict=True))
    )
    return nodes.broadcast_to(d, shape)


def _exchanged(node: Node, params: Einstein, d: Node, k: int) -> Node:
    shape = node.inputs[k].type.shape
    others = [j for j in range(len(node.inputs)) if j != k]
    if params.body is None:
        operands = (params.out, *(params.operands[j] for j in others))
        inputs = [d, *(node.inputs[j] for j in others)]
        body = None
    else:
        partial = _body_partial(params.body, len(node.inputs), k)
        if partial is None:
            return nodes.zeros(node.inputs[k].type)
        used = sorted({int(name) for name in symbols(partial)})
        renamed: dict[str, Expr] = {str(j): Symbol(str(at + 1)) for at, j in enumerate(used)}
        body = Apply("multiply", (Symbol("0"), replace_symbols(partial, renamed)))
        operands = (params.out, *(params.operands[j] for j in used))
        inputs = [d, *(node.inputs[j] for j in used)]
    adjoint = Einstein(params.operands[k], operands, params.extents, shape, body)
    return nodes.contraction(Contraction(f"{node.op.name}_adjoint"), adjoint, *inputs)


def _body_partial(body: Expr, arity: int, k: int) -> Expr | None:
    """d body / d operand k, as an expression over the same numbered symbols."""
    args = tuple(f"a{j}" for j in range(arity))
    named: dict[str, Expr] = {str(j): Symbol(name) for j, name in enumerate(args)}
    op = Elementwise("body", args, formula.text(replace_symbols(body, named)))
    partial = derivation(op).partials[k]
    if partial is None:
        return None
    expr = formula.parse(partial.formula, partial.args)
    numbered: dict[str, Expr] = {name: Symbol(str(j)) for j, name in enumerate(args)}
    if partial.output:
        numbered[partial.args[-1]] = body
    return replace_symbols(expr, numbered)


def _reduction(node: Node, d: Node, active: set[Node], absorb: bool) -> Contributions:
    op, params = node.op, node.params
    assert isinstance(op, Reduction)
    assert isinstance(params, Axes)
    x = node.inputs[0]
    if x not in active or not op.differentiable:
        return
    match op.name:
        case "max" | "min":
            yield x, _extremum(node, d, params)
        case "prod":
            yield x, _product(node, d, params)
        case "cumsum":
            axis = params.axes[0]
            yield x, flip(nodes.reduction("cumsum", flip(d, axis), (axis,)), axis)
        case _:
            raise GraphTypeError(
                located(f"{op.name} of {nodes.describe(x)} has no derivative here")
            )


def _kept(node: Node, value: Node, params: Axes) -> Node:
    """A value of the reduction's shape, with the reduced axes back as axes of size 1."""
    shape = node.inputs[0].type.shape
    return nodes.reshape(
        value, tuple(1 if k in params.axes else size for k, size in enumerate(shape))
    )


def _extremum(node: Node, d: Node, params: Axes) -> Node:
    """The minimum-norm element: the cotangent splits evenly among the elements that are extreme."""
    x = node.inputs[0]
    extreme = nodes.elementwise(TABLE["equal"], x, _kept(node, node, params))
    extreme = nodes.cast(extreme, x.type.dtype)
    count = nodes.sum_(extreme, params.axes, keepdims=True)
    share = nodes.elementwise(TABLE["divide"], _kept(node, d, params), count)
    return nodes.multiply(share, extreme)


def _product(node: Node, d: Node, params: Axes) -> Node:
    """d times the product of all other elements, as (product before) * (product after).

    No division: where one element is zero the others' gradients are zero and its own is not.
    """
    x = node.inputs[0]
    shape = x.type.shape
    rest = tuple(k for k in range(len(shape)) if k not in params.axes)
    to_last = rest + params.axes
    flat = nodes.transpose(x, to_last)
    length = array_type("f64", tuple(shape[k] for k in params.axes)).size
    flat = nodes.reshape(flat, (*(shape[k] for k in rest), length))
    axis = len(rest)
    before = _exclusive(flat, axis, length)
    after = flip(_exclusive(flip(flat, axis), axis, length), axis)
    others = nodes.multiply(before, after)
    others = nodes.reshape(others, tuple(shape[k] for k in to_last))
    others = nodes.transpose(others, tuple(to_last.index(k) for k in range(len(shape))))
    return nodes.multiply(_kept(node, d, params), others)


def _exclusive(x: Node, axis: int, length: object) -> Node:
    """Running products of the elements before each one; 1 for the first."""
    shape = x.type.shape
    running = nodes.reduction("cumprod", x, (axis,))
    ndim = len(shape)
    sizes = (*shape[:axis], shape[axis] - 1, *shape[axis + 1 :])
    head = nodes.slice_(running, (0,) * ndim, sizes, (1,) * ndim)
    widths = [(0, 0)] * ndim
    widths[axis] = (1, 0)
    return nodes.pad(head, widths, 1.0)


def flip(x: Node, axis: int) -> Node:
    """x with one axis reversed."""
    shape = x.type.shape
    starts = tuple(size - 1 if k == axis else 0 for k, size in enumerate(shape))
    steps = tuple(-1 if k == axis else 1 for k in range(len(shape)))
    return nodes.slice_(x, starts, shape, steps)


def _layout(node: Node, d: Node, active: set[Node], absorb: bool) -> Contributions:
    """Moving elements: the cotangents move back, and add up where one element went to several places."""
    x = node.inputs[0]
    shape = x.type.shape
    match node.params:
        case Reshape():
            yield x, nodes.reshape(d, shape)
        case Transpose(axes):
            yield x, nodes.transpose(d, tuple(axes.index(k) for k in range(len(axes))))
        case Broadcast():
            yield x, unbroadcast(d, shape)
        case Slice() as region:
            yield x, nodes.place(d, region, shape)
        case Place(region, _):
            yield x, nodes.slice_(d, region.starts, region.sizes, region.steps)
        case Pad(widths, _):
            yield (
                x,
                nodes.slice_(d, tuple(before for before, _ in widths), shape, (1,) * len(shape)),
            )
        case Diagonal(offset, axis1, axis2):
            yield x, _diagonal(d, offset, axis1, axis2, shape)
        case Concatenate(axis):
            start = 0
            for operand in node.inputs:
                own = operand.type.shape
                if operand in active:
                    starts = tuple(start if k == axis else 0 for k in range(len(own)))
                    yield operand, nodes.slice_(d, starts, own, (1,) * len(own))
                start = start + own[axis]
        case params:
            raise AssertionError(f"a layout with params {params}")


def _diagonal(d: Node, offset: int, axis1: int, axis2: int, shape: Shape) -> Node:
    """d on the diagonal of a square, which is placed where the diagonal was read."""
    length = d.type.shape[-1]
    names = [f"i{k}" for k in range(len(shape))]
    names[axis1] = names[axis2] = "d"
    rest = [nodes.index(names[k]) for k in range(len(shape)) if k not in (axis1, axis2)]
    square = tuple(length if k in (axis1, axis2) else size for k, size in enumerate(shape))
    extents = tuple((at.index or "", shape[names.index(at.index or "")]) for at in rest)
    params = Einstein(
        tuple(map(nodes.index, names)),
        ((*rest, nodes.index("d")),),
        (*extents, ("d", length)),
        square,
    )
    onto = nodes.contraction(Contraction("diagonal_adjoint"), params, d)
    starts = [0] * len(shape)
    starts[axis1], starts[axis2] = max(0, -offset), max(0, offset)
    region = Slice(tuple(starts), square, (1,) * len(shape))
    return onto if square == shape else nodes.place(onto, region, shape)


def _gather(node: Node, d: Node, active: set[Node], absorb: bool) -> Contributions:
    """Reading at positions: the cotangents are added at the same positions."""
    x, *indices = node.inputs
    assert isinstance(node.params, Indexing)
    if x in active:
        yield (
            x,
            nodes.scatter(
                nodes.zeros(x.type), d, indices, node.params.axes, "add", node.params.unique
            ),
        )


def _scatter(node: Node, d: Node, active: set[Node], absorb: bool) -> Contributions:
    """Adding at positions: the base's cotangent passes, the value's is read there.

    Setting at positions: the base's cotangent is cleared there.
    """
    base, value, *indices = node.inputs
    params = node.params
    assert isinstance(params, Indexing)
    if base in active:
        if params.mode == "add":
            yield base, d
        else:
            yield (
                base,
                nodes.scatter(d, nodes.constant(0, d.type.dtype), indices, params.axes, "set"),
            )
    if value in active:
        yield value, unbroadcast(nodes.gather(d, indices, params.axes), value.type.shape)


def _primitive(node: Node, d: Node, active: set[Node], absorb: bool) -> Contributions:
    op = node.op
    assert isinstance(op, Primitive)
    assert isinstance(node.params, PrimitiveCall)
    if node.params.part != "forward":
        raise GraphTypeError(
            located(f"{op.name}: the VJP of a primitive cannot be differentiated again")
        )
    if op.backward is None:
        raise GraphTypeError(located(f"{op.name} has no VJP; state one with @{op.name}.vjp"))
    saved = nodes.node(op, (node,), PrimitiveCall("saved"), array_type("opaque", ()))
    for k, operand in enumerate(node.inputs):
        if operand in active:
            yield operand, nodes.node(op, (saved, d), PrimitiveCall("backward", k), operand.type)


RULES: Mapping[type, Rule] = {
    Elementwise: _elementwise,
    Contraction: _contraction,
    Reduction: _reduction,
    Layout: _layout,
    Gather: _gather,
    Scatter: _scatter,
    Primitive: _primitive,
}


# -- what to differentiate, by what ----------------------------------------------------------------

Wrt = str | Sequence[str] | None


def resolve_wrt(graph: Graph, wrt: Wrt) -> list[tuple[str, tuple[Node, ...]]]:
    """What `wrt` names, as (argument or node name, its arrays).

    The default is the declared parameters, else every floating input. Raises GraphNameError for a
    name that is not there and GraphTypeError for one that is not floating.
    """
    by_name = graph.named
    arguments = {name: leaves(container) for name, container in graph.arguments}
    if wrt is None:
        return _default_wrt(graph)
    found: list[tuple[str, tuple[Node, ...]]] = []
    for name in (wrt,) if isinstance(wrt, str) else wrt:
        if name in arguments:
            chosen = tuple(by_name[leaf] for leaf in arguments[name])
        elif name in by_name:
            chosen = (by_name[name],)
        else:
            raise unknown_name(f"wrt: {graph.name} has no value", name, by_name)
        for node in chosen:
            if not node.type.floating:
                raise GraphTypeError(
                    located(
                        f"wrt: {node.name} is {node.type}; only f32 and f64 values are differentiable"
                    )
                )
        found.append((name, chosen))
    return found


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


def leaves(container: Container) -> list[str]:
    """The names at the leaves of a container, in order."""
    if container.kind == "leaf":
        return [container.leaf]
    return [name for item in container.items for name in leaves(item)]


def scalar_output(graph: Graph, of: str | None, what: str) -> tuple[str, Node]:
    """The scalar output that is differentiated; GraphValueError with the fix where there is none."""
    outputs = dict(graph.outputs)
    if of is not None:
        if of not in outputs:
            raise unknown_name(f"of: {graph.name} has no output", of, outputs)
        name, node = of, outputs[of]
    elif len(outputs) == 1:
        name, node = graph.outputs[0]
    else:
        raise GraphValueError(
            located(
                f"{what} needs one scalar output; {graph.name} has {', '.join(outputs)}: pass of="
            )
        )
    if node.type.shape != () or not node.type.floating:
        raise GraphValueError(
            located(
                f"{what} needs one scalar output; {name!r} is {node.type}: reduce it, pass of=, "
                "or use backward with a cotangent"
            )
        )
    return name, node


# -- the transformations ---------------------------------------------------------------------------


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
        label = f"d_{name}"
        while label in taken:
            label += "_"
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


def vjp(graph: Graph, wrt: Wrt = None, of: str | None = None) -> Graph:
    """The graph (inputs, d_<output> ...) -> the cotangent of each of wrt, named `d_<input>`.

    Shapes and dtypes: a cotangent has those of its value. Raises GraphTypeError for an integer wrt.
    """
    return _result(joint(graph, wrt, None if of is None else (of,)), "vjp", with_value=False)


def grad(graph: Graph, wrt: Wrt = None, of: str | None = None) -> Graph:
    """The graph of the gradient of the scalar output by each of wrt, named `d_<input>`."""
    name, _ = scalar_output(graph, of, "grad")
    return _result(joint(graph, wrt, (name,), 1.0), "grad", with_value=False)


def value_and_grad(graph: Graph, wrt: Wrt = None, of: str | None = None) -> Graph:
    """The outputs of the graph, then the gradients of its scalar output by each of wrt."""
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
