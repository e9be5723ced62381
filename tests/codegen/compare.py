"""Running emitted code against the plain evaluator."""

from __future__ import annotations

from typing import Any

import numpy as np

import codegen
from codegen.plan.flatten import leaves
from codegen.program import Options, Program, Var
from codegen.types import DTYPES, Size, substitute
from tests.codegen.evaluate import run


def sample(var: Var, sizes: dict[str, int], rng: np.random.Generator, low: int = 0) -> Any:
    """A random array of the Var's type; integers are in [low, 3)."""
    shape = tuple(_int(substitute(size, sizes)) for size in var.type.shape)
    dtype = DTYPES[var.type.dtype]
    if dtype.kind in "ib":
        made = rng.integers(low, 3 if dtype.kind == "i" else 2, shape)
        return made.astype(dtype) if shape else dtype.type(made)
    made = rng.standard_normal(shape)
    if shape:
        return made.astype(dtype)
    return float(made) if dtype == np.float64 else dtype.type(made)


def _int(size: Size) -> int:
    assert isinstance(size, int)
    return size


def flat(result: Any) -> list[Any]:
    """The leaves of a result, in order."""
    if isinstance(result, dict):
        return [leaf for value in result.values() for leaf in flat(value)]
    if isinstance(result, tuple | list):
        return [leaf for value in result for leaf in flat(value)]
    return [result]


def check(
    program: Program,
    options: Options | None = None,
    rtol: float = 1e-12,
    seed: int = 0,
    arguments: dict[str, Any] | None = None,
    **sizes: int,
) -> codegen.Generated:
    """Every function of plain arrays agrees with the evaluator: values, dtypes, shapes; its results
    are fresh and its inputs unwritten; with and without entry checks, small or large."""
    rng = np.random.default_rng(seed)
    generated = codegen.generate(program, options)
    small = codegen.generate(program, Options(sizes=tuple(sizes.items())))
    for source in {generated.source, generated.unchecked, small.source, small.unchecked}:
        module = codegen.load_source(source, program.name, program.callables, generated.constants)
        for function in program.functions:
            variables = [var for param in function.params for var in leaves(param.value)]
            values = [
                arguments[var.name] if arguments else sample(var, sizes, rng) for var in variables
            ]
            expected = flat(run(program, function, dict(zip(variables, values, strict=True))))
            inputs = [np.array(value) for value in values]
            results = flat(getattr(module, function.name)(*values))
            outs = leaves(function.result)
            for var, got, wanted in zip(outs, results, expected, strict=True):
                agree(var, got, wanted, rtol, source)
            for before, after in zip(inputs, values, strict=True):
                np.testing.assert_array_equal(before, after, err_msg=source)
            if not function.may_alias:
                unshared(results, [*values, *vars(module).values()], source)
    return generated


def agree(var: Var, got: Any, wanted: Any, rtol: float, source: str) -> None:
    """The same numbers, of the declared type."""
    if var.type.shape == ():
        allowed = (float,) if var.type.dtype == "f64" else (DTYPES[var.type.dtype].type,)
        assert isinstance(got, allowed), f"{type(got)} for {var}\n{source}"
    else:
        assert type(got) is np.ndarray, source
        assert got.dtype == DTYPES[var.type.dtype], f"{got.dtype} for {var}\n{source}"
    scale = np.max(np.abs(wanted), initial=1.0) if np.asarray(wanted).dtype.kind == "f" else 1.0
    np.testing.assert_allclose(got, wanted, rtol=rtol, atol=rtol * scale, err_msg=source)


def unshared(results: list[Any], others: list[Any], source: str) -> None:
    """Results are writable and share memory with nothing."""
    arrays = [result for result in results if isinstance(result, np.ndarray)]
    for k, array in enumerate(arrays):
        assert array.flags.writeable, source
        for other in [*arrays[:k], *others]:
            if isinstance(other, np.ndarray):
                assert not np.shares_memory(array, other), source
        # A view that shows an element twice would change in two places.
        filled = array.copy()
        array[...] = 1
        assert np.all(array == 1), source
        array[...] = filled
