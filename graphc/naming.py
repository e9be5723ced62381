"""Names in errors: what the user may have meant."""

from __future__ import annotations

from collections.abc import Container, Iterable

from graphc.errors import GraphAttributeError, GraphNameError, located


def unused(name: str, taken: Container[str]) -> str:
    """The name, followed by as many underscores as make it one that is not taken."""
    while name in taken:
        name += "_"
    return name


def counted(count: int, what: str) -> str:
    """`1 input`, `2 inputs`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def missing_attribute(
    what: str, name: str, known: Iterable[str], instead: str = ""
) -> GraphAttributeError:
    """The error for an attribute that is not there; `instead` says what to use."""
    from difflib import get_close_matches

    if not instead:
        close = get_close_matches(name, list(known), 1, 0.6)
        instead = f"did you mean .{close[0]}?" if close else ""
    hint = f"; {instead}" if instead else ""
    return GraphAttributeError(located(f"{what} has no attribute {name!r}{hint}"))


def unknown_name(
    what: str, name: str, known: Iterable[str], listed: str = "there are"
) -> GraphNameError:
    """The error for a name that is not there: `loss() has no input 'w'; did you mean 'W'? inputs:
    x, y, W, c`, where `listed` says what they are."""
    from difflib import get_close_matches

    names = list(known)
    folded = {known_name.lower(): known_name for known_name in names}
    close = (
        [folded[name.lower()]] if name.lower() in folded else get_close_matches(name, names, 1, 0.6)
    )
    if not names:
        return GraphNameError(located(f"{what} {name!r}; there are none"))
    hint = f"; did you mean {close[0]!r}?" if close else ";"
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return GraphNameError(located(f"{what} {name!r}{hint} {listed}: {shown}"))
