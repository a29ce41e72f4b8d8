"""A folder of pictures as the core sees it: the contract, pixels, labels, masks, crops, splits."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
from fake_folders import class_folders, deep, folder, masked, pixels, read_png, save, tagged
from PIL import Image
from pydantic import ValidationError

from wsss_toolkit.domain import ChannelTable, LabelledAdapter, SceneAdapter
from wsss_toolkit.domain.adapter import StarterAdapter
from wsss_toolkit.domain.contract import check_adapter
from wsss_toolkit.errors import DataError

FOUR = ["nothing", "cat", "dog", "tree"]
THIRDS = {"fractions": {"train": 0.5, "val": 0.25, "test": 0.25}}


def channels(adapter):
    return ChannelTable(adapter.sensors)


def first(adapter):
    return adapter.splits()["train"][0]


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (class_folders, {"class_folders": True, "background": "background"}),
        (tagged, {"tags": "tags.csv"}),
        (masked, {"images": "images", "masks": "masks", "classes": FOUR, "background": "nothing"}),
        (masked, {"images": "images/*.png", "masks": "masks", "classes": FOUR, "crop": 24}),
        (masked, {"images": "images", "masks": "masks", "classes": FOUR, "crop": 24, "crops_per_image": 3}),
        (deep, {"class_folders": True}),
    ],
    ids=["class folders", "tags", "masks", "grid", "random crops", "16 bit"],
)
def test_contract(tmp_path, make, options):
    adapter = folder(make(tmp_path / "data"), splits=THIRDS, **options)
    assert isinstance(adapter, LabelledAdapter)
    assert isinstance(adapter, SceneAdapter)
    assert isinstance(type(adapter), StarterAdapter)
    check_adapter(adapter, tmp_path / "out", read_written=read_png)


def test_class_folders(tmp_path):
    adapter = folder(class_folders(tmp_path), class_folders=True, background="none", splits=THIRDS)
    assert adapter.classes.names == ("none", "cat", "dog")
    assert adapter.classes.background == 0
    keys = [key for split in adapter.splits().values() for key in split]
    assert sorted(keys) == sorted(f"{name}_{i}" for name in ("cat", "dog") for i in range(8))
    assert all(adapter.image_labels(key) == (key.split("_")[0],) for key in keys)
    counts = {split: [key[:3] for key in found].count("cat") for split, found in adapter.splits().items()}
    assert counts == {"train": 4, "val": 2, "test": 2}, "classes are spread evenly"


def test_negatives_and_unknown_class_folders(tmp_path):
    class_folders(tmp_path, classes=("cat", "dog", "tree"))
    given = {"class_folders": True, "background": "none", "splits": THIRDS}
    adapter = folder(tmp_path, negatives=["tree"], **given)
    assert adapter.classes.label_names == ("cat", "dog")
    assert adapter.image_labels("tree_0") == ()
    with pytest.raises(DataError, match=r"its folder 'tree' is no class; did you mean trees\?"):
        folder(tmp_path, classes=["none", "cat", "dog", "trees"], **given).splits()


def test_a_colour_does_not_change_when_a_background_is_added(tmp_path):
    class_folders(tmp_path)
    without = folder(tmp_path, class_folders=True).classes
    added = folder(tmp_path, class_folders=True, background="none").classes
    assert added.colors == ((0, 0, 0), *without.colors)
    assert len(set(without.colors)) == 2
    chosen = folder(tmp_path, classes=["cat", {"name": "dog", "color": "#010203"}]).classes
    assert chosen.colors == (without.colors[0], (1, 2, 3))


@pytest.mark.parametrize("header", ["image,classes", "Filename;Labels", "name\ttags"])
def test_tags(tmp_path, header):
    adapter = folder(tagged(tmp_path, header=header), tags="tags.csv", splits=THIRDS)
    assert adapter.classes.names == ("cat", "dog")
    assert [adapter.image_labels(f"photo_{i}") for i in range(4)] == [("cat",), ("dog",), ("cat", "dog"), ()]


def test_pixels_and_orientation(tmp_path):
    picture, _ = pixels(1)
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "a.png", np.ascontiguousarray(np.rot90(picture, 1)), exif=exif)
    save(tmp_path / "b.png", picture)
    adapter = folder(tmp_path, classes=["cat"], splits={"fractions": {"train": 1.0}})
    for key in "ab":
        sample = adapter.read(key, channels(adapter))
        assert sample.size == (48, 64)
        assert np.array_equal(sample.bands["rgb"], picture.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("mode", "suffix"), [("CMYK", "jpg"), ("P", "png"), ("L", "bmp"), ("LA", "png"), ("CMYK", "tif")]
)
def test_other_modes_become_red_green_and_blue(tmp_path, mode, suffix):
    image = Image.fromarray(pixels(1)[0]).convert(mode)
    image.save(tmp_path / f"a.{suffix}")
    adapter = folder(tmp_path, classes=["cat"], splits={"fractions": {"train": 1.0}})
    read = adapter.read("a", channels(adapter)).bands["rgb"]
    with Image.open(tmp_path / f"a.{suffix}") as stored:
        assert np.array_equal(read, np.asarray(stored.convert("RGB")).transpose(2, 0, 1))


def test_transparent_pixels_are_missing(tmp_path):
    values = np.full((8, 10, 4), 200, np.uint8)
    values[:3, :, 3] = 0
    save(tmp_path / "a.png", values)
    adapter = folder(tmp_path, classes=["cat"], splits={"fractions": {"train": 1.0}})
    missing = np.isnan(adapter.read("a", channels(adapter)).bands["rgb"])
    assert missing[:, :3].all() and not missing[:, 3:].any()


def test_bands_of_rasters(tmp_path):
    adapter = folder(deep(tmp_path, names=("red", "nir")), class_folders=True, splits=THIRDS)
    [sensor] = adapter.sensors
    assert (sensor.name, sensor.bands) == ("image", ("red", "nir"))
    assert adapter.read("s1", channels(adapter)).bands["image"].min() >= 20000, "in the file's own units"


def test_deep_png_is_not_cut_to_8_bits(tmp_path):
    values = np.arange(12 * 10, dtype=np.uint16).reshape(12, 10) * 500
    save(tmp_path / "a.png", values)
    adapter = folder(tmp_path, classes=["cat"], splits={"fractions": {"train": 1.0}})
    assert adapter.sensors[0].bands == ("B1",)
    assert np.array_equal(adapter.read("a", channels(adapter)).bands["image"][0], values)


def test_odd_pictures_are_named(tmp_path):
    deep(tmp_path)
    save(tmp_path / "dark" / "photo.png", pixels(1)[0])
    with pytest.raises(DataError, match=r"1 of 9 pictures have other bands .* dark/photo\.png \(red, green and blue\)"):
        folder(tmp_path, class_folders=True).splits()


def test_crops_are_parts_of_the_whole(tmp_path):
    options = {"images": "images", "masks": "masks", "classes": FOUR, "crop": 20, "splits": THIRDS}
    grid = folder(masked(tmp_path), **options)
    drawn = folder(tmp_path, crops_per_image=4, **options)
    for adapter, number in ((grid, 6), (drawn, 4)):
        [whole, *_] = adapter.whole("train")
        keys = [key for key in adapter.splits()["train"] if key.startswith(f"{whole}_r")]
        assert len(keys) == number
        assert len(adapter.splits()["val"]) == 6 * len(adapter.whole("val")), "random places in training alone"
        pixels_, mask = adapter.read(whole, channels(adapter)).bands["rgb"], adapter.read_mask(whole)
        for key in keys:
            row, column = (int(part[1:]) for part in key.rsplit("_", 2)[1:])
            area = (slice(row, row + 20), slice(column, column + 20))
            assert np.array_equal(adapter.read(key, channels(adapter)).bands["rgb"], pixels_[:, *area])
            assert np.array_equal(adapter.read_mask(key), mask[area])
            assert adapter.image_labels(key) is None
    again = folder(tmp_path, crops_per_image=4, **options)
    assert again.splits() == drawn.splits()


def test_a_picture_smaller_than_a_crop_is_named(tmp_path):
    masked(tmp_path)
    save(tmp_path / "images" / "small.png", np.zeros((30, 64, 3), np.uint8))
    adapter = folder(
        tmp_path, images="images", masks="masks", classes=FOUR, crop=32, splits={"fractions": {"train": 1.0}}
    )
    with pytest.raises(DataError, match=r"small\.png: is 30 x 64 pixels, smaller than data.crop = 32"):
        adapter.splits()


def test_masks_in_other_places(tmp_path):
    picture, mask = pixels(1, ("dog",))
    save(tmp_path / "among" / "a.jpg", picture)
    save(tmp_path / "among" / "a_mask.png", mask)
    save(tmp_path / "apart" / "cat" / "b.jpg", picture)
    save(tmp_path / "flat" / "b.png", mask)
    whole = {"classes": FOUR, "splits": {"fractions": {"train": 1.0}}}
    among = folder(tmp_path, images="among", masks="among", mask_suffix="_mask", **whole)
    assert among.splits() == {"train": ("a",)}
    assert np.array_equal(among.read_mask("a"), mask)
    assert np.array_equal(folder(tmp_path, images="apart", masks="flat", **whole).read_mask("b"), mask)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {0: 0, 1: 1, 2: 2, 255: 255}),
        ({"ignore": [2]}, {0: 0, 1: 1, 2: 255, 255: 255}),
        ({"codes": {0: "cat", 1: "nothing", 2: "cat", 255: "tree"}}, {0: 1, 1: 0, 2: 1, 255: 3}),
    ],
)
def test_values_of_masks(tmp_path, options, expected):
    values = np.array([[0, 1], [2, 255]], np.uint8)
    save(tmp_path / "images" / "a.png", np.zeros((2, 2, 3), np.uint8))
    save(tmp_path / "masks" / "a.png", values)
    data = {"images": "images", "masks": "masks", "classes": FOUR, "splits": {"fractions": {"train": 1.0}}}
    read = folder(tmp_path, **data, **options).read_mask("a")
    assert read.tolist() == [[expected[value] for value in row] for row in values.tolist()]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.full((48, 64), 9, np.uint8), r"unknown label codes 9"),
        (np.zeros((48, 60), np.uint8), r"is 48 x 60 pixels, its picture 48 x 64"),
        (pixels(1)[0], r"has colours; masks hold one number"),
    ],
)
def test_masks_that_do_not_fit(tmp_path, mask, message):
    save(tmp_path / "images" / "a.png", pixels(1)[0])
    save(tmp_path / "masks" / "a.png", mask)
    data = {"images": "images", "masks": "masks", "classes": FOUR, "splits": {"fractions": {"train": 1.0}}}
    with pytest.raises(DataError, match=rf"a\.png: {message}"):
        folder(tmp_path, **data).read_mask("a")


@pytest.mark.parametrize(
    ("name", "keep", "message"),
    [
        ("a.png", 0.0, r"is empty \(0 bytes\)"),
        ("a.png", 0.6, r"is no readable picture, truncated or damaged"),
        ("a.jpg", 1.0, r"masks cannot be JPEG, which changes their values"),
    ],
)
def test_damaged_masks_are_named(tmp_path, name, keep, message):
    save(tmp_path / "images" / "a.png", pixels(1)[0])
    noise = np.random.default_rng(0).integers(0, 3, (48, 64), dtype=np.uint8)
    path = save(tmp_path / "masks" / name, noise)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    data = {"images": "images", "masks": "masks", "classes": FOUR, "splits": {"fractions": {"train": 1.0}}}
    with pytest.raises(DataError, match=rf"{name}: {message}"):
        folder(tmp_path, **data).read_mask("a")


def test_a_mask_of_another_size_is_found_before_training(tmp_path):
    masked(tmp_path, number=4)
    data = {"images": "images", "masks": "masks", "classes": FOUR, "splits": {"fractions": {"train": 1.0}}}
    assert len(folder(tmp_path, **data).splits()["train"]) == 4
    save(tmp_path / "masks" / "2.png", np.zeros((48, 60), np.uint8))
    told = r"masks/2\.png: is 48 x 60 pixels, its picture 48 x 64; resize it to the size of 2\.png"
    with pytest.raises(DataError, match=told):
        folder(tmp_path, **data).prepare()


@pytest.mark.parametrize("folder_of", [class_folders, deep], ids=["8 bit", "16 bit"])
def test_files_of_several_pictures_are_counted_once(tmp_path, folder_of):
    folder_of(tmp_path)
    data = {"class_folders": True, "splits": THIRDS}
    [first_class, _] = folder(tmp_path, **data).classes.names
    if folder_of is deep:
        page = Image.fromarray(np.zeros((40, 56), np.uint16))
        for path in tmp_path.rglob("*.tif"):
            page.save(path)
    else:
        page = Image.fromarray(pixels(1)[0])
    for number in (1, 2):
        page.save(tmp_path / first_class / f"pages{number}.tif", save_all=True, append_images=[page] * number)
    adapter = folder(tmp_path, **data)
    assert adapter.notices == (), "nothing is read for a notice alone"
    adapter.prepare()
    name = f"{first_class}/pages1.tif"
    assert adapter.notices == (f"2 files hold several pictures ({name} has 2); only the first is used.",)


def test_overviews_are_no_pages(tmp_path):
    import rasterio

    path = save(tmp_path / "a.tif", np.zeros((600, 600, 3), np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "r+") as file:
            file.build_overviews([2, 4])
    adapter = folder(tmp_path, classes=["cat"], splits={"fractions": {"train": 1.0}})
    adapter.prepare()
    assert adapter.notices == ()


@pytest.mark.parametrize("dtype", ["complex64", "complex_int16"])
def test_complex_numbers_are_refused(tmp_path, dtype):
    import rasterio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", count=1, height=8, width=9, dtype=dtype) as file:
            file.write(np.ones((1, 8, 9), np.complex64))
    with pytest.raises(DataError, match=rf"a\.tif: holds complex numbers \({dtype}\), of which only the real part"):
        folder(tmp_path, classes=["cat"], splits={"fractions": {"train": 1.0}}).splits()


def test_masks_are_upright_as_their_own_exif_says_and_a_turned_picture_beside_a_plain_mask_is_named(tmp_path):
    picture, mask = pixels(1, ("dog",))
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = {"exif": exif}
    save(tmp_path / "images" / "a.png", np.ascontiguousarray(np.rot90(picture, 1)), **lying)
    save(tmp_path / "masks" / "a.png", np.ascontiguousarray(np.rot90(mask, 1)), **lying)
    data = {"images": "images", "masks": "masks", "classes": FOUR, "splits": {"fractions": {"train": 1.0}}}
    adapter = folder(tmp_path, **data)
    assert np.array_equal(adapter.read("a", channels(adapter)).bands["rgb"], picture.transpose(2, 0, 1))
    assert np.array_equal(adapter.read_mask("a"), mask)
    assert folder(tmp_path, **data).notices == (), "nothing is read for a notice alone"
    adapter.prepare()
    assert adapter.notices == (
        "1 pictures with masks, a.png first, are turned as their EXIF orientation says; their masks count as upright.",
    )
    save(tmp_path / "masks" / "a.png", np.ascontiguousarray(np.rot90(mask, 1)))
    with pytest.raises(
        DataError, match=r"is 64 x 48 pixels, its picture 48 x 64; turn it as EXIF turns a\.png, or save both upright"
    ):
        folder(tmp_path, **data).read_mask("a")


def test_palette_masks_hold_indices_and_grey_ones_in_colours_too(tmp_path):
    _, mask = pixels(1, ("dog",))
    palette = Image.fromarray(mask)
    palette.putpalette([0, 0, 0, 255, 0, 0, 9, 9, 9])
    (tmp_path / "masks").mkdir()
    palette.save(tmp_path / "masks" / "a.png", transparency=0)
    save(tmp_path / "masks" / "b.png", mask[..., None].repeat(3, axis=2))
    for name in "ab":
        save(tmp_path / "images" / f"{name}.png", pixels(1)[0])
    data = {"images": "images", "masks": "masks", "classes": FOUR, "splits": {"fractions": {"train": 1.0}}}
    adapter = folder(tmp_path, **data)
    assert np.array_equal(adapter.read_mask("a"), mask)
    assert np.array_equal(adapter.read_mask("b"), mask)


def test_splits_by_folders_lists_and_groups(tmp_path):
    for split, names in {"train": "ab", "val": "ac"}.items():
        for name in names:
            save(tmp_path / split / "x" / f"{name}.png", pixels(1)[0])
    adapter = folder(
        tmp_path, images="{split}/x", classes=["cat"], splits={"folders": {"train": "train", "val": "val"}}
    )
    assert adapter.splits() == {"train": ("b", "train_a"), "val": ("c", "val_a")}
    (tmp_path / "split.csv").write_text("image,split\nb.png,train\nc.png,val\n")
    assert folder(tmp_path, classes=["cat"], splits={"file": "split.csv"}).splits() == {"train": ("b",), "val": ("c",)}

    for number in range(12):
        save(tmp_path / "films" / f"film{number // 3}_{number}.png", pixels(number)[0])
    grouped = folder(tmp_path / "films", classes=["cat"], splits={**THIRDS, "group_pattern": r"^(film\d+)_"})
    films = {split: {key.split("_")[0] for key in keys} for split, keys in grouped.splits().items()}
    assert sum(map(len, films.values())) == 4, "no film is in two splits"


def test_fingerprint(tmp_path):
    options = {"class_folders": True, "splits": THIRDS}
    one = folder(class_folders(tmp_path), **options).fingerprint()
    assert folder(tmp_path, scenes="whole", **options).fingerprint() == one
    assert folder(tmp_path, background="none", **options).fingerprint() != one
    save(tmp_path / "cat" / "0.jpg", pixels(77)[0])
    os.utime(tmp_path / "cat" / "0.jpg", (1, 1))
    assert folder(tmp_path, **options).fingerprint() != one


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "name the classes, or where they come from"),
        ({"tags": "t.csv", "class_folders": True}, "give tags or class_folders, not both"),
        ({"tags": "t.csv", "crop": 8}, "say nothing of their crops"),
        ({"classes": ["a"], "crops_per_image": 2}, "crops_per_image needs crop"),
        ({"classes": ["a"], "codes": {0: "a"}}, "belong to masks"),
        ({"classes": ["a"], "masks": "m", "codes": {0: "b"}}, "codes name b, which classes lacks"),
        ({"classes": ["a"], "masks": "m", "codes": {0: "a"}, "ignore": [0]}, "in codes and ignore, or twice"),
        ({"classes": ["a"], "background": "b"}, "background 'b' is not one of a"),
        ({"classes": ["a", "a"]}, "class names repeat"),
        ({"classes": ["a;b"]}, "holds `;`"),
        ({"classes": ["a\nb"]}, "a control character or a line break"),
        ({"classes": ["a"], "images": "{split}/x"}, "belong together"),
        ({"classes": ["a"], "images": "../x"}, "below root"),
        ({"classes": ["a"], "negatives": ["x"]}, "negatives are class folders"),
        ({"classes": ["a"], "splits": {}}, "give one of folders, counts, fractions, file and lists, got none"),
        ({"classes": ["a"], "splits": {"fractions": {"train": 0.5}}}, "fractions sum to 0.5"),
        ({"classes": ["a"], "splits": {"folders": {"train": "t"}, "val_fraction": 0.1}}, "belongs to file and lists"),
        ({"classes": ["a"], "splits": {"folders": {"train": "t"}, "group_by": "x"}}, "group_by has no effect"),
        ({"classes": ["a"], "image_column": "x"}, "image_column and classes_column are columns of tags"),
    ],
)
def test_options_that_do_not_fit(tmp_path, options, message):
    with pytest.raises(ValidationError, match=message):
        folder(tmp_path, **options)


@pytest.mark.real_data
@pytest.mark.skipif("WSSS_TEST_DATA" not in os.environ, reason="WSSS_TEST_DATA is not set")
def test_camvid():
    adapter = folder(
        Path(os.environ["WSSS_TEST_DATA"]) / "natural" / "camvid",
        images="{split}/images",
        masks="{split}/masks",
        ignore=[11],
        classes=[f"class {number}" for number in range(11)],
        crop=168,
        splits={"folders": {"train": "train", "val": "val"}},
    )
    assert {split: len(adapter.whole(split)) for split in adapter.splits()} == {"train": 367, "val": 101}
    assert {split: len(keys) for split, keys in adapter.splits().items()} == {"train": 4 * 367, "val": 4 * 101}
    whole = adapter.whole("val")[0]
    mask = adapter.read_mask(whole)
    assert mask.shape == adapter.read(whole, channels(adapter)).size == (360, 480)
    assert set(np.unique(mask)) <= {*range(11), 255}
    assert np.array_equal(adapter.read_mask(f"{whole}_r168_c000"), mask[168:336, :168])
