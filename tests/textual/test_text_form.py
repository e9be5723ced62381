"""What a graph file may say, and what it means."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import graphc
from graphc.canonical import digest
from graphc.textual import read_file
from graphc.textual.data import sha256_of, to_npy
from graphc.textual.lines import entry_lines

CIRCUIT = Path(__file__).resolve().parents[2] / "examples" / "circuit.toml"
HEAD = 'graphc = 1\n[inputs]\nx = "f64[n, 3]"\ny = "f64"\n'


def load(nodes="", outputs='o = "o"', **tables):
    """A file with inputs x (n, 3) and y, these [nodes] lines, and further tables."""
    text = HEAD
    for name, body in tables.items():
        text += f"[{name}]\n{body}\n"
    return graphc.loads(f"{text}[nodes]\n{nodes}\n[outputs]\n{outputs}\n")


def value(formula, **tables):
    """What a formula over x, y comes to."""
    x = np.arange(6.0).reshape(2, 3) / 3 + 0.1
    return load(f"o = {formula!r}", **tables).evaluate(x=x, y=2.0).values["o"], x, 2.0


# -- formulas mean what traced code means ----------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("x + y * 2 - 1", lambda x, y: x + y * 2 - 1),
        ("-x ** 2 / y // 1 % 3", lambda x, y: -(x**2) / y // 1 % 3),
        ("x @ x.T", lambda x, y: x @ x.T),
        ("exp(x) + abs(y) + pi", lambda x, y: np.exp(x) + abs(y) + np.pi),
        ("maximum(x, 0.5)", lambda x, y: np.maximum(x, 0.5)),
        ("max(y, 3)", lambda x, y: 3.0),
        ("max(x, axis=1)", lambda x, y: x.max(axis=1)),
        ("sum(x, axis=0, keepdims=True)", lambda x, y: x.sum(axis=0, keepdims=True)),
        ("x.sum(axis=-1).mean()", lambda x, y: x.sum(axis=-1).mean()),
        ("mean(x) + var(x, axis=0)", lambda x, y: x.mean() + x.var(axis=0)),
        ("x.reshape((3, n))[1:, ::-1]", lambda x, y: x.reshape(3, 2)[1:, ::-1]),
        ("reshape(x, (-1,))", lambda x, y: x.ravel()),
        ("transpose(x, (1, 0))", lambda x, y: x.T),
        ("sum(x) / n + x.shape[0]", lambda x, y: x.sum() / 2 + 2),
        ("x / size(3 * n - 1, 'f64')", lambda x, y: x / 5),
        ("where(x > 0.5, x, y)", lambda x, y: np.where(x > 0.5, x, y)),
        ("x if x > 0.5 else y", lambda x, y: np.where(x > 0.5, x, y)),
        ("f64(0.2 < x and not x > 1)", lambda x, y: ((x > 0.2) & ~(x > 1)) * 1.0),
        ("f64((x > 0.2) & (0.2 < x < 1))", lambda x, y: ((x > 0.2) & (x < 1)) * 1.0),
        ("concatenate((x, 2 * x), axis=0)", lambda x, y: np.concatenate([x, 2 * x])),
        ("stack([x, x], axis=1)", lambda x, y: np.stack([x, x], axis=1)),
        ("x[:, [0, 2]]", lambda x, y: x[:, [0, 2]]),
        ("x[0, 1] + x[-1, 2]", lambda x, y: x[0, 1] + x[-1, 2]),
        ("logsumexp(x, axis=1)", lambda x, y: np.log(np.exp(x).sum(axis=1))),
        ("softmax(x)", lambda x, y: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)),
        ("einsum('ij,kj->ik', x, x)", lambda x, y: x @ x.T),
        ("outer(x[0], x[1])", lambda x, y: np.outer(x[0], x[1])),
        ("sqrt(2) * y ** -1", lambda x, y: 2**0.5 / y),
        ("y * 2 ** 10 * (7 // 2)", lambda x, y: y * 1024 * 3),
        ("astype(x > 0.5, 'f64')", lambda x, y: (x > 0.5) * 1.0),
        ("arange(n)", lambda x, y: np.arange(2)),
        ("y + max(n, 3 * n - 4) ** 2", lambda x, y: y + 4),
    ],
)
def test_a_formula(formula, expected):
    found, x, y = value(formula)
    np.testing.assert_allclose(found, expected(x, y), rtol=1e-14, atol=1e-15)


def test_line_breaks_and_comments_are_free():
    graph = load('o = """\nsum(x)   # the total\n  / (n   # the rows\n * 3)\n"""')
    assert graph.evaluate(x=np.ones((2, 3)), y=0.0).values["o"] == 1.0


def test_nodes_stand_in_any_order():
    graph = load('o = "b * 2"\nb = "a + y"\na = "sum(x)"')
    assert [node.name for node in graph.nodes if node.name] == ["x", "y", "a", "b", "o"]


def test_a_file_without_disorder_needs_no_networkx():
    code = (
        "import sys, graphc\n"
        f"graphc.load({str(CIRCUIT)!r})\n"
        "print(sorted({'networkx', 'sympy'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_functions_are_expanded():
    graph = load(
        'o = "dense(x, [[1.0], [2.0], [3.0]], b=y)"',
        functions='dense = "(x, W, b) -> relu(affine(x, W, b))"\naffine = "(x, W, b) -> x @ W + b"',
    )
    x = np.ones((1, 3))
    assert graph.evaluate(x=x, y=-1.0).values["o"] == 5.0


def test_ops_of_the_file():
    found, x, _ = value("swish(x)", ops='swish = "x / (1 + exp(-x))"')
    np.testing.assert_allclose(found, x / (1 + np.exp(-x)), rtol=1e-14)


def test_index_formulas_of_the_file():
    found, x, _ = value("gram(x, x)", ops='gram = "g[i,j] = a[i,k] * b[j,k]"')
    np.testing.assert_allclose(found, x @ x.T, rtol=1e-14)


def test_scopes_are_dotted_keys():
    text = (
        'graphc = 1\n[inputs]\nx = "f64"\n[params]\nlayer1.W = "f64"\nlayer2.W = "f64"\n'
        'p.layers.0.W = "f64"\n[nodes]\nlayer1.h = "layer1.W * x"\n'
        'o = "layer2.W * layer1.h + p.layers[0].W"\n[outputs]\no = "o"\n'
    )
    graph = graphc.loads(text)
    assert graph.input_names == ("x", "layer1.W", "layer2.W", "p.layers.0.W")
    assert [node.params.role for node in graph.inputs] == ["input", "param", "param", "param"]
    assert "layer1.h" in graph.named


def test_a_second_name_is_a_value_of_its_own():
    graph = load('a = "sum(x)"\no = "a"')
    found = graph.evaluate(x=np.ones((1, 3)), y=0.0)
    assert found.values["a"] == found.values["o"] == 3.0
    assert found.grads["a"] == 1.0


def test_generated_keys_name_nothing():
    graph = load('_1 = "sum(x)"\no = "_1 * 2"')
    assert sorted(graph.named) == ["o", "x", "y"]


def test_outputs_may_be_formulas():
    graph = load('a = "sum(x)"', outputs='loss = "a * 2"\ntotal = "a"')
    assert graph.output_names == ("loss", "total")


def test_the_name_may_be_given():
    assert graphc.loads(HEAD + '[outputs]\no = "y"\n', name="mine").name == "mine"


# -- values ----------------------------------------------------------------------------------------


def test_constants():
    graph = load(
        'o = "y * b[1] + c + d"',
        constants='b = [1.5, 2.5]\nc = 1\nd = { dtype = "f32", value = 0.1 }',
    )
    types = {name: str(node.type) for name, node in graph.named.items()}
    assert (types["b"], types["c"], types["d"]) == ("f64[2]", "i64", "f32")
    assert graph.named["d"].params.value == np.float32(0.1)


def write(folder, data, digest_=None, file="mean.npy"):
    (folder / "mean.npy").write_bytes(data)
    text = (
        f'{HEAD}[constants]\nm = {{ file = "{file}", sha256 = "{digest_ or sha256_of(data)}" }}\n'
        '[outputs]\no = "y * m"\n'
    )
    (folder / "g.toml").write_text(text)
    return folder / "g.toml"


def test_a_constant_in_a_file(tmp_path):
    value_ = np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3))
    graph = graphc.load(write(tmp_path, to_npy(value_)))
    found = graph.named["m"]
    assert str(found.type) == "f32[2, 3]"
    np.testing.assert_array_equal(found.params.value, value_)


def test_large_constants_are_dumped_beside_the_file(tmp_path):
    table = np.random.default_rng(0).normal(size=(40, 50))

    @graphc.trace(x="f64[40]")
    def f(x):
        return (x @ table).sum()

    graphc.dump(f, tmp_path / "f.toml")
    files = sorted(path.name for path in tmp_path.iterdir())
    assert len(files) == 2
    assert files[0].endswith(".npy")
    assert digest(graphc.load(tmp_path / "f.toml")) == digest(f)
    assert digest(graphc.loads(graphc.dumps(f))) == digest(f)


def test_example_values_take_the_dtype_of_their_input(tmp_path):
    text = 'graphc = 1\n[inputs]\nx = "f32[2]"\n[outputs]\no = "x"\n[example]\nx = [0.5, 1]\n'
    (tmp_path / "g.toml").write_text(text)
    example = read_file(tmp_path / "g.toml").example
    assert example["x"].dtype == np.float32
    assert example["x"].tolist() == [0.5, 1.0]


# -- written and read back -------------------------------------------------------------------------


def test_a_net_reads_as_a_person_would_write_it():
    @graphc.trace(x="f64[batch, 64]", W=graphc.param("f64[64, 10]"), c=graphc.param("f64[10]"))
    def scores(x, W, c):
        hidden = np.tanh(x @ W + c) * 0.5
        return hidden - hidden.max(axis=1, keepdims=True)

    assert graphc.dumps(scores) == (
        'graphc = 1\nname = "scores"\n\n'
        '[inputs]\nx = "f64[batch, 64]"\n\n'
        '[params]\nW = "f64[64, 10]"\nc = "f64[10]"\n\n'
        '[nodes]\nhidden = "tanh(x @ W + c) * 0.5"\n'
        'scores = "hidden - max(hidden, axis=1, keepdims=True)"\n\n'
        '[outputs]\nscores = "scores"\n'
    )


def test_containers_survive():
    params = {"layers": [{"W": "f64[3]"}, {"W": "f64[3]"}], "scale": ("f64", "f64")}

    @graphc.trace(x="f64[3]", params=graphc.param(params))
    def f(x, params):
        total = params["scale"][0] * (x * params["layers"][0]["W"]).sum()
        return {"total": total, "rest": [params["layers"][1]["W"] * params["scale"][1]]}

    again = graphc.loads(graphc.dumps(f))
    assert digest(again) == digest(f)
    given = {"layers": [{"W": np.ones(3)}, {"W": np.full(3, 2.0)}], "scale": (3.0, 4.0)}
    found = again(np.arange(3.0), given)
    assert found.total == 9.0
    np.testing.assert_array_equal(found.rest[0], [8.0] * 3)
    assert [node.params.path for node in again.inputs] == [node.params.path for node in f.inputs]


def test_gradient_graphs_survive():
    @graphc.trace(x="f32[batch, 4]", y="i64[batch]", W=graphc.param("f32[4, 3]"))
    def loss(x, y, W):
        return graphc.cross_entropy(np.maximum(x @ W, 0), y).mean()

    for graph in (graphc.vjp(loss), graphc.value_and_grad(loss), graphc.grad(graphc.grad(cube()))):
        assert digest(graphc.loads(graphc.dumps(graph))) == digest(graph)


def cube():
    @graphc.trace(x="f64")
    def f(x):
        return x * x * np.sin(x)

    return f


def test_a_primitive_cannot_be_written():
    @graphc.primitive(result=lambda x: x)
    def twice(x):
        return 2 * x, None

    @graphc.trace(x="f64")
    def f(x):
        return twice(x)

    with pytest.raises(graphc.GraphTypeError, match=r"'twice' .* is Python code"):
        graphc.dumps(f)


def test_nodes_know_their_lines():
    graph = graphc.load(CIRCUIT)
    lines = {name: node.origin.line for name, node in graph.named.items()}
    text = CIRCUIT.read_text().splitlines()
    for name in ("x", "q", "f"):
        assert text[lines[name] - 1].startswith(f"{name} = ")


def test_lines_of_entries():
    text = (
        'a = 1\n# b = 2\n[t]  # x = 1\n"q \\"k" = """\nc = 3\n[no]\n"""\n'
        "d.e = [\n  1, # ]\n  2,\n]\n[t.'s.u']\nf = '''x\n'''\ng = { h = 1 }\n"
    )
    lines = {"a": 1, "t": 3, 't.q "k': 4, "t.d.e": 8, "t.s.u": 12, "t.s.u.f": 13, "t.s.u.g": 15}
    assert entry_lines(text) == lines
