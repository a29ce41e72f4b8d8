"""Which files hold frames, and what they are called."""

import os
import pickle
import re
import shutil
import sys
from pathlib import Path

import pydicom
import pytest
from fake_frames import RGB, Scenes, header, native, picture, save
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from wsss_adapters.endoscopy.frame_finder import find_frames
from wsss_toolkit.errors import DataError, UsageError

FRAME = picture(8, 10)[None]
SEGMENTATION, REPORT = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.11"


def find(*inputs):
    return find_frames([str(path) for path in inputs])


def files(sources):
    return [source.path.name for source in sources]


def write_picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(FRAME[0]).save(path)
    return path


def test_mixed_folders(tmp_path):
    native(tmp_path / "b.dcm", FRAME)
    native(tmp_path / "IM000001", FRAME)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    native(tmp_path / "deep" / "er" / "x.ima", FRAME)
    for name in ("a.PNG", "deep/c.jpg", "d.jpeg", "e.tif", "f.TIFF", "g.bmp"):
        write_picture(tmp_path / name)
    # No frames: other files, hidden ones, and what is written beside pictures.
    for name in ("notes.txt", "labels.csv", "noise", ".hidden.png", ".cache/a.png", "h.heic"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\x08\x00 something else")
    for name in ("a_mask.png", "a_confidence.png", "a_scores_0_one.png"):
        write_picture(tmp_path / name)
    native(tmp_path / "b_mask.dcm", FRAME, SOPClassUID=SEGMENTATION)
    native(tmp_path / "report", FRAME, SOPClassUID=REPORT)
    found = find(tmp_path)
    assert files(found) == ["IM000001", "a.PNG", "b.dcm", "d.jpeg", "e.tif", "f.TIFF", "g.bmp", "c.jpg", "x.ima"]
    assert [source.kind for source in found] == ["dicom", "picture", "dicom", *["picture"] * 5, "dicom"]
    assert [source.name for source in found if source.kind == "picture"] == ["a", "d", "e", "f", "g", "c"]
    assert [source.shown for source in found] == [str(source.path) for source in found]
    assert files(find(tmp_path / "*.dcm")) == ["b.dcm"]
    assert files(find(tmp_path / "**" / "*.j*")) == ["d.jpeg", "c.jpg"]
    assert files(find(tmp_path / "deep", tmp_path / "deep" / "c.jpg", tmp_path / "a.PNG")) == [
        "c.jpg",
        "x.ima",
        "a.PNG",
    ]


def test_dicom_without_the_preamble(tmp_path):
    for implicit in (True, False):
        path = tmp_path / f"IM{implicit:d}"
        dataset = header(FRAME, "RGB", PixelData=FRAME.tobytes())
        dataset["PixelData"].VR = "OW"
        pydicom.dcmwrite(path, dataset, implicit_vr=implicit, little_endian=True)
        assert path.read_bytes()[128:132] != b"DICM"
    found = find(tmp_path)
    assert files(found) == ["IM0", "IM1"]
    scenes = Scenes()
    for source in found:
        with scenes.open_scene(source, RGB) as scene:
            assert (scene.height, scene.width) == (8, 10)


def test_names_come_from_the_object_and_not_from_the_path(tmp_path):
    uid = "1.2.826.0.1.3680043.8.498.1"
    one = find(native(tmp_path / "a.dcm", FRAME, SOPInstanceUID=uid))[0].name
    again = find(native(tmp_path / "renamed", FRAME, SOPInstanceUID=uid))[0].name
    assert one == again and re.fullmatch("dicom-[0-9a-f]{12}", one)
    # Two files of one object: both are labelled, under names of their own.
    both = [source.name for source in find(tmp_path)]
    assert len(set(both)) == 2 and all(name.startswith(f"{one}-") for name in both)
    (tmp_path / "broken.dcm").write_bytes(b"")
    (tmp_path / "worse.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"garbage" * 9)
    names = [source.name for source in find(tmp_path)]
    assert len(set(names)) == 4 and names == [source.name for source in find(tmp_path)]


def test_names_of_pictures(tmp_path):
    for name in ("ä b(1).png", "one/x.png", "two/X.png", "two/x.jpg", "three/y.png"):
        write_picture(tmp_path / name)
    names = {source.path.relative_to(tmp_path).as_posix(): source.name for source in find(tmp_path)}
    assert names["ä b(1).png"] == "a-b-1-d9b885ad" and names["three/y.png"] == "y" and names["one/x.png"] == "one_x"
    clashing = [names["two/X.png"], names["two/x.jpg"]]
    assert clashing[0].startswith("two_X-") and clashing[1].startswith("two_x-")
    assert len({name.casefold() for name in names.values()}) == 5


PLANTED = {
    "PatientName": "Planted^Penelope",
    "PatientID": "PID-998877",
    "PatientBirthDate": "19660405",
    "AccessionNumber": "ACC-55443322",
    "StudyDate": "20231224",
}
FORBIDDEN = ("planted", "penelope", "998877", "19660405", "1966-04-05", "55443322", "20231224", "1.2.3.999")


def test_nothing_of_the_header_reaches_names_and_messages(tmp_path):
    study = generate_uid("1.2.3.999.")
    folder = tmp_path / "PLANTED_PENELOPE" / "1966-04-05 pid998877" / "acc55443322"
    folder.mkdir(parents=True)
    uid = generate_uid("1.2.3.999.")
    native(folder / f"{uid}.dcm", FRAME, SOPInstanceUID=uid, StudyInstanceUID=study, **PLANTED)
    other = generate_uid("1.2.3.999.")
    native(folder / other.replace(".", "_"), FRAME, SOPInstanceUID=other, StudyInstanceUID=study, **PLANTED)
    (folder / "20231224.dcm").write_bytes(b"\0" * 128 + b"DICM")
    write_picture(folder / "Penelope 1.png")
    write_picture(folder / "plain.png")
    found = find(tmp_path)
    assert len(found) == 5
    for source in found:
        text = f"{source.name} {source.shown} {source.fingerprint()}".lower()
        assert not [word for word in (*FORBIDDEN, other.replace(".", "_")) if word in text], text
        assert source.shown.startswith(f"{tmp_path}{os.sep}{source.name}{os.sep}")
    assert found[-1].name == "plain" and found[-1].shown.endswith("plain.png")
    assert found[-2].name.startswith("picture-")
    [broken] = [source for source in found if source.path.name == "20231224.dcm"]
    with pytest.raises(DataError) as caught, Scenes().open_scene(broken, RGB):
        pass
    assert not [word for word in FORBIDDEN if word in str(caught.value).lower()]


def test_dicomdir(tmp_path):
    source = Path(get_testdata_file("DICOMDIR", download=False)).parent
    shutil.copytree(source, tmp_path / "medium")
    listed = find(tmp_path / "medium" / "DICOMDIR")
    walked = find(tmp_path / "medium")
    assert len(listed) == 31 and {item.path for item in listed} <= {item.path for item in walked}
    # Media are often copied in lower case, and not completely.
    (tmp_path / "medium" / "98892003").rename(tmp_path / "medium" / "elsewhere")
    assert {item.path for item in find(tmp_path / "medium" / "DICOMDIR")} == {item.path for item in listed}
    with pytest.raises(DataError, match=r"cannot be read \(No such file"), Scenes().open_scene(listed[-1], RGB):
        pass


def test_dicomdir_of_lower_case_files_and_with_a_report(tmp_path):
    record = pydicom.Dataset()
    record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", ["DICOM", "IM0001"]
    report = pydicom.Dataset()
    report.DirectoryRecordType, report.ReferencedFileID = "SR DOCUMENT", ["DICOM", "SR0001"]
    directory(tmp_path / "DICOMDIR", [record, report])
    (tmp_path / "dicom").mkdir()
    native(tmp_path / "dicom" / "im0001", FRAME)
    [found] = find(tmp_path / "DICOMDIR")
    assert found.path == tmp_path / "dicom" / "im0001" and found.kind == "dicom"
    assert files(find(tmp_path)) == ["im0001"]


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS:UserWarning")
@pytest.mark.parametrize("name", [["..", "secret"], ["/etc", "passwd"], ["a", "", "b"], ["link", "secret"]])
def test_a_dicomdir_reaches_nothing_outside_its_folder(tmp_path, name):
    medium = tmp_path / "medium"
    medium.mkdir()
    native(tmp_path / "secret", FRAME)
    (medium / "link").symlink_to(tmp_path)
    record = pydicom.Dataset()
    record.DirectoryRecordType, record.ReferencedFileID = "IMAGE", name
    directory(medium / "DICOMDIR", [record])
    with pytest.raises(UsageError, match="DICOMDIR: lists a file outside its folder; give the folder"):
        find(medium / "DICOMDIR")


def test_damaged_dicomdirs(tmp_path):
    path = tmp_path / "DICOMDIR"
    write_picture(tmp_path / "a.png")
    for content in (b"", b"nothing", b"\0" * 128 + b"DICM"):
        path.write_bytes(content)
        assert files(find(tmp_path)) == ["a.png"], "a folder is searched whatever its DICOMDIR says"
        with pytest.raises(UsageError, match="is not a readable DICOMDIR; copy it again"):
            find(path)


def directory(path, records):
    """Write a DICOMDIR, which has its records in no particular structure."""
    dataset = pydicom.Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.1.3.10", generate_uid()
    dataset.DirectoryRecordSequence = records
    return save(dataset, path)


def test_what_does_not_exist_or_holds_no_frames(tmp_path):
    for missing in (tmp_path / "nowhere", tmp_path / "*.dcm"):
        with pytest.raises(UsageError, match=r"no such file or folder: .*; correct --tiles; quote globs"):
            find(missing)
    native(tmp_path / "seg.dcm", FRAME, SOPClassUID=SEGMENTATION)
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "nothing").mkdir()
    kinds = {"": r" \(not read: 1 \.txt, 1 \.dcm\)", "notes.txt": r" \(not read: 1 \.txt\)", "nothing": ""}
    for name, kind in kinds.items():
        with pytest.raises(
            UsageError, match=rf"no frames in '[^']*'{kind}; looked for DICOM \(also without a suffix\), DICOMDIR, \.a"
        ):
            find(tmp_path / name)
    # What the user names is taken seriously.
    [named] = find(tmp_path / "seg.dcm")
    with pytest.raises(DataError, match="another kind: Segmentation Storage"), Scenes().open_scene(named, RGB):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_folders_that_cannot_be_read(tmp_path):
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.raises(UsageError, match="closed: cannot be read"):
        find(tmp_path)


def test_sources_travel_and_know_when_their_file_changes(tmp_path):
    path = native(tmp_path / "a.dcm", FRAME)
    [source] = find(path)
    assert pickle.loads(pickle.dumps(source)) == source and hash(source)
    before = source.fingerprint()
    assert before == source.fingerprint()
    path.write_bytes(path.read_bytes() + b"\0\0")
    assert source.fingerprint() != before
    path.unlink()
    assert source.fingerprint()


def test_dicom_without_pydicom_names_the_extra(tmp_path, monkeypatch):
    path = native(tmp_path / "a.dcm", FRAME)
    write_picture(tmp_path / "pictures" / "b.png")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    message = r"a\.dcm: is DICOM, and pydicom is not installed; pip install 'wsss-toolkit\[endoscopy\]'"
    with pytest.raises(UsageError, match=message):
        find(path)
    assert files(find(tmp_path / "pictures")) == ["b.png"]


def test_a_thousand_files_of_which_three_are_broken(tmp_path):
    content = native(tmp_path / "0000.dcm", FRAME, SOPInstanceUID="1.2.3.4.1000", **PLANTED).read_bytes()
    for number in range(1, 1000):
        uid = f"1.2.3.4.{1000 + number}".encode()
        (tmp_path / f"{number:04}.dcm").write_bytes(content.replace(b"1.2.3.4.1000", uid))
    (tmp_path / "0100.dcm").write_bytes(b"")
    (tmp_path / "0500.dcm").write_bytes(content[:-20])
    (tmp_path / "0900.dcm").write_bytes(content[:200])
    found = find(tmp_path)
    assert len(found) == len({source.name for source in found}) == 1000
    failed = []
    scenes = Scenes()
    for source in found:
        try:
            with scenes.open_scene(source, RGB) as scene:
                assert (scene.height, scene.width) == (8, 10)
        except DataError as error:
            failed.append(source.path.name)
            assert source.shown in str(error)
    assert failed == ["0100.dcm", "0500.dcm", "0900.dcm"]
