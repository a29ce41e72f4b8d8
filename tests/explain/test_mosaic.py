import numpy as np

from wsss_toolkit.explain.mosaic import cell_size, relative, tile


def test_cells_lie_in_rows_and_columns_with_gaps_between():
    maps = np.arange(6, dtype=np.float32).reshape(2, 3, 1, 1) * np.ones((2, 3, 2, 2), np.float32)
    board = tile(maps, (4, 4), gap=1)
    assert board.shape == (9, 14)
    assert (board[5:9, 10:14] == 5).all() and (board[:4, 5:9] == 1).all()
    assert np.isnan(board[4]).all() and np.isnan(board[:, 4]).all()


def test_large_maps_are_averaged_and_missing_ones_left_empty():
    maps = np.stack([np.tile([[0.0, 1.0]], (8, 4)), np.full((8, 8), np.nan)]).astype(np.float32)[None]
    board = tile(maps, (4, 4), gap=2)
    assert (board[:, :4] == 0.5).all() and np.isnan(board[:, 4:]).all()


def test_a_cell_keeps_the_shape_of_its_map():
    assert cell_size(320, 640) == (80, 160) and cell_size(14, 14) == (160, 160) and cell_size(1, 1000) == (1, 160)


def test_maps_become_relative_to_their_highest_value():
    maps = np.array([[[0.0, 2.0]], [[0.0, 0.0]]], np.float32)
    np.testing.assert_array_equal(relative(maps), [[[0, 1]], [[0, 0]]])
    maps[1] = 4
    np.testing.assert_array_equal(relative(maps, axis=(0, 1, 2)), [[[0, 0.5]], [[1, 1]]])
