"""Source as data, and its text: the one place where lines are put together.

    Source    = Assign | Do | Return | Comment | Blank | Lines | Block
    Block     = header, body            `if`, `for`, `def`, `class`, `try`
    a module  = a list of Source

Every Source has a tag, which says for the source map where its line comes from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

from codegen.layout import WIDTH, wrap


class Assign:
    """target operator value, with a comment at the end of the line where it fits."""

    __slots__ = ("comment", "operator", "tag", "target", "value")

    def __init__(
        self, target: str, value: str, operator: str = "=", comment: str = "", tag: str = ""
    ) -> None:
        self.target = target
        self.value = value
        self.operator = operator
        self.comment = comment
        self.tag = tag


class Do:
    """An expression for its effect, or any other one-line statement."""

    __slots__ = ("tag", "text")

    def __init__(self, text: str, tag: str = "") -> None:
        self.text = text
        self.tag = tag


class Return:
    """return value."""

    __slots__ = ("tag", "value")

    def __init__(self, value: str, tag: str = "") -> None:
        self.value = value
        self.tag = tag


class Comment:
    """A comment on lines of its own."""

    __slots__ = ("tag", "text")

    def __init__(self, text: str, tag: str = "") -> None:
        self.text = text
        self.tag = tag


class Blank:
    """Empty lines between statements."""

    __slots__ = ("count", "tag")

    def __init__(self, count: int = 1, tag: str = "") -> None:
        self.count = count
        self.tag = tag


class Lines:
    """Lines that are formatted already: a docstring, a fixed helper."""

    __slots__ = ("lines", "tag")

    def __init__(self, lines: Sequence[str], tag: str = "") -> None:
        self.lines = lines
        self.tag = tag


class Block:
    """A header that ends in a colon, and what is indented below it."""

    __slots__ = ("body", "header", "tag")

    def __init__(self, header: str, body: Sequence[Source] = (), tag: str = "") -> None:
        self.header = header
        self.body = body
        self.tag = tag


Source = Union[Assign, Do, Return, Comment, Blank, Lines, Block]


class Text:
    """The lines of a module, and the tag of each line that has one (lines count from 1)."""

    __slots__ = ("lines", "tags")

    def __init__(self, lines: list[str], tags: dict[int, str]) -> None:
        self.lines = lines
        self.tags = tags

    def __str__(self) -> str:
        return "\n".join(self.lines) + "\n"

    def followed_by(self, other: Text) -> Text:
        """Both texts, one below the other."""
        shift = len(self.lines)
        tags = {**self.tags, **{number + shift: tag for number, tag in other.tags.items()}}
        return Text(self.lines + other.lines, tags)


def render(module: Sequence[Source]) -> Text:
    """The text of a module."""
    text = Text([], {})
    _render(module, 0, text)
    return text


def _render(sources: Sequence[Source], indent: int, text: Text) -> None:
    pad = " " * indent
    lines, tags = text.lines, text.tags
    for source in sources:
        first = len(lines) + 1
        if isinstance(source, Assign):
            line = f"{pad}{source.target} {source.operator} {source.value}"
            if len(line) > WIDTH:
                lines.extend(wrap(line[indent:], indent))
            elif source.comment and len(line) + len(source.comment) + 4 <= WIDTH:
                lines.append(f"{line}  # {source.comment}")
            else:
                lines.append(line)
        elif isinstance(source, Do):
            lines.extend(wrap(source.text, indent))
        elif isinstance(source, Return):
            lines.extend(wrap(f"return {source.value}", indent))
        elif isinstance(source, Comment):
            paragraph = _paragraph(source.text, WIDTH - indent - 2, "    ")
            lines.extend(f"{pad}# {line}" for line in paragraph)
        elif isinstance(source, Blank):
            lines.extend([""] * source.count)
        elif isinstance(source, Lines):
            lines.extend(pad + line if line else line for line in source.lines)
        else:
            lines.extend(wrap(source.header, indent))
            _render(source.body, indent + 4, text)
        if source.tag:
            for number in range(first, len(lines) + 1):
                tags.setdefault(number, source.tag)


def docstring(text: str, indent: int) -> Lines:
    """A docstring: one line if it fits, else the first line and the rest below."""
    # A user's text must not end the string that it is printed in.
    safe = text.strip().replace("\\", "\\\\").replace('"""', "'''")
    lines = [
        part
        for line in safe.splitlines()
        for part in (_paragraph(line, WIDTH - indent - 3) or [""])
    ]
    if len(lines) == 1 and len(lines[0]) + indent + 6 <= WIDTH and not lines[0].endswith('"'):
        return Lines([f'"""{lines[0]}"""'])
    return Lines([f'"""{lines[0]}', *lines[1:], '"""'])


def _paragraph(text: str, width: int, hang: str = "") -> list[str]:
    """The text in lines of at most `width`, broken at spaces, outside brackets where it can be.

    What follows a break stands after `hang`; line breaks are kept.
    """
    lines: list[str] = []
    for line in text.splitlines():
        while len(line) > width:
            cut = _cut(line, width)
            if cut <= 0:
                break
            lines.append(line[:cut])
            line = hang + line[cut + 1 :].lstrip()
        lines.append(line)
    return lines


def _cut(line: str, width: int) -> int:
    """The space to break at: in the line's second half, the last one in the fewest brackets."""
    # Not within what the line begins with: a word that is too long would be broken for ever.
    indented = len(line) - len(line.lstrip())
    last = line.rfind(" ", indented + 1, width + 1)
    best, least, depth = last, 1 << 30, 0
    for position in range(min(last, width) + 1):
        char = line[position]
        if char in "([":
            depth += 1
        elif char in ")]":
            depth -= 1
        elif char == " " and depth <= least and 2 * position > width:
            best, least = position, depth
    return best
