"""One patient in one split: spellings of an ID, columns that look like one, pictures that two splits share."""

import shutil

import numpy as np
import pytest
from fake_endoscopy import draw_frame, frames_section, save, write_frames
from PIL import Image, ImageEnhance

from wsss_adapters.endoscopy.hyperkvasir import HyperKvasir
from wsss_adapters.endoscopy.hyperkvasir_options import HyperKvasirOptions
from wsss_adapters.folder.folder import Folder
from wsss_adapters.splits.divide import same_id
from wsss_adapters.splits.near_duplicates import alike_across
from wsss_toolkit.errors import DataError


def frames(root, **changes):
    return HyperKvasir(HyperKvasirOptions.model_validate(frames_section(root, **changes)))


def grouped(root, *patients, **rule):
    """Return the splits of frames whose patients a table names, in turn."""
    write_frames(root)
    names = sorted(path.stem for path in (root / "images").iterdir())
    rows = [f"{name},{patients[number % len(patients)]}" for number, name in enumerate(names)]
    (root / "who.csv").write_text("\n".join(["image,patient", *rows]), encoding="utf-8")
    rule = rule or {"group_by": "patient"}
    return frames(root, table="who.csv", splits={"fractions": {"train": 0.5, "test": 0.5}, **rule}).splits()


@pytest.mark.parametrize(
    "one, other",
    [
        ("P07", "p07"),
        ("P07", "P7"),
        ("7", "7.0"),
        ("P 7", "P7"),
        ("007", "7"),
        ("Ä1", "ä1"),
        ("\uff17", "7"),
        ("a\t1", "A 01"),
        ("P7\u200b", "P7"),
    ],
)
def test_two_spellings_of_an_id_are_refused(tmp_path, one, other):
    with pytest.raises(DataError) as caught:
        grouped(tmp_path, one, other, "Q3")
    line = str(caught.value)
    assert repr(one) in line and repr(other) in line and "who.csv" in line
    assert "differ only in case, blanks, leading zeros or .0; write one patient" in line


def test_ids_that_differ_are_patients(tmp_path):
    ids = ["1", "10", "100", "1.05", "1.5", "P1a"]
    assert len({same_id(value) for value in ids}) == len(ids)
    found = grouped(tmp_path, *ids)
    assert sum(map(len, found.values())) == 12


@pytest.mark.parametrize(("value", "said"), [("", "is empty"), ("nan", "holds 'nan'"), ("N/A", "holds 'N/A'")])
def test_a_patient_without_an_id_is_asked_for(tmp_path, value, said):
    with pytest.raises(DataError, match=rf"who\.csv: the column 'patient' {said} in a row; complete it"):
        grouped(tmp_path, "1", value, "2")


def test_groups_in_names_are_spelt_in_one_way_too(tmp_path):
    write_frames(tmp_path)
    first = sorted((tmp_path / "images").iterdir())[0]
    shutil.copy(first, tmp_path / "images" / "Case1_99.png")
    rule = {"fractions": {"train": 0.5, "test": 0.5}, "group_pattern": r"^([Cc]ase\d+)_"}
    with pytest.raises(DataError, match="'Case1' and 'case01' in the images' names differ only in case"):
        frames(tmp_path, splits=rule).splits()


def write(folder, seed, name, bright=1.0, **options):
    picture = Image.fromarray(draw_frame(seed, 96, 128))
    return save(np.asarray(ImageEnhance.Brightness(picture).enhance(bright)), folder / name, **options)


def test_pictures_that_two_splits_share(tmp_path):
    train = {f"{seed}.png": write(tmp_path / "train", seed, f"{seed}.png") for seed in range(6)}
    test = {f"{seed}.png": write(tmp_path / "test", seed, f"{seed}.png") for seed in range(20, 24)}
    apart = {name: path for name, path in test.items()}
    assert alike_across({"train": {"0.png": train["0.png"]}, "test": {}}) == ()
    before = alike_across({"train": train, "test": apart})
    shutil.copy(train["1.png"], tmp_path / "test" / "again.png")
    test["again.png"] = tmp_path / "test" / "again.png"
    [said] = [line for line in alike_across({"train": {"1.png": train["1.png"]}, "test": {"a": test["again.png"]}})]
    assert said.startswith("1 pair of images in train and test is the same file, 1.png and a;")
    test["bright.jpg"] = write(tmp_path / "test", 2, "bright.jpg", 0.9, quality=80)
    [said] = alike_across({"train": {"2.png": train["2.png"]}, "test": {"bright.jpg": test["bright.jpg"]}})
    assert "is nearly the same, 2.png and bright.jpg;" in said and "similarity: 0.98" in said
    assert before == alike_across({"train": train, "test": apart}), "what lies in one split alone is no matter"
    assert alike_across({"train": {**train, "more": train["1.png"]}}) == ()
    (tmp_path / "test" / "broken.png").write_bytes(b"no picture")
    assert alike_across({"train": {}, "test": {"broken.png": tmp_path / "test" / "broken.png"}}) == ()


def test_pictures_of_16_bits_are_compared_by_what_they_show(tmp_path):
    grey = [np.asarray(Image.fromarray(draw_frame(seed, 96, 128)).convert("L")) for seed in (1, 2)]
    paths = [save(each.astype(np.uint16) * 257, tmp_path / f"{n}.png") for n, each in enumerate(grey)]
    bright = save((grey[0] * 230.0).astype(np.uint16), tmp_path / "bright.png")
    assert alike_across({"train": {"a": paths[0]}, "test": {"b": paths[1]}}) == ()
    [said] = alike_across({"train": {"a": paths[0]}, "test": {"c": bright}})
    assert "1 pair of images in train and test is nearly the same, a and c;" in said


def test_adapters_compare_their_splits(tmp_path):
    for split, seeds in (("train", (0, 1, 2)), ("val", (7, 2))):
        for seed in seeds:
            write(tmp_path / split / f"class{seed % 2}", seed, f"{seed}.png")
    section = {"adapter": "folder", "root": tmp_path, "images": "{split}", "class_folders": True}
    options = Folder.Options.model_validate({**section, "splits": {"folders": {"train": "train", "val": "val"}}})
    [said] = Folder(options).alike_across_splits()
    assert "the same file" in said and "train/class0/2.png and val/class0/2.png" in said
    write_frames(tmp_path / "frames")
    names = sorted(path.name for path in (tmp_path / "frames" / "images").iterdir())
    shutil.copy(tmp_path / "frames" / "images" / names[0], tmp_path / "frames" / "images" / "copy.png")
    shutil.copy(tmp_path / "frames" / "masks" / names[0], tmp_path / "frames" / "masks" / "copy.png")
    lists = {"train": [names[0][:-4]], "test": ["copy"]}
    [said] = frames(tmp_path / "frames", splits={"lists": lists}).alike_across_splits()
    assert "1 pair of images in train and test is the same file" in said
