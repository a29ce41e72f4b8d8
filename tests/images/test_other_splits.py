import numpy as np

from wsss_toolkit.domain import ChannelTable, Sample, Sensor
from wsss_toolkit.errors import DataError
from wsss_toolkit.images.other_splits import LOOKED_AT, doubtful_splits
from wsss_toolkit.images.scaling import preprocessing
from wsss_toolkit.recipe.schema import Channels

CHANNELS = ChannelTable((Sensor("optical", ("B04", "B08")),))


class Images:
    """Images of digital numbers; those called `share...` are divided by 10000, `damaged` cannot be read."""

    def __init__(self):
        self.asked = []

    def read(self, key, channels):
        self.asked.append(key)
        if key == "damaged":
            raise DataError("is damaged", where=key)
        pixels = np.random.default_rng(len(key)).uniform(300, 4000, (2, 8, 8)).astype(np.float32)
        return Sample(key, {"optical": pixels / 10000 if key.startswith("share") else pixels})


def test_a_split_in_another_unit_is_named_by_a_look_at_some_images():
    images = Images()
    training = [images.read("train", CHANNELS)]
    prepare = preprocessing(Channels.model_validate({"optical": {"scale": "zscore"}}), CHANNELS, training)
    images.asked.clear()
    many = [f"share{number}" for number in range(100)]
    (line,) = doubtful_splits(images, prepare, {"train": ["train"], "val": ["a", "damaged"], "test": many, "empty": ()})
    assert line.startswith("values of the split 'test' lie far off those of training: optical looks divided by 10000")
    assert len(images.asked) == LOOKED_AT + 2 and "train" not in images.asked
