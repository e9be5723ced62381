"""`loads(dumps(g))` is g, down to its digest, for every kind of op."""

from __future__ import annotations

import tomllib

import numpy as np
from hypothesis import HealthCheck, given, settings

import graphc
from graphc.canonical import canonical_lines, digest
from graphc.interpret import evaluate_outputs
from graphc.verify import verify
from tests.strategies import cases
from tests.textual.text_graphs import graphs


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_a_graph_survives_its_text(graph):
    text = graphc.dumps(graph)
    tomllib.loads(text)
    again = graphc.loads(text)
    assert list(canonical_lines(again)) == list(canonical_lines(graph)), text
    assert digest(again) == digest(graph)
    verify(again)
    assert graphc.dumps(again) == text


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases())
def test_a_graph_from_text_computes_the_same(case):
    again = graphc.loads(graphc.dumps(case.graph))
    assert digest(again) == digest(case.graph)
    before = evaluate_outputs(case.graph, case.values)
    for name, value in evaluate_outputs(again, case.values).items():
        np.testing.assert_array_equal(value, before[name])


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(scalar=True, smooth=True))
def test_gradient_graphs_survive_their_text(case):
    gradient = graphc.value_and_grad(case.graph)
    assert digest(graphc.loads(graphc.dumps(gradient))) == digest(gradient)
