"""Comments that say no more than the code below them are left out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from codegen.source import Assign, Blank, Comment, Source

# What a formula does not spell: whose function it is, and where the result is kept.
_SPELLING = re.compile(r"\b(?:np|math)\.|, out=\w+")
_METHOD = re.compile(r"\b(\w+)\.(sum|max|min|prod|mean)\(\)")


def without_echoes(sources: Sequence[Source]) -> list[Source]:
    """The statements, without a comment above a single line that reads the same.

    `# q = x + y` above `q = x + y` tells nothing. A run of such lines stands together; beside a
    group that keeps its comment, the empty line between them stays.
    """
    result: list[Source] = []
    bare = True  # whether the lines just before stand without a comment of their own
    for group in _groups(sources):
        blank, comments, statements = group
        echo = len(comments) == 1 and len(statements) == 1 and _same(comments[0], statements[0])
        if echo:
            comments = []
        if blank is not None and result and not (bare and not comments):
            result.append(blank)
        result += [*comments, *statements]
        bare = not comments
    return result


def _groups(
    sources: Sequence[Source],
) -> list[tuple[Blank | None, list[Source], list[Source]]]:
    """(the empty line before, the comments, the statements) of each group."""
    groups: list[tuple[Blank | None, list[Source], list[Source]]] = []
    for source in sources:
        if isinstance(source, Blank):
            groups.append((source, [], []))
        elif isinstance(source, Comment) and (not groups or groups[-1][2]):
            groups.append((None, [source], []))
        else:
            if not groups:
                groups.append((None, [], []))
            groups[-1][1 if isinstance(source, Comment) else 2].append(source)
    return groups


def _same(comment: Source, statement: Source) -> bool:
    if not isinstance(comment, Comment) or not isinstance(statement, Assign):
        return False
    line = f"{statement.target} {statement.operator} {statement.value}"
    line = _METHOD.sub(r"\2(\1)", _SPELLING.sub("", line))
    return line == comment.text
