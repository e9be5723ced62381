"""The table of matrix functions: defining equations, and how the results move with the operands.

A function that is linear in its result (`A @ X = B`) has its differential read off the equation; a
factorisation states the solution of its differentiated equations. Adjoints are these differentials
transposed, term by term (`graphc.adjoints.linalg`), and are made of the functions of this table
again, so a second derivative needs nothing more. Tests put both into the equations.

Rules at the edges:
  * The argument of cholesky and eigh is a symmetric matrix: its gradient is symmetric, whichever
    triangle NumPy reads.
  * Eigenvalues (or singular values) that are equal have no eigenvectors of their own, only a space.
    Their mutual terms are dropped: a function of the space has its right gradient, and one that
    tells the vectors apart has none.
  * A singular value that is 0 contributes nothing through its own vectors.
  * pinv, lstsq and qr are differentiated at full rank; det and slogdet at invertible matrices: by a
    singular one, the gradient raises NumPy's LinAlgError at the call.

Sources: M. B. Giles, "Collected Matrix Derivative Results for Forward and Reverse Mode Algorithmic
Differentiation" (2008); I. Murray, "Differentiation of the Cholesky decomposition" (2016);
G. H. Golub, V. Pereyra, "The Differentiation of Pseudo-Inverses and Nonlinear Least Squares
Problems Whose Variables Separate" (1973); R. Mathias, "A Chain Rule for Matrix Functions and
Applications" (1996).
"""

from __future__ import annotations

from collections.abc import Mapping

from graphc.matrix_formula import solved, text
from graphc.ops.kinds import LinAlg

_GILES = "Giles (2008)"


def _linear(equation: str, unknown: str, moving: tuple[str, ...], inverse: str) -> tuple[str, ...]:
    """The differential read off an equation that is linear in its unknown."""
    return (f"d{unknown} = {text(solved(equation, unknown, moving, inverse))}",)


def _solver(name: str, equation: str, function: str, doc: str) -> LinAlg:
    return LinAlg(
        name,
        ("A", "B"),
        ("X",),
        "(n,n),(n,k?)->(n,k?)",
        (equation,),
        _linear(equation, "X", ("A", "B"), f"{name}(A, rest)"),
        function,
        analytic=True,
        doc=doc,
    )


INV = LinAlg(
    "inv",
    ("A",),
    ("Y",),
    "(n,n)->(n,n)",
    ("A @ Y = eye(A)",),
    _linear("A @ Y = eye(A)", "Y", ("A",), "Y @ rest"),
    "np.linalg.inv",
    analytic=True,
    doc="The inverse.",
)
SOLVE = _solver("solve", "A @ X = B", "np.linalg.solve", "X with A @ X = B.")
# NumPy has no solver of its own for triangles: lowering takes the triangle and solves in full.
SOLVE_LOWER = _solver(
    "solve_lower", "tril(A) @ X = B", "np.linalg.solve", "X with tril(A) @ X = B."
)
SOLVE_UPPER = _solver(
    "solve_upper", "triu(A) @ X = B", "np.linalg.solve", "X with triu(A) @ X = B."
)
LSTSQ = LinAlg(
    "lstsq",
    ("A", "B"),
    ("X",),
    "(m,n),(m,k?)->(n,k?)",
    ("A.T @ A @ X = A.T @ B",),
    (
        "P = pinv(A)",
        "R = B - A @ X",
        "dX = P @ (P.T @ (dA.T @ R)) + P @ (dB - dA @ X)",
    ),
    "np.linalg.lstsq",
    extra=3,
    batched=False,
    source="the normal equations, with the inverse of A.T @ A as P @ P.T",
    doc="The X of least |A @ X - B|, for A of full column rank.",
)
PINV = LinAlg(
    "pinv",
    ("A",),
    ("Y",),
    "(m,n)->(n,m)",
    ("A @ Y @ A = A", "Y @ A @ Y = Y", "(A @ Y).T = A @ Y", "(Y @ A).T = Y @ A"),
    (
        "U = Y @ (Y.T @ dA.T)",
        "V = (dA.T @ Y.T) @ Y",
        "dY = U - U @ A @ Y + V - Y @ (A @ V) - Y @ (dA @ Y)",
    ),
    "np.linalg.pinv",
    source="Golub, Pereyra (1973), for a rank that stays",
    doc="The pseudo-inverse, by the four equations of Penrose.",
)
DET = LinAlg(
    "det",
    ("A",),
    ("y",),
    "(n,n)->()",
    (),
    ("dy = y * total(inv(A).T * dA)",),
    "np.linalg.det",
    analytic=True,
    source="Jacobi's formula; " + _GILES,
    doc="The determinant.",
)
SLOGDET = LinAlg(
    "slogdet",
    ("A",),
    ("s", "l"),
    "(n,n)->(),()",
    (),
    ("dl = total(inv(A).T * dA)",),
    "np.linalg.slogdet",
    source="Jacobi's formula; " + _GILES,
    doc="The sign of the determinant and the logarithm of its size.",
)
CHOLESKY = LinAlg(
    "cholesky",
    ("A",),
    ("L",),
    "(n,n)->(n,n)",
    ("L @ L.T = A", "tril(L) = L"),
    ("dL = L @ phi(solve_lower(L, solve_lower(L, sym(dA)).T))",),
    "np.linalg.cholesky",
    source="Murray (2016); " + _GILES,
    doc="The lower L with L @ L.T = A, A being symmetric and positive definite.",
)
QR = LinAlg(
    "qr",
    ("A",),
    ("Q", "R"),
    "(m>n,n)->(m,n),(n,n)",
    ("Q @ R = A", "Q.T @ Q = eye(R)", "triu(R) = R"),
    (
        "X = solve_lower(R.T, dA.T).T",
        "M = Q.T @ X",
        "W = M - low(M) + low(M).T",
        "dQ = X - Q @ W",
        "dR = W @ R",
    ),
    "np.linalg.qr",
    source="Q.T dQ is skew and dR inv(R) is upper: they share out Q.T dA inv(R)",
    doc="Q with orthonormal columns and an upper R with Q @ R = A.",
)
EIGH = LinAlg(
    "eigh",
    ("A",),
    ("w", "V"),
    "(n,n)->(n),(n,n)",
    ("A @ V = V * w", "V.T @ V = eye(V)"),
    (
        "dw = diag(V.T @ dA @ V)",
        "dV = V @ (gaps(w) * (V.T @ sym(dA) @ V))",
    ),
    "np.linalg.eigh",
    single=((0, "np.linalg.eigvalsh", ()),),
    source=_GILES,
    doc="Eigenvalues in rising order and eigenvectors of a symmetric matrix.",
)
SVD = LinAlg(
    "svd",
    ("A",),
    ("U", "s", "H"),
    "(m,n)->(m,min(m,n)),(min(m,n)),(min(m,n),n)",
    ("(U * s) @ H = A", "U.T @ U = eye(U.T @ U)", "H @ H.T = eye(U.T @ U)"),
    (
        "M = U.T @ dA @ H.T",
        # U.T dU and H dH.T are skew. M's symmetric part turns both alike, its skew part against
        # each other: apart, neither needs a difference of squares, and equal values are no limit.
        "P = gaps(s) * sym(M)",
        "K = sums(s) * (M - sym(M))",
        "ds = diag(M)",
        "dU = U @ (P + K) + outside(U, dA @ H.T) * reciprocal(s)",
        "dH = (H.T @ (P - K) + outside(H.T, dA.T @ U) * reciprocal(s)).T",
    ),
    "np.linalg.svd",
    (("full_matrices", False),),
    single=((1, "np.linalg.svd", (("compute_uv", False),)),),
    source=_GILES
    + ", with the parts outside the spans of U and H for matrices that are not square",
    doc="U, the singular values in falling order, and H (transposed) with (U * s) @ H = A.",
)
EXPM = LinAlg(
    "expm",
    ("A",),
    ("Y",),
    "(n,n)->(n,n)",
    (),
    ("dY = frechet(A, dA)",),
    "scipy.linalg.expm",
    analytic=True,
    source="Mathias (1996): the upper right block of exp([[A, dA], [0, A]])",
    doc="The matrix exponential; it needs SciPy.",
)

LINALG: Mapping[str, LinAlg] = {
    op.name: op
    for op in (
        *(INV, SOLVE, SOLVE_LOWER, SOLVE_UPPER, LSTSQ, PINV, DET, SLOGDET),
        *(CHOLESKY, QR, EIGH, SVD, EXPM),
    )
}
