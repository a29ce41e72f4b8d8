"""The field of view: black frames, text and position boxes are found; tissue and lumen stay."""

import io
import os
import time
from pathlib import Path

import numpy as np
import pytest
from fake_endoscopy import circle, draw_tissue, load
from PIL import Image, ImageDraw

from wsss_adapters.frames.field_of_view import field_of_view

HEIGHT, WIDTH = 250, 320
SHAPES = {
    "circle": circle(HEIGHT, WIDTH, 120),
    "cut circle": circle(HEIGHT, WIDTH, 155),
    "octagon": np.add(*(abs(g - (n - 1) / 2) for g, n in zip(np.mgrid[:HEIGHT, :WIDTH], (HEIGHT, WIDTH), strict=True)))
    <= 200,
    "letterbox": (lambda rows, columns: (rows >= 30) & (rows < 220) & (columns >= 0))(*np.mgrid[:HEIGHT, :WIDTH]),
    "inset": (lambda rows, columns: (rows >= 20) & (rows < 235) & (columns >= 70))(*np.mgrid[:HEIGHT, :WIDTH]),
}


def endoscope(shape, seed=0, black=0):
    """Return tissue behind a black frame, with the noise of a sensor."""
    generator = np.random.default_rng(seed)
    noise = generator.integers(0, 4, (HEIGHT, WIDTH, 3))
    return (np.where(shape[..., None], draw_tissue(seed, HEIGHT, WIDTH), black) + noise).clip(0, 255).astype(np.uint8)


def boundary(shape, width=3):
    """Return the pixels within `width` of a shape's edge, where one may be off."""
    padded = np.pad(shape, width, mode="edge")
    near = [
        padded[width + dy : width + dy + HEIGHT, width + dx : width + dx + WIDTH] != shape
        for dy in range(-width, width + 1)
        for dx in range(-width, width + 1)
    ]
    return np.any(near, axis=0)


def check(found, shape, width=3):
    wrong = (found != shape) & ~boundary(shape, width)
    assert not wrong.any(), f"{wrong.sum()} pixels are wrong"


def jpeg(pixels, quality=75):
    """Return what JPEG leaves of a picture."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="JPEG", quality=quality)
    stream.seek(0)
    with Image.open(stream) as picture:
        return np.array(picture)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("black", [0, 16])
def test_black_frames_of_any_shape(name, black):
    check(field_of_view(jpeg(endoscope(SHAPES[name], black=black))), SHAPES[name])


def test_large_pictures_are_as_exact_in_proportion():
    factor = 4
    with Image.fromarray(endoscope(SHAPES["circle"])) as picture:
        large = np.array(picture.resize((WIDTH * factor, HEIGHT * factor), Image.Resampling.BICUBIC))
    found = field_of_view(large)
    assert found.shape == large.shape[:2]
    check(found[factor // 2 :: factor, factor // 2 :: factor], SHAPES["circle"])


def test_pictures_without_a_frame_are_whole():
    assert field_of_view(draw_tissue(1, HEIGHT, WIDTH)).all()
    assert field_of_view(draw_tissue(1, 9, 5)).all()


def test_pictures_that_are_too_dark_to_tell_are_whole():
    generator = np.random.default_rng(0)
    assert field_of_view(generator.integers(0, 5, (HEIGHT, WIDTH, 3), dtype=np.uint8)).all()


def test_text_bars_and_symbols_beside_the_tissue_are_outside():
    pixels = endoscope(SHAPES["cut circle"])
    with Image.fromarray(pixels) as picture:
        draw = ImageDraw.Draw(picture)
        for row, text in ((2, "24/11/2026"), (12, "14:08:22"), (225, "1C730K182"), (235, "EH:A5 Cm:1")):
            draw.text((1, row), text, fill=(230, 230, 230))
        draw.rectangle((290, 20, 318, 30), fill=(255, 255, 255))  # a label in a box of its own
        draw.rectangle((0, HEIGHT - 8, WIDTH, HEIGHT), fill=(38, 52, 50))  # a status bar that touches the tissue
        drawn = np.array(picture)
    found = field_of_view(jpeg(drawn))
    bar = np.zeros_like(found)
    bar[HEIGHT - 8 :] = True
    corners = ~SHAPES["cut circle"] & ~boundary(SHAPES["cut circle"], 4) & ~bar
    assert not found[corners].any() and not found[bar & (np.arange(WIDTH) < 40)].any()
    check(found | bar, SHAPES["cut circle"] | bar, 4)


@pytest.mark.parametrize(("row", "column"), [(172, 0), (0, 0), (172, 240), (150, 18)])
@pytest.mark.parametrize("color", [(20, 140, 60), (30, 60, 150)])
def test_the_position_box_at_a_corner_is_outside(row, column, color):
    shape = SHAPES["inset"] | SHAPES["circle"]
    pixels = endoscope(shape)
    box = (slice(row, row + 78), slice(column, column + 80))
    pixels[box] = color
    pixels[row + 30 : row + 33, column + 10 : column + 60] = 250  # the drawing of the endoscope
    found = field_of_view(jpeg(pixels))
    inner = (slice(row + 2, row + 76), slice(column + 2, column + 78))
    assert not found[inner].any()
    kept = shape.copy()
    kept[max(0, row - 4) : row + 82, max(0, column - 4) : column + 84] = False
    assert found[kept & ~boundary(shape, 4)].all(), "tissue around the box stays"


SECOND = {
    "beside it": (slice(30, 220), slice(170, 310), [1, 0, 2]),
    "the same light": (slice(30, 220), slice(170, 310), [0, 1, 2]),
    "in the corner": (slice(0, 70), slice(240, WIDTH), [0, 1, 2]),
    "narrow-band light in the corner": (slice(0, 70), slice(240, WIDTH), [1, 0, 2]),
    "blue light below": (slice(170, HEIGHT), slice(230, WIDTH), [2, 1, 0]),
    "a small one": (slice(90, 140), slice(250, 305), [0, 1, 2]),
}


@pytest.mark.parametrize("name", SECOND)
def test_a_second_picture_is_inside_too(name):
    rows, columns, order = SECOND[name]
    shape = np.zeros((HEIGHT, WIDTH), bool)
    shape[20:230, 10:150] = True
    pixels = endoscope(shape)
    both = shape.copy()
    both[rows, columns] = True
    second = endoscope(both, seed=3)[..., order]
    pixels[rows, columns] = second[rows, columns]
    check(field_of_view(jpeg(pixels)), both, 4)
    large = np.array(Image.fromarray(pixels).resize((WIDTH * 3, HEIGHT * 3), Image.Resampling.BICUBIC))
    check(field_of_view(large)[1::3, 1::3], both, 4)


@pytest.mark.parametrize("color", [(200, 200, 210), (90, 90, 90), (20, 140, 60), (160, 30, 30)])
def test_a_drawing_beside_the_picture_is_outside(color):
    shape = np.zeros((HEIGHT, WIDTH), bool)
    shape[20:230, 10:200] = True
    pixels = endoscope(shape)
    pixels[100:180, 230:310] = color
    pixels[130:134, 240:300] = 255
    check(field_of_view(jpeg(pixels)), shape, 4)


def test_dyed_tissue_is_no_box():
    """Indigo carmine is as blue, but has no straight edges; narrow-band light is green all over."""
    pixels = endoscope(SHAPES["cut circle"])
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    blob = (rows - 205) ** 2 + (columns - 60) ** 2 < 45**2
    pixels[blob & SHAPES["cut circle"]] = (30, 60, 150)
    check(field_of_view(pixels), SHAPES["cut circle"])
    narrow = endoscope(SHAPES["cut circle"])[..., [1, 0, 2]]
    check(field_of_view(narrow), SHAPES["cut circle"])


@pytest.mark.parametrize(("row", "column"), [(125, 160), (60, 160), (125, 60), (160, 250)])
def test_a_dark_lumen_is_inside(row, column):
    shape = SHAPES["circle"]
    pixels = endoscope(shape)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    pixels[(rows - row) ** 2 + (columns - column) ** 2 < 32**2] = 2
    check(field_of_view(jpeg(pixels)), shape, 6 if column in (60, 250) else 3)


@pytest.mark.real_data
def test_hardly_a_polyp_pixel_of_the_real_frames_is_outside():
    if "WSSS_TEST_DATA" not in os.environ:
        pytest.skip("WSSS_TEST_DATA is not set")
    root = Path(os.environ["WSSS_TEST_DATA"]) / "endoscopy" / "neopolyp"
    outside, lost, polyps, seconds = [], 0, 0, []
    for path in sorted((root / "images").glob("*.jpg")):
        pixels, mask = load(path), load(root / "masks_index" / f"{path.stem}.png")
        start = time.perf_counter()
        found = field_of_view(pixels)
        seconds.append(time.perf_counter() - start)
        outside.append(1 - found.mean())
        lost += int(((mask > 0) & ~found).sum())
        polyps += int((mask > 0).sum())
    print(f"outside {np.mean(outside):.3f}, polyp pixels outside {lost} of {polyps}, {np.median(seconds) * 1e3:.1f} ms")
    assert lost / polyps < 1e-4
    assert 0.11 < min(outside) and max(outside) < 0.3, "every one of these frames has black corners"
