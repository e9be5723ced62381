"""The comments of emitted code: what a group of statements computes, in the user's own names.

A group is a named value with the unnamed ones that lead to it. A forward group is headed by its
formula; a backward group by the local derivatives that it multiplies by.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from codegen.expr import FUNCTIONS, Apply, Expr
from graphc import formula
from graphc.inspect.shown import number
from graphc.ir import Node
from graphc.ops.elementwise import TABLE
from graphc.ops.kinds import Elementwise, Search, SearchParams
from graphc.textual.spell import Speller, Spelt, plain_size

WIDTH = 72
LONGEST = 160  # two lines: what is longer, code says better
_SPELLER = Speller(False, lambda op: op.name, plain_size)
_ELLIPSIS = Spelt("...")


def notes(
    order: Sequence[Node], outputs: Iterable[tuple[str, Node]], backward: set[Node]
) -> dict[Node, str]:
    """The comment of every node's group; "" where code says it all."""
    names = {node: name for name, node in outputs}
    heads = _heads(order, names)
    spelt: dict[Node, Spelt] = dict(_found(order, names))
    formulas: dict[Node, str] = {}
    for node in order:
        # What a backward value is computed by is not told, and no forward one is computed of it.
        if not node.inputs or node in spelt or node in backward:
            continue
        text = _SPELLER.formula(node, [_operand(x, spelt) for x in node.inputs])
        formulas[node] = text.text
        spelt[node] = text if len(text.text) <= LONGEST else _ELLIPSIS
    remarks = _remarks(order, heads, backward)
    result: dict[Node, str] = {}
    for node in order:
        head = heads.get(node)
        if head is None:
            continue
        if head in backward:
            result[node] = remarks.get(head, "")
            continue
        name = head.name or names.get(head, "")
        formula = formulas.get(head, "")
        short = len(name) + 3 + len(formula) <= LONGEST
        if name and formula and short and "..." not in formula:
            result[node] = f"{name} = {formula}"
    return result


def _found(order: Sequence[Node], outputs: dict[Node, str]) -> dict[Node, Spelt]:
    """The results of the one search by the names that they have in code, where none is a user's."""
    results: dict[Node, str] = {}
    calls: set[tuple[Node, ...]] = set()
    for node in order:
        if isinstance(node.op, Search) and isinstance(node.params, SearchParams):
            results[node] = node.op.results[node.params.result]
            calls.add(node.inputs)
    taken = {node.name for node in order} | set(outputs.values())
    if len(calls) != 1 or taken & set(results.values()):
        return {}
    return {node: Spelt(name) for node, name in results.items()}


def _operand(node: Node, spelt: dict[Node, Spelt]) -> Spelt:
    if node.name:
        return Spelt(node.name)
    return number(node) or spelt.get(node, _ELLIPSIS)


def _heads(order: Sequence[Node], outputs: dict[Node, str]) -> dict[Node, Node]:
    """The named value that each node's group leads to: its own, else that of its first user."""
    heads: dict[Node, Node] = {}
    for node in reversed(order):
        if node.name or node in outputs:
            heads[node] = node
        head = heads.get(node)
        if head is None:
            continue
        for operand in node.inputs:
            heads[operand] = head  # the walk is backwards: the first user comes last and stays
    return heads


def _remarks(
    order: Sequence[Node], heads: dict[Node, Node], backward: set[Node]
) -> dict[Node, str]:
    """For each backward group, the local derivatives in it: `d tanh(x)/dx = 1 - tanh(x)**2`."""
    lines: dict[Node, list[str]] = {}
    for node in order:
        op = node.op
        head = heads.get(node)
        if head is None or head not in backward or not isinstance(op, Elementwise):
            continue
        remark = "" if TABLE.get(op.name) is op else _partial(op)
        if not remark:
            continue
        known = lines.setdefault(head, [])
        if remark not in known:
            known.append(remark)
    return {head: "\n".join(known) for head, known in lines.items()}


@lru_cache(maxsize=1024)
def _partial(op: Elementwise) -> str:
    """`d sigmoid(x)/dx = y / (1 + exp(x)), y = sigmoid(x)`; "" for what is no partial of an op."""
    found = re.fullmatch(r"The partial of (\w+) by (\w+)\.", op.doc)
    if found is None:
        return ""
    name, by = found.groups()
    primal = TABLE.get(name)
    if primal is not None and _is_arithmetic(formula.parse(primal.formula, primal.args)):
        return ""  # everybody knows them
    call = f"{name}({', '.join(primal.args if primal else op.args)})"
    output = op.args[-1] if op.args and op.args[-1] not in (primal.args if primal else ()) else ""
    text = f"d {call}/d{by} = {op.formula}" + (f", {output} = {call}" if output else "")
    return text if len(text) <= WIDTH + 8 else f"d {call}/d{by}"


def _is_arithmetic(expr: Expr) -> bool:
    """Whether the expression consists of operators alone."""
    if not isinstance(expr, Apply):
        return True
    operator = FUNCTIONS[expr.function].infix is not None
    return operator and all(_is_arithmetic(arg) for arg in expr.args)
