"""Matrix functions that NumPy lacks, on Values and on plain arrays."""

from __future__ import annotations

from typing import Any

from graphc import matrices
from graphc.errors import GraphTypeError, located
from graphc.extras import scipy_installed
from graphc.nn import apply


def solve_triangular(a: Any, b: Any, lower: bool = False) -> Any:
    """The x with tri(a) @ x = b, tri(a) being the upper (or lower) triangle of a: [..., n, n].

    b is a vector [n] or matrices [..., n, k]; x has its shape and the common dtype. What stands in
    the other triangle is not read, and its gradient is zero. Compiled where SciPy is installed, it
    is SciPy's; in an exported file it is np.linalg.solve. Raises GraphValueError where a is not
    square or the sizes differ.
    """
    name = "solve_lower" if lower else "solve_upper"
    return apply(lambda x, y: matrices.apply(name, x, y), a, b)


def expm(a: Any) -> Any:
    """The matrix exponential of a: [..., n, n]; needs SciPy (`pip install graphc[special]`).

    Raises GraphTypeError where SciPy is missing, GraphValueError where a is not square.
    """
    if not scipy_installed():
        raise GraphTypeError(
            located("expm needs SciPy, which is not installed: pip install graphc[special]")
        )
    return apply(lambda x: matrices.apply("expm", x), a)
