"""Steps that are loops in the source: over the offsets inside a window, and over images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from codegen.arrays import empty_text, expression, filled, span_text, transposed
from codegen.plan.rounds import Repeat
from codegen.plan.steps import Offsets, Push, Rows, Span, Strip, Sweep, Value
from codegen.plan.workspace import may_be_told
from codegen.printers import ATOM, dtype_text
from codegen.source import Assign, Block, Comment, Do, Lines, Source
from codegen.types import Dim, Shape, Size

if TYPE_CHECKING:
    from codegen.emit import Emitter, Plan

_WHOLE_NUMBERS = {"i64": 63, "i32": 31}
_WORDS = {0.0: "zero", 0.5: "half", 1.0: "one", 2.0: "two"}
# Names that do not fit into the first line of a loop.
_WIDE = 60
_FOLDS = {"max": "np.maximum", "min": "np.minimum"}


def write_offsets(emitter: Emitter, step: Offsets) -> None:
    """A loop over the offsets inside a window, with whole slices at each of them."""
    plan, printer = emitter.plan, emitter.printer
    out, name = step.out, plan.names[step.out.index]
    emitter.assign(step, name, filled(printer, out, _start(step)))
    variables = _variables(emitter, step.loops)
    for operand, part, slab in zip(step.operands, step.parts, step.slabs, strict=True):
        text = printer.operand(operand, ATOM)
        if part is not None:
            assert isinstance(operand, Value)
            text = f"{text}{_strips(emitter, part, operand.shape, variables)}"
        printer.text[slab.index] = text
    result = step.slabs[-1]
    for inner in step.body:
        result = inner.out
        printer.text[result.index], printer.level[result.index] = expression(printer, inner)
    text = printer.operand(result)
    body: list[Source]
    if step.fn in _FOLDS:
        body = [Do(f"{_FOLDS[step.fn]}({name}, {text}, out={name})", step.tag)]
    else:
        where = ""
        if step.target is not None:
            where = _strips(emitter, step.target, out.shape, variables)
        body = [Assign(f"{name}{where}", text, "+=", tag=step.tag)]
    emitter.sources.append(_looped(emitter, step, variables, body))


def _variables(emitter: Emitter, loops: tuple[tuple[str, Size], ...]) -> dict[str, str]:
    """The variable of each loop."""
    variables: dict[str, str] = {}
    for loop, _ in loops:
        variables[loop] = variable = emitter.counter(loop)
        emitter.loops[f"<{variable}>"] = variable
    return variables


def _looped(
    emitter: Emitter, step: Offsets | Push, variables: dict[str, str], body: list[Source]
) -> Block:
    """The body inside its loops."""
    for loop, extent in reversed(step.loops):
        header = f"for {variables[loop]} in range({emitter.printer.size(extent)}):"
        body = [Block(header, body, step.tag)]
    (outermost,) = body
    assert isinstance(outermost, Block)
    return outermost


def _start(step: Offsets) -> float | int:
    """What folding begins with."""
    if step.fn == "sum":
        return 0
    bits = _WHOLE_NUMBERS.get(step.out.dtype)
    if bits is None:
        return -float("inf") if step.fn == "max" else float("inf")
    return -(1 << bits) if step.fn == "max" else (1 << bits) - 1


def _strips(
    emitter: Emitter, strips: tuple[Strip, ...], shape: Shape, variables: dict[str, str]
) -> str:
    """The subscript of a part, brackets and all; empty for the whole."""
    printer = emitter.printer
    entries = []
    for strip, length in zip(strips, shape, strict=True):
        start: Size = strip.start
        for loop, coefficient in strip.loops:
            start = start + Dim.named(f"<{variables[loop]}>") * coefficient
        if strip.step:
            entries.append(span_text(printer, Span(start, strip.size, strip.step, length)))
        else:
            entries.append(printer.size(start))
    while entries and entries[-1] == ":":
        entries.pop()
    return f"[{', '.join(entries)}]" if entries else ""


def write_sweep(emitter: Emitter, step: Sweep) -> None:
    """A loop over images: the windows into columns, then a product of matrices."""
    printer, out = emitter.printer, step.out
    name = emitter.plan.names[out.index]
    windows, matrix = (printer.operand(operand, ATOM) for operand in step.operands)
    image = emitter.counter("image")
    columns, flat, before = _columns(emitter, step)
    view = f"{windows}[{image}].transpose({', '.join(map(str, step.axes))})"
    body: list[Source] = [Do(f"np.copyto({columns}, {view})", step.tag)]
    assert isinstance(step.operands[0], Value)
    count = printer.size(step.operands[0].shape[0])
    if step.summing:
        turned = ".T" if len(step.flat) == 2 else ".swapaxes(-1, -2)"
        _sum_images(emitter, step, before, body, count, f"{flat} @ {matrix}[{image}]{turned}")
        return
    emitter.assign(step, name, filled(printer, out, 0, empty=True))
    where = f"{name}[{image}]"
    if step.product != out.shape[1:]:
        where = f"{where}.reshape({', '.join(map(printer.size, step.product))})"
    body.append(Do(f"np.matmul({matrix}, {flat}, out={where})", step.tag))
    _each_image(emitter, step, before, body, f"range({count})")


def write_rows(emitter: Emitter, step: Rows) -> None:
    """A loop over blocks of images: rows of windows, then a product of matrices."""
    printer, out = emitter.printer, step.out
    name = emitter.plan.names[out.index]
    windows, other = (printer.operand(operand, ATOM) for operand in step.operands)
    image, rows = emitter.counter("image"), emitter.counter("rows")
    view = step.operands[0]
    assert isinstance(view, Value)
    count, width = printer.size(view.shape[0]), printer.size(step.width)
    part = f"[{image} : {image} + {step.block}]"
    body: list[Source] = [Assign(rows, f"{windows}{part}.reshape(-1, {width})", tag=step.tag)]
    # Else the next block's rows were made while these are there.
    gone = Do(f"del {rows}", step.tag)
    if step.summing:
        term = f"{rows}.T @ {other}{part}.reshape(-1, {printer.size(out.shape[1])})"
        _sum_images(emitter, step, [], body, count, term, step.block, [gone])
        return
    emitter.assign(step, name, filled(printer, out, 0, empty=True))
    last, axes = name, step.axes
    if axes != tuple(range(len(axes))):
        last = emitter.plan.scope.fresh(f"{name}_last")
        emitter.sources.append(Assign(last, f"{name}{transposed(axes)}", tag=step.tag))
    shape = ", ".join(printer.size(out.shape[axis]) for axis in axes[1:])
    value = f"({rows} @ {other}).reshape(-1, {shape})"
    body.extend([Assign(f"{last}{part}", value, tag=step.tag), gone])
    _each_image(emitter, step, [], body, _range(count, step.block))


def _range(count: str, block: int) -> str:
    """The first image of every block."""
    return f"range(0, {count}, {block})" if block > 1 else f"range({count})"


def _sum_images(
    emitter: Emitter,
    step: Sweep | Rows,
    before: list[Source],
    body: list[Source],
    count: str,
    term: str,
    block: int = 1,
    after: Iterable[Source] = (),
) -> None:
    """The terms of all images, added up in their order. Several threads make one term each, which
    are added before the next: so rounding does not depend on who is first."""
    printer, sources, tag = emitter.printer, emitter.sources, step.tag
    name, threads = emitter.plan.names[step.out.index], emitter.plan.threads
    emitter.assign(step, name, filled(printer, step.out, 0))
    image = emitter.counter("image")
    if threads == 1:
        body.extend([Assign(name, term, "+=", tag=tag), *after])
        _each_image(emitter, step, before, body, _range(count, block))
        return
    fresh = emitter.plan.scope.fresh
    terms, first, untaken, work = map(fresh, ("terms", "first", "untaken", "work"))
    several = Value(0, step.out.dtype, (threads, *step.out.shape), "", False)
    sources.append(Assign(terms, filled(printer, several, 0, empty=True), tag=tag))
    place = f"{image} // {block} % {threads}" if block > 1 else f"{image} % {threads}"
    body.extend([Assign(f"{terms}[{place}]", term, tag=tag), *after])
    loop = [*before, Block(f"for {image} in {untaken}:", body, tag)]
    sources.extend([Lines([""]), Block(f"def {work}():", loop, tag), Lines([""])])
    printer.modules.add("threads")
    each = f", {block}" if block > 1 else ""
    taken = f"range({first}, min({first} + {threads * block}, {count}){each})"
    adding: list[Source] = [Assign(name, f"{terms}[{place}]", "+=", tag=tag)]
    rounds: list[Source] = [
        Assign(untaken, f"iter({taken})", tag=tag),
        Do(f"_on_threads({work})", tag),
        Block(f"for {image} in {taken}:", adding, tag),
    ]
    sources.append(Block(f"for {first} in range(0, {count}, {threads * block}):", rounds, tag))


def _each_image(
    emitter: Emitter,
    step: Sweep | Rows | Push,
    before: list[Source],
    body: list[Source],
    images: str,
) -> None:
    """The loop over images; with several threads each takes the next image, into columns of its
    own."""
    sources, fresh = emitter.sources, emitter.plan.scope.fresh
    image = emitter.counter("image")
    if emitter.plan.threads == 1:
        sources.extend([*before, Block(f"for {image} in {images}:", body, step.tag)])
        return
    untaken, work = fresh("untaken"), fresh("work")
    emitter.printer.modules.add("threads")
    sources.append(Assign(untaken, f"iter({images})", tag=step.tag))
    loop = [*before, Block(f"for {image} in {untaken}:", body, step.tag)]
    sources.extend([Lines([""]), Block(f"def {work}():", loop, step.tag), Lines([""])])
    sources.append(Do(f"_on_threads({work})", step.tag))


def _columns(emitter: Emitter, step: Sweep | Push) -> tuple[str, str, list[Source]]:
    """The buffer for the columns of one image, the same as a matrix, and what makes them: nothing
    where the loop before left a buffer of this shape."""
    printer = emitter.printer
    columns = flat = emitter.counter("columns")
    buffer = empty_text(printer, step.columns, step.out.dtype)
    made: list[Source] = [Assign(columns, buffer, tag=step.tag)]
    if step.flat != step.columns:
        flat = emitter.counter("columns_flat")
        text = f"{columns}.reshape({', '.join(map(printer.size, step.flat))})"
        made.append(Assign(flat, text, tag=step.tag))
    kind = (step.columns, step.flat, step.out.dtype)
    if emitter.plan.threads == 1:
        made, emitter.columns = ([] if emitter.columns == kind else made), kind
        emitter.buffers.update({columns: None, flat: None})
    return columns, flat, made


def write_push(emitter: Emitter, step: Push) -> None:
    """A loop over images: a product of matrices into columns, whose windows are added up."""
    printer, out = emitter.printer, step.out
    name = emitter.plan.names[out.index]
    matrix, other = (printer.operand(operand, ATOM) for operand in step.operands)
    image = emitter.counter("image")
    emitter.assign(step, name, filled(printer, out, 0))
    columns, flat, before = _columns(emitter, step)
    variables = _variables(emitter, step.loops)
    target = _strips(emitter, step.target, out.shape[1:], variables)
    part = f"{columns}{_strips(emitter, step.part, step.columns, variables)}"
    adding: list[Source] = [
        Assign(f"{name}[{image}, {target[1:]}", part, "+=", tag=step.tag),
    ]
    body: list[Source] = [
        Do(f"np.matmul({matrix}, {other}[{image}], out={flat})", step.tag),
        _looped(emitter, step, variables, adding),
    ]
    _each_image(emitter, step, before, body, f"range({printer.size(out.shape[0])})")


# -- steps one after another -----------------------------------------------------------------------


def write_repeat(emitter: Emitter, step: Repeat) -> None:
    """A loop over rows of arrays, those of results among them, which a round computes in place:
    taken one after another, rows cost half of what they cost by number. What a round needs of the
    one before is bound again at its end."""
    plan, printer, tag = emitter.plan, emitter.printer, step.tag
    inner = emitter.round(step)
    names, fresh = inner.plan.names, plan.scope.fresh
    for value, number in step.whole:
        names[value.index] = printer.operand(step.operands[number], ATOM)
    rows: dict[str, str] = {}
    for row, number in step.rows:
        if inner.plan.uses.count(row):
            stack = printer.operand(step.operands[number], ATOM)
            name = names[row.index] = fresh(f"{stack}_t")
            rows[name] = stack
            emitter.held.setdefault(stack, []).append(name)
    copied: list[tuple[str, Value]] = []
    starts = [
        Assign(names[state.index], printer.operand(step.operands[number]), tag=tag)
        for state, number, _ in step.carried
    ]
    states = {following: names[state.index] for state, _, following in step.carried}
    into: dict[Value, str] = {}
    for out, result in zip(step.outs, step.results, strict=True):
        if not plan.uses.count(out):
            continue
        stack = plan.names[out.index]
        emitter.assign(step, stack, filled(printer, out, 0, empty=True))
        name = fresh(f"{stack}_t")
        rows[name] = stack
        if out.shape[0] != step.count:
            rows[name] = f"{stack}[1:]"
            starts.append(Assign(f"{stack}[0]", states[result], tag=tag))
        held = emitter.held.setdefault(stack, [])
        held.append(name)
        if _may_go(inner.plan, result) and result not in into:
            into[result] = name
            held.append(names[result.index])
            held += [names[state.index] for state, _, after in step.carried if after is result]
        else:
            copied.append((name, result))
    numbers: list[Source] = []

    def named(number: float, dtype: str) -> str:
        if (number, dtype) not in emitter.arrays:
            name = emitter.arrays[number, dtype] = fresh(_WORDS.get(number, "number"))
            typed = "" if dtype == "f64" else f", {dtype_text(dtype)}"
            numbers.append(Assign(name, f"np.array({number!r}{typed})", tag=tag))
        return emitter.arrays[number, dtype]

    inner.into, inner.printer.named = into, named
    body = inner.body()
    operand = inner.printer.operand
    body += [Assign(f"{name}[...]", operand(result), tag=tag) for name, result in copied]
    after = ", ".join(operand(value) for _, _, value in step.carried)
    state_names = [names[state.index] for state, _, _ in step.carried]
    body.append(Assign(", ".join(state_names), after, tag=tag))
    if numbers:
        numbers.insert(0, Comment("Numbers as arrays: in a loop, Python's cost more.", tag))
    taken, stacks = ", ".join(rows), ", ".join(rows.values())
    header = f"for {taken} in {stacks}:" if len(rows) == 1 else f"for {taken} in zip({stacks}):"
    if not rows:
        header = f"for _ in range({step.count}):"
    elif len(taken) > _WIDE:
        together = fresh("rows")
        starts.append(Assign(together, f"zip({stacks})", tag=tag))
        header = f"for ({taken}) in {together}:"
    emitter.sources += [*numbers, *starts, Block(header, body, tag)]


def _may_go(plan: Plan, result: Value) -> bool:
    """Whether a round may compute a result into its row."""
    made = result.step
    if made is None or not may_be_told(made) or plan.inline[result.index]:
        return False
    places = plan.buffers
    return places.inplace[result.index] is None and places.reused[result.index] is None
