"""How cotangents pass each kind of op: one rule a kind."""

from __future__ import annotations

from collections.abc import Mapping

from graphc.adjoints.contractions import contraction
from graphc.adjoints.elementwise import elementwise
from graphc.adjoints.linalg import linalg
from graphc.adjoints.rule import Rule, unbroadcast
from graphc.adjoints.structural import gather, layout, primitive, reduction, scatter
from graphc.ops.kinds import (
    Contraction,
    Elementwise,
    Gather,
    Layout,
    LinAlg,
    Primitive,
    Reduction,
    Scatter,
)

__all__ = ["RULES", "Rule", "unbroadcast"]

RULES: Mapping[type, Rule] = {
    Elementwise: elementwise,
    Contraction: contraction,
    Reduction: reduction,
    Layout: layout,
    Gather: gather,
    Scatter: scatter,
    LinAlg: linalg,
    Primitive: primitive,
}
