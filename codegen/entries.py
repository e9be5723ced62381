"""One cache entry on the disk: written whole or not at all, believed only if every digest agrees.

    <key>.py        the emitted module, readable
    <key>.npz       its large constants, where it has any
    <key>.json      the manifest: key, versions, facts, and the digests of all of these

There is no pickle and no bytecode: `compile()` of the verified source takes about a millisecond for
a model of a hundred lines, and marshalled code from a file could crash the interpreter.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from codegen.digest import sha256

FORMAT = "1"
_SUFFIXES = (".py", ".npz", ".json")
_HEX = frozenset("0123456789abcdef")


class Entry(NamedTuple):
    """What is stored under a key.

    source: the text of the module.
    constants: the arrays it needs beside it, by name; frozen when they come back from disk.
    facts: whatever else the owner wants back, as JSON data (a side table of lines, for instance).
    """

    source: str
    constants: Mapping[str, np.ndarray[Any, Any]] = {}
    facts: Mapping[str, Any] = {}


class Unusable(Exception):
    """An entry that is there but cannot be used; the text says why."""


def versions() -> dict[str, str]:
    """What an emitted source may depend on besides graphc itself."""
    return {
        "python": f"{sys.implementation.cache_tag} {sys.version.partition(' ')[0]}",
        "numpy": np.__version__,
    }


def store(path: str, key: str, entry: Entry) -> None:
    """Write the parts, the manifest last: an entry is never visible before it is whole."""
    import json

    source = entry.source.encode("utf-8")
    if entry.constants:
        _write(path + ".npz", _constants_bytes(entry.constants))
    _write(path + ".py", source)
    body = {
        "format": FORMAT,
        "key": key,
        "versions": versions(),
        "source": sha256(source),
        "constants": {name: _array_digest(value) for name, value in entry.constants.items()},
        "facts": entry.facts,
    }
    rest = json.dumps(body, indent=0).removeprefix("{")
    _write(path + ".json", f'{{"digest": "{sha256(rest)}",{rest}\n'.encode())


def load(path: str, key: str, data: bytes) -> Entry:
    """The verified entry of the manifest in `data`; raises what `Cache.get` calls a miss."""
    manifest = _parse_manifest(data)
    if manifest["format"] != FORMAT or manifest["versions"] != versions():
        raise Unusable("stale: written by other versions")
    if manifest["key"] != key:
        raise Unusable("altered: the manifest belongs to another key")
    source = read(path + ".py")
    if sha256(source) != manifest["source"]:
        raise Unusable("truncated or altered: the source's digest differs")
    constants: dict[str, np.ndarray[Any, Any]] = {}
    if manifest["constants"]:
        constants = _parse_constants(read(path + ".npz"), manifest["constants"])
    return Entry(source.decode("utf-8"), constants, manifest["facts"])


def frozen(entry: Entry) -> Entry:
    """The entry as it would come back from disk: tuples are lists, arrays copies that stay."""
    import json

    constants = {name: np.array(value) for name, value in entry.constants.items()}
    for value in constants.values():
        value.flags.writeable = False
    return Entry(entry.source, constants, json.loads(json.dumps(dict(entry.facts))))


# -- files and folders -----------------------------------------------------------------------------


def is_key(key: str) -> bool:
    """Whether `key` is 64 hex digits: it becomes a file name, and nothing else may."""
    return len(key) == 64 and _HEX.issuperset(key)


def make_folder(folder: str) -> None:
    """makedirs, with 0700 for every folder made (os.makedirs gives that to the last one only)."""
    missing = []
    while not os.path.isdir(folder):
        missing.append(folder)
        parent = os.path.dirname(folder)
        if parent == folder:
            break
        folder = parent
    for path in reversed(missing):
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            if not os.path.isdir(path):
                raise


def problem_with(folder: str) -> str:
    """Why an existing folder is refused; empty where it is fine or missing."""
    try:
        status = os.stat(folder)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"cannot read {folder}: {error.strerror or error}"
    if not stat.S_ISDIR(status.st_mode):
        return f"{folder} is not a folder"
    if not _is_mine(status):
        return f"{folder} is owned by user {status.st_uid}, not by you"
    if _others_write(status):
        return f"{folder} is writable by others; chmod 700 it"
    return ""


def _is_mine(status: os.stat_result) -> bool:
    return os.name != "posix" or status.st_uid == os.geteuid()


def _others_write(status: os.stat_result) -> bool:
    return os.name == "posix" and bool(status.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def own_files(folder: str) -> Iterator[os.DirEntry[str]]:
    """The files that bear a name this module gives, temporary ones included."""
    try:
        with os.scandir(folder) as found:
            for item in found:
                key, suffix = item.name[:64], item.name[64:]
                ours = suffix in _SUFFIXES or (
                    suffix.endswith(".tmp") and suffix.startswith(_SUFFIXES)
                )
                if is_key(key) and ours:
                    yield item
    except OSError:
        return


def _write(path: str, data: bytes) -> None:
    # No fsync: after a power cut a short file is found by its digest and written anew.
    temporary = f"{path}.{os.getpid()}.{os.urandom(8).hex()}.tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def read(path: str) -> bytes:
    """The bytes of a regular file of this user; Unusable where it is anything else."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(os.open(path, flags), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or not _is_mine(status) or _others_write(status):
            raise Unusable("altered: not a file that this user alone writes")
        return file.read()


def _parse_manifest(data: bytes) -> dict[str, Any]:
    import json

    head, _, rest = data.partition(b",")
    expected = b'{"digest": "%s"' % sha256(rest.removesuffix(b"\n")).encode()
    if head != expected:
        raise Unusable("truncated or altered: the manifest's digest differs")
    manifest: dict[str, Any] = json.loads(data)
    return manifest


def _constants_bytes(constants: Mapping[str, np.ndarray[Any, Any]]) -> bytes:
    import io

    buffer = io.BytesIO()
    # Numbered members: a constant's name is a user's text and need not be a file name.
    arrays = {f"c{k}": np.asarray(value) for k, value in enumerate(constants.values())}
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _parse_constants(data: bytes, digests: Mapping[str, str]) -> dict[str, np.ndarray[Any, Any]]:
    import io
    import zipfile

    constants = {}
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            for k, (name, digest) in enumerate(digests.items()):
                value = arrays[f"c{k}"]
                if _array_digest(value) != digest:
                    raise Unusable(f"altered: the constant {name}'s digest differs")
                value.flags.writeable = False
                constants[name] = value
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise Unusable(f"truncated or altered: {error}") from None
    return constants


def _array_digest(value: np.ndarray[Any, Any]) -> str:
    """Of dtype, shape and elements, not of the file: zip archives carry the time of writing."""
    array = np.asarray(value, order="C")
    return sha256(array.dtype.str, repr(array.shape), array.tobytes())
