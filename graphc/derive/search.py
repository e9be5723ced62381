"""The derivation of one op from its definition alone: exact by SymPy, forms by measurement."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from codegen.expr import Apply, Expr, symbols
from graphc import formula
from graphc.derive import forms, precise, score
from graphc.derive.data import Derivation, Form, free_args, output_name, partial_name, partial_op
from graphc.derive.samples import FLOATS
from graphc.derive.scalar import constant_in, gradient
from graphc.derive.score import Points, Score
from graphc.derive.seeds import POINTS, SEEDS
from graphc.derive.taylor import series
from graphc.errors import GraphError
from graphc.ops.kinds import Elementwise

VALUE_LIMIT = 4.0
PARTIAL_LIMIT = 8.0


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is spent: `count` points a dtype, and at most `forms` forms of one expression.

    A number of forms, not a time: what is chosen, and so the emitted source, must not depend on
    how busy the machine is.
    """

    count: int
    forms: float
    tried: int = 0


RECORDED = Effort(count=500, forms=math.inf, tried=6)
QUICK = Effort(count=60, forms=16)


def derive(
    op: Elementwise, literal: Sequence[bool] = (), effort: Effort = RECORDED, value: bool = True
) -> Derivation:
    """The derivation of `op`: its value's form (unless `value` is False) and its partials.

    Raises GraphValueError where the definition cannot be differentiated.
    """
    free = free_args(op)
    definition = formula.parse(op.definition or op.formula, op.args)
    chosen = Form(op.formula)
    if value and not op.definition and not _primitive(definition):
        seeds = _seeds(SEEDS.get(op.name, ()), op.args)
        chosen = _choose(definition, free, (), seeds, VALUE_LIMIT, effort, ())
    literal = tuple(literal) or (False,) * len(op.args)
    fixed = [constant or arg not in free for arg, constant in zip(op.args, literal, strict=True)]
    if not op.differentiable or constant_in(definition, free):
        empty = (None,) * len(op.args)
        return Derivation(op, chosen.text, empty, chosen, empty)
    exact = gradient(definition, op.args, fixed, op.points)
    y = output_name(op)
    literals = [arg for arg, constant in zip(op.args, literal, strict=True) if constant]
    known = [(name, formula.parse(text, op.args)) for name, text in op.given]
    own = formula.parse(chosen.text, op.args)
    partials: list[Elementwise | None] = []
    found: list[Form | None] = []
    for arg, expr in zip(op.args, exact.partials, strict=True):
        if expr is None:
            partials.append(None)
            found.append(None)
            continue
        name = partial_name(op, arg)
        seeds = _seeds(SEEDS.get(name, ()), (*op.args, y))
        outputs = Outputs(known, (y, definition), own)
        best = _choose(expr, free, outputs, seeds, PARTIAL_LIMIT, effort, literals)
        points = POINTS.get(name, ())
        partials.append(partial_op(op, arg, formula.text(expr), best.text, points))
        found.append(best)
    return Derivation(op, chosen.text, tuple(partials), chosen, tuple(found), exact.kinks)


@dataclass(frozen=True, slots=True)
class Outputs:
    """Values a partial's form may use: given operands, and the op's own value with its form."""

    given: Sequence[tuple[str, Expr]]
    own: tuple[str, Expr]
    form: Expr

    @property
    def known(self) -> list[tuple[str, Expr]]:
        return [*self.given, self.own]


def _primitive(expr: Expr) -> bool:
    """Whether the formula is one function or operator: nothing is left to choose."""
    return not isinstance(expr, Apply) or not any(isinstance(arg, Apply) for arg in expr.args)


def _seeds(texts: Iterable[str], args: tuple[str, ...]) -> list[Expr]:
    parsed = []
    for text in texts:
        try:
            parsed.append(formula.parse(text, args))
        except GraphError:
            continue  # written for a table op's value, which this op's partial does not carry
    return parsed


def _choose(
    exact: Expr,
    free: Sequence[str],
    outputs: Outputs | tuple[()],
    seeds: Sequence[Expr],
    limit: float,
    effort: Effort,
    literals: Sequence[str],
) -> Form:
    """The cheapest form within the limit, or the most accurate one, and the reason."""
    if not set(symbols(exact)) & set(free):
        return Form(formula.text(exact))
    known = outputs.known if outputs else []
    where = [points_for(exact, free, outputs, dtype, effort, literals) for dtype in FLOATS]
    own = outputs.own[0] if outputs else ""
    usable = {*free, *(name for name, _ in known)}
    measured: dict[Expr, Score] = {}

    def enough() -> bool:
        return len(measured) >= effort.forms

    def consider(candidates: Iterable[Expr]) -> None:
        for form in candidates:
            if enough():
                return
            if form not in measured and set(symbols(form)) <= usable:
                measured[form] = score.measure(form, where, limit, own)

    consider(forms.candidates(exact, known, seeds, enough))
    best = _best(measured, limit)
    univariate = len(free) == 1 and set(symbols(exact)) == set(free)
    if univariate and measured[best].worst > limit and score.bad_near_zero(best, where, limit):
        consider(series(best, exact, free[0]))
        best = _best(measured, limit)
    return _form(best, measured, limit, effort.tried)


def points_for(
    exact: Expr,
    free: Sequence[str],
    outputs: Outputs | tuple[()],
    dtype: str,
    effort: Effort,
    literals: Sequence[str] = (),
) -> Points:
    """Where forms of `exact` are measured, with the operands that other operands determine."""
    ties = any(isinstance(e, Apply) and e.function in _TYING for e in _parts(exact))
    near = _literals(exact)
    at = score.points(exact, free, dtype, effort.count, near, ties, literals)
    if not outputs:
        return at
    for name, definition in outputs.given:
        at = at.with_operand(name, _rounded(definition, at))
    return at.with_operand(outputs.own[0], outputs.form)


def _rounded(definition: Expr, at: Points) -> object:
    """The exact value of a given operand at every point, rounded to the dtype."""
    values = []
    for row in range(len(at.exact)):
        point = {name: float(at.operands[name][row]) for name in at.free}
        try:
            values.append(float(precise.evaluate(definition, point)))
        except precise.Undefined:
            values.append(math.nan)
    with np.errstate(all="ignore"):
        return np.array(values).astype(FLOATS[at.dtype])


_TYING = {"maximum", "minimum", "fmax", "fmin", "equal", "less", "greater", "greater_equal"}


def _parts(expr: Expr) -> Iterable[Expr]:
    stack = [expr]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, Apply):
            stack.extend(node.args)


def _literals(expr: Expr) -> list[float]:
    """The literals of the expression: where its zeros, poles and kinks tend to be."""
    from codegen.expr import Number

    found = [float(part.value) for part in _parts(expr) if isinstance(part, Number)]
    return sorted({sign * value for value in found for sign in (1.0, -1.0) if math.isfinite(value)})


def _best(measured: Mapping[Expr, Score], limit: float) -> Expr:
    good = [form for form, result in measured.items() if result.worst <= limit]
    if good:
        return min(good, key=lambda form: measured[form].cost)
    # None is good everywhere: the one that is bad at the fewest points.
    return min(measured, key=lambda form: (measured[form].beyond, measured[form].cost))


def _form(best: Expr, measured: Mapping[Expr, Score], limit: float, tried: int) -> Form:
    result = measured[best]
    cheaper = [form for form in measured if measured[form].cost < result.cost]
    if result.worst > limit:
        why = (
            f"none is within {limit:g} units everywhere; this one at all but {result.beyond} points"
        )
    elif cheaper:
        why = f"the cheapest within {limit:g} units; cheaper ones are not"
    else:
        why = f"the cheapest of all, and within {limit:g} units"
    others = sorted((form for form in measured if form != best), key=lambda f: measured[f].cost)
    lines = tuple(_line(form, measured[form]) for form in others[:tried])
    errors = tuple((dtype, _shown(error)) for dtype, error in result.errors.items())
    return Form(formula.text(best), errors, why, lines)


def _line(form: Expr, result: Score) -> str:
    errors = ", ".join(f"{dtype} {_shown(error):g}" for dtype, error in result.errors.items())
    notes = f", beyond at {result.beyond} points" if result.beyond else ""
    notes += ", overflows" if result.overflows else ""
    notes += ", nan at infinity" if result.lost else ""
    return f"{formula.text(form)}    [{errors}{notes}; cost {result.cost:.1f}]"


def _shown(error: float) -> float:
    """Two digits, rounded up: a bound, not a boast."""
    if not math.isfinite(error) or error == 0:
        return error
    digits = 1 - math.floor(math.log10(error))
    return float(math.ceil(error * 10**digits - 1e-9) / 10**digits)
