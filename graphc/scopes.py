"""Name scopes: dotted prefixes of the names given inside them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from graphc.errors import GraphNameError, located

# The prefix in force, with its closing dot; "" outside every scope.
prefix: ContextVar[str] = ContextVar("prefix", default="")


@contextmanager
def name_scope(name: str) -> Iterator[None]:
    """`with graphc.name_scope("layer1"):` names made inside begin with `layer1.`; scopes nest.

    Raises GraphNameError for an empty name.
    """
    if not isinstance(name, str) or not name:
        raise GraphNameError(located(f"name_scope({name!r}): a scope's name is a non-empty string"))
    token = prefix.set(f"{prefix.get()}{name}.")
    try:
        yield
    finally:
        prefix.reset(token)


def scoped(name: str) -> str:
    """The name with the prefix of the scope in force."""
    return prefix.get() + name
