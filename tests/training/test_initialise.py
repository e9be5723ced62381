"""Starting values: structure, types, distributions; and parameters in files."""

import json
import math
import runpy
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import safetensors.numpy

import graphc

init = graphc.initialisers
NETS = runpy.run_path(str(Path(__file__).parent / "nets.py"))
net, nested = NETS["net"], NETS["nested"]


def test_params_have_the_declared_types_and_structure():
    found = graphc.init_params(net("f32"), 7)
    assert {name: (a.shape, a.dtype.name) for name, a in found.items()} == {
        "W1": ((8, 16), "float32"),
        "b1": ((16,), "float32"),
        "W2": ((16, 3), "float32"),
        "b2": ((3,), "float32"),
    }
    assert not found["b1"].any()
    assert [list(layer) for layer in graphc.init_params(nested())["layers"]] == [["W", "b"]] * 2


def test_a_parameter_s_numbers_depend_on_seed_and_name_alone():
    def loss(x, W1, W2):
        return (x @ W1 @ W2).sum()

    types = {"x": "f64[n, 8]", "W1": graphc.param("f64[8, 16]", init=init.he_normal())}
    other = graphc.trace(loss, **types, W2=graphc.param("f64[16, 2]", init=init.ones()))
    same = graphc.init_params(other, 7)["W1"]
    np.testing.assert_array_equal(same, graphc.init_params(net(), 7)["W1"])
    assert not np.array_equal(same, graphc.init_params(net(), 8)["W1"])


def test_named_sizes_are_given():
    loss = graphc.trace(
        lambda W: (W * W).sum(), graphc.param("f64[hidden, 2*hidden]", init=init.normal())
    )
    assert graphc.init_params(loss, sizes={"hidden": 3})["W"].shape == (3, 6)
    with pytest.raises(
        graphc.GraphValueError, match=r"W is f64\[hidden, 2\*hidden\]: give the size"
    ):
        graphc.init_params(loss)


def made(initialiser, shape=(400, 300)):
    return initialiser(np.random.default_rng(0), shape, np.dtype(np.float64))


@pytest.mark.parametrize(
    ("initialiser", "shape", "variance"),
    [
        (init.he_normal(), (400, 300), 2 / 400),
        (init.he_uniform(), (400, 300), 2 / 400),
        (init.he_normal(layout="out,in"), (400, 300), 2 / 300),
        (init.he_normal(), (64, 32, 5, 5), 2 / (32 * 25)),
        (init.glorot_normal(), (400, 300), 2 / 700),
        (init.glorot_uniform(), (400, 300), 2 / 700),
        (init.glorot_uniform(), (64, 32, 5, 5), 2 / (96 * 25)),
        (init.normal(0.5), (400, 300), 0.25),
        (init.uniform(-1, 3), (400, 300), 16 / 12),
    ],
)
def test_variances(initialiser, shape, variance):
    found = made(initialiser, shape)
    assert found.shape == shape
    assert found.var() == pytest.approx(variance, rel=0.03)


def test_ranges_and_constants():
    assert np.abs(made(init.he_uniform())).max() <= math.sqrt(6 / 400)
    assert set(made(init.zeros()).flat) == {0.0}
    assert set(made(init.ones()).flat) == {1.0}
    assert made(init.uniform(2, 3)).min() >= 2


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (4, 2, 3)])
def test_orthogonal(shape):
    matrix = made(init.orthogonal(2.0), shape).reshape(shape[0], -1)
    small = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(small, 4 * np.eye(len(small)), atol=1e-12)


def test_errors():
    loss = graphc.trace(lambda W: W.sum(), graphc.param("f64[3]"))
    with pytest.raises(graphc.GraphValueError, match="the parameter W has no initialiser: declare"):
        graphc.init_params(loss)
    assert set(graphc.init_params(loss, default=2)["W"]) == {2.0}
    with pytest.raises(
        graphc.GraphValueError, match="has no fan in and fan out: give vectors zeros"
    ):
        graphc.init_params(loss, default=init.he_normal())
    with pytest.raises(graphc.GraphTypeError, match="init='he': give a number, or one of"):
        graphc.param("f64", init="he")
    with pytest.raises(graphc.GraphTypeError, match="init_params takes a Graph"):
        graphc.init_params(len)


def test_an_initialiser_is_no_part_of_the_digest_but_survives_transformation():
    one, two = (
        graphc.trace(lambda w: (w * w).sum(), graphc.param("f64[3]", init=k)) for k in (1, 2)
    )
    assert graphc.init_params(graphc.grad(two), wrt="w")["w"][0] == 2
    assert str(one) == str(two)


# -- files -----------------------------------------------------------------------------------------


class Layer(NamedTuple):
    W: np.ndarray
    b: np.ndarray


PARAMS = {
    "layers": [Layer(np.eye(2, dtype=np.float32), np.zeros(2)), (np.arange(3), np.array(True))],
    "rate.of": 0.5,
    "empty": np.zeros((0, 3)),
}


def check_same(found):
    assert list(found) == list(PARAMS)
    np.testing.assert_array_equal(found["layers"][0][0], np.eye(2))
    assert found["layers"][0][0].dtype == np.float32
    assert found["layers"][1][0].dtype == np.int64
    assert isinstance(found["layers"][1], tuple)
    assert found["rate.of"] == 0.5
    assert found["empty"].shape == (0, 3)


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_files_keep_structure_shapes_and_dtypes(tmp_path, ending):
    path = tmp_path / f"p.{ending}"
    graphc.save_params(path, PARAMS)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    found = graphc.load_params(path)
    assert list(found["layers"][0]) == ["W", "b"], "a named tuple comes back as a dict"
    typed = graphc.load_params(path, like=PARAMS)
    assert isinstance(typed["layers"][0], Layer)
    check_same(typed)
    found["layers"][0]["W"][0] = 7  # fresh and writable
    check_same(graphc.load_params(path, like=PARAMS))


def test_other_programs_read_the_files(tmp_path):
    graphc.save_params(tmp_path / "p.npz", PARAMS)
    with np.load(tmp_path / "p.npz", allow_pickle=False) as plain:
        np.testing.assert_array_equal(plain["layers.0.W"], np.eye(2))
    graphc.save_params(
        tmp_path / "p.safetensors", {"W": np.arange(6.0).reshape(2, 3).T, "c": [1.5]}
    )
    plain = safetensors.numpy.load_file(tmp_path / "p.safetensors")
    np.testing.assert_array_equal(plain["W"], [[0, 3], [1, 4], [2, 5]])
    assert plain["c.0"] == 1.5


def test_a_file_that_does_not_fit_is_refused(tmp_path):
    path = tmp_path / "p.npz"
    graphc.save_params(path, {"W": np.zeros((2, 3))})
    with pytest.raises(graphc.GraphValueError, match=r"W is float64\[2, 3\]; expected float32"):
        graphc.load_params(path, like={"W": np.zeros((2, 3), np.float32)})
    with pytest.raises(graphc.GraphValueError, match="has no 'V'; expected: V"):
        graphc.load_params(path, like={"V": np.zeros((2, 3))})


def test_nothing_is_unpickled(tmp_path):
    path = tmp_path / "p.npz"
    np.savez(path, W=np.array([{}], dtype=object))
    with pytest.raises(graphc.GraphValueError, match="allow_pickle"):
        graphc.load_params(path)


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_a_damaged_file_is_refused_in_one_line(tmp_path, ending):
    path = tmp_path / f"p.{ending}"
    graphc.save_params(path, PARAMS)
    whole = path.read_bytes()
    for part in (b"", b"no such format", whole[: len(whole) // 2]):
        path.write_bytes(part)
        with pytest.raises(graphc.GraphValueError, match="is no file of parameters") as raised:
            graphc.load_params(path)
        assert "\n" not in str(raised.value)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        graphc.load_params(path)


def test_a_structure_that_was_edited_is_refused(tmp_path):
    path = tmp_path / "p.npz"
    for text in ("{", json.dumps(["module", {}]), json.dumps(["dict", {"V": None}]), "3"):
        np.savez(path, **{"graphc structure": np.array(text), "W": np.zeros(1)})
        with pytest.raises(graphc.GraphValueError, match="its structure cannot be read"):
            graphc.load_params(path)


def test_a_file_of_another_program_is_a_dict(tmp_path):
    np.savez(tmp_path / "p.npz", a=np.ones(2), b=np.ones(1))
    assert list(graphc.load_params(tmp_path / "p.npz")) == ["a", "b"]
    safetensors.numpy.save_file({"a": np.ones(2), "b": np.ones(1)}, tmp_path / "p.safetensors")
    assert list(graphc.load_params(tmp_path / "p.safetensors")) == ["a", "b"]


def test_what_is_no_array_and_no_ending(tmp_path):
    with pytest.raises(graphc.GraphTypeError, match="W is str; parameters are arrays of numbers"):
        graphc.save_params(tmp_path / "p.npz", {"W": "no"})
    with pytest.raises(graphc.GraphValueError, match=r"kept in \.npz or \.safetensors"):
        graphc.save_params(tmp_path / "p.pickle", PARAMS)
    with pytest.raises(graphc.GraphTypeError, match="no parameters to save"):
        graphc.save_params(tmp_path / "p.npz", {})
    assert not list(tmp_path.iterdir())


def test_safetensors_without_its_library_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(graphc.GraphError, match=r"pip install 'graphc\[safetensors\]'; \.npz"):
        graphc.save_params(tmp_path / "p.safetensors", {"W": np.ones(2)})
    assert not list(tmp_path.iterdir())
