"""The derivation of an op: its partials in stable forms, from the record, the cache, or SymPy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from graphc import formula
from graphc.ops.elementwise import result_rule
from graphc.ops.kinds import Elementwise


@dataclass(frozen=True, slots=True)
class Derivation:
    """What is known of an op's value and local derivatives.

    form: the text to emit for the value: equal to the op's formula, and stable.
    partials: one an operand; None where it is zero everywhere (or the operand a literal). Each is an
        op itself: `definition` is the exact derivative, `formula` the stable form, over the op's
        args and, where `output`, the op's own value as one more.
    """

    form: str
    partials: tuple[Elementwise | None, ...]


@lru_cache(maxsize=4096)
def derivation(op: Elementwise, literal: tuple[bool, ...] = ()) -> Derivation:
    """The derivation of `op`.

    literal: which operands are literal constants. They get no partial, and a kink's element of least
    norm is taken over the others alone.

    Raises GraphValueError where the definition is beyond what can be differentiated.
    """
    from graphc.derive.scalar import gradient

    definition = op.definition or op.formula
    exact = gradient(formula.parse(definition, op.args), op.args, literal, op.points)
    partials: list[Elementwise | None] = []
    for arg, expr in zip(op.args, exact.partials, strict=True):
        if expr is None:
            partials.append(None)
            continue
        name = f"d_{op.name}" if len(op.args) == 1 else f"d_{op.name}_d_{arg}"
        partials.append(
            Elementwise(name, op.args, formula.text(expr), formula.text(expr), result_rule(expr))
        )
    return Derivation(op.formula, tuple(partials))
