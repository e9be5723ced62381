"""Compiled random graphs against the reference interpreter, which shares nothing with codegen."""

import numpy as np
from hypothesis import given, settings

import graphc
from graphc import autodiff
from graphc.interpret import emitted, evaluate
from tests.strategies import cases


def flat(result):
    """The arrays of a result, in order."""
    if isinstance(result, tuple | list):
        return [leaf for part in result for leaf in flat(part)]
    if isinstance(result, dict):
        return [leaf for part in result.values() for leaf in flat(part)]
    return [result]


def arguments(case):
    """The inputs as a user passes them: arrays, and numbers where the rank is zero."""
    return [
        case.values[node.name] if node.type.shape else case.values[node.name][()]
        for node in case.graph.inputs
    ]


def expected(graph, case, **more):
    """The outputs of a graph, by the definitions."""
    found = evaluate(graph, {**case.values, **more}, expression=emitted)
    return [found[node] for _, node in graph.outputs]


def agree(got, wanted, source, scale=1.0):
    """The same type, shape and numbers, to rounding."""
    assert len(got) == len(wanted), source
    for mine, theirs in zip(got, wanted, strict=True):
        assert np.asarray(mine).dtype == theirs.dtype, source
        assert np.shape(mine) == theirs.shape, source
        rtol = 2e-4 if theirs.dtype == np.float32 or scale == "f32" else 1e-9
        finite = theirs[np.isfinite(theirs)] if theirs.dtype.kind == "f" else theirs
        size = float(np.max(np.abs(finite), initial=1.0)) if finite.dtype.kind != "b" else 1.0
        np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=rtol * size, err_msg=source)


def has_f32(graph):
    """Whether anything is computed in single precision, which rounds coarser."""
    return any(node.type.dtype == "f32" for node in graph.nodes)


def untouched(function, values, source):
    """Calls the function; its inputs stay as they are, its results are writable and its own."""
    before = [np.array(value) for value in values]
    with np.errstate(all="ignore"):
        result = function(*values)
    for value, copy in zip(values, before, strict=True):
        np.testing.assert_array_equal(value, copy, err_msg=source)
    return result


def unshared(results, values, source):
    arrays = [x for x in flat(results) if isinstance(x, np.ndarray)]
    for k, array in enumerate(arrays):
        assert array.flags.writeable, source
        for other in [*arrays[:k], *values]:
            assert not np.may_share_memory(array, other) or not np.shares_memory(array, other), (
                source
            )


@given(cases(steps=12))
@settings(max_examples=150)
def test_values(case):
    f = graphc.compile(case.graph, cache=False)
    values = arguments(case)
    result = untouched(f, values, f.source)
    scale = "f32" if has_f32(case.graph) else 1.0
    agree(flat(result), expected(case.graph, case), f.source, scale)
    unshared(result, values, f.source)


@given(cases(special=True, steps=6))
@settings(max_examples=100)
def test_values_at_infinities_and_nan(case):
    f = graphc.compile(case.graph, cache=False, stable=False)
    values = arguments(case)
    result = untouched(f, values, f.source)
    scale = "f32" if has_f32(case.graph) else 1.0
    agree(flat(result), expected(case.graph, case), f.source, scale)


@given(cases(smooth=True, scalar=True, steps=12))
@settings(max_examples=150)
def test_gradients_of_a_scalar(case):
    names = [node.name for node in case.graph.inputs]
    f = graphc.compile(case.graph, wrt=names, cache=False)
    gradient = autodiff.value_and_grad(case.graph, wrt=names)
    wanted = expected(gradient, case)
    values = arguments(case)
    scale = "f32" if has_f32(gradient) else 1.0
    joint = untouched(f.value_and_grad, values, f.source)
    agree(flat(joint), wanted, f.source, scale)
    unshared(joint, values, f.source)
    outputs, saved = untouched(f.forward, values, f.source)
    gradients = untouched(lambda *_: f.backward(saved), values, f.source)
    agree([*flat(outputs), *flat(gradients)], wanted, f.source, scale)
    unshared(gradients, values, f.source)
    agree(flat(f.backward(saved)), wanted[1:], f.source, scale)  # saved is as it was


@given(cases(smooth=True, steps=10))
@settings(max_examples=100)
def test_cotangents_of_several_outputs(case):
    names = [node.name for node in case.graph.inputs]
    f = graphc.compile(case.graph, wrt=names, cache=False)
    vjp = autodiff.vjp(case.graph, wrt=names)
    values = arguments(case)
    random = np.random.default_rng(5)
    outputs, saved = untouched(f.forward, values, f.source)
    cotangents = {}
    seeds = [node.name for node in vjp.inputs if node.name not in set(names)]
    for name, (_, node), value in zip(
        seeds,
        [item for item in case.graph.outputs if item[1].type.floating],
        [x for x in flat(outputs) if np.asarray(x).dtype.kind == "f"],
        strict=True,
    ):
        made = random.normal(size=np.shape(value)).astype(np.asarray(value).dtype)
        cotangents[name] = made if node.type.shape else made[()]
    gradients = f.backward(saved, *cotangents.values())
    scale = "f32" if has_f32(vjp) else 1.0
    more = {name: np.asarray(value) for name, value in cotangents.items()}
    agree(flat(gradients), expected(vjp, case, **more), f.source, scale)
    unshared(gradients, [*values, *more.values()], f.source)
