"""The table of tags in a folder that nobody has described."""

from collections.abc import Sequence
from pathlib import Path

from wsss_toolkit.domain.table import CLASS_COLUMNS, IMAGE_COLUMNS, SUFFIXES, read_table
from wsss_toolkit.errors import DataError


def find_tags(places: Sequence[Path]) -> Path | None:
    """Return the table of tags in one of some folders: tags.csv, or the first with the right columns."""
    for place in dict.fromkeys(places):
        tables = sorted(path for path in place.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
        named = [path for path in tables if path.stem.casefold() == "tags"]
        for path in [*named, *tables]:
            if path in named or _has_columns(path):
                return path
    return None


def _has_columns(path: Path) -> bool:
    """Return whether a table names a column of images and one of classes; False where it cannot be read."""
    try:
        table = read_table(path, key="tags")
    except DataError:
        return False
    return table.find(IMAGE_COLUMNS) is not None and table.find(CLASS_COLUMNS) is not None
