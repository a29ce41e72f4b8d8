import contextlib
import io
import json

import numpy as np
import pytest
from fake_natural import COCO_SIZE, coco_truth, write_coco

from wsss_adapters.natural.coco import Coco
from wsss_adapters.natural.coco_options import CocoOptions
from wsss_toolkit.errors import DataError, WsssError

tools = pytest.importorskip("pycocotools.mask")

# pycocotools 2.0.11 decodes in a way that numpy 2 deprecates; the adapter does not use its decoder.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")


@pytest.fixture
def adapter(tmp_path):
    return Coco(CocoOptions.model_validate({"adapter": "coco", "root": write_coco(tmp_path)}))


def test_results_are_read_by_pycocotools_and_give_the_masks_back(adapter, tmp_path):
    from pycocotools.coco import COCO

    keys = adapter.splits()["val"]
    masks = {key: coco_truth(index) for index, key in enumerate(keys)}
    path = adapter.write_rle_json(tmp_path / "out" / "results.json", masks.items())
    with contextlib.redirect_stdout(io.StringIO()):
        results = COCO(str(tmp_path / "annotations" / "instances_val2014.json")).loadRes(str(path))
    assert sorted(entry["category_id"] for entry in results.anns.values()) == [1, 13, 18, 90], "the sparse ids"
    for key, mask in masks.items():
        number = int(key[-12:])
        back = np.zeros(COCO_SIZE, np.uint8)
        for entry in results.loadAnns(results.getAnnIds(imgIds=number)):
            back[tools.decode(entry["segmentation"]) == 1] = {1: 1, 13: 12, 18: 17, 90: 80}[entry["category_id"]]
        assert np.array_equal(back, np.where(mask == 255, 0, mask)), "background and 255 are left out"


def test_results_are_plain_json(adapter, tmp_path):
    key = adapter.splits()["val"][2]
    [entry] = json.loads(adapter.write_rle_json(tmp_path / "r.json", [(key, coco_truth(2))]).read_text())
    assert set(entry) == {"image_id", "category_id", "segmentation", "score"}
    assert (entry["image_id"], entry["category_id"], entry["score"]) == (202, 13, 1.0)
    assert entry["segmentation"]["size"] == [24, 32] and isinstance(entry["segmentation"]["counts"], str)


@pytest.mark.parametrize("masks", [[], [np.zeros(COCO_SIZE, np.uint8)], [np.full(COCO_SIZE, 255, np.uint8)]])
def test_nothing_found_is_an_empty_list(adapter, tmp_path, masks):
    path = adapter.write_rle_json(tmp_path / "r.json", [(adapter.splits()["val"][0], mask) for mask in masks])
    assert json.loads(path.read_text()) == []


def test_a_mask_that_is_refused_leaves_no_file(adapter, tmp_path):
    first, second = adapter.splits()["val"][:2]
    path = tmp_path / "r.json"
    with pytest.raises(ValueError, match="the mask"):
        adapter.write_rle_json(path, [(first, coco_truth(0)), (second, coco_truth(0)[:-1])])
    with pytest.raises(DataError, match="no image is called 'unknown'"):
        adapter.write_rle_json(path, [("unknown", coco_truth(0))])
    assert not path.exists() and not list(tmp_path.glob("*partial*"))
    path.mkdir()
    with pytest.raises(WsssError, match="cannot write"):
        adapter.write_rle_json(path, [(first, coco_truth(0))])
