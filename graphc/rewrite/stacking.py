"""What a loop computes step by step, and could compute for all steps at once: products and sums.

An unrolled loop multiplies each step's input by one matrix, and its gradient adds up one product
for each step. Neither depends on the order of the steps, so each is one larger product over the
steps' operands stacked: BLAS is at its best there, and no sum passes over memory again and again.

    x[0] @ W, x[1] @ W, ...             ->  xW = x.reshape(...) @ W;  xW[:n], xW[n:2 * n], ...
    A_1.T @ D_1 + A_2.T @ D_2 + ...     ->  [A_1; A_2; ...].T @ [D_1; D_2; ...]
    D_1.sum(0) + D_2.sum(0) + ...       ->  the sum of [D_1; D_2; ...], where that exists anyway

Sums are taken in another order, so results are kept to rounding. Both passes take linear time.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence

from codegen.program import Affine, Slice
from codegen.record import struct
from graphc import nodes
from graphc.ir import Graph, Node
from graphc.ops.kinds import Contraction, Einstein
from graphc.order import users
from graphc.rewrite.stacks import Stacks, estimate, slice_along
from graphc.rewrite.sums import sum_trees, total
from graphc.rewrite.walk import planned
from graphc.types import Size

# Fewer than this are left as the user wrote them.
FEWEST = 3
# A product of more multiply-adds than this is large enough for BLAS as it is.
_LARGE = 1 << 23
# The index that counts the steps, where the operands have none of their own to be longer.
_STEP = "step"

# -- products of slices ----------------------------------------------------------------------------


@struct
class _Products:
    """Products of neighbouring slices: of their first factor, at `operand`, the axis that grows."""

    members: list[Node]
    operand: int
    axis: int
    name: str  # the index of that axis
    product: Node | None = None


def stack_products(graph: Graph) -> Graph:
    """Products of neighbouring slices of one value with one and the same operand: one product.

    The slices need no copy, and the products become views of the one product. None of them can
    depend on another, since what is sliced exists before the first. Products that are large enough
    for BLAS as they are stay: joining them would only take memory.
    """
    found = _neighbours(graph)
    if not found:
        return graph
    stacks = Stacks()

    def step(original: Node, current: Node, done: Mapping[Node, Node]) -> Node:
        if original not in found:
            return current
        group, start = found[original]
        if group.product is None:
            group.product = _one_product(group, current, done, stacks)
        params = current.params
        assert isinstance(params, Einstein)
        at = axis_of(params.out, group.name)
        assert at is not None
        starts = [0] * current.type.ndim
        starts[at] = start
        return nodes.slice_(
            group.product, tuple(starts), current.type.shape, (1,) * current.type.ndim
        )

    return planned(graph, step)


def _one_product(
    group: _Products, current: Node, done: Mapping[Node, Node], stacks: Stacks
) -> Node:
    params = current.params
    assert isinstance(params, Einstein)
    parts = [done.get(x, x) for x in (member.inputs[group.operand] for member in group.members)]
    inputs = list(current.inputs)
    inputs[group.operand] = joined = stacks.joined(parts, group.axis)
    rows = joined.type.shape[group.axis]
    assert isinstance(current.op, Contraction)
    return nodes.contraction(current.op, resized(params, group.name, rows), *inputs)


def _neighbours(graph: Graph) -> dict[Node, tuple[_Products, int]]:
    """For each product that is better joined: its group, and where it begins in the joined one."""
    groups: dict[Hashable, list[tuple[int, Node]]] = {}
    places: dict[Hashable, tuple[int, int, str]] = {}
    for node in graph.nodes:
        params = node.params
        if not isinstance(params, Einstein) or params.body is not None or len(node.inputs) != 2:
            continue
        if estimate(tuple(size for _, size in params.extents)) > _LARGE:
            continue
        found = _sliced_factor(node, params)
        if found is not None:
            key, start, place = found
            groups.setdefault(key, []).append((start, node))
            places.setdefault(key, place)
    result: dict[Node, tuple[_Products, int]] = {}
    for key, members in groups.items():
        operand, axis, name = places[key]
        for run in _runs(members, operand, axis):
            group = _Products(run, operand, axis, name)
            at = 0
            for member in run:
                result[member] = (group, at)
                rows = member.inputs[operand].type.shape[axis]
                assert isinstance(rows, int)
                at += rows
    return result


def _sliced_factor(
    node: Node, params: Einstein
) -> tuple[Hashable, int, tuple[int, int, str]] | None:
    """(what neighbours have in common, start, (operand, axis, index)) of a factor that is a slice
    along an axis of the result."""
    for operand in (0, 1):
        x, other = node.inputs[operand], node.inputs[1 - operand]
        for axis, affine in enumerate(params.operands[operand]):
            name = affine.index
            found = slice_along(x, axis) if name is not None else None
            if name is None or found is None or other is x:
                continue
            source, region, at = found
            start, rows = region.starts[at], x.type.shape[axis]
            mine = axis_of(params.operands[operand], name), axis_of(params.out, name)
            theirs = any(name in dict(index.terms) for index in params.operands[1 - operand])
            if None in mine or theirs or not isinstance(start, int) or not isinstance(rows, int):
                continue
            common = (operand, axis, other, source, x.type.shape, params, _aside(region, at))
            return common, start, (operand, axis, name)
    return None


def _aside(region: Slice, axis: int) -> Hashable:
    starts, sizes = region.starts, region.sizes
    return starts[:axis], starts[axis + 1 :], sizes


def _runs(members: list[tuple[int, Node]], operand: int, axis: int) -> Iterator[list[Node]]:
    """The longest runs of slices each of which begins where the one before ends."""
    members = sorted(members, key=lambda member: member[0])
    run: list[Node] = []
    end = -1
    for start, node in members:
        if start != end and run:
            if len(run) >= FEWEST:
                yield run
            run = []
        run.append(node)
        found = slice_along(node.inputs[operand], axis)
        assert found is not None
        size = found[1].sizes[found[2]]
        assert isinstance(size, int)
        end = start + size
    if len(run) >= FEWEST:
        yield run


# -- sums of products ------------------------------------------------------------------------------


@struct
class _Sum:
    """Terms of one form, whose sum is one contraction of their operands joined along `axes`.

    name: the index that grows, or _STEP for a new one. steps: how the operands are joined.
    """

    terms: list[Node]
    name: str
    axes: tuple[int, ...]


def stack_sums(graph: Graph) -> Graph:
    """Sums of products of one form, over stacked operands: one product.

    Where copying operands into a stack moves less memory than adding up the products would. Sums
    of values along an axis, where those are stacked for a product anyway.
    """
    if sum(isinstance(node.params, Einstein) for node in graph.nodes) < FEWEST:
        return graph
    uses = users(graph.nodes)
    trees = sum_trees(graph, uses, FEWEST)
    if not trees:
        return graph
    # A term that something else needs is computed anyway.
    needed = {node for _, node in graph.outputs}
    needed.update(node for node, readers in uses.items() if len(readers) > 1)
    position = {node: k for k, node in enumerate(graph.nodes)}
    stacks = Stacks()
    chosen: dict[Node, list[_Sum]] = {}
    for arity in (2, 1):
        for root, leaves in trees.items():
            for found in _alike([leaf for leaf in leaves if leaf not in needed], arity):
                if _accept(found, stacks, position, position[root]):
                    chosen.setdefault(root, []).append(found)
    if not chosen:
        return graph

    def step(original: Node, current: Node, done: Mapping[Node, Node]) -> Node:
        sums = chosen.get(original)
        if sums is None:
            return current
        gone = {leaf for found in sums for leaf in found.terms}
        terms = [done[leaf] for leaf in trees[original] if leaf not in gone]
        terms += [_stacked(found, stacks, done) for found in sums]
        return total(terms)

    return planned(graph, step)


def _alike(leaves: Sequence[Node], arity: int) -> Iterator[_Sum]:
    """Groups of terms that are contractions of one form."""
    groups: dict[Hashable, list[Node]] = {}
    for leaf in leaves:
        params = leaf.params
        if isinstance(params, Einstein) and params.body is None and len(leaf.inputs) == arity:
            shapes = tuple(x.type.shape for x in leaf.inputs)
            groups.setdefault((params, shapes), []).append(leaf)
    for members in groups.values():
        params = members[0].params
        assert isinstance(params, Einstein)
        if len(members) < FEWEST:
            continue
        place = _summed_index(params)
        if place is not None:
            yield _Sum(members, *place)


def _summed_index(params: Einstein) -> tuple[str, tuple[int, ...]] | None:
    """The index, summed and plain in every operand, that the joined operands have more values of;
    else a new one, in front of all axes."""
    out = {name for affine in params.out for name, _ in affine.terms}
    best: tuple[str, tuple[int, ...]] | None = None
    for name, _ in params.extents:
        if name in out:
            continue
        axes = tuple(axis_of(operand, name) for operand in params.operands)
        if None not in axes and (best is None or sum(axes) < sum(best[1])):  # type: ignore[arg-type]
            best = name, axes  # type: ignore[assignment]
    if best is None and len(params.operands) > 1 and all(params.operands):
        best = _STEP, (-1,) * len(params.operands)
    return best


def _accept(found: _Sum, stacks: Stacks, position: dict[Node, int], before: int) -> bool:
    """Whether one contraction is cheaper; then its terms are ordered, and their stacks known."""
    columns = list(zip(*(term.inputs for term in found.terms), strict=True))
    if any(len(set(column)) == 1 for column in columns):
        return False
    order = None
    for parts, axis in zip(columns, found.axes, strict=True):
        order = order or stacks.known(parts, axis, position, before)
    if order is None:
        # Forward in time: by what was made first.
        keys = [min(x.serial for x in term.inputs) for term in found.terms]
        order = sorted(range(len(keys)), key=keys.__getitem__)
    terms = [found.terms[k] for k in order]
    copies = 0
    for operand, axis in enumerate(found.axes):
        column = tuple(term.inputs[operand] for term in terms)
        if not stacks.free(column, axis, position, before):
            copies += estimate(column[0].type.shape)
    added = 2 * estimate(terms[0].type.shape) if len(columns) > 1 else 0
    if copies > added:
        return False
    found.terms = terms
    for operand, axis in enumerate(found.axes):
        stacks.add([term.inputs[operand] for term in terms], axis, position, before)
    return True


def _stacked(found: _Sum, stacks: Stacks, done: Mapping[Node, Node]) -> Node:
    """The one contraction in the place of the terms."""
    first = found.terms[0]
    params, op = first.params, first.op
    assert isinstance(params, Einstein)
    assert isinstance(op, Contraction)
    operands = [
        stacks.operand([term.inputs[k] for term in found.terms], axis, done)
        for k, axis in enumerate(found.axes)
    ]
    if found.name == _STEP:
        index = nodes.index(_STEP)
        formulas = tuple((index, *formula) for formula in params.operands)
        extents = ((_STEP, len(found.terms)), *params.extents)
        return nodes.contraction(
            op, Einstein(params.out, formulas, extents, params.shape), *operands
        )
    rows = operands[0].type.shape[found.axes[0]]
    if len(operands) == 1 and found.axes == (0,):
        # Step by step, then over the steps: as accurate as it was.
        (x,) = operands
        parts = nodes.reshape(x, (len(found.terms), *first.inputs[0].type.shape))
        formulas = ((nodes.index(_STEP), *params.operands[0]),)
        out = (nodes.index(_STEP), *params.out)
        extents = ((_STEP, len(found.terms)), *params.extents)
        each = Einstein(out, formulas, extents, (len(found.terms), *params.shape))
        return nodes.sum_(nodes.contraction(op, each, parts), (0,))
    return nodes.contraction(op, resized(params, found.name, rows), *operands)


# -- index formulas --------------------------------------------------------------------------------


def axis_of(indices: Sequence[Affine], name: str) -> int | None:
    """The one axis that an index counts; None where none does, or not it alone."""
    axes = [axis for axis, affine in enumerate(indices) if name in dict(affine.terms)]
    return axes[0] if len(axes) == 1 and indices[axes[0]].index == name else None


def resized(params: Einstein, name: str, size: Size) -> Einstein:
    """The formula with another size of an index."""
    extents = tuple((own, size if own == name else other) for own, other in params.extents)
    at = axis_of(params.out, name)
    shape = params.shape if at is None else (*params.shape[:at], size, *params.shape[at + 1 :])
    return Einstein(params.out, params.operands, extents, shape, params.body)
