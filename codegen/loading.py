"""From source to a module whose lines tracebacks, pdb and inspect can show."""

from __future__ import annotations

import linecache
import zlib
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from codegen.errors import GraphValueError, located

if TYPE_CHECKING:
    from codegen.modules import Generated


# All modules loaded here share their threads; one that stands alone has its own.
_POOLS: dict[tuple[int, int], Any] = {}


def load(generated: Generated, callables: Mapping[str, Any] | None = None) -> ModuleType:
    """The module of an emitted source. callables: what `Call` statements call, by its own name."""
    if callables is None and generated.program is not None:
        callables = generated.program.callables
    given = callables or {}
    bound = {text: given[name] for text, name in generated.callables.items()}
    return load_source(generated.source, generated.name, bound, generated.constants)


def require_scipy(what: str) -> None:
    """Raise GraphValueError where SciPy is not installed, which `what` needs."""
    try:
        import scipy.special  # noqa: F401
    except ImportError:
        raise GraphValueError(
            located(f"{what} needs SciPy, which is not installed: pip install 'graphc[special]'")
        ) from None


def load_source(
    source: str,
    name: str,
    callables: Mapping[str, Any] | None = None,
    constants: Mapping[str, Any] | None = None,
) -> ModuleType:
    """Run a module's source. callables, constants: its globals, by identifier.

    The file name is made of the module's name and its content.
    """
    filename = f"<graphc {name} {zlib.crc32(source.encode()):08x}>"
    # Without a time of change the entry is never checked for age, and so stays.
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    if "import scipy.special\n" in source:
        require_scipy(name)
    module = ModuleType(name, source.partition('"""')[2].partition('"""')[0])
    module.__file__ = filename
    module.__dict__.update(callables or {})
    module.__dict__.update(constants or {})
    exec(compile(source, filename, "exec"), module.__dict__)
    if "_pools" in module.__dict__:
        module.__dict__["_pools"] = _POOLS
    return module
