import threading
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from fake_scene import PREPARE, MemoryScene, by_pixel, by_window, draw_scene, predictor

from wsss_toolkit.domain import LEVELS, ChannelTable, Sample, Sensor
from wsss_toolkit.errors import DataError
from wsss_toolkit.images.scaling import Preprocessing
from wsss_toolkit.images.windows import WindowGrid, hann
from wsss_toolkit.scenes.blend import RowBlender
from wsss_toolkit.scenes.label import label_rows
from wsss_toolkit.scenes.prefetch import prefetch


def label(scene, score, *, side=32, overlap=0.5, start=0, stop=None, batch_size=3, offset=0, prepare=PREPARE):
    """Return mask, confidence and scores of some rows."""
    grid = WindowGrid(scene.height, scene.width, side, overlap, offset)
    strips = list(
        label_rows(
            scene,
            predictor(score),
            prepare,
            grid,
            start=start,
            stop=scene.height if stop is None else stop,
            batch_size=batch_size,
            scores=True,
        )
    )
    rows = [strip.row for strip in strips]
    heights = [len(strip.mask) for strip in strips]
    assert rows == list(np.cumsum([start, *heights[:-1]])), "strips leave no gap"
    return (
        np.concatenate([strip.mask for strip in strips]),
        np.concatenate([strip.confidence for strip in strips]),
        np.concatenate([strip.scores for strip in strips], axis=1),
    )


@pytest.mark.parametrize("size", [(100, 90), (20, 90), (5, 3), (32, 32), (33, 200)])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75])
def test_scores_that_depend_on_the_pixel_alone_come_out_as_they_are(size, overlap):
    pixels = draw_scene(*size)
    mask, confidence, scores = label(MemoryScene(pixels), by_pixel, overlap=overlap)
    expected = torch.from_numpy(pixels).softmax(dim=0).numpy()
    np.testing.assert_array_equal(mask, expected.argmax(axis=0))
    assert np.abs(confidence - expected.max(axis=0) * LEVELS).max() <= 0.51
    assert np.abs(scores - expected * LEVELS).max() <= 0.51


def test_overlapping_scores_are_averaged_with_hann_weights():
    pixels = draw_scene(70, 80)
    _, _, scores = label(MemoryScene(pixels), by_window)
    grid = WindowGrid(70, 80, 32, 0.5)
    total, weights = np.zeros((3, 70, 80)), np.zeros((70, 80))
    weight = np.sin(np.pi * (np.arange(32) + 0.5) / 32) ** 2
    for row in grid.rows:
        for column in grid.columns:
            part = np.s_[row : row + 32, column : column + 32]
            found = by_window(torch.from_numpy(pixels[(slice(None), *part)])[None])[0].numpy()
            total[(slice(None), *part)] += found * np.outer(weight, weight)
            weights[part] += np.outer(weight, weight)
    assert np.abs(scores - total / weights * LEVELS).max() <= 0.51


@pytest.mark.parametrize("cuts", [(0, 50, 100, 150), (0, 1, 149, 150), (0, 64, 150)])
def test_blocks_are_bit_by_bit_the_rows_of_the_whole(cuts):
    scene = MemoryScene(draw_scene(150, 75))
    whole = label(scene, by_window)
    parts = [label(scene, by_window, start=a, stop=b) for a, b in pairwise(cuts)]
    for layer, axis in ((0, 0), (1, 0), (2, 1)):
        np.testing.assert_array_equal(whole[layer], np.concatenate([part[layer] for part in parts], axis=axis))


def test_missing_pixels_stay_missing_and_the_others_do_not():
    pixels = draw_scene(100, 100)
    pixels[:, 20:60, 30:90] = np.nan
    pixels[1, 80, 80] = np.nan  # one band is enough: the pixel is not known
    mask, confidence, scores = label(MemoryScene(pixels), by_pixel)
    missing = np.isnan(pixels).any(axis=0)
    assert (mask[missing] == 255).all() and (confidence[missing] == 255).all() and (scores[:, missing] == 255).all()
    expected = torch.from_numpy(np.nan_to_num(pixels)).softmax(dim=0).numpy().argmax(axis=0)
    np.testing.assert_array_equal(mask[~missing], expected[~missing])


@pytest.mark.parametrize("fusion", ["early", "per_sensor"])
def test_a_pixel_needs_all_sensors_unless_the_model_can_do_without(fusion):
    class TwoSensors(MemoryScene):
        def read(self, window):
            optical = super().read(window).bands["optical"]
            return Sample("scene", {"optical": optical[:2], "radar": optical[2:]})

    pixels = draw_scene(70, 70)
    pixels[:2, :20] = np.nan
    pixels[2:, 10:40] = np.nan
    channels = ChannelTable((Sensor("optical", ("B02", "B03")), Sensor("radar", ("VV",))))
    prepare = Preprocessing(channels, PREPARE.bands, fusion)
    mask, _, _ = label(TwoSensors(pixels), by_pixel, prepare=prepare)
    missing = np.zeros((70, 70), bool)
    missing[slice(0, 40) if fusion == "early" else slice(10, 20)] = True
    np.testing.assert_array_equal(mask == 255, missing)


def test_windows_without_data_are_not_computed():
    pixels = draw_scene(96, 96)
    pixels[:, :, 32:] = np.nan
    windows = []

    def score(images):
        windows.append(len(images))
        return by_pixel(images)

    mask, _, _ = label(MemoryScene(pixels), score)
    assert (mask[:, 32:] == 255).all() and (mask[:, :32] != 255).all()
    assert sum(windows) == 5 * 2  # of five rows of five windows the two leftmost columns

    pixels[:] = np.nan
    assert (label(MemoryScene(pixels), score)[0] == 255).all()
    assert sum(windows) == 10


def test_shifted_windows_change_nothing_where_scores_do_not_depend_on_them():
    scene = MemoryScene(draw_scene(130, 140))
    straight, shifted = (label(scene, by_pixel, offset=offset)[0] for offset in (0, 16))
    np.testing.assert_array_equal(straight, shifted)


def test_scores_that_are_not_finite_are_an_error():
    with pytest.raises(DataError, match="not finite"):
        label(MemoryScene(draw_scene(40, 40)), lambda images: images * np.inf)


def test_what_reading_raises_arrives():
    scene = MemoryScene(draw_scene(100, 100))

    def read(window):
        if window.row > 30:
            raise DataError("truncated")
        return MemoryScene.read(scene, window)

    scene.read = read
    with pytest.raises(DataError, match="truncated"):
        label(scene, by_pixel)
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_pixels_are_read_about_twice_not_once_for_each_window():
    scene = MemoryScene(draw_scene(320, 320))
    label(scene, by_pixel, batch_size=19)
    assert sum(read.height * read.width for read in scene.reads) < 2.1 * 320 * 320


def test_reading_goes_on_while_windows_are_computed():
    started = []

    def items():
        for number in range(4):
            started.append(number)
            yield number

    found = prefetch(items(), 2)
    assert next(found) == 0
    deadline = time.monotonic() + 5
    while len(started) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(started) >= 3
    assert list(found) == [1, 2, 3]


def test_an_abandoned_prefetch_ends_its_thread():
    found = prefetch(iter(range(1000)), 2)
    next(found)
    found.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_hann_is_positive_and_halves_add_up_to_one():
    weights = hann(64, torch.device("cpu"))
    assert weights.min() > 0
    torch.testing.assert_close(weights[:32] + weights[32:], torch.ones(32))


def test_the_blender_holds_no_more_than_a_window_of_rows():
    blender = RowBlender(3, 32, 1000, torch.device("cpu"))
    assert blender.scores.numel() == 3 * 32 * 1000
