import numpy as np
import pytest

from wsss_toolkit.errors import DataError
from wsss_toolkit.labels.ground_truth import NoGroundTruth, keys_with_truth, read_truth


class Masks:
    def read_mask(self, key: str) -> np.ndarray | None:
        return np.zeros((2, 2), np.uint8) if key == "a" else None


def test_the_mask_or_an_error_that_names_the_image():
    assert read_truth(Masks(), "a").shape == (2, 2)
    with pytest.raises(DataError, match="image 'b' has no ground-truth mask; leave its split out"):
        read_truth(Masks(), "b")


def test_only_some_images_need_a_mask():
    assert keys_with_truth(Masks(), ("b", "a", "c")) == ("a",)
    with pytest.raises(NoGroundTruth, match="image 'c' has no ground-truth mask"):
        keys_with_truth(Masks(), ("c", "b"))
    assert keys_with_truth(Masks(), ()) == ()
