"""Every op of the table: its equations hold, its differential solves them differentiated, and its
adjoint is that differential's transpose."""

import numpy as np
import pytest

from graphc import nodes
from graphc.adjoints.linalg import differential, linalg
from graphc.freeze import freeze
from graphc.interpret import evaluate_outputs
from graphc.ir import Node
from graphc.matrices import results, signature
from graphc.matrix_formula import differential as product_rule
from graphc.matrix_formula import line, names, sides
from graphc.ops.linalg import LINALG
from graphc.types import type_of_array
from tests.linalg.plain import evaluate, moves, operands

OPS = list(LINALG.values())
BATCHES = [(), (2,), (2, 3)]
CASES = [(op, batch) for op in OPS for batch in BATCHES if op.batched or not batch]
IDS = [f"{op.name}{list(batch)}" for op, batch in CASES]


class Case:
    """An op at random operands: its results, and how they move along random directions."""

    def __init__(self, op, batch):
        rng = np.random.default_rng([len(op.name), *map(ord, op.name), *batch])
        self.op = op
        self.arrays = operands(op, rng, batch)
        self.moves = moves(op, self.arrays, rng)
        self.inputs = [
            nodes.input_(n, type_of_array(x)) for n, x in zip(op.args, self.arrays, strict=True)
        ]
        self.directions = [
            nodes.input_(f"d{n}", type_of_array(x))
            for n, x in zip(op.args, self.arrays, strict=True)
        ]
        self.results = results(op, *self.inputs)
        self.given = dict(zip(op.args, self.arrays, strict=True)) | {
            f"d{n}": x for n, x in zip(op.args, self.moves, strict=True)
        }
        self.values = dict(zip(op.results, self.run(list(self.results)), strict=True))
        by_name = {node.name: node for node in self.directions}
        self.differentials = {
            name: differential(node, by_name)
            for name, node in zip(op.results, self.results, strict=True)
        }
        moving = {name: node for name, node in self.differentials.items() if node is not None}
        self.moved = dict(zip(moving, self.run(list(moving.values())), strict=True))
        self.rng = rng

    def run(self, wanted: list[Node], more=()):
        """The values of nodes."""
        inputs = [*self.inputs, *self.directions, *(node for node, _ in more)]
        graph = freeze("g", inputs, [(f"out{k}", node) for k, node in enumerate(wanted)])
        given = self.given | {node.name: value for node, value in more}
        return list(evaluate_outputs(graph, given).values())


@pytest.fixture(params=CASES, ids=IDS, scope="module")
def case(request):
    return Case(*request.param)


def test_the_equations_hold(case):
    values = case.given | case.values
    for equation in case.op.equations:
        left, right = sides(equation)
        np.testing.assert_allclose(
            evaluate(left, values), evaluate(right, values), atol=1e-12, err_msg=equation
        )


def test_the_differential_solves_the_differentiated_equations(case):
    op = case.op
    values = case.given | case.values | {f"d{name}": x for name, x in case.moved.items()}
    for equation in op.equations:
        found = []
        for side in sides(equation):
            moved = product_rule(side, {*op.args, *op.results})
            found.append(np.zeros(()) if moved is None else evaluate(moved, values))
        np.testing.assert_allclose(found[0], found[1] + 0 * found[0], atol=1e-11, err_msg=equation)


def test_the_differential_is_the_change_of_the_results(case):
    """What equations leave open (an expm has none), against central differences."""
    step = 1e-6
    plus, minus = (
        results_at(
            case, [x + sign * step * m for x, m in zip(case.arrays, case.moves, strict=True)]
        )
        for sign in (1, -1)
    )
    for name, high, low in zip(case.op.results, plus, minus, strict=True):
        expected = (high - low) / (2 * step)
        found = case.moved.get(name, np.zeros_like(expected))
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6, err_msg=name)


def results_at(case, arrays):
    graph = freeze("g", case.inputs, [(f"out{k}", node) for k, node in enumerate(case.results)])
    return evaluate_outputs(graph, dict(zip(case.op.args, arrays, strict=True))).values()


def test_the_adjoint_is_the_transpose(case):
    """<d, dY> = <adjoint of d, dA>, for a random cotangent of each result."""
    for name, node in zip(case.op.results, case.results, strict=True):
        if name not in case.moved:
            continue
        cotangent = case.rng.normal(size=case.moved[name].shape)
        d = nodes.input_("d", node.type)
        found = list(linalg(node, d, set(case.inputs), False))
        parts = case.run([part for _, part in found], [(d, cotangent)])
        at = dict(zip(case.inputs, case.moves, strict=True))
        total = sum(
            (part * at[operand]).sum() for (operand, _), part in zip(found, parts, strict=True)
        )
        np.testing.assert_allclose(total, (cotangent * case.moved[name]).sum(), rtol=1e-10)
        for (operand, _), part in zip(found, parts, strict=True):
            assert part.shape == operand.type.shape


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_an_entry_is_complete(op):
    rule = signature(op.signature)
    assert len(rule.operands) == len(op.args)
    assert len(rule.results) == len(op.results)
    assert op.doc.endswith(".")
    known = {*op.args, *op.results, *(f"d{name}" for name in op.args)}
    for text in op.differential:
        name, term = line(text)
        assert names(term) <= known, text
        known.add(name)
    # What is not read off one linear equation names where it is from.
    assert op.source or len(op.equations) == len(op.differential) == 1


def test_only_the_active_operands_get_a_cotangent():
    a, b = (nodes.input_(name, type_of_array(np.eye(3))) for name in "ab")
    (x,) = results("solve", a, b)
    assert [operand for operand, _ in linalg(x, x, {b}, False)] == [b]
