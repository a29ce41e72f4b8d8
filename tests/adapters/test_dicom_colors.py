"""What a frame says of its colours outweighs the header; palettes and video ranges are as DICOM has them."""

import numpy as np
import pytest
from fake_frames import encoded, jpeg, jpegs, native, picture, read_frames
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels import convert_color_space
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from wsss_adapters.dicom.colors import to_8_bit, ybr_to_rgb
from wsss_adapters.dicom.jpeg_markers import ADOBE_RGB, segments, unconverted
from wsss_toolkit.errors import DataError

ADOBE_YBR = ADOBE_RGB[:-1] + b"\x01"
JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"


def without(code, *markers):
    """Return a JPEG without segments of its header."""
    cut = b"".join(code[start:stop] for marker, start, stop in segments(code) if marker not in markers)
    return code[:2] + cut + code[segments(code)[-1][2] :]


def with_segment(code, segment):
    return code[:2] + segment + code[2:]


def as_ybr(pixels):
    return convert_color_space(pixels, "RGB", "YBR_FULL")


FRAMES = {
    "JFIF": (jpeg(picture(), subsampling=2), "ybr", True),
    "JFIF without subsampling": (jpeg(picture(), subsampling=0), "ybr", True),
    "Adobe YCbCr": (with_segment(without(jpeg(picture(), subsampling=0), 0xE0), ADOBE_YBR), "ybr", True),
    "subsampled, no marker": (without(jpeg(picture(), subsampling=2), 0xE0), "ybr", True),
    "YCbCr, no marker": (without(jpeg(picture(), subsampling=0), 0xE0), "ybr", False),
    "Adobe RGB": (jpeg(picture(), keep_rgb=True, subsampling=0), "rgb", True),
    "named R, G, B": (without(jpeg(picture(), keep_rgb=True, subsampling=0), 0xEE, 0xE0), "rgb", True),
    "Adobe RGB in JFIF": (with_segment(jpeg(picture(), keep_rgb=True, subsampling=0), JFIF), "rgb", True),
}
"""JPEG frames of one picture by what they say of themselves: bytes, what they are, whether they say so."""


@pytest.mark.parametrize("declared", ["RGB", "YBR_FULL", "YBR_FULL_422"])
@pytest.mark.parametrize("said", FRAMES)
def test_jpeg_frames_are_read_as_they_say(tmp_path, said, declared):
    """The classic error is a header that says RGB over JPEG frames in YCbCr."""
    code, space, sure = FRAMES[said]
    if not sure and declared == "RGB":
        pytest.skip("nothing tells, so the header counts: see the next test")
    frames, notices = read_frames(jpegs(tmp_path / "a.dcm", [code], picture().shape, declared))
    assert np.abs(frames[0].astype(int) - picture()).mean() < 3, "swapped colour spaces are more than 40 off"
    contradicts = (declared == "RGB") == (space == "ybr")
    assert bool(notices) == contradicts
    if contradicts:
        assert notices[0].startswith(f"declares {declared}, but ")


def test_jpeg_frames_that_do_not_say_are_read_as_declared_with_a_notice(tmp_path):
    code, _, _ = FRAMES["YCbCr, no marker"]
    frames, notices = read_frames(jpegs(tmp_path / "a.dcm", [code], picture().shape, "RGB"))
    assert np.abs(frames[0].astype(int) - as_ybr(picture())).mean() < 3
    assert notices == ("declares RGB, and its JPEG frames do not say what they are: they are read as RGB",)


def test_every_frame_speaks_for_itself(tmp_path):
    codes = [FRAMES["JFIF"][0], FRAMES["Adobe RGB"][0], FRAMES["subsampled, no marker"][0]]
    frames, _ = read_frames(jpegs(tmp_path / "a.dcm", codes, picture().shape, "RGB"))
    assert max(np.abs(frame.astype(int) - picture()).mean() for frame in frames) < 3


def test_all_but_the_colour_space_is_left_as_it_is():
    code = FRAMES["JFIF"][0]
    assert unconverted(code) == unconverted(unconverted(code)) == with_segment(without(code, 0xE0), ADOBE_RGB)
    plain = without(FRAMES["named R, G, B"][0], 0xE0)
    assert unconverted(plain) == with_segment(plain, ADOBE_RGB)


def test_lossless_jpeg_in_ycbcr_without_markers(tmp_path):
    """The components of a shipped file get the names 1, 2, 3 and no marker says what they are."""
    dataset = dcmread(get_testdata_file("SC_rgb_jpeg_gdcm.dcm", download=False))
    expected, _ = read_frames(get_testdata_file("SC_rgb_jpeg_gdcm.dcm", download=False))
    code = bytearray(without(next(generate_frames(dataset.PixelData, number_of_frames=1)), 0xEE))
    [start] = [start for marker, start, _ in segments(bytes(code)) if marker == 0xC3]
    scan = segments(bytes(code))[-1][2]
    for places in (range(start + 10, start + 19, 3), range(scan + 5, scan + 11, 2)):
        assert bytes(code[place] for place in places) == b"RGB"
        for place, name in zip(places, (1, 2, 3), strict=True):
            code[place] = name
    dataset.PhotometricInterpretation, dataset.PixelData = "YBR_FULL", encapsulate([bytes(code)])
    dataset.save_as(tmp_path / "a.dcm")
    frames, notices = read_frames(tmp_path / "a.dcm")
    assert np.array_equal(frames, convert_color_space(expected, "YBR_FULL", "RGB"))
    assert notices == (
        "is read as YCbCr, but 10% of its first frame are RGB's black; correct PhotometricInterpretation",
    )


def test_8_bits_in_a_header_of_16(tmp_path):
    code = FRAMES["JFIF"][0]
    path = jpegs(tmp_path / "a.dcm", [code], picture().shape, BitsAllocated=16, BitsStored=8)
    assert np.abs(read_frames(path)[0][0].astype(int) - picture()).mean() < 3


def test_subsampled_jpeg_2000_is_refused(tmp_path):
    path = encoded(tmp_path / "a.dcm", picture()[None], JPEG2000Lossless)
    content = path.read_bytes()
    assert content.count(b"\x07\x01\x01" * 3) == 1
    path.write_bytes(content.replace(b"\x07\x01\x01" * 3, b"\x07\x01\x01" + b"\x07\x02\x01" * 2))
    with pytest.raises(DataError, match="frame 1: is JPEG 2000 with subsampled colours"):
        read_frames(path)


@pytest.mark.parametrize("declared", ["RGB", "YBR_RCT", "YBR_ICT", "YBR_FULL"])
@pytest.mark.parametrize("transformed", [True, False])
def test_jpeg_2000(tmp_path, declared, transformed):
    """Decoders undo the codestream's own transform; what comes out is RGB whatever the header says."""
    frames = picture()[None]
    path = encoded(tmp_path / "a.dcm", frames, JPEG2000Lossless, "YBR_RCT" if transformed else "RGB", declared=declared)
    found, notices = read_frames(path)
    if transformed or declared != "YBR_FULL":
        assert np.array_equal(found, frames)
    else:
        assert np.array_equal(found, convert_color_space(frames, "YBR_FULL", "RGB"))
    assert bool(notices) == ((declared == "YBR_FULL") if transformed else declared in ("YBR_RCT", "YBR_ICT"))


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless], ids=lambda uid: uid.name)
def test_interpretations_that_a_syntax_cannot_have_are_refused(tmp_path, syntax):
    path = encoded(tmp_path / "a.dcm", picture()[None], syntax, declared="YBR_RCT")
    with pytest.raises(DataError, match=f"declares YBR_RCT, which {syntax.name[:6]}.* does not have; correct Photo"):
        read_frames(path)
    path = native(tmp_path / "b.dcm", picture()[None], "YBR_ICT")
    with pytest.raises(DataError, match="declares YBR_ICT for uncompressed pixel data; correct Photometric"):
        read_frames(path)


def test_declared_subsampling_that_is_not_there_is_refused(tmp_path):
    path = native(tmp_path / "a.dcm", picture()[None], "YBR_FULL_422")
    with pytest.raises(DataError, match="declares YBR_FULL_422, whose colours are subsampled, and its pixel data are"):
        read_frames(path)


def test_conversion_equals_pydicoms_on_every_colour():
    values = np.arange(0, 256, 5, dtype=np.uint8)
    every = np.stack(np.meshgrid(values, values, values, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    difference = np.abs(ybr_to_rgb(every, 8).astype(int) - convert_color_space(every.copy(), "YBR_FULL", "RGB"))
    assert difference.max() <= 1 and (difference > 0).mean() < 1e-3, "no more than rounding of halves"
    deep = ybr_to_rgb(every.astype(np.uint16) * 257, 16).astype(int)
    assert np.abs(deep - ybr_to_rgb(every, 8)).max() <= 1


def test_the_range_of_video():
    """ITU-R BT.601: black is 16, white 235; full red, green and blue by the standard's table."""
    ybr = np.array([[[16, 128, 128], [235, 128, 128], [81, 90, 240], [145, 54, 34], [41, 240, 110]]], np.uint8)
    rgb = ybr_to_rgb(ybr, 8, partial=True).astype(int)
    expected = [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]
    assert np.abs(rgb - [expected]).max() <= 2


def test_deep_samples_use_the_bits_that_are_stored(tmp_path):
    stack = picture()[None].astype(np.uint16) * 16 + 5
    frames, _ = read_frames(native(tmp_path / "a.dcm", stack, BitsStored=12, HighBit=11))
    assert np.array_equal(frames, np.floor(stack / 4095 * 255 + 0.5))
    assert to_8_bit(np.array([0, 2**16 - 1], np.uint16), 16).tolist() == [0, 255]


def palette(table, first=0, bits=16, **data):
    """Return the attributes of a palette `n 3`."""
    attributes = dict(data)
    for number, color in enumerate(("Red", "Green", "Blue")):
        attributes[f"{color}PaletteColorLookupTableDescriptor"] = [len(table) % 2**16, first, bits]
        if not data:
            kind = np.uint8 if bits == 8 else np.dtype("<u2")
            attributes[f"{color}PaletteColorLookupTableData"] = table[:, number].astype(kind).tobytes()
    return attributes


@pytest.mark.parametrize("bits", [8, 16])
def test_palettes(tmp_path, bits):
    colors = np.random.default_rng(0).integers(0, 256, (200, 3))
    table = colors if bits == 8 else colors * 256 + 77
    index = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    path = native(tmp_path / "a.dcm", index, "PALETTE COLOR", **palette(table, first=10, bits=bits))
    frames, _ = read_frames(path)
    # Indices below the first take its colour, those above the last the last one's (PS3.3 C.7.6.3.1.5).
    assert np.array_equal(frames[0].reshape(-1, 3), colors[np.clip(np.arange(256) - 10, 0, 199)])


def test_a_compressed_palette(tmp_path):
    table = np.random.default_rng(0).integers(0, 256, (256, 3))
    index = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    dataset = dcmread(native(tmp_path / "a.dcm", index, "PALETTE COLOR", **palette(table * 256)))
    dataset.compress(RLELossless)
    dataset.save_as(tmp_path / "a.dcm")
    assert np.array_equal(read_frames(tmp_path / "a.dcm")[0][0].reshape(-1, 3), table)


def test_palettes_of_deep_indices_and_of_8_bits_in_words(tmp_path):
    colors = np.random.default_rng(0).integers(0, 256, (1024, 3))
    index = np.arange(1024, dtype=np.uint16).reshape(1, 32, 32)
    frames, _ = read_frames(native(tmp_path / "a.dcm", index, "PALETTE COLOR", **palette(colors)))
    assert np.array_equal(frames[0].reshape(-1, 3), colors)


def test_segmented_palettes(tmp_path):
    """One segment of four values, and a line of four more to 1280 (PS3.3 C.7.9.2)."""
    words = np.array([0, 4, 256, 512, 768, 1024, 1, 4, 5120], "<u2").tobytes()
    segmented = {f"Segmented{color}PaletteColorLookupTableData": words for color in ("Red", "Green", "Blue")}
    index = np.arange(8, dtype=np.uint8).reshape(1, 2, 4)
    path = native(tmp_path / "a.dcm", index, "PALETTE COLOR", **palette(np.zeros((8, 3)), **segmented))
    frames, _ = read_frames(path)
    assert frames[0, ..., 0].ravel().tolist() == [1, 2, 3, 4, 8, 12, 16, 20]


@pytest.mark.parametrize("attributes", [{}, palette(np.zeros((100, 3)), bits=16) | {"x": None}])
def test_missing_and_short_palettes(tmp_path, attributes):
    attributes.pop("x", None)
    for color in ("Red", "Green", "Blue") if attributes else ():
        attributes[f"{color}PaletteColorLookupTableData"] = b"\0" * 50
    path = native(tmp_path / "a.dcm", np.zeros((1, 4, 4), np.uint8), "PALETTE COLOR", **attributes)
    with pytest.raises(DataError, match=r"its palette is (missing or damaged|shorter than the 100 entries)"):
        read_frames(path)
