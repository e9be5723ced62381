"""Breaking one long line of Python as a person would: at the outermost bracket that helps.

It works on the text of one statement, whose brackets are balanced and which contains no line break.
"""

from __future__ import annotations

import re
from functools import lru_cache

WIDTH = 88
# More names than these are not worth a line each.
_MANY_NAMES = 6
_STRING = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'')
_OPEN = {"(": ")", "[": "]", "{": "}"}
_BRACKET = re.compile(r"[][(){}]")
_ASSIGNS = re.compile(r"(?<![=!<>])= ")
# Loosest first: a long expression is broken at its loosest operators.
_OPERATORS = (
    (" if ", " else "),
    (" or ",),
    (" and ",),
    (" < ", " <= ", " > ", " >= ", " == ", " != ", " is "),
    (" | ",),
    (" & ",),
    (" + ", " - "),
    (" * ", " / ", " // ", " % ", " @ "),
)
_LOOSENESS = {operator[1:-1]: rank for rank, some in enumerate(_OPERATORS) for operator in some}
_OPERATOR = re.compile(rf" ({'|'.join(map(re.escape, _LOOSENESS))})(?= )")


def _blind(text: str) -> str:
    """The text, of the same length, with nothing in its strings that looks like code."""
    if '"' not in text and "'" not in text:
        return text
    return _STRING.sub(lambda match: "_" * len(match[0]), text)


def wrap(text: str, indent: int, after: int = 0) -> list[str]:
    """The statement's lines, each indented, none wider than WIDTH where a break allows it.

    after: how many characters will follow on the last line.
    """
    pad = " " * indent
    if len(text) + indent + after <= WIDTH:
        return [pad + text]
    if text.startswith("if ") and text[-1] == ":" and not text.startswith(("if (", "if not (")):
        return [f"{pad}if (", *_inside(text[3:-1], indent + 4), f"{pad}):"]
    start = _value_start(text)
    target = text[:start].removesuffix(" = ")
    if start + indent > WIDTH // 2 and len(split(target, (", ",))) > 1:
        first, *rest = wrap(f"_ = {text[start:]}", indent)
        closing = pad + ")" + first[indent + 1 :]
        return [f"{pad}(", *_items(split(target, (", ",)), indent + 4), closing, *rest]
    pairs = [pair for pair in _outside(text)[1] if pair[1] > pair[0] + 1]
    if not pairs:
        return _parenthesise(text, indent)
    start, end = max(pairs, key=lambda pair: pair[1] - pair[0])
    head, body, tail = text[: start + 1], text[start + 1 : end], text[end:]
    too_wide = len(head) + indent > WIDTH or len(tail) + indent > WIDTH
    if too_wide or _loosest(text[_value_start(text) :]) is not None:
        return _parenthesise(text, indent)
    return [pad + head, *_inside(body, indent + 4), *wrap(tail, indent)]


def _inside(body: str, indent: int) -> list[str]:
    """The content of a bracket: on one line if it fits, else one item or one operand a line."""
    pad = " " * indent
    items = split(body, (", ",))
    if len(body) + indent <= WIDTH:
        return [pad + body]
    if len(items) > 1:
        return _items(items, indent)
    operators = _loosest(body)
    if operators is None:
        return wrap(body, indent)
    return [line for part in split(body, operators) for line in _operand(part, indent)]


def _operand(part: str, indent: int, after: int = 0) -> list[str]:
    """An operand, with its operator before it; one that is too wide at its own operators."""
    lines = wrap(part, indent, after)
    if max(map(len, lines)) + after <= WIDTH:
        return lines
    operators = _loosest(part)
    if operators is None:
        return lines
    first, *rest = split(part, operators)
    return [*wrap(first, indent), *(line for one in rest for line in wrap(one, indent + 4))]


def _items(items: list[str], indent: int) -> list[str]:
    """One item a line, each with a comma; many names fill the lines."""
    names = [item.removesuffix(",") for item in items]
    if len(names) > _MANY_NAMES and all(map(str.isidentifier, names)):
        return _filled(names, indent)
    lines: list[str] = []
    for item in items:
        lines += _operand(item.removesuffix(","), indent, after=1)
        lines[-1] += ","
    return lines


def _filled(names: list[str], indent: int) -> list[str]:
    """Names with commas, as many as fit on each line."""
    lines: list[str] = []
    line = ""
    for name in names:
        if line and len(line) + len(name) + indent + 2 > WIDTH:
            lines.append(line)
            line = ""
        line += f" {name}," if line else f"{name},"
    return [" " * indent + text for text in (*lines, line)]


def _parenthesise(text: str, indent: int) -> list[str]:
    """`name = (` the value, broken at its loosest operators, `)`; else the text itself."""
    pad = " " * indent
    start = _value_start(text)
    target, value = text[:start], text[start:]
    operators = _loosest(value)
    if operators is None or (not target and not text.startswith("(")):
        return [pad + text]
    parts = [line for part in split(value, operators) for line in _operand(part, indent + 4)]
    return [f"{pad}{target}(", *parts, f"{pad})"]


def _value_start(text: str) -> int:
    """Where the value of an assignment or a return begins; 0 for a bare expression."""
    if text.startswith("return "):
        return len("return ")
    found = _ASSIGNS.search(_outside(text)[0])
    return found.end() if found else 0


def _loosest(text: str) -> tuple[str, ...] | None:
    """The loosest-binding operators that occur outside brackets."""
    found = _OPERATOR.findall(_outside(text)[0], 1)
    return _OPERATORS[min([_LOOSENESS[operator] for operator in found])] if found else None


def split(text: str, separators: tuple[str, ...]) -> list[str]:
    """Cut outside brackets: after a comma, before an operator."""
    outside = _outside(text)[0]
    cuts = sorted(cut for separator in separators for cut in _positions(outside, separator))
    parts: list[str] = []
    start = 0
    for cut in cuts:
        parts.append(text[start : cut + 1].rstrip(" "))
        start = cut + (2 if text[cut] == "," else 1)
    parts.append(text[start:])
    return [part for part in parts if part]


def _positions(text: str, part: str) -> list[int]:
    """Where the part stands."""
    found: list[int] = []
    position = text.find(part)
    while position >= 0:
        found.append(position)
        position = text.find(part, position + 1)
    return found


@lru_cache(maxsize=64)
def _outside(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The text, of the same length, with nothing in its brackets and strings; and the positions of
    the outermost brackets."""
    blind = _blind(text)
    pieces: list[str] = []
    pairs: list[tuple[int, int]] = []
    depth = start = after = 0
    for match in _BRACKET.finditer(blind):
        position = match.start()
        if match[0] in _OPEN:
            if depth == 0:
                pieces.append(blind[after:position])
                start = position
            depth += 1
        else:
            depth -= 1
            if depth == 0:
                after = position + 1
                pieces.append("_" * (after - start))
                pairs.append((start, position))
    pieces.append(blind[after:] if depth == 0 else "_" * (len(blind) - start))
    return "".join(pieces), pairs
