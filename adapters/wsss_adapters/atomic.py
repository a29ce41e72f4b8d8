"""Files that appear complete or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wsss_toolkit.errors import WsssError

FULL = 2**20
"""A disk with fewer free bytes than this is called full, whatever GDAL says of it."""


@contextmanager
def complete_file(path: Path) -> Iterator[Path]:
    """Give a temporary name in the same folder; the file is moved into place if the block ends without an error.

    Everything whose name begins with the temporary one (GDAL writes companions) is deleted in the end.

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
            for left in path.parent.glob(f"{partial.stem}*"):
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
    return WsssError(
        f"cannot write: {reason}", where=str(path), fix="free disk space or choose another output folder with --out"
    )


def write_bytes(path: Path, content: bytes) -> None:
    """Write a small file, complete or not at all.

    Raises:
        WsssError: If it cannot be written.
    """
    with complete_file(path) as partial:
        partial.write_bytes(content)
