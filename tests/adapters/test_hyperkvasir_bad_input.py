"""Damaged and contradictory data: one line that names the file and says what to do."""

import numpy as np
import pytest
from fake_endoscopy import (
    FOLDERS,
    draw_frame,
    draw_mask,
    frames_section,
    load,
    save,
    write_frames,
    write_hyperkvasir,
    write_kvasir_seg,
)

from wsss_adapters.endoscopy.hyperkvasir import HyperKvasir
from wsss_adapters.endoscopy.hyperkvasir_options import HyperKvasirOptions
from wsss_toolkit.domain import ChannelTable
from wsss_toolkit.errors import DataError, UsageError


def adapter(section):
    return HyperKvasir(HyperKvasirOptions.model_validate(section))


def frames(root, **changes):
    return adapter(frames_section(root, **changes))


def hyperkvasir(root, **changes):
    return adapter({"adapter": "hyperkvasir", "root": root, **changes})


@pytest.fixture
def folder(tmp_path):
    return write_frames(tmp_path / "data")


def test_missing_data_say_where_to_get_them(tmp_path):
    for section, hint in (
        ({"layout": "hyperkvasir"}, r"https://datasets\.simula\.no/hyper-kvasir/"),
        ({"layout": "kvasir_seg"}, r"https://datasets\.simula\.no/kvasir-seg/"),
        ({"layout": "auto"}, "HyperKvasir not found"),
    ):
        with pytest.raises(DataError, match=hint):
            hyperkvasir(tmp_path, **section).prepare()
    with pytest.raises(DataError, match=r"no such folder; set data\.root"):
        hyperkvasir(tmp_path / "nowhere").prepare()
    with pytest.raises(DataError, match=r"no such folder; correct data\.root"):
        frames(tmp_path).prepare()


def test_masks_of_another_size_are_refused(folder):
    save(draw_mask(0, 40), folder / "masks" / "case00_00.png")
    with pytest.raises(DataError, match=r"case00_00\.png: is 40 x 64 pixels, its picture 50 x 64; resize it"):
        frames(folder).read_mask("case00_00")


def test_masks_without_a_frame_are_counted_and_named(folder):
    save(draw_mask(0), folder / "masks" / "stray.png")
    with pytest.raises(DataError, match=r"1 mask has no frame, stray\.png first"):
        frames(folder).prepare()


@pytest.mark.parametrize("place", ["images", "masks"])
def test_empty_files_are_found_before_training(folder, place):
    (folder / place / "case01_03.png").write_bytes(b"")
    with pytest.raises(DataError, match=rf"{place}/case01_03\.png: is empty \(0 bytes\)"):
        frames(folder).prepare()


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_truncated_frames_are_named(folder, suffix):
    path = save(draw_frame(0, 400, 500), folder / "images" / f"zz.{suffix}")
    path.write_bytes(path.read_bytes()[:-2000])
    made = frames(folder)
    made.prepare()
    with pytest.raises(DataError, match=rf"images/zz\.{suffix}: is no readable picture"):
        made.read("zz", ChannelTable(made.sensors))


def test_what_is_no_picture_is_never_unpickled(folder, tmp_path):
    """MONAI's LoadImage would hand a file that Pillow refuses to NumPy, which unpickles."""

    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    path = folder / "images" / "bomb.png"
    with path.open("wb") as file:
        np.save(file, np.array([Bomb()], dtype=object), allow_pickle=True)
    made = frames(folder)
    with pytest.raises(DataError, match=r"bomb\.png: is a NumPy file, no picture that is read"):
        made.read("bomb", ChannelTable(made.sensors))
    assert not (tmp_path / "exploded").exists()


def test_unknown_mask_values_are_named(folder):
    mask = load(folder / "masks" / "case00_00.png")
    mask[20, 30:34] = [3, 9, 254, 255]
    save(mask, folder / "masks" / "case00_00.png")
    with pytest.raises(DataError, match=r"unknown label codes 3, 9, 254; list all classes in data.classes"):
        frames(folder).read_mask("case00_00")


def test_masks_that_cannot_be_indices_are_refused(folder):
    path = folder / "masks" / "case00_00.png"
    save(draw_frame(1, 50), path)
    with pytest.raises(DataError, match="has colours; masks hold one number"):
        frames(folder).read_mask("case00_00")
    save(np.full((50, 64), 300, np.uint16), path)
    with pytest.raises(DataError, match="unknown label codes 300"):
        frames(folder).read_mask("case00_00")
    path.unlink()
    save(draw_mask(0, 50), path.with_suffix(".jpg"))
    with pytest.raises(DataError, match="masks cannot be JPEG"):
        frames(folder).read_mask("case00_00")


def test_black_and_white_is_not_taken_for_background_and_unlabelled(folder):
    save(255 * (draw_mask(0, 50) > 0).astype(np.uint8), folder / "masks" / "case00_00.png")
    classes = [{"name": "background", "color": "#000000"}, {"name": "polyp", "color": "#ff0000"}]
    with pytest.raises(DataError, match=r"holds only 0 and 255.*set data\.mask_class to 'polyp'"):
        frames(folder, classes=classes).read_mask("case00_00")
    assert (frames(folder, classes=classes, mask_class="polyp").read_mask("case00_00") == 1).sum() == 240


def test_unknown_class_folders_come_with_a_suggestion(tmp_path):
    root = write_hyperkvasir(tmp_path)
    save(draw_frame(0), root / "labeled-images" / "lower-gi-tract" / "pathological-findings" / "poylps" / "x.jpg")
    with pytest.raises(DataError, match="'poylps' is no class; did you mean polyps\\?"):
        hyperkvasir(root).prepare()
    hyperkvasir(root, aliases={"poylps": "polyps"}).prepare()


def test_names_of_absence_are_checked(tmp_path):
    root = write_hyperkvasir(tmp_path)
    with pytest.raises(UsageError, match=r"data\.absent names 'cecom', which is no class; did you mean cecum\?"):
        hyperkvasir(root, absent=["cecom"]).prepare()
    with pytest.raises(UsageError, match=r"data\.absent names 'polyps', which is what the masks outline"):
        hyperkvasir(root, absent=["polyp"]).prepare()


def test_images_that_the_table_names_must_be_there(tmp_path):
    root = write_hyperkvasir(tmp_path)
    (root / "labeled-images" / FOLDERS["cecum"] / "0002-0003.jpg").unlink()
    with pytest.raises(DataError, match=r"image-labels\.csv: names 1 image that is missing, 0002-0003 first"):
        hyperkvasir(root).prepare()


def test_images_of_classes_that_are_left_out_may_be_missing(tmp_path):
    root = write_hyperkvasir(tmp_path)
    for path in (root / "labeled-images" / FOLDERS["pylorus"]).iterdir():
        path.unlink()
    hyperkvasir(root).prepare()


def test_the_table_must_not_contradict_the_folders(tmp_path):
    root = write_hyperkvasir(tmp_path)
    table = root / "labeled-images" / "image-labels.csv"
    table.write_text(table.read_text().replace("0002-0001,Lower GI,cecum", "0002-0001,Lower GI,hemorrhoids"))
    with pytest.raises(DataError, match="calls 0002-0001 'hemorrhoids', but it lies in a folder of cecum"):
        hyperkvasir(root).prepare()


def test_the_same_name_in_two_class_folders_makes_two_keys(tmp_path):
    root = write_hyperkvasir(tmp_path)
    (root / "labeled-images" / "image-labels.csv").unlink()
    save(draw_frame(5), root / "labeled-images" / FOLDERS["hemorrhoids"] / "0002-0000.JPG")
    found = hyperkvasir(root)
    keys = {key for split in found.splits().values() for key in split}
    assert {"cecum_0002-0000", "hemorrhoids_0002-0000"} <= keys and "0002-0000" not in keys


@pytest.mark.parametrize("other", ["case00_00.jpg", "CASE00_00.png"])
def test_the_same_name_in_one_folder_is_refused(folder, other):
    save(draw_frame(5), folder / "images" / other)
    with pytest.raises(DataError, match="have the same name but for suffix or case"):
        frames(folder).prepare()


def test_kvasir_seg_needs_a_mask_for_every_frame(tmp_path):
    root = write_kvasir_seg(tmp_path)
    (root / "masks" / "cju003.jpg").unlink()
    with pytest.raises(DataError, match=r"1 frame has no mask, cju003\.jpg first"):
        hyperkvasir(root).prepare()
