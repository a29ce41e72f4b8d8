"""Pictures in the layouts of published data sets may be called as people call them: names beyond ASCII are names."""

import unicodedata

import numpy as np
import pytest
from fake_natural import ADE, VOC_TEST, read_png, write_ade, write_coco, write_voc

from wsss_adapters.natural.ade20k import Ade20k
from wsss_adapters.natural.coco import Coco
from wsss_adapters.natural.voc import Voc
from wsss_adapters.pictures.names import keys_of_stems
from wsss_toolkit.domain.contract import check_adapter
from wsss_toolkit.errors import DataError

COCO_NAMES = [f"COCO_{name}_{first:012d}" for name, first in (("train2014", 100), ("train2014", 101), ("val2014", 200))]
TREES = {
    "voc": (Voc, write_voc, ["2007_000032", "2007_000039", "2007_000033", VOC_TEST[0]]),
    "voc, masks of SBD": (Voc, lambda root: write_voc(root, trainaug="sbd lists"), ["2008_000002", "2008_000007"]),
    "coco": (Coco, write_coco, COCO_NAMES),
    "ade20k": (Ade20k, write_ade, [*list(ADE["training"])[:2], next(iter(ADE["validation"]))]),
}
NAMES = ["息肉", "结肠", "größe", "Видео_1"]


def renamed(root, old, new):
    """Give a picture, its mask and its place in lists and annotations another name."""
    for path in sorted(root.rglob("*")):
        if path.suffix in (".txt", ".xml", ".json"):
            path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
        if path.stem == old:
            path.rename(path.with_name(f"{new}{path.suffix}"))


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("tree", TREES)
def test_names_of_any_script_are_names(tmp_path, tree, form):
    kind, write, old = TREES[tree]
    root = write(tmp_path / "data")

    def adapter():
        options = {"adapter": tree.partition(",")[0], "root": root}
        options |= {"sbd": root / "benchmark_RELEASE"} if "SBD" in tree else {}
        return kind(kind.Options.model_validate(options))

    def read(known):
        """Return what is known of each picture, whatever its key is."""
        found = {}
        for split, keys in known.splits().items():
            for key in keys:
                labels = known.image_labels(key) if kind is not Ade20k else None
                stem = unicodedata.normalize("NFC", known.picture(key).stem)
                found[stem] = split, labels, known.read_mask(key)
        return found

    before = read(adapter())
    for one, other in zip(old, NAMES, strict=False):
        renamed(root, one, unicodedata.normalize(form, other))
    after = adapter()
    after.prepare()
    check_adapter(after, tmp_path / "masks", images=9, read_written=read_png)
    names = dict(zip(old, NAMES, strict=False))
    found = read(after)
    assert found.keys() == {names.get(stem, stem) for stem in before}
    for stem, (split, labels, mask) in before.items():
        its_split, its_labels, its_mask = found[names.get(stem, stem)]
        assert (its_split, its_labels) == (split, labels)
        assert np.array_equal(its_mask, mask) if mask is not None else its_mask is None


def test_a_submission_is_called_as_the_list_has_it(tmp_path):
    root = write_voc(tmp_path / "data")
    renamed(root, VOC_TEST[0], "息肉")
    adapter = Voc(Voc.Options.model_validate({"adapter": "voc", "root": root}))
    [key] = [key for key in adapter.splits()["test"] if adapter.picture(key).stem == "息肉"]
    assert key.isascii()
    path = adapter.write_submission(tmp_path / "out", key, np.zeros(adapter.size(key), np.uint8))
    assert path.name == "息肉.png"


def test_names_that_are_safe_are_keys_and_one_name_in_two_ways_is_refused(tmp_path):
    assert keys_of_stems(["2007_000032", "x.jpg", "b-1"], tmp_path) == {n: n for n in ("2007_000032", "x.jpg", "b-1")}
    [key, other] = keys_of_stems(["A", "a"], tmp_path)
    assert key.casefold() != other.casefold()
    with pytest.raises(DataError, match="are one name, written in two ways of Unicode; rename one of them"):
        keys_of_stems([unicodedata.normalize(form, "größe") for form in ("NFC", "NFD")], tmp_path)
