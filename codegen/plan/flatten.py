"""From a Program's statements to steps: one NumPy operation each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from codegen.expr import FUNCTIONS, Number
from codegen.plan.contract import contract
from codegen.plan.rounds import Repeat
from codegen.plan.shapes import broadcast, full, reindex
from codegen.plan.steps import (
    Apply,
    Assemble,
    At,
    Fold,
    Index,
    Invoke,
    Kind,
    Look,
    Operand,
    Put,
    Same,
    Sheet,
    Span,
    Take,
    Value,
)
from codegen.program import (
    Broadcast,
    Call,
    Constant,
    Contract,
    Function,
    Gather,
    Leaf,
    Loop,
    Map,
    Node,
    Options,
    Reduce,
    Reshape,
    Scatter,
    Slice,
    Statement,
    Tree,
    Var,
    View,
    Write,
)
from codegen.recipe import Argument, Recipe, Ref, Temporary, recipe
from codegen.types import Shape

SCANS = frozenset({"cumsum", "cumprod", "cummax", "cummin", "argsort"})
# On Python numbers these neither raise where NumPy does not, nor leave Python.
_STAYS_PYTHON = frozenset(
    [
        "add",
        "subtract",
        "multiply",
        "negative",
        "absolute",
        "square",
        "where",
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "equal",
        "not_equal",
        "logical_and",
        "logical_or",
        "logical_xor",
        "logical_not",
        "f64",
        "i64",
        "bool",
    ]
)
Known = dict[Var, Value]
# A recipe, and whether its last instruction makes its result.
Recipes = dict[tuple[int, tuple[str, ...], str], tuple[Recipe, bool]]


def leaves(node: Node) -> list[Var]:
    """The Vars of an argument or a result, in order."""
    if isinstance(node, Leaf):
        return [node.var]
    found: list[Var] = []
    stack: list[Node] = [node]
    while stack:
        top = stack.pop()
        if isinstance(top, Tree):
            stack.extend(reversed(top.items))
        else:
            found.append(top.var)
    return found


def flatten(
    function: Function, constants: tuple[Constant, ...], options: Options
) -> tuple[Sheet, Known]:
    """The steps of a function, and the value of each Var."""
    sheet = Sheet()
    known: Known = {}
    for constant in constants:
        known[constant.var] = _leaf(sheet, constant.var)
    for param in function.params:
        for var in leaves(param.value):
            known[var] = _leaf(sheet, var)
    _flatten(sheet, known, function.body, {}, options)
    return sheet, known


def _flatten(
    sheet: Sheet,
    known: Known,
    body: tuple[Statement, ...],
    recipes: Recipes,
    options: Options,
) -> None:
    """Steps for the statements, on what is known and what they make."""
    for statement in body:
        sheet.note, sheet.tag = statement.note, statement.tag
        if isinstance(statement, Map):
            _map(sheet, known, statement, recipes)
        elif isinstance(statement, Loop):
            _loop(sheet, known, statement, recipes, options)
        elif isinstance(statement, Contract):
            known[statement.out] = contract(
                sheet, statement, [known[a] for a in statement.args], options
            )
        else:
            _LOWER[type(statement)](sheet, known, statement)


def _leaf(sheet: Sheet, var: Var) -> Value:
    value = sheet.value(var.type.dtype, var.type.shape, var.name, keep=True)
    value.py = not var.type.shape and var.type.dtype == "f64"
    return value


def _new(sheet: Sheet, var: Var) -> Value:
    return sheet.value(var.type.dtype, var.type.shape, var.name, var.keep_name)


# -- elementwise -----------------------------------------------------------------------------------


def _map(sheet: Sheet, known: Known, statement: Map, recipes: Recipes) -> None:
    out = statement.out
    args = [known[arg] for arg in statement.args]
    dtypes = tuple([arg.dtype for arg in args])
    key = (id(statement.expr), dtypes, out.type.dtype)
    known_recipe = recipes.get(key)
    if known_recipe is None:
        made = recipe(statement.expr, dtypes, out.type.dtype)
        ends = made.result == Temporary(len(made.instructions) - 1)
        known_recipe = recipes[key] = made, ends
    made, ends = known_recipe
    values: list[Value] = []
    last = len(made.instructions) - 1
    bound: Value | None = None
    for number, instruction in enumerate(made.instructions):
        operands = tuple([_operand(ref, args, values) for ref in instruction.operands])
        shape = broadcast([o.shape for o in operands if isinstance(o, Value)])
        if ends and number == last and shape == out.type.shape:
            value = bound = _new(sheet, out)
            if out.word:
                value.word, value.of = out.word, args[0] if len(args) == 1 else None
        else:
            value = sheet.value(instruction.dtype, shape)
        value.py = not shape and stays_python(instruction.function, operands, value.dtype)
        function = FUNCTIONS[instruction.function]
        sheet.add(Apply(value, operands, sheet.note, sheet.tag, function))
        values.append(value)
    known[out] = bound or _finish(sheet, out, _operand(made.result, args, values))


def _operand(ref: Ref, args: list[Value], values: list[Value]) -> Operand:
    if isinstance(ref, Argument):
        return args[ref.index]
    if isinstance(ref, Temporary):
        return values[ref.index]
    return ref


def stays_python(function: str, operands: tuple[Operand, ...], dtype: str) -> bool:
    """Whether the function of numbers gives a Python number rather than a NumPy scalar."""
    if function in ("erf", "erfc"):
        # NumPy has none: `math` computes it.
        return dtype == "f64"
    if function not in _STAYS_PYTHON:
        return False
    if function == "where":
        return any(not isinstance(o, Value) or o.py for o in operands[1:])
    return all(not isinstance(operand, Value) or operand.py for operand in operands)


def _finish(sheet: Sheet, out: Var, result: Operand) -> Value:
    """The Map's result as a value of out's shape."""
    shape, dtype = out.type.shape, out.type.dtype
    if isinstance(result, Value):
        if result.shape != shape:
            return sheet.look(result, Broadcast(shape), shape, _new(sheet, out))
        return sheet.look(result, Same(), shape, _new(sheet, out)) if out.keep_name else result
    if shape and isinstance(result, Number):
        fill = Assemble(_new(sheet, out), (), sheet.note, sheet.tag, result.value, (), False, False)
        return sheet.add(fill)
    scalar = _new(sheet, out) if not shape else sheet.value(dtype, ())
    scalar.py = True
    sheet.add(Look(scalar, (result,), sheet.note, sheet.tag, Same()))
    return sheet.look(scalar, Broadcast(shape), shape, _new(sheet, out)) if shape else scalar


# -- the other statements --------------------------------------------------------------------------


def slice_index(how: Slice, shape: Shape) -> tuple[Span, ...]:
    """A Slice as spans over an array of this shape."""
    return tuple(map(Span, how.starts, how.sizes, how.steps, shape))


def _view(sheet: Sheet, known: Known, statement: View) -> None:
    arg, out = known[statement.arg], statement.out
    kind = _kind(statement, arg.shape)
    if isinstance(kind, Same) and not out.keep_name:
        known[out] = arg
        return
    if isinstance(kind, Index):
        arg, kind = _at_once(arg, kind)
    value = sheet.look(arg, kind, out.type.shape, _new(sheet, out))
    value.py = isinstance(kind, Same) and arg.py
    known[out] = value


def _at_once(arg: Value, kind: Index) -> tuple[Value, Index]:
    """`x[2:3][0]` is `x[2]`: the axes of a slice that is only dropped from or added to."""
    inner = arg.step
    if not isinstance(inner, Look) or not isinstance(inner.kind, Index) or arg.keep:
        return arg, kind
    if not all(isinstance(entry, Span) for entry in inner.kind.entries):
        return arg, kind  # its axes are not those of its source
    rest = iter(inner.kind.entries)
    entries: list[At | Span | None] = []
    for entry in kind.entries:
        cut = next(rest) if entry is not None else None
        if isinstance(entry, At) and isinstance(cut, Span):
            entries.append(At(cut.start + entry.position * cut.step))
        elif entry is None or (isinstance(cut, Span) and entry == full(cut.size)):
            entries.append(cut)
        else:
            return arg, kind
    (source,) = inner.operands
    assert isinstance(source, Value)
    return source, Index(tuple(entries))


def _kind(statement: View, shape: Shape) -> Kind:
    how = statement.how
    if isinstance(how, Slice):
        spans = slice_index(how, shape)
        return Same() if spans == tuple(map(full, shape)) else Index(spans)
    if isinstance(how, Reshape | Broadcast) and how.shape == shape:
        return Same()
    if not shape and isinstance(how, Reshape):
        return Broadcast(how.shape)
    if isinstance(how, Reshape):
        return reindex(shape, how.shape) or how
    return how


def _reduce(sheet: Sheet, known: Known, statement: Reduce) -> None:
    arg, out = known[statement.arg], _new(sheet, statement.out)
    known[statement.out] = out
    if not statement.axes and statement.fn not in SCANS:
        sheet.look(arg, Same(), arg.shape, out)
        return
    sheet.add(
        Fold(
            out, (arg,), statement.note, statement.tag,
            statement.fn, statement.axes, statement.keepdims,
        )
    )  # fmt: skip


def _write(sheet: Sheet, known: Known, statement: Write) -> None:
    out = _new(sheet, statement.out)
    known[statement.out] = out
    written = [
        _number(known[part], slice_index(region, out.shape))
        for part, region in zip(statement.parts, statement.regions, strict=True)
    ]
    parts, regions = tuple(part for part, _ in written), tuple(region for _, region in written)
    sheet.add(
        Assemble(
            out, parts, statement.note, statement.tag,
            statement.fill, regions, statement.add, statement.exhaustive,
        )
    )  # fmt: skip


def _number(part: Operand, region: tuple[Span, ...]) -> tuple[Operand, tuple[At | Span, ...]]:
    """A part and its region; a number that was made an array of one element: the number itself."""
    look = part.step if isinstance(part, Value) else None
    if isinstance(look, Look) and all(span.size == 1 for span in region):
        source = look.operands[0]
        if isinstance(source, Value) and not source.shape:
            return source, tuple(At(span.start) for span in region)
    return part, region


def _gather(sheet: Sheet, known: Known, statement: Gather) -> None:
    out = _new(sheet, statement.out)
    known[statement.out] = out
    indices = tuple(known[index] for index in statement.index if index is not None)
    pattern = tuple(index is not None for index in statement.index)
    operands = (known[statement.arg], *indices)
    sheet.add(Take(out, operands, statement.note, statement.tag, pattern))


def _scatter(sheet: Sheet, known: Known, statement: Scatter) -> None:
    out = _new(sheet, statement.out)
    known[statement.out] = out
    indices = tuple(known[index] for index in statement.index if index is not None)
    pattern = tuple(index is not None for index in statement.index)
    base = () if statement.base is None else (known[statement.base],)
    sheet.add(
        Put(
            out, (known[statement.value], *indices, *base), statement.note, statement.tag,
            pattern, statement.mode, statement.unique, bool(base),
        )
    )  # fmt: skip


def _call(sheet: Sheet, known: Known, statement: Call) -> None:
    outs = tuple(_new(sheet, out) for out in statement.outs)
    known.update(zip(statement.outs, outs, strict=True))
    args = tuple(known[arg] for arg in statement.args)
    step = Invoke(
        outs[0], args, statement.note, statement.tag, statement.function, statement.keywords, outs
    )
    for var, out in zip(statement.outs, outs, strict=True):
        out.step = step
        if var.word and args:
            out.word, out.of = var.word, args[0]
    sheet.add(step)


class _Inside(Known):
    """What is known in a loop; anything else is a value of outside, taken as it is."""

    def __init__(self, sheet: Sheet, outside: Known) -> None:
        super().__init__()
        self.sheet = sheet
        self.outside = outside
        self.whole: list[tuple[Value, Value]] = []

    def __missing__(self, var: Var) -> Value:
        given = self.outside[var]
        value = self[var] = self.sheet.value(given.dtype, given.shape, given.hint)
        value.py = given.py
        self.whole.append((value, given))
        return value


def _loop(sheet: Sheet, known: Known, statement: Loop, recipes: Recipes, options: Options) -> None:
    """A round of the loop on a sheet of its own."""
    inner = Sheet()
    inside = _Inside(inner, known)
    for var in [row for row, _ in statement.rows] + [state for state, _, _ in statement.carried]:
        inside[var] = _new(inner, var)
    _flatten(inner, inside, statement.body, recipes, options)
    results = tuple(inside[var] for var in statement.results)
    after = [inside[following] for _, _, following in statement.carried]
    operands: list[Value] = []

    def number(value: Value) -> int:
        if value not in operands:
            operands.append(value)
        return operands.index(value)

    rows = tuple((inside[row], number(known[stack])) for row, stack in statement.rows)
    carried = tuple(
        (inside[state], number(known[initial]), following)
        for (state, initial, _), following in zip(statement.carried, after, strict=True)
    )
    whole = tuple((value, number(given)) for value, given in inside.whole)
    outs = tuple(_new(sheet, out) for out in statement.outs)
    known.update(zip(statement.outs, outs, strict=True))
    step = Repeat(
        tuple(operands), statement.note, statement.tag, outs, statement.count,
        inner, results, rows, carried, whole,
    )  # fmt: skip
    for out in outs:
        out.step = step
    sheet.add(step)


_LOWER: dict[Any, Callable[[Sheet, Known, Any], None]] = {
    View: _view,
    Reduce: _reduce,
    Write: _write,
    Gather: _gather,
    Scatter: _scatter,
    Call: _call,
}
