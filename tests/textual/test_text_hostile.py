"""Graph files that are wrong, or mean harm: one line each, naming the culprit, and quickly."""

from __future__ import annotations

import os

import numpy as np
import pytest

import graphc
from graphc.errors import GraphError
from graphc.textual import limits
from graphc.textual.data import sha256_of, to_npy

HEAD = 'graphc = 1\n[inputs]\nx = "f64[n, 3]"\ny = "f64"\ni = "i64[3]"\n'
OUT = '\n[outputs]\no = "y"\n'


def message(text):
    with pytest.raises(GraphError) as caught:
        graphc.loads(text)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("graph file")
    return line


FORMULAS = {
    "tanj(x)": "unknown function 'tanj'; did you mean 'tan'?",
    "tanh(xx)": "unknown name 'xx'; did you mean 'x'?",
    "layer.W + 1": "unknown name 'layer.W'",
    "a + b": "unknown name 'b'",
    "__import__('os')": "unknown function '__import__'",
    "x.__class__": "no attribute '__class__'",
    "x.tofile('a')": "no method 'tofile'",
    "(lambda: x)()": "Lambda is not part of the formula language",
    "[x for k in x]": "ListComp is not part",
    "(z := x)": "NamedExpr is not part",
    "f'{x}'": "JoinedStr is not part",
    "{1: x}": "Dict is not part",
    "sum(*x)": "Starred is not part",
    "sum(**x)": "** is not part",
    "await x": "Await is not part",
    "np.exp(x)": "write `exp(...)`, without a module",
    "x) + (x": "not one expression in balanced brackets",
    "x +": "column 1",
    "x, y": "not one expression",
    "": "an empty formula",
    "x + 9**9**9": "beyond 64 bits",
    "x * 9.0**9.0**9.0": "too large for a float",
    "x * (-1) ** 0.5": "a complex number",
    "x * (1 / 0)": "division of numbers by zero",
    "x + 1j": "integers and floats",
    "x * 99999999999999999999": "beyond 64 bits",
    "(1,) * 1000000000": "multiply takes values and numbers",
    "'a' * 1000000000": "multiply takes values and numbers",
    "x + 'a'": "not str",
    "x + None": "not NoneType",
    "x @ x": "inner dimensions 3 and n differ",
    "x @ 2": "a scalar operand",
    "2 @ 3": "@ takes arrays",
    "x[5, 7]": "out of range",
    "3[0]": "only values and shapes are indexed",
    "x.shape": "one array or number",
    "tanh(x, y)": "is given 2 operand(s)",
    "tanh(z=x)": "takes no keywords",
    "sum(x, axes=0)": "unexpected keyword argument 'axes'",
    "sum(x, axis=5)": "axis 5",
    "sum(x, axis=(0, 0))": "an axis twice",
    "max(x, 0)": "write maximum(a, b), or pass axis=",
    "sum(x) / (1 / n)": "sizes take + - * // %",
    "reshape(x, (4,))": "reshape",
    "reshape(x, ('evil()',))": "a size is an integer expression",
    "one_hot(i, 100000000000)": "too large",
    "tile(x, 100000000)": "too large",
    "arange(100000000000)": "too many",
    "mean([1, 2])": "no operand is a value of the graph",
    "gather(x, (y,))": "must be integer",
    "slice(x, (0, 0), (n, 9), (1, 1))": "positions 0 to 8 of 3",
    "contract('[i,j] = [i,k]', x, x)": "1 operands, 2 are given",
    "contract('[i] = [i,j]; import', x)": "is written [i,j] = [i,k] * [k,j]",
    "contract('[i] = [i,j]', x, sizes=(('i', n), ('j', 9)))": "differ in size",
    "contract('[i] = [i,j]', x, body='a0.b', sizes=(('i', n), ('j', 3)))": "no attributes",
    "size(x)": "a size is an integer expression",
    "(" * 150 + "x" + ")" * 150 + " + 1": "",
    "(" * 5000 + "x" + ")" * 5000: "nested",
    "-" * 5000 + "x": "cannot be read",
    "x + " * 3000 + "x": "cannot be read",
    "x + " * 500 + "x": "nested deeper than",
    "x + " * 6000 + "x": "the limit is",
    "x" + ".T" * 3000: "cannot be read",
    "x + " + "9" * 5000: "Exceeds the limit",
}


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_that_is_wrong(formula):
    text = f'{HEAD}[nodes]\na = "y + 1"\nbad = "{formula}"{OUT}'
    if not FORMULAS[formula]:  # deep, but within what a formula may be
        assert graphc.loads(text)
        return
    line = message(text)
    assert FORMULAS[formula] in line
    if "differ in size" not in line:  # found when the whole graph is verified
        assert line.startswith("graph file:8: ")


FILES = {
    "unbounded recursion": (
        '[functions]\na = "(x) -> b(x)"\nb = "(x) -> a(x)"\n[nodes]\no = "a(y)"',
        "functions are expanded and may not recurse: a -> b -> a",
    ),
    "laughs": (
        "[functions]\n"
        + 'g0 = "(a) -> a + a"\n'
        + "".join(f'g{k} = "(a) -> g{k - 1}(a) + g{k - 1}(a)"\n' for k in range(1, 40))
        + '[nodes]\no = "g39(y)"',
        "terms, functions expanded",
    ),
    "deep calls": (
        "[functions]\n"
        + 'g0 = "(a) -> a"\n'
        + "".join(
            f'g{k} = "(a) -> {"-" * 90}g{k - 1}(a)"\n' for k in range(1, limits.MAX_CALLS - 1)
        )
        + f'[nodes]\no = "g{limits.MAX_CALLS - 2}(y)"',
        "nested too deeply",
    ),
    "many calls": (
        "[functions]\n"
        + 'g0 = "(a) -> a"\n'
        + "".join(f'g{k} = "(a) -> g{k - 1}(a)"\n' for k in range(1, 80))
        + '[nodes]\no = "g79(y)"',
        "called deeper than",
    ),
    "wrong arguments": (
        '[functions]\nf = "(a, b) -> a + b"\n[nodes]\no = "f(y)"',
        "f(a, b) takes 2 argument(s), got 1",
    ),
    "no function": ('[functions]\nf = "a + b"', "is written `(x, y) -> formula`"),
    "a function sees no nodes": (
        '[functions]\nf = "(a) -> a + y"\n[nodes]\no = "f(y)"',
        "unknown name 'y'",
    ),
    "cycle": (
        '[nodes]\nb = "a + y"\na = "c * 2"\nc = "b"',
        "graph file:7: cycle: b -> a -> c -> b",
    ),
    "self": ('[nodes]\na = "a + 1"', "cycle: a -> a"),
    "twice": ('[nodes]\nx = "y"', "'x' is declared in [inputs] already"),
    "shadowed op": ('[ops]\ntanh = "x"', "graphc has one of that name"),
    "bad op": ('[ops]\nf = "x +* 2"', "column 4"),
    "op without fields": ('[ops]\nf = { formula = "x" }', "args = are needed"),
    "op field": ('[ops]\nf = { formula = "x", args = ["x"], color = 1 }', "unknown field 'color'"),
    "op definition": (
        '[ops]\nf = { formula = "x", args = ["x"], definition = "os.x" }',
        "no attributes",
    ),
    "names": ('[names]\nzz = "q"', "[names]: no value 'zz'"),
    "name twice": ('[nodes]\n_1 = "y"\n_2 = "y"\n[names]\n_1 = "q"\n_2 = "q"', "another value"),
    "example": ("[example]\nz = 1", "[example]: no input 'z'"),
    "text as a constant": ('[constants]\nc = "abc"', "not text"),
    "a date": ("[constants]\nc = 1979-05-27", "is no value"),
    "ragged": ("[constants]\nc = [[1, 2], [3]]", "differ in length"),
    "deep list": ("[constants]\nc = " + "[" * 40 + "]" * 40, "nested deeper than 32"),
    "deeper list": ("[constants]\nc = " + "[" * 9000 + "]" * 9000, "nested too deeply"),
    "huge integer": ("[constants]\nc = " + "9" * 5000, "Exceeds the limit"),
    "large integer": ("[constants]\nc = 99999999999999999999", "beyond 64 bits"),
    "dtype": ('[constants]\nc = { dtype = "f16", value = 1 }', "use one of"),
    "shape": ('[constants]\nc = { dtype = "f64", shape = [9999999999], bytes = "" }', "sizes"),
    "bytes": ('[constants]\nc = { dtype = "f64", bytes = "00" }', "do not fill"),
    "file": ('[constants]\nc = { file = "a.npy" }', "needs a folder"),
    "arguments": ('[arguments]\nx = "x"', "[arguments] holds every input once"),
    "container": ('[arguments]\nx = { class = "os.system" }', "a container is"),
    "record": (
        '[arguments]\nx = { namedtuple = "a b", fields = [["x", "x"], ["y", "y"]] }',
        "a named tuple with the name 'a b'",
    ),
    "table": ("[node]\na = 1", "unknown table 'node'; did you mean 'nodes'?"),
    "no table": ("nodes = 3", "unknown"),
    "number as formula": ("[nodes]\na = 3", "nodes: a is text, not 3"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_wrong(case):
    body, expected = FILES[case]
    if case == "no table":
        text = 'graphc = 1\nnodes = 3\n[inputs]\nx = "f64"\n'
        expected = "nodes is a table: [nodes]"
    else:
        text = HEAD + body + OUT
    assert expected in message(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "no graph file"),
        ("graphc = 2", "format version 2; this graphc reads 1"),
        ("graphc = true", "the version is an integer"),
        ("graphc = 1\n", "no output"),
        ("graphc = 1\nname = 3\n", "name is text"),
        ("graphc = 1\n[nodes\n", "graph file:2: not TOML"),
        ("graphc = 1\na.b.c = 1\n", "unknown table 'a'"),
        ('graphc = 1\n[inputs]\nx = "f46"' + OUT, "graph file:3: type 'f46'"),
        ('graphc = 1\n[inputs]\nx = "f64[((((n)"' + OUT, "graph file:3"),
        ('graphc = 1\n[inputs]\nx = "f64[' + "(n+m)*" * 200 + '1]"' + OUT, "a type of"),
        ('graphc = 1\n[inputs]\nx = "f64[' + "1, " * 40 + '1]"' + OUT, "cannot be read"),
        ('graphc = 1\n[inputs]\n_1 = "f64"' + OUT, "an input needs a name"),
    ],
)
def test_no_graph_file(text, expected):
    assert expected in message(text)


def test_control_characters_do_not_reach_the_terminal():
    line = message(HEAD + '[nodes]\no = "x + \\u001b[31m"' + OUT)
    assert line.isprintable()


def test_bytes_are_limited(monkeypatch, tmp_path):
    monkeypatch.setattr(limits, "MAX_BYTES", 100)
    (tmp_path / "g.toml").write_text(HEAD + "#" * 100)
    with pytest.raises(graphc.GraphValueError, match="longer than 100 bytes"):
        graphc.load(tmp_path / "g.toml")


def test_no_such_file(tmp_path):
    with pytest.raises(graphc.GraphValueError, match="No such file"):
        graphc.load(tmp_path / "none.toml")
    with pytest.raises(graphc.GraphValueError, match="Is a directory"):
        graphc.load(tmp_path)
    (tmp_path / "g.toml").write_bytes(b"graphc = 1\nname = '\xff'\n")
    with pytest.raises(graphc.GraphSyntaxError, match=r"g\.toml:2: not UTF-8"):
        graphc.load(tmp_path / "g.toml")


# -- data files ------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    return inside


def refused(folder, data, expected, *, file="m.npy", stated=None, name="m.npy"):
    if data is not None:
        (folder / name).write_bytes(data)
    digest = stated or sha256_of(data or b"")
    entry = f'm = {{ file = "{file}", sha256 = "{digest}" }}'
    (folder / "g.toml").write_text(f"{HEAD}[constants]\n{entry}{OUT}")
    with pytest.raises(GraphError) as caught:
        graphc.load(folder / "g.toml")
    assert expected in str(caught.value)
    assert str(caught.value).startswith("g.toml:7: m: ")
    assert "\n" not in str(caught.value)


def npy(**header):
    """An .npy file with a header of our own and eight bytes of data."""
    fields = {"descr": "<f8", "fortran_order": False, "shape": (1,)} | header
    text = repr(fields).encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(8)


def test_the_hash_is_checked(folder):
    refused(folder, to_npy(np.ones(3)), "has changed", stated="0" * 64)


def test_the_hash_is_needed(folder):
    (folder / "m.npy").write_bytes(to_npy(np.ones(3)))
    (folder / "g.toml").write_text(f'{HEAD}[constants]\nm = {{ file = "m.npy" }}{OUT}')
    with pytest.raises(graphc.GraphSyntaxError, match="the hash is missing: sha256 = "):
        graphc.load(folder / "g.toml")


def test_files_stay_in_the_folder(folder):
    data = to_npy(np.ones(3))
    (folder.parent / "m.npy").write_bytes(data)
    refused(folder, None, "outside the graph file's folder", file="../m.npy")
    absolute = str(folder.parent / "m.npy")
    refused(folder, None, "outside the graph file's folder", file=absolute)
    os.symlink(folder.parent / "m.npy", folder / "link.npy")
    refused(folder, None, "outside the graph file's folder", file="link.npy")
    os.symlink(folder.parent, folder / "up")
    refused(folder, None, "outside the graph file's folder", file="up/m.npy")


def test_a_link_within_the_folder_is_followed(folder):
    data = to_npy(np.ones(3))
    (folder / "real.npy").write_bytes(data)
    os.symlink("real.npy", folder / "m.npy")
    entry = f'm = {{ file = "m.npy", sha256 = "{sha256_of(data)}" }}'
    (folder / "g.toml").write_text(f'{HEAD}[constants]\n{entry}\n[outputs]\no = "m * y"\n')
    assert graphc.load(folder / "g.toml").named["m"].params.value.tolist() == [1.0] * 3


def test_only_arrays_of_numbers_are_read(folder):
    import io
    import pickle

    stream = io.BytesIO()
    np.save(stream, np.array([{}], dtype=object), allow_pickle=True)
    refused(folder, stream.getvalue(), "Python objects")
    refused(folder, pickle.dumps(3), "is no .npy file")
    refused(folder, pickle.dumps(3), "is no .npy file", file="m.pkl", name="m.pkl")
    refused(folder, to_npy(np.ones(3, np.complex128)), "not supported")
    refused(folder, to_npy(np.ones(3, dtype="f8,i4")), "not supported")
    refused(folder, b"", "is no .npy file")
    os.mkfifo(folder / "pipe.npy")
    refused(folder, None, "no regular file", file="pipe.npy")
    refused(folder, None, "No such file", file="none.npy")


def test_headers_that_lie(folder):
    refused(folder, npy(shape=(10**15,)), "more than")
    refused(folder, npy(shape=(2,)), "shorter or longer than its header")
    refused(folder, npy(shape=(-1,)), "header")
    refused(folder, npy(shape="x"), "is no .npy file")
    refused(folder, npy(descr="|O"), "Python objects")
    refused(folder, npy()[:40], "is no .npy file")


def test_data_files_are_limited(folder, monkeypatch):
    from graphc.textual import data

    monkeypatch.setattr(data, "MAX_FILE_BYTES", 100)
    refused(folder, to_npy(np.ones(3)), "larger than 100 bytes")
