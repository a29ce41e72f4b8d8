"""Files that appear complete or not at all, and names that are safe for them."""

import glob
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wsss_toolkit.errors import WsssError

_SAFE = re.compile(r"[A-Za-z0-9._-]+")
_LEFTOVER = re.compile(r"\.\d+\.partial(\.|$)")

FULL = 2**20
"""A disk with fewer free bytes than this is called full, whatever GDAL says of it."""


@contextmanager
def complete_file(path: Path) -> Iterator[Path]:
    """Give a temporary name in the same folder; the file is moved into place if the block ends without an error.

    The name is ``.STEM.PROCESS.partial.SUFFIX``: what a killed process leaves can be told by it (`remove_leftovers`).
    Everything whose name begins with it (GDAL writes companions) is deleted in the end.

    Raises:
        WsssError: If the file cannot be written.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(path)
    except OSError as error:
        raise cannot_write(path, error.strerror or str(error)) from error
    finally:
        try:
            for left in path.parent.glob(f"{glob.escape(partial.stem)}*"):
                left.unlink(missing_ok=True)
        except OSError:
            pass  # the folder itself is what failed; the first error says so


def cannot_write(path: Path, reason: str) -> WsssError:
    """Return the error for a file that cannot be written; called while what was written of it is still there."""
    try:
        full = shutil.disk_usage(path.parent).free < FULL
    except OSError:
        full = False
    if full:
        reason = "no space left on device"
    return WsssError(f"cannot write: {reason}", where=str(path), fix="free disk space or choose another --out")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a small file, complete or not at all.

    Raises:
        WsssError: If it cannot be written.
    """
    with complete_file(path) as partial:
        partial.write_bytes(content)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON, complete or not at all."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8, complete or not at all.

    Raises:
        WsssError: If it cannot be written.

    >>> write_text(Path("note.txt"), "done")
    >>> Path("note.txt").read_text(), len(list(Path().iterdir()))
    ('done', 1)
    """
    write_bytes(path, text.encode())


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files below a folder that killed processes left; no other may be at work in it."""
    for path in folder.rglob(".*.partial*"):
        if _LEFTOVER.search(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def file_for(folder: Path, key: str) -> Path:
    """Return the path of an image's file in a folder, without a suffix.

    Raises:
        WsssError: If the key is not safe as a file name; the adapter that made it is at fault.

    >>> file_for(Path("masks"), "tile_07").as_posix()
    'masks/tile_07'
    """
    if not _SAFE.fullmatch(key) or key in (".", ".."):
        raise WsssError(
            f"image key {key!r} is not safe as a file name", fix="the adapter must use A-Z a-z 0-9 . _ - only"
        )
    return folder / key


def safe_key(name: str) -> str:
    """Return a name with ``-`` for every character that is not safe in a file name."""
    return re.sub(r"^\.|[^A-Za-z0-9._-]", "-", name)
