"""The rules of `graphc.rewrite.stabilise`: one naive composition each, and what was meant by it.

Each is one function from a node (the root of the composition, its operands stabilised already) to
the stable equivalent, or None where it does not apply. They hold for floating values, as identities
of real functions.

    ROOTS        the rules by the table op that they start from
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log

from codegen.program import Reshape
from graphc import nodes
from graphc.ir import Node
from graphc.ops.kinds import Axes, Elementwise
from graphc.ops.reductions import REDUCTIONS
from graphc.rewrite.patterns import (
    apply,
    below_selections,
    exp_sum,
    exponent_of,
    held_shift,
    hold,
    logsumexp,
    minus_one,
    negated,
    normaliser,
    one_minus,
    one_plus,
    operand_of,
    operands_of,
    positive_scale,
    select,
    select_repeated,
    shiftable,
    softmax,
    square_of,
    sum_of_squares,
)
from graphc.rewrite.signs import Sign, sign_of
from graphc.rewrite.walk import Rule, fitted, table_name, uniform

# Longer products are left as they are.
_FACTORS = 256

# -- logarithms ------------------------------------------------------------------------------------


def log_of_exp(node: Node) -> Node | None:
    """log(exp(x)) -> x, which overflows nowhere; log(exp(x)[i]) -> x[i]."""
    return exponent_of(node.inputs[0])


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
    """log(exp(x) / d) -> x - log(d): with d the sum of exp(x), log_softmax.

    So, too, where elements are taken from the quotient or from exp(x): of the softmax of scores
    those of the true classes, say. The logarithm of d is taken before.
    """
    quotient, selections = below_selections(node.inputs[0])
    parts = operands_of(quotient, "divide")
    x = None if parts is None else exponent_of(parts[0])
    if parts is None or x is None:
        return None
    denominator = _log(parts[1])
    if selections:
        x = select(fitted(x, quotient), selections)
        denominator = select_repeated(denominator, quotient, selections)
    return fitted(apply("subtract", x, denominator), node)


def log_of_product(node: Node) -> Node | None:
    """log(a * b / c) -> log(a) + log(b) - log(c), where a product would overflow or vanish.

    Where one of the logarithms is known in a stable form, so that something is won: log(|a| |b|)
    stays, being more accurate near 1. And where every factor has a logarithm if the product has:
    none of them is negative by its definition (`sign_of`), or all but one are positive.
    """
    factors = _factors(node.inputs[0])
    if len(factors) < 2:
        return None
    signs = sorted(sign_of(x) for x, _ in factors)
    if signs[0] == Sign.UNKNOWN and signs[1] != Sign.POSITIVE:
        return None
    logs = [_stable_log(x, LOGARITHMS) for x, _ in factors]
    if all(found is None for found in logs):
        return None
    total: Node | None = None
    for (x, divides), found in zip(factors, logs, strict=True):
        term = apply("log", x) if found is None else found
        if total is None:
            total = apply("negative", term) if divides else term
        else:
            total = apply("subtract" if divides else "add", total, term)
    return None if total is None else fitted(total, node)


def _factors(node: Node) -> list[tuple[Node, bool]]:
    """(factor, whether it divides) of a product of products and quotients, from left to right;
    none at all where there are too many, as of a value multiplied by itself again and again."""
    found: list[tuple[Node, bool]] = []
    stack = [(node, False)]
    while stack:
        x, divides = stack.pop()
        product = operands_of(x, "multiply") if square_of(x) is None else None
        parts = product or operands_of(x, "divide")
        if parts is None:
            found.append((x, divides))
        else:
            stack += [(parts[1], divides if product else not divides), (parts[0], divides)]
        if len(stack) + len(found) > _FACTORS:
            return []
    return found


def log_of_prod(node: Node) -> Node | None:
    """log(prod(x, axes)) -> sum(log(x), axes), where x is never negative by its definition."""
    source, selections = below_selections(node.inputs[0])
    axes = source.params
    if source.op != REDUCTIONS["prod"] or not isinstance(axes, Axes):
        return None
    x = source.inputs[0]
    if sign_of(x) == Sign.UNKNOWN:
        return None
    return select(nodes.sum_(_log(x), axes.axes, axes.keepdims), selections)


def log_of_square(node: Node) -> Node | None:
    """log(x * x) -> 2 log|x|, which neither overflows nor vanishes."""
    x = square_of(node.inputs[0])
    if x is None:
        return None
    if sign_of(x) == Sign.UNKNOWN:
        x = apply("absolute", x)
    # No square nor product of squares below: a value squared again and again is no recursion here.
    found = _stable_log(x, SIMPLE)
    return nodes.multiply(
        nodes.constant(2, x.type.dtype), apply("log", x) if found is None else found
    )


def _log(x: Node) -> Node:
    """log(x), stable where x is, or is taken from, what a rule knows."""
    found = _stable_log(x, LOGARITHMS)
    return apply("log", x) if found is None else found


def _stable_log(x: Node, rules: tuple[Rule, ...]) -> Node | None:
    """log(x), where x is, or is taken from, what a rule knows."""
    source, selections = below_selections(x)
    root = apply("log", source)
    for rule in rules:
        found = rule(root)
        if found is not None:
            return select(found, selections)
    return None


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


# -- shifts that a user has made -------------------------------------------------------------------


def shift_of_softmax(node: Node) -> Node | None:
    """exp(x - t) / sum(exp(x - t)): t cancels, and so does its gradient, before it is computed."""
    x = operand_of(node.inputs[0], "exp")
    axes = None if x is None else normaliser(node.inputs[1], x)
    shifted = None if x is None or axes is None else held_shift(x, axes)
    if axes is None or shifted is None:
        return None
    exps = apply("exp", hold(*shifted))
    return apply("divide", exps, nodes.sum_(exps, axes, keepdims=True))


def shift_of_log_softmax(node: Node) -> Node | None:
    """x - t - log(sum(exp(x - t))): t cancels here, too."""
    x, subtracted = node.inputs
    total = operand_of(subtracted, "log")
    axes = None if total is None else normaliser(total, x)
    shifted = None if axes is None else held_shift(x, axes)
    if axes is None or shifted is None:
        return None
    held = hold(*shifted)
    total = nodes.sum_(apply("exp", held), axes, keepdims=True)
    return apply("subtract", held, apply("log", total))


def shift_of_logsumexp(node: Node) -> Node | None:
    """log(sum(exp(x - t))) + t: t cancels here, too."""
    for log_total, top in (node.inputs, node.inputs[::-1]):
        total = operand_of(log_total, "log")
        parts = None if total is None else exp_sum(total)
        shifted = None if parts is None else held_shift(*parts)
        if total is None or parts is None or shifted is None:
            continue
        u, t = shifted
        source = top.inputs[0] if isinstance(top.params, Reshape) else top
        if source is not t or top.type != total.type:
            continue
        # The sum's own shape comes back by the reshape that the user gave it, if any.
        held = nodes.sum_(apply("exp", hold(u, t)), parts[1])
        value = apply("log", nodes.reshape(held, total.type.shape))
        stopped = apply("stop_gradient", t)
        return nodes.add(value, nodes.reshape(stopped, top.type.shape))
    return None


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


def root_of_sum_of_squares(node: Node) -> Node | None:
    """sqrt(sum(x*x)) is a norm: at 0 its gradient is 0, the element of least norm, and not NaN."""
    square = node.inputs[0]
    if not sum_of_squares(square):
        return None
    zero, one = (nodes.constant(value, square.type.dtype) for value in (0, 1))
    empty = apply("equal", square, zero)
    return apply("where", empty, zero, apply("sqrt", apply("where", empty, one, square)))


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


# -- where they start ------------------------------------------------------------------------------

# In the order in which they are tried: of logarithms of sums log1p last, for the others say more.
SIMPLE: tuple[Rule, ...] = (
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
LOGARITHMS: tuple[Rule, ...] = (*SIMPLE, log_of_square, log_of_prod, log_of_product)

ROOTS: Mapping[str, tuple[Rule, ...]] = {
    "log": LOGARITHMS,
    "log1p": (softplus,),
    "subtract": (expm1, one_minus_exp, one_minus_sigmoid, complement_of_erf, shift_of_log_softmax),
    "add": (expm1, complement_of_erf, shift_of_logsumexp),
    "divide": (sigmoid, sigmoid_quotient, softmax_quotient, shift_of_softmax),
    "reciprocal": (sigmoid,),
    "power": (sigmoid,),
    "sqrt": (hypot, root_of_square, root_of_sum_of_squares),
}
