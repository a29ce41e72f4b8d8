import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from wsss_toolkit import files
from wsss_toolkit.files import content_of, file_digest


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Where digests are kept; `forget` makes this process read the file again, as another process does."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files._kept_digests.cache_clear()
    yield tmp_path / "cache" / "wsss-toolkit" / "digests.jsonl"
    files._kept_digests.cache_clear()


def settled(path, content, monkeypatch):
    """Write a file, and let so much time pass that it counts as settled."""
    path.write_bytes(content)
    written = path.stat().st_ctime_ns
    monkeypatch.setattr(files.time, "time_ns", lambda: written + 10 * files.SETTLED)
    return path


def test_the_digest_is_that_of_the_content(tmp_path, kept):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
    assert not kept.exists() or not kept.read_bytes(), "it may change within the clock's tick"
    (tmp_path / "a").write_bytes(b"abd")
    assert file_digest(tmp_path / "a") == hashlib.sha256(b"abd").hexdigest()


def test_a_file_is_read_once_until_its_size_or_a_time_changes(tmp_path, kept, monkeypatch):
    path = settled(tmp_path / "a", b"abc", monkeypatch)
    first = file_digest(path)
    for name in (files._kept_digests.cache_clear, lambda: None):
        name()
        with monkeypatch.context() as patch:
            patch.setattr(hashlib, "file_digest", None)  # reading would fail
            assert file_digest(path) == first
    times = path.stat().st_mtime_ns
    path.write_bytes(b"abd")
    os.utime(path, ns=(times, times))  # the same size and time of change; but its inode was touched
    assert file_digest(path) == hashlib.sha256(b"abd").hexdigest()


@pytest.mark.parametrize(
    "damage", [b'["a', b"\xff\xfe\x00", b"[1, 2, 3]\n", b'{"a": 1}\n', b"null", b'["/x", [1, 2, 3], "no digest"]']
)
def test_damaged_lines_are_passed_over(tmp_path, kept, monkeypatch, damage):
    one, two = settled(tmp_path / "one", b"1", monkeypatch), settled(tmp_path / "two", b"2", monkeypatch)
    file_digest(one)
    with kept.open("ab") as file:
        file.write(damage)
    file_digest(two)
    files._kept_digests.cache_clear()
    assert files._kept_digests(kept).keys() == {str(one), str(two)}


def test_it_works_without_a_place_to_keep_digests(tmp_path, kept, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    path = settled(tmp_path / "a", b"abc", monkeypatch)
    assert file_digest(path) == hashlib.sha256(b"abc").hexdigest()


def test_of_a_large_file_size_and_ends_count(tmp_path, kept, monkeypatch):
    monkeypatch.setattr(files, "LARGE", 3 * 2**20)
    content = bytearray(4 * 2**20)

    def digest(place=None, more=b""):
        changed = bytearray(content)
        if place is not None:
            changed[place] = 1
        (tmp_path / "a").write_bytes(changed + more)
        return file_digest(tmp_path / "a")

    first = digest()
    assert digest(2**21) == first
    assert len({first, digest(0), digest(2**20 - 1), digest(3 * 2**20), digest(-1), digest(more=b"\0")}) == 6


def test_threads_append_whole_lines(tmp_path, kept, monkeypatch):
    paths = [settled(tmp_path / f"{number}", b"x" * number, monkeypatch) for number in range(200)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(file_digest, paths))
    files._kept_digests.cache_clear()
    assert len(files._kept_digests(kept)) == 200


def test_paths_are_relative_to_the_folder_that_holds_them(tmp_path, kept):
    for name in ("data/b.png", "data/a.png", "other/c.mat"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    paths = [tmp_path / "data/b.png", tmp_path / "data/a.png", tmp_path / "other/c.mat", tmp_path / "data/gone"]
    found = content_of(paths, [tmp_path / "data", tmp_path / "other"])
    assert list(found) == ["a.png", "b.png", "c.mat", "gone"]
    assert found["gone"] == "missing" and len(set(found.values())) == 4


def test_names_that_are_no_text(tmp_path, kept):
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    path.write_text("x")
    assert [name.encode().decode() for name in content_of([path], [tmp_path])] == ["caf\\udce9.png"]
