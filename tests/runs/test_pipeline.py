import json
import os
import shutil

import numpy as np
import pytest
import rasterio
import tiny_recipe
from PIL import Image
from rich.console import Console
from safetensors import safe_open

from wsss_toolkit.domain import find_adapter
from wsss_toolkit.errors import UsageError
from wsss_toolkit.recipe import load_recipe
from wsss_toolkit.runs import pipeline
from wsss_toolkit.runs.folder import RunFolder
from wsss_toolkit.runs.stages import StageWork

pytestmark = pytest.mark.usefixtures("adapters")

STAGES = [stage for stage in pipeline.STAGES if stage != "consensus"]
CLASSES = ["Forest", "Shrubland", "Grassland", "Wetlands", "Croplands", "Urban/Built-up", "Barren", "Water"]


def run(out, data, *, stages=None, overwrite=False, **changes):
    """Run the changed tiny recipe; return `report.json`."""
    recipe = load_recipe(tiny_recipe.write_recipe(data.parent / "tiny.yaml", data, **changes))
    return json.loads(pipeline.run(recipe, out=out, stages=stages, device="cpu", overwrite=overwrite).read_text())


def identities(folder):
    """Return inode and time of every file of a run's stages: a file that was made again differs."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.parent != folder)
    return {str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


def stages_redone(before, after):
    """Return the stages of which a file is new or was made again."""
    changed = {path.split("/")[0] for path, identity in after.items() if before.get(path) != identity}
    return changed - {"superseded"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, declared_adapters):
    """A finished run: its folder, the data folder, and the report."""
    folder = tmp_path_factory.mktemp("finished")
    report = run(folder / "run", folder / "data")
    return folder / "run", folder / "data", report


@pytest.fixture(scope="module")
def declared_adapters():
    """What the fixture `adapters` does for a test, for fixtures that outlive one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wsss_toolkit.domain.adapter.entry_points", lambda group: tiny_recipe.declared_adapters())
        yield


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the finished run that a test may change, and the data folder."""
    # Links are enough: files of a run are replaced, never written to.
    shutil.copytree(finished[0], tmp_path / "run", copy_function=os.link)
    return tmp_path / "run", finished[1]


def test_report_has_every_figure(finished):
    report = finished[2]
    assert report["run"].keys() >= {"name", "recipe_digest", "seed", "versions", "notices"}
    assert (report["run"]["name"], report["run"]["seed"]) == ("tiny", 3)
    assert report["run"]["versions"].keys() >= {"wsss-toolkit", "python", "torch", "timm", "lightning"}
    assert report["run"]["notices"] == ["Synthetic data: figures say nothing about real scenes."]
    assert report["supervision"] == {
        "label_source": "mask_coverage",
        "min_coverage": 0.1,
        "pseudo_mask_classes": "predicted",
    }
    assert {split: found["images"] for split, found in report["labels"]["splits"].items()} == {
        "train": 8,
        "val": 4,
        "test": 4,
    }
    assert report["classifier"].keys() == {"train", "val"}
    for scores in report["classifier"].values():
        assert 0 <= scores["map"] <= 1 and 0 <= scores["f1"] <= 1
    images = {
        part: {split: found["images"] for split, found in report[part].items()}
        for part in ("pseudo_masks", "segmentation")
    }
    assert images == {"pseudo_masks": {"train": 8, "val": 4}, "segmentation": {"val": 4, "test": 4}}
    for scores in (*report["pseudo_masks"].values(), *report["segmentation"].values()):
        assert list(scores["iou"]) == CLASSES
        occurring = [value for value in scores["iou"].values() if value is not None]
        assert scores["classes"] == len(occurring)
        assert scores["miou"] == pytest.approx(np.mean(occurring))
        assert 0 <= scores["pixel_accuracy"] <= 1
    # One gated block of three heads: block 0 lies below the class tokens.
    assert report["gates"]["total"] in (3, 6)
    assert 0 <= report["gates"]["open"] <= report["gates"]["total"]
    assert list(report["seconds"]) == STAGES
    assert list(report["peak_memory_mb"]) == STAGES
    assert all(value > 50 for value in report["peak_memory_mb"].values())


@pytest.mark.parametrize("folder", ["export/test", "pseudo_masks/train"])
def test_masks_lie_where_their_tiles_lie(finished, folder):
    out, data, report = finished
    masks = sorted((out / folder).glob("*.tif"))
    assert len(masks) == (4 if folder == "export/test" else 8)
    colors = set()
    for path in masks:
        group, number = path.stem.split("_p")
        base, suffix = {"val": ("ROIs0000_validation", "validation"), "test": ("ROIs0000_test", "0")}[group]
        [source] = data.glob(f"tiles-*/{base}/s2_{suffix}/{base}_s2_{suffix}_p{number}.tif")
        with rasterio.open(path) as mask, rasterio.open(source) as tile:
            assert mask.crs == tile.crs and mask.crs.to_epsg() == 32632
            assert mask.transform == tile.transform
            assert mask.shape == tile.shape == (32, 32)
            assert (mask.count, mask.dtypes, mask.nodata) == (1, ("uint8",), 255)
            assert mask.profile["tiled"] and mask.profile["compress"] == "deflate"
            assert mask.colormap(1)[0] == (0x00, 0x99, 0x00, 255)
            tags = mask.tags()
            assert [tags[f"CLASS_{index}"] for index in range(8)] == CLASSES
            assert tags["wsss_recipe"] == "tiny"
            assert tags["wsss_recipe_digest"] == report["run"]["recipe_digest"]
            assert tags["wsss_label_source"] == "mask_coverage>=0.1"
            assert "Synthetic" in tags["NOTICE"]
            values = mask.read(1)
            assert values.max() < 8, "every pixel of a tile without missing data has a class"
            colors |= set(np.unique(values).tolist())
    assert len(colors) > 1


def test_the_preview_is_a_small_picture(finished):
    path = finished[0] / "evaluation" / "preview.png"
    with Image.open(path) as picture:
        assert picture.format == "PNG" and min(picture.size) > 100
        assert len(picture.convert("RGB").getcolors(2**24)) > 20
    assert path.stat().st_size < 300_000


def test_the_saved_model_says_where_it_comes_from(finished):
    with safe_open(finished[0] / "train" / "model.safetensors", "pt") as file:
        metadata = file.metadata()
    assert metadata["wsss_recipe_digest"] == finished[2]["run"]["recipe_digest"]
    assert "Synthetic" in metadata["wsss_notice"]


def test_nothing_is_redone_where_nothing_changed(copied, capsys):
    out, data = copied
    before = identities(out)
    # Where frozen outputs are kept, and who loads the data, changes no result.
    run(out, data, machine__cache="disk", machine__images_in_memory_mb=0)
    assert identities(out) == before
    assert capsys.readouterr().err.count("unchanged, kept") == len(STAGES)


@pytest.mark.parametrize(
    ("change", "redone"),
    [
        ({"segmentation__lr": 2e-3}, {"segmentation", "evaluation", "export"}),
        ({"segmentation__refine": {"pixel_adaptive": {"iterations": 2}}}, {"evaluation", "export"}),
        ({"evaluation": {"segmentation": ["test"]}}, {"evaluation"}),
        ({"export": {"confidence": True}}, {"export"}),
    ],
)
def test_a_change_redoes_what_depends_on_it_and_changing_back_restores(copied, change, redone):
    out, data = copied
    before = identities(out)
    run(out, data, **change)
    assert stages_redone(before, identities(out)) == redone
    run(out, data)
    restored = identities(out)
    assert {path: identity for path, identity in restored.items() if not path.startswith("superseded/")} == before


ALL = set(STAGES)


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        ({"name": "other"}, set()),
        ({"seed": 4}, ALL - {"labels"}),
        ({"data__seed": 1}, ALL),
        ({"labels": {"min_coverage": 0.2}}, ALL),
        ({"channels__sentinel2__bands": ["B03", "B02", "B04", "B08"]}, ALL - {"labels"}),
        ({"model__registers": 0}, ALL - {"labels"}),
        ({"train__lr": 2e-3}, ALL - {"labels"}),
        ({"machine__workers": 1}, set()),
        ({"pseudo_masks__assign": "paint"}, ALL - {"labels", "train"}),
        ({"segmentation__epochs": 2}, {"segmentation", "evaluation", "export"}),
        ({"segmentation__refine": {"pixel_adaptive": {"iterations": 2}}}, {"evaluation", "export"}),
        ({"segmentation__refine": {}}, set()),
        ({"evaluation": {"pseudo_masks": ["val"]}}, {"evaluation"}),
        ({"export": {"splits": ["val"]}}, {"export"}),
    ],
)
def test_what_each_part_of_a_recipe_makes_stale(finished, tmp_path, change, stale):
    def digests(**changes):
        recipe = load_recipe(tiny_recipe.write_recipe(tmp_path / "tiny.yaml", finished[1], **changes))
        adapter = find_adapter("synthetic")(recipe.data)
        adapter.prepare()
        folder = RunFolder(tmp_path / recipe.name, recipe.name)
        stages = pipeline.Pipeline(StageWork(recipe, adapter, folder, "cpu", Console()))
        return {stage: stages.digest(stage) for stage in STAGES}

    before, after = digests(), digests(**change)
    assert {stage for stage in STAGES if before[stage] != after[stage]} == stale


def test_overwrite_makes_the_named_stages_again(copied):
    out, data = copied
    before, contents = identities(out), tiny_recipe.contents(out / "export")
    run(out, data, stages=["export"], overwrite=True)
    assert stages_redone(before, identities(out)) == {"export"}
    assert tiny_recipe.contents(out / "export") == contents


def test_stages_that_cannot_run_are_refused(finished, tmp_path):
    data = finished[1]
    with pytest.raises(UsageError, match="unknown stage 'trian'; stages are labels, train"):
        run(tmp_path / "a", data, stages=["trian"])
    with pytest.raises(UsageError, match="the recipe has no segmentation section"):
        run(tmp_path / "a", data, stages=["segmentation"], segmentation=None)
    with pytest.raises(UsageError, match="stage train needs labels, which has not finished"):
        run(tmp_path / "a", data, stages=["train"])
    assert not (tmp_path / "a").exists(), "refused before anything is written"
    run(tmp_path / "a", data, stages=["labels"])
    whole = "--stages train,pseudo_masks,segmentation,export"
    with pytest.raises(UsageError, match=f"stage export needs train, .*; run it too: {whole}"):
        run(tmp_path / "a", data, stages=["export"])


def test_a_list_of_stages_with_a_gap_is_refused_before_its_first_stage(finished, tmp_path):
    data = finished[1]
    run(tmp_path / "a", data, stages=["labels"])
    with pytest.raises(UsageError, match=r"stage evaluation needs pseudo_masks, which has not finished"):
        run(tmp_path / "a", data, stages=["train", "evaluation"])
    assert not (tmp_path / "a" / "train").exists() and not (tmp_path / "a" / "train.partial").exists()


def test_a_gap_is_closed_by_what_has_finished_for_this_recipe_only(copied):
    out, data = copied
    before = identities(out)
    run(out, data, stages=["train", "evaluation"])
    assert stages_redone(before, identities(out)) == set()
    with pytest.raises(UsageError, match=r"stage train needs labels, which has not finished for this recipe"):
        run(out, data, stages=["train", "evaluation"], labels__min_coverage=0.2)
    assert stages_redone(before, identities(out)) == set(), "every stage is there, but of another recipe"


def test_a_folder_serves_one_process_at_a_time(copied):
    from filelock import FileLock

    out, data = copied
    with FileLock(out / ".lock"), pytest.raises(UsageError, match="another process is working in this folder"):
        run(out, data)
