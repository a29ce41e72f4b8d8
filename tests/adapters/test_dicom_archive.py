"""Our objects in a real picture archive: Debian's Orthanc, started here on loopback and stopped again."""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from seg_sources import CLASSES, ROWS, make_layers, make_mask, make_output, visible, write_source

from wsss_adapters.dicom_seg.writing import mask_tags, write_dicom_seg

pydicom = pytest.importorskip("pydicom")
highdicom = pytest.importorskip("highdicom")

ORTHANC = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
AE_TITLE = "WSSSTEST"

pytestmark = [
    pytest.mark.external,
    pytest.mark.skipif(ORTHANC is None, reason="needs Debian's orthanc"),
]


def free_ports(count):
    """Return ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Archive:
    """An Orthanc of its own: its data are in a folder of the test's, it listens on loopback only."""

    def __init__(self, folder):
        folder.mkdir()
        self.http, self.dicom = free_ports(2)
        configuration = {
            "Name": "wsss test",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "index"),
            "Plugins": [],
            "HttpPort": self.http,
            "HttpBindAddresses": ["127.0.0.1"],
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomPort": self.dicom,
            "DicomAet": AE_TITLE,
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowFind": True,
            "UnknownSopClassAccepted": True,
        }
        path = folder / "orthanc.json"
        path.write_text(json.dumps(configuration))
        self.said = ""
        self.log = (folder / "log").open("w+b")
        self.process = subprocess.Popen([ORTHANC, str(path)], stdout=self.log, stderr=subprocess.STDOUT, cwd=folder)

    def __enter__(self):
        end = time.monotonic() + 60
        while True:
            try:
                assert self.get("/system")["DicomAet"] == AE_TITLE, "another server has taken the port"
                return self
            except (urllib.error.URLError, ConnectionError):
                if self.process.poll() is not None or time.monotonic() > end:
                    self.__exit__()
                    pytest.fail("Orthanc does not start: " + self.said)
                time.sleep(0.1)

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.seek(0)
        self.said = self.log.read().decode(errors="replace")
        self.log.close()

    def ask(self, path, content=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", data=content)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read()

    def get(self, path, content=None):
        return json.loads(self.ask(path, content))

    def find(self, level, **query):
        """Return what the archive knows of all studies, series or instances that match."""
        question = {"Level": level, "Query": query, "Expand": True}
        return self.get("/tools/find", json.dumps(question).encode())


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    with Archive(tmp_path_factory.mktemp("archive") / "orthanc") as running:
        yield running


def written(folder, kind, segmentation_type, number, **changes):
    """Write a source, and a mask of it; return their paths and the mask's classes `frames h w`."""
    folder.mkdir(parents=True, exist_ok=True)
    uids = {
        "StudyInstanceUID": f"1.2.826.0.1.3680043.8.498.2.{number}",
        "SeriesInstanceUID": f"1.2.826.0.1.3680043.8.498.2.{number}.1",
        "SOPInstanceUID": f"1.2.826.0.1.3680043.8.498.2.{number}.1.1",
        "PatientID": f"PATIENT-{number}",
    }
    source = write_source(folder / "source.dcm", kind, **uids)
    frames = int(pydicom.dcmread(source).get("NumberOfFrames", 1))
    mask = make_mask(frames, seed=number)
    output = make_output(folder, **changes)
    layers = make_layers(mask)[0]
    return (
        source,
        write_dicom_seg(source, "a", layers, CLASSES, output, ROWS, segmentation_type=segmentation_type),
        mask,
    )


def same_mask(path, original, mask):
    """Check that an object that came back is the one that was sent, pixel by pixel and tag by tag."""
    sent, back = highdicom.seg.segread(original), highdicom.seg.segread(path)
    assert back.SOPInstanceUID == sent.SOPInstanceUID and mask_tags(path) == mask_tags(original)
    np.testing.assert_array_equal(back.pixel_array, sent.pixel_array)
    assert pydicom.dcmread(path) == pydicom.dcmread(original)
    uid = sent.SourceImageSequence[0].ReferencedSOPInstanceUID
    options = {"combine_segments": True, "assert_missing_frames_are_empty": True}
    if len(mask) > 1:
        pixels = back.get_pixels_by_source_frame(uid, list(range(1, len(mask) + 1)), **options)
    else:
        pixels = back.get_pixels_by_source_instance([uid], **options)
    np.testing.assert_array_equal(pixels, visible(mask))


@pytest.mark.parametrize(
    "number, kind, segmentation_type",
    [(1, "VL Endoscopic", "binary"), (2, "Video Endoscopic", "binary"), (3, "Video Endoscopic", "labelmap")],
)
def test_over_rest_an_object_files_under_its_study_and_comes_back_the_same(
    archive, number, kind, segmentation_type, tmp_path
):
    source, mask_path, mask = written(tmp_path, kind, segmentation_type, number)
    for path in (source, mask_path):
        assert archive.get("/instances", path.read_bytes())["Status"] == "Success"
    [study] = archive.find("Study", PatientID=f"PATIENT-{number}")
    assert len(study["Series"]) == 2, "source and mask are one study"
    assert study["MainDicomTags"]["StudyInstanceUID"] == pydicom.dcmread(source).StudyInstanceUID
    [series] = archive.find("Series", PatientID=f"PATIENT-{number}", Modality="SEG")
    assert series["MainDicomTags"]["SeriesDescription"] == "wsss-toolkit mask"
    [instance] = series["Instances"]
    fetched = tmp_path / "fetched.dcm"
    fetched.write_bytes(archive.ask(f"/instances/{instance}/file"))
    same_mask(fetched, mask_path, mask)
    again = archive.get("/instances", mask_path.read_bytes())
    assert again["Status"] == "AlreadyStored", "the same mask has the same UID"


def test_a_deidentified_object_files_under_a_patient_of_its_own(archive, tmp_path):
    _, first, _ = written(tmp_path / "a", "VL Endoscopic", "binary", 4, deidentify=True)
    _, second, mask = written(tmp_path / "b", "VL Endoscopic", "binary", 5, deidentify=True)
    for path in (first, second):
        assert archive.get("/instances", path.read_bytes())["Status"] == "Success"
    patients = archive.find("Patient", PatientID="ANON-*")
    assert len(patients) == 2 and not archive.find("Patient", PatientID="PATIENT-5")
    uid = pydicom.dcmread(second).SOPInstanceUID
    [instance] = archive.find("Instance", SOPInstanceUID=uid)
    fetched = tmp_path / "fetched.dcm"
    fetched.write_bytes(archive.ask(f"/instances/{instance['ID']}/file"))
    same_mask(fetched, second, mask)


@pytest.mark.skipif(shutil.which("storescu") is None, reason="needs Debian's dcmtk")
def test_c_store_and_c_find(archive, tmp_path):
    source, mask_path, mask = written(tmp_path, "Ultrasound Multi-frame", "binary", 6)
    peer = ["-aec", AE_TITLE, "127.0.0.1", str(archive.dicom)]
    sent = subprocess.run(["storescu", "-R", *peer, str(source), str(mask_path)], capture_output=True, text=True)
    assert sent.returncode == 0, sent.stderr
    found = tmp_path / "found"
    found.mkdir()
    keys = ["QueryRetrieveLevel=SERIES", "PatientID=PATIENT-6", "Modality=SEG", "SeriesInstanceUID", "StudyInstanceUID"]
    query = ["findscu", "-S", "-X", "-od", str(found), *(part for key in keys for part in ("-k", key)), *peer]
    asked = subprocess.run(query, capture_output=True, text=True)
    assert asked.returncode == 0, asked.stderr
    [answer] = [pydicom.dcmread(path, force=True) for path in found.iterdir()]
    seg = pydicom.dcmread(mask_path)
    assert (answer.SeriesInstanceUID, answer.StudyInstanceUID) == (seg.SeriesInstanceUID, seg.StudyInstanceUID)
    [instance] = archive.find("Instance", SOPInstanceUID=seg.SOPInstanceUID)
    fetched = tmp_path / "fetched.dcm"
    fetched.write_bytes(archive.ask(f"/instances/{instance['ID']}/file"))
    same_mask(fetched, mask_path, mask)


def test_the_archive_refuses_what_is_no_object(archive):
    with pytest.raises(urllib.error.HTTPError, match="400"):
        archive.ask("/instances", b"no DICOM")
