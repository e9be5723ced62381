"""Matrix formulas on plain arrays, written apart from graphc, and operands for every op."""

import numpy as np

from graphc.matrix_formula import parse


def transposed(x):
    return np.swapaxes(x, -1, -2)


def times(a, b):
    if a.ndim == b.ndim + 1:
        b = b[..., None, :]
    return a * b


FUNCTIONS = {
    "@": np.matmul,
    "*": times,
    "+": np.add,
    "-": np.subtract,
    "neg": np.negative,
    "T": transposed,
    "tril": np.tril,
    "triu": np.triu,
    "eye": lambda x: np.broadcast_to(np.eye(x.shape[-1]), (*x.shape[:-2], *(x.shape[-1],) * 2)),
}


def evaluate(formula, values):
    """The value of a formula (text or Term) at arrays by name."""
    term = parse(formula) if isinstance(formula, str) else formula
    if term.op == "name":
        return values[term.name]
    return FUNCTIONS[term.op](*(evaluate(arg, values) for arg in term.args))


SYMMETRIC = ("cholesky", "eigh")


def operands(op, rng, batch=()):
    """Well-conditioned operands for an op of the table, f64."""
    if op.name in SYMMETRIC:
        x = rng.normal(size=(*batch, 4, 4))
        return [x @ transposed(x) + np.diag([1.0, 2.0, 3.5, 5.0])]
    if op.name in ("qr", "svd", "pinv"):
        return [rng.normal(size=(*batch, 5, 3))]
    if op.name == "lstsq":
        return [rng.normal(size=(5, 3)), rng.normal(size=(5, 2))]
    a = rng.normal(size=(*batch, 4, 4)) + 3 * np.eye(4)
    return [a, rng.normal(size=(*batch, 4, 2))] if len(op.args) == 2 else [a]


def moves(op, arrays, rng):
    """A direction for each operand; of a symmetric matrix a symmetric one."""
    found = [rng.normal(size=x.shape) for x in arrays]
    return [(x + transposed(x)) / 2 for x in found] if op.name in SYMMETRIC else found
