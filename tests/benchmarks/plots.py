"""Plots with two logarithmic axes, as SVG: lines with marks, a legend, nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

# Told apart by people with any colour vision (Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666")
WIDTH, HEIGHT = 640, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 150, 40, 50

Points = Sequence[tuple[float, float]]


def save(path: Path, title: str, x: str, y: str, series: Mapping[str, Points]) -> None:
    """Write the plot of each series' points, all positive; the first series is drawn thickest."""
    points = [point for line in series.values() for point in line]
    across = _Axis([point[0] for point in points], LEFT, WIDTH - RIGHT)
    up = _Axis([point[1] for point in points], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(WIDTH / 2, 22, title, "middle", 'font-size="15"'),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x, "middle"),
        _text(16, HEIGHT / 2, y, "middle", f'transform="rotate(-90 16 {HEIGHT / 2:g})"'),
    ]
    for power in across.powers:
        at = across.at(10.0**power)
        parts.append(_line(at, TOP, at, HEIGHT - BOTTOM))
        parts.append(_text(at, HEIGHT - BOTTOM + 18, f"1e{power}", "middle"))
    for power in up.powers:
        at = up.at(10.0**power)
        parts.append(_line(LEFT, at, WIDTH - RIGHT, at))
        parts.append(_text(LEFT - 8, at + 4, f"1e{power}", "end"))
    for k, (name, line) in enumerate(series.items()):
        colour = COLOURS[k % len(COLOURS)]
        places = [(across.at(a), up.at(b)) for a, b in line]
        path_ = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        width = 3 if k == 0 else 1.5
        parts.append(
            f'<polyline points="{path_}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
        )
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in places]
        at = TOP + 16 * (k + 1)
        x0 = WIDTH - RIGHT + 14
        parts.append(_line(x0, at - 4, x0 + 18, at - 4, colour, width))
        parts.append(_text(x0 + 24, at, name, "start"))
    parts.append("</svg>")
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


class _Axis:
    """A logarithmic scale from values to places between two ends, from power to power of ten."""

    def __init__(self, values: Sequence[float], first: float, last: float) -> None:
        low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        self.low, self.high = low, max(high, low + 1)
        self.first, self.last = first, last
        self.powers = range(self.low, self.high + 1)

    def at(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.first + share * (self.last - self.first)


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;")
    space = " " if more else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{space}{more}>{escaped}</text>'


def _line(
    x0: float, y0: float, x1: float, y1: float, colour: str = "#dddddd", width: float = 1
) -> str:
    return (
        f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" '
        f'stroke="{colour}" stroke-width="{width}"/>'
    )
