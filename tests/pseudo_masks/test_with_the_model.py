import pytest
import torch

from wsss_toolkit.domain import ClassTable
from wsss_toolkit.pseudo_masks.assign import active_classes, assign
from wsss_toolkit.pseudo_masks.class_maps import class_maps
from wsss_toolkit.recipe.schema import PseudoMasks

CLASSES = ClassTable(("none", "cat", "dog", "bird"), ((0, 0, 0),) * 4, background=0)


@pytest.mark.parametrize(
    "source", [{"kind": "attention", "layers": 2}, {"kind": "patch_scores"}, {"kind": "fused", "layers": 2}]
)
@pytest.mark.parametrize("background", ["none", "threshold"])
def test_from_images_to_masks_with_every_option_on(model, source, background):
    section = PseudoMasks(
        source=source,
        background=background,
        flips=True,
        scales=(0.75, 1.0, 1.5),
        refine={"affinity": {"iterations": 2}, "pixel_adaptive": {"iterations": 2}},
    )
    images = torch.rand(2, 3, 37, 50, generator=torch.Generator().manual_seed(1))
    maps, logits = class_maps(model, images, section)
    assert maps.shape == (2, 3, 37, 50) and maps.isfinite().all() and (maps >= 0).all()
    active = active_classes(logits, None, section.classes)
    mask, confidence = assign(maps, logits, active, section, CLASSES)
    allowed = {0, 1, 2, 3} if background == "threshold" else {1, 2, 3}
    assert set(mask.unique().tolist()) <= allowed
    assert (confidence >= 0).all() and (confidence <= 1).all()


def test_maps_of_some_classes_equal_their_maps_among_all(model):
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    section = PseudoMasks(source="fused")
    every, logits = class_maps(model, images, section)
    some, some_logits = class_maps(model, images, section, classes=(2, 0))
    torch.testing.assert_close(some, every[:, [2, 0]])
    torch.testing.assert_close(some_logits, logits[:, [2, 0]])


def test_attention_maps_are_in_multiples_of_uniform_attention(model):
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    maps, _ = class_maps(model, images, PseudoMasks(source={"kind": "attention", "layers": "last"}))
    # A class token spends a part of its attention on the register and itself.
    means = maps.mean(dim=(2, 3))
    assert (means > 0.5).all() and (means <= 1.05).all()
