"""Endoscopic frames keep the contract of scenes, in the format that they came in."""

import numpy as np
import pytest
from fake_frames import RGB, Scenes, native, picture
from PIL import Image

from wsss_adapters.endoscopy.scenes import EndoscopyScenes
from wsss_adapters.frames import field_of_view
from wsss_toolkit.domain import ClassTable, Destination, Window
from wsss_toolkit.domain.scene_contract import check_scenes
from wsss_toolkit.errors import DataError

STACK = np.stack([picture(12, 16, seed=seed) for seed in range(3)])


def write_study(folder):
    """Write a video, a single DICOM frame and two pictures."""
    folder.mkdir()
    native(folder / "video", STACK, Modality="ES")
    native(folder / "single.dcm", STACK[:1], SOPClassUID="1.2.840.10008.5.1.4.1.1.7", Modality="OT")
    for name in ("a.png", "b.jpg"):
        Image.fromarray(STACK[0]).save(folder / name)
    return str(folder)


@pytest.mark.parametrize("adapter", [Scenes(), EndoscopyScenes()], ids=["whole frames", "field of view"])
def test_the_contract_is_kept(tmp_path, adapter):
    output = tmp_path / "out"
    output.mkdir()
    check_scenes(adapter, [write_study(tmp_path / "study")], RGB, output)
    names = {path.name for path in (output / "scenes").iterdir()}
    assert {"a_mask.png", "b_mask.png"} <= names
    assert len([name for name in names if name.startswith("dicom-") and name.endswith("_mask.dcm")]) == 2


def test_outputs_are_no_inputs(tmp_path):
    folder = write_study(tmp_path / "study")
    adapter = Scenes()
    before = adapter.find_scenes([folder], RGB)
    check_scenes(adapter, [folder], RGB, tmp_path / "study")
    assert adapter.find_scenes([folder], RGB) == before


def test_pixels_outside_the_field_of_view_are_missing(tmp_path, monkeypatch):
    seen = []

    def inside(rgb):
        seen.append(rgb)
        there = np.zeros(rgb.shape[:2], bool)
        there[2:, 3:] = True
        return there

    monkeypatch.setattr(field_of_view, "field_of_view", inside)
    path = native(tmp_path / "a.dcm", STACK)
    adapter = EndoscopyScenes()
    [source] = adapter.find_scenes([str(path)], RGB)
    with adapter.open_scene(source, RGB) as scene:
        rgb = scene.read(Window(12, 0, 24, 16)).bands["rgb"].reshape(3, 2, 12, 16)
    assert np.isnan(rgb[:, :, :2]).all() and np.isnan(rgb[..., :3]).all()
    assert np.array_equal(rgb[:, :, 2:, 3:], STACK[1:, 2:, 3:].transpose(3, 0, 1, 2))
    assert len(seen) == 2 and all(frame.dtype == np.uint8 for frame in seen)
    assert np.array_equal(seen[0], STACK[1]) and np.array_equal(seen[1], STACK[2])


def test_a_mask_that_cannot_be_written_names_the_file_and_not_the_patient(tmp_path, monkeypatch):
    path = native(tmp_path / "Doe Jane.dcm", STACK, PatientName="Doe^Jane")
    [source] = Scenes().find_scenes([str(path)], RGB)

    def fail(path, *others, segmentation_type):
        raise DataError(f"{path} is wrong", where=str(path), fix=None)

    monkeypatch.setattr("wsss_adapters.dicom_seg.writing.write_dicom_seg", fail)
    destination = Destination(tmp_path, Scenes.Outputs(), {})
    with pytest.raises(DataError) as caught:
        Scenes().write_scene(source, [], ClassTable(("a",), ((0, 0, 0),)), destination, RGB)
    assert str(caught.value) == f"{source.shown}: {source.shown} is wrong"
    assert "Doe" not in str(caught.value) and caught.value.__suppress_context__


def test_what_means_something_here():
    assert set(EndoscopyScenes.Outputs.model_fields) == {"confidence", "scores", "deidentify", "key_file"}
    assert EndoscopyScenes().mask_borders
