"""Named sizes at a call: what binds them, what a function needs of them, what must agree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from codegen.program import Affine, Reshape, SizeRule, Slice, Var
from codegen.types import positive_and_negative
from graphc.errors import GraphValueError, located
from graphc.ir import Node
from graphc.ops.kinds import Elementwise, Layout, RangeParams, SizeParams
from graphc.types import ArrayType, Shape, Size, same_size, size_names, size_text


def names_in(order: Iterable[Node], more: Iterable[Node]) -> frozenset[str]:
    """The named sizes that computing `order` needs."""
    names: set[str] = set()
    types: dict[int, ArrayType] = {}  # by their ids: a large graph has few
    for node in (*order, *more):
        types[id(node.type)] = node.type
        for operand in node.inputs:
            types[id(operand.type)] = operand.type
        if isinstance(node.params, SizeParams | RangeParams):
            names |= size_names(node.params.size)
    for type in types.values():
        for size in type.shape:
            names |= size_names(size)
    return frozenset(names)


def bare_names(type: ArrayType) -> set[str]:
    """The named sizes that are axes of the type as they are."""
    return {str(size) for size in type.shape if not isinstance(size, int) and size.is_name}


def bound_names(type: ArrayType) -> set[str]:
    """The named sizes that an array of the type tells: of axes linear in one name."""
    return {rule[0] for size in type.shape if (rule := _linear(size)) is not None}


def _linear(size: Size) -> tuple[str, int, int] | None:
    """(name, scale, offset) where the size is scale * name + offset."""
    if isinstance(size, int):
        return None
    scale, offset, name = 0, 0, ""
    for monomial, coefficient in size.terms:
        if monomial == ():
            offset = coefficient
            continue
        (atom, power), *rest = monomial
        if rest or power != 1 or not isinstance(atom, str) or name:
            return None
        name, scale = atom, coefficient
    return (name, scale, offset) if scale > 0 else None


def rules_of(
    inputs: Sequence[Node], known: Mapping[Node, Var], names: frozenset[str] | None
) -> tuple[SizeRule, ...]:
    """How each named size is bound: by the first input that has it bare, else by a linear one."""
    rules: dict[str, SizeRule] = {}
    wanted = names
    for bare in (True, False):
        for node in inputs:
            for axis, size in enumerate(node.type.shape):
                found = _linear(size)
                if found is None or found[0] in rules or (bare and found[1:] != (1, 0)):
                    continue
                if wanted is None or found[0] in wanted:
                    rules[found[0]] = SizeRule(found[0], known[node], axis, found[1], found[2])
    every = {name for node in inputs for size in node.type.shape for name in size_names(size)}
    missing = sorted((wanted or every) - rules.keys())
    if missing:
        raise GraphValueError(
            located(
                f"the size {missing[0]!r} follows from no input: "
                f"give an input a plain axis [{missing[0]}]"
            )
        )
    return tuple(rules.values())


def may_read_outside(indices: Sequence[Affine], shape: Shape, extents: Mapping[str, Size]) -> bool:
    """Whether some values of the indices may read outside an array of the shape, as far as that is
    known of named sizes."""
    for at, size in zip(indices, shape, strict=True):
        low: Size = at.offset
        left: Size = size - 1 - at.offset
        for name, scale in at.terms:
            reach = (extents[name] - 1) * scale
            if scale < 0:
                low = low + reach
            else:
                left = left - reach
        if any(not isinstance(room, int) or room < 0 for room in (low, left)):
            return True
    return False


def constraints(order: Iterable[Node]) -> list[tuple[Size, Size, str]]:
    """What could not be decided at declaration: sizes that must agree at the call."""
    found: dict[tuple[Size, Size], str] = {}
    for node in order:
        if not isinstance(node.op, Elementwise | Layout):
            continue
        for x in node.inputs:
            if x.type is not node.type:
                break
        else:
            continue
        shapes = [x.type.shape for x in node.inputs]
        if isinstance(node.params, Reshape):
            pairs = [(node.inputs[0].type.size, node.type.size)]
        elif isinstance(node.op, Elementwise):
            pairs = [
                (size, node.type.shape[axis - len(shape)])
                for shape in shapes
                for axis, size in enumerate(shape)
                if size != 1
            ]
        else:
            continue
        for a, b in pairs:
            if a is not b and same_size(a, b) is None:
                found.setdefault(
                    (a, b), f"{node.op.name}: {size_text(a)} and {size_text(b)} differ"
                )
    return [(a, b, text) for (a, b), text in found.items()]


def least(order: Iterable[Node]) -> list[tuple[Size, Size, str]]:
    """(a, b, what is wrong where a < b): sizes that must not turn out negative at the call, and
    elements that a slice takes from an axis of a named size."""
    found: dict[tuple[Size, Size], str] = {}
    seen: set[ArrayType] = set()
    for node in order:
        if isinstance(node.params, Slice):
            for quantity in _reaches(node.params, node.inputs[0].type.shape):
                _require(quantity, node, node.inputs[0].type, found)
        if node.type not in seen:
            seen.add(node.type)
            for size in node.type.shape:
                _require(size, node, node.type, found)
    return [(a, b, text) for (a, b), text in found.items()]


def _reaches(region: Slice, shape: Shape) -> Iterator[Size]:
    """What must not be negative: the first position, and what is left behind the last one."""
    for start, size, step, length in zip(
        region.starts, region.sizes, region.steps, shape, strict=True
    ):
        if isinstance(size, int) and size > 0:
            ends = (start, start + (size - 1) * step)
            yield from (ends[0], ends[-1], length - 1 - ends[0], length - 1 - ends[-1])


def _require(
    quantity: Size, node: Node, type: ArrayType, found: dict[tuple[Size, Size], str]
) -> None:
    """Note that the quantity must be >= 0, where its form leaves that open.

    That of a product of sizes follows from theirs; what min, max and // made was made to fit.
    """
    if isinstance(quantity, int) or any(
        len(monomial) > 1 or any(power > 1 or not isinstance(atom, str) for atom, power in monomial)
        for monomial, _ in quantity.terms
    ):
        return
    a, b = positive_and_negative(quantity)
    if b != 0:
        needs = f"{size_text(a)} >= {size_text(b)}"
        found.setdefault((a, b), f"{node.op.name}: {type} needs {needs}")
