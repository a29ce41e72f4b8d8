"""New photographs as scenes of `voc`, `coco` and `ade20k`: the contract, and what they come out as."""

import numpy as np
import pytest
from fake_natural import exif_photo, photo, save_photo
from PIL import Image

from wsss_adapters.natural.ade20k import Ade20k, Ade20kOptions
from wsss_adapters.natural.coco import Coco
from wsss_adapters.natural.coco_options import CocoOptions
from wsss_adapters.natural.voc import Voc, VocOptions
from wsss_toolkit.domain import ChannelTable, SceneAdapter, Sensor, Window
from wsss_toolkit.domain.scene_contract import check_scenes
from wsss_toolkit.errors import DataError

RGB = ChannelTable((Sensor("rgb", ("R", "G", "B")),))
THREE = [(Voc, VocOptions), (Coco, CocoOptions), (Ade20k, Ade20kOptions)]


def make(adapter, options, **changes):
    """Return an adapter whose data are nowhere: a run folder is enough for scenes."""
    return adapter(options(adapter=adapter.__name__.lower(), root="nowhere", **changes))


def read(path):
    """Return what `voc` reads of a new picture: float32 `h w 3`."""
    voc = make(Voc, VocOptions)
    [source] = voc.find_scenes([str(path)], RGB)
    with voc.open_scene(source, RGB) as scene:
        return scene.read(Window(0, 0, scene.height, scene.width)).bands["rgb"].transpose(1, 2, 0)


@pytest.mark.parametrize(("adapter", "options"), THREE)
@pytest.mark.parametrize("scenes", ["whole", "windows"])
def test_contract(tmp_path, adapter, options, scenes):
    save_photo(tmp_path / "in" / "a.jpg", (30, 44))
    save_photo(tmp_path / "in" / "deeper" / "a.png", (20, 24), 1)
    save_photo(tmp_path / "in" / "b c.tif", (21, 25), 2)
    (tmp_path / "out").mkdir()
    made = make(adapter, options, scenes=scenes)
    assert isinstance(made, SceneAdapter)
    check_scenes(made, [str(tmp_path / "in")], RGB, tmp_path / "out")
    found = {source.path.name: source for source in made.find_scenes([str(tmp_path / "in")], RGB)}
    with made.open_scene(found["b c.tif"], RGB) as scene:
        assert (scene.height, scene.width, scene.frame_height) == (21, 25, 21 if scenes == "whole" else None)


@pytest.mark.parametrize(("adapter", "options"), THREE)
def test_how_new_pictures_are_labelled_changes_no_training(tmp_path, adapter, options):
    from fake_natural import write_ade, write_coco, write_voc

    write = {"Voc": write_voc, "Coco": write_coco, "Ade20k": write_ade}[adapter.__name__]
    root = write(tmp_path / "data")
    both = [
        adapter(options(adapter=adapter.__name__.lower(), root=root, scenes=scenes)) for scenes in ("whole", "windows")
    ]
    assert both[0].fingerprint() == both[1].fingerprint()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_new_pictures_are_upright(tmp_path, orientation):
    """Nobody states their size; a data set's own pictures are read as stored (test_voc_pictures.py)."""
    stored = np.asarray(Image.open(exif_photo(tmp_path / "a.jpg", (20, 30), orientation)))
    upright = {
        1: stored, 2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1], 5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1), 7: stored[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(stored, 1),
    }[orientation]  # fmt: skip
    assert np.array_equal(read(tmp_path / "a.jpg"), upright)


@pytest.mark.parametrize(("mode", "suffix"), [("CMYK", "jpg"), ("CMYK", "tif"), ("L", "png"), ("P", "png")])
def test_other_modes_become_red_green_and_blue(tmp_path, mode, suffix):
    picture = Image.fromarray(photo((20, 30))).convert(mode)
    picture.save(tmp_path / f"a.{suffix}", **({"quality": 95} if suffix == "jpg" else {}))
    off = np.abs(read(tmp_path / f"a.{suffix}") - np.asarray(picture.convert("RGB")))
    # JPEG stores colours of half the resolution; an inverted or misread picture is off by about 85 on average.
    assert off.mean() < 10 if suffix == "jpg" else off.max() == 0


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_empty_and_truncated_pictures_are_named(tmp_path, suffix, keep):
    path = save_photo(tmp_path / f"a.{suffix}", (60, 80))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_pictures_of_16_bits_are_refused_by_name(tmp_path):
    Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30)).save(tmp_path / "deep.png")
    with pytest.raises(DataError, match=r"deep\.png: has the bands image\.B1, not rgb\.R, rgb\.G, rgb\.B; convert it"):
        read(tmp_path / "deep.png")
