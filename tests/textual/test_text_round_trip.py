"""`loads(dumps(g))` is g, down to its digest, for every kind of op."""

from __future__ import annotations

import tomllib

from hypothesis import HealthCheck, given, settings
from text_graphs import graphs

import graphc
from graphc.canonical import canonical_lines, digest
from graphc.verify import verify


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
