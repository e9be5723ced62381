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
    from codegen.modules import Generated
    from graphc.functions import Plan

Wrt = str | Sequence[str] | None
_FOLDER = os.path.dirname(os.path.abspath(__file__))


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
        `value_and_grad` may write into them, and return them as results. Give distinct arrays.

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
    with without_collection():
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

    Results are fresh arrays. Raises GraphTypeError and GraphValueError for wrong arguments.
    """

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
        self._generated: Generated | None = None
        entry = cache.get(self._key)
        if entry is None:
            entry = self._made()
        self.source = entry.source
        self._lines: Mapping[str, str] = entry.facts["lines"]
        self._module = load_source(
            entry.source, graph.name, self._callables(entry), entry.constants
        )
        self._bind(self._module)

    def __repr__(self) -> str:
        return f"<compiled {self.graph.name}: {', '.join(self._names)}>"

    # -- making ----------------------------------------------------------------------------------

    @property
    def _key(self) -> str:
        # Where SciPy is installed, triangular systems are solved by it.
        scipy = scipy_installed()
        choices = repr((self._wrt, self._of, self._options, self._stable, scipy))
        return key_of(digest(self.graph), choices, digest_of_sources(_FOLDER, cache=self._cache))

    def _plan(self) -> Plan:
        from graphc.functions import plan

        return plan(self.graph, self._wrt, self._of)

    def _generate(self) -> Generated:
        if self._generated is None:
            from codegen import generate
            from graphc.functions import program

            self._generated = generate(program(self._plan(), self._stable), self._options)
        return self._generated

    def _made(self) -> Entry:
        generated = self._generate()
        lines = {str(line): tag for line, tag in generated.source_map.items()}
        callables = dict(generated.callables)
        # A Program of a hundred thousand statements is not kept for what may never be asked.
        self._generated = None
        facts = {"lines": lines, "callables": callables}
        entry = Entry(generated.source, generated.constants, facts)
        del generated
        self._cache.put(self._key, entry)
        return self._cache.get(self._key) or entry

    def _callables(self, entry: Entry) -> Mapping[str, Any]:
        """The user's own primitives and named tuples that the source calls by name."""
        if not entry.facts["callables"]:
            return {}
        own = user_callables(self.graph)
        return {text: own[name] for text, name in entry.facts["callables"].items()}

    def _bind(self, module: ModuleType) -> None:
        self._names = [
            name
            for name in ("value", "forward", "backward", "value_and_grad")
            if callable(getattr(module, name, None))
        ]
        for name in self._names:
            setattr(self, name, guarded(getattr(module, name), name, self.graph))

    # -- calling ---------------------------------------------------------------------------------

    value: Callable[..., Any]
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    value_and_grad: Callable[..., Any]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The output; a named tuple where a builder declared several."""
        return self.value(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name in ("forward", "backward", "value_and_grad"):
            # It is not there because the graph cannot be differentiated: say why.
            from graphc.autodiff import joint, scalar_output

            if name == "value_and_grad":
                scalar_output(self.graph, self._of, name)
            joint(self.graph, self._wrt)
        raise AttributeError(f"a compiled graph has no attribute {name!r}")

    @property
    def unchecked(self) -> Unchecked:
        """The functions without input checks: for arguments known to have the declared types."""
        generated = self._generate()
        assert generated.program is not None
        own = generated.program.callables
        callables = {text: own[name] for text, name in generated.callables.items()}
        return Unchecked(
            load_source(generated.unchecked, self.graph.name, callables, generated.constants)
        )

    # -- looking and shipping --------------------------------------------------------------------

    @property
    def origins(self) -> dict[int, str]:
        """Where each line of the source was declared: line -> `file:line`."""
        found = {}
        for line, tag in self._lines.items():
            origin = self.graph.nodes[int(tag)].origin
            if origin.line:
                found[int(line)] = str(origin)
        return found

    def memory(self, function: str = "value_and_grad") -> MemoryPlan:
        """The plan of one function's memory: print it for the bytes beside each line, the peak, and
        what the steps need at least. An estimate: named sizes count as `sizes=` expects them.

        Raises GraphNameError for a function that the module does not have, or that is made of
        `forward` and `backward`.
        """
        from codegen.listing import memory_plan
        from graphc.functions import program

        made = program(self._plan(), self._stable)
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
        write(self._plan(), self._stable, self._options, os.fspath(path), origins)


class Unchecked:
    """The functions of a module whose inputs are not checked."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._module.value(*args, **kwargs)
