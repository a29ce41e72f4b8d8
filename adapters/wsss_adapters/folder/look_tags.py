"""Which file of a folder holds tags, as far as its own words tell."""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wsss_adapters.folder.color_table import CLASS_DICT
from wsss_adapters.pictures.names import bare
from wsss_adapters.tables.tagged_pictures import exported_names
from wsss_toolkit.domain.exports import read_export
from wsss_toolkit.domain.table import IMAGE_COLUMNS, SUFFIXES, read_table
from wsss_toolkit.domain.tags import EXPORTS, tag_columns
from wsss_toolkit.errors import DataError

LISTED = 6
"""Columns that a sentence names."""


@dataclass(frozen=True, slots=True)
class TagFiles:
    """The files of a folder that could hold tags."""

    tags: Path | None
    """The one that does: called so, or the first that names a picture."""
    doubtful: Path | None
    """The first of the others that names images, but none of the pictures."""
    why: str
    """Why the first of those that name no images is none, or ""."""

    def sentences(self, chosen: Path | None) -> tuple[str, ...]:
        """Return what to tell of the others where another than the doubtful file was chosen."""
        left = None if self.tags or chosen == self.doubtful else self.doubtful
        return () if left is None else (f"not taken as tags, because it names none of the pictures: {left.name}",)


def find_tags(places: Sequence[Path], pictures: Collection[str]) -> TagFiles:
    """Look for tags in some folders: tags.csv, the first table with the right columns, or an export."""
    stems = {_stem(name) for name in pictures}
    doubtful, why = None, ""
    for place in dict.fromkeys(places):
        files = sorted(path for path in place.iterdir() if path.is_file() and not path.name.startswith("."))
        tables = [path for path in files if path.suffix.lower() in SUFFIXES and path.name != CLASS_DICT]
        exports = [path for path in files if path.suffix.lower() in EXPORTS]
        labels = [path for path in (place / "labels",) if path.is_dir() and any(path.rglob("*.txt"))]
        for path in (*tables, *exports):
            if path.stem.casefold() in ("tags", "cls_labels"):
                return TagFiles(path, None, "")
        for path in (*tables, *exports, *labels):
            try:
                named = _images(path, table=path in tables)
            except DataError as error:
                why = why or str(error)
                continue
            if any(_stem(name) in stems for image in named for name in (image, *exported_names(image))):
                return TagFiles(path, None, "")
            doubtful = doubtful or (path if named else None)
        if not why and any(path.suffix == ".txt" and _stem(path.stem) in stems for path in files):
            why = f"{place}: text files are called as the pictures; YOLO's labels are read from a folder `labels`"
    return TagFiles(None, doubtful, why)


def columns_read(path: Path, used: Collection[str | None]) -> str:
    """Return which columns of a table name images and classes, and which are left alone but for those `used`."""
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return ""
    table = read_table(path, key="tags")
    places = tag_columns(table)
    if places is None:
        return ""
    image, classes = places
    left = [name for place, name in enumerate(table.columns) if name and place not in (image, *classes)]
    left = [name for name in left if name not in used]
    named = _listed([table.columns[place] for place in classes])
    return f": images in {table.columns[image]}, classes in {named}" + (
        f"; left alone: {_listed(left)}" if left else ""
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def _images(path: Path, *, table: bool) -> Sequence[str]:
    """Return the images that a table with columns of classes names, or an export."""
    if table:
        read = read_table(path, key="tags")
        places, image = tag_columns(read), read.find(IMAGE_COLUMNS)
        if image is not None and places is None:
            what = f"names images in {read.columns[image]!r}, and no column is called classes or label or holds 0 and 1"
            raise DataError(what, where=read.where, fix="call the column of the classes so")
        return [row.cells[image] for row in read.rows if image is not None and len(row.cells) > image]
    return [image for image, *_ in read_export(path, "tags", _AllNames())]


class _AllNames(Collection[str]):
    """Every text: which names can be those of classes is asked when tags are read."""

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _stem(image: str) -> str:
    """Return the last part of a path without its suffix, in lower case."""
    return bare(re.split(r"[/\\]", image)[-1]).casefold()
