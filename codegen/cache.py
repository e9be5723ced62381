"""Where compiled sources are kept: in memory, and on disk from one process to the next.

    key = key_of(canonical graph, options, digest_of_sources(...))    64 hex digits

Nothing is trusted and nothing is locked. A file is written under a temporary name and moved into
place, the manifest last; an entry counts only if every digest agrees (`codegen.entries`). Whatever
is unreadable, truncated, altered or stale is a miss, logged under "graphc.cache", and overwritten.

The folder is the user's own, mode 0700. One that is owned by, or writable by, somebody else is
refused, since whoever can write there can run code as this user. Without a usable folder the cache
lives in memory alone, after one `CacheWarning`.
"""

from __future__ import annotations

import os
import threading
import warnings
from typing import NamedTuple

from codegen.digest import digest_of_contents, listing, sha256
from codegen.entries import (
    FORMAT,
    Entry,
    Unusable,
    frozen,
    is_key,
    load,
    make_folder,
    own_files,
    problem_with,
    read,
    store,
    versions,
)
from codegen.errors import GraphValueError, user_frame

MEMORY_ENTRIES = 256  # entries are a few kilobytes of text; a long-running service stays bounded


class CacheWarning(UserWarning):
    """The disk cache cannot be used; compiled sources are kept in memory only."""


class Info(NamedTuple):
    """The state of a cache folder: `problem` says why it is not used, if it is not."""

    folder: str | None
    entries: int
    bytes: int
    problem: str


def key_of(*parts: str | bytes) -> str:
    """The key of an entry: its parts, this format, and the Python and NumPy that would run it."""
    return sha256(FORMAT, *(f"{k}={v}" for k, v in versions().items()), *parts)


def default_folder() -> str | None:
    """$GRAPHC_CACHE_DIR, else $XDG_CACHE_HOME/graphc, else ~/.cache/graphc; else None."""
    chosen = os.environ.get("GRAPHC_CACHE_DIR")
    if chosen:
        return os.path.abspath(chosen)
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):  # the XDG specification: a relative path is to be ignored
        return os.path.join(base, "graphc")
    home = os.environ.get("HOME" if os.name == "posix" else "USERPROFILE", "")
    return os.path.join(home, ".cache", "graphc") if os.path.isabs(home) else None


class Cache:
    """A two-level store, memory over disk. Safe between threads and between processes.

    Args:
        folder: where to keep entries; None keeps them in memory only.
        problem: why there is no folder, if that deserves a warning.
    """

    def __init__(self, folder: str | None, problem: str = "") -> None:
        self.folder = folder
        self._problem = problem
        self._warned = False
        self._checked = False
        self._refused = False
        self._writable = True
        self._memory: dict[str, Entry] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> Entry | None:
        """The entry under `key`, or None. Never raises for what is on the disk."""
        _check_key(key)
        with self._lock:
            entry = self._memory.pop(key, None)
            if entry is not None:
                self._memory[key] = entry  # now the youngest
                return entry
        folder = self._usable_folder()
        if folder is None:
            return None
        path = os.path.join(folder, key)
        try:
            manifest = read(path + ".json")
        except FileNotFoundError:
            return None  # the ordinary miss
        except (Unusable, OSError) as reason:
            _log_miss(path, reason)
            return None
        try:
            entry = load(path, key, manifest)
        except (Unusable, OSError, ValueError, KeyError, TypeError) as reason:
            _log_miss(path, reason)
            return None
        self._remember(key, entry)
        return entry

    def put(self, key: str, entry: Entry) -> None:
        """Keep `entry` under `key`, over whatever stood there. Never raises for the disk's sake.

        Raises TypeError where `entry.facts` is not JSON data.
        """
        _check_key(key)
        entry = frozen(entry)
        self._remember(key, entry)
        if not self._writable:
            return
        folder = self._usable_folder(create=True)
        if folder is None:
            return
        try:
            store(os.path.join(folder, key), key, entry)
        except OSError as error:
            self._writable = False
            self._warn(f"cannot write to {folder}: {error.strerror or error}")

    def info(self) -> Info:
        """How much is stored on disk, and what keeps the folder from being used."""
        if self.folder is None:
            return Info(None, 0, 0, self._problem)
        problem = problem_with(self.folder)
        entries = size = 0
        for item in own_files(self.folder):
            entries += item.name.endswith(".json")
            size += item.stat(follow_symlinks=False).st_size
        return Info(self.folder, entries, size, problem)

    def clear(self) -> int:
        """Forget everything and remove this cache's own files, no others; the entries removed.

        Raises GraphValueError where the folder is refused.
        """
        with self._lock:
            self._memory.clear()
        if self.folder is None:
            return 0
        problem = problem_with(self.folder)
        if problem:
            raise GraphValueError(f"not clearing the cache: {problem}")
        removed = 0
        for item in list(own_files(self.folder)):
            try:
                os.unlink(item.path)
            except FileNotFoundError:
                continue  # another process was faster
            removed += item.name.endswith(".json")
        return removed

    def _usable_folder(self, create: bool = False) -> str | None:
        """The folder, if it may be used; made where it is missing and `create` says so."""
        if self._refused or self.folder is None:
            self._warn(self._problem)
            return None
        if self._checked:
            return self.folder
        try:
            if create:
                make_folder(self.folder)
            problem = problem_with(self.folder)
        except OSError as error:
            problem = f"cannot create {self.folder}: {error.strerror or error}"
        if problem:
            self._problem, self._refused = problem, True
            self._warn(problem)
            return None
        self._checked = create
        return self.folder

    def _remember(self, key: str, entry: Entry) -> None:
        with self._lock:
            self._memory.pop(key, None)
            self._memory[key] = entry
            while len(self._memory) > MEMORY_ENTRIES:
                del self._memory[next(iter(self._memory))]

    def _warn(self, problem: str) -> None:
        if self._warned or not problem:
            return
        self._warned = True
        frame = user_frame()
        warnings.warn_explicit(
            f"graphc keeps compiled sources in memory only: {problem}",
            CacheWarning,
            frame.f_code.co_filename if frame else __file__,
            frame.f_lineno if frame else 0,
        )


# -- the process's own cache -----------------------------------------------------------------------

_caches: dict[str | None, Cache] = {}
_digests: dict[tuple[str, ...], str] = {}


def default_cache() -> Cache:
    """The cache of the folder which the environment names now; the same object every time."""
    folder = default_folder()
    cache = _caches.get(folder)
    if cache is None:
        problem = "" if folder else "neither GRAPHC_CACHE_DIR, XDG_CACHE_HOME nor HOME is set"
        cache = _caches.setdefault(folder, Cache(folder, problem))
    return cache


def digest_of_sources(*folders: str, cache: Cache | None = None) -> str:
    """The digest of the source files below codegen's own folder and `folders` (graphc's).

    Read once a process, at its first use, since a running process goes on with the code that it
    loaded. Where `cache` holds the digest of exactly this listing of files, no file is read.
    """
    known = _digests.get(folders)
    if known is not None:
        return known
    everything = (os.path.dirname(os.path.abspath(__file__)), *folders)
    try:
        digest = _digest_of_folders(everything, cache)
    except OSError:
        # A package that cannot be listed cannot be recognised either: share nothing between
        # processes rather than run code from another version.
        digest = sha256(os.urandom(32))
    return _digests.setdefault(folders, digest)


def _digest_of_folders(folders: tuple[str, ...], cache: Cache | None) -> str:
    if cache is None:
        return digest_of_contents(folders)
    key = key_of("sources", listing(folders))
    entry = cache.get(key)
    if entry is not None and isinstance(entry.facts.get("digest"), str):
        return str(entry.facts["digest"])
    digest = digest_of_contents(folders)
    cache.put(key, Entry("# The digest of graphc's own source files.\n", {}, {"digest": digest}))
    return digest


def report() -> str:
    """What `graphc cache info` prints: one line a fact."""
    info = default_cache().info()
    lines = [
        f"folder   {info.folder or 'none: in memory only'}",
        f"entries  {info.entries}",
        f"size     {info.bytes / 1024:.1f} KiB",
    ]
    if info.problem:
        lines.append(f"not used {info.problem}")
    return "\n".join(lines)


def clear() -> str:
    """What `graphc cache clear` does and prints. Raises GraphValueError on a refused folder."""
    cache = default_cache()
    removed = cache.clear()
    noun = "entry" if removed == 1 else "entries"
    return f"removed {removed} {noun} from {cache.folder or 'memory'}"


def _check_key(key: str) -> None:
    if not is_key(key):
        raise GraphValueError(f"a cache key is 64 hex digits, not {key!r}")


def _log_miss(path: str, reason: Exception) -> None:
    import logging

    logging.getLogger("graphc.cache").info("cache entry %s is not used: %s", path, reason)
