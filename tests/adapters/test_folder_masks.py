"""Masks of a folder that are not what the recipe takes them for: refused with the remedy, or read by their colours."""

import numpy as np
import pytest
from click.testing import CliRunner
from fake_folders import folder, pixels, save
from PIL import Image

from wsss_adapters.folder.look import look
from wsss_adapters.folder.options import FolderOptions
from wsss_toolkit.cli import cli
from wsss_toolkit.domain.fingerprint import Changes, settings
from wsss_toolkit.errors import DataError

ALL = {"fractions": {"train": 1.0}}
TABLE = {"#000000": "background", "#dc3c28": "cat", "#2850dc": "dog"}
COLORS = np.array([[0, 0, 0], [0xDC, 0x3C, 0x28], [0x28, 0x50, 0xDC]], np.uint8)
SHOWN = [("cat",), ("dog",), ("cat", "dog"), ()]


def write(root, draw, number=12):
    """Write pictures, tags, and the masks that `draw` makes of values 0 to 2; return these."""
    rows = ["image,classes"]
    masks = []
    for i in range(number):
        picture, mask = pixels(i, SHOWN[i % 4])
        save(root / "images" / f"{i}.png", picture)
        (root / "masks").mkdir(exist_ok=True)
        draw(i, mask).save(root / "masks" / f"{i}.png")
        rows.append(f"{i},{';'.join(SHOWN[i % 4])}")
        masks.append(mask)
    (root / "tags.csv").write_text("\n".join(rows))
    return masks


def adapter(root, **options):
    classes = {"classes": ["background", "cat", "dog"], "background": "background"}
    return folder(root, images="images", masks="masks", splits=ALL, **{**classes, **options})


def colored(_, mask):
    return Image.fromarray(COLORS[mask])


def palette(order):
    """Return a mask whose numbers stand for colours in an order of its own."""

    def draw(number, mask):
        places = order(number)
        image = Image.fromarray(np.argsort(places)[mask].astype(np.uint8))
        image.putpalette(COLORS[places].tobytes())
        return image

    return draw


def rotating(number):
    return np.roll(np.arange(3), number)


def test_0_and_255_are_not_a_class_and_void(tmp_path):
    write(tmp_path, lambda _, mask: Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)))
    with pytest.raises(DataError, match=r"masks: masks hold 0 and 255 alone.* data.codes: \{0: background, 255: cat\}"):
        adapter(tmp_path, classes=["background", "cat"]).read_mask("0")
    codes = {0: "background", 255: "cat"}
    assert set(np.unique(adapter(tmp_path, classes=["background", "cat"], codes=codes).read_mask("0"))) == {0, 1}
    # A recipe that says so may have masks of nothing but void.
    assert 255 in adapter(tmp_path, ignore=[255]).read_mask("0")


@pytest.mark.parametrize("order", [rotating, lambda number: np.array([[0, 1, 2], [0, 2, 1]][number % 2])])
def test_palettes_of_several_orders_are_refused_or_read_by_color(tmp_path, order):
    masks = write(tmp_path, palette(order))
    with pytest.raises(
        DataError, match=r"masks/\d+\.png: palettes differ: .*; save all with one palette, or say which"
    ):
        adapter(tmp_path).read_mask("0")
    read = adapter(tmp_path, codes=TABLE)
    assert all(np.array_equal(read.read_mask(str(i)), mask) for i, mask in enumerate(masks))


def test_one_palette_and_grey_ones_are_read(tmp_path):
    def draw(number, mask):
        image = Image.fromarray(mask)
        image.putpalette((COLORS if number % 2 else np.repeat(np.arange(3, dtype=np.uint8)[:, None], 3, 1)).tobytes())
        return image

    masks = write(tmp_path, draw)
    assert np.array_equal(adapter(tmp_path).read_mask("2"), masks[2])


def test_colors_are_read_by_the_recipes_table(tmp_path):
    masks = write(tmp_path, colored)
    with pytest.raises(DataError, match=r"has colours; .*say which class each colour is \(data.codes: "):
        adapter(tmp_path).read_mask("0")
    assert np.array_equal(adapter(tmp_path, codes=TABLE).read_mask("2"), masks[2])
    void = adapter(tmp_path, codes={k: v for k, v in TABLE.items() if v != "dog"}, ignore=["#2850dc"])
    assert np.array_equal(void.read_mask("1"), np.where(masks[1] == 2, 255, masks[1]))
    part = adapter(tmp_path, codes={k: v for k, v in TABLE.items() if v != "dog"})
    with pytest.raises(
        DataError, match=r"1\.png: holds colours that data.codes lacks, in \d+\.\d+% of its .*: #2850dc; add"
    ):
        part.read_mask("1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"codes": {"#000000": "background", 1: "cat"}}, "numbers or colours, not both"),
        ({"ignore": ["#000000"]}, "colours to ignore need codes"),
        (
            {"codes": TABLE, "ignore": ["#000000"]},
            "mask values #000000 are in codes and ignore, or twice in one of them",
        ),
        ({"codes": {"#ff0000": "cat", "#FF0000": "dog"}}, "mask values #ff0000 are in codes and ignore, or twice"),
        ({"codes": {"red": "cat"}}, "codes"),
    ],
)
def test_tables_that_make_no_sense(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        adapter(tmp_path, **options)


@pytest.mark.parametrize("tags", [True, False])
def test_the_tables_of_exports_are_found(tmp_path, tags):
    masks = write(tmp_path, colored)
    if not tags:
        (tmp_path / "tags.csv").unlink()
    (tmp_path / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:220,60,40::\ndog:40,80,220::\n"
    )
    starter = look(tmp_path, None)
    assert starter.data["codes"] == TABLE and starter.data["background"] == "background"
    data = {key: value for key, value in starter.data.items() if key != "crop"}
    assert np.array_equal(folder(**data).read_mask("2"), masks[2])
    (tmp_path / "labelmap.txt").unlink()
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nbackground,0,0,0\ncat,220,60,40\n")
    if not tags:
        with pytest.raises(
            DataError,
            match=r"holds colours that class_dict.csv lacks, .*: #2850dc; add them there; void is",
        ):
            look(tmp_path, None)


def test_roboflows_values_of_masks_are_found(tmp_path):
    for split in ("train", "valid"):
        for i in range(6):
            picture, mask = pixels(i, SHOWN[i % 4])
            save(tmp_path / split / f"{i}{split}.jpg", picture)
            save(tmp_path / split / f"{i}{split}_mask.png", mask)
        (tmp_path / split / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, cat\n2, dog\n")
    starter = look(tmp_path, None)
    assert starter.data["codes"] == {0: "background", 1: "cat", 2: "dog"}


def test_how_masks_are_read_changes_no_training(tmp_path):
    write(tmp_path, colored)
    plain, by_color = (adapter(tmp_path, **options).fingerprint() for options in ({}, {"codes": TABLE}))
    assert plain.options == by_color.options and plain.truth != by_color.truth
    assert set(by_color.truth) == {"masks", "codes"}
    options = FolderOptions(adapter="folder", root=tmp_path, classes=("a", "b"), masks="masks")
    assert "masks" not in settings(options) and settings(options, frozenset({Changes.TRUTH})) == {"masks": "masks"}


RECIPE = """\
name: r
data:
  adapter: folder
  root: .
  images: images
  masks: masks
  tags: tags.csv
  classes: [background, cat, dog, bird]
  background: background
  splits: {fractions: {train: 0.5, val: 0.5}}
channels: {rgb: {bands: all, scale: imagenet}}
labels: {source: dataset}
model: {backbone: vit_tiny_patch16_224, weights: none, image_size: 32, patch_size: 16, depth: 1}
train: {epochs: 1, batch_size: 4, lr: 1.0e-3}
pseudo_masks: {splits: [train, val], classes: predicted, assign: argmax, background: threshold}
segmentation: null
evaluation: {pseudo_masks: [train, val], segmentation: []}
export: {splits: []}
"""


def test_check_counts_contradictions_and_refuses_what_evaluation_would(tmp_path, monkeypatch, adapters):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, lambda _, mask: Image.fromarray(mask + 1))  # values from 1: background is 1
    (tmp_path / "r.yaml").write_text(RECIPE)
    found = CliRunner().invoke(cli, ["check", "r.yaml"])
    assert found.exit_code == 0 and "warning: masks contradict the labels of class 'cat': " in found.output
    write(tmp_path, lambda _, mask: Image.fromarray(mask))
    found = CliRunner().invoke(cli, ["check", "r.yaml"])
    assert found.exit_code == 0 and "contradict" not in found.output
    write(tmp_path, colored)
    found = CliRunner().invoke(cli, ["check", "r.yaml"])
    assert found.exit_code == 1 and "has colours" in found.output


def check(tmp_path, monkeypatch, recipe=RECIPE):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text(recipe)
    return CliRunner().invoke(cli, ["check", "r.yaml"])


def test_masks_without_background_or_without_a_label_are_said(tmp_path, monkeypatch, adapters):
    """The background was 3, which `ignore` left out; nothing beside objects was scored."""
    write(tmp_path, lambda _, mask: Image.fromarray(np.where(mask == 0, 3, mask).astype(np.uint8)))
    recipe = RECIPE.replace("  tags:", "  ignore: [3]\n  tags:").replace(", bird]", "]")
    found = check(tmp_path, monkeypatch, recipe)
    assert found.exit_code == 0 and "warning: none of 9 masks holds the background, 'background': " in found.output
    write(tmp_path, lambda _, mask: Image.fromarray(np.full_like(mask, 3)))
    found = check(tmp_path, monkeypatch, recipe)
    assert "warning: none of 12 masks holds a labelled pixel, so that nothing is scored; check" in found.output
    write(tmp_path, lambda _, mask: Image.fromarray(mask))
    assert "none of" not in check(tmp_path, monkeypatch, recipe).output


def test_many_faults_of_a_kind_are_one_line(tmp_path, monkeypatch, adapters):
    """Each mask had a line, with colours as numbers of seven digits."""
    write(tmp_path, colored)
    recipe = RECIPE.replace("  tags:", '  codes: {"#000000": background, "#dc3c28": cat}\n  tags:')
    found = check(tmp_path, monkeypatch, recipe)
    [line] = [line for line in found.stderr.splitlines() if line.startswith("error")]
    assert ".png: holds colours that data.codes lacks, in " in line and ": #2850dc, and 5 more like it: " in line
    assert line.endswith("; add them there, or to data.ignore if they mean void")


def test_smoothed_edges_are_told_from_colors_that_a_table_lacks(tmp_path):
    write(tmp_path, lambda _, mask: colored(_, mask).resize((30, 20)).resize((64, 48), Image.Resampling.BILINEAR))
    with pytest.raises(DataError, match=r"#\w{6} and \d+ more; smoothed edges, a resized mask or JPEG make colours"):
        adapter(tmp_path, codes=TABLE).read_mask("0")


def test_void_in_a_table_of_colors_is_left_out(tmp_path):
    def draw(_, mask):
        image = COLORS[mask]
        image[:2] = (224, 224, 192)
        return Image.fromarray(image)

    write(tmp_path, draw)
    (tmp_path / "labelmap.txt").write_text("background:0,0,0::\ncat:220,60,40::\ndog:40,80,220::\nVoid:224,224,192::\n")
    starter = look(tmp_path, None)
    assert starter.data["ignore"] == ["#e0e0c0"] and starter.classes == ("cat", "dog")
    assert not any("not read" in sentence for sentence in starter.found)
    assert (folder(**starter.data).read_mask("2")[:2] == 255).all()


def test_labelmes_list_of_classes_has_one_that_is_none(tmp_path):
    write(tmp_path, lambda _, mask: Image.fromarray(mask))
    (tmp_path / "classes.txt").write_text("__ignore__\n_background_\ncat\ndog\n")
    starter = look(tmp_path, None)
    assert [entry["name"] for entry in starter.data["classes"]] == ["_background_", "cat", "dog"]


def test_init_says_what_of_masks_is_not_scored(tmp_path):
    write(tmp_path, lambda _, mask: Image.fromarray(mask))
    (tmp_path / "masks" / "3.png").unlink()
    assert any(
        "masks for 11 of 12 pictures: a split is scored where" in sentence for sentence in look(tmp_path, None).found
    )
    write(tmp_path, colored)
    found = look(tmp_path, None)
    assert any("masks are not used: " in sentence and "has colours" in sentence for sentence in found.found)
    assert found.truth == () and found.classes == ("cat", "dog")
    (tmp_path / "tags.csv").unlink()
    write_values = np.array([0, 127, 255], np.uint8)
    write(tmp_path, lambda _, mask: Image.fromarray(write_values[mask]))
    (tmp_path / "tags.csv").unlink()
    assert any("0, 127, 255 (255 counts as not labelled; if" in sentence for sentence in look(tmp_path, None).found)
