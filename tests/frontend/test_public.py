"""The public names, and what importing them costs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import graphc


@pytest.mark.parametrize("name", graphc.__all__)
def test_every_public_name_is_there(name):
    assert getattr(graphc, name) is getattr(graphc, name)
    assert name in dir(graphc)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        graphc.nothing  # noqa: B018


def test_declaring_imports_neither_sympy_nor_networkx():
    code = """
import sys, graphc, numpy as np
graphc.trace(lambda x: graphc.softmax(np.exp(x) @ x[0]), "f64[n, n]")
b = graphc.Builder("b"); b.output("f", b.input("x") * 2); b.build()
print(sorted(m for m in ("sympy", "networkx", "logging", "tomllib") if m in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_another_codegen_is_reported(tmp_path):
    root = Path(graphc.__file__).parent
    (tmp_path / "other" / "codegen").mkdir(parents=True)
    (tmp_path / "other" / "codegen" / "__init__.py").touch()
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "graphc").symlink_to(root)
    code = f"import sys; sys.path[:0] = [{str(tmp_path / 'other')!r}, {str(tmp_path / 'own')!r}]"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; import graphc"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "ImportError: graphc needs its own package `codegen`, and found another" in done.stderr


def test_declaring_is_the_same_in_every_process():
    code = """
import numpy as np, graphc
from graphc import canonical
conv = graphc.contraction("conv", "y[n,h] = x[n,2*h+p] * w[p]")
def model(params, x, i):
    h = x
    for W in params.values():
        h = np.tanh(np.einsum("...i,ij->...j", h, W))
    return {"a": conv(h, h[0]).sum() + h[i].std(), "b": np.moveaxis(h[None], 0, 1)}
inner = graphc.trace(model, {"u": "f64[d, d]", "v": "f64[d, d]"}, "f64[n, d]", "i64[k]")
types = "f64[m, 9]", "i64[k]", "f64[9, 9]"
outer = graphc.trace(lambda x, i, W: inner({"u": W, "v": W}, x, i), *types)
print(outer, canonical.digest(outer))
"""
    found = set()
    for seed in ("0", "1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        found.add(done.stdout)
    assert len(found) == 1
