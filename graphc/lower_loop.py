"""Loops -> codegen's statement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from codegen.program import Loop, Var
from graphc.ir import Node
from graphc.ops.kinds import LoopParams, Steps
from graphc.order import needed
from graphc.types import array_type


def wanted_results(order: Iterable[Node]) -> dict[object, set[int]]:
    """For every loop, the results that these nodes are."""
    found: dict[object, set[int]] = {}
    for node in order:
        if isinstance(node.params, LoopParams):
            found.setdefault((node.params.steps, node.inputs), set()).add(node.params.result)
    return found


def loop(
    outer: Any, steps: Steps, args: Sequence[Var], wanted: Iterable[int]
) -> tuple[Loop, dict[int, Var]]:
    """The statement of a loop on its operands, and the Vars of the results that are wanted."""
    body = steps.body
    outs = {k: _result(steps, k) for k in sorted(wanted)}
    last = steps.rows + len(steps.carried)
    given: dict[Node, Var] = {}
    for k, (node, arg) in enumerate(zip(body.inputs, args, strict=True)):
        name = ""
        if steps.rows <= k < last:
            following = body.outputs[steps.carried[k - steps.rows]][1]
            name = f"last_{following.name}" if following.name else ""
        given[node] = Var(name, node.type) if k < last else arg
    # (A `graphc.lower.Body` like the one around it, which imports this.)
    inner = type(outer)(given, outer.constants, outer.callables, {}, outer.tags, outer.scipy)
    results = [body.outputs[k][1] for k in outs]
    carried = [body.outputs[k][1] for k in steps.carried]
    inner.lower(needed(body.nodes, [*results, *carried]), [*results, *carried])
    rows = [(given[x], arg) for x, arg in zip(body.inputs[: steps.rows], args, strict=False)]
    states = zip(body.inputs[steps.rows : last], args[steps.rows : last], carried, strict=True)
    made = Loop(
        tuple(outs.values()),
        steps.count,
        tuple(rows),
        tuple((given[x], initial, inner.var(after)) for x, initial, after in states),
        tuple(inner.statements),
        tuple(inner.var(node) for node in results),
    )
    return made, outs


def _result(steps: Steps, number: int) -> Var:
    """A value of a step, of all steps."""
    node = steps.body.outputs[number][1]
    name = f"{node.name}s" if node.name else ""
    return Var(name, array_type(node.type.dtype, (steps.length(number), *node.type.shape)))
