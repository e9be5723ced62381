"""A user's own op is computed in its stable form, not as it is written."""

import numpy as np
import pytest

import graphc
from graphc.formula import parse
from graphc.lower_body import emitted

X = np.array([-800.0, -40.0, -1e-9, 0.0, 1e-9, 0.5, 40.0, 800.0])

USERS = {
    "log(1 + exp(x))": lambda x: np.logaddexp(x, 0),
    "exp(x) - 1": np.expm1,
    "log(1 + x * x)": lambda x: np.log1p(x * x),
    "1 / (1 + exp(-x))": lambda x: np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x))),
    "(exp(x) - exp(-x)) / (exp(x) + exp(-x))": np.tanh,
    "sqrt(1 + x * x)": lambda x: np.hypot(1, x),
}


@pytest.mark.parametrize("formula", USERS)
def test_the_emitted_value_is_stable(formula):
    mine = graphc.elementwise("mine", formula)
    f = graphc.compile(graphc.trace(lambda x: mine(x), "f64[n]"))
    with np.errstate(over="ignore"):
        wanted = USERS[formula](X)
        np.testing.assert_allclose(f(X), wanted, rtol=4e-16)
        # On plain arrays, too, and in a larger graph.
        np.testing.assert_allclose(mine(X), wanted, rtol=4e-16)
    g = graphc.compile(graphc.trace(lambda x: mine(x).sum(), "f64[n]"))
    with np.errstate(over="ignore"):
        assert np.all(np.isfinite(g.value_and_grad(X)[1].x) | np.isinf(wanted))


def test_the_source_says_it():
    mine = graphc.elementwise("mine", "log(1 + exp(x))")
    source = graphc.compile(graphc.trace(lambda x: mine(x), "f64[n]")).source
    assert "log1p" in source
    assert "np.log(" not in source


def test_what_cannot_be_derived_is_computed_as_it_is_written():
    """Seven choices are too many to differentiate at once; the value needs no derivative."""
    text = " + ".join(f"maximum(x, {k})" for k in range(7))
    many = graphc.elementwise("many", text)
    np.testing.assert_array_equal(many(X), sum(np.maximum(X, k) for k in range(7)))
    assert emitted(many.op) == parse(text, ("x",))
    with pytest.raises(graphc.GraphValueError, match="more than 6 choices"):
        graphc.compile(graphc.trace(lambda x: many(x).sum(), "f64[n]"))
