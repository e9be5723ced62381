"""Each stabilising rule: accurate where the naive form is not, and refusable."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings

import graphc
from graphc import autodiff, nodes
from graphc.errors import GraphNameError
from graphc.freeze import freeze
from graphc.interpret import emitted, evaluate, evaluate_outputs
from graphc.ops.elementwise import TABLE
from graphc.rewrite import simplify, stabilise, stabilise_log
from graphc.rewrite.patterns import is_shifted
from graphc.rewrite.stabilise import RULES
from graphc.types import parse_type
from graphc.verify import verify
from tests.strategies import cases

WIDE = [-1000.0, -40.0, -1.0, -1e-3, -1e-17, 1e-17, 1e-3, 0.5, 1.0, 40.0, 1000.0]
BELOW = [-800.0, -40.0, -1.0, -0.5, -1e-3, -1e-17]
NEAR = [-0.5, -1e-3, -1e-17, 1e-17, 1e-3, 0.5]
HUGE = [-1e200, -3.0, -1e-200, 1e-200, 0.5, 1e200]

mp = mpmath.mp


def exp(x):
    return mpmath.exp(x)


# rule: (the naive composition in NumPy, the same in mpmath, where it is tried)
SCALAR = {
    "log_of_exp": [(lambda x: np.log(np.exp(x)), lambda x: x, WIDE)],
    "softplus": [
        (lambda x: np.log(1 + np.exp(x)), lambda x: mpmath.log1p(exp(x)), WIDE),
        (lambda x: np.log1p(np.exp(x)), lambda x: mpmath.log1p(exp(x)), WIDE),
    ],
    "log_sigmoid": [
        (lambda x: np.log(graphc.sigmoid(x)), lambda x: -mpmath.log1p(exp(-x)), WIDE),
        (lambda x: np.log(1 / (1 + np.exp(-x))), lambda x: -mpmath.log1p(exp(-x)), WIDE),
        (lambda x: np.log(1 - graphc.sigmoid(x)), lambda x: -mpmath.log1p(exp(x)), WIDE),
    ],
    "logaddexp": [
        (
            lambda x: np.log(np.exp(x) + np.exp(2 * x)),
            lambda x: mpmath.log(exp(x) + exp(2 * x)),
            WIDE,
        )
    ],
    "log_one_minus_exp": [
        (lambda x: np.log(1 - np.exp(x)), lambda x: mpmath.log(-mpmath.expm1(x)), BELOW)
    ],
    "log_sum_exp": [
        (
            lambda x: np.log(np.sum(np.exp(np.stack([x, 2 * x, 3 * x])))),
            lambda x: mpmath.log(exp(x) + exp(2 * x) + exp(3 * x)),
            WIDE,
        )
    ],
    "log_mean_exp": [
        (
            lambda x: np.log(np.mean(np.exp(np.stack([x, 2 * x])))),
            lambda x: mpmath.log((exp(x) + exp(2 * x)) / 2),
            [-1000.0, -40.0, -1.0, 0.5, 1.0, 40.0, 1000.0],  # near 0 it is a difference of logs
        )
    ],
    "log_of_exp_quotient": [
        (
            lambda x: np.log(np.exp(x) / (np.exp(2 * x) + np.exp(3 * x))),
            lambda x: x - mpmath.log(exp(2 * x) + exp(3 * x)),
            WIDE,
        )
    ],
    "log_of_square": [
        (lambda x: np.log(x * x), lambda x: 2 * mpmath.log(abs(x)), HUGE),
        (lambda x: np.log(np.exp(x) ** 2), lambda x: 2 * x, WIDE),
    ],
    "log_of_prod": [
        (
            lambda x: np.log(np.prod(np.exp(np.stack([x, 2 * x])))),
            lambda x: 3 * x,
            WIDE,
        ),
        (
            lambda x: np.log(np.prod(graphc.sigmoid(x * np.ones(900)))),
            lambda x: -900 * mpmath.log1p(exp(-x)),
            WIDE,
        ),
        (
            lambda x: np.log(np.prod(np.square(x * np.ones(3)))),
            lambda x: 6 * mpmath.log(abs(x)),
            HUGE,
        ),
        (
            lambda x: np.log(np.abs(x * np.ones((2, 3))).prod(axis=1, keepdims=True)[0, 0]),
            lambda x: 3 * mpmath.log(abs(x)),
            HUGE,
        ),
    ],
    "log_of_product": [
        (
            lambda x: np.log(graphc.sigmoid(x) * graphc.sigmoid(2 * x) * graphc.sigmoid(3 * x)),
            lambda x: -sum(mpmath.log1p(exp(-k * x)) for k in (1, 2, 3)),
            WIDE,
        ),
        (
            lambda x: np.log(0.25 * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)),
            lambda x: mpmath.log(0.25) - mpmath.log(mpmath.sqrt(2 * mpmath.pi)) - x * x / 2,
            WIDE,
        ),
        (
            lambda x: np.log(np.square(x) / (np.exp(x) / 3)),
            lambda x: 2 * mpmath.log(abs(x)) - x + mpmath.log(3),
            [-1000.0, -40.0, -1.0, -1e-3, -1e-17, 1e-17, 1e-3, 0.5, 40.0, 1000.0],
        ),
        (
            lambda x: np.log(np.exp(-x) * x),
            lambda x: mpmath.log(x) - x,
            [1e-17, 0.5, 3.0, 40.0, 1000.0],
        ),
    ],
    "log1p": [
        (lambda x: np.log(1 + x), mpmath.log1p, NEAR),
        (lambda x: np.log(x + 1.0), mpmath.log1p, NEAR),
        (lambda x: np.log(1 - x), lambda x: mpmath.log1p(-x), NEAR),
    ],
    "expm1": [
        (lambda x: np.exp(x) - 1, mpmath.expm1, NEAR),
        (lambda x: np.exp(x) + (-1.0), mpmath.expm1, NEAR),
    ],
    "one_minus_exp": [(lambda x: 1 - np.exp(x), lambda x: -mpmath.expm1(x), NEAR)],
    "sigmoid": [
        (lambda x: 1 / (1 + np.exp(-x)), lambda x: 1 / (1 + exp(-x)), WIDE),
        (lambda x: 1 / (np.exp(-1 * x) + 1), lambda x: 1 / (1 + exp(-x)), WIDE),
        (lambda x: (1 + np.exp(x)) ** -1.0, lambda x: 1 / (1 + exp(x)), WIDE),
        (lambda x: np.reciprocal(1 + np.exp(1 - x)), lambda x: 1 / (1 + exp(1 - x)), WIDE),
    ],
    "sigmoid_quotient": [
        (lambda x: np.exp(x) / (1 + np.exp(x)), lambda x: 1 / (1 + exp(-x)), WIDE),
        (lambda x: x / (1 + np.exp(-x)), lambda x: x / (1 + exp(-x)), WIDE),
    ],
    "one_minus_sigmoid": [
        (lambda x: 1 - graphc.sigmoid(x), lambda x: 1 / (1 + exp(x)), WIDE),
        (lambda x: 1 - graphc.sigmoid(-x), lambda x: 1 / (1 + exp(-x)), WIDE),
    ],
    "softmax_quotient": [
        (
            lambda x: (lambda e: (e / e.sum())[0])(np.exp(np.stack([x, 0.5 * x]))),
            lambda x: 1 / (1 + exp(-x / 2)),
            WIDE[:-2],  # beyond, the gradient p (1 - p) is a difference of what is nearly equal
        )
    ],
    "hypot": [
        (lambda x: np.sqrt(x**2 + (3 * x) ** 2), lambda x: abs(x) * mpmath.sqrt(10), HUGE),
        (lambda x: np.sqrt(x * x + np.square(x)), lambda x: abs(x) * mpmath.sqrt(2), HUGE),
    ],
    "root_of_square": [(lambda x: np.sqrt(x**2), abs, HUGE)],
    "complement_of_erf": [
        (lambda x: 1 - graphc.erf(x), mpmath.erfc, [-3.0, 0.5, 6.0, 20.0]),
        (lambda x: 1 - graphc.erfc(x), mpmath.erf, [-3.0, 1e-17, 6.0]),
        (lambda x: 1 + graphc.erf(x), lambda x: mpmath.erfc(-x), [-20.0, -6.0, 0.5, 3.0]),
    ],
}
APPLICATIONS = [
    (rule, naive, exact, points) for rule, some in SCALAR.items() for naive, exact, points in some
]
# Of several rules together.
COMPOSED = [
    (
        "cross_entropy",
        lambda x: (lambda p: -0.25 * np.log(p) - (1 - 0.25) * np.log(1 - p))(1 / (1 + np.exp(-x))),
        lambda x: 0.25 * mpmath.log1p(exp(-x)) + 0.75 * mpmath.log1p(exp(x)),
        WIDE,
    ),
    (
        "log_softmax",
        lambda x: np.log((lambda e: e / e.sum())(np.exp(np.stack([x, 3 * x]))))[0],
        lambda x: -mpmath.log1p(exp(2 * x)),
        [-1000.0, *WIDE[2:]],  # at -40 the result is far less than an ulp of x
    ),
]
NAMES = [application[0] for application in APPLICATIONS]


def rules_of(graph):
    return [applied.rule for applied in stabilise_log(graph)]


def value_at(graph, **values):
    """The graph's one output, in the forms that are emitted."""
    ((_, node),) = graph.outputs
    return evaluate(graph, values, expression=emitted)[node]


def errors(graph, exact, points):
    """The largest relative errors of the graph's value and of its gradient."""
    name = graph.inputs[0].name
    gradient = verify(simplify(autodiff.grad(graph), final=True))
    found = [
        (float(value_at(graph, **{name: x})), float(value_at(gradient, **{name: x})))
        for x in points
    ]
    worst = [0.0, 0.0]
    with mpmath.workdps(80):
        for x, results in zip(points, found, strict=True):
            step = mpmath.mpf(abs(x)) / 10**30
            truths = exact(mpmath.mpf(x)), mpmath.diff(exact, mpmath.mpf(x), h=step)
            for k, (result, truth) in enumerate(zip(results, map(float, truths), strict=True)):
                error = abs(result - truth) / max(abs(truth), 1e-290)
                worst[k] = max(worst[k], np.inf if np.isnan(error) else error)
    return worst


@pytest.mark.parametrize(("rule", "naive", "exact", "points"), APPLICATIONS, ids=NAMES)
def test_value_and_gradient_are_accurate_where_the_naive_ones_are_not(rule, naive, exact, points):
    graph = graphc.trace(naive, "f64")
    assert rule in rules_of(graph)
    value_error, gradient_error = errors(verify(stabilise(graph)), exact, points)
    assert value_error < 1e-14
    assert gradient_error < 1e-13
    assert max(errors(graph, exact, points)) > 1e-12


@pytest.mark.parametrize(
    ("rule", "naive", "exact", "points"),
    APPLICATIONS + COMPOSED,
    ids=[application[0] for application in APPLICATIONS + COMPOSED],
)
def test_the_compiled_form_agrees_with_mpmath_at_extreme_points(rule, naive, exact, points):
    f = graphc.compile(graphc.trace(naive, "f64"), cache=False)
    with mpmath.workdps(80):
        for x in points:
            value, (slope,) = f.value_and_grad(x)
            at = mpmath.mpf(x)
            assert value == pytest.approx(float(exact(at)), rel=1e-14, abs=1e-290)
            true = float(mpmath.diff(exact, at, h=abs(at) / 10**30))
            assert slope == pytest.approx(true, rel=1e-13, abs=1e-290)


def test_every_rule_is_tested():
    shifts = {rule for rule, _ in SHIFTED}
    elsewhere = {"nearest_centre", "product_order"}  # test_distances.py, test_products.py
    assert set(SCALAR) | shifts | elsewhere | {"root_of_sum_of_squares"} == set(RULES)


@pytest.mark.parametrize(("rule", "naive", "exact", "points"), APPLICATIONS, ids=NAMES)
def test_a_rule_can_be_switched_off_and_on(rule, naive, exact, points):
    graph = graphc.trace(naive, "f64")
    assert rule not in [applied.rule for applied in stabilise_log(graph, rules=set(RULES) - {rule})]
    assert stabilise(graph, rules=()) is graph


def test_an_unknown_rule_is_an_error():
    graph = graphc.trace(lambda x: x + 1, "f64")
    with pytest.raises(GraphNameError, match="no rule 'softpls'; rules: complement_of_erf, "):
        stabilise(graph, rules=["softpls"])


# -- arrays ----------------------------------------------------------------------------------------

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


# -- where a rule looks, and what it leaves --------------------------------------------------------


def test_names_and_origins_stay():
    @graphc.trace(x="f64")
    def f(x):
        e = np.exp(x)
        h = np.log(1 + e)
        return h * e

    stable = stabilise(f)
    assert stable.named["h"].op is TABLE["softplus"]
    assert stable.named["h"].origin == f.named["h"].origin
    assert stable.named["e"].op is TABLE["exp"], "used elsewhere too: it stays"
    (applied,) = stabilise_log(f)
    assert (applied.rule, applied.value) == ("softplus", "h")
    assert str(applied) == f"{f.named['h'].origin}: h: softplus"
    assert applied.origin.file.endswith("test_stabilise.py")


def test_no_rule_looks_through_a_value_that_is_asked_for():
    @graphc.trace(x="f64")
    def f(x):
        e = np.exp(x)
        return np.log(1 + e)

    kept = verify(stabilise(f, keep=["e"]))
    assert kept.named["e"].op is TABLE["exp"]
    gradient = autodiff.grad(kept, wrt="e")
    assert value_at(gradient, x=1.0) == pytest.approx(1 / (1 + np.e), rel=1e-15)
    assert "e" not in stabilise(f).named
    assert [applied.rule for applied in stabilise_log(f, keep=["e"])] == ["log1p"]


def test_a_kept_value_is_itself_stabilised():
    @graphc.trace(x="f64")
    def f(x):
        p = 1 / (1 + np.exp(-x))
        return np.log(p)

    kept = stabilise(f, keep=["p"])
    assert kept.named["p"].op is TABLE["sigmoid"]
    assert [node.op.name for node in kept.nodes] == ["input", "sigmoid", "log"]


def test_integers_are_left_alone():
    graph = graphc.trace(lambda n: (1 + n) * (n - 1), "i64")
    assert stabilise(graph) is graph


def test_arguments_outputs_and_class_stay():
    @graphc.trace(x="f64[3]")
    def f(x):
        return {"a": np.log(1 + x), "b": np.exp(x) - 1}

    stable = stabilise(f)
    assert type(stable) is type(f)
    assert (stable.name, stable.arguments, stable.result) == (f.name, f.arguments, f.result)
    assert [name for name, _ in stable.outputs] == ["a", "b"]
    assert stable.inputs == f.inputs


@given(cases(smooth=True))
@settings(max_examples=150)
def test_stabilising_keeps_the_function(case):
    stable = verify(stabilise(case.graph))
    before = evaluate_outputs(case.graph, case.values, np.longdouble)
    after = evaluate_outputs(stable, case.values, np.longdouble)
    for name, value in before.items():
        scale = float(np.abs(value[np.isfinite(value)]).max(initial=1.0))
        np.testing.assert_allclose(after[name], value, rtol=1e-8, atol=1e-8 * scale)


def test_a_graph_without_compositions_is_the_same_graph():
    x = nodes.input_("x", parse_type("f64"))
    graph = freeze("g", [x], [("y", nodes.elementwise("sin", x))])
    assert stabilise(graph) is graph
    assert stabilise(graph, keep=["y"]) is not None
