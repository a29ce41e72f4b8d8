"""Pictures come out upright and in red, green and blue; what cannot be read is named."""

import struct
import zlib

import numpy as np
import pytest
from fake_frames import RGB, Scenes, picture, read_frames
from PIL import Image

from wsss_toolkit.domain import Window
from wsss_toolkit.errors import DataError

PIXELS = picture(30, 44)


def save(image, path, **options):
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "TIFF", "jpg", "jpeg"])
def test_formats(tmp_path, suffix):
    options = {"quality": 95} if suffix.startswith("jp") else {}
    path = save(Image.fromarray(PIXELS), tmp_path / f"a.{suffix}", **options)
    frames, notices = read_frames(path)
    assert frames.shape == (1, 30, 44, 3) and not notices
    difference = np.abs(frames[0].astype(int) - PIXELS).mean()
    assert difference < 2 if options else difference == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(tmp_path, orientation):
    turned = {
        1: PIXELS,
        2: PIXELS[:, ::-1],
        3: PIXELS[::-1, ::-1],
        4: PIXELS[::-1],
        5: PIXELS.transpose(1, 0, 2),
        6: np.rot90(PIXELS, 1),
        7: PIXELS[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(PIXELS, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(Image.fromarray(np.ascontiguousarray(turned)), tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_frames(path)[0][0], PIXELS)


def test_modes(tmp_path):
    image, path = Image.fromarray(PIXELS), tmp_path / "a.png"
    grey = PIXELS[..., 0]
    triple = np.repeat(grey[..., None], 3, axis=-1)
    assert np.array_equal(read_frames(save(Image.fromarray(grey), path))[0][0], triple)
    deep = grey.astype(np.uint16) * 257
    for suffix in ("png", "tif"):
        assert np.array_equal(read_frames(save(Image.fromarray(deep), tmp_path / f"b.{suffix}"))[0][0], triple)
    few = image.quantize(200)
    assert np.array_equal(read_frames(save(few, path))[0][0], np.asarray(few.convert("RGB")))
    two = Image.fromarray(grey > 128)
    assert two.mode == "1" and np.array_equal(read_frames(save(two, path))[0][0][..., 1] == 255, grey > 128)
    inks = save(image.convert("CMYK"), tmp_path / "c.jpg", quality=95)
    with Image.open(inks) as opened:
        assert opened.mode == "CMYK"
    assert np.abs(read_frames(inks)[0][0].astype(int) - PIXELS).mean() < 3
    inks = save(image.convert("CMYK"), tmp_path / "c.tif")
    assert np.abs(read_frames(inks)[0][0].astype(int) - PIXELS).mean() < 1


def test_transparent_pixels_are_missing(tmp_path):
    alpha = np.full((30, 44), 255, np.uint8)
    alpha[:5], alpha[5:10] = 0, 40
    path = save(Image.fromarray(np.dstack([PIXELS, alpha])), tmp_path / "a.png")
    scenes = Scenes()
    [source] = scenes.find_scenes([str(path)], RGB)
    with scenes.open_scene(source, RGB) as scene:
        rgb = scene.read(Window(0, 0, 30, 44)).bands["rgb"]
    assert np.isnan(rgb[:, :5]).all() and np.array_equal(rgb[:, 5:], PIXELS[5:].transpose(2, 0, 1))


def test_several_pictures_in_one_file(tmp_path):
    pages = [Image.fromarray(picture(30, 44, seed=seed)) for seed in range(3)]
    path = save(pages[0], tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    frames, notices = read_frames(path)
    assert np.array_equal(frames, PIXELS[None]) and notices == ("holds 3 pictures, the first of which is taken",)


def refused(path):
    with pytest.raises(DataError) as caught:
        read_frames(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and "\n" not in line
    return line


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "jpg"])
@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5, 0.9])
def test_truncated_pictures(tmp_path, suffix, keep):
    path = save(Image.fromarray(PIXELS), tmp_path / f"a.{suffix}")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    assert ("is no readable picture" if keep else "is empty (0 bytes)") in refused(path)


def test_what_is_no_picture(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"no picture at all")
    assert "is no readable picture" in refused(path)
    save(Image.fromarray(PIXELS), path, format="TGA")
    assert "is no readable picture" in refused(path), "only the formats that the suffixes promise are opened"
    floats = save(Image.fromarray(np.zeros((4, 4), np.float32)), tmp_path / "a.tif")
    assert "holds floating-point numbers, not a picture; convert it to 8 bits" in refused(floats)
    wide = save(Image.fromarray(np.full((4, 4), 70000, np.int32)), tmp_path / "b.tif")
    assert "has more than 16 bits per sample" in refused(wide)


def test_a_file_that_vanishes(tmp_path):
    path = save(Image.fromarray(PIXELS), tmp_path / "a.png")
    scenes = Scenes()
    [source] = scenes.find_scenes([str(path)], RGB)
    path.unlink()
    with pytest.raises(DataError, match=r"a\.png: no such file"):
        with scenes.open_scene(source, RGB):
            pass


def bomb(path, width, height):
    """Write a PNG of a few kilobytes that claims to be enormous."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(3_000_000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


@pytest.mark.parametrize("width, height", [(9000, 9000), (12000, 9000), (60000, 60000)])
def test_enormous_pictures_are_refused_before_they_are_unpacked(tmp_path, width, height):
    line = refused(bomb(tmp_path / "a.png", width, height))
    assert "at most 67108864 are read" in line and "cut it into smaller pictures" in line
