"""Files that appear complete or not at all, names that are safe for them, and files known by their content.

What cannot be written or deleted is a `WsssError` that names the file and says whether the disk is full.
"""

import glob
import hashlib
import json
import os
import re
import shutil
import stat
import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from wsss_toolkit.errors import WsssError

_SAFE = re.compile(r"[A-Za-z0-9._-]+")
_LEFTOVER = re.compile(
    r"\..*\.(?P<process>\d+)\.partial(\..*)?"
    r"|\.(?:run|report|stage|inputs|attempt|provenance|index|network|table|experiment)\.json\.(?P<older>\d+)",
    re.DOTALL,
)
"""What temporary files are called: today, and in older versions."""

_FORMULA = re.compile(r"'*\s*[=+\-@\uff1d\uff0b\uff0d\uff20\t\r\n]")
"""How a cell begins that a spreadsheet calculates, or would without the apostrophes before; full-width signs too."""

_NUMBER = re.compile(r"[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?")

FULL = 2**20
"""A disk with fewer free bytes than this is called full, whatever GDAL says of it."""

LARGE = 2**26
"""Bytes above which the ends of a file stand for its content."""

SETTLED = 2 * 10**9
"""Nanoseconds: a file that was changed less long ago may change again without its time changing."""


@contextmanager
def complete_file(path: Path, *, companions: bool = True) -> Iterator[Path]:
    """Give a temporary name in the same folder; the file is moved into place if the block ends without an error.

    The name is ``.STEM.PROCESS.partial.SUFFIX``: what a killed process leaves can be told by it (`remove_leftovers`).
    Everything whose name begins with it (GDAL writes companions) is deleted in the end; where nothing but the file is
    written, `companions` is False, and the folder, which may hold many files, is not listed.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise cannot_write(path, error.strerror or str(error)) from error
    finally:
        with suppress(OSError):  # the folder itself is what failed; the first error says so
            for left in path.parent.glob(f"{glob.escape(partial.stem)}*") if companions else (partial,):
                left.unlink(missing_ok=True)


def cannot_write(path: Path, reason: str) -> WsssError:
    """Return the error for a file that cannot be written; called while what was written of it is still there."""
    with suppress(OSError):
        if shutil.disk_usage(path.parent).free < FULL:
            reason = "no space left on device"
    return WsssError(f"cannot write: {reason}", where=str(path), fix="free disk space or choose another --out")


def remove_older(paths: Iterable[Path], folder: Path) -> None:
    """Delete files of a folder that are about to be written anew: the mask first, without it others mean nothing."""
    try:
        for path in paths:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(folder, error.strerror or str(error)) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a small file, complete or not at all."""
    with complete_file(path, companions=False) as partial:
        partial.write_bytes(content)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON, complete or not at all."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8, complete or not at all.

    >>> write_text(Path("note.txt"), "done")
    >>> Path("note.txt").read_text(), len(list(Path().iterdir()))
    ('done', 1)
    """
    write_bytes(path, text.encode())


def is_leftover(path: Path) -> bool:
    """Return whether a file has the name of a temporary file of this toolkit."""
    return _LEFTOVER.fullmatch(path.name) is not None and path.is_file() and not path.is_symlink()


def remove_leftovers(folder: Path, *, shared: bool = False) -> None:
    """Delete the temporary files that killed processes left below a folder, or in a `shared` one.

    No other process may be at work in the folder. In a shared one, the files of processes that live stay, and so does
    everything in folders below.
    """
    for path in folder.glob(".*") if shared else folder.rglob(".*"):
        if is_leftover(path) and not (shared and is_at_work(path)):
            with suppress(OSError):  # another call was faster
                path.unlink()


def is_at_work(path: Path) -> bool:
    """Return whether the process that a temporary file or folder is named after lives, and is another than this one."""
    import psutil

    found = _LEFTOVER.fullmatch(path.name)
    process = int(found["process"] or found["older"]) if found else 0
    return process != os.getpid() and process < 2**31 and psutil.pid_exists(process)


def discard(folder: Path, *first: str) -> None:
    """Delete a folder, the files of these names before all others: a kill meanwhile leaves nothing that looks whole."""
    for name in first:
        with suppress(OSError):
            (folder / name).unlink()
    shutil.rmtree(folder, ignore_errors=True)


def no_file(path: Path) -> str | None:
    """Return what a path is instead of a file, such as ``a named pipe``: who opens that may wait for ever.

    None where it is a file, or where there is nothing.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return "a link to nothing" if os.path.islink(path) else None  # noqa: PTH114  # which raises nothing
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return None if stat.S_ISREG(mode) else kinds.get(stat.S_IFMT(mode), "a device")


def file_for(folder: Path, key: str) -> Path:
    """Return the path of an image's file in a folder, without a suffix.

    Raises:
        WsssError: If the key is not safe as a file name; the adapter that made it is at fault.

    >>> file_for(Path("masks"), "tile_07").as_posix()
    'masks/tile_07'
    """
    if not _SAFE.fullmatch(key) or key in (".", ".."):
        fix = "the adapter must use A-Z a-z 0-9 . _ - only"
        raise WsssError(f"image key {key!r} is not safe as a file name", fix=fix)
    return folder / key


def safe_key(name: str) -> str:
    """Return a name that is safe in a file name, and another for another name.

    ``-`` stands for other characters of ASCII. A name beyond ASCII becomes what ASCII has of it and a digest of the
    whole, the same on every machine.

    >>> safe_key("tile (1)"), safe_key("息肉0"), safe_key("结肠0")
    ('tile--1-', '0-f1111e0d', '0-d375639f')
    """
    if name.isascii():
        return re.sub(r"^\.|[^A-Za-z0-9._-]", "-", name)
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    digest = hashlib.sha256(unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return "-".join(filter(None, [re.sub(r"[^A-Za-z0-9_]+", "-", plain)[-60:].strip("-"), digest]))


def safe_cell(text: str) -> str:
    """Return a text as a cell of CSV that no spreadsheet takes for a formula; `cell_text` gives the text back.

    Numbers stay numbers.

    >>> safe_cell("=1+1"), safe_cell("'=1+1"), safe_cell("forest"), cell_text(safe_cell("'=1+1"))
    ("'=1+1", "''=1+1", 'forest', "'=1+1")
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def cell_text(cell: str) -> str:
    """Return the text that `safe_cell` made a cell of."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal.

    Of a file above 64 MiB, its size and its first and last MiB are taken instead. Digests are kept beside path, size
    and times in ``wsss-toolkit/digests.jsonl`` of the user's cache folder (``$XDG_CACHE_HOME``, else ``~/.cache``), so
    that a file is read once; without such a folder it is read every time.

    Raises:
        OSError: If the file cannot be read.
    """
    stat = path.stat()
    name = str(path.absolute())
    state = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
    kept = _kept_digests(_digest_file())
    if (known := kept.get(name)) is not None and known[0] == state:
        return known[1]
    with path.open("rb") as file:
        if stat.st_size > LARGE:
            total = hashlib.sha256(f"{stat.st_size} ".encode() + file.read(2**20))
            file.seek(-(2**20), os.SEEK_END)
            total.update(file.read())
        else:
            total = hashlib.file_digest(file, "sha256")
    digest = total.hexdigest()
    if time.time_ns() - max(state[1:]) > SETTLED:
        kept[name] = (state, digest)
        # One write per line, which processes that append at the same time do not mix; a line that was cut off by a
        # full disk or a kill ends where the next one begins.
        with suppress(OSError), _digest_file().open("ab", buffering=0) as file:
            file.write(f"\n{json.dumps([name, state, digest])}\n".encode())
    return digest


def content_of(paths: Iterable[Path], roots: Sequence[Path]) -> dict[str, str]:
    """Return the digest of files by path, relative to the first of the folders that holds a file, sorted.

    A file that is not there counts as ``missing``.
    """

    def known(path: Path) -> tuple[str, str]:
        root = next((root for root in roots if path.is_relative_to(root)), None)
        name = (path if root is None else path.relative_to(root)).as_posix()
        name = name.encode("utf-8", "backslashreplace").decode()  # names that are no text would not be written as JSON
        try:
            return name, file_digest(path)
        except OSError:
            return name, "missing"

    with ThreadPoolExecutor(8) as threads:  # files of a network drive are waited for side by side
        return dict(sorted(threads.map(known, dict.fromkeys(paths))))


def user_cache(name: str) -> Path | None:
    """Return the path of a file or folder in ``wsss-toolkit`` of the user's cache folder; None if there can be none.

    The cache folder is ``$XDG_CACHE_HOME``, else ``~/.cache``.
    """
    with suppress(RuntimeError, OSError):  # there may be no home, or none to write to
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wsss-toolkit"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name
    return None


def _digest_file() -> Path:
    return user_cache("digests.jsonl") or Path(os.devnull)


@cache
def _kept_digests(file: Path) -> dict[str, tuple[list[int], str]]:
    """Read what is known of files by path: size and times, and the digest; damaged lines are passed over."""
    found: dict[str, tuple[list[int], str]] = {}
    try:
        if file.stat().st_size > LARGE:  # half a million files: begun anew, so that it does not grow for ever
            file.unlink()
        lines = file.read_bytes().splitlines()
    except OSError:
        return found
    for line in lines:
        with suppress(ValueError, TypeError):
            name, state, digest = json.loads(line)
            if isinstance(name, str) and isinstance(state, list) and re.fullmatch("[0-9a-f]{64}", digest):
                found[name] = state, digest
    return found
