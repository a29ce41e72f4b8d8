"""Spoiled DICOM files: a command names those that it cannot label, and labels the good one beside them as ever."""

import contextlib
import io
import random
import shutil
import warnings

import numpy as np
import pytest
from fake_frames import encoded, jpeg, jpegs, native, picture
from fuzzing import none_of, spoil_bytes, wsss

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")
pytest.importorskip("monai")

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("adapters")]

CASES, BATCH, PARTS = 300, 15, 5
STACK = np.stack([picture(40, 48, seed=seed) for seed in range(2)])
VALUES = {
    "Rows": [0, 1, 39, 65535], "Columns": [0, 1, 47, 65535],
    "NumberOfFrames": ["0", "-1", "1", "3", "99999999", None], "BitsAllocated": [1, 8, 16, 12, 64],
    "BitsStored": [0, 1, 7, 8, 16], "HighBit": [0, 7, 15], "SamplesPerPixel": [0, 1, 2, 3, 4],
    "PixelRepresentation": [0, 1, 7], "PlanarConfiguration": [0, 1, 5, None],
    "PixelAspectRatio": [["1", "1"], ["2", "1"], ["0", "0"]],
    "PhotometricInterpretation": ["RGB", "YBR_FULL", "YBR_FULL_422", "MONOCHROME1", "PALETTE COLOR", "", "X" * 16],
    "PatientName": ["", "M\xfcller^J", "\x1b$)A", "A" * 400, "=\u5f20=", None],
    "PatientID": ["", "../../x", "=1+1", None],
    "SpecificCharacterSet": ["ISO_IR 192", "ISO 2022 IR 58", "nonsense", ["", "ISO 2022 IR 87"], None],
    "SOPInstanceUID": ["", "1.2.3", "not a uid", "1." * 60, None], "StudyInstanceUID": ["", "x/y", None],
    "SeriesInstanceUID": ["", None], "SOPClassUID": ["1.2.3", "1.2.840.10008.5.1.4.1.1.66.4", None],
    "StudyDate": ["", "20249999", "yesterday", None], "Modality": ["", "CT", "SEG", None],
    "WindowCenter": ["nan", "0"], "WindowWidth": ["0", "-5"], "RescaleSlope": ["0", "1e308", "nan"],
    "RescaleIntercept": ["inf", "-1000"],
}  # fmt: skip


def written(path, chance):
    """Write a sound file of some transfer syntax."""
    kind = chance.choice(["native", "native", "jpeg", "rle", "j2k", "grey"])
    if kind == "jpeg":
        return jpegs(
            path, [jpeg(frame) for frame in STACK], (40, 48, 3), table=chance.choice(["basic", "extended", "none"])
        )
    if kind == "rle":
        return encoded(path, STACK, pydicom.uid.RLELossless)
    if kind == "j2k":
        return encoded(path, STACK, pydicom.uid.JPEG2000Lossless, "YBR_RCT")
    if kind == "grey":
        return native(path, STACK[..., 0].astype(np.uint16), "MONOCHROME2")
    return native(path, STACK[: chance.choice([1, 2])])


def spoil_header(path, chance):
    """Change one to three elements of a file's header."""
    with warnings.catch_warnings(), contextlib.suppress(Exception):  # what pydicom does not write does not occur
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path)
        for name in chance.sample(sorted(VALUES), chance.randint(1, 3)):
            value = chance.choice(VALUES[name])
            if value is None:
                dataset.pop(name, None)
            else:
                setattr(dataset, name, value)
        buffer = io.BytesIO()
        dataset.save_as(buffer)
        path.write_bytes(buffer.getvalue())


def masks_of(folder):
    """Return the pixels of the segmentation objects in a folder by their names."""
    found = {}
    for path in sorted(folder.glob("*_mask.dcm")):
        dataset = pydicom.dcmread(path)
        found[path.name] = (dataset.get("SeriesDescription"), dataset.PixelData)
    return found


@pytest.mark.parametrize("part", range(PARTS))
def test_spoiled_dicom(frames_run, tmp_path, part):
    alone = tmp_path / "alone"
    alone.mkdir()
    native(
        alone / "good.dcm",
        STACK,
        SOPInstanceUID="1.2.826.0.1.3680043.8.498.1",
        StudyInstanceUID="1.2.826.0.1.3680043.8.498.2",
    )
    options = ["--run", frames_run, "--device", "cpu"]
    result, why = wsss("pseudolabel", *options, "--tiles", alone, "--out", tmp_path / "alone-out")
    assert why is None and result.exit_code == 0, result.output
    [[name, mask]], broken = masks_of(tmp_path / "alone-out").items(), []
    for batch in range(part, CASES // BATCH, PARTS):
        folder, out = tmp_path / f"in{batch}", tmp_path / f"out{batch}"
        folder.mkdir()
        shutil.copy(alone / "good.dcm", folder / "good.dcm")
        for number in range(BATCH):
            chance = random.Random(f"dicom {batch} {number}")
            path = written(folder / f"case{number}.dcm", chance)
            if chance.random() < 0.5:
                spoil_header(path, chance)
            else:
                path.write_bytes(spoil_bytes(path.read_bytes(), chance))
        extra = ["--deidentify"] if batch % 3 == 0 else []
        result, why = wsss("pseudolabel", *options, "--tiles", folder, "--out", out, *extra)
        found = masks_of(out) if out.is_dir() else {}
        if why is None and not extra and name not in found:
            why = f"the good file has no mask: {result.output}"
        elif why is None and mask[1] not in [pixels for _, pixels in found.values()]:
            why = f"the good file has another mask: {result.output}"
        if why:
            broken.append((f"batch {batch}", why))
    none_of(broken)
