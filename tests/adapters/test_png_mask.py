"""Masks of pictures: indices that any program reads, colours that any viewer shows, no metadata of the picture."""

import resource
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from seg_sources import CLASSES, TAGS, make_layers, make_mask, make_output

from wsss_adapters.pictures.png_mask import mask_tags, write_palette_png, write_png_mask
from wsss_toolkit.domain import ClassTable, Layers
from wsss_toolkit.errors import DataError, WsssError

REPOSITORY = Path(__file__).parents[2]


def chunks(path):
    """Return the types of a PNG's chunks, in their order."""
    content, at, found = path.read_bytes(), 8, []
    while at < len(content):
        length, kind = struct.unpack(">I4s", content[at : at + 8])
        found.append(kind.decode())
        at += 12 + length
    return found


@pytest.mark.parametrize("classes", [CLASSES, ClassTable(("only",), ((9, 8, 7),))])
def test_pixels_are_class_indices_and_colours_are_the_classes(classes, tmp_path):
    mask = np.minimum(make_mask()[0], len(classes.names) - 1)
    mask[:2] = 255
    path = write_png_mask("a", make_layers(mask[None])[0], classes, make_output(tmp_path))
    assert path == tmp_path / "a_mask.png"
    with Image.open(path) as image:
        assert image.mode == "P" and image.size == mask.shape[::-1]
        np.testing.assert_array_equal(np.asarray(image), mask)
        shown = np.asarray(image.convert("RGBA"))
    for index, color in enumerate(classes.colors):
        assert (shown[mask == index] == (*color, 255)).all()
    assert (shown[mask == 255][:, 3] == 0).all()
    header = path.read_bytes()[16:29]
    assert struct.unpack(">IIBB", header[:10])[2:] == (8, 3), "8 bits per pixel, palette"
    assert set(chunks(path)) == {"IHDR", "PLTE", "tRNS", "iTXt", "IDAT", "IEND"}, "no EXIF, no time, no comment"
    assert not list(tmp_path.glob(".*"))


def test_255_classes_leave_room_for_no_data(tmp_path):
    classes = ClassTable(tuple(f"class {i}" for i in range(255)), tuple((i, 255 - i, 7) for i in range(255)))
    mask = np.arange(256, dtype=np.uint8).reshape(16, 16)
    with Image.open(write_palette_png(tmp_path / "x.png", mask, classes, TAGS)) as image:
        np.testing.assert_array_equal(np.asarray(image), mask)
        assert image.convert("RGBA").getpixel((14, 15)) == (254, 1, 7, 255)


def test_tags_come_back(tmp_path):
    path = write_png_mask("a", make_layers(make_mask())[0], CLASSES, make_output(tmp_path))
    tags = mask_tags(path)
    assert tags.items() >= TAGS.items() and tags["CLASS_2"] == "Ünklar\\x"


def test_confidence_and_scores_are_grey(tmp_path):
    mask = make_mask()
    layers, confidence, scores = make_layers(mask)
    write_png_mask("a", layers, CLASSES, make_output(tmp_path, confidence=True, scores=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a_confidence.png", "a_mask.png", "a_scores_0_background.png", "a_scores_1_polyp.png",
        "a_scores_2_nklar-x.png", "a_scores_3_clip.png",
    ]  # fmt: skip
    expected = {"a_confidence.png": confidence[0]}
    expected |= dict(zip(sorted(path.name for path in tmp_path.glob("*scores*")), scores[:, 0], strict=True))
    for name, levels in expected.items():
        with Image.open(tmp_path / name) as image:
            assert image.mode == "L"
            np.testing.assert_array_equal(np.asarray(image), levels)


def test_the_same_layers_give_the_same_bytes_however_they_are_cut(tmp_path):
    for name, block in (("one", 7), ("two", 100)):
        layers = make_layers(make_mask(), block)[0]
        write_png_mask("a", layers, CLASSES, make_output(tmp_path / name, confidence=True, scores=True))
    first, second = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert first == second and len(first) == 6


def test_what_an_older_call_wrote_goes_with_its_mask(tmp_path):
    layers = make_layers(make_mask())[0]
    write_png_mask("a", layers, CLASSES, make_output(tmp_path, confidence=True, scores=True))
    write_png_mask("b", layers, CLASSES, make_output(tmp_path, confidence=True))
    write_png_mask("a", layers, CLASSES, make_output(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_mask.png", "b_confidence.png", "b_mask.png"]


def test_what_is_no_mask_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds \[4, 9\], which are no classes"):
        write_palette_png(tmp_path / "x.png", np.array([[0, 4, 9, 255]], np.uint8), CLASSES, TAGS)
    for wrong in (np.zeros((2, 2), np.int64), np.zeros((1, 2, 2), np.uint8)):
        with pytest.raises(ValueError, match="a mask is uint8"):
            write_palette_png(tmp_path / "x.png", wrong, CLASSES, TAGS)
    layers = make_layers(make_mask())[0]
    with pytest.raises(ValueError, match="expected row 20, got row 0"):
        write_png_mask("a", layers[:1] * 2, CLASSES, make_output(tmp_path))
    bare = [Layers(part.row, part.mask, part.confidence, None) for part in layers]
    with pytest.raises(ValueError, match="no scores"):
        write_png_mask("a", bare, CLASSES, make_output(tmp_path, scores=True))
    assert not list(tmp_path.iterdir())


def test_tags_of_no_mask_and_of_foreign_files(tmp_path):
    path = tmp_path / "a_mask.png"
    assert mask_tags(path) is None
    for content in (b"", b"no picture" * 9, b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a_mask\.png: no readable PNG"):
            mask_tags(path)
    Image.new("L", (3, 3)).save(path)
    with pytest.raises(DataError, match="was not written by wsss"):
        mask_tags(path)


def test_an_output_folder_that_is_a_file_is_one_error(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(WsssError, match="cannot write"):
        write_png_mask("a", make_layers(make_mask())[0], CLASSES, make_output(tmp_path / "out"))


FULL = """
import resource, signal, sys
sys.path[:0] = {paths!r}
from pathlib import Path
import numpy as np
from seg_sources import CLASSES, make_layers, make_output
from wsss_adapters.pictures.png_mask import write_png_mask
from wsss_toolkit.errors import WsssError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # what a full disk looks like: writing fails
layers = make_layers(np.random.default_rng(0).integers(0, 4, (1, 200, 200)).astype(np.uint8))[0]
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    write_png_mask("a", layers, CLASSES, make_output(Path({folder!r}), scores=True))
except WsssError as error:
    print(error)
    sys.exit(7)
"""


@pytest.mark.parametrize("limit", [100, 5_000])
def test_a_disk_that_fills_up_leaves_nothing_under_a_final_name(limit, tmp_path):
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    paths = [str(REPOSITORY), str(REPOSITORY / "adapters"), str(Path(__file__).parent)]
    code = FULL.format(paths=paths, limit=limit, folder=str(tmp_path / "out"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 7, done.stderr + done.stdout
    assert "cannot write" in done.stdout and "--out" in done.stdout
    assert not list((tmp_path / "out").iterdir())
