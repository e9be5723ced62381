"""Primitives by the names that an emitted module calls them by."""

from __future__ import annotations

from typing import Any

import numpy as np

import graphc


def _scaling(factor: float) -> Any:
    @graphc.primitive(result=lambda x: x)
    def scale(x: Any) -> Any:
        return factor * x, None

    @scale.vjp
    def _(saved: Any, d_y: Any) -> Any:
        return factor * d_y

    return scale


def test_two_primitives_of_one_name_keep_their_own_vjps() -> None:
    twice, fivefold = _scaling(2.0), _scaling(5.0)

    def model(x: Any) -> Any:
        return (fivefold(twice(x) ** 2)).sum()

    x = np.array([1.0, 2.0, 3.0])
    # The second time the source comes from the cache, and meets its callables anew.
    for _ in range(2):
        f = graphc.compile(graphc.trace(model, "f64[3]"))
        for functions in (f, f.unchecked):
            value, grads = functions.value_and_grad(x)
            np.testing.assert_allclose(value, 20 * (x * x).sum())
            np.testing.assert_allclose(grads.x, 40 * x)


def test_an_input_named_like_the_primitive() -> None:
    twice = _scaling(2.0)
    f = graphc.compile(graphc.trace(lambda x, scale: (twice(x) * scale).sum(), "f64[3]", "f64"))
    value, grads = f.value_and_grad(np.ones(3), 3.0)
    assert value == 18.0
    assert grads.scale == 6.0
    np.testing.assert_array_equal(f.unchecked.value_and_grad(np.ones(3), 3.0)[1].x, [6.0, 6.0, 6.0])
