"""Every scalar function on arrays and on numbers beside arrays, in every dtype it takes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import codegen
from codegen.expr import FUNCTIONS
from codegen.program import Options, Slice
from codegen.types import DTYPES
from tests.codegen.evaluate import ufunc
from tests.codegen.programs import Body, dim, function, inputs, program, tuple_of

VALUES = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.0, 3.7, 1e30, -1e30, np.inf, -np.inf, np.nan]
NAMES = {np.dtype(dtype).name: name for name, dtype in DTYPES.items()}


def operands(name, dtype):
    """All combinations of values of one dtype; conditions are bools."""
    arity = FUNCTIONS[name].arity
    if dtype.startswith("f"):
        values = VALUES if arity < 3 else VALUES[:7]
    else:
        values = [False, True] if dtype == "bool" else [-3, -1, 0, 1, 2, 7]
    axes = list(itertools.product(values, repeat=arity))
    made = [np.array([point[k] for point in axes], DTYPES[dtype]) for k in range(arity)]
    return [made[0] != 0, *made[1:]] if name == "where" else made


def expected(name, args):
    """NumPy's own result."""
    with np.errstate(all="ignore"):
        return np.asarray(ufunc(name)(*args))


def takes(name, dtype):
    """Whether NumPy takes such operands, and gives a dtype of ours (not half precision)."""
    if FUNCTIONS[name].numpy.startswith("scipy."):
        return False
    try:
        return expected(name, operands(name, dtype)).dtype.name in NAMES
    except (TypeError, ValueError):
        return False


DTYPE_NAMES = ("f64", "f32", "i64", "i32", "bool")
CASES = [(name, dtype) for name in FUNCTIONS for dtype in DTYPE_NAMES if takes(name, dtype)]


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_on_arrays_and_numbers(name, dtype):
    entry = FUNCTIONS[name]
    args = operands(name, dtype)
    wanted = expected(name, args)
    result = NAMES[wanted.dtype.name]
    dtypes = [NAMES[a.dtype.name] for a in args]
    count = args[0].size
    variables = inputs(
        **{f"x{k}": f"{d}[n]" for k, d in enumerate(dtypes)},
        **{f"s{k}": d for k, d in enumerate(dtypes)},
    )
    arrays = [variables[f"x{k}"] for k in range(entry.arity)]
    numbers = [variables[f"s{k}"] for k in range(entry.arity)]
    body = Body()
    y = body.apply(f"{result}[n]", name, *arrays, name="y")
    # A copy that is dead afterwards, so that the function may work in its place.
    whole = Slice((0,), (dim("n"),), (1,))
    copies = [body.write(a.type, 0, [(whole, a)], exhaustive=True) for a in arrays]
    z = body.apply(f"{result}[n]", name, *copies, name="z")
    s = body.apply(result, name, *numbers, name="s")
    made = program("p", function("f", variables, body, tuple_of(y, z, s)))
    for options in (Options(), Options(sizes=(("n", count),))):
        module = codegen.load(codegen.generate(made, options))
        for k in range(0, count, max(1, count // 40)):
            point = [a[k] for a in args]
            with np.errstate(all="ignore"):
                got, other, single = module.f(*args, *point)
            near(got, wanted)
            near(other, wanted)
            assert isinstance(single, DTYPES[result].type if result != "f64" else float)
            if name != "power" or 0.5 not in point:
                near(single, wanted[k])


def near(got, wanted):
    rtol = {"float32": 1e-6, "float64": 2e-15}.get(np.asarray(wanted).dtype.name, 0)
    np.testing.assert_allclose(got, wanted, rtol=rtol)


BEYOND_NUMPY = [name for name, entry in FUNCTIONS.items() if entry.numpy.startswith("scipy.")]


@pytest.mark.parametrize("name", BEYOND_NUMPY)
def test_functions_that_numpy_lacks(name):
    """SciPy's on arrays, and on numbers unless `math` has them."""
    arity = FUNCTIONS[name].arity
    variables = inputs(x="f64[n]", s="f64", t="f32")
    body = Body()
    outs = [
        body.apply(v.type, name, *[2] * (arity - 1), v, name=f"y{k}")
        for k, v in enumerate(variables.values())
    ]
    generated = codegen.generate(program("p", function("f", variables, body, tuple_of(*outs))))
    assert "import scipy.special" in generated.source
    x = np.array([0.1, 0.3, 0.9])
    y, s, t = codegen.load(generated).f(x, 0.3, np.float32(0.3))
    twos = [2.0] * (arity - 1)
    np.testing.assert_allclose(y, ufunc(name)(*twos, x), rtol=1e-14)
    np.testing.assert_allclose(s, ufunc(name)(*twos, 0.3), rtol=1e-15)
    np.testing.assert_allclose(t, ufunc(name)(*twos, 0.3), rtol=1e-5)
    assert isinstance(s, float)
    assert type(t) is np.float32


def test_conversions():
    variables = inputs(x="f64[n]", i="i64[n]", b="bool[n]", s="f64", k="i64", c="bool")
    body = Body()
    outs = []
    for source in variables.values():
        shape = "[n]" if source.type.shape else ""
        for target in ("f64", "f32", "i64", "i32", "bool"):
            outs.append(body.apply(target + shape, target, source, name=f"{source.name}_{target}"))
    made = program("p", function("f", variables, body, tuple_of(*outs)))
    f = codegen.load(codegen.generate(made)).f
    arrays = [np.array([0.0, 1.5]), np.array([0, 7]), np.array([False, True])]
    given = [*arrays, 1.5, 7, True]
    results = iter(f(*given))
    for value in given:
        for target in ("f64", "f32", "i64", "i32", "bool"):
            wanted = np.asarray(value).astype(DTYPES[target])
            got = next(results)
            np.testing.assert_array_equal(got, wanted)
            assert np.asarray(got).dtype == wanted.dtype
