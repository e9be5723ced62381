"""The store: what goes in comes out, and nothing that was tampered with does."""

import logging
import os
import stat
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

from codegen import cache as store
from codegen.cache import Cache, CacheWarning, Entry, key_of
from codegen.errors import GraphValueError

KEY = key_of("a graph")
SOURCE = "def forward(x):\n    return x * 2.0  # π\n"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "one" / "graphc"


def entry():
    table = np.arange(100.0).reshape(4, 25)
    return Entry(SOURCE, {"layer1.W/é": table}, {"lines": {"3": "q"}, "pair": [1, 2.5, None]})


def stored(folder):
    """A folder that holds one entry, and a cache that has not seen it."""
    Cache(str(folder)).put(KEY, entry())
    return Cache(str(folder))


def same(a, b):
    assert a.source == b.source
    assert a.facts == b.facts
    assert list(a.constants) == list(b.constants)
    for name, value in a.constants.items():
        np.testing.assert_array_equal(value, b.constants[name], strict=True)


def test_an_entry_comes_back_from_disk(folder):
    found = stored(folder).get(KEY)
    assert found is not None
    same(found, entry())


def test_the_folder_holds_readable_files_and_no_temporary_ones(folder):
    stored(folder)
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"{KEY}.json", f"{KEY}.npz", f"{KEY}.py"]
    assert (folder / f"{KEY}.py").read_text(encoding="utf-8") == SOURCE


def test_memory_and_disk_give_the_same_entry(folder):
    cache = Cache(str(folder))
    cache.put(KEY, Entry(SOURCE, {"c": np.ones(3, np.float32)}, {"axes": (1, 2)}))
    warm = cache.get(KEY)
    cold = Cache(str(folder)).get(KEY)
    assert warm is not None
    assert cold is not None
    same(warm, cold)
    assert warm.facts == {"axes": [1, 2]}


def test_constants_are_frozen_copies(folder):
    mine = np.ones(3)
    cache = Cache(str(folder))
    cache.put(KEY, Entry(SOURCE, {"c": mine}))
    mine[0] = 7.0
    for found in (cache.get(KEY), Cache(str(folder)).get(KEY)):
        assert found is not None
        assert found.constants["c"].tolist() == [1.0, 1.0, 1.0]
        with pytest.raises(ValueError, match="read-only"):
            found.constants["c"][0] = 2.0


@pytest.mark.parametrize(
    "array",
    [
        np.float64(3.5),
        np.array(True),
        np.zeros((0, 3), np.int32),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array([np.nan, np.inf, -0.0]),
    ],
    ids=["scalar", "bool", "empty", "fortran", "special"],
)
def test_any_array_survives(folder, array):
    Cache(str(folder)).put(KEY, Entry(SOURCE, {"c": array}))
    found = Cache(str(folder)).get(KEY)
    assert found is not None
    np.testing.assert_array_equal(found.constants["c"], array)
    assert found.constants["c"].dtype == array.dtype
    assert np.array_equal(np.signbit(found.constants["c"]), np.signbit(array))


def test_objects_are_refused_since_they_would_need_pickle(folder):
    with pytest.raises(ValueError, match="allow_pickle"):
        Cache(str(folder)).put(KEY, Entry(SOURCE, {"c": np.array([object()])}))
    assert Cache(str(folder)).get(KEY) is None


def test_an_absent_key_is_a_silent_miss_and_makes_no_folder(folder, caplog):
    with caplog.at_level(logging.DEBUG):
        assert Cache(str(folder)).get(KEY) is None
    assert not caplog.records
    assert not folder.exists()


@pytest.mark.parametrize("key", ["", "../x", "a" * 63, "A" * 64, "g" * 64, "a" * 63 + "/"])
def test_only_hex_becomes_a_file_name(folder, key):
    cache = Cache(str(folder))
    with pytest.raises(GraphValueError, match="64 hex digits"):
        cache.get(key)
    with pytest.raises(GraphValueError, match="64 hex digits"):
        cache.put(key, entry())


def test_keys_do_not_depend_on_where_parts_are_cut():
    assert key_of("ab", "c") != key_of("a", "bc")
    assert key_of("abc") != key_of("abc", "")
    assert key_of(b"abc") == key_of("abc")


def test_a_key_depends_on_the_versions(monkeypatch):
    monkeypatch.setattr(np, "__version__", "9.9.9")
    assert key_of("a graph") != KEY


# -- damage ----------------------------------------------------------------------------------------


def cut(data):
    return data[: len(data) // 2]


def flip(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize("suffix", [".py", ".json", ".npz"])
@pytest.mark.parametrize("damage", [cut, flip, lambda data: b"", lambda data: data + b"\n#"])
def test_damage_is_a_logged_miss_and_is_overwritten(folder, caplog, suffix, damage):
    cache = stored(folder)
    path = folder / (KEY + suffix)
    good = path.read_bytes()
    path.write_bytes(damage(good))
    with caplog.at_level(logging.INFO, logger="graphc.cache"):
        found = cache.get(KEY)
    if suffix == ".npz" and found is not None:
        same(found, entry())  # bytes of the archive that mean nothing: the arrays are verified
        return
    assert found is None
    assert [record.name for record in caplog.records] == ["graphc.cache"]
    assert "is not used" in caplog.text
    cache.put(KEY, entry())
    again = Cache(str(folder)).get(KEY)
    assert again is not None
    same(again, entry())


def test_every_flipped_byte_of_source_and_manifest_is_noticed(folder):
    stored(folder)
    for suffix in (".py", ".json"):
        path = folder / (KEY + suffix)
        good = path.read_bytes()
        for k in range(len(good)):
            path.write_bytes(good[:k] + bytes([good[k] ^ 4]) + good[k + 1 :])
            assert Cache(str(folder)).get(KEY) is None, (suffix, k)
        path.write_bytes(good)
    assert Cache(str(folder)).get(KEY) is not None


@pytest.mark.parametrize("suffix", [".py", ".npz"])
def test_a_missing_part_is_a_logged_miss(folder, caplog, suffix):
    cache = stored(folder)
    (folder / (KEY + suffix)).unlink()
    with caplog.at_level(logging.INFO, logger="graphc.cache"):
        assert cache.get(KEY) is None
    assert "No such file" in caplog.text


def test_an_entry_under_another_name_is_not_used(folder, caplog):
    stored(folder)
    other = key_of("another graph")
    for suffix in (".py", ".npz", ".json"):
        (folder / (KEY + suffix)).rename(folder / (other + suffix))
    with caplog.at_level(logging.INFO, logger="graphc.cache"):
        assert Cache(str(folder)).get(other) is None
    assert "another key" in caplog.text


def test_an_entry_of_other_versions_is_stale(folder, caplog, monkeypatch):
    cache = stored(folder)
    monkeypatch.setattr(np, "__version__", "9.9.9")
    with caplog.at_level(logging.INFO, logger="graphc.cache"):
        assert cache.get(KEY) is None
    assert "stale" in caplog.text


def test_a_link_in_place_of_a_file_is_not_followed(folder, tmp_path):
    cache = stored(folder)
    path = folder / f"{KEY}.py"
    path.rename(tmp_path / "elsewhere.py")
    path.symlink_to(tmp_path / "elsewhere.py")
    assert cache.get(KEY) is None


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_neither_a_pipe_nor_a_folder_is_read(folder, make):
    cache = stored(folder)
    (folder / f"{KEY}.json").unlink()
    make(folder / f"{KEY}.json")
    assert cache.get(KEY) is None


# -- the folder ------------------------------------------------------------------------------------


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_is_the_users_alone(folder):
    before = os.umask(0)
    try:
        stored(folder)
    finally:
        os.umask(before)
    assert mode(folder) == 0o700
    assert mode(folder.parent) == 0o700
    assert {mode(path) for path in folder.iterdir()} == {0o600}


def warned_once(cache, text):
    with pytest.warns(CacheWarning, match=text) as seen:
        cache.put(KEY, entry())
    assert len(seen) == 1
    assert Path(seen[0].filename).name == "test_cache.py"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = cache.get(KEY)
        cache.put(key_of("another"), entry())
    assert found is not None, "memory goes on working"
    same(found, entry())


@pytest.mark.parametrize("bits", [0o777, 0o770, 0o702])
def test_a_folder_writable_by_others_is_refused(folder, bits):
    stored(folder)
    folder.chmod(bits)
    cache = Cache(str(folder))
    with pytest.warns(CacheWarning, match="writable by others; chmod 700"):
        assert cache.get(KEY) is None
    assert "writable by others" in cache.info().problem
    with pytest.raises(GraphValueError, match="writable by others"):
        cache.clear()
    assert (folder / f"{KEY}.py").exists()
    warned_once(Cache(str(folder)), "writable by others")


def test_a_folder_of_somebody_else_is_refused(folder, monkeypatch):
    stored(folder)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    warned_once(Cache(str(folder)), "owned by user")


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "graphc").write_text("in the way")
    warned_once(Cache(str(tmp_path / "graphc")), "is not a folder|File exists")


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch):
    def refuse(path, mode=0o777):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "mkdir", refuse)
    warned_once(Cache(str(tmp_path / "graphc")), "cannot create .*Permission denied")


def test_a_full_disk_means_memory_only(folder, monkeypatch):
    full = OSError(28, "No space left on device")

    def refuse(source, target):
        raise full

    monkeypatch.setattr(os, "replace", refuse)
    warned_once(Cache(str(folder)), "cannot write to .*No space left")
    assert list(folder.iterdir()) == [], "no temporary file is left behind"


def test_a_read_only_folder_is_still_read(folder, monkeypatch):
    cache = stored(folder)
    real = os.open

    def read_only(path, flags, *rest, **keywords):
        if flags & os.O_CREAT:
            raise OSError(30, "Read-only file system")
        return real(path, flags, *rest, **keywords)

    monkeypatch.setattr(os, "open", read_only)
    found = cache.get(KEY)
    assert found is not None
    same(found, entry())
    with pytest.warns(CacheWarning, match="Read-only file system"):
        cache.put(key_of("another"), entry())
    assert cache.get(key_of("another")) is not None


def test_the_environment_chooses_the_folder(monkeypatch):
    monkeypatch.setenv("GRAPHC_CACHE_DIR", "/a/b")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.setenv("HOME", "/home/me")
    assert store.default_folder() == "/a/b"
    monkeypatch.setenv("GRAPHC_CACHE_DIR", "")
    assert store.default_folder() == "/x/graphc"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert store.default_folder() == "/home/me/.cache/graphc"
    monkeypatch.delenv("HOME")
    assert store.default_folder() is None


def test_no_home_means_memory_only(monkeypatch):
    for name in ("GRAPHC_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(store, "_caches", {})
    cache = store.default_cache()
    assert cache is store.default_cache()
    warned_once(cache, "HOME is set")
    assert "in memory only" in store.report()


def test_memory_alone_when_asked_for_is_silent():
    cache = Cache(None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.put(KEY, entry())
        assert cache.get(KEY) is not None
    assert Cache(None).get(KEY) is None


def test_memory_is_bounded_and_drops_the_least_used(monkeypatch):
    monkeypatch.setattr(store, "MEMORY_ENTRIES", 2)
    cache = Cache(None)
    first, second, third = (key_of(text) for text in ("1", "2", "3"))
    cache.put(first, entry())
    cache.put(second, entry())
    assert cache.get(first) is not None
    cache.put(third, entry())
    assert cache.get(second) is None
    assert cache.get(first) is not None
    assert cache.get(third) is not None


# -- info and clear --------------------------------------------------------------------------------


def test_info_and_clear_touch_only_what_is_ours(folder, monkeypatch):
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(folder))
    stored(folder).put(key_of("another"), Entry(SOURCE))
    (folder / "notes.txt").write_text("mine")
    (folder / f"{KEY}.py.4711.00ff.tmp").write_text("left by a crash")
    assert store.default_cache().info().entries == 2
    text = store.report()
    assert f"folder   {folder}" in text
    assert "entries  2" in text
    assert store.clear() == f"removed 2 entries from {folder}"
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert store.default_cache().get(KEY) is None
    assert store.clear() == f"removed 0 entries from {folder}"


# -- many at once ----------------------------------------------------------------------------------

WORKER = """
import sys
import numpy as np
from codegen.cache import Cache, Entry, key_of
for n in range(25):
    key = key_of(str(n % 5))
    cache = Cache(sys.argv[1])
    found = cache.get(key)
    if found is not None:
        assert found.source == f"# {n % 5}\\n" * 2000, "a torn source"
        assert (found.constants["c"] == n % 5).all(), "torn constants"
    cache.put(key, Entry(f"# {n % 5}\\n" * 2000, {"c": np.full(5000, float(n % 5))}))
"""


def test_processes_share_a_folder_without_tearing(folder):
    command = [sys.executable, "-c", WORKER, str(folder)]
    workers = [
        subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for worker in workers:
        _, errors = worker.communicate(timeout=120)
        assert worker.returncode == 0, errors
    for n in range(5):
        found = Cache(str(folder)).get(key_of(str(n)))
        assert found is not None
        assert (found.constants["c"] == n).all()
    assert not list(folder.glob("*.tmp"))


def test_threads_share_a_cache(folder):
    cache = Cache(str(folder))
    wrong = []

    def work():
        for n in range(30):
            key = key_of(str(n % 3))
            found = cache.get(key)
            if found is not None and found.source != f"# {n % 3}\n":
                wrong.append(found)
            cache.put(key, Entry(f"# {n % 3}\n"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert cache.info().entries == 3


def test_import_and_a_hit_are_light(folder):
    """Neither import nor a hit loads what a warm start must not pay for."""
    Cache(str(folder)).put(KEY, Entry(SOURCE))
    code = (
        "import sys, numpy; before = set(sys.modules)\n"
        "from codegen.cache import Cache, digest_of_sources\n"
        f"assert Cache({str(folder)!r}).get({KEY!r}) is not None\n"
        "heavy = {'logging', 'tempfile', 'hashlib', 'zipfile', 'pickle', 'sympy', 'networkx'}\n"
        "print(sorted(heavy & (set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
