"""Masks as DICOM Segmentation: the same pixels, under the same patient, whatever the source is."""

import json

import numpy as np
import pytest
from seg_sources import (
    CLASSES,
    COLUMNS,
    KINDS,
    ROWS,
    TAGS,
    frame_count,
    make_layers,
    make_mask,
    make_output,
    visible,
    write_source,
)

from wsss_adapters.dicom_seg.writing import mask_tags, write_dicom_seg
from wsss_toolkit.domain import LEVELS

pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")

TYPES = ("binary", "labelmap")


def by_highdicom(path, source, frames, *, multi_frame):
    """Return class indices `frames h w` as highdicom reads them for the source's frames."""
    seg = highdicom.seg.segread(path)
    uid = pydicom.dcmread(source).SOPInstanceUID
    options = {"combine_segments": True, "assert_missing_frames_are_empty": True}
    if multi_frame:
        return seg.get_pixels_by_source_frame(uid, list(range(1, frames + 1)), **options)
    return seg.get_pixels_by_source_instance([uid], **options)


def by_pydicom(path, frames):
    """Return class indices `frames h w` put together from the object's own frames by what they say of themselves."""
    seg = pydicom.dcmread(path)
    pixels = seg.pixel_array.reshape(int(seg.NumberOfFrames), seg.Rows, seg.Columns)
    mask = np.zeros((frames, seg.Rows, seg.Columns), np.uint8)
    for plane, groups in zip(pixels, seg.PerFrameFunctionalGroupsSequence, strict=True):
        reference = groups.DerivationImageSequence[0].SourceImageSequence[0]
        target = mask[int(reference.get("ReferencedFrameNumber", 1)) - 1]
        if "SegmentIdentificationSequence" in groups:
            number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
            assert not (target[plane == 1]).any(), "segments overlap"
            target[plane == 1] = number
        else:
            target[:] = plane
    return mask


@pytest.mark.parametrize("segmentation_type", TYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_both_libraries_read_back_the_same_pixels(kind, segmentation_type, tmp_path):
    source = write_source(tmp_path / "source.dcm", kind)
    frames = frame_count(kind)
    mask = make_mask(frames)
    assert 3 not in mask and 1 in mask, "a segment without a pixel is part of the test"
    path = write_dicom_seg(
        source, "a", make_layers(mask)[0], CLASSES, make_output(tmp_path), ROWS, segmentation_type=segmentation_type
    )
    assert path == tmp_path / "a_mask.dcm"
    multi_frame = KINDS[kind][1] is not None
    np.testing.assert_array_equal(by_highdicom(path, source, frames, multi_frame=multi_frame), visible(mask))
    np.testing.assert_array_equal(by_pydicom(path, frames), visible(mask))
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("segmentation_type", TYPES)
def test_patient_study_and_source_are_carried_over(segmentation_type, tmp_path):
    source = write_source(tmp_path / "source.dcm", "Video Endoscopic")
    layers = make_layers(make_mask(5))[0]
    seg = pydicom.dcmread(
        write_dicom_seg(source, "a", layers, CLASSES, make_output(tmp_path), ROWS, segmentation_type=segmentation_type)
    )
    header = pydicom.dcmread(source)
    for keyword in (
        "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime",
        "StudyID", "AccessionNumber", "ReferringPhysicianName",
    ):  # fmt: skip
        assert str(seg[keyword].value) == str(header[keyword].value), keyword
    assert seg.Modality == "SEG" and seg.SegmentationType == segmentation_type.upper()
    assert seg.SeriesInstanceUID != header.SeriesInstanceUID and seg.InstanceNumber == header.InstanceNumber
    [series] = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == header.SeriesInstanceUID
    for reference in (*series.ReferencedInstanceSequence, *seg.SourceImageSequence):
        assert (reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID) == (
            header.SOPClassUID, header.SOPInstanceUID,
        )  # fmt: skip
    numbers = [
        groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
        for groups in seg.PerFrameFunctionalGroupsSequence
    ]
    assert set(numbers) == {1, 2, 4, 5}, "frame 3 shows nothing and is left out"


def test_segments_have_names_codes_and_colours(tmp_path):
    source = write_source(tmp_path / "source.dcm")
    path = write_dicom_seg(source, "a", make_layers(make_mask())[0], CLASSES, make_output(tmp_path), ROWS)
    seg = highdicom.seg.segread(path)
    assert seg.segment_numbers == [1, 2, 3]
    polyp, unclear, clip = (seg.get_segment_description(number) for number in (1, 2, 3))
    assert [polyp.segment_label, unclear.segment_label] == ["polyp", "Ünklar/x"]
    found = [
        (str(s.segmented_property_type.value), s.segmented_property_type.scheme_designator) for s in seg.SegmentSequence
    ]
    assert found[0] == ("68496003", "SCT") and found[2] == ("77720000", "SCT")
    assert found[1][1] == "99WSSS" and unclear.segmented_property_type.meaning == "Ünklar/x"
    categories = [str(s.segmented_property_category.value) for s in seg.SegmentSequence]
    assert categories == ["49755003", "309825002", "260787004"]  # abnormal structure, spatial concept, physical object
    for described, color in zip((polyp, unclear, clip), CLASSES.colors[1:], strict=True):
        shown = highdicom.color.CIELabColor.from_dicom_value(described.RecommendedDisplayCIELabValue).to_rgb()
        np.testing.assert_allclose(shown, color, atol=2)
        assert described.SegmentAlgorithmType == "AUTOMATIC"
    [algorithm] = polyp.SegmentationAlgorithmIdentificationSequence
    assert algorithm.AlgorithmName == "wsss-toolkit fake unet" and algorithm.AlgorithmSource == "wsss-toolkit"
    assert algorithm.AlgorithmVersion == f"0.1.0 {'ab' * 16}"
    assert json.loads(algorithm.AlgorithmParameters) == TAGS


@pytest.mark.parametrize("segmentation_type", TYPES)
@pytest.mark.parametrize("kind", ["VL Endoscopic", "Video Endoscopic"])
def test_nothing_found_is_a_result(kind, segmentation_type, tmp_path):
    source = write_source(tmp_path / "source.dcm", kind)
    frames = frame_count(kind)
    mask = np.zeros((frames, ROWS, COLUMNS), np.uint8)
    mask[:, :4] = 255
    path = write_dicom_seg(
        source, "a", make_layers(mask)[0], CLASSES, make_output(tmp_path), ROWS, segmentation_type=segmentation_type
    )
    seg = pydicom.dcmread(path)
    assert seg.NumberOfFrames == 1 and not seg.pixel_array.any()
    described = [item.SegmentLabel for item in seg.SegmentSequence]
    assert {"polyp", "clip"} <= set(described), "what was looked for is listed"
    read = by_highdicom(path, source, frames, multi_frame=KINDS[kind][1] is not None)
    assert read.shape == mask.shape and not read.any()


def test_confidence_and_scores_are_shares_of_254(tmp_path):
    source = write_source(tmp_path / "source.dcm", "Video Endoscopic")
    mask = make_mask(5)
    layers, confidence, scores = make_layers(mask)
    write_dicom_seg(source, "a", layers, CLASSES, make_output(tmp_path, confidence=True, scores=True), ROWS)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a_confidence.dcm", "a_mask.dcm", "a_scores.dcm", "source.dcm",
    ]  # fmt: skip
    uid = pydicom.dcmread(source).SOPInstanceUID
    for name, levels in (("confidence", confidence[None]), ("scores", scores)):
        seg = highdicom.seg.segread(tmp_path / f"a_{name}.dcm")
        assert (seg.SegmentationType, seg.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY")
        assert seg.MaximumFractionalValue == LEVELS
        read = seg.get_pixels_by_source_frame(
            uid, [1, 2, 3, 4, 5], rescale_fractional=False, assert_missing_frames_are_empty=True
        )
        np.testing.assert_array_equal(np.moveaxis(read, -1, 0), visible(levels))
        plain = pydicom.dcmread(tmp_path / f"a_{name}.dcm")
        assert plain.pixel_array.shape[0] == plain.NumberOfFrames == len(plain.PerFrameFunctionalGroupsSequence)
    labels = [item.SegmentLabel for item in seg.SegmentSequence]
    assert labels == ["background", "polyp", "Ünklar/x", "clip"]
    assert str(seg.get_segment_description(1).segmented_property_type.value) == "125040", "Background"
    assert mask_tags(tmp_path / "a_confidence.dcm") == TAGS


def test_frames_whose_pixels_fill_no_whole_byte(tmp_path):
    assert ROWS * COLUMNS % 8, "bits of one frame end in the middle of a byte"
    source = write_source(tmp_path / "one.dcm", "Video Endoscopic", rows=1, columns=3, frames=7)
    mask = np.random.default_rng(0).integers(0, 4, (7, 1, 3)).astype(np.uint8)
    path = write_dicom_seg(source, "a", make_layers(mask, 2)[0], CLASSES, make_output(tmp_path), 1)
    np.testing.assert_array_equal(by_pydicom(path, 7), mask)
    np.testing.assert_array_equal(by_highdicom(path, source, 7, multi_frame=True), mask)


def test_the_same_content_has_the_same_uid_and_other_content_another(tmp_path):
    source = write_source(tmp_path / "source.dcm", "Video Endoscopic")
    other = write_source(tmp_path / "other.dcm", "Video Endoscopic", SOPInstanceUID="1.2.826.0.1.3680043.8.498.1.4")
    mask = make_mask(5)
    uids = {}
    for name, made_from, seed, block in (
        ("a", source, 0, 20), ("b", source, 0, 33), ("c", source, 1, 20), ("d", other, 0, 20),
    ):  # fmt: skip
        layers = make_layers(make_mask(5, seed=seed), block)[0]
        seg = pydicom.dcmread(write_dicom_seg(made_from, name, layers, CLASSES, make_output(tmp_path), ROWS))
        uids[name] = seg.SOPInstanceUID, seg.SeriesInstanceUID
    assert uids["a"] == uids["b"]
    assert len({uids[name][0] for name in "acd"}) == 3
    assert len({uid[1] for uid in uids.values()}) == 1, "one series of masks for one series of frames"
    another = make_output(tmp_path, tags={**TAGS, "wsss_job": "of another instance"})
    seg = pydicom.dcmread(write_dicom_seg(other, "f", make_layers(mask)[0], CLASSES, another, ROWS))
    assert seg.SeriesInstanceUID == uids["a"][1]
    changed = make_output(tmp_path, tags={**TAGS, "wsss_recipe_digest": "cd" * 32})
    seg = pydicom.dcmread(write_dicom_seg(source, "e", make_layers(mask)[0], CLASSES, changed, ROWS))
    assert seg.SOPInstanceUID != uids["a"][0] and seg.SeriesInstanceUID != uids["a"][1]


def test_without_a_compiled_compressor_the_pixels_are_the_same(tmp_path, monkeypatch):
    from pydicom.pixels.encoders.base import RLELosslessEncoder

    source = write_source(tmp_path / "source.dcm", "Video Endoscopic")
    layers = make_layers(make_mask(5))[0]
    for name in ("compiled", "plain"):
        write_dicom_seg(
            source, name, layers, CLASSES, make_output(tmp_path, scores=True), ROWS, segmentation_type="labelmap"
        )
        monkeypatch.setattr(type(RLELosslessEncoder), "available_plugins", property(lambda _: ("pydicom",)))
    for kind in ("mask", "scores"):
        first, second = (pydicom.dcmread(tmp_path / f"{name}_{kind}.dcm") for name in ("compiled", "plain"))
        assert first.SOPInstanceUID == second.SOPInstanceUID
        np.testing.assert_array_equal(first.pixel_array, second.pixel_array)
