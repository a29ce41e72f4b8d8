"""The adapter for endoscopic frames: three layouts, labels, masks, reading."""

import os
import re
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import yaml
from fake_endoscopy import (
    draw_frame,
    draw_mask,
    draw_tissue,
    frames_section,
    load,
    save,
    write_frames,
    write_hyperkvasir,
    write_kvasir_seg,
)
from PIL import Image
from pydantic import ValidationError

from wsss_adapters.endoscopy.hyperkvasir import HyperKvasir
from wsss_adapters.endoscopy.hyperkvasir_classes import LOWER_GI, ClassNames, hyperkvasir_table
from wsss_adapters.endoscopy.hyperkvasir_options import HyperKvasirOptions
from wsss_adapters.pictures.decoding import decode_picture, picture_size
from wsss_toolkit.domain import ChannelTable, Code, SceneAdapter, Sensor
from wsss_toolkit.domain.adapter import AugmentingAdapter, LabelledAdapter, find_adapter
from wsss_toolkit.domain.contract import check_adapter
from wsss_toolkit.errors import DataError

RGB = ChannelTable((Sensor("rgb", ("R", "G", "B")),))


def adapter(section):
    return HyperKvasir(HyperKvasirOptions.model_validate(section))


def frames(root, **changes):
    return adapter(frames_section(root, **changes))


def hyperkvasir(root, **changes):
    fractions = {"train": 0.5, "val": 0.25, "test": 0.25}
    return adapter({"adapter": "hyperkvasir", "root": root, "splits": {"fractions": fractions}, **changes})


def by_label(found):
    keys = [key for split in found.splits().values() for key in split]
    return {key: found.image_labels(key) for key in keys}


def test_it_is_found_and_can_do_what_the_core_looks_for(tmp_path):
    kind = find_adapter("hyperkvasir")
    made = kind(kind.Options.model_validate(frames_section(tmp_path)))
    assert all(isinstance(made, protocol) for protocol in (SceneAdapter, LabelledAdapter, AugmentingAdapter))


def test_contract_of_frames(tmp_path):
    check_adapter(frames(write_frames(tmp_path / "data")), tmp_path / "masks", read_written=load)


def test_contract_of_hyperkvasir(tmp_path):
    check_adapter(hyperkvasir(write_hyperkvasir(tmp_path / "data")), tmp_path / "masks", read_written=load)


@pytest.mark.parametrize("borders", ["mask", "keep"])
def test_contract_of_kvasir_seg(tmp_path, borders):
    root = write_kvasir_seg(tmp_path / "data")
    made = hyperkvasir(root, borders=borders, cache="memory")
    assert made.classes.names == ("background", "polyps")
    check_adapter(made, tmp_path / "masks", read_written=load)


def test_frames_are_read_upright_with_rows_first(tmp_path):
    """An asymmetric picture, stored on its side, comes as it is looked at."""
    pixels = draw_tissue(3, 40, 64)
    pixels[:5] = [250, 10, 20]
    plain = save(pixels, tmp_path / "plain.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    turned = save(np.ascontiguousarray(np.rot90(pixels)), tmp_path / "turned.png", exif=exif)
    for path in (plain, turned):
        assert np.array_equal(decode_picture(path).pixels, pixels), path.name
        assert picture_size(path) == (40, 64), path.name


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_frames_of_any_mode_come_as_colours(tmp_path, mode):
    with Image.fromarray(draw_tissue(1)) as picture:
        other = picture.convert(mode)
    path = tmp_path / ("frame.tif" if mode == "CMYK" else "frame.png")
    other.save(path)
    assert np.array_equal(decode_picture(path).pixels, np.asarray(other.convert("RGB")))


def test_pixels_outside_the_field_of_view_are_missing_and_unlabelled(tmp_path):
    root = write_frames(tmp_path)
    key = "case00_00"
    masked, whole = frames(root), frames(root, borders="keep")
    bands = masked.read(key, RGB).bands["rgb"]
    outside = np.isnan(bands).any(axis=0)
    assert 0.1 < outside.mean() < 0.5
    assert np.array_equal(whole.read(key, RGB).bands["rgb"][:, ~outside], bands[:, ~outside])
    assert (masked.read_mask(key)[outside] == 255).all()
    truth = load(root / "masks" / f"{key}.png")
    assert np.array_equal(masked.read_mask(key)[~outside], truth[~outside])
    assert np.array_equal(whole.read_mask(key), truth)
    assert (masked.mask_borders, whole.mask_borders) == (True, False)


def test_binary_masks_are_cut_at_128(tmp_path):
    root = write_frames(tmp_path, 2)
    grey = np.tile(np.array([[0, 127, 128, 255]], np.uint8), (50, 16))
    save(grey, root / "masks" / "case00_00.png")
    made = frames(root, mask_class="hyperplastic", borders="keep", splits={"counts": {"train": 1, "test": 1}})
    assert made.read_mask("case00_00")[0, :4].tolist() == [0, 0, 2, 2]


def test_hyperkvasir_has_the_paper_s_16_classes_and_leaves_out_the_upper_tract(tmp_path):
    found = hyperkvasir(write_hyperkvasir(tmp_path))
    assert len(found.classes.label_names) == 16
    assert found.classes.codes[found.classes.names.index("polyps")] == Code("68496003", "SCT", "Polyp of colon")
    labels = by_label(found)
    assert set(labels.values()) == {("polyps",), ("hemorrhoids",), ("cecum",), ("bbps-2-3",)}
    assert len(labels) == 4 * 6 + 2, "one outlined image is a labelled one, two are further polyps"


def test_outlined_polyps_have_masks_and_others_are_of_unknown_content(tmp_path):
    found = hyperkvasir(write_hyperkvasir(tmp_path))
    polyps = found.classes.names.index("polyps")
    for key in ("0000-0000", "cju0qkwl", "cju1b75x"):
        assert set(np.unique(found.read_mask(key))) == {0, polyps, 255}
        assert found.image_labels(key) == ("polyps",)
    for key in ("0000-0001", "0002-0000"):
        assert found.read_mask(key) is None


def test_classes_that_mean_absence_have_empty_masks(tmp_path):
    found = hyperkvasir(write_hyperkvasir(tmp_path), absent=["normal-cecum"])
    assert set(np.unique(found.read_mask("0002-0000"))) == {0, 255}
    assert found.read_mask("0003-0000") is None, "a class that is not named stays unknown"
    assert found.read_mask("0000-0001") is None, "a polyp without an outline is not empty"


def test_negatives_have_an_empty_label_and_other_known_classes_are_left_out(tmp_path):
    classes = [{"name": "background", "color": "#000000"}, {"name": "Polyp", "color": "#ff0000"}]
    found = hyperkvasir(write_hyperkvasir(tmp_path), classes=classes, negatives=["Cecum"], absent=["cecum"])
    labels = by_label(found)
    assert set(labels.values()) == {("Polyp",), ()}
    assert {key for key, label in labels.items() if label == ()} == {f"0002-{n:04d}" for n in range(6)}
    assert set(np.unique(found.read_mask("0002-0001"))) == {0, 255}
    assert set(np.unique(found.read_mask("cju0qkwl"))) == {0, 1, 255}


def test_class_folders_of_frames_give_labels_by_name_or_alias(tmp_path):
    for number, folder in enumerate(("Adenoma", "tubular adenoma", "normal mucosa")):
        save(draw_frame(number), tmp_path / "images" / folder / "0001.png")
    save(draw_frame(9), tmp_path / "images" / "0002.png")
    made = frames(
        tmp_path,
        masks=None,
        aliases={"tubular_adenoma": "adenoma"},
        negatives=["Normal mucosa"],
        splits={"counts": {"train": 2, "test": 2}},
    )
    assert by_label(made) == {
        "0002": None,
        "Adenoma_0001": ("adenoma",),
        "normal-mucosa_0001": (),
        "tubular-adenoma_0001": ("adenoma",),
    }
    pixels = made.read("tubular-adenoma_0001", RGB).bands["rgb"]
    assert np.array_equal(np.nan_to_num(pixels), np.nan_to_num(draw_frame(1).transpose(2, 0, 1).astype(np.float32)))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Ulcerative colitis grade 0-1", "ulcerative-colitis-grade-0-1"),
        ("ulcerative-colitis-3", "ulcerative-colitis-grade-3"),
        ("BBPS 2-3", "bbps-2-3"),
        ("normal-cecum", "cecum"),
        ("Polyp", "polyps"),
    ],
)
def test_usual_spellings_are_known(name, expected):
    assert ClassNames(hyperkvasir_table()).find(name) == (expected, (expected,))
    assert set(hyperkvasir_table().label_names) == set(LOWER_GI)


def test_names_beyond_ascii_are_names(tmp_path):
    """Frames whose names have nothing in ASCII but a number, masks named by another program, classes in Chinese."""
    for name in ("息肉0", "结肠0", "Polype à gauche"):
        save(draw_tissue(0, 48, 64), tmp_path / "images" / f"{name}.png")
        save(draw_mask(0), tmp_path / "masks" / f"{unicodedata.normalize('NFD', name)}.png")
    found = frames(tmp_path, splits={"lists": {"train": ["息肉0", "Polype à gauche"], "val": ["结肠0"]}})
    keys = [key for split in found.splits().values() for key in split]
    assert len(set(keys)) == 3 and [key for key in keys if key.startswith("Polype-a-gauche-")]
    assert all(found.read_mask(key) is not None for key in keys)
    shutil.rmtree(tmp_path / "images")
    for number, name in enumerate(("息肉", "结肠", "正常")):
        save(draw_tissue(number, 48, 64), tmp_path / "images" / name / f"{number}.png")
    classes = [{"name": name, "color": color} for name, color in (("background", "#000000"), ("息肉", "#ff0000"))]
    section = {"classes": [*classes, {"name": "结肠", "color": "#00ff00"}], "negatives": ["正常"]}
    found = frames(tmp_path, masks=None, splits={"fractions": {"train": 1.0}}, **section)
    assert [found.image_labels(key) for key in ("0", "1", "2")] == [("息肉",), ("结肠",), ()]


def test_a_cache_changes_nothing_but_the_number_of_reads(tmp_path):
    root = write_frames(tmp_path)
    plain, cached = frames(root), frames(root, cache="memory", cache_mb=1)
    assert plain.fingerprint() == cached.fingerprint()
    first = cached.read("case00_00", RGB).bands["rgb"]
    first[:] = -1  # must not reach what is kept
    (root / "images" / "case00_00.png").unlink()
    again = cached.read("case00_00", RGB).bands["rgb"]
    assert np.nanmin(again) >= 0
    with pytest.raises(DataError, match="no such file"):
        plain.read("case00_00", RGB)


def test_a_full_cache_keeps_what_it_has_and_goes_on_reading(tmp_path):
    for name in ("a", "b", "c"):
        save(draw_tissue(1, 400, 500), tmp_path / "images" / f"{name}.png")
    made = frames(tmp_path, masks=None, cache="memory", cache_mb=1, splits={"counts": {"train": 2, "test": 1}})
    for key in ("a", "b", "c"):
        assert made.read(key, RGB).size == (400, 500)
    assert [path.stem for path in made._cache._kept] == ["a"], "0.8 MB fit once"


def test_the_fingerprint_follows_files_and_options(tmp_path):
    root = write_frames(tmp_path)
    first = frames(root).fingerprint()
    assert frames(root, borders="keep").fingerprint() != first
    save(draw_frame(77, 50), root / "images" / "case00_00.png")
    assert frames(root).fingerprint() != first


def test_masks_are_written_in_the_classes_colours(tmp_path):
    made = frames(write_frames(tmp_path / "data"))
    mask = load(tmp_path / "data" / "masks" / "case00_00.png")
    written = made.write_mask(tmp_path / "out" / "case00_00", "case00_00", mask, None, {"RUN": "x"})
    with Image.open(written) as picture:
        assert picture.mode == "P" and picture.getpalette()[3:6] == [0xD6, 0x27, 0x28]
        assert picture.info["CLASS_1"] == "adenoma"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": None}, "needs `classes`"),
        ({"mask_class": "polyp"}, "mask_class 'polyp' is not one of adenoma, hyperplastic"),
        ({"background": "nothing"}, "background 'nothing' is not one of"),
        ({"negatives": ["Adenoma"]}, "'adenoma' is a class"),
        ({"layout": "kvasir_seg"}, "`masks` belongs to `layout: frames`"),
        ({"maks": "masks"}, "Extra inputs"),
        ({"augment": {"rotat": 5}}, "Extra inputs"),
    ],
)
def test_options_that_contradict_each_other_are_refused(tmp_path, changes, message):
    with pytest.raises(ValidationError, match=message):
        HyperKvasirOptions.model_validate(frames_section(tmp_path, **changes))


def test_the_data_sections_of_the_documentation_are_valid():
    page = (Path(__file__).parents[2] / "docs" / "endoscopy.md").read_text()
    sections = [yaml.safe_load(block)["data"] for block in re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)]
    assert len(sections) == 2
    for section in sections:
        HyperKvasirOptions.model_validate(section)


@pytest.mark.real_data
def test_real_frames(tmp_path):
    if "WSSS_TEST_DATA" not in os.environ:
        pytest.skip("WSSS_TEST_DATA is not set")
    root = Path(os.environ["WSSS_TEST_DATA"]) / "endoscopy" / "neopolyp"
    counts = {"train": 650, "val": 100, "test": 250}
    made = frames(root, masks="masks_index", splits={"counts": counts, "similarity": 0.98})
    check_adapter(made, tmp_path, read_written=load)
    assert {split: len(keys) for split, keys in made.splits().items()} == counts
    # Two of the exact duplicates among the 1,000 frames.
    twins = [("04ccdc265a0b0a1230b118fa8625605d", "3387fd56c04414eaa922bca73d5379c7")]
    owners = {key: split for split, keys in made.splits().items() for key in keys}
    for one, other in twins:
        assert owners[one] == owners[other]
