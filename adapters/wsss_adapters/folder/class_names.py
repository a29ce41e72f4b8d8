"""Names of classes: which are possible and how many, and which the folders give that pictures lie in."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from wsss_adapters.folder.picture_files import Picture
from wsss_toolkit.domain import IGNORE_INDEX, is_one_line
from wsss_toolkit.domain.split_words import names_splits
from wsss_toolkit.domain.table import normal_form
from wsss_toolkit.domain.tags import Tags
from wsss_toolkit.errors import DataError, did_you_mean

NEGATIVE = frozenset({
    "background", "empty", "healthy", "negative", "negatives", "no", "no finding", "no findings", "none", "nothing",
    "normal",
})  # fmt: skip
"""Names that are probably no class: pictures that are called so show none."""


MARKS = (r"\s*[/+&,]\s*", r"\s+and\s+")
"""What may stand between the names of two classes that are one by mistake."""

WORDS = (r"\s+", "_")
"""What stands there too, and between the words of many a name."""


def is_negative(name: str) -> bool:
    """Return whether a name is probably that of no class."""
    return _alike(name) in NEGATIVE


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
        DataError: If a name cannot be that of a class, two differ in case, blanks and the like only, which is one class
            written in two ways, or one joins the names of others, as `cat/dog` does beside `cat` and `dog`.
    """
    seen: dict[str, tuple[str, str, str]] = {}
    for name, where, short in written:
        wrong = flaw(name)
        if wrong:
            raise DataError(f"class {name!r} {wrong}", where=where, fix=f"call it {_mended(name)!r}, for example")
        other, first, _ = seen.setdefault(_alike(name), (name, short, where))
        if other != name:
            raise DataError(f"class {name!r} is written {other!r} in {first}", where=where, fix="write it in one way")
    _refuse_joined(seen)
    return tuple(sorted(name for name, _, _ in seen.values()))


def _refuse_joined(seen: Mapping[str, tuple[str, str, str]]) -> None:
    """Raise a DataError where a name joins those of others, as lists do; a few compound words are none.

    `seen` has each name as it is written, after its place in short, and before its place, by what it is alike to.
    """
    fix = "separate classes by ; or |, or list all names in classes.txt (data.classes) if it is a class"
    compound = [name for name, _, _ in seen.values() if re.search("|".join(WORDS), name)]
    errors: dict[str, DataError] = {}
    for name, _, where in seen.values():
        for mark in (*MARKS, *WORDS):
            parts = list(dict.fromkeys(_alike(part) for part in re.split(mark, name)))
            if len(parts) > 1 and all(part in seen for part in parts):
                listed = " and ".join(repr(seen[part][0]) for part in parts)
                errors[name] = DataError(f"class {name!r} could be {listed}", where=where, fix=fix)
                if mark in MARKS:
                    raise errors[name]
    if 2 * len(errors) > len(compound):
        raise next(iter(errors.values()))
    words = {word for name in compound for word in name.split()}
    lengths = {len(name.split()) for name in compound}
    if len(lengths) > 2 and 2 * len(words) <= len(compound):  # as haze primary, clear primary water, ...
        what = f"{len(compound)} classes are made of {len(words)} words, such as {compound[0]!r}: lists with blanks?"
        raise DataError(what, where=seen[_alike(compound[0])][2], fix=fix)


def _alike(name: str) -> str:
    """Return what names have in common that are one class to a reader: no case, blanks alike, nothing invisible."""
    shown = "".join(letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) != "Cf")
    return re.sub(r"[\s_]+|(?<=[^\W\d])-+(?=[^\W\d])", " ", shown).strip().casefold()


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
        DataError: If a name cannot be that of a class, two differ in case and the like only, or all are called as
            folds.
    """
    left_out = {normal_form(name) for name in negatives}
    first: dict[str, Picture] = {}
    for picture in pictures:
        if picture.folder and picture.folder not in left_out:
            first.setdefault(picture.folder, picture)
    if len(first) > 1 and all(map(names_splits, first)):
        what = f"the folders {', '.join(sorted(first)[:5])} are called as folds, not as classes"
        fix = "put the pictures of each class into one folder; data.splits says which are in a fold"
        raise DataError(what, where=str(_class_folder(next(iter(first.values()))).parent), fix=fix)
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
