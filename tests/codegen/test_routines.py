"""The functions that emitted modules define for themselves, each against NumPy's slow way."""

from __future__ import annotations

import numpy as np
import pytest

import graphc
from codegen.routines import ROUTINES


def routine(name):
    """The function itself."""
    names = {"np": np}
    exec(ROUTINES[name], names)
    return names[name]


@pytest.mark.parametrize("name", ROUTINES)
def test_lines_are_as_short_as_those_around_them(name):
    assert max(map(len, ROUTINES[name].splitlines())) <= 88


def summed(rows, values, count):
    total = np.zeros((count, *values.shape[1:]), values.dtype)
    np.add.at(total, rows, values)
    return total


ROWS = {
    "none": [],
    "one": [3],
    "distinct": list(range(50)),
    "some repeat": [k * k % 37 for k in range(60)],
    "one row alone": [7] * 90,
    "a few rows": [k % 3 for k in range(200)],
    "one often, many once": [0] * 100 + list(range(50)),
    "counted from the end": [-1, 49, -50, 0, -1, 7],
    "many": [k * k % 37 - 1 for k in range(1500)],
}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("index", [np.int64, np.int32])
@pytest.mark.parametrize("shape", [(5,), (2, 3)])
def test_rows_are_summed(rows, index, shape):
    rng = np.random.default_rng(len(rows))
    values = rng.integers(-9, 9, (len(rows), *shape)).astype(float)  # whole: sums are exact
    rows = np.array(rows, index)
    found = routine("_sum_rows")(rows, values, 50)
    np.testing.assert_array_equal(found, summed(rows, values, 50))


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("count", [50, 90])
@pytest.mark.parametrize("width", [0, 1, 16, 17])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_short_rows_are_summed(rows, count, width, dtype):
    rng = np.random.default_rng(len(rows))
    values = rng.integers(-9, 9, (len(rows), width)).astype(dtype)
    rows = np.array(rows, np.int64)
    found = routine("_sum_short_rows")(rows, values, count)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, summed(rows, values, count))


@pytest.mark.parametrize("name", ["_sum_rows", "_sum_short_rows"])
@pytest.mark.parametrize("many", [1, 60, 600])
def test_a_row_beyond_the_end_is_an_error(name, many):
    with pytest.raises(IndexError):
        routine(name)(np.array([1, 50] * many), np.ones((2 * many, 4)), 50)


def test_long_sums_of_short_rows_are_precise():
    values = np.full((1 << 18, 2), 0.1, np.float32)
    total = routine("_sum_short_rows")(np.zeros(len(values), np.int64), values, 2)
    np.testing.assert_allclose(total[0], values[0] * np.float32(len(values)), rtol=1e-7)


@pytest.mark.parametrize("shape", [(200,), (8, 25)])
def test_the_gradient_of_long_rows(shape):
    def model(table, index, c):
        return (table[index] * c).sum()

    rng = np.random.default_rng(1)
    table = rng.normal(size=(30, 64))
    index = rng.integers(-30, 30, shape)
    c = rng.normal(size=(*shape, 64))
    f = graphc.compile(graphc.trace(model, table, index, c), wrt="table", cache=False)
    assert "_sum_rows(" in f.source
    value, d_table = f.value_and_grad(table, index, c)
    np.testing.assert_allclose(value, (table[index] * c).sum(), rtol=1e-12)
    expected = summed(index.reshape(-1), c.reshape(-1, 64), 30)
    np.testing.assert_allclose(d_table, expected, rtol=1e-12, atol=1e-12)


def test_no_user_takes_a_routines_name():
    def model(_sum_rows, index, c):
        return (_sum_rows[index] * c).sum()

    table, c = np.ones((30, 64)), np.ones((100, 64))
    index = np.arange(100) % 30
    f = graphc.compile(graphc.trace(model, table, index, c), wrt="_sum_rows", cache=False)
    _, found = f.value_and_grad(table, index, c)
    np.testing.assert_array_equal(found, summed(index, c, 30))


def pairs(points, centres):
    """The nearest by all distances: {(point, centre): share}."""
    apart = points[:, None] - centres
    distances = (apart * apart).sum(2)
    near = distances == distances.min(1, keepdims=True)
    return {(i, j): 1 / near[i].sum() for i, j in zip(*np.nonzero(near), strict=True)}


@pytest.mark.parametrize("count", [1, 5, 1023, 1024, 2500])
@pytest.mark.parametrize("most", [1, 2, 33, 3000])
@pytest.mark.parametrize("grid", [False, True])
def test_the_nearest_are_found(count, most, grid):
    rng = np.random.default_rng(count + most)
    points, centres = rng.normal(size=(count, 2)), rng.normal(size=(most, 2))
    if grid:  # many at the same distance, some centres more than once
        points, centres = np.round(points), np.round(centres)
    point, centre, share = routine("_nearest")(points, centres)
    found = {(i, j): s for i, j, s in zip(point.tolist(), centre.tolist(), share, strict=True)}
    assert len(found) == len(point)
    assert found == pairs(points, centres)


def test_no_points_have_no_nearest():
    point, centre, share = routine("_nearest")(np.ones((0, 3)), np.ones((4, 3)))
    assert len(point) == len(centre) == len(share) == 0


def test_distances_beyond_single_precision():
    """Scores overflow there, and differ by less than their rounding: doubles tell them apart."""
    points = np.array([[0.0, 1e30], [0.0, -1e30], [3.0, 1e9]])
    centres = np.array([[0.0, 1e30 * (1 + 1e-12)], [0.0, -1e30], [2.0, 1e9], [4.5, 1e9]])
    point, centre, share = routine("_nearest")(points, centres)
    assert dict(zip(point.tolist(), centre.tolist(), strict=True)) == {0: 0, 1: 1, 2: 2}
    assert share.tolist() == [1.0] * 3
