"""Formulas as people read them, in comments and in printed graphs: NumPy's notation."""

from __future__ import annotations

import numpy as np
import pytest

import graphc

PRODUCTS = [
    ("y[i,j] = a[i,k] * b[j,k]", (2, 3), (4, 3), "a @ b.T"),
    ("y[i,j] = a[k,i] * b[k,j]", (3, 2), (3, 4), "a.T @ b"),
    ("y[i,j] = a[k,i] * b[j,k]", (3, 2), (4, 3), "a.T @ b.T"),
    ("y[i] = a[k,i] * b[k]", (3, 2), (3,), "a.T @ b"),
    ("y[n,i,j] = a[n,i,k] * b[n,j,k]", (5, 2, 3), (5, 4, 3), "a @ b.swapaxes(-2, -1)"),
    ("y[n,i,j] = a[n,i,k] * b[j,k]", (5, 2, 3), (4, 3), "a @ b.T"),
    ("y[j,i] = a[i,k] * b[k,j]", (2, 3), (3, 4), "b.T @ a.T"),
    ("y[k,j] = a[i,j] * b[i,k]", (3, 2), (3, 4), "b.T @ a"),
]
# No order and no swap of last axes makes these a product of matrices.
OTHERS = [
    ("y[i,k] = a[i,k] * b[i,k]", (2, 3), (2, 3)),
    ("y[i,j] = a[n,i,k] * b[n,j,k]", (5, 2, 3), (5, 4, 3)),
    ("y[i] = a[i,k] * b[i,k]", (2, 3), (2, 3)),
    ("y[n,m,i,j] = a[n,i,k] * b[m,k,j]", (5, 2, 3), (4, 3, 2)),
]


def _printed(formula: str, a: np.ndarray, b: np.ndarray) -> tuple[str, np.ndarray]:
    """The text of the node in a printed graph, and its value."""
    op = graphc.contraction("own", formula)

    def model(a, b):
        return {"y": op(a, b)}

    graph = graphc.trace(model, a, b)
    (line,) = (line for line in str(graph).splitlines() if " y: " in line)
    return line.partition(" = ")[2], graph(a, b)


@pytest.mark.parametrize(("formula", "left", "right", "text"), PRODUCTS)
def test_sums_of_products_read_as_products_of_matrices(formula, left, right, text):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=left), rng.normal(size=right)
    printed, value = _printed(formula, a, b)
    assert printed == text
    np.testing.assert_allclose(eval(text, {"a": a, "b": b}), value, rtol=1e-12)


@pytest.mark.parametrize(("formula", "left", "right"), OTHERS)
def test_other_sums_keep_their_index_formula(formula, left, right):
    printed, _ = _printed(formula, np.ones(left), np.ones(right))
    assert printed.startswith("contract(")


@pytest.mark.parametrize("text", ["x[i]", "x[:, i]", "x[:, i, j]", "x[i, j]"])
def test_selections_read_as_subscripts(text):
    def model(x, i, j):
        return {"y": eval(text, {"x": x, "i": i, "j": j})}

    graph = graphc.trace(model, np.ones((3, 4, 5)), np.array([0, 2]), np.array([1, 1]))
    assert f" = {text}\n" in str(graph)


def _nearest(x, centres):
    distance = (x * x).sum(1)[:, None] - 2.0 * (x @ centres.T) + (centres * centres).sum(1)
    return distance.min(1).sum()


def test_what_a_search_finds_is_called_in_comments_as_in_code():
    graph = graphc.trace(_nearest, np.ones((10_000, 8)), np.ones((100, 8)))
    source = graphc.compile(graph, wrt="centres", cache=False).source
    assert "x[point] - centres[centre]" in source


def test_a_users_own_point_is_not_taken_for_what_a_search_finds():
    def model(point, centres):
        return _nearest(point, centres)

    graph = graphc.trace(model, np.ones((10_000, 8)), np.ones((100, 8)))
    source = graphc.compile(graph, wrt="centres", cache=False).source
    assert "point_1, centre, share = _nearest(point, centres)" in source
    assert "point[point]" not in source
