"""Identities of arithmetic that lose nothing: no accuracy, no special value, no shape.

Each rule is one function from a node to what may stand in its place (None: it does not apply), and
holds bit for bit at every value, infinities, NaN and zeros of both signs included. So `x + 0` is
`x` only for integers and for x that is never -0.0, and `0 * x` is 0 for integers alone.

    RULES[op]        the rules that may apply to a table op
    identity         the first that does, of these and of `graphc.rewrite.moves`
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from math import copysign

from codegen.program import Broadcast
from graphc import nodes
from graphc.ir import Graph, Node
from graphc.ops.elementwise import TABLE
from graphc.ops.kinds import Elementwise
from graphc.rewrite import moves
from graphc.rewrite.branches import (
    absorb_in_branch,
    absorb_nothing,
    add_of_branches,
    negative_of_branch,
    scale_of_branch,
)
from graphc.rewrite.partials import literal_operands, unused_operands
from graphc.rewrite.quotients import adjoint_of_normalised
from graphc.rewrite.scatters import add_of_places, add_of_scatter, multiply_gathered
from graphc.rewrite.walk import Rule, fitted, rebuild, table_name, uniform
from graphc.types import FLOATING, broadcast


def simplify_identities(graph: Graph) -> Graph:
    """The graph with every identity applied once, operands first."""
    return rebuild(graph, identity)


def identity(
    node: Node, without: Collection[str] = (), log: list[tuple[str, Node]] | None = None
) -> Node:
    """What the first rule that applies makes of the node; the node where none does.

    without: the names of rules that may not be used. log: takes the rule's name and the node.
    """
    op = node.op
    if isinstance(op, Elementwise):
        rules = _candidates(table_name(op), tuple([x.op.name for x in node.inputs]))
    else:
        rules = moves.rules_of(node)
    for rule in rules:
        if without and rule.__name__ in without:
            continue
        found = rule(node)
        if found is not None:
            if log is not None:
                log.append((rule.__name__, node))
            return found
    return node


@lru_cache(maxsize=4096)
def _candidates(name: str, operands: tuple[str, ...]) -> tuple[Rule, ...]:
    """The rules for an op of this name in the table ("": it is not there) on operands made by ops
    of these names. Most nodes have none."""
    rules = (implicit_broadcast, *(RULES.get(name, ()) if name else PARTIALS))
    return tuple(rule for rule in rules if rule not in WANTS or WANTS[rule] & {*operands})


def _is(node: Node, name: str) -> bool:
    return isinstance(node.op, Elementwise) and table_name(node.op) == name


def _is_number(node: Node, value: float) -> bool:
    """Whether all elements are this number; 0.0 and -0.0 differ."""
    found = uniform(node)
    return found is not None and found == value and copysign(1.0, found) == copysign(1.0, value)


def _floating(node: Node) -> bool:
    return node.type.dtype in FLOATING


# -- sums ------------------------------------------------------------------------------------------

# Never -0.0, whatever their operand.
_UNSIGNED = frozenset({"absolute", "square", "exp", "exp2", "sigmoid", "softplus", "cosh", "hypot"})


def _never_minus_zero(node: Node) -> bool:
    value = uniform(node)
    if value is not None:
        return value != 0 or copysign(1.0, value) > 0
    if not isinstance(node.op, Elementwise):
        return False
    if table_name(node.op) in _UNSIGNED:
        return True
    return table_name(node.op) in FLOATING and not _floating(node.inputs[0])


def add_zero(node: Node) -> Node | None:
    """x + 0 -> x: for integers; for floats where the zero is -0.0, or x is never -0.0."""
    for x, zero in (node.inputs, node.inputs[::-1]):
        if not _floating(x):
            if node.type.dtype != "bool" and _is_number(zero, 0):
                return fitted(x, node)
        elif _is_number(zero, -0.0) or (_is_number(zero, 0.0) and _never_minus_zero(x)):
            return fitted(x, node)
    return None


def subtract_zero(node: Node) -> Node | None:
    """x - 0 -> x, which keeps the sign of a zero."""
    x, zero = node.inputs
    return fitted(x, node) if _is_number(zero, 0) else None


def add_negative(node: Node) -> Node | None:
    """a + (-b) -> a - b and (-a) + b -> b - a: the same by the definition of subtraction."""
    a, b = node.inputs
    if _is(b, "negative"):
        return nodes.elementwise(TABLE["subtract"], a, b.inputs[0])
    if _is(a, "negative"):
        return nodes.elementwise(TABLE["subtract"], b, a.inputs[0])
    return None


def subtract_negative(node: Node) -> Node | None:
    """a - (-b) -> a + b."""
    a, b = node.inputs
    return nodes.add(a, b.inputs[0]) if _is(b, "negative") else None


# -- products and quotients ------------------------------------------------------------------------


def multiply_one(node: Node) -> Node | None:
    """x * 1 -> x."""
    for x, one in (node.inputs, node.inputs[::-1]):
        if _is_number(one, 1):
            return fitted(x, node)
    return None


def multiply_minus_one(node: Node) -> Node | None:
    """x * -1 -> -x."""
    for x, one in (node.inputs, node.inputs[::-1]):
        if _is_number(one, -1):
            return fitted(nodes.elementwise(TABLE["negative"], x), node)
    return None


def multiply_zero(node: Node) -> Node | None:
    """x * 0 -> 0, for integers: for floats x may be infinite, NaN or negative."""
    if _floating(node):
        return None
    if any(_is_number(x, 0) for x in node.inputs):
        return nodes.full(node.type, 0)
    return None


def signs_cancel(node: Node) -> Node | None:
    """(-a) * (-b) -> a * b, and so for quotients."""
    a, b = node.inputs
    if _is(a, "negative") and _is(b, "negative"):
        return nodes.elementwise(TABLE[table_name(node.op)], a.inputs[0], b.inputs[0])
    return None


def divide_one(node: Node) -> Node | None:
    """x / 1 -> x; integers become floats by division."""
    x, one = node.inputs
    return fitted(nodes.cast(x, node.type.dtype), node) if _is_number(one, 1) else None


def divide_minus_one(node: Node) -> Node | None:
    """x / -1 -> -x."""
    x, one = node.inputs
    if not _floating(x) or not _is_number(one, -1):
        return None
    return fitted(nodes.elementwise(TABLE["negative"], x), node)


def power_one(node: Node) -> Node | None:
    """x ** 1 -> x."""
    x, one = node.inputs
    return fitted(x, node) if _is_number(one, 1) else None


def absorb_zero(node: Node) -> Node | None:
    """A zero cotangent absorbs every partial: 0, and this by definition."""
    d = node.inputs[0]
    return nodes.full(node.type, 0) if uniform(d) == 0 else None


def absorb_finite(node: Node) -> Node | None:
    """Where the partial is a finite number there is nothing to absorb: d * p."""
    d, p = node.inputs
    value = uniform(p)
    if value is None or value in (float("inf"), float("-inf")) or value != value:
        return None
    return nodes.multiply(d, p)


# -- involutions, idempotents ----------------------------------------------------------------------


def undone(node: Node) -> Node | None:
    """-(-x) -> x, not (not x) -> x."""
    x = node.inputs[0]
    return x.inputs[0] if _is(x, table_name(node.op)) else None


def negative_of_product(node: Node) -> Node | None:
    """-(a * -b) -> a * b, and the like: the sign is taken off instead of put on."""
    x = node.inputs[0]
    name = table_name(x.op) if isinstance(x.op, Elementwise) else ""
    if name not in ("multiply", "divide"):
        return None
    a, b = x.inputs
    if _is(a, "negative"):
        return nodes.elementwise(TABLE[name], a.inputs[0], b)
    if _is(b, "negative"):
        return nodes.elementwise(TABLE[name], a, b.inputs[0])
    return None


def settled(node: Node) -> Node | None:
    """abs(abs(x)), floor(floor(x)), relu(relu(x)) and the like: once is enough."""
    x = node.inputs[0]
    return x if _is(x, table_name(node.op)) else None


def even(node: Node) -> Node | None:
    """abs(-x) -> abs(x), square(-x) -> square(x)."""
    x = node.inputs[0]
    if not _is(x, "negative"):
        return None
    return nodes.elementwise(TABLE[table_name(node.op)], x.inputs[0])


def same_operands(node: Node) -> Node | None:
    """max(x, x), min(x, x), x and x, x or x -> x."""
    a, b = node.inputs
    return a if a is b else None


def itself(node: Node) -> Node | None:
    """+x -> x; and stop_gradient(x) -> x, which is for after the last differentiation only."""
    return node.inputs[0]


# -- conversions -----------------------------------------------------------------------------------

# Every value of the first is a value of the second, exactly.
_EXACT = frozenset(
    {(small, large) for small in ("bool",) for large in ("i32", "i64", "f32", "f64")}
    | {("i32", "i64"), ("i32", "f64"), ("f32", "f64")}
)


def cast_of_cast(node: Node) -> Node | None:
    """f32(f64(x)) -> x for x of f32: what was widened exactly may be converted from the start."""
    x = node.inputs[0]
    if not isinstance(x.op, Elementwise) or table_name(x.op) != x.type.dtype:
        return None
    source = x.inputs[0]
    if (source.type.dtype, x.type.dtype) not in _EXACT:
        return None
    return nodes.cast(source, node.type.dtype)


def cast_to_own(node: Node) -> Node | None:
    """A conversion to the dtype that the value has already."""
    x = node.inputs[0]
    return x if x.type.dtype == node.type.dtype else None


# -- selection -------------------------------------------------------------------------------------


def where_same(node: Node) -> Node | None:
    """where(c, a, a) -> a."""
    _, a, b = node.inputs
    return fitted(a, node) if a is b else None


def where_known(node: Node) -> Node | None:
    """where(True, a, b) -> a, where(False, a, b) -> b."""
    condition, a, b = node.inputs
    value = uniform(condition)
    if value is None:
        return None
    return fitted(a if value else b, node)


def where_not(node: Node) -> Node | None:
    """where(not c, a, b) -> where(c, b, a)."""
    condition, a, b = node.inputs
    if not _is(condition, "logical_not") or condition.inputs[0].type.dtype != "bool":
        return None
    return nodes.elementwise(TABLE["where"], condition.inputs[0], b, a)


def where_of_where(node: Node) -> Node | None:
    """where(c, where(c, a, b), d) -> where(c, a, d), and so in the other branch."""
    condition, a, b = node.inputs
    inner_a = _is(a, "where") and a.inputs[0] is condition and a.type == node.type
    inner_b = _is(b, "where") and b.inputs[0] is condition and b.type == node.type
    if not inner_a and not inner_b:
        return None
    first = a.inputs[1] if inner_a else a
    second = b.inputs[2] if inner_b else b
    return fitted(nodes.elementwise(TABLE["where"], condition, first, second), node)


# -- broadcasting ----------------------------------------------------------------------------------


def implicit_broadcast(node: Node) -> Node | None:
    """f(repeat(a), b) -> f(a, b), since f repeats by itself; f(repeat(a)) -> repeat(f(a)).

    Each element of the result is computed from the same numbers as before, only not as often.
    """
    stripped = tuple(x.inputs[0] if isinstance(x.params, Broadcast) else x for x in node.inputs)
    shape = broadcast(tuple(x.type.shape for x in stripped))
    if shape is None:
        return None
    op = node.op
    assert isinstance(op, Elementwise)
    return fitted(nodes.elementwise(op, *stripped), node)


_ROUNDING: tuple[Rule, ...] = (settled,)
_CAST: tuple[Rule, ...] = (cast_to_own, cast_of_cast)

# For ops that are not in the table: partials, and users' own.
PARTIALS: tuple[Rule, ...] = (unused_operands, literal_operands)

RULES: Mapping[str, tuple[Rule, ...]] = {
    "add": (add_zero, add_negative, add_of_branches, add_of_scatter, add_of_places),
    "subtract": (subtract_zero, subtract_negative),
    "multiply": (
        multiply_one,
        multiply_minus_one,
        multiply_zero,
        multiply_gathered,
        signs_cancel,
        adjoint_of_normalised,
        scale_of_branch,
    ),
    "divide": (divide_one, divide_minus_one, signs_cancel),
    "power": (power_one,),
    "absorb": (absorb_zero, absorb_finite, absorb_nothing, absorb_in_branch),
    "negative": (undone, negative_of_product, negative_of_branch),
    "positive": (itself,),
    "logical_not": (undone,),
    "absolute": (settled, even),
    "square": (even,),
    "relu": _ROUNDING,
    "floor": _ROUNDING,
    "ceil": _ROUNDING,
    "rint": _ROUNDING,
    "trunc": _ROUNDING,
    "sign": _ROUNDING,
    "maximum": (same_operands,),
    "minimum": (same_operands,),
    "logical_and": (same_operands,),
    "logical_or": (same_operands,),
    "f64": _CAST,
    "f32": _CAST,
    "i64": _CAST,
    "i32": _CAST,
    "bool": _CAST,
    "where": (where_same, where_known, where_not, where_of_where),
}

_NUMBER = frozenset({nodes.CONSTANT.name, nodes.BROADCAST.name})
_NEGATIVE = frozenset({"negative"})
_WHERE = frozenset({"where"})

# What must have made one of the operands (the name of its op), or the rule cannot apply.
WANTS: Mapping[Rule, frozenset[str]] = {
    **dict.fromkeys((add_zero, subtract_zero, multiply_one, multiply_minus_one), _NUMBER),
    **dict.fromkeys((multiply_zero, divide_one, divide_minus_one, power_one), _NUMBER),
    literal_operands: _NUMBER,
    **dict.fromkeys((absorb_zero, absorb_finite, absorb_nothing), _NUMBER),
    **dict.fromkeys((add_negative, subtract_negative, signs_cancel, even), _NEGATIVE),
    **dict.fromkeys((absorb_in_branch, add_of_branches), _WHERE),
    **dict.fromkeys((scale_of_branch, negative_of_branch), _WHERE),
    negative_of_product: frozenset({"multiply", "divide"}),
    adjoint_of_normalised: frozenset({"add"}),
    add_of_scatter: frozenset({nodes.SCATTER.name}),
    add_of_places: frozenset({nodes.PLACE.name}),
    multiply_gathered: frozenset({nodes.GATHER.name}),
    implicit_broadcast: frozenset({nodes.BROADCAST.name}),
}

# Every identity by its name, these and those of moving and repeating.
EVERY: Mapping[str, Rule] = {
    rule.__name__: rule
    for rules in (
        *RULES.values(),
        *moves.LAYOUTS.values(),
        *(moves.CONTRACTIONS, moves.REDUCTIONS, moves.SCATTERS, moves.GATHERS),
        *(PARTIALS, (implicit_broadcast,)),
    )
    for rule in rules
}
