"""Evaluation: the token-class assignment of a run's maps over a split. It reads ground truth, and says so.

This module is one of the named callers of `ground_truth.read_truth` (ARCHITECTURE.md, "The mask gate"); nothing that
makes maps or masks imports it.
"""

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from wsss_toolkit import __version__
from wsss_toolkit.domain import IGNORE_INDEX
from wsss_toolkit.errors import DataError, UsageError, did_you_mean
from wsss_toolkit.explain.assignment import Assignment, score_assignment
from wsss_toolkit.explain.assignment_figure import draw_assignments
from wsss_toolkit.explain.files import prepare_folder
from wsss_toolkit.files import complete_file, safe_cell, write_json
from wsss_toolkit.images.dataset import ImageDataset, Item, batches_with_keys
from wsss_toolkit.labels.ground_truth import NoGroundTruth, read_truth
from wsss_toolkit.pseudo_masks.class_maps import class_maps
from wsss_toolkit.pseudo_masks.mapper import Mapper
from wsss_toolkit.pseudo_masks.sources.attention import Attention
from wsss_toolkit.recipe.schema import PseudoMasks
from wsss_toolkit.report.figures import save_figure
from wsss_toolkit.runs.trained_run import TrainedRun

FILES = ("assignment.csv", "assignment.json", "assignment.png")

MAP_VALUES = 2**26
"""Values of all maps of the images that are worked on at once: 256 MiB."""

DEFINITIONS = {
    "mass": "mean over images that show token c's class of the share of its map on class k's pixels",
    "area": "share of the pixels that class k covers in the same images: the chance level of mass",
    "lift": "mass / area; 1 is chance",
    "among_present": "how often token c's map, relative to its mean, is the highest on class c's pixels, of the tokens "
    "of all classes that the image shows; images that show one class are left out",
    "among_all": "the same, of all tokens",
    "on_own": "how often token c's map is higher on class c's pixels than off them",
}


def kinds_of_maps(section: PseudoMasks, *, shared: bool) -> dict[str, PseudoMasks]:
    """Return the settings of the maps that are scored: `final`, which become masks, and the bare `attention`.

    Bare attention is that of the recipe's layers without mirror images, sizes, windows, affinity and refinement. It is
    left out where it is the same as the final maps, and where all classes share one token.
    """
    source = Attention(kind="attention", layers=getattr(section.source, "layers", "all"))
    plain = {"source": source, "flips": False, "scales": (1.0,), "window": "none", "refine": {}}
    bare = section.model_copy(update=plain)
    return {"final": section} if bare == section or shared else {"final": section, "attention": bare}


def evaluate_split(run: TrainedRun, split: str, out: Path, device: torch.device, *, overwrite: bool) -> dict[str, Any]:
    """Write assignment.csv, .json and .png of a split, and return what assignment.json holds.

    Raises:
        UsageError: If the run has no such split, the files exist, or the run's masks come from its consensus.
        NoGroundTruth: If no image of the split has a ground-truth mask.
        DataError: If no image shows a class.
    """
    run.require_attention()
    run.adapter.prepare()
    splits = run.adapter.splits()
    if split not in splits:
        raise UsageError(f"the run's data have no split {split!r}", fix=did_you_mean(split, splits))
    prepare_folder(out, FILES, overwrite=overwrite)
    dataset = ImageDataset(run.adapter, splits[split], run.preprocessing)
    mapper = run.mapper(device)
    kinds = kinds_of_maps(run.recipe.pseudo_masks, shared=run.recipe.model.class_tokens.shared)
    missing: set[str] = set()
    found = {
        kind: score_assignment(
            _maps_and_truth(run, replace(mapper, section=section), dataset, missing, f"{kind} maps"), run.classes
        )
        for kind, section in kinds.items()
    }
    if not any((scores.images + scores.empty).any() for scores in found.values()):
        raise DataError(f"no pixel of split {split!r} shows a class that has a token", fix="score another split")
    result = _to_json(run, split, len(splits[split]), len(missing), found, kinds)
    title = f"{run.recipe.name}: token-class assignment, ground truth, split {split}"
    save_figure(draw_assignments(found, run.classes, title, run.adapter.notices), out / FILES[2])
    with complete_file(out / FILES[0]) as partial:
        _write_csv(partial, found, run)
    write_json(out / FILES[1], result)
    return result


def _maps_and_truth(
    run: TrainedRun, mapper: Mapper, dataset: ImageDataset, missing: set[str], title: str
) -> Iterator[tuple[Tensor, Any]]:
    """Yield the maps of all class tokens and the ground truth of each image; images without it are noted."""
    last: NoGroundTruth | None = None
    some = False
    batches = batches_with_keys(dataset, run.recipe.training.batch_size, run.recipe.machine.workers, title)
    for keys, batch in batches:
        for key, one, valid in zip(keys, _maps(mapper, batch), batch["valid"], strict=True):
            try:
                truth = read_truth(run.adapter, key).copy()
            except NoGroundTruth as error:
                last = error
                missing.add(key)
                continue
            some = True
            truth[~valid.numpy()] = IGNORE_INDEX
            if one.shape[-2:] != truth.shape:
                one = F.interpolate(one[None], truth.shape, mode="bilinear", align_corners=False)[0]
            yield one, truth
    if last is not None and not some:
        raise last


def _maps(mapper: Mapper, batch: Item) -> Iterator[Tensor]:
    """Yield the maps of all classes ``t h w`` of each image.

    Of many classes or large images fewer are taken at once, down to one: their maps hold at most `MAP_VALUES` values.
    """
    device = mapper.device
    images, valid = mapper.as_seen(batch["image"].to(device), batch["valid"].to(device))
    count = max(1, MAP_VALUES // (mapper.model.classes * images.shape[-2] * images.shape[-1]))
    for start in range(0, len(images), count):
        some = slice(start, start + count)
        with torch.no_grad():
            present = batch["present"][some].to(device)
            maps, _ = class_maps(mapper.model, images[some], mapper.section, present=present, valid=valid[some])
        yield from maps.float()


def _to_json(
    run: TrainedRun, split: str, images: int, missing: int, found: dict[str, Assignment], kinds: dict[str, PseudoMasks]
) -> dict[str, Any]:
    names = run.classes.label_names
    return {
        "recipe": run.recipe.name,
        "split": split,
        "compared_with": f"ground truth, split {split}",
        "label_source": run.tags.get("wsss_label_source"),
        "images": images - missing,
        "without_truth": missing,
        "notices": list(run.adapter.notices),
        "version": __version__,
        "definitions": DEFINITIONS,
        "maps": {
            kind: {
                "settings": kinds[kind].model_dump(mode="json"),
                "among_present": scores.among_present.to_json(names),
                "among_all": scores.among_all.to_json(names),
                "on_own": scores.on_own.to_json(names),
                "images": dict(zip(names, scores.images.tolist(), strict=True)),
                "empty_maps": dict(zip(names, scores.empty.tolist(), strict=True)),
            }
            for kind, scores in found.items()
        },
    }


def _write_csv(path: Path, found: dict[str, Assignment], run: TrainedRun) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["maps", "token", "class", "images", "mass", "area", "lift"])
        for kind, scores in found.items():
            lift = scores.lift
            for token, name in enumerate(run.classes.label_names):
                for value, other in enumerate(run.classes.names):
                    cells = (scores.mass[token, value], scores.area[token, value], lift[token, value])
                    shown = ["" if cell != cell else f"{cell:.6g}" for cell in cells]
                    writer.writerow([kind, safe_cell(name), safe_cell(other), int(scores.images[token]), *shown])
