"""Decodes one frame of a DICOM file with pydicom's decoders, and decides what its samples are.

GDCM, which pydicom would take first, ends the whole process where a frame is damaged (3.2.6 calls `std::terminate`).
The others raise errors, so that one broken file does not stop the rest: GDCM is left to lossless JPEG with more than
8 bits, which no other reads.
"""

from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Literal

import numpy as np
from numpy.typing import NDArray

from wsss_adapters.dicom.evidence import other_order, reordered
from wsss_adapters.dicom.jpeg_markers import Codestream, followed, read_jpeg, read_jpeg2000, unconverted, whole
from wsss_adapters.dicom.offsets import Frames
from wsss_adapters.dicom.pixel_format import DEPTHS, GREY, PALETTE, PixelFormat
from wsss_adapters.dicom.sample_bits import Bits, bits_of, require_segments, used_bits
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

Space = Literal["rgb", "ybr", "partial"]


def decoder_for(syntax: str, depth: int, where: str) -> tuple[Any, str]:
    """Return pydicom's decoder for frames of a transfer syntax, and the plugin that it is to use.

    Pillow reads JPEG with 8 bits per sample whatever the process, lossless too, so that one decoder does for all of it.

    Raises:
        DataError: If there is none; it names the package that brings one, or another way.
    """
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    uid = UID(syntax)
    named = "an unknown transfer syntax" if uid.name == syntax else f"{uid.name} ({syntax})"
    if syntax.removeprefix(PREFIX).split(".")[0] in VIDEO:
        fix = "write its frames as PNG files (gdcmraw, then ffmpeg) and label those, or export it as JPEG frames"
        raise DataError(f"is a video in {named}, which pydicom does not decode", where=where, fix=fix)
    try:
        decoder = get_decoder(JPEG[0] if syntax in JPEG and depth <= 8 else uid)
    except NotImplementedError:
        fix = "convert it to Explicit VR Little Endian or JPEG"
        raise DataError(f"is stored in {named}, which pydicom does not decode", where=where, fix=fix) from None
    if not uid.is_encapsulated:
        return decoder, ""
    plugins, packages = _plugins(syntax, depth)
    for plugin in plugins:
        if plugin in decoder.available_plugins:
            return decoder, plugin
    deep = f" with {depth} bits per sample" if depth > 8 else ""
    fix = f"pip install {packages}"
    raise DataError(f"is stored in {named}{deep}, and no decoder is installed", where=where, fix=fix)


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


@dataclass(frozen=True, slots=True)
class Decoded:
    """The samples of one frame."""

    samples: NDArray[Any]
    """`h w`, or `h w 3`."""
    depth: int
    """Bits per sample."""
    signed: bool
    space: Space
    """What three samples are: ``partial`` is YCbCr in video's range."""
    notices: tuple[str, ...] = ()
    """What the user should know."""


class FrameDecoder:
    """Decodes the frames of an open file, which is at the value of its pixel data.

    Big-endian bytes are swapped as `vr`, the value representation of the pixel data, tells.

    Raises:
        DataError: If there is no decoder; it names the package that brings one, or another way.
    """

    def __init__(
        self, file: BinaryIO, header: Any, format: PixelFormat, *, compressed: bool, vr: str, where: str
    ) -> None:
        syntax = str(getattr(header, "file_meta", {}).get("TransferSyntaxUID") or "")
        if not compressed and (not syntax or syntax in NATIVE.values()):
            syntax = NATIVE[header.original_encoding]
        self.frames: Frames | None = None
        self._file, self._format, self._vr, self._where = file, format, vr, where
        self._syntax, self._name = syntax, _name(syntax)
        decoder_for(syntax, 8, where)  # raises where there is none, before frames are looked for
        self._start = file.tell()
        self._bits: Bits | None = None
        self._reordered: bool | None = None

    def decode(self, index: int) -> Decoded:
        """Decode a frame. Where header and codestream disagree, the first frame decides how all are read.

        Raises:
            DataError: If it is damaged or contradicts the header.
        """
        if self.frames is None:
            return self._native(index)
        stored = self.frames.read(self._file, index)
        where = f"{self._where}, frame {index + 1}"
        frame, stream = self._codestream(stored, where)
        space, notice = self._space(stream)
        if self._syntax in JPEG and self._format.samples == 3:
            frame = unconverted(frame)
        if stream is None:
            require_segments(frame, self._format, where)
            samples = used_bits(self._samples(frame, space, self._format.stored, where), self._format, where)
            return Decoded(samples, self._format.stored, self._format.signed, space, self._notices(notice))
        signed, sign = self._signed(stream)
        samples = self._samples(frame, space, stream.precision, where, signed=signed)
        if index and self._bits is None:
            self.decode(0)
        bits = bits_of(samples, self._format.stored, stream.precision, where, self._bits)
        self._bits = bits
        more = "holds another picture behind that of its first frame, which is left out" if followed(stored) else ""
        return Decoded(samples, bits.depth, signed, space, self._notices(notice, bits.notice, sign, more))

    def _notices(self, *more: str) -> tuple[str, ...]:
        return tuple(filter(None, (self._format.notice, self._planar, *more)))

    @property
    def _planar(self) -> str:
        """What is said of a planar configuration that the frames do not have."""
        if self._format.planar == 0 or self._syntax not in JPEG + JPEG_LS + JPEG_2000:
            return ""
        return f"says PlanarConfiguration 1, which {self._name} does not have: it is ignored"

    def _signed(self, stream: Codestream) -> tuple[bool, str]:
        """Decide whether samples are signed, and say where that is not what header or codestream says."""
        signed = self._format.signed
        if signed and self._syntax in JPEG and self._syntax not in LOSSLESS:
            return False, "says that samples are signed, which those of lossy JPEG never are: they are read as unsigned"
        if stream.signed is not None and stream.signed != signed and self._format.samples == 1:
            header, frame = ("signed", "unsigned") if signed else ("unsigned", "signed")
            return signed, f"says that samples are {header}, its frames {frame}: they are read as {header}"
        return signed, ""

    def _native(self, index: int) -> Decoded:
        format = self._format
        self._file.seek(self._start)
        photometric = "YBR_FULL_422" if format.photometric.endswith("_422") else format.photometric
        if photometric not in ("RGB", "YBR_FULL", "YBR_FULL_422", PALETTE, *GREY):
            fix = "correct PhotometricInterpretation: RGB or YBR_FULL"
            raise DataError(f"declares {photometric} for uncompressed pixel data", where=self._where, fix=fix)
        options = {**format.options(photometric), "number_of_frames": format.frames, "pixel_vr": self._vr}
        options |= {"planar_configuration": format.planar, "correct_unused_bits": False}
        where = f"{self._where}, frame {index + 1}"
        samples = used_bits(self._call(self._file, index, format.stored, options, where), format, where)
        space: Space = "rgb"
        if photometric.startswith("YBR"):
            space = "partial" if format.photometric.startswith("YBR_PARTIAL") else "ybr"
        samples, order = self._in_order(samples, index)
        return Decoded(samples, format.stored, format.signed, space, self._notices(order))

    def _in_order(self, samples: NDArray[Any], index: int) -> tuple[NDArray[Any], str]:
        """Return uncompressed samples in the order that the first frame shows them to have, and say what it is."""
        planar = self._format.planar
        if self._format.samples == 1 or self._format.photometric.endswith("_422"):
            return samples, ""
        if index and self._reordered is None:
            self._native(0)
        elif self._reordered is None:
            self._reordered = other_order(samples, planar)
        if not self._reordered:
            return samples, ""
        what = f"says PlanarConfiguration {planar}, and its pixels make a picture by {1 - planar} only: it is read so"
        return reordered(samples, planar), what

    def _codestream(self, frame: bytes, where: str) -> tuple[bytes, Codestream | None]:
        """Read the frame's own header and compare it with the DICOM header; cut off what comes after its end."""
        if self._syntax not in JPEG + JPEG_LS + JPEG_2000:
            return frame, None
        if not frame:
            raise DataError("is empty", where=where, fix="export or copy the file again")
        stream = read_jpeg2000(frame, where) if self._syntax in JPEG_2000 else read_jpeg(frame, where)
        format = self._format
        if frame[:2] in (b"\xff\xd8", b"\xff\x4f"):
            complete = whole(frame)
            if complete is None:
                raise DataError("is cut short: the frame has no end", where=where, fix="export or copy the file again")
            frame = complete
        if (stream.rows, stream.columns, stream.samples) != (format.rows, format.columns, format.samples):
            raise DataError(
                f"is {stream.rows} x {stream.columns} pixels with {stream.samples} samples, the header says"
                f" {format.rows} x {format.columns} with {format.samples}",
                where=where,
                fix="correct Rows, Columns or SamplesPerPixel",
            )
        if not 1 <= stream.precision <= DEPTHS[-1]:
            raise DataError(f"has {stream.precision} bits per sample, it is damaged", where=where)
        return frame, stream

    def _space(self, stream: Codestream | None) -> tuple[Space, str]:
        """Decide what the samples are after decoding: what the frame says of itself outweighs the header."""
        declared = self._format.photometric
        if self._format.samples == 1:
            return "rgb", ""
        if stream is not None and stream.space is not None:
            fits = declared == "RGB" or (declared in ("YBR_ICT", "YBR_RCT") and self._syntax in JPEG_2000)
            if fits != (stream.space == "rgb"):
                return stream.space, f"declares {declared}, but {stream.why}: its colours are read accordingly"
            return stream.space, ""
        if self._syntax in JPEG_2000 and declared in ("YBR_ICT", "YBR_RCT"):
            return "rgb", f"declares {declared}, but its frames are not transformed: they are read as RGB"
        if self._syntax not in JPEG + JPEG_2000 and declared not in ("RGB", "YBR_FULL", "YBR_FULL_422"):
            fix = "correct PhotometricInterpretation: RGB or YBR_FULL"
            raise DataError(f"declares {declared}, which {self._name} does not have", where=self._where, fix=fix)
        if self._syntax in JPEG and self._syntax not in LOSSLESS and declared == "RGB":
            return "rgb", "declares RGB, and its JPEG frames do not say what they are: they are read as RGB"
        return ("rgb" if declared == "RGB" else "ybr"), ""

    def _samples(
        self, frame: bytes, space: Space, depth: int, where: str, *, signed: bool | None = None
    ) -> NDArray[Any]:
        from pydicom.encaps import encapsulate

        options = self._format.options(self._format.photometric)
        if signed is not None:
            options["pixel_representation"] = int(signed)
        if self._format.samples == 3:
            options["photometric_interpretation"] = "RGB" if space == "rgb" else "YBR_FULL"
        if self._syntax in JPEG + JPEG_LS + JPEG_2000:  # the frame knows better than the header
            options |= {"bits_stored": depth, "bits_allocated": next(bits for bits in DEPTHS if depth <= bits)}
        else:
            options["correct_unused_bits"] = False
        return self._call(encapsulate([frame], has_bot=False), 0, depth, options, where)

    def _call(
        self, stored: bytes | BinaryIO, index: int, depth: int, options: dict[str, Any], where: str
    ) -> NDArray[Any]:
        decoder, plugin = decoder_for(self._syntax, depth, where)
        try:
            samples, _ = decoder.as_array(stored, index=index, raw=True, decoding_plugin=plugin, **options)
        except Exception:  # decoders raise many kinds
            fix = "export or copy the file again"
            raise DataError(f"cannot be decoded as {self._name}, it is damaged", where=where, fix=fix) from None
        return np.asarray(samples)


def _name(syntax: str) -> str:
    from pydicom.uid import UID

    return UID(syntax).name
