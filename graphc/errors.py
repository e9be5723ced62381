"""The errors users meet; defined in `codegen.errors`, at the bottom of the house."""

from codegen.errors import (
    GraphAttributeError,
    GraphError,
    GraphNameError,
    GraphSyntaxError,
    GraphTypeError,
    GraphValueError,
    located,
    location,
    user_frame,
)

__all__ = [
    "GraphAttributeError",
    "GraphError",
    "GraphNameError",
    "GraphSyntaxError",
    "GraphTypeError",
    "GraphValueError",
    "located",
    "location",
    "user_frame",
]
