"""A loop that was unrolled, as a loop again: what each step carries to the next, step after step.

A loop is found among families of nodes (`graphc.rewrite.families`) that depend on themselves by way
of one another. Which member belongs to which step follows from the order in which the user
declared them; that every step reads its own values and those of the step before alone is then
checked node by node. The first and last steps, where they are special, stay as they are.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence

from codegen.record import struct
from graphc import nodes
from graphc.ir import Graph, Node
from graphc.ops.kinds import (
    Contraction,
    Elementwise,
    Gather,
    Layout,
    Leaf,
    Loop,
    LoopParams,
    Reduction,
    Scatter,
    Steps,
)
from graphc.rewrite.families import alike
from graphc.types import array_type

FEWEST = 8
LOOP = Loop()
_KINDS = Elementwise | Contraction | Reduction | Layout | Gather | Scatter


@struct
class Rolled:
    """A loop that was found. members[k][t] is what family k computes in step t.

    reads[k]: for each operand of family k, (family, how many steps ago), or None for a value from
        outside of the loop.
    """

    members: list[list[Node]]
    reads: list[list[tuple[int, int] | None]]

    @property
    def nodes(self) -> list[Node]:
        """All nodes of all steps."""
        return [node for family in self.members for node in family]


def rolled(families: Sequence[Sequence[Node]], position: Mapping[Node, int]) -> Rolled | None:
    """The loop that these families, which depend on one another, are; None where they are none."""
    if any(not isinstance(members[0].op, _KINDS) or not alike(members) for members in families):
        return None
    if not any(members[0].type.shape for members in families):
        return None  # Python's numbers need no loop to be fast
    of = {node: k for k, members in enumerate(families) for node in members}
    header = _header(families, of, position)
    if header is None:
        return None
    starts = [position[node] for node in header]
    table: list[dict[int, Node]] = [{} for _ in families]
    for k, members in enumerate(families):
        for node in members:
            step = bisect_right(starts, position[node])
            if step in table[k]:
                return None
            if step:  # else before the first
                table[k][step] = node
    labels = {node: step for row in table for step, node in row.items()}
    steps = sorted(set.intersection(*(set(row) for row in table)))
    if len(steps) < FEWEST:
        return None
    middle = steps[len(steps) // 2]
    reads = [_reads(row[middle], of, labels, table) for row in table]
    if any(found is None for found in reads):
        return None
    known = [found for found in reads if found is not None]
    run = _longest(steps, table, known)
    loop = Rolled([[row[step] for step in run] for row in table], known)
    carried = _carried(loop)
    if len(run) < FEWEST or any(not families[k][0].type.shape for k in carried):
        return None
    if any(len(first) > 1 for first in carried.values()):
        loop.members = [row[1:] for row in loop.members]
    return loop


def _carried(loop: Rolled) -> dict[int, list[Node]]:
    """The families that are carried on, and what the first step reads for each."""
    found: dict[int, list[Node]] = {}
    for family, row in zip(loop.members, loop.reads, strict=True):
        for at, place in enumerate(row):
            if place is not None and place[1]:
                first = found.setdefault(place[0], [])
                if family and family[0].inputs[at] not in first:
                    first.append(family[0].inputs[at])
    return found


def _header(
    families: Sequence[Sequence[Node]], of: Mapping[Node, int], position: Mapping[Node, int]
) -> Sequence[Node] | None:
    """The family whose members begin the steps: that for which fewest values are carried on."""
    best: tuple[int, int, Sequence[Node]] | None = None
    for header in families:
        starts = [position[node] for node in header]
        carried: set[int] = set()
        valid = True
        for members in families:
            node = members[len(members) // 2]
            step = bisect_right(starts, position[node])
            for x in node.inputs:
                if x in of:
                    back = step - bisect_right(starts, position[x])
                    valid = valid and back in (0, 1)
                    if back:
                        carried.add(of[x])
        if valid and (best is None or (len(carried), starts[0]) < best[:2]):
            best = len(carried), starts[0], header
    return best[2] if best else None


def _reads(
    node: Node, of: Mapping[Node, int], labels: Mapping[Node, int], table: Sequence[object]
) -> list[tuple[int, int] | None] | None:
    """Where a step's node reads its operands; None where it looks further back than one step."""
    found: list[tuple[int, int] | None] = []
    for x in node.inputs:
        back = labels[node] - labels[x] if x in labels else None
        if back is not None and back not in (0, 1):
            return None
        found.append(None if back is None else (of[x], back))
    return found


def _longest(
    steps: Sequence[int],
    table: Sequence[Mapping[int, Node]],
    reads: Sequence[Sequence[tuple[int, int] | None]],
) -> list[int]:
    """The longest run of steps that read as they should: the first of them anything of its type
    for what the step before would carry on."""
    inside = {node for row in table for node in row.values()}
    best: list[int] = []
    run: list[int] = []
    for step in steps:
        own = before = True
        for row, places in zip(table, reads, strict=True):
            for x, place in zip(row[step].inputs, places, strict=True):
                if place is None:
                    own = own and x not in inside
                elif place[1]:
                    before = before and table[place[0]].get(step - 1) is x
                else:
                    own = own and table[place[0]][step] is x
        if not own:
            run = []
        elif run and run[-1] == step - 1 and before:
            run.append(step)
        else:
            run = [step]
        if len(run) > len(best):
            best = list(run) if len(run) == 1 else run
    return best


def body(loop: Rolled, name: str) -> tuple[Steps, list[tuple[Node, ...]], list[Node], list[Node]]:
    """(the steps, the columns of rows, what is carried into the first step, whole operands), these
    as nodes of the graph; the loop's operands stand in this order."""
    middle = len(loop.members[0]) // 2
    order = _in_step(loop)
    rows: dict[tuple[Node, ...], Node] = {}
    whole: dict[Node, Node] = {}
    carried: dict[int, Node] = {}
    first: list[Node] = []
    made: dict[int, Node] = {}
    for source, starts in _carried(loop).items():
        like = loop.members[source][middle]
        carried[source] = nodes.input_(f"carried {source}", like.type)
        first += starts
    for k in order:
        family = loop.members[k]
        inputs: list[Node] = []
        for at, place in enumerate(loop.reads[k]):
            if place is not None:
                inputs.append(carried[place[0]] if place[1] else made[place[0]])
                continue
            column = tuple(node.inputs[at] for node in family)
            x = column[middle]
            if len(set(column)) > 1:
                if column not in rows:
                    rows[column] = nodes.input_(f"row {len(rows)}", x.type)
                inputs.append(rows[column])
            elif isinstance(x.op, Leaf) and x.op is not nodes.INPUT:
                inputs.append(x)
            else:
                if x not in whole:
                    whole[x] = nodes.input_(f"whole {len(whole)}", x.type)
                inputs.append(whole[x])
        like = family[middle]
        made[k] = Node(like.op, tuple(inputs), like.params, like.type, "", like.origin)
    _name(loop, made, middle)
    given = [*rows.values(), *carried.values(), *whole.values()]
    outputs = [(str(k), made[k]) for k in range(len(made))]
    leaves = {x for node in made.values() for x in node.inputs if not x.inputs}
    constants = sorted(leaves - set(given), key=lambda node: node.serial)
    graph = Graph(name, given, outputs, [*constants, *given, *(made[k] for k in order)])
    steps = Steps(graph, len(loop.members[0]), len(rows), tuple(carried))
    return steps, list(rows), first, list(whole)


def result(steps: Steps, inputs: Sequence[Node], number: int) -> Node:
    """What a loop returns of one output of its steps."""
    type = steps.body.outputs[number][1].type
    stacked = array_type(type.dtype, (steps.count, *type.shape))
    return nodes.node(LOOP, tuple(inputs), LoopParams(steps, number), stacked)


def _in_step(loop: Rolled) -> list[int]:
    """The families in an order in which a step computes them."""
    order: list[int] = []
    done: set[int] = set()
    for start in range(len(loop.reads)):
        stack = [start]
        while stack:
            k = stack[-1]
            missing = [
                place[0]
                for place in loop.reads[k]
                if place is not None and not place[1] and place[0] not in done
            ]
            if k in done or not missing:
                stack.pop()
                if k not in done:
                    done.add(k)
                    order.append(k)
            else:
                stack.extend(reversed(missing))
    return order


def _name(loop: Rolled, made: Mapping[int, Node], middle: int) -> None:
    """Names for the values of a step: `cell`, of `cell_1`, `cell_2` ..."""
    taken: set[str] = set()
    for k, node in made.items():
        base = re.sub(r"_\d+$", "", loop.members[k][middle].name)
        if base and base not in taken:
            taken.add(base)
            node.name = base
