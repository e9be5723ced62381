"""What a function returns: fresh, writable arrays that share memory with nothing."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

from codegen.arguments import access
from codegen.emit import Plan
from codegen.names import ModuleNames, quoted
from codegen.plan.flatten import Known, leaves
from codegen.plan.steps import Look, Value, Window
from codegen.printers import Printer, dtype_text
from codegen.program import Broadcast, Diagonal, Function, Leaf, Node, Tree, Var
from codegen.source import Assign, Blank, Comment, Source


class Result:
    """The text of what is returned: fresh, writable, and sharing memory with nothing."""

    def __init__(
        self,
        function: Function,
        plan: Plan,
        known: Known,
        printer: Printer,
        containers: Mapping[str, str],
        module: ModuleNames,
    ) -> None:
        self.function = function
        self.plan = plan
        self.known = known
        self.printer = printer
        self.containers = containers
        # A record is a class of the module, or a user's own that it is given.
        self.classes = {**module.callables, **module.records}
        self.fast_used = False
        # Statements that go before the `return`.
        self.sources: list[Source] = []
        # Of values that are elements of an array, and have no statement of their own.
        self.notes: Mapping[int, tuple[str, ...]] = {}
        self._left: dict[Var, int] = {}
        for var in leaves(function.result):
            self._left[var] = self._left.get(var, 0) + 1
        # Storage that the saved values refer to, or that was returned already.
        self._shown = {
            plan.buffers.root[known[var].index].index
            for var in self._left
            if var in function.may_alias
        }

    def text(self, node: Node, top: bool = False) -> str:
        """A leaf or a container of results."""
        if isinstance(node, Leaf):
            return self._leaf(node.var)
        items = [self.text(item) for item in node.items]
        inside = ", ".join(items)
        comma = "," if len(items) == 1 else ""
        if node.kind == "dict":
            pairs = zip(node.keys, items, strict=True)
            return "{" + ", ".join(f"{quoted(key)}: {item}" for key, item in pairs) + "}"
        if node.kind == "list":
            return f"[{inside}]"
        if node.kind == "array":
            name = self.plan.scope.fresh(node.keys[0] or "result")
            notes = [self.notes.get(self.known[var].index, ()) for var in leaves(node)]
            told = list(dict.fromkeys(itertools.chain.from_iterable(notes)))
            self.sources += [Blank(), *map(Comment, told)] if told else []
            self.sources.append(Assign(name, f"np.array([{inside}])"))
            return name
        if node.kind == "record":
            self.fast_used = True
            return f"_new({self.classes[node.record]}, ({inside}{comma}))"
        if node.kind == "namedtuple":
            pairs = zip(node.keys, items, strict=True)
            return f"{self._original(node)}._replace({', '.join(f'{k}={v}' for k, v in pairs)})"
        return f"{inside}{comma}" if top and items else f"({inside}{comma})"

    def _leaf(self, var: Var) -> str:
        plan, value = self.plan, self.known[var]
        text = self.printer.operand(value)
        self._left[var] -= 1
        if not value.shape:
            return self._number(value, text)
        saved = var in self.function.may_alias
        if saved and not self._left[var]:
            return text
        root = plan.buffers.root[value.index]
        owned = plan.buffers.owned[root.index] and root.step is not None
        if not owned or root.index in self._shown or self._repeats(value):
            return f"{self.printer.operand(value, 20)}.copy()"
        self._shown.add(root.index)
        return text

    def _number(self, value: Value, text: str) -> str:
        """A NumPy scalar of the right dtype; f64 may be a float."""
        loose = self.printer.python_number(value) or value.dtype == "bool"
        if loose and value.dtype != "f64" and value.dtype in ("f32", "i64", "i32", "bool"):
            return f"{dtype_text(value.dtype)}({text})"
        return text

    def _repeats(self, value: Value) -> bool:
        """Whether a view shows some element twice, or may not be written to."""
        step = value.step
        while isinstance(step, Look):
            source = step.operands[0]
            if isinstance(step.kind, Window):
                return True
            if not isinstance(source, Value):
                return False
            if isinstance(step.kind, Broadcast):
                return bool(source.shape)
            if isinstance(step.kind, Diagonal):
                return True
            step = source.step
        return False

    def _original(self, node: Tree) -> str:
        """The argument whose class a user's named tuple takes."""
        for param in self.function.params:
            found = _find(self.containers[param.name], param.value, node)
            if found:
                return found
        raise AssertionError(f"no argument is a named tuple of {', '.join(node.keys)}")


def _find(text: str, node: Node, wanted: Tree) -> str:
    """The path of a named tuple of the same fields (and the same mark) in an argument."""
    stack = [(text, node)]
    while stack:
        path, top = stack.pop()
        if isinstance(top, Leaf):
            continue
        if top.kind == "namedtuple" and (top.keys, top.record) == (wanted.keys, wanted.record):
            return path
        stack.extend(
            (path + access(top, k), item) for k, item in reversed(list(enumerate(top.items)))
        )
    return ""
