"""SHA-256 over parts, and the digest of a package's own source files.

`hashlib` loads OpenSSL, which costs a tenth of `import numpy`; a warm start hashes a few kilobytes,
so small inputs go to the interpreter's own implementation where it exists (as `random` in the
standard library does), and only megabytes go to OpenSSL, which is faster there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

_BUILTIN = "_sha2" if sys.version_info >= (3, 12) else "_sha256"
_LARGE = 1 << 20


def sha256(*parts: str | bytes) -> str:
    """The SHA-256, in hex, of the parts.

    Each part is preceded by its length, so that ("ab", "c") and ("a", "bc") differ.
    """
    blobs = [
        part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part for part in parts
    ]
    state = _new(sum(map(len, blobs)))
    for blob in blobs:
        state.update(b"%d:" % len(blob))
        state.update(blob)
    digest: str = state.hexdigest()
    return digest


def _new(size: int) -> Any:
    if size < _LARGE:
        try:
            return import_module(_BUILTIN).sha256()
        except ImportError:
            pass  # an interpreter built without it: hashlib always works
    return import_module("hashlib").sha256()


def source_files(folders: Iterable[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """(path relative to its folder's parent, entry) of every source file, in a fixed order.

    Source files are what changes behaviour: `.py`, and `.toml` (recorded derivations). Raises
    OSError where a folder cannot be listed (a package inside a zip file, for instance).
    """
    for folder in folders:
        stack = [(os.path.basename(folder), folder)]
        while stack:
            prefix, path = stack.pop()
            with os.scandir(path) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
            for entry in found:
                if entry.is_dir():
                    if entry.name != "__pycache__":
                        stack.append((f"{prefix}/{entry.name}", entry.path))
                elif entry.name.endswith((".py", ".toml")):
                    yield f"{prefix}/{entry.name}", entry


def listing(folders: Iterable[str]) -> str:
    """One line a source file: path, size, modification and change time.

    The change time is what makes this trustworthy: installers and archives set the modification
    time at will, but nothing sets the change time, so a file's bytes cannot change under an equal
    line.
    """
    lines = []
    for path, entry in source_files(folders):
        status = entry.stat()
        lines.append(
            f"{path} {entry.path} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
        )
    return "\n".join(lines)


def digest_of_contents(folders: Iterable[str]) -> str:
    """The SHA-256 of every source file's path and bytes: the same for equal installations."""
    parts: list[str | bytes] = []
    for path, entry in source_files(folders):
        with open(entry.path, "rb") as file:
            parts += [path, file.read()]
    return sha256(*parts)
