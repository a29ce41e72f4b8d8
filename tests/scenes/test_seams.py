"""No window seam is visible: moving the windows hardly changes a mask."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tiny_recipe
import torch
from scipy.ndimage import binary_dilation

from wsss_adapters.synthetic_scenes import draw_scene
from wsss_toolkit.domain import Sample
from wsss_toolkit.images.windows import WindowGrid
from wsss_toolkit.recipe import find_recipe, load_recipe
from wsss_toolkit.runs import pipeline
from wsss_toolkit.runs.trained_run import open_run
from wsss_toolkit.scenes.label import label_rows
from wsss_toolkit.scenes.predictor import choose_windows, load_predictor

SIDE = 96
"""Side of windows, of training tiles, and the period of the scene."""


class PeriodicScene:
    """A tile repeated: every window of the tile's size sees the same shares of classes, wherever it lies."""

    def __init__(self, tile, times):
        bands = {"sentinel1": tile.sentinel1, "sentinel2": tile.sentinel2.astype(np.float32)}
        self.bands = {name: np.tile(pixels, (1, times, times)) for name, pixels in bands.items()}
        self.codes = np.tile(tile.codes, (times, times))
        self.height, self.width = self.codes.shape

    def read(self, window):
        rows = slice(window.row, window.row + window.height)
        columns = slice(window.column, window.column + window.width)
        return Sample("periodic", {name: pixels[:, rows, columns] for name, pixels in self.bands.items()})


def away_from_borders(codes, distance):
    """Return the pixels that are farther than some pixels from any border between classes."""
    border = np.zeros(codes.shape, bool)
    for axis in (0, 1):
        differs = np.diff(codes.astype(int), axis=axis) != 0
        for side in (0, 1):
            border |= np.pad(differs, [(side, 1 - side) if a == axis else (0, 0) for a in (0, 1)])
    return ~binary_dilation(border, iterations=distance)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The quickstart, cut short; a network that has not settled changes its mind with what it sees around."""
    folder = tmp_path_factory.mktemp("seams")
    short = ["data.tiles={train: 120, val: 8, test: 16}", "train.epochs=15", "segmentation.epochs=20"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wsss_toolkit.domain.adapter.entry_points", lambda group: tiny_recipe.declared_adapters())
        recipe = load_recipe(find_recipe("quickstart"), [f"data.root={folder / 'data'}", *short])
        report = json.loads(pipeline.run(recipe, out=folder / "run", device="cpu").read_text())
        print({part: report[part]["test"]["pixel_accuracy"] for part in ("pseudo_masks", "segmentation")})
        assert report["segmentation"]["test"]["pixel_accuracy"] > 0.6, "an untrained network shows nothing"
        yield open_run(folder / "run")


def without_refinement(run):
    """Return the run with a recipe that leaves out pixel-adaptive refinement."""
    recipe = run.recipe
    changed = {
        name: getattr(recipe, name).model_copy(update={"refine": {}}) for name in ("pseudo_masks", "segmentation")
    }
    return replace(run, recipe=recipe.model_copy(update=changed))


def mask_of(scene, predictor, run, grid):
    """Return the mask of a scene."""
    strips = label_rows(
        scene, predictor, run.preprocessing, grid, start=0, stop=scene.height, batch_size=2, scores=False
    )
    return np.concatenate([strip.mask for strip in strips])


def shares_that_change(run, stage):
    """Return by overlap the share of pixels, away from borders, that change when the windows are shifted."""
    # At an overlap of one half, half a window is a whole stride: those windows are the same, and half a stride is the
    # largest shift that there is. At a quarter, half a window is the largest.
    predictor = load_predictor(run, stage, torch.device("cpu"))
    changed, pixels = {0.5: 0, 0.25: 0, 0.0: 0}, 0
    for seed in range(4):
        scene = PeriodicScene(draw_scene(SIDE, np.random.default_rng(seed)), times=4)
        far = away_from_borders(scene.codes, 2)
        pixels += far.sum()
        for overlap, shift in ((0.5, SIDE // 4), (0.25, SIDE // 2), (0.0, SIDE // 2)):
            grids = [WindowGrid(scene.height, scene.width, SIDE, overlap, offset) for offset in (0, shift)]
            one, other = (mask_of(scene, predictor, run, grid) for grid in grids)
            changed[overlap] += (one != other)[far].sum()
    shares = {overlap: float(count / pixels) for overlap, count in changed.items()}
    print(f"{stage}: share of pixels that change, by overlap: {shares}")
    return shares


LIMITS = {"unet": 0.02, "vit": 0.01}
"""Networks as short of training as this one differ from one training to the next (one thread or two are enough): 0.1 to
0.9 % were seen of the same recipe. The classifier changes 0.3 %."""


# One test, because the run takes minutes and each of several processes would train its own.
@pytest.mark.slow
def test_shifting_the_windows_changes_few_pixels_away_from_borders(run):
    for stage, section in (("unet", "segmentation"), ("vit", "pseudo_masks")):
        shares = shares_that_change(without_refinement(run), stage)
        assert shares[0.5] < LIMITS[stage] and shares[0.25] < LIMITS[stage], stage
        assert shares[0.0] > 1.3 * shares[0.5], f"{stage}: without blending, seams would show"
        # Refinement reaches farther than a window, so what a pixel gets depends on where its window ends: it needs the
        # default overlap.
        assert "pixel_adaptive" in getattr(run.recipe, section).refine
        refined = shares_that_change(run, stage)
        assert refined[0.5] < LIMITS[stage] and refined[0.0] > 1.3 * refined[0.5], stage
    # A convolutional network's own windows have less in common and are larger; nothing is shifted out of sight here.
    windows = choose_windows(run, "unet", None, None, None)
    for name, seen in (("plain", without_refinement(run)), ("refined", run)):
        predictor = load_predictor(seen, "unet", torch.device("cpu"))
        scene = PeriodicScene(draw_scene(SIDE, np.random.default_rng(0)), times=8)
        far = away_from_borders(scene.codes, 2)
        whole = mask_of(scene, predictor, seen, WindowGrid(scene.height, scene.width, scene.height, 0.0))
        own = mask_of(scene, predictor, seen, WindowGrid(scene.height, scene.width, windows.side, windows.overlap))
        small = mask_of(scene, predictor, seen, WindowGrid(scene.height, scene.width, 256, 0.5))
        shares = [float((mask != whole)[far].mean()) for mask in (own, small)]
        print(f"{name}: share of pixels that differ from the whole scene's, own windows and 256 by half: {shares}")
        assert shares[0] <= max(shares[1], 1e-4), name
