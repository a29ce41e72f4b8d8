"""`wsss explain RUN IMAGE` on a finished run of the tiny recipe."""

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch
from click.testing import CliRunner
from PIL import Image

from wsss_adapters.synthetic import Synthetic
from wsss_adapters.synthetic_scenes import draw_scene
from wsss_toolkit.cli.explain import class_names
from wsss_toolkit.cli.main import cli
from wsss_toolkit.domain import Sample
from wsss_toolkit.errors import DataError
from wsss_toolkit.explain.files import AXES
from wsss_toolkit.explain.subject import find_subject
from wsss_toolkit.explain.trace import NOBODY, explain_image
from wsss_toolkit.heads.saved import load_trained
from wsss_toolkit.images.dataset import ImageDataset, read_pseudo_mask
from wsss_toolkit.model.attention_maps import class_map
from wsss_toolkit.pseudo_masks.class_maps import class_maps
from wsss_toolkit.runs.trained_run import open_run


def explain(run, *arguments, code=0):
    """Run the command; return its output."""
    result = CliRunner().invoke(cli, ["explain", str(run), "--device", "cpu", *map(str, arguments)])
    assert result.exit_code == code, result.output + str(result.exception)
    return result.output


def arrays(folder):
    with np.load(folder / "maps.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture
def masks(trained):
    """The pseudo-masks of the run's split `val` by image."""
    index = json.loads((trained / "pseudo_masks" / "index.json").read_text())["val"]
    return {key: read_pseudo_mask(trained / "pseudo_masks" / file) for key, file in index.items()}


@pytest.fixture
def blind(monkeypatch):
    """Make every look at ground truth fail."""

    def refuse(self, key):
        raise AssertionError("ground truth was read")

    monkeypatch.setattr(Synthetic, "read_mask", refuse)


@pytest.fixture
def undrawn(monkeypatch):
    """Write no figures, which take most of the time."""
    monkeypatch.setattr("wsss_toolkit.explain.explain.save_figure", lambda figure, path: None)


@pytest.mark.usefixtures("blind")
def test_the_mask_is_the_runs_and_the_arrays_are_as_described(trained, masks):
    key = sorted(masks)[0]
    printed = explain(trained, key)
    folder = trained / "explain" / key
    assert printed.splitlines()[-1] == f"explanation: {folder}"
    found = arrays(folder)
    np.testing.assert_array_equal(found["mask"], masks[key])
    described = json.loads((folder / "explain.json").read_text())
    assert list(described["arrays"]) == list(found) == list(AXES)
    for name, values in found.items():
        said = described["arrays"][name]
        assert said["shape"] == list(values.shape) and said["dtype"] == str(values.dtype)
        assert len(said["shape"]) == len(said["axes"].split(", "))
    assert described["split"] == "val" and described["ground_truth"].startswith("not read")
    shown = described["classes"]
    assert [entry["token"] for entry in shown.values()] == found["tokens"].tolist()
    assert found["tokens"].tolist() == np.flatnonzero(found["active"]).tolist()
    assert sum(entry["mask_share"] for entry in shown.values()) == pytest.approx(1)
    for name, entry in shown.items():
        assert open_run(trained).classes.names[entry["mask_value"]] == name
        assert entry["probability"] == pytest.approx(1 / (1 + np.exp(-entry["logit"])), rel=1e-5)
    for name in ("explain.png", "heads.png"):
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 300 and len(picture.convert("RGB").getcolors(10**6)) > 50


@pytest.mark.usefixtures("blind", "undrawn")
def test_heads_and_maps_are_the_models(trained, masks):
    key = sorted(masks)[0]
    explain(trained, key, "--classes", "Water, Forest", "--classes", "Water")
    found = arrays(trained / "explain" / key)
    run, model = open_run(trained), load_trained(trained / "train")
    item = ImageDataset(run.adapter, [key], run.preprocessing)[0]
    image, valid = item["image"][None], item["valid"][None]
    with torch.no_grad():
        layers = model.backbone.class_layers
        output = model.backbone(image, valid=valid, read=dict.fromkeys(layers, class_map))
        maps, logits = class_maps(model, image, run.recipe.pseudo_masks, valid=valid)
    assert found["tokens"].tolist() == [0, 7] and found["layers"].tolist() == [1]
    shares = found["gates"] / found["gates"].sum(axis=1, keepdims=True)
    read = np.stack([output.read[layer].maps[0].numpy() for layer in layers])
    mean = np.einsum("la,lakhw->lkhw", shares, found["attention"])
    np.testing.assert_allclose(mean, read[:, [0, 7]], atol=1e-6)
    np.testing.assert_allclose(found["maps"], maps[0, [0, 7]].numpy(), atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(found["logits"], logits[0].numpy(), atol=1e-5)
    np.testing.assert_array_equal(found["mask"], masks[key]), "what is shown does not change the mask"
    inactive = ~found["active"][[0, 7]]
    assert (found["paint_order"][inactive] == NOBODY).all() and (found["paint_order"][~inactive] >= 0).all()


@pytest.mark.usefixtures("blind", "undrawn")
def test_painting_what_is_claimed_in_the_order_given_makes_the_mask(trained, masks):
    changes = ["--set", "pseudo_masks.assign=paint", "--set", "pseudo_masks.fill=none"]
    for key in sorted(masks)[:2]:
        explain(trained, key, *changes)
        found = arrays(trained / "explain" / key)
        order = found["paint_order"]
        assert sorted(order) == list(range(len(order)))
        assert np.argsort(order).tolist() == np.argsort(found["logits"][found["tokens"]]).tolist()
        np.testing.assert_array_equal(
            found["claimed"], (found["maps"] >= found["thresholds"][:, None, None]) & (found["maps"] > 0)
        )
        painted = np.full_like(found["mask"], 255)
        for place in np.argsort(order):
            painted[found["claimed"][place]] = found["mask_values"][place]
        np.testing.assert_array_equal(found["mask"], painted)
        settings = json.loads((trained / "explain" / key / "explain.json").read_text())["settings"]
        assert settings["assign"] == "paint" and settings["fill"] == "none"


def test_maps_and_thresholds_are_those_of_the_recipes_windows(trained, masks):
    key = sorted(masks)[0]
    found = {}
    for window in ("none", "16"):
        run = open_run(trained, [f"pseudo_masks.{it}" for it in (f"window={window}", "assign=paint", "fill=none")])
        names = run.classes.label_names
        found[window] = explain_image(run, run.mapper(torch.device("cpu")), find_subject(run, key), names)
    one = found["16"]
    assert one.maps.shape == found["none"].maps.shape and not np.allclose(one.maps, found["none"].maps)
    painted = np.full_like(one.mask, 255)
    for place in np.argsort(one.paint_order):
        if one.paint_order[place] != NOBODY:
            painted[one.claimed[place]] = run.classes.labelled[place]
    np.testing.assert_array_equal(one.mask, painted)
    np.testing.assert_array_equal(one.claimed, (one.maps >= one.thresholds[:, None, None]) & (one.maps > 0))


def test_image_level_labels_are_used_where_the_recipe_says_so(trained, masks):
    key = sorted(masks)[0]
    # Labels that come from masks are refused for figures on these masks; nothing is scored here.
    run = open_run(trained, ["pseudo_masks.classes=labels", "evaluation.pseudo_masks=[]"])
    mapper, subject = run.mapper(torch.device("cpu")), find_subject(run, key)
    found = explain_image(run, mapper, subject, None)
    assert found.from_labels and found.active.tolist() == list(subject.labels) and any(subject.labels)
    lines = (trained / "labels" / "labels.csv").read_text().splitlines()
    [row] = [line for line in lines if line.startswith(f"{key},")]
    assert [run.classes.names[token] for token in found.tokens] == row.split(",")[2].split(";")
    unknown = explain_image(run, mapper, replace(subject, labels=None), None)
    nothing = explain_image(run, mapper, replace(subject, labels=(False,) * 8), None)
    assert nothing.tokens.tolist() == [] and nothing.maps.shape == (0, 32, 32) and (nothing.mask == 255).all()
    assert nothing.heads.attention.shape == (1, 3, 0, 4, 4) and not nothing.active.any()
    assert not unknown.from_labels and unknown.active.tolist() == (unknown.logits >= 0).tolist()
    run = open_run(trained, ["pseudo_masks.classes=training_labels", "evaluation.pseudo_masks=[]"])
    for split in ("train", "val"):
        found = explain_image(run, run.mapper(torch.device("cpu")), replace(subject, split=split), None)
        assert found.from_labels == (split == "train")


@pytest.mark.usefixtures("blind", "undrawn")
def test_a_scene_file_is_explained_as_a_whole_at_the_scale_of_training(trained, tmp_path):
    path = tmp_path / "elsewhere.tif"
    tile = draw_scene(64, np.random.default_rng(5))
    stack = np.concatenate([tile.sentinel1, tile.sentinel2[[1, 2, 3, 7]].astype(np.float32)])[:, :40, :50]
    grid = {"crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)}
    with rasterio.open(path, "w", driver="GTiff", count=6, height=40, width=50, dtype="float32", **grid) as raster:
        raster.write(stack)
        for index, name in enumerate(("VV", "VH", "B02", "B03", "B04", "B08"), start=1):
            raster.set_band_description(index, name)
    explain(trained, path)
    folder = trained / "explain" / "elsewhere"
    found, described = arrays(folder), json.loads((folder / "explain.json").read_text())
    assert described["split"] is None and described["attention"]["seen_at"] == [40, 50]
    assert found["attention"].shape[-2:] == (5, 7)
    run = open_run(trained)
    sample = Sample("x", {"sentinel1": stack[:2], "sentinel2": stack[2:]})
    image, valid, present = (torch.from_numpy(part)[None] for part in run.preprocessing(sample))
    mask, _, _ = run.mapper(torch.device("cpu")).masks(image, valid, present, reference=run.image_size)
    np.testing.assert_array_equal(found["mask"], mask[0].numpy())


@pytest.mark.usefixtures("blind", "undrawn")
def test_mistakes_are_one_line(trained, tmp_path, masks):
    key = sorted(masks)[0]
    assert f"the closest are {key}" in explain(trained, key + "x", code=2)
    assert "no class token is called 'Forrest'; did you mean Forest?" in explain(
        trained, key, "--classes", "Forrest", code=2
    )
    assert "say what to explain" in explain(trained, code=2)
    both = explain(trained, key, "--split", "val", code=2)
    assert f"an image, {key}, and --split val: it is one or the other; leave one out" in both
    assert "the model is trained" in explain(trained, key, "--set", "model.depth=3", code=2)
    assert "--classes names no class" in explain(trained, key, "--classes", ",", code=2)
    assert "no such folder" in explain(tmp_path / "nowhere", key, code=2)
    explain(trained, key, "--out", tmp_path / "why")
    assert "maps.npz: exists already; add --overwrite" in explain(trained, key, "--out", tmp_path / "why", code=2)
    before = (tmp_path / "why" / "maps.npz").read_bytes()
    (tmp_path / "why" / "maps.npz").write_bytes(b"old")
    (tmp_path / "why" / "mine.txt").write_text("kept")
    explain(trained, key, "--out", tmp_path / "why", "--overwrite")
    assert (tmp_path / "why" / "maps.npz").read_bytes() == before
    assert (tmp_path / "why" / "mine.txt").read_text() == "kept"
    assert "is a file, not a folder" in explain(trained, key, "--out", tmp_path / "why" / "mine.txt", code=2)


def test_commas_separate_names_unless_a_class_has_one():
    known = ("cat", "dog", "door, screen")
    assert class_names(("cat,dog ",), known) == ["cat", "dog"]
    assert class_names(("door, screen", "cat"), known) == ["door, screen", "cat"]
    assert class_names((), known) is None


def test_data_that_are_gone_are_named(trained, masks, monkeypatch):
    def gone(self):
        raise DataError("no tiles", where="there")

    monkeypatch.setattr(Synthetic, "prepare", gone)
    assert explain(trained, sorted(masks)[0], code=1).strip().endswith("error: there: no tiles")
