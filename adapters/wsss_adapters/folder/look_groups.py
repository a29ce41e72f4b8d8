"""Which column of the tags tells that pictures belong together: a patient, a video, a site."""

import re
from collections.abc import Mapping
from typing import Any, Final

from wsss_adapters.folder.picture_index import PictureIndex
from wsss_adapters.splits.divide import same_id
from wsss_toolkit.errors import DataError

WORDS: Final = (
    "patient", "subject", "person", "participant", "case", "individual", "animal", "specimen", "study", "session",
    "exam", "examination", "procedure", "video", "film", "movie", "clip", "sequence", "site", "location", "place",
    "camera", "plot", "field", "orbit", "flight", "slide",
)  # fmt: skip
"""What such columns are called, alone or beside `id`, `no` and the like; those that matter most come first."""

BESIDE: Final = frozenset({"id", "ids", "no", "nr", "num", "number", "name", "code", "key", "uid", "of", "the"})


def group_column(index: PictureIndex) -> str | None:
    """Return the column of the tags whose values pictures share as those of one patient do; None if there is none."""
    cells = [row.cells for row in index.tags.by_picture(index.pictures.values()).values()]
    found: dict[int, str] = {}
    for column in cells[0] if cells else ():
        place = _place(column)
        values = [same_id(row.get(column, "")) for row in cells]
        if place is not None and 1 < len(set(values)) < len(values):
            found.setdefault(place, column)
    return found[min(found)] if found else None


def grouped(index: PictureIndex, column: str, drawn: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """Return drawn splits that keep a column's groups together, None where they cannot, and a sentence on it.

    The index is one of pictures whose splits are drawn.
    """
    splits = {**drawn, "group_by": column}
    options = index.options.model_dump() | {"splits": splits}
    try:
        PictureIndex(type(index.options).model_validate(options)).splits  # noqa: B018  whether they can be drawn
    except DataError as error:
        return None, f"images of one {column} are not kept in one split: {error.what}"
    return splits, f"images of one {column}, a column of the tags, stay in one split"


def shared(index: PictureIndex, column: str) -> tuple[str, ...]:
    """Return a sentence on groups whose pictures lie in several splits that were made elsewhere, if there are any."""
    rows = index.tags.by_picture(index.pictures.values())
    where: dict[str, dict[str, str]] = {}
    for split, keys in index.splits.items():
        for key in keys:
            name = index.pictures[key].name
            if name in rows and (value := rows[name].cells.get(column, "")):
                where.setdefault(same_id(value), {}).setdefault(split, value)
    several = [owners for owners in where.values() if len(owners) > 1]
    if not several:
        return ()
    first = several[0]
    example = f"{next(iter(first.values()))} in {' and '.join(first)}"
    return (
        f"{len(several)} of {len(where)} values of {column} lie in several splits, {example}: figures say too much",
    )


def _place(column: str) -> int | None:
    """Return the place among `WORDS` of what a column is called."""
    words = [word for word in re.split(r"[\W_]+|(?<=[a-z])(?=[A-Z])", column) if word]
    plain = [word.casefold() for word in words if word.casefold() not in BESIDE]
    known = [re.sub(r"(?<=..)(id|no|nr)$|s$", "", word) for word in plain]
    return WORDS.index(known[0]) if len(known) == 1 and known[0] in WORDS else None
