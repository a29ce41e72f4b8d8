from itertools import pairwise

import numpy as np
import pytest

from wsss_toolkit.images.windows import WindowGrid


@pytest.mark.parametrize("height, width", [(1, 1), (7, 300), (64, 64), (65, 127), (200, 64), (301, 299)])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("offset", [0, 5])
def test_windows_cover_the_scene_and_never_leave_it(height, width, overlap, offset):
    grid = WindowGrid(height, width, 64, overlap, offset)
    seen = np.zeros((height, width), int)
    for row in grid.rows:
        for column in grid.columns:
            window = grid.window(row, column)
            assert window.row + window.height <= height and window.column + window.width <= width
            seen[row : row + window.height, column : column + window.width] += 1
    assert seen.min() >= 1
    for starts in (grid.rows, grid.columns):
        assert all(later - earlier <= grid.stride for earlier, later in pairwise(starts))


def test_windows_start_at_multiples_of_the_stride_and_end_with_the_scene():
    assert WindowGrid(64, 200, 64, 0.5).columns == (0, 32, 64, 96, 128, 136)
    assert WindowGrid(64, 192, 64, 0.5).columns == (0, 32, 64, 96, 128)
    assert WindowGrid(64, 192, 64, 0.5, offset=16).columns == (0, 16, 48, 80, 112, 128)
    assert WindowGrid(64, 30, 64, 0.5).columns == (0,)


def test_rows_of_windows_that_see_a_block():
    grid = WindowGrid(1000, 64, 64, 0.5)
    for start, stop in ((0, 100), (100, 101), (512, 1000)):
        expected = [row for row in grid.rows if set(range(row, row + 64)) & set(range(start, stop))]
        assert list(grid.rows_for(start, stop)) == expected
