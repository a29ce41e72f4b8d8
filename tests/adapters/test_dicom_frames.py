"""DICOM frames come out in the colours that they were taken in."""

import io
import tracemalloc

import numpy as np
import pydicom
import pytest
from fake_frames import RGB, Scenes, encoded, jpeg, jpegs, native, picture, read_frames
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames
from pydicom.pixels import apply_color_lut, convert_color_space, pixel_array
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from wsss_toolkit.domain import ChannelTable, Sensor, Window
from wsss_toolkit.errors import DataError

STRIPES = ("red", 5, (255, 0, 0)), ("green", 25, (0, 255, 0)), ("blue", 45, (0, 0, 255)), ("black", 65, (0, 0, 0))
"""What pydicom's pictures called SC_rgb show: name, row, colour."""


def shipped(name):
    path = get_testdata_file(name, download=False)
    assert path is not None, f"{name} is not in pydicom's wheel"
    return path


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize(
    "name",
    [
        "examples_rgb_color.dcm",
        "examples_ybr_color.dcm",
        "examples_jpeg2k.dcm",
        "ExplVR_BigEnd.dcm",
        "GDCMJ2K_TextGBR.dcm",
        "SC_jpeg_no_color_transform.dcm",
        "SC_jpeg_no_color_transform_2.dcm",
        "SC_rgb_dcmtk_+eb+cr.dcm",
        "SC_rgb_dcmtk_+eb+cy+n1.dcm",
        "SC_rgb_dcmtk_+eb+cy+n2.dcm",
        "SC_rgb_dcmtk_+eb+cy+np.dcm",
        "SC_rgb_dcmtk_+eb+cy+s2.dcm",
        "SC_rgb_dcmtk_+eb+cy+s4.dcm",
        "SC_rgb_gdcm_KY.dcm",
        "SC_rgb_jls_lossy_line.dcm",
        "SC_rgb_jls_lossy_sample.dcm",
        "SC_rgb_jpeg_app14_dcmd.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "SC_rgb_jpeg_lossy_gdcm.dcm",
        "SC_rgb_rle.dcm",
        "SC_rgb_rle_2frame.dcm",
        "SC_rgb_small_odd.dcm",
        "SC_rgb_small_odd_big_endian.dcm",
        "SC_rgb_small_odd_jpeg.dcm",
        "SC_ybr_full_422_uncompressed.dcm",
    ],
)
def test_shipped_colour_files_equal_the_reference_conversion(name):
    frames, _ = read_frames(shipped(name))
    dataset = pydicom.dcmread(shipped(name))
    stored = pixel_array(dataset, raw=True)
    stored = stored if stored.ndim == 4 else stored[None]
    space = dataset.PhotometricInterpretation
    expected = convert_color_space(stored, "YBR_FULL", "RGB") if space in ("YBR_FULL", "YBR_FULL_422") else stored
    assert np.array_equal(frames, expected)
    if name.startswith("SC_rgb") and frames.shape[1] == 100:
        for color, row, rgb in STRIPES:
            assert np.abs(frames[0, row, 50].astype(int) - rgb).max() <= 8, color


@pytest.mark.parametrize("name, shift", [("SC_rgb_rle_16bit_2frame.dcm", 8), ("SC_rgb_rle_32bit_2frame.dcm", 24)])
def test_deep_colours_become_8_bit(name, shift):
    frames, _ = read_frames(shipped(name))
    expected = pixel_array(shipped(name)) / (2 ** (shift + 8) - 1) * 255
    assert np.array_equal(frames, np.floor(expected + 0.5))


def test_the_shipped_palette():
    frames, _ = read_frames(shipped("examples_palette.dcm"))
    dataset = pydicom.dcmread(shipped("examples_palette.dcm"))
    expected = apply_color_lut(dataset.pixel_array, dataset)
    assert expected.dtype == np.uint16 and expected.max() > 255
    assert np.array_equal(frames[0], expected >> 8)


def test_jpeg_frames_equal_what_pillow_makes_of_them():
    path = shipped("examples_ybr_color.dcm")
    frames, _ = read_frames(path)
    stored = list(generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=30))
    assert len(frames) == len(stored) == 30
    for frame, code in zip(frames, stored, strict=True):
        expected = np.asarray(Image.open(io.BytesIO(code)).convert("RGB")).astype(int)
        assert np.abs(frame - expected).max() <= 2


def test_lossless_jpeg_equals_the_same_picture_in_rle():
    """pydicom itself decodes lossless JPEG with GDCM alone, which is not installed."""
    lossless, notices = read_frames(shipped("SC_rgb_jpeg_gdcm.dcm"))
    assert np.array_equal(lossless, pixel_array(shipped("SC_rgb_rle.dcm"))[None]) and not notices


def test_monochrome_files():
    frames, _ = read_frames(shipped("image_dfl.dcm"))
    dataset = pydicom.dcmread(shipped("image_dfl.dcm"))
    assert dataset.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian and "WindowWidth" not in dataset
    assert np.array_equal(frames[0], np.repeat(dataset.pixel_array[..., None], 3, axis=-1))


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian], ids=lambda uid: uid.name
)
@pytest.mark.parametrize("size", [(5, 7), (6, 8)], ids=["odd", "even"])
def test_uncompressed_syntaxes(tmp_path, syntax, size):
    stack = np.stack([picture(*size, seed=seed) for seed in range(3)])
    frames, notices = read_frames(native(tmp_path / "a", stack, syntax=syntax))
    assert np.array_equal(frames, stack) and not notices
    deep = stack.astype(np.uint16) * 257
    frames, _ = read_frames(native(tmp_path / "b", deep, syntax=syntax))
    assert np.array_equal(frames, stack)


def test_colours_by_plane(tmp_path):
    stack = np.stack([picture(seed=seed) for seed in range(2)])
    planes = np.ascontiguousarray(stack.transpose(0, 3, 1, 2)).reshape(stack.shape)
    path = native(tmp_path / "a.dcm", planes, PlanarConfiguration=1)
    assert np.array_equal(read_frames(path)[0], stack)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.name)
def test_lossless_syntaxes_give_the_same_pixels_back(tmp_path, syntax):
    stack = np.stack([picture(seed=seed) for seed in range(3)])
    frames, notices = read_frames(
        encoded(tmp_path / "a.dcm", stack, syntax, "YBR_RCT" if syntax == JPEG2000Lossless else "RGB")
    )
    assert np.array_equal(frames, stack) and not notices
    ybr = convert_color_space(stack, "RGB", "YBR_FULL")
    options = {"use_mct": False} if syntax == JPEG2000Lossless else {}
    frames, notices = read_frames(encoded(tmp_path / "b.dcm", ybr, syntax, "YBR_FULL", **options))
    assert np.array_equal(frames, convert_color_space(ybr, "YBR_FULL", "RGB")) and not notices
    grey = stack[..., 0].astype(np.uint16) * 257
    frames, _ = read_frames(encoded(tmp_path / "c.dcm", grey, syntax, "MONOCHROME2"))
    assert np.array_equal(frames, np.repeat(stack[..., :1], 3, axis=-1))


def test_bands_come_in_the_order_that_is_asked_for(tmp_path):
    path = native(tmp_path / "a.dcm", picture()[None])
    frames, _ = read_frames(path, ChannelTable((Sensor("rgb", ("B", "R")),)))
    assert np.array_equal(frames[0], picture()[..., [2, 0]])
    for wrong in (Sensor("rgb", ("R", "NIR")), Sensor("sentinel2", ("B02",))):
        with pytest.raises(DataError, match=rf"has no {wrong.name}\.(NIR|B02); frames have rgb\.B, rgb\.G, rgb\.R"):
            read_frames(path, ChannelTable((wrong,)))


def test_windows_may_span_frames_and_cut_them(tmp_path):
    stack = np.stack([picture(6, 8, seed=seed) for seed in range(4)])
    scenes = Scenes()
    [source] = scenes.find_scenes([str(native(tmp_path / "a.dcm", stack))], RGB)
    with scenes.open_scene(source, RGB) as scene:
        assert (scene.height, scene.width, scene.frame_height, scene.sensors) == (24, 8, 6, ("rgb",))
        rows = stack.reshape(24, 8, 3).transpose(2, 0, 1)
        for window in (Window(0, 0, 24, 8), Window(5, 2, 9, 3), Window(6, 0, 6, 8), Window(23, 7, 1, 1)):
            area = rows[:, window.row : window.row + window.height, window.column : window.column + window.width]
            assert np.array_equal(scene.read(window).bands["rgb"], area), window


@pytest.mark.parametrize("kind", ["jpeg", "rle", "native"])
def test_a_long_video_is_streamed(tmp_path, kind):
    """2,000 frames: memory holds neither the file nor its frames, and every frame is the right one."""
    stack = np.repeat(np.arange(2000, dtype=np.uint16)[:, None, None, None] % 251, 3, axis=-1).astype(np.uint8)
    stack = np.broadcast_to(stack, (2000, 32, 40, 3))
    if kind == "jpeg":
        codes = {value: jpeg(np.full((32, 40, 3), value, np.uint8)) + b"\0" * 4000 for value in range(251)}
        path = jpegs(tmp_path / "a.dcm", [codes[int(frame[0, 0, 0])] for frame in stack], (32, 40, 3), table="none")
    elif kind == "rle":
        path = encoded(tmp_path / "a.dcm", stack, RLELossless)
    else:
        path = native(tmp_path / "a.dcm", stack)
    scenes = Scenes()
    [source] = scenes.find_scenes([str(path)], RGB)
    tracemalloc.start()
    try:
        with scenes.open_scene(source, RGB) as scene:
            assert scene.height == 2000 * 32
            tracemalloc.reset_peak()
            for index in range(0, 2000, 4):
                frames = scene.read(Window(index * 32, 0, 4 * 32, 40)).bands["rgb"][0, ::32, 0]
                assert np.abs(frames - stack[index : index + 4, 0, 0, 0]).max() <= 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**20, "one frame is 15 kB as float32; all of them are 30 MB, the JPEG file 10 MB"
