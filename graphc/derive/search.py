"""The derivation of one op from its definition alone: exact by SymPy, forms by measurement."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from codegen.expr import Apply, Expr, symbols
from graphc import formula
from graphc.derive import forms, precise, score
from graphc.derive.data import Derivation, Form, free_args, output_name, partial_name, partial_op
from graphc.derive.samples import FLOATS
from graphc.derive.scalar import constant_in, gradient
from graphc.derive.score import Points, Score
from graphc.derive.seeds import POINTS, SEEDS
from graphc.derive.tails import CUTS, Side, joined, symmetry
from graphc.derive.taylor import series
from graphc.errors import GraphError
from graphc.ops.kinds import Elementwise

VALUE_LIMIT = 4.0
PARTIAL_LIMIT = 8.0
# Where expressions are compared: on either side of zero and of one.
_COMMON_POINTS = (0.37, 1.83, -0.71, 3.31, -2.63, 0.81)
# Of a form that was not chosen so many characters are shown.
_SHOWN = 400


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is spent: `count` points a dtype, and at most `forms` forms of one expression, but
    for truncated series, which join other forms at one of these `cuts`. After `patience` points
    beyond the limit a form is not looked at further.

    A number of forms, not a time: what is chosen, and so the emitted source, must not depend on
    how busy the machine is.
    """

    count: int
    forms: float
    tried: int = 0
    cuts: tuple[float, ...] = CUTS
    patience: float = score.GIVEN_UP


RECORDED = Effort(count=500, forms=math.inf, tried=6)
QUICK = Effort(count=60, forms=16, cuts=CUTS[1::2], patience=6)


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

    def consider(candidates: Iterable[Expr], patience: float = effort.patience) -> None:
        for form in candidates:
            if form not in measured and set(symbols(form)) <= usable:
                measured[form] = score.measure(form, where, limit, own, patience)

    seeds = [seed for seed in seeds if _equal(seed, exact, free, known)]
    for form in forms.candidates(exact, known, seeds, enough):
        if enough():
            break
        consider([form])
    if not _good(measured, limit):
        for form in measured:
            measured[form] = score.measure(form, where, limit, own, math.inf)
        if len(free) == 1 and set(symbols(exact)) == set(free):
            found = _with_series(exact, free[0], where, measured, limit, effort.cuts)
            consider(found, math.inf)
    return _form(_best(measured, limit), measured, limit, effort.tried)


def _equal(seed: Expr, exact: Expr, free: Sequence[str], known: Sequence[tuple[str, Expr]]) -> bool:
    """Whether a seed says the same at some common points: it may be written for a namesake."""
    for turn in range(len(_COMMON_POINTS)):
        point = {
            name: _COMMON_POINTS[(turn + 2 * k) % len(_COMMON_POINTS)]
            for k, name in enumerate(free)
        }
        try:
            operands = {name: precise.evaluate(value, point) for name, value in known}
            wanted = precise.evaluate(exact, point)
            got = precise.quick(seed, {**point, **operands}, 200)
        except precise.Undefined:
            continue
        if abs(got - wanted) > 1e-6 * abs(wanted):
            return False
    return True


def _with_series(
    exact: Expr,
    arg: str,
    where: Sequence[Points],
    measured: Mapping[Expr, Score],
    limit: float,
    cuts: Sequence[float],
) -> Iterator[Expr]:
    """Forms with a truncated series where the others lose digits: around zero, or far out.

    A generator over what has been measured in the meantime: the next is made from the best so far.
    """
    both = symmetry(exact, arg)
    if score.bad_where(_best(measured, limit), where, limit, lambda x: np.abs(x) < 1):
        yield from series(_best(measured, limit), exact, arg, both)
    for side in (both,) if both else (Side(1), Side(-1)):
        if _good(measured, limit):
            return
        if not score.bad_where(_best(measured, limit), where, limit, partial(_far_out, side)):
            continue
        before = dict(measured)
        for cut in cuts:
            masks = [side.holds(at.operands[arg], cut) for at in where]
            inner = _best_there(before, where, [~mask for mask in masks], limit)
            outer = _best_there(before, where, masks, limit)
            yield from joined(inner, outer, exact, arg, side, cut)


def _far_out(side: Side, column: Any) -> Any:
    """Beyond 1, but not at the ends of the range: there is no series for what overflows."""
    return side.holds(column, 1.0) & (np.abs(column) < score.COMMON[column.dtype.name])


def _best_there(
    forms: Iterable[Expr], where: Sequence[Points], masks: Sequence[Any], limit: float
) -> Expr:
    """The best of the forms, were there no other points than these."""
    there = [score.restricted(at, mask) for at, mask in zip(where, masks, strict=True)]
    return min(forms, key=lambda form: _badness(score.measure(form, there, limit)))


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
    given = {name: _rounded(definition, at) for name, definition in outputs.given}
    # Where the op itself has no value, nobody asks for its slope.
    mask = ~np.isnan(_rounded(outputs.own[1], at))
    for values in given.values():
        mask &= ~np.isnan(values)
    for name, values in given.items():
        at = at.with_operand(name, values)
    at = score.restricted(at, mask)
    return at.with_operand(outputs.own[0], outputs.form)


def _rounded(definition: Expr, at: Points) -> Any:
    """The exact value of a given operand at every point, rounded to the dtype; nan for none."""
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


def _good(measured: Mapping[Expr, Score], limit: float) -> list[Expr]:
    return [form for form, result in measured.items() if result.worst <= limit]


def _best(measured: Mapping[Expr, Score], limit: float) -> Expr:
    good = _good(measured, limit)
    if good:
        return min(good, key=lambda form: measured[form].cost)
    return min(measured, key=lambda form: _badness(measured[form]))


def _badness(result: Score) -> tuple[float, ...]:
    """Where no form is good everywhere: a number rather than nan, then bad at few points."""
    return (result.nans, result.beyond, result.cost)


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
    return f"{_shortened(formula.text(form))}    [{errors}{notes}; cost {result.cost:.1f}]"


def _shortened(text: str) -> str:
    """A form that was not chosen is read for its idea."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."


def _shown(error: float) -> float:
    """Two digits, rounded up: a bound, not a boast."""
    if not math.isfinite(error) or error == 0:
        return error
    digits = 1 - math.floor(math.log10(error))
    return float(math.ceil(error * 10**digits - 1e-9) / 10**digits)
