"""Contractions as what NumPy does fast: matrix products, sums, products with broadcasting.

A contraction is the sum of a product of factors. Indices of one factor alone are summed at once;
then factors are multiplied two by two, cheapest first. Two factors are a matrix product where they
share a summed index, else an elementwise product.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from codegen.expr import FUNCTIONS, Extent, Number
from codegen.infer import promote
from codegen.plan.axes import aligned, transpose
from codegen.plan.matmul import matmul, split_order
from codegen.plan.pulls import pulled
from codegen.plan.rows import row_products
from codegen.plan.shapes import broadcast
from codegen.plan.slides import slide
from codegen.plan.steps import (
    Apply,
    Einsum,
    Fold,
    Invoke,
    Look,
    Operand,
    Same,
    Sheet,
    Value,
)
from codegen.plan.sweeps import push, sweep
from codegen.plan.windows import Extents, Factor, read, target, write
from codegen.program import Affine, Broadcast, Contract, Options
from codegen.types import substitute

# The size that the cost of a pair assumes for a named size of which nothing is known.
_ASSUMED = 64
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def contract(sheet: Sheet, statement: Contract, args: list[Value], options: Options) -> Value:
    """The steps of a contraction; its result."""
    out, extents = statement.out, dict(statement.extents)
    out_index, arg_index = statement.out_index, statement.arg_index
    numbers = _numbers(extents, options)
    first_new = len(sheet.values)
    plain = _plain(out_index)
    if not plain:
        pull = pulled(out_index, arg_index, out.type.shape, extents, numbers)
        if pull is not None:
            out_index, arg_index, extents, numbers = pull
            plain = True
    rows = None
    if plain:
        dtype = out.type.dtype
        rows = row_products(sheet, args, out_index, arg_index, extents, numbers, dtype)
    if rows is not None:
        rows.hint, rows.keep = out.name, out.keep_name
        return rows
    factors = [
        read(sheet, value, indices, extents) for value, indices in zip(args, arg_index, strict=True)
    ]
    if plain:
        names = tuple(str(index.index) for index in out_index)
        result = _multiply_all(sheet, factors, names, extents, out.type.dtype, numbers)
        if result.shape != out.type.shape:
            result = sheet.look(result, Broadcast(out.type.shape), out.type.shape)
    else:
        to = target(out_index, extents, dict(options.sizes))
        shape, dtype = out.type.shape, out.type.dtype
        pushed = push(sheet, factors, out_index, shape, extents, numbers, to, dtype)
        if pushed is None:
            result = _multiply_all(sheet, factors, to.names, extents, dtype, numbers)
            result = write(sheet, result, out_index, shape, extents, to)
        else:
            result = pushed
    if result.index < first_new:
        result = sheet.look(result, Same(), result.shape)
    result.hint, result.keep = out.name, out.keep_name
    return result


def _plain(indices: tuple[Affine, ...]) -> bool:
    """Whether all are bare, and none repeats."""
    bare = [index.index for index in indices]
    return None not in bare and len(set(bare)) == len(bare)


def _multiply_all(
    sheet: Sheet,
    factors: list[Factor],
    names: tuple[str, ...],
    extents: Extents,
    dtype: str,
    numbers: Mapping[str, int],
) -> Value:
    """The sum over all indices but `names` of the product of factors, with axes `names`."""
    slid = slide(sheet, factors, names, extents, numbers, dtype)
    if slid is not None:
        return slid
    swept = sweep(sheet, factors, names, extents, numbers, dtype)
    if swept is not None:
        return swept
    absent = set(extents).difference(names, *(factor.names for factor in factors))
    scalars = [factor.value for factor in factors if not factor.names]
    factors = [factor for factor in factors if factor.names]
    while len(factors) > 1:
        i, j = _cheapest(factors, names, numbers)
        rest = [factor for k, factor in enumerate(factors) if k not in (i, j)]
        keep = set(names).union(*(factor.names for factor in rest))
        order = names if not rest else ()
        combined = _combine(sheet, factors[i], factors[j], keep, order, extents, dtype)
        if combined.names:
            factors = [*rest, combined]
        else:
            factors = rest
            scalars.append(combined.value)
    if factors:
        last = _sum_out(sheet, factors[0], set(names), extents, dtype)
        if last.names:
            result = _arrange(sheet, last, names, extents)
        else:
            scalars.insert(0, last.value)
    if not factors or not last.names:
        result = scalars.pop(0) if scalars else _one(sheet)
    for scalar in scalars:
        result = _times(sheet, result, scalar)
    for name in extents:
        if name in absent:
            # The sum over an index that nothing mentions counts its values.
            result = _times(sheet, result, Extent(extents[name]))
    shape = tuple(extents[name] for name in names)
    if result.shape != shape:
        result = sheet.look(result, Broadcast(shape), shape)
    return _cast(sheet, result, dtype)


def _numbers(extents: Extents, options: Options) -> Mapping[str, int]:
    """An estimate of every extent."""
    expected = dict(options.sizes)
    numbers: dict[str, int] = {}
    for name, size in extents.items():
        known = size
        if not isinstance(size, int):
            assumed = {n: expected.get(n, _ASSUMED) for n in size.names}
            known = substitute(size, assumed)
        numbers[name] = known if isinstance(known, int) else _ASSUMED
    return numbers


def _cheapest(
    factors: list[Factor], names: tuple[str, ...], numbers: Mapping[str, int]
) -> tuple[int, int]:
    """The pair of factors whose product costs least, then whose result is smallest."""
    if len(factors) == 2:
        return 0, 1
    best: tuple[int, int, int, int] | None = None
    for i, a in enumerate(factors):
        for j in range(i + 1, len(factors)):
            b = factors[j]
            others = set(names).union(
                *(factor.names for k, factor in enumerate(factors) if k not in (i, j))
            )
            union = dict.fromkeys((*a.names, *b.names))
            cost = size = 1
            for name in union:
                cost *= numbers[name]
                size *= numbers[name] if name in others else 1
            found = (cost, size, i, j)
            best = found if best is None else min(best, found)
    assert best is not None
    return best[2], best[3]


# -- one pair --------------------------------------------------------------------------------------


def _combine(
    sheet: Sheet,
    a: Factor,
    b: Factor,
    keep: set[str],
    order: tuple[str, ...],
    extents: Extents,
    dtype: str,
) -> Factor:
    """The product of two factors, summed over what nobody needs, in `order` where it is given."""
    a = _sum_out(sheet, a, keep | set(b.names), extents, dtype)
    b = _sum_out(sheet, b, keep | set(a.names), extents, dtype)
    summed = [name for name in a.names if name in b.names and name not in keep]
    if not summed:
        return _outer(sheet, a, b, order, dtype)
    a = Factor(_cast(sheet, a.value, dtype), a.names)
    b = Factor(_cast(sheet, b.value, dtype), b.names)
    batch = [name for name in a.names if name in b.names and name in keep]
    mine = [name for name in a.names if name not in b.names]
    yours = [name for name in b.names if name not in a.names]
    if not mine and not yours:
        return _inner(sheet, a, b, batch, summed, order, extents, dtype)
    wanted = [name for name in order if name in a.names or name in b.names]
    lead, left, right = split_order(wanted, batch, mine, yours)
    if (left and left[0] in yours) or (not left and right and right[0] in mine):
        a, b = b, a
    return matmul(sheet, a, b, lead, left, right, summed, extents, dtype)


def _outer(sheet: Sheet, a: Factor, b: Factor, order: tuple[str, ...], dtype: str) -> Factor:
    """The product with broadcasting: no index is summed."""
    union = list(dict.fromkeys((*a.names, *b.names)))
    names = tuple([n for n in order if n in union] if order else union)
    x = aligned(sheet, a, names)
    y = x if b == a else aligned(sheet, b, names)
    shape = broadcast((x.shape, y.shape))
    common = promote((x.dtype, y.dtype))
    square = x is y and common != "bool"
    function = FUNCTIONS["square" if square else "multiply"]
    operands: tuple[Operand, ...] = (x,) if square else (x, y)
    out = sheet.value(common, shape)
    out.py = x.py and y.py
    return Factor(sheet.add(Apply(out, operands, sheet.note, sheet.tag, function)), names)


def _inner(
    sheet: Sheet,
    a: Factor,
    b: Factor,
    batch: list[str],
    summed: list[str],
    order: tuple[str, ...],
    extents: Extents,
    dtype: str,
) -> Factor:
    """Both factors have the same indices: a sum of products, in a stack or alone."""
    names = tuple([name for name in order if name in batch] or batch)
    out = sheet.value(dtype, tuple(extents[name] for name in names))
    if not batch:
        y = transpose(sheet, b.value, tuple(b.names.index(name) for name in a.names))
        function = "np.dot" if len(summed) == 1 else "np.vdot"
        step: Invoke | Einsum = Invoke(
            out, (a.value, y), sheet.note, sheet.tag, function, (), (out,)
        )
        return Factor(sheet.add(step), names)
    if len(summed) == 1 and a.names == b.names == (*names, summed[0]):
        step = Invoke(out, (a.value, b.value), sheet.note, sheet.tag, "np.vecdot", (), (out,))
        return Factor(sheet.add(step), names)
    letters = _letters((*a.names, *b.names))
    inputs = ",".join("".join(letters[name] for name in f.names) for f in (a, b))
    formula = f"{inputs}->{''.join(letters[name] for name in names)}"
    operands = (a.value, b.value)
    return Factor(sheet.add(Einsum(out, operands, sheet.note, sheet.tag, formula)), names)


def _letters(names: Iterable[str]) -> dict[str, str]:
    """A letter for each index: its own where it is one, else the next free one."""
    result: dict[str, str] = {}
    names = list(dict.fromkeys(names))
    taken = {name for name in names if len(name) == 1 and name in _LETTERS}
    free = iter([letter for letter in _LETTERS if letter not in taken])
    for name in names:
        result[name] = name if name in taken else next(free)
    return result


# -- one factor ------------------------------------------------------------------------------------


def _sum_out(sheet: Sheet, factor: Factor, keep: set[str], extents: Extents, dtype: str) -> Factor:
    """The factor summed over the indices that are not in `keep`."""
    axes = tuple(axis for axis, name in enumerate(factor.names) if name not in keep)
    if not axes:
        return factor
    names = tuple(name for name in factor.names if name in keep)
    out = sheet.value(dtype, tuple(extents[name] for name in names))
    step = Fold(out, (factor.value,), sheet.note, sheet.tag, "sum", axes, False)
    return Factor(sheet.add(step), names)


def _arrange(sheet: Sheet, factor: Factor, names: tuple[str, ...], extents: Extents) -> Value:
    """The factor with axes `names`, those it lacks being repeated."""
    value = aligned(sheet, factor, names)
    shape = tuple(extents[name] for name in names)
    return value if value.shape == shape else sheet.look(value, Broadcast(shape), shape)


def _times(sheet: Sheet, value: Value, factor: Operand) -> Value:
    other = factor.dtype if isinstance(factor, Value) else "int?"
    out = sheet.value(promote((value.dtype, other)), value.shape)
    out.py = value.py and (not isinstance(factor, Value) or factor.py)
    return sheet.add(Apply(out, (value, factor), sheet.note, sheet.tag, FUNCTIONS["multiply"]))


def _cast(sheet: Sheet, value: Value, dtype: str) -> Value:
    if value.dtype == dtype:
        return value
    out = sheet.value(dtype, value.shape)
    return sheet.add(Apply(out, (value,), sheet.note, sheet.tag, FUNCTIONS[dtype]))


def _one(sheet: Sheet) -> Value:
    one = sheet.value("int?", ())
    one.py = True
    return sheet.add(Look(one, (Number(1),), sheet.note, sheet.tag, Same()))
