"""From a user's name to an identifier."""

from __future__ import annotations

import builtins
import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

import codegen
from codegen.names import MODULE_NAMES, Names, quoted
from tests.codegen.programs import Body, function, inputs, program, tuple_of

MAPPED = {
    "x": "x",
    "lambda": "lambda_",
    "layer1.W": "layer1_W",
    "params.layers.0.W": "params_layers_0_W",
    "x; import os": "x_import_os",
    "__import__('os').system('ls')": "__import___os_system_ls",
    "max": "max_",
    "np": "np_",
    "math": "math_",
    "type": "type_",
    "_new": "_new_",
    "None": "None_",
    "__debug__": "__debug___",
    "1st": "_1st",
    "": "value",
    "!?": "value",
    "β": "β",
    "ﬁt": "fit",
    "x y": "x_y",
    "x_": "x_",
    "π²": "π2",
    "日本": "日本",
    "a\nb": "a_b",
}


@pytest.mark.parametrize(("name", "expected"), MAPPED.items())
def test_mapping(name, expected):
    assert codegen.identifier(name) == expected


@given(st.text(max_size=20))
def test_always_a_legal_name(name):
    text = codegen.identifier(name)
    assert text.isidentifier()
    assert not keyword.iskeyword(text)
    assert not hasattr(builtins, text)
    assert text not in MODULE_NAMES
    space: dict[str, object] = {}
    exec(f"{text} = 1", {}, space)
    assert space == {text: 1}


@given(st.text(max_size=30))
def test_quoted_reads_back(text):
    assert eval(quoted(text)) == text
    assert quoted(text)[0] == '"'


def test_numbers_are_local_to_a_name():
    names = Names(["x"])
    assert [names.fresh(n) for n in ("h", "h", "x", "h", "x")] == ["h", "h_1", "x_1", "h_2", "x_2"]


def test_many_equal_names_take_linear_time():
    names = Names()
    made = {names.fresh("h") for _ in range(50_000)}
    assert len(made) == 50_000


def hostile():
    """Names that would end the string, the line or the world."""
    v = inputs(**{'x"; import os #': "f64[n]", "np": "f64[n]", "ndarray": "f64[n]", "n": "f64"})
    b = Body()
    b.note = 'a note\nwith """ lines \\ and more'
    b.tag = "model.py:1"
    total = b.apply("f64[n]", "add", *list(v.values())[:2], name="F64")
    other = b.apply("f64[n]", "multiply", total, v["ndarray"], name="_check_inputs")
    scaled = b.apply("f64[n]", "multiply", other, v["n"], name='print("""')
    made = function("import", v, b, tuple_of(total, scaled), doc='says """ and \\')
    return program('x"""; import os', made)


def test_hostile_names_reach_no_code():
    import numpy as np

    generated = codegen.generate(hostile())
    module = codegen.load(generated)
    one = np.ones(3)
    total, scaled = module.import_(one, one, one, 2.0)
    np.testing.assert_array_equal(total, [2, 2, 2])
    np.testing.assert_array_equal(scaled, [4, 4, 4])
    assert "os" not in vars(module)
    with pytest.raises(ValueError, match="x_import_os"):
        module.import_(one, one, np.ones(4), 2.0)


def test_arguments_keep_their_names_and_others_give_way():
    """Records, callables and constants that would hide an argument, or be hidden, are numbered."""
    import numpy as np

    from codegen.program import Record
    from tests.codegen.programs import constant, record_of

    v = inputs(Grads="f64[n]", shift="f64[n]", max="f64[n]")
    b = Body()
    weights = constant("shift", [1.0, 2.0])
    called = b.call("f64[n]", "max", v["Grads"], name="called")
    moved = b.apply("f64[n]", "add", called, weights.var, name="Grads_1")
    total = b.apply("f64[n]", "add", moved, v["shift"], name="max")
    made = program(
        "p",
        function("f", v, b, record_of("Grads", total)),
        constants=(weights,),
        records=(Record("Grads", ("total",)),),
        callables={"max": lambda x: 10 * x},
    )
    generated = codegen.generate(made)
    module = codegen.load(generated)
    one = np.ones(2)
    result = module.f(Grads=one, shift=one, max_=one)
    np.testing.assert_array_equal(result.total, [12, 13])
    assert generated.callables == {"max__1": "max"}
