import pytest
import torch
from pydantic import ValidationError

from wsss_toolkit.recipe.schema import SegmentationAugment
from wsss_toolkit.segmentation.strong_augment import Batch, channel_jitter, cutmix, erase, strong_augment, zoom

COUNT, SIDE = 6, 24


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(**changes):
    """Return images whose first channel is the mask's value: what happens to one must happen to the other."""
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    blocks = (rows // 6 * 4 + columns // 6).expand(COUNT, -1, -1)
    masks = blocks + 20 * torch.arange(COUNT).view(-1, 1, 1)
    images = torch.stack((masks.float(), torch.full(masks.shape, 3.0)), 1)
    values = {
        "images": images,
        "masks": masks,
        "valid": torch.ones(masks.shape, dtype=torch.bool),
        "present": torch.ones(COUNT, 1, dtype=torch.bool),
    }
    return Batch(**{**values, **changes})


def test_without_settings_nothing_changes_and_nothing_is_drawn():
    source = generator()
    before, given = source.get_state(), batch()
    for one, other in zip(strong_augment(given, SegmentationAugment(), source), given, strict=True):
        assert one is other
    assert torch.equal(source.get_state(), before)


def test_everything_together_is_seeded():
    section = SegmentationAugment(scale=(0.5, 2.0), color_jitter=0.2, channel_jitter=0.2, cutmix=0.5, erase=0.5)
    first, again, other = (strong_augment(batch(), section, generator(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first.images, other.images) and not torch.equal(first.masks, other.masks)
    assert first.masks.dtype == torch.int64 and first.valid.dtype == torch.bool


@pytest.mark.parametrize("scale", [(2.0, 2.0), (0.5, 0.5), (0.5, 2.0)])
def test_zooms_move_images_and_masks_alike(scale):
    changed = zoom(batch(), scale, generator())
    inside = changed.masks != 255
    assert torch.equal(inside, changed.valid)
    assert (changed.images[:, 1][inside] - 3.0).abs().max() < 1e-4
    assert (changed.images.movedim(1, -1)[~inside] == 0).all(), "missing pixels are 0"
    # Bilinear interpolation mixes neighbours at borders of blocks; inside of blocks image and mask agree.
    agree = (changed.images[:, 0] - changed.masks).abs() < 0.01
    assert agree[inside].float().mean() > 0.6
    # No image got another's mask.
    assert torch.equal(changed.masks[inside] // 20, torch.arange(COUNT).view(-1, 1, 1).expand(-1, SIDE, SIDE)[inside])


def test_a_zoom_of_two_shows_a_quarter_and_of_a_half_covers_a_quarter():
    near, far = zoom(batch(), (2.0, 2.0), generator()), zoom(batch(), (0.5, 0.5), generator())
    assert near.valid.all()
    for image in near.masks:
        assert len(image.unique()) <= 9, "at most three by three of the four by four blocks"
    assert far.valid.flatten(1).sum(dim=1).tolist() == pytest.approx([SIDE**2 / 4] * COUNT, rel=0.1)
    assert len({tuple(valid.nonzero()[0].tolist()) for valid in far.valid}) > 1, "at random places"
    still = zoom(batch(), (1.0, 1.0), generator())
    assert torch.equal(still.masks, batch().masks) and still.valid.all()
    torch.testing.assert_close(still.images, batch().images)


def test_cutmix_puts_images_and_masks_of_another_image_in():
    present = torch.zeros(COUNT, 2, dtype=torch.bool)
    present[torch.arange(COUNT), torch.arange(COUNT) % 2] = True
    given = batch(present=present)
    changed = cutmix(given, 1.0, generator())
    own = torch.arange(COUNT).view(-1, 1, 1)
    owner = changed.masks // 20
    foreign = owner == (own - 1) % COUNT
    assert ((owner == own) | foreign).all()
    share = foreign.flatten(1).float().mean(dim=1)
    assert (share > 0.05).all() and (share < 0.45).all()
    assert torch.equal(changed.images[:, 0], changed.masks.float())
    rows, columns = foreign.any(dim=2).sum(dim=1), foreign.any(dim=1).sum(dim=1)
    assert torch.equal(rows * columns, foreign.flatten(1).sum(dim=1)), "one rectangle each"
    assert changed.present.all(), "both images' sensors are there now"
    assert torch.equal(cutmix(given, 0.0, generator()).masks, given.masks)
    some = (cutmix(given, 0.5, generator()).masks != given.masks).flatten(1).any(dim=1)
    assert 0 < some.sum() < COUNT


def test_erased_pixels_hold_the_mean_and_teach_nothing():
    given = batch()
    changed = erase(given, 1.0, generator())
    gone = changed.masks == 255
    assert (gone.flatten(1).any(dim=1)).all() and not gone.flatten(1).all(dim=1).any()
    means = given.images[:, 0].mean(dim=(1, 2)).view(-1, 1, 1).expand(-1, SIDE, SIDE)
    torch.testing.assert_close(changed.images[:, 0][gone], means[gone])
    assert torch.equal(changed.images[:, 0][~gone], given.images[:, 0][~gone])
    assert torch.equal(changed.masks[~gone], given.masks[~gone])


def test_channels_change_on_their_own():
    images = torch.randn(3, 4, 8, 8, generator=generator())
    changed = channel_jitter(images, 0.5, generator(1))
    std, mean = torch.std_mean(images, dim=(2, 3))
    new_std, new_mean = torch.std_mean(changed, dim=(2, 3))
    gain, shift = new_std / std, (new_mean - mean) / std
    assert ((gain > 0.5) & (gain < 1.5)).all() and (shift.abs() <= 0.5).all()
    assert len(set(gain.flatten().tolist())) == 12 and len(set(shift.flatten().tolist())) == 12


def test_a_scale_that_is_no_range_is_refused():
    with pytest.raises(ValidationError, match="scale is the smallest and the largest factor"):
        SegmentationAugment(scale=(2.0, 0.5))
