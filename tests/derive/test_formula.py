"""The formula language: what it reads, what it prints back, and what it refuses."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codegen.expr import FUNCTIONS, Apply, Number, Symbol
from graphc.errors import GraphError, GraphNameError, GraphSyntaxError, GraphTypeError
from graphc.formula import MAX_DEPTH, free_names, parse, split_arrow, text
from graphc.ops.elementwise import TABLE, define

ARGS = ("x", "y", "longer_name")
NUMBERS = st.one_of(
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False),
    st.just(math.pi),
)


def applied(children):
    def build(name):
        arity = FUNCTIONS[name].arity
        # A function of one literal is read as the number it is; test_literals sees to that.
        symbol_first = children.filter(lambda arg: not isinstance(arg, Number))
        args = [symbol_first] if arity == 1 else [children] * arity
        return st.tuples(*args).map(lambda operands: Apply(name, operands))

    return st.sampled_from(sorted(FUNCTIONS)).flatmap(build)


EXPRESSIONS = st.recursive(
    st.one_of(st.sampled_from(ARGS).map(Symbol), NUMBERS.map(Number)), applied, max_leaves=12
)


@given(EXPRESSIONS)
def test_what_is_printed_is_read_back(expr):
    assert parse(text(expr), ARGS) == expr


@pytest.mark.parametrize("op", TABLE.values(), ids=lambda op: op.name)
def test_every_op_of_the_table_is_read(op):
    expr = parse(op.formula, op.args)
    assert parse(text(expr), op.args) == expr


@pytest.mark.parametrize(
    ("source", "printed"),
    [
        ("(x + 1e16) - 1e16", "x + 1e+16 - 1e+16"),
        ("x + (y - 1)", "x + (y - 1)"),
        ("-x ** 2", "-x ** 2"),
        ("(-x) ** 2", "(-x) ** 2"),
        ("2 ** -x ** y", "2 ** -x ** y"),
        ("(x ** y) ** 2", "(x ** y) ** 2"),
        ("x < y < 1", "logical_and(x < y, y < 1)"),
        ("not x > 0 or y > 0", "logical_or(logical_not(x > 0), y > 0)"),
        ("x if x > y else y", "where(x > y, x, y)"),
        ("max(x, y, 0)", "maximum(maximum(x, y), 0)"),
        ("x   # the first\n + y  # the second", "x + y"),
        ("+x / -2", "x / -2"),
        ("abs(x) * ln(y)", "abs(x) * log(y)"),
        ("x * inf - -inf", "x * inf - -inf"),
    ],
)
def test_spelling(source, printed):
    assert text(parse(source, ("x", "y"))) == printed


def test_literals():
    assert parse("sqrt(2) * x", ("x",)).args[0] == Number(math.sqrt(2))
    assert parse("log(-1) * x", ("x",)).args[0] == Apply("log", (Number(-1),))
    assert parse("e + pi", ()) == Apply("add", (Number(math.e), Number(math.pi)))
    assert parse("e + 1", ("e",)) == Apply("add", (Symbol("e"), Number(1)))


def test_an_argument_may_have_a_name_of_its_own_script():
    assert parse("λ * 2", ("λ",)) == Apply("multiply", (Symbol("λ"), Number(2)))


def test_names():
    assert free_names("b * sin(a) + pi * b") == ("b", "a")
    assert split_arrow("(x, y) -> x - y") == (("x", "y"), " x - y")
    assert split_arrow("x -> x") == (("x",), " x")
    assert split_arrow("x - y") == (None, "x - y")


@pytest.mark.parametrize(
    ("source", "column", "problem"),
    [
        ("x + yy", 5, "unknown name 'yy'"),
        ("x + expp(y)", 5, "did you mean 'exp'?"),
        ("x + exp(x, y)", 5, "exp takes 1 argument(s), not 2"),
        ("x.real", 1, "no attributes"),
        ("np.exp(x)", 1, "write `exp(...)`"),
        ("x + [y]", 5, "List is not part"),
        ("x + y) * (x", 6, "unmatched"),
        ("(x + y", 1, "never closed"),
        ("x = y", 3, "invalid syntax"),
        ("x & y", 1, "the operators are"),
        ("x in y", 1, "the comparisons are"),
        ("f'{x}'", 2, "unexpected"),
        ("x; y", 2, "unexpected"),
        ("x @ y", 1, "the operators are"),
        ("exp(*x)", 1, "positional"),
        ("exp(x=1)", 1, "positional"),
        ("(lambda: x)()", 1, "only a known function"),
        ("1j * x", 1, "integers and floats"),
        ("99999999999999999999 * x", 1, "beyond 64 bits"),
        ("~x", 1, "use `not`"),
    ],
)
def test_errors_point_at_the_column(source, column, problem):
    with pytest.raises(GraphSyntaxError) as caught:
        parse(source, ("x", "y"))
    message = str(caught.value)
    assert f"column {column}:" in message
    assert problem in message
    assert "\n" not in message


def test_an_error_in_several_lines_names_the_line():
    with pytest.raises(GraphSyntaxError, match="line 3, column 5: unknown name 'z'"):
        parse("x\n+ y\n  + z", ("x", "y"))


def test_the_message_names_the_users_own_line():
    with pytest.raises(GraphSyntaxError, match=r"^test_formula\.py:\d+: "):
        parse("x +", ("x",))


HOSTILE = [
    "__import__('os').system('true')",
    "().__class__.__bases__[0].__subclasses__()",
    "[x for x in (1, 2)]",
    "(x := 1)",
    "lambda: 0",
    "x[0]",
    "{**x}",
    "yield x",
    "await x",
    "exec(x)",
    "eval(x)",
    "open(x)",
    "print(x)",
    "...",
    "None",
    "x\0",
    "x\\\ny",
    "",
    "   ",
    "# nothing",
    "(" * 5000,
    "(" * 5000 + ")" * 5000,
    "-" * 15000 + "x",
    "+".join(["x"] * 9000),
    "x" * 30000,
    "9" * 10000,
    "1e" + "9" * 4000 + "*",
    "not " * 4000 + "x",
    "x if " * 3000 + "x",
]


@pytest.mark.parametrize("source", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_refused_in_one_line(source):
    with pytest.raises(GraphSyntaxError) as caught:
        parse(source, ("x",))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@given(st.text(max_size=60))
def test_any_text_is_an_expression_or_a_graph_error(source):
    try:
        parse(source, ("x", "y"))
    except GraphError as error:
        assert "\n" not in str(error)  # noqa: PT017 (few texts raise; pytest.raises wants all to)


def test_nesting_up_to_the_limit_is_read():
    deep = "exp(" * (MAX_DEPTH - 1) + "x" + ")" * (MAX_DEPTH - 1)
    assert text(parse(deep, ("x",))) == deep
    with pytest.raises(GraphSyntaxError, match="deeper than"):
        parse(f"exp(exp({deep}))", ("x",))


def test_text_is_not_anything_else():
    with pytest.raises(GraphSyntaxError, match="a formula is text, not int"):
        parse(3, ("x",))


# -- a user's own op -------------------------------------------------------------------------------


def test_define_by_text():
    op = define("swish", "x / (1 + exp(-x))")
    assert (op.args, op.formula, op.result) == (("x",), "x / (1 + exp(-x))", "float")
    assert define("f", "b - a").args == ("b", "a")
    assert define("f", "(a, b) -> b - a").args == ("a", "b")
    assert define("f", "b - a", ["a", "b"]).args == ("a", "b")


def test_ops_of_the_table_are_expanded_in_a_formula():
    assert define("f", "x * sigmoid(2 * x)").formula == "x * (1 / (1 + exp(-(2 * x))))"


def test_the_result_follows_numpy():
    assert define("f", "x * x + 1").result == "same"
    assert define("f", "x / 2").result == "float"
    assert define("f", "x + 0.5").result == "float"
    assert define("f", "x > 0 and x < 1").result == "bool"
    assert define("f", "where(x > 0, x, 0)").result == "same"
    assert not define("f", "x > 0").differentiable


def test_define_by_a_sympy_function():
    import sympy

    op = define("swish", lambda x: x / (1 + sympy.exp(-x)))
    assert (op.args, op.formula) == (("x",), "x / (1 + exp(-x))")
    assert define("relu", lambda t: sympy.Max(t, 0)).formula == "maximum(t, 0)"
    pieces = define("p", lambda t: sympy.Piecewise((t, t > 0), (t**2, True)))
    assert pieces.formula == "where(t > 0, t, t * t)"


def test_define_refuses_what_is_no_formula():
    import numpy as np

    with pytest.raises(GraphTypeError, match=r"use SymPy's functions in it \(sympy.exp\)"):
        define("f", lambda x: np.exp(x))
    with pytest.raises(GraphTypeError, match="text or a callable, not int"):
        define("f", 3)
    with pytest.raises(GraphNameError, match="not an identifier"):
        define("my op", "x + 1")
    with pytest.raises(GraphNameError, match="'pi' cannot name an argument"):
        define("f", "(pi) -> pi + 1")
    with pytest.raises(GraphSyntaxError, match="does not use argument 'y'"):
        define("f", "(x, y) -> x + 1")
    with pytest.raises(GraphSyntaxError, match="named twice"):
        define("f", "(x, x) -> x + 1")
    with pytest.raises(GraphSyntaxError, match="has no argument"):
        define("f", "1 + 2")
