"""The table of tags in a folder that nobody has described."""

from collections.abc import Sequence
from pathlib import Path

from wsss_adapters.tables.picture_tags import CLASS_COLUMNS, IMAGE_COLUMNS, find_delimiter

TABLES = (".csv", ".tsv")


def find_tags(places: Sequence[Path]) -> Path | None:
    """Return the table of tags in one of some folders: tags.csv, or the first with the right columns."""
    for place in dict.fromkeys(places):
        tables = sorted(path for path in place.iterdir() if path.suffix.lower() in TABLES and path.is_file())
        named = [path for path in tables if path.stem.casefold() == "tags"]
        for path in [*named, *tables]:
            if path in named or _has_columns(path):
                return path
    return None


def _has_columns(path: Path) -> bool:
    """Return whether a table names a column of images and one of classes; False where it cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            lines = [file.readline(10_000) for _ in range(2)]
    except OSError:
        return False
    delimiter, before = find_delimiter(lines)
    cells = {cell.strip(' "\n').casefold() for cell in lines[before].split(delimiter)}
    return bool(cells & set(IMAGE_COLUMNS)) and bool(cells & set(CLASS_COLUMNS))
