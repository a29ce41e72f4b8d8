from wsss_toolkit.images.windows import WindowGrid
from wsss_toolkit.scenes.blocks import block_rows, row_blocks


def test_blocks_are_consecutive_and_end_with_the_scene():
    assert list(row_blocks(1000, 512)) == [(0, 512), (512, 1000)]
    assert list(row_blocks(512, 512)) == [(0, 512)]
    assert block_rows(WindowGrid(9999, 9999, 256, 0.5)) % 256 == 0
