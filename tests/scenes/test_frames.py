"""Stacks of frames: each is labelled as a whole, and blocks equal one pass."""

import numpy as np
import pytest
import torch
from fake_scene import PREPARE, MemoryScene, by_pixel, draw_scene, predictor

from wsss_toolkit.domain import LEVELS, Window
from wsss_toolkit.scenes.frames import label_frames
from wsss_toolkit.scenes.predictor import frame_size, seen_size


class Frames(MemoryScene):
    frame_height = 10


def by_frame(images):
    """Scores that depend on the whole frame's mean: no frame may see another."""
    mean = images.mean(dim=(2, 3), keepdim=True)
    return (images * 0.1 + mean * 50).softmax(dim=1)


def rows(scene, score, *, start=0, stop=None, batch_size=2, scores=False):
    stop = scene.height if stop is None else stop
    found = list(
        label_frames(scene, predictor(score), PREPARE, start=start, stop=stop, batch_size=batch_size, scores=scores)
    )
    assert [strip.row for strip in found] == list(range(start, stop, batch_size * 10))
    return found


def test_every_frame_is_seen_alone_and_once():
    pixels = draw_scene(70, 13)
    scene = Frames(pixels)
    found = rows(scene, by_frame, scores=True)
    assert scene.reads == [Window(0, 0, 20, 13), Window(20, 0, 20, 13), Window(40, 0, 20, 13), Window(60, 0, 10, 13)]
    for number in range(7):
        frame = torch.from_numpy(pixels[:, number * 10 : number * 10 + 10])[None]
        score, winner = by_frame(frame)[0].max(dim=0)
        strip = found[number // 2]
        inside = slice(number % 2 * 10, number % 2 * 10 + 10)
        assert np.array_equal(strip.mask[inside], winner.numpy())
        assert np.array_equal(strip.confidence[inside], (score * LEVELS).round().numpy())
        assert np.array_equal(strip.scores[:, inside], (by_frame(frame)[0] * LEVELS).round().numpy())


def test_blocks_equal_one_pass_bit_by_bit():
    scene = Frames(draw_scene(130, 21))
    whole = np.concatenate([strip.mask for strip in rows(scene, by_frame, batch_size=3)])
    parts = [rows(scene, by_frame, start=start, stop=min(start + 60, 130), batch_size=3) for start in (0, 60, 120)]
    assert np.array_equal(np.concatenate([strip.mask for part in parts for strip in part]), whole)


def test_what_lies_outside_the_picture_has_no_class():
    pixels = draw_scene(20, 8)
    pixels[:, 3:5] = np.nan
    pixels[:, 10:] = np.nan  # a frame without any picture
    [strip] = rows(Frames(pixels), by_pixel)
    missing = np.isnan(pixels).any(axis=0)
    assert np.array_equal(strip.mask == 255, missing)


@pytest.mark.parametrize(
    ("size", "expected"), [((480, 640), (240, 320)), ((100, 301), (240, 722)), ((9, 1), (240, 27))]
)
def test_frames_are_as_high_as_training_images(size, expected):
    class Run:
        image_size = (240, 320)

    assert frame_size(torch.zeros(1, 1, *size), Run()) == expected


def test_windows_keep_the_scale_of_training_images():
    assert seen_size(torch.zeros(1, 1, 480, 320), (256, 256), (240, 320)) == (512, 256)
