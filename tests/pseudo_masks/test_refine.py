from types import SimpleNamespace

import pytest
import torch

from wsss_toolkit.model.attention_maps import affinity as affinity_of
from wsss_toolkit.pseudo_masks.refiners.affinity import Affinity, propagate
from wsss_toolkit.pseudo_masks.refiners.pixel_adaptive import PixelAdaptive
from wsss_toolkit.pseudo_masks.refiners.refiner import refiners_of
from wsss_toolkit.pseudo_masks.similarity import pixel_adaptive


def test_propagation_equals_the_written_out_random_walk():
    generator = torch.Generator().manual_seed(0)
    affinity = torch.rand(2, 6, 6, generator=generator)
    maps = torch.rand(2, 3, 2, 3, generator=generator)
    walked = propagate(maps, affinity, iterations=2, power=2.0)
    symmetric = ((affinity + affinity.transpose(1, 2)) / 2) ** 2
    transition = symmetric / symmetric.sum(-1, keepdim=True)
    expected = torch.einsum("bij,bjk,bck->bci", transition, transition, maps.flatten(2)).view(2, 3, 2, 3)
    torch.testing.assert_close(walked, expected)


def test_propagation_spreads_within_groups_only():
    groups = torch.tensor([0, 0, 1, 1])
    affinity = (groups[:, None] == groups[None]).float()[None]
    maps = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    walked = propagate(maps, affinity, iterations=1, power=1.0)
    torch.testing.assert_close(walked, torch.tensor([[[[0.5, 0.5], [0.0, 0.0]]]]))


def test_propagation_survives_rows_of_zeros_and_large_powers():
    affinity = torch.zeros(1, 4, 4)
    affinity[0, 2:, 2:] = 1e-6
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 5.0]]]])
    walked = propagate(maps, affinity, iterations=3, power=16.0)
    torch.testing.assert_close(walked, torch.tensor([[[[1.0, 2.0], [4.0, 4.0]]]]))


def test_no_iterations_change_nothing():
    maps = torch.rand(1, 1, 2, 2)
    assert torch.equal(propagate(maps, torch.rand(1, 4, 4), iterations=0, power=2.0), maps)
    assert pixel_adaptive(maps, torch.rand(1, 3, 2, 2), iterations=0) is maps


def test_pixel_adaptive_keeps_flat_maps_and_their_range():
    images = torch.rand(2, 5, 20, 17, generator=torch.Generator().manual_seed(1))
    flat = torch.full((2, 3, 20, 17), 0.7)
    torch.testing.assert_close(pixel_adaptive(flat, images, iterations=5), flat)
    maps = torch.rand(2, 3, 20, 17, generator=torch.Generator().manual_seed(2))
    refined = pixel_adaptive(maps, images, iterations=5)
    assert refined.min() >= maps.min() and refined.max() <= maps.max() + 1e-6


def test_pixel_adaptive_moves_a_border_to_the_images():
    images = torch.zeros(1, 3, 32, 32)
    images[..., 16:] = 1.0
    images += 0.01 * torch.randn(images.shape, generator=torch.Generator().manual_seed(3))
    truth = torch.zeros(32, 32)
    truth[:, 16:] = 1
    maps = torch.zeros(1, 1, 32, 32)
    maps[..., 12:] = 1.0  # four columns too far
    refined = pixel_adaptive(maps, images, iterations=10)[0, 0]
    before = ((maps[0, 0] > 0.5) != truth).sum()
    after = ((refined > 0.5) != truth).sum()
    assert before == 4 * 32
    assert after < before / 4


def test_pixel_adaptive_of_a_batch_is_that_of_its_images(monkeypatch):
    torch.manual_seed(0)
    maps, images = torch.rand(5, 2, 12, 10), torch.rand(5, 3, 12, 10)
    together = pixel_adaptive(maps, images, iterations=2)
    monkeypatch.setattr("wsss_toolkit.pseudo_masks.similarity.PIXELS_AT_ONCE", 2 * 12 * 10)
    torch.testing.assert_close(pixel_adaptive(maps, images, iterations=2), together)


@pytest.mark.parametrize("rows", [1, 5, 12])
def test_pixel_adaptive_of_strips_of_rows_is_that_of_images(rows, monkeypatch):
    torch.manual_seed(0)
    maps, images = torch.rand(2, 3, 12, 10), torch.rand(2, 4, 12, 10)
    whole = pixel_adaptive(maps, images, iterations=3)
    monkeypatch.setattr("wsss_toolkit.pseudo_masks.similarity.PIXELS_OF_A_STRIP", 2 * rows * 10)
    torch.testing.assert_close(pixel_adaptive(maps, images, iterations=3), whole, rtol=0, atol=1e-6)


def test_pixel_adaptive_does_not_depend_on_the_images_scale_or_offset():
    generator = torch.Generator().manual_seed(4)
    images, maps = (
        torch.rand(1, 2, 16, 16, generator=generator),
        torch.rand(1, 2, 16, 16, generator=generator),
    )
    one = pixel_adaptive(maps, images, iterations=2)
    other = pixel_adaptive(maps, images * 50 + 3, iterations=2)
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 5)])
def test_pixel_adaptive_takes_images_smaller_than_its_reach(size):
    refined = pixel_adaptive(torch.rand(1, 1, *size), torch.zeros(1, 3, *size), iterations=2)
    assert refined.isfinite().all()


def test_refiners_do_what_their_options_say_on_the_block_that_they_read():
    generator = torch.Generator().manual_seed(5)
    maps, akin = torch.rand(1, 2, 8, 8, generator=generator), torch.rand(1, 64, 64, generator=generator)
    walk = Affinity(kind="affinity", iterations=3, power=5.0)
    assert walk.reads(SimpleNamespace(backbone=SimpleNamespace(depth=6, enter_at=2))) == {5: affinity_of}
    seen = SimpleNamespace(output=SimpleNamespace(read={4: {}, 5: {affinity_of: akin}}))
    assert torch.equal(walk.spread(maps, seen), propagate(maps, akin, iterations=3, power=5.0))
    images = torch.rand(1, 3, 8, 8, generator=generator)
    adapted = PixelAdaptive(kind="pixel_adaptive", iterations=2).refine(maps, images)
    assert torch.equal(adapted, pixel_adaptive(maps, images, iterations=2))


def test_refiners_work_in_the_order_of_the_recipe():
    walks = {name: Affinity(kind="affinity", iterations=count) for name, count in (("second", 2), ("first", 1))}
    chosen = {**walks, "pixels": PixelAdaptive(kind="pixel_adaptive")}
    assert [refiner.iterations for refiner in refiners_of(chosen, on_grid=True)] == [2, 1]
    assert refiners_of(chosen, on_grid=False) == [chosen["pixels"]]
