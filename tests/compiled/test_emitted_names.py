"""What the emitted code calls values that have no name of their own."""

import re

import numpy as np
import pytest

import graphc

# A function of x, y [n] and a matrix m [n, k], and lines that its value must be computed by.
NAMED = {
    "by its operands": (
        lambda x, y, m: (lambda d: (d * np.exp(d)).sum())(x - y),
        ["x_minus_y = x - y"],
    ),
    "by its function": (
        lambda x, y, m: (graphc.sigmoid(x) * y + graphc.sigmoid(x)).sum(),
        ["sigmoid_x = -x", "np.divide(1.0, sigmoid_x, out=sigmoid_x)"],
    ),
    "by what stands there in the end": (
        lambda x, y, m: (lambda e: (e * e * y).sum() + e.sum())(np.exp(-(x * x))),
        [
            "exp_negative_square_x = x * x",
            "np.exp(exp_negative_square_x, out=exp_negative_square_x)",
        ],
    ),
    "by the terms of a sum": (
        lambda x, y, m: np.tanh(x * y + np.exp(y) - np.cos(x)).sum(),
        ["_terms = x * y"],
    ),
    "by where it is cut": (
        lambda x, y, m: (lambda c: (c * c * np.exp(c)).sum())(m[:, 2]),
        ["m_2 = m[:, 2]"],
    ),
    "by where it is cut, from one side": (
        lambda x, y, m: (lambda c: (c * np.exp(c)).sum())(m[:, 2:]),
        ["m_from_2 = m[:, 2:]"],
    ),
    "by what is zero elsewhere": (
        lambda x, y, m: (lambda c: (c * np.exp(c)).sum())(np.where(x > y, x, 0)),
        ["x_or_0 = np.where(x > y, x, 0.0)"],
    ),
    "by the matrix function": (
        lambda x, y, m: (lambda c: (c * np.exp(c)).sum())(np.linalg.inv(m.T @ m)),
        ["inv_m_m = np.linalg.inv(m.T @ m)"],
    ),
}


@pytest.mark.parametrize(("function", "lines"), NAMED.values(), ids=NAMED)
def test_a_value_is_called(function, lines):
    graph = graphc.trace(function, x="f64[n]", y="f64[n]", m="f64[n, 5]")
    source = graphc.compile(graph).source
    body = source[source.index("def value(") : source.index("def forward(")]
    for line in lines:
        assert line in body


def loss(x, W, extra):
    h = np.tanh(x @ W)
    total = (h * np.exp(h) + np.cos(h)).sum()
    return total + extra(x)


@pytest.mark.parametrize("extra", [lambda x: (x * x).sum(), lambda x: (x * np.exp(x)).sum()])
def test_names_do_not_depend_on_unrelated_lines(extra):
    def names(function):
        graph = graphc.trace(function, x="f64[n, 4]", W="f64[4, 3]")
        return set(re.findall(r"^ +(\w+) = ", graphc.compile(graph).source, re.MULTILINE))

    plain = names(lambda x, W: loss(x, W, lambda x: 0.0))
    assert {name for name in plain if "_h" in name} <= names(lambda x, W: loss(x, W, extra))
    assert any("_h" in name for name in plain)


def test_what_is_read_under_a_name_is_not_changed_under_it():
    graph = graphc.trace(
        lambda x: (np.tanh(x) * graphc.sigmoid(x) * np.exp(-x * x)).sum(), "f64[n]"
    )
    source = graphc.compile(graph).source
    for name in re.findall(r"^ +(exp_\w+) = ", source, re.MULTILINE):
        assert f"{name} *= " not in source
        assert f"{name} += " not in source


def test_names_do_not_grow_with_the_program():
    def deep(x):
        for _ in range(60):
            x = np.tanh(x * np.exp(x) + np.cos(x))
        return x.sum()

    source = graphc.compile(graphc.trace(lambda x: deep(x), "f64[n]")).source
    assert max(map(len, re.findall(r"^ +(\w+) [-+*/]?= ", source, re.MULTILINE))) < 40
