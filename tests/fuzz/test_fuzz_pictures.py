"""Spoiled pictures: a command names those that it cannot label, and labels the good one beside them as ever."""

import io
import random

import fake_folders
import numpy as np
import pytest
from fuzzing import none_of, spoil_bytes, wsss
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("adapters")]

CASES, BATCH, PARTS = 200, 20, 5
FORMATS = {
    "png": "PNG",
    "jpg": "JPEG",
    "tif": "TIFF",
    "bmp": "BMP",
    "webp": "WEBP",
    "gif": "GIF",
    "ppm": "PPM",
    "jp2": "JPEG2000",
}
MODES = ["RGB", "RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16", "F", "YCbCr", "LAB"]


def odd_picture(chance):
    """Return the bytes and the suffix of a picture of some mode, format and size; the suffix may be another's."""
    size = chance.choice([(64, 48), (64, 48), (1, 1), (1, 200), (300, 2), (17, 31)])
    values = np.random.default_rng(chance.randrange(2**32)).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    shown = Image.fromarray(values).convert("RGB")
    mode, suffix = chance.choice(MODES), chance.choice([*FORMATS, "png", "jpg"])
    buffer = io.BytesIO()
    try:
        converted = shown.convert("L").convert(mode) if mode in ("I;16", "F") else shown.convert(mode)
        options = {"exif": chance.randbytes(40)} if chance.random() < 0.1 else {}
        converted.save(buffer, FORMATS[suffix], **options)
    except (OSError, ValueError, TypeError, KeyError, SyntaxError):  # Pillow writes no such file
        buffer = io.BytesIO()
        shown.save(buffer, FORMATS[suffix])
    return buffer.getvalue(), suffix if chance.random() < 0.8 else chance.choice(list(FORMATS))


@pytest.mark.parametrize("part", range(PARTS))
def test_spoiled_pictures(pictures_run, tmp_path, part):
    alone = fake_folders.save(tmp_path / "alone" / "good.png", fake_folders.pixels(3, ("cat", "dog"))[0])
    options = ["--run", pictures_run, "--device", "cpu"]
    result, why = wsss("pseudolabel", *options, "--tiles", alone, "--out", tmp_path / "alone-out")
    assert why is None and result.exit_code == 0, result.output
    mask, broken = fake_folders.read_png(tmp_path / "alone-out" / "good_mask.png"), []
    for batch in range(part, CASES // BATCH, PARTS):
        folder, out = tmp_path / f"in{batch}", tmp_path / f"out{batch}"
        folder.mkdir()
        (folder / "good.png").write_bytes(alone.read_bytes())
        for number in range(BATCH):
            chance = random.Random(f"picture {batch} {number}")
            content, suffix = odd_picture(chance)
            spoil = chance.random() < 0.6
            (folder / f"case{number}.{suffix}").write_bytes(spoil_bytes(content, chance) if spoil else content)
        result, why = wsss("pseudolabel", *options, "--tiles", folder, "--out", out)
        if why is None and not (out / "good_mask.png").is_file():
            why = f"the good picture has no mask: {result.output}"
        elif why is None and not np.array_equal(fake_folders.read_png(out / "good_mask.png"), mask):
            why = "the good picture has another mask"
        if why:
            broken.append((f"batch {batch}", why))
        for command in (["init", folder, "--out", tmp_path / f"recipe{batch}.yaml"],):
            result, why = wsss(*command)
            if why:
                broken.append((f"init of batch {batch}", why))
    none_of(broken)
