"""What is installed beside NumPy."""

from __future__ import annotations

from functools import lru_cache


@lru_cache(maxsize=1)
def scipy_installed() -> bool:
    """Whether SciPy can be imported; it is not imported to find out."""
    from importlib.util import find_spec

    return find_spec("scipy") is not None
