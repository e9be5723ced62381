"""The errors users meet; defined in `codegen.errors`, at the bottom of the house."""

from codegen.errors import (
    PASSED_OVER,
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
    "PASSED_OVER",
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
