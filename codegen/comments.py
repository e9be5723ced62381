"""Comments that say no more than the code below them, or of other lines, are left out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from codegen.layout import split
from codegen.source import Assign, Blank, Comment, Source

# What a formula does not spell: whose function it is, and where the result is kept.
_SPELLING = re.compile(r"\b(?:np|math)\.|, out=\w+")
_METHOD = re.compile(r"\b(\w+)\.(sum|max|min|prod|mean)\((.*?)\)")
_NAME = re.compile(r"(?<![\w.])[^\W\d]\w*\b(?![('])")
_FUNCTION = re.compile(r"\b[^\W\d]\w*(?=[('])")
_CALL = re.compile(r"^(\w+ = )(add|subtract|multiply|divide|matmul)\((.+)\)$")
_SYMBOL = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "matmul": "@"}


def without_echoes(sources: Sequence[Source]) -> list[Source]:
    """The statements, without a comment above a single line that reads the same.

    `# q = x + y` above `q = x + y` tells nothing. A run of such lines stands together; beside a
    group that keeps its comment, the empty line between them stays, unless that group goes on.
    """
    result: list[Source] = []
    bare = True  # whether the lines just before stand without a comment of their own
    told = ""  # the comment of the last group that has one
    gap: int | None = None  # where the empty line after that group is
    for blank, comments, statements in _groups(sources):
        goes_on = False
        if len(comments) == 1 and len(statements) == 1 and _same(comments[0], statements[0]):
            comments = []
        elif bare and told and [_text(comment) for comment in comments] == [told]:
            # The group goes on, after lines that need no comment.
            goes_on, comments, blank = True, [], None
            if gap is not None:
                del result[gap]
                gap = None
        if comments:
            told, gap = _text(comments[-1]), None
        if blank is not None and result and not (bare and not comments):
            if not comments:
                gap = len(result)
            result.append(blank)
        result += [*comments, *statements]
        bare = not comments and not goes_on
    return result


_Group = tuple[Blank | None, list[Source], list[Source]]


def _groups(sources: Sequence[Source]) -> list[_Group]:
    """(the empty line before, the comments, the statements) of each group."""
    groups: list[_Group] = []
    for source in sources:
        if isinstance(source, Blank):
            groups.append((source, [], []))
            continue
        is_comment = isinstance(source, Comment)
        if not groups or (is_comment and groups[-1][2]):
            groups.append((None, [], []))
        _, comments, statements = groups[-1]
        (comments if is_comment else statements).append(source)
    return groups


def _text(comment: Source) -> str:
    return comment.text if isinstance(comment, Comment) else ""


def _same(comment: Source, statement: Source) -> bool:
    """Whether the comment reads as the line does, or spells out what earlier lines have done: the
    line has fewer names, or the same ones and no fewer functions."""
    if not isinstance(comment, Comment) or not isinstance(statement, Assign):
        return False
    line = f"{statement.target} {statement.operator} {statement.value}"
    line = _METHOD.sub(_call, _SPELLING.sub("", line))
    line = _CALL.sub(_infix, line)
    said, done = set(_NAME.findall(comment.text)), set(_NAME.findall(line))
    if done < said:
        return True
    functions = [set(_FUNCTION.findall(text)) for text in (comment.text, line)]
    return line == comment.text or (done == said and functions[0] == functions[1] == set())


def _infix(found: re.Match[str]) -> str:
    """`a @ b` of `matmul(a, b)`."""
    operands = split(found[3], (", ",))
    if len(operands) != 2:
        return found[0]
    return f"{found[1]}{operands[0].removesuffix(',')} {_SYMBOL[found[2]]} {operands[1]}"


def _call(found: re.Match[str]) -> str:
    """`sum(x, axis=0)` of `x.sum(axis=0)`."""
    return f"{found[2]}({found[1]}{', ' if found[3] else ''}{found[3]})"
