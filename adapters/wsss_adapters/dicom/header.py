"""Recognises DICOM files and DICOMDIRs by what they hold, and reads of their headers what finding them takes."""

import io
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from wsss_adapters.dicom.library import require_pydicom, text_of
from wsss_adapters.dicom.privacy import KEYWORDS, NOBODY, Identifiers, identifiers
from wsss_adapters.dicom.text import raw_text
from wsss_adapters.quiet import quiet
from wsss_toolkit.errors import UsageError

DEFLATED = b"1.2.840.10008.1.2.1.99"
"""The transfer syntax Deflated Explicit VR Little Endian."""

CHUNK = 2**18
"""Bytes that are unpacked at a time."""

STORAGE = "1.2.840.10008.5.1.4.1.1."
"""What the UIDs of storage classes begin with."""

FRAMES = frozenset(
    STORAGE + number
    for number in ("77.1.1", "77.1.1.1", "7", "7.1", "7.2", "7.3", "7.4", "6", "6.1", "3", "3.1")
)  # fmt: skip
"""VL and Video Endoscopic, Secondary Capture (and multi-frame), Ultrasound (and multi-frame), today's and retired."""

DIRECTORY = "1.2.840.10008.1.3.10"
"""The class of a DICOMDIR."""

NO_PICTURES = re.compile(rf"{re.escape(STORAGE)}(9|11|66|67|88|104)(\.|$)|{re.escape(DIRECTORY)}$")
"""Waveforms, presentation states, segmentations and registrations, reports, documents, DICOMDIRs."""

SUFFIXES = (".dcm", ".dicom")
"""Files that are called so are meant to be DICOM, whatever they hold."""

HEADER_LIMIT = 2**22
"""Bytes of a compressed file that are unpacked to find it."""


def is_deflated(start: bytes) -> bool:
    """Tell from the first kilobyte whether a file is compressed as a whole."""
    return start[128:132] == b"DICM" and DEFLATED in start


def inflate(file: BinaryIO, plain: BinaryIO, limit: int) -> bool:
    """Write the data set of a deflated file as Explicit VR Little Endian, without what comes before it.

    The file is at its beginning, and `plain` afterwards at its own. After `limit` bytes no more is written, since a few
    bytes can stand for gigabytes; the result says whether that was all.

    Raises:
        ValueError: If the file does not say where its data set begins, or the compressed bytes are damaged.
    """
    start = file.read(144)
    if start[132:140] != b"\x02\x00\x00\x00UL\x04\x00":
        raise ValueError("no group length")
    file.seek(144 + int.from_bytes(start[140:144], "little"))
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    written, more = 0, b""
    try:
        while written < limit and not unpacker.eof:
            more = more or file.read(CHUNK)
            if not more:
                raise ValueError("ends too early")
            piece = unpacker.decompress(more, min(CHUNK, limit - written))
            more = unpacker.unconsumed_tail
            written += plain.write(piece)
    except zlib.error as error:
        raise ValueError("is damaged") from error
    plain.seek(0)
    return unpacker.eof


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of a DICOM file before it is opened."""

    sop_class: str = ""
    """UID of its class, "" where the header cannot be read."""
    instance: str = ""
    """UID of the object, "" where the header cannot be read."""
    who: Identifiers = NOBODY
    """What must not appear in names and messages."""


def read_header(path: Path, *, shown: str) -> Header | None:
    """Return the header of a DICOM file, an empty one where it is damaged, None where the file is something else.

    Raises:
        UsageError: If it is DICOM and pydicom is not installed; it calls the file what `shown` says.
    """
    meant = path.suffix.lower() in SUFFIXES
    try:
        with path.open("rb") as file:
            start = file.read(1024)
            marked = start[128:132] == b"DICM"
            if not marked and not _begins_with_elements(start):
                return Header() if meant else None
            require_pydicom(shown)
            file.seek(0)
            header = _read(file, deflated=is_deflated(start))
    except OSError:
        return Header() if meant else None
    if marked or meant or header.sop_class.startswith(STORAGE):
        return header
    return None


def _begins_with_elements(start: bytes) -> bool:
    """Tell whether bytes look like a data set without the 128 bytes and ``DICM`` that should come before it."""
    group, vr, length = start[:2], start[4:6], int.from_bytes(start[4:8], "little")
    known = group in (b"\x02\x00", b"\x08\x00", b"\x00\x08")
    return known and len(start) > 64 and (vr in (b"UL", b"CS", b"UI", b"DA", b"OB") or 0 < length <= 64)


def _read(file: BinaryIO, *, deflated: bool) -> Header:
    import pydicom

    wanted = ["SOPClassUID", "SOPInstanceUID", "SpecificCharacterSet", *KEYWORDS]
    with quiet("pydicom"):
        try:
            if deflated:
                whole = io.BytesIO()
                inflate(file, whole, HEADER_LIMIT)
                file = whole
            header = pydicom.dcmread(file, force=True, stop_before_pixels=True, specific_tags=wanted)
        except Exception:  # pydicom raises many kinds where bytes make no sense
            return Header()
        meta = getattr(header, "file_meta", None)
        return Header(
            text_of(header, "SOPClassUID") or text_of(meta, "MediaStorageSOPClassUID"),
            text_of(header, "SOPInstanceUID") or text_of(meta, "MediaStorageSOPInstanceUID"),
            identifiers(lambda keyword: _text(header, keyword)),
        )


def _text(header: Any, keyword: str) -> str:
    """Return a text in Unicode, as well as its bytes allow."""
    try:
        found = raw_text(header, keyword)
    except Exception:  # what does not fit its character set, or a damaged element
        found = None
    return found[0] if found else text_of(header, keyword)


def is_dicomdir(path: Path) -> bool:
    """Tell whether a file is called DICOMDIR."""
    return path.name.casefold() == "dicomdir"


def listed_files(path: Path) -> list[Path]:
    """Return the image files that a DICOMDIR lists, in its order, whether they are there or not.

    Raises:
        UsageError: If it cannot be read, or names a file outside its folder.
    """
    import pydicom

    with quiet("pydicom"):
        try:
            directory = pydicom.dcmread(path)
            records = [
                text_of(record, "ReferencedFileID").split("\\")
                for record in directory.DirectoryRecordSequence
                if text_of(record, "DirectoryRecordType") == "IMAGE"
            ]
        except Exception:  # pydicom raises many kinds where bytes make no sense
            fix = "copy it again, or give the folder that it lies in"
            raise UsageError("is not a readable DICOMDIR", where=str(path), fix=fix) from None
    return [_inside(path, components) for components in records if components != [""]]


def _inside(directory: Path, components: list[str]) -> Path:
    """Return the path of a listed file.

    Media on which names are upper case are often copied in lower case, so case is ignored where it has to be.
    """
    folder = directory.parent
    found = folder
    outside = any(part in ("", ".", "..") or "/" in part or ":" in part or "\0" in part for part in components)
    if not outside:
        for part in components:
            found = _entry(found, part)
        outside = not found.resolve().is_relative_to(folder.resolve())
    if outside:
        fix = "give the folder that its files lie in"
        raise UsageError("lists a file outside its folder", where=str(directory), fix=fix)
    return found


def _entry(folder: Path, name: str) -> Path:
    if (folder / name).exists() or not folder.is_dir():
        return folder / name
    same = [entry for entry in sorted(folder.iterdir()) if entry.name.casefold() == name.casefold()]
    return same[0] if same else folder / name
