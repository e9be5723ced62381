"""Naive compositions become stable ops, before differentiation: this defines the model.

`log(sum(exp(x)))` overflows at x = 710 and its derivative is NaN there; logsumexp is what was
meant. Each rule below is one function from a node (the root of the composition, its operands
stabilised already) to the stable equivalent, or None where it does not apply. Rules hold for
floating values, as identities of real functions. A value inside a composition that is used
elsewhere too, or is an output, stays beside it.

    RULES              the rules by name, each with the table ops that it may start from
    stabilise          the rewritten graph
    stabilise_log      what was rewritten, where
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import log
from typing import NamedTuple

from graphc import nodes
from graphc.errors import GraphNameError, located
from graphc.ir import Graph, Node, Origin
from graphc.ops.kinds import Elementwise
from graphc.rewrite.patterns import (
    apply,
    exp_sum,
    logsumexp,
    minus_one,
    negated,
    normaliser,
    one_minus,
    one_plus,
    operand_of,
    operands_of,
    positive_scale,
    shiftable,
    softmax,
    square_of,
)
from graphc.rewrite.walk import Rule, fitted, rebuild, table_name, uniform
from graphc.types import FLOATING


class Applied(NamedTuple):
    """One rewriting: the rule, the value it made stable (its name, else its op), and where that was
    declared."""

    rule: str
    value: str
    origin: Origin

    def __str__(self) -> str:
        return f"{self.origin}: {self.value}: {self.rule}"


# -- logarithms ------------------------------------------------------------------------------------


def log_of_exp(node: Node) -> Node | None:
    """log(exp(x)) -> x, which overflows nowhere."""
    return operand_of(node.inputs[0], "exp")


def softplus(node: Node) -> Node | None:
    """log(1 + exp(x)) and log1p(exp(x)) -> softplus(x)."""
    inner = node.inputs[0] if _name(node) == "log1p" else one_plus(node.inputs[0])
    x = None if inner is None else operand_of(inner, "exp")
    return None if x is None else fitted(apply("softplus", x), node)


def log_sigmoid(node: Node) -> Node | None:
    """log(sigmoid(x)) -> log_sigmoid(x), that is -softplus(-x)."""
    x = operand_of(node.inputs[0], "sigmoid")
    return None if x is None else apply("log_sigmoid", x)


def logaddexp(node: Node) -> Node | None:
    """log(exp(a) + exp(b)) -> logaddexp(a, b)."""
    parts = operands_of(node.inputs[0], "add")
    if parts is None:
        return None
    a, b = operand_of(parts[0], "exp"), operand_of(parts[1], "exp")
    return None if a is None or b is None else apply("logaddexp", a, b)


def log_one_minus_exp(node: Node) -> Node | None:
    """log(1 - exp(x)) -> log(-expm1(x)) for x > -log 2, else log1p(-exp(x)).

    Each form is accurate on its side (Maechler, "Accurately computing log(1 - exp(-|a|))", 2012).
    """
    inner = operand_of(node.inputs[0], "negative")
    x = None if inner is None else operand_of(inner, "expm1")
    if inner is None or x is None:
        return None
    near = apply("log", apply("negative", inner))
    far = apply("log1p", apply("negative", apply("exp", x)))
    middle = nodes.constant(-log(2.0), x.type.dtype)
    return apply("where", apply("greater", x, middle), near, far)


def log1p(node: Node) -> Node | None:
    """log(1 + x) -> log1p(x) and log(1 - x) -> log1p(-x), which keep a small x's digits."""
    inner = node.inputs[0]
    x = one_plus(inner)
    if x is None:
        less = one_minus(inner)
        x = None if less is None else apply("negative", less)
    return None if x is None else fitted(apply("log1p", x), node)


def log_sum_exp(node: Node) -> Node | None:
    """log(sum(exp(x), axes)) -> logsumexp(x, axes), shifted by the maximum."""
    parts = exp_sum(node.inputs[0])
    if parts is None or not shiftable(*parts):
        return None
    return nodes.reshape(logsumexp(*parts), node.type.shape)


def log_mean_exp(node: Node) -> Node | None:
    """log(mean(exp(x), axes)) -> logsumexp(x, axes) - log(n)."""
    inner = node.inputs[0]
    for name in ("divide", "multiply"):
        pair = operands_of(inner, name)
        if pair is None:
            continue
        for total, scale in (pair,) if name == "divide" else (pair, pair[::-1]):
            parts = exp_sum(total)
            if parts is None or not shiftable(*parts) or not positive_scale(scale):
                continue
            value = nodes.reshape(logsumexp(*parts), total.type.shape)
            join = "subtract" if name == "divide" else "add"
            return fitted(apply(join, value, apply("log", scale)), node)
    return None


def log_of_exp_quotient(node: Node) -> Node | None:
    """log(exp(x) / d) -> x - log(d): with d the sum of exp(x), log_softmax."""
    parts = operands_of(node.inputs[0], "divide")
    x = None if parts is None else operand_of(parts[0], "exp")
    if parts is None or x is None:
        return None
    denominator = apply("log", parts[1])
    for rule in LOGARITHMS:
        found = rule(denominator)
        if found is not None:
            denominator = found
            break
    return fitted(apply("subtract", x, denominator), node)


# -- exponentials ----------------------------------------------------------------------------------


def expm1(node: Node) -> Node | None:
    """exp(x) - 1 -> expm1(x), which keeps a small x's digits."""
    inner = minus_one(node)
    x = None if inner is None else operand_of(inner, "exp")
    return None if x is None else fitted(apply("expm1", x), node)


def one_minus_exp(node: Node) -> Node | None:
    """1 - exp(x) -> -expm1(x)."""
    inner = one_minus(node)
    x = None if inner is None else operand_of(inner, "exp")
    return None if x is None else fitted(apply("negative", apply("expm1", x)), node)


def sigmoid(node: Node) -> Node | None:
    """1 / (1 + exp(z)) -> sigmoid(-z), as a quotient, a reciprocal or a power of -1."""
    denominator = _reciprocal_of(node)
    inner = None if denominator is None else one_plus(denominator)
    z = None if inner is None else operand_of(inner, "exp")
    return None if z is None else fitted(apply("sigmoid", negated(z)), node)


def sigmoid_quotient(node: Node) -> Node | None:
    """exp(z) / (1 + exp(z)) -> sigmoid(z), and a / (1 + exp(z)) -> a * sigmoid(-z)."""
    numerator, denominator = node.inputs
    inner = one_plus(denominator)
    z = None if inner is None else operand_of(inner, "exp")
    if z is None:
        return None
    if operand_of(numerator, "exp") is z:
        return fitted(apply("sigmoid", z), node)
    return nodes.multiply(numerator, apply("sigmoid", negated(z)))


def one_minus_sigmoid(node: Node) -> Node | None:
    """1 - sigmoid(x) -> sigmoid(-x), which keeps its digits where sigmoid(x) is nearly 1."""
    inner = one_minus(node)
    x = None if inner is None else operand_of(inner, "sigmoid")
    return None if x is None else fitted(apply("sigmoid", negated(x)), node)


def softmax_quotient(node: Node) -> Node | None:
    """exp(x) / sum(exp(x), axes) -> softmax(x, axes), shifted by the maximum."""
    x = operand_of(node.inputs[0], "exp")
    axes = None if x is None else normaliser(node.inputs[1], x)
    if x is None or axes is None or not shiftable(x, axes):
        return None
    return softmax(x, axes)


# -- roots and error functions ---------------------------------------------------------------------


def hypot(node: Node) -> Node | None:
    """sqrt(a*a + b*b) -> hypot(a, b), which neither overflows nor vanishes."""
    parts = operands_of(node.inputs[0], "add")
    if parts is None:
        return None
    a, b = square_of(parts[0]), square_of(parts[1])
    return None if a is None or b is None else fitted(apply("hypot", a, b), node)


def root_of_square(node: Node) -> Node | None:
    """sqrt(x*x) -> abs(x)."""
    x = square_of(node.inputs[0])
    return None if x is None else fitted(apply("absolute", x), node)


def complement_of_erf(node: Node) -> Node | None:
    """1 - erf(x) -> erfc(x), 1 - erfc(x) -> erf(x), 1 + erf(x) -> erfc(-x)."""
    if _name(node) == "add":
        inner = one_plus(node)
        x = None if inner is None else operand_of(inner, "erf")
        return None if x is None else fitted(apply("erfc", negated(x)), node)
    inner = one_minus(node)
    if inner is None:
        return None
    for name, complement in (("erf", "erfc"), ("erfc", "erf")):
        x = operand_of(inner, name)
        if x is not None:
            return fitted(apply(complement, x), node)
    return None


def _name(node: Node) -> str:
    return table_name(node.op) if isinstance(node.op, Elementwise) else ""


def _reciprocal_of(node: Node) -> Node | None:
    """d of 1 / d, reciprocal(d) or d ** -1."""
    match _name(node):
        case "reciprocal":
            return node.inputs[0]
        case "divide" if uniform(node.inputs[0]) == 1:
            return node.inputs[1]
        case "power" if uniform(node.inputs[1]) == -1:
            return node.inputs[0]
    return None


# -- the rules, and their application --------------------------------------------------------------

# In the order in which they are tried: log1p last, since every other one says more.
LOGARITHMS: tuple[Rule, ...] = (
    log_of_exp,
    softplus,
    log_sigmoid,
    logaddexp,
    log_one_minus_exp,
    log_sum_exp,
    log_mean_exp,
    log_of_exp_quotient,
    log1p,
)

_ROOTS: Mapping[str, tuple[Rule, ...]] = {
    "log": LOGARITHMS,
    "log1p": (softplus,),
    "subtract": (expm1, one_minus_exp, one_minus_sigmoid, complement_of_erf),
    "add": (expm1, complement_of_erf),
    "divide": (sigmoid, sigmoid_quotient, softmax_quotient),
    "reciprocal": (sigmoid,),
    "power": (sigmoid,),
    "sqrt": (hypot, root_of_square),
}

RULES: Mapping[str, Rule] = {rule.__name__: rule for rules in _ROOTS.values() for rule in rules}

# Marks a value that somebody asks for by name: no pattern looks through it.
_BARRIER = Elementwise("barrier", ("x",), "x")


def stabilise(
    graph: Graph, rules: Collection[str] | None = None, keep: Collection[str] = ()
) -> Graph:
    """The graph with naive compositions replaced by stable ops.

    rules: the names of the rules that may be used; None means all.
    keep: names of values that are asked for in their own right (what is differentiated by): they
        stay, and no rule looks through them.

    Raises GraphNameError for a rule that does not exist.
    """
    return _stabilised(graph, rules, keep)[0]


def stabilise_log(
    graph: Graph, rules: Collection[str] | None = None, keep: Collection[str] = ()
) -> list[Applied]:
    """What `stabilise` does to the graph, in the order of declaration."""
    return _stabilised(graph, rules, keep)[1]


def _stabilised(
    graph: Graph, rules: Collection[str] | None, keep: Collection[str]
) -> tuple[Graph, list[Applied]]:
    roots = _chosen(rules)
    found: list[Applied] = []

    def step(node: Node) -> Node:
        if not isinstance(node.op, Elementwise) or node.type.dtype not in FLOATING:
            return node
        for rule in roots.get(table_name(node.op), ()):
            result = rule(node)
            if result is not None:
                label = node.name or node.op.name
                found.append(Applied(rule.__name__, label, node.origin))
                return result
        return node

    def mark(node: Node) -> Node:
        if node.name not in keep or not node.inputs:
            return node
        return Node(_BARRIER, (node,), None, node.type, "", node.origin)

    if not keep:
        return rebuild(graph, step), found
    stable = rebuild(rebuild(graph, mark, keep), step, keep)
    return rebuild(stable, _unmarked, keep), found


def _unmarked(node: Node) -> Node:
    return node.inputs[0] if node.op is _BARRIER else node


def _chosen(rules: Collection[str] | None) -> Mapping[str, tuple[Rule, ...]]:
    if rules is None:
        return _ROOTS
    for name in rules:
        if name not in RULES:
            raise GraphNameError(
                located(f"stabilise: no rule {name!r}; rules: {', '.join(sorted(RULES))}")
            )
    return {
        root: tuple(rule for rule in some if rule.__name__ in rules)
        for root, some in _ROOTS.items()
    }
