"""Finds frames among files, folders, globs and DICOMDIRs: pictures, and DICOM by what the files hold."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from wsss_adapters.dicom.header import NO_PICTURES, Header, is_dicomdir, listed_files, read_header
from wsss_adapters.dicom.privacy import Identifiers, bare, short_hash, shown_path
from wsss_adapters.frames.scene import FrameSource
from wsss_adapters.pictures.names import SUFFIXES
from wsss_adapters.pictures.png_mask import OURS, is_ours
from wsss_adapters.pictures.videos import left_in
from wsss_toolkit.domain.unread import paths_of
from wsss_toolkit.errors import UsageError
from wsss_toolkit.files import safe_key

LOOKED_FOR = f"DICOM (also without a suffix), DICOMDIR, {', '.join(sorted(SUFFIXES))}"


@dataclass(frozen=True, slots=True)
class Found:
    """A file that may hold frames."""

    path: Path
    """As the user gave it, or below what the user gave."""
    header: Header | None
    """What its DICOM header says; None for pictures."""


def find_frames(inputs: Sequence[str]) -> tuple[FrameSource, ...]:
    """Find the files of frames that the user named.

    A DICOM object is named after a digest of its UID, a picture after its file. Reports and segmentations in a folder
    are left out; whatever else is DICOM is found, and fails when it is opened if it holds no frames.

    Raises:
        UsageError: If an input does not exist, cannot be read, or holds no frames.
    """
    found: dict[Path, Found] = {}
    for text in inputs:
        files = list(_find(text))
        if not files:
            raise UsageError(f"no frames in {text!r}{left_in(text)}; looked for {LOOKED_FOR}")
        for file in files:
            found.setdefault(file.path.resolve(), file)
    return _named(list(found.values()))


def _find(text: str) -> Iterator[Found]:
    for path in paths_of(text):
        yield from _one(path, asked=path == Path(text))


def _one(path: Path, *, asked: bool) -> Iterator[Found]:
    """Find the frames of one file or folder; a file that was asked for counts although it may turn out to hold none."""
    if path.is_dir():
        for file in _files(path):
            yield from _file(file, asked=False)
    elif is_dicomdir(path):
        for file in listed_files(path):
            header = read_header(file, shown=str(path)) or Header()
            if not NO_PICTURES.match(header.sop_class):
                yield Found(file, header)
    else:
        yield from _file(path, asked=asked)


def _file(path: Path, *, asked: bool) -> Iterator[Found]:
    header = read_header(path, shown=str(path))
    if header is not None:
        if asked or not NO_PICTURES.match(header.sop_class):
            yield Found(path, header)
    elif path.suffix.lower() in SUFFIXES and not (is_ours(path) if asked else OURS.search(path.name)):
        yield Found(path, None)


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and those below it, in a fixed order; hidden ones are left out."""

    def refuse(error: OSError) -> None:
        where = str(error.filename or folder)
        raise UsageError(f"cannot be read ({error.strerror})", where=where, fix="check its rights") from error

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place) / name
            if not name.startswith(".") and not is_dicomdir(path) and path.is_file():
                yield path


def _named(files: Sequence[Found]) -> tuple[FrameSource, ...]:
    """Give every file its names; what the header of one tells counts for the paths of all."""
    everybody = Identifiers.of_all({file.header.who for file in files if file.header})
    identifies = lru_cache(maxsize=None)(everybody.in_text)
    names = _distinct(files, [_name(file, identifies) for file in files], identifies)
    return tuple(
        FrameSource(
            name,
            shown_path(file.path, partial(_hidden, identifies=identifies, header=file.header), name),
            file.path,
            "picture" if file.header is None else "dicom",
        )
        for name, file in zip(names, files, strict=True)
    )


def _hidden(part: str, *, identifies: Callable[[str], bool], header: Header | None) -> bool:
    """Tell whether a part of a path names somebody, or the object itself."""
    instance = bare(header.instance) if header else ""
    return identifies(part) or bool(instance and instance in bare(part))


def _name(file: Found, identifies: Callable[[str], bool]) -> str:
    if file.header is not None:
        return f"dicom-{short_hash(file.header.instance or str(file.path.resolve()))}"
    if identifies(file.path.stem):
        return f"picture-{short_hash(str(file.path.resolve()))}"
    return safe_key(file.path.stem)


def _distinct(files: Sequence[Found], names: list[str], identifies: Callable[[str], bool]) -> list[str]:
    """Give pictures of one name their folder's name too, and a digest of the path to what still shares a name."""

    def repeated(name: str) -> bool:
        return counts[name.casefold()] > 1

    counts = Counter(name.casefold() for name in names)
    names = [
        safe_key(f"{file.path.parent.name}_{name}")
        if repeated(name) and file.header is None and not identifies(file.path.parent.name)
        else name
        for name, file in zip(names, files, strict=True)
    ]
    counts = Counter(name.casefold() for name in names)
    return [
        f"{name}-{short_hash(str(file.path.resolve()), 6)}" if repeated(name) else name
        for name, file in zip(names, files, strict=True)
    ]
