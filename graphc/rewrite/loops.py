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
    beside[k]: what else does the same as family k, in no whole step.
    """

    members: list[list[Node]]
    reads: list[list[tuple[int, int] | None]]
    beside: dict[int, list[Node]]

    @property
    def nodes(self) -> list[Node]:
        """All nodes of all steps."""
        return [node for family in self.members for node in family]

    @property
    def outside(self) -> dict[Node, None]:
        """What the steps read that none of them computes."""
        inside = set(self.nodes)
        return {x: None for node in self.nodes for x in node.inputs if x not in inside}

    @property
    def all(self) -> dict[int, list[Node]]:
        """The families, with what else does the same, in the order of declaration."""
        return {
            k: sorted([*members, *self.beside.get(k, ())], key=lambda node: node.serial)
            for k, members in enumerate(self.members)
        }

    @property
    def first(self) -> dict[int, list[Node]]:
        """The families that are carried on, and what the first step reads for each."""
        found: dict[int, list[Node]] = {}
        for x, place in self.given([family[0] for family in self.members]):
            if place is not None and place[1]:
                starts = found.setdefault(place[0], [])
                if x not in starts:
                    starts.append(x)
        return found

    @property
    def order(self) -> list[int]:
        """The families in an order in which a step computes them."""
        order: list[int] = []
        done: set[int] = set()
        for start in range(len(self.reads)):
            stack = [start]
            while stack:
                k = stack[-1]
                missing = [
                    place[0]
                    for place in self.reads[k]
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

    def extend(self, more: Mapping[int, Sequence[Node]]) -> None:
        """Puts steps made of these nodes, by their families, after the last one."""
        inside = set(self.nodes)
        left = self.beside = {
            k: [x for x in found if x not in inside and x.params == self.members[k][0].params]
            for k, found in more.items()
        }
        last = [members[-1] for members in self.members]
        while all(left.values()):
            step: dict[int, Node] = {}
            for k in self.order:
                wanted = [
                    None if place is None else last[place[0]] if place[1] else step[place[0]]
                    for place in self.reads[k]
                ]
                fitting = [node for node in left[k] if _reads_all(node, wanted)]
                if len(fitting) != 1:
                    return
                step[k] = fitting[0]
            for k, node in step.items():
                left[k].remove(node)
                self.members[k].append(node)
                last[k] = node

    def given(self, step: Sequence[Node]) -> list[tuple[Node, tuple[int, int] | None]]:
        """Every operand of a step, and where it is read."""
        return [
            (x, place)
            for node, places in zip(step, self.reads, strict=True)
            for x, place in zip(node.inputs, places, strict=True)
        ]


def rolled(families: Sequence[Sequence[Node]], position: Mapping[Node, int]) -> Rolled | None:
    """The loop that these families, which depend on one another, are; None where they are none."""
    if any(not isinstance(members[0].op, _KINDS) or not alike(members) for members in families):
        return None
    if not any(members[0].type.shape for members in families):
        return None  # Python's numbers need no loop to be fast
    found: list[Rolled] = []
    for header in _headers(families, position):
        loop = _from(header, families, position)
        if loop is not None:
            found.append(loop)
            if not _rank(loop)[0]:
                break  # fewest are carried on by the first
    return min(found, key=_rank, default=None)


def _rank(loop: Rolled) -> tuple[int, int, int]:
    """Of the loops that differ in where a step begins, the least is best: that which carries on
    little, and whose first step is none that was begun outside."""
    first = loop.first
    begun = sum(starts[0].op == loop.members[k][0].op for k, starts in first.items())
    return begun, len(first), -len(loop.members[0])


def _from(
    header: Sequence[Node], families: Sequence[Sequence[Node]], position: Mapping[Node, int]
) -> Rolled | None:
    """The loop whose steps begin with the members of one family."""
    of = {node: k for k, members in enumerate(families) for node in members}
    starts = [position[node] for node in header]
    table: list[dict[int, Node]] = [{} for _ in families]
    crowded = {0}  # before the first, or after the last
    for k, members in enumerate(families):
        for node in members:
            step = bisect_right(starts, position[node])
            if step in table[k]:
                crowded.add(step)
            table[k][step] = node
    for row in table:
        for step in crowded:
            row.pop(step, None)
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
    loop = Rolled([[row[step] for step in run] for row in table], known, {})
    first = loop.first
    if not first or len(run) < FEWEST or any(not families[k][0].type.shape for k in first):
        return None
    if any(len(starts) > 1 for starts in first.values()):
        loop.members = [row[1:] for row in loop.members]
    _grow(loop)
    return loop


def _grow(loop: Rolled) -> None:
    """Puts before the first step what does the same as a step, and what that carries on: the first
    steps of a loop have other ancestors than later ones, so no family has them."""
    inside = set(loop.nodes)
    found: list[list[Node]] = []
    first = {k: starts[0] for k, starts in loop.first.items()}
    while True:
        step = _step_before(loop, first)
        if step is None or not inside.isdisjoint(step):
            break
        inside.update(step)
        given = loop.given(step)
        if any(x in inside for x, place in given if place is None):
            break
        found.append(step)
        first = {place[0]: x for x, place in given if place is not None and place[1]}
    found.reverse()
    loop.members = [[*(step[k] for step in found), *row] for k, row in enumerate(loop.members)]


def _step_before(loop: Rolled, after: Mapping[int, Node]) -> list[Node] | None:
    """The step, one node a family, that carries these values on; None where there is none."""
    placed: dict[int, Node] = {}
    starts: dict[int, Node] = {}
    stack = list(after.items())
    while stack:
        k, node = stack.pop()
        like, last = loop.members[k][0], loop.members[k][-1]
        if placed.setdefault(k, node) is not node or not _alike(node, like):
            return None
        for at, (x, place) in enumerate(zip(node.inputs, loop.reads[k], strict=True)):
            if place is None:
                whole = like.inputs[at] is last.inputs[at]
                if whole and x is not like.inputs[at]:
                    return None
            elif place[1]:
                if starts.setdefault(place[0], x) is not x:
                    return None
            elif placed.get(place[0]) is not x:
                stack.append((place[0], x))
    if len(placed) < len(loop.members):
        return None
    return [placed[k] for k in range(len(placed))]


def _reads_all(node: Node, wanted: Sequence[Node | None]) -> bool:
    """Whether these are the node's operands; None stands for any."""
    return all(x is y or y is None for x, y in zip(node.inputs, wanted, strict=True))


def _alike(node: Node, like: Node) -> bool:
    """Whether two nodes do the same to operands of the same types."""
    return (
        (node.op == like.op or isinstance(node.op, Contraction))
        and node.type == like.type
        and node.params == like.params
        and [x.type for x in node.inputs] == [x.type for x in like.inputs]
    )


def _headers(
    families: Sequence[Sequence[Node]], position: Mapping[Node, int]
) -> list[Sequence[Node]]:
    """The families whose members may begin the steps; those for which fewest values are carried on
    before others, then the first to be computed."""
    of = {node: k for k, members in enumerate(families) for node in members}
    found: list[tuple[int, int, Sequence[Node]]] = []
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
        if valid:
            found.append((len(carried), starts[0], header))
    found.sort(key=lambda each: each[:2])
    return [header for _, _, header in found]


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


def body(
    loop: Rolled, name: str, kept: Sequence[int]
) -> tuple[Steps, list[tuple[Node, ...]], list[Node], list[Node]]:
    """(the steps, the columns of rows, what is carried into the first step, whole operands), these
    as nodes of the graph; the loop's operands stand in this order.

    kept: the families that are the loop's results, all that are carried among them.
    """
    middle = len(loop.members[0]) // 2
    order = loop.order
    rows: dict[tuple[Node, ...], Node] = {}
    whole: dict[Node, Node] = {}
    carried: dict[int, Node] = {}
    first: list[Node] = []
    made: dict[int, Node] = {}
    for source, starts in loop.first.items():
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
    outputs = [(str(k), made[k]) for k in kept]
    leaves = {x for node in made.values() for x in node.inputs if not x.inputs}
    constants = sorted(leaves - set(given), key=lambda node: node.serial)
    graph = Graph(name, given, outputs, [*constants, *given, *(made[k] for k in order)])
    numbers = tuple(kept.index(k) for k in carried)
    steps = Steps(graph, len(loop.members[0]), len(rows), numbers)
    return steps, list(rows), first, list(whole)


def result(steps: Steps, inputs: Sequence[Node], number: int) -> Node:
    """What a loop returns of one output of its steps."""
    type = steps.body.outputs[number][1].type
    stacked = array_type(type.dtype, (steps.length(number), *type.shape))
    return nodes.node(LOOP, tuple(inputs), LoopParams(steps, number), stacked)


def _name(loop: Rolled, made: Mapping[int, Node], middle: int) -> None:
    """Names for the values of a step: `cell`, of `cell_1`, `cell_2` ..."""
    taken: set[str] = set()
    for k, node in made.items():
        base = re.sub(r"_\d+$", "", loop.members[k][middle].name)
        if base and base not in taken:
            taken.add(base)
            node.name = base
