"""What kind of file something is by its first bytes, whatever its name says."""

from pathlib import Path
from typing import Final

FORMATS: Final = {
    "PNG": "PNG",
    "JPEG": "JPEG",
    "MPO": "JPEG",
    "TIFF": "TIFF",
    "BMP": "BMP",
    "GIF": "GIF",
    "WEBP": "WebP",
    "AVIF": "AVIF",
    "JPEG2000": "JPEG 2000",
}
"""What Pillow may take a picture for, and what it is called; MPO is JPEG as some cameras write it."""

LOSSY: Final = frozenset({"JPEG", "MPO", "WEBP", "AVIF", "JPEG2000"})
"""Formats that may change values, so that no mask of numbers is stored in them."""

CODECS: Final = {"WebP": "webp", "AVIF": "avif", "JPEG 2000": "jpg_2000"}
"""Kinds that not every build of Pillow reads, and what `PIL.features` calls what they need."""

CONVERTIBLE: Final = frozenset({"HEIC", "JPEG XL", "PDF", "SVG", "Photoshop", "DDS"})
"""Kinds of pictures that other programs turn into PNG."""

_BEGINNINGS: Final = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"BM", "BMP"),
    (b"GIF8", "GIF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"%PDF", "PDF"),
    (b"8BPS", "Photoshop"),
    (b"PK\x03\x04", "zip"),
    (b"Rar!", "RAR"),
    (b"\x1f\x8b", "gzip"),
    (b"\x89HDF", "HDF5"),
    (b"\x93NUMPY", "NumPy"),
    (b"DDS ", "DDS"),
    (b"<svg", "SVG"),
    (b"<html", "HTML"),
    (b"<!doctype html", "HTML"),
    (b"<?xml", "XML"),
    (b"version https://git-lfs", "Git LFS pointer"),
)
_BRANDS: Final = {
    b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC", b"mif1": "HEIC",
}  # fmt: skip


def kind_of(path: Path) -> str | None:
    """Return the kind of a file, such as ``WebP``; None where its first bytes say nothing, or it cannot be read."""
    try:
        with path.open("rb") as file:
            start = file.read(144)
    except OSError:
        return None
    if start[:4] == b"RIFF":
        return {b"WEBP": "WebP", b"AVI ": "AVI video"}.get(start[8:12])
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12], "video" if start[8:11] in (b"iso", b"mp4", b"qt ", b"M4V") else None)
    if start[128:132] == b"DICM":
        return "DICOM"
    lower = start.lstrip().lower()
    return next((kind for begins, kind in _BEGINNINGS if start.startswith(begins) or lower.startswith(begins)), None)


def codec_missing(kind: str) -> bool:
    """Return whether this build of Pillow cannot read a kind of pictures that others can."""
    from PIL import features

    return kind in CODECS and not features.check(CODECS[kind])
