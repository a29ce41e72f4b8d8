"""DICOMDIR: the list of contents of a DICOM medium, and the image files that it names."""

from pathlib import Path

from wsss_adapters.dicom.library import text_of
from wsss_adapters.quiet import quiet
from wsss_toolkit.errors import UsageError


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
