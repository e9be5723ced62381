"""Long lines are broken as a person would, and still mean the same."""

from __future__ import annotations

import ast
import random

import pytest

from codegen.layout import WIDTH, wrap
from codegen.source import Assign, Blank, Block, Comment, Do, Return, docstring, render

NAMES = ["alpha", "beta_value", "x", "gradient_of_W", "h_1", "[1, 2][0]", '"a, (b"']

CALL = "some_function(first_argument_name, second_argument_name, third_argument_name, x)"
SUM = "long_operand_name * second_operand_name + third_operand_name * fourth_operand"
CONDITION = "first_long_name != 12 or second_long_name != 13 or third_long_name != 14"
RAISE = 'a message (with, brackets] and = signs", first_argument_here, second_argument_here'
LONG = [
    (
        f"the_result = {CALL}",
        [
            "the_result = some_function(",
            "    first_argument_name, second_argument_name, third_argument_name, x",
            ")",
        ],
    ),
    (
        f"the_total = {SUM}",
        [
            "the_total = (",
            "    long_operand_name * second_operand_name",
            "    + third_operand_name * fourth_operand",
            ")",
        ],
    ),
    (
        f"if {CONDITION} or fourth != 2:",
        [
            "if (",
            "    first_long_name != 12",
            "    or second_long_name != 13",
            "    or third_long_name != 14",
            "    or fourth != 2",
            "):",
        ],
    ),
    (f'raise ValueError("{RAISE})', ["raise ValueError(", f'    "{RAISE}', ")"]),
]


@pytest.mark.parametrize(("text", "lines"), LONG)
def test_breaks(text, lines):
    assert wrap(text, 0) == lines


def test_short_lines_stay():
    assert wrap("x = f(a, b)", 4) == ["    x = f(a, b)"]


def expression(rng, depth):
    if depth == 0 or rng.random() < 0.2:
        return rng.choice(NAMES)
    parts = [expression(rng, depth - 1) for _ in range(rng.randint(2, 4))]
    kind = rng.randint(0, 5)
    if kind == 0:
        return f"np.call({', '.join(parts)})"
    if kind == 1:
        return f"({rng.choice([' + ', ' * ', ' @ ', ' and ']).join(parts)})"
    if kind == 2:
        return f"{parts[0]} if {parts[1]} else {parts[0]}".join("()")
    if kind == 3:
        return f"x[{', '.join(parts)}]"
    if kind == 4:
        return f"({', '.join(parts)},)"
    return f"{{{', '.join(f'{NAMES[-1]}: {p}' for p in parts)}}}"


@pytest.mark.parametrize("seed", range(60))
def test_meaning_is_kept(seed):
    rng = random.Random(seed)
    value = expression(rng, 4)
    operands = " - ".join([value, expression(rng, 2)])
    for text in (f"name = {value}", f"name += {operands}", f"return {operands}", f"f({value})"):
        body = "\n".join(wrap(text, 4))
        wrapped = ast.parse(f"def g():\n{body}")
        plain = ast.parse(f"def g():\n    {text}")
        assert ast.dump(wrapped) == ast.dump(plain), body


def test_lines_fit_where_they_can():
    text = f"y = f({', '.join(f'argument_{k}' for k in range(40))})"
    assert max(map(len, wrap(text, 8))) <= WIDTH


def test_a_word_too_long_for_a_comment_stands_alone():
    word = "x" * (WIDTH + 20)
    text = render([Comment(f"y = {word} + 1")])
    assert text.lines == ["# y =", f"#     {word} + 1"]


def test_render():
    text = render(
        [
            Block(
                "def f(x):",
                [
                    docstring("One line.", 4),
                    Comment("why\nand how"),
                    Assign("y", "x + 1", comment="f64[n]", tag="a"),
                    Blank(),
                    Assign("y", "2", "*="),
                    Do("print(y)", tag="b"),
                    Return("y"),
                ],
            )
        ]
    )
    assert str(text) == (
        'def f(x):\n    """One line."""\n    # why\n    # and how\n    y = x + 1  # f64[n]\n\n'
        "    y *= 2\n    print(y)\n    return y\n"
    )
    assert text.tags == {5: "a", 8: "b"}


@pytest.mark.parametrize(
    "doc", ['says """ and', "ends with a backslash \\", 'ends with "', "two\nlines", "word " * 40]
)
def test_docstrings_are_closed(doc):
    source = str(render([Block("def f():", [docstring(doc, 4), Do("pass")])]))
    tree = ast.parse(source)
    assert ast.get_docstring(tree.body[0])
    assert max(map(len, source.splitlines())) <= WIDTH


def test_many_names_fill_their_lines():
    names = [f"value_{k}" for k in range(40)]
    lines = wrap(f"return loss, ({', '.join(names)})", 4)
    assert max(map(len, lines)) <= WIDTH
    assert len(lines) < 10
    assert " ".join(line.strip() for line in lines) == f"return loss, ( {', '.join(names)}, )"


def test_a_wide_operand_is_broken_at_its_own_operators():
    factors = " * ".join(f"factor_{k}" for k in range(12))
    lines = wrap(f"total = {factors} + rest", 0)
    assert max(map(len, lines)) <= WIDTH
    assert lines[-2:] == ["    + rest", ")"]
