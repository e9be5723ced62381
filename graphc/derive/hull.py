"""The element of least norm of the convex hull of a few exact vectors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import sympy as sp


def least_norm(vectors: Sequence[Sequence[sp.Expr]]) -> list[sp.Expr]:
    """The point of least norm of the hull of `vectors`, in rational arithmetic.

    It lies in the relative interior of the hull of some subset, where it is the least-norm point of
    the subset's affine hull; so the best over all subsets whose affine solution has weights >= 0.
    """
    best: list[sp.Expr] | None = None
    best_norm: sp.Expr = sp.oo
    for size in range(1, len(vectors) + 1):
        for subset in combinations(vectors, size):
            point = _affine(subset)
            if point is not None:
                norm = sum(part**2 for part in point)
                if norm < best_norm:
                    best, best_norm = point, norm
    assert best is not None
    return best


def _affine(vectors: Sequence[Sequence[sp.Expr]]) -> list[sp.Expr] | None:
    """The least-norm point of the affine hull, if its weights are not negative.

    The weights w solve: V V^T w = mu 1, 1^T w = 1 (Lagrange). None where they are not unique: a
    smaller subset then gives the same point.
    """
    matrix = sp.Matrix([list(vector) for vector in vectors])
    count = len(vectors)
    ones = sp.ones(count, 1)
    system = sp.Matrix(sp.BlockMatrix([[matrix * matrix.T, -ones], [ones.T, sp.zeros(1, 1)]]))
    if system.det() == 0:
        return None
    weights = system.LUsolve(sp.Matrix([0] * count + [1]))[:count]
    if any(weight < 0 for weight in weights):
        return None
    return [
        sum(
            (weight * vector[k] for weight, vector in zip(weights, vectors, strict=True)), sp.S.Zero
        )
        for k in range(len(vectors[0]))
    ]
