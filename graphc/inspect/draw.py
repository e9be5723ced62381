"""A circuit as a picture: gates, and on the wires their values and gradients, as on a blackboard.

On the wire out of a gate stand its value, above, and below the gradient of the output; where a wire
enters a gate stands the gate's local gradient, which the gradient from the right is multiplied by
on its way back. Where a value branches, what comes back adds. The picture is SVG, made of text
alone, which every browser shows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np

from graphc import ir
from graphc.errors import GraphValueError, located
from graphc.inspect.layers import Layout, layout
from graphc.inspect.shown import Shown
from graphc.ir import Node
from graphc.ops.kinds import ConstantParams, InputParams
from graphc.textual.spell import ATOM, Spelt

_MOST = 200  # boxes: a picture of more helps nobody
_FONT = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_CHAR, _ROW, _HEIGHT, _MARGIN, _GAP = 6.7, 58.0, 30.0, 16.0, 34.0
_VALUE, _GRADIENT, _LOCAL, _INK = "#1a7f37", "#cf222e", "#6e7781", "#24292f"
_HOLE = "\N{MIDDLE DOT}"


class Numbers(NamedTuple):
    """What is written on the wires.

    of: the output that is differentiated, None where nothing is. values, grads: by node; local: by
    gate and place among its operands.
    """

    of: str | None
    values: Mapping[Node, Any]
    grads: Mapping[Node, Any]
    local: Mapping[tuple[Node, int], float]


def draw(
    graph: ir.Graph, path: str | os.PathLike[str] | None = None, numbers: Numbers | None = None
) -> str:
    """The picture of a graph as SVG text, which is also written to `path` where that is given.

    numbers: what stands on the wires; without them, types.
    Raises GraphValueError for a graph of more gates than can be seen, and for another kind of file.
    """
    if path is not None and not os.fspath(path).endswith(".svg"):
        raise GraphValueError(
            located(f"{path}: a picture is written as SVG; name a file such as {graph.name}.svg")
        )
    text = "".join(f"{line}\n" for line in _Picture(graph, numbers).lines() if line)
    if path is not None:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    return text


def drawable(graph: ir.Graph) -> bool:
    """Whether a graph has few enough gates to be drawn."""
    shown = Shown(graph)
    return sum(not shown.hidden(node) for node in graph.nodes) <= _MOST


class _Picture:
    def __init__(self, graph: ir.Graph, numbers: Numbers | None) -> None:
        self.shown = Shown(graph)
        self.boxes = [node for node in graph.nodes if not self.shown.hidden(node)]
        if len(self.boxes) > _MOST:
            raise GraphValueError(
                located(
                    f"{graph.name} has {len(self.boxes)} gates; a drawing shows at most {_MOST}: "
                    "print the graph, or draw a part of it"
                )
            )
        self.graph = graph
        self.numbers = numbers
        wires = [
            (operand, node)
            for node in self.boxes
            for operand in node.inputs
            if not self.shown.hidden(operand)
        ]
        self.at: Layout = layout(self.boxes, wires)
        self.labels = {node: _gate(node, self.shown) for node in self.boxes}
        self.above = {node: self._above(node) for node in self.boxes}
        self.below = {node: self._below(node) for node in self.boxes}
        self._columns()

    def _columns(self) -> None:
        """Where each layer's boxes begin, where its wires end, and where the next one begins."""
        boxes, stubs, gaps = ([0.0] * (self.at.layers + 1) for _ in range(3))
        for node in self.boxes:
            k = self.at.layer[node]
            boxes[k] = max(boxes[k], self._width(node))
            longest = max(len(self.above[node]), len(self.below[node]))
            stubs[k] = max(stubs[k], longest * _CHAR + 12)
            for place in range(len(node.inputs)):
                gaps[k] = max(gaps[k], len(self._local(node, place)) * _CHAR * 0.85)
        self.left, self.right, self.end = [], [], []
        x = _MARGIN
        for k in range(self.at.layers):
            self.left.append(x)
            self.right.append(x + boxes[k])
            self.end.append(x + boxes[k] + stubs[k])
            x = self.end[-1] + _GAP + gaps[k + 1]

    # -- what is written ---------------------------------------------------------------------------

    def _above(self, node: Node) -> str:
        if self.numbers is None:
            return str(node.type)
        return _number(self.numbers.values[node])

    def _below(self, node: Node) -> str:
        if self.numbers is None or self.numbers.of is None:
            return ""
        found = self.numbers.grads.get(node)
        return "" if found is None else _number(found)

    def _local(self, node: Node, place: int) -> str:
        found = None if self.numbers is None else self.numbers.local.get((node, place))
        return "" if found is None or self.shown.hidden(node.inputs[place]) else _number(found)

    # -- where it stands ---------------------------------------------------------------------------

    def _width(self, node: Node) -> float:
        return max(_HEIGHT, len(self.labels[node]) * _CHAR * 1.15 + 14)

    def _y(self, row: float) -> float:
        return _MARGIN + 20 + row * _ROW + _HEIGHT / 2

    def _entries(self, node: Node) -> Iterator[tuple[int, Node, float]]:
        """The operands' places, and the height at which each one's wire comes in: none cross."""
        wired = [
            (place, operand)
            for place, operand in enumerate(node.inputs)
            if not self.shown.hidden(operand)
        ]
        wired.sort(key=lambda each: self._arrival(each[1], node))
        step = min(_HEIGHT * 0.6, _HEIGHT / max(len(wired), 1))
        top = self._y(self.at.row[node]) - step * (len(wired) - 1) / 2
        for k, (place, operand) in enumerate(wired):
            yield place, operand, top + k * step

    def _arrival(self, operand: Node, node: Node) -> float:
        through = self.at.through[operand, node]
        return through[-1] if through else self.at.row[operand]

    # -- the lines of SVG --------------------------------------------------------------------------

    def lines(self) -> Iterator[str]:
        width = max(self.end, default=0.0) + _MARGIN
        legend = self._legend()
        width = max(width, 2 * _MARGIN + sum(len(text) for _, text in legend) * _CHAR)
        height = self._y(self.at.rows) + (22 if legend else 0)
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="{_FONT}" font-size="11">'
        )
        yield f"<title>{escape(self.graph.name)}</title>"
        yield '<rect width="100%" height="100%" fill="white"/>'
        yield f'<g fill="none" stroke="{_INK}" stroke-width="1.2">'
        for node in self.boxes:
            for _, operand, y in self._entries(node):
                yield f'<path d="{self._path(operand, node, y)}"/>'
            yield self._stub(node)
        yield "</g>"
        for node in self.boxes:
            yield from self._box(node)
        x = _MARGIN
        for color, text in legend:
            yield _text(x, height - 10, text, color)
            x += len(text) * _CHAR
        yield "</svg>"

    def _legend(self) -> Sequence[tuple[str, str]]:
        if self.numbers is None:
            return ()
        if self.numbers.of is None:
            return ((_VALUE, "value"),)
        found = [(_VALUE, "value  "), (_GRADIENT, f"gradient of {self.numbers.of}  ")]
        return [*found, (_LOCAL, "local gradient")] if self.numbers.local else found

    def _path(self, source: Node, target: Node, y: float) -> str:
        """A wire from the end of its stub, through the layers between, into the gate."""
        first, at = self.at.layer[source], self._y(self.at.row[source])
        parts = [f"M{self.end[first]:.1f} {at:.1f}"]
        rows = [self._y(row) for row in self.at.through[source, target]]
        for k, row in enumerate([*rows, y], start=first + 1):
            start, stop = self.end[k - 1], self.end[k - 1] + _GAP
            middle = (start + stop) / 2
            parts.append(f"C{middle:.1f} {at:.1f} {middle:.1f} {row:.1f} {stop:.1f} {row:.1f}")
            last = k == self.at.layer[target]
            parts.append(f"H{self.left[k] if last else self.end[k]:.1f}")
            at = row
        return "".join(parts)

    def _stub(self, node: Node) -> str:
        k, y = self.at.layer[node], self._y(self.at.row[node])
        start = self.left[k] + self._width(node)
        return f'<path d="M{start:.1f} {y:.1f}H{self.end[k]:.1f}"/>'

    def _box(self, node: Node) -> Iterator[str]:
        k, y = self.at.layer[node], self._y(self.at.row[node])
        width, x = self._width(node), self.left[k]
        source = isinstance(node.params, InputParams | ConstantParams)
        if not source:
            yield (
                f'<rect x="{x:.1f}" y="{y - _HEIGHT / 2:.1f}" width="{width:.1f}" '
                f'height="{_HEIGHT:.0f}" rx="{_HEIGHT / 2:.0f}" fill="#f6f8fa" stroke="{_INK}">'
                f"<title>{escape(self._title(node))}</title></rect>"
            )
            if node.name:
                yield _text(x + width / 2, y + _HEIGHT / 2 + 11, node.name, _LOCAL, "middle", 10)
        yield _text(x + width / 2, y + 4, self.labels[node], _INK, "middle", 13)
        yield _text(self.right[k] + 6, y - 5, self.above[node], self._color())
        if self.below[node]:
            yield _text(self.right[k] + 6, y + 13, self.below[node], _GRADIENT)
        for place, _, at in self._entries(node):
            yield _text(x - 3, at - 3, self._local(node, place), _LOCAL, "end", 9.5)

    def _color(self) -> str:
        return _LOCAL if self.numbers is None else _VALUE

    def _title(self, node: Node) -> str:
        return f"{self.shown.labels[node]} = {self.shown.formula(node)}: {node.type}"


def _text(x: float, y: float, text: str, color: str, anchor: str = "start", size: float = 0) -> str:
    if not text:
        return ""  # no line
    said = f' text-anchor="{anchor}"' if anchor != "start" else ""
    said += f' font-size="{size:g}"' if size else ""
    kept = ' xml:space="preserve"' if "  " in text else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}"{said}{kept}>{escape(text)}</text>'


def _gate(node: Node, shown: Shown) -> str:
    """What stands in a box: an input's name, or the gate's sign, with the numbers it has built in.

    `+` of two wires, `+ 1` and `1 /` of one and a number, `exp`.
    """
    if isinstance(node.params, InputParams | ConstantParams):
        return shown.labels[node]
    holes = [
        shown.operand(operand) if shown.hidden(operand) else Spelt(_HOLE, ATOM)
        for operand in node.inputs
    ]
    text = re.sub(r"(\d)\.0\b", r"\1", shown.spelt(node, holes))
    call = re.fullmatch(rf"(\w+)\((?:{_HOLE}(?:, )?)*\)", text)
    if call:
        return call[1]
    sign = re.fullmatch(rf"{_HOLE} (\S+) {_HOLE}", text)
    if sign:
        return sign[1]
    return text.removeprefix(f"{_HOLE} ").removesuffix(f" {_HOLE}")


def _number(value: Any) -> str:
    """Four digits of a number; a short vector whole; of a larger array its shape."""
    array = np.asarray(value)
    if array.dtype.kind == "O":
        return type(value).__name__
    if array.ndim == 0:
        return _digits(array[()])
    if array.ndim == 1 and 0 < array.size <= 4:
        return f"[{', '.join(map(_digits, array))}]"
    return f"[{' x '.join(map(str, array.shape))}]"


def _digits(number: Any) -> str:
    return f"{float(number):.4g}" if isinstance(number, float | np.floating) else str(number)
