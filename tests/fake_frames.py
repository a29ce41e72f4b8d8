"""Small DICOM files and pictures of endoscopic kind, with made-up patients."""

import io
import warnings

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels import get_encoder
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

from wsss_adapters.endoscopy.scenes import EndoscopyScenes
from wsss_toolkit.domain import ChannelTable, Sensor, Window

ENDOSCOPIC = "1.2.840.10008.5.1.4.1.1.77.1.1"
RGB = ChannelTable((Sensor("rgb", ("R", "G", "B"), ("R", "G", "B")),))


class Scenes(EndoscopyScenes):
    """Reads all pixels: colours are compared, and made-up frames have no field of view."""

    mask_borders = False


def picture(height=40, width=48, seed=0):
    """Return a smooth picture uint8 `h w 3` whose three colours differ everywhere, so that mix-ups show."""
    rows, columns = np.indices((height, width))
    red = 140 + 100 * rows / height
    green = 40 + 60 * columns / width + 5 * seed
    blue = 10 + 30 * (rows + columns) / (height + width)
    return np.stack([red, green, blue], axis=-1).round().astype(np.uint8)


def header(frames, photometric, **attributes):
    """Return a header for frames `n h w` or `n h w 3`; attributes replace or, if None, remove what it would hold."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = ENDOSCOPIC, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.Modality = "ES"
    dataset.Rows, dataset.Columns = frames.shape[1:3]
    dataset.SamplesPerPixel = frames.shape[3] if frames.ndim == 4 else 1
    dataset.PhotometricInterpretation = photometric
    if dataset.SamplesPerPixel > 1:
        dataset.PlanarConfiguration = 0
    if len(frames) > 1:
        dataset.NumberOfFrames = len(frames)
    dataset.BitsAllocated = dataset.BitsStored = 8 * frames.dtype.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(frames.dtype.kind == "i")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some are wrong on purpose
        for name, value in attributes.items():
            if value is not None:
                setattr(dataset, name, value)
            elif name in dataset:
                delattr(dataset, name)
    return dataset


def save(dataset, path, syntax=ExplicitVRLittleEndian, data=None):
    """Write a data set with pixel data as a DICOM file."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", ENDOSCOPIC)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "1.2.3")
    if data is not None:
        dataset.PixelData = data
        dataset["PixelData"].VR = "OB" if syntax.is_encapsulated or dataset.BitsAllocated == 8 else "OW"
        dataset["PixelData"].is_undefined_length = syntax.is_encapsulated
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # files are made wrong on purpose
        dataset.save_as(path, enforce_file_format=True)
    return path


def native(path, frames, photometric="RGB", syntax=ExplicitVRLittleEndian, **attributes):
    """Write uncompressed frames `n h w` or `n h w 3`."""
    frames = np.asarray(frames)
    ordered = frames if syntax.is_little_endian else frames.astype(frames.dtype.newbyteorder(">"))
    data = ordered.tobytes()
    return save(header(frames, photometric, **attributes), path, syntax, data + b"\0" * (len(data) % 2))


def encoded(path, frames, syntax, photometric="RGB", declared=None, **options):
    """Write frames compressed by pydicom's encoders; `declared` is what the header says instead."""
    frames = np.asarray(frames)
    dataset = header(frames, photometric)
    known = {
        "rows": dataset.Rows,
        "columns": dataset.Columns,
        "number_of_frames": 1,
        "samples_per_pixel": dataset.SamplesPerPixel,
        "photometric_interpretation": photometric,
        "planar_configuration": 0,
        "bits_allocated": dataset.BitsAllocated,
        "bits_stored": dataset.BitsStored,
        "pixel_representation": dataset.PixelRepresentation,
    }
    coded = [get_encoder(syntax).encode(frame, **{**known, **options}) for frame in frames]
    dataset.PhotometricInterpretation = declared or photometric
    return save(dataset, path, syntax, encapsulate(coded))


def jpeg(pixels, **options):
    """Return a picture as JPEG bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


def jpegs(path, coded, shape, declared="YBR_FULL_422", table="basic", fragments=1, **attributes):
    """Write JPEG frames of a shape `h w 3`, with a table of offsets ("basic", "extended") or without ("none")."""
    dataset = header(np.zeros((len(coded), *shape), np.uint8), declared, **attributes)
    if table == "extended":
        data, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = encapsulate_extended(coded)
    else:
        data = encapsulate(coded, fragments_per_frame=fragments, has_bot=table == "basic")
    return save(dataset, path, JPEGBaseline8Bit, data)


def read_frames(path, channels=RGB):
    """Return all frames uint8 `n h w 3` and the notices."""
    scenes = Scenes()
    [source] = scenes.find_scenes([str(path)], channels)
    with scenes.open_scene(source, channels) as scene:
        sample = scene.read(Window(0, 0, scene.height, scene.width))
        frames = sample.bands["rgb"].transpose(1, 2, 0)
        assert np.array_equal(frames, frames.round()) and frames.min() >= 0 and frames.max() <= 255
        return frames.astype(np.uint8).reshape(-1, scene.frame_height, scene.width, frames.shape[2]), scene.notices
