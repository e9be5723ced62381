"""What comments call a few nodes together, and how gradients are spelled."""

import re

import numpy as np
import pytest

import graphc

SAID = [
    (lambda x: (graphc.softmax(x) * x).sum(), "sum(softmax(x) * x)"),
    (lambda x: (graphc.softmax(x, axis=0) * x).sum(), "sum(softmax(x, axis=0) * x)"),
    (lambda x: (np.exp(x) / np.exp(x).sum(1, keepdims=True) * x).sum(), "sum(softmax(x) * x)"),
    (lambda x: (graphc.log_softmax(x) * x).sum(), "sum(log_softmax(x) * x)"),
    (lambda x: np.tanh(graphc.logsumexp(x, axis=1)).sum(), "sum(tanh(logsumexp(x, axis=1)))"),
    (lambda x: np.tanh(graphc.logsumexp(x)), "tanh(logsumexp(x))"),
    (lambda x: np.tanh(x.mean(axis=1)).sum(), "sum(tanh(mean(x, axis=1)))"),
    (
        lambda x: np.tanh(x.mean(0, keepdims=True)).sum(),
        "sum(tanh(mean(x, axis=0, keepdims=True)))",
    ),
    (lambda x: np.tanh(x.max(1, keepdims=True)).sum(), "sum(tanh(max(x, axis=1, keepdims=True)))"),
    (lambda x: np.tanh(x[:, None] - x).sum(), "sum(tanh(x[:, None] - x))"),
    (lambda x: np.tanh(x[2] * x[0]).sum(), "sum(tanh(x[2] * x[0]))"),
    (lambda x: np.tanh(x[:, 1] * x[0, 3]).sum(), "sum(tanh(x[:, 1] * x[0, 3]))"),
    (lambda x: np.tanh(x / 768 / 3).sum(), "sum(tanh(x / 768.0 / 3.0))"),
    (lambda x: np.exp(x * (1 / 768)).sum(), "sum(exp(x * (1.0 / 768.0)))"),
]


@pytest.mark.parametrize(("function", "text"), SAID, ids=[text for _, text in SAID])
def test_a_comment_says(function, text):
    graph = graphc.trace(lambda x: {"y": function(x)}, "f64[4, 4]")
    source = graphc.compile(graph).source
    comments = re.sub(r"\n +#    +", " ", source[: source.index("def backward(")])
    assert f"# y = {text}\n" in comments


def test_a_cross_entropy_is_called_so():
    @graphc.trace(scores="f64[n, 3]", labels="i64[n]")
    def loss(scores, labels):
        return graphc.cross_entropy(scores, labels).mean()

    assert "# loss = mean(cross_entropy(scores, labels))" in graphc.compile(loss).source


def test_what_has_a_name_is_called_by_it():
    @graphc.trace(x="f64[n, 3]")
    def loss(x):
        e = np.exp(x)
        return (e / e.sum(axis=1, keepdims=True) * x).sum()

    source = graphc.compile(loss, stable=False).source
    assert "# loss = sum(e / sum(e, axis=1, keepdims=True) * x)" in source


def test_a_gradient_has_its_formula_and_its_derivative_once():
    @graphc.trace(x="f64[n, 4]", W1="f64[4, 4]", W2="f64[4, 4]")
    def loss(x, W1, W2):
        h1 = graphc.sigmoid(x @ W1)
        h2 = graphc.sigmoid(h1 @ W2)
        return (h2 * h2).sum()

    source = graphc.compile(loss, wrt=("W1", "W2")).source
    body = source[source.index("def value_and_grad(") :]
    assert "# d_W2 = h1.T @ (d_h2 * sigmoid'(h1 @ W2))" in body
    assert body.count("# d sigmoid(x)/dx = ") == 1


def test_a_power_has_the_derivative_that_people_write():
    @graphc.trace(x="f64[n]", y="f64[n]")
    def loss(x, y):
        return (np.tanh(x) ** 3 * y).sum()

    source = graphc.compile(loss, wrt="x").source
    assert "y * (3.0 * tanh(x) ** 2.0) * tanh'(x)" in re.sub(r"\n +#    +", " ", source)


def test_a_line_that_says_it_all_has_no_comment():
    @graphc.trace(x="f64[n, 4]", W="f64[4, 4]")
    def loss(x, W):
        h = x @ W
        return (h * h).sum()

    source = graphc.compile(loss, wrt="W").source
    assert "d_W = x.T @ d_h" in source
    assert "# d_W" not in source


def test_what_a_zero_cotangent_absorbs_is_told():
    @graphc.trace(x="f64[n]")
    def loss(x):
        return np.where(x > 0, np.sqrt(x), 0.0).sum()

    source = graphc.compile(loss).source
    assert "# absorb(d, p) = d * p, and 0 where d is 0, whatever p is" in source


def test_a_slope_by_the_output_is_one_of_the_operand():
    @graphc.trace(x="f64[n, 3]", w="f64[3]")
    def loss(x, w):
        return graphc.softplus(x @ w).sum()

    assert "softplus'(x @ w)" in graphc.compile(loss, wrt="w").source
