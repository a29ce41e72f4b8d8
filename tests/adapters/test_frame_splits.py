"""Splits: exact where frames are alone, whole groups, even classes, official files."""

from collections import Counter

import numpy as np
import pytest
from fake_endoscopy import FOLDERS, draw_frame, frames_section, load, save, write_frames, write_hyperkvasir
from pydantic import ValidationError

from wsss_adapters.endoscopy.hyperkvasir import HyperKvasir
from wsss_adapters.endoscopy.hyperkvasir_options import HyperKvasirOptions
from wsss_adapters.splits.draw import divide_groups, divide_keys, wanted_counts
from wsss_adapters.splits.near_duplicates import linked, similar_groups
from wsss_toolkit.errors import DataError


def splits_of(section):
    return HyperKvasir(HyperKvasirOptions.model_validate(section)).splits()


def frame_splits(root, **rule):
    return splits_of(frames_section(root, splits=rule))


def sizes(splits):
    return {split: len(keys) for split, keys in splits.items()}


def test_counts_are_exact_where_frames_are_alone():
    keys = [f"{number:03d}" for number in range(100)]
    strata = {key: "rare" if key < "007" else "common" for key in keys}
    counts = {"train": 61, "val": 13, "test": 17}
    divided = divide_groups([[key] for key in keys], strata, counts, seed=3)
    assert sizes(divided) == counts
    assert len({key for found in divided.values() for key in found}) == 91
    assert all(list(found) == sorted(found) for found in divided.values())
    rare = Counter(split for split, found in divided.items() for key in found if strata[key] == "rare")
    assert rare["train"] in (4, 5) and rare["val"] in (0, 1, 2) and rare["test"] in (1, 2)


def test_groups_stay_whole_and_sizes_near():
    generator = np.random.default_rng(0)
    groups = [[f"{g:02d}_{i}" for i in range(n)] for g, n in enumerate(generator.integers(1, 9, 60))]
    strata = {key: int(key[:2]) % 3 for group in groups for key in group}
    counts = wanted_counts(len(strata), {"train": 0.6, "val": 0.15, "test": 0.25})
    divided = divide_groups(groups, strata, counts, seed=0)
    owners = {key: split for split, keys in divided.items() for key in keys}
    assert len(owners) == len(strata)
    assert all(len({owners[key] for key in group}) == 1 for group in groups)
    assert all(abs(len(divided[split]) - counts[split]) <= 2 for split in counts)
    totals = Counter(strata.values())
    for split, keys in divided.items():
        for stratum, number in Counter(strata[key] for key in keys).items():
            assert abs(number - totals[stratum] * counts[split] / len(strata)) <= 4, (split, stratum)


def test_the_seed_alone_decides():
    keys = [f"{number:02d}" for number in range(40)]
    strata = dict.fromkeys(keys, None)
    counts = {"train": 30, "test": 10}
    one = divide_groups([[key] for key in keys], strata, counts, seed=1)
    assert one == divide_groups([[key] for key in reversed(keys)], strata, counts, seed=1)
    assert one != divide_groups([[key] for key in keys], strata, counts, seed=2)


@pytest.mark.parametrize("number", [3, 4, 10])
def test_every_split_gets_a_frame_where_there_are_enough(number):
    counts = wanted_counts(number, {"train": 0.9, "val": 0.05, "test": 0.05})
    assert sum(counts.values()) == number and min(counts.values()) >= 1


def test_frames_of_one_group_of_the_name_stay_together(tmp_path):
    found = frame_splits(write_frames(tmp_path), fractions={"train": 0.5, "test": 0.5}, group_pattern=r"^(case\d+)_")
    owners = {key: split for split, keys in found.items() for key in keys}
    assert all(owners[f"case{n:02d}_{2 * n:02d}"] == owners[f"case{n:02d}_{2 * n + 1:02d}"] for n in range(6))
    assert sizes(found) == {"train": 6, "test": 6}
    with pytest.raises(
        DataError, match=r"case00_00\.png: the name 'case00_00' does not match data.splits.group_pattern"
    ):
        frame_splits(tmp_path, fractions={"train": 0.5, "test": 0.5}, group_pattern=r"^(patient\d+)_")


def test_frames_of_one_value_of_a_column_stay_together(tmp_path):
    root = write_frames(tmp_path)
    rows = [f"case{n // 2:02d}_{n:02d}.png;p{n % 3}" for n in range(12)]
    (root / "who.csv").write_text("\n".join(["image;patient", *rows]))
    rule = {"counts": {"train": 8, "test": 4}, "group_by": "patient"}
    found = splits_of(frames_section(root, table="who.csv", splits=rule))
    patients = {split: {int(key[-2:]) % 3 for key in keys} for split, keys in found.items()}
    assert sizes(found) == rule["counts"] and not patients["train"] & patients["test"]
    with pytest.raises(DataError, match="has no column 'video'; it has image, patient"):
        splits_of(frames_section(root, table="who.csv", splits={**rule, "group_by": "video"}))
    (root / "who.csv").write_text("\n".join(["image;patient", *rows[1:]]))
    with pytest.raises(DataError, match=r"who\.csv: has no row for 1 image of the data, case00_00 first"):
        splits_of(frames_section(root, table="who.csv", splits=rule))


def test_hyperkvasir_s_column_of_videos_names_images(tmp_path):
    root = write_hyperkvasir(tmp_path)
    for path in (root / "segmented-images" / "images").glob("cju*"):
        path.unlink()
        (root / "segmented-images" / "masks" / path.name).unlink()
    rule = {"fractions": {"train": 0.5, "test": 0.5}, "group_by": "Video file"}
    with pytest.raises(DataError, match="differs for every image: it names the image, not its video"):
        splits_of({"adapter": "hyperkvasir", "root": root, "splits": rule})


def test_near_duplicates_stay_together(tmp_path):
    root = write_frames(tmp_path)
    for number, (copy, original) in enumerate((("zz_0", "case00_00"), ("zz_1", "case01_03"))):
        pixels = load(root / "images" / f"{original}.png").astype(np.int16)
        noise = np.random.default_rng(number).integers(-6, 7, pixels.shape)
        save((pixels + noise).clip(0, 255).astype(np.uint8), root / "images" / f"{copy}.png")
    for seed in range(8):
        rule = {"fractions": {"train": 0.5, "test": 0.5}, "similarity": 0.98, "seed": seed}
        owners = {key: split for split, keys in frame_splits(root, **rule).items() for key in keys}
        assert owners["zz_0"] == owners["case00_00"] and owners["zz_1"] == owners["case01_03"]


def test_links_are_chains_in_every_chunk(monkeypatch):
    monkeypatch.setattr("wsss_adapters.splits.near_duplicates.CHUNK", 3)
    angles = np.deg2rad([0, 80, 10, 170, 20, 88, 175, 30, 130])
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    groups = linked(features, float(np.cos(np.deg2rad(10.5))))
    same = {frozenset(np.flatnonzero(groups == group).tolist()) for group in set(groups.tolist())}
    assert same == {frozenset({0, 2, 4, 7}), frozenset({1, 5}), frozenset({3, 6}), frozenset({8})}


def test_too_many_frames_are_not_compared(monkeypatch, tmp_path):
    monkeypatch.setattr("wsss_adapters.splits.near_duplicates.MOST", 3)
    with pytest.raises(DataError, match="at most 3; there are 4; group by"):
        similar_groups([tmp_path / name for name in "abcd"], 0.9)


def test_a_split_file_decides_and_val_is_held_out(tmp_path):
    root = write_frames(tmp_path)
    rows = [f"case{n // 2:02d}_{n:02d}.png,{'test' if n < 3 else 'train'}" for n in range(11)]
    (root / "split.csv").write_text("\n".join(["image,split", *rows]))
    plain = frame_splits(root, file="split.csv")
    assert plain["test"] == ("case00_00", "case00_01", "case01_02")
    assert sizes(plain) == {"train": 8, "test": 3}, "a frame in no row is left out"
    held = frame_splits(root, file="split.csv", val_fraction=0.25, group_pattern=r"^(case\d+)_")
    assert held["test"] == plain["test"] and sizes(held) == {"train": 6, "val": 2, "test": 3}
    assert set(held["train"]) | set(held["val"]) == set(plain["train"])


def test_official_folds_of_hyperkvasir(tmp_path):
    root = write_hyperkvasir(tmp_path)
    rows = [
        f"{order:04d}-{n:04d}.jpg;{name};{n % 2}" for order, name in enumerate(FOLDERS) for n in range(6)
    ]  # pylorus is known and left out: its images need not be frames
    (root / "2_fold_split.csv").write_text("\n".join(["file-name;class-name;split-index", *rows]))
    rule = {"file": "2_fold_split.csv", "folds": {"train": [0], "test": [1]}, "val_fraction": 0.25}
    found = splits_of({"adapter": "hyperkvasir", "root": root, "splits": rule})
    assert sizes(found) == {"train": 9, "val": 3, "test": 12}
    assert all(int(key[-1]) % 2 == 1 for key in found["test"])
    with pytest.raises(DataError, match="has no fold '2'; it has 0, 1"):
        wrong = {**rule, "folds": {"train": [0], "test": [2]}}
        splits_of({"adapter": "hyperkvasir", "root": root, "splits": wrong})


def test_outlined_images_are_in_every_split(tmp_path):
    """Otherwise a split could have nothing to be scored against."""
    root = write_hyperkvasir(tmp_path, further=tuple(f"cju{n}" for n in range(7)))
    rule = {"fractions": {"train": 0.5, "val": 0.25, "test": 0.25}}
    for seed in range(5):
        found = splits_of({"adapter": "hyperkvasir", "root": root, "splits": {**rule, "seed": seed}})
        outlined = {split: sum(key[:3] == "cju" or key == "0000-0000" for key in keys) for split, keys in found.items()}
        assert abs(outlined["train"] - 4) <= 1 and min(outlined.values()) >= 1, outlined


def test_lists_of_names(tmp_path):
    root = write_frames(tmp_path)
    (root / "train.txt").write_text("case00_00\ncase00_01.png\n\n")
    (root / "val.txt").write_text("case01_02\n")
    rule = {"lists": {"train": "train.txt", "test": "val.txt"}}
    assert frame_splits(root, **rule) == {"test": ("case01_02",), "train": ("case00_00", "case00_01")}
    (root / "val.txt").write_text("case01_02\nnone_1\nnone_2\n")
    with pytest.raises(DataError, match=r"val\.txt:2: names 2 images that are not there, none_1 first"):
        frame_splits(root, **rule)
    (root / "val.txt").write_text("case00_00\n")
    with pytest.raises(DataError, match="'case00_00' is in the splits 'train' and 'test'"):
        frame_splits(root, **rule)


def test_names_in_two_class_folders_need_the_folder(tmp_path):
    for number, folder in enumerate(("adenoma", "hyperplastic")):
        save(draw_frame(number), tmp_path / "images" / folder / "1.png")
    (tmp_path / "split.csv").write_text("image,split\n1,train\n")
    section = frames_section(tmp_path, masks=None, splits={"file": "split.csv"})
    with pytest.raises(DataError, match="'1' could be adenoma_1 or hyperplastic_1; put the folder before"):
        splits_of(section)
    (tmp_path / "split.csv").write_text("image,split\nadenoma/1.png,train\nhyperplastic/1.png,test\n")
    assert splits_of(section) == {"test": ("hyperplastic_1",), "train": ("adenoma_1",)}


def test_impossible_sizes_are_refused(tmp_path):
    root = write_frames(tmp_path)
    with pytest.raises(DataError, match="sum to 20, but there are 12 images"):
        frame_splits(root, counts={"train": 15, "test": 5})
    with pytest.raises(DataError, match="split 'test' gets no image"):
        frame_splits(root, counts={"train": 11, "test": 1}, group_pattern="^(case)")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, "give one of counts, fractions, file and lists, got none"),
        ({"counts": {"train": 1}, "fractions": {"train": 1.0}}, "got counts, fractions"),
        ({"fractions": {"train": 0.5}}, "fractions sum to 0.5, not 1"),
        ({"counts": {"train": 1}, "val_fraction": 0.1}, "val_fraction belongs to file and lists"),
        ({"file": "a.csv", "similarity": 0.98}, "similarity has no effect"),
        ({"counts": {"train": 1}, "group_pattern": "case"}, "has 0 groups in parentheses"),
        ({"counts": {"train": 1}, "group_pattern": "(case"}, "no regular expression"),
        ({"counts": {"train": 1}, "group_by": "x", "similarity": 0.9}, "give one of group_by"),
        ({"file": "a.csv", "folds": {"train": [0], "test": [0]}}, "fold 0 is in two splits"),
    ],
)
def test_rules_that_contradict_each_other_are_refused(tmp_path, rule, message):
    with pytest.raises(ValidationError, match=message):
        HyperKvasirOptions.model_validate(frames_section(tmp_path, splits=rule))


def test_keys_alone_are_cut_from_a_random_order():
    names = [f"n{i:02d}" for i in range(13)]
    counts = wanted_counts(13, {"train": 0.9, "val": 0.05, "test": 0.05})
    divided = divide_keys(names, counts, seed=0)
    assert sorted(name for part in divided.values() for name in part) == names and sizes(divided) == counts
    assert divided != divide_keys(names, counts, seed=1)
    order = np.random.default_rng(0).permutation(13)
    assert divided["train"] == tuple(sorted(names[i] for i in order[:11]))
    assert sizes(divide_keys(names, {"train": 5}, seed=0)) == {"train": 5}, "what is left is in no split"


def test_names_in_the_recipe_itself(tmp_path):
    root = write_frames(tmp_path)
    rule = {"lists": {"train": ["case00_00", "case00_01.png"], "test": ["images/case01_02.png"]}}
    assert frame_splits(root, **rule) == {"train": ("case00_00", "case00_01"), "test": ("case01_02",)}
    rule["lists"]["test"] = ["case00_01"]
    with pytest.raises(DataError, match=r"lists\.test: 'case00_01' is in the splits 'train' and 'test'"):
        frame_splits(root, **rule)
    (root / "test.txt").write_text("\n")
    with pytest.raises(DataError, match="split 'test' gets no image"):
        frame_splits(root, lists={"train": ["case00_00"], "test": "test.txt"})


def test_columns_of_a_split_file_are_chosen(tmp_path):
    root = write_frames(tmp_path)
    (root / "s.csv").write_text("image;part;who;split\n1;train;case00_00;x\n2;test;case00_01;y\n3;;case01_02;z\n")
    rule = {"file": "s.csv", "image_column": "who", "split_column": "part"}
    with pytest.raises(DataError, match=r"s\.csv:4: the row names no split; complete it or remove it"):
        frame_splits(root, **rule)
    folds = {"train": ["train"], "test": ["test"]}
    assert frame_splits(root, folds=folds, **rule) == {"train": ("case00_00",), "test": ("case00_01",)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,split\ncase00_00\n", r"s\.csv:2: the row has 1 values, the header names 2"),
        ("image,split\ncase00_00,train,x\n", r"s\.csv:2: the row has 3 values, the header names 2"),
        ("image,split\n,train\n", r"s\.csv:2: the row names no image"),
        ("image,split\n", r"s\.csv: holds no row"),
        ("image,film\ncase00_00,train\n", r"s\.csv:1: has no column 'split'; it has image, film"),
        ("image,split\ncase00_00,train\nnone_1,test\n", r"s\.csv:3: names 1 image that is not there, none_1 first"),
        ("image,split\ncase00_00,train\ncase00_00.png,test\n", r"s\.csv:3: 'case00_00' is in the splits 'train' and"),
    ],
)
def test_split_files_that_do_not_fit(tmp_path, text, message):
    root = write_frames(tmp_path)
    (root / "s.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        frame_splits(root, file="s.csv")


def test_grouping_by_a_table_needs_one(tmp_path):
    with pytest.raises(DataError, match=r"group_by needs a table; set data\.table"):
        frame_splits(write_frames(tmp_path), fractions={"train": 1.0}, group_by="patient")
