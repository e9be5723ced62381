"""Imports only go down: graphc -> codegen, no circles, no heavy library where a start would pay."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LONGEST_FILE = 500
# What each package may import besides itself and the standard library.
ALLOWED = {
    "codegen": {"numpy", "scipy"},
    "graphc": {
        *("codegen", "numpy", "sympy", "networkx", "mpmath"),
        *("matplotlib", "safetensors", "scipy"),
    },
}
# Costly to import: only where the work needs them, so inside functions or in these folders.
HEAVY = {
    *("sympy", "networkx", "mpmath", "scipy"),
    *("logging", "tempfile", "tomllib", "pickle", "unittest"),
}
MAY_BE_HEAVY = ("graphc.derive.", "graphc.order")


def modules():
    """Dotted name -> file, for both packages; a package goes by its own name."""
    found = {}
    for package in ("codegen", "graphc"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(name, path, known):
    """(imported module, whether at import time) of a file; imports for types alone do not count."""
    found = []
    stack = [(ast.parse(path.read_text(encoding="utf-8")), True)]
    while stack:
        node, at_import = stack.pop()
        if isinstance(node, ast.Import):
            found += [(alias.name, at_import) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative imports hide the direction"
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                found.append((below if below in known else node.module, at_import))
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            stack += [(child, at_import) for child in node.orelse]
            continue
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        stack += [(child, at_import and not inside) for child in ast.iter_child_nodes(node)]
    return found


MODULES = modules()
IMPORTS = {name: imports(name, path, MODULES) for name, path in MODULES.items()}


def root(module):
    return module.partition(".")[0]


def circle(edges):
    """One circle of a graph given as {node: successors}, or [] where there is none."""
    done = set()
    for start in edges:
        path, trail = [start], [iter(edges[start])]
        while path and start not in done:
            successor = next(trail[-1], None)
            if successor is None:
                done.add(path.pop())
                trail.pop()
            elif successor in path:
                return [*path[path.index(successor) :], successor]
            elif successor not in done:
                path.append(successor)
                trail.append(iter(edges[successor]))
    return []


def test_there_is_something_to_look_at():
    assert {"codegen.program", "codegen.cache", "graphc.ir"} <= MODULES.keys()
    assert ("codegen.types", True) in IMPORTS["graphc.ir"]
    assert ("json", False) in IMPORTS["codegen.entries"]


def test_the_search_for_circles_finds_them():
    assert circle({"a": ["b"], "b": ["c"], "c": []}) == []
    assert circle({"a": ["b"], "b": ["c", "d"], "c": [], "d": ["b"]}) == ["b", "d", "b"]
    assert circle({"a": ["a"]}) == ["a", "a"]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_what_its_package_may(name):
    package = root(name)
    allowed = ALLOWED[package] | {package} | set(sys.stdlib_module_names)
    foreign = sorted({module for module, _ in IMPORTS[name] if root(module) not in allowed})
    assert not foreign, f"{name} imports {', '.join(foreign)}"


@pytest.mark.parametrize("name", MODULES)
def test_heavy_libraries_are_imported_where_they_are_used(name):
    if name.startswith(MAY_BE_HEAVY):
        return
    heavy = sorted({module for module, first in IMPORTS[name] if first and root(module) in HEAVY})
    assert not heavy, f"{name} imports {', '.join(heavy)} at its top"


@pytest.mark.parametrize("package", ["codegen", "graphc"])
def test_no_circles_not_even_through_imports_inside_functions(package):
    names = [name for name in MODULES if root(name) == package]
    edges = {name: [module for module, _ in IMPORTS[name] if module in names] for name in names}
    found = circle(edges)
    assert not found, " -> ".join(found)


@pytest.mark.parametrize("name", MODULES)
def test_files_stay_small(name):
    lines = len(MODULES[name].read_text(encoding="utf-8").splitlines())
    assert lines < LONGEST_FILE, f"{name} has {lines} lines: divide it"


def test_import_loads_neither_sympy_nor_networkx():
    code = (
        "import sys, graphc\n"
        "print(sorted({'sympy', 'networkx', 'mpmath', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
