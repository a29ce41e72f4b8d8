"""Sources as they are: with gaps, malformed values, any script; nothing of them is said aloud."""

import warnings

import numpy as np
import pytest
from seg_sources import BARE, CLASSES, COLUMNS, ROWS, make_layers, make_mask, make_output, visible, write_source

from wsss_adapters.dicom_seg.writing import write_dicom_seg
from wsss_toolkit.domain import ClassTable

pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")


def test_gaps_of_the_source_are_filled(tmp_path):
    source = write_source(tmp_path / "source.dcm", "Ultrasound", **dict.fromkeys(BARE))
    path = write_dicom_seg(source, "a", make_layers(make_mask())[0], CLASSES, make_output(tmp_path), ROWS)
    seg = pydicom.dcmread(path)
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "StudyID", "AccessionNumber"):
        assert keyword in seg and not seg[keyword].value
    assert seg.StudyInstanceUID.startswith("2.25.") and seg.InstanceNumber == 1
    read = highdicom.seg.segread(path).get_pixels_by_source_instance(
        [seg.SourceImageSequence[0].ReferencedSOPInstanceUID]
    )
    np.testing.assert_array_equal((read[..., 0] == 1) * 1 + (read[..., 1] == 1) * 2, visible(make_mask()))


@pytest.mark.filterwarnings("ignore:Invalid value for VR:UserWarning")  # pydicom, when the test makes the bad source
@pytest.mark.filterwarnings("ignore:The value length:UserWarning")
def test_malformed_values_of_the_source_do_not_matter(tmp_path):
    source = write_source(
        tmp_path / "source.dcm", PatientBirthDate="unknown", StudyTime="25h", PatientSex="female", StudyID="S" * 20,
        StudyDate="1997.04.24", PatientIdentityRemoved="YES", PatientSize="1.85", PatientAge="070Y",
        PatientWeight="82.5",
    )  # fmt: skip
    source.write_bytes(source.read_bytes().replace(b"1.85", b"1,85").replace(b"070Y", b"70 y"))
    seg = pydicom.dcmread(
        write_dicom_seg(source, "a", make_layers(make_mask())[0], CLASSES, make_output(tmp_path), ROWS)
    )
    assert not seg.PatientBirthDate and not seg.StudyTime and not seg.PatientSex
    assert "PatientSize" not in seg and "PatientAge" not in seg and seg.PatientWeight == 82.5
    assert seg.StudyDate == "19970424" and seg.DeidentificationMethod == "not stated"
    assert seg.StudyID == "S" * 20 and seg.PatientID == "PID-4711", "what files it stays as it is"


def test_a_lossy_source_is_said_to_be_lossy(tmp_path):
    source = write_source(tmp_path / "source.dcm")
    header = pydicom.dcmread(source)
    header.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xd9"])
    header["PixelData"].is_undefined_length = True
    header.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
    header.save_as(source)
    seg = pydicom.dcmread(
        write_dicom_seg(source, "a", make_layers(make_mask())[0], CLASSES, make_output(tmp_path), ROWS)
    )
    assert (seg.LossyImageCompression, seg.LossyImageCompressionMethod) == ("01", "ISO_10918_1")
    assert float(seg.LossyImageCompressionRatio) > 1


@pytest.mark.parametrize("name", ["Doe", "Doe=^=x=y=z", "D" * 70 + "^\\n", ""])
@pytest.mark.filterwarnings("ignore:.*:UserWarning:pydicom")  # when the test makes the bad source
def test_no_warning_or_log_quotes_the_header(name, tmp_path, capfd, caplog):
    source = write_source(tmp_path / "source.dcm", PatientName=name, PatientID="Doe", StudyDate="Doe", PatientSex="Doe")
    caplog.clear()
    caplog.set_level("DEBUG")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        path = write_dicom_seg(source, "a", make_layers(make_mask())[0], CLASSES, make_output(tmp_path), ROWS)
    assert [str(warning.message) for warning in caught] == [] and caplog.text == ""
    assert capfd.readouterr() == ("", "")
    assert pydicom.dcmread(path).PatientID == "Doe"


def test_names_in_any_script_are_carried_over(tmp_path):
    name = "Yamada^Tarou=山田^太郎"
    nested = pydicom.Dataset()
    nested.PatientID, nested.TypeOfPatientID = "\u5c71\u7530", "TEXT"
    source = write_source(
        tmp_path / "source.dcm",
        SpecificCharacterSet=["", "ISO 2022 IR 87"],
        PatientName=name,
        OtherPatientIDsSequence=[nested],
    )
    classes = ClassTable(("Полип",), ((1, 2, 3),))
    mask = np.zeros((1, ROWS, COLUMNS), np.uint8)
    seg = pydicom.dcmread(write_dicom_seg(source, "a", make_layers(mask)[0], classes, make_output(tmp_path), ROWS))
    assert str(seg.PatientName) == name == str(pydicom.dcmread(source).PatientName)
    assert seg.OtherPatientIDsSequence[0].PatientID == nested.PatientID
    assert seg.SegmentSequence[0].SegmentLabel == classes.names[0]
    assert seg.pixel_array.all(), "a class 0 that is no background is a segment like any other"
