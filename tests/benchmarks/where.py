"""Where the time of an emitted function goes: each statement's share, alike ones together."""

from __future__ import annotations

import ast
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# A clock reading beside every statement costs what a small statement costs.
SHORTEST = 20e-6


def shares(compiled: Any, arguments: tuple[Any, ...], runs: int = 20) -> list[tuple[float, str]]:
    """(share of the time, statement) of value_and_grad, the largest first.

    Statements that differ in numbers alone (those of the steps of a loop) count together. Loops are
    one statement.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "exported.py")
        compiled.export(path)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        scope: dict[str, Any] = {"__name__": "exported", "__file__": str(path)}
        taken, texts = _timed(tree, scope)
        exec(compile(tree, str(path), "exec"), scope)
        step = scope["value_and_grad"]
        step(*arguments)
        taken[:] = [0.0] * len(taken)
        for _ in range(runs):
            step(*arguments)
    found: Counter[str] = Counter()
    for text, seconds in zip(texts, taken, strict=True):
        found[text] += seconds
    total = sum(taken)
    return [(seconds / total, text) for text, seconds in found.most_common()]


def _timed(tree: ast.Module, scope: dict[str, Any]) -> tuple[list[float], list[str]]:
    """Puts a clock reading after each statement of value_and_grad; (seconds, texts) of each."""
    function = next(
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name == "value_and_grad"
    )
    taken: list[float] = []
    texts: list[str] = []
    scope["_read"] = _clock(taken)
    body: list[ast.stmt] = list(ast.parse("_read(-1)").body)
    for statement in _statements(function.body):
        body.append(statement)
        documents = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if documents or isinstance(statement, ast.Return):
            continue
        body += ast.parse(f"_read({len(texts)})").body
        first = ast.unparse(statement).split("\n", 1)[0]
        texts.append(
            "checks of the arguments" if isinstance(statement, ast.If) else _general(first)
        )
        taken.append(0.0)
    function.body = body
    ast.fix_missing_locations(tree)
    return taken, texts


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements in order, also those that a buffer's size is set for."""
    for statement in body:
        if isinstance(statement, ast.Try) and not statement.handlers:
            yield from _statements(statement.body)
        else:
            yield statement


def _general(text: str) -> str:
    """The statement without the numbers that loops give to names, shortened."""
    text = re.sub(r"_\d+\b", "_k", text)
    return text if len(text) <= 60 else text[:57] + "..."


def _clock(taken: list[float]) -> Any:
    last = [0.0]
    clock = time.perf_counter

    def read(index: int) -> None:
        now = clock()
        if index >= 0:
            taken[index] += now - last[0]
        last[0] = clock()

    return read


def words(compiled: Any, arguments: tuple[Any, ...], seconds: float) -> str:
    """The profile as a sentence; of a very short call, what it consists of."""
    own = compiled.source.partition("def value_and_grad(")[2].partition("\ndef ")[0]
    if "    try:\n" in own:
        return "arithmetic on Python floats throughout; of a short call, also checks and the result"
    if seconds < SHORTEST:
        return "calls of NumPy and checks of the arguments, each of which costs more than its work"
    found = shares(compiled, arguments)
    parts = [f"{share:.0%} `{text}`" for share, text in found[:4] if share >= 0.04]
    return ", ".join(parts) if parts else f"spread over {len(found)} statements"
