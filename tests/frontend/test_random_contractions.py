"""Random index formulas: what is emitted for them against their terms, added up one by one."""

from itertools import product

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import graphc

BODIES = {
    "{product}": lambda first, rest: first * np.prod(rest),
    "({first} - {rest})**2": lambda first, rest: (first - np.prod(rest)) ** 2,
    "tanh({first} + {rest})": lambda first, rest: np.tanh(first + np.prod(rest)),
    "{first} + exp({rest})": lambda first, rest: first + np.exp(np.prod(rest)),
}


@st.composite
def formulas(draw):
    """(text, axes of each operand, the result's indices, extents, shapes, the body's function).

    An axis is a pair (terms, offset): the sum of scale * index, which may read outside.
    """
    extents = {name: draw(st.integers(1, 4)) for name in "ijk"}
    names = st.sampled_from("ijk")
    operands = [
        [([(draw(names), 1)], 0) for _ in range(draw(st.integers(1, 2)))]
        for _ in range(draw(st.integers(1, 3)))
    ]
    plain = sorted({terms[0][0] for axes in operands for terms, _ in axes})
    if draw(st.booleans()):
        extents["h"] = draw(st.integers(1, 5))
        terms = [("h", draw(st.integers(1, 2))), (draw(st.sampled_from(plain)), 1)]
        operands[draw(st.integers(0, len(operands) - 1))].append((terms, draw(st.integers(-1, 1))))
    used = [
        *plain,
        *(["h"] if any(len(terms) > 1 for axes in operands for terms, _ in axes) else []),
    ]
    out = [name for name in draw(st.permutations(used)) if name == "h" or draw(st.booleans())]
    shapes = [
        tuple(
            extents[terms[0][0]]
            if len(terms) == 1
            else max(1, offset + 1 + sum(scale * (extents[name] - 1) for name, scale in terms))
            for terms, offset in axes
        )
        for axes in operands
    ]
    body = draw(st.sampled_from(list(BODIES)))
    factors = [f"x{k}[{', '.join(map(text, axes))}]" for k, axes in enumerate(operands)]
    rest = " * ".join(factors[1:]) or "1"
    written = body.format(product=" * ".join(factors), first=factors[0], rest=rest)
    left = f"y[{', '.join(out)}]" if out else "y"
    return f"{left} = {written}", operands, out, extents, shapes, BODIES[body]


def text(axis):
    """`2*h+i-1`."""
    terms, offset = axis
    return "+".join(f"{scale}*{name}" for name, scale in terms) + (f"{offset:+d}" if offset else "")


def by_terms(operands, out, extents, function, arrays, shape):
    """The definition: every term whose indices are all inside."""
    result = np.zeros(shape)
    names = list(dict.fromkeys(name for axes in operands for terms, _ in axes for name, _ in terms))
    for values in product(*(range(extents[name]) for name in names)):
        at = dict(zip(names, values, strict=True))
        places = [
            tuple(offset + sum(scale * at[name] for name, scale in terms) for terms, offset in axes)
            for axes in operands
        ]
        if all(
            0 <= k < size
            for place, array in zip(places, arrays, strict=True)
            for k, size in zip(place, array.shape, strict=True)
        ):
            first, *rest = (array[place] for place, array in zip(places, arrays, strict=True))
            result[tuple(at[name] for name in out)] += function(first, rest)
    return result


@given(drawn=formulas(), seed=st.integers(0, 99))
@settings(max_examples=60)
def test_values_and_gradients(drawn, seed):
    formula, operands, out, extents, shapes, function = drawn
    contraction = graphc.contraction("mine", formula)
    random = np.random.default_rng(seed)
    arrays = [random.normal(size=shape) for shape in shapes]
    value = np.asarray(contraction(*arrays))
    # What stands in windows alone takes every place that is left.
    extents = extents | dict(zip(out, value.shape, strict=True))
    assume(value.size)
    terms = operands, out, extents, function
    np.testing.assert_allclose(value, by_terms(*terms, arrays, value.shape), rtol=1e-9, atol=1e-11)

    weights = random.normal(size=value.shape)
    arguments = ", ".join(f"x{k}" for k in range(len(arrays)))
    loss = eval(f"lambda {arguments}: (f({arguments}) * w).sum()", {"f": contraction, "w": weights})
    compiled = graphc.compile(graphc.trace(loss, *arrays), cache=False)
    found, grads = compiled.value_and_grad(*arrays)
    np.testing.assert_allclose(found, (value * weights).sum(), rtol=1e-9, atol=1e-9)
    directions = [random.normal(size=shape) for shape in shapes]
    ends = [
        (by_terms(*terms, moved, value.shape) * weights).sum()
        for moved in (
            [x + step * d for x, d in zip(arrays, directions, strict=True)]
            for step in (1e-6, -1e-6)
        )
    ]
    slope = sum(np.vdot(g, d) for g, d in zip(grads, directions, strict=True))
    np.testing.assert_allclose(slope, (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-5)
    _, saved = compiled.forward(*arrays)
    for again, gradient in zip(compiled.backward(saved), grads, strict=True):
        np.testing.assert_allclose(again, gradient, rtol=1e-9, atol=1e-10)
