"""The image that is to be explained: a key of the run's data, or a picture or scene that the adapter can open."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from wsss_toolkit.domain import Sample, Window, read_sample
from wsss_toolkit.errors import DataError, UsageError, blamed_on, close_names
from wsss_toolkit.labels.tag_file import read_labels
from wsss_toolkit.runs.trained_run import TrainedRun
from wsss_toolkit.scenes.job import scene_adapter
from wsss_toolkit.scenes.predictor import framed

LARGEST = 2048 * 2048
"""Pixels of the largest scene that is explained as a whole."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One image, as the stage `pseudo_masks` or `wsss pseudolabel` would read it."""

    name: str
    """Safe as a file name."""
    split: str | None
    """The split that it belongs to; None for files from elsewhere."""
    sample: Sample
    labels: tuple[bool, ...] | None
    """Image-level labels as the run's stage `labels` wrote them, one per class token; None where there are none."""
    reference: tuple[int, int] | None
    """Height and width of the training images where this image is of another kind of size."""
    frame: bool = False
    """Whether it is a frame, which is seen at the size of the training images whatever its own."""


def find_subject(run: TrainedRun, image: str) -> Subject:
    """Find an image by the path of an existing file, or else by its key in the run's data.

    Raises:
        UsageError: If no image has that key (the closest are named), or a file holds more than one image or a large
            one.
        DataError: If the image cannot be read or lacks bands.
    """
    if Path(image).is_file():
        return _open_file(run, image)
    adapter, channels = run.adapter, run.preprocessing.channels
    adapter.prepare()
    splits = adapter.splits()
    for split, keys in splits.items():
        if image in keys:
            return Subject(image, split, read_sample(adapter, image, channels), _known_labels(run, image), None)
    whole = {split: adapter.whole(split) for split in splits}
    for split, keys in whole.items():
        if image in keys:  # larger images that the training images are cut from
            return Subject(image, split, read_sample(adapter, image, channels), None, run.image_size)
    known = [key for keys in (*splits.values(), *whole.values()) for key in keys]
    close = close_names(image, known, most=4, cutoff=0.4) or known[:2]
    raise UsageError(
        f"the run's data have no image {image!r}, and there is no such file",
        where=str(run.path),
        fix=f"the closest are {', '.join(close)}" if close else "the data have no images",
    )


def as_batch(subject: Subject, run: TrainedRun) -> tuple[Tensor, Tensor, Tensor]:
    """Scale the bands: images `1 k h w`, valid pixels `1 h w`, present sensors `1 s`."""
    image, valid, present = (torch.from_numpy(part)[None] for part in run.preprocessing(subject.sample))
    if subject.frame:
        image, valid = framed(image, valid, run)
    return image, valid, present


def _open_file(run: TrainedRun, path: str) -> Subject:
    channels = run.preprocessing.channels
    adapter = scene_adapter(run)
    sources = adapter.find_scenes([path], channels)
    if len(sources) != 1:
        raise UsageError(f"holds {len(sources)} scenes", where=path, fix="name one picture or scene file")
    with blamed_on(sources[0].shown), adapter.open_scene(sources[0], channels) as scene:
        missing = [sensor.name for sensor in channels.sensors if sensor.name not in scene.sensors]
        if missing and run.preprocessing.fusion == "early":
            raise DataError(f"has no bands of {', '.join(missing)}", where=path, fix="add the files of these sensors")
        if scene.frame_height is not None and scene.frame_height != scene.height:
            count = scene.height // scene.frame_height
            raise UsageError(f"holds {count} frames, and one is explained", where=path, fix="save a single frame")
        if scene.height * scene.width > LARGEST:
            raise UsageError(
                f"{scene.height} x {scene.width} pixels are too many to be seen at once",
                where=path,
                fix="cut out a part of it, or label it with wsss pseudolabel",
            )
        sample = scene.read(Window(0, 0, scene.height, scene.width))
        frame = scene.frame_height is not None
    return Subject(sources[0].name, None, sample, None, None if frame else run.image_size, frame)


def _known_labels(run: TrainedRun, key: str) -> tuple[bool, ...] | None:
    folder = run.stage("labels")
    if not folder.is_dir():
        return None
    return read_labels(folder).present.get(key)
