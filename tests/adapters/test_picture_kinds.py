"""Pictures are what their contents say, whatever they are called; what is no picture is called by its kind."""

import struct
import zlib

import numpy as np
import pytest
from fake_folders import class_folders, folder, pixels, save
from PIL import Image, features

from wsss_adapters.endoscopy.scenes import EndoscopyScenes
from wsss_adapters.pictures import kinds
from wsss_adapters.pictures.decoding import MAX_PIXELS, decode_picture
from wsss_adapters.pictures.masks import read_codes
from wsss_adapters.pictures.png_mask import write_palette_png
from wsss_adapters.pictures.reading import RGB, read_header
from wsss_adapters.pictures.scenes import PictureScenes
from wsss_toolkit.domain import ChannelTable, ClassTable
from wsss_toolkit.domain.unread import by_kind, files_beside
from wsss_toolkit.errors import DataError, UsageError

CLASSES = ClassTable(("background", "cat"), ((0, 0, 0), (255, 0, 0)), background=0)
FORMATS = ["PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "AVIF", "JPEG2000"]


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_the_contents_say_what_a_picture_is(tmp_path, format_, suffix):
    if format_ == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(pixels(1)[0]).save(path, format=format_)
    header = read_header(path)
    assert (header.height, header.width, header.sensor.name, header.pages) == (48, 64, "rgb", 1)
    assert np.abs(decode_picture(path).pixels.astype(int) - pixels(1)[0]).mean() < 30
    if format_ in ("PNG", "TIFF", "BMP", "JPEG2000"):
        adapter = folder(tmp_path, classes=["cat"], splits={"fractions": {"train": 1.0}})
        read = adapter.read("a", ChannelTable(adapter.sensors)).bands["rgb"]
        assert np.array_equal(read.transpose(1, 2, 0), pixels(1)[0])


def test_web_pictures_called_jpg_train(tmp_path):
    root = class_folders(tmp_path, each=4)
    for path in (root / "cat").iterdir():
        save(path, pixels(3)[0], format="WEBP")
    adapter = folder(root, class_folders=True, splits={"fractions": {"train": 1.0}})
    [key, *_] = [key for key in adapter.splits()["train"] if adapter.image_labels(key) == ("cat",)]
    assert adapter.read(key, ChannelTable(adapter.sensors)).size == (48, 64)


def test_of_an_animation_the_first_picture_is_taken_with_a_notice(tmp_path):
    frames = [Image.fromarray(pixels(seed)[0]) for seed in (1, 2)]
    for name in ("a.gif", "a.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert read_header(tmp_path / name).pages == 2
        assert decode_picture(tmp_path / name).notices == ("holds 2 pictures, the first of which is taken",)


def test_deep_jpeg_2000_keeps_its_units(tmp_path):
    values = (np.arange(48 * 64).reshape(48, 64) * 20).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "a.jp2")
    header = read_header(tmp_path / "a.jp2")
    assert (header.sensor.name, header.depth) == ("image", "uint16")


def write_empty_png(path, height, width):
    """Write a sound PNG of one bit a pixel, all 0."""

    def chunk(kind, content):
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    packer = zlib.compressobj(1)
    content = b"".join(packer.compress(bytes(1 + (width + 7) // 8)) for _ in range(height)) + packer.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", content) + chunk(b"IEND", b""))


@pytest.mark.parametrize(("height", "width"), [(12000, 12001), (30000, 30000), (14000, 13000)])
def test_large_pictures_say_how_large(tmp_path, height, width):
    write_empty_png(tmp_path / "a.png", height, width)
    with pytest.raises(DataError, match=rf"a\.png: is {height} x {width} pixels; at most {MAX_PIXELS} are read"):
        read_header(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\0\0\0\x18ftypheic" + bytes(99), "is a HEIC file, no picture that is read; convert it to PNG"),
        (b"<!DOCTYPE html><title>404</title>", "is an HTML file, no picture that is read; copy or download it again"),
        (b"%PDF-1.7", "is a PDF file"),
        (b"PK\x03\x04" + bytes(30), "is a zip file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a Git LFS pointer file"),
        (bytes(128) + b"DICM" + bytes(9), "is a DICOM file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "is no readable picture, truncated or damaged"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "is no readable picture, truncated or damaged"),
        (b"nothing in particular", "is no readable picture, truncated or damaged"),
    ],
)
def test_what_is_no_picture_is_called_by_its_kind(tmp_path, content, what):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(DataError, match=rf"a\.jpg: {what}"):
        read_header(tmp_path / "a.jpg")


@pytest.mark.parametrize("kind", ["colours", "palette", "16 bits", "mask"])
def test_a_png_that_does_not_fit_its_checksums_is_damaged(tmp_path, kind):
    """Pillow decodes one byte too many or another without a word, and everything after it is another picture."""
    picture, mask = pixels(1)
    deep = np.random.default_rng(0).integers(0, 2**16, picture.shape[:2], np.uint16)
    image = Image.fromarray({"16 bits": deep, "mask": mask}.get(kind, picture))
    path = tmp_path / "a.png"
    (image.quantize() if kind == "palette" else image).save(path)
    whole = path.read_bytes()
    data = whole.index(b"IDAT") + 4
    for place in (data + 20, data + (len(whole) - data) // 2):
        spoilt = bytearray(whole)
        spoilt[place] ^= 0x10
        path.write_bytes(spoilt)
        with pytest.raises(DataError, match=r"a\.png: "):
            read_codes(path) if kind == "mask" else decode_picture(path)
    path.write_bytes(whole + b"and some more")
    decode_picture(path)


def test_a_missing_codec_is_a_line(tmp_path, monkeypatch):
    save(tmp_path / "a.webp", pixels(1)[0])
    monkeypatch.setattr(features, "check", lambda name: name != "webp")
    monkeypatch.setitem(Image.OPEN, "WEBP", (None, lambda start: "built without it"))
    assert kinds.codec_missing("WebP") and not kinds.codec_missing("PNG")
    with pytest.raises(DataError, match="is a WebP picture, which this build of Pillow cannot read; install"):
        decode_picture(tmp_path / "a.webp")


@pytest.mark.parametrize(("format_", "kind"), [("WEBP", "WebP"), ("JPEG2000", "JPEG 2000"), ("JPEG", "JPEG")])
def test_masks_are_in_no_format_that_changes_values(tmp_path, format_, kind):
    save(tmp_path / "a.png", pixels(1)[1], format=format_)
    with pytest.raises(DataError, match=f"masks cannot be {kind}, which changes their values; use PNG"):
        read_codes(tmp_path / "a.png")


def test_what_is_not_read_is_counted_by_kind(tmp_path):
    for name in ("a.png", "b.MP4", "c.mp4", "d/e.zip", "d/f.png", ".hidden", "README"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    left = files_beside([str(tmp_path), f"{tmp_path}/*.mp4", "https://x/y.tif"], [tmp_path / "a.png", tmp_path / "d"])
    assert sorted(path.name for path in left) == ["README", "b.MP4", "c.mp4"]
    assert by_kind(left) == "2 .mp4, 1 without suffix" and by_kind([]) == ""
    many = [tmp_path / f"{number}.{suffix}" for suffix in "abcdefghij" for number in range(2)]
    assert by_kind(many) == "2 .a, 2 .b, 2 .c, 2 .d, 2 .e, 2 .f, 2 .g, 2 .h, 4 of other kinds", "each file is counted"


def test_scenes_say_what_is_left_and_where_masks_come_from(tmp_path):
    for name in ("x.jpg", "x.png", "x.webp"):
        save(tmp_path / name, pixels(1)[0])
    write_palette_png(tmp_path / "y_mask.png", pixels(1)[1] // 128, CLASSES, {"wsss_version": "1"})
    (tmp_path / "clip.mp4").touch()
    adapter = folder(tmp_path, classes=["cat"])
    sources = adapter.find_scenes([str(tmp_path)], ChannelTable(adapter.sensors))
    assert sorted(source.path.name for source in sources) == ["x.jpg", "x.png", "x.webp"]
    assert [path.name for path in adapter.unread([str(tmp_path)], sources)] == ["clip.mp4"]


@pytest.mark.parametrize("scenes", [PictureScenes(), EndoscopyScenes()], ids=["pictures", "endoscopy"])
def test_pictures_that_are_only_called_like_masks_are_counted_and_labelled_where_they_are_named(tmp_path, scenes):
    write_palette_png(tmp_path / "ours_mask.png", pixels(1)[1] // 128, CLASSES, {"wsss_version": "1"})
    for name in ("a.png", "face_mask.png", "b_confidence.png"):
        save(tmp_path / name, pixels(1)[0])
    channels = ChannelTable((RGB,))

    def names(*inputs):
        return sorted(source.path.name for source in scenes.find_scenes([str(path) for path in inputs], channels))

    found = scenes.find_scenes([str(tmp_path)], channels)
    assert [source.path.name for source in found] == ["a.png"]
    assert by_kind(scenes.unread([str(tmp_path)], found)) == "1 _confidence.png, 1 _mask.png"
    assert names(tmp_path / "face_mask.png", tmp_path / "a.png") == ["a.png", "face_mask.png"]
    with pytest.raises(UsageError, match=r"no (pictures|frames) in"):
        names(tmp_path / "ours_mask.png")
