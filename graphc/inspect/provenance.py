"""Where every derivative comes from: a formula, an equation, or a rule stated by hand.

provenance()      the groups, as data; printed, they are for reading
of_function(name) what is known of one function of the tables, as text
"""

from __future__ import annotations

from collections.abc import Sequence

from codegen.record import record
from graphc.adjoints.structural import BY_HAND
from graphc.errors import GraphNameError, located
from graphc.ops.elementwise import TABLE
from graphc.ops.linalg import LINALG
from graphc.ops.reductions import REDUCTIONS


@record
class Group:
    """Ops whose derivatives have one origin. members: (name, note) of each. derived: that the
    derivative follows from what defines the op, by machine; else a person has stated it."""

    title: str
    derived: bool
    members: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        head = f"{len(self.members)}: {self.title}"
        if not any(note for _, note in self.members):
            return "\n".join([head, *_wrapped([name for name, _ in self.members])])
        width = max(len(name) for name, _ in self.members)
        return "\n".join([head, *(f"  {name:{width}}  {note}" for name, note in self.members)])


@record
class Provenance:
    """All groups."""

    groups: tuple[Group, ...]

    def count(self, derived: bool) -> int:
        """How many ops are derived from what defines them, or have their adjoint stated."""
        return sum(len(group.members) for group in self.groups if group.derived == derived)

    def __str__(self) -> str:
        total = (
            f"{self.count(True)} ops are differentiated from their definitions; "
            f"for {self.count(False)} a rule is stated by hand."
        )
        return "\n\n".join([*map(str, self.groups), total])


def provenance() -> Provenance:
    """Every op that has a derivative, by where it comes from. Steps, whose derivative is zero, and
    what yields integers have none."""
    formulas = [(name, "") for name, op in sorted(TABLE.items()) if op.differentiable]
    indices = (("contraction", "every sum of products: matmul, einsum, sum, trace, conv, ..."),)
    read_off = [(name, op.equations[0]) for name, op in LINALG.items() if not op.source]
    equations = [(name, op.source) for name, op in LINALG.items() if op.source]
    return Provenance(
        (
            Group("by SymPy, from the scalar formula", True, tuple(formulas)),
            Group("by SymPy, from the index formula", True, indices),
            Group("read off the matrix equation", True, tuple(read_off)),
            Group(
                "a differential stated, from the source; tests certify it", False, tuple(equations)
            ),
            Group("an adjoint stated, since it", False, tuple(BY_HAND.items())),
        )
    )


def of_function(name: str) -> str:
    """The derivation of an elementwise op, the equations of a matrix function, or the reason why a
    rule is stated by hand.

    Raises GraphNameError for a name that is in no table.
    """
    if name in TABLE:
        from graphc.derive.lookup import derivation

        op = TABLE[name]
        if not op.differentiable:
            return f"{name}({', '.join(op.args)}): a step; its derivative is zero"
        return str(derivation(op))
    if name in LINALG:
        matrix = LINALG[name]
        lines = [f"{', '.join(matrix.results)} = {name}({', '.join(matrix.args)})"]
        lines += [f"  equation  {equation}" for equation in matrix.equations]
        lines += [f"  moves as  {line}" for line in matrix.differential]
        return "\n".join([*lines, *([f"  source    {matrix.source}"] if matrix.source else [])])
    if name in BY_HAND:
        return f"{name}: its adjoint is stated, since it {BY_HAND[name]}"
    if name in REDUCTIONS:
        return f"{name}: what it yields is not differentiable"
    import difflib

    close = difflib.get_close_matches(name, [*TABLE, *LINALG, *BY_HAND], 1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise GraphNameError(located(f"no function {name!r}{hint}"))


def _wrapped(names: Sequence[str], width: int = 96) -> list[str]:
    lines, line = [], " "
    for name in names:
        if len(line) + len(name) + 1 > width:
            lines.append(line)
            line = " "
        line += f" {name}"
    return [*lines, line]
