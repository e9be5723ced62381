"""The command line: what it prints, and how it fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from graphc.cli import BAD_INPUT, STALE, main

ROOT = Path(__file__).resolve().parents[1]
CIRCUIT = str(ROOT / "examples" / "circuit.toml")
NEURON = str(ROOT / "examples" / "neuron.toml")

MODEL = """
import numpy as np
import graphc

@graphc.trace(x="f64[batch, 2]", W=graphc.param("f64[2]"))
def loss(x, W):
    h = np.tanh(x @ W)
    return (h * h).mean()

@graphc.primitive(result=lambda x: x)
def cube(x):
    return x**3, x

@cube.vjp
def _(saved, d_y):
    return 2 * saved**2 * d_y

@graphc.trace(x="f64")
def wrong(x):
    return cube(x)

class Holder:
    inner = loss

number = 3
"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    yield tmp_path / "model.py"
    sys.modules.pop("model", None)


def outcome(capsys, *arguments):
    """(status, stdout, stderr) of a command."""
    try:
        status = main(list(arguments))
    except SystemExit as leaving:
        status = leaving.code
    out, err = capsys.readouterr()
    return status, out, err


# -- what it does ----------------------------------------------------------------------------------


def test_run_prints_every_wire(capsys):
    status, out, err = outcome(capsys, "run", CIRCUIT)
    assert (status, err) == (0, "")
    assert [line.split() for line in out.splitlines()[2:]] == [
        ["x", "input", "-2", "-4"],
        ["y", "input", "5", "-4"],
        ["z", "input", "-4", "3"],
        ["q", "x", "+", "y", "3", "-4"],
        ["f", "q", "*", "z", "-12", "1"],
    ]


def test_set_goes_before_the_example(capsys):
    _, out, _ = outcome(capsys, "run", CIRCUIT, "--set", "x=-1.", "--set", "z = 2e0")
    assert out.splitlines()[-1].split() == ["f", "q", "*", "z", "8", "1"]


def test_run_takes_lists_and_dtypes(capsys, tmp_path):
    path = tmp_path / "g.toml"
    path.write_text(
        'graphc = 1\n[inputs]\nx = "f32[n]"\nk = "i64"\nb = "bool"\n[nodes]\n'
        's = "sum(x) * k if b else 0.0"\n[outputs]\ns = "s"\n[example]\nx = [1.5]\nb = false\n'
    )
    settings = ["--set", "x=[1, 2.5]", "--set", "k=2", "--set", "b=True"]
    status, out, err = outcome(capsys, "run", str(path), *settings)
    assert (status, err) == (0, "")
    assert out.splitlines()[-1].split()[-2:] == ["7", "1"]


def test_run_of_a_python_name(capsys, model):
    status, out, err = outcome(
        capsys, "run", "model:loss", "--set", "x=[[1,2]]", "--set", "W=[0,0]"
    )
    assert (status, err) == (0, "")
    assert out.splitlines()[-1].split()[0] == "loss"


@pytest.mark.parametrize("target", ["model:loss", "model.py:loss", "model:Holder.inner"])
def test_check_of_a_python_name(capsys, model, target):
    status, out, err = outcome(capsys, "check", target, "--size", "batch=4")
    assert (status, err) == (0, "")
    assert "8 of 8" in out


def test_check_finds_a_wrong_gradient(capsys, model):
    status, out, err = outcome(capsys, "check", "model:wrong", "--set", "x=2")
    assert (status, err) == (1, "")
    assert "DIFFERS" in out


def test_check_of_a_file(capsys):
    status, out, _ = outcome(capsys, "check", NEURON)
    assert status == 0
    assert out.count(" ok") == 5


def test_show_prints_the_source(capsys):
    status, out, err = outcome(capsys, "show", CIRCUIT)
    assert (status, err) == (0, "")
    compile(out, "shown", "exec")
    assert "def value_and_grad(x, y, z" in out


def test_show_by_one_input(capsys):
    _, whole, _ = outcome(capsys, "show", CIRCUIT)
    _, part, _ = outcome(capsys, "show", CIRCUIT, "--wrt", "x", "--of", "f")
    assert "d_z" in whole
    assert "d_z" not in part


def test_export_and_its_check(capsys, model):
    arguments = ["export", "model:loss", "-o", "grad.py"]
    assert outcome(capsys, *arguments, "--check")[0] == STALE
    assert outcome(capsys, *arguments) == (0, "", "")
    assert outcome(capsys, *arguments, "--check") == (0, "", "")
    # An unrelated line above the declaration changes nothing; another graph does.
    model.write_text("# a comment\n" + MODEL)
    sys.modules.pop("model")
    assert outcome(capsys, *arguments, "--check")[0] == 0
    model.write_text(MODEL.replace("np.tanh", "np.sin"))
    sys.modules.pop("model")
    status, out, err = outcome(capsys, *arguments, "--check")
    assert (status, out) == (STALE, "")
    assert err == "grad.py is stale: graphc export model:loss -o grad.py\n"


def test_an_export_stands_alone(capsys, model):
    outcome(capsys, "export", "model:loss", "-o", "grad.py")
    code = (
        "import sys; sys.modules['graphc'] = sys.modules['codegen'] = None\n"
        "import numpy as np, grad\n"
        "print(grad.value_and_grad(np.ones((1, 2)), np.zeros(2))[0])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(run.stdout) == 0.0


def test_the_cache(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(tmp_path / "cache"))
    status, out, _ = outcome(capsys, "cache", "info")
    assert status == 0
    assert str(tmp_path / "cache") in out
    assert outcome(capsys, "cache", "clear")[0] == 0


# -- how it fails ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "command"),
        (["rum"], "invalid choice: 'rum'"),
        (["run"], "target"),
        (["run", CIRCUIT, "--sat", "x=1"], "--sat"),
        (["run", "none.toml"], "none.toml: No such file"),
        (["run", str(ROOT)], "Is a directory"),
        (["run", "/dev/zero"], "longer than"),
        (["run", __file__], "say which graph of the module"),
        (["run", CIRCUIT, "--set", "x"], "--set x: write NAME=VALUE"),
        (["run", CIRCUIT, "--set", "x=abc"], "'abc' is no number and no list"),
        (["run", CIRCUIT, "--set", "x="], "is no number"),
        (["run", CIRCUIT, "--set", "x=1\ny=2"], "'1 y=2' is no number"),
        (["run", CIRCUIT, "--set", "x=[1, 2"], "is no number"),
        (["run", CIRCUIT, "--set", "x=" + "[" * 9000], "is no number"),
        (["run", CIRCUIT, "--set", "x={ a = 1 }"], "a value is a number or a list"),
        (["run", CIRCUIT, "--set", 'x=["a"]'], "is no value"),
        (["run", CIRCUIT, "--set", "x=[1, 2]"], "x should be f64"),
        (["run", CIRCUIT, "--set", "w=1"], "circuit has no input 'w'"),
        (["run", CIRCUIT, "--of", "g"], "has no output 'g'"),
        (["show", CIRCUIT, "--wrt", "w"], "'w'"),
        (["check", CIRCUIT, "--size", "n=3"], "has no size 'n'"),
        (["check", CIRCUIT, "--size", "n=x"], "write NAME=N"),
        (["check", "model:nothing"], "no graph 'nothing'"),
        (["check", "model:los"], "did you mean 'loss'? there are: loss"),
        (["check", "model"], "model: no such file; a graph is circuit.toml, pkg.model:loss or"),
        (["check", "model:number"], "model:number is no graph but int"),
        (["check", "model.py:loss.more"], "no graph 'more'"),
        (["check", "none.py:f"], "no such file"),
        (["check", "no_such_module:f"], "ModuleNotFoundError"),
        (["check", "broken:f"], "broken: SyntaxError"),
        (["check", "raising:f"], "raising: ValueError: first line"),
        (["check", "leaving:f"], "leaving: SystemExit"),
        (["run", "model:loss", "--set", "W=[1, 2]"], "the input 'x' has no value; pass --set x="),
        (["export", CIRCUIT], "-o"),
        (["export", CIRCUIT, "-o", "no/such/folder/grad.py"], "No such file or directory"),
        (["cache", "burn"], "invalid choice: 'burn'"),
    ],
)
def test_bad_input_is_one_line(capsys, model, tmp_path, arguments, expected):
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "raising.py").write_text("raise ValueError('first line\\nsecond')\n")
    (tmp_path / "leaving.py").write_text("raise SystemExit(7)\n")
    status, out, err = outcome(capsys, *arguments)
    assert status == BAD_INPUT
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("graphc")
    assert expected in err
    assert "Traceback" not in err
    # The place is the user's file, never a line of ours.
    assert "cli.py" not in err.replace("test_cli.py", "")
    assert "commands.py" not in err


@pytest.mark.parametrize("command", ["run", "show", "export", "check", "derivation", "cache"])
def test_help_has_an_example(capsys, command):
    status, out, _ = outcome(capsys, command, "--help")
    assert status == 0
    assert f"example:\n  graphc {command} " in out


def test_the_version(capsys):
    assert outcome(capsys, "--version")[1] == "graphc 0.1.0\n"


def test_a_broken_pipe_is_quiet():
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [sys.executable, "-m", "graphc", "run", NEURON],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    os.close(writing)
    assert process.stderr == ""
    assert process.returncode == 141


def test_names_that_the_terminal_cannot_print(tmp_path):
    path = tmp_path / "g.toml"
    path.write_text('graphc = 1\n[inputs]\n"größe" = "f64"\n[outputs]\no = "größe"\n', "utf-8")
    process = subprocess.run(
        [sys.executable, "-m", "graphc", "run", str(path), "--set", "größe=1"],
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"},
    )
    assert process.returncode == 0
    assert b"gr\\xf6\\xdfe" in process.stdout


def test_starting_up_is_light():
    code = (
        "import sys\nfrom graphc.cli import main\n"
        f"main(['run', {CIRCUIT!r}])\n"
        "print(sorted({'sympy', 'networkx', 'scipy', 'logging'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert run.stdout.endswith("[]\n")
