"""Image-level labels as files: the user's tag files, and the labels that a run has derived."""

import csv
import difflib
import io
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsss_toolkit.errors import DataError, WsssError
from wsss_toolkit.files import write_text

if TYPE_CHECKING:
    from wsss_toolkit.labels.image_labels import ImageLabels

SEPARATOR = ";"


def read_tags(path: Path, classes: Sequence[str], images: Collection[str]) -> dict[str, tuple[bool, ...]]:
    """Read which classes each image shows.

    Args:
        path: CSV with the columns `image` and `classes` (names separated by `;`, empty where the image shows
            none), or a `.json` file that holds `{image: [class, ...]}`.
        classes: Names of the classes that have a label, in the order of the result.
        images: Keys of all images of the data.

    Returns:
        Per image, whether each class is present.

    Raises:
        DataError: If the file cannot be read, or names an unknown class or image, or an image twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(
            "no such tag file", where=str(path), fix=f"labels.tag_file is looked for from {Path.cwd()}"
        ) from None
    except OSError as error:
        raise DataError(f"the tag file cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError:
        raise DataError("the tag file is not UTF-8 text", where=str(path), fix="save it as UTF-8") from None
    entries = _json_entries(text, path) if path.suffix.lower() == ".json" else _csv_entries(text, path)
    tags: dict[str, tuple[bool, ...]] = {}
    first: dict[str, str] = {}
    for where, image, names in entries:
        if image in tags:
            raise DataError(f"image {image!r} is listed twice, first at {first[image]}", where=where)
        if image not in images:
            raise DataError(f"the data have no image {image!r}", where=where, fix=_hint(image, images))
        for name in names:
            if name not in classes:
                raise DataError(f"unknown class {name!r}", where=where, fix=_hint(name, classes))
        first[image] = where
        tags[image] = tuple(name in names for name in classes)
    return tags


def _hint(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {close[0]}?"
    some = sorted(known)[:10]
    return f"there are {', '.join(some)}{', ...' if len(known) > len(some) else ''}"


def _csv_entries(text: str, path: Path) -> list[tuple[str, str, list[str]]]:
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    entries = []
    try:
        header = [cell.strip() for cell in next(reader, [])]
        if "image" not in header or "classes" not in header:
            raise DataError(
                f"expected the columns image and classes, got {', '.join(header) or 'none'}",
                where=f"{path}:1",
            )
        for row in reader:
            if not row:
                continue
            where = f"{path}:{reader.line_num}"
            if len(row) != len(header):
                fix = f"separate classes by {SEPARATOR!r}, not by commas"
                raise DataError(f"expected {len(header)} columns, got {len(row)}", where=where, fix=fix)
            cells = dict(zip(header, (cell.strip() for cell in row), strict=True))
            names = [name.strip() for name in cells["classes"].split(SEPARATOR) if name.strip()]
            entries.append((where, cells["image"], names))
    except csv.Error as error:
        raise DataError(f"malformed CSV: {error}", where=f"{path}:{reader.line_num}") from None
    return entries


def _json_entries(text: str, path: Path) -> list[tuple[str, str, list[str]]]:
    def pairs_at_the_top(pairs: list[tuple[str, Any]]) -> Any:
        return pairs  # as pairs, so that an image listed twice is seen

    try:
        content = json.loads(text, object_pairs_hook=pairs_at_the_top)
    except json.JSONDecodeError as error:
        raise DataError(f"malformed JSON: {error.msg}", where=f"{path}:{error.lineno}:{error.colno}") from None
    except RecursionError:
        raise DataError("malformed JSON: nested too deep", where=str(path)) from None
    if not isinstance(content, list) or not all(isinstance(pair, tuple) for pair in content):
        raise DataError("expected an object {image: [class, ...]}", where=str(path))
    entries = []
    for image, names in content:
        where = f"{path}: image {image!r}"
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise DataError("expected a list of class names", where=where)
        entries.append((where, image, names))
    return entries


def write_labels(labels: "ImageLabels", folder: Path) -> Path:
    """Write `labels.csv` (image, split, classes) and `provenance.json`, each whole or not at all.

    Returns:
        The path of `labels.csv`.

    Raises:
        DataError: If a class name holds the separator `;`.
    """
    for name in labels.classes:
        if SEPARATOR in name:
            raise DataError(f"the class name {name!r} holds {SEPARATOR!r}, which separates classes", fix="rename it")
    provenance = {"classes": list(labels.classes), "splits": list(labels.splits), **labels.provenance}
    write_text(folder / "provenance.json", json.dumps(provenance, indent=2, ensure_ascii=False) + "\n")
    rows = [["image", "split", "classes"]]
    for split, keys in labels.splits.items():
        for key in keys:
            names = [name for name, shown in zip(labels.classes, labels.present[key], strict=True) if shown]
            rows.append([key, split, SEPARATOR.join(names)])
    path = folder / "labels.csv"
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())
    return path


def read_labels(folder: Path) -> "ImageLabels":
    """Read what `write_labels` wrote.

    Raises:
        WsssError: If a file is missing or is not what `write_labels` wrote.
    """
    from wsss_toolkit.labels.image_labels import ImageLabels

    path = folder / "labels.csv"
    try:
        provenance: dict[str, Any] = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        classes = tuple(str(name) for name in provenance.pop("classes"))
        splits: Mapping[str, list[str]] = {str(split): [] for split in provenance.pop("splits")}
        present: dict[str, tuple[bool, ...]] = {}
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, strict=True):
                names = [name for name in row["classes"].split(SEPARATOR) if name]
                if not set(names) <= set(classes) or row["image"] in present:
                    raise ValueError(row)
                splits[row["split"]].append(row["image"])
                present[row["image"]] = tuple(name in names for name in classes)
    except FileNotFoundError as error:
        raise WsssError("the run has no labels", where=str(error.filename), fix="run the stage `labels`") from None
    except (ValueError, KeyError, AttributeError, TypeError, csv.Error) as error:
        raise WsssError(
            "the labels of the run are damaged",
            where=str(path),
            fix="delete the folder and run the stage `labels`",
        ) from error
    return ImageLabels(classes, {split: tuple(keys) for split, keys in splits.items()}, present, provenance)
