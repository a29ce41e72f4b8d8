"""Whether an independent program, David Clunie's dciodvfy, takes our objects for valid."""

import shutil
import subprocess

import numpy as np
import pytest
from seg_sources import BARE, CLASSES, KINDS, ROWS, frame_count, make_layers, make_mask, make_output, write_source

from wsss_adapters.dicom_seg.writing import write_dicom_seg
from wsss_toolkit.domain import Layers

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

UNKNOWN_TO_DCIODVFY = (
    "SegmentNumber not monotonically increasing from one by one - have SegmentSequence item number 1",
    "Information Object Not found",
)
"""Debian's dicom3tools is of 2022: it does not know Label Map Segmentation of 2024, whose background is segment 0."""


def dciodvfy(path):
    """Return the errors that dciodvfy finds."""
    done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True)
    lines = (done.stdout + done.stderr).splitlines()
    assert any("Segmentation" in line or "Information Object" in line for line in lines), "it has not read the file"
    return [line for line in lines if line.startswith("Error")]


needs_dciodvfy = pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs Debian's dicom3tools")


@pytest.mark.external
@needs_dciodvfy
@pytest.mark.parametrize("deidentify", [False, True])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "a private class"])
def test_dciodvfy_finds_no_error(kind, deidentify, tmp_path):
    source = write_source(tmp_path / "source.dcm", kind, frames=0)
    layers = make_layers(make_mask(frame_count(kind)))[0]
    output = make_output(tmp_path, confidence=True, scores=True, deidentify=deidentify)
    write_dicom_seg(source, "a", layers, CLASSES, output, ROWS)
    empty = [Layers(part.row, part.mask * 0, part.confidence, None) for part in layers]
    write_dicom_seg(source, "b", empty, CLASSES, make_output(tmp_path, deidentify=deidentify), ROWS)
    for name in ("a_mask", "a_confidence", "a_scores", "b_mask"):
        assert dciodvfy(tmp_path / f"{name}.dcm") == []
    path = write_dicom_seg(
        source, "c", layers, CLASSES, make_output(tmp_path, deidentify=deidentify), ROWS, segmentation_type="labelmap"
    )
    strange = [line for line in dciodvfy(path) if not any(known in line for known in UNKNOWN_TO_DCIODVFY)]
    assert strange == []


@pytest.mark.external
@needs_dciodvfy
def test_dciodvfy_can_find_an_error(tmp_path):
    source = write_source(tmp_path / "source.dcm")
    path = write_dicom_seg(source, "a", make_layers(make_mask())[0], CLASSES, make_output(tmp_path), ROWS)
    seg = pydicom.dcmread(path)
    del seg.SegmentSequence[0].SegmentLabel
    seg.save_as(path)
    assert any("SegmentLabel" in line for line in dciodvfy(path))


@pytest.mark.external
@needs_dciodvfy
def test_dciodvfy_finds_no_error_where_the_source_has_gaps(tmp_path):
    source = write_source(tmp_path / "source.dcm", "Ultrasound", **dict.fromkeys(BARE))
    path = write_dicom_seg(source, "a", make_layers(make_mask())[0], CLASSES, make_output(tmp_path), ROWS)
    assert dciodvfy(path) == []


@pytest.mark.external
@needs_dciodvfy
@pytest.mark.parametrize("example", ["rgb_color", "palette_color", "ybr_color", "jpeg2k"])
def test_dciodvfy_finds_no_error_for_what_real_devices_made(example, tmp_path):
    from pydicom import examples

    source = examples.get_path(example)
    header = pydicom.dcmread(source, stop_before_pixels=True)
    frames = int(header.get("NumberOfFrames") or 1)
    mask = np.zeros((frames * header.Rows, header.Columns), np.uint8)
    mask[: header.Rows // 2] = 1
    output = make_output(tmp_path)
    path = write_dicom_seg(source, "a", [Layers(0, mask, mask, None)], CLASSES, output, header.Rows)
    assert dciodvfy(path) == []
    assert pydicom.dcmread(path).StudyInstanceUID == header.StudyInstanceUID


@pytest.mark.external
@pytest.mark.skipif(shutil.which("dcmdrle") is None, reason="needs Debian's dcmtk")
def test_dcmtk_decompresses_what_we_compress(tmp_path):
    source = write_source(tmp_path / "source.dcm", "Video Endoscopic")
    layers = make_layers(make_mask(frame_count("Video Endoscopic")))[0]
    output = make_output(tmp_path, confidence=True, scores=True)
    write_dicom_seg(source, "a", layers, CLASSES, output, ROWS, segmentation_type="labelmap")
    for name in ("a_mask", "a_confidence", "a_scores"):
        ours, plain = tmp_path / f"{name}.dcm", tmp_path / "plain.dcm"
        done = subprocess.run(["dcmdrle", str(ours), str(plain)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert not pydicom.dcmread(plain).file_meta.TransferSyntaxUID.is_compressed
        np.testing.assert_array_equal(pydicom.dcmread(plain).pixel_array, pydicom.dcmread(ours).pixel_array)
