"""Chains of products in the cheapest order: (A @ B) @ v as A @ (B @ v), and sums before products.

Products are associative, and rounding aside any order gives the same result; which order costs
least follows from the sizes alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import product as combinations
from typing import NamedTuple

from codegen.program import Affine, Transpose
from graphc import nodes
from graphc.ir import Node
from graphc.naming import unused
from graphc.ops.kinds import Contraction, Einstein
from graphc.types import FLOATING, Size, substitute

# Longer chains are left as they are: the number of orders grows exponentially.
MOST = 7
# Named sizes are tried at these values, each with each; beyond so many names nothing is decided.
TRIED = (2, 64, 4096)
NAMES = 4
WORTH = 1.25

Lone = Callable[[Node], bool]
_PRODUCT = Contraction("contract")
_LETTERS = "ijklmnopqrstuvwxyz"


class Factor(NamedTuple):
    """A factor of a product, and the index of each of its axes."""

    node: Node
    names: tuple[str, ...]


def product_order(node: Node, lone: Lone) -> Node | None:
    """A product of products, and sums of products, in the order that takes fewest multiplications.

    lone: whether nothing else uses a value. Only unnamed values that nothing else uses are inside a
    chain: what the user named is computed as it is. The order must save a fifth; where sizes are
    named, at middling ones, and be no dearer than by a fourth where they are small or large.
    """
    if not isinstance(node.params, Einstein) or node.type.dtype not in FLOATING:
        return None
    chain = _Chain(node)
    factors = chain.flattened(lone)
    if factors is None or not 2 <= len(factors) <= MOST or len(chain.sums) == 1:
        return None
    names = {name for size in chain.extents.values() for name in nodes_of(size)}
    if len(names) > NAMES or len(chain.extents) > len(_LETTERS):
        return None
    sizes = [
        dict(zip(sorted(names), values, strict=True))
        for values in combinations(TRIED, repeat=len(names))
    ]
    extents = [
        {name: _number(size, known) for name, size in chain.extents.items()} for known in sizes
    ]
    middle = extents[len(extents) // 2]  # 64 for every name
    out = frozenset(chain.out)
    order = _cheapest([frozenset(f.names) for f in factors], out, middle)
    costs = [_cost(order, factors, out, known) for known in extents]
    before = [sum(_volume(names, known) for names in chain.sums) for known in extents]
    pairs = list(zip(costs, before, strict=True))
    new, old = pairs[len(pairs) // 2]
    if new > old / WORTH or any(new > old * WORTH for new, old in pairs):
        return None
    result = _built(order, factors, out, chain.extents)
    return _final(result, chain.out, chain.extents)


def nodes_of(size: Size) -> frozenset[str]:
    """The names in a size."""
    return frozenset() if isinstance(size, int) else size.names


def _number(size: Size, known: Mapping[str, int]) -> int:
    value = substitute(size, known)
    assert isinstance(value, int)
    return max(value, 0)


# -- the chain -------------------------------------------------------------------------------------


class _Chain:
    """The factors of a product of products.

    sums: for each product in it, the indices that it runs over (one twice, where a diagonal is read
        off it).
    """

    def __init__(self, root: Node) -> None:
        params = root.params
        assert isinstance(params, Einstein)
        self.root = root
        self.out: tuple[str, ...] = ()
        self.extents: dict[str, Size] = {}
        self.sums: list[tuple[str, ...]] = []

    def flattened(self, lone: Lone) -> list[Factor] | None:
        """The factors in their order; None where the root is no plain product."""
        out = _plain(self.root)
        if out is None:
            return None
        self.out = out
        factors: list[Factor] = []
        stack = [Factor(self.root, out)]
        while stack:
            x, names = stack.pop()
            inner, renamed = _untransposed(x, names, lone)
            own = None
            if x is self.root or (lone(inner) and not inner.name):
                own = _plain(inner)
            if own is None:
                factors.append(Factor(x, names))
                continue
            stack.extend(reversed(self._opened(inner, renamed, own)))
        # (A diagonal is read off a product, as of a trace, but not off a factor.)
        distinct = all(len(set(factor.names)) == len(factor.names) for factor in factors)
        return factors if distinct else None

    def _opened(self, node: Node, names: tuple[str, ...], own: tuple[str, ...]) -> list[Factor]:
        """The operands of a product whose axes are called `names`, by those names and new ones."""
        params = node.params
        assert isinstance(params, Einstein)
        called = dict(zip(own, names, strict=True))
        for name, size in params.extents:
            if name not in called:
                new = f"{name}{len(self.sums)}" if self.sums else name
                called[name] = unused(new, self.extents)
            self.extents.setdefault(called[name], size)
        self.sums.append(tuple(called.values()))
        return [
            Factor(x, tuple(called[affine.index or ""] for affine in indices))
            for x, indices in zip(node.inputs, params.operands, strict=True)
        ]


def _plain(node: Node) -> tuple[str, ...] | None:
    """The result's indices, where the node is a sum of products with bare indices alone."""
    params = node.params
    if not isinstance(node.op, Contraction) or not isinstance(params, Einstein):
        return None
    if params.body is not None:
        return None
    out = [affine.index for affine in params.out]
    read: set[str | None] = set()
    for indices in params.operands:
        read.update(affine.index for affine in indices)
    if None in out or None in read or len(set(out)) != len(out):
        return None
    if read != {name for name, _ in params.extents}:
        return None
    return tuple(str(name) for name in out)


def _untransposed(x: Node, names: tuple[str, ...], lone: Lone) -> tuple[Node, tuple[str, ...]]:
    """The operand of transposes that nothing else uses, its axes under the same names."""
    while isinstance(params := x.params, Transpose) and lone(x) and not x.name:
        names = tuple(names[params.axes.index(axis)] for axis in range(len(names)))
        x = x.inputs[0]
    return x, names


# -- the order -------------------------------------------------------------------------------------

# A factor by its number, or two that are multiplied.
Order = int | tuple["Order", "Order"]


def _volume(names: Iterable[str], extents: Mapping[str, int]) -> int:
    count = 1
    for name in names:
        count *= extents[name]
    return count


def _cheapest(
    factors: list[frozenset[str]], out: frozenset[str], extents: Mapping[str, int]
) -> Order:
    """The order of products that costs least: of every subset of the factors the best."""
    every = (1 << len(factors)) - 1
    best: dict[int, tuple[int, Order]] = {}
    kept = {part: _kept(part, factors, out) for part in range(1, every + 1)}
    for part in range(1, every + 1):
        lowest = part & -part
        if part == lowest:
            best[part] = (0, lowest.bit_length() - 1)
            continue
        found: tuple[int, Order] | None = None
        left = (part - 1) & part
        while left:
            right = part ^ left
            if left & lowest:
                volume = _volume(kept[left] | kept[right], extents)
                cost = best[left][0] + best[right][0] + volume
                if found is None or cost < found[0]:
                    found = (cost, (best[left][1], best[right][1]))
            left = (left - 1) & part
        assert found is not None
        best[part] = found
    return best[every][1]


def _kept(part: int, factors: list[frozenset[str]], out: frozenset[str]) -> frozenset[str]:
    """The indices of a product of some factors that the result or another factor needs."""
    inside: set[str] = set()
    outside = set(out)
    for k, names in enumerate(factors):
        (inside if part >> k & 1 else outside).update(names)
    return frozenset(inside & outside)


def _parts(order: Order) -> int:
    """The factors of a product, a bit each."""
    if isinstance(order, int):
        return 1 << order
    return _parts(order[0]) | _parts(order[1])


def _cost(
    order: Order, factors: list[Factor], out: frozenset[str], extents: Mapping[str, int]
) -> int:
    """Multiplications and additions: the sums of single factors, then the products."""
    sets = [frozenset(factor.names) for factor in factors]
    if isinstance(order, int):
        kept = _kept(1 << order, sets, out)
        return 0 if kept == sets[order] else _volume(sets[order], extents)
    one, other = (_kept(_parts(part), sets, out) for part in order)
    inner = sum(_cost(part, factors, out, extents) for part in order)
    return inner + _volume(one | other, extents)


# -- the products ----------------------------------------------------------------------------------


def _built(
    order: Order, factors: list[Factor], out: frozenset[str], extents: Mapping[str, Size]
) -> Factor:
    """The product in that order, with the indices that are needed outside."""
    sets = [frozenset(factor.names) for factor in factors]
    kept = _kept(_parts(order), sets, out)
    if isinstance(order, int):
        factor = factors[order]
        axes = tuple(k for k, name in enumerate(factor.names) if name not in kept)
        names = tuple(name for name in factor.names if name in kept)
        return Factor(nodes.sum_(factor.node, axes), names)
    one, other = (_built(part, factors, out, extents) for part in order)
    shared = [name for name in one.names if name in other.names and name in kept]
    mine = [name for name in one.names if name not in other.names]
    yours = [name for name in other.names if name not in one.names]
    names = tuple(name for name in (*shared, *mine, *yours) if name in kept)
    summed = [name for name in one.names if name in other.names and name not in kept]
    inner = one.names[-1:] == other.names[:1] == tuple(summed)
    if inner and summed and not shared and max(map(_rank, (one, other))) <= 2:
        return Factor(nodes.matmul(one.node, other.node), names)
    return Factor(_multiplied((one, other), names, extents), names)


def _rank(factor: Factor) -> int:
    return len(factor.names)


def _multiplied(
    factors: tuple[Factor, ...], names: tuple[str, ...], extents: Mapping[str, Size]
) -> Node:
    used = list(dict.fromkeys((*names, *(name for factor in factors for name in factor.names))))
    letters = dict(zip(used, _LETTERS, strict=False))

    def indices(names: tuple[str, ...]) -> tuple[Affine, ...]:
        return tuple(nodes.index(letters[name]) for name in names)

    params = Einstein(
        indices(names),
        tuple(indices(factor.names) for factor in factors),
        tuple((letters[name], extents[name]) for name in used),
        tuple(extents[name] for name in names),
    )
    return nodes.contraction(_PRODUCT, params, *(factor.node for factor in factors))


def _final(result: Factor, out: tuple[str, ...], extents: Mapping[str, Size]) -> Node:
    """The result with its axes in order."""
    return nodes.transpose(result.node, tuple(result.names.index(name) for name in out))
