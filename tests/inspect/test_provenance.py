"""Where derivatives come from: what is counted as derived is derived, and what is not is listed."""

from typing import get_args

import pytest

import graphc
from graphc import adjoints
from graphc.adjoints.structural import BY_HAND
from graphc.cli import main
from graphc.derive.lookup import derivation
from graphc.inspect.provenance import of_function, provenance
from graphc.ops import kinds
from graphc.ops.elementwise import TABLE
from graphc.ops.linalg import LINALG
from graphc.ops.reductions import REDUCTIONS

GROUPS = {group.title: [name for name, _ in group.members] for group in provenance().groups}
FORMULAS, INDICES, READ_OFF, DIFFERENTIALS, STATED = GROUPS.values()
LAYOUTS = {"reshape", "transpose", "broadcast", "slice", "place", "pad", "diagonal", "concatenate"}


def test_the_count():
    """An op that is added with an adjoint by hand is seen here, and needs a reason."""
    counts = {title: len(names) for title, names in GROUPS.items()}
    assert counts == {
        "by SymPy, from the scalar formula": 92,
        "by SymPy, from the index formula": 1,
        "read off the matrix equation": 4,
        "a differential stated, from the source; tests certify it": 9,
        "an adjoint stated, since it": 17,
    }
    assert (provenance().count(True), provenance().count(False)) == (97, 26)
    for group in provenance().groups:
        assert group.derived or all(len(reason) > 10 for _, reason in group.members)


def test_every_op_with_a_derivative_is_counted_once():
    assert set(FORMULAS) == {name for name, op in TABLE.items() if op.differentiable}
    assert set(READ_OFF) | set(DIFFERENTIALS) == set(LINALG)
    reductions = {name for name, op in REDUCTIONS.items() if op.differentiable}
    assert set(STATED) == reductions | LAYOUTS | {"gather", "scatter"}
    everything = [name for names in GROUPS.values() for name in names]
    assert len(everything) == len(set(everything))
    # The kinds that have rules at all; a primitive's VJP is its user's, a search yields integers,
    # a loop is made after differentiation.
    assert set(adjoints.RULES) == set(get_args(kinds.Op)) - {kinds.Leaf, kinds.Search, kinds.Loop}
    params = {"Reshape", "Transpose", "Broadcast", "Slice", "Diagonal", "Pad", "Place"}
    assert {name.lower() for name in params | {"Concatenate"}} == LAYOUTS
    assert params <= {part.__name__ for part in get_args(kinds.Params) if part is not type(None)}


def test_what_is_derived_has_its_formula_on_record():
    for name in FORMULAS:
        known = derivation(name)
        assert any(partial is not None for partial in known.partials)
        assert all(partial is None or partial.definition for partial in known.partials)
    assert set(READ_OFF) == {"inv", "solve", "solve_lower", "solve_upper"}


def test_the_command(capsys, golden):
    assert main(["derivation"]) == 0
    golden(capsys.readouterr().out, "inspect/provenance.txt")


@pytest.mark.parametrize("name", ["softplus", "tanh", "maximum", "power", "solve", "cumprod"])
def test_one_function(name, capsys, golden):
    """What stands in the record, in an order to read: definition, form, error, why, the rest."""
    assert main(["derivation", name]) == 0
    golden(capsys.readouterr().out, f"inspect/{name}.txt")


def test_steps_and_integers_say_so():
    assert of_function("floor") == "floor(x): a step; its derivative is zero"
    assert "not differentiable" in of_function("argmax")
    assert "since it moves elements" in of_function("reshape")
    assert set(BY_HAND) == set(STATED)


def test_an_unknown_function(capsys):
    assert main(["derivation", "softpluss"]) == 2
    assert "no function 'softpluss'; did you mean 'softplus'?" in capsys.readouterr().err


def test_a_users_op_prints_alike():
    lines = str(graphc.derivation(graphc.elementwise("mine", "x / (1 + exp(-x))").op)).splitlines()
    assert lines[0] == "mine(x) = x / (1 + exp(-x))"
    assert any(line.startswith("d/dx = ") for line in lines)
    assert any("units: the cheapest" in line for line in lines)
