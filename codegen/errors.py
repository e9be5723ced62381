"""The errors of both packages, and where in the user's own code they arose.

They live at the bottom of the house because a dimension (codegen) and a shape rule (graphc) must
raise the same kinds. Users know them as `graphc.GraphError` and so on.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from types import FrameType

# Frames of these are never the user's own: NumPy calls us back, and SciPy calls what we compiled.
PASSED_OVER = ("graphc", "codegen", "numpy", "scipy")

# Set while a declaration that is no Python code is read (a graph file): its own `file:line`.
location: ContextVar[str | None] = ContextVar("location", default=None)


class GraphError(Exception):
    """A mistake in a graph or in a call of one: one line, with the place, the op, and the fix."""


class GraphTypeError(GraphError, TypeError):
    """A wrong dtype, a wrong kind of operand, a missing or unknown input."""


class GraphValueError(GraphError, ValueError):
    """A wrong shape, dimension, option or value."""


class GraphNameError(GraphError, NameError):
    """A name nobody defined: an input, a node, an op."""


class GraphAttributeError(GraphError, AttributeError):
    """An attribute that a value does not have."""


class GraphSyntaxError(GraphError, ValueError):
    """A formula, a type string or a graph file that cannot be read."""


def user_frame() -> FrameType | None:
    """The nearest calling frame that belongs to neither us nor NumPy nor SciPy."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] not in PASSED_OVER:
            return frame
        frame = frame.f_back
    return None


def located(message: str) -> str:
    """`message` with `file:line: ` of the user's code before it, where there is one."""
    stated = location.get()
    if stated is not None:
        return f"{stated}: {message}"
    frame = user_frame()
    if frame is None:
        return message
    return f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_lineno}: {message}"
