"""What `help()` says of the public names: something of each, and its examples are true."""

import doctest
import inspect

import numpy as np
import pytest

import graphc

PUBLIC = {name: getattr(graphc, name) for name in graphc.__all__}
EXAMPLES = ("check_grads", "compile", "contraction", "cross_entropy", "elementwise", "grad")


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_is_documented(name):
    thing = PUBLIC[name]
    if not inspect.ismodule(thing):
        assert (thing.__doc__ or "").strip()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_shows_what_it_does(name):
    found = doctest.DocTestFinder(recurse=False).find(
        PUBLIC[name], name, globs={"graphc": graphc, "np": np}
    )
    assert any(test.examples for test in found)
    for test in found:
        assert doctest.DocTestRunner(verbose=False).run(test).failed == 0
