"""What the evaluation stage keeps for the page, and the page itself, in runs of several kinds."""

import csv
import json
import os
import shutil

import numpy as np
import pytest
import rasterio
import tiny_recipe
from PIL import Image

from wsss_toolkit.recipe import load_recipe
from wsss_toolkit.report.gallery import read_gallery
from wsss_toolkit.report.score_files import read_confusion, read_image_scores
from wsss_toolkit.runs import pipeline

pytestmark = pytest.mark.usefixtures("adapters")

SCORED = [("pseudo_masks", "train"), ("pseudo_masks", "val"), ("segmentation", "val"), ("segmentation", "test")]


def run(out, data, *, stages=None, **changes):
    recipe = load_recipe(tiny_recipe.write_recipe(data.parent / f"{out.name}.yaml", data, **changes))
    return json.loads(pipeline.run(recipe, out=out, stages=stages, device="cpu").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run's folder, its data folder and its report."""
    folder = tmp_path_factory.mktemp("evaluated")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wsss_toolkit.domain.adapter.entry_points", lambda group: tiny_recipe.declared_adapters())
        report = run(folder / "run", folder / "data")
    return folder / "run", folder / "data", report


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the run that a test may change, and the data folder."""
    shutil.copytree(finished[0], tmp_path / "run", copy_function=os.link)
    return tmp_path / "run", finished[1]


@pytest.mark.parametrize(("kind", "split"), SCORED)
def test_matrices_and_scores_by_image_add_up_to_the_report(finished, kind, split):
    out, _, report = finished
    figures = report[kind][split]
    found = read_confusion(out / "evaluation" / f"{kind}.{split}.confusion.csv")
    assert list(found.names) == list(figures["iou"])
    square = found.counts[:, :-1]
    hits, union = square.diagonal(), found.counts.sum(axis=1) + square.sum(axis=0) - square.diagonal()
    for name, hit, joined in zip(found.names, hits, union, strict=True):
        assert figures["iou"][name] == (pytest.approx(hit / joined) if joined else None)
    images = read_image_scores(out / "evaluation" / f"{kind}.{split}.images.csv")
    assert len(images) == len({score.key for score in images}) == figures["images"]
    assert sum(score.labelled_pixels for score in images) == found.counts.sum()
    right = sum(score.labelled_pixels * score.pixel_accuracy for score in images if score.labelled_pixels)
    assert right / found.counts.sum() == pytest.approx(figures["pixel_accuracy"])


def test_an_image_s_miou_is_over_the_classes_of_its_truth(finished):
    from wsss_toolkit.domain import find_adapter

    out, data, _ = finished
    adapter = find_adapter("synthetic")(load_recipe(data.parent / "run.yaml").data)
    for score in read_image_scores(out / "evaluation" / "segmentation.test.images.csv"):
        truth = adapter.read_mask(score.key)
        with rasterio.open(out / "export" / "test" / f"{score.key}.tif") as file:
            mask = file.read(1)
        mask = np.where(truth == 255, 255, mask)
        shares = [
            ((mask == value) & (truth == value)).sum() / ((mask == value) | (truth == value)).sum()
            for value in np.unique(truth[truth != 255])
        ]
        assert score.miou == pytest.approx(np.mean(shares))


def test_the_gallery_shows_the_masks_of_the_run_from_the_worst_to_the_best(finished):
    out = finished[0]
    gallery = read_gallery(out / "evaluation" / "gallery")
    assert (gallery["split"], gallery["of"], gallery["ranked_by"]) == ("test", 4, "segmentation")
    assert gallery["pseudo_masks_written"] is False, "the recipe writes those of train and val"
    scores = {score.key: score.miou for score in read_image_scores(out / "evaluation" / "segmentation.test.images.csv")}
    shown = [image["key"] for image in gallery["images"]]
    assert shown == sorted(scores, key=lambda key: (scores[key], key))
    colors = [tuple(bytes.fromhex(entry["color"][1:])) for entry in gallery["classes"]]
    probabilities = {}
    for image in gallery["images"]:
        assert image["scores"]["segmentation"]["miou"] == pytest.approx(scores[image["key"]])
        with rasterio.open(out / "export" / "test" / f"{image['key']}.tif") as file:
            expected = file.read(1)
        with Image.open(out / "evaluation" / "gallery" / image["key"] / "segmentation.png") as picture:
            drawn = np.asarray(picture.convert("RGB"))
        for value in np.unique(expected):
            assert (drawn[expected == value] == colors[value]).all()
        assert 1 <= len(image["maps"]) <= 6
        probabilities[image["key"]] = [shown["probability"] for shown in image["maps"]]
    assert all(found == sorted(found, reverse=True) for found in probabilities.values())


def test_pseudo_masks_of_the_gallery_are_those_that_were_written(copied):
    out, data = copied
    run(out, data, stages=["evaluation"], evaluation={"pseudo_masks": ["train", "val"], "segmentation": ["val"]})
    gallery = read_gallery(out / "evaluation" / "gallery")
    assert gallery["split"] == "val" and gallery["pseudo_masks_written"] is True
    with (out / "pseudo_masks" / "val.scores.csv").open() as file:
        predicted = {row["image"]: row for row in csv.DictReader(file)}
    colors = [tuple(bytes.fromhex(entry["color"][1:])) for entry in gallery["classes"]]
    for image in gallery["images"]:
        with rasterio.open(out / "pseudo_masks" / "val" / f"{image['key']}.tif") as file:
            expected = file.read(1)
        with Image.open(out / "evaluation" / "gallery" / image["key"] / "pseudo_masks.png") as picture:
            drawn = np.asarray(picture.convert("RGB"))
        shown_colors = {tuple(color) for color in drawn.reshape(-1, 3).tolist()}
        assert shown_colors == {colors[value] for value in np.unique(expected)}
        for shown in image["maps"]:
            assert shown["probability"] == pytest.approx(float(predicted[image["key"]][shown["class"]]), abs=1e-3)


def test_a_split_without_truth_has_a_gallery_without_it_and_reads_none(copied, monkeypatch):
    from wsss_adapters.synthetic import Synthetic

    def refuse(self, key):
        raise AssertionError("ground truth was read")

    out, data = copied
    monkeypatch.setattr(Synthetic, "read_mask", refuse)
    report = run(out, data, stages=["evaluation"], evaluation={"pseudo_masks": [], "segmentation": []})
    assert report["pseudo_masks"] == report["segmentation"] == {}
    gallery = read_gallery(out / "evaluation" / "gallery")
    assert (gallery["split"], gallery["ranked_by"], len(gallery["images"])) == ("val", None, 4)
    assert all(image["classes"].keys() == {"pseudo_masks", "segmentation"} for image in gallery["images"])
    page = (out / "report.html").read_text()
    assert "No masks have been compared with ground truth: the recipe scores no split." in page
    assert "All 4 images of the split val. This split is not compared with ground truth." in page
    assert "ground truth, " not in page and "errors of" not in page
    assert page.count('class="panel map"') == sum(len(image["maps"]) for image in gallery["images"])


def test_a_run_without_a_network_is_ranked_by_its_pseudo_masks(copied):
    out, data = copied
    report = run(out, data, stages=["evaluation"], segmentation=None)
    assert report["segmentation"] == {}
    gallery = read_gallery(out / "evaluation" / "gallery")
    assert (gallery["split"], gallery["ranked_by"]) == ("val", "pseudo_masks")
    page = (out / "report.html").read_text()
    assert "UNet" not in page and "pseudo-masks, val" in page
    assert "export" in page.split("These stages have not finished")[1][:80]


def test_a_run_that_has_only_begun_says_what_is_not_there(finished, tmp_path):
    run(tmp_path / "run", finished[1], stages=["labels"])
    page = (tmp_path / "run" / "report.html").read_text()
    assert "train, pseudo-masks, segmentation, evaluation, export. The page shows what there is." in page
    assert "the stage evaluation has not finished for this recipe" in page
    assert 'id="gallery"' not in page and 'id="training"' not in page
    assert "How many images show each class" in page
