import pytest
import torch
import torch.nn.functional as F
from fake_classifier import FakeClassifier
from torch import Tensor

from wsss_toolkit.errors import UsageError
from wsss_toolkit.heads.classifier import Seen
from wsss_toolkit.heads.head import Scores
from wsss_toolkit.model.attention_maps import ClassMap, class_map
from wsss_toolkit.model.layout import TokenLayout
from wsss_toolkit.model.output import Output
from wsss_toolkit.pseudo_masks.class_maps import class_maps
from wsss_toolkit.pseudo_masks.sources.attention import Attention, mean_over_layers
from wsss_toolkit.pseudo_masks.sources.patch_scores import PatchScores
from wsss_toolkit.recipe.parts import select_layers
from wsss_toolkit.recipe.schema import PseudoMasks

ONE = torch.zeros(1, 1)


def fake(**options) -> FakeClassifier:
    """Six blocks, class tokens in the last four."""
    return FakeClassifier(enter_at=2, depth=6, **options)


def attending(layers) -> PseudoMasks:
    return PseudoMasks(source={"kind": "attention", "layers": layers})


def images(height: int = 8, width: int = 12) -> Tensor:
    return torch.rand(2, 2, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("layers", "expected"),
    [("all", (8, 9, 10, 11)), ("last", (11,)), (1, (11,)), (3, (9, 10, 11)), ((11, 8, 8), (8, 11))],
)
def test_select_layers(layers, expected):
    assert select_layers(layers, 8, 12) == expected


@pytest.mark.parametrize("layers", [5, 0, (7,), (12,), (9, 40), (), "first"])
def test_layers_without_class_tokens_are_refused(layers):
    with pytest.raises(UsageError, match=r"^layers: "):
        select_layers(layers, 8, 12)


def test_the_refusal_names_the_blocks():
    with pytest.raises(UsageError) as caught:
        select_layers((3, 9), 8, 12)
    assert str(caught.value) == ("layers: there is no class map at 3; class tokens pass through blocks 8 to 11")


def test_mean_over_layers_leaves_out_closed_layers():
    maps = torch.arange(3.0).view(1, 3, 1, 1, 1).expand(1, 3, 2, 2, 2)
    assert mean_over_layers(maps, torch.ones(3)).unique().tolist() == [1.0]
    assert mean_over_layers(maps, torch.tensor([1.0, 0.0, 1.0])).unique().tolist() == [1.0]
    assert mean_over_layers(maps, torch.tensor([0.0, 0.0, 1.0])).unique().tolist() == [2.0]
    assert mean_over_layers(maps, torch.zeros(3)).unique().tolist() == [0.0]


def test_attention_is_averaged_over_the_chosen_layers_and_upsampled():
    model = fake()
    maps, logits = class_maps(model, images(), attending((2, 4)))
    assert [(seen.shape[-2:], seen.blocks) for seen in model.seen] == [((8, 12), (2, 4))]
    pooled = F.avg_pool2d(images(), 4)
    attention = pooled / pooled.sum(dim=(2, 3), keepdim=True) * 4  # the mean of the layers' factors 3 and 5
    # In multiples of uniform attention over 2 x 3 patches.
    expected = F.interpolate(attention * 6, size=(8, 12), mode="bilinear", align_corners=False)
    torch.testing.assert_close(maps, expected)
    torch.testing.assert_close(logits, pooled.amax(dim=(2, 3)))


def test_a_layer_whose_heads_are_closed_has_no_part_in_the_mean():
    opened, _ = class_maps(fake(), images(), attending((4,)))
    closed, _ = class_maps(fake(closed=(2,)), images(), attending((2, 4)))
    torch.testing.assert_close(closed, opened)


def test_an_image_without_data_attends_to_all_its_patches():
    layout = TokenLayout(1, (1, 2), 0, visible=torch.zeros(1, 2, dtype=torch.bool))
    attention = {class_map: ClassMap(torch.full((1, 1, 1, 2), 0.25), torch.ones(()))}
    seen = Seen(Output(torch.zeros(1, 3, 1), torch.zeros(1, 3, 1), layout, {0: attention}), {"class": Scores(ONE)})
    assert Attention(kind="attention").maps(seen).tolist() == [[[[0.5, 0.5]]]]


def test_patch_scores_are_those_of_the_head_that_the_recipe_names():
    scores = {"patch": Scores(ONE, torch.zeros(1, 1, 1, 2)), "other": Scores(ONE, torch.ones(1, 1, 1, 2))}
    seen = Seen(Output(ONE, ONE, TokenLayout(1, (1, 2), 0)), scores)
    assert PatchScores(kind="patch_scores", head="other").maps(seen).tolist() == [[[[1.0, 1.0]]]]


def test_sources():
    attention, _ = class_maps(fake(), torch.ones(1, 2, 8, 8), attending("last"))
    torch.testing.assert_close(attention, torch.full((1, 2, 8, 8), 6.0))
    model = fake()
    scores, _ = class_maps(model, torch.ones(1, 2, 8, 8), PseudoMasks(source="patch_scores"))
    torch.testing.assert_close(scores, torch.full((1, 2, 8, 8), 0.5))
    assert [seen.blocks for seen in model.seen] == [()], "no attention layer is asked for"
    fused, _ = class_maps(fake(), torch.ones(1, 2, 8, 8), PseudoMasks(source={"kind": "fused", "layers": "last"}))
    torch.testing.assert_close(fused, attention * scores)
    dark = 0.1 * torch.ones(1, 2, 8, 8)
    rectified, _ = class_maps(fake(), dark, PseudoMasks(source={"kind": "fused", "layers": "last"}))
    assert (rectified == 0).all()


@pytest.mark.parametrize("source", ["patch_scores", "fused"])
def test_a_missing_head_is_named(source):
    with pytest.raises(UsageError, match="needs scores of patches, and the classifier has no head 'patch'"):
        class_maps(fake(patch_head=False), images(), PseudoMasks(source=source))


@pytest.mark.parametrize("size", [(8, 12), (9, 14), (3, 3), (1, 5)])
def test_sizes_that_the_patch_does_not_divide_are_padded_and_cut(size):
    for section in (PseudoMasks(), PseudoMasks(flips=True, scales=(0.5, 1.0, 1.5))):
        maps, logits = class_maps(fake(), images(*size), section)
        assert maps.shape == (2, 2, *size) and logits.shape == (2, 2)
        assert maps.isfinite().all()


@pytest.mark.parametrize("width", [12, 14])
def test_flips_of_an_equivariant_model_give_the_same_maps(width):
    plain = class_maps(fake(), images(8, width), PseudoMasks())
    flipped = class_maps(fake(), images(8, width), PseudoMasks(flips=True))
    torch.testing.assert_close(plain, flipped)


def test_scales_resize_to_multiples_of_the_patch():
    model = fake()
    class_maps(model, images(10, 12), PseudoMasks(scales=(0.1, 0.5, 1.0, 2.0), flips=True))
    sizes = [seen.shape[-2:] for seen in model.seen]
    assert sizes == [size for size in [(4, 4), (4, 8), (12, 12), (20, 24)] for _ in range(2)]


def test_scales_of_uniform_attention_weigh_alike():
    flat = torch.ones(1, 2, 8, 8)
    maps, _ = class_maps(fake(), flat, PseudoMasks(source={"kind": "attention", "layers": [2]}, scales=(0.5, 1.0, 2.0)))
    torch.testing.assert_close(maps, torch.full((1, 2, 8, 8), 3.0))


def test_affinity_acts_on_the_patch_grid():
    section = PseudoMasks(source={"kind": "attention", "layers": "last"}, refine={"affinity": {"iterations": 1}})
    maps, _ = class_maps(fake(), images(), section)
    # Every patch is equally akin to every other: each map becomes its mean, the layer's factor of 6.
    torch.testing.assert_close(maps, torch.full_like(maps, 6.0))


def test_pixel_adaptive_refinement_comes_last():
    plain, _ = class_maps(fake(), images(), PseudoMasks())
    refined, _ = class_maps(fake(), images(), PseudoMasks(refine={"pixel_adaptive": {"iterations": 2}}))
    assert refined.shape == plain.shape and not torch.allclose(refined, plain)


def test_a_subset_of_classes_is_passed_on():
    every, logits = class_maps(fake(), images(), PseudoMasks())
    one, logit = class_maps(fake(), images(), PseudoMasks(), classes=(1,))
    torch.testing.assert_close(one, every[:, 1:])
    torch.testing.assert_close(logit, logits[:, 1:])
