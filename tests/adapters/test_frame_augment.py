"""Random changes: images and masks alike, missing pixels never interpolated, chance from the generator alone."""

import numpy as np
import pytest
from fake_endoscopy import draw_frame, draw_mask, draw_tissue, frames_section, write_frames

from wsss_adapters.endoscopy.frame_augment import change_frame
from wsss_adapters.endoscopy.hyperkvasir import HyperKvasir
from wsss_adapters.endoscopy.hyperkvasir_options import Changes, HyperKvasirOptions
from wsss_toolkit.domain import ChannelTable

EACH = {
    "rotate": 40.0,
    "zoom": 0.3,
    "elastic": 0.05,
    "brightness": 0.3,
    "contrast": 0.4,
    "gamma": 0.4,
    "blur": 2.0,
    "noise": 10.0,
}
PLACE = ("rotate", "zoom", "elastic")


def frame(height=60, width=80, seed=0):
    """Return tissue `3 h w` with NaN outside a disc, and a mask with 255 there."""
    inside = draw_frame(seed, height, width).any(axis=2)
    pixels = draw_tissue(seed, height, width).transpose(2, 0, 1).astype(np.float32)
    return np.where(inside, pixels, np.nan).astype(np.float32), np.where(inside, draw_mask(seed, height, width), 255)


def apply(name, pixels, mask, seed=0, **options):
    changes = Changes(**{name: EACH[name]}, probability=1.0, **options)
    return change_frame(pixels, mask, changes, np.random.default_rng(seed))


@pytest.mark.parametrize("name", EACH)
def test_a_change_changes_and_keeps_size_type_and_range(name):
    pixels, mask = frame()
    before = pixels.copy()
    changed, moved = apply(name, pixels, mask.astype(np.uint8))
    assert np.array_equal(pixels, before, equal_nan=True), "the arguments are left alone"
    assert (changed.dtype, changed.shape) == (np.float32, pixels.shape)
    assert (moved.dtype, moved.shape) == (np.uint8, mask.shape)
    assert not np.array_equal(changed, pixels, equal_nan=True)
    assert 0 <= np.nanmin(changed) and np.nanmax(changed) <= 255
    assert set(np.unique(moved)) <= {0, 1, 2, 255}
    missing = np.isnan(changed)
    assert (missing == missing[0]).all() and (moved[missing[0]] == 255).all()
    assert 0 < missing.mean() < 0.9, "NaN neither vanishes nor spreads over the picture"


@pytest.mark.parametrize("name", EACH)
def test_the_generator_decides_alone(name):
    pixels, mask = frame()
    np.random.seed(1)
    one = apply(name, pixels, mask.astype(np.uint8), seed=4)
    np.random.seed(2)
    two = apply(name, pixels, mask.astype(np.uint8), seed=4)
    other = apply(name, pixels, mask.astype(np.uint8), seed=5)
    assert np.array_equal(one[0], two[0], equal_nan=True) and np.array_equal(one[1], two[1])
    assert not np.array_equal(one[0], other[0], equal_nan=True)


@pytest.mark.parametrize("name", [name for name in EACH if name not in PLACE])
def test_changes_of_intensity_move_nothing(name):
    pixels, mask = frame()
    changed, moved = apply(name, pixels, mask.astype(np.uint8))
    assert np.array_equal(np.isnan(changed), np.isnan(pixels))
    assert np.array_equal(moved, mask)


@pytest.mark.parametrize("name", PLACE)
def test_image_and_mask_move_together(name):
    """A picture that shows its own mask still does after the change."""
    _, mask = frame(120, 160)
    mask = np.kron(draw_mask(0, 60, 80), np.ones((2, 2), np.uint8))
    pixels = np.repeat(mask[None].astype(np.float32) * 100, 3, axis=0)
    changed, moved = apply(name, pixels, mask, seed=3)
    seen = np.isfinite(changed[0])
    agree = np.rint(changed[0][seen] / 100) == moved[seen]
    assert agree.mean() > 0.98 and (moved[seen] > 0).any()
    assert not np.array_equal(moved, mask)


@pytest.mark.parametrize("name", [*PLACE, "blur"])
def test_missing_pixels_do_not_darken_their_neighbours(name):
    """Interpolation with black beside the field of view would."""
    inside = draw_frame(0, 60, 80).any(axis=2)
    pixels = np.where(inside, np.float32(200), np.nan)[None].repeat(3, axis=0).astype(np.float32)
    changed, _ = apply(name, pixels, None)
    assert np.nanmin(changed) == pytest.approx(200, abs=0.01)
    assert np.nanmax(changed) == pytest.approx(200, abs=0.01)


def test_rotation_is_by_at_most_the_angle():
    """A bar through the middle leans by the angle that it was turned by."""
    rows, columns = np.mgrid[:101, :101]
    bar = np.where(abs(columns - 50) <= 2, 255.0, 0.0).astype(np.float32)[None].repeat(3, axis=0)
    angles = []
    for seed in range(20):
        turned = np.nan_to_num(
            change_frame(bar, None, Changes(rotate=30, probability=1.0), np.random.default_rng(seed))[0]
        )
        weights = np.where((rows - 50) ** 2 + (columns - 50) ** 2 < 40**2, turned[0], 0)
        lean = (weights * (rows - 50) * (columns - 50)).sum() / (weights * (rows - 50) ** 2).sum()
        angles.append(np.degrees(np.arctan(lean)))
    assert max(angles) < 30.5 and min(angles) > -30.5
    assert max(angles) > 10 and min(angles) < -10, "either way"


def test_probability_is_the_share_of_changed_frames():
    pixels, _ = frame(24, 32)
    changes = Changes(brightness=0.3, probability=0.25)
    same = [
        np.array_equal(change_frame(pixels, None, changes, np.random.default_rng(seed))[0], pixels, equal_nan=True)
        for seed in range(200)
    ]
    assert 0.65 < np.mean(same) < 0.85


def test_a_frame_without_a_pixel_stays_so():
    changed, moved = apply("blur", np.full((3, 8, 8), np.nan, np.float32), np.full((8, 8), 255, np.uint8))
    assert np.isnan(changed).all() and (moved == 255).all()


def test_the_adapter_says_whether_it_changes_anything(tmp_path):
    root = write_frames(tmp_path)
    plain = HyperKvasir(HyperKvasirOptions.model_validate(frames_section(root)))
    changing = HyperKvasir(HyperKvasirOptions.model_validate(frames_section(root, augment={"rotate": 20})))
    assert (plain.augments, changing.augments) == (False, True)
    assert plain.fingerprint() != changing.fingerprint()
    sample = changing.read("case00_00", ChannelTable(changing.sensors))
    results = [changing.augment(sample, None, np.random.default_rng(seed))[0] for seed in range(10)]
    assert {result.key for result in results} == {"case00_00"}
    assert any(not np.array_equal(result.bands["rgb"], sample.bands["rgb"], equal_nan=True) for result in results)
