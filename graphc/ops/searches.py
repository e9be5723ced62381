"""Searches: which positions have a property. How many there are is known when they are found."""

from __future__ import annotations

from graphc.ops.kinds import Search

NEAREST = Search(
    "nearest",
    ("point", "centre", "share"),
    function="_nearest",
    doc="The pairs (point, centre) of points [n, d] and centres [k, d] at the least distance; "
    "centres at the same least distance share a point evenly.",
)
