"""DICOM files that are damaged, contradict themselves or need another decoder: one line that names the file."""

import logging
from pathlib import Path

import numpy as np
import pytest
from fake_frames import RGB, Scenes, encoded, header, jpeg, jpegs, native, picture, read_frames, save
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSLossless,
    RLELossless,
)

from wsss_toolkit.domain import Window
from wsss_toolkit.errors import DataError

FRAMES = np.stack([picture(seed=seed) for seed in range(3)])


def refused(path):
    with pytest.raises(DataError) as caught:
        read_frames(path)
    line = str(caught.value)
    # By its name: a folder whose random name holds the patient's initials is hidden, rightly.
    assert "\n" not in line and Path(path).name in line
    return line


@pytest.mark.parametrize(
    "attributes, message",
    [
        ({"NumberOfFrames": 0}, "holds no frames: NumberOfFrames is 0"),
        ({"Rows": 0}, "its frames are 0 x 48 pixels (Rows x Columns)"),
        ({"Columns": 0}, "its frames are 40 x 0 pixels"),
        ({"Rows": 65535, "Columns": 65535}, "its frames are 65535 x 65535 pixels"),
        ({"Rows": None}, "Rows is missing"),
        ({"NumberOfFrames": 5}, "hold 3 of the 5 frames of 40 x 48 pixels that it declares"),
        ({"Rows": 41}, "hold 2 of the 3 frames of 41 x 48 pixels that it declares"),
        ({"SamplesPerPixel": 4}, "has 4 samples per pixel; 1 and 3 are supported"),
        (
            {"SamplesPerPixel": 1},
            "declares RGB with 1 sample per pixel; correct PhotometricInterpretation: MONOCHROME1",
        ),
        ({"PhotometricInterpretation": "MONOCHROME2"}, "declares MONOCHROME2 with 3 samples per pixel"),
        ({"PhotometricInterpretation": "DOE^JANE"}, "declares no known photometric interpretation with 3 samples"),
        ({"BitsAllocated": 64}, "bits per sample (BitsStored, BitsAllocated); 8, 16 and 32 are supported"),
        ({"BitsAllocated": 1, "BitsStored": 1}, "has 1 of 1 bits per sample"),
        ({"BitsStored": 12}, "has 12 of 8 bits per sample"),
        ({"PlanarConfiguration": 7}, "PlanarConfiguration 7 is neither 0 nor 1"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "is a DICOM object of another kind: CT Image Storage; give VL"),
        ({"SOPClassUID": "1.2.3.4.5.6"}, "is a DICOM object of another kind: a private class"),
        ({"SOPClassUID": None}, "is no readable DICOM file"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_headers_that_make_no_sense(tmp_path, attributes, message):
    assert message in refused(native(tmp_path / "a.dcm", FRAMES, **attributes))


@pytest.mark.parametrize(
    "keep, message",
    [(100, "no readable"), (150, "no readable"), (-30, "is cut short: 17"), (-17000, "is cut short: 2")],
)
def test_files_that_are_cut_short(tmp_path, keep, message):
    path = native(tmp_path / "a.dcm", FRAMES)
    path.write_bytes(path.read_bytes()[:keep])
    assert message in refused(path)


def test_a_shipped_truncated_file(tmp_path):
    path = tmp_path / "a.dcm"
    content = Path(get_testdata_file("MR_truncated.dcm", download=False)).read_bytes()
    path.write_bytes(content.replace(b"1.2.840.10008.5.1.4.1.1.4\0", b"1.2.840.10008.5.1.4.1.1.7\0"))
    assert "is cut short: 8130 of 8192 bytes of pixel data" in refused(path)


def test_missing_pixel_data(tmp_path):
    assert "holds no pixel data" in refused(save(header(FRAMES, "RGB"), tmp_path / "a.dcm"))
    dataset = header(FRAMES[..., 0], "MONOCHROME2", BitsAllocated=32, BitsStored=32)
    dataset.FloatPixelData = np.zeros(FRAMES[..., 0].shape, "<f4").tobytes()
    assert "floating-point numbers" in refused(save(dataset, tmp_path / "b.dcm"))
    path = jpegs(tmp_path / "c.dcm", [jpeg(picture())], picture().shape)
    content = path.read_bytes()
    start = content.index(b"\xfe\xff\x00\xe0")
    path.write_bytes(content[:start] + b"\0" * 8 + content[start:])
    assert "do not begin with an offset table" in refused(path)
    path.write_bytes(content[:start] + b"\xfe\xff\x00\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0")
    assert "holds no pixel data" in refused(path)


def test_a_transfer_syntax_that_does_not_fit(tmp_path):
    path = native(tmp_path / "a.dcm", FRAMES)
    path.write_bytes(path.read_bytes().replace(b"UI\x14\x001.2.840.10008.1.2.1\0", b"UI\x14\x001.2.840.10008.1.2.5\0"))
    assert "its transfer syntax says that pixel data are compressed, and they look otherwise" in refused(path)
    for syntax, says in ((JPEG2000Lossless, "is no JPEG 2000"), (RLELossless, "cannot be decoded as RLE Lossless")):
        dataset = header(FRAMES[:1], "RGB")
        path = save(dataset, tmp_path / "b.dcm", syntax, encapsulate([jpeg(picture())]))
        assert f"b.dcm, frame 1: {says}" in refused(path)
    path = save(header(FRAMES[:1], "RGB"), tmp_path / "c.dcm", JPEGBaseline8Bit, encapsulate([b"no picture at all"]))
    assert "c.dcm, frame 1: is no JPEG picture, though the transfer syntax says so" in refused(path)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.name)
def test_damaged_frames(tmp_path, syntax):
    path = encoded(tmp_path / "a.dcm", FRAMES, syntax)
    content = bytearray(path.read_bytes())
    start = content.rindex(b"\xfe\xff\x00\xe0") + 8
    content[start + 70 : -8] = b"\0" * (len(content) - 8 - start - 70)
    path.write_bytes(content)
    assert "a.dcm, frame 3: " in refused(path)


def test_frames_of_another_size_than_declared(tmp_path):
    path = jpegs(tmp_path / "a.dcm", [jpeg(picture()), jpeg(picture(40, 64))], picture().shape)
    line = refused(path)
    assert "frame 2: is 40 x 64 pixels with 3 samples, the header says 40 x 48 with 3" in line
    path = jpegs(tmp_path / "a.dcm", [jpeg(picture()[..., 0])], picture().shape)
    assert "is 40 x 48 pixels with 1 samples, the header says 40 x 48 with 3" in refused(path)


@pytest.mark.parametrize("bits", [0, 12, 33, 255])
def test_frames_of_another_depth_than_there_is(tmp_path, bits):
    code = bytearray(jpeg(picture()))
    code[code.index(b"\xff\xc0") + 4] = bits
    line = refused(jpegs(tmp_path / "a.dcm", [bytes(code)], picture().shape))
    assert ("no decoder" if bits == 12 else f"frame 1: has {bits} bits per sample, it is damaged") in line


@pytest.mark.parametrize("syntax", ["100", "101", "102", "103", "104", "105", "106", "107", "108", "102.1"])
def test_video_says_what_to_do(tmp_path, syntax):
    uid = UID(f"1.2.840.10008.1.2.4.{syntax}")
    line = refused(save(header(FRAMES, "YBR_PARTIAL_420"), tmp_path / "a.dcm", uid, encapsulate([b"\0\0\1\xb3" * 9])))
    assert "is a video in " in line and ("MPEG" in line or "HEVC" in line)
    assert str(uid) in line and "gdcmraw, then ffmpeg" in line


def test_unknown_syntaxes(tmp_path):
    known = UID("1.2.840.10008.1.2.4.94")
    path = save(header(FRAMES, "RGB"), tmp_path / "a.dcm", known, encapsulate([b"\0" * 40] * 3))
    assert f"is stored in JPIP Referenced ({known}), which pydicom does not decode; convert it" in refused(path)
    for unknown in (b"1.2.840.10008.1.2.4.77", b"1.2.3.4.5.6.7.8.9.1.77"):
        path.write_bytes(path.read_bytes().replace(str(known).encode(), unknown))
        known = unknown.decode()
        assert "is stored in an unknown transfer syntax, which pydicom does not decode; convert it" in refused(path)
        uncompressed = native(tmp_path / "b.dcm", FRAMES)
        meta = b"UI\x14\x001.2.840.10008.1.2.1\0"
        uncompressed.write_bytes(uncompressed.read_bytes().replace(meta, b"UI\x14\x00" + unknown[:20].ljust(20, b"\0")))
        assert "is stored in an unknown transfer syntax" in refused(uncompressed)


@pytest.mark.parametrize(
    "syntax, package",
    [
        (JPEGBaseline8Bit, "pillow"),
        (JPEGLSLossless, "pyjpegls"),
        (JPEG2000Lossless, "pylibjpeg pylibjpeg-openjpeg"),
        (HTJ2KLossless, "pylibjpeg pylibjpeg-openjpeg"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_missing_decoder_names_its_package(tmp_path, monkeypatch, syntax, package):
    monkeypatch.setattr(get_decoder(syntax), "_available", {})
    path = save(header(FRAMES[:1], "RGB"), tmp_path / "a.dcm", syntax, encapsulate([jpeg(picture())]))
    line = refused(path)
    assert f"is stored in {syntax.name} ({syntax}), and no decoder is installed; pip install {package}" in line


def test_jpeg_of_12_bits_names_the_package_that_is_not_ours():
    line = refused(get_testdata_file("JPGExtended.dcm", download=False))
    assert "is stored in JPEG Extended" in line and "with 12 bits per sample, and no decoder is installed" in line
    assert "pip install pylibjpeg pylibjpeg-libjpeg (under the GPL)" in line


def test_jpeg_extended_of_8_bits_is_decoded(tmp_path):
    path = save(header(FRAMES[:1], "RGB"), tmp_path / "a.dcm", JPEGExtended12Bit, encapsulate([jpeg(picture())]))
    assert np.abs(read_frames(path)[0][0].astype(int) - picture()).mean() < 2


def test_a_file_that_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    path = native(
        tmp_path / "a.dcm", np.zeros((50, 100, 100, 3)).astype(np.uint8), syntax=DeflatedExplicitVRLittleEndian
    )
    assert path.stat().st_size < 5000
    monkeypatch.setattr("wsss_adapters.dicom.frames.UNPACKED_LIMIT", 2**20)
    assert "unpacks to more than" in refused(path)
    monkeypatch.undo()
    path.write_bytes(path.read_bytes()[:-900])
    assert "its compressed data set is cut short or damaged" in refused(path)


def test_neither_messages_nor_logs_quote_the_header(tmp_path, caplog, capfd, recwarn):
    """Values that pydicom would quote in its remarks: bad dates, bad UIDs, bad numbers, unknown character sets."""
    planted = {
        "PatientName": "Doe^Jane",
        "PatientID": "HOSP4711",
        "PatientBirthDate": "19770101",
        "AccessionNumber": "ACC8812",
        "StudyInstanceUID": "1.2.3.Doe.77",
        "StudyDate": "Doe 2024",
        "SpecificCharacterSet": "ISO Doe",
        "PhotometricInterpretation": "JANE",
    }
    extras = [{}, {"PhotometricInterpretation": "RGB"}, {"Rows": 0}]
    paths = [native(tmp_path / f"{i}.dcm", FRAMES, **(planted | extra)) for i, extra in enumerate(extras)]
    recwarn.clear()
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    scenes = Scenes()
    for path in paths:
        [source] = scenes.find_scenes([str(path)], RGB)
        try:
            with scenes.open_scene(source, RGB) as scene:
                written = repr(scene.notices)
        except DataError as error:
            written = f"{error} {error.__cause__!r} {'' if error.__suppress_context__ else error.__context__!r}"
        written += f"{source.name} {source.shown.removeprefix(str(tmp_path))}"
        assert not [value for value in ("Doe", "Jane", "JANE", "4711", "8812", "1977") if value in written]
    out, err = capfd.readouterr()
    assert not caplog.records and not out and not err and not recwarn.list


def test_damage_of_any_kind_is_an_error_and_never_a_crash(tmp_path):
    """Flipped, lost and added bytes, anywhere: pixels come out or a DataError does, of one printable line."""
    kinds = [
        native(tmp_path / "native", FRAMES),
        native(tmp_path / "deflated", FRAMES, syntax=DeflatedExplicitVRLittleEndian),
        encoded(tmp_path / "rle", FRAMES, RLELossless),
        encoded(tmp_path / "jpegls", FRAMES, JPEGLSLossless),
        encoded(tmp_path / "jpeg2000", FRAMES, JPEG2000Lossless, "YBR_RCT"),
        jpegs(tmp_path / "jpeg", [jpeg(frame) for frame in FRAMES], picture().shape),
        Path(get_testdata_file("SC_rgb_jpeg_gdcm.dcm", download=False)),
    ]
    draw = np.random.default_rng(0)
    scenes, refusals = Scenes(), 0
    for number in range(700):
        content = bytearray(kinds[number % len(kinds)].read_bytes())
        for _ in range(draw.integers(1, 4)):
            place = int(draw.integers(0, min(len(content), draw.choice([1200, len(content)]))))
            lost, added = draw.integers(0, 12, 2)
            content[place : place + lost] = draw.bytes(int(added))
        path = tmp_path / "damaged.dcm"
        path.write_bytes(content)
        [source] = scenes.find_scenes([str(path)], RGB)
        try:
            with scenes.open_scene(source, RGB) as scene:
                for index in range(min(3, scene.height // scene.frame_height)):
                    scene.read(Window(index * scene.frame_height, 0, scene.frame_height, scene.width))
        except DataError as error:
            refusals += 1
            assert str(error).isprintable()
    assert 200 < refusals < 700
