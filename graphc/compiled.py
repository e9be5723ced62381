"""compile(): from a graph to the functions a user calls, through the cache.

A warm start reads the source from the cache, and neither derives nor generates anything: what is
imported here at the top is all that it needs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from codegen.cache import Cache, default_cache, digest_of_sources, key_of
from codegen.collection import without_collection
from codegen.entries import Entry
from codegen.loading import load_source
from codegen.program import Options
from graphc import ir
from graphc.callables import user_callables
from graphc.canonical import digest
from graphc.errors import GraphTypeError, GraphValueError, located
from graphc.extras import scipy_installed
from graphc.guarding import guarded
from graphc.naming import unknown_name
from graphc.ops.kinds import Primitive
from graphc.subjects import graph_of
from graphc.types import size_names

if TYPE_CHECKING:
    from codegen.listing import MemoryPlan
    from graphc.functions import Plan

Wrt = str | Sequence[str] | None
_FOLDER = os.path.dirname(os.path.abspath(__file__))
_FUNCTIONS = ("value", "forward", "backward", "value_and_grad")
_FIRST = ()  # what `compile` makes: the function that callers most often want


def compile(
    graph: Any,
    wrt: Wrt = None,
    of: str | None = None,
    *,
    sizes: Mapping[str, int] | None = None,
    threads: int = 1,
    workspace: bool = False,
    cache: Cache | bool = True,
    stable: bool = True,
    donate: Sequence[str] = (),
) -> Compiled:
    """The compiled functions of a graph.

    graph: a Graph, or a Builder, which is built.
    wrt: what to differentiate by: a name gives a bare gradient, names or None a named tuple; None
        means the declared parameters, else every floating input. Any named value may be asked for.
    of: the scalar output that `value_and_grad` differentiates, where there are several.
    sizes: expected values of named sizes, for the cost model alone: nothing is recompiled per size.
    threads: how many threads run the tiles of large arrays, and the images of convolutions; results
        are the same for any number. Leave BLAS one thread then (OPENBLAS_NUM_THREADS=1).
    workspace: work in storage that is kept between calls, as far as sizes are known when this is
        compiled; results are fresh all the same. Such functions must not run at once.
    cache: False keeps the result out of the cache; or a Cache of one's own.
    stable: rewrite naive compositions, such as log(sum(exp(x))), into their stable forms first.
    donate: names of inputs (the leaves of containers) that calls give away: `f` and
        `value_and_grad` may write into them, and return them as results. One array given for two
        of them is an error.

    Raises GraphNameError for an unknown name in wrt, of or sizes, GraphTypeError where a wrt is not
    floating, GraphValueError where `of` is not a scalar, or threads is no positive integer.

    >>> loss = graphc.trace(lambda x, w: ((w * x) ** 2).sum(), "f64[n]", graphc.param("f64"))
    >>> value, grads = graphc.compile(loss).value_and_grad(np.array([1.0, 2.0]), 3.0)
    >>> print(value, grads.w)
    45.0 30.0
    """
    if not isinstance(threads, int) or threads < 1:
        raise GraphValueError(located(f"compile: threads={threads!r}: use 1 or more"))
    graph = graph_of(graph, "compile")
    if wrt is not None and not isinstance(wrt, str):
        wrt = _names(wrt, graph)
    for name in sizes or ():
        known = _size_names(graph)
        if name not in known:
            raise unknown_name(f"sizes: {graph.name} has no size", name, known, "sizes")
    for name in donate:
        if name not in {node.name for node in graph.inputs}:
            raise unknown_name(f"donate: {graph.name} has no input", name, graph.named)
    options = Options(
        tuple(sorted((sizes or {}).items())), threads, workspace, donate=tuple(donate)
    )
    return Compiled(graph, wrt, of, options, stable, _cache(cache))


def _names(wrt: Any, graph: ir.Graph) -> tuple[str, ...]:
    names = wrt if isinstance(wrt, Iterable) else (wrt,)
    for name in names:
        if not isinstance(name, str):
            known = ", ".join(node.name for node in graph.inputs)
            raise GraphTypeError(
                located(f"wrt={wrt!r}: give a name, or a tuple of names; inputs: {known}")
            )
    return tuple(names)


def _size_names(graph: ir.Graph) -> list[str]:
    """The named sizes of a graph's inputs, in order."""
    sizes = (size for node in graph.inputs for size in node.type.shape)
    return list(dict.fromkeys(name for size in sizes for name in sorted(size_names(size))))


def _cache(cache: Cache | bool) -> Cache:
    if isinstance(cache, Cache):
        return cache
    return default_cache() if cache else Cache(None)


class Compiled:
    """The functions of one graph, by one set of options.

    f(...)                    the outputs
    f.value_and_grad(...)     (outputs, gradients), as one fused function
    f.forward(...)            (outputs, saved)
    f.backward(saved)         gradients; cotangents for outputs that are no single scalar
    f.source                  the emitted module, as it is run
    f.export(path)            the module as a file that stands alone
    f.memory()                the plan of memory: bytes beside each line, the peak
    f.unchecked               the same functions without checks of their inputs

    Each function is made for itself, which takes a fraction of the time of all: `value_and_grad`,
    or else `value`, at once; the others where they are first asked for. `source` has them all.

    Results are fresh arrays. Raises GraphTypeError and GraphValueError for wrong arguments.
    """

    # `f(...)` finds the function in a slot, without a frame of a method in between.
    __slots__ = ("__call__", "__dict__", "__weakref__")

    def __init__(
        self,
        graph: ir.Graph,
        wrt: Wrt,
        of: str | None,
        options: Options,
        stable: bool,
        cache: Cache,
    ) -> None:
        self.graph = graph
        self._wrt = wrt
        self._of = of
        self._options = options
        self._stable = stable
        self._cache = cache
        self._planned: Plan | None = None
        self._records: dict[str, type] = {}
        self._entry, self._module = self._load(_FIRST)

    def __repr__(self) -> str:
        return f"<compiled {self.graph.name}: {', '.join(self._names)}>"

    # -- making ----------------------------------------------------------------------------------

    def _key(self, only: Sequence[str]) -> str:
        # Where SciPy is installed, triangular systems are solved by it.
        scipy = scipy_installed()
        choices = repr((self._wrt, self._of, self._options, self._stable, scipy, only))
        return key_of(digest(self.graph), choices, digest_of_sources(_FOLDER, cache=self._cache))

    def _plan(self) -> Plan:
        if self._planned is None:
            from graphc.functions import plan

            self._planned = plan(self.graph, self._wrt, self._of, self._stable)
        return self._planned

    def _load(self, only: Sequence[str]) -> tuple[Entry, ModuleType]:
        """Binds the functions that are named, and what comes with them, from the cache or made."""
        with without_collection():
            key = self._key(only)
            entry = self._cache.get(key)
            if entry is None:
                entry = self._made(only)
                self._cache.put(key, entry)
                entry = self._cache.get(key) or entry
            callables = self._callables(entry.facts["callables"])
            module = load_source(entry.source, self.graph.name, callables, entry.constants)
        own = vars(module)
        for name, value in list(own.items()):
            if isinstance(value, type) and value.__module__ == module.__name__:
                # Gradients are of one class, whichever function returns them.
                own[name] = self._records.setdefault(name, value)
        self._names: Sequence[str] = entry.facts["functions"]
        for name in self._names:
            if callable(own.get(name)):
                setattr(self, name, guarded(own[name], name, self.graph))
        self.__call__ = vars(self).get("value", self._first_call)
        return entry, module

    def _made(self, only: Sequence[str]) -> Entry:
        from codegen import generate
        from graphc.autodiff import joint
        from graphc.functions import function_names, program

        plan = self._plan()
        names = function_names(plan)
        if only == _FIRST:
            only = ("value_and_grad",) if "value_and_grad" in names else ("value",)
            if "backward" in names and only == ("value",):
                joint(self.graph, self._wrt)  # what has no derivative is told now
        if self._options.workspace:
            only = names  # which share their storage
        generated = generate(program(plan, only=only), self._options)
        facts = {"functions": list(names), "callables": dict(generated.callables)}
        if set(names) <= set(only):
            tags = generated.source_map
            facts["lines"] = [tags.get(line, "") for line in range(max(tags, default=0) + 1)]
        return Entry(generated.source, generated.constants, facts)

    def _callables(self, names: Mapping[str, str]) -> Mapping[str, Any]:
        """The user's own primitives and named tuples, by what the source calls them."""
        if not names:
            return {}
        own = user_callables(self.graph)
        return {text: own[name] for text, name in names.items()}

    # -- calling ---------------------------------------------------------------------------------

    __call__: Callable[..., Any]
    value: Callable[..., Any]
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    value_and_grad: Callable[..., Any]

    def _first_call(self, *args: Any, **kwargs: Any) -> Any:
        """The output; a named tuple where a builder declared several."""
        return self.value(*args, **kwargs)

    @property
    def __signature__(self) -> Any:
        """What `inspect.signature` shows."""
        import inspect

        return inspect.signature(self.value)

    def __getattr__(self, name: str) -> Any:
        if name in _FUNCTIONS:
            if name in self._names:
                self._load((name,))
                return vars(self)[name]
            # It is not there because the graph cannot be differentiated: say why.
            from graphc.autodiff import joint, scalar_output

            if name == "value_and_grad":
                scalar_output(self.graph, self._of, name)
            joint(self.graph, self._wrt)
        if name.startswith("_"):
            raise AttributeError(name)  # a protocol is asked for
        from graphc.naming import missing_attribute

        known = [*_FUNCTIONS, *(one for one in dir(Compiled) if one[0] != "_")]
        transforms = ("grad", "vjp", "jvp", "hvp", "jacobian", "hessian")
        instead = f"use graphc.compile(graphc.{name}(graph, ...), wrt=())"
        raise missing_attribute(
            f"the compiled {self.graph.name}", name, known, instead if name in transforms else ""
        )

    def __dir__(self) -> list[str]:
        """With the functions that nobody has asked for yet."""
        return sorted({*super().__dir__(), *self._names})

    @property
    def unchecked(self) -> Unchecked:
        """The functions without input checks: for arguments known to have the declared types."""
        return Unchecked(self._names, self._load_unchecked)

    def _load_unchecked(self, name: str) -> Callable[..., Any]:
        from codegen import generate
        from graphc.functions import program

        made = program(self._plan(), only=(name,))
        generated = generate(made, self._options, checks=False)
        callables = self._callables(generated.callables)
        module = load_source(generated.source, self.graph.name, callables, generated.constants)
        function: Callable[..., Any] = getattr(module, name)
        return function

    # -- looking and shipping --------------------------------------------------------------------

    @property
    def source(self) -> str:
        """The emitted module with all functions; from now on these are what is called."""
        return self._whole().source

    def _whole(self) -> Entry:
        if not all(callable(getattr(self._module, name, None)) for name in self._names):
            self._entry, self._module = self._load(_FUNCTIONS)
        return self._entry

    @property
    def origins(self) -> dict[int, str]:
        """Where each line of the source was declared: line -> `file:line`."""
        found = {}
        for line, tag in enumerate(self._whole().facts["lines"]):
            origin = self.graph.nodes[int(tag)].origin if tag else None
            if origin is not None and origin.line:
                found[line] = str(origin)
        return found

    def memory(self, function: str = "value_and_grad") -> MemoryPlan:
        """The plan of one function's memory: print it for the bytes beside each line, the peak, and
        what the steps need at least. An estimate: named sizes count as `sizes=` expects them.

        Raises GraphNameError for a function that the module does not have.
        """
        from codegen.listing import memory_plan
        from graphc.functions import program

        made = program(self._plan())
        known = [one.name for one in made.functions]
        if function not in known:
            raise unknown_name(f"memory: {self.graph.name} has no function", function, known)
        return memory_plan(made, self._options, function)

    def export(self, path: str | os.PathLike[str], origins: str = "names") -> None:
        """Writes the module to a file that needs NumPy and the standard library alone.

        Arrays of more than 64 elements go to a `.npz` beside it, checked by digest when it loads.
        origins: "names" keeps the file free of line numbers, so that an unrelated edit changes no
            byte; "lines" puts the place of each declaration beside its statement.
        Raises GraphTypeError where the graph calls a primitive of the user's own.
        """
        if origins not in ("names", "lines"):
            raise GraphValueError(located(f"export: origins={origins!r}: use 'names' or 'lines'"))
        from graphc.exporting import write

        own = [node.op.name for node in self.graph.nodes if isinstance(node.op, Primitive)]
        if own:
            raise GraphTypeError(
                located(
                    f"export: {own[0]} is a primitive of yours; "
                    "an exported file cannot hold its code"
                )
            )
        write(self._plan(), self._options, os.fspath(path), origins)


class Unchecked:
    """The functions of a compiled graph without input checks, each made when it is asked for."""

    def __init__(self, names: Sequence[str], load: Callable[[str], Callable[..., Any]]) -> None:
        self._names = names
        self._load = load

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._names:
            raise AttributeError(f"a compiled graph has no unchecked function {name!r}")
        function = self._load(name)
        setattr(self, name, function)
        return function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.value(*args, **kwargs)
