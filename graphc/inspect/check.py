"""`graphc.check_grads`: every analytic gradient against a numerical one.

Where a graph holds no Python of the user's, the numerical gradient is a complex step on the
reference interpreter, f'(x) = Im f(x + ih) / h, exact to rounding because nothing is subtracted.
Else it is a central difference, extrapolated over a falling sequence of steps. The analytic
gradient is that of the gradient graph, in the forms that are emitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from graphc import ir
from graphc.errors import GraphTypeError, GraphValueError, located, location
from graphc.inspect.numerical import central, complex_step, one_sided
from graphc.inspect.table import number_text, table
from graphc.ir import Node
from graphc.ops.kinds import LinAlg, Primitive
from graphc.subjects import graph_of

Array = np.ndarray[Any, Any]

# (rtol, atol) by dtype: what rounding in the gradient itself may cost, with room for a deep graph.
TOLERANCES: Mapping[str, tuple[float, float]] = {"f64": (1e-6, 1e-8), "f32": (2e-3, 2e-5)}


@dataclass(frozen=True, slots=True)
class Row:
    """One input: where its analytic and numerical gradients differ most."""

    name: str
    type: str
    checked: int
    size: int
    absolute: float
    relative: float
    index: tuple[int, ...]
    analytic: float
    numerical: float
    kinks: int
    ok: bool


@dataclass(frozen=True)
class GradientReport:
    """The outcome of `check_grads`: a row an input. `print` shows it as a table.

    method: "complex step" or "central difference".
    """

    rows: Sequence[Row]
    of: str
    method: str

    @property
    def ok(self) -> bool:
        """Whether every gradient is within its tolerance."""
        return all(row.ok for row in self.rows)

    def __str__(self) -> str:
        header = ("input", "type", "checked", "abs. error", "rel. error", "at", "analytic")
        rows = []
        for row in self.rows:
            where = ", ".join(map(str, row.index))
            rows.append(
                (
                    row.name,
                    row.type,
                    f"{row.checked} of {row.size}",
                    f"{row.absolute:.1e}",
                    f"{row.relative:.1e}",
                    f"[{where}]" if row.index else "",
                    number_text(row.analytic),
                    number_text(row.numerical),
                    _remark(row),
                )
            )
        right = [False, False, True, True, True, False, True, True, False]
        return table((*header, self.method, f"d {self.of}"), rows, right)


def _remark(row: Row) -> str:
    verdict = "ok" if row.ok else "DIFFERS"
    return f"{verdict}, {row.kinks} at a kink" if row.kinks else verdict


def check_grads(
    graph: Any,
    /,
    *args: Any,
    of: str | None = None,
    wrt: str | Sequence[str] | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    samples: int = 100,
    **kwargs: Any,
) -> GradientReport:
    """Compares the gradient of a scalar output with a numerical one, at the arguments of a call.

    graph: a Graph, a Builder, or what `compile` returned. of: the output, where there are several.
    wrt: the inputs to check; by default every floating one. rtol, atol: an element passes where
    |analytic - numerical| <= atol * scale + rtol * |numerical|, with scale the largest element of
    the input's gradient, at least 1; by default 1e-6, 1e-8 for f64 and 2e-3, 2e-5 for f32.
    samples: how many elements of an input are checked at most, the same ones on every run.

    At a kink (the one-sided derivatives differ) any value between them passes. Raises
    GraphValueError with the table where a gradient differs, and where a traced function is not
    pure: traced twice, it must declare the same graph.

    >>> loss = graphc.trace(lambda x: (x**3).sum(), "f64[n]")
    >>> print(graphc.check_grads(loss, np.array([1.0, 2.0])).ok)
    True
    """
    from graphc.inlining import bind

    subject = graph_of(graph, "check_grads")
    report = gradient_report(
        subject, bind(subject, args, kwargs), of, wrt, rtol=rtol, atol=atol, samples=samples
    )
    if not report.ok:
        wrong = ", ".join(row.name for row in report.rows if not row.ok)
        raise GraphValueError(
            located(f"check_grads: {subject.name}: the gradient by {wrong} differs\n{report}")
        )
    return report


def gradient_report(
    subject: ir.Graph,
    given: Mapping[str, Any],
    of: str | None = None,
    wrt: str | Sequence[str] | None = None,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    samples: int = 100,
) -> GradientReport:
    """What `check_grads` finds, whether the gradients agree or not; inputs by leaf name."""
    from graphc.autodiff import scalar_output

    _check_pure(subject)
    name, output = scalar_output(subject, of, "check_grads")
    inputs = _inputs(subject, wrt)
    checker = _Checker(subject, output, given)
    analytic = _analytic(subject, output, inputs, given)
    rows = [
        checker.row(node, analytic[node], samples, _tolerance(node, rtol, atol)) for node in inputs
    ]
    return GradientReport(rows, name, checker.method)


def _check_pure(graph: ir.Graph) -> None:
    """Two traces of a pure function declare one graph."""
    retrace: Callable[[], ir.Graph | None] | None = getattr(graph, "retrace", None)
    # The user's own lines give names and places to what is traced, whoever asked for the check.
    token = location.set(None)
    try:
        again = None if retrace is None else retrace()
    finally:
        location.reset(token)
    if again is None:
        return
    from graphc.canonical import digest

    if digest(again) == digest(graph):
        return
    raise GraphValueError(
        located(
            f"check_grads: {graph.name} is not pure: traced twice, it declares two graphs"
            f"{_difference(graph, again)}; make what varies an input"
        )
    )


def _difference(first: ir.Graph, second: ir.Graph) -> str:
    from graphc.canonical import params_text

    for a, b in zip(first.nodes, second.nodes, strict=False):
        same = a.op.name == b.op.name and a.type == b.type and a.name == b.name
        if not same or params_text(a.params) != params_text(b.params):
            return f", first at {a.op.name} ({a.origin})" if a.origin.line else f", at {a.op.name}"
    return f" of {len(first.nodes)} and {len(second.nodes)} nodes"


def _inputs(graph: ir.Graph, wrt: str | Sequence[str] | None) -> list[Node]:
    if wrt is None:
        found = [node for node in graph.inputs if node.type.floating]
        if not found:
            raise GraphTypeError(located(f"check_grads: {graph.name} has no floating input"))
        return found
    from graphc.autodiff import resolve_wrt

    chosen = [node for _, group in resolve_wrt(graph, wrt) for node in group]
    for node in chosen:
        if node not in graph.inputs:
            raise GraphTypeError(
                located(f"check_grads: wrt {node.name!r} is no input; only inputs can be moved")
            )
    return chosen


def _tolerance(node: Node, rtol: float | None, atol: float | None) -> tuple[float, float]:
    relative, absolute = TOLERANCES[node.type.dtype]
    return (relative if rtol is None else rtol), (absolute if atol is None else atol)


def _analytic(
    graph: ir.Graph, output: Node, inputs: Sequence[Node], given: Mapping[str, Any]
) -> dict[Node, Array]:
    from graphc import nodes
    from graphc.autodiff import backpropagate
    from graphc.interpret import emitted, evaluate
    from graphc.order import reachable

    cotangents = backpropagate(graph.nodes, {output: nodes.full(output.type, 1.0)}, inputs)
    wanted = [cotangents[node] for node in inputs if node in cotangents]
    whole = ir.Graph(graph.name, graph.inputs, graph.outputs, reachable(wanted, graph.inputs))
    found = evaluate(whole, given, expression=emitted)
    return {
        node: np.asarray(found[cotangents[node]])
        if node in cotangents
        else np.zeros_like(found[node])
        for node in inputs
    }


class _Checker:
    """The numerical side: one graph at one point."""

    def __init__(self, graph: ir.Graph, output: Node, given: Mapping[str, Any]) -> None:
        from graphc.interpret import evaluate
        from graphc.order import reachable

        # Only what the output needs: the interpreter evaluates all it is given.
        needed = reachable([output], graph.inputs)
        self.output = output
        self.given = given
        self._graph = ir.Graph(graph.name, graph.inputs, [("f", output)], needed)
        self._evaluate = evaluate
        by_hand = any(
            isinstance(node.op, Primitive) or (isinstance(node.op, LinAlg) and not node.op.analytic)
            for node in needed
        )
        self.method = "central difference" if by_hand else "complex step"
        # In double, so that a difference of f32 values has digits left; a primitive gets its dtype.
        self.work = None if by_hand else np.float64

    def value(self, name: str, moved: Array, dtype: Any) -> Any:
        """The output with one input replaced."""
        values = {**self.given, name: moved}
        return self._evaluate(self._graph, values, dtype)[self.output][()]

    def row(self, node: Node, analytic: Array, samples: int, tolerance: tuple[float, float]) -> Row:
        at = np.asarray(self.given[node.name], dtype=np.float64)
        scale = max(1.0, float(np.max(np.abs(analytic), initial=0.0)))
        rtol, atol = tolerance
        worst = Row(node.name, str(node.type), 0, at.size, 0.0, 0.0, (), np.nan, np.nan, 0, True)
        kinks, checked, ok = 0, 0, True
        badness = -1.0
        for index in _chosen(at.shape, samples):
            got, expected = float(analytic[index]), self._numerical(node, at, index)
            error = _distance(got, expected)
            allowed = atol * scale + rtol * abs(expected) if np.isfinite(expected) else 0.0
            good = error <= allowed
            if not good and self._is_kink(node, at, index, got):
                kinks, good, error = kinks + 1, True, 0.0
            checked, ok = checked + 1, ok and good
            bad = error / allowed if allowed else (0.0 if good else np.inf)
            if bad > badness:
                badness = bad
                relative = error / abs(expected) if expected else (np.inf if error else 0.0)
                worst = replace(
                    worst,
                    absolute=error,
                    relative=relative,
                    index=index,
                    analytic=got,
                    numerical=expected,
                )
        return replace(worst, checked=checked, kinks=kinks, ok=ok)

    def _numerical(self, node: Node, at: Array, index: tuple[int, ...]) -> float:
        if self.method == "complex step":
            return complex_step(lambda x: self.value(node.name, x, np.complex128), at, index)
        return central(self._real(node), at, index, _digits(node))

    def _real(self, node: Node) -> Callable[[Array], float]:
        dtype = np.float32 if self.work is None and node.type.dtype == "f32" else np.float64
        return lambda x: float(self.value(node.name, x.astype(dtype), self.work))

    def _is_kink(self, node: Node, at: Array, index: tuple[int, ...], got: float) -> bool:
        """Whether the one-sided derivatives differ, and what was found lies between them."""
        left, right = one_sided(self._real(node), at, index, _digits(node))
        low, high = min(left, right), max(left, right)
        margin = 1e-3 * max(1.0, abs(low), abs(high))
        return high - low > 10 * margin and low - margin <= got <= high + margin


def _digits(node: Node) -> float:
    return float(np.finfo(np.float32 if node.type.dtype == "f32" else np.float64).eps)


def _distance(a: float, b: float) -> float:
    """|a - b|, where equal infinities and two NaN agree."""
    if a == b or (np.isnan(a) and np.isnan(b)):
        return 0.0
    distance = abs(a - b)
    return float("inf") if np.isnan(distance) else distance


def _chosen(shape: tuple[int, ...], samples: int) -> Iterator[tuple[int, ...]]:
    """Every index, or `samples` of them that are the same on every run."""
    size = int(np.prod(shape))
    if size <= samples:
        yield from np.ndindex(*shape)
        return
    picked = np.random.default_rng(0).choice(size, samples, replace=False)
    for flat in np.sort(picked):
        yield tuple(int(k) for k in np.unravel_index(int(flat), shape))
