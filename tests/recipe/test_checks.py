from dataclasses import replace
from pathlib import Path

import pytest
from fake_domain import FakeDomain, FakeOptions

from wsss_toolkit.domain import Sensor
from wsss_toolkit.errors import UsageError
from wsss_toolkit.recipe import RecipeErrors, check_against_adapter, load_recipe, select_channels
from wsss_toolkit.recipe.checks import backbone_shape

pytestmark = pytest.mark.usefixtures("adapters")

BASE = "name: x\ndata: {adapter: fake, root: .}\nchannels: {radar: {scale: decibel}}\n"


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def load(*overrides):
        Path("x.yaml").write_text(BASE)
        return load_recipe("x.yaml", overrides)

    return load


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["model.image_size=100"], "100 is not divisible by the patch size 16; the nearest are 96 or 112"),
        (["model.image_size=9"], "9 is not divisible by the patch size 16; the nearest are 16"),
        (
            ["model.patch_size=15"],
            "model.image_size: 224 is not divisible by the patch size 15; the nearest are 210 or 225",
        ),
        (["model.class_tokens.enter_at=12"], "must be below the number of blocks, 12, got 12"),
        (["model.depth=13"], "--set model.depth=13: vit_base_patch16_224 has 12 blocks, got 13"),
        (
            ["train.freeze_below=1"],
            "blocks below 1 are computed once and cached, but class tokens join at block 0; "
            "freeze at most 0 or raise model.class_tokens.enter_at",
        ),
        (
            ["train.freeze_below=1", "model.class_tokens.enter_at=1", "model.fit=crop"],
            "--set train.freeze_below=1: the outputs "
            "of frozen blocks cannot be cached under random crops (model.fit: crop); turn one of the two off",
        ),
        (
            ["train.freeze_below=1", "model.class_tokens.enter_at=1", "train.augment.color_jitter=0.1"],
            "cannot be cached under colour jitter; turn one of the two off",
        ),
        (["channels.radar.bands=[VV, VV]"], "channels.radar.bands.1: band VV is given twice"),
        (
            ["channels.radar.bands=[]"],
            "channels.radar.bands=[]: needs at least 1 band, or leave the sensor out",
        ),
        (
            ["channels.radar.scale=imagenet"],
            "scale imagenet takes red, green and blue, but 'radar' has 2 bands; name three",
        ),
        (
            ["channels.radar.scale=imagenet", "channels.radar.bands=[VV]"],
            "scale imagenet takes red, green and blue, got 1 bands",
        ),
        (
            ["channels.radar.scale=zscore", "channels.radar.statistics={mean: [1], std: [1]}"],
            "'radar' has 2 bands, got 1 numbers",
        ),
        (
            ["channels.thermal={scale: minmax}"],
            "the adapter 'fake' has no sensor 'thermal', choose from radar, optical",
        ),
        (["channels.radr={scale: minmax}"], "the adapter 'fake' has no sensor 'radr', did you mean radar?"),
        (
            ["pseudo_masks.source=fused"],
            "pseudo_masks.source=fused pseudo_masks.source.head: needs a head 'patch', choose from class; add heads.",
        ),
        (["pseudo_masks.window=100"], "pseudo_masks.window=100: 100 is not divisible by the patch size 16"),
        (["pseudo_masks.source.layers=[3, 12]"], "no class map at 12; class tokens pass through blocks 0 to 11"),
        (["pseudo_masks.source.layers=[3, 3]"], "name each block once, got [3, 3]"),
        (
            ["pseudo_masks.source.layers=5", "model.class_tokens.enter_at=8"],
            "5 asks for the last 5 blocks, but class tokens pass through blocks 8 to 11",
        ),
        (
            ["pseudo_masks.classes=labels"],
            "pseudo_masks.classes=labels: labels derived from masks must not choose the "
            "classes of pseudo-masks that are scored on these masks",
        ),
        (
            ["pseudo_masks.classes=training_labels", "evaluation.pseudo_masks=[val,train]"],
            "a tag file, or leave train out of evaluation.pseudo_masks",
        ),
        (
            ["pseudo_masks.splits=[val]", "evaluation.pseudo_masks=[val]"],
            "the segmentation network trains on the pseudo-masks of 'train'; add it or set segmentation: null",
        ),
        (
            ["evaluation.pseudo_masks=[test]"],
            "no pseudo-masks are written for 'test'; add it to pseudo_masks.splits",
        ),
        (
            ["segmentation=null", "evaluation.segmentation=[val]"],
            "there is no segmentation network to score (segmentation: null); use []",
        ),
        (["export.splits=[test, test]"], "split 'test' is given twice"),
        (
            ["model.backbone=vit_bse_patch16_224"],
            "timm has no model 'vit_bse_patch16_224'; did you mean vit_",
        ),
        (["model.backbone=resnet18"], "timm's 'resnet18' is not a plain Vision Transformer"),
    ],
)
def test_contradictions(load, overrides, expected):
    with pytest.raises(RecipeErrors) as caught:
        load(*overrides)
    assert len(caught.value.lines) == 1
    assert expected in caught.value.lines[0]


@pytest.mark.parametrize(
    "overrides",
    [
        ["train.freeze_below=8", "model.class_tokens.enter_at=8", "pseudo_masks.source.layers=[8, 11]"],
        [
            "pseudo_masks.source=fused",
            "heads.class=per_token",
            "heads.patch=linear",
            "objective={presence: {}, patch: {kind: presence, head: patch}}",
        ],
        ["pseudo_masks.classes=labels", "evaluation.pseudo_masks=[]"],
        ["segmentation=null"],
        ["channels.optical={scale: imagenet}"],
    ],
)
def test_what_is_allowed(load, overrides):
    load(*overrides)


def test_shape_of_named_backbones():
    assert backbone_shape("vit_base_patch16_224") == (16, 12)
    assert backbone_shape("vit_large_patch14_dinov2.lvd142m") == (14, 24)
    assert backbone_shape("deit_tiny_distilled_patch16_224") == (16, 12)


@pytest.mark.parametrize("name", ["vit_small_patch16_18x2_224", "vit_so150m_patch16_reg4_gap_256"])
def test_shape_of_other_backbones_comes_from_timm(name):
    timm = pytest.importorskip("timm")
    torch = pytest.importorskip("torch")
    with torch.device("meta"):
        model = timm.create_model(name)
    assert backbone_shape(name) == (model.patch_embed.patch_size[0], len(model.blocks))


def adapter(**options):
    return FakeDomain(FakeOptions(adapter="fake", root=Path(), **options))


@pytest.mark.parametrize(
    ("overrides", "options", "expected"),
    [
        (
            ["evaluation.segmentation=[tets]"],
            {},
            "recipe x: evaluation.segmentation: the data have no split 'tets', did you mean test?",
        ),
        (
            [],
            {"mode": "empty_val"},
            "recipe x: pseudo_masks.splits: the split 'val' is empty; leave it out here",
        ),
        (
            [],
            {"mode": "no_train"},
            "recipe x: data: the split 'train' is missing; the data have the splits val, test; "
            "there is nothing to train on",
        ),
        (
            ["pseudo_masks.background=threshold"],
            {},
            "recipe x: pseudo_masks.background: threshold needs a background class, which these "
            "data do not have; use none",
        ),
        (
            ["pseudo_masks.background=residual"],
            {},
            "recipe x: pseudo_masks.background: residual needs a background class, which these "
            "data do not have; use none",
        ),
        (
            ["model.weights=w.safetensors"],
            {},
            "recipe x: model.weights: no such file: 'w.safetensors' (looked from ",
        ),
        (
            ["segmentation.weights=w.pth"],
            {},
            "recipe x: segmentation.weights: no such file: 'w.pth' (looked from ",
        ),
        (
            ["labels={source: tag_file, tag_file: t.csv}"],
            {},
            "recipe x: labels.tag_file: no such file: 't.csv' (",
        ),
    ],
)
def test_recipe_against_data(load, overrides, options, expected):
    with pytest.raises(RecipeErrors) as caught:
        check_against_adapter(load(*overrides), adapter(**options))
    assert any(line.startswith(expected) for line in caught.value.lines), caught.value.lines


def test_mosaics_are_refused_where_there_is_a_background(load):
    recipe, data = load("segmentation.augment.mosaic=0.5", "train.mosaics=1"), adapter()
    check_against_adapter(recipe, data)
    data.classes = replace(data.classes, background=0)
    with pytest.raises(RecipeErrors) as caught:
        check_against_adapter(recipe, data)
    why = "cuts images of one class together, whose masks nobody knows where there is a background; use 0"
    assert caught.value.lines == (
        f"recipe x: train.mosaics: {why}",
        f"recipe x: segmentation.augment.mosaic: {why}",
    )


def test_recipe_that_fits_its_data(load):
    check_against_adapter(load("model.weights=timm", "segmentation.weights=imagenet"), adapter())


def test_channels_keep_the_recipe_s_order(load):
    recipe = load("channels={optical: {bands: [B04, B02], scale: reflectance}, radar: {scale: decibel}}")
    table = select_channels(recipe.channels, FakeDomain.sensors)
    assert table.names == ("optical.B04", "optical.B02", "radar.VV", "radar.VH")
    assert table.sensors[0].rgb is None
    with pytest.raises(UsageError, match=r"^the data have no sensor 'optical'; choose from radar$"):
        select_channels(recipe.channels, [Sensor("radar", ("VV",))])
