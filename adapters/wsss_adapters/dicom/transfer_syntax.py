"""Which decoder reads which transfer syntax.

GDCM, which pydicom would take first, ends the whole process where a frame is damaged (3.2.6 calls `std::terminate`).
The others raise errors, so that one broken file does not stop the rest: GDCM is left to lossless JPEG with more than
8 bits, which no other reads.
"""

from typing import Any, Final

from wsss_toolkit.errors import DataError

PREFIX: Final = "1.2.840.10008.1.2.4."
"""What the UIDs of JPEG's and video's transfer syntaxes begin with."""

JPEG: Final = (f"{PREFIX}50", f"{PREFIX}51", f"{PREFIX}57", f"{PREFIX}70")
LOSSLESS: Final = JPEG[2:]
JPEG_LS: Final = (f"{PREFIX}80", f"{PREFIX}81")
HTJ2K: Final = (f"{PREFIX}201", f"{PREFIX}202", f"{PREFIX}203")
JPEG_2000: Final = (f"{PREFIX}90", f"{PREFIX}91", *HTJ2K)
VIDEO: Final = ("100", "101", "102", "103", "104", "105", "106", "107", "108")
RLE: Final = "1.2.840.10008.1.2.5"
NATIVE: Final = {
    (True, True): "1.2.840.10008.1.2",
    (False, True): "1.2.840.10008.1.2.1",
    (False, False): "1.2.840.10008.1.2.2",
}
"""Uncompressed transfer syntaxes by whether types are left out and whether the low byte comes first."""


def decoder_for(syntax: str, depth: int, where: str) -> tuple[Any, str]:
    """Return pydicom's decoder for frames of a transfer syntax, and the plugin that it is to use.

    Pillow reads JPEG with 8 bits whatever the process, lossless too, so that one decoder does for all of it.

    Args:
        syntax: UID.
        depth: Bits per sample.
        where: What messages call the file.

    Raises:
        DataError: If there is none; it names the package that brings one, or another way.
    """
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    uid = UID(syntax)
    named = "an unknown transfer syntax" if uid.name == syntax else f"{uid.name} ({syntax})"
    if syntax.removeprefix(PREFIX).split(".")[0] in VIDEO:
        raise DataError(
            f"is a video in {named}, which pydicom does not decode",
            where=where,
            fix="write its frames as PNG files (gdcmraw, then ffmpeg) and label those, or export it as JPEG frames",
        )
    try:
        decoder = get_decoder(JPEG[0] if syntax in JPEG and depth <= 8 else uid)
    except NotImplementedError:
        raise DataError(
            f"is stored in {named}, which pydicom does not decode",
            where=where,
            fix="convert it to Explicit VR Little Endian or JPEG",
        ) from None
    if not uid.is_encapsulated:
        return decoder, ""
    plugins, packages = _plugins(syntax, depth)
    for plugin in plugins:
        if plugin in decoder.available_plugins:
            return decoder, plugin
    deep = f" with {depth} bits per sample" if depth > 8 else ""
    raise DataError(
        f"is stored in {named}{deep}, and no decoder is installed", where=where, fix=f"pip install {packages}"
    )


def _plugins(syntax: str, depth: int) -> tuple[tuple[str, ...], str]:
    """Return plugins of pydicom in the order in which they are tried, and what pip installs for them."""
    if syntax in JPEG and depth <= 8:
        return ("pillow",), "pillow"
    if syntax in LOSSLESS:
        return ("pylibjpeg", "gdcm"), "python-gdcm"
    if syntax in JPEG:
        return ("pylibjpeg",), "pylibjpeg pylibjpeg-libjpeg (under the GPL)"
    if syntax in JPEG_LS:
        return ("pyjpegls",), "pyjpegls"
    if syntax == RLE:
        return ("pylibjpeg", "pydicom"), "pydicom"
    return ("pylibjpeg",) if syntax in HTJ2K else ("pylibjpeg", "pillow"), "pylibjpeg pylibjpeg-openjpeg"
