"""Pictures of circuits: what stands on the wires, where the gates stand, local gradients."""

from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import graphc
from graphc.cli import BAD_INPUT, main
from graphc.inspect.layers import layout
from graphc.textual import read_file

ROOT = Path(__file__).resolve().parents[2]
VALUE, GRADIENT, LOCAL = "#1a7f37", "#cf222e", "#6e7781"


def example(name):
    found = read_file(str(ROOT / "examples" / f"{name}.toml"))
    return found.graph.evaluate(**{name: value[()] for name, value in found.example.items()})


def texts(svg):
    """Every text of a picture, as {colour: [(x, y, text)]}."""
    found = {}
    for each in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        place = float(each.get("x")), float(each.get("y")), each.text
        found.setdefault(each.get("fill"), []).append(place)
    return found


def said(svg, color):
    return [text for _, _, text in texts(svg).get(color, [])]


# -- local gradients -------------------------------------------------------------------------------


def test_local_gradients_are_of_one_gate_alone():
    assert example("circuit").local == {"q": {"x": 1, "y": 1}, "f": {"q": -4, "z": 3}}
    local = example("neuron").local
    assert local["power"] == {"negated": pytest.approx(np.exp(-1), rel=1e-15)}
    assert local["f"] == {"denominator": pytest.approx(-((1 + np.exp(-1)) ** -2), rel=1e-15)}
    assert example("gates").local["larger"] == {"z": 1, "w": 0}
    assert example("branches").local["square"] == {"x": 6}, "x * x uses x twice"


def test_the_gradient_of_an_operand_is_the_sum_over_its_users_of_theirs_times_the_local_one():
    @graphc.trace(x="f64", y="f32", n="i64", v="f64[2]")
    def circuit(x, y, n, v):
        a = np.where(x > 0, np.hypot(x, y), x * n)
        b = np.maximum(a, x) ** 2 + np.arctan2(a, y) + v.sum() * x
        return b * a - np.exp(-b / 50)

    found = circuit.evaluate(1.5, np.float32(0.5), 3, np.array([1.0, 2.0]))
    summed = {}
    for gate, parts in found.local.items():
        for operand, local in parts.items():
            summed[operand] = summed.get(operand, 0.0) + local * found.grads[gate]
    assert {"x", "y", "a", "b"} <= summed.keys()
    for name, total in summed.items():
        assert total == pytest.approx(float(found.grads[name]), rel=1e-6), name
    assert "n" not in summed, "an integer has no gradient"
    assert "v" not in summed, "an array's local gradient is a Jacobian"


def test_a_gate_by_hand_has_local_gradients():
    @graphc.primitive(result=lambda x, y: x)
    def product(x, y):
        return x * y, (x, y)

    @product.vjp
    def _(saved, d):
        return d * saved[1], d * saved[0]

    graph = graphc.trace(lambda x, y: {"f": product(x, y)}, "f64", "f64")
    assert graph.evaluate(3.0, -4.0).local == {"f": {"x": -4.0, "y": 3.0}}


def test_a_table_with_local_gradients(capsys):
    assert main(["run", str(ROOT / "examples/branches.toml"), "--local"]) == 0
    header, _, x, _, square, product, f = capsys.readouterr().out.splitlines()
    assert header.endswith("  gradient of f  local gradients")
    assert square.split() == ["square", "x", "*", "x", "9", "1", "x:", "6"]
    assert product.endswith("  x: -4, y: 3")
    assert f.endswith("  square: 1, product: 1")
    assert x.split() == ["x", "input", "3", "2"]
    scores = graphc.trace(lambda x: x * 2, "f64[2]").evaluate(np.ones(2))
    assert scores.table(local=True).splitlines()[0].split() == [
        *("name", "formula", "value", "local", "gradients")
    ]


# -- pictures --------------------------------------------------------------------------------------


def test_values_above_the_wires_and_gradients_below(tmp_path):
    svg = example("circuit").draw(tmp_path / "circuit.svg")
    assert (tmp_path / "circuit.svg").read_text(encoding="utf-8") == svg
    assert sorted(said(svg, VALUE)) == ["-12", "-2", "-4", "3", "5", "value  "]
    assert sorted(said(svg, GRADIENT)) == ["-4", "-4", "-4", "1", "3", "gradient of f  "]
    assert sorted(said(svg, LOCAL)) == ["-4", "1", "1", "3", "f", "local gradient", "q"]
    assert sorted(said(svg, "#24292f")) == ["*", "+", "x", "y", "z"]
    for x, y, value in texts(svg)[VALUE][:-1]:
        # x's -2 and -4, y's 5 and -4, z's -4 and 3, q's 3 and -4, f's -12 and 1
        below = [text for left, low, text in texts(svg)[GRADIENT] if (left, low) == (x, y + 18)]
        expected = {"-2": ["-4"], "5": ["-4"], "-4": ["3"], "3": ["-4"], "-12": ["1"]}
        assert below == expected[value]


def test_numbers_stand_in_the_gates():
    svg = example("neuron").draw()
    assert said(svg, "#24292f")[5:] == ["*", "*", "+", "+", "* -1", "exp", "+ 1", "1 /"]


def test_the_picture_in_the_readme_is_the_one_that_is_drawn(request):
    path = ROOT / "docs" / "neuron.svg"
    if request.config.getoption("--update-golden"):
        example("neuron").draw(path)
    assert path.read_text(encoding="utf-8") == example("neuron").draw()


def test_arrays_show_their_shapes_and_graphs_their_types():
    @graphc.trace(x="f64[n, 3]", W="f64[3]", y="bool[n]")
    def loss(x, W, y):
        return np.where(y, x @ W, 0.0).mean()

    svg = loss.draw()
    assert "f64[n, 3]" in said(svg, LOCAL)
    assert VALUE not in texts(svg)
    svg = loss.evaluate(np.ones((2, 3)), np.ones(3), np.array([True, False])).draw()
    assert "[2 x 3]" in said(svg, VALUE)
    assert "[1, 1, 1]" in said(svg, VALUE)
    assert "[0.5, 0.5, 0.5]" in said(svg, GRADIENT)
    assert "[True, False]" in said(svg, VALUE)
    scores = graphc.trace(lambda x: x * 2, "f64[2]").evaluate(np.ones(2)).draw()
    assert GRADIENT not in texts(scores), "no scalar, no gradient"


def test_names_cannot_break_the_picture():
    b = graphc.Builder("a<b & c")
    x = b.input("x<y>")
    b.output('"f"', b.node("p&q", x * x) + 1)
    svg = b.build().evaluate(**{"x<y>": 2.0}).draw()
    assert "x<y>" in said(svg, "#24292f")
    assert "p&q" in said(svg, LOCAL)
    assert ElementTree.fromstring(svg)[0].text == "a<b & c"


def test_what_nobody_could_see_is_not_drawn():
    def chain(x):
        for _ in range(201):
            x = np.sin(x)
        return x

    graph = graphc.trace(chain, "f64")
    with pytest.raises(graphc.GraphValueError, match="202 gates; a drawing shows at most 200"):
        graph.draw()


def test_notebooks_show_what_can_be_seen():
    found = example("circuit")
    assert found._repr_svg_() == found.draw()
    assert found.graph._repr_svg_() == found.graph.draw()
    large = graphc.trace(lambda x: sum(np.sin(k * x) for k in range(1, 100)), "f64")
    assert large._repr_svg_() is None
    assert large.evaluate(1.0)._repr_svg_() is None


def test_the_command_draws_with_values_or_with_types(tmp_path, capsys):
    file = str(tmp_path / "circuit.svg")
    assert main(["draw", str(ROOT / "examples/circuit.toml"), "-o", file, "--set", "z=1"]) == 0
    drawn = Path(file).read_text(encoding="utf-8")
    assert sorted(said(drawn, VALUE)) == ["-2", "1", "3", "3", "5", "value  "]
    assert main(["draw", f"{ROOT / 'examples/hinge_classifier.py'}:loss", "-o", file]) == 0
    assert "f64[batch, 10]" in said(Path(file).read_text(encoding="utf-8"), LOCAL)
    assert main(["draw", str(ROOT / "examples/circuit.toml"), "-o", str(tmp_path)]) == BAD_INPUT
    assert capsys.readouterr().err.count("\n") == 1


# -- the layout ------------------------------------------------------------------------------------


@st.composite
def circuits(draw):
    """Boxes, and wires from earlier ones to later ones."""
    count = draw(st.integers(1, 14))
    wires = [
        (draw(st.integers(0, target - 1)), target)
        for target in range(1, count)
        for _ in range(draw(st.integers(0, 3)))
    ]
    return list(range(count)), wires


@given(circuits())
def test_no_two_boxes_on_one_place_and_wires_go_right(circuit):
    boxes, wires = circuit
    found = layout(boxes, wires)
    for source, target in wires:
        assert found.layer[source] < found.layer[target]
        between = found.layer[target] - found.layer[source] - 1
        assert len(found.through[source, target]) == between
    taken = [(found.layer[box], found.row[box]) for box in boxes]
    for (source, _), rows in found.through.items():
        taken += [(found.layer[source] + 1 + k, row) for k, row in enumerate(rows)]
    for layer in range(found.layers):
        rows = sorted(row for at, row in taken if at == layer)
        assert rows, "no layer is empty"
        assert all(b - a > 1 - 1e-9 for a, b in pairwise(rows))
    assert min(row for _, row in taken) == 0
    assert max(row for _, row in taken) + 1 == pytest.approx(found.rows)
