"""Cheaper spellings of neighbouring steps, where they lose neither accuracy nor a special value.

d * (1 / b)      -> d / b          one rounding fewer; not where b is smaller than d: dividing
                                   once by each of its elements is cheaper
d * (-p)         -> -(d * p)
a + (-q)         -> a - q          exact, also for zeros, infinities and NaN
a - (-q)         -> a + q
-(c * x)         -> (-c) * x
2 * (c * x)      -> (2 c) * x      for powers of 2, which round nothing
c * (-x)         -> (-c) * x
u + u            -> 2 * u
(d + u) + u      -> d + 2 * u      one rounding fewer
2 * x - a * (2 * b) -> 2 * (x - a * b)   for powers of 2: a pass less
2 * (a * (c * b)) -> a * ((2 c) * b)   where b is smaller than the product
c / (x / 2)^2    -> (4 c) / x^2    for powers of 2 up to 1: what is lost is no normal number
(-a) * (c * b)   -> a * (-c * b)
f(broadcast(x))  -> f(x)           where f broadcasts by itself
"""

from __future__ import annotations

import math

from codegen.expr import FUNCTIONS, Number
from codegen.infer import floating, weak
from codegen.plan.shapes import broadcast
from codegen.plan.steps import Apply, Look, Operand, Same, Sheet, Step, Value, is_large
from codegen.plan.uses import Uses
from codegen.program import Broadcast

_ARITHMETIC = frozenset({"multiply", "divide", "add", "subtract", "negative"})
# One of these must have made an operand, for there to be anything to rewrite.
_BEFORE = frozenset({"multiply", "divide", "add", "negative", "square"})


def strengthen(sheet: Sheet, uses: Uses) -> bool:
    """Rewrite steps in place; whether anything changed, so that uses must be counted again."""
    changed = False
    steps: list[Step] = []
    for step in sheet.steps:
        if isinstance(step, Apply):
            looks = made = False
            for operand in step.operands:
                before = operand.step if isinstance(operand, Value) else None
                if isinstance(before, Apply):
                    made = made or before.function.name in _BEFORE
                else:
                    looks = looks or isinstance(before, Look)
            if looks and _drop_broadcasts(step):
                changed = made = True
            if made and step.function.name in _ARITHMETIC and floating(step.out.dtype):
                changed |= (
                    _literals(step, uses)
                    or _common(sheet, step, uses, steps)
                    or _negate_later(sheet, step, uses, steps)
                    or _arithmetic(step, uses)
                )
                if _is_name_only(step, uses):
                    step = Look(step.out, step.operands[:1], step.note, step.tag, Same())
                    step.out.step = step
        steps.append(step)
    sheet.steps = steps
    return changed


def _broadcasts(operand: Operand) -> bool:
    return (
        isinstance(operand, Value)
        and isinstance(operand.step, Look)
        and isinstance(operand.step.kind, Broadcast)
        and isinstance(operand.step.operands[0], Value)
    )


def _drop_broadcasts(step: Apply) -> bool:
    """Read what a broadcast repeats, as long as the other operands give the result its shape."""
    changed = False
    for position, operand in enumerate(step.operands):
        if not _broadcasts(operand):
            continue
        assert isinstance(operand, Value)
        assert operand.step is not None
        source = operand.step.operands[0]
        operands = (*step.operands[:position], source, *step.operands[position + 1 :])
        shapes = [o.shape for o in operands if isinstance(o, Value)]
        if broadcast(shapes) == step.out.shape:
            step.operands = operands
            changed = True
    return changed


def _lone(operand: Operand, uses: Uses, function: str, like: Value) -> Apply | None:
    """The step of an unnamed operand of the result's type that is read once only."""
    step = operand.step if isinstance(operand, Value) else None
    if not isinstance(step, Apply) or step.function.name != function:
        return None
    made = step.out
    if made.keep or (made.dtype != like.dtype and not weak(made.dtype)):
        return None
    return step if uses.count(made) == 1 else None


def _scaled(operand: Operand, uses: Uses, like: Value) -> tuple[Operand, float] | None:
    """(x, c) of a lone operand c * x."""
    step = _lone(operand, uses, "multiply", like)
    if step is None or step.out.dtype != like.dtype:
        return None
    a, b = step.operands
    for this, other in ((a, b), (b, a)):
        if isinstance(other, Number) and isinstance(this, Value) and this.dtype == like.dtype:
            return this, float(other.value)
    return None


def _literals(step: Apply, uses: Uses) -> bool:
    """Literal factors of neighbouring steps as one, where that rounds nothing."""
    name, operands = step.function.name, step.operands
    if name == "negative":
        found = _scaled(operands[0], uses, step.out)
        if found is not None:
            _replace(step, "multiply", (found[0], Number(-found[1])))
            return True
        twice = _lone(operands[0], uses, "negative", step.out)
        if twice is not None and not _bypass(step.out, twice.operands[0], uses):
            _replace(step, "multiply", (twice.operands[0], Number(1.0)))
        return twice is not None
    if name == "add":
        return _twice(step, uses)
    if name == "divide":
        return _over_square(step, uses)
    if name != "multiply":
        return False
    for this, other in (operands, operands[::-1]):
        if isinstance(other, Number):
            negated = _lone(this, uses, "negative", step.out)
            if negated is not None and negated.out.dtype == step.out.dtype:
                _replace(step, "multiply", (negated.operands[0], Number(-float(other.value))))
                return True
            if _into_smaller(step, this, float(other.value), uses):
                return True
        found = _scaled(this, uses, step.out)
        if found is None:
            continue
        x, factor = found
        if isinstance(other, Number):
            value = float(other.value)
            if _is_power_of_two(factor) or _is_power_of_two(value):
                if factor * value == 1.0 and _bypass(step.out, x, uses):
                    return True
                _replace(step, "multiply", (x, Number(factor * value)))
                return True
            continue
        if _is_power_of_two(factor) and isinstance(other, Value) and other.shape != step.out.shape:
            scaled = _scale_smaller(other, factor, uses)
            if scaled is not None:
                _replace(step, "multiply", (x, scaled))
                return True
        negated = _lone(other, uses, "negative", step.out)
        if negated is not None and isinstance(this, Value) and isinstance(this.step, Apply):
            _replace(this.step, "multiply", (x, Number(-factor)))
            _replace(step, "multiply", (negated.operands[0], this))
            return True
    return False


def _scale_smaller(value: Value, factor: float, uses: Uses) -> Operand | None:
    """factor * value by the literal in it, so that (2 * x) * (0.5 * s) is x * s, and
    (2 * x) * (0.5 / n) is x * (1 / n): what is left of the factors goes to the smaller array."""
    found = _scaled(value, uses, value)
    if found is not None and isinstance(value.step, Apply):
        if factor * found[1] == 1.0:
            return found[0]
        _replace(value.step, "multiply", (found[0], Number(factor * found[1])))
        return value
    quotient = _lone(value, uses, "divide", value)
    if quotient is None or not isinstance(quotient.operands[0], Number):
        return None
    if not _is_size(quotient.operands[1]):
        return None  # where 2 * x and s are infinite, 0.5 / s is 0 and their product is NaN
    literal = Number(factor * float(quotient.operands[0].value))
    quotient.operands = (literal, quotient.operands[1])
    return value


def _twice(step: Apply, uses: Uses) -> bool:
    """An operand that is added twice, as twice the operand."""
    a, b = step.operands
    if not isinstance(a, Value) or not step.out.shape or a.dtype != step.out.dtype:
        return False
    if a is b:
        # Worth it where the factor meets another, in the product that is doubled.
        lone = uses.count(a) == 2 and not a.keep
        if not (lone and isinstance(a.step, Apply) and a.step.function.name == "multiply"):
            return False
        uses.readers[a.index].pop()
        _replace(step, "multiply", (a, Number(2.0)))
        return True
    before = _lone(a, uses, "add", step.out)
    if before is None or not isinstance(b, Value):
        return False
    if (b.shape, b.dtype) != (step.out.shape, step.out.dtype):
        return False
    others = [operand for operand in before.operands if operand is not b]
    if len(others) != 1 or before.out.shape != step.out.shape:
        return False
    _replace(before, "multiply", (b, Number(2.0)))
    _replace(step, "add", (others[0], before.out))
    return True


def _over_square(step: Apply, uses: Uses) -> bool:
    """A literal of at most 1 over the square of half an array, with the factor in the literal."""
    above, below = step.operands
    square = _lone(below, uses, "square", step.out)
    found = _scaled(square.operands[0], uses, step.out) if square is not None else None
    if square is None or found is None or not isinstance(above, Number) or found[1] != 0.5:
        return False
    if abs(above.value) > 1 or not _is_power_of_two(4.0 * float(above.value)):
        return False
    _replace(square, "square", (found[0],))
    _replace(step, "divide", (Number(4.0 * float(above.value)), below))
    return True


def _bypass(value: Value, source: Operand, uses: Uses) -> bool:
    """Let the readers of a value read its source, which is equal."""
    same = isinstance(source, Value) and (source.shape, source.dtype) == (value.shape, value.dtype)
    if not same or value.keep or uses.returned[value.index]:
        return False
    assert isinstance(source, Value)
    for reader in uses.readers[value.index]:
        reader.operands = tuple(
            source if operand is value else operand for operand in reader.operands
        )
        uses.readers[source.index].append(reader)
    return True


def _is_name_only(step: Apply, uses: Uses) -> bool:
    """Whether the step is 1.0 * x by now, which the user gave a name of its own."""
    x, *rest = step.operands
    if step.function.name != "multiply" or not isinstance(x, Value) or not _is_one(rest[0]):
        return False
    out = step.out
    if (x.shape, x.dtype) != (out.shape, out.dtype):
        return False
    return not out.shape or not uses.returned[out.index]  # an array that is returned is a new one


def _into_smaller(step: Apply, product: Operand, factor: float, uses: Uses) -> bool:
    """A power of two times a product, whose one factor is a smaller array times a literal: the
    power goes to the literal."""
    inner = _lone(product, uses, "multiply", step.out)
    if inner is None or not _is_power_of_two(factor):
        return False
    for small in inner.operands:
        if not isinstance(small, Value) or small.shape == step.out.shape:
            continue
        while isinstance(small.step, Look) and not small.keep and uses.count(small) == 1:
            source = small.step.operands[0]
            if not isinstance(source, Value):
                return False
            small = source
        found = _scaled(small, uses, small)
        if found is not None and isinstance(small.step, Apply):
            x, literal = found
            if factor * literal == -1.0:
                _replace(small.step, "negative", (x,))
            else:
                _replace(small.step, "multiply", (x, Number(factor * literal)))
            _replace(step, "multiply", inner.operands)
            return True
    return False


def _common(sheet: Sheet, step: Apply, uses: Uses, before: list[Step]) -> bool:
    """A power of two that is a factor of both terms of a sum, up to its sign, as one of the sum."""
    name = step.function.name
    if name not in ("add", "subtract") or not step.out.shape:
        return False
    left = _doubled(step, 0, uses)
    right = None if left is None else _doubled(step, 1, uses)
    if left is None or right is None or abs(left[3]) != abs(right[3]):
        return False
    first, second = left[3], right[3]
    for holder, position, x, _ in (left, right):
        holder.operands = (*holder.operands[:position], x, *holder.operands[position + 1 :])
    if first != second:
        name = "subtract" if name == "add" else "add"
    total = sheet.value(step.out.dtype, step.out.shape)
    total.step = Apply(total, step.operands, step.note, step.tag, FUNCTIONS[name])
    before.append(total.step)
    _replace(step, "multiply", (total, Number(first)))
    return True


def _doubled(step: Apply, position: int, uses: Uses) -> tuple[Apply, int, Operand, float] | None:
    """Where a term of a sum is c * x, or a * (c * x), for a power of two: what reads c * x, in
    which place, x and c."""
    like = step.out
    places = [(step, position)]
    product = _lone(step.operands[position], uses, "multiply", like)
    if product is not None:
        places += [(product, 0), (product, 1)]
    for holder, place in places:
        found = _scaled(holder.operands[place], uses, like)
        if found is None or not _is_power_of_two(found[1]) or abs(found[1]) == 1.0:
            continue
        x, factor = found
        if isinstance(x, Value) and x.shape == like.shape:
            return holder, place, x, factor
    return None


def _is_power_of_two(value: float) -> bool:
    """Whether a product with the value rounds nothing, nor loses digits to underflow."""
    return 1.0 <= abs(value) < 2.0**100 and abs(math.frexp(value)[0]) == 0.5


def _negate_later(sheet: Sheet, step: Apply, uses: Uses, before: list[Step]) -> bool:
    """d * (-p) as -(d * p), so that a sum that it goes into becomes a difference."""
    if step.function.name != "multiply" or uses.returned[step.out.index]:
        return False
    readers = uses.readers[step.out.index]
    if len(readers) != 1 or not isinstance(readers[0], Apply):
        return False
    if readers[0].function.name not in ("add", "subtract"):
        return False
    a, b = step.operands
    for this, other in ((a, b), (b, a)):
        negated = _lone(other, uses, "negative", step.out)
        if negated is not None:
            inner = sheet.value(step.out.dtype, step.out.shape)
            inner.py = step.out.py
            operands = (this, negated.operands[0])
            factor = Apply(inner, operands, step.note, step.tag, step.function)
            inner.step = factor
            before.append(factor)
            _replace(step, "negative", (inner,))
            return True
    return False


def _arithmetic(step: Apply, uses: Uses) -> bool:
    name = step.function.name
    if name in ("negative", "divide"):
        return False
    a, b = step.operands
    if name == "multiply":
        for this, other in ((a, b), (b, a)):
            inverse = _lone(other, uses, "divide", step.out)
            if inverse is None or not _is_one(inverse.operands[0]):
                continue
            made = inverse.out
            same = made.shape == step.out.shape or _is_size(inverse.operands[1])
            if same or not is_large(step.out, {}):
                _replace(step, "divide", (this, inverse.operands[1]))
                return True
        return False
    negated = _lone(b, uses, "negative", step.out)
    if negated is not None:
        _replace(step, "subtract" if name == "add" else "add", (a, negated.operands[0]))
        return True
    negated = _lone(a, uses, "negative", step.out)
    if negated is not None and name == "add":
        _replace(step, "subtract", (b, negated.operands[0]))
        return True
    return False


def _is_size(operand: Operand) -> bool:
    """Whether a number is computed of sizes alone: by such, one divides."""
    if not isinstance(operand, Value):
        return True
    made = operand.step
    return not operand.shape and isinstance(made, Apply) and all(map(_is_size, made.operands))


def _is_one(operand: Operand) -> bool:
    return isinstance(operand, Number) and operand.value == 1


def _replace(step: Apply, function: str, operands: tuple[Operand, ...]) -> None:
    step.function = FUNCTIONS[function]
    step.operands = operands
    if step.out.py and function == "divide":
        step.out.py = False
