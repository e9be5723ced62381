"""Gradients of random graphs against a complex step through the definitions, which shares nothing
with differentiation: f(x + ih) = f(x) + ih f'(x), to the last digit."""

import numpy as np
from hypothesis import given, settings

from graphc import autodiff
from graphc.interpret import emitted, evaluate, evaluate_outputs
from graphc.rewrite import simplify, stabilise
from graphc.verify import verify
from tests.strategies import cases

STEP = 1e-40


def directional(case, direction):
    """The derivative of the loss along a direction, by a complex step."""
    stepped = {name: value + 1j * STEP * direction[name] for name, value in case.values.items()}
    return evaluate_outputs(case.graph, stepped, np.complex128)["loss"].imag / STEP


@given(cases(smooth=True, kinks=False, scalar=True, steps=12))
@settings(max_examples=60)
def test_a_gradient_is_the_complex_step(case):
    random = np.random.default_rng(3)
    names = [node.name for node in case.graph.inputs]
    direction = {name: random.normal(size=value.shape) for name, value in case.values.items()}
    expected = directional(case, direction)
    stable = stabilise(case.graph)
    for graph in (case.graph, stable):
        gradient = verify(autodiff.grad(graph, wrt=names))
        for form in (gradient, verify(simplify(gradient, final=True))):
            found = evaluate(form, case.values, np.longdouble, emitted)
            gradients = dict(form.outputs)
            total, scale = 0.0, 1.0
            for name in names:
                part = found[gradients[f"d_{name}"]]
                assert part.shape == case.values[name].shape
                total += float((part * direction[name]).sum())
                scale = max(scale, float(np.abs(part).max(initial=0)))
            if np.isfinite(expected) and scale < 1e8:
                # (f32 casts round in the graph and not in its complex continuation.)
                np.testing.assert_allclose(total, expected, rtol=1e-9, atol=1e-9 * scale)
