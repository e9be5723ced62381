"""What several formulas compute alike is computed once.

f(x) ... f(x)          -> one step
exp(x) ... exp(-x)     -> e = exp(x); ... 1 / e
cosh(x)^2, with exp(x) -> (0.5 (e + 1 / e))^2
a b, and -a b - a b    -> p = a b, and -2 p
a y, and a (y / q)     -> p = a y, and p / q        for q >= 1, which makes nothing overflow

A value's form and the forms of its partials are chosen one by one, and mostly by accuracy; so they
repeat themselves, and each other. A division costs a third of an exponential, and less than half of
a hyperbolic cosine.
"""

from __future__ import annotations

from codegen.expr import FUNCTIONS, Number
from codegen.plan.ranges import at_least_one
from codegen.plan.steps import Apply, Operand, Sheet, Step, Value
from codegen.plan.uses import Uses

# A product of more factors is not taken apart.
_FACTORS = 6
# A value as a sign and the number of its magnitude: what differs in sign alone has one number.
Signed = tuple[int, int]

_COMMUTATIVE = frozenset({"add", "multiply"})
_PRODUCTS = frozenset({"multiply", "divide"})
_EVEN = frozenset({"cosh", "absolute", "square"})
_FLOATS = frozenset({"f64", "f32"})


def share(sheet: Sheet, uses: Uses) -> bool:
    """Rewrites the sheet in place; whether anything changed, so that uses must be counted again."""
    return _Shared(sheet, uses).rewrite()


def any_alike(sheet: Sheet) -> bool:
    """Whether two steps are of one function and the same operands, in whatever order."""
    calls = [
        (step.function.name, frozenset(step.operands))
        for step in sheet.steps
        if isinstance(step, Apply)
    ]
    return len(set(calls)) < len(calls)


class _Shared:
    def __init__(self, sheet: Sheet, uses: Uses) -> None:
        self.sheet = sheet
        self.uses = uses
        self.steps: list[Step] = []
        self.changed = False
        self._numbers: dict[object, int] = {}
        self._signed: dict[Value, Signed] = {}
        # The first value of every call, and what stands for a later one.
        self._known: dict[object, Value] = {}
        self._instead: dict[Value, Value] = {}
        # exp(u) by the number of u: the value for each sign of u.
        self._exponentials: dict[tuple[int, str], dict[int, Value]] = {}
        # What a product is made of, by their numbers; and the first product of those.
        self._factors: dict[Value, tuple[int, ...]] = {}
        self._products: dict[object, Value] = {}
        # Products are looked at for the sake of quotients alone.
        self._quotients = any(
            isinstance(step, Apply) and step.function.name == "divide" for step in sheet.steps
        )

    def rewrite(self) -> bool:
        for step in self.sheet.steps:
            if self._instead and any(operand in self._instead for operand in step.operands):
                step.operands = tuple(
                    self._instead.get(operand, operand) if isinstance(operand, Value) else operand
                    for operand in step.operands
                )
            if not isinstance(step, Apply) or not self._merged(step):
                self.steps.append(step)
        self.sheet.steps[:] = self.steps
        return self.changed

    def _merged(self, step: Apply) -> bool:
        """Whether an earlier step's value stands for this one's; else the step may be rewritten."""
        out = step.out
        operands = [self._sign(operand) for operand in step.operands]
        name = step.function.name
        key = self._key(name, operands, out)
        known = self._known.setdefault(key, out)
        if known is not out:
            if out.keep or self.uses.returned[out.index]:
                return False
            self._instead[out] = known
            self.changed = True
            return True
        if name == "negative":
            sign, number = operands[0]
            self._signed[out] = (-sign, number)
        elif name in _PRODUCTS:
            sign = operands[0][0] * operands[1][0]
            if any(other < 0 for other, _ in operands):
                key = self._key(name, [(1, number) for _, number in operands], out)
            self._signed[out] = (sign, self._number(key))
        if out.shape and out.dtype in _FLOATS:
            # A result that is an exponential stays one.
            returned = self.uses.returned[out.index]
            if name == "exp" and not returned:
                self._exponential(step, operands[0])
            elif name == "square" and not returned:
                self._squared(step)
            elif name in ("add", "subtract"):
                self._doubled(step, operands)
            elif name == "multiply" and self._quotients:
                self._multiplied(step)
        return False

    # -- exponentials ------------------------------------------------------------------------------

    def _exponential(self, step: Apply, exponent: Signed) -> None:
        sign, number = exponent
        found = self._exponentials.setdefault((number, step.out.dtype), {})
        inverse = found.get(-sign)
        if inverse is not None:
            step.function = FUNCTIONS["divide"]
            step.operands = (Number(1.0), inverse)
            self.changed = True
        found[sign] = step.out

    def _squared(self, step: Apply) -> None:
        """Of a square alone, for it overflows before the sum of the exponentials does."""
        cosine = step.operands[0]
        made = cosine.step if isinstance(cosine, Value) else None
        if not isinstance(cosine, Value) or not isinstance(made, Apply):
            return
        if made.function.name != "cosh" or cosine.keep or self.uses.count(cosine) != 1:
            return
        _, number = self._sign(made.operands[0])
        found = self._exponentials.get((number, cosine.dtype))
        if found is None:
            return
        sign, value = next(iter(found.items()))
        inverse = found.get(-sign)
        if inverse is None:
            inverse = self._new(step, "divide", (Number(1.0), value))
            found[-sign] = inverse
        total = self._new(step, "add", (value, inverse))
        step.operands = (self._new(step, "multiply", (total, Number(0.5))),)
        self.changed = True

    # -- sums and products -------------------------------------------------------------------------

    def _doubled(self, step: Apply, operands: list[Signed]) -> None:
        """-u - u: twice the first, which is exact."""
        (sign, number), (other, same) = operands
        first, second = step.operands
        if step.function.name == "subtract":
            other = -other
        if number != same or sign != other or first is second or not isinstance(first, Value):
            return
        if (first.shape, first.dtype) == (step.out.shape, step.out.dtype):
            step.function = FUNCTIONS["multiply"]
            step.operands = (first, Number(2.0))
            self.changed = True

    def _multiplied(self, step: Apply) -> None:
        """The product's factors; and where it is a (y / q), the product a y that is there already.

        With q >= 1 the quotient is no larger than a y: nothing underflows that did not before.
        """
        first, second = step.operands
        for rest, part in ((first, second), (second, first)):
            quotient = self._quotient(part, step.out)
            if quotient is None or not isinstance(rest, Value):
                continue
            above, below = quotient
            factors = (*self._factors_of(rest), *self._factors_of(above))
            known = self._products.get(self._made_of(factors, step.out))
            if known is not None and self._sign(known)[0] == self._sign(step.out)[0]:
                step.function = FUNCTIONS["divide"]
                step.operands = (known, below)
                self.changed = True
                return
        factors = ()
        for operand in step.operands:
            if not isinstance(operand, Value) or operand.shape != step.out.shape:
                return
            factors += self._factors_of(operand)
        if len(factors) <= _FACTORS:
            self._factors[step.out] = factors
            self._products.setdefault(self._made_of(factors, step.out), step.out)

    def _quotient(self, part: Operand, like: Value) -> tuple[Value, Value] | None:
        """(y, q) of a quotient y / q that is read here alone, for q >= 1."""
        made = part.step if isinstance(part, Value) else None
        if not isinstance(part, Value) or not isinstance(made, Apply):
            return None
        if made.function.name != "divide" or part.keep or self.uses.count(part) != 1:
            return None
        above, below = made.operands
        if not isinstance(above, Value) or not isinstance(below, Value):
            return None
        whole = (like.shape, like.dtype)
        if (above.shape, above.dtype) != whole or (below.shape, below.dtype) != whole:
            return None
        return (above, below) if at_least_one(below) else None

    def _factors_of(self, value: Value) -> tuple[int, ...]:
        return self._factors.get(value) or (self._sign(value)[1],)

    @staticmethod
    def _made_of(factors: tuple[int, ...], like: Value) -> object:
        return (*sorted(factors), like.dtype, like.shape)

    def _new(self, like: Apply, function: str, operands: tuple[Operand, ...]) -> Value:
        """A step before the one at hand."""
        out = self.sheet.value(like.out.dtype, like.out.shape)
        step = Apply(out, operands, like.note, like.tag, FUNCTIONS[function])
        out.step = step
        self.steps.append(step)
        return out

    # -- numbering ---------------------------------------------------------------------------------

    def _key(self, name: str, operands: list[Signed], out: Value) -> object:
        if name in _EVEN:
            operands = [(1, number) for _, number in operands]
        elif name in _COMMUTATIVE:
            operands = sorted(operands)
        return (name, *operands, out.dtype, out.shape)

    def _sign(self, operand: Operand) -> Signed:
        if isinstance(operand, Value):
            signed = self._signed.get(operand)
            if signed is None:
                signed = self._signed[operand] = (1, self._number(operand))
            return signed
        if isinstance(operand, Number) and isinstance(operand.value, float) and operand.value < 0:
            return -1, self._number(repr(-operand.value))
        return 1, self._number(repr(operand.value) if isinstance(operand, Number) else operand)

    def _number(self, what: object) -> int:
        return self._numbers.setdefault(what, len(self._numbers))
