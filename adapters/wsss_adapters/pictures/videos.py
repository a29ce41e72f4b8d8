"""Says of inputs with nothing to label what they hold; films are recognised, and the way out is named."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from wsss_toolkit.domain.unread import by_kind, files_beside
from wsss_toolkit.errors import UsageError

SUFFIXES: Final = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".m2v", ".mts", ".m2ts", ".wmv", ".flv", ".ogv"}
)
"""What films are called, in lower case."""

BEGINNINGS: Final = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"\x00\x00\x01\xba",  # MPEG
    b"\x00\x00\x01\xb3",
    b"\x30\x26\xb2\x75",  # Windows Media
    b"FLV\x01",
    b"OggS",
)

PICTURES: Final = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"jp2 ", b"crx ")
"""Brands of the container of MP4 that hold still pictures."""


def is_video(path: Path) -> bool:
    """Tell whether a file is a film, by its first bytes, else by its name."""
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        return False
    if start[4:8] == b"ftyp":
        return start[8:12] not in PICTURES
    if start.startswith(b"RIFF"):
        return start[8:12] == b"AVI "
    return start.startswith(BEGINNINGS) or path.suffix.lower() in SUFFIXES


def left_in(text: str) -> str:
    """Return in parentheses what an input that holds nothing to label holds, by kind, or "" where it is empty.

    Raises:
        UsageError: If there are films; it names the way out.
    """
    left = files_beside([text], ())
    refuse_videos(left)
    return f" (not read: {by_kind(left)})" if left else ""


def refuse_videos(files: Iterable[Path]) -> None:
    """Raise a UsageError that names the way out where there are films among some files that are not read."""
    found = [path for path in files if path.is_file() and is_video(path)]
    if found:
        several = f"and {len(found) - 1} more are videos, which are not read"
        what = several if len(found) > 1 else "is a video, which is not read"
        folder = shlex.quote(f"{found[0].stem}-frames")
        fix = f"label its frames: mkdir {folder} && ffmpeg -i {shlex.quote(str(found[0]))} {folder}/%06d.png"
        raise UsageError(what, where=str(found[0]), fix=fix)
