"""The compiled step: every rule against the published formula, written out by hand."""

import math
import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import graphc

optimizers, schedules = graphc.optimizers, graphc.schedules
NETS = runpy.run_path(str(Path(__file__).parent / "nets.py"))
net, nested, data = NETS["net"], NETS["nested"], NETS["data"]


# -- the published rules, as they are printed ------------------------------------------------------


def descent(w, g, s, t, o, rate):
    return w - rate * g, s


def momentum(w, g, s, t, o, rate):
    v = o.momentum * s.get("v", 0.0) - rate * g
    return w + v, {"v": v}


def nesterov(w, g, s, t, o, rate):
    before = s.get("v", 0.0)
    v = o.momentum * before - rate * g
    return w - o.momentum * before + (1 + o.momentum) * v, {"v": v}


def adagrad(w, g, s, t, o, rate):
    cache = s.get("c", 0.0) + g**2
    return w - rate * g / (np.sqrt(cache) + o.epsilon), {"c": cache}


def rmsprop(w, g, s, t, o, rate):
    cache = o.decay * s.get("c", 0.0) + (1 - o.decay) * g**2
    return w - rate * g / (np.sqrt(cache) + o.epsilon), {"c": cache}


def adam(w, g, s, t, o, rate, decay=0.0):
    m = o.beta1 * s.get("m", 0.0) + (1 - o.beta1) * g
    v = o.beta2 * s.get("v", 0.0) + (1 - o.beta2) * g**2
    m_hat, v_hat = m / (1 - o.beta1**t), v / (1 - o.beta2**t)
    return w - rate * (m_hat / (np.sqrt(v_hat) + o.epsilon) + decay * w), {"m": m, "v": v}


def adamw(w, g, s, t, o, rate):
    return adam(w, g, s, t, o, rate, o.weight_decay)


RULES = [
    (optimizers.GradientDescent(0.1), descent),
    (optimizers.Momentum(0.05, momentum=0.8), momentum),
    (optimizers.Nesterov(0.05, momentum=0.8), nesterov),
    (optimizers.Adagrad(0.1), adagrad),
    (optimizers.RMSProp(0.01, decay=0.95), rmsprop),
    (optimizers.Adam(0.01), adam),
    (optimizers.Adam(0.01, beta1=0.8, beta2=0.99, epsilon=1e-3), adam),
    (optimizers.AdamW(0.01, weight_decay=0.1), adamw),
]


def by_hand(loss, optimizer, rule, params, batches, rate=None):
    """The losses and last parameters of the rule as printed."""
    compiled = graphc.compile(loss)
    params, state, values = dict(params), {name: {} for name in params}, []
    for k, (x, y) in enumerate(batches):
        value, grads = compiled.value_and_grad(x, y, **params)
        values.append(value)
        pace = optimizer.rate if rate is None else rate(k)
        for name, w in params.items():
            g = getattr(grads, name)
            if optimizer.weight_decay and not optimizer.decoupled:
                g = g + optimizer.weight_decay * w
            params[name], state[name] = rule(w, g, state[name], k + 1, optimizer, pace)
    return values, params


def run(step, params, batches):
    state, values = step.init(params), []
    for batch in batches:
        params, state, value = step(params, state, batch)
        values.append(value)
    return values, params, state


BATCHES = [data(seed=k) for k in range(6)]


@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize(("optimizer", "rule"), RULES, ids=lambda x: getattr(x, "__name__", None))
def test_a_rule_is_the_published_one(optimizer, rule, donate):
    loss = net()
    step = graphc.train_step(loss, optimizer, donate=donate)
    start = step.init_params(3)
    expected, last = by_hand(loss, optimizer, rule, start, BATCHES)
    found, params, state = run(step, start, BATCHES)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert params.keys() == last.keys()
    for name in params:
        np.testing.assert_allclose(params[name], last[name], rtol=1e-10, atol=1e-13)
    assert state["count"] == len(BATCHES)
    assert set(state) == {"count", *optimizer.slots}


@pytest.mark.parametrize(("optimizer", "rule"), RULES[:6], ids=lambda x: getattr(x, "__name__", ""))
def test_weight_decay_adds_to_the_gradient(optimizer, rule):
    loss = net()
    decayed = type(optimizer)(optimizer.rate, weight_decay=0.3)
    step = graphc.train_step(loss, decayed)
    start = step.init_params(1)
    expected, last = by_hand(loss, decayed, rule, start, BATCHES)
    found, params, _ = run(step, start, BATCHES)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    np.testing.assert_allclose(params["W1"], last["W1"], rtol=1e-10)


def test_adamw_without_decay_is_adam():
    found = [
        run(graphc.train_step(net(), rule), graphc.init_params(net(), 0), BATCHES)[1]["W1"]
        for rule in (optimizers.Adam(0.01), optimizers.AdamW(0.01, weight_decay=0.0))
    ]
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize(
    ("schedule", "rate"),
    [
        (schedules.constant(0.2), lambda k: 0.2),
        (schedules.step(0.2, factor=0.5, every=2), lambda k: 0.2 * 0.5 ** (k // 2)),
        (schedules.exponential(0.2, factor=0.5, every=2), lambda k: 0.2 * 0.5 ** (k / 2)),
        (
            schedules.cosine(0.2, steps=4),
            lambda k: 0.1 * (1 + math.cos(math.pi * min(k / 4, 1))),
        ),
        (
            schedules.cosine(0.2, steps=4, last=0.1),
            lambda k: 0.1 + 0.05 * (1 + math.cos(math.pi * min(k / 4, 1))),
        ),
        (schedules.warmup(0.2, steps=3), lambda k: 0.2 * min((k + 1) / 3, 1)),
        (
            schedules.warmup(schedules.exponential(0.2, factor=0.5), steps=3),
            lambda k: 0.2 * (k + 1) / 3 if k < 3 else 0.2 * 0.5 ** (k - 3),
        ),
    ],
)
def test_schedules(schedule, rate):
    for k in range(6):
        assert schedule(float(k)) == pytest.approx(rate(k), rel=1e-13, abs=1e-16)
    optimizer = optimizers.GradientDescent(schedule)
    step = graphc.train_step(net(), optimizer)
    start = step.init_params(0)
    expected, _ = by_hand(net(), optimizer, descent, start, BATCHES, rate)
    found, _, _ = run(step, start, BATCHES)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def clipped(clip, batch, start):
    step = graphc.train_step(net(), optimizers.GradientDescent(1.0, clip=clip))
    params, _, _ = step(start, step.init(start), batch)
    return {name: start[name] - params[name] for name in start}


def test_clip_by_value():
    start = graphc.init_params(net(), 0)
    _, grads = graphc.compile(net()).value_and_grad(*BATCHES[0], **start)
    found = clipped(optimizers.ClipByValue(0.01), BATCHES[0], start)
    for name in start:
        expected = np.clip(getattr(grads, name), -0.01, 0.01)
        np.testing.assert_allclose(found[name], expected, atol=1e-15)
    assert np.max(np.abs(found["W1"])) == pytest.approx(0.01)


@pytest.mark.parametrize("limit", [0.05, 100.0])
def test_clip_by_global_norm(limit):
    start = graphc.init_params(net(), 0)
    _, grads = graphc.compile(net()).value_and_grad(*BATCHES[0], **start)
    norm = math.sqrt(sum(float((g * g).sum()) for g in grads))
    found = clipped(optimizers.ClipByNorm(limit), BATCHES[0], start)
    for name in start:
        expected = getattr(grads, name) * min(1.0, limit / norm)
        np.testing.assert_allclose(found[name], expected, atol=1e-15)


def test_clipping_a_zero_gradient_divides_by_nothing():
    loss = graphc.trace(lambda w: (w * w).sum(), graphc.param("f64[3]", init=0))
    step = graphc.train_step(loss, optimizers.GradientDescent(1.0, clip=optimizers.ClipByNorm(1.0)))
    start = step.init_params()
    with np.errstate(all="raise"):
        params, _, value = step(start, step.init(start))
    np.testing.assert_array_equal(params["w"], np.zeros(3))
    assert value == 0


# -- types, structure, freshness -------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [rule for rule, _ in RULES], ids=repr)
@pytest.mark.parametrize("rate", [None, schedules.cosine(0.01, 10)])
def test_f32_stays_f32(optimizer, rate):
    kept = type(optimizer)(rate or 0.01, clip=optimizers.ClipByNorm(1.0), weight_decay=0.01)
    step = graphc.train_step(net("f32"), kept)
    start = step.init_params(0)
    params, state, value = step(start, step.init(start), data(dtype="f32"))
    assert value.dtype == np.float32
    for tree in (params, *(state[slot] for slot in optimizer.slots)):
        assert {array.dtype for array in tree.values()} == {np.dtype(np.float32)}
    for node in step.graph.nodes:
        assert node.type.dtype != "f64" or node.type.shape == ()


def test_f32_follows_f64():
    found = {}
    for dtype in ("f32", "f64"):
        step = graphc.train_step(net(dtype), optimizers.Adam(0.01))
        found[dtype] = run(step, step.init_params(0), [data(seed=k, dtype=dtype) for k in range(5)])
    np.testing.assert_allclose(found["f32"][0], found["f64"][0], rtol=1e-5)


def test_params_in_a_container_keep_their_structure():
    step = graphc.train_step(nested(), optimizers.Momentum(0.1))
    start = step.init_params(0)
    assert list(start) == ["layers"]
    assert start["layers"][0]["W"].shape == (8, 16)
    values, params, state = run(step, start, BATCHES * 4)
    assert values[-1] < values[0]
    assert [set(layer) for layer in params["layers"]] == [{"W", "b"}, {"W", "b"}]
    assert state["velocity"]["layers"][1]["b"].shape == (3,)


class Weights(NamedTuple):
    W: np.ndarray
    b: np.ndarray


def test_params_in_a_named_tuple():
    @graphc.trace(
        params=graphc.param(Weights("f64[8, 3]", "f64[3]"), init=0), x="f64[n, 8]", y="i64[n]"
    )
    def loss(params, x, y):
        return graphc.cross_entropy(x @ params.W + params.b, y).mean()

    step = graphc.train_step(loss, optimizers.Adam(0.1))
    start = step.init_params()
    values, params, state = run(step, start, BATCHES)
    assert isinstance(start, Weights)
    assert isinstance(params, Weights)
    assert isinstance(state["mean"], Weights)
    assert values[0] == pytest.approx(math.log(3))
    assert values[-1] < values[0]


def test_a_container_named_params_needs_no_declaration():
    @graphc.trace(params={"W": "f64[8, 3]"}, x="f64[n, 8]", y="i64[n]")
    def loss(params, x, y):
        return graphc.cross_entropy(x @ params["W"], y).mean()

    step = graphc.train_step(loss, optimizers.GradientDescent(0.1))
    params, _, _ = step({"W": np.zeros((8, 3))}, step.init({"W": np.zeros((8, 3))}), BATCHES[0])
    assert list(params) == ["W"]


def test_scalar_parameters_and_a_builder():
    b = graphc.Builder("line")
    x, y = b.input("x", "f64[n]"), b.input("y", "f64[n]")
    w, c = b.param("w", init=1.0), b.param("c", init=graphc.initialisers.zeros())
    b.output("error", ((w * x + c - y) ** 2).mean())
    b.output("slope", w * 1.0)
    step = graphc.train_step(b, optimizers.Adam(0.1), of="error")
    params = step.init_params()
    assert params == {"w": 1.0, "c": 0.0}
    state, x = step.init(params), np.linspace(-1, 1, 20)
    for _ in range(400):
        params, state, value = step(params, state, {"y": 3 * x - 1, "x": x})
    assert params["w"] == pytest.approx(3, abs=1e-3)
    assert params["c"] == pytest.approx(-1, abs=1e-3)
    assert value.error < 1e-6
    assert value.slope == pytest.approx(3, abs=1e-3)


def test_results_are_fresh_and_inputs_untouched():
    step = graphc.train_step(net(), optimizers.Adam(0.1))
    start = step.init_params(0)
    state = step.init(start)
    copies = {name: array.copy() for name, array in start.items()}
    params, new, _ = step(start, state, BATCHES[0])
    for name, array in start.items():
        np.testing.assert_array_equal(array, copies[name])
        assert not np.shares_memory(array, params[name])
        assert not np.shares_memory(new["mean"][name], state["mean"][name])
        assert not state["mean"][name].any()


def test_a_donated_step_works_in_place_and_agrees_bit_for_bit():
    wide = net(hidden=4096)  # small arrays are not worth the care
    steps = [
        graphc.train_step(wide, optimizers.Adam(0.01), donate=donate) for donate in (False, True)
    ]
    kept, given = (run(step, step.init_params(0), BATCHES) for step in steps)
    np.testing.assert_array_equal(kept[1]["W1"], given[1]["W1"])
    np.testing.assert_array_equal(kept[2]["square"]["W2"], given[2]["square"]["W2"])
    assert kept[0] == given[0]
    start = steps[1].init_params(0)
    state = steps[1].init(start)
    before = [start["W1"], state["mean"]["W1"], state["square"]["W1"]]
    params, state, _ = steps[1](start, state, BATCHES[0])
    after = [params["W1"], state["mean"]["W1"], state["square"]["W1"]]
    assert [a is b for a, b in zip(before, after, strict=True)] == [True] * 3


def test_a_donated_array_may_not_stand_twice():
    step = graphc.train_step(net(), optimizers.Adam(0.1), donate=True)
    start = step.init_params(0)
    state = step.init(start)
    state["mean"] = state["square"]
    with pytest.raises(graphc.GraphValueError, match="an array stands twice"):
        step(start, state, BATCHES[0])


def test_one_function_without_a_helper_call_for_the_update():
    step = graphc.train_step(net(), optimizers.Nesterov(0.1))
    body = step.source.partition("def value")[2].partition("\ndef ")[0]
    assert "new_W1" in body
    assert "def backward" not in step.source
    assert "def value_and_grad" not in step.source


class Counted(np.ndarray):
    """An array that counts the elements its elementwise functions compute."""

    computed = 0

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        plain = [np.asarray(x) if isinstance(x, Counted) else x for x in inputs]
        if out is not None:
            options["out"] = tuple(np.asarray(x) for x in out)
        result = getattr(ufunc, method)(*plain, **options)
        if method == "__call__":
            Counted.computed += np.size(result)
        if out is not None:
            return out[0]
        return result.view(Counted) if isinstance(result, np.ndarray) else result


def test_adam_takes_ten_passes():
    """Elements computed by the update of one large parameter, whose gradient is an input."""
    size = 100_000
    loss = graphc.trace(lambda x, w: (x * w).sum(), f"f32[{size}]", graphc.param(f"f32[{size}]"))
    rng = np.random.default_rng(0)
    x, w, mean, square = np.abs(rng.normal(size=(4, size))).astype(np.float32)

    def computed(function, *arrays):
        Counted.computed = 0
        found = function(*(array.copy().view(Counted) for array in arrays))
        return Counted.computed / size, found

    value, _ = computed(graphc.compile(loss, ()).unchecked, x, w)
    step = graphc.train_step(loss, optimizers.Adam(1e-3), donate=True)

    def run_step(x, w, mean, square):
        state = {"count": np.int64(0), "mean": {"w": mean}, "square": {"w": square}}
        return step.compiled.unchecked({"w": w}, state, (x,))

    whole, (params, _, _) = computed(run_step, x, w, mean, square)
    assert whole - value == 10
    plain = np.sqrt(0.999 * square + x * x) + 1e-8 / math.sqrt(1e-3 / (1 - 0.999))
    expected = w - 1e-3 * (0.9 * mean + x) / plain
    np.testing.assert_allclose(params["w"], expected, rtol=1e-4)


def test_a_rule_of_ones_own():
    @dataclass(frozen=True)
    class SignDescent(optimizers.Optimizer):
        def update(self, w, g, slots, rate, count):
            return w - rate * np.sign(g), {}

    step = graphc.train_step(net(), SignDescent(0.01))
    start = step.init_params(0)
    _, grads = graphc.compile(net()).value_and_grad(*BATCHES[0], **start)
    params, state, _ = step(start, step.init(start), BATCHES[0])
    np.testing.assert_allclose(params["W1"], start["W1"] - 0.01 * np.sign(grads.W1))
    assert list(state) == ["count"]


def test_a_rule_that_returns_another_type_is_an_error():
    @dataclass(frozen=True)
    class Wrong(optimizers.Optimizer):
        def update(self, w, g, slots, rate, count):
            return w.sum(), {}

    with pytest.raises(graphc.GraphTypeError, match=r"Wrong.update made the parameter of W1 f64;"):
        graphc.train_step(net(), Wrong(0.01))


def test_evaluate_takes_no_step():
    step = graphc.train_step(net(), optimizers.GradientDescent(0.1))
    start = step.init_params(0)
    value = step.evaluate(start, BATCHES[0])
    assert value == step(start, step.init(start), BATCHES[0])[2]
    assert value == step.evaluate(start, {"y": BATCHES[0][1], "x": BATCHES[0][0]})


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: optimizers.Adam(-1.0), ValueError, "Adam: rate=-1.0 should be >= 0"),
        (lambda: optimizers.Adam("fast"), TypeError, "Adam: rate='fast' should be a number"),
        (lambda: optimizers.Adam(0.1, beta1=1.0), ValueError, "Adam: beta1=1.0 should be < 1"),
        (lambda: optimizers.RMSProp(0.1, epsilon=0), ValueError, "epsilon=0 should be > 0"),
        (lambda: optimizers.Adam(0.1, clip=1.0), TypeError, "clip=1.0 should be ClipByValue"),
        (lambda: schedules.step(0.1, 0.5, 0), ValueError, "step: every=0 should be > 0"),
        (lambda: graphc.train_step(len, optimizers.Adam(0.1)), TypeError, "trace a function first"),
        (lambda: graphc.train_step(net(), "adam"), TypeError, "give one of graphc.optimizers"),
        (
            lambda: graphc.train_step(
                graphc.trace(lambda x: x.sum(), "f64[3]"), optimizers.Adam(1)
            ),
            TypeError,
            "declares no parameters: wrap their types",
        ),
        (
            lambda: graphc.train_step(
                graphc.trace(lambda w: w * 2, graphc.param("f64[3]")), optimizers.Adam(1)
            ),
            ValueError,
            "needs one scalar output",
        ),
    ],
)
def test_errors(make, kind, message):
    with pytest.raises(graphc.GraphError, match=message) as raised:
        make()
    assert isinstance(raised.value, kind)
    assert str(raised.value).startswith("test_step.py:")


def test_a_batch_that_does_not_fit_is_named():
    step = graphc.train_step(net(), optimizers.Adam(0.1))
    start = step.init_params(0)
    state = step.init(start)
    x, y = BATCHES[0]
    with pytest.raises(graphc.GraphTypeError, match="the batch has 1 items; it should have x, y"):
        step(start, state, (x,))
    with pytest.raises(graphc.GraphTypeError, match="keys x; it should have x, y"):
        step(start, state, {"x": x})
    with pytest.raises(graphc.GraphTypeError, match="give a tuple or dict of x, y"):
        step(start, state, x)
    with pytest.raises(graphc.GraphValueError, match="x should be"):
        step(start, state, (x[:, :3], y))
    with pytest.raises(graphc.GraphTypeError, match="params has no key 'b2'"):
        step.init({name: start[name] for name in ("W1", "b1", "W2")})
