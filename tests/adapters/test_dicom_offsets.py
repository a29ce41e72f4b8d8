"""Where compressed frames lie, with tables of offsets, without, and with wrong ones."""

import numpy as np
import pytest
from fake_frames import Scenes, header, jpeg, jpegs, picture, read_frames, save
from pydicom.encaps import encapsulate, itemize_fragment
from pydicom.uid import JPEGBaseline8Bit

from wsss_toolkit.errors import DataError

SHAPE = picture().shape
CODES = [jpeg(picture(seed=seed)) for seed in range(5)]


def check(path):
    frames, _ = read_frames(path)
    assert len(frames) == len(CODES)
    for seed, frame in enumerate(frames):
        assert np.abs(frame.astype(int) - picture(seed=seed)).mean() < 2, "neighbours differ by 5 in green"
        others = [np.abs(frame.astype(int) - picture(seed=other)).mean() for other in range(5)]
        assert np.argmin(others) == seed


@pytest.mark.parametrize("fragments", [1, 3])
@pytest.mark.parametrize("table", ["basic", "extended", "none"])
def test_frames_are_found(tmp_path, table, fragments):
    if table == "extended" and fragments > 1:
        pytest.skip("PS3.5 A.4: an extended table allows one fragment per frame")
    check(jpegs(tmp_path / "a.dcm", CODES, SHAPE, table=table, fragments=fragments))


def test_frames_of_different_numbers_of_fragments(tmp_path):
    data = encapsulate(CODES[:2], fragments_per_frame=2, has_bot=False)
    more = encapsulate(CODES[2:], fragments_per_frame=4, has_bot=False)[8:]  # without the empty table
    dataset = header(np.zeros((5, *SHAPE), np.uint8), "YBR_FULL_422")
    check(save(dataset, tmp_path / "a.dcm", JPEGBaseline8Bit, data + more))


def test_a_table_is_followed_where_ends_mislead(tmp_path):
    """Each frame is followed by a piece of padding that belongs to it, which only the tables tell."""
    items = [itemize_fragment(code + b"\0" * (len(code) % 2)) + itemize_fragment(b"\0" * 8) for code in CODES]
    starts = np.cumsum([0, *map(len, items)])[:-1]
    basic = itemize_fragment(starts.astype("<u4").tobytes())
    dataset = header(np.zeros((5, *SHAPE), np.uint8), "YBR_FULL_422")
    check(save(dataset, tmp_path / "a.dcm", JPEGBaseline8Bit, basic + b"".join(items)))
    dataset.ExtendedOffsetTable = starts.astype("<u8").tobytes()
    check(save(dataset, tmp_path / "b.dcm", JPEGBaseline8Bit, itemize_fragment(b"") + b"".join(items)))


@pytest.mark.parametrize("wrong", [b"\0" * 20, b"\xff" * 20, np.array([0, 8, 16, 24, 32], "<u4").tobytes(), b"\0" * 6])
def test_a_wrong_table_is_not_followed(tmp_path, wrong):
    data = encapsulate(CODES, fragments_per_frame=2, has_bot=False)
    data = data[:4] + len(wrong).to_bytes(4, "little") + wrong + data[8:]
    dataset = header(np.zeros((5, *SHAPE), np.uint8), "YBR_FULL_422")
    check(save(dataset, tmp_path / "a.dcm", JPEGBaseline8Bit, data))


@pytest.mark.parametrize("declared, fragments", [(6, 1), (4, 1), (1, 1), (9, 2), (2, 2), (300, 2)])
def test_another_number_of_frames_than_declared(tmp_path, declared, fragments):
    path = jpegs(tmp_path / "a.dcm", CODES, SHAPE, table="none", fragments=fragments, NumberOfFrames=declared)
    held = "at most 10" if declared > 10 else "at most 5" if fragments == 1 and declared > 5 else "5"
    with pytest.raises(DataError, match=rf"declares {declared} frames and holds {held}; correct NumberOfFrames"):
        read_frames(path)


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.95])
def test_a_file_that_is_cut_short_fails_when_it_is_opened(tmp_path, keep):
    path = jpegs(tmp_path / "a.dcm", CODES, SHAPE, table="basic")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    assert len(Scenes().find_scenes([str(path)], None)) == 1, "it is found all the same"
    with pytest.raises(DataError, match=r"a\.dcm: is (cut short or damaged after \d complete|no readable DICOM)"):
        read_frames(path)


def test_a_missing_end_marker_alone_does_no_harm(tmp_path):
    path = jpegs(tmp_path / "a.dcm", CODES, SHAPE)
    assert path.read_bytes()[-8:] == b"\xfe\xff\xdd\xe0\0\0\0\0"
    path.write_bytes(path.read_bytes()[:-8])
    check(path)


def test_a_frame_without_its_end_is_named(tmp_path):
    codes = [*CODES[:3], CODES[3][: len(CODES[3]) // 2], CODES[4]]
    path = jpegs(tmp_path / "a.dcm", codes, SHAPE)
    with pytest.raises(DataError, match=r"a\.dcm, frame 4: is cut short: the frame has no end"):
        read_frames(path)
