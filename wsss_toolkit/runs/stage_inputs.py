"""What a stage works on: the recipe, the data, and what the stages before it left, opened."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from wsss_toolkit import __version__
from wsss_toolkit.compute import choose_device
from wsss_toolkit.domain import Adapter, ChannelTable, blamed_on_data, read_sample
from wsss_toolkit.labels.image_labels import ImageLabels
from wsss_toolkit.labels.tag_file import read_labels
from wsss_toolkit.recipe import Recipe, recipe_digest, select_channels
from wsss_toolkit.runs.folder import RunFolder
from wsss_toolkit.state import read_state

if TYPE_CHECKING:
    from torch import nn

    from wsss_toolkit.images.dataset import ImageDataset
    from wsss_toolkit.images.scaling import Preprocessing
    from wsss_toolkit.pseudo_masks.mapper import Mapper
    from wsss_toolkit.segmentation.predict import Prediction


@dataclass
class StageInputs:
    """A run as its stages see it; nothing of it is read before it is asked for.

    torch and what builds on it are imported inside the methods, so that a recipe is refused before they load.
    """

    recipe: Recipe
    adapter: Adapter
    """The data, prepared."""
    folder: RunFolder
    """Where earlier stages lie."""
    device: str
    """``auto``, ``cpu`` or ``cuda``."""

    @cached_property
    def channels(self) -> ChannelTable:
        """The bands that the recipe selects."""
        with blamed_on_data(self.recipe.data.adapter):
            return select_channels(self.recipe.channels, self.adapter.sensors)

    @cached_property
    def splits(self) -> Mapping[str, tuple[str, ...]]:
        """Image keys by split."""
        with blamed_on_data(self.recipe.data.adapter):
            return self.adapter.splits()

    @cached_property
    def tags(self) -> dict[str, str]:
        """Provenance that is stored in every mask and model."""
        labels = self.recipe.labels
        source = f"mask_coverage>={labels.min_coverage}" if labels.source == "mask_coverage" else labels.source
        tags = {
            "wsss_version": __version__,
            "wsss_recipe": self.recipe.name,
            "wsss_recipe_digest": recipe_digest(self.recipe),
            "wsss_label_source": source,
        }
        if self.adapter.notices:
            tags["wsss_notice"] = " ".join(self.adapter.notices)
        return tags

    def image_labels(self) -> ImageLabels:
        """Read what the stage labels wrote."""
        return read_labels(self.folder.stage("labels"))

    def preprocessing(self) -> "Preprocessing":
        """Return how the trained classifier's images were scaled."""
        from wsss_toolkit.images.scaling import PREPROCESSING_FILE, Preprocessing

        return Preprocessing.load(self.folder.stage("train") / PREPROCESSING_FILE)

    def pseudo_mask_files(self) -> dict[str, dict[str, Path]]:
        """Return the files of the pseudo-masks by split and image key."""
        root = self.folder.stage("pseudo_masks")
        fix = f"delete the folder {root} and run the recipe again"
        index = read_state(root / "index.json", dict[str, dict[str, str]], fix)
        return {split: {key: root / file for key, file in files.items()} for split, files in index.items()}

    def mapper(self, recipe: Recipe | None = None) -> "Mapper":
        """Load the classifier as the recipe, or another one, uses it."""
        from wsss_toolkit.pseudo_masks.opening import open_mapper

        device = choose_device(self.device, 1, "32").torch
        kept = self.recipe.machine.cache == "disk"
        return open_mapper(
            self.folder.path, recipe or self.recipe, self.adapter.classes, device, exclusive=self._exclusive, kept=kept
        )

    @property
    def _exclusive(self) -> bool:
        """Whether every training image had exactly one class."""
        record = self.folder.record("train")
        return record is not None and bool(record.result["exclusive"])

    @cached_property
    def _network(self) -> "nn.Module":
        """The trained segmentation network."""
        from wsss_toolkit.segmentation.train import load_network

        return load_network(self.folder.stage("segmentation"))

    def predict(
        self, dataset: "ImageDataset", title: str, *, network: bool = True, reference: tuple[int, int] | None = None
    ) -> Iterator["Prediction"]:
        """Predict masks of whole images with the segmentation network, or where there is none with the classifier.

        The classifier also does where `network` is false. `reference` is height and width of the training images where
        these are crops of such images.
        """
        from wsss_toolkit.segmentation.predict import NetworkMasks

        section = self.recipe.segmentation
        if network and section is not None:
            device = choose_device(self.device, 1, "32").torch
            yield from NetworkMasks(self._network, section, device, self.recipe.machine.workers).over(dataset, title)
            return
        # Such images have no image-level labels, so the predicted classes are used.
        for key, mask, level, _ in self.mapper().without_labels().over(dataset, title, reference):
            yield key, mask, level

    def predictions(self, keys: Sequence[str], title: str) -> Iterator["Prediction"]:
        """Predict the masks of images of the data."""
        from wsss_toolkit.images.dataset import ImageDataset

        reference = None if self.recipe.segmentation is not None else self._crop_size(keys)
        yield from self.predict(ImageDataset(self.adapter, keys, self.preprocessing()), title, reference=reference)

    def _crop_size(self, keys: Sequence[str]) -> tuple[int, int] | None:
        """Return height and width of the training images if `keys` are larger images that such are cut from."""
        training = self.splits["train"]
        if {key for split in self.splits.values() for key in split} >= set(keys):
            return None
        return read_sample(self.adapter, training[0], self.channels).size
