"""What every step of an unrolled loop computes, computed for all steps at once.

    x[0] * w, x[1] * w, ...             ->      xw = x * w;  xw[0], xw[1], ...
    f(c_1) + f(c_2) + ...               ->      f([c_1; c_2; ...]).sum(0)

Only what a step carries to the next must be computed in order. Everything else, before the loop
(gates that see the input alone), after it (losses), and in the backward pass (local derivatives,
gradients of weights), is one op on the values of all steps, stacked along a new first axis. For
small arrays that is what takes the time: a call costs as much as a hundred elements.

Every element is computed from the same numbers as before; sums over steps are taken in another
order, so they are kept to rounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush

from codegen.record import struct
from graphc import nodes
from graphc.ir import Graph, Node
from graphc.ops.kinds import (
    Concatenate,
    Einstein,
    Elementwise,
)
from graphc.order import users
from graphc.rewrite.affine import fewer_calls
from graphc.rewrite.columns import Family, Rows, all_steps, nth, rows_of, stackable
from graphc.rewrite.cse import merging
from graphc.rewrite.dce import dead_code
from graphc.rewrite.families import DEPTH, FEWEST, alike, beside, families, rows_first
from graphc.rewrite.loops import Rolled, body, result, rolled
from graphc.rewrite.parts import take_apart
from graphc.rewrite.sums import sum_trees, total
from graphc.rewrite.walk import planned, rebuild, table_name
from graphc.types import product

# A step's value of more elements takes longer than the calls that are saved.
_LARGE = 1 << 10
# By so much a loop may grow where its first and last steps, which are special, are found.
_GROWTH = 4
# Nanoseconds: a row written into an array in a step.
_WRITE = 150
_CHEAP = frozenset(("add", "subtract", "multiply", "divide", "negative", "square", "maximum"))


@struct
class _Group:
    """What is computed together: a family, or the results of a loop, families `kept` of it."""

    members: list[Node]
    families: list[Family]
    loop: Rolled | None = None
    kept: Sequence[int] = ()
    together: bool = True


@struct
class _Found:
    """What was found in a graph: families beside its loops, loops, and sums over many terms.

    left: how many nodes are carried on and in no loop.
    """

    families: list[Family]
    loops: list[Rolled]
    trees: dict[Node, list[Node]]
    left: int


def stack_steps(graph: Graph) -> Graph:
    """What depends on no other step's value, computed for all steps at once."""
    given, graph = graph, rows_first(graph)
    found = _found(graph)
    if found.loops or found.left:
        # (A large graph was simplified in one round, which leaves a constant for each step.)
        merged = rebuild(graph, merging())
        if merged is not graph:
            graph, found = merged, _found(merged)
    carried = [family.members for family in found.families if family.carried]
    carried += [row for loop in found.loops for row in loop.members]
    joined = [members for members in carried if isinstance(members[0].params, Concatenate)]
    apart = take_apart(graph, {node for members in joined for node in members})
    if apart is not graph:
        graph = dead_code(rebuild(apart, merging()))
        found = _found(graph)
    if not _mostly_loops(found):
        return given
    groups, order = _ordered(graph, found)
    group_of = {node: group for group in groups if group.together for node in group.members}
    if not group_of:
        return given
    rows = Rows({}, {})
    for family in [*found.families, *(family for group in groups for family in group.families)]:
        for at, node in enumerate(family.members):
            rows.row[node] = family, at

    def step(original: Node, current: Node, done: Mapping[Node, Node]) -> Node:
        if original in found.trees:
            return _added(found.trees[original], current, rows, done)
        group = group_of.get(original)
        if group is None:
            return current
        family, at = rows.row[original]
        if family.whole is None and group.loop is not None:
            _roll(group, graph.name, rows, done)
            family, at = rows.row[original]
        elif family.whole is None:
            family.whole = all_steps(family.members, rows, done)
        assert family.whole is not None
        return nth(family.whole, at)

    ordered = type(graph)(
        graph.name, graph.inputs, graph.outputs, order, graph.arguments, graph.result
    )
    return planned(ordered, step)


def _mostly_loops(found: _Found) -> bool:
    """Whether what steps carry on is computed by loops. Where it is not, the values beside it are
    made one by one, and a stack of them is copied together: dearer than what it saves."""
    return sum(len(loop.nodes) for loop in found.loops) >= found.left


def _found(graph: Graph) -> _Found:
    """The families of a graph, its loops, and its sums over many terms."""
    trees = sum_trees(graph, users(graph.nodes), FEWEST)
    inner = _inner(graph, trees)
    found = [Family(members) for members in families(graph, inner)]
    _dismiss(graph, found)
    carried = [family for family in found if family.carried]
    loops = _loops(graph, carried)
    left = sum(len(family.members) for family in carried)
    if not loops or _GROWTH * sum(len(loop.nodes) for loop in loops) < left:
        return _Found(found, [], trees, left)
    known: dict[Node, int] = {}
    typical: set[Node] = set()
    inside = {node for family in found for node in family.members}
    numbers: dict[int, tuple[Rolled, int]] = {}
    for loop in loops:
        first = loop.first
        for k, members in enumerate(loop.members):
            number = len(numbers)
            numbers[number] = loop, k
            known.update(dict.fromkeys(members, number))
            typical.update(members[len(members) // 2 :])
            if k in first and first[k][0] not in inside:
                known.setdefault(first[k][0], number)
    others, more = beside(graph, inner, known, typical)
    for loop in loops:
        loop.extend({k: more.get(n, []) for n, (own, k) in numbers.items() if own is loop})
    found = [Family(members) for members in others]
    _dismiss(graph, found)
    rolled = {node for loop in loops for node in loop.nodes}
    left = sum(node not in rolled for family in carried for node in family.members)
    return _Found(found, loops, trees, left)


# -- which -----------------------------------------------------------------------------------------


def _inner(graph: Graph, trees: Mapping[Node, list[Node]]) -> set[Node]:
    """The additions inside of sums, the last one included."""
    found: set[Node] = set()
    for root, leaves in trees.items():
        ends = set(leaves)
        stack = [root]
        while stack:
            node = stack.pop()
            found.add(node)
            stack.extend(x for x in node.inputs if x not in ends)
    return found


def _dismiss(graph: Graph, found: list[Family]) -> None:
    """Tells what cannot or should not be stacked: what depends on its own kind (a set of bits says
    of every node which families it depends on), what is large, what no stack is made of."""
    bit = {node: 1 << k for k, family in enumerate(found) for node in family.members}
    of = {node: family for family in found for node in family.members}
    before: dict[Node, int] = {}
    for node in graph.nodes:
        mask = 0
        for x in node.inputs:
            mask |= before[x]
        own = bit.get(node, 0)
        if mask & own:
            of[node].parallel, of[node].carried = False, True
        before[node] = mask | own
    for family in found:
        # (The first step's operands may be special.)
        typical = family.members[len(family.members) // 2]
        family.parallel = (
            family.parallel and _is_small(typical) and stackable(typical) and alike(family.members)
        )
        if not typical.type.shape and not any(x in of and of[x].parallel for x in typical.inputs):
            # Single numbers are Python's, which cost less than any array.
            family.parallel = False


def _loops(graph: Graph, carried: list[Family]) -> list[Rolled]:
    """The loops that these families are: those of one loop depend on one another."""
    position = {node: k for k, node in enumerate(graph.nodes)}
    bit = {node: 1 << k for k, family in enumerate(carried) for node in family.members}
    needs = [0] * len(carried)  # the families that a family depends on
    before: dict[Node, int] = {}
    for node in graph.nodes:
        mask = bit.get(node, 0)
        for x in node.inputs:
            mask |= before[x]
        before[node] = mask
        if node in bit:
            needs[bit[node].bit_length() - 1] |= mask
    found: list[Rolled] = []
    left = list(range(len(carried)))
    while left:
        first = left[0]
        mutual = [k for k in left if needs[first] >> k & 1 and needs[k] >> first & 1]
        left = [k for k in left if k not in mutual]
        small = all(_is_small(carried[k].members[0]) for k in mutual)
        # (But for the first steps, families of one loop have as many members as there are steps.)
        counts = [len(carried[k].members) for k in mutual]
        small = small and max(counts, default=0) - min(counts, default=0) <= DEPTH
        loop = rolled([carried[k].members for k in mutual], position) if small else None
        if loop is not None:
            found.append(loop)
    return found


def _is_small(node: Node) -> bool:
    """Whether a call takes longer than its work; not known of named sizes."""
    size = product(node.type.shape)
    return isinstance(size, int) and size <= _LARGE


def _ordered(graph: Graph, found: _Found) -> tuple[list[_Group], list[Node]]:
    """What is computed together, and an order of the nodes in which it can be. A loop that waits
    for itself, by way of something else, is none."""
    loops = found.loops
    while True:
        groups = [_Group(family.members, [family]) for family in found.families if family.parallel]
        for loop in loops:
            kept = _kept(graph, loop)
            members = [loop.members[k] for k in kept]
            groups.append(
                _Group([x for row in members for x in row], list(map(Family, members)), loop, kept)
            )
            groups += [_Group(row, [Family(row)]) for k, row in loop.all.items() if k not in kept]
        order = _order(graph, groups)
        left = [group.loop for group in groups if group.loop is not None and group.together]
        if len(left) == len(loops):
            return groups, order
        loops = left


def _order(graph: Graph, groups: list[_Group]) -> list[Node]:
    """The nodes in an order in which all members of a group can be computed at once; a group for
    which there is none is one no longer. What a loop returns comes before what else its steps
    compute."""
    position = {node: k for k, node in enumerate(graph.nodes)}
    group_of = {node: group for group in groups for node in group.members}
    waits = {node: node.inputs for node in graph.nodes}
    for group in groups:
        if group.loop is not None:
            waits.update(dict.fromkeys(group.members, ()))
            waits[group.members[0]] = tuple(group.loop.outside)
    missing = {node: len(inputs) for node, inputs in waits.items()}
    readers: dict[Node, list[Node]] = {node: [] for node in graph.nodes}
    for node, inputs in waits.items():
        for x in inputs:
            readers[x].append(node)
    waiting = {id(group): len(group.members) for group in groups}
    ready = [position[node] for node in graph.nodes if not missing[node]]
    heapify(ready)
    blocked: list[tuple[int, int]] = []
    arrived: dict[int, list[Node]] = {}
    order: list[Node] = []
    while len(order) < len(graph.nodes):
        if not ready:
            # The first group that waits for itself, by way of another.
            group = group_of[graph.nodes[heappop(blocked)[0]]]
            if not group.together or not waiting[id(group)]:
                continue
            group.together = False
            if group.loop is not None:
                return []
            for family in group.families:
                family.parallel = False
            for node in arrived[id(group)]:
                heappush(ready, position[node])
            continue
        node = graph.nodes[heappop(ready)]
        at_once = [node]
        own = group_of.get(node)
        if own is not None and own.together:
            key = id(own)
            waiting[key] -= 1
            if key not in arrived:
                heappush(blocked, (position[node], key))
            arrived.setdefault(key, []).append(node)
            if waiting[key]:
                continue
            at_once = sorted(arrived[key], key=position.__getitem__)
        order += at_once
        for each in at_once:
            for reader in readers[each]:
                missing[reader] -= 1
                if not missing[reader]:
                    heappush(ready, position[reader])
    return order


def _kept(graph: Graph, loop: Rolled) -> list[int]:
    """The families that are a loop's results: what is carried on, and what is better written down
    in every step than computed again of that, for all steps at once."""
    inside = set(loop.nodes)
    outside = {node for _, node in graph.outputs}
    outside.update(x for node in graph.nodes if node not in inside for x in node.inputs)
    kept = list(loop.first)
    needs: dict[int, dict[int, float]] = {k: {} for k in kept}
    for k in loop.order:
        if k in needs:
            continue
        members = loop.members[k]
        own = needs[k] = {k: _nanoseconds(members[0])}
        for place in loop.reads[k]:
            if place is not None and not place[1]:
                own.update(needs[place[0]])
        size = product(members[0].type.shape)
        assert isinstance(size, int)
        read = not outside.isdisjoint(members)
        if not stackable(members[0]) or (read and sum(own.values()) > _WRITE + size / 3):
            kept.append(k)
            needs[k] = {}
    return kept


def _nanoseconds(node: Node) -> float:
    """About what a step's value takes where it is one of many in an array."""
    size = product(node.type.shape)
    params = node.params
    assert isinstance(size, int)
    if isinstance(params, Einstein):
        terms = product(tuple(extent for _, extent in params.extents))
        return 0.1 * terms if isinstance(terms, int) else size
    if isinstance(node.op, Elementwise):
        return size * (0.4 if table_name(node.op) in _CHEAP else 4)
    return 0.4 * size


# -- made ------------------------------------------------------------------------------------------


def _roll(group: _Group, name: str, rows: Rows, done: Mapping[Node, Node]) -> None:
    """The loop of a group: one node for each of its results."""
    loop = group.loop
    assert loop is not None
    steps, columns, first, whole = body(loop, name, group.kept)
    inputs = [rows.column(parts, done) for parts in columns]
    inputs += [done.get(x, x) for x in (*first, *whole)]
    starts = dict(zip(steps.carried, first, strict=True))
    steps, inputs = fewer_calls(steps, inputs)
    for number, family in enumerate(group.families):
        family.whole = result(steps, inputs, number)
        if number in starts:
            # The first row is what is carried into the first step.
            family.members = [starts[number], *family.members]
            rows.columns[tuple(family.members)] = family.whole
            rows.columns[tuple(family.members[:-1])] = rows_of(family.whole, 0, steps.count)
            rows.row.setdefault(starts[number], (family, 0))
            rows.row.update((node, (family, at + 1)) for at, node in enumerate(family.members[1:]))


def _added(leaves: Sequence[Node], current: Node, rows: Rows, done: Mapping[Node, Node]) -> Node:
    """A sum, of whose terms those of one family are added up along the stack."""
    groups: dict[int, list[Node]] = {}
    rest: list[Node] = []
    for leaf in leaves:
        family, _ = rows.row.get(leaf, (None, 0))
        if family is None or not family.parallel:
            rest.append(leaf)
        else:
            groups.setdefault(id(family), []).append(leaf)
    sums = []
    for members in groups.values():
        if len(members) < FEWEST:
            rest += members
            continue
        members.sort(key=lambda leaf: rows.row[leaf][1])
        column = rows.column(tuple(members), done)
        sums.append(nodes.sum_(column, (0,)))
    if not sums:
        return current
    kept = [leaf for leaf in leaves if leaf in set(rest)]
    return total([*sums, *(done[leaf] for leaf in kept)])
