"""From one process to the next: the same bytes, found again, without SymPy or networkx."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

TRACED = """
import graphc
import numpy as np

@graphc.trace(x="f64[batch, 4]", y="i64[batch]", W=graphc.param("f64[4, 3]"))
def loss(x, y, W):
    scores = np.tanh(x @ W)
    return graphc.cross_entropy(scores, y).mean()

graph = loss
arguments = (np.ones((2, 4)), np.array([0, 2]), np.ones((4, 3)))
"""

BUILT = """
import graphc

b = graphc.Builder("circuit")
x, y, z = b.inputs("x", "y", "z")
q = b.node("q", x + y)
b.output("f", q * z)
graph = b.build()
arguments = (-2.0, 5.0, -4.0)
"""

REPORT = """
import json, sys
f = graphc.compile(graph)
value, grads = f.value_and_grad(*arguments)
flat = [float(g.sum()) if hasattr(g, "sum") else float(g) for g in grads]
heavy = sorted({"sympy", "networkx", "mpmath", "scipy"} & set(sys.modules))
print(json.dumps({"source": f.source, "found": [float(value), *flat], "heavy": heavy}))
"""


def run(folder, model, seed="0"):
    environment = os.environ | {
        "GRAPHC_CACHE_DIR": str(folder),
        "PYTHONPATH": str(ROOT),
        "PYTHONHASHSEED": seed,
    }
    script = folder.parent / "model.py"
    script.write_text(model + REPORT, encoding="utf-8")
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def files(folder):
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


PERCEPTRON = """
import numpy as np
import graphc

@graphc.trace(x="f64[3, n]", target="f64[1, n]", W1="f64[4, 3]", W2="f64[1, 4]", b="f64[1, 1]")
def graph(x, target, W1, W2, b):
    hidden = graphc.sigmoid(W1 @ x)
    return (((W2 @ np.tanh(hidden) + b - target) / 0.5) ** 2).mean() / 2

rng = np.random.default_rng(0)
arguments = [rng.normal(size=size) for size in ((3, 2), (1, 2), (4, 3), (1, 4), (1, 1))]
"""


def test_a_first_compile_of_table_ops_derives_nothing(folder):
    """Their derivations are recorded, those of the partials that folding evaluates too."""
    assert not {"sympy", "mpmath"} & set(run(folder, PERCEPTRON)["heavy"])


@pytest.mark.parametrize("model", [TRACED, BUILT], ids=["traced", "built"])
def test_the_second_process_finds_the_entry_and_loads_no_heavy_library(folder, model):
    cold = run(folder, model)
    before = files(folder)
    assert any(name.endswith(".py") for name in before)
    warm = run(folder, model)
    assert files(folder) == before, "nothing was written again"
    assert warm["heavy"] == []
    assert warm["source"] == cold["source"]
    assert warm["found"] == cold["found"]


@pytest.mark.parametrize("model", [TRACED, BUILT], ids=["traced", "built"])
def test_the_source_is_the_same_under_every_hash_seed_and_place(tmp_path, model):
    sources = set()
    for seed, text in (("0", model), ("1", model), ("4242", "# a line more\n\n" + model)):
        place = tmp_path / seed
        place.mkdir()
        sources.add(run(place / "cache", text, seed)["source"])
    assert len(sources) == 1


def test_a_line_above_the_declaration_finds_the_same_entry(folder):
    run(folder, TRACED)
    before = files(folder)
    run(folder, "# a line more\n" + TRACED)
    assert files(folder) == before


def test_a_damaged_entry_is_compiled_anew(folder):
    cold = run(folder, BUILT)
    for path in folder.glob("*.py"):
        path.write_text(path.read_text() + "\nraise SystemExit('not what was stored')\n")
    again = run(folder, BUILT)
    assert again["source"] == cold["source"]
    assert again["found"] == cold["found"]
