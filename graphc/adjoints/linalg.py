"""Matrix functions: the adjoint is the op's differential, transposed term by term.

A differential is linear in the moves of the operands: dL = L @ phi(...). Its transpose is
mechanical, for <Z, M @ E> = <M.T @ Z, E>, <Z, K * E> = <K * Z, E>, and each linear function of the
formula language has its transpose beside it. What comes out are nodes of matrix functions and
products again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from graphc import matrices, nodes
from graphc.adjoints.rule import Contributions, unbroadcast
from graphc.ir import Node
from graphc.matrix_formula import LINEAR, SYMMETRIC_IN, Term, line, names
from graphc.ops.kinds import LinAlg, LinAlgParams
from graphc.ops.linalg import LINALG
from graphc.types import same_size


def linalg(node: Node, d: Node, active: set[Node], absorb: bool) -> Contributions:
    """The cotangents of the operands from that of one result."""
    op, params = node.op, node.params
    assert isinstance(op, LinAlg)
    assert isinstance(params, LinAlgParams)
    known = _values(node, op)
    wanted = {f"d{name}" for name, x in zip(op.args, node.inputs, strict=True) if x in active}
    vector = len(node.inputs) > 1 and node.inputs[1].type.ndim == 1
    found = _transposed(
        op, known, wanted, f"d{op.results[params.result]}", matrices.column(d) if vector else d
    )
    for name, operand in zip(op.args, node.inputs, strict=True):
        part = found.get(f"d{name}")
        if operand not in active or part is None:
            continue
        if vector and operand is node.inputs[1]:
            part = nodes.reshape(part, part.type.shape[:-1])
        yield operand, unbroadcast(part, operand.type.shape)


def differential(node: Node, moves: Mapping[str, Node]) -> Node | None:
    """How one result of a matrix function moves: `moves` are the operands' own, by name (dA, dB).

    A vector's move is handed in, and comes out, as a column. None for a result that does not move.
    """
    op, params = node.op, node.params
    assert isinstance(op, LinAlg)
    assert isinstance(params, LinAlgParams)
    lines = dict(map(line, op.differential))
    wanted = lines.get(f"d{op.results[params.result]}")
    if wanted is None:
        return None
    return Evaluator({**_values(node, op), **moves}, lines).value(wanted)


def _values(node: Node, op: LinAlg) -> dict[str, Node]:
    """Operands and results by the names that the op's formulas have for them."""
    types = matrices.result_types(op, node.inputs)
    assert isinstance(node.params, LinAlgParams)
    known = dict(zip(op.args, node.inputs, strict=True))
    for k, (name, type) in enumerate(zip(op.results, types, strict=True)):
        own = k == node.params.result
        known[name] = node if own else nodes.node(op, node.inputs, LinAlgParams(k), type)
    if len(node.inputs) > 1 and node.inputs[1].type.ndim == 1:  # a vector, as a column
        for name in (op.args[1], op.results[0]):
            known[name] = matrices.column(known[name])
    return known


# -- formulas as nodes -----------------------------------------------------------------------------


class Evaluator:
    """The values of formulas, each computed once and only where it is asked for.

    known: names that have a node; formulas: names that stand for a formula.
    """

    def __init__(self, known: Mapping[str, Node], formulas: Mapping[str, Term]) -> None:
        self.known = known
        self.formulas = formulas
        self._found: dict[Term, Node] = {}

    def value(self, term: Term) -> Node:
        """The node of a formula."""
        if term.op == "name":
            known = self.known.get(term.name)
            return self.value(self.formulas[term.name]) if known is None else known
        found = self._found.get(term)
        if found is None:
            found = self._found[term] = _apply(term.op, *map(self.value, term.args))
        return found


def _apply(op: str, *operands: Node) -> Node:
    """One operation of the formula language."""
    found = _OPERATIONS.get(op)
    if found is not None:
        return found(*operands)
    return matrices.apply(LINALG[op], *operands)


def _times(a: Node, b: Node) -> Node:
    """Elements times elements; a vector beside a matrix stands for each row."""
    if a.type.ndim == b.type.ndim + 1:
        b = matrices.row(b)
    elif b.type.ndim == a.type.ndim + 1:
        a = matrices.row(a)
    return nodes.multiply(a, b)


def _half(x: Node) -> Node:
    return nodes.multiply(x, nodes.constant(0.5, x.type.dtype))


def _sym(x: Node) -> Node:
    """The symmetric part."""
    return _half(nodes.add(x, matrices.transposed(x)))


def _phi(x: Node) -> Node:
    """The lower triangle, with half the diagonal."""
    return matrices.where_positions(
        "greater", x, matrices.where_positions("equal", _half(x), nodes.constant(0, x.type.dtype))
    )


def _total(x: Node) -> Node:
    """The sum of a matrix's elements."""
    return nodes.sum_(x, (x.type.ndim - 2, x.type.ndim - 1))


def _square(u: Node) -> bool:
    return same_size(*u.type.shape[-2:]) is True


def _outside(u: Node, x: Node) -> Node:
    """x less its part in the span of u's orthonormal columns: nothing, where u is square."""
    if _square(u):
        return nodes.zeros(x.type)
    inside = nodes.matmul(u, nodes.matmul(matrices.transposed(u), x))
    return nodes.elementwise("subtract", x, inside)


def _frechet(a: Node, e: Node) -> Node:
    """The upper right block of expm([[a, e], [0, a]])."""
    ndim = a.type.ndim
    size = a.type.shape[-1]
    upper = nodes.concatenate((a, e), ndim - 1)
    lower = nodes.concatenate((nodes.zeros(a.type), a), ndim - 1)
    whole = matrices.apply("expm", nodes.concatenate((upper, lower), ndim - 2))
    batch = a.type.shape[:-2]
    return nodes.slice_(
        whole, (0,) * (ndim - 1) + (size,), (*batch, size, size), (1,) * whole.type.ndim
    )


_OPERATIONS: Mapping[str, Callable[..., Node]] = {
    "@": nodes.matmul,
    "*": _times,
    "+": nodes.add,
    "-": lambda a, b: nodes.elementwise("subtract", a, b),
    "neg": lambda a: nodes.elementwise("negative", a),
    "T": matrices.transposed,
    "tril": lambda x: matrices.where_positions("greater_equal", x),
    "triu": lambda x: matrices.where_positions("less_equal", x),
    "low": lambda x: matrices.where_positions("greater", x),
    "phi": _phi,
    "sym": _sym,
    "diag": matrices.diagonal,
    "spread": matrices.spread,
    "total": _total,
    "eye": matrices.eye,
    "gaps": matrices.gaps,
    "sums": matrices.sums,
    "reciprocal": matrices.reciprocal_or_zero,
    "outside": _outside,
    "frechet": _frechet,
}


# -- the transpose ---------------------------------------------------------------------------------


def _transposed(
    op: LinAlg, known: Mapping[str, Node], wanted: set[str], result: str, d: Node
) -> dict[str, Node]:
    """The cotangents of `wanted` (dA, dB), from the cotangent d of `result`.

    The lines of the differential are walked backwards; a line that moves nothing is a value.
    """
    lines = [line(text) for text in op.differential]
    moving = set(wanted)
    for name, term in lines:
        if names(term) & moving:
            moving.add(name)
    transpose = _Transpose(Evaluator(known, dict(lines)), moving)
    transpose.found[result] = d
    for name, term in reversed(lines):
        cotangent = transpose.found.pop(name, None)
        if cotangent is not None:
            transpose.into(term, cotangent)
    return transpose.found


class _Transpose:
    """Passes a cotangent into a formula that is linear in the names that move."""

    def __init__(self, matrix: Evaluator, moving: set[str]) -> None:
        self.matrix = matrix
        self.moving = moving
        self.found: dict[str, Node] = {}

    def into(self, term: Term, d: Node) -> None:
        """Adds what each name in the formula gains from the formula's cotangent."""
        if not names(term) & self.moving:
            return
        value, args = self.matrix.value, term.args
        match term.op:
            case "name":
                known = self.found.get(term.name)
                self.found[term.name] = d if known is None else nodes.add(known, d)
            case "+" | "-":
                self.into(args[0], d)
                self.into(args[1], d if term.op == "+" else nodes.elementwise("negative", d))
            case "neg":
                self.into(args[0], nodes.elementwise("negative", d))
            case "T":
                self.into(args[0], matrices.transposed(d))
            case "@" if names(args[0]) & self.moving:
                self.into(args[0], _product(d, matrices.transposed(value(args[1]))))
            case "@":
                self.into(args[1], _product(matrices.transposed(value(args[0])), d))
            case "*":
                moved, given = args if names(args[0]) & self.moving else reversed(args)
                self.into(moved, _times(d, value(given)))
            case "total":
                self.into(args[0], matrices.column(matrices.column(d)))  # repeats by broadcasting
            case "outside" if _square(value(args[0])):
                return
            case op:
                given_too = [value(arg) for arg in args[:-1]]
                if op not in SYMMETRIC_IN:
                    given_too = [matrices.transposed(x) for x in given_too]
                self.into(args[-1], _apply(LINEAR[op], *given_too, d))


def _product(a: Node, b: Node) -> Node:
    """a @ b; a diagonal matrix scales rows or columns."""
    if a.op is matrices.SPREAD:
        return nodes.multiply(matrices.column(a.inputs[0]), b)
    if b.op is matrices.SPREAD:
        return nodes.multiply(a, matrices.row(b.inputs[0]))
    return nodes.matmul(a, b)
