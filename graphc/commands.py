"""What each command of the command line does; `cli` reads the arguments.

Each returns an exit status and raises GraphError for bad input.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from graphc import ir
from graphc.errors import (
    GraphNameError,
    GraphSyntaxError,
    GraphTypeError,
    GraphValueError,
    location,
)
from graphc.ir import Node
from graphc.naming import unknown_name
from graphc.types import DTYPES, Size, substitute

Values = Mapping[str, np.ndarray[Any, Any]]
_RANDOM_SIZE = 3  # of a named size that nobody states


def run(target: str, settings: Sequence[str], of: str | None, local: bool = False) -> int:
    """Prints every node's value and gradient, and every gate's local gradients if asked for."""
    graph, example = _load(target)
    with _place(target):
        values = {**example, **_settings(graph, settings)}
    missing = [node.name for node in graph.inputs if node.name not in values]
    if missing:
        name = missing[0]
        raise GraphTypeError(
            f"{target}: the input {name!r} has no value; pass --set {name}=..., "
            "or state it in [example]"
        )
    with _place(target):
        print(graph.evaluate(of=of, **_arguments(graph, values)).table(local))
    return 0


def draw(target: str, output: str, settings: Sequence[str], of: str | None) -> int:
    """Writes a picture: of values and gradients where every input has a value, else of types."""
    graph, example = _load(target)
    with _place(target):
        values = {**example, **_settings(graph, settings)}
        if all(node.name in values for node in graph.inputs):
            graph.evaluate(of=of, **_arguments(graph, values)).draw(output)
        else:
            graph.draw(output)
    return 0


def show(target: str, wrt: str | None, of: str | None) -> int:
    """Prints the emitted source."""
    source: str = _compiled(target, wrt, of).source
    print(source, end="" if source.endswith("\n") else "\n")
    return 0


def export(target: str, output: str, wrt: str | None, of: str | None, check: bool) -> int:
    """Writes the emitted source, or says whether the file holds it already."""
    compiled = _compiled(target, wrt, of)
    if not check:
        compiled.export(output)
        return 0
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / os.path.basename(output)
        compiled.export(str(fresh))
        for made in sorted(Path(folder).iterdir()):
            current = Path(output).parent / made.name
            if not current.is_file() or not _same(current, made):
                print(f"{current} is stale: graphc export {target} -o {output}", file=sys.stderr)
                return 1
    return 0


def _same(a: Path, b: Path) -> bool:
    if a.suffix != ".npz":
        return a.read_bytes() == b.read_bytes()
    # An archive bears the time at which it was made; its arrays do not.
    with np.load(a, allow_pickle=False) as left, np.load(b, allow_pickle=False) as right:
        return sorted(left) == sorted(right) and all(
            left[name].dtype == right[name].dtype
            and left[name].shape == right[name].shape
            and left[name].tobytes() == right[name].tobytes()
            for name in left
        )


def check(target: str, settings: Sequence[str], sizes: Sequence[str], of: str | None) -> int:
    """Prints the gradients against numerical ones; 1 if one differs."""
    from graphc.inspect.check import gradient_report

    graph, example = _load(target)
    with _place(target):
        values = {**example, **_settings(graph, settings)}
        values |= _random(graph, values, _sizes(sizes))
        report = gradient_report(graph, values, of)
    print(report)
    return 0 if report.ok else 1


def cache(action: str) -> int:
    """Says where the cache is, or removes it."""
    from codegen import cache as store

    print(store.report() if action == "info" else store.clear())
    return 0


def derivation(name: str | None) -> int:
    """Prints what is known of a function's derivative; or of all, where they come from."""
    from graphc.inspect.provenance import of_function, provenance

    with _place("derivation"):
        print(provenance() if name is None else of_function(name))
    return 0


# -- graphs ----------------------------------------------------------------------------------------


def _load(target: str) -> tuple[Any, Values]:
    """The graph that a target names, and its example values."""
    if target.endswith(".py"):
        raise GraphSyntaxError(f"{target}: say which graph of the module: {target}:loss")
    if ":" not in target and not target.endswith(".toml") and not os.path.exists(target):
        raise GraphValueError(
            f"{target}: no such file; a graph is circuit.toml, pkg.model:loss or model.py:loss"
        )
    if target.endswith(".toml") or ":" not in target:
        from graphc.textual import read_file

        loaded = read_file(target)
        return loaded.graph, loaded.example
    from graphc.subjects import graph_of

    return graph_of(_object(target), target), {}


@contextmanager
def _place(target: str) -> Iterator[None]:
    """Errors name the target, not a line of Python: there is none of the user's.

    Only once the graph is there; while the user's module declares it, its own lines are the place.
    """
    token = location.set(os.path.basename(target))
    try:
        yield
    finally:
        location.reset(token)


def _compiled(target: str, wrt: str | None, of: str | None) -> Any:
    import graphc

    graph, _ = _load(target)
    names = None if wrt is None else tuple(name.strip() for name in wrt.split(","))
    with _place(target):
        return graphc.compile(graph, wrt=names, of=of)


def _object(target: str) -> Any:
    """`pkg.model:loss` or `model.py:loss`. The user's own module is run, as by `import`."""
    where, _, path = target.rpartition(":")
    module = _module(where)
    found: Any = module
    for name in path.split("."):
        if not hasattr(found, name):
            with _place(where):
                graphs = [n for n in dir(found) if _is_graph(getattr(found, n, None))]
                raise unknown_name("no graph", name, graphs)
        found = getattr(found, name)
    if not _is_graph(found):
        raise GraphTypeError(
            f"{target} is no graph but {type(found).__name__}; wrap it: graphc.trace(...)"
        )
    return found


def _is_graph(found: Any) -> bool:
    """Whether it is a graph, or a builder or compiled function that has one."""
    return isinstance(found, ir.Graph) or any(
        not isinstance(found, ModuleType) and hasattr(found, name) for name in ("build", "graph")
    )


def _module(where: str) -> ModuleType:
    try:
        if where.endswith(".py"):
            return _module_of_file(where)
        if os.getcwd() not in sys.path and "" not in sys.path:
            sys.path.insert(0, os.getcwd())
        return importlib.import_module(where)
    except (Exception, SystemExit) as error:  # whatever the user's module raises
        line = str(error).partition("\n")[0]
        raise GraphValueError(f"{where}: {type(error).__name__}: {line}") from error


def _module_of_file(where: str) -> ModuleType:
    if not os.path.isfile(where):
        raise FileNotFoundError(f"no such file: {where!r}")
    name = os.path.splitext(os.path.basename(where))[0]
    spec = importlib.util.spec_from_file_location(name, where)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import {where!r}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, os.path.dirname(os.path.abspath(where)))
    spec.loader.exec_module(module)
    return module


# -- values ----------------------------------------------------------------------------------------


def _settings(graph: ir.Graph, settings: Sequence[str]) -> Values:
    """`--set x=-2`: values are written as in a graph file."""
    import tomllib

    from graphc.textual.build import fitted
    from graphc.textual.data import read_value

    known = {node.name: node for node in graph.inputs}
    found: dict[str, np.ndarray[Any, Any]] = {}
    for given in settings:
        setting = " ".join(given.split())  # errors are one line
        name, equals, text = (part.strip() for part in setting.partition("="))
        if not equals or not name:
            raise GraphSyntaxError(f"--set {setting}: write NAME=VALUE, such as x=-2")
        if name not in known:
            raise unknown_name(f"--set: {graph.name} has no input", name, known)
        try:
            value = tomllib.loads(f"value = {_toml_number(text)}")["value"]
        except (tomllib.TOMLDecodeError, ValueError, RecursionError):
            raise GraphSyntaxError(
                f"--set {setting}: {text!r} is no number and no list; write {name}=-2 or "
                f"{name}=[1.0, 2.0]"
            ) from None
        if isinstance(value, dict | str):
            raise GraphSyntaxError(f"--set {setting}: a value is a number or a list")
        found[name] = fitted(read_value(f"--set {name}", value, None), known[name])
    return found


def _toml_number(text: str) -> str:
    """`-.5`, `2.` and `1e3` as TOML has them."""
    if text[:1] in "[{" or text.lower() in ("true", "false", "inf", "nan", "+inf", "-inf"):
        return text.lower() if text[:1] not in "[{" else text
    try:
        return str(int(text))
    except ValueError:
        return repr(float(text))


def _arguments(graph: ir.Graph, values: Values) -> dict[str, Any]:
    """Leaves by name as the arguments of a call."""
    from graphc.containers import unflatten

    scalars = {name: value[()] if value.ndim == 0 else value for name, value in values.items()}
    return {name: unflatten(container, scalars) for name, container in graph.arguments}


def _sizes(settings: Sequence[str]) -> dict[str, Size]:
    found: dict[str, Size] = {}
    for setting in settings:
        name, _, text = (part.strip() for part in setting.partition("="))
        if not name.isidentifier() or not text.isdecimal():
            raise GraphSyntaxError(f"--size {setting}: write NAME=N, such as batch=8")
        found[name] = int(text)
    return found


def _random(graph: ir.Graph, given: Values, sizes: Mapping[str, Size]) -> Values:
    """Values for the inputs that have none: normal numbers, zeros for integers."""
    from graphc.types import size_names

    names = {name for node in graph.inputs for size in node.type.shape for name in size_names(size)}
    for name in sizes:
        if name not in names:
            raise unknown_name(f"--size: {graph.name} has no size", name, sorted(names))
    bound = {**dict.fromkeys(sorted(names), _RANDOM_SIZE), **sizes}
    random = np.random.default_rng(0)
    return {
        node.name: _draw(random, node, bound) for node in graph.inputs if node.name not in given
    }


def _draw(random: np.random.Generator, node: Node, bound: Mapping[str, Size]) -> Any:
    shape = tuple(substitute(size, bound) for size in node.type.shape)
    known = tuple(size for size in shape if isinstance(size, int) and size >= 0)
    if len(known) != len(shape):
        raise GraphNameError(f"{node.name} {node.type}: state its sizes with --size")
    dtype = DTYPES[node.type.dtype]
    return random.normal(size=known).astype(dtype) if node.type.floating else np.zeros(known, dtype)
