import numpy as np
import pytest
from fake_scene import SENSOR, MemoryScene, draw_scene

from wsss_toolkit.domain import ChannelTable, Window
from wsss_toolkit.scenes import sampled
from wsss_toolkit.scenes.sampled import SampledScene

CHANNELS = ChannelTable((SENSOR,))


def scene(height, width):
    memory = MemoryScene(draw_scene(height, width))
    memory.sensors = ("optical",)
    return memory


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 500), (500, 1), (90, 70), (33, 200)])
def test_blocks_and_windows_keep_what_the_whole_keeps(height, width, monkeypatch):
    monkeypatch.setattr(sampled, "SAMPLED", 300)
    memory = scene(height, width)
    whole = SampledScene(memory, CHANNELS)
    whole.read(Window(0, 0, height, width))
    everything = whole.values(0, height)
    assert np.isfinite(everything).all() and 0 < everything.shape[1] <= 600
    parts = []
    for start in range(0, height, 16):
        part = SampledScene(memory, CHANNELS)
        stop = min(start + 16, height)
        for column in range(0, width, 24):  # windows reach into other blocks, as they do when a scene is labelled
            top, bottom = max(0, start - 8), min(height, stop + 8)
            part.read(Window(top, column, bottom - top, min(32, width - column)))
        parts.append(part.values(start, stop))
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), everything)


def test_memory_is_bounded_and_what_was_not_read_is_missing():
    large = SampledScene(scene(1, 1), CHANNELS)
    memory = scene(2, 2)
    memory.height, memory.width = 10_980, 10_980
    large = SampledScene(memory, CHANNELS)
    assert large.values(0, 10_980).shape[1] <= 2**16 and np.isnan(large.values(0, 10_980)).all()
