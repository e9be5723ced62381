"""The loop: batches, history, early stopping, checkpoints that resume bit for bit, Ctrl-C."""

import runpy
import signal
from pathlib import Path

import numpy as np
import pytest

import graphc

optimizers = graphc.optimizers
NETS = runpy.run_path(str(Path(__file__).parent / "nets.py"))
net, nested, data = NETS["net"], NETS["nested"], NETS["data"]
X, Y = data(100)


def adam(**options):
    return graphc.train_step(net(), optimizers.Adam(0.02), **options)


def same(a, b):
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def by_hand(step, params, epochs, batch_size, seed):
    """Sample a batch, step, for the orders that are documented."""
    state, losses = step.init(params), []
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(X))
        for first in range(0, len(X), batch_size):
            chosen = order[first : first + batch_size]
            params, state, value = step(params, state, (X[chosen], Y[chosen]))
            losses.append(value)
    return params, losses


@pytest.mark.parametrize("donate", [False, True])
def test_the_loop_is_the_four_steps(donate):
    step = adam(donate=donate)
    start = step.init_params(0)
    kept = {name: array.copy() for name, array in start.items()}
    found = graphc.fit(step, start, (X, Y), batch_size=32, epochs=3, seed=5)
    same(start, kept)
    expected, losses = by_hand(adam(), start, 3, 32, 5)
    same(found.params, expected)
    np.testing.assert_array_equal(found.history.losses, losses)
    assert len(found.history) == 12, "a smaller batch ends each epoch"
    means = np.reshape(losses, (3, 4)).mean(axis=1)
    np.testing.assert_allclose(found.history.epochs, means, rtol=1e-15)
    assert found.history.epochs[-1] < found.history.epochs[0]
    assert found.state["count"] == 12
    assert not found.stopped


def test_seeds_decide():
    step = adam()
    start = step.init_params(0)
    runs = [graphc.fit(step, start, (X, Y), batch_size=32, seed=s).params for s in (1, 1, 2)]
    same(runs[0], runs[1])
    assert not np.array_equal(runs[0]["W1"], runs[2]["W1"])


def test_data_as_dict_batches_function_and_generator():
    step = adam()
    start = step.init_params(0)
    cut = [(X[k : k + 32], Y[k : k + 32]) for k in range(0, 100, 32)]
    options = {"batch_size": 32, "shuffle": False, "epochs": 2}
    expected = graphc.fit(step, start, (X, Y), **options).params
    same(graphc.fit(step, start, {"y": Y, "x": X}, **options).params, expected)
    same(graphc.fit(step, start, cut, epochs=2).params, expected)
    same(graphc.fit(step, start, lambda epoch: iter(cut), epochs=2).params, expected)
    once = graphc.fit(step, start, iter(cut))
    same(once.params, graphc.fit(step, start, cut).params)


def test_early_stopping_returns_the_best():
    step = graphc.train_step(net(), optimizers.GradientDescent(30.0))  # far too fast
    start = step.init_params(0)
    held = data(50, seed=9)
    found = graphc.fit(step, start, (X, Y), epochs=50, validation=held, patience=3, seed=0)
    seen = found.history.validation
    assert found.stopped
    assert len(seen) < 50
    assert len(seen) == np.argmin(seen) + 4
    assert step.evaluate(found.params, held) == seen.min()


def test_a_callback_stops():
    seen = []

    def watch(epoch, loss):
        seen.append((epoch, loss))
        return epoch == 1

    step = adam()
    found = graphc.fit(step, step.init_params(0), (X, Y), epochs=9, callback=watch)
    assert found.stopped
    assert seen == list(enumerate(found.history.epochs))
    assert len(seen) == 2


@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("make", [net, nested])
@pytest.mark.parametrize(("steps", "ending"), [(3, "npz"), (4, "npz"), (6, "safetensors")])
def test_a_checkpoint_resumes_bit_for_bit(tmp_path, make, donate, steps, ending):
    step = graphc.train_step(make(), optimizers.Adam(0.02), donate=donate)
    start = step.init_params(0)
    options = {"batch_size": 32, "epochs": 4, "seed": 2, "validation": (X, Y), "patience": 4}
    whole = graphc.fit(step, start, (X, Y), **options)
    path = tmp_path / f"training.{ending}"

    class Crash(Exception):
        pass

    def until_crash(epoch):
        order = np.random.default_rng([2, epoch]).permutation(100)
        for k in range(4):
            if epoch * 4 + k == steps:
                raise Crash
            chosen = order[32 * k : 32 * k + 32]
            yield X[chosen], Y[chosen]

    with pytest.raises(Crash):
        graphc.fit(step, start, until_crash, checkpoint=path, every=1, **options)
    resumed = graphc.fit(step, start, (X, Y), checkpoint=path, **options)
    for a, b in zip(_arrays(resumed.params), _arrays(whole.params), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(resumed.history.losses, whole.history.losses)
    np.testing.assert_array_equal(resumed.history.epochs, whole.history.epochs)
    np.testing.assert_array_equal(resumed.history.validation, whole.history.validation)
    assert resumed.state["count"] == whole.state["count"] == 16
    again = graphc.fit(step, start, (X, Y), checkpoint=path, **options)
    assert len(again.history) == 16, "a finished training is not repeated"


def _arrays(tree):
    if isinstance(tree, dict):
        return [array for part in tree.values() for array in _arrays(part)]
    if isinstance(tree, list):
        return [array for part in tree for array in _arrays(part)]
    return [tree]


@pytest.mark.parametrize("donate", [False, True])
def test_ctrl_c_keeps_a_checkpoint(tmp_path, donate):
    step = adam(donate=donate)
    start = step.init_params(0)
    path = tmp_path / "training.npz"

    def interrupted(epoch):
        for k in range(4):
            if (epoch, k) == (1, 2):
                raise KeyboardInterrupt
            yield X[:50], Y[:50]

    with pytest.raises(KeyboardInterrupt):
        graphc.fit(step, start, interrupted, epochs=2, checkpoint=path)
    kept = graphc.load_params(path)
    # A donated step's arrays may be half written: the checkpoint of the epoch's end stands.
    assert kept["state"]["count"] == (4 if donate else 6)
    found = graphc.fit(step, start, lambda epoch: [(X[:50], Y[:50])] * 4, epochs=2, checkpoint=path)
    whole = graphc.fit(step, start, lambda epoch: [(X[:50], Y[:50])] * 4, epochs=2)
    same(found.params, whole.params)


def test_another_training_s_checkpoint_is_refused(tmp_path):
    path = tmp_path / "training.npz"
    step = adam()
    graphc.fit(step, step.init_params(0), (X, Y), checkpoint=path)
    other = graphc.train_step(net(hidden=5), optimizers.Adam(0.02))
    with pytest.raises(graphc.GraphValueError, match="is no checkpoint of this training"):
        graphc.fit(other, other.init_params(0), (X, Y), checkpoint=path)
    single = graphc.train_step(net("f32"), optimizers.Adam(0.02))
    with pytest.raises(graphc.GraphValueError, match="is no checkpoint of this training"):
        graphc.fit(single, single.init_params(0), data(dtype="f32"), checkpoint=path)


def test_the_progress_bar_is_for_terminals(capsys):
    step = adam()
    graphc.fit(step, step.init_params(0), (X, Y), batch_size=50)
    assert capsys.readouterr().err == ""
    graphc.fit(step, step.init_params(0), (X, Y), batch_size=50, progress=True)
    shown = capsys.readouterr().err
    assert "\repoch 1/1 [##############################] loss " in shown
    assert shown.endswith("\r\033[K")


def test_the_progress_bar_shows_validation_and_the_time_left(capsys, monkeypatch):
    """A clock that goes on by ten seconds a step."""
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr("graphc.training.progress.time.monotonic", lambda: next(clock))
    step = adam()
    options = {"batch_size": 50, "epochs": 10, "progress": True, "validation": (X, Y)}
    found = graphc.fit(step, step.init_params(0), (X, Y), **options)
    lines = capsys.readouterr().err.split("\r")
    assert lines[1].startswith("epoch 1/10 [###############...............] loss ")
    assert "validation" not in lines[1]
    assert lines[2].endswith(", 3:00 left \033[K"), "two steps of twenty: eighteen are left"
    assert f" validation {found.history.validation[0]:.4g}, 2:50 left " in lines[3]
    assert lines[19].endswith(", 10 s left \033[K")
    assert lines[20].endswith(", 0 s left \033[K")
    assert lines[21] == "\033[K"


def test_a_callback_prints_on_a_line_of_its_own(capsys):
    step = adam()
    said = []

    def callback(epoch, loss):
        said.append(capsys.readouterr().err)

    graphc.fit(step, step.init_params(0), (X, Y), epochs=2, progress=True, callback=callback)
    assert all(text.endswith("\r\033[K") for text in said)


def test_the_progress_bar_learns_how_many_batches_an_iterable_has(capsys):
    step = adam()
    batches = [(X[:50], Y[:50]), (X[50:], Y[50:])]
    more = [batches, [*batches, *batches]]
    options = {"epochs": 2, "progress": True}
    graphc.fit(step, step.init_params(0), lambda epoch: more[epoch], **options)
    first, second = capsys.readouterr().err.split("\repoch 2/2 ", maxsplit=1)
    assert "\repoch 1/2 1 steps loss " in first
    assert f"[{'#' * 30}] loss " in second
    assert "#" * 31 not in second


def test_a_signal_in_the_middle_of_a_step_leaves_what_resumes(tmp_path):
    """Ctrl-C while the parameters are being overwritten: the checkpoint before it stands."""
    step = adam(donate=True)
    start = step.init_params(0)
    path = tmp_path / "training.npz"
    options = {"batch_size": 32, "epochs": 3, "checkpoint": path, "every": 1}
    compiled, calls = step.compiled.value, []

    def value(params, state, batch):
        calls.append(None)
        if len(calls) == 7:
            params["W1"][:] = np.nan
            signal.raise_signal(signal.SIGINT)
        return compiled(params, state, batch)

    step.compiled.value = value
    # A shell that starts this in the background has Ctrl-C ignored: here it is Python's own.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            graphc.fit(step, start, (X, Y), **options)
    finally:
        signal.signal(signal.SIGINT, before)
    step.compiled.value = compiled
    resumed = graphc.fit(step, start, (X, Y), **options)
    whole = graphc.fit(step, start, (X, Y), **{**options, "checkpoint": None})
    same(resumed.params, whole.params)
    np.testing.assert_array_equal(resumed.history.losses, whole.history.losses)


def test_history_as_text():
    history = graphc.fit(adam(), graphc.init_params(net(), 0), (X, Y), batch_size=10).history
    lines = history.text(width=5, height=4).splitlines()
    assert len(lines) == 5
    assert sum(line.count("*") for line in lines) == 5
    assert lines[0].startswith(f"{history.losses[:2].mean():9.4g} |*")
    assert lines[-1].endswith("10 steps")
    assert repr(history).startswith("<history of 10 steps, 1 epochs, last loss")


def test_history_as_text_on_a_logarithmic_axis():
    history = graphc.fit(adam(), graphc.init_params(net(), 0), (X, Y)).history
    powers = type(history)([1000.0, 100.0, 10.0, 0.0, 1.0, np.nan])
    assert powers.text(height=4, log=True).splitlines() == [
        "     1000 |*",
        "          | *",
        "          |  *",
        "        1 |    *",
        "          +------ 6 steps",
    ]
    assert type(history)([0.0, np.inf]).text(log=True) == "no finite loss above 0"
    assert type(history)([2.0, 2.0]).text(height=2, log=True).count("*") == 2


def test_history_plots_or_says_what_is_missing(tmp_path, monkeypatch):
    history = graphc.fit(adam(), graphc.init_params(net(), 0), (X, Y), batch_size=10).history

    class Axes:
        drawn = None

        def plot(self, x, y, **style):
            self.drawn = (list(x), list(y), style)

        def set_xlabel(self, text):
            self.x = text

        def set_ylabel(self, text):
            self.y = text

        def get_legend_handles_labels(self):
            return [], []

    axes = history.plot(axes=Axes(), label="Adam")
    assert axes.drawn == (list(range(1, 11)), list(history.losses), {"label": "Adam"})
    assert (axes.x, axes.y) == ("minibatch", "loss")
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(graphc.GraphError, match=r"pip install 'graphc\[plot\]'"):
        history.plot(tmp_path / "loss.png")


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((X, Y[:50]), {}, "one leading size; their shapes are"),
        ((X[:0], Y[:0]), {}, "there are no data"),
        ((X, Y), {"batch_size": 0}, "batch_size=0 should be an integer >= 1"),
        ((X, Y), {"patience": 0}, "patience=0 should be an integer >= 1"),
        ((X, Y), {"checkpoint": "a.pickle"}, "parameters are kept in .npz or .safetensors"),
        (iter([(X, Y)]), {"epochs": 2}, "is spent after one epoch of 2"),
        (3, {}, "the data is a int; give a tuple or dict of arrays"),
        ([], {}, "epoch 1 had no batches"),
        ((X,), {}, "the batch has 1 items; it should have x, y"),
    ],
)
def test_errors(arguments, options, message):
    step = adam()
    with pytest.raises(graphc.GraphError, match=message):
        graphc.fit(step, step.init_params(0), arguments, **options)
