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
from graphc.rewrite.stabilise import RULES
from graphc.types import parse_type
from graphc.verify import verify
from tests.rewrite.test_stabilise_arrays import SHIFTED
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
    gradient = verify(simplify(autodiff.grad(graph, stable=False), final=True))
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
