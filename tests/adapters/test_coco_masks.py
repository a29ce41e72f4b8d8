import contextlib
import io
import os
from pathlib import Path

import numpy as np
import pytest
from fake_natural import box, coco_annotation, run_lengths

from wsss_adapters.natural.coco import Coco
from wsss_adapters.natural.coco_annotations import CocoObject
from wsss_adapters.natural.coco_masks import decode_counts, object_pixels, rasterise
from wsss_adapters.natural.coco_options import CocoOptions
from wsss_toolkit.errors import DataError

tools = pytest.importorskip("pycocotools.mask")

# pycocotools 2.0.11 decodes in a way that numpy 2 deprecates; the adapter does not use its decoder.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

SIZE = (24, 32)
FILE = Path("instances.json")


def thing(outline, category=1, *, crowd=False):
    if isinstance(outline, list):
        outline = [np.array(part, dtype=np.float64) for part in outline]
    return CocoObject(7, category, crowd, outline)


def draw(*objects):
    return rasterise(objects, SIZE, {1: 1, 5: 2, 90: 3}, FILE)


@pytest.mark.parametrize("order", [1, -1])
def test_the_smaller_object_wins_whatever_the_order(order):
    objects = [thing([box(0, 0, 20, 20)], 1), thing([box(5, 5, 9, 9)], 5), thing([box(8, 8, 15, 15)], 90)][::order]
    expected = np.zeros(SIZE, np.uint8)
    expected[0:20, 0:20], expected[8:15, 8:15], expected[5:9, 5:9] = 1, 3, 2
    assert np.array_equal(draw(*objects), expected)


def test_of_two_objects_of_one_size_the_later_wins():
    first, second = thing([box(0, 0, 8, 8)], 1), thing([box(4, 0, 12, 8)], 5)
    assert draw(first, second)[0].tolist()[:13] == [1] * 4 + [2] * 8 + [0]
    assert draw(second, first)[0].tolist()[:13] == [1] * 8 + [2] * 4 + [0]


def test_crowds_are_void_except_where_an_object_is():
    region = np.zeros(SIZE, bool)
    region[:6, :6] = True
    mask = draw(thing([box(3, 3, 32, 24)], 5), thing(run_lengths(region), crowd=True))
    expected = np.zeros(SIZE, np.uint8)
    expected[:6, :6] = 255
    expected[3:24, 3:32] = 2
    assert np.array_equal(mask, expected)


@pytest.mark.parametrize("seed", range(3))
def test_run_lengths_plain_and_compressed(seed):
    region = np.random.default_rng(seed).random(SIZE) < (0.1, 0.5, 0.95)[seed]
    plain = run_lengths(region)
    packed = tools.encode(np.asfortranarray(region.astype(np.uint8)))
    packed = {"size": list(SIZE), "counts": packed["counts"].decode()}
    assert decode_counts(packed["counts"]) == plain["counts"]
    for outline in (plain, packed):
        assert np.array_equal(object_pixels(thing(outline), SIZE, FILE), region)


def test_compressed_lengths_of_large_images():
    region = np.zeros((3000, 4000), np.uint8, order="F")
    region[1000:2500, 700:3900] = 1
    region[:, 3950] = 1
    packed = tools.encode(region)["counts"].decode()
    assert sum(decode_counts(packed)) == region.size
    assert decode_counts(packed) == run_lengths(region)["counts"]


@pytest.mark.parametrize("seed", range(5))
def test_polygons_are_rasterised_as_pycocotools_does(seed):
    random = np.random.default_rng(seed)
    polygons = [(random.random(2 * int(random.integers(3, 9))) * 40 - 4).tolist() for _ in range(3)]
    expected = tools.decode(tools.merge(tools.frPyObjects(polygons, *SIZE))).astype(bool)
    assert np.array_equal(object_pixels(thing(polygons), SIZE, FILE), expected)


@pytest.mark.parametrize("outline", [[], [[1, 1]], [[1.0, 1.0, 20.0, 20.0]], [[], [3, 3, 9, 9]]])
def test_polygons_of_fewer_than_three_points_enclose_nothing(outline):
    assert object_pixels(thing(outline), SIZE, FILE) is None
    assert not draw(thing(outline)).any()


def test_a_polygon_of_two_points_does_not_turn_the_others_into_boxes():
    pixels = object_pixels(thing([[1, 1, 20, 20], box(4, 4, 8, 8)]), SIZE, FILE)
    assert pixels[4:8, 4:8].all() and pixels.sum() == 16


@pytest.mark.parametrize(
    ("outline", "what"),
    [
        (None, "it has no outline"),
        ("text", "it has no outline"),
        ([[1, 1, 5, 5, 9]], "no lists of finite x and y"),
        ([[1, 1, 5, float("nan"), 9, 9]], "no lists of finite x and y"),
        ([[1, 1, 5, float("inf"), 9, 9]], "no lists of finite x and y"),
        ([[[1, 1, 5, 5, 9, 9]]], "no lists of finite x and y"),
        ([[1, 1, 5, 1e9, 9, 9]], "its points lie far outside the image"),
        ({"size": [32, 24], "counts": [768]}, r"of the size \[32, 24\], its image \[24, 32\]"),
        ({"size": [24, 32]}, "its run lengths are damaged"),
        ({"size": [24, 32], "counts": [760]}, "do not add up to 24 x 32 pixels"),
        ({"size": [24, 32], "counts": [-1, 769]}, "its run lengths are damaged"),
        ({"size": [24, 32], "counts": [768.0]}, "its run lengths are damaged"),
        ({"size": [24, 32], "counts": "PPYo0"}, "its run lengths do not add up"),
        ({"size": [24, 32], "counts": "\u00e9"}, "its run lengths are damaged"),
        ({"size": [24, 32], "counts": "o" * 40}, "its run lengths are damaged"),
    ],
)
def test_malformed_outlines_are_named(outline, what):
    with pytest.raises(DataError, match=rf"instances\.json: annotation 7 cannot be rasterised: .*{what}"):
        draw(thing(outline))


def test_damaged_texts_never_reach_pycocotools():
    random = np.random.default_rng(0)
    for _ in range(500):
        text = "".join(map(chr, random.integers(33, 127, int(random.integers(0, 30)))))
        lengths = decode_counts(text)
        if lengths is not None and min(lengths, default=0) >= 0 and sum(lengths) == SIZE[0] * SIZE[1]:
            continue
        with pytest.raises(DataError):
            object_pixels(thing({"size": list(SIZE), "counts": text}), SIZE, FILE)


@pytest.fixture(scope="module")
def real():
    folder = os.environ.get("WSSS_TEST_DATA")
    if folder is None:
        pytest.skip("WSSS_TEST_DATA is not set")
    return Path(folder) / "natural" / "coco128"


@pytest.mark.real_data
def test_every_real_mask_is_what_pycocotools_makes(real):
    from pycocotools.coco import COCO

    fractions = {"train": 0.6, "val": 0.2, "test": 0.2}
    section = {"adapter": "coco", "root": real, "divide": {"set": "train2017", "fractions": fractions}}
    adapter = Coco(CocoOptions.model_validate({**section, "without_objects": "keep"}))
    adapter.prepare()
    with contextlib.redirect_stdout(io.StringIO()):
        official = COCO(str(real / "annotations" / "instances_train2017.json"))
    names = {number: category["name"] for number, category in official.cats.items()}
    keys = [key for split in adapter.splits().values() for key in split]
    assert len(keys) == len(official.imgs) == 128
    for image in official.imgs.values():
        key = Path(image["file_name"]).stem
        shown = official.loadAnns(official.getAnnIds(imgIds=image["id"]))
        expected = np.zeros((image["height"], image["width"]), np.uint8)
        masks = [(official.annToMask(entry), entry["category_id"]) for entry in shown if not entry["iscrowd"]]
        for pixels, category in sorted(masks, key=lambda pair: -int(pair[0].sum())):
            expected[pixels == 1] = 1 + sorted(official.cats).index(category)
        for entry in shown:
            if entry["iscrowd"]:
                expected[(official.annToMask(entry) == 1) & (expected == 0)] = 255
        assert np.array_equal(adapter.read_mask(key), expected), key
        assert set(adapter.image_labels(key)) == {names[entry["category_id"]] for entry in shown}, key


def test_annotations_of_the_fake_data_are_in_coco_s_format():
    entry = coco_annotation(1, 2, 3, box(0, 0, 2, 2))
    assert set(entry) == {"id", "image_id", "category_id", "iscrowd", "segmentation", "area", "bbox"}
