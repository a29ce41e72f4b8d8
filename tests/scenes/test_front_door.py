"""`import wsss_toolkit as w`: what programs and notebooks call, beside what the commands do."""

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import stacks
import tiny_recipe
from click.testing import CliRunner

import wsss_toolkit as w
from wsss_toolkit.cli import cli
from wsss_toolkit.domain import find_adapter
from wsss_toolkit.recipe import load_recipe

pytestmark = pytest.mark.usefixtures("adapters")


def images_of(run, split="test"):
    """Return the arrays of a split as a notebook would have them: channels stacked in the run's order."""
    recipe = run.trained.recipe
    adapter = find_adapter(recipe.data.adapter)(recipe.data)
    adapter.prepare()
    channels = run.trained.preprocessing.channels
    keys = adapter.splits()[split]
    return {key: np.concatenate(list(adapter.read(key, channels).bands.values())) for key in keys}


@pytest.fixture
def run(trained_once, adapters):
    """The tiny run beside its data; predictions write nothing into it."""
    return w.open_run(trained_once, device="cpu")


def test_the_names_are_all_there_and_others_are_not():
    assert set(w.__all__) <= set(dir(w))
    for name in w.__all__:
        assert getattr(w, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'ruin'"):
        _ = w.ruin


def test_type_checkers_see_the_same_names():
    import ast
    from pathlib import Path

    [block] = [node for node in ast.parse(Path(w.__file__).read_text()).body if isinstance(node, ast.If)]
    seen = {name.name: node.module for node in block.body for name in node.names}
    assert set(seen) == set(w.__all__)
    assert seen == {name: f"wsss_toolkit.{home}" for home, names in w._HOMES.items() for name in names}


def test_a_run_predicts_the_masks_that_it_exported(run):
    images, exported = images_of(run), dict(run.masks("test"))
    assert set(images) == set(exported) and len(images) == 4
    found = run.predict(list(images.values()))
    for prediction, mask in zip(found, exported.values(), strict=True):
        np.testing.assert_array_equal(prediction.mask, mask)
        assert prediction.mask.dtype == np.uint8 and prediction.confidence.dtype == np.float32
        assert 0 < prediction.confidence.max() <= 1
    mask, confidence = run.predict(next(iter(images.values())))
    np.testing.assert_array_equal(mask, found[0].mask)
    np.testing.assert_allclose(confidence, found[0].confidence, atol=1 / 255)


def test_the_classifier_predicts_its_pseudo_masks(run):
    images = images_of(run, "train")
    found = run.predict(list(images.values()), stage="vit")
    written = dict(run.masks("train", "pseudo_masks"))
    for prediction, key in zip(found, images, strict=True):
        np.testing.assert_array_equal(prediction.mask, written[key])


def test_arrays_are_read_in_this_process_whatever_the_recipe_says(run):
    machine = run.trained.recipe.machine.model_copy(update={"workers": 2})
    recipe = run.trained.recipe.model_copy(update={"machine": machine})
    run.__dict__["trained"] = replace(run.trained, recipe=recipe)  # where it is kept once it is read
    assert run._work.recipe.machine == machine.model_copy(update={"workers": 0})


def test_missing_pixels_have_no_class(run):
    image = next(iter(images_of(run).values()))
    hidden = np.zeros(image.shape, bool)
    hidden[:, :5] = True
    masked = run.predict(np.ma.masked_array(image, hidden))
    image[:, :5] = np.nan
    mask, confidence = run.predict(image)
    assert (mask[:5] == 255).all() and (mask[5:] != 255).all() and (confidence[:5] == 0).all()
    np.testing.assert_array_equal(masked.mask, mask)


@pytest.mark.parametrize(
    "image, message",
    [
        (np.zeros((32, 32, 6)), r"6 channels \(sentinel1.VV, .*got 32 x 32 x 6; .*image.transpose\(2, 0, 1\)"),
        (np.zeros((5, 32, 32)), "got 5 x 32 x 32; give one array per image"),
        (np.zeros((2, 6, 32, 32)), "got 2 x 6 x 32 x 32"),
        (np.array([[["a"]]]), "no array of numbers"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_words(run, image, message):
    with pytest.raises(w.UsageError, match=message):
        run.predict(image)


def test_paths_are_read_as_the_domain_reads_scenes(run, tmp_path):
    path = stacks.write_scene(tmp_path / "a.tif", 40, 36, missing=4)
    with rasterio.open(path) as raster:
        bands = raster.read().astype(np.float32)
    bands[:, :4] = np.nan
    found = run.predict([path])
    assert list(found) == ["a"] and found["a"].mask.shape == (40, 36)
    np.testing.assert_array_equal(found["a"].mask, run.predict(bands).mask)
    np.testing.assert_array_equal(run.predict(str(tmp_path))["a"].mask, found["a"].mask)
    with pytest.raises(w.UsageError, match="no such file or folder"):
        run.predict(tmp_path / "nothing.tif")


def test_labelled_scenes_are_those_of_the_command(trained, tmp_path, capfd):
    stacks.write_scene(tmp_path / "scenes" / "a.tif", 70, 60, missing=10)
    told = []
    run = w.open_run(trained, device="cpu")
    options = {"window": 32, "confidence": True}
    folder = run.label(tmp_path / "scenes", out=tmp_path / "python", progress=told.append, **options)
    assert folder == (tmp_path / "python").absolute()
    assert capfd.readouterr() == ("", "")
    assert [str(news) for news in told] == ["label: started", "label: scenes, 1 of 1", "label: done"]
    command = ["pseudolabel", "--run", str(trained), "--tiles", str(tmp_path / "scenes"), "--out",
               str(tmp_path / "command"), "--window", "32", "--confidence", "--device", "cpu"]  # fmt: skip
    assert CliRunner().invoke(cli, command).exit_code == 0
    for name in ("a_mask.tif", "a_confidence.tif"):
        assert (folder / name).read_bytes() == (tmp_path / "command" / name).read_bytes()


def test_warnings_of_scenes_arrive_as_pythons(trained, tmp_path):
    stacks.write_scene(tmp_path / "a.tif", 40, 50, missing=40)
    with pytest.warns(w.WsssWarning, match=r"a\.tif: no pixel has a class"):
        w.open_run(trained, device="cpu").label(tmp_path / "a.tif", out=tmp_path / "out", window=32)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"windw": 32}, "label has no option 'windw'; did you mean window?"),
        ({"stage": "net"}, "there is no stage 'net' to label with"),
        ({"device": "gpu"}, "there is no device 'gpu'"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"overlap": 1.0}, "overlap is 1.0"),
        ({"set": "data.root=x"}, "expected a mapping or a list"),
    ],
)
def test_wrong_options_are_refused_in_words(trained, tmp_path, options, message):
    stacks.write_scene(tmp_path / "a.tif", 40, 40)
    with pytest.raises(w.WsssError, match=message):
        w.open_run(trained, device="cpu").label(tmp_path / "a.tif", out=tmp_path / "out", **options)
    assert not list(tmp_path.glob("out/*.tif"))


def test_a_run_says_what_it_is(run, trained_once):
    assert run.path == trained_once
    assert run.report == json.loads((trained_once / "report.json").read_text())
    assert run.classes.names[0] == "Forest" and run.bands == (
        "sentinel1.VV", "sentinel1.VH", "sentinel2.B02", "sentinel2.B03", "sentinel2.B04", "sentinel2.B08",
    )  # fmt: skip
    with pytest.raises(w.UsageError, match=r"the run has written no masks here; add dev to export\.splits"):
        run.masks("dev")
    with pytest.raises(w.UsageError, match="no such folder"):
        w.open_run(trained_once / "nowhere")


def test_labels_of_a_run_come_quietly_and_with_progress(tmp_path, capfd):
    recipe = tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data")
    told = []
    run = w.run(recipe, out=tmp_path / "run", stages=["labels"], progress=told.append)
    assert run.path == tmp_path / "run" and run.report["labels"]["splits"]["train"]["images"] == 8
    assert capfd.readouterr() == ("", "")
    assert str(told[15]) == "data: tiles made, 16 of 16"
    assert told[16] == w.Progress("labels", "started") and told[-1] == w.Progress("labels", "done")
    assert w.Progress("labels", "working", "image-level labels", 16, 16) in told
    told.clear()
    w.run(load_recipe(recipe), out=tmp_path / "run", stages="labels", progress=told.append)
    assert told == [w.Progress("labels", "kept")]
    with pytest.raises(w.UsageError, match="not a finished run"):
        _ = run.classes


def test_a_whole_run_is_quiet_and_tells_of_images_and_epochs(tmp_path, capfd):
    recipe = tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data")
    told = []
    run = w.run(recipe, out=tmp_path / "run", set={"train.epochs": 1}, device="cpu", progress=told.append)
    assert capfd.readouterr() == ("", "")
    states = [(news.stage, news.state) for news in told if news.state != "working"]
    stages = ("labels", "train", "pseudo_masks", "segmentation", "evaluation", "export")
    assert states == [(stage, state) for stage in stages for state in ("started", "done")]
    lines = [str(news) for news in told]
    for line in ("train: looking at images, 8 of 8", "train: epochs, 1 of 1", "segmentation: epochs, 1 of 1",
                 "pseudo_masks: pseudo-masks train, 8 of 8", "export: export test, 4 of 4"):  # fmt: skip
        assert line in lines
    assert run.trained.recipe.train.epochs == 1


def test_a_check_finds_what_the_command_finds(tmp_path):
    recipe = tiny_recipe.write_recipe(tmp_path / "tiny.yaml", tmp_path / "data")
    assert w.check(recipe) == ("Synthetic data: figures say nothing about real scenes.",)
    with pytest.raises(w.RecipeErrors) as error:
        w.check(str(recipe), set={"model.depht": 3, "train.epochs": 0})
    printed = CliRunner().invoke(cli, ["check", str(recipe), "--set", "model.depht=3", "--set", "train.epochs=0"])
    assert str(error.value) in printed.output and len(error.value.lines) == 2
    loaded = load_recipe(recipe)
    with pytest.raises(w.RecipeErrors, match=r"--set model\.depth=x: expected a whole number"):
        w.check(loaded, set=["model.depth=x"])
    with pytest.raises(w.UsageError, match="neither a file nor a bundled recipe; did you mean quickstart"):
        w.check("quikstart")
