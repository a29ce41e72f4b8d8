"""Pictures as scenes: found, read by windows or as a whole, written as PNG."""

import numpy as np
import pytest
from fake_folders import class_folders, deep, folder, pixels, save

from wsss_toolkit.domain import ChannelTable, SceneOutputs, Sensor, Window
from wsss_toolkit.domain.scene_contract import check_scenes
from wsss_toolkit.errors import DataError, UsageError

RGB = ChannelTable((Sensor("rgb", ("R", "G", "B")),))
TWO = ChannelTable((Sensor("image", ("B1", "B2")),))


@pytest.mark.parametrize("scenes", ["windows", "whole"])
def test_contract(tmp_path, scenes):
    root = class_folders(tmp_path / "in", each=2)
    save(root / "with a blank.png", pixels(3)[0])
    (tmp_path / "out").mkdir()
    adapter = folder(tmp_path, classes=["cat"], scenes=scenes)
    check_scenes(adapter, [str(root)], RGB, tmp_path / "out")
    [source, *_] = adapter.find_scenes([str(root)], RGB)
    with adapter.open_scene(source, RGB) as scene:
        assert scene.frame_height == (48 if scenes == "whole" else None)


def test_contract_of_rasters(tmp_path):
    root = deep(tmp_path / "in")
    (tmp_path / "out").mkdir()
    check_scenes(folder(tmp_path, classes=["cat"]), [f"{root}/*/*.tif"], TWO, tmp_path / "out")


def test_windows_are_the_training_pixels_and_transparency_is_missing(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (30, 40, 4), dtype=np.uint8)
    values[..., 3] = 255
    values[:10, :10, 3] = 0
    save(tmp_path / "a.png", values)
    adapter = folder(tmp_path, classes=["cat"], splits={"fractions": {"train": 1.0}})
    [source] = adapter.find_scenes([str(tmp_path)], RGB)
    with adapter.open_scene(source, RGB) as scene:
        read = scene.read(Window(5, 4, 12, 9)).bands["rgb"]
    trained = adapter.read("a", RGB).bands["rgb"][:, 5:17, 4:13]
    assert np.isnan(read[:, :5, :6]).all() and not np.isnan(read[:, 5:]).any()
    assert np.array_equal(read, trained, equal_nan=True)


def test_what_is_found(tmp_path):
    save(tmp_path / "x" / "a.png", pixels(1)[0])
    save(tmp_path / "y" / "a.png", pixels(2)[0])
    save(tmp_path / "y" / "b_mask.png", pixels(2)[1])
    (tmp_path / "y" / "notes.txt").write_text("no picture")
    adapter = folder(tmp_path, classes=["cat"])
    names = {
        source.name: source.shown for source in adapter.find_scenes([str(tmp_path / "x"), str(tmp_path / "y")], RGB)
    }
    assert len(names) == 2 and sorted(names.values()) == [str(tmp_path / "x/a.png"), str(tmp_path / "y/a.png")]
    assert [source.name for source in adapter.find_scenes([str(tmp_path)], RGB)] == ["x_a", "y_a"]
    for wrong in ("nothing", "y/notes.txt", "*.jpg"):
        with pytest.raises(UsageError):
            adapter.find_scenes([str(tmp_path / wrong)], RGB)


def test_a_picture_of_other_bands_is_named(tmp_path):
    deep(tmp_path / "in")
    adapter = folder(tmp_path, classes=["cat"])
    [source, *_] = adapter.find_scenes([str(tmp_path / "in")], RGB)
    with (
        pytest.raises(DataError, match=r"has the bands image\.B1, image\.B2, not rgb\.R"),
        adapter.open_scene(source, RGB),
    ):
        pass


class WithoutDefault(SceneOutputs):
    outline: bool
    """Also write an outline."""


class WithoutHelp(SceneOutputs):
    outline: bool = False


@pytest.mark.parametrize("outputs, message", [
    (WithoutDefault, "field 'outline' of Outputs has no default"),
    (WithoutHelp, "field 'outline' of Outputs has no docstring"),
    (ChannelTable, "Outputs is ChannelTable, no SceneOutputs"),
])  # fmt: skip
def test_outputs_that_no_flag_can_be_made_of_break_the_contract(outputs, message, tmp_path, monkeypatch):
    adapter = folder(tmp_path, classes=["cat"])
    monkeypatch.setattr(type(adapter), "Outputs", outputs)
    with pytest.raises(AssertionError, match=message):
        check_scenes(adapter, [str(class_folders(tmp_path / "in", each=2))], RGB, tmp_path)
