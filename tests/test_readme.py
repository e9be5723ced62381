"""The README is true: its Python runs, in order and in one namespace, and prints what it shows.

A `text` block holds what the `python` block before it prints; an `error` block, the message of the
GraphError that it raises, as if the block were a file `model.py`; a `console` block, commands and
what they print (`make` is left to `make demo`); the `toml` block is the file it claims to be.

`pytest tests/test_readme.py --update-golden` writes what is printed now, for a person to review.
"""

import contextlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import graphc

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: its language, its text, and where that begins, as a line and a character."""

    language: str
    text: str
    line: int
    start: int


def blocks():
    text = README.read_text(encoding="utf-8")
    return [
        Block(match[1], match[2], text.count("\n", 0, match.start(2)) + 1, match.start(2))
        for match in FENCE.finditer(text)
    ]


BLOCKS = blocks()
UPDATES = []


@pytest.fixture(scope="module", autouse=True)
def _write_updates():
    """Last block first, so that the places of the others stay right."""
    yield
    text = README.read_text(encoding="utf-8")
    for block, new in sorted(UPDATES, key=lambda update: -update[0].start):
        text = text[: block.start] + new + text[block.start + len(block.text) :]
    if UPDATES:
        README.write_text(text, encoding="utf-8")


@pytest.fixture
def shown(request):
    """`shown(block, printed)` compares, or notes what is to be written."""

    def compare(block, printed):
        if request.config.getoption("--update-golden"):
            UPDATES.append((block, printed))
        else:
            assert printed == block.text, f"README.md:{block.line}"

    return compare


def run(block, file, namespace):
    """What a block prints. Its lines are those of README.md, so that a failure points at them."""
    before = 0 if file == "model.py" else block.line - 1
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        exec(compile("\n" * before + block.text, file, "exec"), namespace)
    return stream.getvalue()


def test_the_python_runs_and_prints_what_is_shown(monkeypatch, shown):
    monkeypatch.chdir(ROOT)
    namespace = {"__name__": "readme"}
    for block, following in zip(BLOCKS, [*BLOCKS[1:], Block("", "", 0, 0)], strict=True):
        if block.language != "python":
            continue
        if following.language == "error":
            with pytest.raises(graphc.GraphError) as raised:
                run(block, "model.py", namespace)
            shown(following, f"{raised.value}\n")
        elif following.language == "text":
            shown(following, run(block, "README.md", namespace))
        else:
            assert run(block, "README.md", namespace) == "", f"README.md:{block.line}"


CONSOLE = [block for block in BLOCKS if block.language == "console" and "$ make" not in block.text]


@pytest.mark.parametrize("block", CONSOLE, ids=lambda block: f"line {block.line}")
def test_the_commands_print_what_is_shown(block, shown):
    printed = ""
    for command in re.findall(r"^\$ (.*)$", block.text, flags=re.MULTILINE):
        name, *arguments = shlex.split(command)
        assert name == "graphc"
        done = subprocess.run(
            [sys.executable, "-m", "graphc", *arguments], cwd=ROOT, capture_output=True, text=True
        )
        assert done.stderr == ""
        printed += f"$ {command}\n{done.stdout}"
    shown(block, printed)


def test_the_text_form_is_the_example_file():
    (block,) = (block for block in BLOCKS if block.language == "toml")
    file = (ROOT / "examples" / "circuit.toml").read_text(encoding="utf-8")
    assert block.text == "".join(line for line in file.splitlines(True) if not line.startswith("#"))


def test_every_file_it_names_is_there():
    """A path in backticks is a path from the root, or a name in the folder of the path before."""
    text = README.read_text(encoding="utf-8")
    missing = []
    folder = ""
    for name in re.findall(r"`([\w/]+(?:\.py|\.md|\.toml|/))`", text):
        if "/" in name:
            folder = name.rpartition("/")[0]
        if not any((ROOT / place / name).exists() for place in ("", folder)):
            missing.append(name)
    assert not missing


def rows(heading):
    """The cells of the tables below a heading, without their first lines."""
    text = (
        README.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    )
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_systems_are_sixteen_commands_that_can_be_run():
    table = [row for row in rows("The systems") if row[0].isdecimal()]
    assert [row[0] for row in table] == [str(k) for k in range(1, 17)]
    for _, _, command, time, result in table:
        program, *arguments = shlex.split(command.strip("`"))
        file = next(word for word in arguments if word.startswith("examples/"))
        assert (ROOT / file).is_file()
        assert (program, file.rpartition(".")[2]) in [("python", "py"), ("graphc", "toml")]
        assert re.fullmatch(r"[\d.]+ s", time)
        assert result


def test_every_example_is_in_a_table():
    shown = " ".join(" ".join(row) for row in rows("The systems"))
    examples = [*(ROOT / "examples").glob("*.py"), *(ROOT / "examples").glob("*.toml")]
    missing = [file.name for file in examples if f"examples/{file.name}" not in shown]
    assert not missing
