"""Digests: of parts, and of a package's source files."""

import hashlib
import os

import pytest

from codegen import cache as store
from codegen import digest
from codegen.cache import Cache, digest_of_sources
from codegen.digest import digest_of_contents, listing, sha256


def test_sha256_is_sha256_of_length_and_bytes():
    assert sha256("ab", b"c") == hashlib.sha256(b"2:ab1:c").hexdigest()
    assert sha256("é") == hashlib.sha256(b"2:\xc3\xa9").hexdigest()
    assert sha256() == hashlib.sha256().hexdigest()


def test_large_inputs_and_interpreters_without_the_builtin_agree(monkeypatch):
    data = b"x" * 3000
    small = sha256(data)
    monkeypatch.setattr(digest, "_LARGE", 1000)
    assert sha256(data) == small
    monkeypatch.setattr(digest, "_LARGE", 1 << 20)
    monkeypatch.setattr(digest, "_BUILTIN", "no_such_module")
    assert sha256(data) == small


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "pkg"
    (folder / "sub").mkdir(parents=True)
    (folder / "__pycache__").mkdir()
    (folder / "a.py").write_text("A = 1\n")
    (folder / "sub" / "b.toml").write_text("b = 1\n")
    (folder / "py.typed").write_text("")
    (folder / "__pycache__" / "a.cpython-311.pyc").write_bytes(b"\0")
    return folder


@pytest.fixture
def fresh(monkeypatch):
    """Forget what this process remembers about source files, as a new process would."""
    monkeypatch.setattr(store, "_digests", {})
    return lambda: store._digests.clear()


def test_only_source_files_count(package):
    paths = [path for path, _ in digest.source_files([str(package)])]
    assert paths == ["pkg/a.py", "pkg/sub/b.toml"]


def test_the_digest_is_of_contents_not_of_times_or_places(package, tmp_path):
    before = digest_of_contents([str(package)])
    os.utime(package / "a.py", (1, 1))
    assert digest_of_contents([str(package)]) == before
    (tmp_path / "elsewhere").mkdir()
    moved = package.rename(tmp_path / "elsewhere" / "pkg")
    assert digest_of_contents([str(moved)]) == before
    (moved / "a.py").write_text("A = 2\n")
    assert digest_of_contents([str(moved)]) != before


def test_an_edit_under_the_same_size_and_time_changes_the_listing(package):
    path = package / "a.py"
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    before = listing([str(package)])
    path.write_text("A = 2\n")
    os.utime(path, ns=times)
    assert listing([str(package)]) != before


def test_a_known_listing_reads_no_source_file(package, tmp_path, fresh, monkeypatch):
    folder = str(tmp_path / "cache")
    first = digest_of_sources(str(package), cache=Cache(folder))
    fresh()
    monkeypatch.setattr(store, "digest_of_contents", lambda folders: pytest.fail("files were read"))
    assert digest_of_sources(str(package), cache=Cache(folder)) == first


def test_an_edit_is_noticed_by_the_next_process_not_by_this_one(package, tmp_path, fresh):
    cache = Cache(str(tmp_path / "cache"))
    first = digest_of_sources(str(package), cache=cache)
    (package / "a.py").write_text("A = 2\n")
    assert digest_of_sources(str(package), cache=cache) == first
    fresh()
    assert digest_of_sources(str(package), cache=cache) != first


def test_without_a_cache_the_contents_are_read(package, tmp_path, fresh):
    first = digest_of_sources(str(package), cache=Cache(str(tmp_path / "cache")))
    fresh()
    assert digest_of_sources(str(package)) == first


def test_a_package_that_cannot_be_listed_shares_nothing(tmp_path, fresh):
    archive = tmp_path / "graphc.zip" / "graphc"
    first = digest_of_sources(str(archive))
    assert digest_of_sources(str(archive)) == first, "one process stays with one digest"
    fresh()
    assert digest_of_sources(str(archive)) != first
