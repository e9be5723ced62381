"""codegen: a Program in, readable NumPy source and a Python function out.

It knows nothing of derivatives and imports nothing of graphc.

    generated = codegen.generate(program, options)      # .source, .constants, .source_map
    module = codegen.load(generated)                    # module.value_and_grad(...)
    codegen.identifier("layer1.W")                      # "layer1_W"
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from codegen.loading import load, load_source
    from codegen.modules import Generated, generate
    from codegen.names import identifier

__all__ = ["Generated", "generate", "identifier", "load", "load_source"]

_HOMES = {
    "Generated": "codegen.modules",
    "generate": "codegen.modules",
    "identifier": "codegen.names",
    "load": "codegen.loading",
    "load_source": "codegen.loading",
}


def __getattr__(name: str) -> Any:
    """The public names, imported on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'codegen' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
