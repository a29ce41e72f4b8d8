"""What --deidentify promises: nothing of the source's header is in anything that is written, nor in any name."""

import hashlib
import hmac
import warnings

import pytest
from seg_sources import CLASSES, ROWS, frame_count, make_layers, make_mask, make_output, write_source

from wsss_adapters.dicom.privacy import KEPT, deidentified, derived_uid, replaced_uid
from wsss_adapters.dicom.secret import key_for
from wsss_adapters.dicom_seg.source import complete_header
from wsss_adapters.dicom_seg.writing import write_dicom_seg

pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")

PLANTED = {
    "AE": "QZX{:05}",
    "CS": "QZX{:05}",
    "LO": "qzx Jane {:05}",
    "LT": "qzx Jane {:05}",
    "PN": "QZX{:05}^Jane",
    "SH": "QZX{:05}",
    "ST": "qzx Jane {:05}",
    "UC": "qzx Jane {:05}",
    "UR": "http://qzx.example/{:05}",
    "UT": "qzx Jane {:05}",
    "UI": "1.2.826.0.1.3680043.8.498.7777.{}",
    "DA": "19470813",
    "DT": "19470813101112",
    "TM": "134711.294711",
    "AS": "077Y",
}
"""A value that gives itself away, by value representation; {} is the number of the attribute."""

TRACES = (b"qzx", b"QZX", b"Jane", b"3680043.8.498.7777", b"19470813", b"134711", b"077Y", b"294711")
"""What is searched for in everything that is written."""

STRUCTURE = {
    "SOPClassUID", "TransferSyntaxUID", "MediaStorageSOPClassUID", "PhotometricInterpretation", "SpecificCharacterSet",
    "PixelPresentation", "LossyImageCompression", "PatientSex",
}  # fmt: skip
"""Text that says how a file is read, and cannot hold anything else."""


def plant_everywhere(header):
    """Fill every attribute of text, date or UID that DICOM defines, nested sequences and private ones too."""
    from pydicom.datadict import DicomDictionary
    from pydicom.dataset import Dataset

    sequences = []
    count = 0
    for tag, (vr, _, _, retired, keyword) in DicomDictionary.items():
        group = tag >> 16
        if not keyword or keyword in STRUCTURE or retired or group in (0, 2, 4, 6, 0x7FE0, 0xFFFE):
            continue
        if vr == "SQ":
            sequences.append(keyword)
        elif vr in PLANTED:
            setattr(header, keyword, PLANTED[vr].format(count))
            count += 1
    for keyword in sequences:
        item = Dataset()
        item.PatientName, item.PatientID, item.UID = "QZX^nested", "QZXnested", "1.2.826.0.1.3680043.8.498.7777.1"
        item.TextValue, item.CodeMeaning, item.Date = "qzx nested", "Jane nested", "19470813"
        setattr(header, keyword, [item])
    private = header.private_block(0x0011, "QZX PRIVATE", create=True)
    private.add_new(0x01, "LO", "qzx private Jane")
    private.add_new(0x02, "UN", b"qzx private Jane")
    header.PatientComments = "qzx" * 500
    header.LossyImageCompression = "01"  # the method, which is planted too, is then to be repeated
    header.preamble = b"Jane QZX".ljust(128, b"\0")
    header.file_meta.SourceApplicationEntityTitle = "QZXAE"
    header.file_meta.PrivateInformationCreatorUID = "1.2.826.0.1.3680043.8.498.7777.2"
    header.file_meta.PrivateInformation = b"qzx Jane"
    return count


def planted_source(path, kind):
    """Write an instance that is full of identifiers; return its path."""
    write_source(path, kind)
    header = pydicom.dcmread(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # values that break rules are the point
        assert plant_everywhere(header) > 1000
        if "NumberOfFrames" in header:
            header.SharedFunctionalGroupsSequence[0].PatientName = "QZX^shared"
        header.save_as(path)
    return path


def traces(folder):
    """Return what of the planted is found in the names and bytes of all files."""
    found = set()
    for path in folder.rglob("*"):
        content = path.name.encode() + (path.read_bytes() if path.is_file() else b"")
        found |= {trace for trace in TRACES if trace in content}
    return found


@pytest.mark.parametrize("segmentation_type", ["binary", "labelmap"])
@pytest.mark.parametrize("kind", ["VL Endoscopic", "Video Endoscopic", "Secondary Capture", "Ultrasound Multi-frame"])
def test_nothing_that_is_planted_in_the_source_is_written(kind, segmentation_type, tmp_path):
    source = planted_source(tmp_path / "source.dcm", kind)
    layers = make_layers(make_mask(frame_count(kind)))[0]
    for deidentify, expected in ((False, True), (True, False)):
        folder = tmp_path / f"out {deidentify}"
        output = make_output(folder, confidence=True, scores=True, deidentify=deidentify)
        write_dicom_seg(source, "a", layers, CLASSES, output, ROWS, segmentation_type=segmentation_type)
        assert len(list(folder.iterdir())) == 3
        assert bool(traces(folder)) is expected, traces(folder)


def test_the_object_says_how_it_was_deidentified(tmp_path):
    source = write_source(tmp_path / "source.dcm")
    output = make_output(tmp_path, deidentify=True)
    seg = pydicom.dcmread(write_dicom_seg(source, "a", make_layers(make_mask())[0], CLASSES, output, ROWS))
    assert seg.PatientIdentityRemoved == "YES" and "wsss-toolkit" in seg.DeidentificationMethod
    [method] = seg.DeidentificationMethodCodeSequence
    assert (method.CodeValue, method.CodingSchemeDesignator) == ("113100", "DCM")
    assert seg.LongitudinalTemporalInformationModified == "REMOVED"
    for keyword in (
        "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber",
        "ReferringPhysicianName", "ContentCreatorName",
    ):  # fmt: skip
        assert keyword in seg and not seg[keyword].value, keyword
    for keyword in ("InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "ContributingEquipmentSequence"):
        assert keyword not in seg, keyword
    assert (seg.ContentDate, seg.ContentTime) == ("19000101", "000000")
    assert seg.PatientID.startswith("ANON-")
    plain = make_output(tmp_path)
    seg = pydicom.dcmread(write_dicom_seg(source, "b", make_layers(make_mask())[0], CLASSES, plain, ROWS))
    assert "PatientIdentityRemoved" not in seg and "DeidentificationMethodCodeSequence" not in seg


def test_a_study_stays_together_and_patients_stay_apart(tmp_path):
    made = {}
    for name, study, series, instance in (
        ("a", "1.2.3.1", "1.2.3.1.1", "1.2.3.1.1.1"),
        ("b", "1.2.3.1", "1.2.3.1.1", "1.2.3.1.1.2"),
        ("c", "1.2.3.1", "1.2.3.1.2", "1.2.3.1.2.1"),
        ("d", "1.2.3.2", "1.2.3.2.1", "1.2.3.2.1.1"),
    ):
        source = write_source(
            tmp_path / "source.dcm", StudyInstanceUID=study, SeriesInstanceUID=series, SOPInstanceUID=instance
        )
        output = make_output(tmp_path, deidentify=True)
        seg = pydicom.dcmread(write_dicom_seg(source, name, make_layers(make_mask())[0], CLASSES, output, ROWS))
        made[name] = seg
        key = key_for(tmp_path, None)
        [reference] = seg.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == replaced_uid(instance, key)
        assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == replaced_uid(series, key)
        assert seg.StudyInstanceUID == replaced_uid(study, key)
    studies = [made[name].StudyInstanceUID for name in "abcd"]
    assert studies[0] == studies[1] == studies[2] != studies[3]
    assert made["a"].PatientID == made["c"].PatientID != made["d"].PatientID
    assert made["a"].SeriesInstanceUID == made["b"].SeriesInstanceUID != made["c"].SeriesInstanceUID
    assert len({seg.SOPInstanceUID for seg in made.values()}) == 4


def test_replaced_uids_are_valid_and_do_not_give_the_original_back():
    uids = {replaced_uid(f"1.2.3.{number}", b"a key of the user") for number in range(2000)}
    assert len(uids) == 2000
    for uid in uids:
        assert pydicom.uid.UID(uid).is_valid and uid.startswith("2.25.")
        number = int(uid.removeprefix("2.25."))
        assert number < 2**128 and number >> 76 & 0xF == 8 and number >> 62 & 0x3 == 2  # a UUID of version 8
    assert derived_uid("a", "bc") != derived_uid("ab", "c")
    one, other = (replaced_uid("1.2.3.4", key) for key in (b"one key of a user", b"the key of another"))
    assert one != other and one not in {derived_uid("deidentified", "1.2.3.4"), derived_uid("1.2.3.4")}
    expected = hmac.new(b"one key of a user", b"wsss-toolkit\0deidentified\x001.2.3.4", hashlib.sha256).digest()
    assert int(one.removeprefix("2.25.")) ^ int.from_bytes(expected[:16], "big") <= 0xF << 76 | 0x3 << 62


def test_a_clean_header_holds_what_is_listed_and_nothing_else(tmp_path):
    path = planted_source(tmp_path / "source.dcm", "Video Endoscopic")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        header = pydicom.dcmread(path, stop_before_pixels=True)
        complete_header(header, 1000)
    clean = deidentified(header, b"a key of the user")
    listed = {
        *KEPT, "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "PatientID", "PatientName", "PatientSex",
        "PatientBirthDate", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName",
    }  # fmt: skip
    assert {element.keyword for element in clean} <= listed
    assert "Jane" in str(header.PatientName), "the source's header is left as it is"
