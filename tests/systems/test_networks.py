"""The lectures' larger models: hinge loss (row 8), AlexNet (11), the Neural Turing Machine (12).

Each is checked against its formulas, written out in loops, and trained: reduced by default, at full
size by `make long`.
"""

import runpy
from pathlib import Path

import numpy as np
import pytest

import graphc
from graphc.ops.kinds import Contraction, Einstein

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def example(name):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def along(f, args, params, rng, step):
    """(numerical, analytic) derivative of value_and_grad's value along a random direction."""
    direction = {name: rng.normal(size=p.shape) for name, p in params.items()}

    def loss(t):
        moved = {name: p + t * direction[name] for name, p in params.items()}
        value = f(*args, moved)
        return getattr(value, "loss", value)

    _, grads = f.value_and_grad(*args, params)
    analytic = sum(np.vdot(grads.params[name], direction[name]) for name in params)
    return (loss(step) - loss(-step)) / (2 * step), analytic


# -- row 8: W, x -> scores -> data loss -> + R(W) -> L ---------------------------------------------

STRENGTH = 0.1


@graphc.trace(W="f64[3, 4]", x="f64[n, 4]", y="i64[n]")
def traced_hinge(W, x, y):
    scores = x @ W.T
    right = graphc.one_hot(y, 3)
    correct = (scores * right).sum(axis=1, keepdims=True)
    margins = np.maximum(scores - correct + 1, 0) * (1 - right)
    data_loss = margins.sum(axis=1).mean()
    R = (W * W).sum()
    return {"L": data_loss + STRENGTH * R}


def built_hinge():
    b = graphc.Builder("hinge")
    W, x = b.input("W", "f64[3, 4]"), b.input("x", "f64[n, 4]")
    y = b.input("y", "i64[n]")
    scores = b.node("scores", x @ W.T)
    right = b.node("right", graphc.one_hot(y, 3))
    correct = (scores * right).sum(axis=1, keepdims=True)
    margins = b.node("margins", np.maximum(scores - correct + 1, 0) * (1 - right))
    data_loss = b.node("data_loss", margins.sum(axis=1).mean())
    R = b.node("R", (W * W).sum())
    b.output("L", data_loss + STRENGTH * R)
    return b.build()


HINGE_TEXT = """
graphc = 1
name = "hinge"
[inputs]
W = "f64[3, 4]"
x = "f64[n, 4]"
y = "i64[n]"
[nodes]
scores = "x @ W.T"
right = "one_hot(y, 3)"
correct = "sum(scores * right, axis=1, keepdims=True)"
margins = "maximum(scores - correct + 1, 0) * (1 - right)"
data_loss = "mean(sum(margins, axis=1))"
R = "sum(W * W)"
L = "data_loss + 0.1 * R"
[outputs]
L = "L"
"""

HINGES = [built_hinge(), traced_hinge, graphc.loads(HINGE_TEXT)]


def hinge_by_loops(W, x, y):
    """(scores, data loss, R, gradient of the data loss) by the formula, element by element."""
    scores, total, d_W = x @ W.T, 0.0, np.zeros_like(W)
    for i in range(len(x)):
        for j in range(len(W)):
            margin = scores[i, j] - scores[i, y[i]] + 1
            if j != y[i] and margin > 0:
                total += margin / len(x)
                d_W[j] += x[i] / len(x)
                d_W[y[i]] -= x[i] / len(x)
    return scores, total, (W**2).sum(), d_W


@pytest.mark.parametrize("graph", HINGES, ids=["builder", "trace", "text"])
def test_the_hinge_loss_on_every_wire(graph):
    rng = np.random.default_rng(0)
    W, x, y = rng.normal(size=(3, 4)), rng.normal(size=(6, 4)), np.array([0, 2, 1, 1, 0, 2])
    scores, data_loss, R, d_W = hinge_by_loops(W, x, y)
    wires = graph.evaluate(W, x, y)
    np.testing.assert_allclose(wires.values["scores"], scores, rtol=1e-14)
    assert wires.values["data_loss"] == pytest.approx(data_loss, rel=1e-14)
    assert wires.values["R"] == pytest.approx(R, rel=1e-14)
    assert wires.grads["data_loss"] == 1.0
    assert wires.grads["R"] == STRENGTH
    np.testing.assert_array_equal(wires.grads["margins"], np.full((6, 3), 1 / 6))
    value, grad = graphc.compile(graph, wrt="W").value_and_grad(W, x, y)
    value = getattr(value, "L", value)
    assert value == pytest.approx(data_loss + STRENGTH * R, rel=1e-14)
    # Two paths meet in W: through the scores, and through the regularisation.
    np.testing.assert_allclose(grad, d_W + 2 * STRENGTH * W, rtol=1e-13)


def test_the_hinge_loss_of_one_example():
    """Scores (3.2, 5.1, -1.7), true class 0: max(0, 5.1 - 3.2 + 1) + max(0, -1.7 - 3.2 + 1)."""
    W, x, y = np.diag([3.2, 5.1, -1.7, 0.0])[:3], np.ones((1, 4)), np.array([0])
    found = traced_hinge.evaluate(W, x, y)
    assert found.values["data_loss"] == pytest.approx(2.9, rel=1e-15)
    np.testing.assert_array_equal(found.grads["scores"], [[-1.0, 1.0, 0.0]])


def test_hinge_loss_is_its_formula_and_learns():
    hinge = example("hinge_classifier")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 64)), np.array([3, 0, 9, 9, 1])
    W, b = rng.normal(size=(64, 10)), rng.normal(size=10)
    s = x @ W + b
    rows = [sum(max(0, s[i, j] - s[i, y[i]] + 1) for j in range(10) if j != y[i]) for i in range(5)]
    expected = np.mean(rows) + hinge["STRENGTH"] * (W * W).sum()
    assert graphc.compile(hinge["loss"])(x, y, W, b) == pytest.approx(expected, rel=1e-12)
    graphc.check_grads(hinge["loss"], x=x, y=y, W=W, b=b)
    before, after, accuracy = hinge["train"](hinge["loss"], hinge["RATE"], 30)
    assert 8 < before < 10
    assert after < 0.6
    assert accuracy > 0.93


def test_hinge_quick(capsys):
    accuracy = example("hinge_classifier")["main"](["--quick"])
    assert f"test accuracy {accuracy:.1%}" in capsys.readouterr().out


# -- row 11: AlexNet -------------------------------------------------------------------------------


def multiplications(graph):
    """Multiply-adds of every matrix product and convolution of one image, from the graph itself."""
    total = 0
    for node in graph.nodes:
        if isinstance(node.op, Contraction) and len(node.inputs) == 2:
            assert isinstance(node.params, Einstein)
            total += int(np.prod([size for _, size in node.params.extents]))
    return total


@pytest.mark.parametrize(
    ("name", "parameters", "low", "high"),
    [("grouped", 60_965_224, 0.72e9, 0.73e9), ("single", 61_100_840, 0.71e9, 0.72e9)],
)
def test_alexnet_counts(name, parameters, low, high):
    alexnet = example("alexnet")
    graph = alexnet["training_graph"](alexnet["NETS"][name], batch=1)
    counted = sum(node.type.size for node in graph.inputs if node.params.role == "param")
    assert counted == parameters
    assert low < multiplications(graph) < high


def test_alexnet_maps_have_the_published_sizes():
    """55, 27, 13 and 6 pixels a side; 96, 256, 384, 384, 256 maps; 4096, 4096 and 1000 units."""
    alexnet = example("alexnet")
    images, _, _, params = alexnet["types"](alexnet["NETS"]["grouped"], 1)

    def scores(x, params):
        return alexnet["scores"](alexnet["NETS"]["grouped"], x, params)

    graph = graphc.trace(scores, images, params)
    sizes = [node.type.shape[1:] for node in graph.nodes if node.name.rpartition("_")[0] == "h"]
    seen = [size for k, size in enumerate(sizes) if size not in sizes[k - 1 : k]]
    expected = [(96, 55), (96, 27), (256, 27), (256, 13), (384, 13), (256, 13), (256, 6)]
    assert seen[:7] == [(maps, side, side) for maps, side in expected]
    assert seen[7:] == [(9216,), (4096,)]
    ((_, output),) = graph.outputs
    assert output.type.shape == (1, 1000)


def test_reduced_alexnet_gradient_and_training():
    alexnet = example("alexnet")
    rng = np.random.default_rng(0)
    net = alexnet["NETS"]["reduced"]
    graph = alexnet["training_graph"](net, 3, "f64")
    random = [numbers.astype(np.float64) for numbers in alexnet["drops"](net, 3, rng)]
    args = (rng.random((3, 1, 32, 32)), np.array([1, 7, 2]), random)
    step, params = graphc.compile(graph), graphc.init_params(graph, seed=0)
    numerical, analytic = along(step, args, params, rng, 1e-7)
    assert numerical == pytest.approx(analytic, rel=1e-5)
    accuracy, history = alexnet["train"](8)
    assert history.epochs[-1] < 0.7 * history.losses[0]
    assert accuracy > 0.7


@pytest.mark.long
@pytest.mark.parametrize("name", ["grouped", "single"])
def test_alexnet_trains_one_step(name):
    alexnet = example("alexnet")
    params, state, value, _ = alexnet["full_step"](name)
    shapes, _ = alexnet["shapes"](alexnet["NETS"][name])
    assert {n: p.shape for n, p in params.items()} == shapes
    assert np.isfinite(value)
    assert state["count"] == 1
    velocity = state["velocity"]
    assert all(np.isfinite(p).all() for p in params.values())
    assert all(np.isfinite(v).all() and np.any(v) for v in velocity.values())


@pytest.mark.long
def test_alexnet_s_whole_gradient_in_a_random_direction():
    alexnet = example("alexnet")
    rng = np.random.default_rng(0)
    net = alexnet["NETS"]["grouped"]
    graph = alexnet["training_graph"](net, 1, "f64")
    random = [numbers.astype(np.float64) for numbers in alexnet["drops"](net, 1, rng)]
    args = (rng.normal(size=(1, 3, 224, 224)), np.array([7]), random)
    step, params = graphc.compile(graph), graphc.init_params(graph, seed=0)
    numerical, analytic = along(step, args, params, rng, 1e-9)
    assert numerical == pytest.approx(analytic, rel=1e-6)


# -- row 12: the Neural Turing Machine -------------------------------------------------------------


SMALL = {"bits": 4, "rows": 8, "width": 6, "hidden": 10}


def small_machine(ntm, dtype):
    graph = ntm["graph"](3, dtype=dtype, **SMALL)
    params = graphc.init_params(graph, seed=3)
    tape, answer = ntm["sequences"](np.random.default_rng(3), 3, 5, 4)
    return graphc.compile(graph, of="loss"), params, tape, answer


def address_by_loops(memory, told, before):
    """A head's weighting by the equations of Graves et al. (2014), 5 to 9, one row at a time."""
    rows, width = memory.shape
    key = np.tanh(told[:width])
    strength, gate = np.logaddexp(0, told[width]), 1 / (1 + np.exp(-told[width + 1]))
    shift = np.exp(told[width + 2 : width + 5])
    shift /= shift.sum()
    gamma = 1 + np.logaddexp(0, told[width + 5])
    cosines = [m @ key / np.sqrt((m @ m + 1e-6) * (key @ key + 1e-6)) for m in memory]
    content = np.exp(strength * np.array(cosines))
    content /= content.sum()
    gated = gate * content + (1 - gate) * before
    shifted = np.zeros(rows)
    for row in range(rows):
        for by, weight in zip((-1, 0, 1), shift, strict=True):
            shifted[row] += weight * gated[(row - by) % rows]
    sharp = (shifted + 1e-8) ** gamma
    return sharp / sharp.sum()


def test_ntm_heads_look_by_the_published_equations():
    ntm = example("neural_turing_machine")
    rng = np.random.default_rng(6)
    memory, told = rng.normal(size=(3, 8, 6)), rng.normal(size=(3, 12))
    before = rng.dirichlet(np.ones(8), size=3)
    expected = [address_by_loops(*each) for each in zip(memory, told, before, strict=True)]
    found = ntm["address"](memory, told, before, 6)
    np.testing.assert_allclose(found, expected, rtol=1e-6)  # (its shift's places are f32)


def machine_by_loops(tape, params):
    """The scores of one sequence, its memory written to by erase and add (equations 3 and 4)."""
    p, width = params, params["memory"].shape[1]

    def sigmoid(u):
        return 1 / (1 + np.exp(-u))

    memory = p["memory"].copy()
    read_at = write_at = np.exp(p["first"]) / np.exp(p["first"]).sum()
    h, c = np.tanh(p["h0"]), np.zeros_like(p["h0"])
    seen, scores = read_at @ memory, []
    for x in tape:
        gates = np.concatenate([x, seen]) @ p["W"] + h @ p["U"] + p["b"]
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        told = h @ p["W_write"] + p["b_write"]
        write_at = address_by_loops(memory, told, write_at)
        erase, add = sigmoid(told[width + 6 : 2 * width + 6]), np.tanh(told[2 * width + 6 :])
        for row, weight in enumerate(write_at):
            memory[row] = memory[row] * (1 - weight * erase) + weight * add
        read_at = address_by_loops(memory, h @ p["W_read"] + p["b_read"], read_at)
        seen = sum(weight * memory[row] for row, weight in enumerate(read_at))
        scores.append(np.concatenate([h, seen]) @ p["W_out"] + p["b_out"])
    return np.array(scores[len(tape) // 2 + 1 :])


def test_ntm_is_the_published_machine():
    step, params, tape, answer = small_machine(example("neural_turing_machine"), "f64")
    params = {
        name: p + 0.3 * np.sin(np.arange(p.size)).reshape(p.shape) for name, p in params.items()
    }
    found = step(tape, answer, params)
    expected = np.stack([machine_by_loops(tape[:, k], params) for k in range(5)], axis=1)
    np.testing.assert_allclose(found.scores, expected, rtol=1e-5, atol=1e-6)
    bits = np.logaddexp(0, expected) - expected * answer
    assert found.loss == pytest.approx(bits.mean(), rel=1e-6)


def test_ntm_gradient_in_random_directions():
    step, params, tape, answer = small_machine(example("neural_turing_machine"), "f64")
    rng = np.random.default_rng(4)
    for _ in range(3):
        numerical, analytic = along(step, (tape, answer), params, rng, 1e-5)
        assert numerical == pytest.approx(analytic, rel=1e-6)


def test_ntm_weightings_are_distributions():
    step, params, tape, answer = small_machine(example("neural_turing_machine"), "f32")
    weights = step(tape, answer, params).weights
    assert weights.shape == (8, 2, 5, 8)
    assert weights.dtype == np.float32
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)


def test_ntm_shift_turns_the_rows():
    """A head told to take over its last weighting, and to shift it by one row, does."""
    ntm = example("neural_turing_machine")
    width, rows = 6, 8
    before = np.eye(rows, dtype=np.float32)[[2, 7]]
    for place, by in enumerate((-1, 0, 1)):
        told = np.zeros((2, width + 6), np.float32)
        told[:, width + 1] = -50  # the gate: nothing of the content
        told[:, width + 2 + place] = 50
        told[:, width + 5] = 10
        memory = np.ones((2, rows, width), np.float32)
        found = ntm["address"](memory, told, before, width)
        np.testing.assert_allclose(found, np.roll(before, by, axis=1), atol=1e-5)


def test_ntm_learns_and_shows_its_heads(capsys):
    ntm = example("neural_turing_machine")
    params, curve = ntm["train"](400, 1, rate=1e-2, **{**SMALL, "hidden": 24})
    first, last = np.mean(curve[:20], axis=0), np.mean(curve[-20:], axis=0)
    assert first[0] == pytest.approx(np.log(2), rel=0.1)
    assert last[0] < 0.3 * first[0]
    assert last[1] < 0.1
    bits, found, weights = ntm["copy"](params, 1)
    np.testing.assert_array_equal(found > 0.5, bits > 0.5)
    assert weights.shape == (4, 2, 8)


def test_ntm_heads_in_characters():
    """A head that writes to row 2 and then to row 3, and one that reads them afterwards."""
    ntm = example("neural_turing_machine")
    weights = np.zeros((4, 2, 5))
    weights[0, 0, 2] = weights[1, 0, 3] = weights[2, 1, 2] = 1
    weights[3, 1, 3] = 0.5
    lines = ntm["text_of_heads"](weights).splitlines()
    assert lines == [
        " row  writes at  reads at",
        "   2  @            @",
        "   3   @            =",
    ]


def test_ntm_quick(capsys, tmp_path):
    files = ["--plot", str(tmp_path / "copy.png"), "--curve", str(tmp_path / "curve.csv")]
    wrong = example("neural_turing_machine")["main"](["--quick", *files])
    assert (tmp_path / "copy.png").read_bytes().startswith(b"\x89PNG")
    kept = np.loadtxt(tmp_path / "curve.csv", delimiter=",")
    np.testing.assert_array_equal(kept[:, 0], [100, 200])
    assert kept[1, 2] == pytest.approx(wrong, abs=1e-5)
    shown = capsys.readouterr().out
    assert f"after 200 steps: {wrong:.2%} of the bits wrong" in shown
    assert " row  writes at  reads at" in shown


def test_ntm_says_what_a_picture_needs_before_it_trains(capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        example("neural_turing_machine")["main"](["--plot", "copy.png"])
    assert "pip install 'graphc[plot]'" in capsys.readouterr().err


@pytest.mark.long
def test_ntm_copies_up_to_ten():
    ntm = example("neural_turing_machine")
    params, curve = ntm["train"](6000, 10, seed=1)
    assert curve[-100:, 1].mean() < 0.01
    bits, found, _ = ntm["copy"](params, 10)
    np.testing.assert_array_equal(found > 0.5, bits > 0.5)
