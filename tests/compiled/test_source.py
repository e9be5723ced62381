"""The emitted source of models that people know: golden, deterministic, and as it is exported."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import graphc

ROOT = Path(__file__).parent.parent.parent


def circuit():
    b = graphc.Builder("circuit")
    x, y, z = b.inputs("x", "y", "z")
    q = b.node("q", x + y)
    b.output("f", q * z)
    return b.build()


def neuron():
    def neuron(w0, x0, w1, x1, w2):
        return 1 / (1 + np.exp(-(w0 * x0 + w1 * x1 + w2)))

    return graphc.trace(neuron, "f64", "f64", "f64", "f64", "f64")


def digits():
    @graphc.trace(
        x="f64[batch, 64]",
        y="i64[batch]",
        W1=graphc.param("f64[64, 32]"),
        b1=graphc.param("f64[32]"),
        W2=graphc.param("f64[32, 10]"),
        b2=graphc.param("f64[10]"),
    )
    def loss(x, y, W1, b1, W2, b2):
        h = graphc.relu(x @ W1 + b1)
        scores = h @ W2 + b2
        return graphc.cross_entropy(scores, y).mean()

    return loss


def rosenbrock():
    @graphc.trace(x="f64[n]")
    def rosenbrock(x):
        a, b = x[:-1], x[1:]
        return (100 * (b - a**2) ** 2 + (1 - a) ** 2).sum()

    return rosenbrock


def softmax_classifier():
    @graphc.trace(x="f32[n, 4]", y="i64[n]", W=graphc.param("f32[4, 3]"), decay="f32")
    def classifier(x, y, W, decay):
        scores = x @ W
        data_loss = graphc.cross_entropy(scores, y).mean()
        return data_loss + decay * (W * W).sum()

    return classifier


def attention():
    @graphc.trace(
        x="f32[batch, time, 16]",
        Wq=graphc.param("f32[16, 16]"),
        Wk=graphc.param("f32[16, 16]"),
        Wv=graphc.param("f32[16, 16]"),
    )
    def attention(x, Wq, Wk, Wv):
        q, k, v = x @ Wq, x @ Wk, x @ Wv
        weights = graphc.softmax(q @ k.transpose(0, 2, 1) / 4, axis=-1)
        mixed = weights @ v
        return (mixed * mixed).mean()

    return attention


def convolution():
    conv = graphc.contraction("conv", "y[n,o,h,w] = x[n,c,h+p,w+q] * K[o,c,p,q]")

    @graphc.trace(x="f64[n, 2, 8, 8]", K=graphc.param("f64[3, 2, 3, 3]"))
    def features(x, K):
        maps = graphc.relu(conv(x, K))
        return (maps * maps).mean()

    return features


def pooling():
    @graphc.trace(x=graphc.param("f32[n, 4, 17, 17]"))
    def pooled(x):
        largest = graphc.max_pool(x, 3, stride=2)
        return (graphc.avg_pool(largest, 2) ** 2).mean()

    return pooled


MODELS = {
    "circuit": circuit,
    "neuron": neuron,
    "digits": digits,
    "rosenbrock": rosenbrock,
    "softmax_classifier": softmax_classifier,
    "attention": attention,
    "convolution": convolution,
    "pooling": pooling,
}


def example(graph, sizes=(("n", 5), ("batch", 2), ("time", 3))):
    """Random arguments of a graph; labels are 0, 1 or 2."""
    random = np.random.default_rng(7)
    found = {}
    for node in graph.inputs:
        shape = tuple(dict(sizes).get(str(size), size) for size in node.type.shape)
        dtype = np.dtype(node.type.dtype.replace("f", "float").replace("i", "int"))
        if dtype.kind == "i":
            found[node.name] = random.integers(0, 3, shape)
        else:
            made = random.normal(size=shape).astype(dtype)
            found[node.name] = made if shape else dtype.type(made)
    return found


@pytest.mark.parametrize("name", MODELS)
def test_golden(name, golden):
    golden(graphc.compile(MODELS[name](), cache=False).source, f"compiled/{name}.py")


@pytest.mark.parametrize("name", MODELS)
def test_source_reads_well(name):
    source = graphc.compile(MODELS[name](), cache=False).source
    assert all(len(line) <= 88 for line in source.split("\n"))
    assert "..." not in source.partition("def _check_inputs")[0]
    lines = [line.strip() for line in source.split("\n")]
    for above, below in pairwise(lines):
        assert above != f"# {below}"


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_right(name):
    graph = MODELS[name]()
    report = graphc.check_grads(graph, **example(graph))
    assert all(row.ok for row in report.rows), report
    # And through the compiled functions, both ways.
    f = graphc.compile(graph)
    value, grads = f.value_and_grad(**example(graph))
    outputs, saved = f.forward(**example(graph))
    assert outputs == value
    for one, other in zip(grads, f.backward(saved), strict=True):
        rtol = 1e-5 if np.asarray(one).itemsize == 4 else 1e-12
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol * np.max(np.abs(other)))


# -- the same bytes, whenever and wherever ---------------------------------------------------------

SCRIPT = """
import sys
from pathlib import Path
from tests.compiled import test_source
import graphc
for name, make in test_source.MODELS.items():
    sys.stdout.write(graphc.compile(make(), cache=False).source)
"""


def elsewhere(code, folder, **environment):
    """What a process prints that runs the code."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_process_emits_the_same_bytes():
    mine = "".join(graphc.compile(make(), cache=False).source for make in MODELS.values())
    for seed in ("0", "12345"):
        assert elsewhere(SCRIPT, ROOT, PYTHONHASHSEED=seed) == mine


DECLARED = """
@graphc.trace(x="f64[n]")
def loss(x):
    h = np.tanh(x)
    return (h * h).sum()
"""


def test_a_line_above_the_declaration_changes_no_byte(tmp_path):
    sources = []
    for name, above in (("one", ""), ("two", "# a comment\n\nTHREE = 3\n")):
        (tmp_path / f"{name}.py").write_text(
            f"import numpy as np\nimport graphc\n{above}{DECLARED}"
        )
        code = f"import {name}; print({name}.graphc.compile({name}.loss, cache=False).source)"
        sources.append(elsewhere(code, tmp_path, PYTHONPATH=str(ROOT)))
    assert sources[0] == sources[1]


def test_a_change_changes_only_what_depends_on_it():
    def declared(slope):
        @graphc.trace(x="f64[n]", y="f64[n]")
        def two(x, y):
            first = np.tanh(x * slope) + np.exp(x)
            second = np.sin(y) * np.cos(y)
            return {"a": first.sum(), "b": second.sum()}

        return graphc.compile(two, of="a", cache=False).source.split("\n")

    before, after = declared(2.0), declared(3.0)
    changed = [line for line, other in zip(before, after, strict=True) if line != other]
    assert changed
    assert not any("second" in line for line in changed)


# -- exported --------------------------------------------------------------------------------------

ALONE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("graphc", "codegen", "sympy", "networkx"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import numpy as np
import exported
given = np.load("given.npz")
names = {names!r}
arguments = [given[name] if given[name].ndim else given[name][()] for name in names]
value, grads = exported.value_and_grad(*arguments)
outputs, saved = exported.forward(*arguments)
again = exported.backward(saved)
assert type(grads).__name__ == "Grads"
np.savez("found.npz", value, outputs, *grads, *again)
"""


@pytest.mark.parametrize("name", MODELS)
def test_an_exported_file_stands_alone(name, tmp_path):
    graph = MODELS[name]()
    f = graphc.compile(graph)
    f.export(tmp_path / "exported.py")
    given = example(graph)
    np.savez(tmp_path / "given.npz", **given)
    elsewhere(ALONE.replace("{names!r}", repr(list(given))), tmp_path, PYTHONPATH="")
    value, grads = f.value_and_grad(**given)
    outputs, saved = f.forward(**given)
    expected = [value, outputs, *grads, *f.backward(saved)]
    with np.load(tmp_path / "found.npz") as found:
        for mine, theirs in zip(expected, found.values(), strict=True):
            np.testing.assert_array_equal(theirs, mine)
    assert "graphc" not in (tmp_path / "exported.py").read_text().partition("\n")[2]


def test_large_constants_go_beside_the_file(tmp_path):
    table = np.random.default_rng(0).normal(size=(20, 5))

    @graphc.trace(x="f64[n, 20]")
    def projected(x):
        return np.tanh(x @ table).sum()

    f = graphc.compile(projected)
    f.export(tmp_path / "exported.py")
    assert sorted(os.listdir(tmp_path)) == ["exported.npz", "exported.py"]
    x = np.ones((2, 20))
    code = "import exported, numpy as np; print(repr(float(exported.value(np.ones((2, 20))))))"
    assert float(elsewhere(code, tmp_path, PYTHONPATH="")) == f(x)
    with np.load(tmp_path / "exported.npz") as kept:
        altered = {name: array + 1 for name, array in kept.items()}
    np.savez(tmp_path / "exported.npz", **altered)
    failed = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert failed.returncode != 0
    assert "exported.npz" in failed.stderr


def test_origins_stand_beside_the_lines_that_ask_for_them(tmp_path):
    graph = digits()
    f = graphc.compile(graph)
    f.export(tmp_path / "names.py")
    f.export(tmp_path / "lines.py", origins="lines")
    plain, marked = ((tmp_path / n).read_text().split("\n") for n in ("names.py", "lines.py"))
    assert "test_source.py" not in "\n".join(plain)
    added = [line for line, other in zip(marked, plain, strict=True) if line != other]
    assert added
    assert all("# test_source.py:" in line for line in added)
    compile("\n".join(marked), "lines", "exec")


def test_unchecked_functions_give_the_same_results():
    graph = digits()
    f = graphc.compile(graph)
    given = example(graph)
    value, grads = f.value_and_grad(**given)
    fast = f.unchecked
    again, same = fast.value_and_grad(**given)
    assert (fast(**given), again) == (value, value)
    for one, other in zip(grads, same, strict=True):
        np.testing.assert_array_equal(one, other)
    outputs, saved = fast.forward(**given)
    np.testing.assert_allclose(fast.backward(saved).W1, grads.W1, rtol=1e-12)
    assert outputs == value


def test_where_each_line_was_declared():
    f = graphc.compile(digits())
    lines = f.source.split("\n")
    found = {lines[number - 1].strip(): origin for number, origin in f.origins.items()}
    text = Path(__file__).read_text().split("\n")
    origin = next(origin for line, origin in found.items() if line.startswith("h = x @ W1"))
    name, _, number = origin.partition(":")
    assert name == "test_source.py"
    assert "h = graphc.relu(x @ W1 + b1)" in text[int(number) - 1]


def test_the_shift_of_a_whole_array_is_one_number():
    """Infinite, it is left out: one comparison of a number, no arrays of one element."""
    f = graphc.compile(graphc.trace(lambda x: graphc.logsumexp(x), "f64[n]"))
    assert "if math.isfinite(" in f.source
    assert "keepdims" not in f.source
    assert f(np.array([np.inf, 1.0])) == np.inf
    with np.errstate(divide="ignore"):
        assert f(np.array([-np.inf, -np.inf])) == -np.inf
    assert np.isnan(f(np.array([np.nan, 1.0])))


def test_what_goes_to_one_region_is_added_up_first():
    @graphc.trace(x="f64[60]")
    def paths(x):
        return (np.sin(x[1:]) * x[:-1]).sum() + np.exp(x[:-1]).sum() + (x[:-1] ** 3).sum()

    f = graphc.compile(paths)
    fused = f.source.partition("def value_and_grad")[2].partition("\ndef ")[0]
    assert fused.count("d_x[") == 2
    x = np.linspace(-1.0, 1.5, 60)
    expected = np.zeros(60)
    expected[1:] += np.cos(x[1:]) * x[:-1]
    expected[:-1] += np.sin(x[1:]) + np.exp(x[:-1]) + 3 * x[:-1] ** 2
    np.testing.assert_allclose(f.value_and_grad(x)[1].x, expected, rtol=1e-14)
