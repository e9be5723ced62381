"""What the terms of a sum share is multiplied once.

2 (t s e n) + t s e / c + e s / d, and the sum of t s e
    -> q = e s;  2 q (t (n + 0.5 / c) + 0.5 / d), and the dot product of t and q

The product rule leaves such sums, term by term. Which products are made first is chosen anew, so
all of their factors but one have to be within [-1, 1], as gates, bells and waves are: then nothing
overflows, nor is anything lost to underflow, that was not before. Terms are added in their order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from codegen.expr import FUNCTIONS, Number
from codegen.plan.ranges import at_least_one, at_most_one
from codegen.plan.steps import Apply, Fold, Operand, Sheet, Step, Value, is_large
from codegen.plan.uses import Uses

_SUMS = frozenset({"add", "subtract"})
_PRODUCTS = frozenset({"multiply", "divide", "negative"})
# Longer sums and products are left as they are.
_TERMS, _FACTORS = 6, 8
# A sum and two products are not worth a look.
_FEWEST = 3


class Term(NamedTuple):
    """coefficient * above[0] * above[1] ... / below[0] / below[1] ..."""

    coefficient: float
    above: tuple[Value, ...]
    below: tuple[Value, ...]


def factor(sheet: Sheet, uses: Uses) -> bool:
    """Rewrites sums in place; whether anything changed, so that uses must be counted again."""
    trees = _trees(sheet, uses)
    inserted: dict[Step, list[Step]] = {}
    for root, members in trees.items():
        terms = _terms(root, members)
        if terms is not None:
            _Rewriting(sheet, root, members, uses, inserted).rewrite(terms)
    if inserted:
        sheet.steps[:] = [s for step in sheet.steps for s in (*inserted.get(step, ()), step)]
    return bool(inserted)


def _trees(sheet: Sheet, uses: Uses) -> dict[Apply, dict[Step, None]]:
    """The sums of several products, and with each the steps that it, and sums of all elements of
    its products, alone read."""
    root_of: dict[Step, Apply] = {}
    trees: dict[Apply, dict[Step, None]] = {}
    for step in reversed(sheet.steps):
        if not isinstance(step, Apply) or step.out.dtype not in ("f64", "f32"):
            continue
        name, out = step.function.name, step.out
        if not out.shape or not (name in _SUMS or name in _PRODUCTS) or not is_large(out, {}):
            continue
        root = None if out.keep or uses.returned[out.index] else _only_root(step, root_of, uses)
        if root is None and name in _SUMS:
            root = step
        if root is not None and root.out.shape == out.shape:
            root_of[step] = root
            trees.setdefault(root, {})[step] = None
    return {root: members for root, members in trees.items() if len(members) > _FEWEST}


def _only_root(step: Apply, root_of: dict[Step, Apply], uses: Uses) -> Apply | None:
    """The root that all readers of the step's result lead to, as terms or factors of terms."""
    out, is_sum = step.out, step.function.name in _SUMS
    if isinstance(step.operands[0], Number) and uses.count(out) > 1:
        return None  # an inverse that several products share
    found: Apply | None = None
    for reader in uses.readers[out.index]:
        if not is_sum and _adds_all(reader):
            continue
        root = root_of.get(reader)
        if root is None or (found is not None and found is not root):
            return None
        assert isinstance(reader, Apply)
        if is_sum and reader.function.name not in _SUMS:
            return None
        if reader.function.name == "divide" and reader.operands[1] is out:
            return None
        found = root
    return found


def _adds_all(step: Step) -> bool:
    return isinstance(step, Fold) and step.fn == "sum" and not step.out.shape


def _terms(root: Apply, members: dict[Step, None]) -> list[Term] | None:
    """The terms in their order; None where there are many, or what they are is not known."""
    found: list[Term] = []
    pending: list[tuple[Operand, float]] = [(root.out, 1.0)]
    while pending:
        operand, sign = pending.pop()
        made = operand.step if isinstance(operand, Value) else None
        if isinstance(made, Apply) and made in members and made.function.name in _SUMS:
            first, second = made.operands
            pending.append((second, -sign if made.function.name == "subtract" else sign))
            pending.append((first, sign))
            continue
        term = _term(operand, sign, root, members)
        if term is None or len(found) == _TERMS:
            return None
        found.append(term)
    return found


def _term(operand: Operand, sign: float, root: Apply, members: dict[Step, None]) -> Term | None:
    """The factors of a product, through those that the sum alone reads."""
    coefficient, above, below = sign, list[Value](), list[Value]()
    pending = [operand]
    while pending:
        part = pending.pop()
        if isinstance(part, Number):
            coefficient *= float(part.value)
            continue
        if not isinstance(part, Value) or not _is_whole(part, root.out):
            return None
        made = part.step
        if not isinstance(made, Apply) or made not in members or made.function.name in _SUMS:
            above.append(part)
        elif made.function.name == "divide":
            pending.append(made.operands[0])
            divisor = made.operands[1]
            if not isinstance(divisor, Value) or not _is_whole(divisor, root.out):
                return None
            below.append(divisor)
        else:
            coefficient *= -1.0 if made.function.name == "negative" else 1.0
            pending.extend(reversed(made.operands))
        if len(above) + len(below) > _FACTORS:
            return None
    if math.frexp(coefficient)[0] not in (0.5, -0.5):
        return None  # a power of two rounds nothing, wherever it stands
    return Term(coefficient, tuple(above), tuple(below))


def _is_whole(value: Value, like: Value) -> bool:
    return (value.dtype, value.shape) == (like.dtype, like.shape)


class _Rewriting:
    """One sum, written anew; the steps are kept if they are fewer than those they stand for."""

    def __init__(
        self,
        sheet: Sheet,
        root: Apply,
        members: dict[Step, None],
        uses: Uses,
        inserted: dict[Step, list[Step]],
    ) -> None:
        self.sheet = sheet
        self.root = root
        self.members = members
        self.uses = uses
        self.inserted = inserted
        self.steps: list[Step] = []

    def rewrite(self, terms: list[Term]) -> bool:
        """Whether the sum, and what adds up its products, takes fewer passes now."""
        shared = _shared(terms)
        added = self._added(shared)
        if added is None or not _is_safe(terms):
            return False
        count = len(self.sheet.values)
        at = min((step for step, _ in added), key=self.sheet.steps.index, default=self.root)
        largest = max(abs(term.coefficient) for term in terms)
        common = self._product(shared, at) if shared else None
        first = len(self.steps)
        scaled = [Term(t.coefficient / largest, t.above, t.below) for t in terms]
        value, sign = self._sum([_without(term, shared) for term in scaled])
        if common is not None:
            value = self._new("multiply", value, common)
        if largest * sign != 1.0:
            value = self._new("multiply", value, Number(largest * sign))
        # A sum of a product is a pass, as a dot product of its factors is.
        dots = sum(len(rest) - 1 for _, rest in added)
        passes = len(self.steps) + dots + len(added)
        if passes >= sum(map(_is_pass, self.members)) + len(added):
            del self.sheet.values[count:]
            return False
        last = self.steps.pop()
        assert isinstance(last, Apply)
        self.root.function, self.root.operands = last.function, last.operands
        self._insert(self.root, self.steps[first if added else 0 :])
        if added:
            assert common is not None
            self._insert(at, self.steps[:first])
            for step, rest in added:
                self.steps = []
                step.function = FUNCTIONS["multiply"]
                step.operands = (self._product(rest, step), common)
                self._insert(step, self.steps)
        return True

    def _insert(self, before: Step, steps: list[Step]) -> None:
        self.inserted.setdefault(before, []).extend(steps)

    def _added(self, shared: Sequence[Value]) -> list[tuple[Apply, tuple[Value, ...]]] | None:
        """The products that are added up, too, each with its factors beside the shared ones; None
        where one of them is another product."""
        found = []
        for step in self.members:
            if not any(map(_adds_all, self.uses.readers[step.out.index])):
                continue
            term = _term(step.out, 1.0, self.root, self.members)
            if term is None or term.coefficient != 1.0 or term.below or not shared:
                return None
            if not all(map(at_most_one, term.above)):
                return None
            rest = list(term.above)
            for value in shared:
                if value not in rest:
                    return None
                rest.remove(value)
            if not rest:
                return None
            assert isinstance(step, Apply)
            found.append((step, tuple(rest)))
        return found

    def _sum(self, terms: list[Term]) -> tuple[Operand, float]:
        """The sum of the terms, up to its sign: runs of them that share a factor go first."""
        parts: list[tuple[Operand, float]] = []
        while terms:
            run = next(n for n in range(len(terms), 0, -1) if n == 1 or _shared(terms[:n]))
            if run == 1:
                parts.append(self._value(terms[0]))
            else:
                shared = _shared(terms[:run])
                inner, sign = self._sum([_without(term, shared) for term in terms[:run]])
                parts.append((self._new("multiply", inner, self._product(shared)), sign))
            terms = terms[run:]
        (total, first), *others = parts
        for value, sign in others:
            if sign == first:
                total = self._new("add", total, value)
            elif first > 0:
                total = self._new("subtract", total, value)
            else:
                total, first = self._new("subtract", value, total), 1.0
        return total, first

    def _value(self, term: Term) -> tuple[Operand, float]:
        """One term, up to its sign."""
        scale, sign = Number(abs(term.coefficient)), math.copysign(1.0, term.coefficient)
        value: Operand = scale
        if term.above:
            value = self._product(term.above)
            if scale.value != 1.0:
                value = self._new("multiply", value, scale)
        for divisor in term.below:
            value = self._new("divide", value, divisor)
        return value, sign

    def _product(self, values: Iterable[Value], at: Step | None = None) -> Value:
        total, *others = values
        for value in others:
            total = self._new("multiply", total, value, at=at)
        return total

    def _new(self, function: str, *operands: Operand, at: Step | None = None) -> Value:
        """A step that belongs to the root, or to another."""
        at = at or self.root
        out = self.sheet.value(self.root.out.dtype, self.root.out.shape)
        step = Apply(out, operands, at.note, at.tag, FUNCTIONS[function])
        out.step = step
        self.steps.append(step)
        return out


def _is_pass(step: Step) -> bool:
    """Whether the step stays one: signs and inverses become part of sums and quotients."""
    return step.operands[0] != Number(1.0) and len(step.operands) > 1


def _shared(terms: Sequence[Term]) -> tuple[Value, ...]:
    """The factors within [-1, 1] that all the terms have."""
    found = []
    others = [list(term.above) for term in terms[1:]]
    for value in terms[0].above:
        if all(value in other for other in others) and at_most_one(value):
            found.append(value)
            for other in others:
                other.remove(value)
    return tuple(found)


def _without(term: Term, shared: Iterable[Value]) -> Term:
    left = list(term.above)
    for value in shared:
        left.remove(value)
    return Term(term.coefficient, tuple(left), term.below)


def _is_safe(terms: Sequence[Term]) -> bool:
    """Whether of all factors one at most may be large, so that sums of terms are no larger."""
    free = sum(not at_most_one(value) for term in terms for value in term.above)
    return free <= 1 and all(at_least_one(value) for term in terms for value in term.below)
