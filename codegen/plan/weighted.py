"""Sums of products with smaller arrays, from fewer large ones.

For u[n, m] and c[n, m], s[n, 1] and g[m]:

(c * (u / s)).sum(axis=0)         -> (1 / s) @ p            with p = c * u
(c * g * (u / s)).sum(axis=1)     -> (p @ g) / s
((u / s * g + b) * c).sum()       -> dot(d_g, g) + dot(d_b, b)   where such sums are there already

A sum is taken apart into terms: large factors, whose product is added up, and smaller ones. What is
constant along the sum multiplies it; what varies along it alone are weights: the sum is then the
product of a matrix and a vector. So large arrays that only sums read are not made at all. What else
reads them decides: it is done where fewer passes over memory remain.

The terms of a sum are added up apart only where each is a product, rounded as it is, or a smaller
array times the other factors; so that no digits cancel that did not before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from codegen.expr import FUNCTIONS, Number
from codegen.plan.factors import is_constant, reduced
from codegen.plan.shapes import broadcast
from codegen.plan.steps import (
    Apply,
    Fold,
    Look,
    Operand,
    Product,
    Sheet,
    Step,
    Value,
    outs_of,
    values_of,
)
from codegen.plan.sums import MANY, adds_rows, shows_windows
from codegen.plan.uses import Uses
from codegen.program import Reshape
from codegen.types import Shape, product

# What is longer is left as it is: factors of a term, terms of a sum, chains.
_FACTORS, _TERMS, _DEPTH = 4, 4, 16
# What it costs to make a large array, to do so from a smaller one that is repeated, and to read it.
_MADE, _REPEATED, _READ = 2, 3, 1
_MINUS = Number(-1.0)

# A smaller factor, and whether the term is divided by it.
Small = tuple[Operand, bool]


class Term(NamedTuple):
    """A product of large factors, in the order of their indices, and smaller ones."""

    large: tuple[Value, ...]
    small: tuple[Small, ...]


class Base(NamedTuple):
    """A product of large arrays, added up along axes with weights that vary along them."""

    large: tuple[Value, ...]
    axes: tuple[int, ...]
    weights: tuple[Small, ...]


class Part(NamedTuple):
    """What a term adds up to: the base, in a dot product with `along`, times `outside`."""

    base: Base
    along: tuple[Small, ...]
    outside: tuple[Small, ...]

    @property
    def is_base(self) -> bool:
        return not self.along and not self.outside


def weigh(sheet: Sheet, uses: Uses) -> bool:
    """Rewrite sums in place; whether anything changed, so that uses must be counted again."""
    folds = [step for step in sheet.steps if isinstance(step, Fold) and _is_candidate(step)]
    if not folds:
        return False
    far = _Terms(uses, through=True)
    parts = {fold: found for fold in folds if (found := _parts(far.of(fold), fold))}
    # A base that is a sum of the program is computed as that, by its name.
    owners: dict[Base, Fold] = {}
    for fold, found in parts.items():
        if len(found) == 1 and found[0].is_base:
            owners.setdefault(found[0].base, fold)
    alone = {found[0].base for found in parts.values() if len(found) == 1}
    able: dict[Fold, list[Part]] = {}
    for fold, found in parts.items():
        first = found[0]
        if first.is_base and len(found) == 1:
            if first.base.weights and owners[first.base] is fold:
                able[fold] = found
        elif len(found) == 1 or all(part.base in alone for part in found):
            able[fold] = found
    there = {base for base, fold in owners.items() if fold not in able}
    passes = _Passes(sheet, uses, able, there)
    for fold, found in able.items():
        passes.take_apart(fold, found)
    chosen = dict(able)
    for fold, found in able.items():
        # Each has to be worth it, for the code says it less plainly.
        least = passes.total
        passes.put_together(fold, found)
        if passes.total <= least:
            del chosen[fold]
        else:
            passes.take_apart(fold, found)
    if not chosen:
        return False
    # Where a product is made for weighted sums, a plain sum of it reads it too.
    made = {part.base.large for found in chosen.values() for part in found if part.base.weights}
    for base, fold in owners.items():
        if len(base.large) > 1 and base.large in made:
            chosen[fold] = parts[fold]
    _Rewriter(sheet, chosen, owners).rewrite()
    return True


def _is_candidate(fold: Fold) -> bool:
    summed = fold.operands[0]
    if fold.fn != "sum" or fold.keepdims or not isinstance(summed, Value):
        return False
    floating = summed.dtype in ("f64", "f32") and summed.dtype == fold.out.dtype
    return floating and len(summed.shape) > 1 and _is_large(summed.shape)


def _is_large(shape: Shape) -> bool:
    """Large arrays, and those whose size is not known."""
    count = product(shape)
    return not isinstance(count, int) or count >= MANY


class _Terms:
    """The terms of sums. through: also of products that something else reads."""

    def __init__(self, uses: Uses, through: bool) -> None:
        self.uses = uses
        self.through = through
        self._known: dict[tuple[Value, bool], list[Term]] = {}

    def of(self, fold: Fold) -> list[Term]:
        """The terms whose sum is added up."""
        (summed,) = values_of(fold)
        return self._terms(summed, True, _DEPTH)

    def _terms(self, value: Value, lone: bool, depth: int) -> list[Term]:
        lone = lone and self.uses.count(value) == 1
        known = self._known.get((value, lone))
        if known is None:
            found = self._opened(value, lone, depth) if depth else None
            known = self._known[value, lone] = found or [Term((value,), ())]
        return known

    def _opened(self, value: Value, lone: bool, depth: int) -> list[Term] | None:
        """The terms of what the value is made of; None where it is read as it is."""
        made = value.step
        if not isinstance(made, Apply) or value.keep or self.uses.returned[value.index]:
            return None
        if not (lone or self.through):
            return None
        name = made.function.name
        if name not in ("negative", "multiply", "divide", "add", "subtract"):
            return None
        sides = [self._side(operand, value, lone, depth - 1) for operand in made.operands]
        first, last = sides[0], sides[-1]
        if not first or not last:
            return None
        if name == "negative":
            return [_times(term, (_MINUS, False)) for term in first]
        if name == "divide":
            divisor = made.operands[1]
            if last[0].large or not first[0].large:
                return None
            return [_times(term, (divisor, True)) for term in first]
        if name == "multiply":
            if len(first) > 1 and len(last) > 1:
                return None
            found = [_product(a, b) for a in first for b in last]
            return found if all(len(term.large) <= _FACTORS for term in found) else None
        # A sum's terms are worth something only where they are added up already.
        if not (lone and self.through) or len(first) + len(last) > _TERMS:
            return None
        if not all(map(_is_rounded, made.operands, sides)):
            return None
        if name == "subtract":
            last = [_times(term, (_MINUS, False)) for term in last]
        return [*first, *last]

    def _side(self, operand: Operand, like: Value, lone: bool, depth: int) -> list[Term] | None:
        """The terms of an operand; None where it is of another type."""
        if isinstance(operand, Number):
            return [Term((), ((operand, False),))]
        if not isinstance(operand, Value) or operand.dtype != like.dtype:
            return None
        if operand.shape == like.shape:
            return self._terms(operand, lone, depth)
        return [Term((), ((operand, False),))]


def _is_rounded(operand: Operand, terms: list[Term] | None) -> bool:
    """Whether an operand of a sum is a product, or smaller than the sum."""
    if terms is None or len(terms) > 1 or not terms[0].large:
        return True
    made = operand.step if isinstance(operand, Value) else None
    return isinstance(made, Apply) and made.function.name in ("multiply", "divide")


def _times(term: Term, factor: Small) -> Term:
    return Term(term.large, (*term.small, factor))


def _product(a: Term, b: Term) -> Term:
    large = sorted((*a.large, *b.large), key=lambda value: value.index)
    return Term(tuple(large), (*a.small, *b.small))


def _parts(terms: list[Term], fold: Fold) -> list[Part]:
    """What each term adds up to; empty where one cannot be told."""
    parts: list[Part] = []
    for term in terms:
        plain = term.large and not any(map(shows_windows, term.large))
        part = _part(term, fold) if plain else None
        if part is None:
            return []
        parts.append(part)
    return parts


def _part(term: Term, fold: Fold) -> Part | None:
    (like,) = values_of(fold)
    axes, small = fold.axes, term.small
    outside = tuple(factor for factor in small if is_constant(factor[0], axes, like))
    inside = [factor for factor in small if factor not in outside]
    if not inside:
        return Part(Base(term.large, axes, ()), (), outside)
    rank = len(like.shape)
    varying = tuple(n for n in axes if not all(is_constant(k, (n,), like) for k, _ in inside))
    inside.sort(key=lambda factor: factor[0].index if isinstance(factor[0], Value) else -1)
    if varying != axes:
        # First along the others, then with these factors along the rest.
        others = tuple(axis for axis in axes if axis not in varying)
        return Part(Base(term.large, others, ()), tuple(inside), outside)
    lead, last = tuple(range(rank - 1)), (rank - 1,)
    rows = tuple(factor for factor in inside if _is_shaped(factor[0], (*like.shape[:-1], 1)))
    columns = tuple(factor for factor in inside if is_constant(factor[0], lead, like))
    if len(rows) + len(columns) < len(inside):
        return None
    along: tuple[Small, ...] = ()
    if len(axes) == rank:
        axes, along = lead, columns
    if axes not in (lead, last):
        return None
    weights = rows if axes == lead else columns
    if weights and axes == last and not adds_rows(like.dtype, like.shape):
        return None
    return Part(Base(term.large, axes, weights), along, outside)


def _is_shaped(operand: Operand, shape: Shape) -> bool:
    return isinstance(operand, Value) and operand.shape == shape


class _Passes:
    """Counts passes over large arrays, by estimate, while sums are taken apart and put together.

    total: more or less than at first. A value that is read no longer is not made, nor is what it
    alone reads. there: the bases that are computed in any case.
    """

    def __init__(
        self, sheet: Sheet, uses: Uses, folds: Iterable[Fold], there: Collection[Base]
    ) -> None:
        self.total = 0
        self.there = there
        self._near = _Terms(uses, through=False)
        self._reads = [uses.count(value) for value in sheet.values]
        self._bases: Counter[Base] = Counter()
        self._products: Counter[tuple[Value, ...]] = Counter()
        for fold in folds:
            self._acquire(self._whole(fold)[1])
            self._release(values_of(fold))

    def take_apart(self, fold: Fold, parts: list[Part]) -> None:
        """The sum is computed of its parts."""
        cost, reads = self._whole(fold)
        self._acquire(_read_by(parts))
        self._release(reads)
        self.total -= cost
        for part in parts:
            self.total += self._new(part.base)
            self._bases[part.base] += 1
            self._products[part.base.large] += 1

    def put_together(self, fold: Fold, parts: list[Part]) -> None:
        """The sum is computed as it stands again."""
        cost, reads = self._whole(fold)
        self._acquire(reads)
        self._release(_read_by(parts))
        self.total += cost
        for part in parts:
            self._bases[part.base] -= 1
            self._products[part.base.large] -= 1
            self.total -= self._new(part.base)

    def _new(self, base: Base) -> int:
        """What a base costs that nothing else needs, and its product."""
        made = 0 if self._products[base.large] else _MADE * (len(base.large) - 1)
        return made + (0 if self._bases[base] or base in self.there else _READ)

    def _whole(self, fold: Fold) -> tuple[int, list[Value]]:
        """The cost of a sum as it stands, and what it reads: constant factors cost nothing."""
        (summed,) = values_of(fold)
        (term, *more) = self._near.of(fold)
        if more:
            return _READ, [summed]
        varying = sum(not is_constant(factor, fold.axes, summed) for factor, _ in term.small)
        cost = _READ + _MADE * (len(term.large) - 1) + _REPEATED * varying
        return cost, [*term.large, *(k for k, _ in term.small if isinstance(k, Value))]

    def _acquire(self, values: list[Value]) -> None:
        pending = list(values)
        while pending:
            value = pending.pop()
            self._reads[value.index] += 1
            if self._reads[value.index] == 1:
                self.total += _weight(value.step)
                pending.extend(_made_of(value))

    def _release(self, values: list[Value]) -> None:
        pending = list(values)
        while pending:
            value = pending.pop()
            self._reads[value.index] -= 1
            if not self._reads[value.index]:
                self.total -= _weight(value.step)
                pending.extend(_made_of(value))


def _read_by(parts: list[Part]) -> list[Value]:
    """What parts are computed of."""
    read: list[Operand] = []
    for part in parts:
        read += part.base.large
        read += [k for k, _ in (*part.base.weights, *part.along, *part.outside)]
    return [operand for operand in read if isinstance(operand, Value)]


def _made_of(value: Value) -> list[Value]:
    """What is read for this value alone."""
    step = value.step
    return [] if step is None or len(outs_of(step)) > 1 else values_of(step)


def _weight(step: Step | None) -> int:
    """The cost of a step that makes a large array."""
    if not isinstance(step, Apply) or not _is_large(step.out.shape):
        return 0
    return _REPEATED if _repeats(step) else _MADE


def _repeats(step: Apply) -> bool:
    shape = step.out.shape
    return any(value.shape and value.shape != shape for value in values_of(step))


class _Rewriter:
    """Writes the chosen sums anew."""

    def __init__(
        self, sheet: Sheet, chosen: Mapping[Fold, list[Part]], owners: Mapping[Base, Fold]
    ) -> None:
        self.sheet = sheet
        self.chosen = chosen
        self.owners = owners
        self.steps: list[Step] = []
        # The step at hand, whose comment new ones share.
        self.at = sheet.steps[0]
        self._products: dict[tuple[Value, ...], Value] = {}
        self._bases: dict[Base, Value] = {}

    def rewrite(self) -> None:
        """Replaces the sheet's steps."""
        owned = {fold: base for base, fold in self.owners.items()}
        for step in self.sheet.steps:
            self.at = step
            base = owned.get(step) if isinstance(step, Fold) else None
            if base is not None and base in self._bases:
                # It was needed before, and stands there.
                continue
            if isinstance(step, Fold) and step in self.chosen:
                self._sum(step, self.chosen[step])
                continue
            if base is not None:
                self._bases[base] = step.out
            self.steps.append(step)
        self.sheet.steps[:] = self.steps

    def _sum(self, fold: Fold, parts: list[Part]) -> None:
        total: Value | None = None
        for part in parts:
            value = self._part(part, fold, last=len(parts) == 1)
            out = fold.out if part is parts[-1] else None
            total = value if total is None else self._apply("add", (total, value), out)

    def _part(self, part: Part, fold: Fold, last: bool) -> Value:
        """What one term adds up to; last: as the sum's own result."""
        (like,) = values_of(fold)
        value = self._base(part.base)
        out = fold.out if last else None
        if part.along:
            weights = self._weights(part.along, part.base.axes, like)
            weighted = self._apply("multiply", (value, weights))
            total = out if out is not None and not part.outside else None
            kept = [axis for axis in range(len(like.shape)) if axis not in part.base.axes]
            axes = tuple(at for at, axis in enumerate(kept) if axis in fold.axes)
            value = self._fold(
                weighted, axes, total or self.sheet.value(value.dtype, fold.out.shape)
            )
        for position, (factor, divides) in enumerate(part.outside):
            own = out if position == len(part.outside) - 1 else None
            if factor is _MINUS:
                value = self._apply("negative", (value,), own)
                continue
            smaller = reduced(self.sheet, factor, fold.axes, like, fold, self.steps)
            value = self._apply("divide" if divides else "multiply", (value, smaller), own)
        return value

    def _base(self, base: Base) -> Value:
        """The sum that several terms may share."""
        known = self._bases.get(base)
        if known is not None:
            return known
        matrix = self._product(base.large)
        kept = tuple(n for axis, n in enumerate(matrix.shape) if axis not in base.axes)
        owner = self.owners.get(base)
        out = owner.out if owner is not None else self.sheet.value(matrix.dtype, kept)
        if not base.weights:
            self._fold(matrix, base.axes, out)
        else:
            last = len(matrix.shape) - 1
            others = tuple(axis for axis in range(last + 1) if axis not in base.axes)
            weights = self._weights(base.weights, others, matrix)
            operands = (matrix, weights)
            if last not in base.axes:
                count = product(weights.shape)
                if last > 1:
                    weights = self._reshaped(weights, (count,))
                    matrix = self._reshaped(matrix, (count, matrix.shape[-1]))
                operands = (weights, matrix)
            self._add(Product(out, operands, self.at.note, self.at.tag))
        self._bases[base] = out
        return out

    def _reshaped(self, value: Value, shape: Shape) -> Value:
        out = self.sheet.value(value.dtype, shape)
        return self._add(Look(out, (value,), self.at.note, self.at.tag, Reshape(shape)))

    def _fold(self, summed: Value, axes: tuple[int, ...], out: Value) -> Value:
        return self._add(Fold(out, (summed,), self.at.note, self.at.tag, "sum", axes, False))

    def _product(self, large: tuple[Value, ...]) -> Value:
        value = self._products.get(large) or large[0]
        for factor in large[1:] if large not in self._products else ():
            value = self._apply("multiply", (value, factor))
        self._products[large] = value
        return value

    def _weights(self, weights: tuple[Small, ...], axes: tuple[int, ...], like: Value) -> Value:
        """The product of factors that are constant along some axes, without these."""
        value: Value | None = None
        for operand, divides in sorted(weights, key=lambda factor: factor[1]):
            factor = reduced(self.sheet, operand, axes, like, self.at, self.steps)
            assert isinstance(factor, Value)
            if value is None:
                value = self._apply("divide", (Number(1.0), factor)) if divides else factor
            else:
                value = self._apply("divide" if divides else "multiply", (value, factor))
        assert value is not None
        return value

    def _apply(self, name: str, operands: tuple[Operand, ...], out: Value | None = None) -> Value:
        if out is None:
            values = [operand for operand in operands if isinstance(operand, Value)]
            shape = broadcast(value.shape for value in values)
            out = self.sheet.value(values[0].dtype, shape)
        return self._add(Apply(out, operands, self.at.note, self.at.tag, FUNCTIONS[name]))

    def _add(self, step: Step) -> Value:
        step.out.step = step
        self.steps.append(step)
        return step.out
