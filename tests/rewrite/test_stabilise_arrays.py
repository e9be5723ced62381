"""The stabilising rules of sums: against long doubles, which do not overflow where doubles do."""

import numpy as np
import pytest

import graphc
from graphc import autodiff, nodes
from graphc.interpret import emitted, evaluate, evaluate_outputs
from graphc.ops.elementwise import TABLE
from graphc.rewrite import simplify, stabilise, stabilise_log
from graphc.rewrite.patterns import is_shifted
from graphc.types import parse_type
from graphc.verify import verify


def rules_of(graph):
    return [applied.rule for applied in stabilise_log(graph)]


def value_at(graph, **values):
    """The graph's one output, in the forms that are emitted."""
    ((_, node),) = graph.outputs
    return evaluate(graph, values, expression=emitted)[node]


X = np.array(
    [[1.0, 800.0, -3.0, 2.0], [0.0, -800.0, -np.inf, 5.0], [-900.0, -901.0, -905.0, -9000.0]]
)


def reference(function):
    """The same on long doubles, which reach to exp(11356)."""
    with np.errstate(all="ignore"):
        return np.asarray(function(X.astype(np.longdouble)), dtype=float)


ARRAYS = {
    "log_sum_exp": [
        lambda x: np.log(np.sum(np.exp(x), axis=1)),
        lambda x: np.log(np.exp(x).sum(axis=1, keepdims=True)),
        lambda x: np.log(np.exp(x).sum(axis=0)),
        lambda x: np.log(np.exp(x).sum()),
    ],
    "log_mean_exp": [
        lambda x: np.log(np.mean(np.exp(x), axis=1)),
        lambda x: np.log(np.mean(np.exp(x))),
    ],
    "softmax_quotient": [
        lambda x: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True),
        lambda x: np.exp(x) / np.sum(np.exp(x), axis=0),
        lambda x: np.exp(x) / np.sum(np.exp(x)),
    ],
    "log_of_exp_quotient": [
        lambda x: np.log(np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)),
        lambda x: np.log((np.exp(x) / np.exp(x).sum(axis=1, keepdims=True))[[0, 2, 1], [3, 0, 0]]),
        lambda x: np.log((np.exp(x) / np.exp(x).sum(axis=0))[1:, ::2].T),
        lambda x: np.log((np.exp(x) / np.exp(x).sum())[[2, 0]]),
        lambda x: np.log((np.exp(x).T / np.exp(x).sum(axis=1))[1]),
        lambda x: np.log(np.exp(x)[[0, 1], [2, 3]] / np.exp(x).sum(axis=1)[:2]),
    ],
    "log_of_exp": [lambda x: np.log(np.exp(x)[:, [1, 0]].T)],
}
OVER_ARRAYS = [(rule, function) for rule, some in ARRAYS.items() for function in some]


@pytest.mark.parametrize("type", ["f64[3, 4]", "f64[batch, 4]", "f64[batch, n]"])
@pytest.mark.parametrize(("rule", "function"), OVER_ARRAYS, ids=[rule for rule, _ in OVER_ARRAYS])
def test_sums_of_exponentials_are_shifted(rule, function, type):
    graph = graphc.trace(function, type)
    assert rule in rules_of(graph)
    stable = verify(stabilise(graph))
    name = graph.inputs[0].name
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(value_at(stable, **{name: X}), reference(function), rtol=1e-12)
    assert rules_of(stable) == [], "what is stable is left alone"


@pytest.mark.parametrize("shifted", [False, True])
def test_the_softmax_loss_as_it_is_taught(shifted):
    """Probabilities that are shown, too, and of which the loss takes those of the true classes."""

    def loss(scores, y):
        exps = np.exp(scores - scores.max(axis=1, keepdims=True) if shifted else scores)
        probabilities = exps / exps.sum(axis=1, keepdims=True)
        taken = probabilities[np.arange(4), y]
        return {"loss": -np.log(taken).mean(), "probabilities": probabilities}

    scores = np.array([[1000.0, 0, -1000], [1, 2, 3], [0, -900, 5], [-5, -5, 800]])
    y = np.array([1, 2, 1, 0])
    f = graphc.compile(graphc.trace(loss, scores, y), of="loss", wrt="scores", cache=False)
    found, d_scores = f.value_and_grad(scores, y)

    def stable(scores, y):
        return graphc.cross_entropy(scores, y).mean()

    f = graphc.compile(graphc.trace(stable, scores, y), wrt="scores", cache=False)
    value, expected = f.value_and_grad(scores, y)
    assert np.isfinite(value)
    np.testing.assert_allclose(found.loss, value, rtol=1e-14)
    np.testing.assert_allclose(d_scores, expected, atol=1e-15)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-15)


def test_a_denominator_of_other_sums_is_no_softmax():
    def wrong(x):
        return np.exp(x) / np.exp(x).sum(axis=1)

    assert rules_of(graphc.trace(wrong, "f64[3, 3]")) == []


@pytest.mark.parametrize(
    "function", [graphc.softmax, graphc.log_softmax, lambda x: graphc.logsumexp(x, axis=1)]
)
def test_what_is_shifted_is_left_alone(function):
    graph = graphc.trace(function, "f64[batch, 4]")
    assert stabilise(graph) is graph


def test_a_shift_is_recognised_by_its_maximum():
    x = nodes.input_("x", parse_type("f64[3, 4]"))
    y = nodes.input_("y", parse_type("f64[3, 4]"))
    top = nodes.reduction("max", x, (1,), True)
    assert is_shifted(nodes.elementwise("subtract", x, top))
    assert is_shifted(nodes.elementwise("subtract", x, nodes.elementwise("stop_gradient", top)))
    assert not is_shifted(nodes.elementwise("subtract", y, top))
    assert not is_shifted(nodes.elementwise("subtract", x, nodes.reduction("min", x, (1,), True)))


def top_of(x):
    return x.max(axis=1, keepdims=True)


SHIFTED = [
    (
        "shift_of_softmax",
        lambda x: np.exp(x - top_of(x)) / np.exp(x - top_of(x)).sum(axis=1, keepdims=True),
    ),
    (
        "shift_of_softmax",
        lambda x: (lambda e: e / e.sum(axis=1, keepdims=True))(np.exp(x - np.max(x))),
    ),
    (
        "shift_of_log_softmax",
        lambda x: (lambda u: u - np.log(np.exp(u).sum(axis=1, keepdims=True)))(x - top_of(x)),
    ),
    (
        "shift_of_logsumexp",
        lambda x: (lambda t: np.log(np.exp(x - t).sum(axis=1, keepdims=True)) + t)(top_of(x)),
    ),
    (
        "shift_of_logsumexp",
        lambda x: (lambda t: t[:, 0] + np.log(np.exp(x - t).sum(axis=1)))(top_of(x)),
    ),
]


@pytest.mark.parametrize(("rule", "function"), SHIFTED, ids=[rule for rule, _ in SHIFTED])
def test_a_users_own_shift_gets_no_gradient_of_its_own(rule, function):
    def loss(x):
        return (function(x) * np.arange(1.0, 4.0)[:, None]).sum()

    graph = graphc.trace(loss, "f64[3, 4]")
    assert rules_of(graph) == [rule]
    stable = verify(stabilise(graph))
    x = np.random.default_rng(5).normal(size=(3, 4))
    assert value_at(stable, x=x) == value_at(graph, x=x)
    gradient = verify(simplify(autodiff.grad(stable), final=True))
    step = {"x": x + 1e-30j * np.eye(3, 4)}
    expected = evaluate_outputs(graph, step, np.complex128).popitem()[1].imag / 1e-30
    assert value_at(gradient, x=x)[np.arange(3), np.arange(3)].sum() == pytest.approx(
        expected, rel=1e-12
    )
    assert not any(node.op is TABLE["equal"] for node in gradient.nodes), "no gradient of the max"
    assert rules_of(stable) == []


def test_a_shift_that_varies_along_the_sum_is_no_shift():
    def wrong(x, t):
        e = np.exp(x - np.sin(t))
        return e / e.sum(axis=1, keepdims=True)

    graph = graphc.trace(wrong, "f64[3, 4]", "f64[4]")
    assert rules_of(graph) == ["softmax_quotient"]  # by its maximum, as any other

    def crossed(x):
        t = top_of(x)
        return np.log(np.exp(x - t).sum(axis=1)) + t  # [3] + [3, 1]

    assert rules_of(graphc.trace(crossed, "f64[3, 4]")) == []


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.sqrt(np.sum(x**2)),
        lambda x: np.sqrt(x @ x),
        lambda x: np.sqrt((x * x).mean()),
        lambda x: np.sqrt(np.sum(np.square(x), axis=0, keepdims=True)).sum(),
        lambda x: np.sqrt(0.5 * np.sum(np.square(x))),
    ],
)
def test_a_norm_has_a_gradient_at_zero(function):
    graph = graphc.trace(function, "f64[3]")
    assert rules_of(graph) == ["root_of_sum_of_squares"]
    stable = verify(stabilise(graph))
    gradient = verify(simplify(autodiff.grad(stable), final=True))
    assert value_at(stable, x=np.zeros(3)) == 0
    assert value_at(gradient, x=np.zeros(3)).tolist() == [0.0, 0.0, 0.0]
    x = np.array([1.0, -2.0, 2.0])
    assert value_at(stable, x=x) == pytest.approx(function(x), rel=1e-15)
    np.testing.assert_allclose(value_at(gradient, x=x), x / 9 * function(x), rtol=1e-14)
    assert np.isnan(value_at(stable, x=np.array([0.0, np.nan, 0.0])))


def test_the_root_of_another_sum_keeps_its_infinite_derivative():
    graph = graphc.trace(lambda x: np.sqrt(np.sum(np.abs(x))), "f64[3]")
    assert rules_of(graph) == []


def test_binary_cross_entropy_becomes_log_sigmoids():
    @graphc.trace(s="f64[n]", y="f64[n]")
    def loss(s, y):
        p = 1 / (1 + np.exp(-s))
        return np.sum(-y * np.log(p) - (1 - y) * np.log(1 - p))

    assert rules_of(loss) == ["sigmoid", "log_sigmoid", "one_minus_sigmoid", "log_sigmoid"]
    stable = stabilise(loss)
    s, y = np.array([800.0, -800.0, 0.3]), np.array([0.0, 1.0, 1.0])
    assert value_at(stable, s=s, y=y) == pytest.approx(1600 + np.log1p(np.exp(-0.3)), rel=1e-14)
    gradient = autodiff.grad(stable, wrt="s")
    np.testing.assert_allclose(
        value_at(gradient, s=s, y=y), [1.0, -1.0, -1 / (1 + np.exp(0.3))], rtol=1e-14
    )
