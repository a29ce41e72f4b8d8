"""What would stop a run, found by reading what the run will read, before anything is trained.

Masks are read here as evaluation reads them, to see whether they can be scored: nothing of their content is kept.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import chain
from math import ceil
from typing import TypeVar

import numpy as np
import torch

from wsss_toolkit.domain import Adapter, ChannelTable, Sample, read_sample
from wsss_toolkit.domain.adapter import ComparingAdapter
from wsss_toolkit.errors import DataError, WsssError
from wsss_toolkit.evaluation.scores import check_masks
from wsss_toolkit.heads.classifier import build_classifier
from wsss_toolkit.images.distribution import PixelSample
from wsss_toolkit.images.input_faults import constant_bands
from wsss_toolkit.images.other_splits import doubts
from wsss_toolkit.images.scaling import IMAGENET_MEAN, IMAGENET_STD, Preprocessing, preprocessing
from wsss_toolkit.images.sensors import PER_SENSOR
from wsss_toolkit.labels.contradictions import Contradictions
from wsss_toolkit.labels.ground_truth import NoGroundTruth, missing_truth, read_truth
from wsss_toolkit.labels.image_labels import ImageLabels, derive_labels, label_warnings
from wsss_toolkit.model.checkpoint import trained_scaling
from wsss_toolkit.model.weights import load_weights
from wsss_toolkit.recipe import Recipe

IMAGES_PER_MILLION = 10
"""Training images per million parameters below which training from scratch is warned of: 860 for a whole ViT-B."""

SCALINGS = {"imagenet": (IMAGENET_MEAN, IMAGENET_STD), "symmetric": ((0.5,) * 3, (0.5,) * 3)}
"""Mean and standard deviation, as shares of 255, of the scales of pictures."""

Result = TypeVar("Result")


@dataclass
class Readiness:
    """Looks at everything that a run of a recipe reads."""

    recipe: Recipe
    adapter: Adapter
    channels: ChannelTable
    """The bands that the recipe selects."""
    progress: Callable[[int, int], None]
    """Called with the number of images done and their total."""
    faults: list[WsssError] = field(default_factory=list)
    """What stops the run."""
    warnings: list[str] = field(default_factory=list)
    """What does not stop it, but is probably not what was meant."""
    read: Counter[str] = field(default_factory=Counter)
    """How many `images` and `masks` were read."""
    _present: Mapping[str, tuple[bool, ...]] = field(default_factory=dict)
    """The labels that do not come from masks."""
    _said: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._contradictions = Contradictions(self.adapter.classes)

    def look_at_networks(self) -> None:
        """Build both networks and load their weights; checkpoints that are named are fetched, once, as for the run."""
        recipe, classes = self.recipe, self.adapter.classes
        with torch.device("meta"):  # shapes without values
            names = classes.label_names
            model = build_classifier(recipe.model, recipe.heads, self.channels, recipe.channels.fusion, len(names))
        millions = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        images, wanted = len(self.adapter.splits()["train"]), ceil(IMAGES_PER_MILLION * millions)
        if recipe.model.weights == "none" and images < wanted:
            self.warnings.append(
                f"{images} training images for {millions:.1f} million parameters from scratch (model.weights: none): "
                f"fewer than {wanted} rarely teach anything; set model.weights, or choose a smaller model"
            )
        self._warn_of_scaling()
        if recipe.pseudo_masks.source.kind == "gradcam" and find_spec("monai") is None:
            what = "pseudo_masks.source: gradcam needs MONAI, which is not installed"
            self.faults.append(WsssError(what, fix="pip install 'wsss-toolkit[endoscopy]'"))
        self._attempt(lambda: load_weights(model.backbone, recipe.model.weights, self.channels))
        section = recipe.segmentation
        if section is not None and section.encoder != "classifier":
            from wsss_toolkit.segmentation.unet import build_network  # slow, and not every recipe has a network

            self._attempt(lambda: build_network(section, len(self.channels), len(classes.names)))

    def _warn_of_scaling(self) -> None:
        """Warn where pictures reach weights of timm in another scale than that of their training."""
        model = self.recipe.model
        trained = trained_scaling(model.weights, model.backbone)
        for sensor in self.channels.sensors if trained is not None else ():
            section = self.recipe.channels.sensors[sensor.name]
            if section.scale not in SCALINGS or trained is None:
                continue
            if np.allclose(trained, SCALINGS[section.scale], atol=0.02):
                continue
            fits = next((name for name, usual in SCALINGS.items() if np.allclose(trained, usual, atol=0.02)), None)
            mean, std = ([round(255 * value, 1) for value in values] for values in trained)
            said = fits or f"zscore, statistics: {{mean: {mean}, std: {std}}}"
            self.warnings.append(
                f"timm's weights of {model.backbone} were trained on other values than channels.{sensor.name}.scale: "
                f"{section.scale} gives; scale: {said} gives those"
            )

    def look_at_labels(self) -> ImageLabels | None:
        """Derive the image-level labels as the run does; None where that fails."""
        labels = self._attempt(lambda: derive_labels(self.adapter, self.recipe.labels))
        if labels is None:
            return None
        self.warnings += label_warnings(labels)
        if isinstance(self.adapter, ComparingAdapter):
            self.warnings += self.adapter.alike_across_splits()
        section = self.recipe.pseudo_masks
        for split in section.splits:
            if section.of_split(split).classes == "labels" and split not in labels.splits:
                what, fix = f"split {split!r} has no image-level labels", "use `pseudo_masks.classes: predicted`"
                self.faults.append(DataError(what, fix=fix))
        return labels

    def look_at_images(self, labels: ImageLabels | None) -> None:
        """Read all images that the run reads, and the masks of the splits that are scored.

        If there are no labels, and they should come from masks, all masks are read, because each may be why.
        """
        recipe, scored = self.recipe, set(self.recipe.evaluation.pseudo_masks)
        self._present = {} if labels is None or recipe.labels.source == "mask_coverage" else labels.present
        if recipe.segmentation is not None:
            scored |= set(recipe.evaluation.segmentation)
        suspected = labels is None and recipe.labels.source == "mask_coverage"
        reads = self._images_read(labels, scored)
        total = sum(map(len, reads.values()))
        prepare: Preprocessing | None = None
        for split, keys in sorted(reads.items(), key=lambda item: item[0] != "train"):
            samples = self._samples(split, keys, total, scored=split in scored, masks=suspected or split in scored)
            if split == "train":
                prepare = self._measure(samples)
            else:
                self._compare(split, samples, prepare)
        for split, keys in self.adapter.splits().items():
            for key in keys if suspected and split not in reads else ():
                self._has_mask(key, None)
        self.warnings += self._contradictions.sentences()

    def _images_read(self, labels: ImageLabels | None, scored: set[str]) -> dict[str, tuple[str, ...]]:
        """Return the images that the run reads, by split; whole images that are exported count to a split of theirs."""
        recipe, splits = self.recipe, self.adapter.splits()
        labelled = {"train", "val"} & set(splits if labels is None else labels.splits)
        written = {*recipe.pseudo_masks.splits, *scored}
        reads = {split: keys for split, keys in splits.items() if split in labelled | written}
        if labels is not None and "train" not in written:
            reads["train"] = labels.usable("train")
        known = {key for keys in reads.values() for key in keys}
        for split in recipe.export.splits:
            reads[f"{split}, whole"] = tuple(key for key in self.adapter.whole(split) if key not in known)
        return reads

    def _measure(self, samples: Iterator[Sample]) -> Preprocessing | None:
        """Measure the training images as training does, with whatever stops it."""
        empty: list[str] = []

        def with_data() -> Iterator[Sample]:
            for sample in samples:
                if any(np.isfinite(bands).any() for bands in sample.bands.values()):
                    yield sample
                else:
                    empty.append(sample.key)

        left = with_data()
        first = next(left, None)
        if first is not None:
            found = self._attempt(lambda: preprocessing(self.recipe.channels, self.channels, chain([first], left)))
            deque(left, maxlen=0)
            self.warnings += constant_bands(found) if found is not None else []
            return found
        if empty:
            what = "no training image holds data: every pixel is nodata or not finite"
            self.faults.append(DataError(what, fix="check the images"))
        return None

    def _compare(self, split: str, samples: Iterator[Sample], prepare: Preprocessing | None) -> None:
        """Look at the images of a split that training does not see, and warn where their values are others."""
        look = PixelSample(self.channels)
        deque(look.watch(samples), maxlen=0)
        if prepare is not None:
            self.warnings += doubts(split, prepare, look.quantiles())

    def _samples(self, split: str, keys: tuple[str, ...], total: int, *, scored: bool, masks: bool) -> Iterator[Sample]:
        """Yield the images of a split that can be read, and note what is wrong with these and with the others."""
        lacking: dict[str, list[str]] = {sensor.name: [] for sensor in self.channels.sensors}
        sizes: dict[tuple[int, int], str] = {}
        without_mask = 0
        for key in keys:
            sample = self._attempt(lambda key=key: read_sample(self.adapter, key, self.channels))  # type: ignore[misc]
            self.read["images"] += 1
            without_mask += masks and not self._has_mask(key, None if sample is None else sample.size)
            self.progress(self.read["images"], total)
            if sample is not None:
                sizes.setdefault(sample.size, key)
                for name in lacking.keys() - sample.bands.keys():
                    lacking[name].append(key)
                yield sample
        if scored and keys and without_mask == len(keys):
            self._keep(missing_truth(keys[0]))
        if split in ("train", "val"):
            self._note_sizes(split, sizes)
        for name, without in lacking.items():
            if without:
                self._note_lacking(name, without, f"{len(without)} of {len(keys)} images of the split {split!r}")

    def _note_sizes(self, split: str, sizes: dict[tuple[int, int], str]) -> None:
        """Refuse images of several sizes where the segmentation network is to learn from batches of whole ones."""
        network = self.recipe.segmentation
        if network is None or network.image_size or network.crop_size or network.batch_size == 1 or len(sizes) < 2:
            return
        (size, key), (other_size, other), *_ = sizes.items()
        what = f"image {key!r} of the split {split!r} is {size[0]} x {size[1]} pixels, "
        what += f"{other!r} {other_size[0]} x {other_size[1]}: the segmentation network's batches need one size"
        self._keep(DataError(what, fix="set segmentation.image_size or segmentation.crop_size"))

    def _has_mask(self, key: str, size: tuple[int, int] | None) -> bool:
        """Return whether an image has a mask, and note what would stop its evaluation."""
        try:
            truth = read_truth(self.adapter, key)
        except NoGroundTruth:
            return False
        except WsssError as error:
            self.read["masks"] += 1
            self._keep(error)
            return True
        self.read["masks"] += 1
        try:
            check_masks(np.zeros(size or truth.shape, np.uint8), truth, self.adapter.classes)
        except DataError as error:
            self._keep(DataError(error.what, where=f"mask of image {key!r}", fix=error.fix))
            return True
        self._contradictions.look(key, self._present.get(key), truth)
        return True

    def _note_lacking(self, sensor: str, keys: list[str], count: str) -> None:
        if self.recipe.channels.fusion == "early":
            self._keep(DataError(f"image has no {sensor} bands, like {count}", where=keys[0], fix=PER_SENSOR))
        else:
            shown = ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")
            self.warnings.append(f"{count} have no {sensor} bands: {shown}")

    def _attempt(self, work: Callable[[], Result]) -> Result | None:
        """Do something that a run does, and keep the error with which it stops."""
        try:
            return work()
        except WsssError as error:
            self._keep(error)
            return None

    def _keep(self, error: WsssError) -> None:
        if str(error) not in self._said:
            self._said.add(str(error))
            self.faults.append(error)
