"""Where a header and its pixel data disagree, pixels are what the data say, with a notice, or the file is refused."""

import numpy as np
import pydicom
import pytest
from fake_frames import RGB, Scenes, encoded, header, jpeg, jpegs, native, picture, read_frames, save
from PIL import Image
from pydicom.encaps import encapsulate, itemize_fragment
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from wsss_adapters.dicom.jpeg_markers import whole
from wsss_adapters.dicom.pixel_shape import as_stored, square_size
from wsss_adapters.dicom_seg.writing import DicomOutputs, write_dicom_seg
from wsss_toolkit.domain import ClassTable, Destination, Layers, Window
from wsss_toolkit.errors import DataError

FRAME = picture()
SHAPE = FRAME.shape
DEEP = (FRAME.astype(np.uint32) * 4095 // 255).astype(np.uint16)


def close(path, expected=FRAME, within=2.0):
    """Return the notices of a file whose frames are about those expected."""
    frames, notices = read_frames(path)
    assert np.abs(frames.astype(int) - expected).mean() < within
    return " ".join(notices)


def changed(path, **attributes):
    """Change a file's header behind its pixels' back."""
    dataset = pydicom.dcmread(path)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path)
    return path


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless], ids=lambda uid: uid.name)
def test_planar_configuration_means_nothing_to_compressed_frames(tmp_path, syntax):
    said = close(changed(encoded(tmp_path / "a.dcm", FRAME[None], syntax), PlanarConfiguration=1), within=0.5)
    assert ("PlanarConfiguration 1" in said) is (syntax != RLELossless), "frames in RLE do have it"
    said = close(jpegs(tmp_path / "b.dcm", [jpeg(FRAME)], SHAPE, PlanarConfiguration=1))
    assert said == "says PlanarConfiguration 1, which JPEG Baseline (Process 1) does not have: it is ignored"


def test_planar_configuration_of_uncompressed_frames_counts(tmp_path):
    dataset = header(FRAME[None], "RGB", PlanarConfiguration=1)
    assert close(save(dataset, tmp_path / "a.dcm", data=FRAME.transpose(2, 0, 1).tobytes())) == ""


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("kind", ["tissue", "noise", "grey"])
def test_uncompressed_pixels_that_make_a_picture_by_the_other_planar_configuration_only(tmp_path, planar, kind):
    """What decompressing programs forget to change in the header."""
    frames = np.stack([picture(seed=seed) for seed in range(2)])
    if kind == "noise":
        frames = np.clip(frames + np.random.default_rng(0).normal(0, 3, frames.shape), 0, 255).astype(np.uint8)
    if kind == "grey":
        frames[:] = frames[..., :1]
    stored = frames.transpose(0, 3, 1, 2) if planar else frames
    right = save(header(frames, "RGB", PlanarConfiguration=planar), tmp_path / "a.dcm", data=stored.tobytes())
    assert close(right, frames, within=0.01) == ""
    if kind == "grey" and planar == 0:
        return  # three times as wide, it is a picture too
    wrong = save(header(frames, "RGB", PlanarConfiguration=1 - planar), tmp_path / "b.dcm", data=stored.tobytes())
    said = close(wrong, frames, within=0.01)
    assert (
        said == f"says PlanarConfiguration {1 - planar}, and its pixels make a picture by {planar} only: it is read so"
    )
    scenes = Scenes()
    [source] = scenes.find_scenes([str(wrong)], RGB)
    with scenes.open_scene(source, RGB) as scene:
        last = scene.read(Window(SHAPE[0], 0, SHAPE[0], SHAPE[1])).bands["rgb"]
    assert np.array_equal(last.transpose(1, 2, 0), frames[1]), "whichever frame is read first"


@pytest.mark.parametrize("syntax", [None, RLELossless], ids=["uncompressed", "RLE"])
@pytest.mark.parametrize("pixels", [FRAME, FRAME.mean(axis=-1).astype(np.uint8), DEEP], ids=["colour", "grey", "deep"])
def test_rows_and_columns_that_are_swapped(tmp_path, pixels, syntax):
    space = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    path = (
        encoded(tmp_path / "a.dcm", pixels[None], syntax, space)
        if syntax
        else native(tmp_path / "a.dcm", pixels[None], space)
    )
    read_frames(path)
    with pytest.raises(DataError, match="picture of 40 x 48 only, not of 48 x 40; correct Rows and Columns, which are"):
        read_frames(changed(path, Rows=48, Columns=40))


def test_pixels_of_one_colour_keep_the_planar_configuration_of_the_header(tmp_path):
    for value in (0, 90):
        flat = np.full_like(FRAME, value)
        assert close(native(tmp_path / f"{value}.dcm", flat[None], PlanarConfiguration=1), flat) == ""


def bordered():
    """Return a frame with a black border, as endoscopes make it."""
    frame = FRAME.copy()
    frame[:, :4] = 0
    return frame


def ybr(rgb):
    """Return red, green and blue as full-range YCbCr, by Pillow."""
    return np.asarray(Image.fromarray(rgb).convert("YCbCr"))


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless], ids=["uncompressed", "RLE", "JPEG-LS"])
def test_black_tells_which_colours_samples_are(tmp_path, syntax):
    def written(pixels, declared):
        if syntax is None:
            return native(tmp_path / "a.dcm", pixels[None], declared)
        return encoded(tmp_path / "a.dcm", pixels[None], syntax, declared=declared)

    frame = bordered()
    assert close(written(frame, "RGB"), frame) == close(written(ybr(frame), "YBR_FULL"), frame) == ""
    said = " ".join(read_frames(written(ybr(frame), "RGB"))[1])
    assert said == "is read as RGB, but 8% of its first frame are YCbCr's black; correct PhotometricInterpretation"
    said = " ".join(read_frames(written(frame, "YBR_FULL"))[1])
    assert said == "is read as YCbCr, but 8% of its first frame are RGB's black; correct PhotometricInterpretation"
    black = np.zeros_like(frame)
    assert close(written(black, "RGB"), black) == ""


def test_a_second_picture_behind_that_of_a_frame_is_named(tmp_path):
    """Phones append previews and gain maps; careless exporters, the next frame."""
    second = picture(seed=2)
    path = jpegs(tmp_path / "a.dcm", [jpeg(FRAME) + jpeg(second)], SHAPE)
    assert "holds another picture behind that of its first frame, which is left out" in close(path)
    preview = b"\xff\xe1" + (2 + len(jpeg(second[:8, :8]))).to_bytes(2, "big") + jpeg(second[:8, :8])
    inside = jpeg(FRAME)[:2] + preview + jpeg(FRAME)[2:]
    assert close(jpegs(tmp_path / "b.dcm", [inside], SHAPE)) == "", "a preview within the picture is none"
    progressive = jpeg(FRAME, progressive=True) + b"\r\n"
    assert close(jpegs(tmp_path / "c.dcm", [progressive], SHAPE)) == ""


def test_signed_samples_that_use_a_few_levels_about_0_are_doubtful(tmp_path):
    few = (FRAME[..., 0].astype(np.int16) - 128) * 16
    _, notices = read_frames(encoded(tmp_path / "a.dcm", few[None], RLELossless, "MONOCHROME2"))
    assert "uses 12 of 255 levels, if samples have 16 bits; correct BitsStored" in " ".join(notices)
    assert close(native(tmp_path / "b.dcm", (few * 16)[None], "MONOCHROME2"), FRAME[..., :1]) == ""


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless], ids=lambda uid: uid.name)
@pytest.mark.parametrize("pixels", [DEEP, DEEP[..., 0]], ids=["colour", "grey"])
def test_samples_that_keep_to_bits_stored_in_a_deeper_codestream(tmp_path, syntax, pixels):
    space = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    path = changed(encoded(tmp_path / "a.dcm", pixels[None], syntax, space), BitsStored=12, HighBit=11)
    expected = FRAME if pixels.ndim == 3 else FRAME[..., :1]
    said = close(path, expected)
    assert "says BitsStored 12, its frames have 16 bits per sample: they are read as 12 bits" in said


def test_samples_beyond_bits_stored_have_the_depth_of_the_codestream(tmp_path):
    full = FRAME.astype(np.uint16) * 257
    path = changed(encoded(tmp_path / "a.dcm", full[None], JPEG2000Lossless), BitsStored=12, HighBit=11)
    assert "they are read as 16 bits" in close(path)
    path = encoded(tmp_path / "b.dcm", np.stack([DEEP, full]), JPEG2000Lossless)
    changed(path, BitsStored=12, HighBit=11)
    with pytest.raises(DataError, match=r"b\.dcm, frame 2: holds samples of up to \d+, and the first .*BitsStored"):
        read_frames(path)


def test_a_shallower_codestream_than_the_header_says(tmp_path):
    path = encoded(tmp_path / "a.dcm", DEEP[None], JPEG2000Lossless, bits_stored=12)
    assert "says BitsStored 16, its frames have 12 bits per sample: they are read as 12 bits" in close(path)


@pytest.mark.parametrize("syntax", [None, RLELossless], ids=["uncompressed", "RLE"])
def test_values_in_bits_that_are_not_stored(tmp_path, syntax):
    path = encoded(tmp_path / "a.dcm", DEEP[None], syntax) if syntax else native(tmp_path / "a.dcm", DEEP[None])
    assert close(changed(path, BitsStored=12, HighBit=11)) == ""
    with pytest.raises(DataError, match=r"holds samples of up to .* which do not fit BitsStored 8; correct BitsStored"):
        read_frames(changed(path, BitsStored=8, HighBit=7))


def test_frames_that_may_have_fewer_bits_than_they_say(tmp_path):
    path = native(tmp_path / "a.dcm", DEEP[None])
    _, [said] = read_frames(path)
    assert "its first frame uses 15 of 255 levels, if samples have 16 bits; correct BitsStored" in said


def test_an_overlay_in_free_bits_is_no_picture(tmp_path):
    path = native(tmp_path / "a.dcm", (DEEP | 0x1000)[None], BitsStored=12, HighBit=11)
    with pytest.raises(DataError, match="BitsStored"):
        read_frames(path)
    dataset = pydicom.dcmread(path)
    dataset.add_new(0x60000102, "US", 12)
    dataset.save_as(path)
    assert close(path) == ""


@pytest.mark.parametrize("declared", [None, 1, 2, 3])
def test_more_uncompressed_frames_than_declared(tmp_path, declared):
    frames = np.stack([picture(seed=seed) for seed in range(4)])
    path = native(tmp_path / "a.dcm", frames, NumberOfFrames=declared)
    with pytest.raises(DataError, match=f"declares {declared or 1} frames and holds 4; correct NumberOfFrames"):
        read_frames(path)


def test_a_rest_that_is_no_frame(tmp_path):
    data = FRAME.tobytes()
    assert close(save(header(FRAME[None], "RGB"), tmp_path / "a.dcm", data=data + b"\0" * 64)) == "", "padding"
    said = close(save(header(FRAME[None], "RGB"), tmp_path / "b.dcm", data=data + bytes(range(64))))
    assert said == "holds 64 bytes beyond its 1 frames of 40 x 48 pixels"
    odd = picture(41, 47)
    assert close(save(header(odd[None], "RGB"), tmp_path / "c.dcm", data=odd.tobytes() + b" "), odd) == "", "padding"


@pytest.mark.parametrize("table", ["basic", "none"])
@pytest.mark.parametrize("tail", [b"", b"\r\n", b"the end of a frame, said in words"])
def test_more_compressed_frames_than_declared(tmp_path, table, tail):
    codes = [jpeg(picture(seed=seed)) + tail for seed in range(4)]
    for declared in (1, 3):
        path = jpegs(tmp_path / "a.dcm", codes, SHAPE, table=table, NumberOfFrames=declared)
        with pytest.raises(DataError, match=f"declares {declared} frames and holds 4"):
            read_frames(path)


def test_more_frames_in_rle_than_declared(tmp_path):
    path = changed(encoded(tmp_path / "a.dcm", np.stack([FRAME] * 3), RLELossless), NumberOfFrames=1)
    with pytest.raises(DataError, match="declares 1 frames and holds 3"):
        read_frames(path)


@pytest.mark.parametrize("tail", [b"\r\n", b"camera 7\0", b"\0" * 40, b"\xff" * 9, b"\n" + bytes(range(200))])
def test_bytes_after_the_end_of_a_frame(tmp_path, tail):
    for progressive in (False, True):
        codes = [jpeg(picture(seed=seed), progressive=progressive) + tail for seed in range(2)]
        expected = np.stack([picture(), picture(seed=1)])
        for fragments in (1, 2):
            path = jpegs(tmp_path / "a.dcm", codes, SHAPE, table="none", fragments=fragments)
            assert close(path, expected) == ""
    path = jpegs(tmp_path / "b.dcm", [jpeg(FRAME)[:-300] + tail], SHAPE)
    with pytest.raises(DataError, match="is cut short: the frame has no end"):
        read_frames(path)


def test_bytes_after_the_end_of_other_codestreams(tmp_path):
    for syntax in (JPEG2000Lossless, JPEGLSLossless):
        dataset = pydicom.dcmread(encoded(tmp_path / "a.dcm", FRAME[None], syntax))
        [code] = pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1)
        assert close(save(dataset, tmp_path / "b.dcm", syntax, encapsulate([code + b"\r\nend"]))) == ""


def test_where_a_frame_ends():
    for progressive in (False, True):
        code = jpeg(FRAME, progressive=progressive)
        assert whole(code) == code == whole(code + b"text")
        assert whole(code[:-2]) is None is whole(code[:-2] + b"text") is whole(b"\xff\xd8\xff\xd9text"[:2])


def test_empty_fragments_and_fragments_of_odd_length(tmp_path):
    codes = [jpeg(picture(seed=seed)) for seed in range(3)]
    codes = [code + b"\0" * (len(code) % 2) for code in codes]
    empty = itemize_fragment(b"")
    data = empty + empty + b"".join(itemize_fragment(code) + empty for code in codes)
    dataset = header(np.zeros((3, *SHAPE), np.uint8), "YBR_FULL_422")
    expected = np.stack([picture(seed=seed) for seed in range(3)])
    close(save(dataset, tmp_path / "a.dcm", JPEGBaseline8Bit, data), expected)
    odd = [code[:101] for code in codes], [code[101:] for code in codes]
    data = empty + b"".join(
        b"\xfe\xff\x00\xe0" + len(part).to_bytes(4, "little") + part for pair in zip(*odd, strict=True) for part in pair
    )
    close(save(dataset, tmp_path / "b.dcm", JPEGBaseline8Bit, data), expected)


def test_a_table_that_points_at_the_wrong_fragments(tmp_path):
    """Frame 1 has three fragments and frame 2 one; the table says two and two."""
    codes = [jpeg(picture(seed=seed)) for seed in range(2)]
    pieces = [codes[0][:100], codes[0][100:200], codes[0][200:], codes[1]]
    items = [itemize_fragment(piece + b"\0" * (len(piece) % 2)) for piece in pieces]
    table = np.array([0, len(items[0]) + len(items[1])], "<u4").tobytes()
    dataset = header(np.zeros((2, *SHAPE), np.uint8), "YBR_FULL_422")
    path = save(dataset, tmp_path / "a.dcm", JPEGBaseline8Bit, itemize_fragment(table) + b"".join(items))
    close(path, np.stack([picture(), picture(seed=1)]))


@pytest.mark.parametrize("samples", ["RGB", "MONOCHROME2"])
def test_lossy_jpeg_is_never_signed(tmp_path, samples):
    pixels = FRAME if samples == "RGB" else FRAME[..., 0]
    path = jpegs(tmp_path / "a.dcm", [jpeg(pixels)], pixels.shape, samples, PixelRepresentation=1)
    assert "signed" in close(path, pixels if pixels.ndim == 3 else pixels[..., None])


def test_colours_are_never_signed(tmp_path):
    for path in (native(tmp_path / "a.dcm", FRAME[None]), encoded(tmp_path / "b.dcm", FRAME[None], JPEG2000Lossless)):
        said = close(changed(path, PixelRepresentation=1))
        assert said == "says that its colours are signed numbers, which they never are: they are read as unsigned"


def test_grey_whose_sign_the_codestream_contradicts(tmp_path):
    grey = FRAME[..., 0] // 2
    path = changed(encoded(tmp_path / "a.dcm", grey[None], JPEG2000Lossless, "MONOCHROME2"), PixelRepresentation=1)
    _, [said] = read_frames(path)
    assert said == "says that samples are signed, its frames unsigned: they are read as signed"


def test_frames_in_rle_of_another_number_of_bytes(tmp_path):
    path = encoded(tmp_path / "a.dcm", FRAME[None], RLELossless)
    changed(path, SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2")
    with pytest.raises(DataError, match="frame 1: holds 3 bytes per pixel, the header says 1; correct SamplesPerPixel"):
        read_frames(path)


SHAPES = [
    ({"PixelAspectRatio": [2, 1]}, (80, 48)),
    ({"PixelAspectRatio": [1, 2]}, (40, 96)),
    ({"PixelSpacing": [0.3, 0.2]}, (60, 48)),
    ({"NominalScannedPixelSpacing": [0.2, 0.3]}, (40, 72)),
    ({"PixelAspectRatio": [1, 1]}, (40, 48)),
    ({"PixelSpacing": [0.2, 0.2005]}, (40, 48)),
    ({"PixelAspectRatio": [3, 2], "PixelSpacing": [0.3, 0.2]}, (60, 48)),
]


@pytest.mark.parametrize("attributes, size", SHAPES)
def test_the_network_sees_square_pixels(tmp_path, attributes, size):
    frames, notices = read_frames(native(tmp_path / "a.dcm", FRAME[None], **attributes))
    assert frames.shape[1:3] == size and notices == ()
    rows, columns = (np.arange(new) * old // new for old, new in zip(SHAPE[:2], size, strict=True))
    assert np.abs(frames[0].astype(int) - FRAME[rows[:, None], columns]).max() <= 4


@pytest.mark.parametrize(
    "attributes, message",
    [
        ({"PixelAspectRatio": [2, 1], "PixelSpacing": [0.2, 0.2]}, "PixelAspectRatio and PixelSpacing disagree"),
        ({"PixelAspectRatio": [100, 1]}, "its pixels are 100 times as high as wide"),
    ],
)
def test_shapes_that_cannot_be(tmp_path, attributes, message):
    frames, [said] = read_frames(native(tmp_path / "a.dcm", FRAME[None], **attributes))
    assert message in said and "they are taken as square" in said and frames.shape[1:3] == SHAPE[:2]


def test_shapes_in_groups_and_regions():
    region = pydicom.Dataset()
    region.RegionSpatialFormat, region.PhysicalUnitsXDirection, region.PhysicalUnitsYDirection = 1, 3, 3
    region.PhysicalDeltaX, region.PhysicalDeltaY = 0.01, -0.02
    ultrasound = pydicom.Dataset()
    ultrasound.SequenceOfUltrasoundRegions = [region]
    assert square_size(ultrasound, 10, 10) == (20, 10, "")
    region.PhysicalUnitsXDirection = 4  # seconds: a curve over time, no picture
    assert square_size(ultrasound, 10, 10) == (10, 10, "")
    measures, groups, shared = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    measures.PixelSpacing = [0.1, 0.2]
    groups.PixelMeasuresSequence = [measures]
    shared.SharedFunctionalGroupsSequence = [groups]
    assert square_size(shared, 10, 10) == (10, 20, "")
    for nonsense in ([0, 1], [-1, 2], [1]):
        shared.clear()
        shared.PixelAspectRatio = nonsense
        assert square_size(shared, 10, 10)[:2] == (10, 10)
        assert "PixelAspectRatio is no ratio of two lengths" in square_size(shared, 10, 10)[2]
        shared.PixelSpacing = [0.1, 0.2]
        assert square_size(shared, 10, 10) == (10, 20, ""), "what makes sense counts"


def test_the_shape_of_pixels_that_frames_state_themselves():
    def stack(*spacings):
        dataset = pydicom.Dataset()
        dataset.PixelSpacing = [1, 1]
        dataset.PerFrameFunctionalGroupsSequence = []
        for spacing in spacings:
            measures, groups = pydicom.Dataset(), pydicom.Dataset()
            measures.PixelSpacing = spacing
            groups.PixelMeasuresSequence = [measures]
            dataset.PerFrameFunctionalGroupsSequence.append(groups)
        return dataset

    assert square_size(stack([0.2, 0.1], [0.2, 0.1], [0.4, 0.2]), 10, 10) == (20, 10, "")
    rows, columns, said = square_size(stack([0.2, 0.1], [0.1, 0.1]), 10, 10)
    assert (rows, columns) == (10, 10) and "PixelSpacing disagree about the shape of its pixels" in said


@pytest.mark.parametrize("attributes, size", [SHAPES[0], SHAPES[1], SHAPES[2]])
def test_masks_come_back_on_the_stored_grid(tmp_path, attributes, size):
    path = native(tmp_path / "a.dcm", np.stack([FRAME, FRAME]), **attributes)
    [source] = Scenes().find_scenes([str(path)], RGB)
    stored = np.zeros((2, 40, 48), np.uint8)
    stored[0, 10:20, 8:12], stored[1, 30:, 40:] = 1, 1
    mask = np.stack([as_stored(frame, size) for frame in stored]).reshape(-1, size[1])
    layers = [Layers(0, mask, mask * 254, None)]
    classes = ClassTable(("background", "polyp"), ((0, 0, 0), (255, 0, 0)), background=0)
    for outputs in (DicomOutputs(confidence=True), DicomOutputs(deidentify=True)):
        written = write_dicom_seg(path, source.name, layers, classes, Destination(tmp_path, outputs, {}), size[0])
        seg = pydicom.dcmread(written)
        assert (seg.Rows, seg.Columns) == (40, 48)
        assert np.array_equal(seg.pixel_array, stored)
        assert seg.get("PixelAspectRatio") == attributes.get("PixelAspectRatio")
