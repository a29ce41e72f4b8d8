"""Names of classes: which are possible and how many, and which the folders give that pictures lie in."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from wsss_adapters.folder.picture_files import Picture
from wsss_toolkit.domain import IGNORE_INDEX, is_one_line
from wsss_toolkit.domain.table import normal_form
from wsss_toolkit.domain.tags import Tags
from wsss_toolkit.errors import DataError, did_you_mean

NEGATIVE = frozenset({"background", "empty", "negative", "negatives", "none", "nothing", "normal"})
"""Names that are probably no class: pictures that are called so show none."""


def flaw(name: str) -> str:
    """Return why a name cannot be that of a class, or ""."""
    if not is_one_line(name):
        return "holds a control character or a line break"
    if name != name.strip():
        return "begins or ends with a blank"
    return "holds `;`, which separates classes" if ";" in name else ""


def refuse_too_many(number: int, where: str) -> None:
    """Raise a DataError for more classes than an 8-bit mask has values for."""
    if number > IGNORE_INDEX:
        what = f"{number} classes, counting the background where there is one; masks hold 1 to {IGNORE_INDEX}"
        raise DataError(what, where=where, fix="merge classes, or move rare ones away")


def distinct_names(written: Iterable[tuple[str, str, str]]) -> tuple[str, ...]:
    """Return the names of classes, sorted, each once.

    Each is given as it is written, with the place for the error, and the place in short.

    Raises:
        DataError: If a name cannot be that of a class, or two differ in case only, which is one class written in two
            ways.
    """
    seen: dict[str, tuple[str, str]] = {}
    for name, where, short in written:
        wrong = flaw(name)
        if wrong:
            raise DataError(f"class {name!r} {wrong}", where=where, fix=f"call it {_mended(name)!r}, for example")
        other, first = seen.setdefault(name.casefold(), (name, short))
        if other != name:
            raise DataError(f"class {name!r} is written {other!r} in {first}", where=where, fix="write it in one way")
    return tuple(sorted(name for name, _ in seen.values()))


def distinct_tags(rows: Sequence[Tags], path: Path) -> tuple[str, ...]:
    """Return the names of the classes in a table of tags, sorted.

    Raises:
        DataError: If there is none, a name cannot be that of a class, or two names differ in case only.
    """
    if not rows:
        fix = "add one for each picture, such as a.jpg,cat"
        raise DataError("names no class: no row follows the header", where=f"{path}:1", fix=fix)
    names = distinct_names(
        (name, row.where, f"line {row.where.rpartition(':')[2]}") for row in rows for name in row.classes
    )
    if not names:
        others = f", nor do the other {len(rows) - 1}" if len(rows) > 1 else ""
        fix = "write what each picture shows into the column of the classes, separated by ; or |"
        raise DataError(f"the row names no class{others}", where=rows[0].where, fix=fix)
    return names


def _mended(name: str) -> str:
    plain = "".join(letter if is_one_line(letter) else " " for letter in name)
    return plain.replace(";", "-").strip(" -") or "other"


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
            fix = "move it into the folder of its class"
            raise DataError("lies in no class folder", where=str(picture.path), fix=fix)
        if picture.folder not in known:
            hint = did_you_mean(picture.folder, known, "", cutoff=0.75)
            fix = f"{hint} " * bool(hint) + "name it in data.classes or data.negatives, or move it away"
            raise DataError(f"its folder {picture.folder!r} is no class", where=str(picture.path), fix=fix)
        labels[picture.name] = known[picture.folder]
    return labels
