import pytest
import torch

from wsss_toolkit.images.augment import apply_symmetry, color_jitter, symmetries
from wsss_toolkit.recipe.schema import Augment


@pytest.mark.parametrize(
    ("section", "count"),
    [
        (Augment(horizontal_flip=False), 1),
        (Augment(), 2),
        (Augment(vertical_flip=True), 4),
        (Augment(horizontal_flip=False, rotate90=True), 4),
        (Augment(rotate90=True), 8),
    ],
)
def test_symmetries_are_distinct_and_as_many_as_their_group(section, count):
    codes = symmetries(section)
    image = torch.arange(9.0).reshape(1, 1, 3, 3).expand(len(codes), 1, 3, 3)
    turned = apply_symmetry(image, torch.tensor(codes))
    assert len(codes) == count
    assert len({tuple(t.flatten().tolist()) for t in turned}) == count


def test_rotations_alone_are_rot90s():
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    codes = symmetries(Augment(horizontal_flip=False, rotate90=True))
    turned = {tuple(apply_symmetry(image, torch.tensor([c])).flatten().tolist()) for c in codes}
    assert turned == {tuple(torch.rot90(image, k, (2, 3)).flatten().tolist()) for k in range(4)}


def test_images_and_masks_turn_alike():
    masks = torch.randint(0, 9, (8, 5, 5))
    codes = torch.arange(8)
    assert torch.equal(apply_symmetry(masks[:, None], codes)[:, 0], apply_symmetry(masks, codes))


def test_only_square_images_are_transposed():
    with pytest.raises(ValueError, match="only square images"):
        apply_symmetry(torch.zeros(1, 1, 2, 3), torch.tensor([4]))


def test_color_jitter_is_seeded_and_off_at_zero():
    images = torch.rand(4, 3, 5, 5)
    first = color_jitter(images, 0.3, torch.Generator().manual_seed(1))
    assert torch.equal(first, color_jitter(images, 0.3, torch.Generator().manual_seed(1)))
    assert not torch.allclose(first, images)
    assert color_jitter(images, 0.0, torch.Generator()) is images
