"""Checks of a recipe against the data that its adapter found."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from wsss_toolkit.domain import Adapter, AugmentingAdapter, ChannelTable, LabelledAdapter, Sensor, blamed_on_data
from wsss_toolkit.domain.adapter import find_bands
from wsss_toolkit.errors import UsageError, did_you_mean
from wsss_toolkit.recipe.checks import split_lists
from wsss_toolkit.recipe.messages import Finding, RecipeErrors
from wsss_toolkit.recipe.schema import Channels, Recipe


def check_channels(channels: Channels, sensors: Sequence[Sensor], adapter: str) -> Iterator[Finding]:
    """Yield the sensors and bands of a recipe that the adapter lacks, and statistics of the wrong length."""
    offered = {sensor.name: sensor for sensor in sensors}
    for name, chosen in channels.sensors.items():
        where = ("channels", name)
        if name not in offered:
            message = f"the adapter {adapter!r} has no sensor {name!r}, {did_you_mean(name, offered)}"
            yield Finding(where, message, at_key=True)
            continue
        bands = offered[name].bands
        if chosen.bands != "all":
            for index, band in enumerate(chosen.bands):
                if band not in bands:
                    message = f"sensor {name!r} has no band {band!r}, {did_you_mean(band, bands)}"
                    yield Finding((*where, "bands", index), message)
        elif chosen.scale == "imagenet" and len(bands) != 3:
            message = f"scale imagenet takes red, green and blue, but {name!r} has {len(bands)} bands; name three"
            yield Finding((*where, "scale"), message)
        elif chosen.statistics != "measured":
            lengths = {len(values) for _, values in chosen.statistics if values is not None}
            if lengths != {len(bands)}:
                numbers = " and ".join(map(str, sorted(lengths)))
                yield Finding((*where, "statistics"), f"{name!r} has {len(bands)} bands, got {numbers} numbers")


def check_against_adapter(recipe: Recipe, adapter: Adapter) -> None:
    """Refuse a recipe that does not go with the data that its adapter found.

    Raises:
        RecipeErrors: One line per mistake, such as a band or a split that the data lack.
    """
    found = ((".".join(map(str, finding.path)), finding.message) for finding in adapter_findings(recipe, adapter))
    if lines := [f"recipe {recipe.name}: {path}: {message}" for path, message in found]:
        raise RecipeErrors(lines)


def adapter_findings(recipe: Recipe, adapter: Adapter) -> Iterator[Finding]:
    """Yield what is wrong between a recipe and the data that its adapter found."""
    with blamed_on_data(recipe.data.adapter):
        sensors, splits, classes = adapter.sensors, adapter.splits(), adapter.classes
    yield from check_channels(recipe.channels, sensors, recipe.data.adapter)
    background = recipe.pseudo_masks.background
    if background != "none" and classes.background is None:
        message = f"{background} needs a background class, which these data do not have; use none"
        yield Finding(("pseudo_masks", "background"), message)
    if recipe.consensus is not None and classes.background is None:
        message = "tells objects from a background, which these data do not have; leave it out"
        yield Finding(("consensus",), message, at_key=True)
    if classes.background is not None:
        message = "cuts images of one class together, whose masks nobody knows where there is a background; use 0"
        if recipe.training.mosaics:
            yield Finding(("train", "mosaics"), message)
        if recipe.segmentation is not None and recipe.segmentation.augment.mosaic:
            yield Finding(("segmentation", "augment", "mosaic"), message)
    if recipe.labels.source == "dataset" and not isinstance(adapter, LabelledAdapter):
        message = f"adapter {recipe.data.adapter!r} knows no image-level labels; use mask_coverage or tag_file"
        yield Finding(("labels", "source"), message)
    augments = isinstance(adapter, AugmentingAdapter) and adapter.augments
    if augments and recipe.training.freeze_below and recipe.training.augment.domain:
        message = (
            "the outputs of frozen blocks cannot be cached under the random changes that the data section asks for; "
        )
        message += "set train.augment.domain to false: the segmentation network still gets them"
        yield Finding(("train", "freeze_below"), message)
    if augments and recipe.training.mosaics and recipe.training.augment.domain:
        message = "do not get the random changes that the data section asks for; set train.augment.domain to false"
        yield Finding(("train", "mosaics"), message)
    yield from check_splits(recipe, splits)
    for path, value in (
        (("model", "weights"), recipe.model.weights),
        (("segmentation", "weights"), recipe.segmentation.weights if recipe.segmentation else "none"),
        (("labels", "tag_file"), recipe.labels.tag_file or "none"),
    ):
        named = value in ("none", "timm", "imagenet") or value.startswith("torchgeo:")
        if not named and not Path(value).is_file():
            yield Finding(path, f"no such file: {value!r} (looked from {Path.cwd()})")


def check_splits(recipe: Recipe, splits: Mapping[str, tuple[str, ...]]) -> Iterator[Finding]:
    """Yield the splits that a recipe names and the data lack, or that are empty."""
    if not splits.get("train"):
        known = ", ".join(splits) or "none"
        state = "is empty" if "train" in splits else f"is missing; the data have the splits {known}"
        yield Finding(("data",), f"the split 'train' {state}; there is nothing to train on")
    for path, names in split_lists(recipe).items():
        for split in dict.fromkeys(names):
            if split not in splits:
                yield Finding(path, f"the data have no split {split!r}, {did_you_mean(split, splits)}")
            elif not splits[split] and split != "train":
                yield Finding(path, f"the split {split!r} is empty; leave it out here")


def select_channels(channels: Channels, sensors: Sequence[Sensor]) -> ChannelTable:
    """Select a recipe's bands from what an adapter offers, in the order of the recipe.

    Raises:
        UsageError: If a sensor or a band is not on offer.
    """
    offered = {sensor.name: sensor for sensor in sensors}
    chosen = []
    for name, section in channels.sensors.items():
        if name not in offered:
            raise UsageError(f"the data have no sensor {name!r}", fix=did_you_mean(name, offered))
        chosen.append(offered[name] if section.bands == "all" else find_bands(offered[name], section.bands))
    return ChannelTable(tuple(chosen))
