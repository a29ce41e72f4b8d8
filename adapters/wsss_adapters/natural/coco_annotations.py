"""Reads COCO's JSON: which images there are and which categories each shows, or what outlines their objects.

Files of this format hold gigabytes once they are Python objects, so outlines are dropped while the file is parsed
unless they are asked for, and then kept as arrays.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from wsss_adapters.natural.coco_classes import read_categories
from wsss_adapters.pictures.decoding import Size
from wsss_toolkit.errors import DataError


@dataclass(frozen=True, slots=True)
class CocoImage:
    """One image of an annotation file."""

    number: int
    file_name: str
    size: Size
    """Height and width in pixels."""
    shown: frozenset[int] | None
    """Ids of the categories with an object or a crowd in it; None where the file has no annotations."""


@dataclass(frozen=True, slots=True)
class CocoObject:
    """One annotated object, or a crowd of objects that were not outlined one by one."""

    number: Any
    """Its id in the file, for messages."""
    category: int
    """Id of its category."""
    crowd: bool
    outline: Any
    """`segmentation` of the file: polygons (a list of arrays of x and y in turn), or run lengths."""


@dataclass(frozen=True, slots=True)
class CocoFile:
    """What an annotation file says, apart from outlines."""

    path: Path
    categories: Mapping[int, str]
    """Name of each category id."""
    images: tuple[CocoImage, ...]
    """In the file's order."""


def read_images(path: Path) -> CocoFile:
    """Read images and the categories that each shows, without outlines.

    Raises:
        DataError: If the file is missing, no JSON of this format, or contradicts itself: ids or file names that repeat,
            annotations of images or categories that it does not list.
    """
    content = _load(path, outlines=False)
    categories = read_categories(content.get("categories"), path)
    annotated = "annotations" in content
    shown: dict[int, set[int]] = {}
    images: dict[int, tuple[str, Size]] = {}
    names: set[str] = set()
    for entry in _entries(content, "images", path):
        number, name, size = _image(entry, path)
        if number in images or name in names:
            what = f"image id {number}" if number in images else f"image file {name!r}"
            raise DataError(f"{what} is listed twice", where=str(path), fix="take one of the two out of `images`")
        images[number] = (name, size)
        names.add(name)
        shown[number] = set()
    if annotated:
        numbers: set[Any] = set()
        for entry in _entries(content, "annotations", path):
            image, category = _annotation(entry, images, categories, path)
            own = entry.get("id")
            if isinstance(own, dict | list):
                what = f"annotation id {own!r} of image {image} is no number"
                raise DataError(what, where=str(path), fix="number the annotations, each differently")
            if own is not None and own in numbers:
                raise DataError(f"annotation id {own!r} is given twice", where=str(path), fix="take one of them out")
            numbers.add(own)
            shown[image].add(category)
    return CocoFile(
        path,
        categories,
        tuple(
            CocoImage(number, name, size, frozenset(shown[number]) if annotated else None)
            for number, (name, size) in images.items()
        ),
    )


def read_objects(path: Path) -> dict[int, list[CocoObject]]:
    """Read what outlines the objects of each image, by image id, in the file's order.

    Raises:
        DataError: If the file cannot be read.
    """
    objects: dict[int, list[CocoObject]] = {}
    for entry in _entries(_load(path, outlines=True), "annotations", path):
        crowd = bool(entry.get("iscrowd", 0))
        found = CocoObject(entry.get("id"), entry["category_id"], crowd, entry.get("segmentation"))
        objects.setdefault(entry["image_id"], []).append(found)
    return objects


def _load(path: Path, *, outlines: bool) -> dict[str, Any]:
    from wsss_adapters.pictures.decoding import check_there

    check_there(path)
    try:
        with path.open(encoding="utf-8") as file:
            content = json.load(file, object_hook=partial(_slim, outlines=outlines))
    except (OSError, ValueError, RecursionError) as error:
        fix = "copy or unpack the annotations again"
        raise DataError(f"is no readable JSON ({error})", where=str(path), fix=fix) from error
    if not isinstance(content, dict):
        raise DataError("is no annotation file of COCO's format", where=str(path), fix="take instances_NAME.json")
    return content


def _slim(entry: dict[str, Any], *, outlines: bool) -> dict[str, Any]:
    """Keep of a JSON object what is needed; polygons become arrays."""
    if "category_id" not in entry or "image_id" not in entry:
        return entry
    kept: dict[str, Any] = {key: entry[key] for key in ("id", "image_id", "category_id", "iscrowd") if key in entry}
    if outlines:
        outline = entry.get("segmentation")
        kept["segmentation"] = [_points(part) for part in outline] if isinstance(outline, list) else outline
    return kept


def _points(part: Any) -> Any:
    """Return a polygon as float64, or what the file says in its place if that is no list of numbers."""
    try:
        return np.array(part, dtype=np.float64)
    except (TypeError, ValueError):
        return part


def _entries(content: Mapping[str, Any], name: str, path: Path) -> Iterator[dict[str, Any]]:
    entries = content.get(name)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        fix = "take a file in COCO's format: instances_NAME.json"
        raise DataError(f"has no list {name!r}", where=str(path), fix=fix)
    yield from entries


def _image(entry: Mapping[str, Any], path: Path) -> tuple[int, str, Size]:
    """Return id, file name and size of an image."""
    number, name = entry.get("id"), entry.get("file_name")
    height, width = entry.get("height"), entry.get("width")
    if type(number) is not int or not isinstance(name, str) or not name:
        raise DataError(f"image {number!r} has no whole id or no file_name", where=str(path), fix="correct the file")
    if type(height) is not int or type(width) is not int or min(height, width) < 1:
        fix = "add it"
        raise DataError(f"image {number} has no size: height {height!r}, width {width!r}", where=str(path), fix=fix)
    return number, name, (height, width)


def _annotation(
    entry: Mapping[str, Any], images: Mapping[int, Any], categories: Mapping[int, str], path: Path
) -> tuple[int, int]:
    """Return image id and category id of an annotation."""
    image, category = entry.get("image_id"), entry.get("category_id")
    if type(image) is not int or image not in images:
        what = f"annotation {entry.get('id')!r} is of image {image!r}, which the file does not list"
        raise DataError(what, where=str(path), fix="take it out of the file, or add the image")
    if type(category) is not int or category not in categories:
        what = f"annotation {entry.get('id')!r} of image {image} has the category id {category!r}, which is none"
        raise DataError(what, where=str(path), fix="correct the id, or add the category")
    if entry.get("iscrowd", 0) not in (0, 1):
        fix = "0 or 1"
        raise DataError(f"annotation {entry.get('id')!r} says iscrowd {entry['iscrowd']!r}", where=str(path), fix=fix)
    return image, category
