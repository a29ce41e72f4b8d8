"""Files of frames under neutral names, and the table that tells their owner which is which."""

import csv
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from wsss_adapters.dicom.secret import key_for, key_path, keyed, private_folder, read_by_others, write_private
from wsss_adapters.dicom_seg import writing
from wsss_adapters.frames.scene import FrameSource
from wsss_adapters.pictures import png_mask
from wsss_toolkit.errors import DataError, UsageError, WsssError

TABLE: Final = "names.csv"
COLUMNS: Final = ("name", "known_as", "file")
"""The neutral name; what a file is known by: a DICOM object by a digest of its UID, a picture by its path; the path."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """What is to be labelled, under neutral names."""

    sources: tuple[FrameSource, ...]
    notices: tuple[str, ...]
    """Where key and table are kept."""


def hide(sources: Sequence[FrameSource], folder: Path, key_file: str | None) -> Hidden:
    """Give files neutral names, the same as in every call before on the same folder of masks.

    New ones are numbered in an order that says nothing of their paths.

    Raises:
        UsageError: If there is no such key, or the folder holds masks of other names.
        DataError: If the table of an earlier call cannot be read.
        WsssError: If key or table cannot be written.
    """
    path = private_folder(folder) / TABLE
    rows = _read(path)
    if others := masks_in(folder) - {name for name, _, _ in rows}:
        what = f"holds masks of {len(others)} files that its table of names does not know: they may name patients"
        raise UsageError(what, where=str(folder), fix="choose another --out, or move them away")
    made = key_file is None and not key_path(folder, None).exists()
    key = key_for(folder, key_file)
    taken = {known: name for name, known, _ in rows}
    known_as = {source: _known_as(source) for source in sources}
    new = sorted((known for known in known_as.values() if known not in taken), key=lambda known: keyed(key, known))
    kinds = {known_as[source]: source.kind for source in sources}
    for number, known in enumerate(dict.fromkeys(new), start=len(rows) + 1):
        taken[known] = f"{kinds[known]}-{number:04}"
    if new:
        files = {known_as[source]: str(source.path.absolute()) for source in sources}
        rows += [(taken[known], known, files[known]) for known in dict.fromkeys(new)]
        write_private(path, _text(rows))
    salt = keyed(key, "fingerprint").hex()
    hidden = [replace(s, name=taken[known_as[s]], shown=taken[known_as[s]], salt=salt) for s in sources]
    kept = "made now" if made else "of an earlier call" if key_file is None else "yours"
    kept += ", which all users of this machine can read" if read_by_others(key_path(folder, key_file)) else ""
    said = (
        f"secret key ({kept}): {key_path(folder, key_file)}; whoever has it can find the patients, keep it to yourself",
        f"which file is which: {path}",
    )
    return Hidden(tuple(sorted(hidden, key=lambda source: source.name)), said)


def require_none_hidden(folder: Path) -> None:
    """Raise a UsageError where a folder holds masks under neutral names, which others would tell apart by theirs."""
    if masks_in(folder) & {name for name, _, _ in _read(private_folder(folder) / TABLE)}:
        fix = "give it again, or choose another --out"
        raise UsageError("holds masks that were made with --deidentify", where=str(folder), fix=fix)


def masks_in(folder: Path) -> set[str]:
    """Return what the files are called whose masks and scores a folder holds."""
    files = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return {rule.sub("", name) for name in files for rule in (png_mask.OURS, writing.OURS) if rule.search(name)}


@contextmanager
def without_paths(source: FrameSource) -> Iterator[None]:
    """Let no error of a hidden file out that could name it."""
    try:
        yield
    except WsssError as error:
        unnamed = _unnamed(error, source)
        if str(unnamed) == str(error):
            raise
        raise unnamed from None
    except Exception as error:  # what libraries raise may quote a path
        if not source.salt or source.path.stem not in str(error):
            raise
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
        raise DataError(f"cannot be labelled ({reason})", where=source.shown) from None


def _unnamed(error: WsssError, source: FrameSource) -> WsssError:
    """Return an error in which a file is called what messages call it."""
    paths = [source.path.resolve(), source.path.absolute(), source.path]
    names = [*map(str, paths), *([source.path.name] if source.salt else [])]

    def unnamed(text: str | None) -> str | None:
        for name in names if text else ():
            text = str(text).replace(name, source.shown)
        return text

    return type(error)(unnamed(error.what) or error.what, where=unnamed(error.where), fix=unnamed(error.fix))


def _known_as(source: FrameSource) -> str:
    return source.name if source.kind == "dicom" else str(source.path.resolve())


def _read(path: Path) -> list[tuple[str, str, str]]:
    if not path.exists():
        return []
    try:
        text = path.read_bytes().decode("utf-8", "surrogateescape")
        first, *rows = csv.reader(io.StringIO(text), strict=True)
        if tuple(first) != COLUMNS:
            raise ValueError(first)
        return [(name, known, file) for name, known, file in rows]
    except (OSError, ValueError, csv.Error):
        fix = "bring its copy back, or choose another --out: masks would get other names"
        raise UsageError("is no table of names", where=str(path), fix=fix) from None


def _text(rows: Sequence[tuple[str, str, str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([COLUMNS, *rows])
    return text.getvalue()
