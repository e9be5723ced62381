"""Where the boxes of a drawing go: layers from left to right, no two boxes on one place.

The layered drawing of Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical
system structures", 1981, in its plainest form: each box as far right as its users allow, long wires
through empty places of their own, few crossings by medians, rows by averages.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

_SWEEPS = 8


class Layout(NamedTuple):
    """Where each box is: its layer, from 0 at the left, and its row, in units of one box.

    through: for each wire, from a box to a later one, the rows at which it passes the layers
        between the two.
    """

    layer: Mapping[Hashable, int]
    row: Mapping[Hashable, float]
    through: Mapping[tuple[Hashable, Hashable], Sequence[float]]
    layers: int
    rows: float


def layout(boxes: Sequence[Hashable], wires: Sequence[tuple[Hashable, Hashable]]) -> Layout:
    """Places for boxes, which are given with operands before users, and their wires."""
    layer = _layers(boxes, wires)
    count = 1 + max(layer.values(), default=0)
    columns: list[list[Hashable]] = [[] for _ in range(count)]
    for box in boxes:
        columns[layer[box]].append(box)
    before: dict[Hashable, list[Hashable]] = {}
    after: dict[Hashable, list[Hashable]] = {}
    passes: dict[tuple[Hashable, Hashable], list[Hashable]] = {}
    for wire in dict.fromkeys(wires):
        source, target = wire
        places: list[Hashable] = [(wire, k) for k in range(layer[source] + 1, layer[target])]
        for k, place in enumerate(places, start=layer[source] + 1):
            columns[k].append(place)
        chain = [source, *places, target]
        passes[wire] = places
        for left, right in pairwise(chain):
            after.setdefault(left, []).append(right)
            before.setdefault(right, []).append(left)
    _order(columns, before, after)
    rows = _rows(columns, before, after)
    through = {wire: [rows[place] for place in places] for wire, places in passes.items()}
    return Layout(layer, rows, through, count, 1 + max(rows.values(), default=0.0))


def _layers(
    boxes: Sequence[Hashable], wires: Sequence[tuple[Hashable, Hashable]]
) -> dict[Hashable, int]:
    """The longest way to each box; then what has users moves right, up to the nearest of them."""
    users: dict[Hashable, list[Hashable]] = {box: [] for box in boxes}
    layer = dict.fromkeys(boxes, 0)
    for source, target in wires:
        users[source].append(target)
    for box in boxes:
        for user in users[box]:
            layer[user] = max(layer[user], layer[box] + 1)
    for box in reversed(boxes):
        if users[box]:
            layer[box] = min(layer[user] for user in users[box]) - 1
    first = min(layer.values(), default=0)
    return {box: found - first for box, found in layer.items()}


def _order(
    columns: list[list[Hashable]],
    before: Mapping[Hashable, Sequence[Hashable]],
    after: Mapping[Hashable, Sequence[Hashable]],
) -> None:
    """Sorts each column by its neighbours' mean place, to and fro, so that few wires cross."""
    place = {box: k for column in columns for k, box in enumerate(column)}
    for sweep in range(_SWEEPS):
        forth = sweep % 2 == 1  # the users' places say more at first: inputs have no operands
        near = before if forth else after
        for column in columns if forth else reversed(columns):
            means = {
                box: sum(place[other] for other in near[box]) / len(near[box])
                if box in near
                else float(place[box])
                for box in column
            }
            column.sort(key=means.__getitem__)
            place.update((box, k) for k, box in enumerate(column))


def _rows(
    columns: Sequence[Sequence[Hashable]],
    before: Mapping[Hashable, Sequence[Hashable]],
    after: Mapping[Hashable, Sequence[Hashable]],
) -> dict[Hashable, float]:
    """Each box near the mean row of its neighbours, one row at least from the next box."""
    tallest = max(map(len, columns), default=0)
    rows = {
        box: k + (tallest - len(column)) / 2 for column in columns for k, box in enumerate(column)
    }
    for sweep in range(_SWEEPS):
        near = before if sweep % 2 == 0 else after
        for column in columns if sweep % 2 == 0 else reversed(columns):
            wanted = [
                sum(rows[other] for other in near[box]) / len(near[box])
                if box in near
                else rows[box]
                for box in column
            ]
            rows.update(zip(column, _apart(wanted), strict=True))
    first = min(rows.values(), default=0.0)
    return {box: row - first for box, row in rows.items()}


def _apart(wanted: Sequence[float]) -> list[float]:
    """The rows nearest to the wanted ones (least squares) that are one apart."""
    # Runs of neighbours that would be too close: the mean of row less place, and how many.
    runs: list[tuple[float, int]] = []
    for k, row in enumerate(wanted):
        mean, count = row - k, 1
        while runs and runs[-1][0] > mean:
            other, size = runs.pop()
            mean, count = (mean * count + other * size) / (count + size), count + size
        runs.append((mean, count))
    shifts = [mean for mean, count in runs for _ in range(count)]
    return [shift + k for k, shift in enumerate(shifts)]
