"""Looks at a folder of pictures without a recipe and proposes one's `data` section."""

from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from wsss_adapters.folder.class_names import is_negative, refuse_too_many
from wsss_adapters.folder.color_table import find_color_table
from wsss_adapters.folder.look_found import (
    check_labels,
    check_pictures,
    check_spelling,
    class_counts,
    column_splits,
    describe,
    sources,
    split_comment,
)
from wsss_adapters.folder.look_groups import group_column, grouped, shared
from wsss_adapters.folder.look_layout import Layout, find_layout
from wsss_adapters.folder.look_masks import Meaning, from_table, mask_values, read_names, with_names, without_names
from wsss_adapters.folder.options import FolderOptions, distinct_color
from wsss_adapters.folder.picture_index import PictureIndex
from wsss_adapters.pictures.reading import RGB
from wsss_toolkit.domain.adapter import Starter
from wsss_toolkit.errors import DataError

LARGEST_CROP = 224
"""Side of the crops of larger pictures in pixels."""

UNUSED = (
    "not read: their values are not those of classes; say in codes what they stand for, then name splits in evaluation"
)

COMMENTS: Mapping[str, str] = {
    "class_folders": "the first folder of a picture is its class",
    "tags": "image,classes; classes separated by ;",
    "negatives": "folders whose pictures show no class; leave the line out if they are classes",
    "scenes": "wsss pseudolabel resizes pictures as in training; windows slides over them at full size",
    "crop": "pixels; whole pictures of one kind all show the same classes, their parts do not; null takes them whole",
}


def look(folder: Path, masks: Path | None) -> Starter:
    """Look at a folder; see `wsss_toolkit.domain.adapter.StarterAdapter`.

    Raises:
        DataError: If no recipe can be made of it: no pictures, no labels, names that do not fit.
    """
    layout = find_layout(folder, masks)
    drawn: dict[str, Any] = {"fractions": {"train": 0.7, "val": 0.15, "test": 0.15}, "seed": 0}
    splits: dict[str, Any] = {"folders": dict(layout.splits)} if layout.splits else drawn
    data: dict[str, Any] = {"root": layout.root.as_posix(), "images": layout.images, **_labels(layout)}
    tagged = "tags" in data or "class_folders" in data
    first = _index({**data, **layout.mask_keys(), "splits": splits} | ({} if tagged else {"classes": ["anything"]}))
    sensor, sizes = check_pictures(first, layout)
    names = read_names(layout.classes_file) if layout.classes_file else ()
    if tagged and names:  # the list is what tags and folders must keep to
        first = _index({**data, **layout.mask_keys(), "splits": splits, "classes": list(names)})
    elif tagged:
        check_spelling(first, layout.tags or folder)
    by_column, unused = column_splits(first, layout) if tagged else (None, ())
    if by_column is not None:
        splits = by_column
        chosen = {"classes": list(names)} if names else {}
        first = _index({**data, **layout.mask_keys(), "splits": splits, **chosen})
    column = group_column(first) if layout.tags is not None else None
    together: tuple[str, ...] = ()
    if column is not None and splits is drawn:
        kept, said = grouped(first, column, drawn)
        splits, together = kept or drawn, (said,)
    elif column is not None:
        together = shared(first, column)
    per_image = check_labels(first, layout) if tagged else None
    meaning, used = _meaning(layout, first, names, tagged, per_image)
    data |= layout.mask_keys()
    data |= {
        key: value for key, value in (("codes", meaning.codes), ("ignore", list(meaning.ignore))) if value and used
    }
    labelled = [name for name in meaning.classes if name != meaning.background]
    colors = {name: "#{:02x}{:02x}{:02x}".format(*distinct_color(i)) for i, name in enumerate(labelled)}
    data["classes"] = [{"name": name, "color": colors.get(name, "#000000")} for name in meaning.classes]
    data["background"] = meaning.background
    size = int(median(height for height, _ in sizes)), int(median(width for _, width in sizes))
    if not tagged and (crop := _crop(sizes)):
        data["crop"], size = crop, (crop, crop)
    else:
        data["scenes"] = "whole"
    data["splits"] = splits
    index = _index(data)
    return Starter(
        found=(
            describe(first, sizes),
            *sources(layout, index, used),
            *layout.unread,
            *class_counts(index),
            *unused,
            *together,
            *meaning.found,
        ),
        data=data,
        comments={
            **COMMENTS,
            "masks": "for the figures alone" if tagged else "for labels and figures",
            **meaning.comments,
            "splits": _split_remark(splits, first, layout),
        },
        scales={sensor: "imagenet" if sensor == RGB.name else "zscore"},
        labels="dataset" if tagged else "mask_coverage",
        splits={split: len(keys) for split, keys in index.split_keys.items()},
        size=size,
        same_size=len(set(sizes)) == 1 or "crop" in data,
        crops="crop" in data,
        classes=index.classes.label_names,
        background=meaning.background is not None,
        truth=_splits_with_masks(index) if used else (),
    )


def _split_remark(splits: Mapping[str, Any], index: PictureIndex, layout: Layout) -> str:
    if "split_column" in splits:
        return "the column of the tags"
    return f"images of one {splits['group_by']} stay together" if "group_by" in splits else split_comment(index, layout)


def _index(data: Mapping[str, Any]) -> PictureIndex:
    return PictureIndex(FolderOptions.model_validate({"adapter": "folder", **data}))


def _labels(layout: Layout) -> dict[str, Any]:
    """Return the keys that say where image-level labels come from; none where there are masks alone."""
    if layout.tags is not None:
        return {"tags": layout.tags.relative_to(layout.root).as_posix()}
    if layout.classes:
        negatives = [name for name in layout.classes if is_negative(name)]
        return {"class_folders": True} | ({"negatives": negatives} if negatives else {})
    if layout.masks is None:
        raise DataError(
            "there are no labels"
            + "".join(f" ({said})" for said in ([layout.no_tags] if layout.no_tags else layout.unread)),
            where=str(layout.folder),
            fix="put the pictures of each class into a folder of its own, write tags.csv with the columns image and "
            "classes, or name masks with --masks FOLDER",
        )
    return {}


def _meaning(
    layout: Layout, index: PictureIndex, names: tuple[str, ...], tagged: bool, per_image: float | None
) -> tuple[Meaning, bool]:
    """Return the classes, what masks' values stand for, and whether the masks are of use."""
    drawn = [picture.mask for picture in index.pictures.values() if picture.mask]
    where = layout.root / (layout.masks or ".")
    places = [*where.parents[:2], layout.folder, *drawn[0].parents[:2]] if drawn else []
    table = find_color_table(places)
    if table is not None and (not tagged or set(index.classes.label_names) <= set(table[1].values())):
        return from_table(*table, drawn), True
    background = next((name for name in names[:1] if name.casefold().strip("_") == "background"), None)
    if not tagged:
        values = mask_values(drawn) if drawn else ()
        return (with_names(names, background, values, where) if names else without_names(values, where)), True
    names = names or index.classes.label_names
    # Few classes in a picture are objects before something else; many together cover it, as land cover does.
    if background is None and ((per_image is not None and per_image <= 2) or () in index.labels.values()):
        background = "background" if "background" not in map(str.casefold, names) else "none of the classes"
        names = (background, *names)
        refuse_too_many(len(names), str(layout.tags or layout.folder))
    try:
        return with_names(names, background, mask_values(drawn) if drawn else (), where), bool(drawn)
    except DataError as error:
        if layout.asked:
            raise
        return Meaning(names, background, found=(f"masks are not used: {error}",), comments={"masks": UNUSED}), False


def _crop(sizes: list[tuple[int, int]]) -> int | None:
    """Return the side of crops, of which a picture has four or more; None where pictures are too small to cut."""
    side = min(LARGEST_CROP, min(map(min, sizes)) // 2) // 8 * 8
    return side if side >= 48 else None


def _splits_with_masks(index: PictureIndex) -> tuple[str, ...]:
    """Return the splits in which every picture has a mask."""
    return tuple(
        split
        for split, keys in index.splits.items()
        if keys and all(index.pictures[key].mask is not None for key in keys)
    )
