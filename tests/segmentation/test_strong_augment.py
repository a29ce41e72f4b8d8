import pytest
import torch
from pydantic import ValidationError

from wsss_toolkit.recipe.schema import SegmentationAugment
from wsss_toolkit.segmentation.strong_augment import Batch, channel_jitter, cutmix, erase, mosaic, strong_augment, zoom

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


def of_one_class(**changes):
    """Return images of which the first and the last show several classes, and the others one each: 1, 1, 3 and 4."""
    masks = batch().masks.clone()
    masks[1:5] = torch.tensor([1, 1, 3, 4]).view(-1, 1, 1)
    masks[2, :3] = 255
    return batch(**{"masks": masks, **changes})


def test_without_settings_nothing_changes_and_nothing_is_drawn():
    source = generator()
    before, given = source.get_state(), batch()
    for one, other in zip(strong_augment(given, SegmentationAugment(), source), given, strict=True):
        assert one is other
    assert torch.equal(source.get_state(), before)


def test_everything_together_is_seeded():
    section = SegmentationAugment(
        mosaic=1.0, scale=(0.5, 2.0), color_jitter=0.2, channel_jitter=0.2, cutmix=0.5, erase=0.5
    )
    first, again, other = (strong_augment(of_one_class(), section, generator(seed)) for seed in (1, 1, 2))
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


def test_mosaics_join_two_images_of_one_class_each():
    present = torch.eye(COUNT, dtype=torch.bool)
    given = of_one_class(present=present)
    given.valid[3, :, :2] = False
    changed = mosaic(given, 1.0, generator())
    owner = changed.images[:, 0].long() // 20
    own = torch.arange(COUNT).view(-1, 1, 1)
    partners = [set(owner[index].unique().tolist()) - {index} for index in range(COUNT)]
    assert partners[0] == partners[5] == set(), "several classes: nobody knows where"
    assert all(len(found) == 1 for found in partners[1:5])
    assert all(partners[index] <= {3, 4} for index in (1, 2)), "never two of the same class"
    assert partners[3] <= {1, 2, 4} and partners[4] <= {1, 2, 3}
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    for plane, before in zip(changed[1:3], given[1:3], strict=True):
        assert torch.equal(plane, before[owner, rows, columns]), "masks and missing pixels are those of the image seen"
    for index in range(COUNT):
        assert set(changed.present[index].nonzero().flatten().tolist()) == {index} | partners[index]
    share = (owner == own).flatten(1).float().mean(dim=1)[1:5]
    assert (share > 0.2).all() and (share < 0.8).all()
    # A smooth shape: few neighbours belong to different images.
    edges = (owner[1:5, 1:] != owner[1:5, :-1]).float().mean() + (
        owner[1:5, :, 1:] != owner[1:5, :, :-1]
    ).float().mean()
    assert 0.02 < edges < 0.4
    other = mosaic(given, 1.0, generator(1))
    assert not torch.equal(other.masks, changed.masks)


def test_mosaics_need_a_partner_and_are_made_of_a_share():
    alone = batch(masks=torch.ones(COUNT, SIDE, SIDE, dtype=torch.int64))
    assert torch.equal(mosaic(alone, 1.0, generator()).images, alone.images), "all of the same class"
    unknown = of_one_class(masks=torch.full((COUNT, SIDE, SIDE), 255))
    assert torch.equal(mosaic(unknown, 1.0, generator()).images, unknown.images), "no class at all"
    given = of_one_class()
    assert torch.equal(mosaic(given, 0.0, generator()).images, given.images)
    changed = [(mosaic(given, 0.5, generator(seed)).images != given.images).flatten(1).any(dim=1) for seed in range(20)]
    assert 0.3 < torch.stack(changed)[:, 1:5].float().mean() < 0.7


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
