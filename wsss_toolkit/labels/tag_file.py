"""Image-level labels as files: the user's tag files, and the labels that a run has derived."""

import csv
import difflib
import errno
import io
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsss_toolkit.domain.table import normal_form
from wsss_toolkit.domain.tags import SEPARATOR, Columns, Tags, join_rows, read_tag_rows
from wsss_toolkit.errors import DataError, WsssError
from wsss_toolkit.files import cell_text, read_state, safe_cell, write_text

if TYPE_CHECKING:
    from wsss_toolkit.labels.image_labels import ImageLabels


def read_tags(
    path: Path, classes: Sequence[str], images: Collection[str], columns: Columns = (None, None)
) -> dict[str, tuple[bool, ...]]:
    """Read a table or a `.json` file (see `wsss_toolkit.domain.tags`): per image, whether it shows each of the classes.

    `images` are the keys of all images of the data, `columns` those that the recipe chooses.

    Raises:
        DataError: If the file cannot be read, or names an unknown class or image, or an image twice in contradiction.
    """
    rows = read_tag_rows(path, "labels.tag_file", classes, columns)
    keys, names = ({normal_form(name): name for name in known} for known in (images, classes))
    placed: list[tuple[str, Tags]] = []
    for row in rows:
        key = keys.get(row.image)
        if key is None:
            hint = _hint(row.image, images)
            raise DataError(f"the data have no image {row.image!r}", where=row.where, fix=hint)
        for name in row.classes:
            if name not in names:
                raise DataError(f"unknown class {name!r}", where=row.where, fix=_hint(name, classes))
        placed.append((key, row))
    joined, _ = join_rows(placed)
    return {key: tuple(normal_form(name) in row.classes for name in classes) for key, row in joined.items()}


def _hint(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"did you mean {close[0]}?"
    some = sorted(known)[:10]
    return f"there are {', '.join(some)}{', ...' if len(known) > len(some) else ''}"


def write_labels(labels: "ImageLabels", folder: Path) -> Path:
    """Write `labels.csv` (image, split, classes), which is returned, and `provenance.json`, each whole or not at all.

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
            names = [safe_cell(name) for name, shown in zip(labels.classes, labels.present[key], strict=True) if shown]
            rows.append([safe_cell(key), safe_cell(split), SEPARATOR.join(names)])
    path = folder / "labels.csv"
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())
    return path


def read_labels(folder: Path) -> "ImageLabels":
    """Read what `write_labels` wrote; WsssError if a file is missing or damaged."""
    from wsss_toolkit.labels.image_labels import ImageLabels

    path, fix = folder / "labels.csv", "delete the folder and run the stage `labels`"
    try:
        if not (folder / "provenance.json").exists():
            raise FileNotFoundError(errno.ENOENT, "", str(folder / "provenance.json"))
        provenance = read_state(folder / "provenance.json", dict[str, Any], fix)
        classes = tuple(str(name) for name in provenance.pop("classes"))
        splits: Mapping[str, list[str]] = {str(split): [] for split in provenance.pop("splits")}
        present: dict[str, tuple[bool, ...]] = {}
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, strict=True):
                names = [cell_text(name) for name in row["classes"].split(SEPARATOR) if name]
                key = cell_text(row["image"])
                if not set(names) <= set(classes) or key in present:
                    raise ValueError(row)
                splits[cell_text(row["split"])].append(key)
                present[key] = tuple(name in names for name in classes)
    except FileNotFoundError as error:
        raise WsssError("the run has no labels", where=str(error.filename), fix="run the stage `labels`") from None
    except (OSError, ValueError, KeyError, AttributeError, TypeError, csv.Error) as error:
        raise WsssError("the labels of the run are damaged", where=str(path), fix=fix) from error
    return ImageLabels(classes, {split: tuple(keys) for split, keys in splits.items()}, present, provenance)
