import json
import os
import socket
from dataclasses import replace

import pytest
import tiny_recipe
import torch

from wsss_toolkit.domain import Destination, SceneOutputs, find_adapter
from wsss_toolkit.errors import DataError, UsageError
from wsss_toolkit.recipe import bundled_recipes, load_recipe, recipe_digest, recipe_yaml
from wsss_toolkit.recipe.plain_recipe import LOCAL_FILE
from wsss_toolkit.runs.folder import newest_run
from wsss_toolkit.runs.trained_run import open_run
from wsss_toolkit.scenes.job import Settings, loaded
from wsss_toolkit.scenes.predictor import Windows, choose_stage, choose_windows, load_predictor

CPU = torch.device("cpu")


@pytest.mark.usefixtures("adapters")
@pytest.mark.parametrize("name", bundled_recipes())
def test_a_recipe_written_beside_its_results_is_the_same_recipe(name, tmp_path):
    recipe = load_recipe(bundled_recipes()[name][0])
    (tmp_path / "recipe.yaml").write_text(recipe_yaml(recipe))
    again = load_recipe(tmp_path / "recipe.yaml")
    assert again == recipe
    assert recipe_digest(again) == recipe_digest(recipe)


@pytest.mark.usefixtures("adapters")
def test_a_recipe_without_a_network_is_read_back_too(tmp_path):
    recipe = load_recipe(tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data", segmentation=None))
    (tmp_path / "recipe.yaml").write_text(recipe_yaml(recipe))
    assert recipe_digest(load_recipe(tmp_path / "recipe.yaml")) == recipe_digest(recipe)


def test_a_run_folder_says_everything_without_its_data(trained):
    run = open_run(trained)
    assert run.classes == find_adapter("synthetic")(run.recipe.data).classes
    assert run.image_size == (32, 32) and run.has_network
    assert len(run.preprocessing.channels) == 6
    assert run.tags["wsss_recipe"] == "tiny"
    assert run.tags["wsss_label_source"] == "mask_coverage>=0.1"
    report = json.loads((trained / "report.json").read_text())
    assert run.tags["wsss_recipe_digest"] == report["run"]["recipe_digest"]


def test_a_run_tells_nothing_of_the_machine_and_finds_its_data_all_the_same(trained, trained_once):
    recipe = open_run(trained).recipe
    root = str(recipe.data.root)
    assert root.startswith("/") and load_recipe(trained / "recipe.yaml") == recipe
    (trained / LOCAL_FILE).unlink()
    secrets = [root, str(trained_once.parent), "tiny-run-unfinished", f".{socket.gethostname()}."]
    for file in (path for path in trained_once.rglob("*") if path.is_file() and path.name != LOCAL_FILE):
        content = file.read_bytes()
        found = [secret for secret in secrets if secret.encode() in content or secret in file.name]
        assert not found, file
    assert open_run(trained).classes == find_adapter("synthetic")(recipe.data).classes, "a shared run labels scenes"
    assert list(trained_once.rglob("events.out.tfevents.*")) and list(trained_once.rglob("*.ckpt"))


def test_files_of_a_run_have_the_rights_that_the_umask_gives(trained):
    plain = trained / "plain.txt"
    plain.touch()
    expected = plain.stat().st_mode
    odd = [path for path in trained.rglob("*") if path.is_file() and path.stat().st_mode != expected]
    assert not odd


def test_both_models_give_each_pixel_scores_in_0_to_1(trained):
    run = open_run(trained)
    images = torch.randn(2, 6, 40, 48, generator=torch.Generator().manual_seed(0))
    valid, present = torch.ones(2, 40, 48, dtype=torch.bool), torch.ones(2, 2, dtype=torch.bool)
    valid[0, :8] = False
    images[0, :, :8] = 0
    unet = load_predictor(run, "unet", CPU).score(images, valid, present, False)
    assert unet.shape == (2, 8, 40, 48)
    torch.testing.assert_close(unet.sum(dim=1), torch.ones(2, 40, 48))
    votes = load_predictor(run, "vit", CPU).score(images, valid, present, False)
    assert votes.shape == (2, 8, 40, 48)
    assert ((votes > 0).sum(dim=1) <= 1).all(), "a window votes for one class at a pixel"
    assert votes.amax() <= 1 and (votes[0, :, :8] == 0).all() and (votes[1].sum(dim=0) > 0).all()


def test_a_network_computes_in_half_precision_where_it_is_told_to(trained):
    run, seen = open_run(trained), []
    images = torch.randn(1, 6, 64, 64, generator=torch.Generator().manual_seed(0))
    known = torch.ones(1, 64, 64, dtype=torch.bool), torch.ones(1, 2, dtype=torch.bool)

    def scores(*dtype):
        with torch.nn.modules.module.register_module_forward_hook(
            lambda module, inputs, output: seen.append(output.dtype) if isinstance(module, torch.nn.Conv2d) else None
        ):
            return load_predictor(run, "unet", CPU, *dtype).score(images, *known, False)

    exact = scores()
    assert set(seen) == {torch.float32}
    seen.clear()
    half = scores(torch.bfloat16)
    assert set(seen) == {torch.bfloat16} and half.dtype == torch.float32
    assert 0 < (half - exact).abs().max() < 0.02


def test_windows_follow_from_what_the_network_sees(trained):
    run = open_run(trained)
    section = run.recipe.segmentation
    assert min(run.image_size) == 32

    def windows(*given, **changes):
        changed = run.recipe.model_copy(update={"segmentation": section.model_copy(update=changes)})
        return choose_windows(replace(run, recipe=changed), "unet", *given)

    assert windows(None, None, None, image_size=64) == Windows(256, 0.125, 2)  # seen twice as large
    assert windows(None, None, None, image_size=16) == Windows(1024, 0.125, 2)
    assert windows(256, None, None) == Windows(256, 0.25, 8) and windows(64, None, None).overlap == 0.5
    assert windows(1024, 0.5, 3) == Windows(1024, 0.5, 3) and windows(2048, None, None).batch_size == 1
    assert windows(None, None, None, encoder="classifier") == Windows(256, 0.5, 8)
    assert windows(None, None, None, encoder="classifier", image_size=64) == Windows(32, 0.5, 8)


def test_the_network_is_the_default_where_there_is_one(trained):
    run = open_run(trained)
    assert choose_stage(run, None) == "unet" and choose_stage(run, "vit") == "vit"
    assert choose_windows(run, "unet", None, None, None) == Windows(512, 0.125, 2)
    assert choose_windows(run, "vit", None, None, None) == Windows(32, 0.5, 8)
    report = json.loads((trained / "report.json").read_text())
    del report["run"]["stages"]["segmentation"]
    (trained / "report.json").write_text(json.dumps(report))
    run = open_run(trained)
    assert choose_stage(run, None) == "vit"
    with pytest.raises(UsageError, match="no segmentation network"):
        choose_stage(run, "unet")


def test_the_newest_run_is_taken(trained):
    other = trained.with_name("older")
    other.mkdir()
    (other / "report.json").write_text((trained / "report.json").read_text())
    os.utime(other / "report.json", (1, 1))
    (trained.with_name("unfinished")).mkdir()
    assert newest_run(trained.parent) == trained
    os.utime(trained / "report.json", (0, 0))
    assert newest_run(trained.parent) == other


def test_no_run_is_refused_in_words(tmp_path, trained):
    with pytest.raises(UsageError, match=r"no finished run lies under .*; train one first, e.g. `wsss run quickstart`"):
        newest_run(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="no such folder"):
        open_run(tmp_path / "nowhere")
    advice = "not a finished run: .*; finish it with wsss run, or name the folder of another run$"
    with pytest.raises(UsageError, match=advice):  # what `wsss explain` and others without --run say too
        open_run(tmp_path)
    (trained / "train" / "model.safetensors").write_bytes(b"short")
    with pytest.raises(DataError, match=r"model\.safetensors: the model file cannot be read"):
        open_run(trained)


def test_models_of_two_recipes_are_not_mixed(trained):
    record = json.loads((trained / "segmentation" / "stage.json").read_text())
    (trained / "segmentation" / "stage.json").write_text(json.dumps({**record, "digest": "other"}))
    with pytest.raises(UsageError, match="segmentation was done again after the run's last report"):
        open_run(trained)


def test_a_damaged_network_is_refused_in_words(trained):
    (trained / "segmentation" / "network.safetensors").write_bytes(b"short")
    with pytest.raises(DataError, match="the segmentation network cannot be read"):
        load_predictor(open_run(trained), "unet", CPU)


def test_a_process_reads_a_run_again_when_it_was_finished_anew(trained):
    settings = Settings(trained, (), "unet", "cpu", torch.float32, 32, 0.5, 2, Destination(trained, SceneOutputs(), {}))
    first = loaded(settings)
    assert loaded(settings) is first
    os.utime(trained / "report.json", ns=(1, 1))
    assert loaded(settings) is not first
