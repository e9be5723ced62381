"""What steps do to what they carry on, in fewer calls.

    (x * a + b) * c + x * d             ->      x * (a * c + d) + b * c

where x is carried from step to step, and the others are not: local derivatives, weights, what the
loss adds to a cotangent. What then stands in brackets is computed for all steps at once. A
cotangent is carried on by sums and products alone: where these are by elements, two calls a step
are left. Results are kept to rounding.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from codegen.record import struct
from graphc import nodes
from graphc.ir import Graph, Node
from graphc.ops.kinds import Elementwise, Steps
from graphc.order import reachable
from graphc.rewrite.columns import of_all_steps
from graphc.rewrite.walk import table_name, with_inputs
from graphc.types import FLOATING


@struct
class _Form:
    """The sum of terms, each a value that is carried on times a factor, and the rest.

    A factor of None is one, a rest of None is zero.
    """

    terms: dict[Node, Node | None]
    rest: Node | None = None


def fewer_calls(steps: Steps, inputs: Sequence[Node]) -> tuple[Steps, list[Node]]:
    """The steps and the loop's operands, what no step carries on gathered and computed before the
    loop; the same ones, where that saves nothing."""
    given = steps.body.inputs
    carried = given[steps.rows : steps.rows + len(steps.carried)]
    outputs = [node for _, node in steps.body.outputs]
    best = outputs
    for whole in (True, False):
        found = _Gathering(steps.body, carried, whole).outputs
        if _calls(found, carried) < _calls(best, carried):
            best = found
    if best is outputs:
        return steps, list(inputs)
    return _hoisted(steps, inputs, best)


def _calls(outputs: Sequence[Node], carried: Collection[Node]) -> int:
    """How many nodes of a step need what is carried."""
    return len(_moving(reachable(outputs), carried)) - len(carried)


def _moving(order: Sequence[Node], carried: Collection[Node]) -> set[Node]:
    """The nodes that are computed from what is carried, and that itself."""
    found = set(carried)
    for node in order:
        if any(x in found for x in node.inputs):
            found.add(node)
    return found


class _Gathering:
    """One body, with what is not carried gathered into factors and rests.

    whole: what is needed as a value anyway is a value to all that read it, else a form.
    """

    def __init__(self, body: Graph, carried: Collection[Node], whole: bool) -> None:
        self.moving = _moving(body.nodes, carried)
        self.forms: dict[Node, _Form] = {node: _Form({node: None}) for node in carried}
        self.values: dict[Node, Node] = {node: node for node in carried}
        results = [node for _, node in body.outputs]
        needed = set(results) if whole else set()
        if whole:
            needed.update(
                x for node in body.nodes if not self._is_affine(node) for x in node.inputs
            )
        for node in body.nodes:
            if node not in self.moving or node in self.forms:
                continue
            form = self._form(node) if self._is_affine(node) else None
            if form is None:
                value = with_inputs(node, tuple(map(self.value, node.inputs)))
                self.values[node], form = value, _Form({value: None})
            self.forms[node] = form
            if node in needed:
                self.forms[node] = _Form({self.value(node): None})
        self.outputs = list(map(self.value, results))

    def value(self, node: Node) -> Node:
        """The node in the new body."""
        if node not in self.moving:
            return node
        if node not in self.values:
            form = self.forms[node]
            terms = [x if by is None else nodes.multiply(x, by) for x, by in form.terms.items()]
            found = terms[0]
            for term in terms[1:]:
                found = nodes.add(found, term)
            if form.rest is not None:
                found = nodes.add(found, form.rest)
            if not found.name and found not in self.moving:
                found.name = node.name
            self.values[node] = found
        return self.values[node]

    def _is_affine(self, node: Node) -> bool:
        """Whether the node is a sum, or a product with what is not carried. (What is carried has
        the node's own shape, so that nothing is repeated on the way.)"""
        if node not in self.moving or node.type.dtype not in FLOATING:
            return False
        if any(x in self.moving and x.type != node.type for x in node.inputs):
            return False
        match table_name(node.op):
            case "add" | "subtract" | "negative":
                return True
            case "multiply":
                return not all(x in self.moving for x in node.inputs)
            case "divide":
                return node.inputs[1] not in self.moving
            case _:
                return False

    def _form(self, node: Node) -> _Form:
        name = table_name(node.op)
        forms = [self.forms.get(x) or _Form({}, x) for x in node.inputs]
        if name == "negative":
            return _scaled(forms[0], "multiply", nodes.constant(-1.0, node.type.dtype))
        if name == "divide":
            return _scaled(forms[0], "divide", node.inputs[1])
        if name == "multiply":
            a, b = node.inputs
            return (
                _scaled(forms[0], "multiply", b)
                if a in self.moving
                else _scaled(forms[1], "multiply", a)
            )
        first, second = forms
        if name == "subtract":
            second = _scaled(second, "multiply", nodes.constant(-1.0, node.type.dtype))
        terms = dict(first.terms)
        one = nodes.constant(1.0, node.type.dtype)
        for x, by in second.terms.items():
            terms[x] = nodes.add(terms[x] or one, by or one) if x in terms else by
        if first.rest is None or second.rest is None:
            return _Form(terms, first.rest or second.rest)
        return _Form(terms, nodes.add(first.rest, second.rest))


def _scaled(form: _Form, how: str, by: Node) -> _Form:
    """The form times or divided by a value."""

    def scaled(x: Node | None) -> Node:
        if x is None:
            x = nodes.constant(1.0, by.type.dtype)
            if how == "multiply":
                return by
        return nodes.elementwise(how, x, by)

    rest = None if form.rest is None else nodes.elementwise(how, form.rest, by)
    return _Form({x: scaled(factor) for x, factor in form.terms.items()}, rest)


# -- before the loop -------------------------------------------------------------------------------


def _hoisted(
    steps: Steps, inputs: Sequence[Node], outputs: Sequence[Node]
) -> tuple[Steps, list[Node]]:
    """A loop of these outputs: what in them needs nothing that is carried on is an operand of the
    loop, computed for all steps at once."""
    given = steps.body.inputs
    last = steps.rows + len(steps.carried)
    carried = given[steps.rows : last]
    order = reachable(outputs)
    moving = _moving(order, carried)
    # Each value outside of the loop, and whether it is one of every step.
    made = {
        node: (x, k < steps.rows) for k, (node, x) in enumerate(zip(given, inputs, strict=True))
    }
    for node in order:
        if node in moving or node in made or not node.inputs:
            continue
        operands = [made.get(x, (x, False)) for x in node.inputs]
        stacks, varies = [x for x, _ in operands], [moves for _, moves in operands]
        if any(varies):
            made[node] = of_all_steps(node, stacks, varies, steps.count), True
        else:
            assert isinstance(node.op, Elementwise)  # made by `_scaled`
            made[node] = nodes.elementwise(node.op, *stacks), False
    rows: dict[Node, Node] = {}
    whole: dict[Node, Node] = {}
    body: dict[Node, Node] = {node: node for node in carried}
    for node in order:
        if node not in moving or node in body:
            continue
        operands = []
        for x in node.inputs:
            if x in moving or x not in made:
                body.setdefault(x, x)
            elif x not in body:
                _, moves = made[x]
                group = rows if moves else whole
                body[x] = group[x] = nodes.input_(
                    f"{'row' if moves else 'whole'} {len(group)}", x.type
                )
        body[node] = with_inputs(node, tuple(body[x] for x in node.inputs))
    found = [*rows.values(), *carried, *whole.values()]
    results = [
        (name, body[node]) for (name, _), node in zip(steps.body.outputs, outputs, strict=True)
    ]
    graph = Graph(
        steps.body.name, found, results, reachable([*found, *(node for _, node in results)])
    )
    stacks = [made[x][0] for x in rows]
    stacks += [*inputs[steps.rows : last], *(made[x][0] for x in whole)]
    return Steps(graph, steps.count, len(rows), steps.carried), stacks
