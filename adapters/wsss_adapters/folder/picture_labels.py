"""Image-level labels from the folders that pictures lie in."""

from collections.abc import Collection, Iterable
from pathlib import Path

from wsss_adapters.folder.class_name_checks import distinct_names
from wsss_adapters.folder.picture_files import Picture
from wsss_toolkit.domain.table import normal_form
from wsss_toolkit.errors import DataError, did_you_mean


def folder_classes(pictures: Iterable[Picture], negatives: Collection[str]) -> tuple[str, ...]:
    """Return the names of the class folders, sorted, without those of negatives.

    Raises:
        DataError: If a name cannot be that of a class, or two differ in case only.
    """
    left_out = {normal_form(name) for name in negatives}
    first: dict[str, Picture] = {}
    for picture in pictures:
        if picture.folder and picture.folder not in left_out:
            first.setdefault(picture.folder, picture)
    places = {name: _class_folder(picture) for name, picture in first.items()}
    return distinct_names((name, str(place.parent), f"the folder {place}") for name, place in sorted(places.items()))


def _class_folder(picture: Picture) -> Path:
    """Return the folder of a picture that its class is named after."""
    below = picture.name.count("/") - (1 if picture.split else 0)
    return picture.path.parents[below - 1]


def folder_labels(
    pictures: Iterable[Picture], classes: Collection[str], negatives: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """Return the class of each picture by its name: that of its folder, none for negatives.

    Raises:
        DataError: If a picture lies in no folder, or in one that is neither a class nor among the negatives.
    """
    known = {normal_form(name): (name,) for name in classes} | {normal_form(name): () for name in negatives}
    labels: dict[str, tuple[str, ...]] = {}
    for picture in pictures:
        if picture.folder is None:
            raise DataError(
                "lies in no class folder", where=str(picture.path), fix="move it into the folder of its class"
            )
        if picture.folder not in known:
            hint = did_you_mean(picture.folder, known, "", cutoff=0.75)
            raise DataError(
                f"its folder {picture.folder!r} is no class",
                where=str(picture.path),
                fix=f"{hint} " * bool(hint) + "name it in data.classes or data.negatives, or move it away",
            )
        labels[picture.name] = known[picture.folder]
    return labels
