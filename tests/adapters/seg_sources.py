"""Small DICOM instances of every kind that is labelled, and masks for them."""

from pathlib import Path

import numpy as np

from wsss_adapters.dicom_seg.writing import DicomOutputs
from wsss_toolkit.domain import LEVELS, ClassTable, Code, Destination, Layers

KINDS = {
    "VL Endoscopic": ("1.2.840.10008.5.1.4.1.1.77.1.1", None),
    "Video Endoscopic": ("1.2.840.10008.5.1.4.1.1.77.1.1.1", 5),
    "Video Endoscopic, one frame": ("1.2.840.10008.5.1.4.1.1.77.1.1.1", 1),
    "Secondary Capture": ("1.2.840.10008.5.1.4.1.1.7", None),
    "Multi-frame True Color Secondary Capture": ("1.2.840.10008.5.1.4.1.1.7.4", 3),
    "Ultrasound": ("1.2.840.10008.5.1.4.1.1.6.1", None),
    "Ultrasound Multi-frame": ("1.2.840.10008.5.1.4.1.1.3.1", 4),
    "a private class": ("1.2.826.0.1.3680043.8.498.99", 2),
}
"""SOP class and number of frames; None where the class has no such attribute."""

ROWS, COLUMNS = 33, 41
CLASSES = ClassTable(
    ("background", "polyp", "Ünklar\\x", "clip"),
    ((0, 0, 0), (255, 0, 0), (0, 200, 40), (30, 60, 255)),
    background=0,
    codes=(None, Code("68496003", "SCT", "Polyp of colon"), None, Code("77720000", "SCT", "Clip")),
)
TAGS = {
    "wsss_version": "0.1.0",
    "wsss_recipe": "fake",
    "wsss_recipe_digest": "ab" * 32,
    "wsss_stage": "unet",
    "wsss_job": 'a, b=c "ü" \\ \n d',
}

BARE = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
        "AccessionNumber", "ReferringPhysicianName", "StudyInstanceUID", "SeriesInstanceUID", "Modality",
        "InstanceNumber", "SeriesNumber", "Manufacturer", "SpecificCharacterSet")  # fmt: skip
"""What a source can lack and still be labelled."""


def write_source(path: Path, kind="VL Endoscopic", *, rows=ROWS, columns=COLUMNS, frames=0, **changes):
    """Write a colour instance; `changes` sets attributes, or removes those that are None. Return the path."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    sop_class, count = KINDS[kind]
    count = frames or count
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SpecificCharacterSet = "ISO_IR 100"
    header.SOPClassUID, header.SOPInstanceUID = sop_class, "1.2.826.0.1.3680043.8.498.1.3"
    header.StudyInstanceUID, header.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.1.1", "1.2.826.0.1.3680043.8.498.1.2"
    header.PatientName, header.PatientID = "Müller^Änne", "PID-4711"
    header.PatientBirthDate, header.PatientSex = "19470809", "F"
    header.StudyDate, header.StudyTime, header.StudyID = "20240131", "131415", "S-17"
    header.AccessionNumber, header.ReferringPhysicianName = "ACC-815", "House^Gregory"
    header.Modality, header.InstanceNumber, header.SeriesNumber = "ES", 7, 2
    header.Manufacturer = "Endomaker"
    header.Rows, header.Columns, header.SamplesPerPixel = rows, columns, 3
    header.PhotometricInterpretation, header.PlanarConfiguration = "RGB", 0
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 8, 8, 7, 0
    if count is not None:
        header.NumberOfFrames = count
    for keyword, value in changes.items():
        if value is None:
            delattr(header, keyword)
        else:
            setattr(header, keyword, value)
    size = rows * columns * 3 * (count or 1)
    header.PixelData = bytes(size + size % 2)
    header.save_as(path, enforce_file_format=True)
    return path


def frame_count(kind):
    return KINDS[kind][1] or 1


def make_mask(frames=1, *, seed=0, rows=ROWS, columns=COLUMNS, classes=4):
    """Return a mask `frames h w`: discs of all classes but the last, one frame without any, no data at the top."""
    random = np.random.default_rng(seed)
    mask = np.zeros((frames, rows, columns), np.uint8)
    y, x = np.mgrid[:rows, :columns]
    for frame in mask:
        for index in range(1, classes - 1):
            row, column = random.integers(0, rows), random.integers(0, columns)
            frame[(y - row) ** 2 + (x - column) ** 2 < (min(rows, columns) // 3) ** 2] = index
    if frames > 2:
        mask[2] = 0
    mask[:, :2] = 255
    return mask


def make_layers(mask, block=20, *, seed=0, classes=4):
    """Cut a mask into blocks that don't end where frames do; return them, confidence and scores `c frames h w`."""
    frames, rows, columns = mask.shape
    random = np.random.default_rng(seed)
    confidence = random.integers(0, LEVELS + 1, mask.shape).astype(np.uint8)
    scores = random.integers(0, LEVELS + 1, (classes, *mask.shape)).astype(np.uint8)
    scores[-1] = 0
    confidence[mask == 255] = 255
    scores[:, mask == 255] = 255
    stacked = [layer.reshape(*layer.shape[:-3], frames * rows, columns) for layer in (mask, confidence, scores)]
    layers = [
        Layers(row, *(layer[..., row : row + block, :] for layer in stacked)) for row in range(0, frames * rows, block)
    ]
    return layers, confidence, scores


def make_output(folder, tags=TAGS, **wanted):
    return Destination(folder, DicomOutputs(**wanted), tags)


def visible(layer):
    """Return a layer with 0 where there is no data, as objects have it."""
    return np.where(layer == 255, 0, layer)
