"""Arrays that are zero off a diagonal: y[starts + i[axes]] = values[i].

The identity matrix is the commonest, d x[i] / d x[j]; the derivative of x[1:] by x is the diagonal
beside the main one. As a node such a band is index notation, y[i, i] = v[i], written at a region of
zeros where it does not reach from corner to corner.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce

from codegen.program import Affine, Slice
from codegen.record import record
from codegen.types import not_negative
from graphc import nodes
from graphc.ir import Graph, Node
from graphc.ops.kinds import Contraction, Einstein, Elementwise, Place
from graphc.order import users
from graphc.rewrite.walk import planned, rebuild, table_name
from graphc.types import Shape, Size, product

DELTA = Contraction("delta")


@record
class Band:
    """y[starts + i[axes]] = values[i], y being zero elsewhere.

    axes: for each axis of y, the axis of `values` that runs along it. The axes of `values` have the
        order in which they appear here.
    starts: where the band begins, for each axis of y. shape: that of y.
    """

    values: Node
    axes: tuple[int, ...]
    starts: tuple[Size, ...]
    shape: Shape

    @property
    def sizes(self) -> Shape:
        """How many positions the band takes of each axis of y."""
        return tuple(self.values.type.shape[axis] for axis in self.axes)

    @property
    def region(self) -> Slice:
        """The smallest region of y that holds the band."""
        return Slice(self.starts, self.sizes, (1,) * len(self.axes))

    @property
    def whole(self) -> bool:
        """Whether the band reaches from corner to corner."""
        return self.sizes == self.shape and all(start == 0 for start in self.starts)


def node_of(band: Band) -> Node:
    """The band as a node."""
    names = [f"i{axis}" for axis in range(band.values.type.ndim)]
    extents = tuple(zip(names, band.values.type.shape, strict=True))
    out = tuple(nodes.index(names[axis]) for axis in band.axes)
    own = tuple(map(nodes.index, names))
    if len(out) == len(own):
        made = band.values
    else:
        made = nodes.contraction(DELTA, Einstein(out, (own,), extents, band.sizes), band.values)
    return made if band.whole else nodes.place(made, band.region, band.shape)


def band_of(node: Node, now: Callable[[Node], Node] = lambda x: x) -> Band | None:
    """What `node_of` makes, or the like; None of any other node. now: what the values became."""
    shape = node.type.shape
    starts: tuple[Size, ...] = (0,) * len(shape)
    if isinstance(node.params, Place):
        if any(step != 1 for step in node.params.region.steps):
            return None
        starts = node.params.region.starts
        node = node.inputs[0]
    params = node.params
    if not isinstance(params, Einstein) or len(node.inputs) != 1 or params.body is not None:
        return None
    own, out = bare(params.operands[0]), bare(params.out)
    if own is None or out is None or len(out) == len(own) or {*own} != {*out}:
        return None
    extents = dict(params.extents)
    if len({*own}) < len(own) or len(extents) != len(own):
        return None
    if params.shape != tuple(extents[name] for name in out):
        return None
    order = list(dict.fromkeys(out))
    values = nodes.transpose(now(node.inputs[0]), tuple(own.index(name) for name in order))
    return Band(values, tuple(order.index(name) for name in out), starts, shape)


def bands_of(node: Node, now: Callable[[Node], Node] = lambda x: x) -> list[Band] | None:
    """The bands of which the node is the sum; None where it is no such sum."""
    found: list[Band] = []
    stack = [(node, False)]
    while stack:
        x, negated = stack.pop()
        if _is_sum(x):
            (a, b), name = x.inputs, table_name(x.op)
            # The second one first: a long sum that is none fails at its last term.
            stack += [(a, negated), (b, negated != (name == "subtract"))]
            continue
        one = band_of(x, now)
        if one is None:
            return None
        values = nodes.elementwise("negative", one.values) if negated else one.values
        found.append(Band(values, one.axes, one.starts, one.shape))
    return found


def _is_sum(node: Node) -> bool:
    return (
        isinstance(node.op, Elementwise)
        and table_name(node.op) in ("add", "subtract")
        and all(x.type == node.type for x in node.inputs)
    )


def bare(places: Sequence[Affine]) -> list[str] | None:
    """The index of each place; None where one is more than an index."""
    found = [affine.index for affine in places]
    return None if None in found else found  # type: ignore[return-value]


def total(bands: Sequence[Band]) -> Node:
    """The sum, bands at the same place added up before they are written."""
    merged: dict[object, Band] = {}
    for one in bands:
        place = (one.axes, one.starts, one.sizes)
        known = merged.get(place)
        if known is not None:
            values = nodes.add(known.values, one.values)
            one = Band(values, one.axes, one.starts, one.shape)
        merged[place] = one
    return reduce(nodes.add, map(node_of, merged.values()))


# -- before lowering -------------------------------------------------------------------------------


def along_diagonals(graph: Graph) -> Graph:
    """Sums of bands are written into one array of zeros: a diagonal of a matrix with n columns is
    every (n + 1)-th element of its rows one after another.

        y[i, i] = v[i]      ->      y = place(v, 0::n + 1).reshape(n, n)

    Several neighbouring diagonals, of a convolution, are columns of a matrix a column wider.

        y[i, i + j] = v[i, j]      ->      y = place(v, [:, :k]).ravel()[:n m].reshape(n, m)
    """
    if any(_may_lean(node.params) for node in graph.nodes):
        graph = rebuild(graph, _leaning)
    sums: set[Node] = set()
    for node in graph.nodes:
        if (_is_sum(node) and sums.issuperset(node.inputs)) or band_of(node) is not None:
            sums.add(node)
    if not sums:
        return graph
    uses = users(graph.nodes)
    returned = {node for _, node in graph.outputs}
    # Those of which more than a larger sum is made.
    roots = {x for x in sums if x in returned or not sums.issuperset(uses[x])}

    def step(original: Node, current: Node, done: Mapping[Node, Node]) -> Node:
        if original not in roots:
            return current
        bands = bands_of(original, lambda x: done.get(x, x))
        assert bands is not None
        places: dict[Shape, list[Node]] = {}
        for one in bands:
            made = _strided(one)
            if made is None:
                # A region of its own, whose rows are whole.
                part = _strided(Band(one.values, one.axes, (0,) * len(one.axes), one.sizes))
                if part is None:
                    return current
                made = nodes.place(nodes.reshape(part, one.sizes), one.region, one.shape)
            places.setdefault(made.type.shape, []).append(made)
        shape = original.type.shape
        return reduce(
            nodes.add, (nodes.reshape(reduce(nodes.add, some), shape) for some in places.values())
        )

    return planned(graph, step)


def _may_lean(params: object) -> bool:
    return isinstance(params, Einstein) and len(params.out) == 2 and len(params.out[1].terms) == 2


def _leaning(node: Node) -> Node:
    """y[i, i + j + c] = v[i, j]: what follows v[i, :] in a row, and goes before it in the next one,
    is one element longer than a row, so that each row begins one place later."""
    params = node.params
    if not _may_lean(params):
        return node
    assert isinstance(params, Einstein)
    extents, first = dict(params.extents), params.out[0].index
    start, others = params.out[1].offset, dict(params.out[1].terms)
    if first is None or params.body is not None or others.pop(first, 0) != 1 or start < 0:
        return node
    ((j, times),) = others.items()
    (n, m), k = params.shape, extents[j]
    if times != 1 or n != extents[first] or not not_negative(m - (n + k + start - 1)):
        return node  # steps between, or the last rows' ends would be cut off
    plain = Einstein((nodes.index(first), nodes.index(j)), params.operands, params.extents, (n, k))
    if params.operands == ((nodes.index(j),),) and node.inputs[0].type.shape == (k,):
        values = nodes.broadcast_to(node.inputs[0], (n, k))
    elif params.operands == (plain.out,) and node.inputs[0].type.shape == (n, k):
        values = node.inputs[0]
    else:
        values = nodes.contraction(node.op, plain, *node.inputs)  # type: ignore[arg-type]
    region = Slice((0, start), (n, k), (1, 1))
    flat = nodes.reshape(nodes.place(values, region, (n, m + 1)), (n * (m + 1),))
    return nodes.reshape(nodes.slice_(flat, (0,), (n * m,), (1,)), (n, m))


def _strided(band: Band) -> Node | None:
    """The band as every so many elements of an array with fewer axes; None where it is not that.

    Axes that one index runs along are joined to one, as are those of several indices that stand
    there again in their order, [i, j, i, j]; of these all but the first must be whole.
    """
    shape: list[Size] = []
    starts: list[Size] = []
    sizes: list[Size] = []
    steps: list[Size] = []
    k = 0
    while k < len(band.axes):
        width, times = _run(band.axes, k)
        end = k + width * times
        if any(band.axes.count(axis) != times for axis in band.axes[k : k + width]):
            return None
        inner = band.sizes[k + 1 : k + width]
        if any(band.shape[first + 1 : first + width] != inner for first in range(k, end, width)):
            return None
        shape.append(product(band.shape[k:end]))
        sizes.append(product(band.sizes[k : k + width]))
        start: Size = 0
        step: Size = 0
        for first in range(k, end, width):
            step = step + product(band.shape[first + width : end])
            start = start + band.starts[first] * product(band.shape[first + 1 : end])
        starts.append(start)
        steps.append(step)
        k = end
    region = Slice(tuple(starts), tuple(sizes), tuple(steps))
    return nodes.place(nodes.reshape(band.values, tuple(sizes)), region, tuple(shape))


def _run(axes: Sequence[int], k: int) -> tuple[int, int]:
    """How many axes from k on stand there again at once, in their order, and how many times."""
    for width in range(1, (len(axes) - k) // 2 + 1):
        word, times = axes[k : k + width], 1
        while axes[k + times * width : k + (times + 1) * width] == word:
            times += 1
        if times > 1:
            return width, times
    return 1, 1
