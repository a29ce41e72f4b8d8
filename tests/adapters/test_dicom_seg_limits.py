"""What DICOM Segmentation is not written for, where it cannot be written, and how much memory it takes."""

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from seg_sources import CLASSES, COLUMNS, ROWS, TAGS, make_layers, make_mask, make_output, write_source

from wsss_adapters.dicom_seg.writing import mask_tags, write_dicom_seg
from wsss_toolkit.domain import ClassTable
from wsss_toolkit.errors import DataError, UsageError, WsssError

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "shape, frame_height, message",
    [
        ((4, ROWS, COLUMNS), ROWS, f"its 5 frames of {ROWS} rows have {5 * ROWS}, the mask {4 * ROWS}"),
        ((6, ROWS, COLUMNS), ROWS, f"its 5 frames of {ROWS} rows have {5 * ROWS}, the mask {6 * ROWS}"),
        ((5, ROWS, COLUMNS - 1), ROWS, f"its frames are {COLUMNS} pixels wide, the mask {COLUMNS - 1}"),
        ((5, ROWS - 1, COLUMNS), ROWS - 1, f"its frames have {ROWS} rows, the mask's {ROWS - 1}"),
    ],
)
def test_a_mask_of_another_size_is_refused_in_one_line(shape, frame_height, message, tmp_path):
    source = write_source(tmp_path / "source.dcm", "Video Endoscopic")
    layers = make_layers(np.ones(shape, np.uint8))[0]
    with pytest.raises(DataError) as caught:
        write_dicom_seg(source, "a", layers, CLASSES, make_output(tmp_path / "out"), frame_height)
    assert str(caught.value) == f"a: {message}"
    assert not list((tmp_path / "out").glob("*")) and not list((tmp_path / "out").glob(".*"))


def test_what_is_no_mask_is_refused(tmp_path):
    source = write_source(tmp_path / "source.dcm")
    mask = make_mask()
    mask[0, 9, 9] = 4
    with pytest.raises(ValueError, match="holds 4, which is no class"):
        write_dicom_seg(source, "a", make_layers(mask)[0], CLASSES, make_output(tmp_path), ROWS)
    with pytest.raises(ValueError, match="expected row 20, got row 0"):
        write_dicom_seg(source, "a", make_layers(make_mask())[0][:1] * 2, CLASSES, make_output(tmp_path), ROWS)
    with pytest.raises(UsageError, match="not the background"):
        write_dicom_seg(source, "a", [], ClassTable(("none",), ((0, 0, 0),), 0), make_output(tmp_path), ROWS)
    long = make_output(tmp_path, tags={**TAGS, "wsss_notice": "x" * 11_000})
    with pytest.raises(WsssError, match="characters of provenance"):
        write_dicom_seg(source, "a", make_layers(make_mask())[0], CLASSES, long, ROWS)
    assert [path.name for path in tmp_path.iterdir()] == ["source.dcm"]


@pytest.mark.parametrize("content", [b"", b"no DICOM at all" * 20, b"\0" * 128 + b"DICM"])
def test_a_source_that_cannot_be_read_is_one_error_without_its_path(content, tmp_path):
    source = tmp_path / "Müller.dcm"
    source.write_bytes(content)
    with pytest.raises(DataError) as caught:
        write_dicom_seg(source, "a", make_layers(make_mask())[0], CLASSES, make_output(tmp_path), ROWS)
    assert str(caught.value) == "a: is no complete DICOM image; copy it again"


def test_what_an_older_call_wrote_goes_with_its_mask(tmp_path):
    source = write_source(tmp_path / "source.dcm")
    layers = make_layers(make_mask())[0]
    write_dicom_seg(source, "a", layers, CLASSES, make_output(tmp_path / "out", confidence=True), ROWS)
    write_dicom_seg(source, "a", layers, CLASSES, make_output(tmp_path / "out"), ROWS)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a_mask.dcm"]


def test_tags_of_no_mask_and_of_foreign_files(tmp_path):
    path = tmp_path / "a_mask.dcm"
    assert mask_tags(path) is None
    for content in (b"", b"no DICOM" * 40):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a_mask\.dcm: no readable DICOM file"):
            mask_tags(path)
    write_source(path)
    with pytest.raises(DataError, match="was not written by wsss"):
        mask_tags(path)
    written = write_dicom_seg(path, "b", make_layers(make_mask())[0], CLASSES, make_output(tmp_path), ROWS)
    assert mask_tags(written) == TAGS
    seg = pydicom.dcmread(written)
    for item in seg.SegmentSequence:
        item.SegmentationAlgorithmIdentificationSequence[0].AlgorithmSource = "somebody else"
    seg.save_as(path)
    with pytest.raises(DataError, match="was not written by wsss"):
        mask_tags(path)


def test_an_output_folder_that_is_a_file_is_one_error(tmp_path):
    source = write_source(tmp_path / "source.dcm")
    (tmp_path / "out").write_text("")
    with pytest.raises(WsssError, match="cannot write") as caught:
        write_dicom_seg(source, "a", make_layers(make_mask())[0], CLASSES, make_output(tmp_path / "out"), ROWS)
    assert "\n" not in str(caught.value)


FULL = """
import resource, signal, sys
sys.path[:0] = {paths!r}
from pathlib import Path
from seg_sources import CLASSES, make_layers, make_mask, make_output
from wsss_adapters.dicom_seg.writing import write_dicom_seg
from wsss_toolkit.errors import WsssError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # what a full disk looks like: writing fails
layers = make_layers(make_mask(40, rows=64, columns=64), 64)[0]
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    write_dicom_seg(Path({source!r}), "a", layers, CLASSES, make_output(Path({folder!r}), confidence=True), 64)
except WsssError as error:
    print(error)
    sys.exit(7)
"""


@pytest.mark.parametrize("limit", [100, 30_000, 170_000])
def test_a_disk_that_fills_up_leaves_nothing_under_a_final_name(limit, tmp_path):
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    source = write_source(tmp_path / "source.dcm", "Video Endoscopic", rows=64, columns=64, frames=40)
    paths = [str(REPOSITORY), str(REPOSITORY / "adapters"), str(Path(__file__).parent)]
    code = FULL.format(paths=paths, limit=limit, source=str(source), folder=str(tmp_path / "out"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 7, done.stderr + done.stdout
    assert "cannot write" in done.stdout and "--out" in done.stdout and len(done.stdout.splitlines()) == 1
    assert not (tmp_path / "out" / "a_mask.dcm").exists() and not list((tmp_path / "out").glob(".*"))


def test_more_pixels_than_one_object_holds_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("wsss_adapters.dicom_seg.file.MOST_BYTES", 1000)
    source = write_source(tmp_path / "source.dcm", "Video Endoscopic", rows=64, columns=64, frames=9)
    layers = make_layers(make_mask(9, rows=64, columns=64))[0]
    with pytest.raises(WsssError, match="more than 4 GiB in one DICOM object; write a labelmap"):
        write_dicom_seg(source, "a", layers, CLASSES, make_output(tmp_path / "out"), 64)
    assert not list((tmp_path / "out").iterdir())
    write_dicom_seg(source, "a", layers, CLASSES, make_output(tmp_path / "out"), 64, segmentation_type="labelmap")


MEMORY = """
import resource, sys
sys.path[:0] = {paths!r}
from pathlib import Path
import numpy as np
from seg_sources import CLASSES, make_output
from wsss_adapters.dicom_seg.writing import write_dicom_seg
from wsss_toolkit.domain import Layers
rows, columns, frames = 120, 160, {frames}

class Blocks:
    def __len__(self):
        return frames
    def __getitem__(self, index):
        mask = np.zeros((rows, columns), np.uint8)
        mask[index % 100 : index % 100 + 20, 20:90] = 1
        mask[30:40, 100:150] = 2
        return Layers(index * rows, mask, mask, None)

write_dicom_seg(Path({source!r}), "a", Blocks(), CLASSES, make_output(Path({folder!r})), rows,
                segmentation_type={kind!r})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_memory_does_not_grow_with_the_number_of_frames(kind, tmp_path):
    peaks = []
    for frames in (20, 2000):
        source = write_source(tmp_path / "source.dcm", "Video Endoscopic", rows=120, columns=160, frames=1)
        header = pydicom.dcmread(source)
        header.NumberOfFrames = frames  # its pixels are not looked at
        header.save_as(source)
        paths = [str(REPOSITORY), str(REPOSITORY / "adapters"), str(Path(__file__).parent)]
        code = MEMORY.format(paths=paths, frames=frames, source=str(source), folder=str(tmp_path / "out"), kind=kind)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout))
    # The masks alone are 38 MB, their descriptions more; what is allowed is the noise of one process.
    assert peaks[1] - peaks[0] < 15, peaks
