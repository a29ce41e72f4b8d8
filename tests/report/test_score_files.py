import numpy as np
import pytest

from wsss_toolkit.errors import DataError
from wsss_toolkit.report.score_files import (
    ImageScore,
    read_confusion,
    read_image_scores,
    write_confusion,
    write_image_scores,
)


def test_a_matrix_comes_back_with_what_was_withheld(tmp_path):
    matrix = np.array([[5, 1, 2], [0, 7, 0], [0, 0, 0]])
    path = tmp_path / "m.csv"
    write_confusion(path, ("bare, dry", 'the "other"'), matrix)
    found = read_confusion(path)
    assert found.names == ("bare, dry", 'the "other"')
    np.testing.assert_array_equal(found.counts, [[5, 1, 2], [0, 7, 0]])
    assert path.read_text().splitlines()[0] == 'truth,"bare, dry","the ""other""",(withheld)'


def test_scores_of_images_come_back(tmp_path):
    scores = [ImageScore("a", 4, 0.5, 0.75), ImageScore("b.1", 0, None, None)]
    write_image_scores(tmp_path / "s.csv", scores)
    assert read_image_scores(tmp_path / "s.csv") == scores


@pytest.mark.parametrize("text", ["", "truth,a,(withheld)\na,1\n", "truth,a,(withheld)\nb,1,2\n", "truth,a\na,x,y\n"])
def test_a_damaged_matrix_is_named(tmp_path, text):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(DataError, match=r"missing or damaged.*--stages evaluation"):
        read_confusion(tmp_path / "m.csv")


@pytest.mark.parametrize("text", ["", "key,labelled_pixels,miou,pixel_accuracy\na,4,x,1\n", "key\na\n"])
def test_damaged_scores_are_named(tmp_path, text):
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(DataError, match=r"s\.csv"):
        read_image_scores(tmp_path / "s.csv")
