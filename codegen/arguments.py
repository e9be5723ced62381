"""The arguments of a function: their names, their containers, and the sizes they bind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from codegen.entry import Input, axis_text, size_bindings
from codegen.names import Names, quoted
from codegen.plan.flatten import leaves
from codegen.program import Function, Leaf, Node, Param, Tree, Var
from codegen.source import Assign, Block, Do, Source
from codegen.types import Dim, size_names, substitute

# A container's outline in an error is cut to fit on a line.
_LONGEST = 68


def parameter_names(
    function: Function, scope: Names, saved: Sequence[str]
) -> tuple[dict[Var, str], dict[str, str]]:
    """The identifier of every leaf of the arguments, and that of every argument by its name.

    Arguments come first: callers name them. Unnamed leaves are called what an earlier function
    called them when it saved them, if it saved as many (`saved`).
    """
    texts: dict[Var, str] = {}
    arguments: dict[str, str] = {}
    for param in function.params:
        arguments[param.name] = text = scope.fresh(param.name)
        if isinstance(param.value, Leaf):
            texts[param.value.var] = text
    for param in function.params:
        if isinstance(param.value, Tree):
            parts = leaves(param.value)
            hints = saved if len(saved) == len(parts) else [param.name] * len(parts)
            for var, hint in zip(parts, hints, strict=True):
                texts[var] = scope.fresh(var.name or hint)
    return texts, arguments


def element_names(
    function: Function, scope: Names, texts: Mapping[Var, str], containers: Mapping[str, str]
) -> dict[Var, str]:
    """The identifiers of arguments that are elements of arrays; other names are given."""
    for text in (*texts.values(), *containers.values()):
        scope.take(text)
    parameters = [var for param in function.params for var in leaves(param.value)]
    return {var: texts[var] if var in texts else scope.fresh(var.name) for var in parameters}


def known_sizes(function: Function, parameters: list[Var]) -> list[str]:
    """Every named size that the function can know, in order."""
    if function.entry is not None and function.entry.sizes:
        return list(dict.fromkeys(rule.name for rule in function.entry.sizes))
    found: dict[str, None] = {}
    for var in parameters:
        for size in var.type.shape:
            if isinstance(size, Dim):
                found.update(dict.fromkeys(sorted(size_names(size))))
    return list(found)


def signature(function: Function, arguments: Mapping[str, str]) -> Iterator[str]:
    """The parameters, with their defaults."""
    for param in function.params:
        text = arguments[param.name]
        yield text if param.default is None else f"{text}={param.default!r}"


def inputs_of(function: Function, texts: Mapping[Var, str]) -> Iterator[Input]:
    """The leaves that are checked, in order."""
    assert function.entry is not None
    for param in function.params:
        if param.name in function.entry.trusted:
            continue
        for var in leaves(param.value):
            name = param.name if isinstance(param.value, Leaf) else var.name
            yield Input(var, name, texts[var])


def bindings(function: Function, texts: Mapping[Var, str]) -> dict[str, str]:
    """How each named size is read from the arguments."""
    bound: dict[str, str] = {}
    if function.entry is not None:
        bound.update(size_bindings(function.entry, dict(texts)))
    for var, text in texts.items():
        for axis, size in enumerate(var.type.shape):
            if not isinstance(size, Dim) or len(size.names) != 1:
                continue
            (name,) = size.names
            if name in bound:
                continue
            offset, scale = _affine(size, name)
            if scale:
                solved = axis_text(text, axis)
                if offset:
                    solved = f"({solved} {'-' if offset > 0 else '+'} {abs(offset)})"
                bound[name] = solved if scale == 1 else f"{solved} // {scale}"
    return bound


def _affine(size: Dim, name: str) -> tuple[int, int]:
    """(offset, scale) of a size that is scale * name + offset; scale 0 where it is not."""
    at = [substitute(size, {name: n}) for n in (0, 1, 2, 3)]
    if not all(isinstance(value, int) for value in at):
        return 0, 0
    a, b, c, d = (value for value in at if isinstance(value, int))
    if not (b - a == c - b == d - c) or b - a <= 0 or _is_atomic(size):
        return 0, 0
    return a, b - a


def _is_atomic(size: Dim) -> bool:
    """Whether the size contains `//`, `%`, `min` or `max`."""
    return any(not isinstance(atom, str) for monomial, _ in size.terms for atom, _ in monomial)


def unpack(text: str, tree: Tree, texts: Mapping[Var, str]) -> list[Source]:
    """The leaves of a container, as locals."""
    if tree.kind in ("tuple", "record") and all(isinstance(item, Leaf) for item in tree.items):
        if not tree.items:
            return []
        names = [texts[item.var] for item in tree.items if isinstance(item, Leaf)]
        return [Assign(", ".join(names) if len(names) > 1 else f"({names[0]},)", text)]
    sources: list[Source] = []
    stack: list[tuple[str, Node]] = [(text, tree)]
    while stack:
        path, node = stack.pop()
        if isinstance(node, Leaf):
            sources.append(Assign(texts[node.var], path))
            continue
        parts = [(path + access(node, k), item) for k, item in enumerate(node.items)]
        stack.extend(reversed(parts))
    return sources


def structure(where: str, param: Param, text: str, lines: list[Source]) -> list[Source]:
    """Unpacking that says what a container should look like where it does not."""
    counts: list[str] = []
    stack: list[tuple[str, Node]] = [(text, param.value)]
    while stack:
        path, node = stack.pop()
        if isinstance(node, Leaf):
            continue
        counts.append(f"len({path}) != {len(node.items)}")
        stack.extend((path + access(node, k), n) for k, n in reversed(list(enumerate(node.items))))
    message = f"{where}(): {param.name} should be {_outline(param.value)}"
    if len(message) > _LONGEST:
        message = message[:_LONGEST] + "..."
    return [
        Block(
            "try:",
            [*lines, Block(f"if {' or '.join(counts)}:", [Do("raise ValueError")])],
        ),
        Block(
            "except (TypeError, ValueError, LookupError, AttributeError):",
            [Do(f"raise TypeError({quoted(message)}) from None")],
        ),
    ]


def _outline(node: Node) -> str:
    """A container as a person would write it."""
    if isinstance(node, Leaf):
        return str(node.var.type)
    items = [_outline(item) for item in node.items]
    if node.kind == "dict":
        pairs = zip(node.keys, items, strict=True)
        return "{" + ", ".join(f"{key!r}: {item}" for key, item in pairs) + "}"
    if node.kind == "namedtuple":
        pairs = zip(node.keys, items, strict=True)
        return "(" + ", ".join(f"{key}={item}" for key, item in pairs) + ")"
    return f"[{', '.join(items)}]" if node.kind == "list" else f"({', '.join(items)})"


def access(tree: Tree, position: int) -> str:
    """How an item of a container is read."""
    if tree.kind == "dict":
        return f"[{quoted(tree.keys[position])}]"
    if tree.kind == "namedtuple":
        return f".{tree.keys[position]}"
    return f"[{position}]"
