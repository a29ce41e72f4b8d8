import numpy as np
import pytest
from PIL import Image

from wsss_toolkit.domain import ClassTable
from wsss_toolkit.errors import DataError, WsssError
from wsss_toolkit.report.gallery import (
    NO_ANSWER,
    RIGHT,
    SIDE,
    WRONG,
    GalleryImage,
    ShownMap,
    choose_by_score,
    choose_evenly,
    error_map,
    read_gallery,
    write_gallery,
)
from wsss_toolkit.report.score_files import ImageScore

CLASSES = ClassTable(("none", "polyp", "scar"), ((0, 0, 0), (255, 0, 0), (0, 255, 9)), background=0)


def image(key="a", size=(20, 30), **changes):
    mask = np.zeros(size, np.uint8)
    mask[:5] = 1
    truth = mask.copy()
    truth[:, :3] = 255
    values = {
        "key": key,
        "picture": np.full((*size, 3), 99, np.uint8),
        "truth": truth,
        "masks": {"pseudo_masks": mask, "segmentation": np.full(size, 255, np.uint8)},
        "maps": [ShownMap("polyp", 0.91, np.linspace(0, 7, mask.size, dtype=np.float32).reshape(size))],
        "maps_left_out": 0,
        "scores": {"pseudo_masks": ImageScore(key, 540, 1.0, 1.0), "segmentation": ImageScore(key, 540, 0.0, 0.0)},
    }
    return GalleryImage(**{**values, **changes})


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGBA"))


def test_images_are_chosen_evenly_by_rank_with_the_worst_and_the_best():
    scores = [ImageScore(f"i{value:02d}", 1, value / 100, 1.0) for value in range(100)]
    random = np.random.default_rng(0).permutation(100)
    chosen = choose_by_score([scores[index] for index in random], 5)
    assert chosen == ["i00", "i25", "i50", "i74", "i99"]
    assert choose_by_score(scores[:3], 24) == ["i00", "i01", "i02"]
    assert choose_by_score(scores, 1) == ["i00"]


def test_images_without_a_score_are_chosen_only_where_there_are_no_others():
    scores = [ImageScore("b", 0, None, None), ImageScore("a", 0, None, None), ImageScore("c", 4, 0.5, 1.0)]
    assert choose_by_score(scores, 24) == ["c"]
    assert choose_by_score(scores[:2], 24) == ["a", "b"]
    assert choose_by_score([], 24) == [] == choose_evenly([], 24)


def test_errors_by_hand():
    mask = np.array([[0, 1, 255, 255, 1]], np.uint8)
    truth = np.array([[0, 0, 0, 255, 255]], np.uint8)
    assert error_map(mask, truth).tolist() == [[RIGHT, WRONG, NO_ANSWER, 255, 255]]


def test_what_is_drawn_can_be_read_back(tmp_path):
    write_gallery(tmp_path / "g", iter([image()]), CLASSES, {"split": "val", "of": 1, "ranked_by": "segmentation"})
    found = read_gallery(tmp_path / "g")
    assert (found["split"], found["background"]) == ("val", 0)
    assert found["classes"][2] == {"name": "scar", "color": "#00ff09"}
    [entry] = found["images"]
    assert entry["classes"]["pseudo_masks"] == {"none": 0.75, "polyp": 0.25}
    assert entry["classes"]["truth"] == {"none": 0.675, "polyp": 0.225, "": 0.1}
    assert entry["scores"]["pseudo_masks"] == {"miou": 1.0, "pixel_accuracy": 1.0}
    assert entry["maps"] == [{"class": "polyp", "probability": 0.91}]
    truth = pixels(tmp_path / "g" / "a" / "truth.png")
    assert truth.shape == (20, 30, 4)
    assert truth[0, 10].tolist() == [255, 0, 0, 255] and truth[19, 10].tolist() == [0, 0, 0, 255]
    assert truth[0, 0, 3] == 0, "no class is transparent"
    errors = pixels(tmp_path / "g" / "a" / "segmentation.errors.png")
    assert errors[0, 10].tolist() == [0, 114, 178, 255] and errors[0, 0, 3] == 0
    map_ = pixels(tmp_path / "g" / "a" / "map0.webp").astype(int)
    assert map_[-1, -1, :3].sum() > map_[0, 0, :3].sum() + 200, "from dark to bright"
    assert sorted(path.name for path in (tmp_path / "g" / "a").iterdir()) == [
        "image.webp", "map0.webp", "pseudo_masks.errors.png", "pseudo_masks.png", "segmentation.errors.png",
        "segmentation.png", "truth.png",
    ]  # fmt: skip


def test_large_images_become_smaller_and_keep_their_shape(tmp_path):
    write_gallery(tmp_path, [image(size=(600, 900), truth=None, scores={})], CLASSES, {})
    with Image.open(tmp_path / "a" / "image.webp") as picture:
        assert picture.size == (SIDE, round(SIDE * 600 / 900))
    with Image.open(tmp_path / "a" / "pseudo_masks.png") as picture:
        assert picture.size == (SIDE, round(SIDE * 600 / 900))
        colors = {color for _, color in picture.convert("RGB").getcolors()}
    assert colors == {(0, 0, 0), (255, 0, 0)}, "masks are never blended"
    assert read_gallery(tmp_path)["images"][0]["classes"].keys() == {"pseudo_masks", "segmentation"}
    assert not list(tmp_path.glob("a/*errors*"))


def test_the_same_image_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        write_gallery(tmp_path / name, [image()], CLASSES, {})
    for path in (tmp_path / "one").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


def test_255_classes_and_none_fit_a_palette(tmp_path):
    table = ClassTable(tuple(map(str, range(255))), tuple((index, 0, 7) for index in range(255)))
    mask = np.arange(256, dtype=np.uint8).reshape(16, 16)
    write_gallery(tmp_path, [image(masks={"pseudo_masks": mask}, truth=None, scores={}, maps=[])], table, {})
    drawn = pixels(tmp_path / "a" / "pseudo_masks.png")
    assert drawn[..., 0].ravel()[:255].tolist() == list(range(255)) and drawn[15, 15, 3] == 0


def test_keys_do_not_leave_the_folder(tmp_path):
    with pytest.raises(WsssError, match="not safe as a file name"):
        write_gallery(tmp_path / "g", [image(key="../../x")], CLASSES, {})
    with pytest.raises(DataError, match=r"gallery\.json: is missing; run the stage again"):
        read_gallery(tmp_path)
