"""Numerical gradients (row 13), the update rules (15), and the picture of their losses (16).

The wiggle of circuits, and the loop itself, row 14, stand in test_circuits and test_models.
"""

import math
import runpy
from pathlib import Path

import numpy as np
import pytest

import graphc

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
optimizers = graphc.optimizers


@graphc.trace(w=graphc.param("f64[2]", init=1))
def bowl(w):
    """Half of w0^2 + 4 w1^2: the gradient is (w0, 4 w1)."""
    return (w[0] * w[0] + 4 * w[1] * w[1]) / 2


def walk(rule, steps):
    """The points that a rule visits from (1, 1)."""
    step = graphc.train_step(bowl, rule)
    params = step.init_params()
    state, points = step.init(params), []
    for _ in range(steps):
        params, state, _ = step(params, state)
        points.append(params["w"].copy())
    return np.array(points)


# -- row 13 ----------------------------------------------------------------------------------------


def test_central_differences_fall_with_the_square_of_the_step():
    errors = runpy.run_path(str(EXAMPLES / "numerical_gradient.py"))["main"]([])
    assert list(errors) == ["W1", "b1", "W2"]
    for name, by_step in errors.items():
        assert by_step[1e-3] == pytest.approx(by_step[1e-2] / 100, rel=0.01), name
        assert by_step[1e-5] < 1e-9, name
        assert by_step[1e-10] > by_step[1e-5], "too small a step has no digits left"


def test_the_numerical_gradient_moves_one_number_at_a_time():
    numerical = runpy.run_path(str(EXAMPLES / "numerical_gradient.py"))["numerical_gradient"]
    at = np.arange(6.0).reshape(2, 3)
    found = numerical(lambda x: (x**2).sum() + x[0, 1] * x[1, 2], at, 1e-4)
    expected = 2 * at
    expected[0, 1] += at[1, 2]
    expected[1, 2] += at[0, 1]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(at, np.arange(6.0).reshape(2, 3))


# -- row 15 ----------------------------------------------------------------------------------------

# The first two steps from (1, 1), by hand. The scaled rules see no difference between the two axes:
# a gradient four times as large has a root of squares four times as large.
SCALED = [1 - math.sqrt(0.1)]  # s = 0.1 g^2: a step of 0.1 / sqrt(0.1)
SCALED += [SCALED[0] * (1 - 0.1 / math.sqrt(0.09 + 0.1 * SCALED[0] ** 2))]
MEAN, SQUARE = (0.09 + 0.09) / 0.19, (0.000999 + 0.001 * 0.81) / (1 - 0.999**2)
FIRST_STEPS = [
    # w - 0.1 g, where g = (w0, 4 w1)
    (optimizers.GradientDescent(0.1), [(0.9, 0.6), (0.81, 0.36)]),
    # v = 0.9 v - 0.1 g: (-0.1, -0.4), then (-0.18, -0.6)
    (optimizers.Momentum(0.1), [(0.9, 0.6), (0.72, 0.0)]),
    # w + 0.9 v - 0.1 g: v = (-0.1, -0.4), then (-0.171, -0.456)
    (optimizers.Nesterov(0.1), [(0.81, 0.24), (0.5751, -0.2664)]),
    # s = sum of g^2: 1, then 1.81 along the first axis
    (optimizers.Adagrad(0.1), [(0.9, 0.9), (0.9 - 0.09 / math.sqrt(1.81),) * 2]),
    (optimizers.RMSProp(0.1), [(SCALED[0],) * 2, (SCALED[1],) * 2]),
    # both averages, corrected for their beginning at 0, are at first those of one gradient
    (optimizers.Adam(0.1), [(0.9, 0.9), (0.9 - 0.1 * MEAN / math.sqrt(SQUARE),) * 2]),
]


@pytest.mark.parametrize(
    ("rule", "points"), FIRST_STEPS, ids=lambda value: getattr(type(value), "__name__", None)
)
def test_the_first_steps_of_a_rule(rule, points):
    np.testing.assert_allclose(walk(rule, 2), points, rtol=1e-7, atol=1e-15)


@pytest.mark.parametrize(
    "rule",
    [
        optimizers.GradientDescent(0.2),
        optimizers.Momentum(0.05),
        optimizers.Nesterov(0.05),
        optimizers.Adagrad(0.5),
        optimizers.RMSProp(graphc.schedules.exponential(0.1, factor=0.97)),
        optimizers.Adam(graphc.schedules.cosine(0.1, steps=300)),
        optimizers.AdamW(graphc.schedules.cosine(0.1, steps=300), weight_decay=0.0),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_every_rule_finds_the_minimum(rule):
    points = walk(rule, 300)
    assert np.abs(points[-1]).max() < 1e-3


# -- row 16 ----------------------------------------------------------------------------------------

PNG = b"\x89PNG\r\n\x1a\n"


def test_a_plot_of_the_loss_over_minibatches(tmp_path):
    """One point for every minibatch of 256, at its loss; the file is a picture."""
    losses, kept = runpy.run_path(str(EXAMPLES / "minibatch.py"))["main"](
        ["--quick", "--plot", str(tmp_path / "loss.png")]
    )
    assert (tmp_path / "loss.png").read_bytes().startswith(PNG)
    history = graphc.fit(*problem(), batch_size=256, epochs=3).history
    (line,) = history.plot().lines
    np.testing.assert_array_equal(line.get_xdata(), np.arange(1, len(history) + 1))
    np.testing.assert_array_equal(line.get_ydata(), history.losses)
    np.testing.assert_array_equal(losses, kept)


def test_all_rules_in_one_picture(tmp_path):
    """Seven curves from one first loss, on a logarithmic axis."""
    example = runpy.run_path(str(EXAMPLES / "update_rules.py"))
    histories = example["main"](["--quick", "--plot", str(tmp_path / "rules.svg")])
    assert list(histories) == [
        "gradient descent",
        "momentum",
        "Nesterov",
        "Adagrad",
        "RMSProp",
        "Adam",
        "AdamW",
    ]
    assert len({history.losses[0] for history in histories.values()}) == 1
    drawn = (tmp_path / "rules.svg").read_text(encoding="utf-8")
    assert "<svg" in drawn
    assert all(f"<!-- {name} -->" in drawn for name in histories)
    axes = example["draw"](histories, tmp_path / "again.png")
    assert axes.get_yscale() == "log"
    for line, (name, history) in zip(axes.lines, histories.items(), strict=True):
        assert line.get_label() == name
        np.testing.assert_array_equal(line.get_ydata(), history.losses)


def test_a_plot_has_the_validation_losses_where_their_epochs_end():
    step, params, data = problem()
    history = graphc.fit(step, params, data, batch_size=256, epochs=3, validation=data).history
    losses, validation = history.plot(label="training").lines
    assert losses.get_label() == "training"
    np.testing.assert_array_equal(validation.get_xdata(), [4, 8, 12])
    np.testing.assert_array_equal(validation.get_ydata(), history.validation)


def problem():
    """A step, its first parameters and 1,000 points."""
    loss = graphc.trace(
        lambda x, y, w: ((x @ w - y) ** 2).mean(),
        x="f64[n, 3]",
        y="f64[n]",
        w=graphc.param("f64[3]", init=0),
    )
    step = graphc.train_step(loss, optimizers.Adam(0.1))
    x = np.random.default_rng(0).normal(size=(1000, 3))
    return step, step.init_params(), (x, x @ np.array([1.0, -2.0, 0.5]))
