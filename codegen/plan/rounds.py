"""A step that is a loop: rounds one after another, each with what the one before carries on."""

from __future__ import annotations

from codegen.plan.steps import Invoke, Operand, Sheet, Value


class Repeat(Invoke):
    """For t in range(count): the inner steps, then outs[k][t] = results[k].

    inner: what one round computes. Its values from outside stand for operands: rows (a value, the
    number of the operand whose row t it is), whole (the same, all of the operand), carried (a
    value, the number of the operand that it is first, and what it is after a round).
    """

    __slots__ = ("carried", "count", "inner", "results", "rows", "whole")

    def __init__(
        self,
        operands: tuple[Operand, ...],
        note: str,
        tag: str,
        outs: tuple[Value, ...],
        count: int,
        inner: Sheet,
        results: tuple[Value, ...],
        rows: tuple[tuple[Value, int], ...],
        carried: tuple[tuple[Value, int, Value], ...],
        whole: tuple[tuple[Value, int], ...],
    ) -> None:
        super().__init__(outs[0], operands, note, tag, "", (), outs)
        self.count = count
        self.inner = inner
        self.results = results
        self.rows = rows
        self.carried = carried
        self.whole = whole

    @property
    def kept(self) -> list[Value]:
        """What a round computes for the outside and for the next one."""
        return [*self.results, *(after for _, _, after in self.carried)]
