"""Storage that a module keeps between calls (`Options.workspace`): what is computed where in it.

An array that is made anew in every call costs its pages each time it is large, and a search for
free storage always. With a workspace whatever is not returned, of a size known when it is compiled,
works in buffers of the module; a buffer serves one value after another, in every function.
"""

from __future__ import annotations

from collections.abc import Iterable

from codegen.plan.buffers import FOREVER, Buffers, last_reads
from codegen.plan.steps import LARGE, Apply, Invoke, Product, Sheet, Step, Value, outs_of, values_of
from codegen.plan.uses import Uses
from codegen.types import Shape

Kind = tuple[str, Shape]

# What these read they do not return.
_ONLY_READ = frozenset({"np.dot", "np.vdot", "np.vecdot"})
# With `out=` it is another function: x ** 0.5 is a square root.
_ANOTHER_WITH_OUT = frozenset({"power"})


class Workspace:
    """The buffers of a module, by type; `buffers` are all of them, in the order of asking."""

    def __init__(self) -> None:
        self.buffers: list[Kind] = []
        self._places: dict[tuple[Kind, bool], list[int]] = {}

    def place(self, kind: Kind, number: int, scratch: bool = False) -> str:
        """The text of the number-th buffer of a type; those for tiles are apart."""
        places = self._places.setdefault((kind, scratch), [])
        while len(places) <= number:
            places.append(len(self.buffers))
            self.buffers.append(kind)
        return f"_work[{places[number]}]"


def placed(
    sheet: Sheet,
    uses: Uses,
    inline: list[bool],
    scale: list[int],
    plan: Buffers,
    tiled: Iterable[Step],
    workspace: Workspace,
) -> dict[Value, str]:
    """The buffer in which each value is put that starts a chain of storage of its own.

    tiled: the steps of loops over tiles, which have scratch.
    """
    last, _ = last_reads(sheet, uses, inline, plan, scale)
    ends: dict[Value, int] = {}
    shown: set[Value] = set()
    for value in sheet.values:
        start = _start(value, plan)
        ends[start] = max(ends.get(start, -1), last[plan.root[value.index].index])
        if uses.returned[value.index]:
            ends[start] = FOREVER
    inside = set(tiled)
    for step in sheet.steps:
        if isinstance(step, Invoke) and step.function not in _ONLY_READ:
            # What a function returns may be its argument.
            shown.update(_start(operand, plan) for operand in values_of(step))
        if step in inside:
            shown.update(_start(out, plan) for out in outs_of(step))
    found: dict[Value, str] = {}
    free: dict[Kind, list[int]] = {}
    count: dict[Kind, int] = {}
    dying: dict[int, list[tuple[Kind, int]]] = {}
    for position, step in enumerate(sheet.steps):
        for kind, number in dying.pop(position - 1, ()):
            free.setdefault(kind, []).append(number)
        out = step.out
        if _start(out, plan) is not out or not _fits(step, inline, scale):
            continue
        if out in shown or ends[out] == FOREVER:
            continue
        kind = (out.dtype, out.shape)
        spare = free.get(kind)
        if spare:
            number = spare.pop()
        else:
            number = count.get(kind, 0)
            count[kind] = number + 1
        found[out] = workspace.place(kind, number)
        dying.setdefault(max(ends[out], position), []).append((kind, number))
    return found


def _start(value: Value, plan: Buffers) -> Value:
    """The value in whose storage a value is, at the start of the chain."""
    value = plan.root[value.index]
    while True:
        before = plan.inplace[value.index] or plan.reused[value.index]
        if before is None:
            return value
        value = plan.root[before.index]


def _fits(step: Step, inline: list[bool], scale: list[int]) -> bool:
    """Whether the step makes a large array of a known size, and may be told where to put it."""
    out = step.out
    if inline[out.index] or scale[out.index] != LARGE:
        return False
    return all(isinstance(size, int) for size in out.shape) and may_be_told(step)


def may_be_told(step: Step) -> bool:
    """Whether the step makes floating numbers, and may be told where to put them."""
    if step.out.dtype not in ("f64", "f32"):
        return False
    if isinstance(step, Apply):
        return step.function.ufunc and step.function.name not in _ANOTHER_WITH_OUT
    return isinstance(step, Product)
