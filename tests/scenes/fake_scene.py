"""A scene in memory and a predictor that looks at pixels, or at whole windows."""

from pathlib import Path

import numpy as np
import torch

from wsss_toolkit.domain import ChannelTable, Sample, Sensor, Window
from wsss_toolkit.images.scaling import BandScaling, Preprocessing
from wsss_toolkit.scenes.predictor import Predictor

SENSOR = Sensor("optical", ("B02", "B03", "B04"))
PREPARE = Preprocessing(ChannelTable((SENSOR,)), (BandScaling(-1e9, 1e9, 0.0, 1.0),) * 3, "early")


class MemoryScene:
    """Pixels `3 h w`; NaN is missing. It remembers what was read."""

    notices = ()
    frame_height = None

    def __init__(self, pixels):
        self.pixels = pixels
        self.height, self.width = pixels.shape[1:]
        self.reads = []

    def read(self, window: Window):
        self.reads.append(window)
        rows = slice(window.row, window.row + window.height)
        columns = slice(window.column, window.column + window.width)
        part = self.pixels[:, rows, columns]
        assert part.shape[1:] == (window.height, window.width), "a window leaves the scene"
        return Sample("scene", {"optical": part.copy()})


def draw_scene(height, width, seed=0):
    return np.random.default_rng(seed).normal(size=(3, height, width)).astype(np.float32)


def predictor(score):
    """Wrap a function of images `b k h w` as a model of three classes."""
    return Predictor(
        stage="unet",
        architecture="fake",
        classes=3,
        score=lambda images, valid, present, frames: score(images),
        device=torch.device("cpu"),
        parameters=0,
        weights=Path("none"),
    )


def by_pixel(images):
    """Scores that depend on the pixel alone."""
    return images.softmax(dim=1)


def by_window(images):
    """Scores that also depend on where the pixel lies in its window and on the window's mean."""
    ramp = torch.linspace(0, 1, images.shape[-1]) + images.mean(dim=(1, 2, 3), keepdim=True)
    return (images + ramp).softmax(dim=1) * torch.linspace(0.2, 1.0, images.shape[-2])[:, None]
