"""What an emitted module calls of the user's own: primitives, and named tuple classes."""

from __future__ import annotations

from typing import Any

from graphc.ir import Graph
from graphc.ops.kinds import Primitive, PrimitiveCall


def user_callables(graph: Graph) -> dict[str, Any]:
    """Every callable of the user's under the name it bears in a Program.

    The names follow from the declared graph alone, so that a source from the cache finds the same
    ones: two different callables of one name are numbered in the order of their nodes.
    """
    found: dict[str, Any] = {}
    for node in graph.nodes:
        op = node.op
        if not isinstance(op, Primitive) or not isinstance(node.params, PrimitiveCall):
            continue
        _name(found, op.name, op.forward)
        if op.backward is not None:
            _name(found, f"{op.name}_vjp", op.backward)
    containers = [*(container for _, container in graph.arguments), graph.result]
    while containers:
        container = containers.pop()
        if container.kind == "namedtuple":
            _name(found, container.cls.__name__, container.cls)
        containers.extend(container.items)
    return found


def _name(found: dict[str, Any], name: str, value: Any) -> None:
    candidate, number = name, 1
    while found.setdefault(candidate, value) is not value:
        number += 1
        candidate = f"{name}_{number}"


def name_of(callables: dict[str, Any], value: Any) -> str:
    """The name that a callable of the user's was given."""
    return next(name for name, known in callables.items() if known is value)
