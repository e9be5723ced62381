"""The comments of emitted code: what a group of statements computes, in the user's own names.

A group is a named value with the unnamed ones that lead to it. A forward group is headed by its
formula; a backward group by the local derivatives that it multiplies by.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np

from codegen.literals import fraction, written
from codegen.program import Broadcast
from graphc import formula
from graphc.inspect.shown import number
from graphc.ir import Node
from graphc.ops.elementwise import TABLE
from graphc.ops.kinds import ConstantParams, Elementwise, Search, SearchParams
from graphc.textual.spell import PRODUCT, Speller, Spelt, plain_size
from graphc.wording import PARTIAL, is_arithmetic, wording

WIDTH = 72
LONGEST = 160  # two lines: what is longer, code says better
# A function of more nodes has plain formulas, and none for gradients: nobody reads it whole.
READ_WHOLE = 5_000
# (Of a branch that was not chosen, the partial may be infinite or undefined.)
_ABSORBS = "absorb(d, p) = d * p, and 0 where d is 0, whatever p is"
_SPELLER = Speller(False, lambda op: op.name, plain_size)
_ELLIPSIS = Spelt("...")
# What says less of a gradient than the code does.
_WORDLESS = re.compile(r"\b(contract|gather|scatter|place|slice|pad|reshape|broadcast_to)\(")


def notes(
    order: Sequence[Node], outputs: Iterable[tuple[str, Node]], backward: set[Node]
) -> dict[Node, str]:
    """The comment of every node's group; "" where code says it all."""
    names = {node: name for name, node in outputs}
    heads = _heads(order, names)
    spelt: dict[Node, Spelt] = dict(_found(order, names))
    formulas: dict[Node, str] = {}

    def operand(node: Node) -> Spelt:
        return _operand(node, spelt)

    long = len(order) > READ_WHOLE
    for node in order:
        if not node.inputs or node in spelt or (long and node in backward):
            continue
        operands = [operand(x) for x in _broadcasting(node)]
        if long:
            said = _SPELLER.formula(node, operands)
        elif _ELLIPSIS in operands:
            # What is too long to be told makes its users' formulas so, unless a word says it all.
            said = wording(node, operand) or _ELLIPSIS
        else:
            said = wording(node, operand) or _SPELLER.formula(node, operands)
        formulas[node] = said.text
        spelt[node] = said if len(said.text) <= LONGEST else _ELLIPSIS
    remarks = _remarks(order, heads, backward)
    result: dict[Node, str] = {}
    for node in order:
        head = heads.get(node)
        if head is None:
            continue
        name = head.name or names.get(head, "")
        text = f"{name} = {formulas[head]}" if name and head in formulas else ""
        wordless = head in backward and _WORDLESS.search(text)
        if len(text) > LONGEST or "..." in text or "place(" in text or wordless:
            text = ""
        lines = [text, *remarks.get(head, ())]
        result[node] = "\n".join(line for line in lines if line)
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


def _broadcasting(node: Node) -> list[Node]:
    """The operands, without what an elementwise function repeats by itself."""
    inputs = list(node.inputs)
    if isinstance(node.op, Elementwise):
        for k, x in enumerate(inputs):
            if isinstance(x.params, Broadcast) and not x.name:
                inputs[k] = x.inputs[0]
    return inputs


def _operand(node: Node, spelt: dict[Node, Spelt]) -> Spelt:
    if node.name:
        return Spelt(node.name)
    return _number(node) or number(node) or spelt.get(node, _ELLIPSIS)


def _number(node: Node) -> Spelt | None:
    """A constant as the code writes it: `2.0 / 768.0`."""
    params = node.params
    if (
        not isinstance(params, ConstantParams)
        or params.value.ndim
        or params.value.dtype.kind != "f"
    ):
        return None
    single = params.value.dtype == np.float32
    value = float(str(params.value)) if single else params.value.item()
    return Spelt(written(value, single), PRODUCT) if fraction(value, single) is not None else None


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
) -> dict[Node, list[str]]:
    """For each backward group, the local derivatives in it: `d tanh(x)/dx = 1 - tanh(x)**2`."""
    lines: dict[Node, list[str]] = {}
    for node in order:
        op = node.op
        head = heads.get(node)
        if head is None or head not in backward or not isinstance(op, Elementwise):
            continue
        if op.name == "absorb":
            remark = _ABSORBS
        else:
            remark = "" if TABLE.get(op.name) is op else _partial(op)
        known = lines.setdefault(head, [])
        if remark and remark not in known:
            known.append(remark)
    return lines


@lru_cache(maxsize=1024)
def _partial(op: Elementwise) -> str:
    """`d sigmoid(x)/dx = y / (1 + exp(x)), y = sigmoid(x)`; "" for what is no partial of an op."""
    found = PARTIAL.fullmatch(op.doc)
    if found is None:
        return ""
    name, by = found.groups()
    primal = TABLE.get(name)
    if primal is not None and is_arithmetic(formula.parse(primal.formula, primal.args)):
        return ""  # everybody knows them
    call = f"{name}({', '.join(primal.args if primal else op.args)})"
    output = op.args[-1] if op.args and op.args[-1] not in (primal.args if primal else ()) else ""
    text = f"d {call}/d{by} = {op.formula}" + (f", {output} = {call}" if output else "")
    return text if len(text) <= WIDTH + 8 else f"d {call}/d{by}"
